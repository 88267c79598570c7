"""`orlop`: the groups of commands, and the options that all of them share."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Final

import orlop
from orlop.cli import errors, logs, signals
from orlop.cli.exit_codes import DONE
from orlop.cli.invocation import Invocation
from orlop.cli.lazy import LazyCommands
from orlop.cli.output import Output, adapt_streams, write
from orlop.cli.parser import Context, Group, HelpRequest, Option
from orlop.cli.session import DEFAULT_TIMEOUT_SECONDS, Session, default_root
from orlop.errors import FailedPreconditionError, InvalidArgumentError

app = Group(
    help="containerd's metadata layer: its database, its content and snapshots, its collector.",
    commands=LazyCommands(),
)

WITH_VALUE: Final = ("--root", "--db", "--namespace", "-n", "--timeout")
WITHOUT_VALUE: Final = ("--json", "--quiet", "-q")


def _say_version(output: Output) -> int:
    output.document(
        {"version": orlop.__version__, "accelerated": orlop.accelerated},
        [f"orlop {orlop.__version__}{' (accelerated)' * orlop.accelerated}"],
    )
    return DONE


@app.shared_options
def shared(
    context: Context,
    root: Annotated[
        Path | None,
        Option(
            help="The root directory, as containerd lays it out. "
            "[default: $ORLOP_ROOT, else ~/.local/share/orlop]",
        ),
    ] = None,
    db: Annotated[
        Path | None,
        Option(help="A bare meta.db in place of a root: metadata only."),
    ] = None,
    namespace: Annotated[
        str | None,
        Option(
            "--namespace",
            "-n",
            help="The namespace. Without it, reading commands show all, and writing ones use "
            "$CONTAINERD_NAMESPACE, else default.",
        ),
    ] = None,
    timeout: Annotated[
        float,
        Option(
            minimum=0,
            help="Seconds to wait for a lock, and for an answer about a database that is being "
            "written.",
        ),
    ] = DEFAULT_TIMEOUT_SECONDS,
    json: Annotated[
        bool,
        Option("--json", help="Answer in JSON: a document, or an object a line."),
    ] = False,
    quiet: Annotated[
        bool, Option("--quiet", "-q", help="Say nothing on stderr but errors.")
    ] = False,
    version: Annotated[bool, Option("--version", help="Say the version.")] = False,
) -> int | None:
    """Read the options that all commands share."""
    output = Output(json, quiet)
    if version:
        return _say_version(output)
    if root is not None and db is not None:
        raise InvalidArgumentError("--root and --db exclude each other: name one of them")
    if namespace is not None:
        _check_namespace(namespace)  # above all: a script's empty variable must not mean `default`
    invocation = context.obj if isinstance(context.obj, Invocation) else Invocation(as_json=json)
    context.obj = Session(
        root=root or default_root(),
        file=db,
        namespace=namespace,
        timeout=timeout,
        output=output,
        invocation=invocation,
    )
    return None


def _check_namespace(name: str) -> None:
    from orlop.stores.namespaces import check_name  # noqa: PLC0415 -- needed only with -n

    try:
        check_name(name)
    except FailedPreconditionError as error:
        raise InvalidArgumentError("the name of a namespace (-n) must not be empty") from error


def in_front(arguments: list[str]) -> list[str]:
    """Move the shared options to the front, from wherever they stand before a `--`."""
    end = arguments.index("--") if "--" in arguments else len(arguments)
    shared_ones: list[str] = []
    others: list[str] = []
    rest = iter(arguments[:end])
    for argument in rest:
        if argument in WITH_VALUE:
            shared_ones += [argument, *([value] if (value := next(rest, None)) is not None else [])]
        elif argument in WITHOUT_VALUE or _has_its_value(argument):
            shared_ones.append(argument)
        else:
            others.append(argument)
    return [*shared_ones, *others, *arguments[end:]]


def _has_its_value(argument: str) -> bool:
    """Whether this is a shared option and its value in one, as in `--root=DIR` or `-nDEFAULT`."""
    name, equals, _ = argument.partition("=")
    if argument.startswith("--"):
        return bool(equals) and name in WITH_VALUE
    return argument[:2] in WITH_VALUE


def main(arguments: list[str] | None = None) -> int:
    """Run a command line and return its exit code."""
    given = in_front(sys.argv[1:] if arguments is None else arguments)
    invocation = Invocation(as_json=_wants_json(given))
    adapt_streams(as_json=invocation.as_json)
    with signals.raising(), logs.shown():
        return errors.run(lambda: _answer(given, invocation), invocation)


def _answer(arguments: list[str], invocation: Invocation) -> object:
    """Run the command that the arguments name, or write the help page that they ask for."""
    try:
        return app.invoke(Context("orlop", invocation), arguments)
    except HelpRequest as request:
        from orlop.cli.help_page import help_page  # noqa: PLC0415 (only help needs it)

        write(help_page(request.command, request.path))
        return None


def _wants_json(arguments: list[str]) -> bool:
    """Whether `--json` is among the shared options, which `in_front` has put in front."""
    rest = iter(arguments)
    for argument in rest:
        if argument == "--json":
            return True
        if argument in WITH_VALUE:
            next(rest, None)
        elif argument not in WITHOUT_VALUE and not _has_its_value(argument):
            break
    return False


if __name__ == "__main__":
    sys.exit(main())
