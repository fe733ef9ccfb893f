"""Group the failures of a run by cause, as the summary of the command line does."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from asynccvat.core.causes import cause_key, common_cause, shared_words
from asynccvat.reports.timeline import TaskLine


@dataclass(frozen=True, slots=True)
class FailureGroup:
    """Tasks that failed for the same cause.

    Attributes:
        error: The name of the error's class, "" if it is unknown.
        message: Why, in words that hold for all of them. If there is only one, its whole message.
        lines: The tasks.
    """

    error: str
    message: str
    lines: tuple[TaskLine, ...]


def failure_of(line: TaskLine) -> tuple[str, str]:
    """Return the name of the class of a failed task's error, and its message."""
    error = line.outcome.get("error")
    if isinstance(error, dict):
        return str(error.get("type") or ""), str(error.get("message") or "")
    return "", str(error or line.outcome.get("reason") or "")


def failure_groups(lines: Iterable[TaskLine]) -> list[FailureGroup]:
    """Return the failed tasks by cause, the most frequent first."""
    groups: dict[str, list[TaskLine]] = {}
    for line in lines:
        if line.failed:
            error, _ = failure_of(line)
            groups.setdefault(cause_key(error, line.target, _common(line)), []).append(line)
    found = []
    for some in groups.values():
        error, message = failure_of(some[0])
        common = shared_words(list(map(_common, some))) if len(some) > 1 else message
        found.append(FailureGroup(error, common, tuple(some)))
    return sorted(found, key=lambda group: len(group.lines), reverse=True)


def _common(line: TaskLine) -> str:
    _, message = failure_of(line)
    own = (line.outcome.get("path"), line.outcome.get("name"))
    return common_cause(message, target=line.target, id_=line.id, own=own)
