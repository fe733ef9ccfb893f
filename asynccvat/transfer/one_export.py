"""One export, from its slot in flight to its open archive."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Self, TypeVar

from asynccvat.client.watched import WatchedRequest
from asynccvat.core.specs import RequestSpec
from asynccvat.errors import AsyncCvatError, ExportNotReadyError, ResponseError
from asynccvat.http import ResultStream
from asynccvat.transfer.exports import ExportResult, Exports, Prediction
from asynccvat.transfer.slots import RequestSlots

T = TypeVar("T")

# How a server may answer for a result that it does not have, except with CVAT's own words.
_NO_SUCH_RESULT = (400, 403, 404, 410)


class OneExport:
    """The export or backup of one target. Use it as a context manager; a slot must be held before.

    The slot is given back as soon as the archive is there.

    Attributes:
        spec: What the server makes.
        earlier_url: An earlier result, which `url` returns first. None if there is none.
    """

    def __init__(
        self, exports: Exports, slots: RequestSlots, task_id: int, spec: RequestSpec
    ) -> None:
        self.spec = spec
        self._exports = exports
        self._slots = slots
        self._task_id = task_id
        self._holds_slot = True
        self.earlier_url: str | None = None
        self._reads_earlier = False
        self._prediction: Prediction | None = None
        self._ended: WatchedRequest | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        if self._prediction is not None:
            self._prediction.abandon()
        self.release_slot()

    async def url(self) -> str:
        """Export the task and wait for its result. An earlier result is tried first.

        Returns:
            The archive's URL. The archive is there, or a prediction says that it should be.
        """
        if self.earlier_url is not None:
            url, self.earlier_url, self._reads_earlier = self.earlier_url, None, True
            self.release_slot()
            return url
        if not self._holds_slot:
            await self._slots.acquire()
            self._holds_slot = True
        return self._note_result(await self._exports.result(self._task_id, self.spec))

    async def read(self, url: str, read: Callable[[str], Awaitable[T]]) -> T:
        """Read the archive. If a prediction was too early, wait and read again.

        Args:
            url: As `url` returned it.
            read: Reads the archive at a URL. It calls `opened` once the server sends it.
        """
        while True:
            try:
                return await read(url)
            except AsyncCvatError as error:
                prediction = self._prediction
                if prediction is None or not prediction.is_refuted_by(error):
                    raise
                self._prediction = None
                url = self._note_result(await prediction.refute(error))

    def forgets_earlier(self, error: AsyncCvatError) -> bool:
        """Whether an error says that the earlier result is gone, and another one is requested."""
        if not self._reads_earlier:
            return False
        self._reads_earlier = False
        status = error.status if isinstance(error, ResponseError) else None
        return status is None or status in _NO_SUCH_RESULT

    def check_prediction(self) -> None:
        """Check, after a wait, that the result may still be fetched unasked.

        Raises:
            ExportNotReadyError: Results cannot be predicted any more. `read` asks the server then.
        """
        if self._prediction is not None and not self._prediction.still_holds:
            raise ExportNotReadyError("the server's results cannot be predicted", step="download")

    def opened(self, stream: ResultStream) -> None:
        """Note that the server sends an archive.

        Raises:
            EarlierResultError: The result was predicted, and this may be an earlier one.
        """
        if self._prediction is not None:
            self._prediction.confirm(stream.modified, stream.sent)
            self._prediction = None
        elif self._ended is not None:
            self._exports.note_dates(self._ended, stream.modified, stream.sent)
        self.release_slot()

    def release_slot(self) -> None:
        """Give the slot to another export: this one has ended, or should have."""
        if self._holds_slot:
            self._holds_slot = False
            self._slots.release()

    def _note_result(self, result: ExportResult) -> str:
        self._prediction, self._ended = result.prediction, result.ended
        if result.prediction is None:
            self.release_slot()
        return result.url
