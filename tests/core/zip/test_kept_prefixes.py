"""Check that a reader goes on within stored members, and trusts no byte of what was kept."""

from __future__ import annotations

import zipfile
import zlib
from io import BytesIO

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asynccvat.core.paths import NameRules
from asynccvat.core.zip import (
    ArchiveLimits,
    Directory,
    KeptPrefix,
    MemberData,
    ZipReader,
    read_directory,
)
from asynccvat.errors import IntegrityError


def pack(contents: list[bytes], *, extra: int = 0) -> tuple[bytes, Directory]:
    """Return an archive of stored members, whose headers have extra fields of this length."""
    buffer = BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for number, content in enumerate(contents):
            info = zipfile.ZipInfo(f"images/{number}.jpg")
            if extra:
                info.extra = b"\x34\x12" + (extra - 4).to_bytes(2, "little") + bytes(extra - 4)
            archive.writestr(info, content)
    data = buffer.getvalue()
    directory = read_directory(data, len(data), limits=ArchiveLimits(), rules=NameRules())
    assert isinstance(directory, Directory)
    return data, directory


def prefix_of(content: bytes, length: int) -> KeptPrefix:
    return KeptPrefix(length, zlib.crc32(content[:length]))


def read_on(data: bytes, reader: ZipReader, chunk: int, *, whole: bool) -> tuple[bytes, int]:
    """Read as a client does, by requests that end where the reader pauses.

    Returns:
        The bytes that came as events, and how many were requested.
    """
    out, requested = b"", 0
    stop = reader._directory.start
    while True:
        if not whole:
            reader.skip_prefix()
        start = reader.position
        if start >= stop:
            break
        until = stop if whole else min(stop, reader.pause or stop)
        requested += until - start
        for first in range(start, until, chunk):
            for event in reader.feed(data[first : min(first + chunk, until)]):
                if isinstance(event, MemberData):
                    out += event.data
    reader.close()
    return out, requested


@given(
    st.lists(st.tuples(st.binary(min_size=1, max_size=300), st.integers(0, 299)), min_size=1),
    st.sampled_from([0, 0, 20, 90, 5000]),
    st.integers(1, 400),
    st.booleans(),
)
def test_the_rest_of_each_member_is_read_whatever_was_kept(
    members: list[tuple[bytes, int]], extra: int, chunk: int, whole: bool
) -> None:
    contents = [content for content, _ in members]
    data, directory = pack(contents, extra=extra)
    prefixes, rest = {}, b""
    for entry, (content, kept) in zip(directory.entries, members, strict=True):
        length = min(kept, len(content) - 1)
        if kept % 3:
            prefixes[entry.header_offset] = prefix_of(content, length)
        rest += content[length if kept % 3 else 0 :]
    reader = ZipReader(directory, directory.entries, ArchiveLimits(), prefixes=prefixes)
    read, requested = read_on(data, reader, chunk, whole=whole)
    assert read == rest
    assert reader.pause is None
    if whole:
        assert requested == directory.start


@pytest.mark.parametrize("extra", [0, 5000])
def test_kept_bytes_are_not_requested(extra: int) -> None:
    contents = [bytes(50_000), b"b" * 80_000, b"c" * 100]
    data, directory = pack(contents, extra=extra)
    entries = directory.entries
    prefixes = {entries[1].header_offset: prefix_of(contents[1], 70_000)}
    reader = ZipReader(directory, entries, ArchiveLimits(), prefixes=prefixes)
    read, requested = read_on(data, reader, 1000, whole=False)
    assert read == contents[0] + contents[1][70_000:] + contents[2]
    assert requested < directory.start - 60_000


@pytest.mark.parametrize("wrong", ["a byte", "the CRC"])
def test_a_wrong_prefix_is_found_by_the_checksum_of_the_whole(wrong: str) -> None:
    content = b"x" * 5000
    data, directory = pack([content])
    kept = b"y" + content[1:3000] if wrong == "a byte" else content[:3000]
    crc = zlib.crc32(kept) ^ (wrong == "the CRC")
    prefixes = {0: KeptPrefix(3000, crc)}
    reader = ZipReader(directory, directory.entries, ArchiveLimits(), prefixes=prefixes)
    with pytest.raises(IntegrityError, match="the CRC-32 of its bytes is") as caught:
        read_on(data, reader, 700, whole=False)
    assert caught.value.member == "images/0.jpg"
