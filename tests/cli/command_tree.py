"""All commands of the command line, each with arguments that it accepts."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from orlop.cli.main import app
from orlop.cli.parser import Argument, Command, Group

if TYPE_CHECKING:
    from collections.abc import Iterator

DIGEST = "sha256:" + "0" * 64
MISSING = "/nonexistent/file"
_WORDS = {
    "digest": DIGEST,
    "digests_": DIGEST,
    "labels": "a=b",
    "kind": "content",
    "resource": DIGEST,
    "path": MISSING,
}


def commands(
    group: Group = app, path: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], Command]]:
    """Iterate over the commands, each with the words that name it."""
    for name in group.commands:
        found = group.commands[name]
        if isinstance(found, Group):
            yield from commands(found, (*path, name))
        else:
            yield (*path, name), found


def minimal(path: tuple[str, ...], command: Command) -> list[str]:
    """Return a command line with only the required arguments."""
    required = [
        one
        for one in command.parameters
        if isinstance(one.declaration, Argument) and one.is_required
    ]
    return [
        *path,
        *(
            MISSING if one.type is Path else _WORDS.get(one.name, f"{one.name}-name")
            for one in required
        ),
    ]


COMMANDS = {" ".join(path): minimal(path, command) for path, command in commands()}
