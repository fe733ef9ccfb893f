"""Tell a task that was only renamed on the server from one that changed.

A new name moves a task's date, as new annotations do. So receipts of mirrors with a layout have a
digest of what else the server says of a task. If that is the same, the folder is renamed, and
nothing is exported. `transfer.content_fingerprints` asks the server.

CVAT's own XML holds the task's name. It keeps the old one until the task changes otherwise.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from asynccvat.core.labels import portable_labels
from asynccvat.core.models import DataMeta, Job, Task, TaskListing
from asynccvat.core.plans.mirror import Reason, differs
from asynccvat.core.records.receipts import ReceiptHead
from asynccvat.core.specs import ExportSpec

_DIGITS = 32


def content_fingerprint(
    task: Task, jobs: Iterable[Job], meta: DataMeta, labels: Iterable[Mapping[str, Any]]
) -> str | None:
    """Return a digest of all that an export holds, except names. None if CVAT says too little.

    Annotations move the dates of their jobs. Labels are compared without ids, so that a task may
    move to a project with the same ones. The subset counts: many formats name files after it.

    Args:
        task: The task.
        jobs: Its jobs.
        meta: What the server says of its media.
        labels: Its labels, or those of its project, as the server lists them.
    """
    if meta.chunks_updated_date is None or meta.storage != "local":
        return None  # its media may change without a trace
    told = (
        [task.subset or "", task.mode, task.dimension, task.size, task.data, task.bug_tracker],
        [None if one is None else one.username for one in (task.owner, task.assignee)],
        sorted([_of_job(job) for job in jobs], key=lambda job: job[0]),
        [meta.size, sorted(meta.deleted_frames), meta.included_frames, meta.chunks_updated_date],
        portable_labels(labels),
    )
    return hashlib.sha256(msgspec.json.encode(told)).hexdigest()[:_DIGITS]


def _of_job(job: Job) -> list[Any]:
    return [job.id, job.type, job.start_frame, job.stop_frame, job.updated_date]


def perhaps_renamed(
    listing: TaskListing,
    receipts: Mapping[int, ReceiptHead],
    spec: ExportSpec,
    folders: Mapping[int, str],
) -> list[Task]:
    """Return the tasks of which only the name may have changed, or the project.

    Args:
        listing: The tasks, as listed.
        receipts: The receipts, by task.
        spec: Format and images.
        folders: The folder that each task should have.
    """
    return [
        task
        for task in listing.tasks
        if (head := receipts.get(task.id)) is not None
        and head.content is not None
        and (head.task_name, head.project_id) != (task.name, task.project_id)
        and head.folder != folders[task.id]
        and differs(task, head, spec) is Reason.CHANGED
    ]
