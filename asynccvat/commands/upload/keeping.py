"""Keep what the upload to one task replaces, and say how to take the upload back.

`store.replaced` writes the files, `commands.upload.undo` puts them back.
"""

from __future__ import annotations

from asynccvat.aio.threads import in_thread
from asynccvat.client import CvatClient
from asynccvat.core.annotations.counts import TaskAnnotations
from asynccvat.core.options.upload import ImportMode, UploadOptions
from asynccvat.core.records.replaced import ReplacedState, content_digest
from asynccvat.errors import AsyncCvatError, ImportFailedError, StoreError, UploadError
from asynccvat.store import ReplacedAnnotations


class Keeper:
    """Keep what one task holds before its annotations are replaced.

    Attributes:
        state: What was kept last, None if nothing was.
    """

    def __init__(
        self, task_id: int, replaced: ReplacedAnnotations | None, options: UploadOptions
    ) -> None:
        """Prepare to keep a task's annotations.

        Args:
            task_id: The task.
            replaced: Keeps them. None if nothing does.
            options: The mode, and whether they may be replaced for good.
        """
        self.state: ReplacedState | None = None
        self._task_id = task_id
        self._replaced = replaced
        self._must_keep = options.backup and options.mode != ImportMode.APPEND
        self._raw = b""

    @property
    def path(self) -> str | None:
        """The file that keeps what was replaced, None if there is none."""
        if self._replaced is None or self.state is None:
            return None
        return str(self._replaced.path / self.state.name)

    def check(self, existing: TaskAnnotations) -> None:
        """Check that what a task holds would be kept.

        Raises:
            UploadError: It would be lost, and the options do not allow that.
        """
        if self._replaced is None and self._must_keep and existing.counts.total:
            raise UploadError(
                f"cannot upload to task {self._task_id}: it has {existing.counts}, which the "
                "upload would replace, and nothing keeps them. Name a folder that keeps them with "
                "--backup-dir, or give --no-backup to replace them for good.",
                task_id=self._task_id,
                step="plan",
            )

    async def keep(self, existing: TaskAnnotations) -> None:
        """Keep what a task holds. It is durable when this returns.

        Raises:
            StoreError: It cannot be written.
            UploadError: As `check`.
        """
        self.check(existing)
        if self._replaced is not None:
            self.state = await self._replaced.keep(self._task_id, existing.raw)
            self._raw = existing.raw

    async def note_end(self, after: TaskAnnotations | None) -> tuple[str, ...]:
        """As `note_upload`; a failure becomes a warning."""
        if self.state is None:
            return ()
        try:
            await self.note_upload(after)
        except StoreError as error:
            return (f"uploaded, but --undo will need --overwrite: {error}",)
        return ()

    async def note_upload(self, after: TaskAnnotations | None) -> None:
        """Note what the upload left in the task, or that it is unknown.

        Raises:
            StoreError: It cannot be written.
        """
        if self._replaced is not None:
            await self._replaced.note_upload(self._task_id, None if after is None else after.raw)

    async def explain(self, error: AsyncCvatError, client: CvatClient) -> None:
        """Add to the error of an import what becomes of the annotations that the task had."""
        if self._replaced is None or self.state is None:
            return
        if isinstance(error, ImportFailedError) and await self._is_as_before(client):
            hint = "The task is as it was before."
        else:
            hint = (
                "What the task held before is kept: "
                f"`{self._replaced.command(self._task_id, overwrite=True)}` puts it back."
            )
        add_hint(error, hint)

    def add_way_back(self, error: AsyncCvatError) -> None:
        """Add to the error of an import that lost annotations how to put them back."""
        if self._replaced is not None and self.state is not None:
            add_hint(error, f"`{self._replaced.command(self._task_id)}` puts them back.")

    async def _is_as_before(self, client: CvatClient) -> bool:
        try:
            now = await client.annotations(self._task_id)
        except AsyncCvatError:
            return False
        return await in_thread(_is_same, now.raw, self._raw)


def add_hint(error: AsyncCvatError, hint: str) -> None:
    """Add a sentence to the message of an error."""
    error.message = f"{error.message.rstrip().rstrip('.')}. {hint}"


def _is_same(one: bytes, other: bytes) -> bool:
    return content_digest(one) == content_digest(other)
