"""Reads JSON as Go's decoder reads into a struct: only the fields asked for are kept.

The documents of an image were made for containerd, which reads them with Go: a key counts in
any case, of a key that comes twice both count, bytes that are no UTF-8 become the replacement
character, and what nobody asks for may be anything. Memory is bounded by what is asked for: the
rest is checked and passed over, however deep or long it is.

Source: documentation of Go's encoding/json, Unmarshal; RFC 8259.
"""

from __future__ import annotations

import codecs
import enum
import json
import re
import string
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeAlias

from orlop.errors import InvalidArgumentError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

MAX_DEPTH: Final = 10_000
"""How many objects and arrays may lie inside each other, as in Go."""
MAX_VALUES: Final = 250_000
"""How many values of one document are kept at most."""

_SPACE = re.compile(rb"[ \t\n\r]*+")
_STRING = re.compile(
    rb'"([^"\\\x00-\x1f]*+(?:\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4})[^"\\\x00-\x1f]*+)*+)"'
)
_LITERAL = re.compile(rb"null|true|false|-?(?:0|[1-9][0-9]*+)(?:\.[0-9]++)?(?:[eE][+-]?[0-9]++)?")
_INTEGER = re.compile(rb"-?[0-9]{1,19}")
_SURROGATE = re.compile("[\ud800-\udfff]")
_LARGEST = 1 << 63
_OPENS = {ord("{"): ord("}"), ord("["): ord("]")}
_COMMA, _COLON, _QUOTE, _BRACE, _BRACKET = b',:"{['
_EMPTY_LIST = re.compile(rb"\[[ \t\n\r]*+\]")
_NUMBER = b"-0123456789"
_SPACES = b" \t\n\r"
# Go's folding of a key of ASCII letters: two other characters count as s and k.
_FOLDED = {ord(upper): upper.lower() for upper in string.ascii_uppercase} | {
    0x17F: "s",
    0x212A: "k",
}
_REPLACED = "orlop.replace-each-byte"

codecs.register_error(_REPLACED, lambda error: ("\ufffd", getattr(error, "start", 0) + 1))


class Scalar(enum.Enum):
    """A field that is no list and no object."""

    TEXT = "a string"
    INTEGER = "an integer"
    TEXT_MAP = "an object of strings"
    RAW = "anything"


class Raw(enum.Enum):
    """A field that may hold anything."""

    NULL = "null"
    EMPTY = "an empty list"
    FILLED = "something else"


class Struct:
    """An object with fields of known kinds; other keys are passed over.

    Attributes:
        optional: whether `null` stands for no object, as it does for a pointer in Go.
    """

    def __init__(self, fields: Mapping[str, Kind], *, optional: bool = False) -> None:
        self._fields = dict(fields)
        self._folded = {_fold(name): name for name in fields}
        self.optional = optional

    def field(self, key: str) -> tuple[str, Kind] | None:
        """Return name and kind of the field that a key means; `None` where it means none."""
        name = key if key in self._fields else self._folded.get(_fold(key))
        return None if name is None else (name, self._fields[name])


@dataclass(frozen=True, slots=True)
class ListOf:
    """A list of values of one kind."""

    kind: Kind


Kind: TypeAlias = "Scalar | Struct | ListOf"
Json: TypeAlias = "dict[str, object]"


def decode(data: bytes, kind: Kind, where: str, *, whole: bool = True) -> object:
    """Return the value of `kind` in a document: a dict for a struct, with the fields present.

    Args:
        data: the document.
        kind: what is kept of it.
        where: names it in errors.
        whole: whether nothing but white space may follow.

    Raises:
        InvalidArgumentError: it is no JSON, of another kind, or too much of it would be kept.
    """
    reader = _Reader(data, where)
    value = reader.value(kind, None)
    if whole:
        reader.require_end()
    return value


def _fold(key: str) -> str:
    return key.translate(_FOLDED)


class _Reader:
    """A position in a document."""

    def __init__(self, data: bytes, where: str) -> None:
        self._data = data
        self._where = where
        self._position = 0
        self._depth = 0
        self._kept = 0
        self._field = ""

    def value(self, kind: Kind, old: object) -> object:
        """Read a value; `old` is the value of an earlier key of that name, `None` without one."""
        head = self._peek()
        if kind is Scalar.RAW:
            return self._raw(head)
        self._kept += 1
        if self._kept > MAX_VALUES:
            raise InvalidArgumentError(f"{self._where}: more than {MAX_VALUES} values")
        if head == ord("n"):
            self._literal()
            is_cleared = isinstance(kind, ListOf) or kind is Scalar.TEXT_MAP
            return None if is_cleared or (isinstance(kind, Struct) and kind.optional) else old
        if kind is Scalar.TEXT and head == _QUOTE:
            return self._text()
        if kind is Scalar.INTEGER and head in _NUMBER and (number := self._integer()) is not None:
            return number
        return self._composite(kind, head, old)

    def _composite(self, kind: Kind, head: int, old: object) -> object:
        if isinstance(kind, Struct) and head == _BRACE:
            return self._struct(kind, old if isinstance(old, dict) else {})
        if isinstance(kind, ListOf) and head == _BRACKET:
            return self._list(kind.kind, old if isinstance(old, list) else [])
        if kind is Scalar.TEXT_MAP and head == _BRACE:
            return self._text_map(old if isinstance(old, dict) else {})
        wanted = "an object" if isinstance(kind, Struct) else "a list"
        if isinstance(kind, Scalar):
            wanted = kind.value
        raise self._error(f"{self._field}{wanted} is expected")

    def require_end(self) -> None:
        """Refuse anything but white space after the value."""
        self._position = self._after_space()
        if self._position < len(self._data):
            raise self._error("something follows the document")

    def _struct(self, kind: Struct, found: Json) -> Json:
        for key in self._keys():
            field = kind.field(key)
            if field is None:
                self._skip()
                continue
            name, inner = field
            self._field = f"{name}: "
            value = self.value(inner, found.get(name))
            if value is None:
                found.pop(name, None)
            else:
                found[name] = value
        return found

    def _text_map(self, found: Json) -> Json:
        for key in self._keys():
            # A value of null is an empty text.
            found[key] = self.value(Scalar.TEXT, None) or ""
        return found

    def _list(self, kind: Kind, old: list[object]) -> list[object]:
        """Read a list; where a key comes twice, its entries are laid over the earlier ones."""
        found: list[object] = []
        self._enter()
        if self._peek() == ord("]"):
            self._position += 1
        else:
            while True:
                before = old[len(found)] if len(found) < len(old) else None
                value = self.value(kind, before)
                if value is None:
                    value = {} if isinstance(kind, Struct) else ""
                found.append(value)
                if self._separator(ord("]")):
                    break
        self._depth -= 1
        return found

    def _keys(self) -> Iterator[str]:
        """Iterate over the keys of an object; the value is read before the next."""
        self._enter()
        if self._peek() == ord("}"):
            self._position += 1
        else:
            while True:
                yield self._key()
                if self._separator(ord("}")):
                    break
        self._depth -= 1

    def _key(self) -> str:
        if self._peek() != _QUOTE:
            raise self._error("a key is expected")
        key = self._text()
        if self._peek() != _COLON:
            raise self._error("a colon is expected")
        self._position += 1
        return key

    def _separator(self, closing: int) -> bool:
        """Read a comma or the end of an object or list; tell whether it was the end."""
        head = self._peek()
        if head not in {_COMMA, closing}:
            raise self._error("a comma is expected")
        self._position += 1
        return head == closing

    def _enter(self) -> None:
        self._position += 1
        self._depth += 1

    def _raw(self, head: int) -> Raw:
        start = self._position
        self._skip()
        if head == ord("n"):
            return Raw.NULL
        return Raw.EMPTY if _EMPTY_LIST.match(self._data, start) else Raw.FILLED

    def _skip(self) -> None:
        """Read over a value of any kind, without recursion."""
        closing = bytearray()
        while True:
            head = self._peek()
            if head in _OPENS:
                if self._depth + len(closing) >= MAX_DEPTH:
                    raise self._error(f"more than {MAX_DEPTH} levels")
                self._position += 1
                closing.append(_OPENS[head])
                if self._peek() != closing[-1]:
                    if head == _BRACE:
                        self._skip_key()
                    continue
            elif head == _QUOTE:
                self._string()
            else:
                self._literal()
            if self._skip_ends(closing):
                return

    def _skip_ends(self, closing: bytearray) -> bool:
        """Read the ends after a value, and the comma before the next; true where all ended."""
        while closing:
            head = self._peek()
            if head == closing[-1]:
                closing.pop()
                self._position += 1
            elif head == _COMMA:
                self._position += 1
                if closing[-1] == ord("}"):
                    self._skip_key()
                return False
            else:
                raise self._error("a comma is expected")
        return True

    def _skip_key(self) -> None:
        if self._peek() != _QUOTE:
            raise self._error("a key is expected")
        self._string()
        if self._peek() != _COLON:
            raise self._error("a colon is expected")
        self._position += 1

    def _text(self) -> str:
        start = self._position
        self._string()
        raw = self._data[start : self._position]
        text = raw.decode("utf-8", _REPLACED)
        if b"\\" not in raw:
            return text[1:-1]
        loaded: str = json.loads(text)
        # Half of a pair stands for no character.
        return _SURROGATE.sub("\ufffd", loaded)

    def _string(self) -> None:
        match = _STRING.match(self._data, self._position)
        if match is None:
            raise self._error("a string is damaged")
        self._position = match.end()

    def _integer(self) -> int | None:
        """Read a number; `None` where it is no integer that fits."""
        start = self._position
        self._literal()
        match = _INTEGER.fullmatch(self._data, start, self._position)
        number = int(match[0]) if match else _LARGEST
        return number if -_LARGEST <= number < _LARGEST else None

    def _literal(self) -> None:
        match = _LITERAL.match(self._data, self._position)
        if match is None:
            raise self._error("a value is expected")
        self._position = match.end()

    def _peek(self) -> int:
        """Skip white space and return the next byte, which stays; -1 at the end."""
        data = self._data
        if self._position < len(data) and data[self._position] in _SPACES:
            self._position = self._after_space()
        return data[self._position] if self._position < len(data) else -1

    def _after_space(self) -> int:
        match = _SPACE.match(self._data, self._position)
        return self._position if match is None else match.end()

    def _error(self, reason: str) -> InvalidArgumentError:
        return InvalidArgumentError(
            f"{self._where}: not readable as JSON ({reason}, byte {self._position})"
        )
