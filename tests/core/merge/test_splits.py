"""Check the parts of data sets: stable, near their shares, and refused where they make no sense."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asynccvat.core.merge.choices import SplitBy
from asynccvat.core.merge.splits import Split, read_split, subset_part
from asynccvat.core.merge.values import MergeImage
from asynccvat.errors import ConfigError, InexactConversionError

THREE = "train=0.8,val=0.1,test=0.1"


def image(name: str = "a.jpg", subset: str = "") -> MergeImage:
    return MergeImage(name, 1, 1, subset)


def part(split: Split, task: int, one: MergeImage, *, is_video: bool = False) -> str:
    return split.part_of(task, one, is_video=is_video)


def test_many_tasks_are_split_near_the_shares() -> None:
    split = read_split(THREE, SplitBy.TASK)
    found = Counter(part(split, task, image()) for task in range(10_000))
    assert 7_800 < found["train"] < 8_200
    assert 850 < found["val"] < 1_150
    assert found.total() == 10_000


def test_a_task_keeps_its_part_from_release_to_release() -> None:
    split = read_split(THREE, SplitBy.TASK)
    assert [part(split, task, image()) for task in range(1, 13)] == [
        "train",
        "val",
        "train",
        "train",
        "test",
        "test",
        "train",
        "train",
        "train",
        "train",
        "train",
        "train",
    ]


@given(st.integers(1, 10**9), st.text(), st.text())
def test_images_of_a_task_and_frames_of_a_video_stay_together(
    task: int, one: str, other: str
) -> None:
    by_task, by_image = (read_split(THREE, by) for by in (SplitBy.TASK, SplitBy.IMAGE))
    assert part(by_task, task, image(one)) == part(by_task, task, image(other))
    together = {part(by_image, task, image(name), is_video=True) for name in (one, other)}
    assert together == {part(by_task, task, image(one))}


def test_images_are_split_on_their_own() -> None:
    split = read_split("train=0.5,val=0.5", SplitBy.IMAGE)
    assert {part(split, 1, image(f"{number}.jpg")) for number in range(50)} == {"train", "val"}


def test_without_shares_there_is_one_part() -> None:
    assert part(read_split(None, SplitBy.TASK), 7, image()) == "train"


def test_subsets_of_cvat_are_parts_by_their_usual_names() -> None:
    split = read_split(None, SplitBy.SUBSET)
    names = {"": "train", "Train": "train", "default": "train", "Validation": "val", "Test": "test"}
    for subset, name in names.items():
        assert part(split, 1, image(subset=subset)) == name
    assert subset_part("Night_2") == "night_2"
    with pytest.raises(InexactConversionError, match="'a b' cannot be a part"):
        subset_part("a b")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("train=0.8", "must add up to 1"),
        ("train=0.5,train=0.5", "twice"),
        ("train=0.5,=0.5", "'' cannot be the name of a part"),
        ("../up=1", "cannot be the name"),
        ("names=1", "cannot be the name"),
        ("train=x", "'x' is no share"),
        ("train=0,val=1", "'0' is no share"),
        ("train=nan,val=1", "'nan' is no share"),
        ("train", "'' is no share"),
    ],
)
def test_shares_that_make_no_sense_are_refused(text: str, why: str) -> None:
    with pytest.raises(ConfigError, match=why):
        read_split(text, SplitBy.TASK)


def test_shares_and_subsets_exclude_each_other_and_images_need_shares() -> None:
    with pytest.raises(ConfigError, match="takes no shares"):
        read_split(THREE, SplitBy.SUBSET)
    with pytest.raises(ConfigError, match="needs shares"):
        read_split(None, SplitBy.IMAGE)
