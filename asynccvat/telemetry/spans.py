"""Spans with their start: a run or verification, the tasks in it, and the stage of each task.

`listener` decides when they begin and end. Times are nanoseconds since 1970, as in the API.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from opentelemetry.context import Context
from opentelemetry.trace import Span, Status, StatusCode, Tracer, set_span_in_context

from asynccvat.telemetry.names import ERROR_TYPE

Attributes = Mapping[str, str | bool | int | float]


@dataclass(slots=True)
class OpenSpan:
    """A span that has not ended.

    Attributes:
        span: The span.
        context: The context of spans inside it.
        began_at: When it began.
    """

    span: Span
    context: Context
    began_at: int

    def add(self, name: str, now: int, attributes: Attributes) -> None:
        """Add an event of the span."""
        self.span.add_event(name, dict(attributes), timestamp=now)

    def fail(self, message: str, error: BaseException | None) -> None:
        """Set the status to an error.

        Args:
            message: What failed.
            error: The exception whose class is the error's type, None if there is none.
        """
        self.span.set_status(Status(StatusCode.ERROR, message))
        if error is not None:
            self.span.set_attribute(ERROR_TYPE, type(error).__name__)

    def end(self, now: int) -> float:
        """End the span, and return its seconds."""
        self.span.end(now)
        return max(0, now - self.began_at) / 1e9


def start_span(
    tracer: Tracer, name: str, parent: OpenSpan | None, now: int, attributes: Attributes
) -> OpenSpan:
    """Start a span.

    Args:
        tracer: Where it is made.
        name: Its name.
        parent: The span that it is in. None for the current span of the caller, if there is one.
        now: When it begins.
        attributes: Its attributes.
    """
    context = None if parent is None else parent.context
    span = tracer.start_span(name, context, attributes=dict(attributes), start_time=now)
    return OpenSpan(span, set_span_in_context(span, context), now)


@dataclass(slots=True)
class OpenTask:
    """A task under way.

    Attributes:
        whole: The span of the task.
        stage: The span of its stage, None between two stages.
        name: The stage, "" between two.
        moved: Bytes that were received or sent in this stage.
    """

    whole: OpenSpan
    stage: OpenSpan | None = None
    name: str = ""
    moved: int = 0

    @property
    def innermost(self) -> OpenSpan:
        """The span of its stage, or that of the task between two stages."""
        return self.stage or self.whole
