"""The public names of `import orlop`."""

from __future__ import annotations

import subprocess
import sys

import pytest

import orlop


def test_every_public_name_is_there() -> None:
    for name in orlop.__all__:
        assert getattr(orlop, name) is not None


def test_images_in_and_out_are_there_without_an_import_of_their_own() -> None:
    script = (
        "import orlop; orlop.oci.import_image; import sys; assert 'orlop.cli' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


def test_other_names_are_not() -> None:
    with pytest.raises(AttributeError, match="nonsense"):
        orlop.nonsense  # noqa: B018 -- it is the naming that fails
