"""Random documents of images, in every form that JSON has and in some that it has not."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_TEXTS = (
    *(b"amd64", b"linux", b"application/vnd.oci.image.layer.v1.tar", b"sha256:" + 64 * b"a", b""),
    *(
        b"caf\xe9",
        b"\xed\xa0\x80",
        b"\xe2\x82",
        b"\xf4\x90\x80\x80",
        b"\xff\xfe",
        b"\xc3\xa9",
        b"\x7f",
    ),
    *(b"\\ud83d", b"\\ude00\\ud83d", b"\\ud83d\\ude00", b"\\ud83d\\u0041", b"\\u00e9", b"\\/\\b"),
    *(b"\\u0000", b"<&>", b"\xe2\x80\xa8", b"\\ud83d\\ud83d\\ude00"),
)
_BROKEN_TEXTS = (b"\x01", b"\n", b"\\x41", b"\\u12", b'"', b"\\", b"\x00")
_NUMBERS = (
    *(b"0", b"1", b"512", b"-0", b"-5", b"9223372036854775807"),
    *(b"9223372036854775808", b"1.0", b"1e3", b"1E+2"),
)
_BROKEN_NUMBERS = (b"01", b"+1", b".5", b"1.", b"NaN", b"Infinity", b"-", b"0x1", b"1_0")
_DESCRIPTOR = (b"mediaType", b"digest", b"size", b"urls", b"annotations", b"platform")
_PLATFORM = (b"architecture", b"os", b"os.version", b"os.features", b"variant")
_FIELDS = {
    "index": (b"schemaVersion", b"mediaType", b"manifests", b"annotations"),
    "manifest": (b"schemaVersion", b"mediaType", b"config", b"layers", b"annotations"),
    "config": (b"architecture", b"os", b"variant", b"rootfs"),
    "saved": (b"Config", b"RepoTags", b"Layers"),
    "layout": (b"imageLayoutVersion",),
}
KINDS = tuple(_FIELDS)


class ImageDocuments:
    """Draws documents; the same seed gives the same ones."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self._values: dict[bytes, Callable[[], bytes]] = {
            b"schemaVersion": self._number,
            b"size": self._number,
            b"urls": self._texts,
            b"os.features": self._texts,
            b"RepoTags": self._texts,
            b"Layers": self._texts,
            b"diff_ids": self._texts,
            b"annotations": lambda: self._object([self._key_text() for _ in range(2)]),
            b"platform": lambda: self._object(_PLATFORM),
            b"config": lambda: self._object(_DESCRIPTOR),
            b"rootfs": lambda: self._object((b"type", b"diff_ids")),
            b"layers": lambda: self._list(lambda: self._object(_DESCRIPTOR)),
            b"manifests": lambda: self._list(lambda: self._object(_DESCRIPTOR)),
        }

    def document(self) -> tuple[str, bytes]:
        """Return a kind of document, and one."""
        kind = self._random.choice(KINDS)
        fields = _FIELDS[kind]
        data = self._object(fields)
        if kind == "saved":
            data = self._list(lambda: self._object(fields))
        if self._one_in(12):
            data += self._random.choice((b"\x00", bytes(600), b" \n", b"{}", b"x", b"\xef\xbb\xbf"))
        if self._one_in(30):
            data = self._random.choice((b"\xef\xbb\xbf", b" \n", b"\x0b", b"\xff\xfe")) + data
        if self._one_in(40):
            data = data[: self._random.randrange(len(data) + 1)]
        return kind, data

    def _one_in(self, count: int) -> bool:
        return self._random.randrange(count) == 0

    def _object(self, fields: Sequence[bytes]) -> bytes:
        names = [name for name in fields if not self._one_in(8)]
        if names and self._one_in(5):
            names.append(self._random.choice(names))
        members = []
        for name in names:
            value = self._values.get(name, self._text)
            members.append(self._key(name) + self._space() + b":" + self._any(value))
        if self._one_in(6):
            members.insert(0, b'"unknown":' + self._unknown())
        return b"{" + b",".join(members) + self._comma() + self._space() + b"}"

    def _list(self, one: Callable[[], bytes]) -> bytes:
        entries = [self._any(one) for _ in range(self._random.choice((0, 1, 1, 2, 3)))]
        return b"[" + self._space() + b",".join(entries) + self._comma() + b"]"

    def _texts(self) -> bytes:
        return self._list(self._text)

    def _any(self, usual: Callable[[], bytes]) -> bytes:
        """Return a value of the usual kind; sometimes null, rarely of another kind."""
        if self._one_in(15):
            return b"null"
        if self._one_in(80):
            return self._random.choice((b"{}", b"[]", b"true", b"1", b'"x"', b"[null]", b"nul"))
        return self._space() + usual() + self._space()

    def _key(self, name: bytes) -> bytes:
        forms: tuple[Callable[[], bytes], ...] = (
            name.lower,
            name.upper,
            name.swapcase,
            lambda: name.replace(b"s", b"\xc5\xbf"),
            lambda: b"\\u00%02x" % name[0] + name[1:],
            lambda: name.replace(b"i", b"\xc4\xb0"),
        )
        written = self._random.choice(forms)() if self._one_in(6) else name
        return self._space() + b'"' + written + b'"'

    def _key_text(self) -> bytes:
        return self._random.choice((b"a", b"b", b"A", b"caf\xe9", b"\\ud83d"))

    def _unknown(self) -> bytes:
        depth = self._random.choice((1, 5, 9990, 9999, 10001)) if self._one_in(6) else 2
        inner = self._random.choice((self._number(), self._text(), b"true", b"", b"1,2", b"[]{}"))
        return b"[" * depth + inner + b"]" * depth

    def _text(self) -> bytes:
        text = self._random.choice(_BROKEN_TEXTS if self._one_in(150) else _TEXTS)
        return b'"' + text + b'"'

    def _number(self) -> bytes:
        if self._one_in(3):
            return self._random.choice(_BROKEN_NUMBERS if self._one_in(12) else _NUMBERS)
        return b"512"

    def _comma(self) -> bytes:
        return b"," if self._one_in(200) else b""

    def _space(self) -> bytes:
        return self._random.choice((b" ", b"\r\n\t", b"")) if self._one_in(4) else b""
