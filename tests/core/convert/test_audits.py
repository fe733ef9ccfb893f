"""Which conversions of a run are audited: one at least, and the first of each kind."""

from __future__ import annotations

import json
from typing import Any

import pytest
from conversion_records import FIXTURE
from hypothesis import given
from hypothesis import strategies as st
from task_files import files_of

from asynccvat.core.convert.audits import AuditSample, conversion_rule, kinds_in
from asynccvat.core.convert.task_json import read_task_json

BOXES = frozenset({"images", "rectangle"})
MASKS = BOXES | {"mask"}
RECORDED: dict[str, Any] = json.loads(FIXTURE.read_text(encoding="utf-8"))


def taken(sample: AuditSample, count: int, kinds: frozenset[str] = BOXES) -> list[int]:
    return [task_id for task_id in range(1, count + 1) if sample.takes(task_id, kinds)]


@given(st.integers(1, 500))
def test_at_least_one_and_few_of_many_are_audited(count: int) -> None:
    sample = AuditSample([(task_id, "2026") for task_id in range(1, count + 1)])
    assert 1 <= len(taken(sample, count)) <= count // 40 + 1


def test_a_kind_that_is_new_to_the_run_is_audited_once() -> None:
    sample = AuditSample([(task_id, "2026") for task_id in range(1, 401)])
    drawn = {one for one in range(1, 401) if one in taken(sample, 400)}
    others = [one for one in range(1, 401) if one not in drawn]
    assert sample.takes(others[0], MASKS)
    assert not sample.takes(others[1], MASKS)


def test_a_chosen_task_is_audited_when_it_is_tried_again() -> None:
    sample = AuditSample([(task_id, "2026") for task_id in range(1, 42)])
    first = next(one for one in range(1, 42) if sample.takes(one, MASKS))
    chosen = {one for one in range(1, 42) if sample.takes(one, MASKS | {str(one)})}
    assert first in chosen
    assert all(sample.takes(one, BOXES) for one in chosen)


def test_others_are_audited_where_chosen_ones_cannot_be_converted_any_more() -> None:
    sample = AuditSample([(task_id, "2026") for task_id in range(1, 42)])
    chosen = [one for one in range(1, 42) if sample.takes(one, frozenset({str(one)}))]
    assert len(chosen) == 2
    for one in chosen:
        sample.pass_over(one)
    assert [sample.takes(one, frozenset({str(one)})) for one in (50, 51, 52)] == [True, True, False]


def test_each_change_draws_another_lot() -> None:
    ids = range(1, 200)
    one, other = (AuditSample([(one, date) for one in ids]) for date in ("2026", "2027"))
    assert taken(one, 199) != taken(other, 199)


def test_another_task_is_audited_where_the_drawn_one_cannot_be_converted() -> None:
    sample = AuditSample([(1, "2026")])
    sample.pass_over(1)
    sample.pass_over(2)
    assert sample.takes(2, BOXES)
    assert not sample.takes(3, MASKS)


def test_a_rule_names_both_versions() -> None:
    assert conversion_rule("2.64.0").endswith(" for CVAT 2.64.0")
    assert conversion_rule(None).endswith(" for CVAT of unknown version")


def test_the_kinds_of_all_recorded_tasks_are_told() -> None:
    found = {
        number: kinds_in(read_task_json(files_of(one["raw"]))) for number, one in RECORDED.items()
    }
    assert all({"images", "video"} & kinds for kinds in found.values())
    every = frozenset[str]().union(*found.values())
    assert every >= {"rectangle", "polygon", "mask", "skeleton", "tag", "attributes", "rotation"}
    assert "track of rectangle" in every


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        ({"deleted_frames": [1]}, "deleted frames"),
        ({"start_frame": 2}, "some frames"),
        ({"frame_filter": "step=2"}, "some frames"),
    ],
)
def test_the_frames_of_a_task_are_a_kind(change: dict[str, Any], kind: str) -> None:
    raw = next(iter(RECORDED.values()))["raw"]
    raw = {**raw, "meta": {**raw["meta"], "deleted_frames": [], "frame_filter": ""}}
    plain = kinds_in(read_task_json(files_of(raw)))
    changed = kinds_in(read_task_json(files_of({**raw, "meta": {**raw["meta"], **change}})))
    assert changed - plain == {kind}


def test_shapes_of_a_group_are_a_kind() -> None:
    raw = next(iter(RECORDED.values()))["raw"]
    label = raw["labels"][0]["id"]
    box = {"label_id": label, "type": "rectangle", "frame": 0, "points": [1, 2, 3, 4], "group": 5}
    source = read_task_json(files_of({**raw, "annotations": {"shapes": [box]}}))
    assert kinds_in(source) >= {"rectangle", "group"}
