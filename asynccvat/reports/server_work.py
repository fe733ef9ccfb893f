"""Divide stays at the server into waiting in its queue and work, as far as that is known.

The server tells the dates of some requests. Others are fetched when they are predicted to be ready,
without asking. When a worker had those is estimated from the others: the queue is first in, first
out, and a worker takes the usual time.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Mapping, Sequence
from statistics import median

from asynccvat.reports.timeline import Phase, ServerStay, Span, TaskLine

MOST_LOST = 0.05
"""If the workers that were seen would leave undone more of the work than this share, there are
more."""

Stay = tuple[Span, ServerStay, TaskLine]


def divide_stays(lines: Sequence[TaskLine], clocks: Mapping[str, float]) -> int:
    """Divide the stays of all tasks, and return how many of them are estimated.

    A stay about which nothing is known remains one phase.

    Args:
        lines: The tasks. Their spans are replaced.
        clocks: By work, what to add to its server's clock for seconds of the run.
    """
    parts: dict[int, dict[int, list[Span]]] = {}
    estimated = 0
    # Exports and imports have queues of their own, and those of a copy are on two servers.
    for kind in ("export", "import"):
        stays = sorted(
            (
                (line.spans[stay.place], stay, line)
                for line in lines
                for stay in line.stays
                if stay.work == kind
            ),
            key=lambda found: (found[0].start, found[0].end),
        )
        times = [stay.seconds for _, stay, _ in stays if stay.seconds is not None]
        usual = median(times) if times else None
        known = [_known_work(span, stay, clocks.get(kind), usual) for span, stay, _ in stays]
        works = known if usual is None else _with_estimates(stays, known, usual)
        for (span, stay, line), told, work in zip(stays, known, works, strict=True):
            if work is not None:
                parts.setdefault(id(line), {})[stay.place] = _parts(span, work)
                estimated += told is None
    for line in lines:
        if (found := parts.get(id(line))) is not None:
            line.spans = _joined(
                part for place, span in enumerate(line.spans) for part in found.get(place, (span,))
            )
            line.stays = []
    return estimated


def _with_estimates(
    stays: Sequence[Stay], known: Sequence[Span | None], usual: float
) -> Sequence[Span | None]:
    """Return when a worker had each request, estimated where it is not known."""
    unknown = sum(work is None for work in known)
    if not unknown:
        return known
    workers = max(
        1,
        most_at_once(
            (stay.ended - stay.seconds, stay.ended)
            for _, stay, _ in stays
            if stay.ended is not None and stay.seconds is not None
        ),
    )
    while True:
        works = _on_workers(workers, [span for span, _, _ in stays], known, usual)
        done = sum(
            work.end - work.start for work, told in zip(works, known, strict=True) if told is None
        )
        if done >= (1 - MOST_LOST) * unknown * usual or workers >= len(stays):
            return works
        workers += max(1, workers // 4)


def _on_workers(
    workers: int, stays: Sequence[Span], known: Sequence[Span | None], usual: float
) -> list[Span]:
    """Give the requests to workers, in the order in which they were sent.

    No worker has one after the news of its end, so one that is late here has less than its time.
    """
    free_at = [0.0] * workers
    works = []
    for span, seen in zip(stays, known, strict=True):
        begin = min(max(span.start, free_at[0]), span.end)
        work = seen or Span(Phase.WORKING, begin, min(begin + usual, span.end))
        heapq.heapreplace(free_at, work.end)
        works.append(work)
    return works


def most_at_once(intervals: Iterable[tuple[float, float]]) -> int:
    """Return how many intervals overlap at most. One that begins as another ends does not."""
    edges = sorted((at, step) for start, end in intervals for at, step in ((start, 1), (end, -1)))
    most = now = 0
    for _, step in edges:
        now += step
        most = max(most, now)
    return most


def _known_work(
    span: Span, stay: ServerStay, clock: float | None, usual: float | None
) -> Span | None:
    """Return when a worker had a request, None if neither dates nor sightings tell it.

    One that was seen at work, and whose end the server did not tell, takes the usual time.
    """
    end = span.end
    if stay.ended is not None and clock is not None:
        end = min(max(stay.ended + clock, span.start), span.end)
    if stay.seconds is not None:
        return Span(Phase.WORKING, max(span.start, end - stay.seconds), end)
    if stay.started is not None:
        begin = min(stay.started, end)
        return Span(Phase.WORKING, begin, end if usual is None else min(begin + usual, end))
    return None


def _parts(span: Span, work: Span) -> list[Span]:
    parts = [
        Span(Phase.WAITING, span.start, work.start),
        work,
        Span(Phase.WAITING, work.end, span.end),
    ]
    return [part for part in parts if part.end > part.start]


def _joined(spans: Iterable[Span]) -> list[Span]:
    """Join neighbouring spans of one phase."""
    joined: list[Span] = []
    for span in spans:
        if joined and joined[-1].phase is span.phase and joined[-1].end == span.start:
            joined[-1] = Span(span.phase, joined[-1].start, span.end)
        else:
            joined.append(span)
    return joined
