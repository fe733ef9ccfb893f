"""`asynccvat list-tasks`, `list-projects` and `list-jobs`."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar

from asynccvat import JobSelection, ProjectSelection, Selection
from asynccvat.cli import output, queries
from asynccvat.cli.command import command
from asynccvat.cli.common_options import in_default_project
from asynccvat.cli.completion import cache
from asynccvat.cli.exit_codes import ExitCode
from asynccvat.cli.listing import Column, ListForm, Listing
from asynccvat.cli.queries import minute
from asynccvat.cli.shared_options import SharedOptions
from asynccvat.core.selections.id_lists import required

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from asynccvat.models import Job, Project, Task
    from asynccvat.settings import Settings

SelectionT = TypeVar("SelectionT", Selection, ProjectSelection, JobSelection)


@command
def list_tasks(
    shared: SharedOptions,
    *,
    selection: Selection,
    list_options: ListForm,
) -> int:
    """List the tasks that the user may see.

    For example:

    asynccvat list-tasks --project-id 5 --status completed

    asynccvat list-tasks --columns id,name,owner --sort -updated --limit 20

    asynccvat list-tasks --updated-since 2d --jsonl
    """
    pages = _Pages()
    listing = Listing(_task_columns(pages), list_options, limit=selection.limit)
    settings = shared.settings()
    pages.address = settings.address
    selection = in_default_project(_as_listed(selection, listing), settings)
    if listing.streams:
        return _stream_tasks(settings, selection)
    found = queries.ask(settings, lambda client: client.tasks(selection))
    listing.show(found.tasks, "task")
    if not found.complete:
        output.remark(
            "warning: the list kept changing while it was read, or tasks in it cannot be read: "
            "some tasks may be missing. Run the command again."
        )
    _report_missing("task", found.missing)
    return ExitCode.SOME_FAILED if found.missing or not found.complete else ExitCode.DONE


def _as_listed(selection: SelectionT, listing: Listing[Any]) -> SelectionT:
    """Return a selection without its limit, unless entries are written as they arrive.

    A table is sorted first, and says how many entries there are.
    """
    return selection if listing.streams else replace(selection, limit=None)


def _stream_tasks(settings: Settings, selection: Selection) -> int:
    missing = required(selection.task_ids) if selection.only_by_id else set()

    def seen(task: Task) -> None:
        missing.discard(task.id)

    queries.stream(settings, lambda client: client.iter_tasks(selection), seen)
    _report_missing("task", sorted(missing))
    return ExitCode.SOME_FAILED if missing else ExitCode.DONE


def _report_missing(noun: str, missing: Iterable[int]) -> None:
    for one in missing:
        output.remark(
            f"{noun} {one} does not exist, or this user may not see it. Check the id, the user "
            "and the organization."
        )


@command
def list_projects(
    shared: SharedOptions,
    *,
    selection: ProjectSelection,
    list_options: ListForm,
) -> int:
    """List the projects that the user may see.

    For example:

    asynccvat list-projects --owner ann --json

    asynccvat list-projects --sort name --csv
    """
    pages = _Pages()
    listing = Listing(_project_columns(pages), list_options, limit=selection.limit)
    settings = shared.settings()
    pages.address = settings.address
    selection = _as_listed(selection, listing)
    # With another condition, a project may exist and not be listed.
    only_by_id = selection == ProjectSelection(project_ids=selection.project_ids)
    missing = required(selection.project_ids) if only_by_id else set()

    def seen(project: Project) -> None:
        missing.discard(project.id)

    if listing.streams:
        queries.stream(settings, lambda client: client.iter_projects(selection), seen)
    else:
        projects = queries.ask(settings, lambda client: client.projects(selection))
        if selection == ProjectSelection():
            names = {project.id: project.name for project in projects}
            cache.remember(settings, "projects", names)
        listing.show(projects, "project")
        missing -= {project.id for project in projects}
    _report_missing("project", sorted(missing))
    return ExitCode.SOME_FAILED if missing else ExitCode.DONE


@command
def list_jobs(
    shared: SharedOptions,
    *,
    selection: JobSelection,
    list_options: ListForm,
) -> int:
    """List the jobs that the user may see.

    For example:

    asynccvat list-jobs --project-id 5 --stage annotation --assignee ann

    asynccvat list-jobs --columns id,task,issues --sort -issues

    asynccvat list-jobs -t 147,148 --jsonl
    """
    pages = _Pages()
    listing = Listing(_job_columns(pages), list_options, limit=selection.limit)
    settings = shared.settings()
    pages.address = settings.address
    selection = in_default_project(_as_listed(selection, listing), settings)
    only_by_id = selection == JobSelection(task_ids=selection.task_ids)
    unseen = required(selection.task_ids) if only_by_id else set()

    def seen(job: Job) -> None:
        unseen.discard(job.task_id or 0)

    if listing.streams:
        queries.stream(settings, lambda client: client.iter_jobs(selection), seen)
    else:
        jobs = queries.ask(settings, lambda client: client.jobs(selection))
        listing.show(jobs, "job")
        unseen -= {job.task_id for job in jobs if job.task_id is not None}
    missing = _missing_tasks(settings, unseen)
    _report_missing("task", missing)
    return ExitCode.SOME_FAILED if missing else ExitCode.DONE


def _missing_tasks(settings: Settings, task_ids: Collection[int]) -> tuple[int, ...]:
    """Return which of some tasks without jobs do not exist: one without data has no jobs."""
    if not task_ids:
        return ()
    wanted = Selection(task_ids=sorted(task_ids))
    return queries.ask(settings, lambda client: client.tasks(wanted)).missing


class _Pages:
    """The addresses of the server's web pages, which is known once the settings are read."""

    address = ""

    def task(self, task: Task) -> str:
        return f"{self.address}/tasks/{task.id}"

    def project(self, project: Project) -> str:
        return f"{self.address}/projects/{project.id}"

    def job(self, job: Job) -> str | None:
        return None if job.task_id is None else f"{self.address}/tasks/{job.task_id}/jobs/{job.id}"


def _task_columns(pages: _Pages) -> list[Column[Task]]:
    return [
        Column(title="id", value=lambda task: task.id, url=pages.task, number=True),
        Column(title="name", value=lambda task: task.name, url=pages.task, wraps=True),
        Column(title="status", value=lambda task: task.status),
        Column(title="frames", value=lambda task: task.size, number=True),
        Column(title="project", value=lambda task: task.project_id, number=True),
        Column(title="subset", value=lambda task: task.subset, wraps=True),
        _user("assignee"),
        _date("updated"),
        _user("owner", extra=True),
        _date("created", extra=True),
        Column(title="mode", value=lambda task: task.mode, extra=True),
        Column(title="dimension", value=lambda task: task.dimension, extra=True),
        Column(
            title="organization", value=lambda task: task.organization_id, number=True, extra=True
        ),
        Column(title="segment", value=lambda task: task.segment_size, number=True, extra=True),
        Column(title="overlap", value=lambda task: task.overlap, number=True, extra=True),
        Column(title="quality", value=lambda task: task.image_quality, number=True, extra=True),
        Column(title="tracker", value=lambda task: task.bug_tracker, wraps=True, extra=True),
        Column(title="url", value=pages.task, extra=True),
    ]


def _project_columns(pages: _Pages) -> list[Column[Project]]:
    return [
        Column(title="id", value=lambda project: project.id, url=pages.project, number=True),
        Column(title="name", value=lambda project: project.name, url=pages.project, wraps=True),
        Column(title="status", value=lambda project: project.status),
        _user("owner"),
        _user("assignee"),
        _date("updated"),
        _date("created", extra=True),
        Column(title="dimension", value=lambda project: project.dimension, extra=True),
        Column(title="subsets", value=lambda one: one.task_subsets, wraps=True, extra=True),
        Column(
            title="organization", value=lambda one: one.organization_id, number=True, extra=True
        ),
        Column(title="url", value=pages.project, extra=True),
    ]


def _job_columns(pages: _Pages) -> list[Column[Job]]:
    return [
        Column(title="id", value=lambda job: job.id, url=pages.job, number=True),
        Column(title="task", value=lambda job: job.task_id, number=True),
        Column(title="project", value=lambda job: job.project_id, number=True),
        Column(title="stage", value=lambda job: job.stage),
        Column(title="state", value=lambda job: job.state),
        Column(title="type", value=lambda job: job.type),
        Column(title="frames", value=lambda job: job.frame_count, number=True),
        _user("assignee"),
        _date("updated"),
        _date("created", extra=True),
        Column(title="first", value=lambda job: job.start_frame, number=True, extra=True),
        Column(title="last", value=lambda job: job.stop_frame, number=True, extra=True),
        Column(title="issues", value=lambda job: job.issue_count, number=True, extra=True),
        Column(title="mode", value=lambda job: job.mode, extra=True),
        Column(title="dimension", value=lambda job: job.dimension, extra=True),
        Column(title="organization", value=lambda job: job.organization, number=True, extra=True),
        Column(title="parent", value=lambda job: job.parent_job_id, number=True, extra=True),
        Column(title="url", value=pages.job, extra=True),
    ]


def _user(title: str, *, extra: bool = False) -> Column[Any]:
    """Return the column of a user: the name."""

    def username(item: Any) -> str | None:
        user = getattr(item, title)
        return user.username if user else None

    return Column(title=title, value=username, wraps=True, extra=extra)


def _date(title: str, *, extra: bool = False) -> Column[Any]:
    """Return the column of a date: up to the minute in a table, whole in CSV."""

    def date(item: Any) -> str | None:
        value: str | None = getattr(item, f"{title}_date")
        return value

    return Column(title=title, value=date, text=minute, extra=extra)
