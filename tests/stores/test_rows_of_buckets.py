"""Details of the stored format of records that no method of a store shows."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from orlop import Container, Descriptor, Image, ProtoAny, Runtime
from schema.planting import branch, plant, tree
from stores.blobs import digest_of

if TYPE_CHECKING:
    from orlop import Namespace
    from schema.planting import Tree

DIGEST = digest_of(b"data")
IMAGE = Image(name="i", target=Descriptor(media_type="m", digest=DIGEST, size=4))
CONTAINER = Container(
    id="c",
    runtime=Runtime(name="runc", options=ProtoAny("options", b"1")),
    spec=ProtoAny("spec", b"{}"),
)


def stored(ns: Namespace, *path: str) -> Tree:
    with ns.environment.transactions.view() as transaction:
        return branch(tree(transaction.root), "v1", ns.name, *path)


def add(ns: Namespace, contents: bytes | Tree, *path: str) -> None:
    """Put `contents` under `path` in a namespace, as another program could."""
    for name in reversed(("v1", ns.name, *path)):
        contents = {name: contents}
    assert isinstance(contents, dict)
    with ns.environment.transactions.update() as update:
        plant(update.transaction.root, contents)


def test_what_else_a_target_may_have_is_kept_where_it_is_and_not_shown(ns: Namespace) -> None:
    ns.images.create(IMAGE)
    add(ns, b"https://example.org", "images", "i", "target", "urls")

    updated = ns.images.update(dataclasses.replace(IMAGE, labels={"a": "b"}))

    assert updated.target == IMAGE.target
    assert stored(ns, "images", "i", "target")["urls"] == b"https://example.org"


def test_an_extension_that_is_gone_from_the_answer_stays_in_the_file(ns: Namespace) -> None:
    two = {"a": ProtoAny("t", b"1"), "b": ProtoAny("t", b"2")}
    one = {"a": ProtoAny("t", b"3")}
    ns.containers.create(dataclasses.replace(CONTAINER, extensions=two))

    updated = ns.containers.update(dataclasses.replace(CONTAINER, extensions=one), ("extensions",))

    assert updated.extensions == one
    assert ns.containers.get("c").extensions == {**two, **one}


def test_every_text_of_a_container_is_written_even_if_empty(ns: Namespace) -> None:
    ns.containers.create(CONTAINER)

    container = stored(ns, "containers", "c")

    assert [container[key] for key in ("image", "sandboxid", "snapshotKey", "snapshotter")] == [
        b""
    ] * 4


def test_a_map_of_only_empty_values_leaves_an_empty_bucket(ns: Namespace) -> None:
    created = ns.images.create(dataclasses.replace(IMAGE, labels={"a": ""}))

    assert created.labels == {}
    assert stored(ns, "images", "i")["labels"] == {}
    ns.images.update(dataclasses.replace(IMAGE, labels={}))
    assert "labels" not in stored(ns, "images", "i")
