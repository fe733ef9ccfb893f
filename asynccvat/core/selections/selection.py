"""Select tasks, projects or jobs, and turn a selection into CVAT's queries.

A selection checks its values when it is made. `client.lists` sends the queries.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from typing import Any, Self

from asynccvat.core import quantities
from asynccvat.core.declarations import SELECTION, Ids, JsonLogic, Moment, Text, option
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
# CVAT's nginx answers 414 to a request line beyond 8 KiB. Batches of ids leave room for the rest of
# the URL.
_MAX_FILTER_LENGTH = 4000
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

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name.endswith("_ids"):
                _check_ids(field.name, value)
            elif field.name == "updated_since" and isinstance(value, datetime):
                continue
            elif value is not None:
                check_text(field.name, value)
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
        task_ids: These tasks. None and an empty sequence as for projects.
        status: `annotation`, `validation` or `completed`.
        subset: The task's subset. In texts, `*` stands for any text, `?` for one character.
        name: The task's name, exact or with wildcards.
        owner: The user name of the task's creator.
        assignee: The user name of the assignee.
        updated_since: Tasks updated then or later: a `datetime`, or an ISO date or date and time,
            in UTC unless it has an offset.
        filter: A JSON logic expression, as CVAT's user interface builds them.

    Raises:
        ConfigError: A value cannot be used: an id, the status, the filter or the date.
    """

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
    owner: str | None = option(
        None, "--owner", "Created by this user.", Text(metavar="USER"), group=SELECTION
    )

    def __post_init__(self) -> None:
        # No super(): `slots=True` makes a second class, and super() would refer to the first.
        _ListFilter.__post_init__(self)
        check_word("status", self.status, _STATUSES)

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
        yield from _of_projects(plain, self._terms(), self.project_ids, "id", self.task_ids)


@dataclass(frozen=True, slots=True, kw_only=True)
class ProjectSelection(_ListFilter):
    """Select projects: all that the user may see, or those that meet all conditions.

    Attributes:
        project_ids: These projects. None selects all, an empty sequence nothing.
        status: `annotation`, `validation` or `completed`.
        name: The project's name, exact or with wildcards as in `Selection`.
        owner: The user name of the project's creator.
        assignee: The user name of the assignee.
        updated_since: As in `Selection`.
        filter: As in `Selection`.

    Raises:
        ConfigError: A value cannot be used.
    """

    project_ids: Sequence[int] | None = option(
        None, "--project-id", "This project, or these.", Ids(), group=SELECTION
    )
    status: str | None = option(
        None, "--status", "Projects with this status.", Text(_STATUSES), group=SELECTION
    )
    name: str | None = option(
        None, "--name", f"Projects with this name. {_WILDCARDS}", Text(), group=SELECTION
    )
    owner: str | None = option(
        None, "--owner", "Created by this user.", Text(metavar="USER"), group=SELECTION
    )

    def __post_init__(self) -> None:
        _ListFilter.__post_init__(self)
        check_word("status", self.status, _STATUSES)

    def queries(self) -> Iterator[dict[str, str]]:
        """Yield the query parameters of the lists that together hold the selection."""
        plain = self._plain(status=self.status, name=self.name, owner=self.owner)
        yield from _in_batches(plain, self._terms(), "id", self.project_ids)


@dataclass(frozen=True, slots=True, kw_only=True)
class JobSelection(_ListFilter):
    """Select jobs: all that the user may see, or those that meet all conditions.

    CVAT cannot filter jobs by the status or the subset of their tasks.

    Attributes:
        project_ids: Jobs of these projects. None selects all, an empty sequence nothing.
        task_ids: Jobs of these tasks. None and an empty sequence as for projects.
        task_name: The exact name of the task.
        stage: `annotation`, `validation` or `acceptance`.
        state: `new`, `in progress`, `completed` or `rejected`.
        type: `annotation`, `ground_truth` or `consensus_replica`.
        assignee: The user name of the assignee.
        updated_since: As in `Selection`, for the job itself.
        filter: As in `Selection`, with the variables that CVAT has for jobs.

    Raises:
        ConfigError: A value cannot be used.
    """

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
        None, "--name", "Jobs of tasks with exactly this name.", Text(), group=SELECTION
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
        check_word("stage", self.stage, STAGES)
        check_word("state", self.state, STATES)
        check_word("type", self.type, TYPES)

    def queries(self) -> Iterator[dict[str, str]]:
        """Yield the query parameters of the lists that together hold the selection."""
        plain = self._plain(
            task_name=self.task_name, stage=self.stage, state=self.state, type=self.type
        )
        yield from _of_projects(plain, self._terms(), self.project_ids, "task_id", self.task_ids)


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
        yield from _in_batches(plain, [], f"{self.target}_id", self.task_ids)


def after(query: Mapping[str, str], last_id: int) -> dict[str, str]:
    """Narrow a list's query to the items after an id. The list must be sorted by ids."""
    terms = [json.loads(query["filter"])] if "filter" in query else []
    return {**query, **_filter([*terms, {">": [{"var": "id"}, last_id]}])}


def _of_projects(
    plain: dict[str, str],
    terms: list[Any],
    project_ids: Sequence[int] | None,
    key: str,
    ids: Sequence[int] | None,
) -> Iterator[dict[str, str]]:
    if project_ids is not None:
        projects = sorted(set(project_ids))
        if not projects:
            return
        if len(projects) == 1:
            plain = {**plain, "project_id": str(projects[0])}
        else:
            terms = [{"in": [{"var": "project_id"}, projects]}, *terms]
    yield from _in_batches(plain, terms, key, ids)


def _in_batches(
    plain: dict[str, str], terms: list[Any], key: str, ids: Sequence[int] | None
) -> Iterator[dict[str, str]]:
    if ids is None:
        yield plain | _filter(terms)
        return
    for batch in id_batches(ids):
        yield plain | _filter([*terms, {"in": [{"var": key}, batch]}])


def check_text(name: str, value: object) -> None:
    """Check that a condition is a text that holds something: an empty one would select everything.

    Raises:
        ConfigError: It is not.
    """
    if not isinstance(value, str):
        raise ConfigError(f"{name} must be a text, not {value!r}")
    if not value.strip():
        raise ConfigError(f"{name} is empty. Give a text, or None for no condition.")


def check_word(name: str, value: str | None, words: Sequence[str]) -> None:
    """Check that a condition is one of the words that the server knows, or None.

    Raises:
        ConfigError: It is another one, for which the server would list nothing.
    """
    if value is not None and value not in words:
        raise ConfigError(f"{name} must be one of {', '.join(words)}, not {value!r}")


def _check_ids(name: str, ids: object) -> None:
    """Check a sequence of ids. A text is refused, although it is a sequence of characters."""
    if ids is None:
        return
    if isinstance(ids, str | bytes) or not isinstance(ids, Sequence):
        raise ConfigError(f"{name} must be a list of ids, like [147, 148], not {ids!r}")
    for value in ids:
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise ConfigError(f"{name} must be positive whole numbers, not {value!r}")


def id_batches(ids: Sequence[int]) -> Iterator[list[int]]:
    """Split ids, sorted and each once, into batches that fit into a request's URL."""
    batch: list[int] = []
    length = 0
    for task_id in sorted(set(ids)):
        # A comma becomes %2C in the URL. No blank follows it.
        cost = len(str(task_id)) + 3
        if batch and length + cost > _MAX_FILTER_LENGTH:
            yield batch
            batch, length = [], 0
        batch.append(task_id)
        length += cost
    if batch:
        yield batch


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


def _filter(terms: list[Any]) -> dict[str, str]:
    if not terms:
        return {}
    expression = terms[0] if len(terms) == 1 else {"and": terms}
    return {"filter": json.dumps(expression, separators=(",", ":"))}
