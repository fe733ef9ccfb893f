"""What a deletion deletes, and what it leaves because it changed."""

from __future__ import annotations

import json

import msgspec
import pytest

from asynccvat import DeleteOptions, Selection
from asynccvat.core.options.delete import check_selection
from asynccvat.core.plans.delete import (
    DeleteFacts,
    DeletePlan,
    DeleteReason,
    TargetFacts,
    may_still_go,
    plan_delete,
    since,
    unknown_deletions,
    wrong_number,
)
from asynccvat.core.records.backups import TargetState
from asynccvat.errors import ConfigError
from asynccvat.models import TargetKind

STATE = TargetState(updated_date="2026-11-29", jobs="j", media="m")


def task(number: int, **more: object) -> TargetFacts:
    given = {"state": STATE, "tasks": (number,), "name": "a"} | more
    return TargetFacts(number, **given)  # type: ignore[arg-type]


def plan(*targets: TargetFacts, lose_issues: bool = False, **more: object) -> DeletePlan:
    given = {"origin": "http://cvat", "organization": None, "target": TargetKind.TASK} | more
    facts = DeleteFacts(targets=targets, **given)  # type: ignore[arg-type]
    return plan_delete(facts, lose_issues=lose_issues)


def ids(plan: DeletePlan) -> list[int]:
    return [step.id for step in plan.deletions]


@pytest.mark.parametrize(
    "selection", [Selection(), Selection(name="*"), Selection(name="**", owner="?*")]
)
def test_without_a_filter_nothing_is_selected(selection: Selection) -> None:
    with pytest.raises(ConfigError, match="deleting needs a filter"):
        check_selection(selection, DeleteOptions())


def test_conditions_that_projects_do_not_have_are_refused() -> None:
    check_selection(Selection(task_ids=[1]), DeleteOptions())
    check_selection(Selection(name="old*"), DeleteOptions(projects=True))
    for selection in (Selection(task_ids=[1]), Selection(name="a", subset="Train")):
        with pytest.raises(ConfigError, match="projects have no task ids"):
            check_selection(selection, DeleteOptions(projects=True))


def test_a_log_has_a_known_ending() -> None:
    with pytest.raises(ConfigError, match="its name has to end"):
        DeleteOptions(log="log.txt")


def test_open_issues_and_missing_backups_keep_a_task() -> None:
    made = plan(task(1), task(2, issues=1), task(3, issues=2), task(4, unsaved="no"), missing=(9,))
    assert ids(made) == [1]
    assert [str(step.reason) for step in made.steps] == [
        "selected", "open issues", "open issues", "no backup", "gone",
    ]  # fmt: skip
    assert made.count == 1
    assert ids(plan(task(2, issues=1), lose_issues=True)) == [2]


def test_a_project_counts_and_so_do_its_tasks() -> None:
    made = plan(task(5, tasks=(1, 2)), task(6, tasks=()), target=TargetKind.PROJECT)
    assert made.count == 4
    assert wrong_number(4, made) is None
    assert "2 projects with 2 tasks (4 in all) would go, and --expect is 3" in str(
        wrong_number(3, made)
    )
    gone = str(wrong_number(1, plan()))
    assert "0 tasks would go" in gone
    assert gone.endswith("Look at a dry run: perhaps an earlier run has deleted them.")


def test_an_incomplete_listing_deletes_nothing() -> None:
    assert plan(task(1)).guard is None
    assert "incomplete" in str(plan(task(1), complete=False).guard)


def test_only_what_the_dry_run_saw_unchanged_is_deleted() -> None:
    seen = plan(task(1), task(2), task(3, issues=1), task(4), task(6))
    seen = DeletePlan.read(json.dumps(seen.to_json()).encode(), "'plan.json'")
    other = msgspec.structs.replace(STATE, jobs="other")
    now = plan(
        task(1), task(2, state=other), task(3), task(5), task(6, tasks=(6, 7)), task(8, issues=1)
    )
    left = since(now, seen)
    assert ids(left) == [1]
    assert {step.id: step.reason for step in left.steps} == {
        1: DeleteReason.SELECTED,
        2: DeleteReason.CHANGED,
        3: DeleteReason.NOT_PLANNED,
        5: DeleteReason.NOT_PLANNED,
        6: DeleteReason.CHANGED,
        8: DeleteReason.ISSUES,
        4: DeleteReason.NOT_SELECTED,
    }


def test_what_stays_against_the_order_is_a_refusal() -> None:
    assert {reason.value for reason in DeleteReason if reason.is_refusal} == {
        "open issues", "no backup", "changed", "not selected",
    }  # fmt: skip


def test_what_is_gone_keeps_the_name_that_the_dry_run_saw() -> None:
    left = since(plan(missing=(1, 9)), plan(task(1)))
    assert [(step.id, step.name, step.reason) for step in left.steps] == [
        (1, "a", DeleteReason.GONE),
        (9, "", DeleteReason.GONE),
    ]


def test_a_target_may_go_while_it_is_what_was_seen() -> None:
    (seen,) = plan(task(1)).steps
    other = msgspec.structs.replace(STATE, jobs="other")
    assert may_still_go(seen, task(1), lose_issues=False) is None
    for now, reason in (
        (task(1, state=other), DeleteReason.CHANGED),
        (task(1, issues=1), DeleteReason.ISSUES),
        (task(1, unsaved="no"), DeleteReason.BACKUP),
    ):
        found = may_still_go(seen, now, lose_issues=False)
        assert found is not None
        assert found[0] is reason
    assert may_still_go(seen, task(1, issues=1), lose_issues=True) is None


def test_the_log_tells_which_calls_were_never_answered() -> None:
    def line(what: str, number: int, target: str = "task") -> dict[str, object]:
        return {"what": what, "target": target, "id": number, "name": "a"}

    lines = (
        line("delete", 1), line("deleted", 1), line("delete", 2), line("delete", 3),
        line("unknown", 3), line("delete", 4, "project"), line("gone", 5), line("delete", 6),
        line("refused", 6), "no line", {"what": "delete"}, line("delete", 7, "elsewhere"),
    )  # fmt: skip
    found = unknown_deletions(lines)
    assert [(str(target), step.id) for target, step in found] == [
        ("task", 2), ("task", 3), ("project", 4),
    ]  # fmt: skip


def test_unknown_media_are_never_unchanged() -> None:
    unknown = msgspec.structs.replace(STATE, media="")
    made = plan(task(1, state=unknown))
    assert ids(since(made, made)) == []


def test_a_plan_of_another_server_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"one of http://other without an organization, and this"):
        since(plan(), plan(origin="http://other"))
    with pytest.raises(ConfigError, match=r"http://cvat in organization 'acme'\. Make the dry run"):
        since(plan(organization="acme"), plan())
    with pytest.raises(
        ConfigError, match=r"one of projects, and this deletes tasks\. Make the dry"
    ):
        since(plan(), plan(target=TargetKind.PROJECT))


def test_what_is_no_plan_is_refused() -> None:
    with pytest.raises(ConfigError, match="is no plan of a deletion"):
        DeletePlan.read(b"[]", "'x'")
    # Its other keys may be others.
    for newer in (
        msgspec.json.encode(msgspec.structs.replace(plan(), version=2)),
        b'{"version":2}',
    ):
        with pytest.raises(ConfigError, match="a newer asynccvat"):
            DeletePlan.read(newer, "'x'")
