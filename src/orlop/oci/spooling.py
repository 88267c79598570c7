"""Archives that come through a pipe: copied first, since an archive is read twice.

The copy has no name, and lies in the root, where the image goes as well: there is room for both or
for neither. It is gone when it is closed, however the process ends.
"""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

from orlop.errors import InvalidArgumentError
from orlop.oci.archive import Archive, require_tar
from orlop.oci.tar_header import BLOCK
from orlop.storage.files import naming, read_available

if TYPE_CHECKING:
    from pathlib import Path
    from typing import BinaryIO

_COPY_BYTES = 1 << 20


def open_archive(source: Path | BinaryIO, root: Path | None) -> Archive:
    """Open an archive.

    Args:
        source: a plain file or a named pipe; or an open file, which is read to its end.
        root: the directory in which what comes through a pipe is copied; `None`: that for
            temporary files.

    Raises:
        InvalidArgumentError: it is no archive, or a device.
        DataLossError: it is cut off or damaged.
        OSError: it cannot be read or copied.
    """
    if not isinstance(source, os.PathLike):
        name = getattr(source, "name", None)
        label = name if isinstance(name, str) else "the archive"
        if label == "<stdin>":
            label = "standard input"
        return Archive(label, _copied(source, label, root))
    label = str(source)
    descriptor = os.open(source, os.O_RDONLY | os.O_CLOEXEC)
    mode = os.fstat(descriptor).st_mode
    if stat.S_ISREG(mode):
        return Archive(label, descriptor)
    with open(descriptor, "rb") as stream:  # noqa: PTH123 (a descriptor)
        if not stat.S_ISFIFO(mode):
            raise InvalidArgumentError(f"{label}: neither a plain file nor a pipe")
        return Archive(label, _copied(stream, label, root))


def _copied(stream: BinaryIO, label: str, root: Path | None) -> int:
    """Return a descriptor of a copy of a stream; a stream that is no archive is not copied."""
    import tempfile  # noqa: PLC0415 (few archives come through a pipe)

    head = b""
    while len(head) < BLOCK and (data := read_available(stream, BLOCK - len(head))):
        head += data
    require_tar(head, label)
    with naming(f"a copy of {label} in {root}"), tempfile.TemporaryFile(dir=root) as copy:
        copy.write(head)
        while data := read_available(stream, _COPY_BYTES):
            copy.write(data)
        copy.flush()
        descriptor = os.dup(copy.fileno())
    os.lseek(descriptor, 0, os.SEEK_SET)
    return descriptor
