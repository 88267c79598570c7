"""Cases of upstream's TestImagesCreateUpdateDelete on effects and refusals of updates."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import pytest

from orlop import Descriptor, Image
from orlop.errors import InvalidArgumentError, NotFoundError

if TYPE_CHECKING:
    from orlop import Namespace

TARGET = Descriptor(
    media_type="first", digest=f"sha256:{'a' * 64}", size=10, annotations={"k": "v", "l": "w"}
)
START = Image(name="img", target=TARGET, labels={"x": "1", "y": "2"})
OTHER = Descriptor(
    media_type="second", digest=f"sha256:{'b' * 64}", size=20, annotations={"other": "1"}
)


def test_replace_labels(ns: Namespace) -> None:
    ns.images.create(START)
    updated = ns.images.update(dataclasses.replace(START, labels={"z": "3"}))
    assert (updated.labels, updated.target) == ({"z": "3"}, TARGET)
    assert ns.images.get("img") == updated


def test_replace_target_type_and_annotations(ns: Namespace) -> None:
    ns.images.create(START)
    changed = dataclasses.replace(TARGET, media_type="second", annotations={"other": "1"})
    updated = ns.images.update(Image(name="img", target=changed, labels={"z": "3"}), ["target"])
    assert (updated.labels, updated.target) == (START.labels, changed)
    assert ns.images.get("img") == updated


@pytest.mark.parametrize(
    "paths", [("target",), ()], ids=["ReplaceTargetFieldpath", "ReplaceTarget"]
)
def test_an_image_is_not_deleted_with_its_old_target(ns: Namespace, paths: tuple[str, ...]) -> None:
    ns.images.create(START)
    updated = ns.images.update(Image(name="img", target=OTHER), paths)
    assert updated.target == OTHER
    assert updated.labels == (START.labels if paths else {})
    with pytest.raises(NotFoundError):
        ns.images.delete("img", TARGET)
    ns.images.delete("img", OTHER)


@pytest.mark.parametrize(
    "bad",
    [
        pytest.param(dataclasses.replace(TARGET, size=0), id="EmptySize"),
        pytest.param(dataclasses.replace(TARGET, media_type=""), id="EmptyMediaType"),
    ],
)
@pytest.mark.parametrize("paths", [(), ("target",)], ids=["full", "masked"])
def test_an_update_is_validated(ns: Namespace, bad: Descriptor, paths: tuple[str, ...]) -> None:
    created = ns.images.create(START)
    with pytest.raises(InvalidArgumentError):
        ns.images.update(dataclasses.replace(START, target=bad), paths)
    assert ns.images.get("img") == created
