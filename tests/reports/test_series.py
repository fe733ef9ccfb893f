"""Curves over the time of a run."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from logs import a_mirror, timeline_of

from asynccvat.reports.byte_counts import MOST_SLOTS, ByteCounts
from asynccvat.reports.series import MOST_BINS, occupancy, series_of
from asynccvat.reports.server_work import most_at_once
from asynccvat.reports.timeline import Phase, Span

TIMES = st.floats(0, 100).map(lambda value: round(value, 3))


def spans(*times: tuple[float, float]) -> list[Span]:
    return [Span(Phase.WORKING, start, end) for start, end in times]


def test_a_bin_counts_a_span_by_the_share_that_it_covers() -> None:
    assert occupancy(spans((0.5, 2.5), (1.0, 2.0)), 1.0, 4) == [0.5, 2.0, 0.5, 0.0]


@given(st.lists(st.tuples(TIMES, TIMES)))
def test_all_bins_together_hold_the_time_of_all_spans(times: list[tuple[float, float]]) -> None:
    found = spans(*((min(pair), max(pair)) for pair in times))
    whole = sum(span.end - span.start for span in found)
    assert sum(occupancy(found, 2.5, 40)) * 2.5 == pytest.approx(whole)


@given(st.lists(st.tuples(st.floats(0, 1e5), st.integers(0, 10**9)), max_size=40))
def test_no_byte_is_lost_or_counted_twice(received: list[tuple[float, int]]) -> None:
    counts = ByteCounts()
    for at, count in sorted(received):
        counts.add(count, at)
    bins = counts.in_bins(max([1.0, *(at for at, _ in received)]) / 240, 240)
    assert sum(bins) == pytest.approx(counts.total)
    assert counts.total == sum(count for _, count in received)
    assert min(bins) >= -1e-3


def test_bytes_are_in_the_bin_of_their_time_however_long_the_run_is() -> None:
    counts = ByteCounts()
    for second in range(0, 40_000, 100):
        counts.add(100, float(second))
    assert len(counts._slots) <= MOST_SLOTS
    assert counts.in_bins(10_000.0, 4) == pytest.approx([10_000] * 4, rel=0.02)


def test_the_curves_of_a_run_agree_with_its_tasks() -> None:
    timeline = timeline_of(a_mirror(10))
    series = series_of(timeline)
    assert sum(series.done) == 10
    assert sum(series.bytes) * series.width == pytest.approx(10_000)
    assert sum(series.phases[Phase.WORKING]) * series.width == pytest.approx(10 * 0.25)
    assert {len(values) for values in series.phases.values()} == {MOST_BINS}


def test_a_run_without_tasks_has_empty_curves() -> None:
    series = series_of(timeline_of([(0.0, "run_finished", {"ok": True, "seconds": 0.0})]))
    assert (series.phases, sum(series.bytes), sum(series.done)) == ({}, 0, 0)


def test_one_that_begins_as_another_ends_does_not_overlap_it() -> None:
    assert most_at_once([(0, 1), (1, 2), (0.5, 1.5)]) == 2
    assert most_at_once([]) == 0
