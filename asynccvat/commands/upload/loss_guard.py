"""Guard what a task has: compare it with the file before an import, and with the task after it.

`core.annotations.loss` decides. `commands.upload.counting` counts what a file holds.
"""

from __future__ import annotations

from asynccvat.aio.threads import in_thread
from asynccvat.client import CvatClient
from asynccvat.commands.upload.counting import count_annotations
from asynccvat.commands.upload.local_files import AnnotationSource
from asynccvat.core.annotations.counts import AnnotationCounts, TaskAnnotations
from asynccvat.core.annotations.file_counts import FileCounts
from asynccvat.core.annotations.files import FileKind
from asynccvat.core.annotations.loss import check_result, exact_total, refuse_loss
from asynccvat.core.options.upload import ImportMode
from asynccvat.core.outcomes import AnnotationChange
from asynccvat.errors import AsyncCvatError


class LossGuard:
    """Guard the annotations of one task during one upload.

    Attributes:
        before: What the task had before the import, None until that is known.
        after: What the task has after it, None until that was read.
    """

    def __init__(
        self,
        task_id: int,
        source: AnnotationSource,
        kind: FileKind,
        importer: str,
        *,
        mode: str = ImportMode.REPLACE,
        lossy: bool = False,
        allow_empty: bool = False,
    ) -> None:
        """Guard a task.

        Args:
            task_id: The task.
            source: The files to upload.
            kind: The kind of file that is sent.
            importer: The importer's name.
            mode: Whether the import replaces what the task has.
            lossy: Permit that annotations are lost which the format cannot carry.
            allow_empty: Permit that the task has no annotations afterwards.
        """
        self.before: AnnotationCounts | None = None
        self.after: TaskAnnotations | None = None
        self._task_id = task_id
        self._source = source
        self._kind = kind
        self._importer = importer
        self._appends = mode == ImportMode.APPEND
        self._lossy = lossy
        self._allow_empty = allow_empty
        self._held: FileCounts | None = None
        self._is_counted = False

    async def check(self, existing: AnnotationCounts) -> None:
        """Compare what the task has with what the file holds. Call it before the import.

        Raises:
            AnnotationLossError: The import would lose annotations.
            AnnotationFileError: The file cannot be read.
        """
        self.before = existing
        if not self._is_counted:
            self._held = await in_thread(
                count_annotations, self._source, self._kind, self._importer
            )
            self._is_counted = True
        if not self._appends:
            refuse_loss(
                self._task_id,
                existing,
                self._held,
                self._importer,
                file=str(self._source.shown),
                lossy=self._lossy,
                allow_empty=self._allow_empty,
            )

    async def result(
        self, client: CvatClient, after: TaskAnnotations | None = None
    ) -> tuple[AnnotationChange, tuple[str, ...]]:
        """Judge what the task has after the import. Call it once that has ended.

        Args:
            client: The server.
            after: What the task has. None reads it.

        Returns:
            The counts, and warnings about them.

        Raises:
            AnnotationLossError: The import left the task without annotations.
        """
        assert self.before is not None, "it is checked before the import"
        in_file = exact_total(self._held)
        change = AnnotationChange(before=self.before.total, in_file=in_file)
        try:
            self.after = after or await client.annotations(self._task_id)
        except AsyncCvatError as error:
            return change, (f"uploaded, but what the task has now cannot be read: {error}",)
        warnings = check_result(
            self._task_id,
            self.before,
            self._held,
            self.after.counts,
            appended=self._appends,
            lossy=self._lossy,
            allow_empty=self._allow_empty,
        )
        return AnnotationChange(self.before.total, in_file, self.after.counts.total), warnings
