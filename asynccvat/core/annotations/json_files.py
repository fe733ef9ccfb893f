"""The files of a task in a mirror as JSON: their names, and the server's answers as text.

The values are the server's own. Keys are sorted, and each annotation, job, label or frame is one
line, so that a change shows as few lines. The order of annotations is the server's: its exports
follow the same order.
"""

from __future__ import annotations

import hashlib
import io
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from asynccvat.core.annotations.entries import entries_of, fields_of, is_object

ANNOTATIONS = "annotations.json"
"""What `GET /api/tasks/{id}/annotations` says."""
TASK = "task.json"
"""The task, as the server lists it."""
LABELS = "labels.json"
"""The labels of the task or of its project."""
JOBS = "jobs.json"
"""The jobs of the task, as the server lists them."""
FRAMES = "frames.json"
"""What `GET /api/tasks/{id}/data/meta` says: names and sizes of frames, deleted frames."""

_OF_JOB = re.compile(r"annotations-job[1-9]\d*\.json\Z", re.ASCII)
# The annotations of these jobs are a part of the task's own.
_OF_TASK = ("annotation", None)

_encoder = msgspec.json.Encoder(order="sorted")


def annotations_of_job(job_id: int) -> str:
    """Return the name of the file with a job's own annotations."""
    return f"annotations-job{job_id}.json"


def is_own_annotations(name: str) -> bool:
    """Whether a file holds the annotations of a ground truth job or of a consensus replica."""
    return _OF_JOB.match(name) is not None


def json_text(value: Any) -> bytes:
    """Return a value as the text of a file: keys sorted, each entry of a list on its own line.

    Args:
        value: An object or a list, as decoded from the server's JSON.
    """
    if isinstance(value, list):
        return _lines(value) + b"\n"
    if not isinstance(value, dict):
        return _encoder.encode(value) + b"\n"
    entries = [_encoder.encode(key) + b": " + _entry(value[key]) for key in sorted(value)]
    return b"{\n" + b",\n".join(entries) + b"\n}\n" if entries else b"{}\n"


def json_file(raw: bytes) -> bytes:
    """Return JSON of the server's as the text of a file.

    Raises:
        UNREADABLE: It is no JSON.
    """
    fields = fields_of(raw)
    if not fields:
        return json_text(msgspec.json.decode(raw))
    file = io.BytesIO()
    before = b"{\n"
    for key in sorted(fields):
        file.write(before + _encoder.encode(key) + b": ")
        _write_value(file, fields.pop(key))
        before = b",\n"
    file.write(b"\n}\n")
    return file.getvalue()


def _write_value(file: io.BytesIO, raw: msgspec.Raw) -> None:
    entries = entries_of(raw) or []
    if not any(map(is_object, entries)):
        file.write(_encoder.encode(msgspec.json.decode(raw)))
        return
    before = b"[\n"
    for entry in entries:
        file.write(before + _encoder.encode(msgspec.json.decode(entry)))
        before = b",\n"
    file.write(b"\n]")


def _entry(value: Any) -> bytes:
    lists_objects = isinstance(value, list) and any(isinstance(one, dict) for one in value)
    return _lines(value) if lists_objects else _encoder.encode(value)


def _lines(values: list[Any]) -> bytes:
    return b"[\n" + b",\n".join(map(_encoder.encode, values)) + b"\n]" if values else b"[]"


def jobs_files(jobs: Iterable[Mapping[str, Any]]) -> dict[int, bytes]:
    """Return the text of `jobs.json` for each task that has one of these jobs.

    Args:
        jobs: The jobs of many tasks, as the server lists them. Those without a task are left out.
    """
    of_task: defaultdict[int, list[Mapping[str, Any]]] = defaultdict(list)
    for job in jobs:
        if isinstance(job.get("task_id"), int):
            of_task[job["task_id"]].append(job)
    return {
        task_id: json_text(sorted(own, key=lambda job: job["id"]))
        for task_id, own in of_task.items()
    }


def jobs_digest(jobs_file: bytes) -> str:
    """Return a digest of `jobs.json`, for the receipt. A later run compares it with its list."""
    return hashlib.sha256(jobs_file).hexdigest()


def jobs_with_own_annotations(jobs_file: bytes) -> tuple[int, ...]:
    """Return the ground truth jobs and consensus replicas among the jobs of a task."""
    return tuple(
        job["id"] for job in msgspec.json.decode(jobs_file) if job.get("type") not in _OF_TASK
    )


NO_JOBS = json_text([])
"""The text of `jobs.json` of a task without jobs."""
