"""The numbers of a watch in Prometheus' text format. Needs `prometheus-client`."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.registry import Collector

from asynccvat.core.watching.status import WatchStatus

CONTENT_TYPE = CONTENT_TYPE_LATEST
"""The media type of the text."""


class _Numbers(Collector):
    """Reads the numbers when they are asked for, so nothing is counted twice."""

    def __init__(self, status: Callable[[], WatchStatus]) -> None:
        self._status = status

    def collect(self) -> Iterator[Metric]:
        """Yield the numbers."""
        status = self._status()
        last_seconds = 0.0 if status.last is None else status.last.seconds
        up_to_date_at = 0.0 if status.up_to_date_at is None else status.up_to_date_at.timestamp()
        gauges = {
            "up_to_date": ("Whether the mirror is up to date", float(status.is_up_to_date)),
            "up_to_date_timestamp_seconds": (
                "When the mirror was up to date last, 0 for never",
                up_to_date_at,
            ),
            "tasks": ("Tasks that are watched", float(status.tasks)),
            "failing_tasks": ("Tasks that failed and are tried again", float(len(status.failing))),
            "errors_in_a_row": (
                "Rounds since the last one without an error",
                float(status.errors_in_a_row),
            ),
            "round_duration_seconds": ("Seconds of the last round", last_seconds),
        }
        for name, (text, value) in gauges.items():
            yield GaugeMetricFamily(f"asynccvat_watch_{name}", text, value=value)
        counters = {
            "rounds": ("Rounds", status.rounds_total),
            "requests": ("HTTP requests to the server", status.requests_total),
            "received_bytes": ("Bytes of archives received", status.transferred_total),
        }
        for name, (text, count) in counters.items():
            yield CounterMetricFamily(f"asynccvat_watch_{name}", text, value=count)
        changes = CounterMetricFamily(
            "asynccvat_watch_changes", "Changes on disk by action", labels=["action"]
        )
        for action, count in status.changes_total.items():
            changes.add_metric([action], count)
        yield changes
        deliveries = CounterMetricFamily(
            "asynccvat_watch_webhook_deliveries",
            "Calls of the webhooks' address by what became of them",
            labels=["result"],
        )
        for result, count in status.deliveries.items():
            deliveries.add_metric([result], count)
        yield deliveries


def metrics_of(status: Callable[[], WatchStatus]) -> Callable[[], bytes]:
    """Return a function that writes the numbers.

    Args:
        status: Returns what the watch is doing.
    """
    registry = CollectorRegistry()
    registry.register(_Numbers(status))
    return lambda: generate_latest(registry)
