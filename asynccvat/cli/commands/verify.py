"""`asynccvat verify`: compare a mirror's files with their receipts, and repair them."""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable, Sequence
from contextlib import ExitStack, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

import asynccvat
from asynccvat import ArchiveLimits, Selection
from asynccvat.cli import output, signals
from asynccvat.cli.command import command
from asynccvat.cli.common_options import (
    RESULTS,
    OutputForm,
    OutputOptions,
    ResultOptions,
    in_default_project,
    option,
)
from asynccvat.cli.credentials import client_for
from asynccvat.cli.exit_codes import ExitCode, exit_code, explain
from asynccvat.cli.option_groups import flags_given
from asynccvat.cli.records import Records, command_started
from asynccvat.cli.shared_options import SharedOptions

if TYPE_CHECKING:
    from asynccvat import CvatClient, Event, VerifyReport
    from asynccvat.cli.display import Display

    VerifyCall = Callable[[Callable[[Event], None]], Awaitable[VerifyReport]]
    """The call of the verb: it takes the event callback."""

_SERVER = "With the server"

STOPPING = "Stopping. Press Ctrl-C again to exit at once."


@command
def verify(
    shared: SharedOptions,
    *,
    destination: Annotated[
        str, typer.Argument(metavar="DEST", help="The folder that holds the mirror.")
    ],
    folder: Annotated[
        list[str] | None,
        option(
            "--folder",
            group="Selection",
            metavar="PATTERN",
            help="Tasks in folders with such a name, like 'task1*'. May be repeated.",
        ),
    ] = None,
    threads: Annotated[
        int, typer.Option("--threads", min=1, metavar="N", help="How many files are read at once.")
    ] = 4,
    restart: Annotated[
        bool,
        typer.Option(
            "--restart", help="Read all files; do not resume a verification that was interrupted."
        ),
    ] = False,
    repair: Annotated[
        bool,
        option("--repair", group=_SERVER, help="Fetch damaged tasks again, and only these."),
    ] = False,
    against_server: Annotated[
        bool,
        option(
            "--against-server",
            group=_SERVER,
            help="Also compare with the server's list: report tasks that changed, are gone, or are "
            "not mirrored.",
        ),
    ] = False,
    selection: Selection,
    limits: ArchiveLimits,
    strict: Annotated[
        bool,
        option(
            "--strict",
            group=RESULTS,
            help="Also fail on notes: files in no receipt, and files with only another time.",
        ),
    ] = False,
    results: ResultOptions,
    as_jsonl: Annotated[
        bool,
        option("--jsonl", group=RESULTS, help="Write each problem as a JSON line, as it is found."),
    ] = False,
) -> int:
    """Read every file of a mirror, or of backups, and compare it with its receipt; offline.

    After an interruption, run it again, and it continues. It may run while a mirror runs. With
    --against-server, the selection says which tasks the mirror should hold; by default, those that
    it remembers.

    For example:

    asynccvat verify data/

    asynccvat verify data/ --repair

    asynccvat verify data/ --against-server --status completed
    """
    form, quiet = OutputOptions(as_json=results.as_json, as_jsonl=as_jsonl).form(), results.quiet
    task_ids = selection.task_ids
    of_server = [flag for name, flag in flags_given(selection).items() if name != "task_ids"]
    if of_server and (not against_server or task_ids or folder):
        raise typer.BadParameter(
            "it selects which of the server's tasks the mirror should hold. Give --against-server, "
            "and neither -t nor --folder.",
            param_hint=of_server[0],
        )
    client = expected = default_project = None
    if repair or against_server:
        settings = shared.settings(Path(destination))
        if against_server and not (task_ids or folder):
            expected = in_default_project(selection, settings) if of_server else None
            default_project = settings.project_id
        client = client_for(settings)
    place = Path(destination)

    def call(on_event: Callable[[Event], None]) -> Awaitable[VerifyReport]:
        return asynccvat.verify(
            place,
            task_ids,
            folders=tuple(folder or ()),
            restart=restart,
            threads=threads,
            client=client,
            against_server=against_server,
            selection=expected,
            default_project_id=default_project,
            repair=repair,
            limits=limits,
            on_event=on_event,
        )

    reports: list[VerifyReport] = []
    notes = strict or not quiet
    server = "" if client is None else client.origin
    records = Records(results, command_started(results, server, destination))
    try:
        _watch(client, call, reports, form, records, quiet=quiet, verbose=shared.verbose)
    except signals.Interrupted as stopped:
        _show(reports, form, place, notes=notes, quiet=quiet)
        _save(reports, results, records)
        output.remark("Run the same command again to continue.")
        return stopped.code
    except asynccvat.AsyncCvatError:
        if reports and reports[0].problems:
            # The problems found matter even if the repair cannot start.
            _show(reports, form, place, notes=notes, quiet=quiet)
            _save(reports, results, records)
        raise
    _show(reports, form, place, notes=notes, quiet=quiet)
    written = _save(reports, results, records)
    code = _code(reports[0], strict=strict, verbose=shared.verbose)
    return code or (ExitCode.DONE if written else ExitCode.SOME_FAILED)


def _watch(
    client: CvatClient | None,
    call: VerifyCall,
    reports: list[VerifyReport],
    form: OutputForm,
    records: Records,
    *,
    quiet: bool,
    verbose: bool,
) -> None:
    """Verify to the end or to a signal; append the report to `reports` either way."""
    from asynccvat.cli.display import display  # noqa: PLC0415 - `--help` stays light
    from asynccvat.cli.verify_progress import VerifyCounts  # noqa: PLC0415 - the same
    from asynccvat.events import VerifyFinished  # noqa: PLC0415 - the same

    with ExitStack() as stack:
        stack.enter_context(records)
        shown = None
        # A bar would overwrite lines of JSON on the same terminal.
        if not quiet and not (form is OutputForm.JSONL and sys.stdout.isatty()):
            shown = display(output.remarks(), verbose=verbose, counts=VerifyCounts)
            stack.enter_context(shown)

        def on_event(event: Event) -> None:
            if isinstance(event, VerifyFinished):
                reports.append(event.report)
            records.add(event)
            _show_event(event, form, shown, verbose=verbose)

        async def main() -> None:
            async with nullcontext() if client is None else client:
                await _while_writable(call, on_event)

        signals.run(main, on_signal=lambda: None if shown is None else shown.say(STOPPING))


def _show_event(event: Event, form: OutputForm, shown: Display | None, *, verbose: bool) -> None:
    """Write the lines of an event, or pass it to the display."""
    from asynccvat.cli.messages import messages  # noqa: PLC0415 - `--help` stays light
    from asynccvat.events import ProblemFound  # noqa: PLC0415 - the same

    if isinstance(event, ProblemFound) and form is OutputForm.JSONL:
        output.write_json_line(event.problem.to_json())
    if shown is not None:
        shown.on_event(event)
        return
    for line in messages(event, verbose=verbose):
        output.remark(line)


async def _while_writable(call: VerifyCall, on_event: Callable[[Event], None]) -> None:
    """Verify, but stop when an event cannot be written: the rest would be lost as well.

    An error that the event callback raises would not stop the verification.

    Raises:
        BrokenPipeError: The reader of a stream has left.
        StdoutError: Stdout cannot be written to any more.
    """
    import anyio  # noqa: PLC0415 - `--help` stays light

    unwritable: list[Exception] = []
    with anyio.CancelScope() as scope:

        def write(event: Event) -> None:
            try:
                on_event(event)
            except (BrokenPipeError, output.StdoutError) as error:
                unwritable.append(error)
                scope.cancel()
            except OSError:
                return  # stderr cannot be written to; the report still goes to stdout

        await call(write)
    for error in unwritable:
        raise error


def _show(
    reports: Sequence[VerifyReport], form: OutputForm, place: Path, *, notes: bool, quiet: bool
) -> None:
    """Write the report; JSON lines have been written already."""
    from asynccvat.cli.verify_progress import problem_lines, summary  # noqa: PLC0415 - `--help` stays light

    for report in reports:
        if form is OutputForm.JSON:
            output.write_json(report.to_json())
        elif form is OutputForm.TABLE:
            for line in problem_lines(report, notes=notes, repaired=not quiet):
                output.sentence(line)
            if not quiet:
                output.sentence(summary(report, str(place)))


def _save(reports: Sequence[VerifyReport], results: ResultOptions, records: Records) -> bool:
    """Write the files that the options ask for; return whether that succeeded."""
    written = [records.save_page()]
    if results.report_file is not None:
        written += [output.save_json(report.to_json(), results.report_file) for report in reports]
    return all(written)


def _code(report: VerifyReport, *, strict: bool, verbose: bool) -> ExitCode:
    """Return the exit code; write why a repair stopped early, if it did."""
    if report.stopped_by is not None:
        for line in explain(report.stopped_by, verbose=verbose):
            output.remark(line)
        return exit_code(report.stopped_by)
    if not report.ok or (strict and report.problems):
        return ExitCode.SOME_FAILED
    return ExitCode.DONE
