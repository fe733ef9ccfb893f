"""Tell which entries of a list belong to a selection, as far as the entries show it.

CVAT ignores parameters that it does not know, and then lists everything.
`core.selections.selection` makes the queries, `client.lists` checks the answers. What an entry does
not show is left to the server, and so are JSON logic filters and the names of the tasks of jobs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime

from asynccvat.core.models import Job, Owner, Project, Task
from asynccvat.core.requests import ServerRequest
from asynccvat.core.selections.selection import (
    JobSelection,
    ProjectSelection,
    RequestSelection,
    Selection,
)
from asynccvat.core.selections.wildcards import has_wildcard, pattern_of


def task_check(selection: Selection) -> Callable[[Task], bool]:
    """Return what tells whether a task may belong to a selection."""
    projects, tasks = _as_set(selection.project_ids), _as_set(selection.task_ids)

    def check(task: Task) -> bool:
        return (
            _is_in(task.project_id, projects)
            and _is_in(task.id, tasks)
            and _is(task.status, selection.status)
            and _is(task.subset, selection.subset)
            and _is(task.name or None, selection.name)
            and _is_by(task.owner, selection.owner)
            and _is_by(task.assignee, selection.assignee)
            and _is_since(task.updated_date, selection.updated_since)
        )

    return check


def project_check(selection: ProjectSelection) -> Callable[[Project], bool]:
    """Return what tells whether a project may belong to a selection."""
    projects = _as_set(selection.project_ids)

    def check(project: Project) -> bool:
        return (
            _is_in(project.id, projects)
            and _is(project.status, selection.status)
            and _is(project.name or None, selection.name)
            and _is_by(project.owner, selection.owner)
            and _is_by(project.assignee, selection.assignee)
            and _is_since(project.updated_date, selection.updated_since)
        )

    return check


def job_check(selection: JobSelection) -> Callable[[Job], bool]:
    """Return what tells whether a job may belong to a selection."""
    projects, tasks = _as_set(selection.project_ids), _as_set(selection.task_ids)

    def check(job: Job) -> bool:
        return (
            _is_in(job.project_id, projects)
            and _is_in(job.task_id, tasks)
            and _is(job.stage, selection.stage)
            and _is(job.state, selection.state)
            and _is(job.type, selection.type)
            and _is_by(job.assignee, selection.assignee)
            and _is_since(job.updated_date, selection.updated_since)
        )

    return check


def request_check(selection: RequestSelection) -> Callable[[ServerRequest], bool]:
    """Return what tells whether a request may belong to a selection."""
    ids = _as_set(selection.task_ids)

    def check(request: ServerRequest) -> bool:
        operation = request.operation
        return (
            _is_in(operation.id_of(selection.target), ids)
            and _is(operation.type.partition(":")[0] or None, selection.action)
            and selection.status in (None, str(request.state))
            and _is(operation.format, selection.export_format)
        )

    return check


def wildcard_check(
    selection: Selection | ProjectSelection | JobSelection,
) -> Callable[[object], bool] | None:
    """Return what tells whether an entry fits the names and wildcards that CVAT does not know.

    None if there are none.
    """
    patterns = {name: pattern_of(text) for name, text in selection.patterns().items()}
    excluded = [pattern_of(text) for text in getattr(selection, "exclude", None) or ()]
    if not patterns and not excluded:
        return None

    def check(entry: object) -> bool:
        return all(
            pattern.fullmatch(text_of(entry, name)) for name, pattern in patterns.items()
        ) and not any(pattern.fullmatch(text_of(entry, "name")) for pattern in excluded)

    return check


def text_of(entry: object, name: str) -> str:
    """Return a text of a task, project or job: a name, or that of a user."""
    value = getattr(entry, name, None)
    return str(getattr(value, "username", value) or "")


def _as_set(ids: Sequence[int] | None) -> frozenset[int] | None:
    return None if ids is None else frozenset(ids)


def _is_in(value: int | None, wanted: frozenset[int] | None) -> bool:
    return wanted is None or value in wanted


def _is(value: str | None, wanted: str | None) -> bool:
    # The server knows no wildcards, so `wildcard_check` applies them.
    return wanted is None or value is None or value == wanted or has_wildcard(wanted)


def _is_by(user: Owner | None, wanted: str | None) -> bool:
    return wanted is None or (user is not None and _is(user.username or None, wanted))


def _is_since(updated: str, since: str | datetime | None) -> bool:
    if since is None:
        return True
    try:
        return datetime.fromisoformat(updated) >= datetime.fromisoformat(str(since))
    except (ValueError, TypeError):
        return True  # no date, or one without an offset
