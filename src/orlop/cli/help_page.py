"""The help page of a command or a group of commands."""

from __future__ import annotations

import os
import sys
import textwrap
from typing import TYPE_CHECKING, Final

from orlop.cli.parser import HELP, Argument, Command, Group, Option, Parameter

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

EPILOG: Final = "Options of all commands (--json, -n, --root, --db, ...): orlop --help"

_WIDTH_MAX: Final = 80
_WIDTH_MIN: Final = 40
_FIRST_COLUMN_MAX: Final = 30
_GAP: Final = "  "


def help_page(command: Command | Group, path: str) -> str:
    """Return the help page of a command that is called by `path`."""
    width = max(_WIDTH_MIN, min(_WIDTH_MAX, _columns()))
    return "\n".join(_lines(command, path, width)) + "\n"


def _columns() -> int:
    """Return the columns of the terminal; shutil says it, too, but takes 2 ms to import."""
    named = os.environ.get("COLUMNS", "")
    if named.isdecimal():
        return int(named)
    try:
        return os.get_terminal_size(sys.stdout.fileno()).columns or _WIDTH_MAX
    except (OSError, ValueError):  # no terminal, or no file
        return _WIDTH_MAX


def summary(text: str) -> str:
    """Return the first sentence of a text."""
    first, dot, _ = text.partition(". ")
    return first + "." if dot else first


def _lines(command: Command | Group, path: str, width: int) -> Iterator[str]:
    positional = [one for one in command.parameters if isinstance(one.declaration, Argument)]
    words = ["COMMAND [ARGS]..."] if isinstance(command, Group) else []
    usage = " ".join([path, "[OPTIONS]", *(one.metavar for one in positional), *words])
    yield from textwrap.wrap(
        usage, width, initial_indent="Usage: ", subsequent_indent=" " * 7, break_long_words=False
    )
    yield from _paragraph(command.help, width)
    if any(one.declaration.help for one in positional):
        yield from _section(
            "Arguments",
            [(one.metavar.strip("[]."), one.declaration.help) for one in positional],
            width,
        )
    yield from _section("Options", _options(command.parameters), width)
    if isinstance(command, Group):
        yield from _section(
            "Commands",
            [(name, summary(text)) for name, text in _commands(command)],
            width,
        )
    is_top = " " not in path
    yield from _paragraph(
        "The options above may stand anywhere in a command line." if is_top else EPILOG, width
    )


def _commands(group: Group) -> Iterator[tuple[str, str]]:
    """Iterate over the names of commands and their help, without importing their modules."""
    summaries = getattr(group.commands, "summaries", None)
    if summaries is not None:
        yield from summaries.items()
        return
    for name, command in group.commands.items():
        yield name, command.help


def _options(parameters: Sequence[Parameter]) -> list[tuple[str, str]]:
    rows = [
        (_option_names(one), _option_help(one, one.declaration))
        for one in parameters
        if isinstance(one.declaration, Option)
    ]
    return [*rows, (HELP, "Show this message and exit.")]


def _option_names(option: Parameter) -> str:
    names = sorted(option.switches, key=len)
    separator = " / " if False in option.switches.values() else ", "
    return f"{separator.join(names)} {option.metavar}".rstrip()


def _option_help(option: Parameter, declared: Option) -> str:
    notes = []
    if not option.is_list and option.default not in (None, False, ""):
        notes.append(f"default: {option.default}" if not option.is_flag else "default: on")
    if declared.minimum is not None and declared.maximum is not None:
        notes.append(f"{declared.minimum:g} to {declared.maximum:g}")
    elif declared.minimum is not None:
        notes.append(f"at least {declared.minimum:g}")
    return f"{declared.help}  [{'; '.join(notes)}]".strip() if notes else declared.help


def _paragraph(text: str, width: int) -> Iterator[str]:
    yield ""
    yield from textwrap.wrap(text, width, initial_indent=_GAP, subsequent_indent=_GAP)


def _section(title: str, rows: Sequence[tuple[str, str]], width: int) -> Iterator[str]:
    yield ""
    yield f"{title}:"
    column = max(len(left) for left, _ in rows if len(left) <= _FIRST_COLUMN_MAX)
    indent = " " * (len(_GAP) + column + len(_GAP))
    for left, right in rows:
        texts = textwrap.wrap(right, width - len(indent)) or [""]
        if len(left) > column:
            yield _GAP + left
        else:
            first, *texts = texts
            yield f"{_GAP}{left.ljust(column)}{_GAP}{first}".rstrip()
        yield from (indent + text for text in texts)
