"""Count what the files of one task say."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asynccvat.core.statistics.counting import count_task
from asynccvat.core.statistics.values import (
    ContentCounts,
    LabelCount,
    MirrorStatistics,
    SizeCounts,
    TaskStatistics,
    counts_of,
)
from asynccvat.errors import AnnotationFileError

LABELS = [{"id": 1, "name": "car"}, {"id": 2, "name": "person"}, {"id": 3, "name": "sky"}]


def files(
    *, size: int = 4, deleted: tuple[int, ...] = (), dimension: str = "2d", **annotations: Any
) -> dict[str, bytes]:
    """The files of a task of images of 640 x 480 pixels."""
    frames = [{"name": f"{number}.jpg", "width": 640, "height": 480} for number in range(size)]
    documents = {
        "task.json": {"id": 1, "size": size, "dimension": dimension},
        "labels.json": LABELS,
        "frames.json": {"size": size, "frames": frames, "deleted_frames": deleted},
        "annotations.json": {"version": 0, **annotations},
    }
    return {name: json.dumps(value).encode() for name, value in documents.items()}


def shape(label: int, frame: int, *points: float, kind: str = "rectangle") -> dict[str, Any]:
    return {"label_id": label, "frame": frame, "type": kind, "points": points or (0, 0, 10, 10)}


def keyframe(frame: int, *, outside: bool = False, kind: str = "rectangle") -> dict[str, Any]:
    return {"frame": frame, "type": kind, "points": (0, 0, 50, 50), "outside": outside}


def track(label: int, *keyframes: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"label_id": label, "frame": 0, "shapes": keyframes, **more}


def test_objects_are_counted_by_label_and_kind() -> None:
    found = count_task(
        files(
            tags=[{"label_id": 3, "frame": 0}],
            shapes=[shape(1, 0), shape(1, 1), shape(2, 1, 0, 0, 9, 0, 9, 9, kind="polygon")],
        )
    )
    assert [(one.label, one.kind, one.objects) for one in found.labels] == [
        ("car", "rectangle", 2),
        ("person", "polygon", 1),
        ("sky", "tag", 1),
    ]
    assert (found.images, found.empty, found.objects, found.on_frames) == (4, 2, 4, 4)
    assert found.image_sizes == {(640, 480): 4}


def test_a_track_is_one_object_and_is_seen_on_each_frame_until_it_vanishes() -> None:
    found = count_task(
        files(
            size=10,
            tracks=[
                track(1, keyframe(4, outside=True), keyframe(1), keyframe(8)),
                track(1, keyframe(0), keyframe(2, outside=True)),
            ],
        )
    )
    (row,) = found.labels
    # 1, 2, 3 and 8, 9 of the first; 0, 1 of the second.
    assert (row.objects, row.tracks, row.tracked, row.on_frames) == (2, 2, 7, 7)
    assert found.empty == 4
    assert (found.tracks, row.sizes) == (2, SizeCounts(medium=2))


def test_deleted_frames_and_what_is_on_them_are_not_counted() -> None:
    found = count_task(
        files(
            size=5,
            deleted=(1, 9),
            tags=[{"label_id": 3, "frame": 1}],
            shapes=[shape(1, 1), shape(1, 2), shape(1, 7)],
            tracks=[track(2, keyframe(0), keyframe(3, outside=True))],
        )
    )
    assert (found.images, found.deleted, found.empty) == (4, 1, 2)
    assert found.image_sizes == {(640, 480): 4}
    assert {one.label: one.on_frames for one in found.labels} == {"car": 1, "person": 2}


def test_each_kind_has_the_size_of_its_bounding_box() -> None:
    mask = (0, 100, 10, 10, 19, 19)  # 10 x 10 pixels
    skeleton = {
        "label_id": 1,
        "frame": 0,
        "type": "skeleton",
        "points": [],
        "elements": [shape(1, 0, 0, 0, kind="points"), shape(1, 0, 50, 50, kind="points")],
    }
    found = count_task(
        files(
            shapes=[
                shape(1, 0, *mask, kind="mask"),
                shape(1, 0, 100, 100, 150, 50, kind="ellipse"),  # 100 x 100 pixels
                skeleton,
                shape(1, 0, 0, 0, 96, 96),
                shape(1, 0, 0, 0, 31.9, 32),
            ]
        )
    )
    assert {one.kind: one.sizes for one in found.labels} == {
        "mask": SizeCounts(small=1),
        "ellipse": SizeCounts(large=1),
        "skeleton": SizeCounts(medium=1),
        "rectangle": SizeCounts(small=1, large=1),
    }
    assert found.sizes == SizeCounts(small=2, medium=1, large=2)


def test_a_track_of_a_skeleton_has_the_size_of_its_points() -> None:
    points = [
        track(2, {"frame": 0, "type": "points", "points": (place, place)}) for place in (0, 200)
    ]
    bones = {"frame": 0, "type": "skeleton", "points": ()}
    (row,) = count_task(files(tracks=[track(1, bones, elements=points)])).labels
    assert (row.kind, row.tracks, row.tracked) == ("skeleton", 1, 4)
    assert row.sizes == SizeCounts(large=1)


def test_objects_of_point_clouds_and_empty_tracks_have_no_size() -> None:
    cloud = files(dimension="3d", shapes=[shape(1, 0)], tracks=[track(1)])
    for found in (count_task(cloud), count_task(files(tracks=[track(1)]))):
        assert found.objects == len(found.labels)
        assert found.labels[-1].kind == "unknown"
        assert found.sizes == SizeCounts()


def test_a_video_says_the_size_of_its_frames_once() -> None:
    content = files(size=3)
    content["frames.json"] = json.dumps(
        {"size": 3, "frames": [{"width": 1920, "height": 1080}], "deleted_frames": [2]}
    ).encode()
    assert count_task(content).image_sizes == {(1920, 1080): 2}


def test_without_frames_the_task_says_how_many_there_are() -> None:
    content = files(size=3, shapes=[shape(1, 0)])
    del content["frames.json"]
    found = count_task(content)
    assert (found.images, found.empty, found.deleted, found.image_sizes) == (3, 2, 0, {})


def test_fields_that_are_not_known_and_labels_that_are_gone_stop_nothing() -> None:
    found = count_task(files(shapes=[{**shape(9, 0), "new": {"a": 1}, "group": "x"}], more=[]))
    assert [(one.label, one.objects) for one in found.labels] == [("label 9", 1)]


@pytest.mark.parametrize("name", ["task.json", "labels.json", "annotations.json"])
def test_a_missing_file_is_named(name: str) -> None:
    content = files()
    del content[name]
    with pytest.raises(AnnotationFileError, match=f"{name} is missing. Mirror it again."):
        count_task(content)


@pytest.mark.parametrize("raw", [b"", b'{"shapes": 5}', b'{"shapes": [{"frame": "a"}]}', b"\xff"])
def test_a_file_of_something_else_is_named(raw: bytes) -> None:
    with pytest.raises(AnnotationFileError, match=r"annotations\.json is not as expected"):
        count_task({**files(), "annotations.json": raw})


@given(
    st.integers(1, 12).flatmap(
        lambda size: st.tuples(
            st.just(size),
            st.sets(st.integers(0, size - 1)),
            st.lists(st.tuples(st.integers(1, 3), st.integers(0, size - 1)), max_size=8),
            st.lists(st.dictionaries(st.integers(0, size - 1), st.booleans(), min_size=1)),
        )
    )
)
def test_frames_are_counted_as_if_each_was_looked_at(
    task: tuple[int, set[int], list[tuple[int, int]], list[dict[int, bool]]],
) -> None:
    size, deleted, shapes, tracks = task
    found = count_task(
        files(
            size=size,
            deleted=tuple(sorted(deleted)),
            shapes=[shape(label, frame) for label, frame in shapes],
            tracks=[
                track(1, *(keyframe(frame, outside=one[frame]) for frame in one)) for one in tracks
            ],
        )
    )
    seen = [frame for _, frame in shapes if frame not in deleted]
    for one in tracks:
        is_visible = False
        for frame in range(size):
            is_visible = not one[frame] if frame in one else is_visible
            if is_visible and frame not in deleted:
                seen.append(frame)
    assert found.on_frames == len(seen)
    assert found.empty == size - len(deleted) - len(set(seen))


def test_counts_of_many_tasks_are_added_up_by_label_and_kind() -> None:
    first = count_task(files(shapes=[shape(1, 0), shape(2, 0)]))
    second = count_task(files(size=2, shapes=[shape(2, 0)], tracks=[track(2, keyframe(0))]))
    report = MirrorStatistics(
        "raw",
        [
            TaskStatistics(1, "a", "task1", first),
            TaskStatistics(2, "b", "task2", second),
            TaskStatistics(3, "c", "task3", None, "gone"),
        ],
    )
    assert report.total == counts_of([first, second])
    assert [(one.label, one.objects) for one in report.total.labels] == [("person", 3), ("car", 1)]
    shown = report.to_json()
    assert (shown["counted"], shown["failed"]) == (2, 1)
    assert shown["tasks"][2] == {"id": 3, "name": "c", "folder": "task3", "why": "gone"}
    assert shown["total"]["labels"][0] == {
        "label": "person",
        "kind": "rectangle",
        "objects": 3,
        "on_frames": 4,
        "single": 2,
        "tracks": 1,
        "tracked": 2,
        "sizes": {"small": 2, "medium": 1, "large": 0},
    }
    assert shown["total"]["image_sizes"] == [{"width": 640, "height": 480, "images": 6}]


def test_labels_of_the_same_name_are_one_row_in_one_task_too() -> None:
    content = files(shapes=[shape(1, 0), shape(2, 0)])
    content["labels.json"] = b'[{"id": 1, "name": "a"}, {"id": 2, "name": "a"}]'
    assert count_task(content).labels == [
        LabelCount(label="a", kind="rectangle", single=2, sizes=SizeCounts(small=2))
    ]


def test_nothing_at_all_is_counted_as_nothing() -> None:
    assert counts_of([]) == ContentCounts(labels=[])
