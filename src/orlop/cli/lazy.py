"""The top level of the command line: each group of commands is imported when it is first used."""

from __future__ import annotations

from collections.abc import MutableMapping
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import typer
from typer.core import TyperGroup
from typer.main import get_command

if TYPE_CHECKING:
    from collections.abc import Iterator

    # The command classes of typer have no public name.
    Command = Any

EPILOG: Final = "Options of all commands (--json, -n, --root, --db, ...): orlop --help"


class Entry(NamedTuple):
    """A group or a single command of the top level.

    Attributes:
        module: the module of `orlop.cli` that defines it in its `app`.
        summary: its line in `orlop --help`; a test compares it with the text in the module.
        is_group: True for all of `app`, False for the one command of that name in it.
    """

    module: str
    summary: str
    is_group: bool = True


ENTRIES: Final = {
    "why": Entry("questions", "Say who holds something, or why nothing does.", is_group=False),
    "roots": Entry(
        "questions",
        "List what holds itself: leases, images, ingests, containers,...",
        is_group=False,
    ),
    "referrers": Entry(
        "questions",
        "List who refers to something, whether that holds it or not.",
        is_group=False,
    ),
    "owner": Entry("questions", "Say which records name what lies at a path.", is_group=False),
    "image": Entry("image", "Images: names for root filesystems, with what describes them."),
    "content": Entry("content", "Content: blobs by their digest."),
    "snapshot": Entry("snapshot", "Snapshots: layers of file systems."),
    "container": Entry("container", "Containers: their descriptions."),
    "sandbox": Entry("sandbox", "Sandboxes: their descriptions."),
    "lease": Entry("lease", "Leases: they hold what nothing else refers to, until they end."),
    "namespace": Entry("namespace", "Namespaces: walls between tenants."),
    "gc": Entry("gc", "The collector: it removes what nothing holds."),
    "db": Entry("db", "The database file: what is in it, and is it sound."),
}


class LazyCommands(MutableMapping[str, "Command"]):
    """The commands of the top level by name, imported by the first look-up of each."""

    def __init__(self) -> None:
        self._loaded: dict[str, Command] = {}

    def __getitem__(self, name: str) -> Command:
        if name not in self._loaded:
            self._loaded[name] = _load(name, ENTRIES[name])
        return self._loaded[name]

    def __setitem__(self, name: str, command: Command) -> None:
        self._loaded[name] = command

    def __delitem__(self, name: str) -> None:
        raise TypeError(f"the command {name!r} cannot be removed")

    def __iter__(self) -> Iterator[str]:
        return iter(ENTRIES)

    def __len__(self) -> int:
        return len(ENTRIES)


class LazyGroup(TyperGroup):
    """The command `orlop`. Its help is written from `ENTRIES`, without any import."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**{**attributes, "commands": {}})
        self.commands = LazyCommands()

    def format_commands(self, ctx: Any, formatter: Any) -> None:  # noqa: ARG002 (typer's signature)
        """Write the section "Commands" of the help."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, entry.summary) for name, entry in ENTRIES.items()])


def _load(name: str, entry: Entry) -> Command:
    app = import_module(f"orlop.cli.{entry.module}").app
    for command in app.registered_commands:
        command.epilog = EPILOG
    # Through a parent, as typer builds groups: the settings of the parent count for its help.
    parent = typer.Typer(rich_markup_mode=None, add_completion=False)
    parent.add_typer(app, name=name if entry.is_group else None, no_args_is_help=True)
    found: Command = get_command(parent)
    return found.commands[name]
