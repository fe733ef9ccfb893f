"""Which tasks and how they are exported: the options that several commands have in common."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from asynccvat.cli import parsing

if TYPE_CHECKING:
    from asynccvat import Selection

DEFAULT_FORMAT = "CVAT for images 1.1"

_WHAT = "Which tasks"


class Status(StrEnum):
    """The states of a task that CVAT filters by."""

    ANNOTATION = "annotation"
    VALIDATION = "validation"
    COMPLETED = "completed"


class Output(StrEnum):
    """How a result is written."""

    TABLE = "table"
    JSON = "json"


ProjectIds = Annotated[
    list[str] | None,
    typer.Option(
        "--project-id",
        metavar="ID",
        help="Tasks of this project; may be repeated (environment: CVAT_PROJECT_ID).",
        rich_help_panel=_WHAT,
    ),
]
TaskIds = Annotated[
    list[str] | None,
    typer.Option(
        "--task-id",
        "-t",
        metavar="ID",
        help="This task; may be repeated, or a list like 147,148.",
        rich_help_panel=_WHAT,
    ),
]
StatusOption = Annotated[
    Status | None, typer.Option("--status", help="Tasks in this state.", rich_help_panel=_WHAT)
]
Subset = Annotated[
    str | None, typer.Option("--subset", help="Tasks of this subset.", rich_help_panel=_WHAT)
]
Name = Annotated[
    str | None, typer.Option("--name", help="Tasks of exactly this name.", rich_help_panel=_WHAT)
]
UpdatedSince = Annotated[
    str | None,
    typer.Option(
        "--updated-since",
        metavar="WHEN",
        help="Tasks updated since: a date like 2026-03-31 (UTC), or an age like 2d or 12h.",
        rich_help_panel=_WHAT,
    ),
]
Filter = Annotated[
    str | None,
    typer.Option(
        "--filter",
        metavar="JSON",
        help="""JSON logic as CVAT's own filters, like '{"==": [{"var": "assignee"}, "ann"]}'.""",
        rich_help_panel=_WHAT,
    ),
]
Format = Annotated[
    str,
    typer.Option(
        "--format",
        "-f",
        help="The format's exact name; see 'asynccvat formats'.",
        show_default=True,
    ),
]
FolderPrefix = Annotated[
    str, typer.Option("--folder-prefix", help="What the task's id follows in its folder's name.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Write JSON to stdout.")]
OutputOption = Annotated[
    Output, typer.Option("--output", help="'json' is the same as --json.", show_default=False)
]


def selection(
    *,
    projects: Sequence[str] | None,
    tasks: Sequence[str] | None,
    status: Status | None = None,
    subset: str | None = None,
    name: str | None = None,
    updated_since: str | None = None,
    filter_: str | None = None,
    failed_from: Path | None = None,
    default_project: int | None = None,
) -> Selection:
    """The `Selection` that the options ask for.

    `default_project` counts where neither projects nor tasks were named.

    Raises:
        typer.BadParameter: A value cannot be read; the message says which and how to write it.
    """
    from asynccvat import Selection  # noqa: PLC0415 - the start-up of `--help` stays light

    task_ids = parsing.ids(tasks or (), "--task-id")
    if failed_from is not None:
        failed = parsing.failed_tasks(failed_from, "--failed-from")
        task_ids = tuple(dict.fromkeys((*task_ids, *failed)))
    project_ids = parsing.ids(projects or (), "--project-id")
    if default_project is not None and not project_ids and not task_ids:
        project_ids = (default_project,)
    return Selection(
        project_ids=project_ids or None,
        task_ids=task_ids if tasks or failed_from is not None else None,
        status=status.value if status else None,
        subset=subset,
        name=name,
        updated_since=(
            parsing.since(updated_since, "--updated-since", now=datetime.now(UTC))
            if updated_since is not None
            else None
        ),
        filter=filter_,
    )
