"""Write backups of tasks and projects, in the layout that CVAT 2.64 writes.

A task has `task.json`, `annotations.json` with an entry for each job, and `data/` with the files as
they were sent and `manifest.jsonl`. A project has `project.json` and a folder for each task.
`backup_reader` reads such backups.
"""

from __future__ import annotations

import hashlib
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import PurePosixPath
from typing import Any, BinaryIO, Final

import msgspec

from asynccvat.simulator.formats.annotations_json import label_json
from asynccvat.simulator.formats.video_chunks import write_video_chunk
from asynccvat.simulator.world.annotations import (
    Annotations,
    AttributeValues,
    Label,
    Shape,
    Tag,
    Track,
)
from asynccvat.simulator.world.media import StoredFile
from asynccvat.simulator.world.tasks import Job, Project, Task

VERSION: Final = "1.0"
"""The version of the layout."""

_PIECE: Final = 1 << 20


def write_backup(
    stream: BinaryIO,
    tasks: Sequence[Task],
    *,
    project: Project | None = None,
    lightweight: bool = False,
    made_at: datetime | None = None,
) -> None:
    """Write a backup to a seekable binary stream.

    Only one image, or a megabyte of a video, is in memory at a time.

    Args:
        stream: Where to write; it stays open.
        tasks: The task, or the tasks of the project; those without data are left out.
        project: The project, if a project is backed up.
        lightweight: Whether files that lie in a cloud storage are left out.
        made_at: Timezone-aware time of the entries; None for now.
    """
    when = made_at or datetime.now(UTC)
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_STORED) as archive:
        if project is not None:
            archive.writestr(_entry("project.json", when), _encode(_project_json(project)))
        for number, task in enumerate(task for task in tasks if task.size):
            folder = f"task_{number}/" if project is not None else ""
            is_light = lightweight and is_in_bucket(task)
            for name, content in _media(task, is_light=is_light):
                _write_member(archive, _entry(f"{folder}data/{name}", when), content)
            described = _task_json(task, is_light=is_light)
            archive.writestr(_entry(f"{folder}task.json", when), _encode(described))
            archive.writestr(
                _entry(f"{folder}annotations.json", when),
                _encode([_job_annotations(task, job) for job in _jobs(task)]),
            )


def is_in_bucket(task: Task) -> bool:
    """Tell whether the files of a task lie in a cloud storage."""
    return task.media is not None and task.media.storage == "cloud_storage"


def backup_media_bytes(task: Task, *, lightweight: bool = False) -> int:
    """Estimate the bytes of media in a backup."""
    if task.media is not None:
        return (
            0
            if lightweight and is_in_bucket(task)
            else sum(file.size for _, file in task.media.originals)
        )
    return (task.size or 0) * (task.content.frame_bytes or 30_000)


def _encode(value: Any) -> bytes:
    return msgspec.json.encode(value)


def _entry(name: str, when: datetime) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name, (*when.timetuple()[:5], when.second // 2 * 2))
    entry.create_system = 3  # Unix, whichever system the simulator runs on
    entry.external_attr = 0o100644 << 16
    return entry


# --- Media --------------------------------------------------------------------------------------


def _media(task: Task, *, is_light: bool) -> Iterator[tuple[str, StoredFile | bytes]]:
    """Yield the files in an arbitrary but stable order, as a hashed directory has."""
    files: dict[str, Callable[[], StoredFile | bytes]] = {"manifest.jsonl": lambda: _manifest(task)}
    if task.media is None and task.video is not None:
        files[task.video] = partial(_generated_video, task)
    elif task.media is None:
        files |= {frame.name: frame.data for frame in task.frames()}
    elif not is_light:
        files |= {name: partial(_itself, file) for name, file in task.media.originals}
    for name in sorted(files, key=lambda name: zlib.crc32(name.encode())):
        yield name, files[name]()


def _generated_video(task: Task) -> bytes:
    frames = task.frames()
    return write_video_chunk([frame.data() for frame in frames], frames[0].width, frames[0].height)


def _itself(file: StoredFile) -> StoredFile:
    return file


def _write_member(
    archive: zipfile.ZipFile, entry: zipfile.ZipInfo, content: StoredFile | bytes
) -> None:
    if isinstance(content, bytes):
        archive.writestr(entry, content)
        return
    entry.file_size = content.size  # so that zipfile knows whether it needs zip64
    with archive.open(entry, "w") as member:
        for offset in range(0, content.size, _PIECE):
            member.write(content.read(offset, _PIECE))


def _manifest(task: Task) -> bytes:
    lines: list[dict[str, Any]] = [{"version": "1.1"}]
    media, frames = task.media, task.frames()
    if task.video is not None:
        if media is None:
            length, head = len(frames), _generated_video(task)[:_PIECE]
        else:
            ((_, file),) = media.originals
            length, head = media.stop_frame + 1, file.read(0, _PIECE)
        size = [frames[0].width, frames[0].height]
        facts = {"name": task.video, "resolution": size, "length": length}
        checksum = hashlib.md5(head, usedforsecurity=False).hexdigest()
        lines += [
            {"type": "video"},
            {"properties": {**facts, "chapters": []}},
            {"number": 0, "pts": 0, "checksum": checksum},
        ]
    else:
        lines.append({"type": "images"})
        sizes = {frame.name: (frame.width, frame.height) for frame in frames}
        for name in _ordered_names(task):
            width, height = sizes.get(name, (frames[0].width, frames[0].height))
            path = PurePosixPath(name)
            stem = str(path.with_suffix(""))
            lines.append({"name": stem, "extension": path.suffix, "width": width, "height": height})
    return b"".join(_encode(line) + b"\n" for line in lines)


def _ordered_names(task: Task) -> list[str]:
    """Return the names of all images in the order of frames, also of those that the task lacks."""
    names, media = [frame.name for frame in task.frames()], task.media
    if media is None or (media.start_frame, media.frame_filter) == (0, ""):
        return names
    step = int((media.frame_filter or "step=1").partition("=")[2])
    sent = [name for name, _ in media.originals]
    is_ordered = sent[media.start_frame : media.stop_frame + 1 : step] == names
    return sent if is_ordered else sorted(sent)


# --- Descriptions -------------------------------------------------------------------------------


def _project_json(project: Project) -> dict[str, Any]:
    return {
        "name": project.name,
        "bug_tracker": "",
        "status": project.status,
        "labels": [_label(label) for label in project.labels],
        "version": VERSION,
    }


def _task_json(task: Task, *, is_light: bool) -> dict[str, Any]:
    frames, media = task.size or 0, task.media
    is_video = task.mode == "interpolation"
    data: dict[str, Any] = {
        "chunk_size": task.data_chunk_size,
        "image_quality": task.image_quality,
        "start_frame": media.start_frame if media is not None else 0,
        "stop_frame": media.stop_frame if media is not None else frames - 1,
        "storage_method": "cache",
        "sorting_method": "lexicographical",
        "chunk_type": "video" if is_video else "imageset",
        "deleted_frames": list(task.deleted_frames),
        "storage": "cloud_storage" if is_light else "local",
    }
    if media is not None and media.frame_filter:
        data["frame_filter"] = media.frame_filter
    return {
        "name": task.name,
        "bug_tracker": "",
        "status": task.status,
        "subset": task.subset,
        "labels": [_label(label) for label in task.labels],
        "version": VERSION,
        "data": data,
        "jobs": [_job_json(job) for job in _jobs(task)],
    }


def _jobs(task: Task) -> list[Job]:
    """Return the jobs of a backup, which has no replicas."""
    return [job for job in task.jobs() if job.type != "consensus_replica"]


def _job_json(job: Job) -> dict[str, Any]:
    value: dict[str, Any] = {
        "status": job.status,
        "type": job.type,
        "start_frame": job.start_frame,
        "stop_frame": job.stop_frame,
    }
    return value if job.frames is None else value | {"frames": list(job.frames)}


def _label(label: Label) -> dict[str, Any]:
    """Describe a label by names alone: ids mean nothing to another server."""
    shown = label_json(label)
    value = {name: shown[name] for name in ("name", "color", "attributes", "type", "sublabels")}
    value["attributes"] = [_without_id(one) for one in value["attributes"]]
    value["sublabels"] = [
        {
            "name": below["name"],
            "color": below["color"],
            "attributes": [_without_id(one) for one in below["attributes"]],
            "type": below["type"],
        }
        for below in value["sublabels"]
    ]
    return value | {"svg": label.named_svg} if label.svg else value


def _without_id(attribute: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in attribute.items() if name != "id"}


# --- Annotations --------------------------------------------------------------------------------


def _job_annotations(task: Task, job: Job) -> dict[str, Any]:
    """Return the annotations of one job; what begins in an overlap is that of the first job."""
    held = job.given if job.type == "ground_truth" else _own(task, job)
    return {
        "version": 0,
        "tags": [_tag(tag) for tag in held.tags],
        "shapes": [_shape(shape) for shape in held.shapes],
        "tracks": [_track(track) for track in held.tracks],
    }


def _own(task: Task, job: Job) -> Annotations:
    others = [one for one in task.jobs() if one.type == "annotation"]
    earlier = others[: others.index(job)]

    def is_own(frame: int) -> bool:
        return job.has(frame) and not any(one.has(frame) for one in earlier)

    held = task.annotations()
    return Annotations(
        tuple(shape for shape in held.shapes if is_own(shape.frame)),
        tuple(tag for tag in held.tags if is_own(tag.frame)),
        tuple(track for track in held.tracks if is_own(track.frame)),
    )


def _tag(tag: Tag) -> dict[str, Any]:
    return {
        "frame": tag.frame,
        "group": tag.group,
        "source": tag.source,
        "attributes": _values(tag.attributes),
        "label": tag.label.name,
    }


def _shape(shape: Shape, *, is_element: bool = False) -> dict[str, Any]:
    value: dict[str, Any] = {
        "type": shape.type,
        "occluded": shape.occluded,
        "outside": shape.outside,
        "z_order": shape.z_order,
        "rotation": float(shape.rotation),
        "points": list(shape.points),
        "frame": shape.frame,
        "group": shape.group,
        "source": shape.source,
        "attributes": _values(shape.attributes),
        "score": float(shape.score),
    }
    if not is_element:
        value["elements"] = [_shape(one, is_element=True) for one in shape.elements]
    return value | {"label": shape.label.name}


def _track(track: Track) -> dict[str, Any]:
    return {
        "frame": track.frame,
        "group": track.group,
        "source": track.source,
        "shapes": [
            {
                "type": shape.type,
                "occluded": shape.occluded,
                "outside": shape.outside,
                "z_order": shape.z_order,
                "rotation": float(shape.rotation),
                "points": list(shape.points),
                "frame": shape.frame,
                "attributes": _values(shape.attributes),
            }
            for shape in track.shapes
        ],
        "attributes": _values(track.attributes),
        "elements": [_track(element) for element in track.elements],
        "label": track.label.name,
    }


def _values(attributes: AttributeValues) -> list[dict[str, str]]:
    return [{"value": value, "name": attribute.name} for attribute, value in attributes]
