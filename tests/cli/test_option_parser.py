"""Command lines are parsed as the signature of a command says."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import pytest

from orlop.cli.help_page import help_page, summary
from orlop.cli.parser import Argument, Context, Group, HelpRequest, Option, UsageError

group = Group(help="Things.")
called: list[dict[str, object]] = []


@group.command()
def tag(
    context: Context,
    source: str,
    names: Annotated[list[str], Argument(help="The new names.")],
    target: Annotated[str, Argument(metavar="WHERE")],
    *,
    force: Annotated[bool, Option("--force", "-f", help="Replace.")] = False,
    copy: Annotated[bool, Option("--copy/--no-copy", help="Keep a copy.")] = True,
    labels: Annotated[list[str] | None, Option("--label", "-l", help="key=value")] = None,
    most_links: Annotated[int, Option(minimum=0, maximum=9, help="At most.")] = 3,
    pause: Annotated[float | None, Option("-p", minimum=0)] = None,
    file_: Annotated[Path | None, Option("--file")] = None,
) -> int:
    """Give a thing names. More is said here."""
    called.append({key: value for key, value in locals().items() if key != "context"})
    return 7 if context.path == "orlop tag" else 0


@group.command("ls")
def list_(_context: Context, filters: Annotated[list[Path] | None, Argument()] = None) -> None:
    """List things."""
    called.append({"filters": filters})


def run(line: str) -> dict[str, object]:
    called.clear()
    group.invoke(Context("orlop"), line.split())
    return called.pop()


def refusal(line: str) -> str:
    with pytest.raises(UsageError) as caught:
        run(line)
    assert caught.value.path == f"orlop {line.split(maxsplit=1)[0]}"
    return str(caught.value)


DEFAULTS = {
    "source": "a",
    "names": ["b", "c"],
    "target": "d",
    "force": False,
    "copy": True,
    "labels": None,
    "most_links": 3,
    "pause": None,
    "file_": None,
}


@pytest.mark.parametrize(
    ("line", "given"),
    [
        ("tag a b c d", {}),
        ("tag a b d", {"names": ["b"]}),
        ("tag a --force b c -- d", {"force": True}),
        ("tag a b c -- --force", {"target": "--force"}),
        ("tag a - c -- --", {"names": ["-", "c"], "target": "--"}),
        ("tag -f a b c d --no-copy", {"force": True, "copy": False}),
        ("tag --no-copy --copy a b c d", {}),
        ("tag a b c d --label x --label=y=z", {"labels": ["x", "y=z"]}),
        ("tag a b c d -lx -fl y", {"labels": ["x", "y"], "force": True}),
        ("tag a b c d --label --force", {"labels": ["--force"]}),
        ("tag a b c d --label=", {"labels": [""]}),
        ("tag a b c d --most-links 9 --most-links=0", {"most_links": 0}),
        ("tag a b c d -p1e-3", {"pause": 0.001}),
        ("tag a b c d --file /x", {"file_": Path("/x")}),
    ],
)
def test_values(line: str, given: dict[str, object]) -> None:
    assert run(line) == {**DEFAULTS, **given}


def test_a_list_that_may_be_empty() -> None:
    assert run("ls") == {"filters": None}
    assert run("ls a b") == {"filters": [Path("a"), Path("b")]}


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("tag", "Missing argument 'SOURCE'"),
        ("tag a", "Missing argument 'NAMES'"),
        ("tag a b", "Missing argument 'NAMES'"),
        ("tag a b c d --bogus", "No such option: --bogus"),
        ("tag a b c d -fx", "No such option: -x"),
        ("tag a b c d --forc", "No such option: --forc"),
        ("tag a b c d --force=1", "Option '--force' does not take a value"),
        ("tag a b c d --label", "Option '--label' requires an argument"),
        ("tag a b c d -l", "Option '-l' requires an argument"),
        ("tag a b c d -p x", "Invalid value for '-p': \"x\" is not a number"),
        ("tag a b c d -p nan", "Invalid value for '-p': nan is not 0 or more"),
        (
            "tag a b c d --most-links 1.5",
            "Invalid value for '--most-links': \"1.5\" is not a whole number",
        ),
        ("tag a b c d --most-links 10", "Invalid value for '--most-links': 10 is not 9 or less"),
        ("tag a b c d --most-links -1", "Invalid value for '--most-links': -1 is not 0 or more"),
    ],
)
def test_refusals(line: str, message: str) -> None:
    assert refusal(line) == message


def test_a_missing_target_is_the_last_name() -> None:
    assert refusal("ls --what") == "No such option: --what"
    assert run("tag a b c")["target"] == "c"


def test_a_group_names_what_it_does_not_have() -> None:
    with pytest.raises(UsageError, match="No such command 'x'") as caught:
        group.invoke(Context("orlop"), ["x"])
    assert caught.value.path == "orlop"
    with pytest.raises(UsageError) as caught:
        group.invoke(Context("orlop"), [])
    assert caught.value.group is group


def test_the_result_of_the_function_is_the_result() -> None:
    assert group.invoke(Context("orlop"), ["tag", "a", "b", "c"]) == 7


@pytest.mark.parametrize("line", ["tag --help", "tag --help a", "tag a --help b c"])
def test_help_is_asked_for_whatever_else_is_missing(line: str) -> None:
    called.clear()
    with pytest.raises(HelpRequest) as caught:
        group.invoke(Context("orlop"), line.split())

    assert (caught.value.command, caught.value.path) == (group.commands["tag"], "orlop tag")
    assert called == []


def test_the_help_page(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "60")

    assert help_page(group.commands["tag"], "orlop tag") == (
        "Usage: orlop tag [OPTIONS] SOURCE NAMES... WHERE\n"
        "\n"
        "  Give a thing names. More is said here.\n"
        "\n"
        "Arguments:\n"
        "  SOURCE\n"
        "  NAMES   The new names.\n"
        "  WHERE\n"
        "\n"
        "Options:\n"
        "  -f, --force          Replace.\n"
        "  --copy / --no-copy   Keep a copy.  [default: on]\n"
        "  -l, --label TEXT     key=value\n"
        "  --most-links NUMBER  At most.  [default: 3; 0 to 9]\n"
        "  -p NUMBER            [at least 0]\n"
        "  --file PATH\n"
        "  --help               Show this message and exit.\n"
        "\n"
        "  Options of all commands (--json, -n, --root, --db, ...):\n"
        "  orlop --help\n"
    )
    assert "  tag  Give a thing names.\n" in help_page(group, "orlop")


def test_a_summary_is_the_first_sentence() -> None:
    assert summary("Remove things. They go later.") == "Remove things."
    assert summary("Show db.py files") == "Show db.py files"
