"""A user's operations on an open handle, each with its change to the model."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from whenever import TimeDelta

import orlop
from campaigns.world.archives import PLATFORMS
from campaigns.world.paths import SNAPSHOTTERS
from campaigns.world.records import (
    CONTENT,
    IMAGE,
    INGEST,
    SNAPSHOT,
    Change,
    Node,
    Record,
    blob_record,
    content_node,
    lease_node,
    snapshot_node,
)
from campaigns.world.seeing import GC
from campaigns.world.snapshot_operations import (
    commit,
    prepare,
    remove_snapshot,
    view_snapshot,
)
from campaigns.world.state import NAMESPACES, ROOT, Block, RefusedError
from orlop import Descriptor, Image, LeaseResource, digests
from orlop.errors import AlreadyExistsError, FailedPreconditionError, NotFoundError
from orlop.oci.platforms import Platform
from orlop.schema.codec.timestamps import format_rfc3339

if TYPE_CHECKING:
    import random
    from collections.abc import Callable

    from campaigns.world.archives import Archive
    from campaigns.world.records import Expiry
    from campaigns.world.state import World
    from orlop.stores.content_writer import ContentWriter

BLOBS: Final = 8
NAMES: Final = 3
HOUR: Final = 3600.0


def import_image(world: World, rng: random.Random) -> None:
    """Import one platform of an image, and unpack it or not."""
    name = rng.choice(NAMESPACES)
    archive, architecture = rng.choice(world.archives), rng.choice(PLATFORMS)
    snapshotter = rng.choice((None, None, *SNAPSHOTTERS))
    world.say(f"import {name} {archive.name} {architecture} unpack={snapshotter}")
    with world.attempt(import_change(world, name, archive, architecture, snapshotter)):
        orlop.oci.import_image(
            world.namespace(name),
            archive.path,
            platform=Platform(os="linux", architecture=architecture),
            unpack=snapshotter,
        )
    world.count("imports")


def import_change(
    world: World, name: str, archive: Archive, architecture: str, snapshotter: str | None
) -> Change:
    """Return the change of records by the import of one platform of an image."""
    manifest = archive.manifests[architecture]
    image, index = Node(name, IMAGE, archive.name), content_node(name, archive.index)
    below = [manifest.config, *manifest.layers]
    refs = {
        archive.index: {content_node(name, manifest.digest)},
        manifest.digest: {content_node(name, one) for one in below},
    }
    records = {image: Record(frozenset({index}), is_root=True)}
    if snapshotter is not None:
        parent: frozenset[Node] = frozenset()
        for chain_id, marker in zip(manifest.chain, manifest.markers, strict=True):
            node = snapshot_node(name, snapshotter, chain_id)
            records[node] = Record(parent, marker=marker)
            parent = frozenset({node})
        refs[manifest.config] = {*parent}
    for digest in [archive.index, manifest.digest, *below]:
        held = frozenset(refs.get(digest, ()))
        records[content_node(name, digest)] = blob_record(digest, archive.blobs[digest], refs=held)
    lease = world.lease_in_force(name)
    return Change(
        records=records,
        added={} if lease is None else {lease: frozenset(records) - {image}},
        guard=image,
        late=frozenset(one for one in records if one.type == SNAPSHOT),
        merges=True,
    )


def payload(number: int) -> tuple[bytes, str]:
    data = b"blob %d " % number * (1 + 40 * number)
    return data, digests.from_bytes(data)


def make_blob(world: World, rng: random.Random) -> None:
    """Write a blob at once, held by a label, by the lease in force, or by nothing."""
    name, number = rng.choice(NAMESPACES), rng.randrange(BLOBS)
    data, digest = payload(number)
    labels = dict(rng.choice((ROOT, ROOT, {})))
    others = world.choosable(CONTENT, name)
    refs = [one for one in rng.sample(others, min(len(others), 2)) if one.key != digest]
    labels |= {f"{GC}ref.content.{n}": one.key for n, one in enumerate(refs)}
    expects = rng.random() < 0.7
    ref = f"ref-{world.model.next()}"
    world.say(f"blob {number} {name} {labels} expected={expects} ref={ref}")
    node = content_node(name, digest)
    content = world.namespace(name).content
    record = blob_record(digest, data, refs=frozenset(refs), is_root=bool(ROOT.keys() & labels))
    existing = node in world.model.records
    if existing:
        if world.stable is not None and node not in world.stable:
            raise RefusedError
        record = world.model.records[node]
    change = replace(world.made(name, node, record), merges=existing)
    try:
        with (
            world.attempt(change, AlreadyExistsError),
            content.writer(ref, size=len(data) * expects, expected=digest * expects) as writer,
        ):
            if writer.status().offset == 0:
                writer.write(data)
            writer.commit(size=len(data), expected=digest, labels=labels)
    except RefusedError as error:
        if not isinstance(error.__cause__, AlreadyExistsError):
            raise
        world.say("  was there")


def write_part(world: World, rng: random.Random) -> None:
    """Write a part of a blob and leave the rest for later."""
    name, number = rng.choice(NAMESPACES), rng.randrange(BLOBS)
    data, digest = payload(number)
    ref = f"part-{number}"
    node = Node(name, INGEST, ref)
    size = rng.randrange(len(data))
    world.say(f"part of blob {number} {name} to {size}")
    before = world.model.records.get(node)
    expiry = _expiry(world, 24 * HOUR) if world.lease_in_force(name) is None else None
    is_root = expiry is not None
    record = Record(is_root=is_root, expiry=expiry, written=before.written if before else 0)
    with world.attempt(world.made(name, node, record), AlreadyExistsError):
        writer = resumed(world, name, ref)
    with writer:
        offset = writer.status().offset
        assert before is None or offset >= before.written or not world.is_consistent
        if offset < size:
            writer.write(data[offset:size])
    kept = world.model.records.get(node)
    if kept is not None:
        world.model.records[node] = replace(kept, written=max(offset, size))
    del digest


def finish_part(world: World, rng: random.Random) -> None:
    """Go on with a blob that was left unfinished, and commit it."""
    parts = [
        one for one in world.model.records if one.type == INGEST and one.key.startswith("part-")
    ]
    if not parts:
        raise RefusedError
    node = rng.choice(parts)
    data, digest = payload(int(node.key.removeprefix("part-")))
    world.say(f"finish {node}")
    blob = content_node(node.namespace, digest)
    record = world.model.records.get(blob) or blob_record(digest, data, is_root=True)
    change = world.made(node.namespace, blob, record)
    change = replace(change, gone=frozenset({node}), merges=True)
    with world.attempt(change, NotFoundError):
        try:
            with resumed(world, node.namespace, node.key) as writer:
                writer.write(data[writer.status().offset :])
                writer.commit(size=len(data), expected=digest, labels=ROOT)
        except AlreadyExistsError:
            world.say("  was there")


def upload_long(world: World, rng: random.Random) -> None:
    """Write a blob over a collection, while the clock jumps or much time passes."""
    name, number = rng.choice(NAMESPACES), rng.randrange(BLOBS)
    data, digest = payload(number)
    node = Node(name, INGEST, f"long-{world.model.next()}")
    hours, is_jump = rng.choice((1, 25, 30_000)), rng.random() < 0.5
    world.say(f"long {node} of blob {number}, {hours} h {'jump' if is_jump else 'pass'}")
    expiry = _expiry(world, 24 * HOUR) if world.lease_in_force(name) is None else None
    record = Record(is_root=expiry is not None, expiry=expiry)
    content = world.namespace(name).content
    with world.attempt(world.made(name, node, record)):
        writer = content.writer(node.key)
    with writer:
        writer.write(data[:10])
        (world.clock.jump if is_jump else world.clock.pass_time)(hours * HOUR)
        collect(world, rng)
        assert content.status(node.key).offset == len(data[:10]), "its writer is open"
        writer.write(data[10:])
        blob = content_node(name, digest)
        named = world.model.records.get(blob) or blob_record(digest, data, is_root=True)
        change = replace(world.made(name, blob, named), gone=frozenset({node}), merges=True)
        with world.attempt(change, NotFoundError):
            try:
                writer.commit(size=len(data), expected=digest, labels=ROOT)
            except AlreadyExistsError:
                world.say("  was there")


def resumed(world: World, namespace: str, ref: str) -> ContentWriter:
    return world.namespace(namespace).content.writer(ref, resume=True)


def delete_blob(world: World, rng: random.Random) -> None:
    """Take the name of a blob away."""
    node = world.some(rng, CONTENT)
    world.say(f"delete {node}")
    with world.attempt(Change(gone=frozenset({node})), NotFoundError):
        world.namespace(node.namespace).content.delete(node.key)


def label_blob(world: World, rng: random.Random) -> None:
    """Set or take away the label that holds a blob, or let it refer to another one."""
    node = world.some(rng, CONTENT)
    content = world.namespace(node.namespace).content
    record = world.model.records[node]
    kind = rng.choice(("root", "no root", "refer"))
    if kind == "refer":
        other = world.some(rng, CONTENT, node.namespace)
        # A free name, so that what holds already stays.
        labels = {f"{GC}ref.content.x{world.model.next()}": other.key}
        after = replace(record, refs=record.refs | {other})
    else:
        labels = {f"{GC}root": "held" if kind == "root" else ""}
        after = replace(record, is_root=kind == "root")
    world.say(f"label {node} {labels}")
    with world.attempt(Change(records={node: after}), NotFoundError):
        info = content.info(node.key)
        content.update(replace(info, labels=labels), [f"labels.{one}" for one in labels])


def tag_image(world: World, rng: random.Random) -> None:
    """Create an image, or point one at something else."""
    target = world.some(rng, CONTENT)
    name = f"example.com/tag-{rng.randrange(NAMES)}:v1"
    node = Node(target.namespace, IMAGE, name)
    world.say(f"tag {node} {target}")
    change = Change(records={node: Record(frozenset({target}), is_root=True)})
    images = world.namespace(target.namespace).images
    descriptor = Descriptor(media_type="application/octet-stream", digest=target.key, size=1)
    image = Image(name=name, target=descriptor)
    if node in world.model.records:
        with world.attempt(change, NotFoundError):
            images.update(image, ["target"])
    else:
        with world.attempt(change, AlreadyExistsError):
            images.create(image)


def expire_image(world: World, rng: random.Random) -> None:
    """Let an image end by itself after some time."""
    node = world.some(rng, IMAGE)
    seconds = rng.choice((HOUR, 48 * HOUR))
    world.say(f"{node} expires after {seconds / HOUR} h")
    images = world.namespace(node.namespace).images
    label = f"{GC}expire"
    moment = world.clock.now() + TimeDelta(seconds=seconds)
    record = replace(world.model.records[node], expiry=_expiry(world, seconds))
    with world.attempt(Change(records={node: record}), NotFoundError):
        image = images.get(node.key)
        changed = replace(image, labels={label: format_rfc3339(moment)})
        images.update(changed, [f"labels.{label}"])


def delete_image(world: World, rng: random.Random) -> None:
    node = world.some(rng, IMAGE)
    world.say(f"delete {node}")
    with world.attempt(Change(gone=frozenset({node})), NotFoundError):
        world.namespace(node.namespace).images.delete(node.key)


def make_lease(world: World, rng: random.Random) -> None:
    """Make a lease that outlives its maker, on something that is there."""
    target = world.some(rng, rng.choice((CONTENT, SNAPSHOT, IMAGE)))
    lease = lease_node(target.namespace, f"lease-{world.model.next()}")
    seconds = rng.choice((HOUR, 48 * HOUR))
    world.say(f"{lease} for {seconds / HOUR} h on {target}")
    kind, name = target.type, target.key
    if kind == SNAPSHOT:
        snapshotter, name = target.key.split("/", 1)
        kind = f"snapshots/{snapshotter}"
    kind = {IMAGE: "images"}.get(kind, kind)
    record = Record(frozenset({target}), is_root=True, expiry=_expiry(world, seconds))
    with world.attempt(Change(records={lease: record})):
        leases = world.namespace(target.namespace).leases
        with world.open().update():
            leases.create(lease.key, expires=timedelta(seconds=seconds))
            leases.add_resource(lease.key, LeaseResource(id=name, type=kind))


def delete_lease(world: World, rng: random.Random) -> None:
    leases = [
        one
        for one in world.model.records
        if one.type == "lease" and one not in [block.lease for block in world.blocks]
    ]
    if not leases:
        raise RefusedError
    node = rng.choice(leases)
    world.say(f"delete {node}")
    with world.attempt(Change(gone=frozenset({node})), NotFoundError):
        world.namespace(node.namespace).leases.delete(node.key)


def begin_block(world: World, rng: random.Random) -> None:
    """Begin a lease block that stays open over the next steps."""
    lease = lease_node(rng.choice(NAMESPACES), f"block-{world.model.next()}")
    world.say(f"block {lease} begins")
    # While it is open it is in force, whatever the time is.
    manager = world.namespace(lease.namespace).lease(lease.key, expires=timedelta(hours=1))
    with world.attempt(Change(records={lease: Record(is_root=True)})):
        manager.__enter__()
    world.blocks.append(Block(lease.namespace, lease, manager))


def end_block(world: World, rng: random.Random) -> None:
    """End one of the open blocks, whichever began last."""
    if not world.blocks:
        raise RefusedError
    world.end_any_block(rng)


def collect(world: World, rng: random.Random) -> None:
    """Collect; where the databases are in doubt, more may have to be confirmed."""
    options = {"confirmed": rng.random() < 0.5, "verify": rng.random() < 0.1}
    world.say(f"collect {options}")
    try:
        statistics = world.open().gc.run(**options)
    except FailedPreconditionError as error:
        if not world.is_doubtful:
            raise
        world.say(f"  {error}")
        return
    except orlop.OrlopError as error:
        if world.is_consistent and not world.is_strained:
            raise
        world.say(f"  {error}")
        raise RefusedError from error
    world.say(f"  {dict(statistics.removed)}, deleted {statistics.deleted}")
    world.count("collections")
    world.count("deletions", statistics.deleted)
    world.count("bytes released", statistics.freed_bytes)
    world.forget_collected()
    if not (world.is_doubtful or world.is_strained):
        # Two collections at once, or one after one that was interrupted, clean one after the other.
        failures = [one for one in statistics.failures.values() if "earlier cleanup" not in one]
        assert not failures, failures
        assert statistics.set_aside == 0, "there is no reason for a doubt"


def plan(world: World, rng: random.Random) -> None:
    """Plan a collection, and do it."""
    world.say("plan and apply")
    with world.tolerating():
        made = world.open().gc.plan()
        if made.doubt is not None:
            assert world.is_doubtful, made.doubt
            return
        statistics = made.apply()
        world.count("collections")
        world.count("deletions", statistics.deleted)
        world.count("bytes released", statistics.freed_bytes)
        world.forget_collected()
    del rng


def _expiry(world: World, seconds: float) -> Expiry:
    return world.clock.expiry(seconds, world.handle)


OPERATIONS: Final[dict[str, tuple[int, Callable[[World, random.Random], None]]]] = {
    "import": (6, import_image),
    "blob": (6, make_blob),
    "part": (2, write_part),
    "finish": (2, finish_part),
    "delete blob": (1, delete_blob),
    "label": (2, label_blob),
    "tag": (3, tag_image),
    "expire image": (1, expire_image),
    "delete image": (3, delete_image),
    "prepare": (5, prepare),
    "commit": (4, commit),
    "remove": (2, remove_snapshot),
    "view": (1, view_snapshot),
    "lease": (2, make_lease),
    "delete lease": (1, delete_lease),
    "collect": (6, collect),
    "plan": (1, plan),
}
"""What a user does anywhere, with how often; blocks only where a handle stays open."""
