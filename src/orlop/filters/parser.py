"""From tokens to a filter. Messages and positions are containerd's, so that they can be found."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from orlop.errors import InvalidArgumentError
from orlop.filters.quoting import QuoteError, unquote
from orlop.filters.scanner import END, ILLEGAL, Scanner, Token, TokenKind
from orlop.filters.selector import Filter, Operator, Selector

if TYPE_CHECKING:
    from collections.abc import Iterable

_OPERATORS: Final = {"==": Operator.EQUAL, "!=": Operator.NOT_EQUAL, "~=": Operator.MATCHES}
_BROKEN: Final = re.compile(r"[\ud800-\udfff]")


def parse(expressions: Iterable[str]) -> Filter:
    """Parse a filter. A record matches if one of the expressions does, or if there is none.

    Args:
        expressions: each a list of selectors with commas between them; empty for all records.

    Raises:
        InvalidArgumentError: an expression breaks the grammar; the message says where.
    """
    if isinstance(expressions, str):
        expressions = (expressions,)
    alternatives = tuple(_Parser(expression).parse() for expression in expressions)
    return Filter(alternatives or ((),))


class _Parser:
    """Parses one expression."""

    def __init__(self, expression: str) -> None:
        self._expression = expression
        self._scanner = Scanner(expression)

    def parse(self) -> tuple[Selector, ...]:
        if not self._expression:
            return ()
        selectors = [self._selector()]
        while (character := self._scanner.peek()) != END:
            if character != ",":
                raise self._error(self._scanner.end, f"unexpected input: {character}")
            self._scanner.scan()
            selectors.append(self._selector())
        return tuple(selectors)

    def _selector(self) -> Selector:
        path = self._path()
        if self._scanner.peek() in {",", END}:
            return Selector(path)
        operator = self._operator()
        return Selector(path, operator, self._value(operator))

    def _path(self) -> tuple[str, ...]:
        fields = [self._field()]
        while self._scanner.peek() == ".":
            self._scanner.scan()
            fields.append(self._field())
        return tuple(fields)

    def _field(self) -> str:
        token = self._scan()
        if token.kind is TokenKind.FIELD:
            return token.text
        if token.kind is TokenKind.QUOTED:
            return self._unquote(token, '"')
        raise self._error(token.position, "expected field or quoted")

    def _operator(self) -> Operator:
        token = self._scan()
        if token.kind is not TokenKind.OPERATOR:
            raise self._error(token.position, 'expected an operator ("=="|"!="|"~=")')
        operator = _OPERATORS.get(token.text)
        if operator is None:
            raise self._error(token.position, f'unsupported operator "{token.text}"')
        return operator

    def _value(self, operator: Operator) -> str:
        token = self._scan()
        if token.kind in {TokenKind.VALUE, TokenKind.FIELD}:
            return token.text
        if token.kind is TokenKind.QUOTED:
            return self._unquote(token, '"/|' if operator is Operator.MATCHES else '"')
        raise self._error(token.position, "expected value or quoted")

    def _scan(self) -> Token:
        token = self._scanner.scan()
        if token.kind is TokenKind.ILLEGAL:
            raise self._error(token.position, self._scanner.fault)
        return token

    def _unquote(self, token: Token, quotes: str) -> str:
        if token.text[0] not in quotes:
            raise self._error(token.position, "invalid quote encountered")
        try:
            return unquote(token.text)
        except QuoteError as error:
            raise self._error(token.position, "unquoting failed: quote syntax error") from error

    def _error(self, position: int, message: str) -> InvalidArgumentError:
        """Point at a character, or where it has several bytes at the first, as containerd does."""
        before, rest = self._expression[:position], self._expression[position:]
        if rest:
            length = len(rest[0].encode(errors="replace"))
            here = rest[0] if length == 1 else ILLEGAL
            after = ILLEGAL * (length - 1) + rest[1:]
            before = f"{before} >|{here}|< {after}"
        # The message is for people: what is no UTF-8 must not keep it from being printed.
        return InvalidArgumentError(
            _BROKEN.sub(ILLEGAL, f"filters: parse error: [{before}]: {message}")
        )
