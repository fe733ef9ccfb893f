"""`asynccvat restore`: restore backups, or print the plan."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

import asynccvat
from asynccvat import RestoreOptions
from asynccvat.cli import output, parsing, plans, signals, waits
from asynccvat.cli.command import command
from asynccvat.cli.commands.upload import Planning
from asynccvat.cli.commands.upload import show_plan as show_upload_plan
from asynccvat.cli.common_options import ResultOptions, dry_run_option, option
from asynccvat.cli.credentials import client_for
from asynccvat.cli.exit_codes import ExitCode
from asynccvat.cli.option_groups import ID_SOURCES
from asynccvat.cli.runs import RunCall, carry_out
from asynccvat.cli.shared_options import SharedOptions

if TYPE_CHECKING:
    from asynccvat import CvatClient
    from asynccvat.models import RestorePlan, UploadPlan

_WHAT = "What to restore"


@command
def restore(
    shared: SharedOptions,
    *,
    source: Annotated[
        Path,
        typer.Argument(metavar="SRC", help="The folder of `asynccvat backup`, or one zip."),
    ],
    task_id: Annotated[
        list[str] | None,
        option(
            "--task-id",
            "-t",
            group=_WHAT,
            metavar="ID",
            help="This task, by the id that it had when it was backed up. By default all of SRC. "
            + ID_SOURCES,
        ),
    ] = None,
    project_id: Annotated[
        list[str] | None,
        option(
            "--project-id",
            group=_WHAT,
            metavar="ID",
            help=f"The backup of this project, by the id that it had. {ID_SOURCES}",
        ),
    ] = None,
    projects: Annotated[
        bool,
        option("--projects", group=_WHAT, help="The backups of all projects instead of tasks."),
    ] = False,
    at: Annotated[
        str | None,
        option(
            "--at",
            group=_WHAT,
            metavar="WHEN",
            help="The newest backup that was made before this date, or this long ago, like 7d. By "
            "default the newest of all.",
        ),
    ] = None,
    project: Annotated[
        str | None,
        option(
            "--project",
            group=_WHAT,
            metavar="ID|NAME",
            help="Move the new tasks into this project, whose labels have to fit. By default they "
            "are outside of any project, as CVAT restores them.",
        ),
    ] = None,
    annotations: Annotated[
        bool,
        option(
            "--annotations",
            group=_WHAT,
            help="Put the annotations alone back into the tasks of -t, which live.",
        ),
    ] = False,
    options: RestoreOptions,
    dry_run: Annotated[bool, dry_run_option("How it runs")] = False,
    results: ResultOptions,
) -> int:
    """Restore backups of tasks or projects, many at a time.

    Each becomes a new task or project, which is read again and compared with its backup. It is
    yours, without assignees and issues, and its jobs are new: backups do not hold these. A journal
    beside the backups notes each step before the server is asked for it: the same command goes on
    after an interruption, and makes nothing twice.

    For example:

    asynccvat restore backups/

    asynccvat restore backups/ -t 147,148 --project "Street signs" --dry-run

    asynccvat restore backups/ --projects --org acme

    asynccvat restore backups/ --annotations -t 147 --backup-dir replaced/

    asynccvat restore task147.zip
    """
    results.check(dry_run=dry_run)
    tasks = parsing.ids(task_id or (), "--task-id")
    of_projects = parsing.ids(project_id or (), "--project-id")
    if tasks and (of_projects or projects):
        raise typer.BadParameter(
            "it names backups of tasks. Remove it, or --project-id and --projects.",
            param_hint="--task-id",
        )
    if of_projects and projects:
        raise typer.BadParameter(
            "it takes all projects. Remove it or --project-id.", param_hint="--projects"
        )
    moment = None if at is None else parsing.since(at, "--at", now=datetime.now(UTC))
    ids = (tasks or of_projects) or None
    if not annotations:
        _refuse_without_annotations(options)
    elif not tasks or project is not None:
        raise typer.BadParameter(
            "it puts annotations back into tasks that live. Name them, like -t 147; and remove "
            "--project.",
            param_hint="--annotations",
        )
    settings = shared.settings(source)
    client = client_for(settings, retries=options.retries)
    if annotations:
        act, planned = _annotations(source, tasks, moment, options)
        if dry_run:
            return show_upload_plan(
                signals.run(lambda: planned(client)),
                as_json=results.as_json,
                verbose=shared.verbose,
            )
        return carry_out(
            client,
            act,
            results,
            place=str(settings.url),
            uploads=True,
            verbose=shared.verbose,
            resumable=False,
        )

    async def plan() -> RestorePlan:
        async with client:
            with waits.told():
                return await asynccvat.plan_restore(
                    client,
                    source,
                    ids,
                    projects=bool(of_projects) or projects,
                    project=project,
                    at=moment,
                    options=options,
                )

    if dry_run:
        return show_plan(signals.run(plan), as_json=results.as_json, verbose=shared.verbose)
    return carry_out(
        client,
        lambda client, on_event: asynccvat.restore(
            client,
            source,
            ids,
            projects=bool(of_projects) or projects,
            project=project,
            at=moment,
            options=options,
            on_event=on_event,
        ),
        results,
        place=str(settings.url),
        uploads=True,
        verbose=shared.verbose,
    )


def _refuse_without_annotations(options: RestoreOptions) -> None:
    """Refuse options that have a meaning with --annotations alone.

    Raises:
        typer.BadParameter: One is given.
    """
    for flag, given in (("--overwrite", options.overwrite), ("--backup-dir", options.backup_dir)):
        if given:
            raise typer.BadParameter(
                "it is for annotations that are put back into a task. A restore makes new tasks, "
                "and replaces nothing. Remove it, or give --annotations.",
                param_hint=flag,
            )


def _annotations(
    source: Path, tasks: Sequence[int], moment: str | None, options: RestoreOptions
) -> tuple[RunCall, Planning]:
    """Return the calls that put annotations back, and that plan it."""

    async def plan(client: CvatClient) -> UploadPlan:
        async with client:
            with waits.told():
                return await asynccvat.plan_restore_annotations(
                    client, source, tasks, at=moment, options=options
                )

    return (
        lambda client, on_event: asynccvat.restore_annotations(
            client, source, tasks, at=moment, options=options, on_event=on_event
        ),
        plan,
    )


def show_plan(plan: RestorePlan, *, as_json: bool, verbose: bool) -> ExitCode:
    """Print what a restore would do; return the exit code that it would have."""
    described = plan.to_json()
    if as_json:
        output.write_json(described)
    else:
        plans.show_steps(
            ("step", "id", "reason", "bytes", "annotations", "path", "name"),
            [
                (
                    step["step"],
                    step.get("task_id", step.get("project_id")),
                    step["reason"],
                    step.get("bytes"),
                    step.get("annotations"),
                    step["path"],
                    step["name"],
                )
                for step in plans.shown(described["steps"], verbose=verbose)
            ],
            numbers=("id", "bytes", "annotations"),
        )
    return plans.show_end(described["steps"], as_json=as_json, verbose=verbose)
