"""`asynccvat list-tasks`, `list-projects` and `list-jobs`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from asynccvat import JobSelection, ProjectSelection, Selection
from asynccvat.cli import output, queries
from asynccvat.cli.command import command
from asynccvat.cli.common_options import OutputForm, OutputOptions, in_default_project
from asynccvat.cli.exit_codes import ExitCode
from asynccvat.cli.queries import minute
from asynccvat.cli.shared_options import SharedOptions
from asynccvat.cli.text import counted

if TYPE_CHECKING:
    from collections.abc import Iterable

    from asynccvat.models import Owner, Task
    from asynccvat.settings import Settings


@command
def list_tasks(
    shared: SharedOptions,
    *,
    selection: Selection,
    output_options: OutputOptions,
) -> int:
    """List the tasks that the user may see.

    For example:

    asynccvat list-tasks --project-id 5 --status completed

    asynccvat list-tasks --updated-since 2d --jsonl
    """
    form = output_options.form()
    settings = shared.settings()
    selection = in_default_project(selection, settings)
    if form is OutputForm.JSONL:
        return _stream_tasks(settings, selection)
    listing = queries.ask(settings, lambda client: client.tasks(selection))
    queries.show(
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
    if form is OutputForm.TABLE:
        output.remark(counted(len(listing.tasks), "task"))
    if not listing.complete:
        output.remark(
            "warning: the list kept changing while it was read, or tasks in it cannot be read: "
            "some tasks may be missing. Run the command again."
        )
    _report_missing(listing.missing)
    return ExitCode.SOME_FAILED if listing.missing or not listing.complete else ExitCode.DONE


def _stream_tasks(settings: Settings, selection: Selection) -> int:
    missing = set(selection.task_ids or ()) if selection.only_by_id else set()

    def seen(task: Task) -> None:
        missing.discard(task.id)

    queries.stream(settings, lambda client: client.iter_tasks(selection), seen)
    _report_missing(sorted(missing))
    return ExitCode.SOME_FAILED if missing else ExitCode.DONE


def _report_missing(missing: Iterable[int]) -> None:
    for task_id in missing:
        output.remark(
            f"task {task_id} does not exist, or this user may not see it. Check the id, the user "
            "and the organization."
        )


@command
def list_projects(
    shared: SharedOptions,
    *,
    selection: ProjectSelection,
    output_options: OutputOptions,
) -> int:
    """List the projects that the user may see.

    For example:

    asynccvat list-projects --owner ann --json
    """
    form = output_options.form()
    settings = shared.settings()
    if form is OutputForm.JSONL:
        queries.stream(settings, lambda client: client.iter_projects(selection))
        return ExitCode.DONE
    projects = queries.ask(settings, lambda client: client.projects(selection))
    queries.show(
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
    if form is OutputForm.TABLE:
        output.remark(counted(len(projects), "project"))
    return ExitCode.DONE


@command
def list_jobs(
    shared: SharedOptions,
    *,
    selection: JobSelection,
    output_options: OutputOptions,
) -> int:
    """List the jobs that the user may see.

    For example:

    asynccvat list-jobs --project-id 5 --stage annotation --assignee ann

    asynccvat list-jobs -t 147,148 --jsonl
    """
    form = output_options.form()
    settings = shared.settings()
    selection = in_default_project(selection, settings)
    if form is OutputForm.JSONL:
        queries.stream(settings, lambda client: client.iter_jobs(selection))
        return ExitCode.DONE
    jobs = queries.ask(settings, lambda client: client.jobs(selection))
    queries.show(
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
    if form is OutputForm.TABLE:
        output.remark(counted(len(jobs), "job"))
    return ExitCode.DONE


def _username(user: Owner | None) -> str | None:
    return user.username if user else None
