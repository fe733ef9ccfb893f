"""Decide what a backup run does: which targets are backed up, and which backups go.

`commands.backup.preparation` reads the server and the destination, `commands.backup.run` carries
the plan out. `core.plans.backup_states` says when a backup is current, and `backup_notices` what
a run warns of.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import msgspec

from asynccvat.core.models import TaskListing
from asynccvat.core.options.backup import BackupOptions, Retention
from asynccvat.core.plans.backup_states import outdated
from asynccvat.core.plans.mirror import (
    EXPLANATIONS,
    Fetch,
    Keep,
    MirrorStep,
    Plan,
    Reason,
    Refuse,
    Skip,
)
from asynccvat.core.records.backups import (
    BackupCondition,
    BackupReceipt,
    StoredBackup,
    TargetState,
    backup_folder,
)
from asynccvat.core.targets import TargetKind

BACKUP_EXPLANATIONS: Mapping[Reason, str] = {
    **EXPLANATIONS,
    Reason.NEW: "not backed up yet",
    Reason.MISSING: "the zip of the last backup is missing",
    Reason.DAMAGED: "the zip of the last backup has another size than its receipt says",
    Reason.FORCED: "backed up because of --force",
    Reason.NO_DATA: "it has no data, so CVAT cannot back it up",
}


_BROKEN = {
    BackupCondition.MISSING: Reason.MISSING,
    BackupCondition.CHANGED: Reason.DAMAGED,
}


class Expire(msgspec.Struct, frozen=True, gc=False):
    """Remove a backup that `keep` does not keep."""

    task_id: int
    name: str
    folder: str
    reason: Reason
    receipt: BackupReceipt


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class BackupPlan(Plan):
    """What a backup run will do. Its `Fetch` steps make backups.

    Attributes:
        target: What is backed up: tasks or projects.
        lightweight: Whether media that lie in a bucket are left out.
        states: The state of each listed target, by id.
        expiries: The backups that go afterwards, if all steps before succeed.
    """

    target: TargetKind = TargetKind.TASK
    lightweight: bool = False
    states: Mapping[int, TargetState] = field(default_factory=dict)
    expiries: tuple[Expire, ...] = ()

    @property
    def counts(self) -> Mapping[str, int]:
        """How many steps there are of each kind, by name; always in one order."""
        kinds = Counter[type](map(type, self.steps))
        named = {
            "back up": kinds[Fetch],
            "remove": len(self.expiries),
            "refuse": kinds[Refuse],
            "skip": kinds[Skip],
            "keep": kinds[Keep],
        }
        return Counter({name: count for name, count in named.items() if count})

    def to_json(self) -> dict[str, Any]:
        """Return the plan as JSON types, with a schema version."""
        return {
            "version": 1,
            "target": str(self.target),
            "lightweight": self.lightweight,
            "description": self.description,
            "listing_complete": self.listing.complete,
            "guard": self.guard,
            "warnings": list(self.warnings),
            "absent": list(self.absent),
            "counts": dict(self.counts),
            "steps": [_record(step, self.target) for step in (*self.steps, *self.expiries)],
        }


def step_name(kind: type) -> str:
    """Return what a kind of step is called in results: `back up`, `remove`, `keep` and so on."""
    name = kind.__name__.lower()
    return {"fetch": "back up", "expire": "remove"}.get(name, name)


def _record(step: MirrorStep | Expire, target: TargetKind) -> dict[str, Any]:
    record: dict[str, Any] = {
        "step": step_name(type(step)),
        f"{target}_id": step.task_id,
        "name": step.name,
        "folder": step.folder,
        "reason": str(step.reason),
    }
    if isinstance(step, Refuse | Skip):
        record["detail"] = step.detail or BACKUP_EXPLANATIONS[step.reason]
    return record


def plan_backup(
    listing: TaskListing,
    states: Mapping[int, TargetState],
    backups: Sequence[StoredBackup],
    options: BackupOptions,
    *,
    now: datetime,
    among: Collection[int] | None = None,
    absent: Sequence[int] = (),
) -> BackupPlan:
    """Compare the server's tasks or projects with the destination.

    Args:
        listing: The targets on the server. A project stands there as a task with its id and name.
        states: The state of each of them, by id.
        backups: All backups of the destination.
        options: What is backed up, and which backups stay.
        now: The time, for `keep`.
        among: The only targets of which backups may be removed; None for all.
        absent: Targets with backups that the server does not list any more.
    """
    target = options.target
    mine = by_target(backups, target)
    steps: list[MirrorStep] = []
    for task in listing.tasks:
        folder = backup_folder(target, task.id)
        if target is TargetKind.TASK and task.without_data:
            steps.append(Skip(task.id, task.name, folder, Reason.NO_DATA))
            continue
        reason, current = _compared(mine.get(task.id, ()), states[task.id], options)
        if current is None:
            steps.append(Fetch(task, folder, reason))
        else:
            steps.append(Keep(task.id, task.name, current.receipt.file, reason))
    steps += [
        Refuse(task_id, "", backup_folder(target, task_id), Reason.NOT_FOUND)
        for task_id in listing.missing
    ]
    made = {step.task_id for step in steps if isinstance(step, Fetch)}
    return BackupPlan(
        steps=tuple(steps),
        listing=listing,
        absent=tuple(absent),
        target=target,
        lightweight=options.lightweight,
        states=states,
        expiries=expiries(mine, options, now=now, among=among, made=made),
    )


def by_target(
    backups: Iterable[StoredBackup], target: TargetKind
) -> dict[int, tuple[StoredBackup, ...]]:
    """Group the backups of tasks, or of projects, by id; each target's oldest first."""
    found: dict[int, list[StoredBackup]] = defaultdict(list)
    for backup in backups:
        if backup.receipt.target == target:
            found[backup.receipt.id].append(backup)
    return {
        target_id: tuple(sorted(found[target_id], key=lambda one: one.receipt.stamp))
        for target_id in sorted(found)
    }


def newest(backups: Sequence[StoredBackup], *, whole: bool) -> StoredBackup | None:
    """Return the newest backup that is there, None if there is none.

    Args:
        backups: Those of one target, the oldest first.
        whole: Whether a lightweight one does not count.
    """
    for backup in reversed(backups):
        if backup.condition is BackupCondition.PRESENT and (backup.is_whole or not whole):
            return backup
    return None


def _compared(
    backups: Sequence[StoredBackup], state: TargetState, options: BackupOptions
) -> tuple[Reason, StoredBackup | None]:
    """Return the backup that is current, None if another one is needed; and why.

    Only the newest one can be current. If its zip is missing or has another size, an older one may
    be as good, but a restore takes the newest.
    """
    if options.force:
        return Reason.FORCED, None
    fitting = [one for one in backups if options.lightweight or not one.receipt.lightweight]
    if not fitting:
        return (Reason.LIGHTWEIGHT if backups else Reason.NEW), None
    last = fitting[-1]
    if last.condition is not BackupCondition.PRESENT:
        return _BROKEN[last.condition], None
    reason = outdated(last.receipt.state, state)
    return (Reason.UNCHANGED, last) if reason is None else (reason, None)


def expiries(
    backups: Mapping[int, Sequence[StoredBackup]],
    options: BackupOptions,
    *,
    now: datetime,
    among: Collection[int] | None = None,
    made: Collection[int] = (),
) -> tuple[Expire, ...]:
    """Return which backups go, because newer ones are there.

    Args:
        backups: The backups of each target, by id.
        options: Which stay.
        now: The time.
        among: The only targets of which some may go; None for all.
        made: The targets that get another backup before.
    """
    retention = options.retention
    if retention is None:
        return ()
    gone = [
        one.receipt
        for target_id, of_target in backups.items()
        if among is None or target_id in among
        for lightweight in (False, True)
        for one in _expired(
            [one for one in of_target if one.receipt.lightweight == lightweight],
            retention,
            now,
            coming=target_id in made and lightweight == options.lightweight,
        )
    ]
    return tuple(
        Expire(one.id, one.name, one.file, Reason.EXPIRED, one)
        for one in sorted(gone, key=lambda one: (one.id, one.stamp))
    )


def _expired(
    backups: Sequence[StoredBackup], retention: Retention, now: datetime, *, coming: bool
) -> list[StoredBackup]:
    """Return which backups of one target and one kind go.

    Only those that are there count. The receipt of a missing one goes once a newer one is there. A
    changed one stays as it is: it may be all that is left of a version.
    """
    there = [one for one in backups if one.condition is BackupCondition.PRESENT]
    newest_stamp = there[-1].receipt.stamp if there else ""
    missing = [
        one
        for one in backups
        if one.condition is BackupCondition.MISSING and (coming or one.receipt.stamp < newest_stamp)
    ]
    return missing + (_beyond(there, retention, now, coming=coming) if there else [])


def _beyond(
    there: list[StoredBackup], retention: Retention, now: datetime, *, coming: bool
) -> list[StoredBackup]:
    """Return which backups a retention does not keep. The newest stays until another one comes."""
    if retention.count is not None:
        most = max(retention.count - coming, 0 if coming else 1)
        return there[: max(0, len(there) - most)]
    assert retention.seconds is not None, "a retention has one of both"
    limit = retention.seconds
    older = [one for one in there if _age(one.receipt, now) > limit]
    return older if coming else [one for one in older if one is not there[-1]]


def _age(receipt: BackupReceipt, now: datetime) -> float:
    return (now - datetime.fromisoformat(receipt.requested_at)).total_seconds()
