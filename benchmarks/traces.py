"""What a server saw, reduced to figures of the scheduler: where time was lost, and for what calls.

Reads the calls and export spans that the simulated server noted; times nothing itself.
"""

from __future__ import annotations

import re
import statistics
from collections import Counter
from collections.abc import Sequence
from typing import Any

Call = dict[str, Any]
Span = dict[str, Any]

_ID = re.compile(r"\d+(_[0-9a-f-]{36})?")
"""An id of a task, or of an upload."""


def calls_by_kind(calls: Sequence[Call]) -> dict[str, int]:
    """How many calls there were of each method and path, ids left out, most frequent first."""
    kinds: Counter[str] = Counter()
    for call in calls:
        parts = ["N" if _ID.fullmatch(part) or "=" in part or "%3D" in part else part
                 for part in call["path"].partition("?")[0].split("/")]  # fmt: skip
        kinds[f"{call['method']} {'/'.join(parts)}"] += 1
    return dict(kinds.most_common())


def scheduler_figures(
    calls: Sequence[Call], spans: Sequence[Span], workers: int, seconds: float
) -> dict[str, Any]:
    """The scheduler's figures of one run from nothing.

    Args:
        calls: What the server was asked, in order of arrival.
        spans: The exports that it ran.
        workers: Its export workers.
        seconds: The wall time of the run.

    Returns:
        `before_exports`, the seconds from the first call to the start of the first export,
        `after_exports`, those from the end of the last export to that of the last call, and
        `without_server`, those of the run before the first call and after the last: what the bound
        has no room for;
        `requests_per_task`; `polls_per_export`, which counts statuses, lists of requests and
        downloads that came too early; `workers_idle`, the share of the workers' time between the
        first export and the last; `queue_seconds` and `export_seconds`, medians;
        `notice_seconds`, the median from an export's end to the first download of it, and
        `notice_seconds_at_end`, the same once fewer exports remained than were in flight at most;
        `most_in_flight`; `calls`, by kind.
    """
    downloads = [call for call in calls if call["path"].endswith("/dataset/download")]
    early = sum(call["status"] == 400 for call in downloads)
    polls = early + sum(
        call["method"] == "GET" and call["path"].startswith("/api/requests") for call in calls
    )
    ended = sorted(spans, key=lambda span: float(span["finished"]))
    in_flight = _most_in_flight(spans)
    offset = _clock_offset(calls, spans)
    notices = [_notice(span, downloads, offset) for span in ended]
    known = [notice for notice in notices if notice is not None]
    known_at_end = [notice for notice in notices[-in_flight:] if notice is not None]
    before = min(span["started"] for span in spans) + offset - calls[0]["started"]
    last_call = max(call["started"] + call["seconds"] for call in calls)
    figures: dict[str, Any] = {
        "before_exports": before,
        "after_exports": last_call - ended[-1]["finished"] - offset,
        "without_server": seconds - (last_call - calls[0]["started"]),
        "requests_per_task": len(calls) / len(spans),
        "polls_per_export": polls / len(spans),
        "workers_idle": idle_share(spans, workers),
        "queue_seconds": statistics.median(span["started"] - span["queued"] for span in spans),
        "export_seconds": statistics.median(span["finished"] - span["started"] for span in spans),
        "most_in_flight": in_flight,
        "early_downloads": early,
        "calls": calls_by_kind(calls),
    }
    if known and known_at_end:
        figures["notice_seconds"] = statistics.median(known)
        figures["notice_seconds_at_end"] = statistics.median(known_at_end)
    return figures


def idle_share(spans: Sequence[Span], workers: int) -> float:
    """The share of the workers' time that was idle between the first export and the last."""
    wall = max(span["finished"] for span in spans) - min(span["started"] for span in spans)
    busy = sum(float(span["finished"] - span["started"]) for span in spans)
    return float(1 - busy / (workers * wall))


def _most_in_flight(spans: Sequence[Span]) -> int:
    """The most exports that were queued or running at once."""
    changes = sorted(
        [(span["queued"], 1) for span in spans] + [(span["finished"], -1) for span in spans]
    )
    now = most = 0
    for _, change in changes:
        now += change
        most = max(most, now)
    return most


def _clock_offset(calls: Sequence[Call], spans: Sequence[Span]) -> float:
    """Seconds to add to a span's time to have that of the calls.

    Both count from the server's start, but not from the same line of it: a request is queued when
    the call that asks for it has been served.
    """
    queued = {_task_id(span): span["queued"] for span in spans}
    differences = [
        call["started"] + call["seconds"] - queued[call["task_id"]]
        for call in calls
        if call["path"].endswith("/dataset/export")
        and call["status"] == 202
        and call["task_id"] in queued
    ]
    return statistics.median(differences) if differences else 0.0


def _task_id(span: Span) -> int:
    parts = dict(part.split("=", 1) for part in span["rq_id"].split("&"))
    return int(parts["target_id"])


def _notice(span: Span, downloads: Sequence[Call], offset: float) -> float | None:
    """Seconds from an export's end to the first download that came after it."""
    finished, task_id = span["finished"] + offset, _task_id(span)
    # The clocks agree to some milliseconds only; a download right at the end counts as 0.
    arrivals = [
        call["started"] - finished
        for call in downloads
        if call["task_id"] == task_id and call["status"] in (200, 206)
    ]
    return max(0.0, min(arrivals)) if arrivals else None
