"""Folders of images for `create`, and what a simulated server has made of them."""

from __future__ import annotations

import json
from pathlib import Path

import aiohttp
from engine_serving import Serving
from media_files import png

import asynccvat as ac
from asynccvat.models import Task

QUICK = ac.CreateOptions(durable=False)
PROJECT = 1


def write(root: Path, files: dict[str, bytes]) -> Path:
    """Write files below a folder."""
    for name, data in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return root


def images(root: Path, **folders: int) -> Path:
    """Write folders with so many images each; no two are the same."""
    for folder, count in folders.items():
        write(
            root,
            {
                f"{folder}/{number}.png": png(2 + number, 3, f"{folder} {number}".encode())
                for number in range(count)
            },
        )
    return root


async def new_tasks(serve: Serving, before: int = 0) -> dict[str, Task]:
    """Return the tasks with an id above another, by their names, of which none is twice."""
    listing = await serve.client.tasks()
    found = [task for task in listing.tasks if task.id > before]
    names = [task.name for task in found]
    assert len(set(names)) == len(names), f"made twice: {names}"
    return {task.name: task for task in found}


async def frame_names(serve: Serving, task_id: int) -> list[str]:
    """Return the names of a task's frames, as the server has them."""
    url = f"{serve.server.url}/api/tasks/{task_id}/data/meta"
    headers = {"Authorization": f"Token {serve.server.token}"}
    async with aiohttp.ClientSession(headers=headers) as session, session.get(url) as answer:
        meta = json.loads(await answer.read())
    return [frame["name"] for frame in meta["frames"]]
