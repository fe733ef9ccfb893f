"""Put the annotations of backups back into the tasks that they were made of.

The tasks stay as they are otherwise. `commands.upload.undo` replaces and compares; what is replaced
is kept before.
"""

from __future__ import annotations

import zipfile
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from asynccvat.aio.threads import in_thread
from asynccvat.client import CvatClient, internals
from asynccvat.commands.restore.older_backups import with_older_named
from asynccvat.commands.restore.sources import BackupChoice, BackupSource, find_sources
from asynccvat.commands.restore.zip_files import read_backup
from asynccvat.commands.upload.undo import Undo, UndoPlace, UndoRun
from asynccvat.core.annotations.counts import read_task_annotations
from asynccvat.core.backups.annotations import TaskLabel, essence, task_annotations
from asynccvat.core.backups.contents import ANNOTATIONS_FILE
from asynccvat.core.models import Task
from asynccvat.core.options.restore import RestoreOptions
from asynccvat.core.options.upload import UploadOptions
from asynccvat.core.plans.upload import (
    PutBack,
    RefuseUpload,
    SkipUpload,
    UploadReason,
    not_found,
)
from asynccvat.core.records.replaced import content_digest
from asynccvat.core.selections.id_lists import required
from asynccvat.errors import (
    AsyncCvatError,
    BackupFileError,
    ConfigError,
    RestoreError,
    StoreError,
    TaskChangedError,
)
from asynccvat.store import ReplacedAnnotations
from asynccvat.transfer.outages import OF_EVERY_TASK


class AnnotationRestore(UndoRun):
    """One restore of annotations into tasks that live."""

    def __init__(
        self, client: CvatClient, source: Path, choice: BackupChoice, options: RestoreOptions
    ) -> None:
        """Put back the annotations of backups.

        Args:
            client: The server.
            source: The folder of the backups.
            choice: The tasks, and which backup of each.
            options: Whether changes are overwritten, and where they are kept.

        Raises:
            ConfigError: No task is named, or no folder keeps what is replaced.
        """
        if not choice.ids:
            raise ConfigError("task_ids is empty. Name the tasks that get their annotations back.")
        if options.backup_dir is None:
            raise ConfigError(
                "what the tasks hold now would be replaced, and nothing keeps it. Name a folder "
                "that keeps it with --backup-dir; `asynccvat upload --undo` puts it back from "
                "there."
            )
        self._source = source
        self._choice = choice
        self._sources: Mapping[int, BackupSource] = {}
        self._kept = Path(options.backup_dir)
        undo = UploadOptions(
            retries=options.retries,
            wait_for_server=options.wait_for_server,
            max_time=options.max_time,
            durable=options.durable,
            overwrite=options.overwrite,
            break_lock=options.break_lock,
        )
        of_ranges = set(choice.ids) - required(choice.ids)
        super().__init__(client, Path(), dict.fromkeys(choice.ids), undo, of_ranges=of_ranges)

    @asynccontextmanager
    async def open_place(self, *, read_only: bool) -> AsyncIterator[UndoPlace]:
        """Find the backups, and open the folder that keeps what is replaced.

        Raises:
            ConfigError: There are no such backups.
            StoreError: The receipts or the folder cannot be used.
        """
        found = await find_sources(self._source, self._choice)
        self._sources = {one.target_id: one for one in found.sources}
        async with ReplacedAnnotations.open(
            self._kept,
            origin=self._client.origin,
            durable=self._options.durable,
            read_only=read_only,
        ) as replaced:
            yield UndoPlace(replaced)

    async def is_kept(self, place: UndoPlace, task_id: int) -> bool:  # noqa: ARG002 - it overrides
        """Whether there is a backup of a task."""
        return task_id in self._sources

    async def look(self, place: UndoPlace, task_id: int, task: Task | None) -> Undo:
        """Decide about one task: put its annotations back, or refuse."""
        source = self._sources[task_id]
        name, path = source.name, source.path
        try:
            if source.problem is not None:
                raise source.problem
            if task is None:
                problem: AsyncCvatError = not_found(task_id, what="restore annotations of")
                return Undo(RefuseUpload(task_id, name, path, UploadReason.NOT_FOUND, problem))
            name = task.name
            if source.origin != self._client.origin:
                raise _of_another_server(source, self._client.origin)
            raw = await self._annotations(source, task)
            now = await self._client.annotations(task_id)
            digest = await in_thread(content_digest, now.raw)
            if await in_thread(_is_same, raw, now.raw):
                return Undo(SkipUpload(task_id, name, path, UploadReason.UNCHANGED))
            last = await place.replaced.last_upload(task_id)
            is_ours = last is not None and last.digest == digest
            if now.counts.total and not is_ours and not self._options.overwrite:
                problem = TaskChangedError(
                    f"cannot restore annotations of task {task_id}: it has {now.counts}, which "
                    "are not those of the backup. Look at the task. With --overwrite what it holds "
                    "now is replaced.",
                    task_id=task_id,
                    step="plan",
                )
                return Undo(RefuseUpload(task_id, name, path, UploadReason.CONFLICT, problem))
            kept = (await in_thread(read_task_annotations, task_id, raw)).counts
            step = PutBack(task_id, name, path, UploadReason.FROM_BACKUP, now.counts, kept)
            return Undo(step, now, raw)
        except OF_EVERY_TASK:
            raise
        except AsyncCvatError as failure:
            error = failure
            if isinstance(error, BackupFileError):
                error = await with_older_named(error, source.kind, task_id, source.older)
            error.task_id = task_id
            of_files = isinstance(error, RestoreError | StoreError)
            reason = UploadReason.FILE if of_files else UploadReason.UNREADABLE
            return Undo(RefuseUpload(task_id, name, path, reason, error))

    async def _annotations(self, source: BackupSource, task: Task) -> bytes:
        """Return the annotations of a backup as the task takes them."""
        backup = await read_backup(source.path)
        (contents,) = backup.contents.tasks
        if not contents.counts:
            raise BackupFileError(
                f"cannot restore annotations of {str(source.path)!r}: it holds none. Restore "
                "another backup.",
                step="plan",
            )
        if not contents.adds_up:
            raise RestoreError(
                f"cannot restore annotations of {str(source.path)!r}: its jobs share frames, or "
                "are ground truth, and have annotations of their own. Restore the whole task.",
                step="plan",
            )
        if contents.frames is not None and contents.frames != task.size:
            raise RestoreError(
                f"cannot restore annotations of {str(source.path)!r}: the backup has "
                f"{contents.frames:,} frames, and the task {task.size or 0:,}. Restore the whole "
                "task.",
                step="plan",
            )
        labels = await internals(self._client).restores.task_labels(task.id)
        return await in_thread(_converted, source.path, labels, task.id)

    def _completing(self, place: UndoPlace, undo: Undo) -> str:
        del place
        return (
            f"asynccvat restore --annotations -t {undo.step.task_id} --overwrite, with the folder "
            "of the backups,"
        )


def _of_another_server(source: BackupSource, origin: str) -> RestoreError:
    """Return the error of a backup whose task is another server's."""
    return RestoreError(
        f"cannot restore annotations of {str(source.path)!r}: it is of task {source.target_id} at "
        f"{source.origin}, and the task of that number at {origin} is another one. Check --url, or "
        "restore the whole task.",
        step="plan",
    )


def _is_same(one: bytes, other: bytes) -> bool:
    return content_digest(essence(one)) == content_digest(essence(other))


def _converted(path: Path, labels: tuple[TaskLabel, ...], task_id: int) -> bytes:
    with zipfile.ZipFile(path) as archive:
        raw = archive.read(ANNOTATIONS_FILE)
    return task_annotations(raw, labels, task_id=task_id, where=repr(str(path)))
