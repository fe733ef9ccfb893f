"""`asynccvat backup`: back tasks or projects up into a folder, or print the plan."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

import asynccvat
from asynccvat import BackupOptions, Selection
from asynccvat.cli import output, plans, signals, waits
from asynccvat.cli.command import command
from asynccvat.cli.common_options import (
    ResultOptions,
    dry_run_option,
    failed_from_option,
    in_addressed_task,
    with_failed_tasks,
)
from asynccvat.cli.credentials import client_for
from asynccvat.cli.exit_codes import ExitCode
from asynccvat.cli.runs import carry_out
from asynccvat.cli.shared_options import SharedOptions

if TYPE_CHECKING:
    from asynccvat.models import BackupPlan


@command
def backup(
    shared: SharedOptions,
    *,
    destination: Annotated[
        str, typer.Argument(metavar="DEST", help="The folder that holds the backups.")
    ],
    selection: Selection,
    failed_from: Annotated[Path | None, failed_from_option("Selection")] = None,
    options: BackupOptions,
    dry_run: Annotated[bool, dry_run_option("How it runs")] = False,
    results: ResultOptions,
) -> int:
    """Back up tasks or projects into DEST, a zip for each; only those that changed.

    A zip holds media, annotations, labels and jobs, and `asynccvat restore` makes a task of it
    again. CVAT puts no owner, assignees and issues into it, and no stages and states of jobs. Each
    member is checked before the zip gets its name. The command can be killed at any moment. Run it
    again, and it goes on within a zip. DEST remembers the selection of its first run. Nothing is
    removed without --keep.

    For example:

    asynccvat backup backups/ --project-id 5 --keep 30d

    asynccvat backup backups/ --projects --dry-run
    """
    results.check(dry_run=dry_run)
    place = Path(destination)
    settings = shared.settings(place)
    selection = with_failed_tasks(selection, failed_from)
    if failed_from is not None and not selection.task_ids:
        output.remark(f"Nothing to do: no task failed in {failed_from}.")
        return ExitCode.DONE
    selection = in_addressed_task(selection, settings)
    options = replace(options, default_project_id=settings.project_id)
    client = client_for(settings, retries=options.retries)

    async def plan() -> BackupPlan:
        async with client:
            with waits.told():
                return await asynccvat.plan_backup(client, place, selection, options=options)

    if dry_run:
        return show_plan(signals.run(plan), as_json=results.as_json, verbose=shared.verbose)
    return carry_out(
        client,
        lambda client, on_event: asynccvat.backup(
            client, place, selection, options=options, on_event=on_event
        ),
        results,
        place=str(place),
        verbose=shared.verbose,
    )


def show_plan(plan: BackupPlan, *, as_json: bool, verbose: bool) -> ExitCode:
    """Print what a backup run would do; return the exit code that it would have."""
    described = plan.to_json()
    if as_json:
        output.write_json(described)
    else:
        output.remark(plan.description)
        for warning in plan.warnings:
            output.remark(f"warning: {warning}")
        noun = described["target"]
        plans.show_steps(
            ("step", noun, "folder", "reason", "name"),
            [
                (
                    step["step"],
                    step[f"{plan.target}_id"],
                    step["folder"],
                    step["reason"],
                    step["name"],
                )
                for step in plans.shown(described["steps"], verbose=verbose)
            ],
            numbers=(noun,),
            wraps=("folder", "reason", "name"),
        )
    code = plans.show_end(described["steps"], as_json=as_json, verbose=verbose)
    if code is ExitCode.DONE and not plan.listing.complete:
        return ExitCode.SOME_FAILED
    return code
