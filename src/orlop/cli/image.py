"""`orlop image`: images in, out, and by name."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, BinaryIO, cast

from orlop import oci
from orlop.cli import arguments
from orlop.cli.abbreviations import resolve_digest
from orlop.cli.output import StandardOutput, human_size
from orlop.cli.parser import Argument, Context, Group, Option
from orlop.cli.presentation import as_json, faults_as_json, in_namespace, labels_cell
from orlop.cli.progress import showing
from orlop.cli.session import session_of
from orlop.cli.standard_streams import standard_input
from orlop.errors import NotFoundError, OrlopError
from orlop.explain.image_content import content_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from orlop.cli.session import Session
    from orlop.database import Database
    from orlop.explain.image_content import ImageContent
    from orlop.gc.node import Node
    from orlop.namespace import Namespace
    from orlop.records import Image

app = Group(help="Images: names for root filesystems, with what describes them.")

PlatformOption = Annotated[
    str | None, Option(help="os/architecture[/variant], if not this machine's.")
]
AllPlatforms = Annotated[bool, Option("--all-platforms", help="Take every platform's.")]
Filters = Annotated[list[str] | None, Argument(help="Filters; one of them must match.")]

_DEFAULT_SNAPSHOTTER = "overlayfs"
"""What containerd unpacks with where nothing else is said."""


def _platform(text: str | None) -> oci.Platform | None:
    return None if text is None else oci.parse_platform(text)


@app.command("import")
def import_(
    context: Context,
    file: Annotated[
        Path,
        Argument(
            help="OCI layout directory, OCI archive, or docker save archive; - for standard input."
        ),
    ],
    name: Annotated[str | None, Option(help="What to call the image.")] = None,
    unpack: Annotated[
        list[str] | None,
        Option(help="Unpack with this snapshotter, native or overlayfs; may be repeated."),
    ] = None,
    platform: PlatformOption = None,
    all_platforms: AllPlatforms = False,
    verify: Annotated[
        bool, Option("--verify", help="Read what is there, and replace it where it is damaged.")
    ] = False,
) -> None:
    """Import images from a file or directory, and unpack them if asked.

    What is missing of an image that is there is put back.
    """
    session = session_of(context)
    session.require_root("importing an image")
    source = standard_input() if str(file) == "-" else file
    with session.writing(create=True) as database, showing(session.output) as progress:
        namespace = session.target(database)
        images = oci.import_image(
            namespace,
            source,
            name=name,
            unpack=unpack,
            platform=_platform(platform),
            all_platforms=all_platforms,
            verify=verify,
            progress=progress,
        )
        packed = [
            image.name
            for image in images
            if unpack and not oci.is_runnable(namespace, image, platform=_platform(platform))
        ]
    for image in images:
        session.output.document(in_namespace(namespace, image), [image.name])
    for one in packed:
        session.output.say(f"{one} was not unpacked: it is no image that could run here")


@app.command()
def unpack(
    context: Context,
    name: str,
    snapshotters: Annotated[
        list[str] | None,
        Option(
            "--snapshotter",
            "--unpack",
            help="With this one, native or overlayfs; may be repeated.  [default: overlayfs]",
        ),
    ] = None,
    platform: PlatformOption = None,
) -> None:
    """Unpack an image into snapshots, layer by layer; layers that are unpacked stay."""
    session = session_of(context)
    session.require_root("unpacking an image")
    with session.writing() as database, showing(session.output) as progress:
        namespace = session.target(database)
        image = namespace.images.get(name)
        found = {
            snapshotter: oci.unpack(
                namespace, image, snapshotter, platform=_platform(platform), progress=progress
            )
            for snapshotter in dict.fromkeys(snapshotters or (_DEFAULT_SNAPSHOTTER,))
        }
    for snapshotter, key in found.items():
        session.output.document(
            {"name": name, "snapshotter": snapshotter, "key": key}, [f"{snapshotter} {key}"]
        )


@app.command()
def export(
    context: Context,
    file: Annotated[Path, Argument(help="The archive to make; - for standard output.")],
    names: Annotated[list[str], Argument(help="The images.")],
    platform: PlatformOption = None,
    all_platforms: AllPlatforms = False,
) -> None:
    """Write images to an OCI archive that skopeo, ctr and docker read."""
    session = session_of(context)
    session.require_root("exporting an image")
    with session.reading() as database, showing(session.output) as progress:
        namespace = session.only(
            database,
            lambda one: all(_has(one, name) for name in names),
            f"image {', '.join(names)}",
        )
        oci.export_image(
            namespace,
            names,
            cast("BinaryIO", StandardOutput()) if str(file) == "-" else file,
            platform=_platform(platform),
            all_platforms=all_platforms,
            progress=progress,
        )


def _has(namespace: Namespace, name: str) -> bool:
    try:
        namespace.images.get(name)
    except NotFoundError:
        return False
    return True


@app.command()
def ls(context: Context, filters: Filters = None) -> None:
    """List images, with the size of all their blobs and their faults."""
    session = session_of(context)
    with session.reading() as database:
        found = database.read(
            lambda _: [
                (namespace, image, content_of(namespace, image))
                for namespace in session.shown(database)
                for image in namespace.images.list(*(filters or ()))
            ]
        )
        faults = database.faults(
            list(dict.fromkeys(node for _, _, content in found for node in content.nodes))
        )
    session.output.listing_with_faults(
        ("NAMESPACE", "NAME", "TYPE", "DIGEST", "SIZE", "LABELS"),
        found,
        as_value=lambda entry: {**in_namespace(entry[0], entry[1]), "size": entry[2].size},
        as_row=lambda entry: (
            entry[0].name,
            entry[1].name,
            entry[1].target.media_type,
            entry[1].target.digest,
            human_size(entry[2].size),
            labels_cell(entry[1].labels),
        ),
        faults=lambda entry: _faults_of(entry[2], faults),
    )


def _faults_of(content: ImageContent, faults: Mapping[Node, str]) -> tuple[dict[str, object], str]:
    """Return the faults of an image, as JSON and as a cell."""
    own = {node: faults[node] for node in content.nodes if node in faults}
    if not own:
        return {}, ""
    node, fault = next(iter(own.items()))
    count = f" ({len(own)} items are faulty, this is the first)" if len(own) > 1 else ""
    return faults_as_json(own), f"{node.type} {node.key}: {fault}{count}"


@app.command()
def inspect(
    context: Context,
    name: Annotated[str, Argument(help="Its name, or the digest of its target or its beginning.")],
) -> None:
    """Show an image: its record, blobs and snapshots, its manifest and config."""
    session = session_of(context)

    def question(database: Database) -> list[tuple[dict[str, object], ImageContent, object]]:
        found = []
        for namespace, image in _named(session, database, name):
            documents = None if database.root is None else _documents(namespace, image)
            found.append((in_namespace(namespace, image), content_of(namespace, image), documents))
        return found

    with session.reading() as database:
        found = database.read(lambda _: question(database))
        faults = [database.faults(content.nodes) for _, content, _ in found]
    shown = [
        {
            **image,
            **_content(content, faulty),
            **({} if documents is None else {"documents": documents}),
        }
        for (image, content, documents), faulty in zip(found, faults, strict=True)
    ]
    session.output.found(shown, f'image "{name}"')


def _named(session: Session, database: Database, name: str) -> list[tuple[Namespace, Image]]:
    """Return the images of a name, else those whose target has a digest or its beginning."""
    images = [(one, image) for one in session.shown(database) for image in one.images.list()]
    found = [pair for pair in images if pair[1].name == name]
    if not found:
        digest = resolve_digest(name, (image.target.digest for _, image in images))
        found = [pair for pair in images if pair[1].target.digest == digest]
    return found


def _content(found: ImageContent, faults: Mapping[Node, str]) -> dict[str, object]:
    return {
        "size": found.size,
        "blobs": [{"digest": blob.digest, "size": blob.size} for blob in found.blobs],
        "missing": [*found.missing, *(node.key for node in faults)],
        "snapshots": [{"snapshotter": name, "key": key} for name, key in found.snapshots],
        **faults_as_json(faults),
    }


def _documents(namespace: Namespace, image: Image) -> object:
    """Show manifest and config for this platform, or why they cannot be read."""
    from orlop.oci.images import config_of, manifest_for  # noqa: PLC0415 (only needed here)

    try:
        manifest = manifest_for(namespace.content, image.target, oci.this_platform())
        return as_json({"manifest": manifest, "config": config_of(namespace.content, manifest)})
    except (OrlopError, OSError) as error:
        return {"error": str(error)}


@app.command()
def tag(
    context: Context,
    source: str,
    names: Annotated[list[str], Argument(help="The new names.")],
    force: Annotated[bool, Option("--force", help="Replace images of those names.")] = False,
) -> None:
    """Give an image further names."""
    session = session_of(context)
    with session.writing() as database:
        images = session.target(database).images
        with database.update():
            image = images.get(source)
            existing = {found.name for found in images.list()}
            for name in names:
                if force and name in existing:
                    images.update(replace(image, name=name), ("target",))
                else:
                    images.create(replace(image, name=name))
    for name in names:
        session.output.say(f"{name}: {image.target.digest}")


@app.command()
def label(
    context: Context,
    name: str,
    labels: Annotated[list[str], Argument(help="key=value; key= removes one.")],
) -> None:
    """Set or remove labels of an image."""
    session = session_of(context)
    wanted = arguments.labels(labels)
    with session.writing() as database:
        images = session.target(database).images
        with database.update():
            image = images.update(images.get(name), labels=wanted)
    session.output.document(as_json(image), [labels_cell(image.labels)])


@app.command()
def rm(
    context: Context,
    names: Annotated[list[str], Argument(help="The images.")],
) -> None:
    """Remove images. Data that only they held is deleted by the next collection (orlop gc run)."""
    session = session_of(context)
    with session.writing() as database:
        images = session.target(database).images
        with database.update():
            for name in names:
                images.delete(name)
    for name in names:
        session.output.say(f"removed {name}")
