"""The difference between a destination and its server: a plan, grouped by reason."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import msgspec

from asynccvat.core.options.backup import BackupOptions
from asynccvat.core.plans.backup import BACKUP_EXPLANATIONS, BackupPlan, Expire, step_name
from asynccvat.core.plans.mirror import (
    EXPLANATIONS,
    Fetch,
    Keep,
    Move,
    Plan,
    Reason,
    Refuse,
    Remove,
    Skip,
)
from asynccvat.core.records.backups import StoredBackup
from asynccvat.core.targets import TargetKind

_ORDER: tuple[type, ...] = (Fetch, Move, Remove, Expire, Refuse, Skip, Keep)
_IDLE = (Skip, Keep)


class ReasonGroup(msgspec.Struct, frozen=True, kw_only=True):
    """The steps of one kind that have the same reason.

    Attributes:
        step: The kind of step: `fetch`, `move`, `remove`, `refuse`, `skip` or `keep`. For backups
            `back up` stands for `fetch`.
        reason: The reason.
        explanation: The reason in words.
        ids: The tasks, projects or jobs, in the order of the plan.
        is_difference: Whether a run would change something, or fail. `skip` and `keep` are
            notes.
    """

    step: str
    reason: Reason
    explanation: str
    ids: tuple[int, ...]
    is_difference: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """What a mirror or a backup would do now, and why.

    Attributes:
        plan: The plan.
        groups: Its steps by kind and reason, without those that are simply unchanged.
        unchanged: How many are simply unchanged.
    """

    plan: Plan
    groups: tuple[ReasonGroup, ...]
    unchanged: int

    @classmethod
    def of(cls, plan: Plan) -> Difference:
        """Group the steps of a plan."""
        found: dict[tuple[type, Reason], list[int]] = {}
        unchanged = 0
        of_backups = isinstance(plan, BackupPlan)
        explanations = BACKUP_EXPLANATIONS if of_backups else EXPLANATIONS
        steps = (*plan.steps, *plan.expiries) if isinstance(plan, BackupPlan) else plan.steps
        for step in steps:
            if step.reason is Reason.UNCHANGED:
                unchanged += 1
            else:
                found.setdefault((type(step), step.reason), []).append(step.task_id)
        groups = [
            ReasonGroup(
                step=step_name(kind) if of_backups else kind.__name__.lower(),
                reason=reason,
                explanation=explanations[reason],
                ids=tuple(dict.fromkeys(ids)),
                is_difference=kind not in _IDLE,
            )
            for kind in _ORDER
            for (of_kind, reason), ids in found.items()
            if of_kind is kind
        ]
        return cls(plan=plan, groups=tuple(groups), unchanged=unchanged)

    @property
    def count(self) -> int:
        """How many tasks, projects or jobs would be changed, or would fail."""
        return sum(len(group.ids) for group in self.groups if group.is_difference)

    @property
    def is_current(self) -> bool:
        """Whether a run would do nothing, and the server's list was complete."""
        return not self.count and self.plan.guard is None and self.plan.listing.complete

    def to_json(self) -> dict[str, Any]:
        """Return the difference as JSON types, with a schema version."""
        return {
            "version": 1,
            "current": self.is_current,
            "description": self.plan.description,
            "target": str(self.plan.target),
            "differences": self.count,
            "unchanged": self.unchanged,
            "listing_complete": self.plan.listing.complete,
            "guard": self.plan.guard,
            "absent": list(self.plan.absent),
            "warnings": list(self.plan.warnings),
            "groups": msgspec.to_builtins(self.groups),
        }


def as_before(backups: Collection[StoredBackup]) -> BackupOptions:
    """Return the options with which a run goes on with some backups.

    A destination may hold backups of each kind, and does not remember which it was given last.
    Projects count if there is no backup of a task, lightweight ones if there is no whole one.
    """
    of_tasks = [one for one in backups if one.receipt.target is TargetKind.TASK]
    counting = of_tasks or backups
    return BackupOptions(
        projects=bool(backups) and not of_tasks,
        lightweight=bool(counting) and all(one.receipt.lightweight for one in counting),
    )
