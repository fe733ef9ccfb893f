"""Group what failed in a run by its cause, so that a thousand failures are a few lines."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from asynccvat.core import causes
from asynccvat.core.outcomes import Action, TaskOutcome
from asynccvat.core.targets import TargetKind


@dataclass(frozen=True, slots=True)
class FailureGroup:
    """Tasks that failed for one cause.

    Attributes:
        cause: Why, in words that hold for all of them. If there is only one, its whole message.
        target: What failed: tasks, projects or jobs.
        outcomes: Those that failed, in the order in which they did.
    """

    cause: str
    target: TargetKind
    outcomes: tuple[TaskOutcome, ...]

    @property
    def ids(self) -> tuple[int, ...]:
        """Their ids. Files that tell no task have none."""
        return tuple(dict.fromkeys(one.task_id for one in self.outcomes if one.task_id))


def group_failures(outcomes: Iterable[TaskOutcome]) -> tuple[FailureGroup, ...]:
    """Group the failed ones of some outcomes by cause, the largest group first."""
    groups: dict[str, list[TaskOutcome]] = {}
    for outcome in outcomes:
        if outcome.action is Action.FAILED:
            groups.setdefault(cause_key(outcome), []).append(outcome)
    found = [
        FailureGroup(
            causes.shared_words(list(map(_common, some))) if len(some) > 1 else some[0].failure,
            some[0].target,
            tuple(some),
        )
        for some in groups.values()
    ]
    return tuple(sorted(found, key=lambda group: len(group.outcomes), reverse=True))


def cause_key(outcome: TaskOutcome) -> str:
    """Return what failures of one cause share: kind of error, and its message without numbers."""
    kind = "" if outcome.error is None else type(outcome.error).__name__
    return causes.cause_key(kind, outcome.target, _common(outcome))


def _common(outcome: TaskOutcome) -> str:
    """Return why a task failed, without its id, name and place."""
    return causes.common_cause(
        str(outcome.error or outcome.reason),
        target=outcome.target,
        id_=outcome.task_id,
        own=(outcome.location, outcome.name),
    )
