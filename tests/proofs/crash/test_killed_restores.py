"""SIGKILL at every effect and every call that counts: no task twice, none lost, none half.

A restore or an import is killed at its n-th moment, for every n. The next run ends like one that
was never killed: the server then has the same tasks, with the same annotations, in the same
projects. The quick run takes a sample of the moments. With `--thorough` each is taken, before and
after, and the next run is killed as well.
"""

from __future__ import annotations

import asyncio
import io
import json
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from restore_processes import RestoreJob, run
from restoring import store_backup

import asynccvat
from asynccvat.simulator.options import SimulatorOptions
from asynccvat.simulator.server import SimulatedServer
from asynccvat.simulator.threads import serve_in_thread
from asynccvat.simulator.world.jpeg import draw_jpeg

pytestmark = pytest.mark.proof("Killed restores")

SAMPLE = 3
Files = dict[int, bytes]


JPEG = draw_jpeg(1, 64, 48)

LABELS = [{"name": "car", "color": "#2080c0", "type": "any", "attributes": [], "sublabels": []}]


def task_members(name: str, boxes: int) -> dict[str, bytes]:
    """The members of a task's backup, as CVAT 2.64 writes them."""
    box = {
        "type": "rectangle",
        "occluded": False,
        "outside": False,
        "z_order": 0,
        "rotation": 0.0,
        "points": [1.0, 2.0, 30.0, 40.0],
        "frame": 0,
        "group": None,
        "source": "manual",
        "attributes": [],
        "elements": [],
        "label": "car",
    }
    data = {
        "chunk_size": 72,
        "image_quality": 70,
        "start_frame": 0,
        "stop_frame": 0,
        "storage_method": "cache",
        "sorting_method": "lexicographical",
        "chunk_type": "imageset",
        "deleted_frames": [],
        "storage": "local",
    }
    job = {"status": "annotation", "type": "annotation", "start_frame": 0, "stop_frame": 0}
    task = {
        "name": name,
        "bug_tracker": "",
        "status": "annotation",
        "subset": "",
        "labels": LABELS,
        "version": "1.0",
        "data": data,
        "jobs": [job],
    }
    frame = {"name": "a", "extension": ".jpg", "width": 64, "height": 48, "meta": {}}
    manifest = '{"version":"1.1"}\n{"type":"images"}\n' + json.dumps(frame) + "\n"
    annotations = [{"version": 0, "tags": [], "shapes": [box] * boxes, "tracks": []}]
    return {
        "data/a.jpg": JPEG,
        "data/manifest.jsonl": manifest.encode(),
        "task.json": json.dumps(task).encode(),
        "annotations.json": json.dumps(annotations).encode(),
    }


def zipped(members: dict[str, bytes]) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return content.getvalue()


@pytest.fixture(scope="module")
def contents() -> dict[str, Files]:
    """The backups of two tasks, and of a project with both."""
    parts = [task_members(f"street {boxes}", boxes) for boxes in (2, 3)]
    project = {"name": "town", "bug_tracker": "", "status": "annotation", "labels": LABELS}
    members = {"project.json": json.dumps({**project, "version": "1.0"}).encode()}
    for number, part in enumerate(parts):
        members |= {f"task_{number}/{name}": data for name, data in part.items()}
    return {
        "task": {7: zipped(parts[0]), 8: zipped(parts[1])},
        "project": {4: zipped(members)},
    }


def state(server: SimulatedServer) -> Any:
    """What the server has that a restore made or changed, without ids and dates."""

    async def read() -> Any:
        async with asynccvat.CvatClient(server.url, token=server.token) as client:
            projects = {one.id: one.name for one in await client.projects()}
            tasks = [
                (
                    task.name,
                    task.size,
                    projects.get(task.project_id or 0),
                    (await client.annotations(task.id)).counts.to_json(),
                )
                for task in (await client.tasks()).tasks
            ]
            return sorted(tasks, key=str), sorted(projects.values())

    return asyncio.run(read())


@pytest.fixture
def place(tmp_path: Path) -> Callable[[], Path]:
    """Make a new folder each time."""
    made = iter(range(100_000))
    return lambda: tmp_path / str(next(made))


SCENARIOS = ("tasks", "tasks into a project", "project", "datasets")


def dataset(subset: str) -> bytes:
    """A COCO dataset of one image with one box."""
    box = {"id": 1, "image_id": 1, "category_id": 1, "bbox": [1, 2, 9, 9], "area": 81}
    coco = {
        "images": [{"id": 1, "file_name": f"{subset}.jpg", "width": 64, "height": 48}],
        "categories": [{"id": 1, "name": "car"}],
        "annotations": [{**box, "iscrowd": 0, "segmentation": []}],
    }
    return zipped(
        {
            f"annotations/instances_{subset}.json": json.dumps(coco).encode(),
            f"images/{subset}/{subset}.jpg": JPEG,
        }
    )


def prepared(scenario: str, contents: dict[str, Files], source: Path) -> dict[str, Any]:
    if scenario == "datasets":
        source.mkdir()
        paths = tuple(source / f"{subset}.zip" for subset in ("train", "val"))
        for path in paths:
            path.write_bytes(dataset(path.stem))
        return {"datasets": paths, "project": 1}
    kind = "project" if scenario == "project" else "task"
    for number, content in contents[kind].items():
        store_backup(source, number, content, target=kind)
    into = 1 if scenario == "tasks into a project" else None
    return {"projects": kind == "project", "project": into}


def ended(
    contents: dict[str, Files], scenario: str, source: Path, *deaths: tuple[int, bool]
) -> tuple[Any, list[str], int]:
    """Run until a run lives. Returns the server's state, its moments, and how many were killed."""
    options = SimulatorOptions(tasks=1, frames=1)
    with serve_in_thread(options) as server:
        what = prepared(scenario, contents, source)
        job = RestoreJob(server.url, server.token, source, **what)
        killed = 0
        for die_at, after in deaths:
            told = run(replace(job, die_at=die_at, after=after))
            if told is not None:
                break
            killed += 1
        else:
            told = run(job)
        assert told is not None
        assert told["ok"], told["report"]
        return state(server), told["moments"], killed


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_a_killed_restore_ends_like_one_never_killed(
    scenario: str,
    contents: dict[str, Files],
    place: Callable[[], Path],
    count_cases: Callable[[int], None],
    *,
    thorough: bool,
) -> None:
    undisturbed, moments, _ = ended(contents, scenario, place())
    assert len(moments) > 10
    assert any("Upload-Finish" in name for name in moments)
    step = 1 if thorough else max(len(moments) // SAMPLE, 1)
    for die_at in range(1, len(moments) + 1, step):
        for after in (False, True) if thorough else (die_at % 2 == 0,):
            found, _, killed = ended(contents, scenario, place(), (die_at, after))
            assert found == undisturbed, (die_at, after)
            count_cases(killed)


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_the_call_that_counts_is_made_once_whenever_a_kill_comes(
    scenario: str,
    contents: dict[str, Files],
    place: Callable[[], Path],
    count_cases: Callable[[int], None],
) -> None:
    undisturbed, moments, _ = ended(contents, scenario, place())
    first = next(n for n, name in enumerate(moments, 1) if "Upload-Finish" in name)
    for after in (False, True):
        found, _, killed = ended(contents, scenario, place(), (first, after))
        assert (found, killed) == (undisturbed, 1), after
        count_cases(killed)


@pytest.mark.thorough
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_the_next_run_may_be_killed_as_well(
    scenario: str,
    contents: dict[str, Files],
    place: Callable[[], Path],
    count_cases: Callable[[int], None],
) -> None:
    undisturbed, moments, _ = ended(contents, scenario, place())
    for first in range(1, len(moments) + 1, 3):
        for second in range(1, len(moments) + 1, 5):
            for after in (False, True):
                deaths = ((first, after), (second, not after))
                found, _, killed = ended(contents, scenario, place(), *deaths)
                assert found == undisturbed, deaths
                count_cases(killed)
