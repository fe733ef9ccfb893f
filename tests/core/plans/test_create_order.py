"""Images stand in the order that a user names, and each has to be named."""

from __future__ import annotations

from typing import Any

import pytest

from asynccvat.core.options.create import CreateOptions
from asynccvat.core.plans.create_order import FrameOrder
from asynccvat.core.plans.create_units import ListedFile, MediaUnit, find_units
from asynccvat.errors import ConfigError


def units(paths: list[str], order: list[str], **options: Any) -> tuple[MediaUnit, ...]:
    files = [ListedFile(path, 1, 1) for path in paths]
    return find_units(files, "src", CreateOptions(**options), FrameOrder(order, "the order"))


PATHS = ["a/1.jpg", "a/2.jpg", "a/3.jpg", "a/related_images/1_jpg/side.jpg", "drive.mp4"]


def test_images_are_sorted_as_they_are_named_and_context_images_come_last() -> None:
    one, video = sorted(units(PATHS, ["a/3.jpg", "./a/1.jpg", "a/2.jpg"]), key=lambda one: one.key)
    assert [file.path for file in one.files] == ["a/3.jpg", "a/1.jpg", "a/2.jpg", PATHS[3]]
    assert (one.ordered, video.ordered) == (True, False)
    assert one.frame_names(CreateOptions(start_frame=1)) == ["1.jpg", "2.jpg"]
    assert CreateOptions().data_options(ordered=True)["sorting_method"] == "predefined"


def test_parts_are_cut_in_the_order() -> None:
    parts = units(PATHS[:3], ["a/3.jpg", "a/2.jpg", "a/1.jpg"], split=2)
    assert [[file.path for file in one.files] for one in parts] == [
        ["a/3.jpg", "a/2.jpg"],
        ["a/1.jpg"],
    ]


def test_an_image_that_is_not_named_is_a_problem_of_its_folder() -> None:
    (one,) = units(PATHS[:3], ["a/3.jpg"])
    assert one.problems == (
        "'a/1.jpg' is not named in the order",
        "'a/2.jpg' is not named in the order",
    )


@pytest.mark.parametrize(
    ("order", "said"),
    [
        ([], "cannot use the order: it names no images"),
        (["a/1.jpg", "./a/1.jpg"], "it names 'a/1.jpg' twice"),
        (["a/1.jpg", "a/9.jpg"], "it names 'a/9.jpg', which is no image"),
        (["b", "a/9.jpg", "c"], r"it names 'b' \(and 2 more\), which is no image"),
    ],
)
def test_an_order_that_does_not_fit_is_refused(order: list[str], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        units(PATHS, order)
