"""Images; the cases that upstream has too carry its names (TestImagesList, ...)."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import pytest
from whenever import Instant

from orlop.errors import AlreadyExistsError, InvalidArgumentError, NotFoundError
from orlop.records import Descriptor, Image, LeaseResource
from orlop.schema import images

if TYPE_CHECKING:
    from orlop import Database, Namespace
    from orlop.events import Event
    from stores.moments import StandingClock

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
DIGEST = "sha256:" + "a" * 64
OTHER_DIGEST = "sha256:" + "b" * 64
EXPIRE = "containerd.io/gc.expire"


def descriptor(
    digest: str = DIGEST, *, size: int = 10, media_type: str = MANIFEST, **annotations: str
) -> Descriptor:
    return Descriptor(media_type=media_type, digest=digest, size=size, annotations=annotations)


def image(name: str = "img", target: Descriptor | None = None, **labels: str) -> Image:
    return Image(name=name, target=target or descriptor(), labels=labels)


@pytest.fixture
def four(ns: Namespace) -> Namespace:
    for number in range(4):
        kind = "odd" if number % 2 else "even"
        media = MANIFEST if number % 2 else "application/vnd.docker.image"
        ns.images.create(
            image(f"image-{number}", descriptor(media_type=media), **{kind: "true", "n": "x"})
        )
    return ns


@pytest.mark.parametrize(
    ("filters", "numbers"),
    [
        pytest.param([], "0123", id="FullSet"),
        pytest.param(["labels.even==true", "labels.odd==true"], "0123", id="FullSetFiltered"),
        pytest.param(["labels.even==true"], "02", id="Even"),
        pytest.param(["labels.odd==true"], "13", id="Odd"),
        pytest.param(["name==image-0"], "0", id="ByName"),
        pytest.param(["name==image-0,labels.even==true"], "0", id="ByNameLabelEven"),
        pytest.param(["name==image-0,labels.odd==true"], "", id="ByNameLabelOdd"),
        pytest.param([r"target.mediatype~=docker"], "02", id="ByMediaType"),
        pytest.param([f"target.digest=={DIGEST}"], "0123", id="ByDigest"),
        pytest.param(["annotations.a"], "", id="ByAnnotation"),
        pytest.param(["target"], "", id="target alone is no field"),
    ],
)
def test_images_list(four: Namespace, filters: list[str], numbers: str) -> None:
    assert [one.name for one in four.images.list(*filters)] == [f"image-{n}" for n in numbers]


def test_images_list_then_deletes(four: Namespace) -> None:
    for one in four.images.list():
        four.images.delete(one.name)
        with pytest.raises(NotFoundError):
            four.images.delete(one.name)
    assert four.images.list() == []


@pytest.mark.parametrize(
    ("expression", "found"),
    [
        ("annotations.a", ["one", "two"]),
        ("annotations.a==2", ["two"]),
        ('annotations."org.example/b.c"~=^x', ["one"]),
        ("annotations.a!=1", ["none", "two"]),
        ("annotations", []),
        ("target.annotations.a", []),
        ("target.size==10", []),
    ],
)
def test_images_are_found_by_annotations(ns: Namespace, expression: str, found: list[str]) -> None:
    ns.images.create(image("none", a="1"))
    annotations = {"a": "1", "org.example/b.c": "xy"}
    ns.images.create(image("one", dataclasses.replace(descriptor(), annotations=annotations)))
    ns.images.create(image("two", descriptor(a="2")))

    assert [one.name for one in ns.images.list(expression)] == found


def test_of_a_target_three_fields_and_the_annotations_are_stored(ns: Namespace) -> None:
    """An index says urls, platform, data and artifactType too: they are not stored."""
    ns.images.create(image(target=descriptor(a="1"), x="y"))

    with ns.environment.transactions.view() as transaction:
        bucket = images.find(transaction, "testing")
        stored = None if bucket is None else bucket.bucket(b"img")
        assert stored is not None
        target = stored.bucket(b"target")
        assert target is not None
        assert [key for key, _ in stored.items()] == [
            *(b"annotations", b"createdat", b"labels", b"target", b"updatedat")
        ]
        assert [key for key, _ in target.items()] == [b"digest", b"mediatype", b"size"]


def test_a_list_with_a_bad_filter_is_refused(ns: Namespace) -> None:
    with pytest.raises(InvalidArgumentError):
        ns.images.list("name==")


START = Image(
    name="img",
    target=descriptor(a="1", b="2"),
    labels={"x": "1", "y": "2"},
)
NEW_TARGET = Descriptor(media_type="new", digest=OTHER_DIGEST, size=20, annotations={"c": "3"})
INPUT = Image(name="img", target=NEW_TARGET, labels={"x": "9", "z": "3"})


@pytest.mark.parametrize(
    ("paths", "expected"),
    [
        pytest.param((), INPUT, id="ReplaceTarget"),
        pytest.param(
            ("labels",),
            dataclasses.replace(START, labels=INPUT.labels),
            id="ReplaceLabelsFieldPath",
        ),
        pytest.param(
            ("labels", "annotations"),
            Image(name="img", labels=INPUT.labels, target=descriptor(c="3")),
            id="ReplaceLabelsAnnotationsFieldPath",
        ),
        pytest.param(
            ("labels.x",),
            dataclasses.replace(START, labels={"x": "9", "y": "2"}),
            id="ReplaceLabel",
        ),
        pytest.param(
            ("labels.y",),
            dataclasses.replace(START, labels={"x": "1"}),
            id="a label that is not given is removed",
        ),
        pytest.param(
            ("annotations.c",),
            dataclasses.replace(START, target=descriptor(a="1", b="2", c="3")),
            id="ReplaceAnnotation",
        ),
        pytest.param(
            ("target",),
            dataclasses.replace(START, target=NEW_TARGET),
            id="ReplaceTargetFieldpath",
        ),
        pytest.param(
            ("target", "annotations.b"),
            dataclasses.replace(START, target=NEW_TARGET),
            id="paths are applied in order",
        ),
    ],
)
def test_images_update(
    ns: Namespace, clock: StandingClock, paths: tuple[str, ...], expected: Image
) -> None:
    created = ns.images.create(START)
    later = clock.advance(seconds=5)

    updated = ns.images.update(INPUT, paths)

    assert updated == dataclasses.replace(expected, created_at=created.created_at, updated_at=later)
    assert ns.images.get("img") == updated


@pytest.mark.parametrize("path", ["name", "target.digest", "createdat", "", "Labels"])
def test_other_paths_are_refused(ns: Namespace, path: str) -> None:
    ns.images.create(START)

    with pytest.raises(InvalidArgumentError, match="cannot update"):
        ns.images.update(INPUT, (path,))
    assert ns.images.get("img").labels == START.labels


def test_label_keys_may_hold_dots_and_slashes(ns: Namespace) -> None:
    ns.images.create(image())
    key = "containerd.io/gc.ref.content.0"

    ns.images.update(dataclasses.replace(image(), labels={key: "v"}), (f"labels.{key}",))

    assert ns.images.get("img").labels == {key: "v"}


def test_touch(ns: Namespace, clock: StandingClock) -> None:
    ns.images.create(START)
    clock.advance(seconds=1)

    updated = ns.images.update(dataclasses.replace(START, target=descriptor(a="1")))

    assert updated.labels == START.labels
    assert updated.target.annotations == {"a": "1"}


@pytest.mark.parametrize(
    "bad",
    [
        pytest.param(image(target=descriptor(size=0)), id="EmptySizeOnCreate"),
        pytest.param(image(target=descriptor(size=-1)), id="negative size"),
        pytest.param(image(target=descriptor(size=2**63)), id="size beyond 64 bits"),
        pytest.param(image(target=descriptor(media_type="")), id="EmptyMediaType"),
        pytest.param(image(target=descriptor("")), id="NoTarget"),
        pytest.param(image(target=descriptor("sha256:A")), id="no digest"),
        pytest.param(image(name=""), id="no name"),
        pytest.param(image(name="x" * 32_769), id="a name longer than the file takes"),
        pytest.param(image(name="\ud800"), id="a name that is no text"),
        pytest.param(image(k="v" * 4096), id="a label too long"),
        pytest.param(dataclasses.replace(image(), labels={"": "v"}), id="an empty label key"),
        pytest.param(
            image(target=dataclasses.replace(descriptor(), annotations={"": "v"})),
            id="an empty annotation key",
        ),
    ],
)
def test_what_is_invalid_is_refused_and_writes_nothing(ns: Namespace, bad: Image) -> None:
    with ns.environment.transactions.update():
        with pytest.raises(InvalidArgumentError):
            ns.images.create(bad)
        ns.images.create(image("good"))
        with pytest.raises((InvalidArgumentError, NotFoundError)):
            ns.images.update(bad if bad.name != "img" else dataclasses.replace(bad, name="good"))

    assert [(one.name, one.labels) for one in ns.images.list()] == [("good", {})]


def test_try_update_name_fail(ns: Namespace) -> None:
    with pytest.raises(NotFoundError):
        ns.images.update(image("unknown"))


def test_create_sets_the_times_itself(ns: Namespace, clock: StandingClock) -> None:
    given = dataclasses.replace(image(), created_at=Instant.from_utc(1999, 1, 1))

    created = ns.images.create(given)

    assert (created.created_at, created.updated_at) == (clock.now(), clock.now())
    with pytest.raises(AlreadyExistsError, match="img"):
        ns.images.create(image())


def test_a_source_date_takes_the_place_of_now(ns: Namespace, clock: StandingClock) -> None:
    epoch, later = Instant.from_utc(2020, 1, 1), Instant.from_utc(2021, 1, 1)

    created = ns.images.create(image(), source_date=epoch)
    updated = ns.images.update(image(a="b"), source_date=later)

    assert (created.created_at, created.updated_at) == (epoch, epoch)
    assert (updated.created_at, updated.updated_at) == (epoch, later)
    assert clock.now() != later


def test_labels_for_short(ns: Namespace) -> None:
    ns.images.create(image(a="1", b="2"))

    ns.images.update(image(), labels={"a": "", "c": "3"})
    assert ns.images.get("img").labels == {"b": "2", "c": "3"}
    ns.images.update(image(), labels={})
    assert ns.images.get("img").labels == {"b": "2", "c": "3"}


def test_empty_labels_are_dropped_from_what_is_returned(ns: Namespace) -> None:
    created = ns.images.create(image(a="1", b=""))

    assert created.labels == {"a": "1"}
    assert ns.images.get("img") == created


def test_delete_checks_the_target(ns: Namespace) -> None:
    ns.images.create(image())

    with pytest.raises(NotFoundError, match=DIGEST):
        ns.images.delete("img", descriptor(OTHER_DIGEST))
    ns.images.delete("img", descriptor(DIGEST))
    with pytest.raises(NotFoundError):
        ns.images.get("img")


def test_only_an_image_that_expires_is_leased(ns: Namespace) -> None:
    lease = ns.leases.create("l")
    with ns.using_lease("l"):
        ns.images.create(image("plain"))
        ns.images.create(dataclasses.replace(image("expiring"), labels={EXPIRE: "x"}))
        ns.images.create(image("later"))
        ns.images.update(image("later"), labels={EXPIRE: "x"})
    assert ns.leases.resources(lease.id) == [
        LeaseResource(id="expiring", type="images"),
        LeaseResource(id="later", type="images"),
    ]

    ns.images.delete("later")
    assert len(ns.leases.resources(lease.id)) == 2, "only the lease in force lets go"
    with ns.using_lease("l"):
        ns.images.delete("expiring")
    assert [one.id for one in ns.leases.resources("l")] == ["later"]


def test_a_lease_that_does_not_exist(ns: Namespace) -> None:
    with ns.using_lease("gone"):
        ns.images.create(image("plain"))
        with pytest.raises(NotFoundError, match="lease"):
            ns.images.create(dataclasses.replace(image(), labels={EXPIRE: "x"}))
        with pytest.raises(NotFoundError, match="lease"):
            ns.images.update(image("plain"), labels={EXPIRE: "x"})
        ns.images.delete("plain")
    assert ns.images.list() == []


def test_an_image_that_exists_is_not_leased(ns: Namespace) -> None:
    expiring = dataclasses.replace(image(), labels={EXPIRE: "x"})
    ns.images.create(expiring)
    ns.leases.create("l")

    with ns.using_lease("l"), pytest.raises(AlreadyExistsError):
        ns.images.create(expiring)
    assert ns.leases.resources("l") == []


def test_events(ns: Namespace, events: list[Event]) -> None:
    ns.images.create(image(a="b"))
    ns.images.update(image(a="c"))
    ns.images.delete("img")

    assert [(one.topic, dict(one.fields)) for one in events] == [
        ("/images/create", {"name": "img", "labels": {"a": "b"}}),
        ("/images/update", {"name": "img", "labels": {"a": "c"}}),
        ("/images/delete", {"name": "img"}),
    ]
    assert {one.namespace for one in events} == {"testing"}


def test_namespaces_do_not_see_each_other(ns: Namespace, db: Database) -> None:
    ns.images.create(image())

    with pytest.raises(NotFoundError):
        db.namespace("other").images.get("img")
    assert db.namespace("other").images.list() == []
