"""One run of the engine from the shell: shown while it lasts, logged, reported at its end."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import ExitStack, closing
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from asynccvat.cli import output, signals
from asynccvat.cli.common_options import ResultOptions
from asynccvat.cli.exit_codes import ExitCode, explain, report_code

if TYPE_CHECKING:
    from asynccvat import CvatClient, Event, RunReport


Work = Callable[["CvatClient", Callable[["Event"], None]], Awaitable["RunReport"]]
"""What a command wants of the engine: called with a client and with what is told the events."""


STOPPING = "Stopping: cancelling what is queued at the server. Press Ctrl-C again to leave at once."


def carry_out(
    client: CvatClient,
    work: Work,
    results: ResultOptions,
    *,
    place: str,
    verbose: bool = False,
    resumable: bool = True,
) -> int:
    """Let the engine work, show it, write what is to be written, and return the exit code.

    The report is written after an interruption, too, with what was done until then.

    Args:
        client: The server; entered and left here.
        work: What to do with it.
        results: Where the report and the events go.
        place: Where the tasks go, as the summary says it.
        verbose: Show retries and the causes of errors.
        resumable: Whether the same command goes on where this one was stopped.
    """
    reports: list[RunReport] = []
    stopped: signals.Interrupted | None = None
    written = True
    try:
        _watch(client, work, results, reports, verbose=verbose)
    except signals.Interrupted as interrupted:
        stopped = interrupted
    finally:
        # The latest is the most complete; there is none where the engine could not begin.
        for report in reports[-1:]:
            written = _write(report, results)
    for report in reports[-1:]:
        if not results.as_json:
            output.summary(report, place)
    if stopped is not None:
        if resumable:
            output.remark("Run the same command again to go on from here.")
        return stopped.code
    code = _conclude(reports[-1], verbose=verbose)
    return code or (ExitCode.DONE if written else ExitCode.SOME_FAILED)


def _write(report: RunReport, results: ResultOptions) -> bool:
    """Write the report for programs, wherever it is wanted; tell whether that could be done."""
    written = True
    if results.report_file is not None:
        written = output.save_json(report.to_json(), results.report_file)
    if results.as_json:
        output.write_json(report.to_json())
    return written


def _conclude(report: RunReport, *, verbose: bool) -> ExitCode:
    """Say why the run ended early, if it did, and find its exit code."""
    if report.stopped_by is not None:
        for line in explain(report.stopped_by, verbose=verbose):
            output.remark(line)
    return report_code(report)


def _watch(
    client: CvatClient,
    work: Work,
    results: ResultOptions,
    reports: list[RunReport],
    *,
    verbose: bool,
) -> None:
    """Run the engine to its end, or to a signal; the report is added to `reports` either way."""
    from asynccvat.cli.display import display  # noqa: PLC0415 - `--help` stays light
    from asynccvat.events import RunFinished, to_json  # noqa: PLC0415 - the same

    with ExitStack() as stack:
        log = None
        if results.log_file is not None:
            log = stack.enter_context(closing(output.EventLog(results.log_file)))
        shown = stack.enter_context(display(output.remarks(), verbose=verbose))

        def on_event(event: Event) -> None:
            if isinstance(event, RunFinished):
                reports.append(event.report)
            if log is not None:
                now = datetime.now(UTC).isoformat(timespec="milliseconds")
                log.write(to_json(event), now.replace("+00:00", "Z"))
            shown.on_event(event)

        async def main() -> None:
            async with client:
                reports.append(await work(client, on_event))

        signals.run(
            main,
            on_signal=lambda: shown.say(STOPPING),
        )
