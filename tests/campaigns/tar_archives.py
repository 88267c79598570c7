"""Random tar archives in which every field of a header takes every form that is or was written.

An archive holds a few entries, some with extended headers before them. Most fields are right,
so that a reader comes far enough to meet the one that is not.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

BLOCK = 512
_ODD = 30
"""One number in so many is odd: a header has eight, and one that is refused ends the archive."""

_MAGICS = (
    *(6 * [b"ustar\x0000"]),
    *(3 * [b"ustar  \x00"]),
    b"ustar\x00  ",
    b"ustar\x00\x00\x00",
    b"ustar\x0001",
    b"ustar 00",
    b"ustar   ",
    b"USTAR\x0000",
    *(2 * [bytes(8)]),
)
_FLAGS = (
    *(6 * [b"0"]),
    *(2 * [b"\x00"]),
    *(2 * [b"5"]),
    *(b"1", b"2", b"3", b"4", b"6", b"7", b"S", b"X", b"V", b"D", b"A"),
)
_NAMES = (
    b"a",
    b"a/b",
    b"a/",
    b"./a",
    b"/a/b",
    b"..",
    b"",
    b"d/\xff\xfe",
    b"caf\xc3\xa9",
    b"x" * 100,
)
_NUMBERS = (b"0", b"1", b"7", b"644", b"1750", b"17777777777", b"777777777777")
_USUAL = ((b"0000644\x00", b"0"), (b"0000755 ", b"0"), (b"644 \x00", b" "), (b"1750", b"0"))
_DECIMALS = (
    *(b"0", b"1", b"12", b"512", b"1000000", b"4294967295", b"4294967296", b"-1", b"+5", b"007"),
    *(b"9223372036854775807", b"9223372036854775808", b"-9223372036854775808", b"1e3", b"0x10"),
    *(b"", b" 1", b"1 ", b"1_0", b"abc", b"\xd9\xa1"),
)
_TIMES = (
    *(b"1600000000", b"1600000000.5", b"1600000000.123456789123", b"-1.5", b"-0.25", b"+3", b"0."),
    *(b".5", b"-", b"", b"1.x", b"1.-5", b"99999999999999999999", b"1e9", b"12345678901.000000001"),
)
_KEYS: tuple[tuple[bytes, tuple[bytes, ...]], ...] = (
    (b"path", (b"pax/name", b"", b"with\x00nul", b"\xff", b"long/" * 60 + b"x")),
    (b"linkpath", (b"pax/link", b"", b"n\x00l")),
    (b"uname", (b"root", b"a\x00")),
    (b"gname", (b"wheel", b"")),
    (b"uid", _DECIMALS),
    (b"gid", _DECIMALS),
    (b"size", (b"0", b"3", b"512", b"700", b"-1", b"+4", b"", b"x", b"03")),
    (b"mtime", _TIMES),
    (b"atime", _TIMES),
    (b"ctime", _TIMES),
    (b"comment", (b"", b"a=b", b"\x00", b"line\nbreak")),
    (b"SCHILY.xattr.user.a", (b"", b"value", b"\x00\xff\n", b"=")),
    (b"SCHILY.xattr.", (b"v",)),
    (b"SCHILY.xattr.user.\xff", (b"v",)),
    (b"k\x00ey", (b"v",)),
    (b"GNU.sparse.major", (b"0", b"1", b"2", b"")),
    (b"GNU.sparse.minor", (b"0", b"1", b"")),
    (b"GNU.sparse.name", (b"sparse/name", b"")),
    (b"GNU.sparse.size", (b"1024", b"3", b"-1", b"x", b"")),
    (b"GNU.sparse.realsize", (b"1024", b"700", b"9223372036854775807")),
    (b"GNU.sparse.numblocks", (b"0", b"1", b"2", b"-1", b"+1", b"x")),
    (b"GNU.sparse.map", (b"", b"0,3", b"512,3", b"0,1,600,2", b"3,0", b"5", b"0,3,2,1", b"-1,3")),
    (b"GNU.sparse.offset", (b"0", b"512", b"1,2")),
    (b"GNU.sparse.numbytes", (b"3", b"0", b"x")),
)


class TarArchives:
    """Draws archives; the same seed gives the same ones."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def archive(self) -> bytes:
        """Return an archive of one to four entries, sometimes cut or damaged."""
        data = b"".join(self._entry() for _ in range(self._random.randint(1, 4)))
        data += self._random.choice((bytes(1024), bytes(1024), bytes(512), b"", bytes(700)))
        if self._one_in(12):
            data = data[: self._random.randrange(len(data) + 1)]
        if self._one_in(25):
            damaged = bytearray(data or b"\x00")
            damaged[self._random.randrange(len(damaged))] = self._random.randrange(256)
            data = bytes(damaged)
        return data

    def _one_in(self, count: int) -> bool:
        return self._random.randrange(count) == 0

    def _entry(self) -> bytes:
        before = b"".join(self._extended() for _ in range(self._random.choice((0, 0, 0, 1, 1, 2))))
        if self._one_in(5):
            return before + self._sparse()
        flag = self._random.choice(_FLAGS)
        data = self._random.randbytes(self._random.choice((0, 0, 3, 512, 700)))
        return before + self.block(flag, len(data)) + _padded(data)

    def _extended(self) -> bytes:
        """Return a pax header, local or global, or a GNU long name or link."""
        kind = self._random.choice((b"x", b"x", b"x", b"g", b"L", b"K"))
        if kind in {b"L", b"K"}:
            data = self._random.choice((b"gnu/long\x00", b"gnu\x00rest", b"\x00", b"", b"n" * 300))
        else:
            data = b"".join(self._record() for _ in range(self._random.randint(0, 4)))
        return self.block(kind, len(data), right=not self._one_in(6)) + _padded(data)

    def _record(self) -> bytes:
        key, values = self._random.choice(_KEYS)
        value = values[0] if self._one_in(2) else self._random.choice(values)
        return self._measured(key + b"=" + value)

    def _measured(self, text: bytes) -> bytes:
        """Return a pax record with its length before it, which is rarely wrong."""
        length = len(text) + 3
        while len(b"%d %s\n" % (length, text)) != length:
            length += 1
        if not self._one_in(40):
            return b"%d %s\n" % (length, text)
        wrong: tuple[Callable[[], bytes], ...] = (
            lambda: b"%d %s\n" % (length + 1, text),
            lambda: b"+%d %s\n" % (length + 1, text),
            lambda: b"0%d %s\n" % (length + 1, text),
            lambda: b"%d %s\x00" % (length, text),
            lambda: b"4 =\n",
            lambda: b"%s\n" % text,
            lambda: b"-%d %s\n" % (length, text),
        )
        return self._random.choice(wrong)()

    def _sparse(self) -> bytes:
        """Return a sparse file that is nearly right, in one of the four forms."""
        lengths = [self._random.choice((0, 3, 512, 600)) for _ in range(self._random.randint(0, 5))]
        numbers: list[int] = []
        end = 0
        for length in lengths:
            end += self._random.choice((0, 0, 512, 1000))
            numbers += [end, length]
            end += length
        size = end + self._random.choice((0, 0, 512, -1 if self._one_in(4) else 7))
        data = self._random.randbytes(sum(lengths) + (self._one_in(10) and 1))
        if self._one_in(15) and numbers:
            numbers[self._random.randrange(len(numbers))] += self._random.choice((1, -1, 1 << 62))
        form = self._random.choice(("old", "0.0", "0.1", "1.0"))
        if form == "old":
            return self._old_sparse(numbers, size, data)
        texts = [b"%d" % number for number in numbers]
        records = [b"GNU.sparse.size=%d" % size]
        if form == "1.0":
            records = [b"GNU.sparse.major=1", b"GNU.sparse.minor=0"]
            records.append(b"GNU.sparse.realsize=%d" % size)
            lines = [b"%d" % (len(numbers) // 2), *texts]
            data = _padded(b"".join(line + b"\n" for line in lines)) + data
        elif form == "0.1":
            records.append(b"GNU.sparse.numblocks=%d" % (len(numbers) // 2))
            records.append(b"GNU.sparse.map=" + b",".join(texts))
        else:
            records.append(b"GNU.sparse.numblocks=%d" % (len(numbers) // 2))
            keys = (b"GNU.sparse.offset=%s", b"GNU.sparse.numbytes=%s")
            records += [keys[place % 2] % text for place, text in enumerate(texts)]
        if self._one_in(3):
            records.append(b"GNU.sparse.name=sparse/name")
        if self._one_in(15):
            self._random.shuffle(records)
        head = b"".join(self._measured(record) for record in records)
        flag = b"5" if self._one_in(20) else b"0"
        return (
            self.block(b"x", len(head), right=True)
            + _padded(head)
            + self.block(flag, len(data))
            + _padded(data)
        )

    def _old_sparse(self, numbers: list[int], size: int, data: bytes) -> bytes:
        pairs = [number.to_bytes(12, "big", signed=True) for number in numbers]
        if not self._one_in(3):
            pairs = [b"%011o\x00" % abs(number) for number in numbers]
        block = bytearray(self.block(b"S", len(data), magic=b"ustar  \x00", right=True))
        block[386:482] = b"".join(pairs[:8]).ljust(96, b"\x00")
        rest = pairs[8:]
        block[482] = bool(rest)
        block[483:495] = b"%011o\x00" % max(size, 0)
        more = b""
        while rest:
            part, rest = rest[:42], rest[42:]
            more += b"".join(part).ljust(504, b"\x00") + (b"\x01" if rest else b"\x00") + bytes(7)
        return self._summed(block, right=True) + more + _padded(data)

    def block(
        self, flag: bytes, size: int, *, magic: bytes | None = None, right: bool = False
    ) -> bytes:
        """Return a header block; every field may be odd, unless all is to be `right`."""
        block = bytearray(BLOCK)
        name = self._random.choice(_NAMES)
        block[0 : len(name)] = name
        fields = ((100, 8), (108, 8), (116, 8), (136, 12))
        for offset, width in fields:
            block[offset : offset + width] = self._number(width, right=right)
        block[124:136] = self._size(size, right=right)
        block[156:157] = flag
        link = self._random.choice((b"", b"", b"target", b"../up", b"l" * 100))
        block[157 : 157 + len(link)] = link
        magic = self._random.choice(_MAGICS) if magic is None else magic
        block[257:265] = magic
        for offset in (329, 337):
            block[offset : offset + 8] = self._number(8, right=right)
        self._fill_extension(block, magic)
        return self._summed(block, right=right)

    def _fill_extension(self, block: bytearray, magic: bytes) -> None:
        """Fill the last part of a header block as ustar, star and GNU use it."""
        if self._one_in(3):
            prefix = self._random.choice((b"prefix", b"p" * 155, b"p" * 131, b"\xc3\xa9/x", b"12"))
            block[345 : 345 + len(prefix)] = prefix
        elif magic == b"ustar  \x00" and self._one_in(3):
            for offset in (345, 357):
                block[offset : offset + 12] = self._number(12, right=False)
        if self._one_in(10):
            block[508:512] = b"tar\x00"
            for offset in (476, 488):
                block[offset : offset + 12] = self._number(12, right=not self._one_in(4))

    def _size(self, size: int, *, right: bool) -> bytes:
        if right or not self._one_in(_ODD):
            forms = (b"%011o\x00", b"%012o", b"%11o ", b"%o\x00")
            return (self._random.choice(forms) % size).ljust(12, b"\x00")
        if self._one_in(2):
            return b"\x80" + size.to_bytes(11, "big")
        return self._number(12, right=False)

    def _number(self, width: int, *, right: bool) -> bytes:
        """Return a number field: octal in some padding, base 256 of either sign, or garbage."""
        if right or not self._one_in(_ODD):
            text, fill = self._random.choice(_USUAL)
            return text.rjust(width, fill)
        text = self._random.choice(_NUMBERS)[:width]
        forms: tuple[Callable[[], bytes], ...] = (
            lambda: text.rjust(width, b" "),
            lambda: text.ljust(width, b"\x00"),
            lambda: text.ljust(width, b" "),
            lambda: (b" " + text + b" \x001")[:width].ljust(width, b"\x00"),
            lambda: (text[:3] + b"\x00" + text)[:width].ljust(width, b"\x00"),
            lambda: b"\x00" * width,
            lambda: b" " * width,
            lambda: b"\x80" + self._random.randbytes(width - 1),
            lambda: (
                b"\x80"
                + self._random.choice((5, 1 << 32, (1 << 56) - 1)).to_bytes(width - 1, "big")
            ),
            lambda: b"\xff" + self._random.randbytes(width - 1),
            lambda: b"\xff" * (width - 1) + b"\xfe",
            lambda: b"\xff" * width,
            lambda: self._random.choice((b"-1", b"+7", b"8", b"0x1", b"1 2", b"0o7")).ljust(
                width, b"\x00"
            ),
            lambda: self._random.randbytes(width),
        )
        return self._random.choice(forms)()

    def _summed(self, block: bytearray, *, right: bool) -> bytes:
        """Return a block with its checksum, in one of its forms; rarely a wrong one."""
        block[148:156] = b" " * 8
        value = sum(block)
        if self._one_in(6):
            value -= 256 * sum(1 for byte in block if byte >= 0x80)
        if not right and self._one_in(60):
            value += 1
        if value < 0:
            value = sum(block)
        forms = (b"%06o\x00 ", b"%07o\x00", b"%6o\x00 ", b"%07o ", b"%06o  ")
        block[148:156] = (self._random.choice(forms) % value)[:8]
        return bytes(block)


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % BLOCK)
