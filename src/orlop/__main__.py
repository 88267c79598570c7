"""`python -m orlop`: the command line."""

import sys

from orlop.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
