"""Which bytes of an archive to ask for, and whether an answer is of the archive that is known.

Everything here is arithmetic over values: the requests are made by `archives`, the archive's
directory is read by `core.zip`. A *span* is a run of neighbouring members that one request reads;
the *tail* is the archive's end, which the first request brought.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from asynccvat.core.zip import Directory


@dataclass(frozen=True, slots=True, kw_only=True)
class RangeOptions:
    """How an archive is cut into requests.

    Attributes:
        tail: Bytes of the first request. A small archive is whole in it; of CVAT's directories,
            with about 100 bytes a member, it holds 2,500 members.
        parallel: Requests of one archive at once. What they gain is more threads that create
            and fill files; on two cores, two or three were quickest.
        divide_from: Bytes still to be fetched from which they are divided among that many.
        requests: Ranges that an archive is cut into at most, to leave out what is here already.
            A request costs a server about 20 ms: beyond so many, leaving out one more member is
            dearer than reading it again.
        reuse_from: Bytes of a member from which it is taken over rather than fetched.
    """

    tail: int = 256 * 1024
    parallel: int = 3
    divide_from: int = 64 * 1024 * 1024
    requests: int = 64
    reuse_from: int = 64 * 1024


@dataclass(frozen=True, slots=True)
class Span:
    """Neighbouring members to read in one go.

    Attributes:
        first: Index of the first member among the directory's entries.
        last: Index after the last member.
        start: Offset of the first byte.
        stop: Offset after the last byte; where this lies in the tail, the rest is here already.
    """

    first: int
    last: int
    start: int
    stop: int


def plan_spans(
    directory: Directory, wanted: Sequence[bool], tail_start: int, options: RangeOptions
) -> tuple[Span, ...]:
    """Cut what is wanted of an archive into spans.

    Members that are not wanted are left out, unless that took more than `options.requests`
    requests: then the smallest gaps are read, too. What is still to be fetched is divided further
    where it is much, so that several requests share the work.

    Args:
        directory: The archive's directory.
        wanted: For each of its entries, whether it is to be read.
        tail_start: From this offset on the bytes are here.
        options: How to cut.
    """
    offsets = [*(entry.header_offset for entry in directory.entries), directory.start]
    runs = _runs(wanted)
    # Those that begin in the tail cost no request, and come last.
    asking = sum(offsets[first] < tail_start for first, _ in runs)
    if asking > options.requests:
        bridged = _bridge(offsets, runs[:asking], asking - options.requests)
        runs = bridged + runs[asking:]
    to_fetch = sum(_to_fetch(offsets, first, last, tail_start) for first, last in runs)
    divided = to_fetch >= options.divide_from
    part = -(-to_fetch // options.parallel) if divided else to_fetch
    return tuple(
        Span(first, last, offsets[first], offsets[last])
        for run in runs
        for first, last in _divide(offsets, run, tail_start, part)
    )


def _runs(wanted: Sequence[bool]) -> list[tuple[int, int]]:
    edges = [-1, *(index for index, want in enumerate(wanted) if not want), len(wanted)]
    return [(before + 1, after) for before, after in pairwise(edges) if after - before > 1]


def _to_fetch(offsets: Sequence[int], first: int, last: int, tail_start: int) -> int:
    return max(0, min(offsets[last], tail_start) - offsets[first])


def _bridge(
    offsets: Sequence[int], runs: list[tuple[int, int]], count: int
) -> list[tuple[int, int]]:
    """Close the `count` smallest gaps between runs."""
    gaps = sorted(
        range(1, len(runs)),
        key=lambda index: offsets[runs[index][0]] - offsets[runs[index - 1][1]],
    )
    closed = set(gaps[:count])
    bridged = runs[:1]
    for index, (first, last) in enumerate(runs[1:], start=1):
        if index in closed:
            bridged[-1] = (bridged[-1][0], last)
        else:
            bridged.append((first, last))
    return bridged


def _divide(
    offsets: Sequence[int], run: tuple[int, int], tail_start: int, part: int
) -> list[tuple[int, int]]:
    """Cut a run wherever it has brought `part` bytes, at the ends of members."""
    first, last = run
    parts: list[tuple[int, int]] = []
    for cut in range(first + 1, last):
        # A short rest stays with the part before it: it would not be worth a request.
        if _to_fetch(offsets, cut, last, tail_start) * 4 < part:
            break
        if offsets[cut] - offsets[first] >= part:
            parts.append((first, cut))
            first = cut
    parts.append((first, last))
    return parts


def is_same_archive(
    *,
    status: int,
    total: int | None,
    etag: str | None,
    known_total: int,
    known_etag: str | None,
) -> bool:
    """Whether an answer to a range is of the archive whose directory is known.

    A 200 says that it is not. Nor is a 206 of another size or with another ETag, as servers and
    caches send that overlook `If-Range`.

    Args:
        status: 200 or 206.
        total: Bytes of the archive by the answer, None where it does not say.
        etag: ETag of the answer, if any.
        known_total: Bytes of the archive whose directory was read.
        known_etag: Its ETag, if any.
    """
    return (
        status == 206
        and total in (None, known_total)
        and (etag is None or known_etag is None or etag == known_etag)
    )


def if_range(etag: str | None) -> str | None:
    """The ETag if `If-Range` may carry it: weak ones never match there (RFC 9110, 13.1.5)."""
    return None if etag is None or etag.startswith("W/") else etag
