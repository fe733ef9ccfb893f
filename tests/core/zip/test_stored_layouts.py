"""A zip that is laid out before its bytes are read is read alike by other programs."""

from __future__ import annotations

import io
import shutil
import subprocess
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asynccvat.core.zip.stored import Part, PartKind, StoredMember, StoredZip

NAMES = st.text(
    st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="/\\"), min_size=1, max_size=8
)


def part_of(layout: StoredZip, place: Part, contents: list[bytes]) -> bytes:
    """Return the whole part that holds a place."""
    number = place.member
    makers: dict[PartKind, Callable[[], bytes]] = {
        PartKind.HEADER: lambda: layout.header(number),
        PartKind.DATA: lambda: contents[number],
        PartKind.DESCRIPTOR: lambda: layout.descriptor(number, zlib.crc32(contents[number])),
        PartKind.ENTRY: lambda: layout.entry(number, zlib.crc32(contents[number])),
        PartKind.END: layout.end,
    }
    return makers[place.kind]()


def made(files: dict[str, bytes], offset: int = 0) -> bytes:
    """Return the archive of some files, from an offset on."""
    layout = StoredZip([StoredMember(name, len(data)) for name, data in files.items()])
    contents = list(files.values())
    found = bytearray()
    while offset + len(found) < layout.size:
        place = layout.locate(offset + len(found))
        part = part_of(layout, place, contents)
        assert place.within + place.left == len(part)
        found += part[place.within :]
    return bytes(found)


@settings(max_examples=40)
@given(st.dictionaries(NAMES, st.binary(max_size=40), min_size=1, max_size=6), st.data())
def test_python_reads_what_was_laid_out_and_any_offset_continues_it(
    files: dict[str, bytes], data: st.DataObject
) -> None:
    whole = made(files)
    with zipfile.ZipFile(io.BytesIO(whole)) as archive:
        assert archive.testzip() is None
        assert {name: archive.read(name) for name in archive.namelist()} == files
    offset = data.draw(st.integers(0, len(whole) - 1))
    assert made(files, offset) == whole[offset:]


FILES = {"cam 1/\u00fc.jpg": b"first" * 100, "empty.png": b"", "b/c/d.jpg": bytes(range(256))}


@pytest.mark.parametrize("command", [["unzip", "-tq"], ["bsdtar", "-tf"]], ids=lambda it: it[0])
def test_other_programs_read_it(tmp_path: Path, command: list[str]) -> None:
    if shutil.which(command[0]) is None:
        pytest.skip(f"{command[0]} is not installed")
    path = tmp_path / "made.zip"
    path.write_bytes(made(FILES))
    subprocess.run([*command, path], check=True, capture_output=True)


class Sparse(io.RawIOBase):
    """The archive of large members, whose data reads as zeros."""

    def __init__(self, layout: StoredZip) -> None:
        self._layout = layout
        self._offset = 0

    def seekable(self) -> bool:
        return True

    def readable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = 0) -> int:
        self._offset = offset + (0, self._offset, self._layout.size)[whence]
        return self._offset

    def tell(self) -> int:
        return self._offset

    def read(self, count: int = -1) -> bytes:
        layout, found = self._layout, bytearray()
        left = layout.size - self._offset
        count = left if count < 0 else min(count, left)
        while len(found) < count:
            place = layout.locate(self._offset + len(found))
            if place.kind is PartKind.DATA:
                found += bytes(min(place.left, count - len(found)))
            else:
                found += (
                    part_of(layout, place, [])[place.within :]
                    if place.kind
                    in (
                        PartKind.HEADER,
                        PartKind.END,
                    )
                    else self._with_crc(place)
                )
        self._offset += count
        return bytes(found[:count])

    def _with_crc(self, place: Part) -> bytes:
        make = self._layout.descriptor if place.kind is PartKind.DESCRIPTOR else self._layout.entry
        return make(place.member, 7)[place.within :]


def test_members_and_offsets_beyond_four_gibibytes_are_read_by_python() -> None:
    large = (1 << 32) + 5
    layout = StoredZip(
        [StoredMember("a.mp4", large), StoredMember("b.jpg", 3), StoredMember("c.mp4", large)]
    )
    with zipfile.ZipFile(Sparse(layout)) as archive:
        found = {one.filename: (one.file_size, one.CRC) for one in archive.infolist()}
        assert found == {"a.mp4": (large, 7), "b.jpg": (3, 7), "c.mp4": (large, 7)}
        with archive.open("c.mp4") as member:
            assert member.read(10) == bytes(10)


def test_more_members_than_two_bytes_count_are_read_by_python() -> None:
    layout = StoredZip([StoredMember(f"{number}.jpg", 0) for number in range(70_000)])
    assert len(layout) == 70_000
    with zipfile.ZipFile(Sparse(layout)) as archive:
        assert len(archive.namelist()) == 70_000
