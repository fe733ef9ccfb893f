"""Archives as CVAT packs them, made once and kept, and the process that serves one."""

from __future__ import annotations

import contextlib
import random
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

_SERVER = Path(__file__).resolve().parent / "archive_server.py"
_TEXT_MEMBER = 3_000_000


def stored_archive(cache: Path, size: int, member_size: int) -> Path:
    """An archive of images: stored members of random bytes in one folder."""

    def write(archive: zipfile.ZipFile) -> None:
        content = random.Random(size)
        archive.writestr("annotations.xml", b"<annotations>" + b" " * 100_000 + b"</annotations>")
        for index in range(size // member_size):
            archive.writestr(f"images/default/{index:06d}.jpg", content.randbytes(member_size))

    return _kept(cache / f"stored-{size}-{member_size}.zip", zipfile.ZIP_STORED, write)


def text_archive(cache: Path, size: int) -> Path:
    """An archive of annotations: deflated XML and JSON in turn, `size` bytes of them."""

    def write(archive: zipfile.ZipFile) -> None:
        content = random.Random(size)
        boxes = [_box(content) for _ in range(20_000)]
        for index in range(max(1, size // _TEXT_MEMBER)):
            kind, number = ("xml", 0) if index % 2 == 0 else ("json", 1)
            lines: list[str] = []
            length = 0
            while length < _TEXT_MEMBER:
                lines.append(content.choice(boxes)[number])
                length += len(lines[-1])
            archive.writestr(f"annotations/{index:04d}.{kind}", "".join(lines))

    return _kept(cache / f"text-{size}.zip", zipfile.ZIP_DEFLATED, write)


def _box(content: random.Random) -> tuple[str, str]:
    """A rectangle as CVAT's XML and as COCO's JSON write it."""
    left, top, right, bottom = (round(content.uniform(0, 1920), 2) for _ in range(4))
    label = content.choice(("car", "person", "bicycle", "traffic light"))
    number = content.randrange(1_000_000)
    return (
        (
            f'    <box label="{label}" source="manual" occluded="0" xtl="{left}" ytl="{top}" '
            f'xbr="{right}" ybr="{bottom}" z_order="0">\n    </box>\n'
        ),
        (
            f'{{"id": {number}, "image_id": {number % 997}, "category_id": {number % 7}, '
            f'"segmentation": [], "area": {left * top:.2f}, '
            f'"bbox": [{left}, {top}, {right}, {bottom}], "iscrowd": 0}}, '
        ),
    )


def _kept(archive: Path, compression: int, write: Callable[[zipfile.ZipFile], None]) -> Path:
    if not archive.exists():
        print(f"  making {archive}", flush=True)
        archive.parent.mkdir(parents=True, exist_ok=True)
        unfinished = archive.with_suffix(".part")
        with zipfile.ZipFile(unfinished, "w", compression) as target:
            write(target)
        unfinished.replace(archive)
    return archive


def contents(archive: Path) -> dict[str, tuple[int, int]]:
    """What a tree of the archive holds: path, size and CRC-32, as the archive says itself."""
    with zipfile.ZipFile(archive) as source:
        return {
            info.filename: (info.file_size, info.CRC)
            for info in source.infolist()
            if not info.is_dir()
        }


@contextlib.contextmanager
def serve(archive: Path) -> Iterator[str]:
    """Serve the archive from a process of its own and yield its URL."""
    with subprocess.Popen(
        [sys.executable, str(_SERVER), str(archive)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as server:
        assert server.stdout is not None
        port = int(server.stdout.readline())
        try:
            yield f"http://127.0.0.1:{port}"
        finally:
            server.terminate()
