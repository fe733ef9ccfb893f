"""Folders of ready archives: tasks whose exports are existing files.

A folder either has an `index.json`, a list of objects with `file`, `task_id`, `task_name`, `format`
and `save_images`, or just archives named `task<ID>.zip` or `task<ID>_<format>_<images>.zip`, as in
`task10_coco-10_annotations.zip`. If the name has no format, the archive is served for every format.
The same holds for `images` and `annotations`. The content is not checked: an archive may be broken
on purpose.
"""

from __future__ import annotations

import json
import re
import zipfile
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from html import unescape
from pathlib import Path
from typing import Any, Final

from asynccvat.simulator.formats.archives import WRITTEN_FORMATS
from asynccvat.simulator.world.tasks import Project, ReadyArchive, Task
from asynccvat.simulator.world.world import World

_FILE_NAME: Final = re.compile(r"task(?P<id>\d+)(?:_(?P<rest>.*))?\.zip")
_IMAGES: Final = {"images": True, "annotations": False}
_HEAD: Final = 64 * 1024
"""Bytes at the start of an `annotations.xml` that hold the facts about its task."""


@dataclass(frozen=True, slots=True)
class _ListedArchive:
    """One archive of a folder and the task that it belongs to."""

    task_id: int
    task_name: str | None
    archive: ReadyArchive


def add_ready_archives(world: World, folder: Path) -> None:
    """Add a project, named like the folder, with the tasks of its archives.

    The tasks keep the ids that the archives have, and replace generated ones of the same id. The
    `updated_date` of a task is the time at which the newest of its archives was written.

    Raises:
        ValueError: The folder has no archives, or its `index.json` cannot be read or lists an
            archive that does not exist.
        OSError: The folder cannot be read.
    """
    listed = _index(folder) if (folder / "index.json").exists() else _named(folder)
    if not listed:
        raise ValueError(f"{folder} has no archives: name them task<ID>.zip, or add an index.json")
    project_id = max(world.projects, default=0) + 1
    tasks = [
        _task(task_id, project_id, [one for one in listed if one.task_id == task_id])
        for task_id in sorted({one.task_id for one in listed})
    ]
    world.tasks.update((task.id, task) for task in tasks)
    world.projects[project_id] = Project(
        id=project_id,
        name=folder.resolve().name,
        labels=(),
        created_date=min(task.created_date for task in tasks),
        updated_date=max(task.updated_date for task in tasks),
    )
    world.version += 1


def _index(folder: Path) -> list[_ListedArchive]:
    path = folder / "index.json"
    try:
        entries = json.loads(path.read_bytes())
        listed = [_entry(folder, entry) for entry in entries]
    except (ValueError, TypeError, KeyError) as error:
        reason = f"{error} is missing" if isinstance(error, KeyError) else str(error)
        raise ValueError(
            f"{path} is not a list of archives: {reason}. "
            "Give each archive file, task_id, task_name, format and save_images."
        ) from error
    missing = [one.archive.path.name for one in listed if not one.archive.path.is_file()]
    if missing:
        raise ValueError(f"{path} lists archives that do not exist: {', '.join(missing)}")
    return listed


def _entry(folder: Path, entry: dict[str, Any]) -> _ListedArchive:
    archive = ReadyArchive(folder / entry["file"], entry["format"], entry["save_images"])
    return _ListedArchive(int(entry["task_id"]), str(entry["task_name"]), archive)


def _named(folder: Path) -> list[_ListedArchive]:
    listed = []
    for path in sorted(folder.iterdir()):
        match = _FILE_NAME.fullmatch(path.name)
        if match:
            parts = (match["rest"] or "").split("_")
            archive = ReadyArchive(path, _format(parts), _save_images(parts))
            listed.append(_ListedArchive(int(match["id"]), None, archive))
    return listed


def _format(parts: Iterable[str]) -> str | None:
    slugs = {
        re.sub("[^a-z0-9]+", "-", name.lower().replace(".", "")): name for name in WRITTEN_FORMATS
    }
    return next((slugs[part] for part in parts if part in slugs), None)


def _save_images(parts: Iterable[str]) -> bool | None:
    return next((_IMAGES[part] for part in parts if part in _IMAGES), None)


def _task(task_id: int, project_id: int, listed: list[_ListedArchive]) -> Task:
    known: dict[str, str] = {}
    for one in listed:
        known = {**_facts(one.archive.path), **known}
    written = [datetime.fromtimestamp(one.archive.path.stat().st_mtime, UTC) for one in listed]
    names = [one.task_name for one in listed if one.task_name]
    return Task(
        id=task_id,
        name=names[0] if names else known.get("name", f"task{task_id}"),
        project_id=project_id,
        labels=(),
        size=int(known.get("size", 1)),
        created_date=min(written),
        updated_date=max(written),
        subset=known.get("subset", ""),
        mode=known.get("mode", "annotation"),
        ready=tuple(one.archive for one in listed),
    )


def _facts(path: Path) -> dict[str, str]:
    """Read name, size, mode and subset of the task from an archive."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
            if "annotations.xml" in names:
                with archive.open("annotations.xml") as member:
                    return _facts_of_xml(member.read(_HEAD).decode(errors="replace"))
            return _facts_of_names(names)
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, NotImplementedError, zlib.error):
        return {}  # broken archives are served, too
    except RuntimeError:  # zipfile: a member is encrypted
        return {}


def _facts_of_names(names: list[str]) -> dict[str, str]:
    """Read subset and number of images from file names of COCO and Datumaro."""
    facts = {}
    images = sum(name.startswith("images/") for name in names)
    if images:
        facts["size"] = str(images)
    for name in names:
        match = re.fullmatch(r"annotations/(?:instances_)?([^/]+)\.json", name)
        if match and match[1] != "default":
            facts["subset"] = match[1]
    return facts


def _facts_of_xml(text: str) -> dict[str, str]:
    facts = {}
    for name in ("name", "size", "mode", "subset"):
        match = re.search(f"<{name}>([^<]*)</{name}>", text)
        if match:
            facts[name] = unescape(match[1])
    if not facts.get("size", "").isdecimal():
        facts.pop("size", None)
    if facts.get("subset") == "default":
        del facts["subset"]
    return facts
