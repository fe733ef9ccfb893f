"""Backups, datasets and media for runs that change a server, and what the server has afterwards."""

from __future__ import annotations

import functools
import io
import json
import zipfile
from pathlib import Path
from typing import Any

from media_files import large_png, png
from restoring import store_backup

import asynccvat
from asynccvat.simulator.server import SimulatedServer
from asynccvat.simulator.world.jpeg import draw_jpeg

JPEG = draw_jpeg(1, 64, 48)
LABELS = [{"name": "car", "color": "#2080c0", "type": "any", "attributes": [], "sublabels": []}]
PROJECT = 1
"""A project that the server has, into which tasks and datasets go."""


async def held(server: SimulatedServer) -> Any:
    """What a server has, without ids and dates."""
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


# --- restores ------------------------------------------------------------------------------------


def put_backups(folder: Path, *, projects: bool = False) -> None:
    """Put the backups of two tasks, or of a project with both, into a new destination."""
    kind, contents = ("project", project_backup()) if projects else ("task", task_backups())
    for number, content in contents.items():
        store_backup(folder, number, content, target=kind)


@functools.cache
def task_backups() -> dict[int, bytes]:
    """The backups of two tasks."""
    return {7: zipped(task_members("street 2", 2)), 8: zipped(task_members("street 3", 3))}


@functools.cache
def project_backup() -> dict[int, bytes]:
    """The backup of a project with the same two tasks."""
    project = {"name": "town", "bug_tracker": "", "status": "annotation", "labels": LABELS}
    members = {"project.json": json.dumps({**project, "version": "1.0"}).encode()}
    for number, boxes in enumerate((2, 3)):
        part = task_members(f"street {boxes}", boxes)
        members |= {f"task_{number}/{name}": data for name, data in part.items()}
    return {4: zipped(members)}


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
    """A zip with these members."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return content.getvalue()


# --- imports of datasets -------------------------------------------------------------------------


def put_datasets(folder: Path) -> tuple[Path, ...]:
    """Put two datasets into a new folder. Returns their paths."""
    folder.mkdir(parents=True)
    paths = datasets_in(folder)
    for path in paths:
        path.write_bytes(dataset(path.stem))
    return paths


def datasets_in(folder: Path) -> tuple[Path, ...]:
    """Return the paths of the datasets in a folder."""
    return tuple(folder / f"{subset}.zip" for subset in ("train", "val"))


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


# --- new tasks -----------------------------------------------------------------------------------


def put_media(folder: Path) -> Path:
    """Put images of two tasks into a new folder, one of them with annotations. Returns it."""
    for name, count in (("cam1", 3), ("cam2", 1)):
        (folder / name).mkdir(parents=True)
        for number in range(count):
            (folder / name / f"{number}.png").write_bytes(png(3 + number, 3))
    # So much is sent in pieces, and the other folder in one call.
    (folder / "cam1" / "0.png").write_bytes(large_png(1_200_000))
    (folder / "cam2" / "annotations.xml").write_text(
        '<annotations><image id="0" name="0.png" width="3" height="3"><box label="car" xtl="0" '
        'ytl="0" xbr="1" ybr="1" occluded="0"/></image></annotations>'
    )
    return folder
