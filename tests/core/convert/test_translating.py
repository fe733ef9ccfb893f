"""Annotations as JSON move to a task with other ids, and back, and nothing of them is lost."""

from __future__ import annotations

import json
import tracemalloc
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from simulated_tasks import SimulatedTask, simulated_tasks

from asynccvat.core.convert.translate import TaskSide, translate
from asynccvat.errors import ForeignAnnotationsError

CAR = {
    "id": 1,
    "name": "car",
    "type": "any",
    "attributes": [{"id": 5, "name": "color"}],
    "sublabels": [],
}
THERE = {
    "id": 10,
    "name": "car",
    "type": "any",
    "attributes": [{"id": 50, "name": "color"}],
    "sublabels": [],
}


def media(*names: str) -> dict[str, Any]:
    frames = [{"name": name, "width": 4, "height": 3} for name in names]
    return {"size": len(names), "frames": frames, "start_frame": 0, "frame_filter": ""}


def video(size: int, start: int = 0, frame_filter: str = "") -> dict[str, Any]:
    frames = [{"name": "v.mp4", "width": 4, "height": 3}]
    return {"size": size, "frames": frames, "start_frame": start, "frame_filter": frame_filter}


def box(frame: int = 0, **more: Any) -> dict[str, Any]:
    return {"label_id": 1, "frame": frame, "attributes": [], **more}


def translated(annotations: Any, source: TaskSide, target: TaskSide) -> Any:
    return json.loads(translate(json.dumps(annotations).encode(), source, target))


def moved(shapes: list[dict[str, Any]], source: TaskSide, target: TaskSide) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = translated({"shapes": shapes}, source, target)["shapes"]
    return found


def without_ids(value: Any) -> Any:
    if isinstance(value, list):
        return [without_ids(one) for one in value]
    if isinstance(value, dict):
        return {key: without_ids(one) for key, one in value.items() if key != "id"}
    return value


def renumbered(labels: list[dict[str, Any]], by: int) -> list[dict[str, Any]]:
    """Return labels with other ids, the last one first."""
    found = json.loads(json.dumps(labels))
    for label in found:
        for one in (label, *label["sublabels"]):
            one["id"] += by
            for spec in one["attributes"]:
                spec["id"] += by
            one["attributes"].reverse()
    return list(reversed(found))


@given(simulated_tasks(), st.integers(1, 999), st.randoms(use_true_random=False))
def test_annotations_come_back_as_they_were(task: SimulatedTask, by: int, random: Any) -> None:
    raw = task.raw
    here = TaskSide(raw["labels"], raw["meta"])
    frames = list(raw["meta"]["frames"])
    if not raw["annotations"]["tracks"]:
        random.shuffle(frames)
    there = TaskSide(renumbered(raw["labels"], by), {**raw["meta"], "frames": frames})
    moved = translated(raw["annotations"], here, there)
    assert moved == without_ids(moved)
    assert translated(moved, there, here) == without_ids(raw["annotations"])


def test_ids_of_labels_and_attributes_are_those_of_the_other_task() -> None:
    value = {"spec_id": 5, "value": "red"}
    shape = box(id=77, attributes=[value], from_the_future=[1])
    assert moved([shape], TaskSide([CAR]), TaskSide([THERE])) == [
        {
            "label_id": 10,
            "frame": 0,
            "attributes": [{"spec_id": 50, "value": "red"}],
            "from_the_future": [1],
        }
    ]


def test_frames_are_found_by_name() -> None:
    source = TaskSide([CAR], media("a.jpg", "b.jpg"))
    target = TaskSide([CAR], media("x.jpg", "b.jpg", "a.jpg"))
    assert [one["frame"] for one in moved([box(0), box(1)], source, target)] == [2, 1]


def test_frames_of_a_video_are_found_by_their_number_in_it() -> None:
    source = TaskSide([CAR], video(4, start=6))
    target = TaskSide([CAR], video(5, frame_filter="step=2"))
    assert [one["frame"] for one in moved([box(0), box(2)], source, target)] == [3, 4]


def test_frames_keep_their_places_where_names_are_not_known() -> None:
    target = TaskSide([CAR], media("a.jpg", "b.jpg"))
    assert moved([box(1)], TaskSide([CAR]), target)[0]["frame"] == 1
    with pytest.raises(ForeignAnnotationsError, match="lacks the frame 2"):
        moved([box(2)], TaskSide([CAR]), target)


def test_a_label_of_any_type_takes_those_of_the_same_name() -> None:
    polygon = {**CAR, "type": "polygon"}
    assert moved([box()], TaskSide([polygon]), TaskSide([THERE]))[0]["label_id"] == 10
    with pytest.raises(ForeignAnnotationsError, match="lacks the label 'car'"):
        moved([box()], TaskSide([CAR]), TaskSide([{**THERE, "type": "polygon"}]))


def test_all_that_the_other_task_lacks_is_named_once() -> None:
    bus = {"id": 2, "name": "bus", "type": "any", "attributes": [], "sublabels": []}
    value = {"spec_id": 5, "value": "red"}
    shapes = [
        box(1, attributes=[value]),
        box(1, attributes=[value]),
        box(label_id=2),
        box(0, label_id=3),
    ]
    source = TaskSide([CAR, bus], media("a.jpg", "b.jpg"))
    target = TaskSide([{**THERE, "attributes": []}], media("a.jpg"))
    with pytest.raises(ForeignAnnotationsError) as caught:
        moved(shapes, source, target)
    assert str(caught.value) == (
        "the annotations do not fit the task: it lacks the frame 'b.jpg', the attribute 'color' of "
        "the label 'car', the label 'bus', the label number 3. Choose a task with the "
        "same labels and images, or add what it lacks."
    )


def test_a_track_may_go_on_past_the_last_frame() -> None:
    track = {"label_id": 1, "frame": 1, "shapes": [{"frame": 1}, {"frame": 3}]}
    source = TaskSide([CAR], media("a", "b"))
    target = TaskSide([THERE], media("x", "a", "b"))
    found = translated({"tracks": [track]}, source, target)["tracks"]
    assert found[0]["shapes"] == [{"frame": 2}, {"frame": 4}]


def test_a_track_keeps_the_distance_of_its_frames() -> None:
    track = {"label_id": 1, "frame": 0, "shapes": [{"frame": 0}, {"frame": 2}]}
    source = TaskSide([CAR], media("a", "b", "c"))
    shifted = TaskSide([THERE], media("x", "a", "b", "c"))
    found = translated({"tracks": [track]}, source, shifted)["tracks"]
    assert found == [{"label_id": 10, "frame": 1, "shapes": [{"frame": 1}, {"frame": 3}]}]
    torn = TaskSide([THERE], media("a", "b", "x", "c"))
    with pytest.raises(ForeignAnnotationsError, match="the order of the frames from 'a' to 'c'"):
        translated({"tracks": [track]}, source, torn)


@pytest.mark.parametrize("annotations", [[], {"shapes": None}, {"tracks": {}}, "a"])
def test_other_json_is_refused(annotations: Any) -> None:
    with pytest.raises(TypeError):
        translated(annotations, TaskSide([CAR]), TaskSide([THERE]))


def test_many_annotations_need_little_room_beside_their_json() -> None:
    content = json.dumps({"shapes": [box(points=[1.5, 2.25], id=1)] * 20_000}).encode()
    tracemalloc.start()
    try:
        translate(content, TaskSide([CAR]), TaskSide([THERE]))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 6 * len(content)
