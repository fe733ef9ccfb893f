"""Make curves over the time of a run: tasks in each phase, bytes and tasks a second."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from asynccvat.reports.timeline import Phase, Span, Timeline

MOST_BINS = 240


@dataclass(frozen=True, slots=True)
class Series:
    """Curves whose points are bins of equal width.

    Attributes:
        width: Seconds of a bin.
        phases: By phase, how many tasks were in it on average, for each bin.
        bytes: Bytes a second, for each bin.
        done: Tasks done in each bin, those without work excluded.
    """

    width: float
    phases: dict[Phase, list[float]]
    bytes: list[float]
    done: list[int]


def series_of(timeline: Timeline) -> Series:
    """Return the curves of a run."""
    bins = MOST_BINS
    width = max(timeline.seconds, 1e-3) / bins
    by_phase: dict[Phase, list[Span]] = {}
    done = [0] * bins
    for line in timeline.lines:
        for span in line.spans:
            by_phase.setdefault(span.phase, []).append(span)
        if line.end is not None and line.spans:
            done[min(int(line.end / width), bins - 1)] += 1
    return Series(
        width=width,
        phases={
            phase: occupancy(by_phase[phase], width, bins) for phase in Phase if phase in by_phase
        },
        bytes=[count / width for count in timeline.bytes.in_bins(width, bins)],
        done=done,
    )


def occupancy(spans: Iterable[Span], width: float, bins: int) -> list[float]:
    """Return how many of the spans each bin lies in, on average over its width."""
    shares = [0.0] * (bins + 1)
    steps = [0] * (bins + 1)
    for span in spans:
        first = min(int(span.start / width), bins - 1)
        last = min(int(span.end / width), bins - 1)
        if first == last:
            shares[first] += span.end - span.start
            continue
        shares[first] += (first + 1) * width - span.start
        shares[last] += span.end - last * width
        steps[first + 1] += 1
        steps[last] -= 1
    whole = 0
    found = []
    for number in range(bins):
        whole += steps[number]
        found.append(whole + shares[number] / width)
    return found
