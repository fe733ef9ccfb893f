"""The central directory, read from tails of any length."""

from __future__ import annotations

import pytest
from archive_builder import Member, build
from archive_reading import LIMITS, RULES, directory_of, read_spooled
from hypothesis import given
from hypothesis import strategies as st

from asynccvat.core.zip import Directory, TailNeeded, read_directory
from asynccvat.errors import IntegrityError, TruncatedArchiveError

MEMBERS = [Member(f"images/{i:03}.jpg", bytes([i]) * i) for i in range(60)]
PLAIN = build(*MEMBERS)
ARCHIVES = [
    build(),
    build(zip64=True),
    PLAIN,
    build(*MEMBERS, comment=b"x" * 300),
    build(*MEMBERS, comment=b"x" * 65_535),
    build(*MEMBERS, zip64=True),
    build(*MEMBERS, zip64=True, comment=b"x" * 300),
]


def read(tail: bytes, size: int) -> Directory | TailNeeded:
    return read_directory(tail, size, limits=LIMITS, rules=RULES)


@given(st.sampled_from(ARCHIVES), st.integers(0, 5000))
def test_any_tail_gives_the_directory_or_the_length_that_is_needed(data: bytes, tail: int) -> None:
    assert directory_of(data, tail=min(tail, len(data) - 1)) == directory_of(data)


def test_the_length_that_is_needed_is_exact_once_the_end_is_seen() -> None:
    needed = read(PLAIN[-22:], len(PLAIN))
    assert isinstance(needed, TailNeeded)
    whole = directory_of(PLAIN)
    found = read(PLAIN[-100:], len(PLAIN))
    assert found == TailNeeded(len(PLAIN) - whole.start)
    assert read(PLAIN[whole.start :], len(PLAIN)) == whole
    assert read(PLAIN[whole.start + 1 :], len(PLAIN)) == found


def test_entries_say_what_the_archive_holds() -> None:
    directory = directory_of(PLAIN)
    assert [entry.name for entry in directory.entries] == [str(m.name) for m in MEMBERS]
    assert [entry.size for entry in directory.entries] == list(range(60))
    assert directory.total_size == sum(range(60))
    assert directory.archive_size == len(PLAIN)
    assert PLAIN[directory.start :].startswith(b"PK\1\2")
    ends = [directory.end_of(index) for index in range(60)]
    assert ends == [entry.header_offset for entry in directory.entries[1:]] + [directory.start]


def test_equal_content_gives_an_equal_digest_in_any_order() -> None:
    one = directory_of(PLAIN)
    other = directory_of(build(*reversed(MEMBERS), comment=b"later"))
    assert one.digest == other.digest
    assert one != other
    assert len(one.digest) == 64


@pytest.mark.parametrize(
    "other",
    [
        Member("a", b"2"),
        Member("b", b"1"),
        Member("a", b"11"),
        Member("a", b"1", method=8),
        Member("a/"),
    ],
)
def test_other_content_gives_another_digest(other: Member) -> None:
    one, two = directory_of(build(Member("a", b"1"))), directory_of(build(other))
    assert one.digest != two.digest
    assert one != two


def test_directories_are_equal_by_content_and_place() -> None:
    one, same = directory_of(PLAIN), directory_of(PLAIN)
    assert one == same
    assert hash(one) == hash(same)
    assert one != directory_of(build(*MEMBERS[1:], MEMBERS[0]))
    assert one != "a directory"
    # Entry times and comments of members do not count: a server writes new ones each time.
    again = [Member(m.name, m.data, central={"attributes": 0}) for m in MEMBERS]
    assert one == directory_of(build(*again))


def test_a_spool_gives_the_same_directory() -> None:
    for data in ARCHIVES:
        assert read_spooled(data)[1] == directory_of(data)


def test_an_entry_of_another_directory_has_no_place() -> None:
    directory = directory_of(PLAIN)
    stranger = directory_of(build(Member("x"))).entries[0]
    for known in (directory, directory_of(build())):
        with pytest.raises(ValueError, match="'x' is no member"):
            known.position_of(stranger)


def test_more_bytes_than_the_archive_has_are_refused() -> None:
    with pytest.raises(IntegrityError, match="came of an archive of 3"):
        read(PLAIN, 3)


def test_an_archive_without_an_end_is_requested_in_full_and_then_refused() -> None:
    size = 200_000
    assert read(b"x" * 100, size) == TailNeeded(65_557)
    with pytest.raises(TruncatedArchiveError, match="cut off"):
        read(b"x" * 65_557, size)
