"""Word the events of a run that are worth a line: failures, warnings, outages, retries."""

from __future__ import annotations

from collections.abc import Iterator

from asynccvat import (
    Action,
    AuthenticationError,
    ConfigError,
    RunReport,
    StoreLockedError,
    TaskOutcome,
)
from asynccvat.cli.text import counted, ended, number_of_bytes, of_each, printable, span
from asynccvat.core.quantities import duration_text
from asynccvat.errors import DiskFullError, DriveError, GatewayError
from asynccvat.events import (
    DestinationSettled,
    Event,
    QueueStalled,
    Retrying,
    RunFinished,
    ServerBack,
    ServerPaused,
    ServerUnreachable,
    TaskDone,
    Warned,
)

_LEFT_AS_IT_IS = (Action.KEPT, Action.SKIPPED, Action.PASSED_OVER)
# These errors end a run, and several tasks may raise the same one.
_ENDS_A_RUN = (
    AuthenticationError,
    ConfigError,
    DiskFullError,
    DriveError,
    GatewayError,
    StoreLockedError,
)
_MOST_WARNINGS_ALIKE = 10


def messages(event: Event, *, verbose: bool) -> Iterator[str]:
    """Yield the messages of an event: failures and warnings.

    With `verbose`, also retries, and a line for each task.

    A message that many tasks may share appears once, at the end of the run.
    """
    match event:
        case TaskDone(outcome=outcome):
            if verbose and outcome.ok:
                yield _task(outcome)
            yield from _at_once(outcome)
        case RunFinished(report=report):
            yield from _at_the_end(report)
        case Retrying() if verbose:
            whose = "" if event.task_id is None else f"{event.target} {event.task_id}: "
            when = f" in {span(event.delay)}" if event.delay else ""
            yield f"{whose}retrying {event.step}{when}: {printable(event.error)}"
        case _:
            yield from _of_the_run(event)


def _of_the_run(event: Event) -> Iterator[str]:
    """Yield the message of an event that concerns no task; none if it has none."""
    match event:
        case DestinationSettled(description=description):
            yield printable(description)
        case Warned():
            word = "Refused" if event.is_refusal else "warning"
            yield f"{word}: {printable(event.message)}"
        case ServerPaused():
            yield f"the server asks for a pause of {span(event.seconds)}"
        case ServerUnreachable():
            yield unreachable(event, event.seconds)
        case ServerBack():
            yield f"the server answers again after {span(event.seconds)}; the run goes on"
        case QueueStalled():
            yield str(event.stall)
        case _:
            pass


def unreachable(event: ServerUnreachable, seconds: float) -> str:
    """Return the line for a server that has not answered for some seconds."""
    since, most = span(seconds), duration_text(event.wait)
    return f"no answer from the server for {since}; waiting up to {most} (--wait-for-server)"


def _task(outcome: TaskOutcome) -> str:
    """Return the line for a task that did not fail."""
    name = f" {printable(outcome.name)!r}" if outcome.name else ""
    what = "put back" if outcome.reason == "undo" else outcome.action
    line = f"{outcome.target} {outcome.task_id}{name}: {what} ({outcome.reason})"
    if outcome.files:
        size = f"{counted(outcome.files, 'file')}, {number_of_bytes(outcome.bytes)}"
        line += f", {size} in {span(outcome.seconds)}"
    if outcome.made:
        ids = ", ".join(map(str, outcome.made))
        line += f"; {counted(len(outcome.made), 'task')} made: {ids}"
    elif outcome.new_id not in (None, outcome.task_id):
        line += f"; its new id is {outcome.new_id}"
    change = outcome.annotations
    if change is not None and change.after is not None:
        line += f"; {counted(change.after, 'annotation')}, before {change.before:,}"
    return line


def _at_once(outcome: TaskOutcome) -> Iterator[str]:
    if outcome.action is Action.FAILED and not isinstance(outcome.error, _ENDS_A_RUN):
        yield failure(outcome)
    if outcome.action not in _LEFT_AS_IT_IS:
        for warning in outcome.warnings:
            # What the server has not made yet has no id.
            what = f"{outcome.target} {outcome.task_id}" if outcome.task_id else outcome.name
            yield f"warning: {printable(what)}: {printable(warning)}"


def _at_the_end(report: RunReport) -> Iterator[str]:
    for outcome in report.failures:
        # An error that stopped the run is reported for the run, not for each task.
        held_back = isinstance(outcome.error, _ENDS_A_RUN)
        if held_back and not isinstance(report.stopped_by, type(outcome.error)):
            yield failure(outcome)
    # Warnings about tasks that nothing was done with: one line if there are many alike.
    tasks: dict[str, list[TaskOutcome]] = {}
    for outcome in report.outcomes:
        if outcome.action in _LEFT_AS_IT_IS:
            for warning in outcome.warnings:
                tasks.setdefault(printable(warning), []).append(outcome)
    for warning, warned in tasks.items():
        if len(warned) <= _MOST_WARNINGS_ALIKE:
            for outcome in warned:
                yield f"warning: {outcome.target} {outcome.task_id}: {warning}"
        else:
            first = ", ".join(str(outcome.task_id) for outcome in warned[:3])
            yield (
                f"warning: {counted(len(warned), warned[0].target)} ({first}, ...): "
                f"{ended(of_each(warning))} "
                "The report (--report-json) names them all."
            )


def failure(outcome: TaskOutcome) -> str:
    """Return the line for a failed task."""
    return f"failed: {ended(printable(outcome.failure))}"
