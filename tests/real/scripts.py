"""Random scripts of key-value operations, each a function of its seed.

A script knows what it has built (`Contents`), so that most of its operations hit something:
it deletes keys that are there, opens buckets that exist, and errs on purpose now and then.
What it knows is also a third opinion on what the file must hold at the end.
"""

from __future__ import annotations

import copy
import random
from bisect import bisect_left
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

Path = tuple[bytes, ...]

KEY_BYTES_MAX = 3000
VALUE_BYTES_MAX = 20_000
DEPTH_MAX = 4
OPERATIONS_PER_TRANSACTION_MAX = 160
TRANSACTIONS_PER_PHASE = 14
ROLLBACKS = 0.08
REOPENS = 0.12
MISTAKES = 0.03
KINDS = ("put", "delete", "create", "sequence", "get", "bulk", "remove")
PHASES = {
    "grow": (90, 4, 1.0, 2, 2, 0.0, 0.05),
    "mixed": (56, 38, 1.0, 2, 2, 0.1, 0.1),
    "shrink": (15, 75, 0.5, 2, 2, 1.0, 0.4),
}
"""How likely each of `KINDS` is: the tree grows, churns, and shrinks so that nodes merge."""


@dataclass(frozen=True, slots=True)
class Operation:
    """One step of a script; `path` names the bucket, from the root inwards."""

    kind: str
    path: Path = ()
    key: bytes = b""
    value: bytes = b""
    sequence: int = 0

    def as_json(self) -> dict[str, Any]:
        """Return the step as the oracle reads it."""
        return {
            "op": self.kind,
            "path": [name.hex() for name in self.path],
            "key": self.key.hex(),
            "value": self.value.hex(),
            "sequence": self.sequence,
        }


@dataclass(slots=True)
class Contents:
    """A bucket as a script knows it."""

    sequence: int = 0
    values: dict[bytes, bytes] = field(default_factory=dict)
    buckets: dict[bytes, Contents] = field(default_factory=dict)

    def dump(self) -> dict[str, Any]:
        """Return the canonical dump, as of `orlop db dump --json`."""
        items: list[dict[str, Any]] = []
        for key in sorted([*self.values, *self.buckets]):
            inner = self.buckets.get(key)
            one = {"value": self.values[key].hex()} if inner is None else {"bucket": inner.dump()}
            items.append({"key": key.hex(), **one})
        return {"sequence": self.sequence, "items": items}

    def paths(self, above: Path = ()) -> list[Path]:
        """Return the path of every bucket inside, outer ones first."""
        found: list[Path] = []
        for name in sorted(self.buckets):
            found.append((*above, name))
            found += self.buckets[name].paths((*above, name))
        return found

    def at(self, path: Path) -> Contents:
        """Return the bucket at the end of a path."""
        return self.buckets[path[0]].at(path[1:]) if path else self


class Script:
    """A script of `operations` steps, whole transactions, with a reopen now and then."""

    def __init__(self, seed: int, operations: int) -> None:
        self._random = random.Random(seed)
        self._operations = operations
        self._counter = 0
        self.contents = Contents()

    def __iter__(self) -> Iterator[Operation]:
        done = transactions = 0
        while done < self._operations:
            phase = list(PHASES)[(transactions // TRANSACTIONS_PER_PHASE) % len(PHASES)]
            before = copy.deepcopy(self.contents)
            yield Operation("begin")
            for _ in range(self._random.randrange(1, OPERATIONS_PER_TRANSACTION_MAX)):
                for operation in self._step(phase):
                    yield operation
                    done += 1
            if self._random.random() < ROLLBACKS:
                self.contents = before
                yield Operation("rollback")
            else:
                yield Operation("commit")
            transactions += 1
            if self._random.random() < REOPENS:
                yield Operation("reopen")

    def _step(self, phase: str) -> list[Operation]:
        paths = self.contents.paths()
        if not paths or self._random.random() < 0.002:
            return [self._create_bucket(())]
        # Most of the work goes to a few buckets: only a bucket of many keys has branches.
        weights = [1 / (1 + place) ** 1.7 for place in range(len(paths))]
        path = self._random.choices(paths, weights)[0]
        if self._random.random() < MISTAKES:
            return [self._mistake(path)]
        kind = self._random.choices(KINDS, PHASES[phase])[0]
        if kind == "bulk":
            return self._delete_many(path)
        if kind == "create" and len(path) >= DEPTH_MAX:
            kind = "put"
        return [getattr(self, f"_{_STEPS[kind]}")(path)]

    def _put(self, path: Path) -> Operation:
        bucket = self.contents.at(path)
        key = self._old_key(bucket) if self._random.random() < 0.2 else self._new_key(bucket)
        if key is None or key in bucket.buckets:
            key = self._new_key(bucket)
        bucket.values[key] = value = self._value()
        return Operation("put", path, key, value)

    def _delete(self, path: Path) -> Operation:
        bucket = self.contents.at(path)
        # A key that is not there is no mistake: the engine takes it without a word.
        key = self._old_key(bucket) or self._new_key(bucket)
        bucket.values.pop(key, None)
        return Operation("delete", path, key)

    def _delete_many(self, path: Path) -> list[Operation]:
        """Delete a run of neighbours, so that whole pages empty and nodes merge."""
        bucket = self.contents.at(path)
        keys = sorted(bucket.values)
        if not keys:
            return [self._delete(path)]
        start = self._random.randrange(len(keys))
        victims = keys[start : start + self._random.randrange(1, len(keys) + 1)]
        for key in victims:
            del bucket.values[key]
        return [Operation("delete", path, key) for key in victims]

    def _get(self, path: Path) -> Operation:
        bucket = self.contents.at(path)
        return Operation("get", path, self._old_key(bucket) or self._new_key(bucket))

    def _create_bucket(self, path: Path) -> Operation:
        bucket = self.contents.at(path)
        name = self._new_key(bucket)
        bucket.buckets[name] = Contents()
        return Operation("create_bucket", path, name)

    def _delete_bucket(self, path: Path) -> Operation:
        if len(self.contents.paths(())) < 4:
            return self._create_bucket(path)
        del self.contents.at(path[:-1]).buckets[path[-1]]
        return Operation("delete_bucket", path[:-1], path[-1])

    def _change_sequence(self, path: Path) -> Operation:
        bucket = self.contents.at(path)
        if self._random.random() < 0.8 and bucket.sequence < 2**64 - 1:
            bucket.sequence += 1
            return Operation("next_sequence", path)
        bucket.sequence = self._random.choice((0, 1, 2**32, 2**63, 2**64 - 2))
        return Operation("set_sequence", path, sequence=bucket.sequence)

    def _mistake(self, path: Path) -> Operation:
        """Make calls that both sides must refuse with the same error."""
        outer, name, inner = path[:-1], path[-1], self.contents.at(path)
        plain = self._old_key(inner)
        choices = [
            Operation("create_bucket", outer, name),
            Operation("delete_bucket", path, self._new_key(inner)),
            Operation("create_bucket", path, b""),
            Operation("put", path, b"", b"no key"),
            Operation("put", path, b"k" * 32_769, b"key too large"),
            Operation("put", (*path, self._new_key(inner)), b"key", b"no such bucket"),
        ]
        if outer:
            choices += [Operation("put", outer, name, b"a value"), Operation("delete", outer, name)]
        if plain is not None:
            choices += [
                Operation("create_bucket", path, plain),
                Operation("delete_bucket", path, plain),
            ]
        return self._random.choice(choices)

    def _old_key(self, bucket: Contents) -> bytes | None:
        if not bucket.values:
            return None
        if self._random.random() < 0.9:
            return self._random.choice(list(bucket.values))
        # The neighbour of some place: a run of these walks along the edges of pages.
        keys = sorted(bucket.values)
        return keys[min(bisect_left(keys, self._random.randbytes(4)), len(keys) - 1)]

    def _new_key(self, bucket: Contents) -> bytes:
        while True:
            self._counter += 1
            counted = self._counter.to_bytes(8, "big")
            shape = self._random.choices(range(5), (30, 40, 15, 10, 5))[0]
            key = (
                counted,
                self._random.randbytes(self._random.randrange(1, 24)),
                b"sha256:" + self._random.randbytes(32).hex().encode(),
                b"a shared prefix, " * self._random.randrange(1, 12) + counted,
                self._random.randbytes(self._random.randrange(300, KEY_BYTES_MAX)),
            )[shape]
            if key not in bucket.values and key not in bucket.buckets:
                return key

    def _value(self) -> bytes:
        low, high = self._random.choices(
            ((0, 1), (1, 40), (40, 400), (400, 5000), (5000, VALUE_BYTES_MAX)), (15, 45, 32, 6, 2)
        )[0]
        return self._random.randbytes(self._random.randrange(low, high))


_STEPS = {
    "put": "put",
    "delete": "delete",
    "create": "create_bucket",
    "remove": "delete_bucket",
    "sequence": "change_sequence",
    "get": "get",
}
