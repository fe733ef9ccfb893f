"""Select tasks, projects or jobs, and turn a selection into CVAT's queries.

A selection checks its values when it is made. `client.lists` sends the queries.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime
from typing import Any, Self

from asynccvat.core import quantities
from asynccvat.core.declarations import (
    SELECTION,
    Ids,
    JsonLogic,
    Moment,
    Number,
    Text,
    Texts,
    option,
)
from asynccvat.core.selections.conditions import check_condition, check_ids, check_text, check_word
from asynccvat.core.selections.id_lists import with_required
from asynccvat.core.selections.queries import in_batches, of_projects
from asynccvat.core.selections.wildcards import has_wildcard, longest_literal
from asynccvat.core.targets import TargetKind
from asynccvat.errors import ConfigError

_STATUSES = ("annotation", "validation", "completed")
STAGES = ("annotation", "validation", "acceptance")
STATES = ("new", "in progress", "completed", "rejected")
REQUEST_STATES = ("queued", "started", "finished", "failed")
REQUEST_ACTIONS = ("export", "import", "create")
"""What the server's requests are filtered by. It lists nothing for other words."""
TYPES = ("annotation", "ground_truth", "consensus_replica")
_WITH_WILDCARDS = ("name", "subset", "owner", "assignee")
_WILDCARDS = "In quotes, * stands for any text and ? for one character."


@dataclass(frozen=True, slots=True, kw_only=True)
class _ListFilter:
    """The conditions that all lists have: assignee, time of change, and a filter of the server."""

    assignee: str | None = option(
        None, "--assignee", "Assigned to this user.", Text(metavar="USER"), group=SELECTION
    )
    updated_since: str | datetime | None = option(  # noqa: RUF009 - declares a field, as `field`
        None,
        "--updated-since",
        "Updated then or later: a date like 2026-03-31 (UTC), or an age like 2d or 12h.",
        Moment(),
        group=SELECTION,
    )
    filter: str | None = option(
        None,
        "--filter",
        "JSON logic like that of CVAT's own filters: "
        """'{"==": [{"var": "assignee"}, "ann"]}'.""",
        JsonLogic(),
        group=SELECTION,
    )

    limit: int | None = option(
        None,
        "--limit",
        "At most so many: those with the lowest ids.",
        Number(1, example=10),
        group=SELECTION,
    )

    def __post_init__(self) -> None:
        for field in fields(self):
            check_condition(field.name, getattr(self, field.name))
        if self.filter is not None:
            try:
                quantities.json_logic(self.filter)
            except ValueError as error:
                raise ConfigError(f"filter {self.filter[:200]!r} {error}") from None
        if self.updated_since is not None:
            object.__setattr__(self, "updated_since", _moment(self.updated_since))

    @classmethod
    def of(cls, selection: Self | None) -> Self:
        """Return the selection, or that of everything for None.

        Raises:
            TypeError: It is something else. An empty list would otherwise select everything.
        """
        if selection is None:
            return cls()
        given: object = selection
        if not isinstance(given, cls):
            raise TypeError(
                f"a selection must be a {cls.__name__}, not {type(given).__name__}. Name what is "
                f"wanted, as in {cls.__name__}(project_ids=[5])."
            )
        return selection

    def _plain(self, **parameters: str | None) -> dict[str, str]:
        """Return the parameters that CVAT compares for equality."""
        given = {**parameters, "assignee": self.assignee}
        patterns = self.patterns()
        return {
            name: value
            for name, value in given.items()
            if value is not None and name not in patterns
        }

    def patterns(self) -> dict[str, str]:
        """Return the conditions that hold wildcards, which CVAT does not know."""
        given = {name: getattr(self, name, None) for name in _WITH_WILDCARDS}
        return {name: text for name, text in given.items() if text and has_wildcard(text)}

    def _terms(self) -> list[Any]:
        """Return the conditions that need JSON logic."""
        terms: list[Any] = []
        if self.updated_since is not None:
            terms.append({">=": [{"var": "updated_date"}, self.updated_since]})
        part = longest_literal(self.patterns().get("name", ""))
        if part:
            # It narrows the list; `narrower` does the rest.
            terms.append({"in": [part, {"var": "name"}]})
        if self.filter is not None:
            terms.append(json.loads(self.filter))
        return terms


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection(_ListFilter):
    """Select tasks: all that the user may see, or those that meet all conditions.

    Attributes:
        project_ids: Tasks of these projects. None selects all. An empty sequence selects nothing,
            so that a computed one never selects everything by accident.
        projects: Tasks of these projects, too, by their names or ids. A text of digits is an id.
            Names are exact. `project_ids` holds the ids from the beginning.
        task_ids: These tasks. None and an empty sequence as for projects.
        status: `annotation`, `validation` or `completed`.
        subset: The task's subset. In texts, `*` stands for any text, `?` for one character.
        name: The task's name, exact or with wildcards.
        exclude: Not the tasks with these names, exact or with wildcards.
        owner: The user name of the task's creator.
        assignee: The user name of the assignee.
        updated_since: Tasks updated then or later: a `datetime`, or an ISO date or date and time,
            in UTC unless it has an offset.
        filter: A JSON logic expression, as CVAT's user interface builds them.
        limit: At most so many tasks: those with the lowest ids.

    Raises:
        ConfigError: A value cannot be used: an id, the status, the filter or the date.
    """

    projects: Sequence[str | int] | None = option(
        None,
        "--project",
        "Tasks of this project, by its exact name or its id.",
        Texts(or_ids=True),
        group=SELECTION,
    )
    project_ids: Sequence[int] | None = option(
        None,
        "--project-id",
        "Tasks of this project, or of these (environment: CVAT_PROJECT_ID).",
        Ids(),
        group=SELECTION,
    )
    task_ids: Sequence[int] | None = option(
        None, "--task-id", "This task, or these.", Ids(), group=SELECTION, short="-t"
    )
    status: str | None = option(
        None, "--status", "Tasks with this status.", Text(_STATUSES), group=SELECTION
    )
    subset: str | None = option(None, "--subset", "Tasks of this subset.", Text(), group=SELECTION)
    name: str | None = option(
        None, "--name", f"Tasks with this name. {_WILDCARDS}", Text(), group=SELECTION
    )
    exclude: Sequence[str] | None = option(
        None,
        "--exclude",
        "Not the tasks with this name, exact or with wildcards.",
        Texts(),
        group=SELECTION,
    )
    owner: str | None = option(
        None, "--owner", "Created by this user.", Text(metavar="USER"), group=SELECTION
    )

    def __post_init__(self) -> None:
        # No super(): `slots=True` makes a second class, and super() would refer to the first.
        _ListFilter.__post_init__(self)
        _settle_projects(self)
        _settle_exclude(self)
        check_word("status", self.status, _STATUSES)

    @property
    def says_which(self) -> bool:
        """Whether projects or tasks are named."""
        return bool(self.projects or self.project_ids or self.task_ids)

    def in_projects(self, project_ids: Sequence[int]) -> Selection:
        """Return the selection with the ids of the projects that it names."""
        return replace(
            self, projects=None, project_ids=with_required(self.project_ids, project_ids)
        )

    @property
    def only_by_id(self) -> bool:
        """Whether the only condition is `task_ids`, so that an unlisted id does not exist."""
        others = (getattr(self, field.name) for field in fields(self) if field.name != "task_ids")
        return self.task_ids is not None and all(other is None for other in others)

    def queries(self) -> Iterator[dict[str, str]]:
        """Yield the query parameters of the lists that together hold the selection."""
        plain = self._plain(
            status=self.status, subset=self.subset, name=self.name, owner=self.owner
        )
        yield from of_projects(plain, self._terms(), self.project_ids, "id", self.task_ids)


@dataclass(frozen=True, slots=True, kw_only=True)
class ProjectSelection(_ListFilter):
    """Select projects: all that the user may see, or those that meet all conditions.

    Attributes:
        projects: These projects, too, by their names or ids, as in `Selection`.
        project_ids: These projects. None selects all, an empty sequence nothing.
        status: `annotation`, `validation` or `completed`.
        name: The project's name, exact or with wildcards as in `Selection`.
        exclude: Not the projects with these names, exact or with wildcards.
        owner: The user name of the project's creator.
        assignee: The user name of the assignee.
        updated_since: As in `Selection`.
        filter: As in `Selection`.
        limit: As in `Selection`.

    Raises:
        ConfigError: A value cannot be used.
    """

    projects: Sequence[str | int] | None = option(
        None,
        "--project",
        "This project, by its exact name or its id.",
        Texts(or_ids=True),
        group=SELECTION,
    )
    project_ids: Sequence[int] | None = option(
        None, "--project-id", "This project, or these.", Ids(), group=SELECTION
    )
    status: str | None = option(
        None, "--status", "Projects with this status.", Text(_STATUSES), group=SELECTION
    )
    name: str | None = option(
        None, "--name", f"Projects with this name. {_WILDCARDS}", Text(), group=SELECTION
    )
    exclude: Sequence[str] | None = option(
        None,
        "--exclude",
        "Not the projects with this name, exact or with wildcards.",
        Texts(),
        group=SELECTION,
    )
    owner: str | None = option(
        None, "--owner", "Created by this user.", Text(metavar="USER"), group=SELECTION
    )

    def __post_init__(self) -> None:
        _ListFilter.__post_init__(self)
        _settle_projects(self)
        _settle_exclude(self)
        check_word("status", self.status, _STATUSES)

    def in_projects(self, project_ids: Sequence[int]) -> ProjectSelection:
        """Return the selection with the ids of the projects that it names."""
        return replace(
            self, projects=None, project_ids=with_required(self.project_ids, project_ids)
        )

    def queries(self) -> Iterator[dict[str, str]]:
        """Yield the query parameters of the lists that together hold the selection."""
        plain = self._plain(status=self.status, name=self.name, owner=self.owner)
        yield from in_batches(plain, self._terms(), "id", self.project_ids)


@dataclass(frozen=True, slots=True, kw_only=True)
class JobSelection(_ListFilter):
    """Select jobs: all that the user may see, or those that meet all conditions.

    CVAT cannot filter jobs by the status or the subset of their tasks. Wildcards, and names to
    exclude, are compared with the names of the tasks that the user may see.

    Attributes:
        projects: Jobs of these projects, too, by their names or ids, as in `Selection`.
        project_ids: Jobs of these projects. None selects all, an empty sequence nothing.
        task_ids: Jobs of these tasks. None and an empty sequence as for projects.
        task_name: The task's name, exact or with wildcards as in `Selection`.
        exclude: Not the jobs of tasks with these names, exact or with wildcards.
        stage: `annotation`, `validation` or `acceptance`.
        state: `new`, `in progress`, `completed` or `rejected`.
        type: `annotation`, `ground_truth` or `consensus_replica`.
        assignee: The user name of the assignee.
        updated_since: As in `Selection`, for the job itself.
        filter: As in `Selection`, with the variables that CVAT has for jobs.
        limit: As in `Selection`.

    Raises:
        ConfigError: A value cannot be used.
    """

    projects: Sequence[str | int] | None = option(
        None,
        "--project",
        "Jobs of this project, by its exact name or its id.",
        Texts(or_ids=True),
        group=SELECTION,
    )
    project_ids: Sequence[int] | None = option(
        None,
        "--project-id",
        "Jobs of this project, or of these (environment: CVAT_PROJECT_ID).",
        Ids(),
        group=SELECTION,
    )
    task_ids: Sequence[int] | None = option(
        None, "--task-id", "Jobs of this task, or of these.", Ids(), group=SELECTION, short="-t"
    )
    task_name: str | None = option(
        None, "--name", f"Jobs of tasks with this name. {_WILDCARDS}", Text(), group=SELECTION
    )
    exclude: Sequence[str] | None = option(
        None,
        "--exclude",
        "Not the jobs of tasks with this name, exact or with wildcards.",
        Texts(),
        group=SELECTION,
    )
    stage: str | None = option(
        None, "--stage", "Jobs in this stage.", Text(STAGES), group=SELECTION
    )
    state: str | None = option(
        None, "--state", "Jobs in this state.", Text(STATES), group=SELECTION
    )
    type: str | None = option(None, "--type", "Jobs of this type.", Text(TYPES), group=SELECTION)

    def __post_init__(self) -> None:
        _ListFilter.__post_init__(self)
        _settle_projects(self)
        _settle_exclude(self)
        check_word("stage", self.stage, STAGES)
        check_word("state", self.state, STATES)
        check_word("type", self.type, TYPES)

    @property
    def says_which(self) -> bool:
        """Whether projects or tasks are named."""
        return bool(self.projects or self.project_ids or self.task_ids)

    def in_projects(self, project_ids: Sequence[int]) -> JobSelection:
        """Return the selection with the ids of the projects that it names."""
        return replace(
            self, projects=None, project_ids=with_required(self.project_ids, project_ids)
        )

    @property
    def by_task_names(self) -> Selection | None:
        """The tasks whose jobs are selected, where only their names tell; None if ids do.

        CVAT filters jobs by the exact name of their task, and knows no wildcards.
        """
        if self.exclude is None and not has_wildcard(self.task_name):
            return None
        return Selection(
            project_ids=self.project_ids,
            task_ids=self.task_ids,
            name=self.task_name,
            exclude=self.exclude,
        )

    def of_tasks(self, task_ids: Sequence[int]) -> JobSelection:
        """Return the selection with the tasks that `by_task_names` selects."""
        return replace(self, task_name=None, exclude=None, task_ids=tuple(task_ids))

    def queries(self) -> Iterator[dict[str, str]]:
        """Yield the query parameters of the lists that together hold the selection."""
        plain = self._plain(
            task_name=self.task_name, stage=self.stage, state=self.state, type=self.type
        )
        yield from of_projects(plain, self._terms(), self.project_ids, "task_id", self.task_ids)


@dataclass(frozen=True, slots=True)
class RequestSelection:
    """Select entries of the server's requests. None is no condition.

    Attributes:
        task_ids: Only requests of these tasks, or of these targets of another kind.
        action: `export`, `import` or `create`.
        status: `queued`, `started`, `finished` or `failed`.
        export_format: The readable name of a format.
        target: What the ids are ids of.
    """

    task_ids: Sequence[int] | None = None
    action: str | None = None
    status: str | None = None
    export_format: str | None = None
    target: TargetKind = TargetKind.TASK

    def queries(self) -> Iterator[dict[str, str]]:
        """Yield the query parameters of the lists that together hold the selection."""
        given = {"action": self.action, "status": self.status, "format": self.export_format}
        plain = {name: value for name, value in given.items() if value is not None}
        # The only filter that works here: CVAT answers 500 to `and`, `or` and comparisons.
        yield from in_batches(plain, [], f"{self.target}_id", self.task_ids, compare=False)


def check_prunable(selection: Selection, *, prune: bool) -> None:
    """Check that a run that removes what is gone lists everything.

    Raises:
        ConfigError: It has a limit: what lies beyond it is not gone.
    """
    if prune and selection.limit is not None:
        raise ConfigError(
            "--prune contradicts --limit, which leaves out tasks that are not gone. Remove one of "
            "them."
        )


def _settle_exclude(selection: Selection | ProjectSelection | JobSelection) -> None:
    """Keep the excluded names as a tuple, None for none, so that selections can be compared."""
    object.__setattr__(selection, "exclude", tuple(dict.fromkeys(selection.exclude or ())) or None)


def _settle_projects(selection: Selection | ProjectSelection | JobSelection) -> None:
    """Check the projects of a selection, and move those that are ids to `project_ids`."""
    given: object = selection.projects
    if given is None:
        return
    if isinstance(given, str | bytes) or not isinstance(given, Sequence):
        raise ConfigError(f"projects must be a list of names and ids, not {given!r}")
    ids: list[int] = []
    names: list[str] = []
    for one in given:
        if isinstance(one, str) and not (one.strip().isascii() and one.strip().isdecimal()):
            check_text("projects", one)
            names.append(one)
        else:
            number = int(one) if isinstance(one, str) else one
            check_ids("projects", [number])
            ids.append(number)
    object.__setattr__(selection, "projects", tuple(dict.fromkeys(names)) or None)
    if not names or ids:
        joined = with_required(selection.project_ids, ids)
        object.__setattr__(selection, "project_ids", joined)


def _moment(given: str | datetime) -> str:
    """Return a date or date and time in the form of the server's filter: time and offset."""
    try:
        moment = given if isinstance(given, datetime) else datetime.fromisoformat(given.strip())
    except ValueError:
        raise ConfigError(
            f"{given!r} is neither a date nor a date and time. Give one like 2026-11-23 or "
            "2026-11-23T11:45:00Z."
        ) from None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return moment.isoformat().replace("+00:00", "Z")
