"""The reader of tar archives against the standard library's writer and GNU tar."""

from __future__ import annotations

import contextlib
import io
import shutil
import subprocess
import tarfile
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oci.builder import entry, layer
from orlop.errors import DataLossError, OrlopError
from orlop.oci.tar_header import EntryKind
from orlop.oci.tar_stream import LARGEST_EXTENDED_HEADER, TarReader

if TYPE_CHECKING:
    from pathlib import Path

NAMES = st.text(
    st.characters(exclude_characters="\x00", exclude_categories=["Cs"]), min_size=1
).filter(lambda name: not name.endswith("/"))

ENTRIES = st.lists(
    st.builds(
        entry,
        NAMES | st.text("ab/", min_size=90, max_size=300).map(lambda name: name + "x"),
        data=st.binary(max_size=2000),
        mode=st.integers(0, 0o7777),
        owner=st.tuples(st.integers(0, 1 << 40), st.integers(0, 1 << 21)),
        modified=st.integers(0, 1 << 40),
        attributes=st.dictionaries(st.sampled_from(["user.a", "security.capability"]), NAMES),
    ),
    max_size=5,
)


def read(data: bytes) -> list[tuple[object, ...]]:
    reader = TarReader(io.BytesIO(data))
    return [
        (
            found.name.decode(),
            found.mode,
            (found.owner, found.group),
            found.modified,
            b"".join(chunk for _, chunk in reader.data()),
        )
        for found in reader
    ]


@given(entries=ENTRIES, form=st.sampled_from([tarfile.PAX_FORMAT, tarfile.GNU_FORMAT]))
def test_reads_what_python_writes(entries: list[tuple[tarfile.TarInfo, bytes]], form: int) -> None:
    expected = [
        (info.name, info.mode, (info.uid, info.gid), int(info.mtime) * 1_000_000_000, data)
        for info, data in entries
    ]
    data = layer(*entries, form=form)
    assert read(data) == expected
    if form == tarfile.PAX_FORMAT:
        found = [dict(each.attributes) for each in TarReader(io.BytesIO(data))]
        assert found == [
            {
                key.removeprefix("SCHILY.xattr."): value.encode()
                for key, value in info.pax_headers.items()
            }
            for info, _ in entries
        ]


@given(entries=ENTRIES.filter(bool), cut=st.floats(0, 1, exclude_max=True))
def test_a_cut_archive_is_an_error_or_ends_between_entries(
    entries: list[tuple[tarfile.TarInfo, bytes]], cut: float
) -> None:
    whole = layer(*entries)
    expected = read(whole)
    try:
        found = read(whole[: int(len(whole) * cut)])
    except DataLossError:
        return
    assert found == expected[: len(found)]


@given(entries=ENTRIES.filter(bool), place=st.integers(0), value=st.integers(0, 255))
def test_a_changed_byte_never_breaks_the_reader(
    entries: list[tuple[tarfile.TarInfo, bytes]], place: int, value: int
) -> None:
    damaged = bytearray(layer(*entries))
    damaged[place % len(damaged)] = value
    with contextlib.suppress(OrlopError, UnicodeDecodeError):
        read(bytes(damaged))


@given(st.binary(max_size=3000))
def test_noise_never_breaks_the_reader(noise: bytes) -> None:
    with contextlib.suppress(OrlopError, UnicodeDecodeError):
        read(noise)


def test_a_damaged_header_in_the_middle_is_no_end() -> None:
    data = bytearray(layer(entry("first"), entry("second"), form=tarfile.USTAR_FORMAT))
    data[512] ^= 1
    with pytest.raises(DataLossError, match="byte 1024: the checksum"):
        read(bytes(data))
    with tarfile.open(fileobj=io.BytesIO(bytes(data))) as python:
        assert python.getnames() == ["first"], "what the standard library makes of it"


def test_times_keep_nanoseconds() -> None:
    info, data = entry("file")
    info.pax_headers = {"mtime": "1600000000.123456789", "atime": "-1.5"}
    (found,) = list(TarReader(io.BytesIO(layer((info, data)))))
    assert (found.modified, found.accessed) == (1_600_000_000_123_456_789, -1_500_000_000)


def test_a_huge_extended_header_is_refused_before_it_is_read() -> None:
    info = tarfile.TarInfo("pax")
    info.type = tarfile.XHDTYPE
    info.size = LARGEST_EXTENDED_HEADER + 1
    with pytest.raises(DataLossError, match="are allowed"):
        read(info.tobuf(tarfile.USTAR_FORMAT))


@pytest.mark.parametrize(
    "record", [b"30 path=short\n", b"x path=a\n", b"7 =abc\n", b"0 a=b\n", b"99999999999 a=b\n"]
)
def test_a_faulty_pax_record_is_an_error(record: bytes) -> None:
    info = tarfile.TarInfo("pax")
    info.type = tarfile.XHDTYPE
    info.size = len(record)
    data = info.tobuf(tarfile.USTAR_FORMAT) + record.ljust(512, b"\x00")
    with pytest.raises(DataLossError, match="pax record"):
        read(data + layer(entry("file")))


def test_only_the_data_of_files_is_skipped() -> None:
    info, _ = entry("link", kind=tarfile.SYMTYPE, link="target")
    block = bytearray(info.tobuf(tarfile.USTAR_FORMAT))
    block[124:136] = b"00000001000\x00"
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\x00 " % sum(block)
    found = list(TarReader(io.BytesIO(bytes(block) + layer(entry("next")))))
    assert [each.kind for each in found] == [EntryKind.SYMBOLIC_LINK, EntryKind.FILE]


@pytest.mark.skipif(shutil.which("tar") is None, reason="needs GNU tar")
@pytest.mark.parametrize(
    "form",
    [
        ["--format=gnu"],
        ["--format=pax", "--sparse-version=1.0"],
        ["--format=pax", "--sparse-version=0.1"],
        ["--format=pax", "--sparse-version=0.0"],
    ],
)
@pytest.mark.parametrize("holes", [1, 40])
def test_sparse_files_of_gnu_tar(tmp_path: Path, form: list[str], holes: int) -> None:
    file = tmp_path / "sparse"
    with file.open("wb") as writing:
        for number in range(holes):
            writing.seek((number + 1) * 100_000)
            writing.write(b"x" * 5000)
        writing.truncate((holes + 2) * 100_000)
    data = subprocess.run(
        ["tar", "-S", *form, "-C", str(tmp_path), "-cf", "-", "sparse"],
        check=True,
        capture_output=True,
    ).stdout
    reader = TarReader(io.BytesIO(data))
    for found in reader:
        assert found.name == b"sparse"
        assert found.extents is not None
        whole = bytearray(found.size)
        for offset, chunk in reader.data():
            whole[offset : offset + len(chunk)] = chunk
        assert bytes(whole) == file.read_bytes()
