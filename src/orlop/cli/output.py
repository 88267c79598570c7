"""How answers are written: tables for people, JSON for scripts. Nothing else goes to stdout.

JSON is ASCII, whatever the encoding of the terminal. In text, a character that the encoding lacks
and all that would move the cursor or colour a terminal are escaped.
"""

from __future__ import annotations

import io
import os
import shlex
import sys
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TextIO, TypeVar, cast

from orlop.cli.standard_streams import replace_closed_streams
from orlop.errors import NotFoundError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from typing_extensions import Buffer

_T = TypeVar("_T")

_UNITS = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")
_UNIT = 1024
_SPOOL_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Output:
    """Writes answers in the form that was asked for."""

    as_json: bool
    is_quiet: bool = False
    spool: TextIO | None = None

    @contextmanager
    def spooled(self) -> Iterator[Output]:
        """Let a block write a long answer that is shown once the block has ended well.

        `begin_again` drops what the block has written so far. What is long goes to a file.
        """
        from tempfile import SpooledTemporaryFile  # noqa: PLC0415 (only long answers need it)

        with SpooledTemporaryFile(
            _SPOOL_BYTES, "w+", encoding="utf-8", errors="surrogatepass", newline=""
        ) as spool:
            yield replace(self, spool=cast("TextIO", spool))
            spool.seek(0)
            while text := spool.read(_SPOOL_BYTES):
                write(text)

    def begin_again(self) -> None:
        """Drop the output of a block of `spooled`."""
        if self.spool is not None:
            self.spool.seek(0)
            self.spool.truncate()

    def document(self, value: object, lines: Iterable[str]) -> None:
        """Write one answer: `value` as JSON, or as `lines`."""
        if self.as_json:
            self.json(value)
        else:
            for line in lines:
                self.line(printable(line))

    def listing(
        self,
        columns: Sequence[str],
        records: Iterable[_T],
        *,
        as_value: Callable[[_T], object],
        as_row: Callable[[_T], Sequence[str]],
    ) -> None:
        """Write a list: one JSON object a line, or a table with a row for each record."""
        if self.as_json:
            for record in records:
                self.json(as_value(record))
        else:
            for line in table(columns, [as_row(record) for record in records]):
                self.line(line)

    def listing_with_faults(
        self,
        columns: Sequence[str],
        records: Iterable[_T],
        *,
        as_value: Callable[[_T], dict[str, object]],
        as_row: Callable[[_T], Sequence[str]],
        faults: Callable[[_T], tuple[dict[str, object], str]],
    ) -> None:
        """Write a list as `listing` does, with the faults of the records.

        Args:
            columns: of the table; a last one is added where something is wrong.
            records: what to list.
            as_value: a record as JSON.
            as_row: a record as a row.
            faults: what is wrong, as JSON to add and as a cell; empty for a sound record.
        """
        listed = [(record, *faults(record)) for record in records]
        is_any_faulty = any(cell for _, _, cell in listed)
        self.listing(
            (*columns, "FAULT") if is_any_faulty else columns,
            listed,
            as_value=lambda entry: {**as_value(entry[0]), **entry[1]},
            as_row=lambda entry: (
                (*as_row(entry[0]), entry[2] or "-") if is_any_faulty else as_row(entry[0])
            ),
        )

    def found(self, records: Sequence[object], what: str) -> None:
        """Write the records that a question named.

        Raises:
            NotFoundError: there are none.
        """
        if not records:
            raise NotFoundError(what)
        for record in records:
            if self.as_json:
                self.json(record)
            else:
                self.line(_json_to_read(record))

    def json(self, value: object) -> None:
        """Write one JSON document on a line of its own."""
        import json  # noqa: PLC0415 (tables need none)

        self.line(json.dumps(value))

    def pieces(self, texts: Iterable[str]) -> None:
        """Write the pieces of one long JSON document."""
        for text in texts:
            self._put(text)
        self._put("\n")

    def line(self, text: str) -> None:
        """Write a line of an answer."""
        self._put(text + "\n")

    def _put(self, text: str) -> None:
        if self.spool is None:
            write(text)
        else:
            with _naming_temporary_files():
                self.spool.write(text)

    def say(self, text: str) -> None:
        """Write a message to stderr: notes on the work, never the answer."""
        if not self.is_quiet:
            # That nobody listens is no reason to stop half-way.
            with suppress(OSError):
                sys.stderr.write(printable(text) + "\n")


def adapt_streams(*, as_json: bool = False) -> None:
    """Let nothing that is written to standard streams fail for its characters.

    JSON is UTF-8 also where the encoding of the terminal is none that begins with ASCII.
    """
    replace_closed_streams()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            encoding = "utf-8" if as_json else None
            stream.reconfigure(encoding=encoding, errors="backslashreplace")


def write(text: str) -> None:
    """Write to standard output."""
    with naming_standard_output():
        sys.stdout.write(text)


def _json_to_read(record: object) -> str:
    """Return a record as JSON on several lines, on a terminal with its letters as they are."""
    import json  # noqa: PLC0415 (tables need none)

    if not is_terminal(sys.stdout):
        return json.dumps(record, indent=2)
    return "".join(
        letter if letter.isprintable() or letter == "\n" else json.dumps(letter)[1:-1]
        for letter in json.dumps(record, indent=2, ensure_ascii=False)
    )


class StandardOutput(io.RawIOBase):
    """Standard output for bytes."""

    def fileno(self) -> int:
        """Return its descriptor; OSError where it has none."""
        return sys.stdout.buffer.fileno()

    def writable(self) -> bool:
        """Tell that it can be written to."""
        return True

    def write(self, data: Buffer, /) -> int:
        """Write all of `data`; return its length in bytes."""
        with naming_standard_output(), memoryview(data) as view:
            done = 0
            while done < view.nbytes:  # less than all at once where Python does not buffer
                done += sys.stdout.buffer.write(view[done:])
            return done


class OutputError(OSError):
    """Standard output cannot be written to; `EPIPE` where its reader has gone."""


@contextmanager
def naming_standard_output() -> Iterator[None]:
    """Mark OSErrors of the block as errors of standard output.

    Raises:
        OutputError: the system refused.
    """
    try:
        yield
    except OSError as error:
        raise OutputError(error.errno, error.strerror, "standard output") from error


@contextmanager
def _naming_temporary_files() -> Iterator[None]:
    """Mark OSErrors of the block as errors of temporary files."""
    try:
        yield
    except OSError as error:
        from tempfile import gettempdir  # noqa: PLC0415 (loaded already where one is written)

        error.filename = error.filename or f"temporary files in {gettempdir()}"
        raise


def table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Return the lines of a table; nothing is cut, so that digests can be copied."""
    cells = [[_encodable(printable(cell)) for cell in row] for row in [columns, *rows]]
    widths = [max(map(_width, column)) for column in zip(*cells, strict=True)]
    return [
        "  ".join(
            cell + " " * (width - _width(cell)) for cell, width in zip(row, widths, strict=True)
        ).rstrip()
        for row in cells
    ]


def _encodable(text: str) -> str:
    """Return a text with the characters escaped that standard output cannot encode."""
    if text.isascii():
        return text
    encoding = sys.stdout.encoding or "utf-8"
    return text.encode(encoding, "backslashreplace").decode(encoding)


def _width(text: str) -> int:
    """Return how many columns of a terminal a printable text takes."""
    if text.isascii():
        return len(text)
    from unicodedata import combining, east_asian_width  # noqa: PLC0415 (most names are ASCII)

    return sum(
        0 if combining(letter) else 1 + (east_asian_width(letter) in "WF") for letter in text
    )


def printable(text: str) -> str:
    """Return a text with control characters escaped."""
    if text.isprintable():
        return text
    return "".join(
        character if character.isprintable() else ascii(character)[1:-1] for character in text
    )


def shell_word(text: str) -> str:
    """Return a text as one word of a shell's command line, with control characters quoted."""
    if text.isprintable():
        return shlex.quote(text)
    return "".join(
        (
            "$'",
            *(
                letter
                if letter.isprintable() and letter not in "\\'"
                else "".join(f"\\{byte:03o}" for byte in os.fsencode(letter))
                for letter in text
            ),
            "'",
        )
    )


def human_size(size: int) -> str:
    """Return a number of bytes as people read it: 1536 is `1.5 KiB`."""
    value = float(size)
    for unit in _UNITS:
        if value < _UNIT or unit == _UNITS[-1]:
            break
        value /= _UNIT
    return f"{size} B" if unit == "B" else f"{value:.1f} {unit}"


def is_terminal(stream: TextIO) -> bool:
    """Whether the stream is a terminal."""
    return stream.isatty()
