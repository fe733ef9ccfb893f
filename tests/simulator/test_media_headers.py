"""The simulator reads size and length of images and videos from their heads, as CVAT shows them."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asynccvat.simulator.formats.data_options import DataOptions
from asynccvat.simulator.formats.image_headers import (
    InvalidImageError,
    TruncatedImageError,
    image_size,
    is_image_name,
)
from asynccvat.simulator.formats.task_data import TaskDataError, read_task_data
from asynccvat.simulator.formats.video_headers import (
    OPAQUE,
    InvalidVideoError,
    is_video_name,
    video_facts,
)
from asynccvat.simulator.world.jpeg import draw_jpeg
from asynccvat.simulator.world.media import StoredFile


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("media")


def stored(folder: Path, data: bytes, name: str = "file") -> StoredFile:
    path = folder / name
    path.write_bytes(b"before" + data + b"after")
    return StoredFile(path, len(b"before"), len(data))


def tiff(order: str, kind: int) -> bytes:
    head = b"II*\0" if order == "<" else b"MM\0*"
    values = [(256, 300), (257, 200)]
    entries = b"".join(
        struct.pack(f"{order}HHI", tag, kind, 1)
        + struct.pack(f"{order}HH" if kind == 3 else f"{order}I", *([value, 0][: 5 - kind]))
        for tag, value in values
    )
    return head + struct.pack(f"{order}IH", 8, len(values)) + entries


def webp(kind: bytes, rest: bytes) -> bytes:
    return b"RIFF\0\0\0\0WEBP" + kind + rest


IMAGES = {
    "png": b"\x89PNG\r\n\x1a\n" + bytes(8) + struct.pack(">II", 300, 200) + b"IEND" + bytes(4),
    "gif": b"GIF89a" + struct.pack("<HH", 300, 200),
    "bmp": b"BM" + bytes(16) + struct.pack("<ii", 300, -200),
    "webp": webp(b"VP8 ", bytes(10) + struct.pack("<HH", 300, 200)),
    "webp lossless": webp(b"VP8L", bytes(5) + struct.pack("<I", 299 | 199 << 14)),
    "webp extended": webp(
        b"VP8X", bytes(8) + (299).to_bytes(3, "little") + (199).to_bytes(3, "little")
    ),
    "tiff": tiff("<", 3),
    "tiff of large numbers": tiff(">", 4),
    "jpeg": draw_jpeg(1, 300, 200),
    "netpbm": b"P6 # a camera\n# of ours\n300 200\n255\n",
    "netpbm of bits": b"P4\n300\t200\n",
    "jpeg with filling": b"\xff\xd8\xff" + draw_jpeg(1, 300, 200)[2:],
}


@pytest.mark.parametrize("kind", IMAGES)
def test_the_size_of_an_image_is_in_its_head(kind: str, folder: Path) -> None:
    assert image_size(stored(folder, IMAGES[kind])) == (300, 200)


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (b"", InvalidImageError),
        (b"no picture", InvalidImageError),
        (b"GIF89a", TruncatedImageError),
        (b"\xff\xd8 \xff\xd9", InvalidImageError),
        (b"\xff\xd8\xff\xd9\0\2", TruncatedImageError),
        (b"II*\0\x08\0\0\0\0\0", InvalidImageError),
        (IMAGES["jpeg"][:200], TruncatedImageError),
        (IMAGES["png"][:20], TruncatedImageError),
    ],
)
def test_other_files_are_no_images(data: bytes, error: type[Exception], folder: Path) -> None:
    with pytest.raises(error):
        image_size(stored(folder, data))


@given(st.sampled_from(sorted(IMAGES)), st.binary(max_size=40), st.integers(0, 60))
@settings(max_examples=40)
def test_any_bytes_have_a_size_or_are_refused(
    folder: Path, kind: str, other: bytes, place: int
) -> None:
    data = IMAGES[kind][:place] + other
    try:
        width, height = image_size(stored(folder, data, "any"))
    except (InvalidImageError, TruncatedImageError):
        return
    assert isinstance(width, int)
    assert isinstance(height, int)


def box(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I4s", len(content) + 8, kind) + content


def mp4(frames: int, *, large: bool = False) -> bytes:
    header = box(b"tkhd", bytes(76) + struct.pack(">II", 320 << 16, 240 << 16))
    sizes = box(b"stsz", bytes(8) + struct.pack(">I", frames))
    media = box(b"mdia", box(b"minf", box(b"stbl", sizes)))
    sound = box(b"trak", box(b"tkhd", bytes(84)))
    movie = box(b"moov", sound + box(b"trak", header + media))
    data = box(b"mdat", b"frames")
    if large:
        data = struct.pack(">I4sQ", 1, b"mdat", 22) + b"frames"
    return box(b"ftyp", b"isom") + data + movie


@pytest.mark.parametrize("large", [False, True])
def test_an_mp4_says_its_frames_and_its_size(large: bool, folder: Path) -> None:
    assert video_facts(stored(folder, mp4(77, large=large))) == (77, 320, 240)


@pytest.mark.parametrize(
    "data",
    [
        box(b"ftyp", b"isom"),
        box(b"ftyp", b"isom") + bytes(16),
        box(b"ftyp", b"isom") + box(b"moov", bytes(16)),
        b"RIFF" + bytes(40),
    ],
)
def test_other_videos_have_the_facts_of_the_recorded_one(data: bytes, folder: Path) -> None:
    assert video_facts(stored(folder, data)) == OPAQUE
    with pytest.raises(InvalidVideoError):
        video_facts(stored(folder, b"no video"))


def test_names_tell_images_and_videos() -> None:
    assert is_image_name("d/A.JPEG")
    assert is_image_name("a.ppm")
    assert is_video_name("v.MP4")
    assert not is_image_name("a.txt")
    assert not is_video_name("mp4")


@given(st.permutations(["a1.jpg", "a2.jpg", "a10.jpg", "b.jpg"]))
@settings(max_examples=10)
def test_the_order_of_names_decides_and_not_that_of_sending(folder: Path, names: list[str]) -> None:
    file = stored(folder, IMAGES["jpeg"], "image")
    files = [(name, file) for name in names]

    def order(method: str | None, **more: tuple[str, ...]) -> list[str]:
        options = DataOptions(sorting_method=method, **more)  # type: ignore[arg-type]
        return [frame.name for frame in read_task_data(files, options).frames]

    assert order(None) == ["a1.jpg", "a10.jpg", "a2.jpg", "b.jpg"]
    assert order("natural") == ["a1.jpg", "a2.jpg", "a10.jpg", "b.jpg"]
    assert order("predefined") == names
    assert sorted(order("random")) == sorted(names)
    assert order("predefined", upload_file_order=tuple(sorted(names))) == sorted(names)
    with pytest.raises(TaskDataError, match="No such file"):
        order("predefined", upload_file_order=("c.jpg",))


def test_a_task_without_frames_left_is_none(folder: Path) -> None:
    files = [("a.jpg", stored(folder, IMAGES["jpeg"], "image"))]
    for name, data in (("a.jpg", IMAGES["jpeg"]), ("v.mp4", mp4(3))):
        files = [(name, stored(folder, data, name))]
        with pytest.raises(TaskDataError, match="No media data found"):
            read_task_data(files, DataOptions(start_frame=5))
