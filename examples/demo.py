"""One real image, from archive to snapshots and back to nothing.

Everything happens in a temporary directory; nothing of this machine is touched. Digests are
cut to fit the screen; `orlop` itself never cuts one.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import runpy
import shlex
import signal
import sys
import tempfile
from pathlib import Path

import orlop
from orlop.gc import Node, snapshot_node

ARCHIVE = Path(__file__).with_name("greeting.tar")
IMAGE = "example.com/greeting:v1"


def say(text: str) -> None:
    """Tell the visitor what comes next."""
    bold, plain = ("\033[1m", "\033[0m") if sys.stdout.isatty() else ("", "")
    print(f"\n{bold}{text}{plain}", flush=True)


def orlop_command(line: str) -> None:
    """Show a command line, and run it. The demo ends where one fails."""
    show(f"$ orlop {line}")
    sys.argv = ["orlop", *shlex.split(line)]
    answer, code = io.StringIO(), None
    with contextlib.redirect_stdout(answer):
        try:
            runpy.run_module("orlop", run_name="__main__")  # as `python -m orlop` does
        except SystemExit as ended:
            code = ended.code
        finally:
            # A program ignores Ctrl-C while it ends; this one goes on.
            signal.signal(signal.SIGINT, signal.default_int_handler)
    if answer.getvalue():
        show(answer.getvalue().rstrip("\n"))
    if code:
        raise SystemExit(code)


def show(text: str) -> None:
    """Print an answer, its digests cut so that it fits a screen."""
    short = re.sub(r"(sha256:[0-9a-f]{8})[0-9a-f]{56}", r"\1…", text)
    if short.startswith(("NAMESPACE ", "TYPE ")):
        rows = [re.split(" {2,}", line) for line in short.splitlines()]
        columns = len(rows[0])
        *lines, rest = rows if len(rows[-1]) < columns else [*rows, []]
        # Labels one below the other, each under the last column.
        parts = [(row[:-1], row[-1].split(",containerd")) for row in lines]
        widths = [
            max(map(len, column)) + 2 for column in zip(*(row for row, _ in parts), strict=True)
        ]
        margin = "\n" + " " * sum(widths) + "containerd"
        shown = [
            "".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
            + margin.join(labels)
            for row, labels in parts
        ]
        short = "\n".join([*shown, *rest])
    print(short, flush=True)


def top_layer(database: orlop.Database) -> str:
    """Return the snapshot that no other one stands on: the whole root filesystem."""
    snapshots = list(database.namespace("default").snapshots("native").walk())
    parents = {info.parent for info in snapshots}
    return next(info.name for info in snapshots if info.name not in parents)


def show_files(directory: Path) -> None:
    """List the files below a directory, with what makes each of them special."""
    for path in sorted(directory.rglob("*")):
        status = path.lstat()
        is_directory = path.is_dir() and not path.is_symlink()
        kind = "/" if is_directory else ""
        link = f" -> {path.readlink()}" if path.is_symlink() else ""
        links = f"  ({status.st_nlink} names)" if status.st_nlink > 1 and not kind else ""
        print(f"  {status.st_mode & 0o7777:>4o} {path.relative_to(directory)}{kind}{link}{links}")


def explain(*nodes: Node) -> None:
    """Ask the collector who holds something."""
    with orlop.open(os.environ["ORLOP_ROOT"], read_only=True) as database:
        for node in nodes:
            show(database.gc.explain(node))


def walk(root: Path) -> None:
    """Walk the whole way."""
    say("1. An image lies in an archive. Bring it in, and unpack its layers.")
    orlop_command(f"image import {shlex.quote(str(ARCHIVE))} --unpack native")

    say("2. The image is a name for a manifest; everything else is blobs that refer to blobs.")
    orlop_command("image ls")
    orlop_command("content ls")

    say("3. Each layer became a snapshot, on top of the one before, named by its chain id.")
    orlop_command("snapshot tree")
    with orlop.open(root, read_only=True) as database:
        top = top_layer(database)
        config = next(
            info.digest
            for info in database.namespace("default").content.walk()
            if any("gc.ref.snapshot" in label for label in info.labels)
        )

    say("4. A container gets a snapshot of its own to write to. These are its files.")
    orlop_command(f"snapshot prepare greeter-files {top}")
    orlop_command(
        f"container create greeter --image {IMAGE} --snapshotter native --snapshot greeter-files"
    )
    with orlop.open(root, read_only=True) as database:
        (mount,) = database.namespace("default").snapshots("native").mounts("greeter-files")
    show_files(Path(mount.source))

    say("5. Somebody still wants the config: a lease holds it for an hour, whatever happens.")
    orlop_command("lease create keep-config --expires 1h")
    orlop_command(f"lease add keep-config content {config}")

    say("6. The image goes. What would a collection remove now, and why?")
    orlop_command(f"image rm {IMAGE}")
    orlop_command("gc plan")

    say("7. The manifest and the layers' blobs are garbage. The rest is held. By whom?")
    explain(snapshot_node("default", "native", top), Node("content", "default", config))

    say("8. Collect. What is held stays complete: the container's files are still there.")
    orlop_command("gc run")
    orlop_command("snapshot ls")

    say("9. Now container, snapshot and lease go, too; and then everything.")
    orlop_command("container rm greeter")
    orlop_command("snapshot rm greeter-files")
    orlop_command("lease rm keep-config")
    orlop_command("gc plan")
    orlop_command("gc run")

    say("10. Nothing is left: not in the database, which is sound, and not on disk.")
    orlop_command("db tree")
    orlop_command("db check")
    left = [
        path
        for part in (
            "io.containerd.content.v1.content/blobs",
            "io.containerd.content.v1.content/ingest",
            "io.containerd.snapshotter.v1.native/snapshots",
        )
        for path in (root / part).rglob("*")
        if not path.is_dir()
    ]
    print(f"files in the content store and below the snapshots: {len(left)}")
    if left:
        raise SystemExit(f"something was left: {left}")


def demo() -> None:
    """Run in a root directory of its own, which is gone at the end."""
    show(__doc__ or "")
    with tempfile.TemporaryDirectory(prefix="orlop-demo-") as directory:
        os.environ["ORLOP_ROOT"] = directory
        for variable in ("CONTAINERD_NAMESPACE", "CONTAINERD_SNAPSHOTTER"):
            os.environ.pop(variable, None)
        walk(Path(directory))


if __name__ == "__main__":
    demo()
