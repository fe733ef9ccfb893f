"""Which tasks: a selection, checked where it is given, and the queries that CVAT understands."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from asynccvat.errors import ConfigError

_STATUSES = ("annotation", "validation", "completed")
# A request line of 8 KiB is the limit of CVAT's nginx (414 beyond); ids are cut into lists that
# leave room for the rest of the URL.
_MAX_FILTER_LENGTH = 4000


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Which tasks: all that the user may see, narrowed by what is set here.

    Attributes:
        project_ids: Tasks of these projects. None does not narrow; an empty sequence selects
            nothing, so that a computed one never means everything by accident.
        task_ids: These tasks; None and empty as for projects.
        status: `annotation`, `validation` or `completed`.
        subset: The task's subset.
        name: The task's exact name.
        updated_since: ISO date or date and time (UTC unless it says otherwise); tasks updated
            then or later.
        filter: A JSON logic expression as CVAT's own user interface builds them.

    Raises:
        ConfigError: Something cannot be what it is given as: an id, the status, the filter, the
            date.
    """

    project_ids: Sequence[int] | None = None
    task_ids: Sequence[int] | None = None
    status: str | None = None
    subset: str | None = None
    name: str | None = None
    updated_since: str | None = None
    filter: str | None = None

    def __post_init__(self) -> None:
        _check_ids("project_ids", self.project_ids)
        _check_ids("task_ids", self.task_ids)
        if self.status is not None and self.status not in _STATUSES:
            raise ConfigError(f"status must be one of {', '.join(_STATUSES)}, not {self.status!r}")
        for name in ("subset", "name", "updated_since", "filter"):
            value = getattr(self, name)
            if value is not None and not isinstance(value, str):
                raise ConfigError(f"{name} must be a text, not {value!r}")
        if self.filter is not None:
            try:
                expression = json.loads(self.filter)
            except (ValueError, RecursionError) as error:
                raise ConfigError(
                    f"the filter is not JSON ({error}); give a JSON logic expression like "
                    '{"==":[{"var":"owner"},"alice"]}'
                ) from None
            if not isinstance(expression, dict) or not expression:
                raise ConfigError(
                    "the filter must be a JSON logic expression, an object like "
                    '{"==":[{"var":"owner"},"alice"]}'
                )
        if self.updated_since is not None:
            object.__setattr__(self, "updated_since", _moment(self.updated_since))

    @property
    def only_by_id(self) -> bool:
        """Whether an id of `task_ids` can be absent for one reason only: it is not there."""
        others = (
            self.project_ids,
            self.status,
            self.subset,
            self.name,
            self.updated_since,
            self.filter,
        )
        return self.task_ids is not None and all(other is None for other in others)

    def queries(self) -> Iterator[dict[str, str]]:
        """Yield the query parameters of the lists that together hold the selection."""
        plain = {
            key: value
            for key, value in (
                ("status", self.status),
                ("subset", self.subset),
                ("name", self.name),
            )
            if value is not None
        }
        terms: list[Any] = []
        if self.project_ids is not None:
            projects = sorted(set(self.project_ids))
            if not projects:
                return
            if len(projects) == 1:
                plain["project_id"] = str(projects[0])
            else:
                terms.append({"in": [{"var": "project_id"}, projects]})
        if self.updated_since is not None:
            terms.append({">=": [{"var": "updated_date"}, self.updated_since]})
        if self.filter is not None:
            terms.append(json.loads(self.filter))
        if self.task_ids is None:
            yield plain | _filter(terms)
            return
        for ids in id_batches(self.task_ids):
            yield plain | _filter([*terms, {"in": [{"var": "id"}, ids]}])


def _check_ids(name: str, ids: object) -> None:
    """Refuse what is no sequence of ids; a text is one of characters, and meant otherwise."""
    if ids is None:
        return
    if isinstance(ids, str | bytes) or not isinstance(ids, Sequence):
        raise ConfigError(f"{name} must be a list of ids, like [147, 148], not {ids!r}")
    for value in ids:
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise ConfigError(f"{name} must be positive whole numbers, not {value!r}")


def id_batches(ids: Sequence[int]) -> Iterator[list[int]]:
    """Cut ids, each once and in order, into lists that fit into a request's URL."""
    batch: list[int] = []
    length = 0
    for task_id in sorted(set(ids)):
        # A comma becomes %2C, the blank after it is not sent.
        cost = len(str(task_id)) + 3
        if batch and length + cost > _MAX_FILTER_LENGTH:
            yield batch
            batch, length = [], 0
        batch.append(task_id)
        length += cost
    if batch:
        yield batch


def _moment(text: str) -> str:
    """A date or date and time as the server's filter reads it: with a time and an offset."""
    try:
        moment = datetime.fromisoformat(text.strip())
    except ValueError:
        raise ConfigError(
            f"{text!r} is neither a date nor a date and time; give one like 2026-11-23 or "
            "2026-11-23T11:45:00Z"
        ) from None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return moment.isoformat().replace("+00:00", "Z")


def _filter(terms: list[Any]) -> dict[str, str]:
    if not terms:
        return {}
    expression = terms[0] if len(terms) == 1 else {"and": terms}
    return {"filter": json.dumps(expression, separators=(",", ":"))}
