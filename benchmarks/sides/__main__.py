"""`python -m benchmarks.sides MEASUREMENT FOLDER COUNT`: Orlop's counterpart of `peer`."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from benchmarks.sides import collection, content, engine, metadata

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

MEASUREMENTS: Final[Mapping[str, Callable[[Path, int], dict[str, float]]]] = {
    "engine-sequential": engine.put_sequentially,
    "engine-random": engine.put_randomly,
    "engine-read": engine.read_pairs,
    "engine-synced": engine.put_synced,
    "mutate": metadata.mutate,
    "create-16": metadata.create_from_threads,
    "read-images": metadata.read_images,
    "content-small": content.write_small,
    "content-large": content.write_large,
    "collect-garbage": collection.collect_garbage,
    "collect-again": collection.collect_again,
    "open": collection.open_to_write,
}


def main() -> None:
    """Run what the command line names and print what it measured, as JSON."""
    name, folder, count = sys.argv[1:]
    json.dump(MEASUREMENTS[name](Path(folder), int(count)), sys.stdout)


if __name__ == "__main__":
    main()
