"""Turn the events of runs into spans and metrics of OpenTelemetry.

`spans` has the spans that have not ended, `instruments` the metrics.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import fields

from opentelemetry.metrics import MeterProvider, get_meter
from opentelemetry.trace import TracerProvider, get_tracer

from asynccvat.core.outcomes import RunReport, TaskOutcome
from asynccvat.core.plans.verify import VerifyReport
from asynccvat.core.version import VERSION
from asynccvat.events import (
    Event,
    ExportFinished,
    ExportRequested,
    ExportStarted,
    ImportFinished,
    ImportRequested,
    ImportStarted,
    ListingRead,
    Planned,
    ProblemFound,
    QueueStalled,
    Retrying,
    RunFinished,
    RunStarted,
    ServerBack,
    ServerPaused,
    ServerUnreachable,
    TaskDone,
    TaskStarted,
    TransferFinished,
    TransferProgress,
    TransferStarted,
    UploadProgress,
    UploadStarted,
    VerifyFinished,
    VerifyStarted,
    Warned,
)
from asynccvat.telemetry import names
from asynccvat.telemetry.instruments import Instruments
from asynccvat.telemetry.spans import Attributes, OpenSpan, OpenTask, start_span


class TelemetryListener:
    """Make spans and metrics of runs. Use it as a verb's `on_event`.

        await asynccvat.mirror(client, "data/", on_event=TelemetryListener())

    The span of a run is inside the caller's current span. In it are those of the tasks, and in
    these `asynccvat.export`, `.transfer`, `.commit`, `.upload` and `.import`. A task that is
    unchanged, moved, removed or deleted has no span, unless that failed. Runs at the same time need
    a listener each.
    """

    def __init__(
        self,
        *,
        tracer_provider: TracerProvider | None = None,
        meter_provider: MeterProvider | None = None,
        clock: Callable[[], int] = time.time_ns,
    ) -> None:
        """Make the instruments.

        Args:
            tracer_provider: Where spans go. None for the global provider.
            meter_provider: Where metrics go. None for the global provider.
            clock: Returns nanoseconds since 1970.
        """
        self._tracer = get_tracer("asynccvat", VERSION, tracer_provider)
        self._instruments = Instruments(get_meter("asynccvat", VERSION, meter_provider))
        self._clock = clock
        self._verify: OpenSpan | None = None
        self._run: OpenSpan | None = None
        self._verb = ""
        self._tasks: dict[int, OpenTask] = {}

    def __call__(self, event: Event) -> None:
        """Take an event that happens now."""
        now = self._clock()
        match event:
            case TransferProgress():
                self._move(event.task_id, event.transferred, "receive")
            case UploadProgress():
                self._move(event.task_id, event.sent, "transmit")
            case TaskStarted():
                self._start_task(event, now)
            case TaskDone(outcome=outcome):
                self._end_task(outcome, now)
            case Retrying():
                self._retry(event, now)
            case RunStarted() | RunFinished() | VerifyStarted() | VerifyFinished():
                self._apply_to_runs(event, now)
            case ProblemFound(problem=problem):
                self._instruments.count_problem(str(problem.kind))
            case _:
                self._apply_to_stages(event, now)
                self._note(event, now)

    def _apply_to_runs(
        self, event: RunStarted | RunFinished | VerifyStarted | VerifyFinished, now: int
    ) -> None:
        about: Attributes
        match event:
            case RunStarted():
                self._abandon_run(now)
                self._verb = event.verb
                about = {
                    names.VERB: event.verb,
                    names.TRANSFERS: event.transfers,
                    names.TARGET: str(event.target),
                }
                self._run = start_span(self._tracer, "asynccvat.run", self._verify, now, about)
            case RunFinished():
                self._end_run(event.report, now)
            case VerifyStarted():
                self._abandon_run(now)
                self._abandon_verify(now)
                about = {names.TASKS: event.tasks, names.TARGET: str(event.target)}
                self._verify = start_span(self._tracer, "asynccvat.verify", None, now, about)
            case VerifyFinished():
                self._end_verify(event.report, now)

    def _apply_to_stages(self, event: Event, now: int) -> None:
        about: Attributes
        match event:
            case ExportRequested():
                about = {names.REQUEST_ID: event.rq_id, names.CREATED: event.created}
                self._enter(event.task_id, "export", now, about)
            case ExportStarted() | ImportStarted():
                if (task := self._tasks.get(event.task_id)) is not None:
                    task.innermost.add("server.started", now, {})
            case ExportFinished():
                self._end_request(event, "export", now)
            case TransferStarted():
                about = {names.REUSED: event.reused}
                self._enter(event.task_id, "transfer", now, _with_size(about, event.size))
            case TransferFinished():
                self._enter(event.task_id, "commit", now, {})
            case UploadStarted():
                self._enter(event.task_id, "upload", now, {names.SIZE: event.size})
            case ImportRequested():
                self._enter(event.task_id, "import", now, {names.REQUEST_ID: event.rq_id})
            case ImportFinished():
                self._end_request(event, "import", now)
            case _:
                pass

    def _note(self, event: Event, now: int) -> None:
        """Add what concerns the whole run to its span."""
        span = self._run or self._verify
        if span is None:
            return
        match event:
            case Warned(message=message):
                span.add("warning", now, {"message": message})
            case QueueStalled(stall=stall):
                span.add("queue.stalled", now, {"message": str(stall)})
            case ServerPaused() | ServerUnreachable() | ServerBack():
                name = type(event).__name__.removeprefix("Server").lower()
                about = {item.name: getattr(event, item.name) for item in fields(event)}
                span.add(f"server.{name}", now, about)
            case ListingRead():
                span.add("listing", now, {"tasks": event.tasks, "complete": event.complete})
            case Planned():
                about = {item.name: getattr(event, item.name) for item in fields(event)}
                span.add("plan", now, about)
            case _:
                pass

    def _start_task(self, event: TaskStarted, now: int) -> None:
        if (task := self._tasks.get(event.task_id)) is not None:
            self._leave(task, now)  # it begins again
            return
        about: Attributes = {
            names.TARGET: str(event.target),
            names.TARGET_ID: event.task_id,
            names.NAME: event.name,
        }
        span = start_span(self._tracer, "asynccvat.task", self._run, now, about)
        self._tasks[event.task_id] = OpenTask(span)

    def _end_task(self, outcome: TaskOutcome, now: int) -> None:
        self._instruments.count_outcome(str(outcome.action), outcome.target)
        task = self._tasks.pop(outcome.task_id, None)
        if task is not None:
            if not outcome.ok and task.stage is not None:
                task.stage.fail(outcome.failure, outcome.error)
            self._leave(task, now)
            span = task.whole
        elif outcome.ok:
            return
        else:
            span = start_span(self._tracer, "asynccvat.task", self._run, now, {})
        span.span.set_attributes(_of_outcome(outcome))
        if not outcome.ok:
            span.fail(outcome.failure, outcome.error)
        for warning in outcome.warnings:
            span.add("warning", now, {"message": warning})
        seconds = span.end(now)
        if task is not None:
            self._instruments.record_task(seconds, str(outcome.action))

    def _retry(self, event: Retrying, now: int) -> None:
        self._instruments.count_retry(event.step or "task")
        task = None if event.task_id is None else self._tasks.get(event.task_id)
        span = self._run or self._verify if task is None else task.innermost
        if span is not None:
            step = event.step or "task"
            span.add("retry", now, {"step": step, "error": event.error, "delay": event.delay})

    def _enter(self, task_id: int, stage: str, now: int, about: Attributes) -> None:
        """Begin a stage of a task, and end the one before."""
        task = self._tasks.get(task_id)
        if task is None:
            return
        self._leave(task, now)
        task.stage = start_span(self._tracer, f"asynccvat.{stage}", task.whole, now, about)
        task.name = stage

    def _leave(self, task: OpenTask, now: int) -> None:
        """End the stage of a task."""
        if task.stage is None:
            return
        if task.moved:
            task.stage.span.set_attribute(names.BYTES, task.moved)
        self._instruments.record_stage(task.stage.end(now), task.name)
        task.stage, task.name, task.moved = None, "", 0

    def _end_request(self, event: ExportFinished | ImportFinished, stage: str, now: int) -> None:
        if event.seconds is not None:
            self._instruments.record_worker(event.seconds, stage)
        task = self._tasks.get(event.task_id)
        # An archive can be asked for before its export is known to be ready.
        if task is None or task.stage is None or task.name != stage:
            return
        if event.seconds is not None:
            task.stage.span.set_attribute(names.WORKER_SECONDS, event.seconds)
        self._leave(task, now)

    def _move(self, task_id: int, number: int, direction: str) -> None:
        self._instruments.count_bytes(number, direction)
        if (task := self._tasks.get(task_id)) is not None:
            task.moved += number

    def _end_run(self, report: RunReport, now: int) -> None:
        self._end_open_tasks(now)
        if self._run is None:
            return
        about = {
            names.OK: report.ok,
            names.TASKS: len(report.outcomes),
            names.BYTES: report.transferred,
            names.REQUESTS: report.requests,
        }
        self._run.span.set_attributes(about)
        if not report.ok:
            self._run.fail(_why_not(report), report.stopped_by)
        self._instruments.record_run(self._run.end(now), self._verb, ok=report.ok)
        self._run = None

    def _end_verify(self, report: VerifyReport, now: int) -> None:
        self._abandon_run(now)
        if self._verify is None:
            return
        about = {names.OK: report.ok, names.FILES: report.files, names.BYTES: report.bytes}
        self._verify.span.set_attributes(about)
        if not report.ok:
            why = "interrupted" if report.interrupted else "the mirror has problems"
            self._verify.fail(str(report.stopped_by or why), report.stopped_by)
        self._verify.end(now)
        self._verify = None

    def _end_open_tasks(self, now: int) -> None:
        """End the spans of tasks that have no outcome."""
        for task in self._tasks.values():
            self._leave(task, now)
            task.whole.fail("the run ended before the task", None)
            task.whole.end(now)
        self._tasks.clear()

    def _abandon_run(self, now: int) -> None:
        """End the span of a run whose last event did not come."""
        self._end_open_tasks(now)
        if self._run is not None:
            self._run.fail("the run did not end", None)
            self._run.end(now)
            self._run = None

    def _abandon_verify(self, now: int) -> None:
        if self._verify is not None:
            self._verify.fail("the verification did not end", None)
            self._verify.end(now)
            self._verify = None


def _with_size(about: Attributes, size: int | None) -> Attributes:
    return about if size is None else {**about, names.SIZE: size}


def _of_outcome(outcome: TaskOutcome) -> dict[str, str | bool | int | float]:
    return {
        names.TARGET: str(outcome.target),
        names.TARGET_ID: outcome.task_id,
        names.NAME: outcome.name,
        names.ACTION: str(outcome.action),
        names.REASON: str(outcome.reason),
        names.FILES: outcome.files,
        names.BYTES: outcome.transferred,
    }


def _why_not(report: RunReport) -> str:
    """Return why a run is not ok."""
    if report.stopped_by is not None:
        return str(report.stopped_by)
    if report.guard is not None:
        return report.guard
    if report.interrupted:
        return "interrupted"
    bad = sum(not outcome.ok for outcome in report.outcomes)
    if bad:
        return f"{bad} of {report.targets} {report.target.plural} failed or were passed over"
    return "the list of the server was not complete"
