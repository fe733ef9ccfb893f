"""Decide what a copy to another server does: the source's tasks, the target's and the journal.

Each step has a reason. Dates are compared for inequality only. A copy is replaced or removed only
if it is as we left it; `edited` says how it is not. `core.plans.copy_steps` has the steps,
`commands.copy.reading` reads both sides, `commands.copy.run` carries the plan out.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

import msgspec

from asynccvat.core.models import Task, TaskListing
from asynccvat.core.options.copy import CopyOptions
from asynccvat.core.plans.copy_steps import (
    CopyPlan,
    CopyReason,
    CopyStep,
    CopyTask,
    FinishCopy,
    KeepCopy,
    ProjectMatch,
    RefuseCopy,
    RemoveCopy,
    SkipCopy,
    UpdateCopy,
)
from asynccvat.core.plans.removals import Presence
from asynccvat.core.records.copies import (
    Copied,
    CopyLedger,
    SourceState,
    TargetState,
    source_state,
)
from asynccvat.core.texts import first_few


@dataclass(frozen=True, slots=True)
class CopyLook:
    """How a copy is now.

    Attributes:
        state: Its dates and digests. Without `annotations` if these were not read.
        issues: How many issues it has.
    """

    state: TargetState
    issues: int = 0


@dataclass(frozen=True, slots=True)
class CopyFacts:
    """What both sides and the journal say, for `plan_copy`.

    Attributes:
        listing: The tasks at the source.
        ledger: What the journal says.
        asked: The begun tasks whose backup was given to the target, with the id of what it made;
            None if that is not known.
        jobs: The digest of each task's jobs at the source, by task; empty without `states`.
        looks: How each copy is now, by its id at the target.
        lost: The copies that the target does not have any more.
        hidden: The copies that the user may not see.
        presence: What the source says of copied tasks that are not in the listing.
        projects: The target's project for each project of the source. The key None is for tasks
            outside projects.
        existing: Tasks of the target's projects that the journal does not know: their id by
            project, name, subset and frames.
        not_carried: What the backups of the listed tasks do not carry, in words, by task.
    """

    listing: TaskListing
    ledger: CopyLedger = field(default_factory=CopyLedger)
    asked: Mapping[int, int | None] = field(default_factory=dict)
    jobs: Mapping[int, str] = field(default_factory=dict)
    looks: Mapping[int, CopyLook] = field(default_factory=dict)
    lost: Collection[int] = ()
    hidden: Collection[int] = ()
    presence: Mapping[int, Presence] = field(default_factory=dict)
    projects: Mapping[int | None, ProjectMatch] = field(default_factory=dict)
    existing: Mapping[tuple[int | None, str, str, int | None], int] = field(default_factory=dict)
    not_carried: Mapping[int, Sequence[str]] = field(default_factory=dict)


def edited(left: TargetState, now: CopyLook) -> str:
    """Return how a copy differs from how we left it, "" if it does not.

    A date alone does not count if the annotations were read and are the same: renaming a label of
    the project, for example, moves the dates of all its tasks.
    """
    state = now.state
    if now.issues:
        return f"it has {now.issues} issues" if now.issues > 1 else "it has an issue"
    if state.jobs != left.jobs:
        return "its jobs have other stages, states or assignees"
    if state.assignee != left.assignee:
        return "it was assigned to another user"
    if (state.name, state.subset, state.size) != (left.name, left.subset, left.size):
        return "its name, subset or frames changed"
    if state.updated_date == left.updated_date:
        return ""
    if state.annotations and state.annotations == left.annotations:
        return ""
    return "its annotations changed"


def jobs_as_left(look: CopyLook, left: TargetState) -> CopyLook:
    """Return how a copy is now, with the jobs that we left it with."""
    return CopyLook(msgspec.structs.replace(look.state, jobs=left.jobs), look.issues)


def plan_copy(facts: CopyFacts, options: CopyOptions) -> CopyPlan:
    """Compare both sides and the journal.

    Args:
        facts: What they say.
        options: The guards.
    """
    ledger = facts.ledger
    steps: list[CopyStep] = [_task_step(task, facts, options) for task in facts.listing.tasks]
    steps += [
        RefuseCopy(
            task_id,
            "",
            CopyReason.NOT_FOUND,
            "the source has no such task, or the user may not see it. Check the id, the user and "
            "the organization",
        )
        for task_id in facts.listing.missing
        if task_id not in facts.presence
    ]
    steps += [
        _removal(copied, CopyReason.REPLACED, facts, options)
        for copied in ledger.replaced.values()
        if copied.copy not in facts.lost
    ]
    gone = [
        task
        for task, presence in facts.presence.items()
        if presence is Presence.GONE and ledger.copies[task].copy not in facts.lost
    ]
    removals = [_removal(ledger.copies[task], CopyReason.GONE, facts, options) for task in gone]
    removed = sum(isinstance(step, RemoveCopy) for step in removals)
    return CopyPlan(
        steps=(*steps, *removals) if options.prune else tuple(steps),
        listing=facts.listing,
        projects=facts.projects,
        guard=_guard(removed, facts.listing, options),
        warnings=(
            *(() if options.prune else _stay(gone, removed)),
            *_warnings(steps, facts),
        ),
        absent=() if options.prune else tuple(gone),
    )


def with_projects(plan: CopyPlan, made: Mapping[int | None, ProjectMatch]) -> CopyPlan:
    """Refuse the steps of a plan whose project could not be made.

    Args:
        plan: The plan.
        made: The target's projects, after those that were missing were made.
    """
    steps = tuple(
        [
            _into_project(step, made) if isinstance(step, CopyTask | FinishCopy) else step
            for step in plan.steps
        ]
    )
    return replace(plan, steps=steps, projects=made)


def copies_to_look_at(
    listing: TaskListing, ledger: CopyLedger, gone: Collection[int], jobs: Mapping[int, str]
) -> tuple[int, ...]:
    """Return the copies whose present state decides something: to be replaced, or removed.

    Args:
        listing: The tasks at the source.
        ledger: What the journal says.
        gone: The copied tasks that the source does not have any more.
        jobs: The digest of each task's jobs at the source.
    """
    changed = [
        copied.copy
        for task in listing.tasks
        if (copied := ledger.copies.get(task.id)) is not None and _changed(copied, task, jobs)
    ]
    removed = [ledger.copies[task].copy for task in gone if task in ledger.copies]
    return (*changed, *removed, *ledger.replaced)


def copies_to_forget(facts: CopyFacts) -> tuple[int, ...]:
    """Return the copies that the target does not have any more, and that nothing is to replace."""
    gone = [
        facts.ledger.copies[task].copy
        for task, presence in facts.presence.items()
        if presence is Presence.GONE
    ]
    return tuple([copy for copy in (*facts.ledger.replaced, *gone) if copy in facts.lost])


def is_due(task: Task, ledger: CopyLedger, lost: Collection[int]) -> bool:
    """Return whether a task has no copy of what it holds now, so that a backup of it is needed."""
    copied = ledger.copies.get(task.id)
    return (
        copied is None
        or copied.copy in lost
        or not copied.source.has_content_of(source_state(task))
    )


def _changed(copied: Copied, task: Task, jobs: Mapping[int, str]) -> bool:
    """Whether a task changed since it was copied, or with `states` its jobs did."""
    state = source_state(task, jobs.get(task.id, ""))
    return not copied.source.has_content_of(state) or _jobs_changed(copied, state)


def _jobs_changed(copied: Copied, state: SourceState) -> bool:
    return bool(state.jobs) and copied.source.jobs != state.jobs


def _task_step(task: Task, facts: CopyFacts, options: CopyOptions) -> CopyStep:
    copied = facts.ledger.copies.get(task.id)
    state = source_state(task, facts.jobs.get(task.id, ""))
    begun, made = facts.ledger.begun.get(task.id), facts.asked.get(task.id)
    if made is not None and made in facts.lost:
        made = None
    elif (
        begun is not None
        and task.id in facts.asked
        and (made is None or begun.source.has_content_of(state))
    ):
        return _into_project(
            FinishCopy(task, CopyReason.INTERRUPTED, begun, made, copied), facts.projects
        )
    if task.without_data:
        return SkipCopy(task, CopyReason.NO_DATA, "it has no images yet, so CVAT backs nothing up")
    if copied is None:
        return _first_copy(task, made, facts, options)
    if copied.copy in facts.lost:
        return _into_project(CopyTask(task, CopyReason.MISSING, discard=made), facts.projects)
    return _next_copy(task, copied, made, facts, options)


def _next_copy(
    task: Task,
    copied: Copied,
    made: int | None,
    facts: CopyFacts,
    options: CopyOptions,
) -> CopyStep:
    """Return the step of a task that has a copy at the target."""
    if copied.copy in facts.hidden:
        return RefuseCopy(
            task.id,
            task.name,
            CopyReason.FORBIDDEN,
            "this user may not see its copy. Use the user who made it",
            copied.copy,
        )
    look = facts.looks.get(copied.copy)
    how = "" if look is None else edited(copied.target, look)
    state = source_state(task, facts.jobs.get(task.id, ""))
    if copied.source.has_content_of(state):
        if _jobs_changed(copied, state):
            return _update(task, copied, how, options)
        if how:
            return KeepCopy(task, CopyReason.EDITED, copied, f"its copy was changed: {how}")
        return KeepCopy(task, CopyReason.UNCHANGED, copied)
    if how and not options.overwrite:
        return RefuseCopy(
            task.id,
            task.name,
            CopyReason.EDITED,
            f"it changed, and so did its copy at the target: {how}. Look at both; --overwrite "
            "replaces the copy",
            copied.copy,
        )
    return _into_project(CopyTask(task, CopyReason.CHANGED, copied, made), facts.projects)


def _update(task: Task, copied: Copied, how: str, options: CopyOptions) -> CopyStep:
    """Return the step of a task of which only the stages or states of jobs are to be set."""
    if not how or options.overwrite:
        return UpdateCopy(task, CopyReason.STATES, copied)
    return RefuseCopy(
        task.id,
        task.name,
        CopyReason.EDITED,
        "the stages and states of its jobs are not set, since its copy was changed at the target: "
        f"{how}. Look at both; --overwrite sets them",
        copied.copy,
    )


def _first_copy(task: Task, made: int | None, facts: CopyFacts, options: CopyOptions) -> CopyStep:
    """Return the step of a task that has no copy yet."""
    match = facts.projects.get(task.project_id, ProjectMatch())
    twin = facts.existing.get((match.into, task.name, task.subset or "", task.size))
    if twin not in (None, made) and not options.duplicate and not match.is_made:
        return RefuseCopy(
            task.id,
            task.name,
            CopyReason.EXISTING,
            "the target has a task of the same name, subset and frames, which is not in this "
            "copy's journal. Give the --state of the copy that made it, or --duplicate to have two",
            existing=twin,
        )
    return _into_project(CopyTask(task, CopyReason.NEW, discard=made), facts.projects)


def _into_project(
    step: CopyTask | FinishCopy, projects: Mapping[int | None, ProjectMatch]
) -> CopyStep:
    """Refuse a step whose project cannot take it."""
    match = projects.get(step.task.project_id)
    if match is None or not match.problem:
        return step
    made = step.copy if isinstance(step, FinishCopy) else None
    return RefuseCopy(step.task.id, step.task.name, CopyReason.PROJECT, match.problem, made)


def _removal(
    copied: Copied, reason: CopyReason, facts: CopyFacts, options: CopyOptions
) -> CopyStep:
    look = facts.looks.get(copied.copy)
    how = "" if look is None else edited(copied.target, look)
    if copied.copy in facts.hidden:
        how = "this user may not see it"
    if how and not options.overwrite:
        return RefuseCopy(
            copied.task,
            copied.target.name,
            CopyReason.EDITED,
            f"its copy is not removed: {how}. Look at it; --overwrite removes it",
            copied.copy,
            is_removal=True,
        )
    return RemoveCopy(copied, reason)


def _guard(removed: int, listing: TaskListing, options: CopyOptions) -> str | None:
    """Return why no copy of a deleted task may be removed, None if they may."""
    if not options.prune or (not removed and not options.expect):
        return None
    if not listing.complete:
        return "no copy is removed: the listing of the source is incomplete. Run again."
    if options.expect == removed:
        return None
    copies = "1 copy would go" if removed == 1 else f"{removed} copies would go"
    given = "--expect is missing" if options.expect is None else f"--expect is {options.expect}"
    if not removed:
        return (
            f"no copy is removed: {copies}, and {given}. Remove --expect if an earlier run has "
            "removed them."
        )
    return f"no copy is removed: {copies}, and {given}. Give --expect {removed} if that is right."


def _stay(gone: Sequence[int], removable: int) -> tuple[str, ...]:
    """Name the tasks that are deleted at the source, if there are any."""
    if not gone:
        return ()
    if len(gone) == 1:
        said = f"1 copied task is deleted at the source: {gone[0]}. Its copy stays."
    else:
        said = (
            f"{len(gone)} copied tasks are deleted at the source: {first_few(gone)}. Their copies "
            "stay."
        )
    if removable:
        those = "it" if len(gone) == 1 else "them" if removable == len(gone) else f"{removable}"
        said += f" Remove {those} with --prune --expect {removable}."
    changed = len(gone) - removable
    if changed:
        copies = "1 copy was" if changed == 1 else f"{changed} copies were"
        said += f" {copies} changed at the target: only --overwrite would remove such a one."
    return (said,)


def _warnings(steps: Sequence[CopyStep], facts: CopyFacts) -> tuple[str, ...]:
    """Say what the backups of the tasks to be copied do not carry."""
    found = []
    copied = [step.task.id for step in steps if isinstance(step, CopyTask | FinishCopy)]
    lacking: dict[str, list[int]] = {}
    for task_id in copied:
        for what in facts.not_carried.get(task_id, ()):
            lacking.setdefault(what, []).append(task_id)
    if copied:
        found.append(
            "backups do not carry owners: the copies belong to the user of the target's side."
        )
    found += [
        f"backups do not carry {what}: task{'s' if len(ids) > 1 else ''} {first_few(ids)}."
        for what, ids in lacking.items()
    ]
    return tuple(found)
