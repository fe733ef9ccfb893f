"""Read backups of tasks and projects, as CVAT's worker does that restores them.

The media stay in the uploaded zip: a frame says where its bytes lie there. Only compressed members
are unpacked. A backup that CVAT refuses is refused in CVAT's words, as far as these are recorded.
`backups` writes backups.
"""

from __future__ import annotations

import json
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, TypeVar

from asynccvat.simulator.formats.annotations_json_reader import (
    InvalidAnnotationsError,
    read_annotations_json,
)
from asynccvat.simulator.formats.backups import VERSION
from asynccvat.simulator.formats.labels_json import InvalidLabelsError, NewIds, read_labels
from asynccvat.simulator.formats.video_chunks import find_pictures
from asynccvat.simulator.formats.zip_members import MemberFiles
from asynccvat.simulator.world.annotations import Annotations, Label
from asynccvat.simulator.world.content import Frame
from asynccvat.simulator.world.media import DetachedFile, StoredFile, TaskMedia
from asynccvat.simulator.world.tasks import JobType, Task

T = TypeVar("T")

_WRONG: Final = (
    AttributeError,
    LookupError,
    TypeError,
    ValueError,
    RuntimeError,  # an encrypted member, an unknown method of compression
    EOFError,
    OSError,
    struct.error,
    zlib.error,
)
"""What reading wrong JSON, a wrong manifest or a broken member may raise."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class RestoreError(Exception):
    """A backup that CVAT does not restore; the text is the message of the failed request."""


@dataclass(frozen=True, slots=True)
class NewNumbers(NewIds):
    """Numbers for what a restore makes: labels, their attributes, annotations."""

    annotations: Iterator[int]


@dataclass(frozen=True, slots=True)
class RestoredJob:
    """One job of a backup, with the annotations that only a ground truth job has."""

    type: JobType
    start_frame: int
    stop_frame: int
    frames: tuple[int, ...] | None
    annotations: Annotations


@dataclass(frozen=True, slots=True)
class RestoredTask:
    """What a backup says about a task.

    Attributes:
        name: Its name.
        subset: Its subset, or "".
        labels: Its labels, with new numbers.
        media: Its media.
        mode: `interpolation` for a video, else `annotation`.
        jobs: Its jobs, without replicas.
        annotations: All annotations of its annotation jobs.
        fields: Further fields of the task, by name.
    """

    name: str
    subset: str
    labels: tuple[Label, ...]
    media: TaskMedia
    mode: str
    jobs: tuple[RestoredJob, ...]
    annotations: Annotations
    fields: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class RestoredProject:
    """What a backup says about a project and its tasks."""

    name: str
    labels: tuple[Label, ...]
    tasks: tuple[RestoredTask, ...]


def read_task_backup(path: Path, numbers: NewNumbers) -> RestoredTask:
    """Return the task of a backup.

    Compressed members are unpacked into further files in its folder.

    Raises:
        RestoreError: It is no backup of a task, or a broken one.
    """
    return _read(path, lambda archive: _task(archive, path, "", numbers, None))


def read_project_backup(path: Path, numbers: NewNumbers) -> RestoredProject:
    """Return the project of a backup, with its tasks.

    Raises:
        RestoreError: It is no backup of a project, or a broken one.
    """
    return _read(path, lambda archive: _project(archive, path, numbers))


def _read(path: Path, read: Callable[[zipfile.ZipFile], T]) -> T:
    try:
        with zipfile.ZipFile(path) as archive:
            return read(archive)
    except zipfile.BadZipFile as error:
        raise RestoreError(f"zipfile.BadZipFile: {error}\n") from error
    except json.JSONDecodeError as error:
        raise RestoreError(f"json.decoder.JSONDecodeError: {error}\n") from error
    except (InvalidAnnotationsError, InvalidLabelsError) as error:
        detail = f"rest_framework.exceptions.ValidationError: {error.errors}\n"
        raise RestoreError(detail) from error
    except _WRONG as error:
        raise RestoreError(f"{type(error).__name__}: {error}\n") from error


def _json(archive: zipfile.ZipFile, name: str) -> Any:
    return json.loads(archive.read(name))


def _described(archive: zipfile.ZipFile, name: str) -> dict[str, Any]:
    """Return `task.json` or `project.json`, if its version is known."""
    value = _json(archive, name)
    if not isinstance(value, dict):
        raise TypeError(f"{name} is no object")
    if value["version"] != VERSION:
        raise ValueError(f"{value['version']} version is not supported")
    return value


def _project(archive: zipfile.ZipFile, path: Path, numbers: NewNumbers) -> RestoredProject:
    value = _described(archive, "project.json")
    labels = read_labels(value["labels"], numbers)
    found = {name.partition("/")[0] for name in archive.namelist() if name.startswith("task_")}
    folders = sorted(found, key=lambda folder: int(folder.removeprefix("task_")))
    tasks = tuple(_task(archive, path, f"{folder}/", numbers, labels) for folder in folders)
    return RestoredProject(value["name"], labels, tasks)


def _task(
    archive: zipfile.ZipFile,
    path: Path,
    folder: str,
    numbers: NewNumbers,
    labels: tuple[Label, ...] | None,
) -> RestoredTask:
    value = _described(archive, f"{folder}task.json")
    entries = _json(archive, f"{folder}annotations.json")
    if labels is None:
        labels = read_labels(value["labels"], numbers)
    media, is_video = _media(archive, path, folder, value["data"])
    size = len(media.frames)
    # The annotations are read for a task that no server has, so that a failure changes nothing.
    draft = Task(0, value["name"], None, labels, size, _EPOCH, _EPOCH)
    read = [_annotations(one, draft, numbers) for one in entries]
    jobs = tuple(
        RestoredJob(
            one.get("type", "annotation"),
            one["start_frame"],
            one["stop_frame"],
            tuple(one["frames"]) if "frames" in one else None,
            annotations,
        )
        for one, annotations in zip(value["jobs"], read, strict=True)
    )
    own = [job.annotations for job in jobs if job.type == "annotation"]
    return RestoredTask(
        name=value["name"],
        subset=value.get("subset", ""),
        labels=labels,
        media=media,
        mode="interpolation" if is_video else "annotation",
        jobs=jobs,
        annotations=Annotations(
            tuple(shape for one in own for shape in one.shapes),
            tuple(tag for one in own for tag in one.tags),
            tuple(track for one in own for track in one.tracks),
        ),
        fields={
            "image_quality": value["data"]["image_quality"],
            "data_chunk_size": value["data"]["chunk_size"],
            "deleted_frames": tuple(value["data"].get("deleted_frames", ())),
        },
    )


# --- Annotations ---------------------------------------------------------------------------------


def _annotations(given: Mapping[str, Any], draft: Task, numbers: NewNumbers) -> Annotations:
    numbered = {
        kind: [_numbered(one, draft.labels) for one in given.get(kind, ())]
        for kind in ("tags", "shapes", "tracks")
    }
    return read_annotations_json(numbered, draft, numbers.annotations)


def _numbered(one: Mapping[str, Any], labels: Sequence[Label]) -> dict[str, Any]:
    """Return an annotation with the numbers of its label and attributes in place of names."""
    label = next((label for label in labels if label.name == one["label"]), None)
    if label is None:
        raise KeyError(one["label"])
    specs = {attribute.name: attribute.id for attribute in label.attributes}

    def values(of: Mapping[str, Any]) -> list[dict[str, Any]]:
        return [
            {"spec_id": specs[value["name"]], "value": value["value"]}
            for value in of.get("attributes", ())
        ]

    result = {**one, "label_id": label.id, "attributes": values(one)}
    if "shapes" in one:
        result["shapes"] = [{**shape, "attributes": values(shape)} for shape in one["shapes"]]
    if "elements" in one:
        result["elements"] = [_numbered(inner, label.sublabels) for inner in one["elements"]]
    return result


# --- Media --------------------------------------------------------------------------------------


def _media(
    archive: zipfile.ZipFile, path: Path, folder: str, data: Mapping[str, Any]
) -> tuple[TaskMedia, bool]:
    """Return the media, and whether they are a video."""
    prefix = f"{folder}data/"
    is_light = data.get("storage") == "cloud_storage"
    files = MemberFiles(archive, path)
    originals = {
        name.removeprefix(prefix): files.find(name)
        for name in archive.namelist()
        if name.startswith(prefix) and not name.endswith(("/", "manifest.jsonl"))
    }
    lines = [json.loads(line) for line in archive.read(f"{prefix}manifest.jsonl").splitlines()]
    _, kind, *entries = (line for line in lines if line)
    step = int(str(data.get("frame_filter") or "step=1").partition("=")[2])
    start, stop = data["start_frame"], data["stop_frame"]
    video = None
    if kind["type"] == "video":
        video = entries[0]["properties"]["name"]
        frames = _video_frames(entries[0]["properties"], originals, range(start, stop + 1, step))
    else:
        originals = _in_order(entries, originals)
        frames = _image_frames(entries[start : stop + 1 : step], originals, is_light=is_light)
    if not frames:
        raise ValueError("No media data found")
    media = TaskMedia(
        frames=frames,
        originals=tuple(originals.items()),
        video=video,
        start_frame=start,
        stop_frame=stop,
        frame_filter=str(data.get("frame_filter") or ""),
        storage="cloud_storage" if is_light else "local",
    )
    return media, data.get("chunk_type") == "video"


def _in_order(
    entries: Sequence[Mapping[str, Any]], originals: Mapping[str, StoredFile]
) -> dict[str, StoredFile]:
    """Return the files in the order of the manifest, and after them those that it lacks."""
    names = [f"{entry['name']}{entry['extension']}" for entry in entries]
    ordered = {name: originals[name] for name in names if name in originals}
    return ordered | {name: file for name, file in originals.items() if name not in ordered}


def _image_frames(
    entries: Sequence[Mapping[str, Any]], originals: Mapping[str, StoredFile], *, is_light: bool
) -> tuple[Frame, ...]:
    frames = []
    for index, entry in enumerate(entries):
        name = f"{entry['name']}{entry['extension']}"
        source = DetachedFile(name) if is_light else originals[name]
        frames.append(Frame(index, name, entry["width"], entry["height"], 0, None, source))
    return tuple(frames)


def _video_frames(
    facts: Mapping[str, Any], originals: Mapping[str, StoredFile], numbers: Sequence[int]
) -> tuple[Frame, ...]:
    width, height = facts["resolution"]
    file = originals[facts["name"]]
    seed = zlib.crc32(f"{facts['name']} {file.size}".encode()) << 32
    found = find_pictures(file)
    pictures = dict(enumerate(found)) if len(found) == facts["length"] else {}
    return tuple(
        Frame(
            index,
            f"frame_{number:06d}.PNG",
            width,
            height,
            seed + number,
            None,
            pictures.get(number),
        )
        for index, number in enumerate(numbers)
    )
