"""Mirror archives that a real CVAT exported, and compare them file by file."""

from __future__ import annotations

import json
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest
from engine_serving import QUICK, actions, files, kept, serving

import asynccvat as ac
from asynccvat.archives import session
from asynccvat.simulator import Fault

pytestmark = pytest.mark.anyio

KINDS = [
    (name, images)
    for name in (
        "CVAT for images 1.1",
        "COCO 1.0",
        "Datumaro 1.0",
        "PASCAL VOC 1.1",
        "Ultralytics YOLO Detection 1.0",
    )
    for images in (False, True)
]


@pytest.fixture(scope="session")
def exports(shared: Path) -> Path:
    return shared / "contract" / "exports"


def recorded(exports: Path, name: str, *, images: bool) -> dict[int, Path]:
    """Return the archives of one kind, by task."""
    return {
        entry["task_id"]: exports / entry["file"]
        for entry in json.loads((exports / "index.json").read_bytes())
        if (entry["format"], entry["save_images"]) == (name, images)
    }


def content(archives: dict[int, Path]) -> dict[str, bytes]:
    """Return the files that Python's `zipfile` reads in them, below a mirror's folder names."""
    held = {}
    for task_id, path in archives.items():
        with zipfile.ZipFile(path) as archive:
            for name in archive.namelist():
                held[f"task{task_id}/{name}"] = archive.read(name)
    return held


@pytest.mark.parametrize(("name", "images"), [*KINDS, ("CVAT for video 1.1", False)])
@pytest.mark.parametrize("way", ["ranges", "in memory", "spooled"])
async def test_a_mirror_equals_the_recorded_archives(
    exports: Path, data: Path, monkeypatch: pytest.MonkeyPatch, name: str, *, images: bool, way: str
) -> None:
    if way == "spooled":
        monkeypatch.setattr(session, "IN_MEMORY", 0)
    archives = recorded(exports, name, images=images)
    assert archives
    async with serving(0, projects=0, archives=exports) as serve:
        if way != "ranges":
            serve.server.faults.add(Fault(path="dataset/download", ignore_range=True, times=None))
        selection = ac.Selection(task_ids=sorted(archives))
        spec = ac.ExportSpec(name, images=images)
        report = await ac.mirror(serve.client, data, selection, spec, options=QUICK)
        assert report.ok, report.failures
        assert files(data) == content(archives)
        report = await ac.mirror(serve.client, data, selection, spec, options=QUICK)
        assert set(actions(report).values()) == {("kept", "unchanged")}


async def test_kept_archives_are_the_servers_own_bytes(exports: Path, data: Path) -> None:
    archives = recorded(exports, "CVAT for images 1.1", images=True)
    async with serving(0, projects=0, archives=exports) as serve:
        selection = ac.Selection(task_ids=sorted(archives))
        spec = ac.ExportSpec(images=True)
        options = replace(QUICK, keep_archive=True)
        report = await ac.mirror(serve.client, data, selection, spec, options=options)
        assert report.ok, report.failures
        assert files(data) == content(archives)
        held = {path.read_bytes() for path in (data / ".asynccvat" / "archives").iterdir()}
        assert held == {path.read_bytes() for path in archives.values()}


async def test_images_are_added_to_annotations_mirrored_without_them(
    exports: Path, data: Path
) -> None:
    async with serving(0, projects=0, archives=exports) as serve:
        selection = ac.Selection(task_ids=[10])
        for images in (False, True, False):
            spec = ac.ExportSpec(images=images)
            report = await ac.mirror(
                serve.client, data, selection, spec, options=replace(QUICK, change=True)
            )
            assert report.ok
            archives = recorded(exports, "CVAT for images 1.1", images=images)
            assert files(data) == content({10: archives[10]})
        assert kept(data) == {}


async def test_a_task_without_an_archive_in_that_format_fails_alone(
    exports: Path, data: Path
) -> None:
    async with serving(0, projects=0, archives=exports) as serve:
        selection = ac.Selection(task_ids=[10, 300])
        spec = ac.ExportSpec("Datumaro 1.0")
        report = await ac.mirror(serve.client, data, selection, spec, options=QUICK)
        assert actions(report) == {10: ("fetched", "new"), 300: ("failed", "new")}
