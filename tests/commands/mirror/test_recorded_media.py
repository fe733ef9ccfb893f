"""Mirror the media of recorded tasks without exports, and compare them with recorded bytes."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from pathlib import Path
from typing import Any

import pytest
from engine_serving import QUICK, files, serving

import asynccvat as ac
from asynccvat.core.media.chunks import paths_of_members, read_task_media
from asynccvat.core.paths import NameRules
from asynccvat.simulator.world.content import Frame
from asynccvat.simulator.world.media import StoredFile, TaskMedia

pytestmark = pytest.mark.anyio

JSON = ac.ExportSpec("CVAT JSON", images=True)
TASKS = (10, 275, 280, 284, 300)


@pytest.fixture(scope="session")
def contract(shared: Path) -> Path:
    return shared / "contract"


def exchanges(contract: Path) -> dict[str, Any]:
    recorded = json.loads((contract / "http-2.64" / "media_264.json").read_bytes())
    return {one["label"]: one["response"] for one in recorded["exchanges"]}


def members(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def test_the_recorded_chunk_is_a_zip_of_the_originals_in_the_order_of_the_frames(
    contract: Path,
) -> None:
    recorded = exchanges(contract)
    originals = members(contract / "exports-2.64" / "backup_task4.zip")
    told = recorded["images: metadata"]["body"].encode()
    media = read_task_media(told, 4, is_video=False, rules=NameRules())
    (chunk,) = media.chunks
    names = [f"{number:06d}.jpg" for number in range(len(chunk.paths))]
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name, path in zip(names, paths_of_members(names, chunk), strict=True):
            assert path is not None
            info = zipfile.ZipInfo(name, (2026, 11, 29, 7, 10, 40))
            info.external_attr = 0o600 << 16
            archive.writestr(info, originals[f"data/{path.removeprefix('images/')}"])
    response = recorded["images: chunk 0, original"]
    assert hashlib.sha256(stream.getvalue()).hexdigest() == response["body_sha256"]
    frame = originals["data/t002_f0.jpg"]
    response = recorded["images: frame 0, original"]
    assert hashlib.sha256(frame).hexdigest() == response["body_sha256"]


async def test_images_equal_those_of_recorded_exports_also_with_unusual_names(
    contract: Path, data: Path, tmp_path: Path
) -> None:
    async with serving(len(TASKS), frames=0, projects=0) as serve:
        wanted: dict[str, bytes] = {}
        for task_id, recorded in enumerate(TASKS, start=1):
            export = members(contract / "exports" / f"task{recorded}_cvat-for-images-11_images.zip")
            images = {name: one for name, one in export.items() if name.startswith("images/")}
            assert images
            wanted |= {f"task{task_id}/{name}": one for name, one in images.items()}
            frames = []
            for index, (name, content) in enumerate(sorted(images.items())):
                stored = tmp_path / f"{task_id}-{index}"
                stored.write_bytes(content)
                source = StoredFile(stored, 0, len(content))
                short = name.removeprefix("images/")
                frames.append(Frame(index, short, 640, 480, 0, None, source))
            media = TaskMedia(tuple(frames), (), stop_frame=len(frames) - 1)
            serve.server.world.fill_task(task_id, media, data_chunk_size=4)
        report = await ac.mirror(serve.client, data, None, JSON, options=QUICK)
        assert report.ok, report.failures
        found = {name: one for name, one in files(data).items() if "/images/" in name}
        assert found == wanted


@pytest.mark.parametrize("task_id", [4, 341])
async def test_images_equal_the_files_of_a_restored_backup(
    contract: Path, data: Path, task_id: int
) -> None:
    backup = contract / "exports-2.64" / f"backup_task{task_id}.zip"
    async with serving(0) as serve:
        assert (await ac.restore(serve.client, backup)).ok
        report = await ac.mirror(serve.client, data, None, JSON, options=QUICK)
        assert report.ok, report.failures
        (folder,) = (place for place in data.glob("task*"))
        found = files(folder / "images")
        held = members(backup).items()
        wanted = {name.removeprefix("data/"): one for name, one in held if name.endswith(".jpg")}
        assert found == wanted
