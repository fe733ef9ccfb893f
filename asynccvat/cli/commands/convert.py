"""`asynccvat convert`: a mirror as JSON becomes what the server would export, offline."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

import asynccvat
from asynccvat.cli import output, parsing, signals
from asynccvat.cli.command import command
from asynccvat.cli.common_options import AsJson, MirroredFolders, MirroredTasks
from asynccvat.cli.completion.values import Offer, completing
from asynccvat.cli.exit_codes import ExitCode
from asynccvat.cli.shared_options import SharedOptions
from asynccvat.cli.text import counted, number_of_bytes, printable
from asynccvat.core.texts import first_few

if TYPE_CHECKING:
    from asynccvat.models import ConversionReport, TaskConversion

_BETWEEN_REMARKS = 5.0
"""Seconds between two lines of progress."""


def _formats(context: Any, begun: str) -> Iterable[Offer]:
    """Offer words for the formats, and for a word that begins none of them the exact names."""
    del context
    from asynccvat.core.convert.formats import (  # noqa: PLC0415 - the start-up stays light
        convertible_names,
    )

    offered = convertible_names()
    if not any(short.startswith(begun) for short in offered):
        return [(name, "") for name in offered.values()]
    return offered.items()


@command
def convert(
    shared: SharedOptions,
    *,
    destination: Annotated[
        Path,
        typer.Argument(metavar="DEST", help="The folder of a mirror that has --format json."),
    ],
    to: Annotated[
        str,
        typer.Option(
            "--to",
            metavar="FORMAT",
            help="cvat (for images or for video, as each task's media need), coco, yolo, "
            "ultralytics, voc or datumaro; or the exporter's exact name.",
            autocompletion=completing(_formats),
        ),
    ],
    out: Annotated[
        Path,
        typer.Option(
            "--out", "-o", metavar="DIR", help="The folder for the converted tasks, not DEST."
        ),
    ],
    task_id: MirroredTasks = None,
    folder: MirroredFolders = None,
    overwrite: Annotated[
        bool,
        typer.Option("--overwrite", help="Replace folders in --out that hold other files."),
    ] = False,
    as_json: AsJson = False,
) -> int:
    """Convert a mirror as JSON into other formats, offline.

    The files are those that the server would export, without images. A task that cannot be
    converted exactly is named, with the reason, and the exit code is 1: export such a task from the
    server.

    For example:

    asynccvat convert raw/ --to coco --out coco/

    asynccvat convert raw/ --to cvat --out xml/ -t 147
    """
    del shared  # no server is asked
    progress = _Progress()
    report = signals.run(
        lambda: asynccvat.convert(
            destination,
            out,
            to=to,
            task_ids=parsing.ids(task_id, "--task-id") if task_id else None,
            folders=tuple(folder or ()),
            overwrite=overwrite,
            on_task=progress.count,
        )
    )
    if as_json:
        output.write_json(report.to_json())
    _summarize(report)
    return ExitCode.SOME_FAILED if report.failed else ExitCode.DONE


class _Progress:
    """Says how far it is, now and then."""

    def __init__(self) -> None:
        self._done = 0
        self._said = time.monotonic()

    def count(self, one: TaskConversion, total: int) -> None:
        del one
        self._done += 1
        now = time.monotonic()
        if now - self._said >= _BETWEEN_REMARKS and self._done < total:
            self._said = now
            output.remark(f"{self._done:,} of {counted(total, 'task')}")


def _summarize(report: ConversionReport) -> None:
    """Say what failed, grouped by the reason, and how much there is."""
    groups: defaultdict[str, list[int]] = defaultdict(list)
    for one in report.failed:
        groups[one.why or ""].append(one.task_id)
    for why, tasks in groups.items():
        noun = "task" if len(tasks) == 1 else "tasks"
        output.remark(f"{noun} {first_few(tasks)}: {printable(why)}")
    counts = report.counts
    size = number_of_bytes(sum(one.bytes for one in report.tasks))
    parts = [f"{counted(counts['converted'], 'task')} converted"]
    parts += [f"{counts[state]:,} {state}" for state in ("unchanged", "failed") if counts[state]]
    files = counted(sum(one.files for one in report.tasks), "file")
    output.remark(f"{report.out}: {', '.join(parts)}; {files}, {size}")
