"""Check mirror plans: the steps and their reasons."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import fields
from typing import Any, ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asynccvat.core.models import Task, TaskListing
from asynccvat.core.options.mirror import MirrorOptions
from asynccvat.core.plans.backup import BACKUP_EXPLANATIONS
from asynccvat.core.plans.mirror import (
    EXPLANATIONS,
    Fetch,
    FolderState,
    Keep,
    Move,
    Plan,
    Reason,
    Refuse,
    Remove,
    Skip,
    longest_first,
    plan_mirror,
)
from asynccvat.core.plans.removals import Presence, absence_notice, gone_candidates
from asynccvat.core.records.receipts import ReceiptHead
from asynccvat.core.specs import ExportSpec
from asynccvat.errors import ConfigError

SPEC = ExportSpec("COCO 1.0", images=True)


def task(task_id: int, updated: str = "2026-01-01T00:00:00.000001Z", size: int = 5) -> Task:
    return Task(id=task_id, name=f"name {task_id}", updated_date=updated, size=size, data=1)


def head(
    task_id: int,
    updated: str = "2026-01-01T00:00:00.000001Z",
    *,
    folder: str | None = None,
    spec: ExportSpec = SPEC,
) -> ReceiptHead:
    return ReceiptHead(
        task_id=task_id,
        folder=folder or f"task{task_id}",
        format=spec.format,
        images=spec.images,
        updated_date=updated,
        origin="http://cvat",
        digest="d",
        files=1,
        bytes=1,
        requested_at="",
        committed_at="",
    )


def plan_of(
    tasks: Collection[Task] = (),
    heads: Collection[ReceiptHead] = (),
    *,
    options: MirrorOptions | None = None,
    states: Mapping[int, FolderState] | None = None,
    unclaimed: Collection[str] = (),
    presence: Mapping[int, Presence] | None = None,
    absent: Sequence[int] = (),
    missing: tuple[int, ...] = (),
    complete: bool = True,
) -> Plan:
    return plan_mirror(
        TaskListing(tuple(tasks), complete=complete, missing=missing),
        {item.task_id: item for item in heads},
        SPEC,
        options or MirrorOptions(),
        states=states or {},
        unclaimed=unclaimed,
        presence=presence,
        absent=absent,
    )


def only(plan: Plan) -> Fetch | Keep | Skip | Move | Remove | Refuse:
    (step,) = plan.steps
    return step


def test_a_task_that_is_not_mirrored_is_fetched_as_new() -> None:
    assert only(plan_of([task(7)])) == Fetch(task(7), "task7", Reason.NEW)


def test_an_unchanged_task_is_kept() -> None:
    assert only(plan_of([task(7)], [head(7)])) == Keep(7, "name 7", "task7", Reason.UNCHANGED)


@pytest.mark.parametrize("updated", ["2027-01-01T00:00:00Z", "1999-01-01T00:00:00Z"])
def test_a_task_whose_date_differs_is_fetched_whether_it_is_later_or_earlier(
    updated: str,
) -> None:
    step = only(plan_of([task(7, updated)], [head(7)]))
    assert step == Fetch(task(7, updated), "task7", Reason.CHANGED, head(7))


@pytest.mark.parametrize(
    "other", [ExportSpec("COCO 1.0", images=False), ExportSpec("Datumaro 1.0", images=True)]
)
def test_a_task_mirrored_with_another_format_or_images_setting_is_fetched(
    other: ExportSpec,
) -> None:
    assert only(plan_of([task(7)], [head(7, spec=other)])).reason is Reason.SPEC


def test_a_folder_with_missing_files_is_fetched_again() -> None:
    step = only(plan_of([task(7)], [head(7)], states={7: FolderState.MISSING}))
    assert isinstance(step, Fetch)
    assert step.reason is Reason.MISSING


def test_a_folder_edited_here_is_kept_with_a_warning() -> None:
    step = only(plan_of([task(7)], [head(7)], states={7: FolderState.EDITED}))
    assert step == Keep(7, "name 7", "task7", Reason.EDITED)


def test_a_folder_edited_here_whose_task_changed_is_replaced() -> None:
    step = only(plan_of([task(7, "x")], [head(7)], states={7: FolderState.EDITED}))
    assert isinstance(step, Fetch)
    assert step.reason is Reason.CHANGED


def test_force_fetches_what_is_unchanged() -> None:
    step = only(plan_of([task(7)], [head(7)], options=MirrorOptions(force=True)))
    assert isinstance(step, Fetch)
    assert step.reason is Reason.FORCED


def test_a_new_prefix_moves_what_is_unchanged() -> None:
    step = only(plan_of([task(7)], [head(7)], options=MirrorOptions(folder_prefix="t-")))
    assert step == Move(7, "name 7", "t-7", Reason.PREFIX, head(7))


def test_a_new_prefix_and_a_change_fetch_into_the_new_folder() -> None:
    step = only(plan_of([task(7, "x")], [head(7)], options=MirrorOptions(folder_prefix="t-")))
    assert isinstance(step, Fetch)
    assert (step.folder, step.previous) == ("t-7", head(7))


def test_a_folder_in_no_receipt_is_refused() -> None:
    step = only(plan_of([task(7)], unclaimed={"task7"}))
    assert step == Refuse(7, "name 7", "task7", Reason.FOREIGN)


def test_a_folder_in_no_receipt_is_replaced_with_adopt() -> None:
    plan = plan_of([task(7)], unclaimed={"task7"}, options=MirrorOptions(adopt=True))
    assert isinstance(only(plan), Fetch)


ADOPTING = MirrorOptions(folder_prefix="t-", adopt=True)


def test_a_folder_in_the_way_of_a_rename_is_replaced_by_a_fetch_with_adopt() -> None:
    step = only(plan_of([task(7)], [head(7)], unclaimed={"t-7"}, options=ADOPTING))
    assert step == Fetch(task(7), "t-7", Reason.PREFIX, head(7))


def test_an_edited_folder_is_not_moved_over_another_one_even_with_adopt() -> None:
    edited = {7: FolderState.EDITED}
    step = only(plan_of([task(7)], [head(7)], states=edited, unclaimed={"t-7"}, options=ADOPTING))
    assert step == Keep(7, "name 7", "task7", Reason.EDITED)


def test_a_task_without_data_is_skipped_as_nothing_can_be_exported() -> None:
    empty = Task(id=7, name="name 7", updated_date="x")
    assert only(plan_of([empty])) == Skip(7, "name 7", "task7", Reason.NO_DATA)


def test_a_folder_is_kept_when_its_task_lost_its_data() -> None:
    empty = Task(id=7, name="name 7", updated_date="x")
    assert only(plan_of([empty], [head(7)])).reason is Reason.NO_DATA


def test_a_selected_id_that_does_not_exist_is_refused() -> None:
    assert only(plan_of(missing=(7,))) == Refuse(7, "", "task7", Reason.NOT_FOUND)


def test_receipts_outside_the_listing_are_left_alone_without_prune() -> None:
    assert plan_of([], [head(7)]).steps == ()


@pytest.mark.parametrize(
    ("presence", "kind", "reason"),
    [
        (Presence.GONE, Remove, Reason.GONE),
        (Presence.ELSEWHERE, Keep, Reason.ELSEWHERE),
        (Presence.FORBIDDEN, Keep, Reason.FORBIDDEN),
        (Presence.UNKNOWN, Keep, Reason.UNKNOWN),
        (Presence.ABSENT, Keep, Reason.ABSENT),
    ],
)
def test_only_what_the_server_says_is_gone_is_removed(
    presence: Presence, kind: type, reason: Reason
) -> None:
    step = only(plan_of([], [head(7)], presence={7: presence}))
    assert isinstance(step, kind)
    assert step.reason is reason


def test_a_missing_id_whose_folder_is_pruned_has_one_step() -> None:
    plan = plan_of([], [head(7)], presence={7: Presence.GONE}, missing=(7,))
    assert isinstance(only(plan), Remove)


def test_candidates_for_removal_are_the_receipts_that_the_listing_does_not_cover() -> None:
    listing = TaskListing((task(1),))
    assert gone_candidates(listing, {2: head(2), 1: head(1)}) == (head(2),)


@pytest.mark.parametrize(
    ("absent", "notice"),
    [
        ((), None),
        ((7,), "1 mirrored task is not on the server any more, or not visible to this user: 7."),
        (range(1, 4), "3 mirrored tasks are not on the server any more, .* this user: 1, 2, 3. "),
        (range(1, 99), "98 mirrored tasks .* user: 1, 2, 3, 4, 5 and 93 more. The folders stay"),
    ],
)
def test_absent_tasks_are_named(absent: Sequence[int], notice: str | None) -> None:
    plan = plan_of([], [head(7)], absent=absent)
    assert plan.to_json()["absent"] == list(absent)
    said = absence_notice(absent)
    assert (said is None) == (notice is None)
    assert re.match((notice or "").replace("...:", r"\.\.\.\."), said or "")


class TestGuards:
    gone: ClassVar = dict.fromkeys(range(1, 12), Presence.GONE)
    heads: ClassVar = [head(number) for number in range(1, 101)]

    def test_more_removals_than_allowed_are_refused_as_a_whole(self) -> None:
        plan = plan_of([], self.heads, presence=self.gone)
        assert plan.guard is not None
        assert "11 of 100" in plan.guard

    @pytest.mark.parametrize("most", ["11%", 11, "50%", "100%"])
    def test_as_many_removals_as_allowed_are_made(self, most: int | str) -> None:
        plan = plan_of([], self.heads, presence=self.gone, options=MirrorOptions(max_delete=most))
        assert plan.guard is None

    def test_an_incomplete_listing_removes_nothing(self) -> None:
        plan = plan_of([], self.heads, presence={1: Presence.GONE}, complete=False)
        assert plan.guard is not None

    def test_tasks_that_are_in_no_list_count_as_removals(self) -> None:
        absent = dict.fromkeys(range(1, 12), Presence.ABSENT)
        plan = plan_of([], self.heads, presence=absent)
        assert plan.guard is not None
        assert "up to 11 of 100" in plan.guard
        assert plan.of(Remove) == ()

    def test_one_removal_is_always_allowed_by_a_percentage(self) -> None:
        assert plan_of([], [head(1)], presence={1: Presence.GONE}).guard is None

    @pytest.mark.parametrize("most", [0, "0", "0%"])
    def test_zero_allows_no_removal(self, most: int | str) -> None:
        options = MirrorOptions(max_delete=most)
        assert plan_of([], [head(1)], presence={1: Presence.GONE}, options=options).guard


@pytest.mark.parametrize("most", ["", "ten", "-1", "101%", "-1%", "%", -3])
def test_an_unreadable_limit_of_removals_is_refused(most: int | str) -> None:
    with pytest.raises(ConfigError, match="max_delete"):
        MirrorOptions(max_delete=most)


@pytest.mark.parametrize(
    "option",
    [
        {"concurrency": 0},
        {"transfers": 0},
        {"bandwidth": 0},
        {"retries": -1},
        {"export_timeout": 0.0},
    ],
)
def test_limits_that_allow_nothing_are_refused(option: dict[str, float]) -> None:
    (name,) = option
    with pytest.raises(ConfigError, match=name):
        MirrorOptions(**option)  # type: ignore[arg-type]  # one option of many types at a time


@pytest.mark.parametrize(
    ("option", "told"),
    [
        (
            {"concurrency": "4"},
            "concurrency must be a whole number from 1 to 128, or None, not '4'",
        ),
        ({"bandwidth": 1.5}, "bandwidth must be a whole number, at least 1, or None, not 1.5"),
        ({"transfers": None}, "transfers must be a whole number, at least 1, not None"),
        (
            {"concurrency": 129},
            "concurrency must be a whole number from 1 to 128, or None, not 129",
        ),
        ({"retries": True}, "retries must be a whole number, at least 0, not True"),
        ({"export_timeout": "4h"}, "export_timeout must be a positive number of seconds, not '4h'"),
        (
            {"export_timeout": float("nan")},
            "export_timeout must be a positive number of seconds, not nan",
        ),
        ({"folder_prefix": 5}, "folder_prefix must be a text"),
        ({"force": 1}, "force must be True or False"),
        ({"max_delete": None}, "max_delete must be a number or a percentage"),
        ({"max_delete": 0.1}, "max_delete must be a number or a percentage"),
        ({"limits": {}}, "limits must be ArchiveLimits"),
    ],
)
def test_options_of_another_type_are_refused_where_they_are_given(
    option: dict[str, Any], told: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        MirrorOptions(**option)
    assert told in str(caught.value)


def test_every_option_takes_its_default() -> None:
    options = MirrorOptions()
    given = {option.name: getattr(options, option.name) for option in fields(options)}
    assert MirrorOptions(**given) == options


def test_the_longest_exports_come_first() -> None:
    fetches = [Fetch(task(n, size=size), f"task{n}", Reason.NEW) for n, size in
               ((1, 5), (2, 50), (3, 5), (4, 500))]  # fmt: skip
    assert [step.task_id for step in longest_first(fetches)] == [4, 2, 1, 3]


def test_a_plan_can_be_written_as_json() -> None:
    plan = plan_of([task(7)], [head(7)])
    assert plan.counts["remove"] == 0
    record = plan.to_json()
    assert record["counts"] == {"keep": 1}
    assert record["steps"] == [
        {"step": "keep", "task_id": 7, "name": "name 7", "folder": "task7", "reason": "unchanged"}
    ]


def test_counts_have_one_order_whatever_comes_first() -> None:
    for mirrored in (7, 8):
        assert list(plan_of([task(7), task(8)], [head(mirrored)]).counts) == ["fetch", "keep"]


def test_every_reason_is_explained() -> None:
    assert set(EXPLANATIONS) == set(Reason) - {Reason.DAMAGED}, "zips alone are damaged"
    assert set(BACKUP_EXPLANATIONS) == set(Reason)


@given(
    st.lists(st.integers(1, 30), unique=True),
    st.lists(st.tuples(st.integers(1, 30), st.sampled_from("ab")), unique_by=lambda row: row[0]),
    st.dictionaries(st.integers(1, 30), st.sampled_from(FolderState)),
    st.booleans(),
)
def test_each_listed_task_has_one_step_and_nothing_is_removed_unasked(
    listed: list[int],
    here: list[tuple[int, str]],
    states: dict[int, FolderState],
    force: bool,
) -> None:
    plan = plan_of(
        [task(number, "a") for number in sorted(listed)],
        [head(number, updated) for number, updated in here],
        states=states,
        options=MirrorOptions(force=force),
    )
    assert sorted(step.task_id for step in plan.steps) == sorted(listed)
    assert not plan.of(Remove)
    intact = {n for n, updated in here if updated == "a" and states.get(n) != "missing"}
    kept = {step.task_id for step in plan.of(Keep)}
    assert kept == (set() if force else intact & set(listed))
