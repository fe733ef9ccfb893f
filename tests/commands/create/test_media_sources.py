"""Files that a server could not use are found on the disk, all of them, before anything is sent."""

from __future__ import annotations

import os
import zipfile
from pathlib import Path
from typing import Any

import pytest
from media_files import jpeg, mp4, png

from asynccvat.commands.create.sources import media_units
from asynccvat.core.options.create import CreateOptions
from asynccvat.errors import ConfigError

OPTIONS = CreateOptions()


def write(root: Path, files: dict[str, bytes]) -> Path:
    for name, data in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return root


def packed(path: Path, files: dict[str, bytes]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return path


def problems(source: Path, options: CreateOptions = OPTIONS) -> list[str]:
    return [problem for unit in media_units(source, options) for problem in unit.problems]


def test_all_damaged_files_are_named_at_once(tmp_path: Path) -> None:
    write(
        tmp_path,
        {
            "cam/1.jpg": jpeg(),
            "cam/2.jpg": jpeg()[:-2],
            "cam/3.jpg": png(),
            "cam/4.jpg": b"",
            "clip/a.mp4": mp4()[:-3],
        },
    )
    assert problems(tmp_path) == [
        "'cam/2.jpg' is cut off",
        "'cam/3.jpg' is a PNG file, though it is named '.jpg': rename it to '.png'",
        "'cam/4.jpg' is empty",
        "'clip/a.mp4' is cut off",
    ]


def test_hidden_files_and_those_of_systems_are_passed_over(tmp_path: Path) -> None:
    write(
        tmp_path,
        {
            "cam/1.jpg": jpeg(),
            "cam/.DS_Store": b"x",
            "cam/Thumbs.db": b"x",
            ".asynccvat/creations/a.jsonl": b"x",
        },
    )
    (unit,) = media_units(tmp_path, OPTIONS)
    assert (unit.key, unit.problems, len(unit.files)) == ("cam", (), 1)


def test_a_single_file_is_a_source(tmp_path: Path) -> None:
    write(tmp_path, {"drive.mp4": mp4(), "other.mp4": b"damaged"})
    (unit,) = media_units(tmp_path / "drive.mp4", OPTIONS)
    assert (unit.name, unit.problems) == ("drive", ())


def test_links_to_files_are_followed_and_links_to_folders_are_named(tmp_path: Path) -> None:
    write(tmp_path, {"src/cam/1.jpg": jpeg(), "elsewhere/2.jpg": jpeg()})
    source = tmp_path / "src"
    (source / "cam" / "2.jpg").symlink_to(tmp_path / "elsewhere" / "2.jpg")
    assert not problems(source)
    (source / "cam" / "more").symlink_to(tmp_path / "elsewhere")
    (source / "cam" / "3.jpg").symlink_to(tmp_path / "nowhere")
    os.mkfifo(source / "cam" / "4.jpg")
    assert problems(source) == [
        "'cam/3.jpg' cannot be read: No such file or directory",
        "'cam/4.jpg' is no file",
        "'cam/more' is a link to a folder: give --follow-links, or put the folder itself there",
    ]


def test_links_to_folders_are_followed_on_request(tmp_path: Path) -> None:
    write(
        tmp_path, {"src/cam/1.jpg": jpeg(), "elsewhere/2.jpg": jpeg(), "elsewhere/a/3.jpg": jpeg()}
    )
    source = tmp_path / "src"
    for link in ("cam/more", "cam2"):
        (source / link).symlink_to(tmp_path / "elsewhere")
    followed = CreateOptions(follow_links=True)
    units = media_units(source, followed)
    assert {one.key: [file.path for file in one.files] for one in units} == {
        "cam": ["cam/1.jpg", "cam/more/2.jpg", "cam/more/a/3.jpg"],
        "cam2": ["cam2/2.jpg", "cam2/a/3.jpg"],
    }
    assert not any(one.problems for one in units)
    (tmp_path / "elsewhere" / "a" / "back").symlink_to(tmp_path / "elsewhere")
    assert [one.problems for one in media_units(source, followed)] == [
        ("'cam/more/a/back' is a link to a folder that it is in",),
        ("'cam2/a/back' is a link to a folder that it is in",),
    ]


def test_a_source_that_is_named_by_dots_gives_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, {"town/1.jpg": jpeg(), "town/inner/notes": b""})
    monkeypatch.chdir(tmp_path / "town" / "inner")
    (unit,) = media_units(Path(".."), CreateOptions(skip_others=True))
    assert unit.name == "town"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_files_that_may_not_be_read_are_named(tmp_path: Path) -> None:
    write(tmp_path, {"cam/1.jpg": jpeg()})
    (tmp_path / "cam" / "1.jpg").chmod(0)
    assert problems(tmp_path) == ["'cam/1.jpg' cannot be read: Permission denied"]


def test_a_file_that_vanishes_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, {"cam/1.jpg": jpeg()})
    opened = Path.open

    def gone(path: Path, *args: Any, **rest: Any) -> Any:
        path.unlink(missing_ok=True)
        return opened(path, *args, **rest)

    monkeypatch.setattr(Path, "open", gone)
    assert problems(tmp_path) == ["'cam/1.jpg' cannot be read: No such file or directory"]


def test_a_zip_of_images_tells_its_frames(tmp_path: Path) -> None:
    packed(
        tmp_path / "a.zip",
        {
            "1.jpg": b"x",
            "b/2.jpg": b"x",
            "related_images/1_jpg/a.jpg": b"x",
            "notes.txt": b"x",
            "__MACOSX/._1.jpg": b"x",
        },
    )
    (unit,) = media_units(tmp_path, OPTIONS)
    assert (unit.available, unit.problems) == (2, ())


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({"notes.txt": b"x"}, "'a.zip' holds no images"),
        ({"1.jpg": b"x", "b/._1.jpg": b"x"}, "'b/._1.jpg' in 'a.zip' is hidden, and CVAT makes"),
        ({"1.jpg": b"x", "2.heic": b"x"}, "'2.heic' in 'a.zip' is an image of a type that CVAT"),
        ({"1.jpg": b"x", "v.mp4": b"x"}, "'v.mp4' in 'a.zip' is no image"),
        ({"1.jpg": b"x", "../2.jpg": b"x"}, "'../2.jpg' in 'a.zip' leads outside the zip"),
        ({"1.jpg": b"x", "a\x01.jpg": b"x"}, "its name has a control character"),
        ({"B.jpg": b"x", "b.jpg": b"x"}, "'b.jpg' and 'B.jpg' in 'a.zip' differ only by case"),
    ],
)
def test_a_zip_that_cannot_become_a_task_is_named(
    tmp_path: Path, files: dict[str, bytes], said: str
) -> None:
    packed(tmp_path / "a.zip", files)
    assert said in "\n".join(problems(tmp_path))


def test_an_encrypted_zip_is_named(tmp_path: Path) -> None:
    path = packed(tmp_path / "a.zip", {"1.jpg": b"x"})
    data = bytearray(path.read_bytes())
    data[6] |= 1
    data[data.index(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(data)
    assert problems(tmp_path) == ["'a.zip' is encrypted"]


def test_a_damaged_zip_is_named(tmp_path: Path) -> None:
    path = packed(tmp_path / "a.zip", {"1.jpg": b"x"})
    data = bytearray(path.read_bytes())
    data[data.index(b"PK\x01\x02")] = 0
    path.write_bytes(data)
    assert "'a.zip' cannot be read as a zip" in problems(tmp_path)[0]


@pytest.mark.parametrize("name", ["missing", "empty"])
def test_a_source_without_media_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "empty").mkdir()
    said = "cannot read" if name == "missing" else "holds no images, videos or zips"
    with pytest.raises(ConfigError, match=said):
        media_units(tmp_path / name, OPTIONS)


def test_a_folder_that_cannot_be_listed_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, {"cam/1.jpg": jpeg()})

    def refused(_: object) -> object:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "scandir", refused)
    with pytest.raises(ConfigError, match="Permission denied"):
        media_units(tmp_path, OPTIONS)
