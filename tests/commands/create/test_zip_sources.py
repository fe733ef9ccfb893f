"""Images are sent as one zip that no disk ever holds, from any offset with the same bytes."""

from __future__ import annotations

import io
import os
import zipfile
from pathlib import Path

import pytest
from anyio import to_thread
from hypothesis import given, settings
from hypothesis import strategies as st

from asynccvat.commands.create.sources import media_units
from asynccvat.commands.create.zip_source import ZipOfFiles
from asynccvat.core.options.create import CreateOptions
from asynccvat.core.plans.create_units import ListedFile
from asynccvat.errors import UploadError

pytestmark = pytest.mark.anyio


def listed(root: Path, files: dict[str, bytes]) -> list[ListedFile]:
    """Write files, and list them."""
    found = []
    for name, data in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        found.append(ListedFile(name, len(data), path.stat().st_mtime_ns))
    return found


async def read(source: ZipOfFiles, offset: int = 0) -> bytes:
    pieces = source.pieces(offset, source.size - offset)
    return b"".join([piece async for piece in pieces])


FILES = {"cam/a.jpg": b"first" * 1000, "cam/left/\u00fc.png": bytes(range(256)), "cam/e.jpg": b""}


async def test_the_zip_holds_the_files_with_their_folders(tmp_path: Path) -> None:
    files = listed(tmp_path, FILES)
    source = ZipOfFiles(tmp_path, files, folder="cam/", shown="cam")
    with zipfile.ZipFile(io.BytesIO(await read(source))) as archive:
        assert archive.testzip() is None
        found = {name: archive.read(name) for name in archive.namelist()}
    assert found == {name.removeprefix("cam/"): data for name, data in FILES.items()}
    assert (source.filename, source.shown) == ("images.zip", "cam")


@settings(max_examples=30)
@given(st.data())
async def test_another_process_goes_on_at_any_offset(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    root = tmp_path_factory.mktemp("images")
    files = listed(root, FILES)
    whole = await read(ZipOfFiles(root, files, folder="", shown="cam"))
    later = ZipOfFiles(root, files, folder="", shown="cam")
    offset = data.draw(st.integers(0, later.size - 1))
    assert await read(later, offset) == whole[offset:]
    # The same source may go back, too: a server may have less than was sent.
    earlier = data.draw(st.integers(0, offset))
    assert await read(later, earlier) == whole[earlier:]


async def test_a_large_file_is_read_in_pieces(tmp_path: Path) -> None:
    files = listed(tmp_path, {"a.jpg": os.urandom(3_000_000)})
    source = ZipOfFiles(tmp_path, files, folder="", shown="a")
    sizes = [len(piece) async for piece in source.pieces(0, source.size)]
    assert max(sizes) <= 1 << 20
    assert sum(sizes) == source.size


@pytest.mark.parametrize("change", ["shorter", "gone", "touched"])
async def test_a_file_that_changes_while_it_is_sent_is_named(tmp_path: Path, change: str) -> None:
    files = listed(tmp_path, {"a.jpg": b"first", "b.jpg": b"second"})
    source = ZipOfFiles(tmp_path, files, folder="", shown="cam")
    await source.check_unchanged()
    path = tmp_path / "b.jpg"
    if change == "shorter":
        path.write_bytes(b"sec")
    elif change == "gone":
        path.unlink()
    else:
        os.utime(path, ns=(1, 1))
    with pytest.raises(UploadError, match=r"cannot send 'b\.jpg': it .* during the upload"):
        await source.check_unchanged()
    if change != "touched":
        with pytest.raises(UploadError, match=r"cannot send 'b\.jpg'"):
            await read(source)


async def test_a_hundred_thousand_images_are_laid_out_in_little_memory(tmp_path: Path) -> None:
    files = [ListedFile(f"cam/{number:06}.jpg", 20_000, 1) for number in range(100_000)]
    source = ZipOfFiles(tmp_path, files, folder="cam/", shown="cam")
    assert source.size > 2_000_000_000
    end = [piece async for piece in source.pieces(source.size - 22, 22)]
    assert end[0].startswith(b"PK\x05\x06")


async def test_the_units_of_a_folder_are_those_that_are_sent(tmp_path: Path) -> None:
    listed(tmp_path, {"cam/a.gif": b"GIF89a\x02\x00\x02\x00\x00\x00\x00,pixels\x00;"})
    (unit,) = await to_thread.run_sync(media_units, tmp_path, CreateOptions())
    source = ZipOfFiles(tmp_path, unit.files, folder=unit.folder, shown=unit.key)
    with zipfile.ZipFile(io.BytesIO(await read(source))) as archive:
        assert archive.namelist() == ["a.gif"]
