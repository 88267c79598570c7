"""The page of the rules, made from the table that the collector itself reads.

`make docs` writes it.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Final

from orlop import labels
from orlop.gc.node import SWEPT
from orlop.gc.rules import FIELD_RULES, LABEL_RULES, ROOTS_BY_TYPE, Effect, Tail

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from orlop.gc.rules import LabelRule

_HEADING: Final = """\
# What holds what

Made by `make docs` from the table that the collector reads (`src/orlop/gc/rules.py`): change
that, not this page. `orlop why REF` names the rules by which something is held, and
`orlop referrers REF` all that refer to it.

A record stays if it is a root, or if something that stays refers to it. All references are within
one namespace. What refers to each other, but is reached from no root, goes. A collection removes
records of these types: {swept}. It never removes containers and
sandboxes. A reference to what does not exist holds that name: what is made under it later is held
at once. `orlop roots --dangling` lists such references.
"""

_FLAT: Final = """\
## Flat

A lease with the label `{flat}` holds what it names, but not what that
refers to, except by the fields that say so above: from an image it reaches the target, and from a
snapshot its parents. What is held flat by one and whole by another is held whole.
"""

_TIME: Final = """\
## Time

- `{expire}` has a time in RFC 3339. After it, a lease is removed and holds
  nothing, and an image is no root any more. What cannot be read as a time never expires. An ingest
  that was opened without a lease has an expiry of its own, a day later.
- `{condition}SNAPSHOTTER` has a value like `usedat<72h|KEY`: the record
  refers to that snapshot while it was used less than 72 hours ago (`usedat>72h`: more). Several
  conditions are separated by commas, and one that holds is enough. When the snapshot was used
  last, its label `{used_at}` says, in RFC 3339; a snapshot without
  it meets no condition. What cannot be understood means nothing.
"""

_OPTIONAL: Final = """\
`[…]` may be missing; `…` is anything, so that several such labels may stand on one record.
"""

_TAILS: Final = {
    Tail.NOTHING: "",
    Tail.ANYTHING: "…",
    Tail.SEPARATED: "[.…]",
    Tail.SNAPSHOTTER: "SNAPSHOTTER[/…]",
    Tail.LOOSE_SNAPSHOTTER: ".SNAPSHOTTER[/…]",
}


def page() -> str:
    """Return the page as Markdown."""
    swept = ", ".join(f"`{one}`" for one in sorted(SWEPT))
    parts = [
        _HEADING.format(swept=swept),
        "## Roots\n",
        *_table(("what", "is a root"), _roots()),
        "\n## Fields\n",
        *_table(("record", "field", "refers to", "also where it is held flat"), _fields()),
        "\n## Labels\n",
        _OPTIONAL,
        *_table(("label", "on", "what it does"), _labels()),
        "",
        _FLAT.format(flat=labels.GC_FLAT),
        _TIME.format(
            expire=labels.GC_EXPIRE,
            condition=labels.GC_COND_SNAPSHOT,
            used_at=labels.GC_COND_VALUE_USED_AT,
        ),
    ]
    return "\n".join(parts)


def _roots() -> Iterator[tuple[str, ...]]:
    for kind, words in sorted(ROOTS_BY_TYPE.items()):
        yield f"`{kind}`", words
    for rule in LABEL_RULES:
        if rule.effect is Effect.ROOT:
            yield _types(rule.on), f"with a label `{_name(rule)}`, whatever its value"


def _fields() -> Iterator[tuple[str, ...]]:
    for rule in FIELD_RULES:
        flat = "yes" if rule.follows_flat else "no"
        yield f"`{rule.on}`", f"`{rule.name}`", f"`{rule.target}`", flat


def _labels() -> Iterator[tuple[str, ...]]:
    for rule in LABEL_RULES:
        yield f"`{_name(rule)}`", _types(rule.on), _effect(rule)


def _effect(rule: LabelRule) -> str:
    return rule.effect.value.replace(
        "what the value names", f"the `{rule.target}` that the value names"
    )


def _name(rule: LabelRule) -> str:
    return f"{rule.name}{_TAILS[rule.tail]}"


def _types(types: Iterable[str]) -> str:
    return ", ".join(f"`{one}`" for one in sorted(types))


def _table(columns: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> Iterator[str]:
    yield _row(columns)
    yield _row("---" for _ in columns)
    yield from map(_row, rows)


def _row(cells: Iterable[str]) -> str:
    escaped = (cell.replace("|", "\\|") for cell in cells)
    return f"| {' | '.join(escaped)} |"


if __name__ == "__main__":
    sys.stdout.write(page())
