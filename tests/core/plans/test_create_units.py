"""Files below a source are grouped into tasks, and what cannot be used is named."""

from __future__ import annotations

import pytest

from asynccvat.core.media.kinds import MediaKind
from asynccvat.core.options.create import CreateOptions
from asynccvat.core.plans.create_annotations import AnnotationsBeside
from asynccvat.core.plans.create_units import ListedFile, MediaUnit, find_units
from asynccvat.errors import ConfigError


def units(*paths: str, name: str = "images", **options: object) -> tuple[MediaUnit, ...]:
    files = [ListedFile(path, 10, 1) for path in paths]
    return find_units(files, name, CreateOptions(**options))  # type: ignore[arg-type]  # named


def paths_of(unit: MediaUnit) -> list[str]:
    return [file.path for file in unit.files]


def test_each_folder_becomes_a_task_with_its_images_in_natural_order() -> None:
    one, two = units("cam10/a.jpg", "cam2/b10.png", "cam2/b9.png", "cam2/left/b1.png")
    assert (one.key, one.name, one.kind) == ("cam2", "cam2", MediaKind.IMAGE)
    assert paths_of(one) == ["cam2/b9.png", "cam2/b10.png", "cam2/left/b1.png"]
    assert [one.member_name(file) for file in one.files] == ["b9.png", "b10.png", "left/b1.png"]
    assert (two.key, two.available, two.path, two.size) == ("cam10", 1, "cam10/", 10)
    assert not one.problems + two.problems


def test_images_directly_in_the_source_become_a_task_of_its_name() -> None:
    (only,) = units("a.jpg", name="street")
    assert (only.key, only.name, only.path) == (".", "street", "")


def test_videos_and_zips_become_a_task_each_beside_the_images() -> None:
    found = units("cam/a.jpg", "cam/clip.mp4", "drive.avi", "more.zip")
    assert [(unit.key, unit.name, unit.kind) for unit in found] == [
        ("drive.avi", "drive", MediaKind.VIDEO),
        ("more.zip", "more", MediaKind.ZIP),
        ("cam", "cam", MediaKind.IMAGE),
        ("cam/clip.mp4", "cam/clip", MediaKind.VIDEO),
    ]
    assert found[3].member_name(found[3].files[0]) == "clip.mp4"
    assert found[3].path == "cam/clip.mp4"
    assert found[3].available is None


def test_one_task_of_all_images_keeps_the_folders_in_their_names() -> None:
    (only,) = units("a/1.jpg", "b/1.jpg", single=True)
    assert [only.member_name(file) for file in only.files] == ["a/1.jpg", "b/1.jpg"]


def test_a_folder_is_split_into_parts_of_so_many_images() -> None:
    found = units(*(f"cam/{number}.jpg" for number in range(25)), split=2)
    assert len(found) == 13
    assert (found[0].key, found[0].name, found[0].available) == ("cam#1", "cam-01", 2)
    assert (found[-1].key, found[-1].name, found[-1].available) == ("cam#13", "cam-13", 1)


def test_a_video_beside_folders_that_are_split_has_no_part() -> None:
    assert [unit.name for unit in units("cam/1.jpg", "drive.mp4", split=5)] == ["drive", "cam-1"]


def test_names_follow_the_template() -> None:
    (only,) = units("cam/1.jpg", name="src", split=5, skip_others=True)
    assert only.name == "cam-1"
    found = find_units(
        [ListedFile("cam/1.jpg", 1, 1)], "src", CreateOptions(name="{part} of {name}", split=5)
    )
    assert found[0].name == "1 of cam"


def test_context_images_are_sent_and_are_no_frames() -> None:
    (only,) = units("cam/1.jpg", "cam/related_images/1_jpg/a.jpg")
    assert (only.available, len(only.files)) == (1, 2)
    (split, *_) = units("cam/1.jpg", "cam/related_images/1_jpg/a.jpg", split=1)
    assert "context images" in split.problems[0]


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["annotations.xml"], AnnotationsBeside("cam/annotations.xml", "CVAT 1.1")),
        (["instances_train.json"], AnnotationsBeside("cam/instances_train.json", "COCO 1.0")),
        (
            ["annotations/instances_default.json"],
            AnnotationsBeside("cam/annotations/instances_default.json", "COCO 1.0"),
        ),
        (
            ["obj.data", "obj.names", "train.txt", "obj_train_data/1.txt"],
            AnnotationsBeside("cam", "YOLO 1.1"),
        ),
        (
            ["data.yaml", "labels/train/1.txt"],
            AnnotationsBeside("cam", "Ultralytics YOLO Detection 1.0"),
        ),
    ],
)
def test_annotations_beside_images_are_found(names: list[str], expected: AnnotationsBeside) -> None:
    (only,) = units("cam/1.jpg", *(f"cam/{name}" for name in names))
    assert only.problems == ()
    assert only.annotations == expected
    (without,) = units("cam/1.jpg", *(f"cam/{name}" for name in names), annotations=False)
    assert without.annotations is None


def test_annotations_beside_images_of_the_source_itself_are_found() -> None:
    (only,) = units("1.jpg", "data.yaml")
    assert only.annotations == AnnotationsBeside(".", "Ultralytics YOLO Detection 1.0")


def test_the_annotations_of_a_video_have_its_name_or_lie_alone_with_it() -> None:
    one, two = units("a.mp4", "a.xml", "b.mp4")
    assert one.annotations == AnnotationsBeside("a.xml", "CVAT 1.1")
    assert two.annotations is None
    (alone,) = units("cam/a.mp4", "cam/annotations.xml")
    assert alone.annotations == AnnotationsBeside("cam/annotations.xml", "CVAT 1.1")


@pytest.mark.parametrize(
    "names",
    [
        ["images/1.jpg", "annotations/instances_default.json"],
        ["a/1.jpg", "b/1.jpg", "annotations/instances_a.json", "annotations/instances_b.json"],
        ["images/1.jpg", "annotations.xml"],
        ["images/train/1.jpg", "labels/train/1.txt", "data.yaml"],
        ["obj_train_data/1.jpg", "obj_train_data/1.txt", "obj.data", "obj.names"],
    ],
    ids=str,
)
def test_a_dataset_whose_images_are_in_a_folder_needs_a_decision(names: list[str]) -> None:
    """Else a task of the images alone was created, and its annotations left out in silence."""
    with pytest.raises(ConfigError, match="Give --single for one task of all images"):
        units(*names)
    (single,) = units(*names, single=True)
    assert single.annotations or "annotations twice" in single.problems[0]
    assert not any(one.annotations for one in units(*names, annotations=False))


def test_annotations_beside_other_media_do_not_matter_to_folders() -> None:
    video, folder = units("cam/1.jpg", "drive.mp4", "annotations.xml")
    assert folder.annotations is None
    assert video.annotations == AnnotationsBeside("annotations.xml", "CVAT 1.1")
    (own,) = units("annotations/1.jpg", "annotations/instances_a.json")
    assert own.annotations == AnnotationsBeside("annotations/instances_a.json", "COCO 1.0")


def problems(*paths: str, **options: object) -> list[str]:
    return [problem for unit in units(*paths, **options) for problem in unit.problems]  # type: ignore[arg-type]  # as above


@pytest.mark.parametrize(
    ("paths", "said"),
    [
        (["a/1.jpg", "a/notes.docx"], "'a/notes.docx' is neither media nor annotations"),
        (["a/1.mp4", "a/notes.docx"], "'a/notes.docx' is neither media nor annotations"),
        (["a/notes.docx"], "'a/notes.docx' is neither media nor annotations"),
        (["a/B.jpg", "a/b.jpg"], "'b.jpg' and 'B.jpg' differ only by case or accents"),
        (["a/b\\c.jpg"], "its name has a backslash"),
        (["b\\c.mp4"], "its name has a backslash"),
        (["a/1.jpg", "a/annotations.xml", "a/obj.data"], "it holds annotations twice"),
        (["a.mp4", "a.avi"], "the same name as that of 'a.avi', 'a'"),
        ([" /1.jpg"], "its task would have no name"),
        (["a/annotations.xml"], "'a/annotations.xml' annotates nothing here: remove it"),
        (["a.mp4", "b.mp4", "annotations.xml"], "may belong to any of 2 videos and zips"),
        (["x" * 300 + "/1.jpg"], "more than 256 characters"),
        (["a\tb/1.jpg"], "its name has a control character, so no task can have it"),
    ],
)
def test_what_cannot_be_used_is_named(paths: list[str], said: str) -> None:
    assert said in "\n".join(problems(*paths))


def test_other_files_are_left_out_on_request() -> None:
    assert not problems("a/1.jpg", "a/notes.docx", skip_others=True)
    assert units("a/notes.docx", skip_others=True) == ()


def test_annotations_of_a_folder_cannot_be_split() -> None:
    assert "--split takes apart" in problems("a/1.jpg", "a/annotations.xml", split=1)[0]
    assert not problems("a/1.jpg", "a/annotations.xml", split=1, annotations=False)


def test_a_file_that_the_disk_refuses_is_a_problem_of_its_folder() -> None:
    files = [ListedFile("a/1.jpg", 1, 1), ListedFile("a/2.jpg", 0, 0, "cannot be read: why")]
    (only,) = find_units(files, "src", CreateOptions())
    assert only.problems == ("'a/2.jpg' cannot be read: why",)


def test_the_fingerprint_changes_with_names_sizes_and_times() -> None:
    def of(path: str, size: int, mtime_ns: int) -> str:
        return find_units([ListedFile(path, size, mtime_ns)], "s", CreateOptions())[0].fingerprint

    same = of("1.jpg", 1, 1)
    assert of("1.jpg", 1, 1) == same
    assert len({same, of("2.jpg", 1, 1), of("1.jpg", 2, 1), of("1.jpg", 1, 2)}) == 4


@pytest.mark.parametrize(
    ("options", "frames"),
    [
        ({}, 10),
        ({"start_frame": 1, "stop_frame": 5, "frame_step": 2}, 3),
        ({"stop_frame": 99}, 10),
        ({"start_frame": 10}, 0),
    ],
)
def test_frames_are_counted_as_the_server_takes_them(options: dict[str, int], frames: int) -> None:
    assert CreateOptions(**options).frames_of(10) == frames  # type: ignore[arg-type]  # numbers


def test_the_server_is_told_only_what_was_chosen() -> None:
    assert CreateOptions().data_options() == {
        "image_quality": 70,
        "use_zip_chunks": True,
        "use_cache": True,
        "sorting_method": "natural",
    }
    chosen = CreateOptions(chunk_size=36, start_frame=1, stop_frame=9, frame_step=2)
    assert chosen.data_options() == {
        **CreateOptions().data_options(),
        "chunk_size": 36,
        "start_frame": 1,
        "stop_frame": 9,
        "frame_filter": "step=2",
    }


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"name": "{folder}"}, "holds {folder}, which stands for nothing"),
        ({"start_frame": 5, "stop_frame": 4}, "before --start-frame"),
        ({"overlap": 1}, "needs --segment-size"),
        ({"overlap": 5, "segment_size": 5}, "--overlap 5 is not smaller than --segment-size 5"),
        ({"image_quality": 101}, "from 0 to 100"),
    ],
)
def test_options_that_cannot_be_meant_are_refused(options: dict[str, object], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        CreateOptions(**options)  # type: ignore[arg-type]  # on purpose
