"""Sums over the calls, exports and imports of a server, for tests and benchmarks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from asynccvat.simulator.options import SimulatorOptions
from asynccvat.simulator.queues.requests import RequestSpan
from asynccvat.simulator.queues.uploads import FILE_ID
from asynccvat.simulator.wire.records import CallRecord


def summarize(
    options: SimulatorOptions,
    calls: Sequence[CallRecord],
    spans: Mapping[str, Sequence[RequestSpan]],
    remembered: int,
) -> dict[str, Any]:
    """Return sums: calls by kind and status, bytes, exports, imports, new tasks, idle workers.

    `export_span` is the time from the first start to the last end of an export, in seconds.
    `export_idle` is the time within it in which export workers did nothing, summed over the
    workers. The same holds for imports and for tasks that are made (`creation`), which share
    their workers.

    Args:
        options: The server's options, which have the numbers of workers.
        calls: The calls.
        spans: The exports, imports and creations that have run, by those words.
        remembered: How many requests the server remembers.
    """
    return {
        "calls": len(calls),
        "calls_by_kind": dict(Counter(_call_kind(call) for call in calls)),
        "statuses": {
            str(status): count for status, count in Counter(c.status for c in calls).items()
        },
        "bytes_sent": sum(call.bytes_sent for call in calls),
        "bytes_received": sum(call.bytes_received for call in calls),
        **_sums("export", spans["export"], options.export_workers),
        **_sums("import", spans["import"], options.import_workers),
        **_sums("creation", spans["creation"], options.import_workers),
        "requests_remembered": remembered,
    }


def _sums(kind: str, spans: Sequence[RequestSpan], workers: int) -> dict[str, Any]:
    first = min((span.started for span in spans), default=0.0)
    last = max((span.finished for span in spans), default=0.0)
    busy = sum(span.finished - span.started for span in spans)
    return {
        f"{kind}s": len(spans),
        f"{kind}s_failed": sum(span.status == "failed" for span in spans),
        f"{kind}_span": last - first,
        f"{kind}_idle": (last - first) * workers - busy,
    }


def _call_kind(call: CallRecord) -> str:
    """Return method and path without ids: `GET /api/tasks/{id}/dataset/download`."""
    path = call.path
    if path.startswith("/api/requests/"):
        tail = "/cancel" if path.endswith("/cancel") else ""
        return f"{call.method} /api/requests/{{id}}{tail}"
    return f"{call.method} " + "/".join(
        "{id}" if part.isdecimal() or FILE_ID.fullmatch(part) else part for part in path.split("/")
    )
