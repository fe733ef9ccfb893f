"""`asynccvat mirror`: mirror the server's tasks into a folder, or print the plan."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

import asynccvat
from asynccvat import MirrorOptions, Selection
from asynccvat.cli import output, plans, signals, waits
from asynccvat.cli.command import command
from asynccvat.cli.common_options import (
    DEFAULT_FORMAT,
    ResultOptions,
    dry_run_option,
    failed_from_option,
    in_addressed_task,
    with_failed_targets,
)
from asynccvat.cli.credentials import client_for
from asynccvat.cli.exit_codes import ExitCode
from asynccvat.cli.runs import carry_out
from asynccvat.cli.shared_options import SharedOptions

if TYPE_CHECKING:
    from asynccvat import CvatClient
    from asynccvat.models import Plan


@command
def mirror(
    shared: SharedOptions,
    *,
    destination: Annotated[
        str, typer.Argument(metavar="DEST", help="The folder that holds the mirror.")
    ],
    format_: Annotated[
        str | None,
        typer.Option(
            "--format",
            "-f",
            metavar="NAME",
            help="The format, like coco or 'COCO 1.0', or json without exports; see 'asynccvat "
            f"formats'. By default what DEST remembers, or else {DEFAULT_FORMAT!r}.",
        ),
    ] = None,
    images: Annotated[
        bool | None,
        typer.Option(
            "--images/--no-images",
            help="Also fetch the images. By default as DEST remembers, or else not.",
        ),
    ] = None,
    selection: Selection,
    failed_from: Annotated[Path | None, failed_from_option("Selection")] = None,
    options: MirrorOptions,
    dry_run: Annotated[bool, dry_run_option("How it runs")] = False,
    results: ResultOptions,
) -> int:
    """Mirror the server's tasks into DEST, one folder each; fetch only what changed.

    The command can be killed at any moment. Run it again, and it continues. DEST remembers format,
    images, prefix and selection of its first run: the next ones need not give them.

    For example:

    asynccvat mirror data/ --project-id 5 --format "COCO 1.0" --images

    asynccvat mirror data/ --status completed --prune --dry-run

    asynccvat mirror done/ --as jobs --state completed
    """
    results.check(dry_run=dry_run)
    place = Path(destination)
    settings = shared.settings(place)
    selection, options = with_failed_targets(selection, options, failed_from)
    if failed_from is not None and not (selection.task_ids or options.target_ids):
        output.remark(f"Nothing to do: nothing failed in {failed_from}.")
        return ExitCode.DONE
    selection = in_addressed_task(selection, settings)
    options = replace(options, default_project_id=settings.project_id)
    client = client_for(settings, retries=options.retries)
    if dry_run:
        plan = signals.run(
            lambda: _plan(client, place, selection, format_, images=images, options=options)
        )
        return show_plan(plan, as_json=results.as_json, verbose=shared.verbose)
    return carry_out(
        client,
        lambda client, on_event: asynccvat.mirror(
            client,
            place,
            selection,
            format_,
            images=images,
            options=options,
            on_event=on_event,
        ),
        results,
        place=str(place),
        verbose=shared.verbose,
    )


async def _plan(
    client: CvatClient,
    destination: Path,
    selection: Selection,
    format_name: str | None,
    *,
    images: bool | None,
    options: MirrorOptions,
) -> Plan:
    async with client:
        with waits.told():
            return await asynccvat.plan_mirror(
                client, destination, selection, format_name, images=images, options=options
            )


def show_plan(plan: Plan, *, as_json: bool, verbose: bool) -> ExitCode:
    """Print what a mirror would do; return the exit code that it would have."""
    described = plan.to_json()
    guards = [] if plan.guard is None else [plan.guard]
    if as_json:
        output.write_json(described)
    else:
        output.remark(plan.description)
        for warning in plan.warnings:
            output.remark(f"warning: {warning}")
        steps = plans.shown(described["steps"], verbose=verbose)
        # The last column, so that the others keep their places in a pipe.
        before = ("before",) if any(step.get("previous_folder") for step in steps) else ()
        plans.show_steps(
            ("step", str(plan.target), "folder", "reason", "name", *before),
            [
                (
                    step["step"],
                    step.get(f"{plan.target}_id", ""),
                    step["folder"],
                    step["reason"],
                    step["name"],
                    *(step.get("previous_folder", "") for _ in before),
                )
                for step in steps
            ],
            numbers=(str(plan.target),),
            wraps=("folder", "reason", "name", *before),
        )
    code = plans.show_end(described["steps"], guards=guards, as_json=as_json, verbose=verbose)
    if code is ExitCode.DONE and not plan.listing.complete:
        return ExitCode.SOME_FAILED
    return code
