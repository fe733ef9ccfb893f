"""`asynccvat diff-annotations`: how annotations differ in two places."""

from __future__ import annotations

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
from asynccvat.core.texts import first_few

if TYPE_CHECKING:
    from asynccvat.models import AnnotationComparison

_NUMBERS = ("added", "removed", "changed")


@command
def diff_annotations(
    shared: SharedOptions,
    *,
    first: Annotated[
        str,
        typer.Argument(
            metavar="A",
            help="A file of annotations, a task's folder, a folder of such folders; or with "
            "--in-dir a task like 147, or as it was: 147@2026-11-01.",
        ),
    ],
    second: Annotated[str, typer.Argument(metavar="B", help="The same, to compare with.")],
    in_dir: Annotated[
        Path | None,
        typer.Option(
            "--in-dir", "-i", metavar="DIR", help="The mirror of tasks like 147@2026-11-01."
        ),
    ] = None,
    as_json: AsJson = False,
) -> int:
    """Show how annotations as JSON differ in two places, by label and kind; offline.

    Annotations of one server are matched by their ids, others by their content. The exit code is 0
    if nothing differs, and 1 if something does.

    For example:

    asynccvat diff-annotations 147@2026-11-01 147 -i raw/

    asynccvat diff-annotations before/ raw/

    asynccvat diff-annotations old.json raw/task147/annotations.json --json
    """
    found = signals.run(lambda: asynccvat.diff_annotations(first, second, dest=in_dir))
    if as_json:
        output.write_json(found.to_json())
    else:
        _show(found, verbose=shared.verbose)
    _summarize(found)
    return ExitCode.DONE if found.is_same else ExitCode.SOME_FAILED


def _show(found: AnnotationComparison, *, verbose: bool) -> None:
    rows = [
        (
            one.folder,
            row.label,
            row.kind,
            f"{row.added:,}",
            f"{row.removed:,}",
            f"{row.changed:,}",
            ", ".join(map(str, row.frames)) if verbose else first_few(row.frames),
        )
        for one in found.tasks
        if one.difference is not None
        for row in one.difference.rows
    ]
    if rows:
        output.table(
            ("task", "label", "kind", *_NUMBERS, "frames"),
            rows,
            numbers=_NUMBERS,
            wraps=("task", "label", "frames"),
        )


def _summarize(found: AnnotationComparison) -> None:
    for one in found.failed:
        output.remark(f"{one.folder}: {printable(one.why or '')}")
    for place, folders in ((found.first, found.only_first), (found.second, found.only_second)):
        if folders:
            output.remark(f"only in {printable(place)}: {printable(first_few(folders))}")
    parts = [one.difference for one in found.tasks if one.difference is not None]
    tasks = f"{counted(len(parts), 'task')}: "
    if [one.folder for one in found.tasks] == [""]:
        tasks = ""
    output.remark(
        f"{tasks}{sum(len(one.added) for one in parts):,} added, "
        f"{sum(len(one.removed) for one in parts):,} removed, "
        f"{sum(len(one.changed) for one in parts):,} changed, "
        f"{sum(one.unchanged for one in parts):,} unchanged"
    )
