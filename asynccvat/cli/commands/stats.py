"""`asynccvat stats`: what a mirror as JSON holds, by label or by task."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

import asynccvat
from asynccvat.cli import output, parsing, signals
from asynccvat.cli.command import command
from asynccvat.cli.common_options import AsJson, MirroredFolders, MirroredTasks
from asynccvat.cli.exit_codes import ExitCode
from asynccvat.cli.shared_options import SharedOptions
from asynccvat.cli.text import counted, printable

if TYPE_CHECKING:
    from asynccvat.models import ContentCounts, MirrorStatistics

_MOST_SIZES = 3


class Rows(StrEnum):
    """What a row of the table is about."""

    LABEL = "label"
    TASK = "task"


@command
def stats(
    shared: SharedOptions,
    *,
    destination: Annotated[
        Path,
        typer.Argument(metavar="DEST", help="The folder of a mirror that has --format json."),
    ],
    by: Annotated[
        Rows, typer.Option("--by", help="A row for each label and kind, or for each task.")
    ] = Rows.LABEL,
    task_id: MirroredTasks = None,
    folder: MirroredFolders = None,
    page: Annotated[
        Path | None,
        typer.Option(
            "--page",
            metavar="FILE.html",
            help="Also write a page with charts and tables. It is one file, and loads nothing.",
        ),
    ] = None,
    as_json: AsJson = False,
) -> int:
    """Count the images and the objects of a mirror as JSON, by label and kind or by task; offline.

    A track is one object, and is seen on each frame on which it is visible. Deleted frames are not
    counted. A task that cannot be counted is named, and the exit code is 1.

    For example:

    asynccvat stats raw/

    asynccvat stats raw/ --by task -t 147,148

    asynccvat stats raw/ --page stats.html
    """
    del shared  # no server is asked
    if page is not None:
        output.check_writable(page, "--page")
    found = signals.run(
        lambda: asynccvat.stats(
            destination,
            task_ids=parsing.ids(task_id, "--task-id") if task_id else None,
            folders=tuple(folder or ()),
        )
    )
    if as_json:
        output.write_json(found.to_json())
    elif by is Rows.LABEL:
        _by_label(found.total)
    else:
        _by_task(found)
    _summarize(found)
    if page is not None and not output.save_text(asynccvat.stats_page(found), page):
        return ExitCode.SOME_FAILED
    return ExitCode.SOME_FAILED if found.failed else ExitCode.DONE


def _by_label(total: ContentCounts) -> None:
    numbers = ("objects", "tracks", "on frames", "small", "medium", "large")
    output.table(
        ("label", "kind", *numbers),
        [
            (
                one.label,
                one.kind,
                f"{one.objects:,}",
                f"{one.tracks:,}",
                f"{one.on_frames:,}",
                f"{one.sizes.small:,}",
                f"{one.sizes.medium:,}",
                f"{one.sizes.large:,}",
            )
            for one in total.labels
        ],
        numbers=numbers,
        wraps=("label",),
    )


def _by_task(found: MirrorStatistics) -> None:
    numbers = ("task", "images", "empty", "deleted", "objects", "tracks", "on frames")
    output.table(
        (*numbers, "name"),
        [
            (
                one.task_id,
                f"{one.counts.images:,}",
                f"{one.counts.empty:,}",
                f"{one.counts.deleted:,}",
                f"{one.counts.objects:,}",
                f"{one.counts.tracks:,}",
                f"{one.counts.on_frames:,}",
                one.name,
            )
            for one in found.tasks
            if one.counts is not None
        ],
        numbers=numbers,
        wraps=("name",),
    )


def _summarize(found: MirrorStatistics) -> None:
    """Say which tasks could not be counted, and what there is in all."""
    for one in found.failed:
        output.remark(f"task {one.task_id}: {printable(one.why or '')}")
    total = found.total
    tasks = counted(len(found.tasks) - len(found.failed), "task")
    images = [f"{total.empty:,} empty"]
    images += [f"{total.deleted:,} deleted besides"] * bool(total.deleted)
    output.remark(
        f"{found.source}: {tasks}; {counted(total.images, 'image')} ({', '.join(images)}); "
        f"{counted(total.objects, 'object')}, seen {total.on_frames:,} times"
    )
    sizes = [
        f"{width} x {height} ({count:,})" for (width, height), count in total.image_sizes.items()
    ]
    if sizes:
        more = len(sizes) - _MOST_SIZES
        rest = f", and {counted(more, 'other size')}" if more > 0 else ""
        output.remark(f"sizes of images: {', '.join(sizes[:_MOST_SIZES])}{rest}")
