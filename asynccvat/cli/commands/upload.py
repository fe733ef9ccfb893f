"""`asynccvat upload`: upload annotation files into tasks, or print the plan."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

import asynccvat
from asynccvat import UploadOptions
from asynccvat.cli import output, parsing, plans, signals, waits
from asynccvat.cli.command import command
from asynccvat.cli.common_options import ResultOptions, dry_run_option, failed_from_option, option
from asynccvat.cli.credentials import client_for
from asynccvat.cli.exit_codes import ExitCode
from asynccvat.cli.option_groups import ID_SOURCES
from asynccvat.cli.runs import RunCall, carry_out
from asynccvat.cli.shared_options import SharedOptions
from asynccvat.core.selections.id_lists import with_required

if TYPE_CHECKING:
    from asynccvat import CvatClient
    from asynccvat.models import UploadPlan

_WHAT = "What to upload"


@command
def upload(
    shared: SharedOptions,
    *,
    task_id: Annotated[
        list[str] | None,
        option(
            "--task-id",
            "-t",
            group=_WHAT,
            metavar="ID",
            help=f"This task of --in-dir. {ID_SOURCES}",
        ),
    ] = None,
    in_dir: Annotated[
        Path | None,
        option(
            "--in-dir",
            "-i",
            group=_WHAT,
            metavar="DIR",
            help="The folder that holds the tasks' folders, such as a mirror.",
        ),
    ] = None,
    all_: Annotated[
        bool,
        option(
            "--all",
            group=_WHAT,
            help="Every task with a folder in --in-dir; in a mirror, the edited ones.",
        ),
    ] = False,
    pair: Annotated[
        list[str] | None,
        option(
            "--pair",
            group=_WHAT,
            metavar="ID=PATH",
            help="A task and its file or folder. May be repeated.",
        ),
    ] = None,
    failed_from: Annotated[Path | None, failed_from_option(_WHAT)] = None,
    format_: Annotated[
        str | None,
        option(
            "--format",
            "-f",
            group=_WHAT,
            metavar="NAME",
            help="The format of the files, like coco or 'COCO 1.0'. By default the "
            "mirror's format, or else 'CVAT 1.1'.",
        ),
    ] = None,
    undo: Annotated[
        bool,
        option(
            "--undo",
            group=_WHAT,
            help="Put back what uploads replaced in the tasks of -t, from the mirror of -i or from "
            "--backup-dir. With --pair, an older kept file.",
        ),
    ] = False,
    at: Annotated[
        str | None,
        option(
            "--at",
            group=_WHAT,
            metavar="DATE",
            help="Put back what the tasks of -t had on a day like 2026-11-01, or at a time, from "
            "the mirror of -i that has --format json and --history.",
        ),
    ] = None,
    options: UploadOptions,
    dry_run: Annotated[bool, dry_run_option("How it runs")] = False,
    results: ResultOptions,
) -> int:
    """Upload annotation files into tasks, many at a time: for example a mirror's edited files.

    A file that is missing, empty or of another format is refused, and so is a file for a task
    that does not exist. CVAT replaces the annotations that a task has. In a mirror, a task that
    changed on the server since it was mirrored is refused.

    For example:

    asynccvat upload --all -i data/

    asynccvat upload -t 147 -t 148 -i data/ --dry-run

    asynccvat upload --pair 147=street.json --format "COCO 1.0" --backup-dir replaced/

    asynccvat upload --undo -t 147 -i data/

    asynccvat upload --at 2026-11-01 -t 147 -i raw/
    """
    results.check(dry_run=dry_run)
    failed = None
    if failed_from is not None:
        failed = parsing.failed_tasks(failed_from, "--failed-from")
    named = parsing.ids(task_id or (), "--task-id")
    if failed == () and not named:
        output.remark(f"Nothing to do: no task failed in {failed_from}.")
        return ExitCode.DONE
    task_ids = with_required(named, failed or ())
    pairs = parsing.pairs(pair or (), "--pair")
    if undo:
        _refuse_with_undo(
            {
                "--all": all_,
                "--at": at is not None,
                "--format": format_,
                "--no-backup": not options.backup,
                "--mode": options.mode != UploadOptions().mode,
                "--lossy": options.lossy,
                "--allow-empty": options.allow_empty,
                "--force": options.force,
            }
        )
        folder = _undo_folder(task_ids, pairs, in_dir, options)
        act, plan = _undoing(folder, pairs or task_ids, options)
    else:
        if at is not None and (all_ or pairs):
            raise typer.BadParameter(
                f"it takes the tasks of -t from a mirror. Remove {'--all' if all_ else '--pair'}.",
                param_hint="--at",
            )
        source, tasks = _what(task_ids, in_dir, pairs, everything=all_)
        act, plan = _uploading(source, tasks, format_, at, options)
    settings = shared.settings(in_dir)
    client = client_for(settings, retries=options.retries)
    if dry_run:
        return show_plan(
            signals.run(lambda: plan(client)), as_json=results.as_json, verbose=shared.verbose
        )
    return carry_out(
        client,
        act,
        results,
        place=str(settings.url),
        uploads=True,
        verbose=shared.verbose,
        resumable=all_,
    )


def _refuse_with_undo(meaningless: Mapping[str, object]) -> None:
    """Refuse options that have no meaning for an undo.

    Raises:
        typer.BadParameter: One is given.
    """
    given = [flag for flag, value in meaningless.items() if value]
    if given:
        raise typer.BadParameter(
            f"it puts kept annotations back. Remove {given[0]}.", param_hint="--undo"
        )


def _undo_folder(
    task_ids: Sequence[int],
    pairs: Mapping[int, Path],
    in_dir: Path | None,
    options: UploadOptions,
) -> Path:
    """Return the folder from which annotations are put back.

    Raises:
        typer.BadParameter: The options name no tasks, or none or two folders.
    """
    if not task_ids and not pairs:
        raise typer.BadParameter("it needs tasks. Name them, like -t 147.", param_hint="--undo")
    if task_ids and pairs:
        raise typer.BadParameter(
            "it names tasks and their kept files. Remove -t.", param_hint="--pair"
        )
    if (in_dir is None) == (options.backup_dir is None):
        raise typer.BadParameter(
            "it needs the folder that keeps the annotations. Name the mirror with -i, or give the "
            "--backup-dir of the upload.",
            param_hint="--undo",
        )
    return in_dir if in_dir is not None else Path(str(options.backup_dir))


Planning = Callable[["CvatClient"], Coroutine[Any, Any, "UploadPlan"]]


def _undoing(
    folder: Path, task_ids: Sequence[int] | Mapping[int, Path], options: UploadOptions
) -> tuple[RunCall, Planning]:
    """Return the calls that carry an undo out, and that plan it."""

    async def plan(client: CvatClient) -> UploadPlan:
        async with client:
            with waits.told():
                return await asynccvat.plan_undo_upload(client, folder, task_ids, options=options)

    return (
        lambda client, on_event: asynccvat.undo_upload(
            client, folder, task_ids, options=options, on_event=on_event
        ),
        plan,
    )


def _uploading(
    source: Mapping[int, Path] | Path,
    tasks: Sequence[int] | None,
    format_name: str | None,
    at: str | None,
    options: UploadOptions,
) -> tuple[RunCall, Planning]:
    """Return the calls that carry an upload out, and that plan it."""

    async def plan(client: CvatClient) -> UploadPlan:
        async with client:
            with waits.told():
                return await asynccvat.plan_upload(
                    client, source, tasks, format=format_name, at=at, options=options
                )

    return (
        lambda client, on_event: asynccvat.upload(
            client, source, tasks, format=format_name, at=at, options=options, on_event=on_event
        ),
        plan,
    )


def _what(
    task_ids: Sequence[int],
    in_dir: Path | None,
    pairs: Mapping[int, Path],
    *,
    everything: bool,
) -> tuple[Mapping[int, Path] | Path, Sequence[int] | None]:
    """Return what to upload: pairs; or a folder and some of its tasks, or all.

    Raises:
        typer.BadParameter: The options name nothing to upload, or contradict each other.
    """
    if pairs:
        if in_dir is not None or task_ids or everything:
            raise typer.BadParameter(
                "it names files and their tasks. Remove -i, -t and --all.",
                param_hint="--pair",
            )
        return pairs, None
    if in_dir is None:
        raise typer.BadParameter(
            "it is missing. Give -i DIR with -t 147 or --all, or --pair 147=FILE.",
            param_hint="--in-dir",
        )
    if everything and task_ids:
        raise typer.BadParameter(
            "it takes every task of the folder. Remove it or -t.", param_hint="--all"
        )
    if not everything and not task_ids:
        raise typer.BadParameter(
            "it is missing. Name tasks, like -t 147, or give --all.", param_hint="--task-id"
        )
    return in_dir, None if everything else task_ids


def show_plan(plan: UploadPlan, *, as_json: bool, verbose: bool) -> ExitCode:
    """Print what an upload would do; return the exit code that it would have."""
    described = plan.to_json()
    if as_json:
        output.write_json(described)
    else:
        plans.show_steps(
            ("step", "task", "reason", "path", "name"),
            [
                (step["step"], step["task_id"], step["reason"], step["path"], step["name"])
                for step in plans.shown(described["steps"], verbose=verbose)
            ],
            numbers=("task",),
        )
    return plans.show_end(described["steps"], as_json=as_json, verbose=verbose)
