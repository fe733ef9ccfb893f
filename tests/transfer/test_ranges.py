"""Which bytes are asked for, and whether an answer is of the archive that is known."""

from __future__ import annotations

import zipfile
from io import BytesIO

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asynccvat.core.paths import NameRules
from asynccvat.core.ranges import RangeOptions, Span, if_range, is_same_archive, plan_spans
from asynccvat.core.zip import ArchiveLimits, Directory, read_directory


def directory_of(*sizes: int) -> Directory:
    """The directory of an archive with stored members of these sizes."""
    buffer = BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for number, size in enumerate(sizes):
            archive.writestr(f"{number:03d}", bytes(size))
    content = buffer.getvalue()
    directory = read_directory(content, len(content), limits=ArchiveLimits(), rules=NameRules())
    assert isinstance(directory, Directory)
    return directory


HEADER = 33  # a local header with a name of three characters


def test_all_members_are_one_span() -> None:
    directory = directory_of(100, 200, 300)

    spans = plan_spans(directory, [True] * 3, directory.start, RangeOptions())

    assert spans == (Span(0, 3, 0, directory.start),)


def test_nothing_wanted_is_no_span() -> None:
    directory = directory_of(100, 200)

    assert plan_spans(directory, [False] * 2, directory.start, RangeOptions()) == ()


def test_an_empty_archive_is_no_span() -> None:
    assert plan_spans(directory_of(), [], 0, RangeOptions()) == ()


def test_what_is_not_wanted_is_left_out() -> None:
    directory = directory_of(100, 200, 300, 400)

    spans = plan_spans(directory, [True, False, True, True], directory.start, RangeOptions())

    assert spans == (
        Span(0, 1, 0, 100 + HEADER),
        Span(2, 4, 300 + 2 * HEADER, directory.start),
    )


def test_the_smallest_gaps_are_read_where_there_are_too_many() -> None:
    directory = directory_of(10, 500, 10, 100, 10, 300, 10)
    wanted = [True, False] * 3 + [True]

    spans = plan_spans(directory, wanted, directory.start, RangeOptions(requests=2))

    assert [(span.first, span.last) for span in spans] == [(0, 1), (2, 7)]


def test_spans_in_the_tail_cost_no_request() -> None:
    directory = directory_of(10, 500, 10, 100, 10)
    wanted = [True, False, True, False, True]
    tail_start = directory.entries[2].header_offset

    spans = plan_spans(directory, wanted, tail_start, RangeOptions(requests=1))

    assert [(span.first, span.last) for span in spans] == [(0, 1), (2, 3), (4, 5)]


def test_gaps_in_the_tail_are_not_closed_in_place_of_others() -> None:
    directory = directory_of(10, 500, 10, 400, 10, 1, 10)
    wanted = [True, False] * 3 + [True]
    tail_start = directory.entries[4].header_offset

    spans = plan_spans(directory, wanted, tail_start, RangeOptions(requests=1))

    assert [(span.first, span.last) for span in spans] == [(0, 3), (4, 5), (6, 7)]


def test_much_is_divided_at_the_ends_of_members() -> None:
    directory = directory_of(*[1000] * 8)
    options = RangeOptions(parallel=4, divide_from=5000)

    spans = plan_spans(directory, [True] * 8, directory.start, options)

    assert [(span.first, span.last) for span in spans] == [(0, 2), (2, 4), (4, 6), (6, 8)]


def test_little_is_not_divided() -> None:
    directory = directory_of(*[1000] * 4)

    spans = plan_spans(directory, [True] * 4, directory.start, RangeOptions(divide_from=5000))

    assert len(spans) == 1


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


@given(
    st.lists(st.tuples(st.integers(0, 3000), st.booleans()), max_size=40),
    st.integers(0, 60_000),
    st.integers(1, 6),
    st.integers(1, 8),
    st.integers(0, 40_000),
)
def test_spans_cover_what_is_wanted_once_and_in_order(
    members: list[tuple[int, bool]], tail: int, parallel: int, requests: int, divide_from: int
) -> None:
    directory = directory_of(*(size for size, _ in members))
    wanted = [want for _, want in members]
    tail_start = max(0, directory.start - tail)
    options = RangeOptions(parallel=parallel, requests=requests, divide_from=divide_from)

    spans = plan_spans(directory, wanted, tail_start, options)

    read = [index for span in spans for index in range(span.first, span.last)]
    assert read == sorted(set(read))
    assert {index for index, want in enumerate(wanted) if want} <= set(read)
    offsets = [*(entry.header_offset for entry in directory.entries), directory.start]
    assert all((s.start, s.stop) == (offsets[s.first], offsets[s.last]) for s in spans)
    # Dividing comes on top of the cuts: at most `parallel` more.
    assert sum(span.start < tail_start for span in spans) <= requests + parallel


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
def test_an_answer_is_of_the_known_archive_only_if_all_agrees(
    status: int, total: int | None, etag: str | None, same: bool
) -> None:
    assert (
        is_same_archive(status=status, total=total, etag=etag, known_total=100, known_etag='"a"')
        is same
    )


def test_without_an_etag_the_size_has_to_do() -> None:
    assert is_same_archive(status=206, total=9, etag='"a"', known_total=9, known_etag=None)


@pytest.mark.parametrize(("etag", "sent"), [('"a"', '"a"'), ('W/"a"', None), (None, None)])
def test_only_strong_etags_make_a_condition(etag: str | None, sent: str | None) -> None:
    assert if_range(etag) == sent
