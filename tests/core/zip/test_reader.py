"""The reader: runs of members, broken ranges, final errors, bounded output."""

from __future__ import annotations

import tracemalloc

import pytest
from archive_builder import Member, build
from archive_reading import LIMITS, directory_of, drain
from hypothesis import given
from hypothesis import strategies as st

from asynccvat.core.zip import (
    ArchiveLimits,
    MemberData,
    MemberEnd,
    MemberStart,
    ZipReader,
)
from asynccvat.errors import ArchiveLimitError, IntegrityError, TruncatedArchiveError

FORMS = (None, "signed32", "bare32", "signed64", "bare64")
MEMBERS = [
    Member(f"m{i}", bytes(range(256)) * i, method=8 if i % 2 else 0, descriptor=FORMS[i % 5])
    for i in range(20)
]
DATA = build(*MEMBERS)
DIRECTORY = directory_of(DATA)


def whole_reader(data: bytes) -> ZipReader:
    directory = directory_of(data)
    return ZipReader(directory, directory.entries, LIMITS)


@given(st.integers(0, 19), st.integers(0, 20))
def test_any_run_of_members_is_read_from_its_own_bytes(first: int, last: int) -> None:
    entries = DIRECTORY.entries[first : max(first, last)]
    reader = ZipReader(DIRECTORY, entries, LIMITS)
    if entries:
        start, end = entries[0].header_offset, DIRECTORY.end_of(last - 1)
        assert reader.position == start
        tree = drain(reader, DATA[start:end], 1000)
        assert tree == {str(m.name): m.data for m in MEMBERS[first : max(first, last)]}
        assert reader.position == end
    reader.close()


@given(st.lists(st.integers(0, DIRECTORY.start), max_size=6))
def test_a_broken_range_resumes_at_its_position(breaks: list[int]) -> None:
    reader = ZipReader(DIRECTORY, DIRECTORY.entries, LIMITS)
    names = []
    for stop in [*sorted(breaks), DIRECTORY.start]:
        events = list(reader.feed(DATA[reader.position : stop]))
        names += [event.entry.name for event in events if isinstance(event, MemberEnd)]
        assert reader.position == stop
    assert names == [member.name for member in MEMBERS]
    reader.close()


def test_entries_that_are_no_neighbours_are_refused() -> None:
    entries = DIRECTORY.entries
    for wrong in ([entries[0], entries[2]], [entries[1], entries[0]], [entries[0], entries[0]]):
        with pytest.raises(ValueError, match="not neighbours"):
            ZipReader(DIRECTORY, wrong, LIMITS)


def test_a_run_beyond_its_limits_is_refused_before_it_is_read() -> None:
    with pytest.raises(ArchiveLimitError, match="'m19' holds 4864 bytes"):
        ZipReader(DIRECTORY, DIRECTORY.entries, ArchiveLimits(member_size=4863))
    with pytest.raises(ArchiveLimitError, match="the archive holds"):
        ZipReader(DIRECTORY, DIRECTORY.entries, ArchiveLimits(total_size=9000))


def test_bytes_after_the_run_are_refused() -> None:
    reader = ZipReader(DIRECTORY, DIRECTORY.entries[:2], LIMITS)
    with pytest.raises(IntegrityError, match="bytes more came"):
        drain(reader, DATA, None)
    with pytest.raises(IntegrityError, match="bytes more came"):
        reader.close()


def test_an_early_end_says_where_and_leaves_the_rest_to_be_fed() -> None:
    data = build(Member("a.jpg", b"x" * 100), Member("b.jpg", b"y"))
    directory = directory_of(data)
    for stop, what in [
        (0, "between members, at byte 0"),
        (60, "within member 'a.jpg', at byte 60"),
    ]:
        reader = ZipReader(directory, directory.entries, LIMITS)
        for _ in reader.feed(data[:stop]):
            pass
        with pytest.raises(TruncatedArchiveError, match=what):
            reader.close()


def test_the_first_error_is_final() -> None:
    data = bytearray(build(Member("m", b"12345")))
    reader = whole_reader(bytes(data))
    data[33] ^= 1
    with pytest.raises(IntegrityError, match="'m': the CRC-32") as first:
        drain(reader, bytes(data), None)
    for again in (lambda: list(reader.feed(b"")), reader.close):
        with pytest.raises(IntegrityError) as caught:
            again()
        assert caught.value is first.value
    assert first.value.member == "m"


def test_stored_bytes_are_passed_on_without_a_copy() -> None:
    data = build(Member("m", b"0123456789" * 1000))
    members = data[: directory_of(data).start]
    reader = whole_reader(data)
    views = [event.data for event in reader.feed(members) if isinstance(event, MemberData)]
    assert len(views) == 1
    assert isinstance(views[0], memoryview)
    assert views[0].obj is members


def test_what_is_fed_may_change_after_its_events() -> None:
    scratch = bytearray(100)
    reader = ZipReader(DIRECTORY, DIRECTORY.entries, LIMITS)
    names = []
    for start in range(0, DIRECTORY.start, 100):
        piece = DATA[start : min(start + 100, DIRECTORY.start)]
        scratch[: len(piece)] = piece
        events = list(reader.feed(memoryview(scratch)[: len(piece)]))
        names += [event.entry.name for event in events if isinstance(event, MemberEnd)]
    assert names == [member.name for member in MEMBERS]
    reader.close()


def test_sizes_that_a_header_leaves_open_are_known_from_the_directory() -> None:
    data = build(Member("m", b"12345", method=8, descriptor="signed32"), Member("n", b"1"))
    directory = directory_of(data)
    starts, ends = [], []
    reader = whole_reader(data)
    for event in reader.feed(data[: directory.start]):
        if isinstance(event, MemberStart):
            starts.append(event.entry)
        elif isinstance(event, MemberEnd):
            ends.append(event.entry)
    assert [entry.size for entry in starts] == [5, 1]
    assert tuple(starts) == tuple(ends) == directory.entries


def test_little_input_that_makes_much_output_comes_in_bounded_pieces() -> None:
    size = 40 * 1024 * 1024
    zeros = b"\0" * (size // 10)
    limits = ArchiveLimits(ratio=2000, ratio_floor=0)
    data = build(Member("zeros", zeros * 10, method=8, descriptor="signed32"))
    del zeros
    directory = directory_of(data, limits=limits)
    reader = ZipReader(directory, directory.entries, limits)
    produced = 0
    tracemalloc.start()
    try:
        for event in reader.feed(memoryview(data)[: directory.start]):
            if isinstance(event, MemberData):
                assert len(event.data) <= 1024 * 1024
                produced += len(event.data)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert produced == size
    assert peak < 8 * 1024 * 1024
    reader.close()
    assert directory.total_size == size


def test_the_chunk_is_released_after_its_events() -> None:
    chunk = bytearray(DATA[:500])
    reader = ZipReader(DIRECTORY, DIRECTORY.entries, LIMITS)
    assert list(reader.feed(chunk))
    chunk.clear()  # a BufferError if anything still held it
    assert reader.position == 500


def test_events_that_were_left_unread_are_noticed() -> None:
    reader = whole_reader(DATA)
    assert isinstance(next(iter(reader.feed(DATA))), MemberStart)
    with pytest.raises(RuntimeError, match="not all consumed"):
        list(reader.feed(b""))
    with pytest.raises(RuntimeError, match="not all consumed"):
        reader.close()
