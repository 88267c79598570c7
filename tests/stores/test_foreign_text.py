"""Text that is no UTF-8: refused where it is written, read and left where a file has it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

import orlop
from orlop.errors import InvalidArgumentError
from orlop.records import (
    Container,
    Descriptor,
    Image,
    ProtoAny,
    Runtime,
    Sandbox,
)
from orlop.schema import names

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from orlop.database import Database
    from orlop.namespace import Namespace

FOREIGN = "bad\udcff"
TARGET = Descriptor(media_type="m", digest="sha256:" + "0" * 64, size=1)
SPEC = ProtoAny(type_url="t", value=b"")
CONTAINER = Container(id="c", runtime=Runtime(name="r"), spec=SPEC)
WRITES: dict[str, Callable[[Namespace], object]] = {
    "image": lambda ns: ns.images.create(Image(name=FOREIGN, target=TARGET)),
    "label": lambda ns: ns.images.create(Image(name="i", target=TARGET, labels={"a": FOREIGN})),
    "key of a label": lambda ns: ns.images.create(
        Image(name="i", target=TARGET, labels={FOREIGN: "a"})
    ),
    "annotation": lambda ns: ns.images.create(
        Image(name="i", target=replace(TARGET, annotations={"a": FOREIGN}))
    ),
    "media type": lambda ns: ns.images.create(
        Image(name="i", target=replace(TARGET, media_type=FOREIGN))
    ),
    "lease": lambda ns: ns.leases.create(FOREIGN),
    "label of a lease": lambda ns: ns.leases.create("l", labels={"a": FOREIGN}),
    "snapshot": lambda ns: ns.snapshots("native").prepare(FOREIGN),
    "ingest": lambda ns: ns.content.writer(FOREIGN),
    "image of a container": lambda ns: ns.containers.create(replace(CONTAINER, image=FOREIGN)),
    "sandboxer": lambda ns: ns.sandboxes.create(
        Sandbox(id="s", runtime=Runtime(name="r"), sandboxer=FOREIGN)
    ),
}


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    with orlop.open(tmp_path / "root") as found:
        yield found


@pytest.mark.parametrize("what", WRITES)
def test_text_that_is_no_utf8_is_refused_before_anything_is_written(
    database: Database, what: str
) -> None:
    namespace = database.namespace("default")
    before = database.path.read_bytes()

    with pytest.raises(InvalidArgumentError, match="no UTF-8"):
        WRITES[what](namespace)

    assert database.path.read_bytes() == before


def test_what_a_file_has_is_read_and_may_stay(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = database.namespace("default").images
    with monkeypatch.context() as patch:
        patch.setattr("orlop.stores.images.check_key", names.check_key)
        patch.setattr("orlop.stores.images.check_labels", lambda *_: None)
        images.create(Image(name=FOREIGN, target=TARGET, labels={"a": FOREIGN}))

    assert images.get(FOREIGN).labels == {"a": FOREIGN}
    assert images.update(images.get(FOREIGN), labels={"b": "c"}).labels == {"a": FOREIGN, "b": "c"}
    with pytest.raises(InvalidArgumentError, match="no UTF-8"):
        images.update(images.get(FOREIGN), labels={"b": FOREIGN})
    images.delete(FOREIGN)
