"""Group failures by their cause."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from asynccvat.reports.timeline import TaskLine

_QUOTED = re.compile(r"'[^']*'|\"[^\"]*\"")
_NUMBER = re.compile(r"\d[\d.,:]*")


@dataclass(slots=True)
class FailureGroup:
    """Tasks that failed for the same cause.

    Attributes:
        error: The name of the error's class, "" if it is unknown.
        message: The message of the first of them.
        lines: The tasks.
    """

    error: str
    message: str
    lines: list[TaskLine] = field(default_factory=list)


def failure_of(line: TaskLine) -> tuple[str, str]:
    """Return the name of the class of a failed task's error, and its message."""
    error = line.outcome.get("error")
    if isinstance(error, dict):
        return str(error.get("type") or ""), str(error.get("message") or "")
    return "", str(error or line.outcome.get("reason") or "")


def failure_groups(lines: Iterable[TaskLine]) -> list[FailureGroup]:
    """Return the failed tasks by cause, the most frequent first.

    Messages that differ in numbers and quoted names alone have the same cause.
    """
    groups: dict[tuple[str, str], FailureGroup] = {}
    for line in lines:
        if line.failed:
            error, message = failure_of(line)
            cause = _NUMBER.sub("0", _QUOTED.sub("''", message))
            group = groups.setdefault((error, cause), FailureGroup(error, message))
            group.lines.append(line)
    return sorted(groups.values(), key=lambda group: -len(group.lines))
