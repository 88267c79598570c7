"""A filter selects the same records before and after they are decoded."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orlop import filters
from orlop.errors import DataLossError
from orlop.records import ProtoAny
from orlop.schema import containers, content, images, sandboxes
from orlop.schema.codec.encoding import encode_any
from orlop.stores import filter_fields

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from orlop.kv import Bucket, Tree

TEXTS = ["", "a", "b", "ab", "a.b", "\u00e9", "\udcff", "x y"]
STORED = st.sampled_from([text.encode(errors="surrogateescape") for text in TEXTS])
MAP: st.SearchStrategy[Tree] = st.dictionaries(STORED.filter(bool), STORED | st.builds(dict))
RECORDS: st.SearchStrategy[Tree] = st.fixed_dictionaries(
    {},
    optional={
        b"labels": MAP | STORED,
        b"annotations": MAP | STORED,
        b"image": MAP | STORED,
        b"target": MAP | st.dictionaries(st.sampled_from([b"digest", b"mediatype"]), STORED),
        b"runtime": MAP | st.dictionaries(st.just(b"name"), STORED),
        b"size": STORED,
    },
)
SHELVES = st.dictionaries(STORED.filter(bool), RECORDS, max_size=5)
FIELDS = [
    "name", "id", "digest", "image", "target", "runtime", "labels", "annotations", "mediatype",
    "size", "a", "b",
]  # fmt: skip


def quoted(text: str) -> str:
    """Return a text in a filter's syntax, with bytes that are no UTF-8 escaped."""
    return '"' + text.replace("\udcff", "\\xff") + '"'


PATHS = st.lists(
    st.sampled_from(FIELDS) | st.sampled_from(TEXTS).map(quoted), min_size=1, max_size=3
).map(".".join)
SELECTORS = st.builds(
    str.__add__,
    PATHS,
    st.just("")
    | st.builds(
        str.__add__, st.sampled_from(["==", "!=", "~="]), st.sampled_from(TEXTS).map(quoted)
    ),
)
EXPRESSIONS = st.lists(
    st.lists(SELECTORS, min_size=1, max_size=3).map(",".join) | st.just(""), max_size=3
)


class Shelf:
    """A bucket of records that is only asked for all of them."""

    def __init__(self, records: Mapping[bytes, Tree]) -> None:
        self._records = records

    def trees(self, start: bytes = b"") -> Iterator[tuple[bytes, Tree]]:
        assert not start
        return iter(self._records.items())


class ReadAll(Protocol):
    def __call__(self, bucket: Bucket | None, /, *arguments: Any) -> list[Any]: ...


def attributes(record: Any, *paths: str) -> dict[tuple[str, ...], str]:
    """Return the fields at dotted paths of attributes, by those without underscores."""
    found = {}
    for path in paths:
        value = record
        for name in path.split("."):
            value = getattr(value, name)
        found[tuple(path.replace("_", "").split("."))] = value
    return found


def adaptor_of(texts: Mapping[tuple[str, ...], str], maps: Mapping[str, Any]) -> filters.Adaptor:
    """Return an adaptor with the fields that containerd's adaptors have."""

    def look_up(path: Sequence[str]) -> tuple[str, bool]:
        if path[0] in maps:
            key = ".".join(path[1:])
            return maps[path[0]].get(key, ""), key in maps[path[0]]
        for known, text in texts.items():
            if tuple(path[: len(known)]) == known:
                return text, bool(text)
        return "", False

    return look_up


def of_image(one: Any) -> filters.Adaptor:
    return adaptor_of(
        attributes(one, "name", "target.digest", "target.media_type"),
        {"labels": one.labels, "annotations": one.target.annotations},
    )


def of_container(one: Any) -> filters.Adaptor:
    return adaptor_of(attributes(one, "id", "runtime.name", "image"), {"labels": one.labels})


def of_sandbox(one: Any) -> filters.Adaptor:
    return adaptor_of(attributes(one, "id"), {"labels": one.labels})


def of_content(one: Any) -> filters.Adaptor:
    return adaptor_of(attributes(one, "digest"), {"labels": one.labels})


def read_blobs(bucket: Bucket | None, *wanted: Any) -> list[Any]:
    return content.read_all(bucket, lambda _: True, *wanted)


KINDS: dict[str, tuple[ReadAll, filter_fields.FilterFields, Callable[[Any], filters.Adaptor]]] = {
    "images": (images.read_all, filter_fields.IMAGE, of_image),
    "containers": (containers.read_all, filter_fields.CONTAINER, of_container),
    "sandboxes": (sandboxes.read_all, filter_fields.SANDBOX, of_sandbox),
    "content": (read_blobs, filter_fields.CONTENT, of_content),
}


@pytest.mark.parametrize("kind", KINDS)
@given(records=SHELVES, expressions=EXPRESSIONS)
def test_the_same_is_chosen_as_among_records(
    kind: str, records: dict[bytes, Tree], expressions: list[str]
) -> None:
    read_all, stored, adaptor = KINDS[kind]
    bucket = cast("Bucket", Shelf(records))
    wanted = filters.parse(expressions)

    assert read_all(bucket, stored.wanted(expressions)) == [
        one for one in read_all(bucket) if wanted.matches(adaptor(one))
    ]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("damage", [b"createdat", b"updatedat"])
def test_a_damaged_record_is_told_of_even_if_it_is_not_wanted(kind: str, damage: bytes) -> None:
    read_all, stored, _ = KINDS[kind]
    bucket = cast("Bucket", Shelf({b"sound": {}, b"damaged": {damage: b"\x01short"}}))

    with pytest.raises(DataLossError, match=damage.decode()):
        read_all(bucket, stored.wanted(["labels.no==label"]))


@pytest.mark.parametrize("kind", ["containers", "sandboxes"])
@pytest.mark.parametrize(
    "damage",
    [
        {b"spec": b"\xff"},
        {b"spec": encode_any(ProtoAny("type", b"1"))[:-1]},
        {b"extensions": {b"spec": b"\xff"}},
    ],
)
def test_a_damaged_envelope_is_told_of_even_if_it_is_not_wanted(kind: str, damage: Tree) -> None:
    read_all, stored, _ = KINDS[kind]
    bucket = cast("Bucket", Shelf({b"damaged": damage}))

    with pytest.raises(DataLossError, match="spec"):
        read_all(bucket, stored.wanted(["labels.no==label"]))
