"""The operating system as the engine's disk calls it, with one call that goes wrong."""

from __future__ import annotations

import errno
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True, slots=True)
class Fault:
    """The fault to inject.

    Attributes:
        call: the name of the function in `os`.
        error: the errno that it raises; 0: none.
        share: how much of its work it does first, in hundredths; more than 0 without an error
            is a short read or write, which is no failure.
    """

    call: str
    error: int = 0
    share: int = 0

    def __str__(self) -> str:
        name = errno.errorcode[self.error] if self.error else "short"
        return f"{self.call}-{name}{f'-after-{self.share}%' if self.share else ''}"


FAULTS = (
    Fault("pread", errno.EIO),
    Fault("pread", share=50),
    Fault("pwritev", errno.EIO),
    Fault("pwritev", errno.ENOSPC),
    Fault("pwritev", errno.EIO, share=50),
    Fault("pwritev", errno.ENOSPC, share=90),
    Fault("pwritev", share=50),
    Fault("pwritev", share=1),
    Fault("fdatasync", errno.EIO),
    Fault("fdatasync", errno.ENOSPC),
    Fault("posix_fallocate", errno.EIO),
    Fault("posix_fallocate", errno.ENOSPC),
    Fault("posix_fallocate", errno.ENOSPC, share=50),
)


class FaultyCalls:
    """Stands in the place of `os`: the call number `at` of the fault's kind goes wrong, once."""

    def __init__(self, fault: Fault, at: int) -> None:
        self.fault = fault
        self.left = at
        self.has_struck = False

    def __getattr__(self, name: str) -> Any:
        return getattr(os, name)

    def _strikes(self, call: str) -> bool:
        if call != self.fault.call:
            return False
        self.left -= 1
        if self.left:
            return False
        self.has_struck = True
        return True

    def _fail(self) -> None:
        if self.fault.error:
            raise OSError(self.fault.error, f"simulated: {self.fault}")

    def pread(self, descriptor: int, length: int, offset: int) -> bytes:
        if self._strikes("pread"):
            self._fail()
            length = max(length * self.fault.share // 100, 1)
        return os.pread(descriptor, length, offset)

    def pwritev(self, descriptor: int, chunks: Sequence[memoryview], offset: int) -> int:
        if not self._strikes("pwritev"):
            return os.pwritev(descriptor, chunks, offset)
        whole = b"".join(chunks)
        done = max(len(whole) * self.fault.share // 100, 0 if self.fault.error else 1)
        written = os.pwrite(descriptor, whole[:done], offset)
        self._fail()
        return written

    def fdatasync(self, descriptor: int) -> None:
        if self._strikes("fdatasync"):
            self._fail()
        os.fdatasync(descriptor)

    def posix_fallocate(self, descriptor: int, offset: int, length: int) -> None:
        if self._strikes("posix_fallocate"):
            if self.fault.share:
                os.posix_fallocate(descriptor, offset, length * self.fault.share // 100)
            self._fail()
        os.posix_fallocate(descriptor, offset, length)
