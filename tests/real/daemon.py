"""Debian's containerd on a root directory of its own, started and stopped by a test.

The daemon gets a private root, state directory and sockets, and no CRI plugin, so that it
disturbs no other containerd of the machine. Its log lies beside the root and stays for as long
as pytest keeps the folder.
"""

from __future__ import annotations

import json
import re
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

START_SECONDS_MAX = 20
STOP_SECONDS_MAX = 10
CALL_SECONDS_MAX = 60
LOG_TAIL_LINES = 25

CONFIG = """\
version = 2
root = {root}
state = {state}
disabled_plugins = ["io.containerd.grpc.v1.cri"]

[grpc]
  address = {socket}

[ttrpc]
  address = {ttrpc}

[debug]
  level = "debug"

[plugins."io.containerd.gc.v1.scheduler"]
  startup_delay = "24h"
"""
"""It collects when `collect` tells it to, and not some time after it has started."""

EXPECTED_COMPLAINTS = re.compile(r"devmapper|cleaning up after shim|cleanup warnings")
"""Warnings of any 1.6.20: a snapshotter that is not configured, and the end of a container."""


class DaemonError(Exception):
    """The daemon or its client failed; the message contains their output."""


class Daemon:
    """One containerd on one root directory, which may be started and stopped again and again."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.log = root.with_name(f"{root.name}-containerd.log")
        self._process: subprocess.Popen[bytes] | None = None
        self._folder: Path | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Start the daemon and wait until it answers.

        Raises:
            DaemonError: it ended, or did not answer in time.
        """
        # A socket's path is short (108 bytes), pytest's own folders are long.
        self._folder = Path(tempfile.mkdtemp(prefix="ctrd"))
        config = self._folder / "config.toml"
        config.write_text(
            CONFIG.format(
                root=json.dumps(str(self.root)),
                state=json.dumps(str(self._folder / "state")),
                socket=json.dumps(str(self.socket)),
                ttrpc=json.dumps(str(self._folder / "ttrpc.sock")),
            ),
            encoding="utf-8",
        )
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                ["containerd", "--config", config], stdout=log, stderr=log
            )
        try:
            self._wait_until_it_answers()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """End the daemon, in peace if it will; stopping twice is allowed."""
        process, self._process = self._process, None
        if process is not None:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(STOP_SECONDS_MAX)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        folder, self._folder = self._folder, None
        if folder is not None:
            shutil.rmtree(folder)

    def kill(self) -> None:
        """Kill the daemon at once; `stop` cleans up after it."""
        assert self._process is not None, "the daemon has not been started"
        self._process.kill()
        self._process.wait()

    def ctr(self, *arguments: str | Path, namespace: str = "default", stdin: bytes = b"") -> str:
        """Run `ctr` against the daemon and return its output.

        Raises:
            DaemonError: it failed.
        """
        done = self.try_ctr(*arguments, namespace=namespace, stdin=stdin)
        if done.returncode:
            words = " ".join(map(str, arguments))
            said = done.stderr.decode() + done.stdout.decode()
            raise DaemonError(f"ctr {words}: {said.strip()}\n{self._tail()}")
        return done.stdout.decode()

    def try_ctr(
        self, *arguments: str | Path, namespace: str = "default", stdin: bytes = b""
    ) -> subprocess.CompletedProcess[bytes]:
        """Run `ctr` against the daemon, and return its result for any exit code."""
        return subprocess.run(
            ["ctr", "--address", self.socket, "--namespace", namespace, *arguments],
            input=stdin,
            capture_output=True,
            timeout=CALL_SECONDS_MAX,
            check=False,
        )

    def rows(self, *arguments: str | Path, namespace: str = "default") -> list[list[str]]:
        """Run a listing of `ctr` and return its lines, cut at blanks, without the heading."""
        return [line.split() for line in self.ctr(*arguments, namespace=namespace).splitlines()[1:]]

    def names(self, *arguments: str | Path, namespace: str = "default") -> set[str]:
        """Run a listing of `ctr` and return its first column."""
        return {row[0] for row in self.rows(*arguments, namespace=namespace) if row}

    def collect(self) -> None:
        """Make the daemon's own collector run once and wait for it: the end of a lease does."""
        lease = self.ctr("leases", "create").strip()
        self.ctr("leases", "delete", "--sync", lease)

    def complaints(self) -> list[str]:
        """Return the warnings and errors in the log, but for those that any daemon has here."""
        return [
            line
            for line in self.log.read_text(encoding="utf-8").splitlines()
            if re.search(r"level=(?:warning|error|fatal|panic)|^panic:", line)
            and not EXPECTED_COMPLAINTS.search(line)
        ]

    @property
    def socket(self) -> Path:
        """The socket of the running daemon."""
        assert self._folder is not None, "the daemon has not been started"
        return self._folder / "containerd.sock"

    @property
    def meta_db(self) -> Path:
        """The daemon's metadata."""
        return self.root / "io.containerd.metadata.v1.bolt" / "meta.db"

    def blobs(self) -> set[str]:
        """Return the digests of the blobs on disk."""
        folder = self.root / "io.containerd.content.v1.content" / "blobs"
        return {f"{path.parent.name}:{path.name}" for path in folder.glob("*/*")}

    def snapshot_folders(self, snapshotter: str) -> set[str]:
        """Return the names of a snapshotter's folders on disk."""
        folder = self.root / f"io.containerd.snapshotter.v1.{snapshotter}" / "snapshots"
        return {path.name for path in folder.glob("*")}

    def _wait_until_it_answers(self) -> None:
        assert self._process is not None
        deadline = time.monotonic() + START_SECONDS_MAX
        while self.try_ctr("version").returncode:
            if self._process.poll() is not None:
                raise DaemonError(f"containerd ended:\n{self._tail()}")
            if time.monotonic() > deadline:
                raise DaemonError(f"containerd does not answer:\n{self._tail()}")
            time.sleep(0.05)

    def _tail(self) -> str:
        lines = self.log.read_text(encoding="utf-8", errors="replace").splitlines()
        return "\n".join(lines[-LOG_TAIL_LINES:])
