"""What a copy does with each task: by both sides and the journal."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import msgspec
import pytest

from asynccvat.core.models import Task, TaskListing
from asynccvat.core.options.copy import CopyOptions
from asynccvat.core.plans.copy import (
    CopyFacts,
    CopyLook,
    copies_to_forget,
    copies_to_look_at,
    edited,
    is_due,
    jobs_as_left,
    plan_copy,
    with_projects,
)
from asynccvat.core.plans.copy_steps import (
    CopyReason,
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
    Begun,
    Copied,
    CopyLedger,
    SourceState,
    TargetState,
    source_state,
)
from asynccvat.errors import ConfigError

LEFT = TargetState("2026-02-01", "digest", "jobs", "street", "", 3)
TASK = Task(id=147, name="street", updated_date="2026-01-01", project_id=5, size=3, data=1)
CHANGED = Task(id=147, name="street", updated_date="2026-03-01", project_id=5, size=3, data=1)
COPIED = Copied(147, 12, source_state(TASK), LEFT)
INTO: Mapping[int | None, ProjectMatch] = {5: ProjectMatch(7)}


def ledger(*copies: Copied, **more: Any) -> CopyLedger:
    return CopyLedger(copies={one.task: one for one in copies}, **more)


def facts(*tasks: Task, **more: Any) -> CopyFacts:
    return CopyFacts(TaskListing(tasks), **{"projects": INTO, **more})


def only_step(given: CopyFacts, **options: Any) -> Any:
    (step,) = plan_copy(given, CopyOptions(**options)).steps
    return step


def test_a_new_task_is_copied() -> None:
    step = only_step(facts(TASK))
    assert step == CopyTask(TASK, CopyReason.NEW)


def test_an_unchanged_task_is_kept() -> None:
    assert only_step(facts(TASK, ledger=ledger(COPIED))) == KeepCopy(
        TASK, CopyReason.UNCHANGED, COPIED
    )


def test_a_changed_task_replaces_its_copy() -> None:
    given = facts(CHANGED, ledger=ledger(COPIED), looks={12: CopyLook(LEFT)})
    assert only_step(given) == CopyTask(CHANGED, CopyReason.CHANGED, COPIED)


def test_a_task_whose_jobs_changed_gets_them_set_at_its_copy() -> None:
    given = facts(TASK, ledger=ledger(COPIED), jobs={147: "other"}, looks={12: CopyLook(LEFT)})
    assert only_step(given, states=True) == UpdateCopy(TASK, CopyReason.STATES, COPIED)
    assert copies_to_look_at(given.listing, given.ledger, (), given.jobs) == (12,)


def test_jobs_of_a_changed_copy_are_set_only_with_overwrite() -> None:
    look = CopyLook(replace_state(jobs="theirs"))
    given = facts(TASK, ledger=ledger(COPIED), jobs={147: "other"}, looks={12: look})
    step = only_step(given, states=True)
    assert (type(step), step.reason, step.copy) == (RefuseCopy, CopyReason.EDITED, 12)
    assert type(only_step(given, states=True, overwrite=True)) is UpdateCopy


def test_jobs_do_not_matter_without_states() -> None:
    copied = replace_copied(source=source_state(TASK, "some"))
    assert only_step(facts(TASK, ledger=ledger(copied))).reason is CopyReason.UNCHANGED


def test_what_was_made_before_jobs_changed_is_finished() -> None:
    given = begun_facts(TASK, 12, jobs={147: "other"})
    assert type(only_step(given, states=True)) is FinishCopy


@pytest.mark.parametrize(
    ("task", "copies", "lost", "due"),
    [
        (TASK, (), (), True),
        (TASK, (COPIED,), (), False),
        (TASK, (COPIED,), (12,), True),
        (CHANGED, (COPIED,), (), True),
    ],
)
def test_only_what_has_no_copy_of_its_content_is_due(
    task: Task, copies: tuple[Copied, ...], lost: tuple[int, ...], due: bool
) -> None:
    assert is_due(task, ledger(*copies), lost) is due


def test_a_copy_that_is_gone_is_made_again() -> None:
    given = facts(TASK, ledger=ledger(COPIED), lost={12})
    assert only_step(given) == CopyTask(TASK, CopyReason.MISSING)


def test_a_copy_that_cannot_be_seen_is_not_made_twice() -> None:
    step = only_step(facts(TASK, ledger=ledger(COPIED), hidden={12}))
    assert (type(step), step.reason, step.copy) == (RefuseCopy, CopyReason.FORBIDDEN, 12)


def test_a_changed_copy_is_replaced_only_with_overwrite() -> None:
    look = CopyLook(replace_state(updated_date="later", annotations="other"))
    given = facts(CHANGED, ledger=ledger(COPIED), looks={12: look})
    step = only_step(given)
    assert (type(step), step.reason) == (RefuseCopy, CopyReason.EDITED)
    assert "its annotations changed" in step.detail
    assert only_step(given, overwrite=True) == CopyTask(CHANGED, CopyReason.CHANGED, COPIED)


def test_a_changed_copy_of_an_unchanged_task_is_kept_and_told() -> None:
    given = facts(TASK, ledger=ledger(COPIED), looks={12: CopyLook(LEFT, issues=1)})
    step = only_step(given)
    assert (type(step), step.reason) == (KeepCopy, CopyReason.EDITED)
    assert step.detail == "its copy was changed: it has an issue"


def test_a_task_without_data_is_skipped() -> None:
    assert type(only_step(facts(Task(id=147)))) is SkipCopy


def test_a_missing_id_is_refused() -> None:
    step = only_step(CopyFacts(TaskListing((), missing=(9,))))
    assert (step.task_id, step.reason) == (9, CopyReason.NOT_FOUND)


def test_a_project_that_does_not_fit_refuses_its_tasks() -> None:
    problem = ProjectMatch(7, problem="it has no label 'car'")
    step = only_step(facts(TASK, projects={5: problem}))
    assert (step.reason, step.detail) == (CopyReason.PROJECT, "it has no label 'car'")


def test_what_an_interrupted_run_made_is_not_finished_in_a_project_that_does_not_fit() -> None:
    problem = ProjectMatch(problem="the target has 2 projects named 'signs'")
    step = only_step(begun_facts(TASK, 12, projects={5: problem}))
    assert (type(step), step.reason, step.copy) == (RefuseCopy, CopyReason.PROJECT, 12)


def test_tasks_whose_project_could_not_be_made_are_refused() -> None:
    other = Task(id=148, name="lake", data=1)
    plan = plan_copy(
        facts(TASK, other, projects={None: ProjectMatch(), 5: ProjectMatch(name="signs")}),
        CopyOptions(),
    )
    made = {None: ProjectMatch(), 5: ProjectMatch(problem="the target made none")}
    refused, copied = with_projects(plan, made).steps
    assert refused == RefuseCopy(147, "street", CopyReason.PROJECT, "the target made none")
    assert copied == CopyTask(other, CopyReason.NEW)


def test_a_task_that_the_target_has_already_is_copied_only_as_a_duplicate() -> None:
    given = facts(TASK, existing={(7, "street", "", 3): 99})
    step = only_step(given)
    assert (step.reason, step.copy, step.existing) == (CopyReason.EXISTING, None, 99)
    (written,) = plan_copy(given, CopyOptions()).to_json()["steps"]
    assert (written["copy"], written["existing"]) == (None, 99)
    assert type(only_step(given, duplicate=True)) is CopyTask


def test_a_project_that_is_made_has_no_tasks_yet() -> None:
    made = ProjectMatch(name="signs")
    given = facts(TASK, projects={5: made}, existing={(None, "street", "", 3): 99})
    assert made.is_made
    assert type(only_step(given)) is CopyTask


# --- interrupted runs ---------------------------------------------------------------------------

BEGUN = Begun(147, "task147.1", source_state(TASK))


def begun_facts(task: Task, made: int | None, **more: Any) -> CopyFacts:
    return facts(task, ledger=ledger(begun={147: BEGUN}), asked={147: made}, **more)


def test_what_was_asked_for_is_finished() -> None:
    assert only_step(begun_facts(TASK, None)) == FinishCopy(TASK, CopyReason.INTERRUPTED, BEGUN)
    step = only_step(begun_facts(TASK, 12))
    assert step == FinishCopy(TASK, CopyReason.INTERRUPTED, BEGUN, 12)


def test_what_was_made_of_an_earlier_state_is_made_anew() -> None:
    assert only_step(begun_facts(CHANGED, 12)) == CopyTask(CHANGED, CopyReason.NEW, discard=12)


def test_what_was_made_and_is_gone_is_made_anew() -> None:
    assert only_step(begun_facts(TASK, 12, lost={12})) == CopyTask(TASK, CopyReason.NEW)


def test_what_was_only_sent_is_sent_again() -> None:
    given = facts(TASK, ledger=ledger(begun={147: BEGUN}))
    assert only_step(given) == CopyTask(TASK, CopyReason.NEW)


def test_a_replaced_copy_that_still_stands_is_removed() -> None:
    newer = Copied(147, 13, source_state(TASK), LEFT)
    given = facts(TASK, ledger=ledger(newer, replaced={12: COPIED}), looks={12: CopyLook(LEFT)})
    plan = plan_copy(given, CopyOptions())
    assert plan.of(RemoveCopy) == (RemoveCopy(COPIED, CopyReason.REPLACED),)
    assert plan.guard is None
    lost = replace(given, lost={12})
    assert not plan_copy(lost, CopyOptions()).of(RemoveCopy)


# --- tasks that are gone ------------------------------------------------------------------------


def gone(**more: Any) -> CopyFacts:
    return facts(ledger=ledger(COPIED), presence={147: Presence.GONE}, **more)


def test_a_deleted_task_is_named_and_its_copy_stays() -> None:
    plan = plan_copy(gone(), CopyOptions())
    assert not plan.steps
    assert plan.absent == (147,)
    (warning,) = plan.warnings
    assert "deleted at the source: 147. Its copy stays. Remove it with --prune --exp" in warning
    assert plan_copy(gone(lost={12}), CopyOptions()).absent == ()


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ((), "146, 147. Their copies stay. Remove them with --prune --expect 2."),
        ((12,), "stay. Remove 1 with --prune --expect 1. 1 copy was changed at the target: only"),
        ((11, 12), "stay. 2 copies were changed at the target: only --overwrite"),
    ],
)
def test_the_number_to_expect_leaves_out_what_was_changed(
    changed: tuple[int, ...], said: str
) -> None:
    other = Copied(146, 11, SourceState("1"), LEFT)
    given = facts(
        ledger=ledger(other, COPIED),
        presence=dict.fromkeys((146, 147), Presence.GONE),
        looks={copy: CopyLook(LEFT, issues=copy in changed) for copy in (11, 12)},
    )
    (warning,) = plan_copy(given, CopyOptions()).warnings
    assert said in warning
    expected = plan_copy(given, CopyOptions(prune=True, expect=2 - len(changed)))
    assert expected.guard is None


def test_a_copy_is_removed_with_the_expected_number_only() -> None:
    options = CopyOptions(prune=True, expect=1)
    plan = plan_copy(gone(looks={12: CopyLook(LEFT)}), options)
    assert plan.of(RemoveCopy) == (RemoveCopy(COPIED, CopyReason.GONE),)
    assert plan.guard is None


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({}, "1 copy would go, and --expect is missing. Give --expect 1"),
        ({"expect": 2}, "1 copy would go, and --expect is 2. Give --expect 1"),
    ],
)
def test_another_number_removes_nothing(options: Any, said: str) -> None:
    guard = plan_copy(gone(), CopyOptions(prune=True, **options)).guard
    assert guard is not None
    assert said in guard


def test_nothing_is_removed_after_an_incomplete_listing() -> None:
    listing = TaskListing((), complete=False)
    given = replace(gone(), listing=listing)
    guard = plan_copy(given, CopyOptions(prune=True, expect=1)).guard
    assert guard is not None
    assert "incomplete" in guard


def test_nothing_to_remove_is_no_refusal() -> None:
    assert plan_copy(facts(), CopyOptions(prune=True)).guard is None
    refused = plan_copy(facts(), CopyOptions(prune=True, expect=2)).guard
    assert refused == (
        "no copy is removed: 0 copies would go, and --expect is 2. Remove --expect if an earlier "
        "run has removed them."
    )


def test_a_changed_copy_of_a_deleted_task_stays() -> None:
    given = gone(looks={12: CopyLook(LEFT, issues=2)})
    options = CopyOptions(prune=True, expect=0)
    (step,) = plan_copy(given, options).steps
    assert isinstance(step, RefuseCopy)
    assert "it has 2 issues" in step.detail
    hidden = gone(hidden={12})
    assert isinstance(plan_copy(hidden, options).steps[0], RefuseCopy)
    assert not plan_copy(gone(lost={12}), options).steps


def test_copies_that_both_sides_lack_are_forgotten() -> None:
    old = Copied(147, 11, SourceState("0"), LEFT)
    known = ledger(COPIED, replaced={11: old})
    given = facts(ledger=known, presence={147: Presence.GONE})
    assert copies_to_forget(given) == ()
    assert copies_to_forget(replace(given, lost={11, 12})) == (11, 12)
    still = replace(given, presence={147: Presence.ELSEWHERE}, lost={11, 12})
    assert copies_to_forget(still) == (11,)


def test_a_task_outside_the_selection_is_not_gone() -> None:
    given = facts(ledger=ledger(COPIED), presence={147: Presence.ELSEWHERE})
    assert plan_copy(given, CopyOptions(prune=True)).steps == ()


def replace_copied(**changes: Any) -> Copied:
    return msgspec.structs.replace(COPIED, **changes)


# --- whether a copy was changed -----------------------------------------------------------------


def replace_state(**changes: Any) -> TargetState:
    values = {name: getattr(LEFT, name) for name in LEFT.__struct_fields__}
    return TargetState(**{**values, **changes})


@pytest.mark.parametrize(
    ("look", "how"),
    [
        (CopyLook(LEFT), ""),
        (CopyLook(LEFT, issues=1), "it has an issue"),
        (CopyLook(replace_state(jobs="x")), "stages, states or assignees"),
        (CopyLook(replace_state(assignee=3)), "assigned to another user"),
        (CopyLook(replace_state(name="x")), "its name, subset or frames changed"),
        (CopyLook(replace_state(updated_date="later")), ""),
        (CopyLook(replace_state(updated_date="later", annotations="")), "annotations changed"),
        (CopyLook(replace_state(updated_date="later", annotations="x")), "annotations changed"),
    ],
)
def test_a_copy_is_compared_with_how_it_was_left(look: CopyLook, how: str) -> None:
    found = edited(LEFT, look)
    assert how in found
    assert bool(found) == bool(how)


def test_jobs_that_we_were_setting_are_no_change() -> None:
    look = CopyLook(replace_state(jobs="half", subset="x"), issues=2)
    assert jobs_as_left(look, LEFT) == CopyLook(replace_state(subset="x"), issues=2)


def test_only_copies_that_may_go_are_looked_at() -> None:
    kept = Task(id=148, updated_date="1")
    other = Copied(148, 13, source_state(kept), LEFT)
    deleted = Copied(149, 14, SourceState("1"), LEFT)
    old = Copied(147, 11, SourceState("0"), LEFT)
    known = ledger(COPIED, other, deleted, replaced={11: old})
    listing = TaskListing((CHANGED, kept))
    assert copies_to_look_at(listing, known, [149], {}) == (12, 14, 11)


# --- the plan as a value ------------------------------------------------------------------------


def test_a_plan_counts_and_writes_its_steps() -> None:
    tasks = (TASK, Task(id=150), Task(id=151, name="new", data=1), Task(id=152, data=1))
    begun = Begun(152, "task152.1", SourceState("1"))
    given = facts(
        *tasks,
        ledger=ledger(COPIED, begun={152: begun}),
        asked={152: None},
        presence={146: Presence.GONE},
        projects={None: ProjectMatch(), 5: ProjectMatch(name="signs")},
        not_carried={151: ("assignees",), 152: ("assignees",)},
    )
    gone_copy = Copied(146, 10, SourceState("1"), LEFT)
    given.ledger.copies[146] = gone_copy
    given = replace(given, listing=TaskListing(tasks, missing=(160,)))
    plan = plan_copy(given, CopyOptions(prune=True, expect=1))
    assert repr(plan) == "CopyPlan(copy=1, finish=1, remove=1, refuse=1, skip=1, keep=1)"
    written = plan.to_json()
    assert written["projects"] == [{"source": 5, "into": None, "make": "signs"}]
    assert [step["step"] for step in written["steps"]] == [
        *("keep", "skip", "copy", "finish", "refuse", "remove")
    ]
    assert written["steps"][0] == {
        "step": "keep",
        "task_id": 147,
        "name": "street",
        "copy": 12,
        "reason": "unchanged",
    }
    assert plan.warnings == (
        "backups do not carry owners: the copies belong to the user of the target's side.",
        "backups do not carry assignees: tasks 151, 152.",
    )


def test_what_one_backup_does_not_carry_is_named_with_its_task() -> None:
    plan = plan_copy(facts(TASK, not_carried={147: ("issues",)}), CopyOptions())
    assert plan.warnings[-1] == "backups do not carry issues: task 147."
    replaced = plan_copy(
        facts(CHANGED, ledger=ledger(COPIED), looks={12: CopyLook(LEFT)}), CopyOptions()
    )
    assert replaced.to_json()["steps"][0]["replaces"] == 12


def test_the_options_check_themselves() -> None:
    with pytest.raises(ConfigError, match="Give --prune"):
        CopyOptions(expect=1)
    with pytest.raises(ConfigError, match="transfers must be"):
        CopyOptions(transfers=0)
