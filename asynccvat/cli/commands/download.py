"""`asynccvat download`: download named tasks into named folders, without receipts."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

import asynccvat
from asynccvat import DownloadOptions
from asynccvat.cli import parsing
from asynccvat.cli.command import command
from asynccvat.cli.common_options import DEFAULT_FORMAT, Format, ResultOptions
from asynccvat.cli.credentials import client_for
from asynccvat.cli.option_groups import ID_SOURCES
from asynccvat.cli.runs import carry_out
from asynccvat.cli.shared_options import SharedOptions
from asynccvat.cli.text import counted
from asynccvat.core.selections.id_lists import IdList, required

if TYPE_CHECKING:
    from asynccvat import CvatClient, RunReport
    from asynccvat.events import Event


@command
def download(
    shared: SharedOptions,
    *,
    task_id: Annotated[
        list[str] | None,
        typer.Option(
            "--task-id",
            "-t",
            metavar="ID",
            help=f"The task to download. {ID_SOURCES}",
        ),
    ] = None,
    out_dir: Annotated[
        Path | None,
        typer.Option(
            "--out-dir",
            "-o",
            metavar="DIR",
            help="The folder in which each task gets a folder: task147/ and so on.",
        ),
    ] = None,
    out_path: Annotated[
        list[Path] | None,
        typer.Option(
            "--out-path",
            metavar="DIR",
            help="The folder of one task; once for each task, in their order.",
        ),
    ] = None,
    format_: Format = DEFAULT_FORMAT,
    images: Annotated[
        bool,
        typer.Option(
            "--images/--no-images",
            help="Also fetch the images.",
        ),
    ] = False,
    save_images: Annotated[
        bool,
        typer.Option("--save-images/--no-save-images", hidden=True, help="The same as --images."),
    ] = False,
    skip_existing: Annotated[
        bool,
        typer.Option(
            "--skip-existing/--no-skip-existing",
            help="Skip tasks whose annotation file exists. Otherwise replace the folder; files "
            "that differ remain in a folder like task147.old-1.",
        ),
    ] = True,
    folder_prefix: Annotated[
        str,
        typer.Option(
            "--folder-prefix",
            metavar="NAME",
            help="The start of a task's folder name; the task's id follows it.",
        ),
    ] = "task",
    options: DownloadOptions,
    results: ResultOptions,
) -> int:
    """Download some tasks, each into its own folder; for many, use 'mirror'.

    For example:

    asynccvat download -t 147 -t 148 -o out/ --format "COCO 1.0" --images

    asynccvat download -t 147 --out-path datasets/street
    """
    results.check()
    task_ids = parsing.ids(task_id or (), "--task-id")
    paths = folders(task_ids, out_dir, out_path or (), folder_prefix)
    spec = asynccvat.ExportSpec(format_, images=images or save_images)

    async def download_present(client: CvatClient, on_event: Callable[[Event], None]) -> RunReport:
        return await asynccvat.download_many(
            client,
            await _present(client, task_ids, paths),
            spec,
            options=options,
            skip_existing=skip_existing,
            replace=not skip_existing,
            on_event=on_event,
        )

    return carry_out(
        client_for(shared.settings(), retries=options.retries),
        download_present,
        results,
        place=", ".join(map(str, out_path)) if out_path else str(out_dir),
        verbose=shared.verbose,
    )


async def _present(
    client: CvatClient, task_ids: IdList, paths: Mapping[int, Path]
) -> Mapping[int, Path]:
    """Return the folders without those for numbers of a range that are no tasks."""
    named = required(task_ids)
    if len(named) == len(paths):
        return paths
    listing = await client.tasks(asynccvat.Selection(task_ids=task_ids))
    there = named | {task.id for task in listing.tasks}
    return {task_id: path for task_id, path in paths.items() if task_id in there}


def folders(
    task_ids: Sequence[int], out_dir: Path | None, out_paths: Sequence[Path], prefix: str
) -> dict[int, Path]:
    """Return the folder of each task.

    Raises:
        typer.BadParameter: The options do not name a folder for each task.
    """
    if not task_ids:
        raise typer.BadParameter(
            "it is missing. Name at least one task, like -t 147.", param_hint="--task-id"
        )
    if out_paths:
        if out_dir is not None:
            raise typer.BadParameter(
                "it names a folder for each task, and -o one for all. Remove one of them.",
                param_hint="--out-path",
            )
        if len(out_paths) != len(task_ids):
            raise typer.BadParameter(
                f"it names {counted(len(out_paths), 'folder')} for "
                f"{counted(len(task_ids), 'task')}. Give one for each task.",
                param_hint="--out-path",
            )
        return dict(zip(task_ids, out_paths, strict=True))
    if out_dir is None:
        raise typer.BadParameter(
            "it is missing. Give -o DIR, or --out-path DIR for each task.", param_hint="--out-dir"
        )
    return {task_id: out_dir / f"{prefix}{task_id}" for task_id in task_ids}
