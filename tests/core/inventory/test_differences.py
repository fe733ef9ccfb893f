"""A plan is grouped by what is done and why; notes are no differences."""

from __future__ import annotations

from asynccvat.core.inventory.difference import Difference
from asynccvat.core.models import TaskListing
from asynccvat.core.plans.mirror import Keep, MirrorStep, Plan, Reason, Refuse, Skip


def plan(*steps: MirrorStep, complete: bool = True, guard: str | None = None) -> Plan:
    listing = TaskListing(tasks=(), complete=complete)
    return Plan(steps=steps, listing=listing, guard=guard)


def test_steps_are_grouped_by_reason_and_ordered_by_kind() -> None:
    found = Difference.of(
        plan(
            Keep(1, "", "task1", Reason.UNCHANGED),
            Keep(2, "", "task2", Reason.EDITED),
            Refuse(3, "", "task3", Reason.FOREIGN),
            Refuse(4, "", "task4", Reason.NOT_FOUND),
            Refuse(5, "", "task5", Reason.FOREIGN),
            Skip(6, "", "task6", Reason.NO_DATA),
        )
    )
    assert [(one.step, one.reason, one.ids, one.is_difference) for one in found.groups] == [
        ("refuse", "foreign", (3, 5), True),
        ("refuse", "not found", (4,), True),
        ("skip", "no data", (6,), False),
        ("keep", "edited", (2,), False),
    ]
    assert (found.count, found.unchanged, found.is_current) == (3, 1, False)
    described = found.to_json()
    assert (described["version"], described["differences"]) == (1, 3)
    assert described["groups"][0]["ids"] == (3, 5)


def test_a_mirror_is_current_if_its_whole_list_asks_for_nothing() -> None:
    kept = Keep(2, "", "task2", Reason.EDITED)
    assert Difference.of(plan(kept)).is_current
    assert not Difference.of(plan(kept, complete=False)).is_current
    assert not Difference.of(plan(kept, guard="too many")).is_current
