"""Which platform an image is for, and which of several fits this machine.

Source: github.com/containerd/platforms; OCI image spec, image-index.md.
"""

from __future__ import annotations

import platform as machine
import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeAlias

from orlop.errors import InvalidArgumentError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_ARCHITECTURES = {
    "i386": ("386", ""),
    "i686": ("386", ""),
    "x86_64": ("amd64", None),
    "x86-64": ("amd64", None),
    "aarch64": ("arm64", None),
    "armhf": ("arm", "v7"),
    "armel": ("arm", "v6"),
    "armv7l": ("arm", "v7"),
    "armv6l": ("arm", "v6"),
}
"""Other names of architectures, with the variant that they mean (`None`: that of the platform)."""

_LEAST_ARM = 5
_PART = re.compile(r"[A-Za-z0-9_.-]+")
_NUMBERED = re.compile(r"v([0-9]{1,2})")
"""A variant that stands for all with a lower number; real numbers are below 10."""
_MOST_PARTS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Platform:
    """An operating system and a processor, in Go's words."""

    os: str
    architecture: str
    variant: str = ""

    def __str__(self) -> str:
        return "/".join(filter(None, (self.os, self.architecture, self.variant)))

    def normalized(self) -> Platform:
        """Return the platform under its usual names: `linux/arm64` for `Linux/aarch64/v8`."""
        system = self.os.lower() or machine.system().lower()
        architecture, variant = self.architecture.lower(), self.variant.lower()
        architecture, meant = _ARCHITECTURES.get(architecture, (architecture, None))
        variant = variant if meant is None else meant
        if (architecture, variant) in {("amd64", "v1"), ("arm64", "8"), ("arm64", "v8")}:
            variant = ""
        if architecture == "arm":
            variant = variant or "v7"
            variant = f"v{variant}" if variant.isascii() and variant.isdigit() else variant
        return Platform(
            os="darwin" if system == "macos" else system,
            architecture=architecture,
            variant=variant,
        )


def this_platform() -> Platform:
    """Return the platform of this machine."""
    return Platform(os=machine.system(), architecture=machine.machine()).normalized()


def parse_platform(text: str) -> Platform:
    """Read `os/architecture[/variant]`.

    Raises:
        InvalidArgumentError: it is something else.
    """
    parts = text.split("/")
    if not 1 < len(parts) <= _MOST_PARTS or not all(map(_PART.fullmatch, parts)):
        raise InvalidArgumentError(f"platform {text!r}: write os/architecture, as in linux/amd64")
    variant = parts[2] if len(parts) == _MOST_PARTS else ""
    return Platform(os=parts[0], architecture=parts[1], variant=variant).normalized()


def accepted(platform: Platform) -> tuple[Platform, ...]:
    """Return the platforms with images that run on `platform`, the best first."""
    first = platform.normalized()
    found = [first]
    match = _NUMBERED.fullmatch(first.variant)
    number = int(match[1]) if match else 0
    if first.architecture == "amd64":
        found += [replace(first, variant=f"v{n}") for n in range(number - 1, 0, -1)]
        found.append(replace(first, architecture="386", variant=""))
    elif first.architecture == "arm":
        found += [replace(first, variant=f"v{n}") for n in range(number - 1, _LEAST_ARM - 1, -1)]
    elif first.architecture == "arm64":
        found += accepted(replace(first, architecture="arm", variant=first.variant or "v8"))
    return tuple(entry.normalized() for entry in found)


def ranking(platform: Platform) -> Callable[[Platform | None], int | None]:
    """Return a function that ranks platforms for `platform`, lower is better.

    A platform that does not fit ranks `None`; one that is not stated (`None`) fits, last.
    """
    order = accepted(platform)

    def rank(candidate: Platform | None) -> int | None:
        if candidate is None:
            return len(order)
        usual = candidate.normalized()
        return order.index(usual) if usual in order else None

    return rank


Chooser: TypeAlias = "Callable[[Sequence[Platform | None]], list[bool]]"
"""Tells of the platforms in an index which ones are taken; `None` is one that is not stated."""


def chooser(asked: Platform | None, *, all_platforms: bool = False) -> Chooser:
    """Return the function that chooses among the platforms of an index.

    What was asked for is that platform alone. Where nothing was asked for, it is this machine's
    if it is listed, and what else could run here if not: an image for 386, say, is taken on
    amd64 only where there is none for amd64.

    Args:
        asked: the platform that was asked for; `None` where none was.
        all_platforms: take all of them.
    """
    exact = (asked or this_platform()).normalized()
    could_run = ranking(exact)

    def choose(stated: Sequence[Platform | None]) -> list[bool]:
        if all_platforms:
            return [True for _ in stated]
        chosen = [one is None or one.normalized() == exact for one in stated]
        if asked is None and not any(
            one for one, is_chosen in zip(stated, chosen, strict=True) if is_chosen
        ):
            return [could_run(one) is not None for one in stated]
        return chosen

    return choose
