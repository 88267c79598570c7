"""From an expression to tokens.

The scanner keeps to containerd's in everything that can be seen: which token is found, where,
and which fault is reported first.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from enum import Enum
from string import ascii_letters, digits, hexdigits, octdigits
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

END: Final = ""
"""What stands behind the last character."""
ILLEGAL: Final = "\N{REPLACEMENT CHARACTER}"
"""What stands for a character that no expression may contain, and is itself one."""

# Unicode's White_Space. str.isspace knows four control characters more.
_SPACES: Final = frozenset(
    "\t\n\v\f\r \x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a"
    "\u2028\u2029\u202f\u205f\u3000"
)
_FIELD: Final = frozenset(ascii_letters + digits + "_")
_QUOTES: Final = frozenset('"/|')
_SEPARATORS: Final = frozenset(",.")
_OPERATORS: Final = frozenset("=!~")
_SIMPLE_ESCAPES: Final = frozenset("abfnrtv\\")
# Which digits follow, and how many, after x, u and U.
_HEXADECIMAL_ESCAPES: Final = {"x": 2, "u": 4, "U": 8}
_OCTAL_DIGITS: Final = 3
_SURROGATES: Final = range(0xD800, 0xE000)
# First letters of the categories that may stand in a value: letters, marks, numbers,
# punctuation and symbols.
_VALUE_CATEGORIES: Final = frozenset("LMNPS")


class TokenKind(Enum):
    """The kinds of tokens."""

    END = "end"
    QUOTED = "quoted"
    VALUE = "value"
    FIELD = "field"
    SEPARATOR = "separator"
    OPERATOR = "operator"
    ILLEGAL = "illegal"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class Token:
    """A token, where it begins (a character's index), and its text as it stands there."""

    kind: TokenKind
    position: int
    text: str = ""


class Scanner:
    """Cuts one expression into tokens.

    Attributes:
        text: the expression. Lone surrogates stand for bytes that are no UTF-8.
        end: the index behind the character that was read last.
        fault: what was wrong first; empty while nothing was.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        self.end = 0
        self.fault = ""
        self._start = 0
        self._value_follows = False

    def peek(self) -> str:
        """Return the next character without taking it."""
        state = self._start, self.end
        character = self._next()
        self._start, self.end = state
        return character

    def scan(self) -> Token:
        """Take the next token."""
        character = self._next()
        while character in _SPACES:
            character = self._next()
        start = self._start
        if character == END:
            return Token(TokenKind.END, start)
        if character == ILLEGAL:
            return Token(TokenKind.ILLEGAL, start)
        kind = self._scan_rest(character)
        return Token(kind, start, self.text[start : self.end])

    def _scan_rest(self, character: str) -> TokenKind:
        """Consume the characters after a token's first one, and return the token's kind."""
        if character in _QUOTES:
            return TokenKind.QUOTED if self._scan_quoted(character) else TokenKind.ILLEGAL
        if character in _SEPARATORS:
            self._value_follows = False
            return TokenKind.SEPARATOR
        if character in _OPERATORS:
            self._take_while(_OPERATORS.__contains__)
            self._value_follows = True
            return TokenKind.OPERATOR
        if self._value_follows:
            self._take_while(_is_value)
            self._value_follows = False
            return TokenKind.VALUE
        if character in _FIELD:
            self._take_while(_FIELD.__contains__)
            return TokenKind.FIELD
        return TokenKind.OTHER

    def _next(self) -> str:
        self._start = self.end
        if self.end == len(self.text):
            return END
        character = self.text[self.end]
        self.end += 1
        if character == "\0":
            return self._illegal("unexpected null")
        if character == ILLEGAL or ord(character) in _SURROGATES:
            return self._illegal("rune error")
        return character

    def _illegal(self, fault: str) -> str:
        self._report(fault)
        return ILLEGAL

    def _report(self, fault: str) -> None:
        self.fault = self.fault or fault

    def _take_while(self, belongs: Callable[[str], bool]) -> None:
        while belongs(self.peek()):
            self._next()

    def _scan_quoted(self, quote: str) -> bool:
        """Take the rest of a quoted text; return whether it is a legal one."""
        legal = True
        character = self._next()
        while character != quote:
            if character in {"\n", END, ILLEGAL}:
                self._report("quoted literal not terminated")
                return False
            if character == "\\":
                character, legal_escape = self._scan_escape(quote)
                legal = legal and legal_escape
            else:
                character = self._next()
        return legal

    def _scan_escape(self, quote: str) -> tuple[str, bool]:
        """Take an escape; return the character behind it and whether the escape is legal."""
        character = self._next()
        if character in _SIMPLE_ESCAPES or character == quote:
            return self._next(), True
        if character in _HEXADECIMAL_ESCAPES:
            return self._scan_digits(self._next(), hexdigits, _HEXADECIMAL_ESCAPES[character])
        if character in frozenset(octdigits):
            return self._scan_digits(character, octdigits, _OCTAL_DIGITS)
        self._report("illegal escape sequence")
        return character, False

    def _scan_digits(self, character: str, allowed: str, count: int) -> tuple[str, bool]:
        for _ in range(count):
            if character not in frozenset(allowed):
                self._report("illegal numeric escape sequence")
                return character, False
            character = self._next()
        return character, True


def _is_value(character: str) -> bool:
    if character in {END, ILLEGAL, ","} or character in _SPACES:
        return False
    return unicodedata.category(character)[0] in _VALUE_CATEGORIES
