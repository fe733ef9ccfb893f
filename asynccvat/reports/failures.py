"""Group the failures of a run by cause, as the summary of the command line does."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from asynccvat.core.causes import cause_key, common_cause, shared_words
from asynccvat.core.selections.id_lists import write_ids
from asynccvat.core.targets import TargetKind
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


def retry_command(begun: Mapping[str, Any], lines: Iterable[TaskLine]) -> str:
    """Return the command that does the same for some tasks alone; "" if ids do not choose them.

    Args:
        begun: The record of `command_started`, empty if there is none.
        lines: The tasks.
    """
    found = {(line.target, line.id) for line in lines}
    targets, ids = {target for target, _ in found}, sorted(id_ for _, id_ in found)
    beginnings = begun.get("retry")
    if len(targets) != 1 or not isinstance(beginnings, dict) or not all(ids):
        return ""
    target = targets.pop()
    written = write_ids(ids, ranges=target == TargetKind.TASK)
    beginning = beginnings.get(target)
    return f"{beginning} {written}" if beginning and written else ""


def retry_all(begun: Mapping[str, Any], groups: Sequence[FailureGroup]) -> str:
    """Return the command that retries all failures; "" if it is that of the only group, or none.

    It is the whole command once more where ids do not choose just the failures.
    """
    if not groups or (len(groups) == 1 and retry_command(begun, groups[0].lines)):
        return ""
    failed = [line for group in groups for line in group.lines]
    return retry_command(begun, failed) or str(begun.get("again") or "")


def _common(line: TaskLine) -> str:
    _, message = failure_of(line)
    own = (line.outcome.get("path"), line.outcome.get("name"))
    return common_cause(message, target=line.target, id_=line.id, own=own)
