"""Which tasks, projects or jobs, and how they are written: options that commands have in common."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from asynccvat.cli import parsing

if TYPE_CHECKING:
    from asynccvat import JobSelection, ProjectSelection, Selection

DEFAULT_FORMAT = "CVAT for images 1.1"

PANEL = "Selection"


def option(*names: str, panel: str, **rest: Any) -> Any:
    """An option that is listed in a panel of the help."""
    return typer.Option(*names, rich_help_panel=panel, **rest)


class Status(StrEnum):
    """The states of a task that CVAT filters by."""

    ANNOTATION = "annotation"
    VALIDATION = "validation"
    COMPLETED = "completed"


class Stage(StrEnum):
    """The stages of a job."""

    ANNOTATION = "annotation"
    VALIDATION = "validation"
    ACCEPTANCE = "acceptance"


class State(StrEnum):
    """How far a job is in its stage."""

    NEW = "new"
    IN_PROGRESS = "in progress"
    COMPLETED = "completed"
    REJECTED = "rejected"


class Type(StrEnum):
    """What a job is for."""

    ANNOTATION = "annotation"
    GROUND_TRUTH = "ground_truth"
    CONSENSUS_REPLICA = "consensus_replica"


class Output(StrEnum):
    """How a result is written."""

    TABLE = "table"
    JSON = "json"
    JSONL = "jsonl"


ProjectIds = Annotated[
    list[str] | None,
    typer.Option(
        "--project-id",
        metavar="ID",
        help="Tasks of this project; may be repeated (environment: CVAT_PROJECT_ID).",
        rich_help_panel=PANEL,
    ),
]
TaskIds = Annotated[
    list[str] | None,
    typer.Option(
        "--task-id",
        "-t",
        metavar="ID",
        help="This task; may be repeated, or a list like 147,148.",
        rich_help_panel=PANEL,
    ),
]
StatusOption = Annotated[
    Status | None, typer.Option("--status", help="Tasks in this state.", rich_help_panel=PANEL)
]
Subset = Annotated[
    str | None, typer.Option("--subset", help="Tasks of this subset.", rich_help_panel=PANEL)
]
Name = Annotated[
    str | None, typer.Option("--name", help="Tasks of exactly this name.", rich_help_panel=PANEL)
]
UpdatedSince = Annotated[
    str | None,
    typer.Option(
        "--updated-since",
        metavar="WHEN",
        help="Updated since: a date like 2026-03-31 (UTC), or an age like 2d or 12h.",
        rich_help_panel=PANEL,
    ),
]
Owner = Annotated[
    str | None,
    typer.Option("--owner", metavar="USER", help="Made by this user.", rich_help_panel=PANEL),
]
Assignee = Annotated[
    str | None,
    typer.Option(
        "--assignee", metavar="USER", help="Assigned to this user.", rich_help_panel=PANEL
    ),
]
Filter = Annotated[
    str | None,
    typer.Option(
        "--filter",
        metavar="JSON",
        help="""JSON logic as CVAT's own filters, like '{"==": [{"var": "assignee"}, "ann"]}'.""",
        rich_help_panel=PANEL,
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
AsJson = Annotated[bool, typer.Option("--json", help="Write one JSON document to stdout.")]
AsJsonLines = Annotated[
    bool, typer.Option("--jsonl", help="Write one JSON object a line to stdout, as they come.")
]
OutputOption = Annotated[
    Output | None,
    typer.Option("--output", help="The same as --json or --jsonl, as a word.", show_default=False),
]


def form(*, as_json: bool, as_jsonl: bool, output_: Output | None = None) -> Output:
    """How the result is to be written; a table where nothing else is asked for.

    Raises:
        typer.BadParameter: Two ways are asked for.
    """
    asked = {
        *([output_] if output_ is not None else []),
        *([Output.JSON] if as_json else []),
        *([Output.JSONL] if as_jsonl else []),
    }
    if len(asked) > 1:
        raise typer.BadParameter(
            f"the result is written in one way, not as {' and '.join(sorted(asked))}: leave one "
            "away",
            param_hint="--output" if output_ is not None else "--json",
        )
    return next(iter(asked), Output.TABLE)


def selection(
    *,
    projects: Sequence[str] | None,
    tasks: Sequence[str] | None,
    status: Status | None = None,
    subset: str | None = None,
    name: str | None = None,
    owner: str | None = None,
    assignee: str | None = None,
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
    return Selection(
        project_ids=_projects(projects, None if task_ids else default_project),
        task_ids=task_ids if tasks or failed_from is not None else None,
        status=status.value if status else None,
        subset=subset,
        name=name,
        owner=owner,
        assignee=assignee,
        updated_since=_moment(updated_since),
        filter=filter_,
    )


def project_selection(
    *,
    projects: Sequence[str] | None,
    status: Status | None,
    name: str | None,
    owner: str | None,
    assignee: str | None,
    updated_since: str | None,
    filter_: str | None,
) -> ProjectSelection:
    """The `ProjectSelection` that the options ask for.

    Raises:
        typer.BadParameter: A value cannot be read; the message says which and how to write it.
    """
    from asynccvat import ProjectSelection  # noqa: PLC0415 - the start-up of `--help` stays light

    return ProjectSelection(
        project_ids=_projects(projects, None),
        status=status.value if status else None,
        name=name,
        owner=owner,
        assignee=assignee,
        updated_since=_moment(updated_since),
        filter=filter_,
    )


def job_selection(
    *,
    projects: Sequence[str] | None,
    tasks: Sequence[str] | None,
    name: str | None,
    stage: Stage | None,
    state: State | None,
    type_: Type | None,
    assignee: str | None,
    updated_since: str | None,
    filter_: str | None,
    default_project: int | None,
) -> JobSelection:
    """The `JobSelection` that the options ask for.

    `default_project` counts where neither projects nor tasks were named.

    Raises:
        typer.BadParameter: A value cannot be read; the message says which and how to write it.
    """
    from asynccvat import JobSelection  # noqa: PLC0415 - the start-up of `--help` stays light

    task_ids = parsing.ids(tasks or (), "--task-id")
    return JobSelection(
        project_ids=_projects(projects, None if task_ids else default_project),
        task_ids=task_ids or None,
        task_name=name,
        stage=stage.value if stage else None,
        state=state.value if state else None,
        type=type_.value if type_ else None,
        assignee=assignee,
        updated_since=_moment(updated_since),
        filter=filter_,
    )


def _projects(texts: Sequence[str] | None, default: int | None) -> tuple[int, ...] | None:
    ids = parsing.ids(texts or (), "--project-id")
    if not ids and default is not None:
        return (default,)
    return ids or None


def _moment(text: str | None) -> str | None:
    if text is None:
        return None
    return parsing.since(text, "--updated-since", now=datetime.now(UTC))
