"""Run the engine for a command: show progress, log events, write the report."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from typing import TYPE_CHECKING

from asynccvat.cli import output, signals
from asynccvat.cli.common_options import ResultOptions
from asynccvat.cli.exit_codes import ExitCode, explain, report_code
from asynccvat.cli.records import Records, command_started

if TYPE_CHECKING:
    from asynccvat import CvatClient, Event, RunReport


RunCall = Callable[["CvatClient", Callable[["Event"], None]], Awaitable["RunReport"]]
"""The call of a verb: it takes a client and the event callback."""


STOPPING = (
    "Stopping: cancelling this run's requests at the server. Press Ctrl-C again to exit at once."
)
LEFT_BEHIND = (
    "Requests of this run may remain queued at the server; `asynccvat requests cancel --all` "
    "removes them."
)


# The server's imports and restores go on: their end is looked for by the next run.
STOPPING_UPLOADS = (
    "Stopping. What the server has begun goes on there. Press Ctrl-C again to exit at once."
)
LEFT_BEHIND_BY_UPLOADS = "What the server has begun goes on there; `asynccvat requests` shows it."


def carry_out(
    client: CvatClient,
    call: RunCall,
    results: ResultOptions,
    *,
    place: str,
    uploads: bool = False,
    noun: str | None = None,
    verbose: bool = False,
    resumable: bool = True,
) -> int:
    """Run the engine, show its progress, write the results, and return the exit code.

    After an interruption, too, the report is written, with what was done until then.

    Args:
        client: The client, unopened. It is opened and closed here.
        call: Calls the verb.
        results: Where the report and the events go.
        place: Where the tasks go, for the summary.
        uploads: Whether the run sends files.
        verbose: Show each task, retries and the causes of errors.
        noun: What each outcome is about, for the summary. None for the outcomes' target.
        resumable: Whether the same command would continue after an interruption.
    """
    reports: list[RunReport] = []
    records = Records(results, command_started(results, client.origin, place))
    stopped: signals.Interrupted | None = None
    written = True
    try:
        _watch(client, call, results, records, reports, uploads=uploads, verbose=verbose)
    except signals.Interrupted as interrupted:
        stopped = interrupted
    finally:
        # The last report is the most complete; there is none if the run could not start.
        for report in reports[-1:]:
            written = all([_write(report, results), records.save_page()])
    for report in reports[-1:]:
        if not (results.as_json or results.quiet):
            output.summary(report, place, uploads=uploads, noun=noun)
    if stopped is not None:
        if resumable:
            output.remark("Run the same command again to continue.")
        return stopped.code
    code = _conclude(reports[-1], verbose=verbose)
    return code or (ExitCode.DONE if written else ExitCode.SOME_FAILED)


def _write(report: RunReport, results: ResultOptions) -> bool:
    """Write the report as JSON where the options ask for it; return whether that succeeded."""
    written = True
    if results.report_file is not None:
        written = output.save_json(report.to_json(), results.report_file)
    if results.as_json:
        output.write_json(report.to_json())
    return written


def _conclude(report: RunReport, *, verbose: bool) -> ExitCode:
    """Write why the run stopped early, if it did, and return its exit code."""
    if report.stopped_by is not None:
        for line in explain(report.stopped_by, verbose=verbose):
            output.remark(line)
    return report_code(report)


def _watch(
    client: CvatClient,
    call: RunCall,
    results: ResultOptions,
    records: Records,
    reports: list[RunReport],
    *,
    uploads: bool,
    verbose: bool,
) -> None:
    """Run the engine to its end or to a signal; append its report to `reports` either way."""
    from asynccvat.cli.display import display  # noqa: PLC0415 - `--help` stays light
    from asynccvat.events import RunFinished  # noqa: PLC0415 - the same

    with ExitStack() as stack:
        stack.enter_context(records)
        shown = stack.enter_context(display(output.remarks(), verbose=verbose, quiet=results.quiet))

        def on_event(event: Event) -> None:
            if isinstance(event, RunFinished):
                reports.append(event.report)
            records.add(event)
            shown.on_event(event)

        async def main() -> None:
            async with client:
                reports.append(await call(client, on_event))

        signals.run(
            main,
            on_signal=lambda: shown.say(STOPPING_UPLOADS if uploads else STOPPING),
            left_behind=LEFT_BEHIND_BY_UPLOADS if uploads else LEFT_BEHIND,
        )
