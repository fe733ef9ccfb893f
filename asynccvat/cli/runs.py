"""Run the engine for a command: show progress, log events, write the report."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

from asynccvat.cli import output, signals
from asynccvat.cli.common_options import ResultOptions
from asynccvat.cli.exit_codes import ExitCode, explain, report_code
from asynccvat.cli.records import Records, command_started
from asynccvat.cli.summary import write_summary
from asynccvat.cli.verb_words import VerbWords, words_of

if TYPE_CHECKING:
    from asynccvat import CvatClient, Event, RunReport
    from asynccvat.progress import RunProgress


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


@dataclass(slots=True)
class _Seen:
    """What was seen of a run: its reports, of which the last counts, and its progress."""

    reports: list[RunReport] = field(default_factory=list)
    progress: RunProgress | None = None


def carry_out(
    client: CvatClient,
    call: RunCall,
    results: ResultOptions,
    *,
    place: str,
    uploads: bool = False,
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
        resumable: Whether the same command would continue after an interruption.
    """
    seen = _Seen()
    records = Records(results, command_started(results, client.origin, place))
    stopped: signals.Interrupted | None = None
    written = True
    try:
        _watch(client, call, results, records, seen, uploads=uploads, verbose=verbose)
    except signals.Interrupted as interrupted:
        stopped = interrupted
    finally:
        # The last report is the most complete; there is none if the run could not start.
        for report in seen.reports[-1:]:
            written = all([_write(report, results), records.save_page()])
    for report in seen.reports[-1:]:
        if not (results.as_json or results.quiet):
            write_summary(
                report,
                place,
                uploads=uploads,
                words=_words(results),
                progress=seen.progress,
                typed=None if results.command is None else results.command.typed,
                report_file=results.report_file,
            )
    if stopped is not None:
        if resumable:
            output.remark("Run the same command again to continue.")
        return stopped.code
    code = _conclude(seen.reports[-1], verbose=verbose)
    return code or (ExitCode.DONE if written else ExitCode.SOME_FAILED)


def _words(results: ResultOptions) -> VerbWords:
    return VerbWords() if results.command is None else words_of(results.command.name)


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
    seen: _Seen,
    *,
    uploads: bool,
    verbose: bool,
) -> None:
    """Run the engine to its end or to a signal; note its report in `seen` either way."""
    from asynccvat.cli.display import display  # noqa: PLC0415 - `--help` stays light
    from asynccvat.cli.progress import Progress  # noqa: PLC0415 - the same
    from asynccvat.events import RunFinished  # noqa: PLC0415 - the same

    with ExitStack() as stack:
        stack.enter_context(records)
        shown = stack.enter_context(
            display(
                output.remarks(),
                verbose=verbose,
                quiet=results.quiet,
                counts=partial(Progress, words=_words(results)),
            )
        )

        if isinstance(shown.counts, Progress):
            seen.progress = shown.counts.run

        def on_event(event: Event) -> None:
            if isinstance(event, RunFinished):
                seen.reports.append(event.report)
            records.add(event)
            shown.on_event(event)

        async def main() -> None:
            async with client:
                seen.reports.append(await call(client, on_event))

        signals.run(
            main,
            on_signal=lambda: shown.say(STOPPING_UPLOADS if uploads else STOPPING),
            left_behind=LEFT_BEHIND_BY_UPLOADS if uploads else LEFT_BEHIND,
        )
