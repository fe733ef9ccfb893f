"""A listener whose spans and metrics stay in memory, by OpenTelemetry's own SDK."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import pytest

from asynccvat import events

pytest.importorskip("opentelemetry.sdk", reason="opentelemetry-sdk is not installed")

from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import (
    InMemorySpanExporter,
)

from asynccvat.telemetry import TelemetryListener

SECOND = 10**9


class Telemetry:
    """A listener whose clock stands, and what the SDK received of it."""

    def __init__(self) -> None:
        self.exporter, self.reader = InMemorySpanExporter(), InMemoryMetricReader()
        self.tracers = TracerProvider(shutdown_on_exit=False)
        self.tracers.add_span_processor(SimpleSpanProcessor(self.exporter))
        self.meters = MeterProvider([self.reader], shutdown_on_exit=False)
        self.now = 0
        self.listener = self.with_clock(lambda: self.now * SECOND)

    def with_clock(self, clock: Callable[[], int]) -> TelemetryListener:
        return TelemetryListener(
            tracer_provider=self.tracers, meter_provider=self.meters, clock=clock
        )

    def play(self, *timed: tuple[int, events.Event]) -> None:
        for self.now, event in timed:
            self.listener(event)

    @property
    def spans(self) -> tuple[ReadableSpan, ...]:
        """The spans that ended, in that order."""
        return self.exporter.get_finished_spans()

    def named(self, name: str) -> list[ReadableSpan]:
        return [span for span in self.spans if span.name == f"asynccvat.{name}"]

    def one(self, name: str) -> ReadableSpan:
        (span,) = self.named(name)
        return span

    def points(self, name: str) -> list[Any]:
        data = self.reader.get_metrics_data()
        return [
            point
            for resource in (data.resource_metrics if data else ())
            for scope in resource.scope_metrics
            for metric in scope.metrics
            if metric.name == f"asynccvat.{name}"
            for point in metric.data.data_points
        ]

    def counts(self, name: str) -> dict[tuple[Any, ...], Any]:
        """A counter's values by the values of its attributes."""
        return {tuple(point.attributes.values()): point.value for point in self.points(name)}

    def seconds(self, name: str) -> dict[tuple[Any, ...], Any]:
        """A histogram's sums by the values of its attributes."""
        return {tuple(point.attributes.values()): point.sum for point in self.points(name)}


def parent(span: ReadableSpan, spans: Iterable[ReadableSpan]) -> str | None:
    """The name of the span that a span is in."""
    by_id = {one.context.span_id: one.name for one in spans if one.context is not None}
    return None if span.parent is None else by_id[span.parent.span_id]


def times(span: ReadableSpan) -> tuple[int, int]:
    """When a span began and ended, in seconds."""
    assert span.start_time is not None
    assert span.end_time is not None
    return span.start_time // SECOND, span.end_time // SECOND


def attributes(span: ReadableSpan) -> dict[str, Any]:
    return dict(span.attributes or {})


def happened(span: ReadableSpan) -> list[tuple[str, dict[str, Any]]]:
    """The events of a span."""
    return [(one.name, dict(one.attributes or {})) for one in span.events]
