"""Write backups of tasks and projects: `task.json`, `annotations.json` and `data/`."""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from typing import Any, BinaryIO, Final

import msgspec

from asynccvat.simulator.formats.annotations_json import annotations_json, label_json
from asynccvat.simulator.world.tasks import Task

_MEMBER_TIME: Final = (1980, 1, 1, 0, 0, 0)


def write_backup(stream: BinaryIO, tasks: Sequence[Task], *, of_project: bool) -> None:
    """Write a backup to a seekable binary stream.

    Args:
        stream: Where to write; it stays open.
        tasks: The task, or the tasks of a project.
        of_project: Whether each task gets a folder.
    """
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_STORED) as archive:
        for number, task in enumerate(tasks):
            folder = f"task_{number}/" if of_project else ""
            for frame in task.frames():
                archive.writestr(_entry(f"{folder}data/{frame.name}"), frame.data())
            value: dict[str, Any] = {"name": task.name, "subset": task.subset}
            value["labels"] = [label_json(label) for label in task.labels]
            archive.writestr(_entry(f"{folder}task.json"), msgspec.json.encode(value))
            annotations = [annotations_json(task.annotations())]
            archive.writestr(_entry(f"{folder}annotations.json"), msgspec.json.encode(annotations))


def _entry(name: str) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name, _MEMBER_TIME)
    entry.external_attr = 0o100644 << 16
    return entry
