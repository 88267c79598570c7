"""Commands declared by the signatures of functions, and the parser of their command lines.

A parameter is an argument, or an option where its annotation says so:

```python
@group.command()
def ls(context: Context, limit: Annotated[int, Option(minimum=0, help="At most.")] = 10) -> None:
```

Options may stand anywhere among the arguments of their command, `--` ends them. Nothing that is
slow to import is used here: docs/decisions/0036-an-option-parser-that-starts-fast.md.
"""

from __future__ import annotations

from math import inf
from pathlib import Path
from types import UnionType
from typing import TYPE_CHECKING, Annotated, Any, Final, get_args, get_origin, get_type_hints

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

HELP: Final = "--help"
_WHOLE: Final = -(2**62), 2**62
"""Bounds of every whole number: one more is still an index, and a size for the system."""


class UsageError(Exception):
    """A command line that cannot be parsed.

    Attributes:
        path: the command that it was meant for, with its groups.
        group: where it names a group without a command: that group, whose help page says more.
    """

    def __init__(self, message: str, path: str, group: Group | None = None) -> None:
        super().__init__(message)
        self.path = path
        self.group = group


class HelpRequest(Exception):  # noqa: N818 (no error)
    """A command line with `--help`.

    Attributes:
        command: what is to be explained.
        path: the command with its groups.
    """

    def __init__(self, command: Command | Group, path: str) -> None:
        super().__init__(path)
        self.command = command
        self.path = path


class Context:
    """The running command, with the values of the shared options.

    Attributes:
        path: the command with its groups: `orlop image ls`.
        obj: what the options of the top level have made.
    """

    __slots__ = ("obj", "path")

    def __init__(self, path: str, obj: object = None) -> None:
        self.path = path
        self.obj = obj


class Argument:
    """Declares a positional parameter: required without a default, repeated where it is a list."""

    __slots__ = ("help", "metavar")

    def __init__(self, *, help: str = "", metavar: str = "") -> None:  # noqa: A002 (the word of help pages)
        self.help = help
        self.metavar = metavar


class Option:
    """Declares an option: a flag where it is a bool, repeatable where it is a list.

    Attributes:
        names: as in `--quiet`, `-q`, or `--copy/--no-copy`; none: `--` and the parameter's name.
        help: its text on the help page.
        metavar: what stands for its value there; empty: a word for its type.
        minimum: the smallest number allowed; whole ones are -2^62 or more.
        maximum: the largest number allowed; whole ones are 2^62 or less.
    """

    __slots__ = ("help", "maximum", "metavar", "minimum", "names")

    def __init__(
        self,
        *names: str,
        help: str = "",  # noqa: A002 (the word of help pages)
        metavar: str = "",
        minimum: float | None = None,
        maximum: float | None = None,
    ) -> None:
        self.names = names
        self.help = help
        self.metavar = metavar
        self.minimum = minimum
        self.maximum = maximum


class Parameter:
    """A parameter of a command's function, as its annotation and its default declare it."""

    _WORDS: Final = {str: "TEXT", int: "NUMBER", float: "NUMBER", Path: "PATH"}

    def __init__(self, name: str, hint: Any, default: object, *, is_required: bool) -> None:
        self.name = name
        self.default = default
        self.is_required = is_required
        self.declaration: Argument | Option = Argument()
        if get_origin(hint) is Annotated:
            hint, self.declaration = get_args(hint)
        if get_origin(hint) is UnionType:
            hint = next(one for one in get_args(hint) if one is not type(None))
        self.is_list = get_origin(hint) is list
        self.type: type = get_args(hint)[0] if self.is_list else hint

    @property
    def is_flag(self) -> bool:
        """Whether this is an option that takes no value."""
        return isinstance(self.declaration, Option) and self.type is bool

    @property
    def metavar(self) -> str:
        """The placeholder for the value on a help page."""
        if self.declaration.metavar or self.is_flag:
            return self.declaration.metavar
        if isinstance(self.declaration, Option):
            return self._WORDS[self.type]
        name = self.name.strip("_").upper()
        text = f"{name}..." if self.is_list else name
        return text if self.is_required else f"[{text}]"

    @property
    def switches(self) -> dict[str, bool]:
        """The names of an option; False for those that switch a flag off."""
        if not isinstance(self.declaration, Option):
            return {}
        names = self.declaration.names or (f"--{self.name.strip('_').replace('_', '-')}",)
        pairs = [name.partition("/") for name in names]
        return {on: True for on, _, _ in pairs} | {off: False for _, _, off in pairs if off}

    def convert(self, text: str, path: str) -> object:
        """Return a value for the parameter.

        Raises:
            UsageError: the text is no such value.
        """
        if self.type in {int, float}:
            return self._number(text, path)
        return Path(text) if self.type is Path else text

    def _number(self, text: str, path: str) -> float:
        try:
            number: float = self.type(text)
        except ValueError:
            kind = "a whole number" if self.type is int else "a number"
            raise self._invalid(f'"{text}" is not {kind}', path) from None
        declared = self.declaration
        bounds = _WHOLE if self.type is int else (-inf, inf)
        if isinstance(declared, Option):
            least, most = declared.minimum, declared.maximum
            bounds = bounds[0] if least is None else least, bounds[1] if most is None else most
        # Negated, so that it refuses what is no number at all, too: nan.
        if not number >= bounds[0]:
            raise self._invalid(f"{text} is not {bounds[0]} or more", path)
        if not number <= bounds[1]:
            raise self._invalid(f"{text} is not {bounds[1]} or less", path)
        return number

    def _invalid(self, reason: str, path: str) -> UsageError:
        return UsageError(f"Invalid value for '{self.title}': {reason}", path)

    @property
    def title(self) -> str:
        """The name that a message gives it."""
        return next(iter(self.switches), self.metavar.strip("[]."))


class Command:
    """A command: a function, called with the values that its command line gives."""

    def __init__(self, name: str, function: Callable[..., object]) -> None:
        self.name = name
        self.function = function
        self.help = " ".join((function.__doc__ or "").split())
        self._parameters: list[Parameter] | None = None

    @property
    def parameters(self) -> list[Parameter]:
        """The parameters of the function but the context, which comes first."""
        if self._parameters is None:
            self._parameters = list(_parameters_of(self.function))
        return self._parameters

    def invoke(self, context: Context, arguments: Sequence[str]) -> object:
        """Parse the arguments, call the function with them, and return its result.

        Raises:
            UsageError: they are not those of this command.
            HelpRequest: `--help` is among them.
        """
        parsed = _Parsed(self.parameters, context.path)
        parsed.read(arguments, is_interspersed=True)
        if parsed.wants_help:
            raise HelpRequest(self, context.path)
        return self.function(context, **parsed.values())


class Group:
    """Commands under one name, and the options that stand before the name of one.

    Attributes:
        help: its text on the help page.
        commands: the commands by name.
        options: the command that reads the options; its result, where it has one, is the end.
    """

    def __init__(
        self,
        *,
        help: str = "",  # noqa: A002 (the word of help pages)
        commands: Mapping[str, Command | Group] | None = None,
    ) -> None:
        self.help = help
        self._own = dict[str, "Command | Group"]()
        self.commands: Mapping[str, Command | Group] = self._own if commands is None else commands
        self.options: Command | None = None

    def command(self, name: str = "") -> Callable[[Callable[..., object]], Callable[..., object]]:
        """Return a decorator that adds a function as a command of that name, or its own."""

        def add(function: Callable[..., object]) -> Callable[..., object]:
            found = Command(name or function.__name__, function)
            self._own[found.name] = found
            return function

        return add

    def include(self, other: Group) -> None:
        """Add the commands of another group."""
        self._own.update(other.commands)

    def shared_options(self, function: Callable[..., object]) -> Callable[..., object]:
        """Let a function read the options that stand before the name of a command."""
        self.options = Command("", function)
        return function

    @property
    def parameters(self) -> list[Parameter]:
        """The options that stand before the name of a command."""
        return self.options.parameters if self.options else []

    def invoke(self, context: Context, arguments: Sequence[str]) -> object:
        """Run the command that the arguments name, and return its result.

        Raises:
            UsageError: they name none, or are not those of the command.
            HelpRequest: `--help` is among them.
        """
        parsed = _Parsed(self.parameters, context.path)
        parsed.read(arguments, is_interspersed=False)
        if parsed.wants_help:
            raise HelpRequest(self, context.path)
        if self.options is not None:
            ended = self.options.function(context, **parsed.options())
            if ended is not None:
                return ended
        if not parsed.words:
            raise UsageError("Missing command", context.path, self)
        name, *rest = parsed.words
        if name not in self.commands:
            raise UsageError(f"No such command '{name}'", context.path)
        return self.commands[name].invoke(Context(f"{context.path} {name}", context.obj), rest)


class _Parsed:
    """The arguments and options parsed so far."""

    def __init__(self, parameters: Sequence[Parameter], path: str) -> None:
        self._path = path
        self._parameters = parameters
        self._switches = {
            name: (parameter, is_on)
            for parameter in parameters
            for name, is_on in parameter.switches.items()
        }
        self._found: dict[str, Any] = {}
        self.words: list[str] = []
        self.wants_help = False

    def read(self, arguments: Sequence[str], *, is_interspersed: bool) -> None:
        """Tell options from words; where options come first, the first word ends them."""
        rest = iter(arguments)
        for argument in rest:
            if argument == "--":
                self.words += rest
            elif argument.startswith("--"):
                name, equals, value = argument.partition("=")
                self._take(name, value if equals else None, rest)
            elif argument.startswith("-") and argument != "-":
                self._take_letters(argument[1:], rest)
            else:
                self.words += [argument] if is_interspersed else [argument, *rest]

    def _take_letters(self, letters: str, rest: Iterator[str]) -> None:
        """Read short options: several flags in one, or the last with its value behind it."""
        for position, letter in enumerate(letters, 1):
            parameter, _ = self._switch(f"-{letter}")
            if not parameter.is_flag:
                self._take(f"-{letter}", letters[position:] or None, rest)
                return
            self._take(f"-{letter}", None, rest)

    def _take(self, name: str, value: str | None, rest: Iterator[str]) -> None:
        if name == HELP:
            self.wants_help = True
            return
        parameter, is_on = self._switch(name)
        if parameter.is_flag:
            if value is not None:
                raise UsageError(f"Option '{name}' does not take a value", self._path)
            self._found[parameter.name] = is_on
            return
        text = next(rest, None) if value is None else value
        if text is None:
            raise UsageError(f"Option '{name}' requires an argument", self._path)
        converted = parameter.convert(text, self._path)
        if parameter.is_list:
            self._found.setdefault(parameter.name, []).append(converted)
        else:
            self._found[parameter.name] = converted

    def _switch(self, name: str) -> tuple[Parameter, bool]:
        if name not in self._switches:
            raise UsageError(f"No such option: {name}", self._path)
        return self._switches[name]

    def options(self) -> dict[str, object]:
        """Return the values of the options: those found, and defaults."""
        return {
            one.name: self._found.get(one.name, one.default)
            for one in self._parameters
            if isinstance(one.declaration, Option)
        }

    def values(self) -> dict[str, object]:
        """Return the values of all parameters.

        Raises:
            UsageError: words are missing, or there are more than arguments.
        """
        positional = [one for one in self._parameters if isinstance(one.declaration, Argument)]
        found = self.options()
        words = list(self.words)
        for number, one in enumerate(positional, 1):
            later = sum(other.is_required for other in positional[number:])
            count = max(len(words) - later, 0) if one.is_list else 1
            taken, words = words[:count], words[count:]
            if not taken and one.is_required:
                raise UsageError(f"Missing argument '{one.title}'", self._path)
            converted = [one.convert(word, self._path) for word in taken]
            given = converted if one.is_list else next(iter(converted), None)
            found[one.name] = given if taken else one.default
        if words:
            raise UsageError(f"Got unexpected extra argument(s) ({' '.join(words)})", self._path)
        return found


def _parameters_of(function: Callable[..., object]) -> Iterator[Parameter]:
    hints = get_type_hints(function, include_extras=True)
    code = function.__code__
    positional = code.co_varnames[: code.co_argcount]
    names = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
    values = function.__defaults__ or ()
    defaults = dict(zip(reversed(positional), reversed(values), strict=False))
    defaults |= function.__kwdefaults__ or {}
    for name in names[1:]:
        yield Parameter(name, hints[name], defaults.get(name), is_required=name not in defaults)
