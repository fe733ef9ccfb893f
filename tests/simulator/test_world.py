"""The content of a simulated server comes from its seed; edits change only what they should."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from typing import Any

import pytest

from asynccvat.simulator.options import SimulatorOptions
from asynccvat.simulator.world.generation import generate_tasks
from asynccvat.simulator.world.world import World

LATER = datetime(2027, 1, 1, tzinfo=UTC)


def test_the_same_arguments_give_the_same_content() -> None:
    assert generate_tasks(20, 3, 2, seed=4) == generate_tasks(20, 3, 2, seed=4)
    one, other = (generate_tasks(2, 3, seed=seed).tasks[1] for seed in (1, 2))
    assert one.annotations() != other.annotations()
    assert one.frames()[0].data() != other.frames()[0].data()


def test_projects_share_the_tasks_in_the_order_of_their_ids() -> None:
    generated = generate_tasks(10, projects=3)
    of_projects = [task.project_id for task in generated.tasks.values()]
    assert of_projects == sorted(of_projects, key=lambda number: number or 0)
    assert set(Counter(of_projects).values()) == {3, 4}
    assert set(of_projects) == {1, 2, 3}
    assert generate_tasks(2, projects=0).tasks[1].project_id is None


def test_no_two_frames_of_a_server_are_equal() -> None:
    generated = generate_tasks(5, 4)
    frames = [frame.data() for task in generated.tasks.values() for frame in task.frames()]
    assert len(set(frames)) == 20


def test_annotations_lie_on_the_frames_and_agree_with_the_counts() -> None:
    task = generate_tasks(1, 4, boxes_per_frame=6).tasks[1]
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
    annotations = generate_tasks(1, boxes_per_frame=0).tasks[1].annotations()
    assert (annotations.shapes, annotations.tags) == ((), ())


def test_an_edit_changes_annotations_and_date_and_no_frame() -> None:
    before = generate_tasks(2).tasks[1]
    after = before.edited(LATER)
    assert after.updated_date == LATER
    assert after.annotations() != before.annotations()
    assert after.frames() == before.frames()
    assert after.edited(LATER).annotations() not in (before.annotations(), after.annotations())


def test_the_world_keeps_an_edited_task_and_dates_it() -> None:
    world = World(SimulatorOptions(tasks=2))
    before, version = world.tasks[1], world.version
    after = world.edit_task(1)
    assert world.tasks[1] is after
    assert after == before.edited(after.updated_date)
    assert after.updated_date > before.updated_date
    assert world.version > version


def test_a_renamed_or_moved_task_keeps_its_annotations() -> None:
    world = World(SimulatorOptions(tasks=2))
    before = world.tasks[2]
    renamed = world.change_task(2, name="other")
    moved = world.change_task(2, subset="val")
    assert (renamed.name, renamed.subset) == ("other", before.subset)
    assert (moved.name, moved.subset) == ("other", "val")
    assert before.updated_date < renamed.updated_date < moved.updated_date
    assert moved.annotations() == before.annotations()


def test_a_deleted_task_is_gone() -> None:
    world = World(SimulatorOptions(tasks=2))
    world.delete_task(1)
    assert list(world.tasks) == [2]
    with pytest.raises(KeyError):
        world.delete_task(1)


def test_special_tasks_come_last_in_the_given_numbers() -> None:
    tasks = list(generate_tasks(9, 10, unicode_tasks=2, tasks_without_data=3).tasks.values())
    assert [task.size for task in tasks] == [10] * 4 + [None] * 3 + [10] * 2
    for task in tasks[4:7]:
        assert (task.mode, task.overlap, task.segment_size) == ("", None, 0)
        assert (task.frames(), task.jobs()) == ((), ())
    for task in tasks[7:]:
        names = [frame.name for frame in task.frames()]
        assert len(set(names)) == 10
        assert not task.name.isascii()
        assert any("/" in name and not name.isascii() for name in names)


def test_videos_come_first_and_have_tracks_alone() -> None:
    tasks = generate_tasks(3, 1, video_tasks=1).tasks
    assert [task.mode for task in tasks.values()] == ["interpolation", "annotation", "annotation"]
    held = tasks[1].annotations()
    assert (len(held.tracks), held.shapes, held.tags) == (2, (), ())
    assert all(len(track.shapes) == 1 for track in held.tracks)  # there is only one frame
    assert not tasks[2].annotations().tracks
    assert [task.video for task in tasks.values()] == ["street.mp4", None, None]
    assert [frame.name for frame in tasks[1].frames()] == ["frame_000000.PNG"]


def test_subsets_and_statuses_are_given_in_turn() -> None:
    generated = generate_tasks(4, subsets=("", "val"), statuses=("annotation", "completed"))
    assert [task.subset for task in generated.tasks.values()] == ["", "val", "", "val"]
    jobs = [task.jobs()[0] for task in generated.tasks.values()]
    assert [job.state for job in jobs] == ["new", "completed"] * 2
    assert (jobs[0].start_frame, jobs[0].stop_frame) == (0, 4)


@pytest.mark.parametrize(
    ("counts", "words"),
    [({"tasks": -1}, "fewer than 0"), ({"tasks": 2, "unicode_tasks": 3}, "raise `tasks`")],
)
def test_impossible_counts_are_refused(counts: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        generate_tasks(**counts)


def test_frames_have_the_given_length() -> None:
    task = generate_tasks(1, 2, frame_bytes=50_000).tasks[1]
    assert [len(frame.data()) for frame in task.frames()] == [50_000, 50_000]
