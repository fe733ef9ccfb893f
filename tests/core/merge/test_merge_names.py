"""Check the names of images in a data set, and how their files are found."""

from __future__ import annotations

from pathlib import PurePath
from posixpath import splitext

from hypothesis import given
from hypothesis import strategies as st

from asynccvat.core.merge.names import ImageFiles, ImageNames, source_prefixes
from asynccvat.core.merge.yolo import label_path

NAMES = st.lists(
    st.sampled_from(["a.jpg", "a.png", "a", "images/a.jpg", "images_/a.jpg", "a-2.jpg"])
)


def ultralytics_label(path: str) -> str:
    """Say where Ultralytics looks for labels: `img2label_paths` of `ultralytics/data/utils.py`."""
    return "/labels/".join(f"/{path}".rsplit("/images/", 1)).rsplit(".", 1)[0] + ".txt"


@given(NAMES)
def test_names_are_unique(names: list[str]) -> None:
    unique = ImageNames("task1", for_yolo=False)
    found = [unique.unique(name) for name in names]
    assert len(set(found)) == len(names)
    assert found[:1] == [f"task1/{name}" for name in names[:1]]


@given(NAMES)
def test_labels_are_where_ultralytics_looks_for_them(names: list[str]) -> None:
    unique = ImageNames("images/task1", for_yolo=True)
    found = [unique.unique(name) for name in names]
    assert len({splitext(path)[0] for path in found}) == len(names)
    for path in found:
        if splitext(path)[1]:
            assert ultralytics_label(f"images/train/{path}") == f"/{label_path('train', path)}"


def test_several_mirrors_are_told_apart_by_their_names() -> None:
    assert source_prefixes([PurePath("a/raw")]) == [""]
    assert source_prefixes([PurePath("a"), PurePath("b")]) == ["a/", "b/"]
    assert source_prefixes([PurePath("x/a"), PurePath("y/a"), PurePath("a-2"), PurePath()]) == [
        "a/",
        "a-2/",
        "a-2-3/",
        "mirror4/",
    ]


def test_the_frames_of_a_video_are_found_by_any_extension() -> None:
    files = ImageFiles(["images/a.jpg", "images/frame_000001.PNG", "images/b.c.jpg"])
    folders = ("images/train", "images")
    assert files.find(folders, "a.jpg", any_extension=False) == "images/a.jpg"
    assert files.find(folders, "a.png", any_extension=False) is None
    for name in ("frame_000001", "frame_000001.png"):
        assert files.find(folders, name, any_extension=True) == "images/frame_000001.PNG"
    assert files.find(folders, "b.c", any_extension=True) == "images/b.c.jpg"
    assert files.find(folders, "none", any_extension=True) is None
