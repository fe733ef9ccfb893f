"""`asynccvat upload`: annotation files into tasks, from folders or from anywhere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

import asynccvat
from asynccvat.cli import filters, output, parsing, signals
from asynccvat.cli.connection import Connection, client_for, connected
from asynccvat.cli.exit_codes import ExitCode
from asynccvat.cli.filters import option
from asynccvat.cli.runs import Results, carry_out

if TYPE_CHECKING:
    from asynccvat import CvatClient, UploadOptions, UploadPlan

_WHAT = "What to upload"
_HOW = "How"
_SAFETY = "Replacing"
_RESULTS = "Results"


class Mode(StrEnum):
    """What becomes of the annotations that a task has already."""

    REPLACE = "replace"
    APPEND = "append"


@connected
def upload(
    connection: Connection,
    *,
    task_id: Annotated[
        list[str] | None,
        option(
            "--task-id",
            "-t",
            panel=_WHAT,
            metavar="ID",
            help="This task, with --in-dir; may be repeated, or a list like 147,148.",
        ),
    ] = None,
    in_dir: Annotated[
        Path | None,
        option(
            "--in-dir",
            "-i",
            panel=_WHAT,
            metavar="DIR",
            help="The folder that holds the tasks' folders, such as a mirror.",
        ),
    ] = None,
    all_: Annotated[
        bool,
        option(
            "--all",
            panel=_WHAT,
            help="Every task whose folder is in --in-dir; in a mirror, those that were edited.",
        ),
    ] = False,
    pair: Annotated[
        list[str] | None,
        option(
            "--pair",
            panel=_WHAT,
            metavar="ID=PATH",
            help="A file, or a folder, for a task; may be repeated.",
        ),
    ] = None,
    failed_from: Annotated[
        Path | None,
        option(
            "--failed-from",
            panel=_WHAT,
            metavar="REPORT.json",
            help="The tasks that failed in this report, with --in-dir.",
        ),
    ] = None,
    format_: Annotated[
        str | None,
        option(
            "--format",
            "-f",
            panel=_WHAT,
            help="The format, by the importer's name or the exporter's; without it, the mirror's, "
            "else 'CVAT 1.1'.",
        ),
    ] = None,
    folder_prefix: filters.FolderPrefix = "task",
    mode: Annotated[
        Mode,
        option(
            "--mode",
            panel=_SAFETY,
            help="What becomes of the annotations that are there; append needs a newer CVAT.",
        ),
    ] = Mode.REPLACE,
    only_if_unchanged: Annotated[
        bool,
        option(
            "--only-if-unchanged",
            panel=_SAFETY,
            help="Refuse tasks that changed on the server since they were mirrored.",
        ),
    ] = False,
    force: Annotated[
        bool,
        option("--force", panel=_SAFETY, help="With --all: also what was not edited."),
    ] = False,
    break_lock: Annotated[
        bool,
        option("--break-lock", panel=_SAFETY, help="Take over a lock whose owner is no more."),
    ] = False,
    concurrency: Annotated[
        int | None,
        option(
            "--concurrency",
            panel=_HOW,
            min=1,
            help="Imports in flight at the server; without it, learned while running.",
        ),
    ] = None,
    transfers: Annotated[
        int, option("--transfers", panel=_HOW, min=1, help="Large files sent at once.")
    ] = 4,
    retries: Annotated[
        int, option("--retries", panel=_HOW, min=0, help="How often a step is tried again.")
    ] = 5,
    import_timeout: Annotated[
        str,
        option(
            "--import-timeout",
            panel=_HOW,
            metavar="TIME",
            help="How long one import may run, queueing apart: seconds, or like 30m or 4h.",
        ),
    ] = "4h15m",
    dry_run: Annotated[
        bool, option("--dry-run", panel=_HOW, help="Print the plan and its reasons, and stop.")
    ] = False,
    no_fsync: Annotated[
        bool, option("--no-fsync", panel=_HOW, help="Do not wait for the disk with receipts.")
    ] = False,
    as_json: Annotated[
        bool,
        option("--json", panel=_RESULTS, help="Write the report (or plan) to stdout as JSON."),
    ] = False,
    report_json: Annotated[
        Path | None,
        option("--report-json", panel=_RESULTS, metavar="FILE", help="Write the report here."),
    ] = None,
    log_json: Annotated[
        Path | None,
        option(
            "--log-json", panel=_RESULTS, metavar="FILE", help="Append each event as a JSON line."
        ),
    ] = None,
) -> int:
    """Upload annotation files into tasks, many at a time; a mirror's edited files, for one.

    What cannot be right (a file that is missing, empty or of another kind, a task that is not
    there) is refused before anything is sent of it. CVAT replaces a task's annotations.

    For example:

    asynccvat upload --all -i data/ --only-if-unchanged

    asynccvat upload -t 147 -t 148 -i data/ --dry-run

    asynccvat upload --pair 147=predictions/street.json --format "COCO 1.0"
    """
    if dry_run and (report_json or log_json):
        raise typer.BadParameter(
            "a dry run has no report and no events: --json writes its plan to stdout",
            param_hint="--dry-run",
        )
    results = Results(as_json=as_json, report_file=report_json, log_file=log_json)
    failed = None
    if failed_from is not None:
        failed = parsing.failed_tasks(failed_from, "--failed-from")
    named = parsing.ids(task_id or (), "--task-id")
    if failed == () and not named:
        output.remark(f"Nothing to do: no task failed in {failed_from}.")
        return ExitCode.DONE
    task_ids = tuple(dict.fromkeys((*named, *(failed or ()))))
    pairs = parsing.pairs(pair or (), "--pair")
    source, tasks = _what(task_ids, in_dir, pairs, everything=all_)
    options = asynccvat.UploadOptions(
        folder_prefix=folder_prefix,
        mode=mode.value,
        only_if_unchanged=only_if_unchanged,
        force=force,
        concurrency=concurrency,
        transfers=transfers,
        retries=retries,
        import_timeout=parsing.duration(import_timeout, "--import-timeout"),
        durable=not no_fsync,
        break_lock=break_lock,
    )
    settings = connection.settings()
    client = client_for(settings, retries=options.retries)
    if dry_run:
        plan = signals.run(lambda: _plan(client, source, tasks, format_, options))
        return show_plan(plan, as_json=as_json)
    return carry_out(
        client,
        lambda client, on_event: asynccvat.upload(
            client, source, tasks, format=format_, options=options, on_event=on_event
        ),
        results,
        place=str(settings.url),
        verbose=connection.verbose,
        resumable=all_,
    )


def _what(
    task_ids: Sequence[int],
    in_dir: Path | None,
    pairs: Mapping[int, Path],
    *,
    everything: bool,
) -> tuple[Mapping[int, Path] | Path, Sequence[int] | None]:
    """What the options mean: pairs, or a folder with some of its tasks, or with all.

    Raises:
        typer.BadParameter: They do not say, or contradict each other.
    """
    if pairs:
        if in_dir is not None or task_ids or everything:
            raise typer.BadParameter(
                "it names file and task already: give no -i, -t or --all as well",
                param_hint="--pair",
            )
        return pairs, None
    if in_dir is None:
        raise typer.BadParameter(
            "say what to upload: -i DIR with -t 147 or --all, or --pair 147=FILE",
            param_hint="--in-dir",
        )
    if everything and task_ids:
        raise typer.BadParameter(
            "--all takes every task in the folder: give either it or -t", param_hint="--all"
        )
    if not everything and not task_ids:
        raise typer.BadParameter(
            "name the tasks, like -t 147, or take --all of them", param_hint="--task-id"
        )
    return in_dir, None if everything else task_ids


async def _plan(
    client: CvatClient,
    source: Mapping[int, Path] | Path,
    tasks: Sequence[int] | None,
    format_name: str | None,
    options: UploadOptions,
) -> UploadPlan:
    async with client:
        return await asynccvat.plan_upload(
            client, source, tasks, format=format_name, options=options
        )


def show_plan(plan: UploadPlan, *, as_json: bool) -> ExitCode:
    """Print what an upload would do; the code tells what running it would meet."""
    described = plan.to_json()
    if as_json:
        output.write_json(described)
    else:
        output.table(
            ("step", "task", "reason", "path", "name"),
            [
                (step["step"], step["task_id"], step["reason"], step["path"], step["name"])
                for step in described["steps"]
            ],
            numbers=("task",),
        )
        for step in described["steps"]:
            if "error" in step:
                output.remark(f"refused: {step['error']}")
        counts = ", ".join(f"{count:,} to {step}" for step, count in described["counts"].items())
        output.remark(f"Dry run, nothing was changed: {counts or 'no tasks'}.")
    return ExitCode.SOME_FAILED if described["counts"].get("refuse") else ExitCode.DONE
