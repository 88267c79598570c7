"""The top level of the command line: each group of commands is imported when it is first used."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

    from orlop.cli.parser import Command, Group


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
    "why": Entry(
        "questions", "Show the references that keep a record, or why none does.", is_group=False
    ),
    "roots": Entry(
        "questions",
        "List root nodes: leases, images, ingests, containers, sandboxes, labelled blobs.",
        is_group=False,
    ),
    "referrers": Entry(
        "questions",
        "List the records that refer to a record, also in vain.",
        is_group=False,
    ),
    "owner": Entry("questions", "Show the records that name the data at a path.", is_group=False),
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


class LazyCommands(Mapping[str, "Command | Group"]):
    """The commands of the top level by name, imported by the first look-up of each."""

    def __init__(self) -> None:
        self._loaded = dict[str, "Command | Group"]()

    @property
    def summaries(self) -> dict[str, str]:
        """The lines of the help page, without any import."""
        return {name: entry.summary for name, entry in ENTRIES.items()}

    def __getitem__(self, name: str) -> Command | Group:
        if name not in self._loaded:
            entry = ENTRIES[name]
            group: Group = import_module(f"orlop.cli.{entry.module}").app
            self._loaded[name] = group if entry.is_group else group.commands[name]
        return self._loaded[name]

    def __iter__(self) -> Iterator[str]:
        return iter(ENTRIES)

    def __len__(self) -> int:
        return len(ENTRIES)

    def __contains__(self, name: object) -> bool:
        return name in ENTRIES
