"""Sums over the calls, exports and imports of a server, for tests and benchmarks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from asynccvat.simulator.options import SimulatorOptions
from asynccvat.simulator.queues.requests import RequestSpan
from asynccvat.simulator.queues.uploads import FILE_ID
from asynccvat.simulator.wire.records import CallRecord


def summarize(
    options: SimulatorOptions,
    calls: Sequence[CallRecord],
    exports: Sequence[RequestSpan],
    imports: Sequence[RequestSpan],
    remembered: int,
) -> dict[str, Any]:
    """Return sums: calls by kind and status, bytes, exports, imports, idle workers.

    `export_span` is the time from the first start to the last end of an export, in seconds.
    `export_idle` is the time within it in which export workers did nothing, summed over the
    workers. `import_span` and `import_idle` are the same for imports.

    Args:
        options: The server's options, which have the numbers of workers.
        calls: The calls.
        exports: The exports that have run.
        imports: The imports that have run.
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
        **_sums("export", exports, options.export_workers),
        **_sums("import", imports, options.import_workers),
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
