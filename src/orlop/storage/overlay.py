"""The overlay snapshotter: each snapshot stores its differences from its parent.

It returns mounts and mounts nothing, so it works where overlay cannot be mounted; the options
that overlay needs on this machine are found without mounting. In the options of a mount a comma
ends an option, a colon a lower directory, and a backslash escapes either.

Source: containerd, plugins/snapshots/overlay and overlayutils; the kernel's
Documentation/filesystems/overlayfs.rst; mount(8).
"""

from __future__ import annotations

import ctypes
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Final

from orlop.concurrency.interrupts import suppress_os_errors
from orlop.records import Mount, SnapshotKind
from orlop.storage.id_maps import mapped_root
from orlop.storage.snapshotter import DirectorySnapshotter

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from orlop.clock import Clock
    from orlop.kv import Engine
    from orlop.storage.snapshots import Snapshot

_UPPER: Final = "fs"
_WORK: Final = "work"
_UPPER_MODE: Final = 0o755
_WORK_MODE: Final = 0o711


class OverlaySnapshotter(DirectorySnapshotter):
    """Snapshots as layers, in `<root>/snapshots/<id>/{fs,work}`; only active ones have `work`.

    Args:
        root: the directory of the snapshotter.
        open_engine: opens its database.
        clock: what times are taken from.
        asynchronous_remove: leave the directories of removed snapshots to `cleanup`.
        index_off: whether mounts have the option `index=off`; `None`: where the kernel knows it.
        userxattr: whether mounts have that option; `None`: where they need it.
    """

    _moves: ClassVar = True

    def __init__(
        self,
        root: Path,
        open_engine: Callable[[Path], Engine],
        *,
        clock: Clock,
        asynchronous_remove: bool = False,
        index_off: bool | None = None,
        userxattr: bool | None = None,
    ) -> None:
        super().__init__(root, open_engine, clock=clock)
        self._removes_later = asynchronous_remove
        self._index_off = index_off
        self._userxattr = userxattr

    def _has_directory(self, kind: SnapshotKind, parent_id: str | None) -> bool:  # noqa: ARG002 -- all have one
        return True

    def _fill(
        self,
        directory: Path,
        kind: SnapshotKind,
        parent_id: str | None,
        labels: Mapping[str, str],
    ) -> None:
        upper = directory / _UPPER
        upper.mkdir()
        upper.chmod(_UPPER_MODE)
        owner = mapped_root(labels)
        if owner is None and parent_id is not None:
            state = self._data(parent_id).stat()
            owner = state.st_uid, state.st_gid
        if owner is not None:
            os.chown(upper, *owner, follow_symlinks=False)
        if kind is SnapshotKind.ACTIVE:
            work = directory / _WORK
            work.mkdir()
            work.chmod(_WORK_MODE)

    def _own(self, number: str, kind: SnapshotKind, *, has_parent: bool) -> tuple[Path, ...]:
        if kind is SnapshotKind.ACTIVE:
            return self._data(number), self._directory / number / _WORK
        is_shown_parent = kind is SnapshotKind.VIEW and has_parent
        return () if is_shown_parent else (self._data(number),)

    def _lower(self, kind: SnapshotKind, parent_ids: Sequence[str]) -> Sequence[str]:  # noqa: ARG002 -- all show them
        return parent_ids

    def _data(self, number: str) -> Path:
        return self._directory / number / _UPPER

    def _mounts(self, snapshot: Snapshot) -> tuple[Mount, ...]:
        is_view = snapshot.kind is SnapshotKind.VIEW
        if not snapshot.parent_ids:
            return self._bind(snapshot.id, "ro" if is_view else "rw")
        if is_view and len(snapshot.parent_ids) == 1:
            return self._bind(snapshot.parent_ids[0], "ro")
        options = []
        if not is_view:
            work = self._directory / snapshot.id / _WORK
            upper = self._data(snapshot.id)
            options += [directory_option("workdir", work), directory_option("upperdir", upper)]
        options += [lower_option(map(self._data, snapshot.parent_ids)), *self._options()]
        return (Mount(type="overlay", source="overlay", options=tuple(options)),)

    def _bind(self, number: str, access: str) -> tuple[Mount, ...]:
        return (Mount(type="bind", source=str(self._data(number)), options=(access, "rbind")),)

    def _options(self) -> list[str]:
        index_off = supports_index() if self._index_off is None else self._index_off
        userxattr = needs_userxattr(self._root) if self._userxattr is None else self._userxattr
        chosen = (("userxattr", userxattr), ("index=off", index_off))
        return [option for option, is_needed in chosen if is_needed]

    def _discard(self, number: str) -> None:
        if not self._removes_later:
            super()._discard(number)


_INDEX: Final = Path("/sys/module/overlay/parameters/index")
_UID_MAP: Final = Path("/proc/self/uid_map")
_ALL_USERS: Final = ["0", "0", "4294967295"]
_FIRST_WITH_USERXATTR: Final = (5, 11)
_TMPFS_MAGIC: Final = 0x01021994
_STATFS_BYTES: Final = 512

_LIBC: Final = ctypes.CDLL(None, use_errno=True)


def supports_index() -> bool:
    """Return whether the kernel knows the option `index`, which must be off then."""
    return _INDEX.exists()


def needs_userxattr(root: Path) -> bool:
    """Return whether mounts below `root` need the option `userxattr`.

    They do in a user namespace, but for tmpfs, since Linux 5.11. Some distributions brought
    it to older kernels; containerd finds out by mounting, Orlop leaves it out there.
    """
    if not _in_user_namespace():
        return False
    return not _is_tmpfs(root) and _kernel_version() >= _FIRST_WITH_USERXATTR


def _in_user_namespace() -> bool:
    with suppress_os_errors():
        first, *_ = _UID_MAP.read_text(encoding="ascii").splitlines() or [""]
        return first.split() != _ALL_USERS
    return False


def _is_tmpfs(root: Path) -> bool:
    # The first member of struct statfs is a long: the type of the file system.
    buffer = ctypes.create_string_buffer(_STATFS_BYTES)
    existing = next((path for path in (root, *root.parents) if path.exists()), Path("/"))
    if _LIBC.statfs(os.fsencode(existing), buffer) != 0:
        return False
    return ctypes.c_long.from_buffer(buffer).value == _TMPFS_MAGIC


def _kernel_version() -> tuple[int, int]:
    import platform  # noqa: PLC0415 (few listings need it)

    match = re.match(r"(\d+)\.(\d+)", platform.release())
    return (int(match[1]), int(match[2])) if match else (0, 0)


_SPECIAL = re.compile(r"([\\,])")
_SPECIAL_BELOW = re.compile(r"([\\,:])")
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)
_LOWER = re.compile(r"(?:\\.|[^:\\])+", re.DOTALL)


def directory_option(name: str, path: Path) -> str:
    """Return the option `upperdir` or `workdir`."""
    return f"{name}={_SPECIAL.sub(_preceded, str(path))}"


def lower_option(paths: Iterable[Path]) -> str:
    """Return the option `lowerdir`; the topmost directory comes first."""
    return "lowerdir=" + ":".join(_SPECIAL_BELOW.sub(_preceded, str(path)) for path in paths)


def directory_of(value: str) -> Path:
    """Return the path in the value of `upperdir` or `workdir`."""
    return Path(_ESCAPED.sub(r"\1", value))


def lowers_of(value: str) -> tuple[Path, ...]:
    """Return the paths in the value of `lowerdir`."""
    return tuple(directory_of(one) for one in _LOWER.findall(value))


def _preceded(match: re.Match[str]) -> str:
    return f"\\{match[1]}"
