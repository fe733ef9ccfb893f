"""A task and its copy are equal if frames, subset and annotations of each kind are."""

from __future__ import annotations

import pytest

from asynccvat.core.annotations.counts import AnnotationCounts
from asynccvat.core.plans.comparison import ComparedTask, TaskContent, differences

FULL = TaskContent(
    5, AnnotationCounts(tags=1, shapes=3, tracks=2, types={"rectangle": 4, "mask": 1}), "Train"
)


def test_equal_tasks_have_no_differences() -> None:
    assert ComparedTask(1, 2, FULL, FULL).differences == ()
    assert differences(TaskContent(None), TaskContent(0)) == ()


@pytest.mark.parametrize(
    ("target", "said"),
    [
        (TaskContent(4, FULL.counts, "Train"), ("4 frames instead of 5",)),
        (TaskContent(5, FULL.counts, ""), ("subset '' instead of 'Train'",)),
        (
            TaskContent(
                5,
                AnnotationCounts(shapes=3, tracks=2, types={"rectangle": 5}),
                "Train",
            ),
            (
                "0 tags instead of 1",
                "0 of type mask instead of 1",
                "5 of type rectangle instead of 4",
            ),
        ),
    ],
)
def test_each_difference_is_named(target: TaskContent, said: tuple[str, ...]) -> None:
    assert differences(FULL, target) == said


def test_each_difference_has_the_values_of_both_sides() -> None:
    target = TaskContent(4, FULL.counts, "")
    assert ComparedTask(1, 2, FULL, target).difference_rows == (
        ("frames", 5, 4),
        ("subset", "Train", ""),
    )


def test_a_comparison_is_written_as_json() -> None:
    assert ComparedTask(1, 2, FULL, TaskContent(5)).to_json() == {
        "copy": 2,
        "source": {"frames": 5, "tags": 1, "shapes": 3, "tracks": 2},
        "target": {"frames": 5, "tags": 0, "shapes": 0, "tracks": 0},
        "differences": [
            "0 tags instead of 1",
            "0 shapes instead of 3",
            "0 tracks instead of 2",
            "0 of type mask instead of 1",
            "0 of type rectangle instead of 4",
            "subset '' instead of 'Train'",
        ],
    }
