"""`asynccvat download`: named tasks into named folders, without a mirror's memory."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

import asynccvat
from asynccvat.cli import parsing
from asynccvat.cli.command import command
from asynccvat.cli.common_options import DEFAULT_FORMAT, Format, ResultOptions
from asynccvat.cli.credentials import client_for
from asynccvat.cli.runs import carry_out
from asynccvat.cli.shared_options import SharedOptions


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
            help="Task to download; may be repeated, or a list like 147,148.",
        ),
    ] = None,
    out_dir: Annotated[
        Path | None,
        typer.Option("--out-dir", "-o", help="Folder for the tasks' folders: task147/ and so on."),
    ] = None,
    out_path: Annotated[
        list[Path] | None,
        typer.Option("--out-path", help="The very folder of a task; once for each task, in order."),
    ] = None,
    format_: Format = DEFAULT_FORMAT,
    save_images: Annotated[
        bool,
        typer.Option(
            "--save-images/--no-save-images",
            "--images/--no-images",
            help="Fetch the images, too.",
        ),
    ] = False,
    skip_existing: Annotated[
        bool,
        typer.Option(
            "--skip-existing/--no-skip-existing",
            help="Leave out tasks whose annotation file is there already, or else replace it: what "
            "was edited is put aside.",
        ),
    ] = True,
    folder_prefix: Annotated[
        str,
        typer.Option(
            "--folder-prefix", help="The start of a task's folder name; the task's id follows it."
        ),
    ] = "task",
    results: ResultOptions,
) -> int:
    """Download some tasks, each into its own folder; 'mirror' is better for many.

    For example:

    asynccvat download -t 147 -t 148 -o out/ --format "COCO 1.0" --save-images

    asynccvat download -t 147 --out-path datasets/street
    """
    results.check()
    task_ids = parsing.ids(task_id or (), "--task-id")
    paths = folders(task_ids, out_dir, out_path or (), folder_prefix)
    spec = asynccvat.ExportSpec(format_, images=save_images)
    return carry_out(
        client_for(shared.settings()),
        lambda client, on_event: asynccvat.download_many(
            client,
            paths,
            spec,
            skip_existing=skip_existing,
            replace=not skip_existing,
            on_event=on_event,
        ),
        results,
        place=", ".join(map(str, out_path)) if out_path else str(out_dir),
        verbose=shared.verbose,
    )


def folders(
    task_ids: Sequence[int], out_dir: Path | None, out_paths: Sequence[Path], prefix: str
) -> dict[int, Path]:
    """Where each task goes.

    Raises:
        typer.BadParameter: The options do not say it for each task.
    """
    if not task_ids:
        raise typer.BadParameter("name at least one task, like -t 147", param_hint="--task-id")
    if out_paths:
        if out_dir is not None:
            raise typer.BadParameter(
                "-o names a folder for all tasks, --out-path one for each: give only one of them",
                param_hint="--out-path",
            )
        if len(out_paths) != len(task_ids):
            raise typer.BadParameter(
                f"{len(out_paths)} paths for {len(task_ids)} tasks: give one for each task",
                param_hint="--out-path",
            )
        return dict(zip(task_ids, out_paths, strict=True))
    if out_dir is None:
        raise typer.BadParameter("say where to: -o FOLDER, or --out-path", param_hint="--out-dir")
    return {task_id: out_dir / f"{prefix}{task_id}" for task_id in task_ids}
