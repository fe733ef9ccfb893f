"""What precedes and what follows one import: read what the task has, judge it, keep it, compare.

`commands.upload.loss_guard` judges and compares, `commands.upload.keeping` keeps.
"""

from __future__ import annotations

from asynccvat.client import CvatClient
from asynccvat.commands.upload.keeping import Keeper
from asynccvat.commands.upload.loss_guard import LossGuard
from asynccvat.commands.upload.task_dates import TaskDates
from asynccvat.core.annotations.counts import TaskAnnotations
from asynccvat.core.outcomes import AnnotationChange
from asynccvat.core.plans.upload import changed_since
from asynccvat.core.records.upload_intents import UploadIntent, is_own_change
from asynccvat.errors import AnnotationLossError, AsyncCvatError, ImportUncertainError
from asynccvat.store import MirrorStore

_UNREAD = UploadIntent(mirrored_date="")


class Replacement:
    """The replacement of what one task has, by one import.

    Attributes:
        keeper: Keeps what the task has.
        before: What the task had when `prepare` kept it, as the server said it.
    """

    def __init__(
        self,
        client: CvatClient,
        task_id: int,
        guard: LossGuard,
        keeper: Keeper,
        *,
        mirrored_date: str | None = None,
        left_date: str | None = None,
        mirror: MirrorStore | None = None,
        dates: TaskDates | None = None,
    ) -> None:
        """Begin a replacement.

        Args:
            client: The server.
            task_id: The task.
            guard: Judges what would be lost.
            keeper: Keeps what is replaced.
            mirrored_date: The date in the task's receipt; None if another state may be replaced.
            left_date: The state that the task must still be in.
            mirror: The mirror whose receipt says so.
            dates: Reads when tasks changed, for all uploads of a run together.
        """
        self.keeper = keeper
        self.before = b""
        self._client = client
        self._task_id = task_id
        self._guard = guard
        self._mirrored_date = mirrored_date
        self._left_date = left_date
        self._mirror = mirror
        self._dates = dates or TaskDates(client)
        self._intent: UploadIntent | None = _UNREAD
        self._existing: TaskAnnotations | None = None

    async def read(self) -> None:
        """Read what the task has, and refuse an import that would lose it.

        Raises:
            UploadError: It would be lost.
            AsyncCvatError: It cannot be read.
        """
        self._existing = await self._client.annotations(self._task_id)
        await self._guard.check(self._existing.counts)
        self.keeper.check(self._existing)

    async def prepare(self) -> None:
        """Read and keep what the task has, right before the request of the import.

        Raises:
            TaskChangedError: The task changed since it was mirrored.
            StoreError: It cannot be kept.
            AsyncCvatError: As `read`.
        """
        # For a task of a mirror, the last check shows that what was read before is current.
        if self._existing is None or self._mirrored_date is None:
            await self.read()
        assert self._existing is not None, "it was read"
        await self.keeper.keep(self._existing)
        self.before = self._existing.raw
        self._existing = None  # before a repeated request it is read again
        await self._check_unchanged()

    async def explain(self, error: AsyncCvatError) -> None:
        """Add to the error of an import how to take it back, if it may have happened."""
        if error.rq_id is not None or isinstance(error, ImportUncertainError):
            await self.keeper.explain(error, self._client)

    async def result(
        self, after: TaskAnnotations | None = None
    ) -> tuple[AnnotationChange, tuple[str, ...]]:
        """Compare what the task has now with what it had, and note it.

        Args:
            after: What the task has now. None reads it.

        Returns:
            The counts, and warnings.

        Raises:
            AnnotationLossError: Its annotations are gone.
        """
        try:
            change, warnings = await self._guard.result(self._client, after)
        except AnnotationLossError as error:
            await self.keeper.note_end(self._guard.after)
            self.keeper.add_way_back(error)
            raise
        return change, (*warnings, *await self.keeper.note_end(self._guard.after))

    async def _check_unchanged(self) -> None:
        """Check the task again right before the import. The listing of a long run is old by now."""
        if self._mirrored_date is None or self._mirror is None:
            return
        replaced = self._mirror.replaced
        if self._intent is _UNREAD:
            # Only imports of earlier runs: what this run requested, it waits for itself.
            known = await replaced.intent(self._task_id)
            is_of_receipt = known is not None and known.mirrored_date == self._mirrored_date
            self._intent = known if is_of_receipt else None
        now = await self._dates.updated_date(self._task_id)
        if now != self._left_date:
            if not await is_left_by(self._intent, self._client, self._task_id, now):
                raise changed_since(self._task_id)
            self._left_date = now
        if self._client.server_date is not None:
            await replaced.note_intent(self._task_id, self._mirrored_date, self._client.server_date)


async def is_left_by(
    intent: UploadIntent | None, client: CvatClient, task_id: int, updated_date: str
) -> bool:
    """Whether an interrupted upload left a task in this state.

    Raises:
        AsyncCvatError: The server cannot be asked.
    """
    if intent is None:
        return False
    imports = await client.requests(task_ids=[task_id], action="import")
    return is_own_change(intent, updated_date, imports)
