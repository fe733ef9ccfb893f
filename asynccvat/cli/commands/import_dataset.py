"""`asynccvat import-dataset`: import datasets into a project, or print the plan."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

import asynccvat
from asynccvat import ImportOptions
from asynccvat.cli import output, plans, signals, waits
from asynccvat.cli.command import command
from asynccvat.cli.common_options import ResultOptions, dry_run_option, option
from asynccvat.cli.credentials import client_for
from asynccvat.cli.exit_codes import ExitCode
from asynccvat.cli.runs import carry_out
from asynccvat.cli.shared_options import SharedOptions

if TYPE_CHECKING:
    from asynccvat.models import DatasetPlan


@command
def import_dataset(
    shared: SharedOptions,
    *,
    project: Annotated[
        str, typer.Argument(metavar="PROJECT", help="The project, by its id or its name.")
    ],
    files: Annotated[
        list[Path], typer.Argument(metavar="FILE", help="The datasets: archives of the format.")
    ],
    format_: Annotated[
        str | None,
        option(
            "--format",
            "-f",
            group="What to import",
            metavar="NAME",
            help="The format of the files, like coco or 'COCO 1.0'. Required.",
        ),
    ] = None,
    options: ImportOptions,
    dry_run: Annotated[bool, dry_run_option("How it runs")] = False,
    results: ResultOptions,
) -> int:
    """Import datasets with their images into a project, one after the other.

    The server makes a task for each subset of a dataset, and makes them again if it is asked
    twice. A journal beside the files notes each step before: the same command goes on after an
    interruption, and imports nothing twice.

    For example:

    asynccvat import-dataset 5 train.zip val.zip --format "COCO 1.0"

    asynccvat import-dataset "Street signs" *.zip --format "YOLO 1.1" --dry-run
    """
    results.check(dry_run=dry_run)
    if format_ is None:
        raise typer.BadParameter(
            "it is missing. Name the format of the files, like 'COCO 1.0'; `asynccvat formats` "
            "lists what the server imports.",
            param_hint="--format",
        )
    name = format_
    settings = shared.settings()
    client = client_for(settings, retries=options.retries)

    async def plan() -> DatasetPlan:
        async with client:
            with waits.told():
                return await asynccvat.plan_import_datasets(
                    client, project, files, format=name, options=options
                )

    if dry_run:
        return show_plan(signals.run(plan), as_json=results.as_json, verbose=shared.verbose)
    return carry_out(
        client,
        lambda client, on_event: asynccvat.import_datasets(
            client, project, files, format=name, options=options, on_event=on_event
        ),
        results,
        place=str(settings.url),
        uploads=True,
        verbose=shared.verbose,
    )


def show_plan(plan: DatasetPlan, *, as_json: bool, verbose: bool) -> ExitCode:
    """Print what an import would do; return the exit code that it would have."""
    described = plan.to_json()
    if as_json:
        output.write_json(described)
    else:
        plans.show_steps(
            ("step", "project", "reason", "bytes", "path"),
            [
                (
                    step["step"],
                    step["project_id"],
                    step["reason"],
                    step.get("bytes"),
                    step["path"],
                )
                for step in plans.shown(described["steps"], verbose=verbose)
            ],
            numbers=("project", "bytes"),
        )
    return plans.show_end(described["steps"], as_json=as_json, verbose=verbose)
