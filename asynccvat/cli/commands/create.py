"""`asynccvat create`: create tasks from images, videos and zips, or print the plan."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

import asynccvat
from asynccvat import CreateOptions
from asynccvat.cli import output, plans, signals, waits
from asynccvat.cli.command import command
from asynccvat.cli.common_options import ResultOptions, dry_run_option, option
from asynccvat.cli.credentials import client_for
from asynccvat.cli.exit_codes import ExitCode
from asynccvat.cli.runs import carry_out
from asynccvat.cli.shared_options import SharedOptions
from asynccvat.cli.text import counted, ended, number_of_bytes, printable

if TYPE_CHECKING:
    from asynccvat.models import CreatePlan

# The steps that send media.
_SENDS = ("create", "finish", "replace")
_WHERE, _FRAMES = "Where to create", "Frames and jobs"


@command
def create(
    shared: SharedOptions,
    *,
    source: Annotated[
        Path,
        typer.Argument(
            metavar="SRC",
            help="A folder with images, or with their folders, videos or zips; or one video or "
            "zip.",
        ),
    ],
    project: Annotated[
        str | None,
        option(
            "--project",
            group=_WHERE,
            metavar="ID|NAME",
            help="The project of the tasks. With --labels or --labels-from, a project of that name "
            "is made if there is none.",
        ),
    ] = None,
    labels: Annotated[
        Path | None,
        option(
            "--labels",
            group=_WHERE,
            metavar="FILE",
            help="The labels of a new project, or of tasks outside projects: names, one a line; or "
            "JSON or YAML as CVAT's 'Raw' tab shows it.",
        ),
    ] = None,
    labels_from: Annotated[
        str | None,
        option(
            "--labels-from",
            group=_WHERE,
            metavar="ID|NAME",
            help="Take the labels of this project instead.",
        ),
    ] = None,
    order: Annotated[
        Path | None,
        option(
            "--order",
            group=_FRAMES,
            metavar="FILE",
            help="The order of the images: a file with the path of each below SRC, one a line.",
        ),
    ] = None,
    options: CreateOptions,
    dry_run: Annotated[bool, dry_run_option("How it runs")] = False,
    results: ResultOptions,
) -> int:
    """Create tasks from images, videos and zips, many at a time.

    Each folder of SRC becomes a task, and each video, and each zip. Files that are cut off, or not
    what their names say, are found before anything is sent. A journal in SRC notes each step before
    the server is asked for it: the same command goes on after an interruption, makes no task twice,
    and later creates tasks of further folders alone.

    For example:

    asynccvat create images/ --project "Street signs"

    asynccvat create images/ --project 5 --split 500 --subset train --dry-run

    asynccvat create images/ --project "Harbour" --labels labels.txt

    asynccvat create drive.mp4 --project 5 --frame-step 10

    asynccvat create images/ --project 5 --order order.txt
    """
    results.check(dry_run=dry_run)
    settings = shared.settings()
    client = client_for(settings, retries=options.retries)

    async def plan() -> CreatePlan:
        async with client:
            with waits.told():
                return await asynccvat.plan_create(
                    client,
                    source,
                    project=project,
                    labels=labels,
                    labels_from=labels_from,
                    order=order,
                    options=options,
                )

    if dry_run:
        return show_plan(signals.run(plan), as_json=results.as_json, verbose=shared.verbose)
    return carry_out(
        client,
        lambda client, on_event: asynccvat.create(
            client,
            source,
            project=project,
            labels=labels,
            labels_from=labels_from,
            order=order,
            options=options,
            on_event=on_event,
        ),
        results,
        place=str(settings.url),
        uploads=True,
        verbose=shared.verbose,
    )


def show_plan(plan: CreatePlan, *, as_json: bool, verbose: bool) -> ExitCode:
    """Print what a run would create; return the exit code that it would have."""
    described = plan.to_json()
    steps = described["steps"]
    if as_json:
        output.write_json(described)
    else:
        plans.show_steps(
            ("step", "task", "reason", "media", "files", "frames", "bytes", "path", "name"),
            [
                (
                    step["step"],
                    step["task_id"],
                    step["reason"],
                    step["media"],
                    step["files"],
                    step["frames"],
                    step["bytes"],
                    step["path"],
                    step["name"],
                )
                for step in plans.shown(steps, verbose=verbose)
            ],
            numbers=("task", "files", "frames", "bytes"),
        )
        _show_totals(steps)
        if plan.makes_project:
            output.remark(f"A new project is made first: {printable(plan.project)}.")
        for step in steps:
            for problem in step.get("problems", ())[1:]:
                output.remark(f"refused: {printable(step['path'])}: {ended(printable(problem))}")
    return plans.show_end(steps, as_json=as_json, verbose=verbose)


def _show_totals(steps: Sequence[plans.Step]) -> None:
    """Say how much a run would send in all."""
    sent = [step for step in steps if step["step"] in _SENDS]
    if not sent:
        return
    frames = sum(step["frames"] or 0 for step in sent)
    uncounted = sum(step["frames"] is None for step in sent)
    also = f" and those of {counted(uncounted, 'video')}" if uncounted else ""
    size = number_of_bytes(sum(step["bytes"] for step in sent))
    output.remark(
        f"In all {counted(len(sent), 'task')} of {counted(frames, 'frame')}{also}, {size}."
    )
