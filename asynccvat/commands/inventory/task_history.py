"""Find the states of one task's annotations in a mirror, and the files of each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from asynccvat.aio.threads import in_thread
from asynccvat.core.annotations.json_files import ANNOTATIONS
from asynccvat.core.annotations.states import (
    AnnotationState,
    KeptVersion,
    annotation_states,
    place_of,
    state_at,
)
from asynccvat.core.records.receipts import ReceiptHead
from asynccvat.core.specs import CVAT_JSON
from asynccvat.core.targets import TargetKind
from asynccvat.errors import ConfigError
from asynccvat.fs import disk_errors
from asynccvat.store import MirrorStore
from asynccvat.store.history_states import edited_at, file_of_version, read_versions


@dataclass(frozen=True, slots=True)
class TaskHistory:
    """The states of a task's annotations.

    Attributes:
        dest: The mirror.
        head: The task's receipt.
        versions: What is kept of its files, from the oldest to what is current.
        states: The states of the annotations, oldest first.
        is_edited: Whether the current annotations were edited in the mirror.
    """

    dest: Path
    head: ReceiptHead
    versions: Sequence[KeptVersion]
    states: Sequence[AnnotationState]
    is_edited: bool

    def at(self, moment: datetime) -> AnnotationState:
        """Return the state that the task had at a moment.

        Raises:
            ConfigError: It is not kept.
        """
        found = state_at(self.states, moment, self.head.task_id)
        if found.version is None and self.is_edited:
            raise ConfigError(
                f"{str(self.file(found, ANNOTATIONS))!r} is what task {self.head.task_id} had "
                "then, and was edited here. Mirror the task again, which keeps your file aside."
            )
        return found

    def file(self, state: AnnotationState, name: str) -> Path | None:
        """Return the path of a file as it was in a state; None if there is none."""
        place = place_of(name, self.versions, state.place)
        if place is None:
            return None
        return file_of_version(self.dest, self.head, self.versions[place].name, name)


async def read_history(
    store: MirrorStore, task_id: int, heads: Mapping[int, ReceiptHead] | None = None
) -> TaskHistory:
    """Return the states of a task's annotations in an open mirror.

    Args:
        store: The mirror.
        task_id: The task.
        heads: The mirror's receipts; None reads them.

    Raises:
        ConfigError: The mirror does not hold the task as JSON.
        StoreError: It cannot be read.
    """
    head = (await store.receipts() if heads is None else heads).get(task_id)
    if head is None or head.format != CVAT_JSON or head.target is not TargetKind.TASK:
        raise ConfigError(
            f"{str(store.path)!r} does not hold task {task_id} as JSON. Name a mirror that has "
            "--format json and --history."
        )
    members = await store.members(task_id)
    recorded = {one.path: (one.size, one.mtime_ns) for one in members}.get(ANNOTATIONS)

    def read() -> TaskHistory:
        versions = read_versions(store.path, head)
        states = annotation_states(versions, edited_at(store.path, head))
        current = store.path / head.folder / ANNOTATIONS
        with disk_errors.explained("read", current):
            status = current.stat() if current.exists() else None
        is_edited = status is None or (status.st_size, status.st_mtime_ns) != recorded
        return TaskHistory(store.path, head, versions, states, is_edited)

    return await in_thread(read)
