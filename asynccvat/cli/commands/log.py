"""`asynccvat log`: the states of a task's annotations that a mirror as JSON has kept."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

import asynccvat
from asynccvat.cli import output, signals
from asynccvat.cli.command import command
from asynccvat.cli.common_options import AsJson
from asynccvat.cli.exit_codes import ExitCode
from asynccvat.cli.shared_options import SharedOptions
from asynccvat.cli.text import counted, printable

if TYPE_CHECKING:
    from asynccvat.models import AnnotationLogEntry

_FRACTION = re.compile(r"\.\d+(?=Z|$)")
_NUMBERS = ("total", "added", "removed", "changed")


@command
def log(
    shared: SharedOptions,
    *,
    destination: Annotated[
        Path,
        typer.Argument(metavar="DEST", help="The folder of a mirror that has --format json."),
    ],
    task_id: Annotated[int, typer.Option("--task-id", "-t", metavar="ID", min=1, help="The task.")],
    as_json: AsJson = False,
) -> int:
    """Show earlier states of a task's annotations.

    A mirror as JSON with --history keeps them, and no server is asked. Each has the date since when
    the task had them, and what changed since the state before. The last one is what the task's
    folder holds. A state that cannot be read is named, and the exit
    code is 1.

    For example:

    asynccvat log raw/ -t 147
    """
    del shared  # no server is asked
    found = signals.run(lambda: asynccvat.annotation_log(destination, task_id))
    if as_json:
        output.write_json(found.to_json())
    else:
        output.table(
            ("since", *_NUMBERS, "by label and kind"),
            [_row(one) for one in found.entries],
            numbers=_NUMBERS,
            wraps=("by label and kind",),
        )
    for one in found.entries:
        if one.why is not None:
            output.remark(f"state of {one.since}: {printable(one.why)}")
    states = counted(len(found.entries), "state")
    output.remark(f"task {task_id}, {printable(found.name)}: {states}")
    failed = any(one.why is not None for one in found.entries)
    return ExitCode.SOME_FAILED if failed else ExitCode.DONE


def _row(one: AnnotationLogEntry) -> tuple[str, ...]:
    changes = ("", "", "")
    if one.difference is not None:
        lists = (one.difference.added, one.difference.removed, one.difference.changed)
        first, second, third = (f"{len(changed):,}" for changed in lists)
        changes = (first, second, third)
    counts = [f"{label} {kind} {count:,}" for (label, kind), count in one.counts.items()]
    total = f"{one.total:,}" if one.counts or one.why is None else ""
    since = _FRACTION.sub("", one.since)  # the end of a second is what `--at` takes it for
    return (since, total, *changes, ", ".join(counts))
