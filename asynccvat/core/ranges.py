"""Which bytes of an archive to ask for, and whether an answer is of the archive that is known.

Everything here is arithmetic over values: the requests are made by `archives`, the archive's
directory is read by `core.zip`. A *span* is a run of neighbouring members that one request reads;
the *tail* is the archive's end, which the first request brought.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from asynccvat.core.export_layouts import is_text
from asynccvat.core.receipts import MemberRecord
from asynccvat.core.zip import ArchiveSize, Directory

# What an archive may have grown by since it was predicted: another frame, or a longer name.
_SPARE_BYTES = 64
# Annotations that were edited are as long as before, but for so small a part of them.
_SPARE_PART = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class RangeOptions:
    """How an archive is cut into requests.

    Attributes:
        tail: Bytes of the first request for an archive that nothing is known of. A small archive
            is whole in it; of CVAT's directories, with about 100 bytes a member, it holds 2,500
            members.
        parallel: Requests of one archive at once. What they gain is more threads that create
            and fill files; on two cores, two or three were quickest.
        divide_from: Bytes of work from which it is divided among that many: those still to be
            fetched, or what they make unpacked, if that is more.
        request_bytes: Bytes that are as dear as one more request. A request costs a server 20 to
            40 ms, in which a line of 20 Mbit/s carries 64 KiB: on a slower one bytes are dearer,
            on a faster one requests. To read what is here already and check its CRC is cheap
            beside both.
        requests: Ranges that an archive is cut into at most, to leave out what is here already:
            where lines are so fast that leaving out was wrong, not much is lost.
    """

    tail: int = 256 * 1024
    parallel: int = 3
    divide_from: int = 64 * 1024 * 1024
    request_bytes: int = 64 * 1024
    requests: int = 64


@dataclass(frozen=True, slots=True)
class ByteSpan:
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


def first_request(expected: Sequence[MemberRecord], options: RangeOptions) -> int:
    """How many of an archive's last bytes to ask for first.

    Of an archive of which nothing is known, `options.tail`. Where it should hold what an earlier
    one held, but for its annotations, the size of its directory follows from the names; the
    annotations are asked for together with it if they are the last members. They are what changed,
    and cost no request of their own then. A small archive is asked for as a whole, unless leaving
    the images out saves more than the requests cost that then remain. Where the archive turns out
    otherwise, that costs one more request, or some bytes too many.

    What a killed run left does not count: it tells neither the order of members nor their number.

    Args:
        expected: The members of the earlier archive, in the order of their places in it.
        options: How to cut.
    """
    if not expected:
        return options.tail
    size = ArchiveSize()
    texts: list[int] = []  # bytes of each run of texts
    in_text = False
    for member in expected:
        length = size.add(member.path, member.size)
        if not is_text(member.path):
            in_text = False
        elif in_text:
            texts[-1] += length
        else:
            texts.append(length)
            in_text = True
    closing = texts.pop() if in_text else 0
    apart = sum(texts) + closing + size.end + options.request_bytes * len(texts)
    if size.whole <= min(options.tail, apart):
        return options.tail
    directory = size.end + _SPARE_BYTES
    return min(directory + closing + closing // _SPARE_PART, max(directory, options.tail))


def plan_spans(
    directory: Directory, wanted: Sequence[bool], tail_start: int, options: RangeOptions
) -> tuple[ByteSpan, ...]:
    """Cut what is wanted of an archive into spans.

    Members that are not wanted are left out, but for gaps that are not worth a request: see
    `left_out`. What is still to be fetched is divided further where it is much, so that several
    requests share the work.

    Args:
        directory: The archive's directory.
        wanted: For each of its entries, whether it is to be read.
        tail_start: From this offset on the bytes are here.
        options: How to cut.
    """
    offsets = _offsets(directory)
    runs = _runs_to_read(offsets, wanted, tail_start, options)
    to_fetch = sum(_to_fetch(offsets, first, last, tail_start) for first, last in runs)
    unpacked = sum(
        entry.size
        for first, last in runs
        for entry in directory.entries[first:last]
        if entry.header_offset < tail_start
    )
    divided = max(to_fetch, unpacked) >= options.divide_from
    part = -(-to_fetch // options.parallel) if divided else to_fetch
    return tuple(
        ByteSpan(first, last, offsets[first], offsets[last])
        for run in runs
        for first, last in _divide(offsets, run, tail_start, part)
    )


def left_out(
    directory: Directory, wanted: Sequence[bool], tail_start: int, options: RangeOptions
) -> list[bool]:
    """Which members `plan_spans` would leave out: of those that are not wanted, nearly all.

    To leave out what lies between two wanted members takes one more request, and is done where it
    is larger than what a request is worth; what lies before all of them, or between them and the
    tail, costs nothing to leave out. Members in the tail are here already, and are never left out.

    Args:
        directory: The archive's directory.
        wanted: For each of its entries, whether it is to be read in any case.
        tail_start: From this offset on the bytes are here.
        options: How to cut.
    """
    offsets = _offsets(directory)
    out = [offset < tail_start for offset in offsets[:-1]]
    for first, last in _runs_to_read(offsets, wanted, tail_start, options):
        out[first:last] = [False] * (last - first)
    return out


def _offsets(directory: Directory) -> list[int]:
    return [*(entry.header_offset for entry in directory.entries), directory.start]


def _runs_to_read(
    offsets: Sequence[int], wanted: Sequence[bool], tail_start: int, options: RangeOptions
) -> list[tuple[int, int]]:
    """Runs of wanted members, joined where the gap between two is not worth a request."""
    runs = _runs(wanted)
    # Those that begin in the tail cost no request, and come last.
    asking = sum(offsets[first] < tail_start for first, _ in runs)
    gaps = [offsets[after[0]] - offsets[before[1]] for before, after in pairwise(runs[:asking])]
    too_small = sum(gap < options.request_bytes for gap in gaps)
    count = max(too_small, asking - options.requests)
    return _bridge(offsets, runs[:asking], count) + runs[asking:]


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
