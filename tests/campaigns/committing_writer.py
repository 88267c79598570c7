"""A process that changes leases in a database, again and again. usage: PATH COMMITS_A_SECOND"""

from __future__ import annotations

import sys
import time
from pathlib import Path

from orlop.bolt import open_engine

KEPT_LEASES = 40


def main(path: Path, rate: float) -> None:
    engine = open_engine(path, sync=False, timeout=10)
    with engine.begin() as transaction:
        schema = transaction.root.bucket(b"v1")
        assert schema is not None
        namespaces = [name for name, value in schema.items() if value is None]
    print("ready", flush=True)  # noqa: T201 (it is what the test waits for)
    number = 0
    while True:
        with engine.begin(writable=True) as transaction:
            schema = transaction.root.bucket(b"v1")
            assert schema is not None
            namespace = schema.create_bucket_if_absent(namespaces[number % len(namespaces)])
            leases = namespace.create_bucket_if_absent(b"leases")
            name = b"lease-%d" % (number % KEPT_LEASES)
            if leases.bucket(name) is not None:
                leases.delete_bucket(name)
            else:
                leases.create_bucket(name).create_bucket(b"labels").put(b"round", b"%d" % number)
        number += 1
        if rate:
            time.sleep(1 / rate)


if __name__ == "__main__":
    main(Path(sys.argv[1]), float(sys.argv[2]))
