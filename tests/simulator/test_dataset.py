"""The content of a simulated server comes from its seed, and edits change what they should."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from asynccvat.simulator.world.tasks import build_dataset

LATER = datetime(2027, 1, 1, tzinfo=UTC)


def test_the_same_arguments_give_the_same_content() -> None:
    assert build_dataset(20, 3, 2, seed=4) == build_dataset(20, 3, 2, seed=4)
    one, other = (build_dataset(2, 3, seed=seed).tasks[1] for seed in (1, 2))
    assert one.annotations() != other.annotations()
    assert one.frames()[0].data() != other.frames()[0].data()


def test_tasks_are_shared_among_projects_in_the_order_of_their_ids() -> None:
    dataset = build_dataset(10, projects=3)
    of_projects = [task.project_id for task in dataset.tasks.values()]
    assert of_projects == sorted(of_projects, key=lambda number: number or 0)
    assert {len(dataset.project_tasks(number)) for number in (1, 2, 3)} == {3, 4}
    assert build_dataset(2, projects=0).tasks[1].project_id is None


def test_no_two_frames_of_a_server_are_equal() -> None:
    dataset = build_dataset(5, 4)
    frames = [frame.data() for task in dataset.tasks.values() for frame in task.frames()]
    assert len(set(frames)) == 20


def test_annotations_lie_on_the_frames_and_agree_with_the_counts() -> None:
    task = build_dataset(1, 4, boxes_per_frame=6).tasks[1]
    annotations = task.annotations()
    boxes = [shape for shape in annotations.shapes if shape.type == "rectangle"]
    assert [shape.frame for shape in boxes] == [frame for frame in range(4) for _ in range(6)]
    frame = task.frames()[0]
    for shape in annotations.shapes:
        assert all(0 <= x <= frame.width for x in shape.points[::2])
        assert all(0 <= y <= frame.height for y in shape.points[1::2])
    kinds = {shape.type for shape in annotations.shapes}
    assert kinds == {"rectangle", "polygon", "points"}
    assert len(annotations.tags) == 1
    ids = [shape.id for shape in annotations.shapes]
    assert ids == sorted(set(ids))


def test_without_boxes_there_are_no_annotations() -> None:
    annotations = build_dataset(1, boxes_per_frame=0).tasks[1].annotations()
    assert (annotations.shapes, annotations.tags) == ((), ())


def test_an_edit_changes_annotations_and_date_and_no_frame() -> None:
    dataset = build_dataset(2)
    before = dataset.tasks[1]
    after = dataset.edit(1, LATER)
    assert dataset.tasks[1] is after
    assert after.updated_date == LATER
    assert after.annotations() != before.annotations()
    assert after.frames() == before.frames()
    assert dataset.edit(1, LATER).annotations() not in (before.annotations(), after.annotations())


def test_a_renamed_or_moved_task_keeps_its_annotations() -> None:
    dataset = build_dataset(2)
    before = dataset.tasks[2]
    renamed = dataset.change(2, LATER, name="other")
    moved = dataset.change(2, LATER, subset="val")
    assert (renamed.name, renamed.subset) == ("other", before.subset)
    assert (moved.name, moved.subset, moved.updated_date) == ("other", "val", LATER)
    assert moved.annotations() == before.annotations()


def test_a_removed_task_is_gone() -> None:
    dataset = build_dataset(2)
    dataset.remove(1)
    assert list(dataset.tasks) == [2]
    with pytest.raises(KeyError):
        dataset.remove(1)


def test_odd_tasks_come_last_and_as_many_as_asked() -> None:
    tasks = list(build_dataset(9, 10, unicode_tasks=2, tasks_without_data=3).tasks.values())
    assert [task.size for task in tasks] == [10] * 4 + [None] * 3 + [10] * 2
    for task in tasks[4:7]:
        assert (task.mode, task.overlap, task.segment_size) == ("", None, 0)
        assert (task.frames(), task.jobs()) == ((), ())
    for task in tasks[7:]:
        names = [frame.name for frame in task.frames()]
        assert len(set(names)) == 10
        assert not task.name.isascii()
        assert any("/" in name and not name.isascii() for name in names)


def test_subsets_and_statuses_are_given_in_turn() -> None:
    dataset = build_dataset(4, subsets=("", "val"), statuses=("annotation", "completed"))
    assert [task.subset for task in dataset.tasks.values()] == ["", "val", "", "val"]
    jobs = [task.jobs()[0] for task in dataset.tasks.values()]
    assert [job.state for job in jobs] == ["new", "completed"] * 2
    assert (jobs[0].start_frame, jobs[0].stop_frame) == (0, 4)


@pytest.mark.parametrize(
    ("counts", "words"),
    [({"tasks": -1}, "fewer than 0"), ({"tasks": 2, "unicode_tasks": 3}, "raise `tasks`")],
)
def test_impossible_counts_are_refused(counts: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        build_dataset(**counts)


def test_frames_have_the_length_asked_for() -> None:
    task = build_dataset(1, 2, frame_bytes=50_000).tasks[1]
    assert [len(frame.data()) for frame in task.frames()] == [50_000, 50_000]
