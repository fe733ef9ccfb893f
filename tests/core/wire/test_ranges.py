"""Which bytes are requested, and whether a response belongs to the known archive."""

from __future__ import annotations

import zipfile
from dataclasses import replace
from io import BytesIO

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asynccvat.core.paths import NameRules
from asynccvat.core.records.receipts import MemberRecord
from asynccvat.core.wire.ranges import (
    ByteSpan,
    RangeOptions,
    first_request,
    if_range,
    is_same_archive,
    plan_spans,
    skipped_members,
)
from asynccvat.core.zip import ArchiveLimits, ArchiveSize, Directory, read_directory


def directory_of(*sizes: int, method: int = zipfile.ZIP_STORED) -> Directory:
    """The directory of an archive whose members have these sizes, and hold zeros."""
    buffer = BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for number, size in enumerate(sizes):
            archive.writestr(f"{number:03d}", bytes(size))
    content = buffer.getvalue()
    directory = read_directory(content, len(content), limits=ArchiveLimits(), rules=NameRules())
    assert isinstance(directory, Directory)
    return directory


HEADER = 33  # a local header with a name of three characters
EACH = RangeOptions(request_bytes=0)  # requests cost nothing: each gap is left out


def test_all_members_are_one_span() -> None:
    directory = directory_of(100, 200, 300)

    spans = plan_spans(directory, [True] * 3, directory.start, RangeOptions())

    assert spans == (ByteSpan(0, 3, 0, directory.start),)


def test_nothing_wanted_is_no_span() -> None:
    directory = directory_of(100, 200)

    assert plan_spans(directory, [False] * 2, directory.start, RangeOptions()) == ()


def test_an_empty_archive_is_no_span() -> None:
    assert plan_spans(directory_of(), [], 0, RangeOptions()) == ()


def test_members_that_are_not_wanted_are_skipped() -> None:
    directory = directory_of(100, 200, 300, 400)

    spans = plan_spans(directory, [True, False, True, True], directory.start, EACH)

    assert spans == (
        ByteSpan(0, 1, 0, 100 + HEADER),
        ByteSpan(2, 4, 300 + 2 * HEADER, directory.start),
    )


def test_the_smallest_gaps_are_read_if_there_are_too_many() -> None:
    directory = directory_of(10, 500, 10, 100, 10, 300, 10)
    wanted = [True, False] * 3 + [True]

    spans = plan_spans(directory, wanted, directory.start, replace(EACH, requests=2))

    assert [(span.first, span.last) for span in spans] == [(0, 1), (2, 7)]


def test_spans_in_the_tail_cost_no_request() -> None:
    directory = directory_of(10, 500, 10, 100, 10)
    wanted = [True, False, True, False, True]
    tail_start = directory.entries[2].header_offset

    spans = plan_spans(directory, wanted, tail_start, replace(EACH, requests=1))

    assert [(span.first, span.last) for span in spans] == [(0, 1), (2, 3), (4, 5)]


def test_gaps_that_are_not_worth_a_request_are_read() -> None:
    directory = directory_of(10, 500, 10, 100, 10, 300, 10)
    wanted = [True, False] * 3 + [True]
    options = RangeOptions(request_bytes=300 + HEADER)

    spans = plan_spans(directory, wanted, directory.start, options)

    assert [(span.first, span.last) for span in spans] == [(0, 1), (2, 5), (6, 7)]
    out = skipped_members(directory, wanted, directory.start, options)
    assert out == [False, True, False, False, False, True, False]


def test_members_before_all_or_right_before_the_tail_are_skipped_for_nothing() -> None:
    directory = directory_of(100, 10, 100, 100, 10)
    wanted = [False, True, False, False, True]
    tail_start = directory.entries[3].header_offset
    options = RangeOptions(request_bytes=10**6)

    out = skipped_members(directory, wanted, tail_start, options)

    assert out == [True, False, True, False, False]
    assert [(s.first, s.last) for s in plan_spans(directory, wanted, tail_start, options)] == [
        (1, 2),
        (4, 5),
    ]


def test_if_nothing_is_wanted_all_before_the_tail_is_skipped() -> None:
    directory = directory_of(100, 100, 100)
    tail_start = directory.entries[2].header_offset + 1

    assert skipped_members(directory, [False] * 3, tail_start, RangeOptions()) == [True, True, True]
    assert skipped_members(directory, [False] * 3, 0, RangeOptions()) == [False] * 3


def test_gaps_in_the_tail_are_not_closed_in_place_of_others() -> None:
    directory = directory_of(10, 500, 10, 400, 10, 1, 10)
    wanted = [True, False] * 3 + [True]
    tail_start = directory.entries[4].header_offset

    spans = plan_spans(directory, wanted, tail_start, replace(EACH, requests=1))

    assert [(span.first, span.last) for span in spans] == [(0, 3), (4, 5), (6, 7)]


def test_a_large_archive_is_divided_at_the_ends_of_members() -> None:
    directory = directory_of(*[1000] * 8)
    options = RangeOptions(parallel=4, divide_from=5000)

    spans = plan_spans(directory, [True] * 8, directory.start, options)

    assert [(span.first, span.last) for span in spans] == [(0, 2), (2, 4), (4, 6), (6, 8)]


def test_a_small_archive_is_not_divided() -> None:
    directory = directory_of(*[1000] * 4)

    spans = plan_spans(directory, [True] * 4, directory.start, RangeOptions(divide_from=5000))

    assert len(spans) == 1


def test_members_that_unpack_to_much_are_divided_even_if_dense() -> None:
    directory = directory_of(*[10_000] * 4, method=zipfile.ZIP_DEFLATED)
    assert directory.archive_size < 1000

    spans = plan_spans(
        directory, [True] * 4, directory.start, RangeOptions(parallel=2, divide_from=40_000)
    )

    assert [(span.first, span.last) for span in spans] == [(0, 2), (2, 4)]


def test_what_the_tail_holds_does_not_count_for_dividing() -> None:
    directory = directory_of(*[1000] * 8)
    options = RangeOptions(parallel=2, divide_from=5000)
    tail_start = directory.entries[2].header_offset

    assert len(plan_spans(directory, [True] * 8, tail_start, options)) == 1


def test_a_short_rest_gets_no_request_of_its_own() -> None:
    directory = directory_of(5000, 3000, 100)
    options = RangeOptions(parallel=8, divide_from=5000)

    spans = plan_spans(directory, [True] * 3, directory.start, options)

    assert [(span.first, span.last) for span in spans] == [(0, 1), (1, 3)]


def members(*sizes: tuple[str, int]) -> list[MemberRecord]:
    return [MemberRecord(name, size, 0, 0) for name, size in sizes]


def images(count: int, size: int) -> list[tuple[str, int]]:
    return [(f"images/{number:04d}.jpg", size) for number in range(count)]


@given(st.lists(st.tuples(st.text(max_size=20), st.integers(0, 5000)), max_size=30))
def test_the_size_of_an_archive_follows_from_its_members(sizes: list[tuple[str, int]]) -> None:
    buffer = BytesIO()
    predicted = ArchiveSize()
    with zipfile.ZipFile(buffer, "w") as archive:
        for number, (name, size) in enumerate(sizes):
            path = f"{number} {name}".replace("\0", "0").replace("/", "0")
            before = buffer.tell()
            archive.writestr(zipfile.ZipInfo(path), bytes(size))
            assert predicted.add(path, size) == buffer.tell() - before
        start = buffer.tell()

    assert predicted.members == start
    assert predicted.end == len(buffer.getvalue()) - start
    assert predicted.whole == len(buffer.getvalue())


def test_large_archives_have_the_wide_forms() -> None:
    """As `zipfile` writes them: from 2 GiB on, or from 65,536 members."""
    size = ArchiveSize()
    assert size.add("a", 2**31 - 1 - 62) == 2**31 - 1 - 62 + 31
    assert size.end == 47 + 22
    assert size.add("b", 0) == 31
    assert size.end == 2 * 47 + 22
    size.add("c", 2**31)
    assert size.end == 3 * 47 + 20 + 22 + 76
    size.add("d", 1)
    assert size.end == 4 * 47 + 20 + 12 + 22 + 76
    many = ArchiveSize()
    for _ in range(65_536):
        many.add("m", 0)
    assert many.end == 65_536 * 47 + 22 + 76


OPTIONS = RangeOptions(tail=256_000, request_bytes=64_000)


def test_of_an_unknown_archive_the_tail_is_requested() -> None:
    assert first_request([], OPTIONS) == 256_000


def test_a_small_archive_of_annotations_is_requested_whole() -> None:
    assert first_request(members(("annotations.xml", 5000)), OPTIONS) == 256_000
    assert first_request(members(("annotations.xml", 200_000)), OPTIONS) == 256_000


def test_of_a_large_archive_the_directory_is_requested() -> None:
    known = members(("annotations.xml", 5000), *images(100, 20_000))
    assert first_request(known, OPTIONS) == 46 + 15 + 100 * (46 + 15) + 22 + 64


def test_annotations_at_the_end_are_requested_with_the_directory() -> None:
    known = members(*images(100, 20_000), ("labels/a.txt", 3000), ("labels/b.txt", 138))
    texts = 3138 + 2 * (30 + 12)
    end = 100 * (46 + 15) + 2 * (46 + 12) + 22
    assert first_request(known, OPTIONS) == end + 64 + texts + texts // 32


def test_long_annotations_at_the_end_are_not_waited_for() -> None:
    known = members(*images(100, 20_000), ("annotations/instances.json", 3_000_000))
    assert first_request(known, OPTIONS) == 256_000


def test_a_directory_longer_than_the_tail_is_requested_at_once() -> None:
    known = members(("annotations.xml", 5000), *images(10_000, 20_000))
    assert first_request(known, OPTIONS) == 46 + 15 + 10_000 * (46 + 15) + 22 + 64


@pytest.mark.parametrize(
    ("size", "expected"),
    [(6_000, 256_000), (7_000, 10 * (46 + 15) + 46 + 15 + 22 + 64)],
    ids=["not worth it", "worth it"],
)
def test_images_of_a_small_archive_are_skipped_if_they_are_worth_a_request(
    size: int, expected: int
) -> None:
    known = members(("annotations.xml", 5000), *images(10, size))
    assert first_request(known, OPTIONS) == expected


def test_images_are_skipped_if_that_takes_no_further_request() -> None:
    known = members(*images(10, 1000), ("annotations.json", 1000))
    assert first_request(known, OPTIONS) < 3000


@given(
    st.lists(st.tuples(st.integers(0, 3000), st.booleans()), max_size=40),
    st.integers(0, 60_000),
    st.builds(
        RangeOptions,
        parallel=st.integers(1, 6),
        requests=st.integers(1, 8),
        divide_from=st.integers(0, 40_000),
        request_bytes=st.integers(0, 5_000),
    ),
)
def test_spans_cover_what_is_wanted_once_and_in_order(
    sizes: list[tuple[int, bool]], tail: int, options: RangeOptions
) -> None:
    directory = directory_of(*(size for size, _ in sizes))
    wanted = [want for _, want in sizes]
    tail_start = max(0, directory.start - tail)

    spans = plan_spans(directory, wanted, tail_start, options)

    read = [index for span in spans for index in range(span.first, span.last)]
    assert read == sorted(set(read))
    assert {index for index, want in enumerate(wanted) if want} <= set(read)
    offsets = [*(entry.header_offset for entry in directory.entries), directory.start]
    assert all((s.start, s.stop) == (offsets[s.first], offsets[s.last]) for s in spans)
    out = skipped_members(directory, wanted, tail_start, options)
    in_tail = {i for i, offset in enumerate(offsets[:-1]) if offset >= tail_start}
    assert set(range(len(wanted))) - set(read) - in_tail == {i for i, o in enumerate(out) if o}
    # Dividing comes on top of the cuts: at most `parallel` more.
    assert sum(span.start < tail_start for span in spans) <= options.requests + options.parallel


@pytest.mark.parametrize(
    ("status", "total", "etag", "same"),
    [
        (206, 100, '"a"', True),
        (206, 100, None, True),
        (206, None, '"a"', True),
        (206, 99, '"a"', False),
        (206, 100, '"b"', False),
        (200, 100, '"a"', False),
    ],
)
def test_a_response_belongs_to_the_known_archive_only_if_all_agrees(
    status: int, total: int | None, etag: str | None, same: bool
) -> None:
    assert (
        is_same_archive(status=status, total=total, etag=etag, known_total=100, known_etag='"a"')
        is same
    )


def test_without_an_etag_the_size_decides() -> None:
    assert is_same_archive(status=206, total=9, etag='"a"', known_total=9, known_etag=None)


@pytest.mark.parametrize(("etag", "sent"), [('"a"', '"a"'), ('W/"a"', None), (None, None)])
def test_only_strong_etags_make_a_condition(etag: str | None, sent: str | None) -> None:
    assert if_range(etag) == sent
