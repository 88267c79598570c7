"""Random filter expressions, valid and not, each list a function of its seed."""

from __future__ import annotations

import json
import random
from typing import Any, Final

RECORDS: Final[tuple[dict[str, Any], ...]] = (
    {"name": "foo", "labels": {"foo": "bar"}},
    {"name": "bar", "other": "a, b"},
    {"name": "fooer", "other": "a/b", "labels": {"containerd.io/gc.root": "2026", "foo": ""}},
    {"name": "foo.bar", "other": "a\nb", "labels": {"a b.c": "true", "foo.bar": "42"}},
    {"other": "\u725b", "labels": {'\\ "x': "\u00e9", "\u725b": "foo"}},
    {"name": "FOO", "labels": {"": "x y", "a": "1"}},
    {"name": "d1", "other": "'foo'|", "labels": {"foo": "=="}},
    {},
)

_WORDS: Final = ("foo", "bar", "name", "other", "labels", "a", "42", "x_1", "FOO", "d1", "true")
_TEXTS: Final = (
    *_WORDS,
    "a b.c",
    "a, b",
    "a/b",
    "",
    "\u725b",
    "\u00e9",
    "'foo'|",
    '\\ "x',
    "foo.bar",
)
_PATTERNS: Final = (
    "^foo",
    "o+$",
    "[a-c]+",
    ".",
    "",
    "(a|b)",
    "foo|bar",
    "\\d{2}",
    "(?i)foo",
    "(",
    "[",
    "*a",
    "a{2,1}",
    "\\pL",
    "^$",
    "a/b",
    "(?P<n>o)o",
    "\\bfoo\\b",
    "x*?",
)
_MARKS: Final = (*"=!~<>.,\"'/|\\ \t()[]*@-:;%", "==", "!=", "~=", "\\x41", "\\n", "\\u725b", "\\q")


class Expressions:
    """Draws expressions."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def operation(self) -> dict[str, Any]:
        """Return an operation of a script: a filter, to be tried on all records."""
        count = self._random.choices((1, 2, 3, 0), (80, 14, 5, 1))[0]
        expressions = [self.expression() for _ in range(count)]
        return {"op": "filter", "filters": expressions, "records": list(RECORDS)}

    def expression(self) -> str:
        """Return an expression, which is now and then none."""
        count = self._random.choices((1, 2, 3, 0), (70, 20, 8, 2))[0]
        text = ",".join(self._selector() for _ in range(count))
        return self._spoiled(text) if self._random.random() < 0.35 else text

    def _selector(self) -> str:
        operator = self._random.choice(("==", "!=", "~=", "", "=="))
        value = "" if not operator else self._value(is_pattern=operator == "~=")
        return f"{self._path()}{operator}{value}"

    def _path(self) -> str:
        fields = [self._random.choice(("name", "other", "labels", "labels", "labels"))]
        while fields[0] == "labels" or self._random.random() < 0.1:
            fields.append(self._field())
            if self._random.random() < 0.75:
                break
        return ".".join(fields)

    def _field(self) -> str:
        if self._random.random() < 0.6:
            return self._random.choice(_WORDS)
        return self._quoted(self._random.choice(_TEXTS))

    def _value(self, *, is_pattern: bool) -> str:
        if is_pattern and self._random.random() < 0.7:
            pattern = self._random.choice(_PATTERNS)
            mark = self._random.choice('/|"')
            return self._quoted(pattern) if mark == '"' else f"{mark}{pattern}{mark}"
        if self._random.random() < 0.5:
            return self._random.choice((*_WORDS, "a:b", "a-b", "foo.bar", "a/b", "\u725b", "x=y"))
        return self._quoted(self._random.choice(_TEXTS))

    def _quoted(self, text: str) -> str:
        kind = self._random.random()
        if kind < 0.7:
            return json.dumps(text)  # escapes that Go has too
        if kind < 0.9:
            return json.dumps(text, ensure_ascii=False)
        return f"'{text}'"

    def _spoiled(self, text: str) -> str:
        for _ in range(self._random.randint(1, 3)):
            place = self._random.randrange(len(text) + 1)
            match self._random.randrange(4):
                case 0:
                    text = text[:place] + self._random.choice(_MARKS) + text[place:]
                case 1:
                    text = text[:place] + text[place + 1 :]
                case 2:
                    text = text[:place] + self._random.choice(_MARKS) + text[place + 1 :]
                case _:
                    text = text[:place]
        return text
