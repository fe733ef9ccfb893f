"""The commands that list: tasks, projects, jobs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from asynccvat.cli import filters, output, questions
from asynccvat.cli.connection import Connection, connected
from asynccvat.cli.exit_codes import ExitCode
from asynccvat.cli.filters import AsJson, AsJsonLines, Output, OutputOption
from asynccvat.cli.questions import minute
from asynccvat.cli.text import counted

if TYPE_CHECKING:
    from collections.abc import Iterable

    from asynccvat import Owner, Selection, Task
    from asynccvat.settings import Settings


@connected
def list_tasks(
    connection: Connection,
    *,
    project_id: filters.ProjectIds = None,
    task_id: filters.TaskIds = None,
    status: filters.StatusOption = None,
    subset: filters.Subset = None,
    name: filters.Name = None,
    owner: filters.Owner = None,
    assignee: filters.Assignee = None,
    updated_since: filters.UpdatedSince = None,
    filter_: filters.Filter = None,
    as_json: AsJson = False,
    as_jsonl: AsJsonLines = False,
    output_: OutputOption = None,
) -> int:
    """List the tasks that the user may see.

    For example:

    asynccvat list-tasks --project-id 5 --status completed

    asynccvat list-tasks --updated-since 2d --jsonl
    """
    form = filters.form(as_json=as_json, as_jsonl=as_jsonl, output_=output_)
    settings = connection.settings()
    selection = filters.selection(
        projects=project_id,
        tasks=task_id,
        status=status,
        subset=subset,
        name=name,
        owner=owner,
        assignee=assignee,
        updated_since=updated_since,
        filter_=filter_,
        default_project=settings.project_id,
    )
    if form is Output.JSONL:
        return _stream_tasks(settings, selection)
    listing = questions.ask(settings, lambda client: client.tasks(selection))
    questions.show(
        form,
        listing.tasks,
        ("id", "name", "status", "frames", "project", "subset", "assignee", "updated"),
        [
            (
                task.id,
                task.name,
                task.status,
                task.size,
                task.project_id,
                task.subset,
                _username(task.assignee),
                minute(task.updated_date),
            )
            for task in listing.tasks
        ],
        numbers=("id", "frames", "project"),
        wraps=("name", "subset", "assignee"),
    )
    if form is Output.TABLE:
        output.remark(counted(len(listing.tasks), "task"))
    if not listing.complete:
        output.remark("warning: the list kept changing while it was read: some may be missing")
    _tell_missing(listing.missing)
    return ExitCode.SOME_FAILED if listing.missing or not listing.complete else ExitCode.DONE


def _stream_tasks(settings: Settings, selection: Selection) -> int:
    missing = set(selection.task_ids or ()) if selection.only_by_id else set()

    def seen(task: Task) -> None:
        missing.discard(task.id)

    questions.stream(settings, lambda client: client.iter_tasks(selection), seen)
    _tell_missing(sorted(missing))
    return ExitCode.SOME_FAILED if missing else ExitCode.DONE


def _tell_missing(missing: Iterable[int]) -> None:
    for task_id in missing:
        output.remark(f"task {task_id}: there is no such task, or this user may not see it")


@connected
def list_projects(
    connection: Connection,
    *,
    project_id: Annotated[
        list[str] | None,
        typer.Option(
            "--project-id",
            metavar="ID",
            help="This project; may be repeated, or a list like 5,6.",
            rich_help_panel=filters.PANEL,
        ),
    ] = None,
    status: Annotated[
        filters.Status | None,
        typer.Option("--status", help="Projects in this state.", rich_help_panel=filters.PANEL),
    ] = None,
    name: Annotated[
        str | None,
        typer.Option(
            "--name", help="Projects of exactly this name.", rich_help_panel=filters.PANEL
        ),
    ] = None,
    owner: filters.Owner = None,
    assignee: filters.Assignee = None,
    updated_since: filters.UpdatedSince = None,
    filter_: filters.Filter = None,
    as_json: AsJson = False,
    as_jsonl: AsJsonLines = False,
    output_: OutputOption = None,
) -> int:
    """List the projects that the user may see.

    For example:

    asynccvat list-projects --owner ann --json
    """
    form = filters.form(as_json=as_json, as_jsonl=as_jsonl, output_=output_)
    settings = connection.settings()
    selection = filters.project_selection(
        projects=project_id,
        status=status,
        name=name,
        owner=owner,
        assignee=assignee,
        updated_since=updated_since,
        filter_=filter_,
    )
    if form is Output.JSONL:
        questions.stream(settings, lambda client: client.iter_projects(selection))
        return ExitCode.DONE
    projects = questions.ask(settings, lambda client: client.projects(selection))
    questions.show(
        form,
        projects,
        ("id", "name", "status", "owner", "assignee", "updated"),
        [
            (
                project.id,
                project.name,
                project.status,
                _username(project.owner),
                _username(project.assignee),
                minute(project.updated_date),
            )
            for project in projects
        ],
        numbers=("id",),
        wraps=("name", "owner", "assignee"),
    )
    if form is Output.TABLE:
        output.remark(counted(len(projects), "project"))
    return ExitCode.DONE


@connected
def list_jobs(
    connection: Connection,
    *,
    project_id: Annotated[
        list[str] | None,
        typer.Option(
            "--project-id",
            metavar="ID",
            help="Jobs of this project; may be repeated (environment: CVAT_PROJECT_ID).",
            rich_help_panel=filters.PANEL,
        ),
    ] = None,
    task_id: Annotated[
        list[str] | None,
        typer.Option(
            "--task-id",
            "-t",
            metavar="ID",
            help="Jobs of this task; may be repeated, or a list like 147,148.",
            rich_help_panel=filters.PANEL,
        ),
    ] = None,
    name: Annotated[
        str | None,
        typer.Option(
            "--name", help="Jobs of tasks of exactly this name.", rich_help_panel=filters.PANEL
        ),
    ] = None,
    stage: Annotated[
        filters.Stage | None,
        typer.Option("--stage", help="Jobs in this stage.", rich_help_panel=filters.PANEL),
    ] = None,
    state: Annotated[
        filters.State | None,
        typer.Option("--state", help="Jobs in this state.", rich_help_panel=filters.PANEL),
    ] = None,
    type_: Annotated[
        filters.Type | None,
        typer.Option("--type", help="Jobs of this type.", rich_help_panel=filters.PANEL),
    ] = None,
    assignee: filters.Assignee = None,
    updated_since: filters.UpdatedSince = None,
    filter_: filters.Filter = None,
    as_json: AsJson = False,
    as_jsonl: AsJsonLines = False,
    output_: OutputOption = None,
) -> int:
    """List the jobs that the user may see.

    For example:

    asynccvat list-jobs --project-id 5 --stage annotation --assignee ann

    asynccvat list-jobs -t 147,148 --jsonl
    """
    form = filters.form(as_json=as_json, as_jsonl=as_jsonl, output_=output_)
    settings = connection.settings()
    selection = filters.job_selection(
        projects=project_id,
        tasks=task_id,
        name=name,
        stage=stage,
        state=state,
        type_=type_,
        assignee=assignee,
        updated_since=updated_since,
        filter_=filter_,
        default_project=settings.project_id,
    )
    if form is Output.JSONL:
        questions.stream(settings, lambda client: client.iter_jobs(selection))
        return ExitCode.DONE
    jobs = questions.ask(settings, lambda client: client.jobs(selection))
    questions.show(
        form,
        jobs,
        ("id", "task", "project", "stage", "state", "type", "frames", "assignee", "updated"),
        [
            (
                job.id,
                job.task_id,
                job.project_id,
                job.stage,
                job.state,
                job.type,
                job.frame_count,
                _username(job.assignee),
                minute(job.updated_date),
            )
            for job in jobs
        ],
        numbers=("id", "task", "project", "frames"),
        wraps=("assignee",),
    )
    if form is Output.TABLE:
        output.remark(counted(len(jobs), "job"))
    return ExitCode.DONE


def _username(user: Owner | None) -> str | None:
    return user.username if user else None
