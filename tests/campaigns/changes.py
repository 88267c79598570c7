"""Random transactions, on a bucket and on a test's model of it."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

from real.scripts import Contents, Path

if TYPE_CHECKING:
    import random

    from orlop.kv import Bucket

KEYS = 60
NAMES = 3
DEPTH_MAX = 2
VALUE_BYTES = (0, 20, 20, 300, 300, 2000)
LARGE_BYTES = 30_000
KINDS = ("put", "delete", "delete_run", "create", "remove", "move", "count", "put_large")
WEIGHTS = (60, 20, 3, 6, 2, 4, 4, 1)


def change(root: Bucket, known: Contents, seed: random.Random, *, steps: int) -> None:
    """Make about `steps` changes, at least one, to a bucket and to its model."""
    # Always one that changes something, so that there is something to commit.
    _create(root, known, (), seed)
    root.set_sequence(known.sequence + 1)
    known.sequence += 1
    for _ in range(steps):
        paths = known.paths()
        path = seed.choice(paths)
        kind = seed.choices(KINDS, WEIGHTS)[0]
        _CHANGES[kind](root, known, path, seed)


def at(root: Bucket, path: Path) -> Bucket:
    """Return the bucket at the end of a path."""
    bucket = root
    for name in path:
        inner = bucket.bucket(name)
        assert inner is not None
        bucket = inner
    return bucket


def read(bucket: Bucket) -> Contents:
    """Read a bucket whole."""
    found = Contents(bucket.sequence)
    for key, value in bucket.items():
        if value is None:
            inner = bucket.bucket(key)
            assert inner is not None
            found.buckets[key] = read(inner)
        else:
            found.values[key] = value
    return found


def kept(known: Contents) -> Contents:
    """Return a copy of the model, independent of later changes."""
    return copy.deepcopy(known)


def _key(seed: random.Random) -> bytes:
    return b"key-%03d" % seed.randrange(KEYS)


def _put(root: Bucket, known: Contents, path: Path, seed: random.Random) -> None:
    key, value = _key(seed), seed.randbytes(seed.choice(VALUE_BYTES))
    at(root, path).put(key, value)
    known.at(path).values[key] = value


def _put_large(root: Bucket, known: Contents, path: Path, seed: random.Random) -> None:
    key, value = _key(seed), seed.randbytes(LARGE_BYTES)
    at(root, path).put(key, value)
    known.at(path).values[key] = value


def _delete(root: Bucket, known: Contents, path: Path, seed: random.Random) -> None:
    key = _key(seed)
    at(root, path).delete(key)
    known.at(path).values.pop(key, None)


def _delete_run(root: Bucket, known: Contents, path: Path, seed: random.Random) -> None:
    cursor = at(root, path).cursor()
    item = cursor.seek(_key(seed))
    for _ in range(seed.randrange(60)):
        if item is None:
            return
        if item[1] is not None:
            cursor.delete()
            del known.at(path).values[item[0]]
        item = cursor.next()


def _create(root: Bucket, known: Contents, path: Path, seed: random.Random) -> None:
    name = b"bucket-%d" % seed.randrange(NAMES)
    if len(path) < DEPTH_MAX and name not in known.at(path).buckets:
        at(root, path).create_bucket(name)
        known.at(path).buckets[name] = Contents()


def _remove(root: Bucket, known: Contents, path: Path, seed: random.Random) -> None:
    del seed
    if len(known.buckets) > 1 or len(path) > 1:
        at(root, path[:-1]).delete_bucket(path[-1])
        del known.at(path[:-1]).buckets[path[-1]]


def _move(root: Bucket, known: Contents, path: Path, seed: random.Random) -> None:
    target = seed.choice([(), *known.paths()])
    inside = target[: len(path)] == path
    if inside or path[-1] in known.at(target).buckets or len(known.buckets) < 2:
        return
    at(root, path[:-1]).move_bucket(path[-1], at(root, target))
    known.at(target).buckets[path[-1]] = known.at(path[:-1]).buckets.pop(path[-1])


def _count(root: Bucket, known: Contents, path: Path, seed: random.Random) -> None:
    del seed
    known.at(path).sequence += 1
    assert at(root, path).next_sequence() == known.at(path).sequence


_CHANGES = {
    "put": _put,
    "delete": _delete,
    "delete_run": _delete_run,
    "create": _create,
    "remove": _remove,
    "move": _move,
    "count": _count,
    "put_large": _put_large,
}
