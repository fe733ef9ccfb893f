"""Media files that are cut off, or not what their names say, are found without a decoder."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st
from media_files import (
    THUMBNAIL,
    avi,
    big_tiff,
    bmp,
    gif,
    jpeg,
    matroska,
    mp4,
    mpeg,
    png,
    tiff,
    webp,
)

from asynccvat.core.media.checks import file_problem, recognise
from asynccvat.core.media.kinds import media_type, usual_suffix


@dataclass
class InMemory:
    content: bytes

    @property
    def size(self) -> int:
        return len(self.content)

    def read(self, offset: int, length: int) -> bytes:
        return self.content[offset : offset + length]


def problem(name: str, content: bytes) -> str | None:
    return file_problem(name, InMemory(content))


WHOLE = {
    "a.jpg": jpeg(),
    "a.png": png(),
    "a.gif": gif(),
    "a.bmp": bmp(),
    "a.webp": webp(),
    "a.tif": tiff(),
    "b.tif": tiff(">"),
    "c.tiff": big_tiff(),
    "a.ppm": b"P6 2 2 255\n" + bytes(12),
    "a.mp4": mp4(),
    "a.mov": mp4(),
    "a.avi": avi(),
    "a.mkv": matroska(),
    "a.webm": matroska(known_size=False),
    "a.mpg": mpeg(),
    "a.zip": b"PK\x05\x06" + bytes(18),
}


@pytest.mark.parametrize("name", WHOLE)
def test_a_whole_file_has_no_problem(name: str) -> None:
    assert problem(name, WHOLE[name]) is None


@pytest.mark.parametrize(
    "name", [name for name in WHOLE if name not in ("a.ppm", "a.webm", "a.mpg", "a.zip")]
)
def test_a_file_without_its_end_is_cut_off(name: str) -> None:
    said = problem(name, WHOLE[name][:-3])
    assert said is not None
    assert "cut off" in said or "no index" in said


@given(st.sampled_from(sorted(WHOLE)), st.integers(0, 80))
def test_no_beginning_of_a_file_makes_a_check_fail(name: str, length: int) -> None:
    problem(name, WHOLE[name][:length])


@given(st.sampled_from(sorted(WHOLE)), st.binary(max_size=64))
def test_no_bytes_make_a_check_fail(name: str, content: bytes) -> None:
    problem(name, WHOLE[name][:16] + content)
    problem(name, content)


def test_the_end_of_a_thumbnail_is_not_the_end_of_the_image() -> None:
    whole = jpeg(thumbnail=THUMBNAIL)
    assert problem("a.jpg", whole) is None
    assert problem("a.jpg", whole[:-2]) == "is cut off"


def test_bytes_behind_the_end_of_an_image_are_accepted() -> None:
    assert problem("a.jpg", jpeg() + bytes(200_000)) is None
    assert problem("a.png", png() + b"made by an editor") is None


def test_fill_bytes_before_a_marker_are_accepted() -> None:
    content = jpeg()
    assert problem("a.jpg", content[:2] + b"\xff" + content[2:]) is None


def test_a_file_of_another_type_is_named_with_the_suffix_to_use() -> None:
    assert problem("a.jpg", png()) == (
        "is a PNG file, though it is named '.jpg': rename it to '.png'"
    )


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.jpg", b"", "is empty"),
        ("a.jpg", b"<html>no such page</html>", "is no JPEG file, though it is named so"),
        ("a.txt", b"hello", "is no media"),
        ("a.jpg", b"\xff\xd8\xff\xd9", "holds no image"),
        ("a.jpg", b"\xff\xd8\xff\xdb\x00\x04\x00\x00", "is cut off"),
        ("a.jpg", b"\xff\xd8\xff\xd0" + jpeg()[2:], None),
        ("a.jpg", b"\xff\xd8\xff\xdb\x00\x02no marker", "has bytes between its markers"),
        ("a.jpg", b"\xff\xd8\xff" + b"\xff" * 5000, "has too many markers"),
        ("a.png", png(0), "is an image without pixels"),
        ("a.png", png()[:8] + png()[33:], "has no header"),
        ("a.gif", b"GIF89a" + bytes(8) + b";", "is an image without pixels"),
        ("a.tif", b"II*\x00\x08\x00\x00\x00\x00\x00", "holds no image"),
        ("a.mkv", b"\x1a\x45\xdf\xa3\x82abnone", "has no segment"),
        ("a.mp4", mp4()[:16], "has no index ('moov'): its recording was not finished"),
        ("a.mp4", mp4() + b"\x00\x00\x00\x00mdat", None),
        ("a.mp4", mp4() + b"\x00\x00\x00\x01mdat\x00\x00\x00\x00\x00\x00\x00\x10", None),
        ("a.mp4", mp4() + b"\x00\x00\x00\x02mdat", None),
        ("a.mp4", mp4() + b"\x00", None),
    ],
)
def test_each_problem_is_named(name: str, content: bytes, said: str | None) -> None:
    assert problem(name, content) == said


def test_names_tell_types_in_any_case() -> None:
    assert media_type("A.JPG") == media_type("b.jpeg") == "JPEG"
    assert media_type(".jpg") is None
    assert media_type("jpg") is None
    assert media_type("notes.txt") is None


@pytest.mark.parametrize("name", WHOLE)
def test_the_usual_suffix_of_a_type_is_recognised(name: str) -> None:
    found = recognise(WHOLE[name])
    assert found is not None
    assert media_type(f"a{usual_suffix(found)}") is found
