"""Decide what a deletion deletes, and whether a target is still what a dry run saw.

These are pure functions. `commands.delete` reads the facts, and makes the calls.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Self

import msgspec

from asynccvat.core.decoding import UNREADABLE
from asynccvat.core.plans.backup_states import outdated
from asynccvat.core.records.backups import TargetState
from asynccvat.core.targets import TargetKind
from asynccvat.errors import ConfigError

PLAN_VERSION = 1

_UNKNOWN = ("delete", "unknown")

_CHANGED = "it changed since it was listed"


class DeleteReason(StrEnum):
    """Why a target is deleted, or passed over."""

    SELECTED = "selected"
    """It meets the selection."""
    ISSUES = "open issues"
    """A task of it has open issues."""
    BACKUP = "no backup"
    """A task of it has no verified, current and full backup."""
    CHANGED = "changed"
    """It changed since it was listed: by the dry run, or by a run without one."""
    NOT_PLANNED = "not planned"
    """The dry run did not list it."""
    GONE = "gone"
    """It is not there any more."""
    NOT_SELECTED = "not selected"
    """The dry run listed it, and it does not meet the selection any more."""

    @property
    def is_refusal(self) -> bool:
        """Whether a target with it was to be deleted, and is still there."""
        return self not in (DeleteReason.SELECTED, DeleteReason.GONE, DeleteReason.NOT_PLANNED)


@dataclass(frozen=True, slots=True)
class TargetFacts:
    """What was read of a target.

    Attributes:
        id: The target.
        name: Its name.
        state: Its state; a project's holds those of all its tasks.
        tasks: The ids of its tasks; of a task, its own.
        issues: How many open issues its tasks have.
        unsaved: Why it lacks a backup that it needs, "" if it does not.
    """

    id: int
    name: str
    state: TargetState
    tasks: tuple[int, ...]
    issues: int = 0
    unsaved: str = ""


class DeleteStep(msgspec.Struct, frozen=True, kw_only=True):
    """What becomes of a target.

    Attributes:
        step: `delete`; `pass over` if it was to be deleted and stays; `skip` otherwise.
        id: The target.
        name: Its name.
        reason: Why.
        detail: The reason in words, "" where it goes without saying.
        state: What was read of it, None if it is not there.
        tasks: The tasks that go with it.
    """

    step: str
    id: int
    name: str = ""
    reason: DeleteReason
    detail: str = ""
    state: TargetState | None = None
    tasks: tuple[int, ...] = ()


class DeletePlan(msgspec.Struct, frozen=True, kw_only=True):
    """What a deletion would do.

    Attributes:
        version: Version of the format.
        origin: The server.
        organization: The organization, None for what the user sees without one.
        target: Tasks or projects.
        steps: A step for each target.
        guard: Why nothing is deleted, None if it may be.
    """

    version: int = PLAN_VERSION
    origin: str
    organization: str | None = None
    target: TargetKind
    steps: tuple[DeleteStep, ...] = ()
    guard: str | None = None

    @property
    def deletions(self) -> tuple[DeleteStep, ...]:
        """The steps that delete."""
        return tuple(step for step in self.steps if step.step == "delete")

    @property
    def counts(self) -> Mapping[str, int]:
        """How many steps there are of each kind."""
        return Counter(step.step for step in self.steps)

    @property
    def count(self) -> int:
        """How many tasks and projects go: a project counts, and each task in it."""
        if self.target is TargetKind.TASK:
            return len(self.deletions)
        return sum(1 + len(step.tasks) for step in self.deletions)

    @property
    def counted(self) -> str:
        """What goes, in words: `3 tasks`, or `1 project with 4 tasks (5 in all)`."""
        number = len(self.deletions)
        if self.target is TargetKind.TASK:
            return _counted(number, "task")
        tasks = _counted(self.count - number, "task")
        return f"{_counted(number, 'project')} with {tasks} ({self.count} in all)"

    @classmethod
    def read(cls, content: bytes, where: str) -> Self:
        """Read the plan that a dry run wrote.

        Args:
            content: The file's content.
            where: Its name, for messages.

        Raises:
            ConfigError: It is none, or a newer version wrote it.
        """
        try:
            if msgspec.json.decode(content, type=_Version).version > PLAN_VERSION:
                raise ConfigError(f"a newer asynccvat wrote {where}. Upgrade asynccvat.")
            return msgspec.json.decode(content, type=cls)
        except UNREADABLE as error:
            raise ConfigError(
                f"{where} is no plan of a deletion: {error}. Write one with "
                "`asynccvat delete --plan`."
            ) from error

    def to_json(self) -> dict[str, Any]:
        """Return the plan as JSON types, as `read` reads it."""
        described: dict[str, Any] = msgspec.to_builtins(self)
        for step in described["steps"]:
            step[f"{self.target}_id"] = step["id"]
        return described | {"count": self.count}


@dataclass(frozen=True, slots=True, kw_only=True)
class DeleteFacts:
    """What was read at the server.

    Attributes:
        origin: The server.
        organization: The organization.
        target: Tasks or projects.
        targets: Those of the selection.
        missing: Ids of the selection, or of the dry run, that are not there.
        complete: Whether the lists agreed with the server's counts.
    """

    origin: str
    organization: str | None
    target: TargetKind
    targets: Sequence[TargetFacts]
    missing: Sequence[int] = field(default=())
    complete: bool = True


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def plan_delete(facts: DeleteFacts, *, lose_issues: bool) -> DeletePlan:
    """Decide what is deleted."""
    steps = [_step(one, lose_issues=lose_issues) for one in facts.targets]
    steps += [
        DeleteStep(step="skip", id=one, reason=DeleteReason.GONE, detail="it is not there")
        for one in facts.missing
    ]
    guard = None
    if not facts.complete:
        guard = "nothing is deleted: the listing is incomplete. Run again."
    return DeletePlan(
        origin=facts.origin,
        organization=facts.organization,
        target=facts.target,
        steps=tuple(steps),
        guard=guard,
    )


def obstacle(facts: TargetFacts, *, lose_issues: bool) -> tuple[DeleteReason, str] | None:
    """Return why a target must not be deleted, None if it may be."""
    if facts.issues and not lose_issues:
        issues = "an open issue" if facts.issues == 1 else f"{facts.issues} open issues"
        return DeleteReason.ISSUES, f"it has {issues}; --lose-issues deletes it nevertheless"
    if facts.unsaved:
        return DeleteReason.BACKUP, facts.unsaved
    return None


def _step(facts: TargetFacts, *, lose_issues: bool) -> DeleteStep:
    found = obstacle(facts, lose_issues=lose_issues)
    reason, detail = found or (DeleteReason.SELECTED, "")
    return DeleteStep(
        step="delete" if found is None else "pass over",
        id=facts.id,
        name=facts.name,
        reason=reason,
        detail=detail,
        state=facts.state,
        tasks=facts.tasks,
    )


def may_still_go(
    seen: DeleteStep, now: TargetFacts, *, lose_issues: bool
) -> tuple[DeleteReason, str] | None:
    """Return why a target must not be deleted although it was to be, None if it may be.

    Args:
        seen: What was seen of it.
        now: What it is just before its call.
        lose_issues: Whether open issues may go with it.
    """
    if not is_unchanged(seen, now.state, now.tasks):
        return DeleteReason.CHANGED, _CHANGED
    return obstacle(now, lose_issues=lose_issues)


def check_same_target(plan: DeletePlan, target: TargetKind) -> None:
    """Check that a plan is about tasks, or projects, as a run is.

    Raises:
        ConfigError: It is not.
    """
    if plan.target is not target:
        raise ConfigError(
            f"the plan is one of {plan.target.plural}, and this deletes {target.plural}. Make the "
            "dry run again."
        )


def since(now: DeletePlan, seen: DeletePlan) -> DeletePlan:
    """Return what is deleted now of what a dry run saw: only what is unchanged.

    Raises:
        ConfigError: The dry run was one of another server, organization or kind of target.
    """
    check_same_target(seen, now.target)
    if (now.origin, now.organization) != (seen.origin, seen.organization):
        raise ConfigError(
            f"the plan is one of {_place(seen)}, and this run is about {_place(now)}. Make the dry "
            "run again."
        )
    planned = {step.id: step for step in seen.deletions}
    steps = [_still(step, planned) for step in now.steps]
    listed = {step.id for step in now.steps}
    steps += [
        DeleteStep(
            step="pass over",
            id=one.id,
            name=one.name,
            reason=DeleteReason.NOT_SELECTED,
            detail="it does not meet the selection any more",
        )
        for one in seen.deletions
        if one.id not in listed
    ]
    return msgspec.structs.replace(now, steps=tuple(steps))


def _place(plan: DeletePlan) -> str:
    if plan.organization is None:
        return f"{plan.origin} without an organization"
    return f"{plan.origin} in organization {plan.organization!r}"


def _still(step: DeleteStep, planned: Mapping[int, DeleteStep]) -> DeleteStep:
    before = planned.get(step.id)
    if step.step != "delete" or step.state is None:
        return step if before is None else msgspec.structs.replace(step, name=before.name)
    if before is None or before.state is None:
        return msgspec.structs.replace(
            step,
            step="skip",
            reason=DeleteReason.NOT_PLANNED,
            detail="the dry run did not list it as one to delete",
        )
    if is_unchanged(before, step.state, step.tasks):
        return step
    return msgspec.structs.replace(
        step, step="pass over", reason=DeleteReason.CHANGED, detail=_CHANGED
    )


def is_unchanged(step: DeleteStep, state: TargetState, tasks: Sequence[int]) -> bool:
    """Whether a target is what a step saw: its date, jobs, media, and the tasks in it."""
    return (
        step.state is not None
        and outdated(step.state, state) is None
        and step.tasks == tuple(tasks)
    )


def unknown_deletions(lines: Iterable[object]) -> list[tuple[TargetKind, DeleteStep]]:
    """Return what a log says was to be deleted, where it does not say what came of it.

    Args:
        lines: The log's lines. Lines that are none of deletions are passed over.
    """
    found: dict[tuple[TargetKind, int], DeleteStep] = {}
    for line in lines:
        try:
            one = msgspec.convert(line, _LogLine)
        except msgspec.ValidationError:
            continue
        key = one.target, one.id
        if one.what in _UNKNOWN:
            found[key] = DeleteStep(
                step="delete",
                id=one.id,
                name=one.name,
                reason=DeleteReason.SELECTED,
                tasks=one.tasks,
            )
        else:
            found.pop(key, None)
    return [(target, step) for (target, _), step in found.items()]


class _Version(msgspec.Struct):
    version: int = PLAN_VERSION


class _LogLine(msgspec.Struct):
    what: str
    target: TargetKind
    id: int
    name: str = ""
    tasks: tuple[int, ...] = ()


def wrong_number(expect: int, plan: DeletePlan) -> str | None:
    """Return why a number refuses a deletion, None if it is that of the plan."""
    if expect == plan.count:
        return None
    why = f"nothing is deleted: {plan.counted} would go, and --expect is {expect}"
    if not plan.count:
        return f"{why}. Look at a dry run: perhaps an earlier run has deleted them."
    return f"{why}. Look at a dry run, and give --expect {plan.count} if that is right."
