"""Check updates of tasks with images: annotations are transferred, images are reused."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from engine_serving import QUICK, Serving, actions, files, kept, outcome, serving

import asynccvat as ac
from asynccvat.simulator.formats.archives import WRITTEN_FORMATS

pytestmark = pytest.mark.anyio

TEXTS = (".xml", ".json", ".txt", ".yaml")


def needed(tree: Iterable[tuple[str, int]]) -> int:
    """Bytes of the texts among the members of an archive, and of its directory.

    What is asked for first is predicted, with a little to spare.
    """
    total = 22 + 64
    for name, size in tree:
        length = len(name.encode())
        total += 46 + length
        if name.endswith(TEXTS):
            total += (30 + length + size) * 21 // 20
    return total


def sizes(tree: dict[str, bytes], folder: str) -> list[tuple[str, int]]:
    return [
        (path.removeprefix(folder), len(content))
        for path, content in tree.items()
        if path.startswith(folder)
    ]


@pytest.fixture(scope="session")
def exports(shared: Path) -> Path:
    return shared / "contract" / "exports"


def edit(archive: Path) -> None:
    """Change the annotations in an archive as an edit of the task does, and nothing else."""
    with zipfile.ZipFile(archive) as source:
        members = [(info, source.read(info)) for info in source.infolist()]
    with zipfile.ZipFile(archive, "w") as target:
        for info, content in members:
            annotates = info.filename.endswith(("annotations.xml", ".json")) or (
                info.filename.startswith(("Annotations/", "labels/"))
            )
            target.writestr(info, content[::-1] if annotates else content)


def touch(serve: Serving, task_id: int) -> None:
    """Edit a task whose archives are ready."""
    tasks = serve.server.tasks
    later = tasks[task_id].updated_date + timedelta(seconds=1)
    tasks[task_id] = replace(tasks[task_id], updated_date=later)
    serve.server.world.version += 1


@pytest.mark.parametrize(
    "name",
    [
        "CVAT for images 1.1",
        "COCO 1.0",
        "Datumaro 1.0",
        "PASCAL VOC 1.1",
        "Ultralytics YOLO Detection 1.0",
    ],
)
async def test_an_update_of_recorded_archives_transfers_the_annotations_only(
    exports: Path, data: Path, tmp_path: Path, name: str
) -> None:
    folder = tmp_path / "archives"
    folder.mkdir()
    index = [
        entry
        for entry in json.loads((exports / "index.json").read_bytes())
        if entry["format"] == name and entry["save_images"]
    ]
    for entry in index:
        (folder / entry["file"]).write_bytes((exports / entry["file"]).read_bytes())
    (folder / "index.json").write_text(json.dumps(index))
    spec = ac.ExportSpec(name, images=True)
    async with serving(0, projects=0, archives=folder) as serve:
        assert (await ac.mirror(serve.client, data, spec=spec, options=QUICK)).ok
        before = files(data)
        for entry in index:
            edit(folder / entry["file"])
            touch(serve, entry["task_id"])
        report = await ac.mirror(serve.client, data, spec=spec, options=QUICK)
        assert set(actions(report).values()) == {("fetched", "changed")}
    expected: dict[str, bytes] = {}
    for entry in index:
        with zipfile.ZipFile(folder / entry["file"]) as archive:
            of_task = {one: archive.read(one) for one in archive.namelist()}
        task_id = entry["task_id"]
        expected |= {f"task{task_id}/{one}": content for one, content in of_task.items()}
        bound = needed((one, len(content)) for one, content in of_task.items())
        assert outcome(report, task_id).transferred <= bound
    assert files(data) == expected != before
    assert kept(data) == {}


@pytest.mark.parametrize("name", [name for name in WRITTEN_FORMATS if not name.startswith("Kitti")])
@pytest.mark.parametrize("subset", ["", "train"], ids=["no subset", "subset"])
async def test_an_update_in_any_format_transfers_the_annotations_only(
    data: Path, name: str, subset: str
) -> None:
    spec = ac.ExportSpec(name, images=True)
    async with serving(2, frames=12, frame_bytes=20_000, subsets=(subset,)) as serve:
        assert (await ac.mirror(serve.client, data, spec=spec, options=QUICK)).ok
        inodes = {path: path.stat().st_ino for path in data.rglob("*.jpg")}
        serve.server.edit_task(1)
        report = await ac.mirror(serve.client, data, spec=spec, options=QUICK)
        assert actions(report) == {1: ("fetched", "changed"), 2: ("kept", "unchanged")}
        now = files(data)
        assert now == await serve.archives(spec)
    assert outcome(report, 1).transferred <= needed(sizes(now, "task1/"))
    assert {path: path.stat().st_ino for path in data.rglob("*.jpg")} == inodes
    assert kept(data) == {}


async def test_another_subset_and_other_images_are_fetched_whole(data: Path) -> None:
    spec = ac.ExportSpec("COCO 1.0", images=True)
    async with serving(1, frames=6, frame_bytes=100_000) as serve:
        assert (await ac.mirror(serve.client, data, spec=spec, options=QUICK)).ok
        serve.server.change_task(1, subset="a subset with a rather long name")
        assert (await ac.mirror(serve.client, data, spec=spec, options=QUICK)).ok
        assert files(data) == await serve.archives(spec)
        serve.server.tasks[1] = replace(serve.server.tasks[1], size=12)
        touch(serve, 1)
        report = await ac.mirror(serve.client, data, spec=spec, options=QUICK)
        assert files(data) == await serve.archives(spec)
    assert outcome(report, 1).transferred < 6 * 100_000 + 30_000


async def test_members_of_another_format_are_not_reused(data: Path) -> None:
    async with serving(1, frames=12, frame_bytes=60_000) as serve:
        spec = ac.ExportSpec("COCO 1.0", images=True)
        assert (await ac.mirror(serve.client, data, spec=spec, options=QUICK)).ok
        since = len(serve.server.calls)
        options = replace(QUICK, change=True)
        assert (await ac.mirror(serve.client, data, spec=ac.ExportSpec(), options=options)).ok
        assert files(data) == await serve.archives()
        # One request reads all of the small archive.
        (download,) = serve.calls("dataset/download", since=since)[:-1]
        assert download.bytes_sent > 0
