"""Decide which bytes of an archive to request, and whether a response belongs to that archive.

`core.zip` reads the archive's directory, and `archives` makes the requests. A *span* is a run of
neighbouring members that one request reads. The *tail* is the end of the archive, which the first
request fetched.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from asynccvat.core.export_layouts import is_text
from asynccvat.core.records.receipts import MemberRecord
from asynccvat.core.zip import ArchiveSize, Directory

# The directory may have grown by this since it was predicted: another frame, or a longer name.
_SPARE_BYTES = 64
# Edited annotations differ in length by about this part (a thirty-second) at most.
_SPARE_PART = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class RangeOptions:
    """How an archive is cut into requests.

    Attributes:
        tail: Bytes of the first request, if nothing is known of the archive. A small archive is
            whole in it. CVAT's directories take about 100 bytes a member, so those of 2,500 members
            fit.
        parallel: Requests for one archive at once. They let several threads create and fill files:
            on two cores, two or three were fastest.
        divide_from: Bytes from which the work is divided among that many requests. The bytes to
            fetch count, or the bytes that they unpack to, if these are more.
        request_bytes: Bytes that cost as much as one more request. A request costs a server 20 to
            40 ms, in which a line of 20 Mbit/s carries 64 KiB. On a slower line bytes cost more, on
            a faster one requests do. Reading a file on disk and checking its CRC costs
            much less than either.
        requests: The most ranges that an archive is cut into in order to skip members on disk. On
            a line so fast that skipping them does not pay, this bounds the loss.
    """

    tail: int = 256 * 1024
    parallel: int = 3
    divide_from: int = 64 * 1024 * 1024
    request_bytes: int = 64 * 1024
    requests: int = 64


@dataclass(frozen=True, slots=True)
class ByteSpan:
    """Neighbouring members that one request reads.

    Attributes:
        first: Index of the first member among the directory's entries.
        last: Index after the last member.
        start: Offset of the first byte.
        stop: Offset after the last byte. The part that lies in the tail need not be fetched.
    """

    first: int
    last: int
    start: int
    stop: int


def first_request(expected: Sequence[MemberRecord], options: RangeOptions) -> int:
    """Decide how many of an archive's last bytes to request first.

    If nothing is known of the archive, these are `options.tail`.

    If an earlier archive is known, this one should have the same members, with other annotations.
    The size of its directory follows from their names. Annotations that are the last members are
    requested with the directory: they have changed, and then need no request of their own. A small
    archive is requested whole, unless skipping its images saves more than the remaining requests
    cost. A wrong prediction costs one more request, or some bytes too many.

    Files that a killed run left are not considered: they tell neither the order of the members nor
    their number.

    Args:
        expected: The members of the earlier archive, by their offsets in it.
        options: How to divide the archive.
    """
    if not expected:
        return options.tail
    size = ArchiveSize()
    texts: list[int] = []  # bytes of each run of texts
    in_text = False
    for member in expected:
        length = size.add(member.original, member.size)
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
    """Divide the wanted members of an archive into spans.

    Other members are skipped, except in gaps that are not worth a request: see `skipped_members`.
    If many bytes have to be fetched, the spans are divided further, so that several requests share
    them.

    Args:
        directory: The archive's directory.
        wanted: For each of its entries, whether it has to be read.
        tail_start: The bytes from this offset on need not be fetched.
        options: How to divide the archive.
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


def skipped_members(
    directory: Directory, wanted: Sequence[bool], tail_start: int, options: RangeOptions
) -> list[bool]:
    """Return for each member whether `plan_spans` would skip it.

    Skipping the members between two wanted ones takes one more request. It is done if they have
    more bytes than a request is worth. Members before all wanted ones, or between them and the
    tail, are skipped without that cost. Members in the tail are never skipped.

    Args:
        directory: The archive's directory.
        wanted: For each of its entries, whether it has to be read in any case.
        tail_start: The bytes from this offset on need not be fetched.
        options: How to divide the archive.
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
    """Return the runs of wanted members, joined if the gap is not worth a request."""
    runs = _runs(wanted)
    # Runs that begin in the tail cost no request. They are the last ones.
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
    """Cut a run at the first member's end after each `part` bytes."""
    first, last = run
    parts: list[tuple[int, int]] = []
    for cut in range(first + 1, last):
        # A short rest is not worth a request, and stays with the part before it.
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
    """Tell whether the response to a range belongs to the archive whose directory is known.

    A 200 means that it does not. Servers and caches that ignore `If-Range` send a 206 with another
    size or ETag instead.

    Args:
        status: 200 or 206.
        total: Bytes of the archive by the response, None if it does not say.
        etag: ETag of the response, if any.
        known_total: Bytes of the archive whose directory was read.
        known_etag: Its ETag, if any.
    """
    return (
        status == 206
        and total in (None, known_total)
        and (etag is None or known_etag is None or etag == known_etag)
    )


def if_range(etag: str | None) -> str | None:
    """Return the ETag for `If-Range`; None for weak ones, which never match (RFC 9110, 13.1.5)."""
    return None if etag is None or etag.startswith("W/") else etag
