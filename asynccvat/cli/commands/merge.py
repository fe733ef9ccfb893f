"""`asynccvat merge`: the tasks of mirrors become one data set, offline."""

from __future__ import annotations

import time
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

import asynccvat
from asynccvat.cli import output, parsing, signals
from asynccvat.cli.command import command
from asynccvat.cli.common_options import SELECTION, AsJson, MirroredFolders, MirroredTasks, option
from asynccvat.cli.exit_codes import ExitCode
from asynccvat.cli.shared_options import SharedOptions
from asynccvat.cli.text import counted, printable
from asynccvat.core.merge.choices import DataSetFormat, ImagePlacing, SplitBy
from asynccvat.core.texts import first_few

if TYPE_CHECKING:
    from asynccvat.models import MergeReport

_PARTS = "Parts"
_BETWEEN_REMARKS = 5.0
"""Seconds between two lines of progress."""


@command
def merge(
    shared: SharedOptions,
    *,
    destinations: Annotated[
        list[Path], typer.Argument(metavar="DEST", help="The folders of one or more mirrors.")
    ],
    to: Annotated[
        DataSetFormat,
        typer.Option(
            "--to", help="The format of the data set: coco, yolo (of Ultralytics) or cvat."
        ),
    ],
    out: Annotated[
        Path,
        typer.Option("--out", "-o", metavar="DIR", help="The folder for the data set, not DEST."),
    ],
    images: Annotated[
        ImagePlacing,
        typer.Option(
            "--images",
            help="link images, which takes no room, or copy them. A program that writes into a "
            "linked image changes the mirror's, too.",
        ),
    ] = ImagePlacing.LINK,
    split: Annotated[
        str | None,
        option(
            "--split",
            group=_PARTS,
            metavar="PARTS",
            help="The parts and their shares, such as train=0.8,val=0.1,test=0.1. By default one "
            "part, train.",
        ),
    ] = None,
    split_by: Annotated[
        SplitBy,
        option(
            "--split-by",
            group=_PARTS,
            help="What stays together: task, image (a video stays whole), or subset, which takes "
            "CVAT's subsets as parts.",
        ),
    ] = SplitBy.TASK,
    label: Annotated[
        list[str] | None,
        option(
            "--labels",
            group=SELECTION,
            metavar="NAMES",
            help="Only objects with these labels, numbered in this order, such as car,person.",
        ),
    ] = None,
    only_annotated: Annotated[
        bool,
        option("--only-annotated", group=SELECTION, help="Leave out images without objects."),
    ] = False,
    min_area: Annotated[
        float,
        option(
            "--min-area",
            group=SELECTION,
            metavar="PIXELS",
            min=0,
            help="Leave out smaller objects, in square pixels.",
        ),
    ] = 0,
    stage: Annotated[
        list[str] | None,
        option(
            "--stage",
            group=SELECTION,
            metavar="STAGE",
            help="Only frames whose jobs are in this stage: annotation, validation or acceptance. "
            "Needs mirrors as JSON. May be repeated.",
        ),
    ] = None,
    state: Annotated[
        list[str] | None,
        option(
            "--state",
            group=SELECTION,
            metavar="STATE",
            help="Only frames whose jobs are in this state: new, 'in progress', rejected or "
            "completed. Needs mirrors as JSON. May be repeated.",
        ),
    ] = None,
    task_id: MirroredTasks = None,
    folder: MirroredFolders = None,
    overwrite: Annotated[
        bool,
        typer.Option(
            "--overwrite", help="Replace files in --out that are not of a merge, or were edited."
        ),
    ] = False,
    as_json: AsJson = False,
) -> int:
    """Merge the tasks of mirrors into one data set for training; offline.

    Mirrors as JSON are converted; others must be in the format of the data set. Labels are united
    by name. A second merge rewrites only what changed. A task that cannot be merged is named, with
    the reason, and the exit code is 1.

    For example:

    asynccvat merge data/ --to yolo --out yolo/ --split train=0.8,val=0.2

    asynccvat merge a/ b/ --to coco --out coco/ --state completed --images copy
    """
    del shared  # no server is asked
    progress = _Progress()
    report = signals.run(
        lambda: asynccvat.merge(
            destinations,
            out,
            to=to,
            split=split,
            split_by=split_by,
            labels=[name for text in label or () for name in _names(text)],
            only_annotated=only_annotated,
            min_area=min_area,
            stages=tuple(stage or ()),
            states=tuple(state or ()),
            images=images,
            task_ids=parsing.ids(task_id, "--task-id") if task_id else None,
            folders=tuple(folder or ()),
            overwrite=overwrite,
            on_merged=progress.tell,
        )
    )
    if as_json:
        output.write_json(report.to_json())
    elif report.parts:
        _show(report)
    _summarize(report)
    return ExitCode.SOME_FAILED if report.failed or not report.tasks else ExitCode.DONE


class _Progress:
    """Says how far it is, now and then."""

    def __init__(self) -> None:
        self._said = time.monotonic()

    def tell(self, done: int, total: int) -> None:
        now = time.monotonic()
        if now - self._said >= _BETWEEN_REMARKS and done < total:
            self._said = now
            output.remark(f"{done:,} of {counted(total, 'task')}")


def _names(text: str) -> list[str]:
    return [name for part in text.split(",") if (name := part.strip())]


def _show(report: MergeReport) -> None:
    """Show the counts: a line for each part, then one for each label."""
    numbers = ("tasks", "images", "empty", "objects")
    output.table(
        ("part", *numbers),
        [
            (
                part.name,
                f"{part.tasks:,}",
                f"{part.images:,}",
                f"{part.empty:,}",
                f"{part.objects.total():,}",
            )
            for part in report.parts
        ],
        numbers=numbers,
    )
    names = [part.name for part in report.parts]
    output.table(
        ("label", *names),
        [
            (label, *(f"{part.objects[label]:,}" for part in report.parts))
            for label in report.labels
        ],
        numbers=names,
        wraps=("label",),
    )


def _summarize(report: MergeReport) -> None:
    """Say what failed, grouped by the reason, and what became of the files."""
    groups: defaultdict[str, list[int]] = defaultdict(list)
    for one in report.failed:
        groups[one.why].append(one.task_id)
    for why, tasks in groups.items():
        noun = "task" if len(tasks) == 1 else "tasks"
        output.remark(f"{noun} {first_few(tasks)}: {printable(why)}")
    for warning in report.warnings:
        output.remark(f"Warning: {printable(warning)}.")
    if not report.tasks:
        output.remark(f"{report.out}: there is nothing to merge, so it stays as it is")
        return
    files = report.files
    parts = [f"{counted(files.written, 'file')} of annotations written"]
    for count, what in (
        (files.linked, "linked"),
        (files.copied, "copied"),
    ):
        if count:
            parts.append(f"{counted(count, 'image')} {what}")
    if files.unchanged:
        parts.append(f"{counted(files.unchanged, 'file')} unchanged")
    if files.removed:
        parts.append(f"{counted(files.removed, 'file')} removed")
    failed = f", {len(report.failed):,} failed" if report.failed else ""
    merged = f"{counted(report.tasks, 'task')} merged{failed}"
    output.remark(f"{report.out}: {merged}; {', '.join(parts)}")
