"""Finished imports of annotation files: ask, wait for the end, say what became of it.

An import of a task that somebody else began is waited for, and then ours is asked for: CVAT runs
one at a time for each task. How a file gets to the server is left to `sending`.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import TYPE_CHECKING

import anyio

from asynccvat.client.imports import AnnotationUpload
from asynccvat.client.poller import Poller, WatchedRequest
from asynccvat.core.models import Cancellation, RequestAccepted, RequestStatus, ServerRequest
from asynccvat.errors import (
    AsyncCvatError,
    ExportExpiredError,
    ExportTimeoutError,
    ImportFailedError,
    ImportUncertainError,
    PermissionDeniedError,
    UploadError,
)
from asynccvat.events import Event, ImportFinished, ImportRequested, Retrying

if TYPE_CHECKING:
    from asynccvat.client import CvatClient

# Seconds that an aborted run spends on taking its own requests out of the server's queue.
_CANCEL_SECONDS = 5.0


class Imports:
    """Has files imported, and waits for that."""

    def __init__(
        self,
        client: CvatClient,
        poller: Poller,
        *,
        retries: int,
        emit: Callable[[Event], None],
    ) -> None:
        """Have a client's files imported.

        Args:
            client: The client.
            poller: Its poller, for imports, which has to run.
            retries: How often a task is asked again that was busy with another import.
            emit: Told what happens.
        """
        self._client = client
        self._poller = poller
        self._retries = retries
        self._emit = emit
        self._asking: set[asyncio.Task[RequestAccepted]] = set()
        self._own: dict[str, WatchedRequest] = {}

    async def finished(self, upload: AnnotationUpload) -> ServerRequest:
        """Have a file imported that was brought, if it is large.

        Returns:
            The finished request.

        Raises:
            ImportFailedError: The server tried and failed.
            ImportUncertainError: Nobody could say whether it happened.
            UploadError: It ran for too long, or the task was busy with other imports.
            AsyncCvatError: The server could not be asked, or refused it; nothing was imported.
        """
        task_id = upload.task_id
        for attempt in range(self._retries + 1):
            accepted = await self._ask(upload)
            if accepted.created:
                self._emit(ImportRequested(task_id, accepted.rq_id))
                return self._checked(upload, await self._wait(upload, accepted.rq_id))
            if attempt < self._retries:
                self._emit(Retrying(task_id, "upload", str(_busy(task_id)), 0.0))
                await self._until_free(task_id, accepted.rq_id)
        raise _busy(task_id)

    async def cancel_queued(self) -> tuple[int, ...]:
        """Take out of the server's queue what this very object put there; for aborted runs.

        Takes at most 5 seconds.

        Returns:
            The tasks whose imports could not be taken back: the server is at them, has done them,
            or cannot be asked.
        """
        left: dict[str, int] = {}
        with anyio.move_on_after(_CANCEL_SECONDS, shield=True):
            if self._asking:
                await asyncio.wait(self._asking)
            left = {rq_id: watched.task_id for rq_id, watched in self._own.items()}
            with contextlib.suppress(AsyncCvatError):
                for rq_id, became in (await self._client.cancel_requests(left)).items():
                    if became is Cancellation.CANCELLED:
                        del left[rq_id]
        if self._asking:
            for task in self._asking:
                task.cancel()
            with anyio.CancelScope(shield=True):
                await asyncio.wait(self._asking)
        self._own.clear()
        return tuple(sorted(left.values()))

    async def _ask(self, upload: AnnotationUpload) -> RequestAccepted:
        """Ask for an import; a cancellation meanwhile must not lose what the server queued."""
        began = asyncio.get_running_loop().time()
        call = asyncio.ensure_future(upload.request_import())
        self._asking.add(call)
        call.add_done_callback(lambda done: self._asked(done, upload.task_id, began))
        return await asyncio.shield(call)

    def _asked(self, call: asyncio.Task[RequestAccepted], task_id: int, began: float) -> None:
        """Note at once what the server queued for us, also when nobody waits any more."""
        self._asking.discard(call)
        if call.cancelled() or call.exception() is not None:
            return
        accepted = call.result()
        if accepted.created:
            now = asyncio.get_running_loop().time()
            self._own[accepted.rq_id] = self._poller.watch(
                accepted.rq_id, task_id, asked_at=(began + now) / 2, created=True
            )

    async def _wait(self, upload: AnnotationUpload, rq_id: str) -> ServerRequest:
        task_id, shown = upload.task_id, upload.file.shown
        try:
            request = await self._poller.wait(self._own[rq_id])
        except ExportExpiredError as error:
            raise ImportUncertainError(
                f"task {task_id}: the server no longer knows of the import of {shown}, which it "
                "may have done or not; it may have been restarted: look at the task before you "
                "upload again",
                task_id=task_id,
                rq_id=rq_id,
                step="wait",
            ) from error
        except ExportTimeoutError as error:
            raise UploadError(
                f"task {task_id}: the import of {shown} runs for too long and may end yet; "
                "--import-timeout allows more",
                task_id=task_id,
                rq_id=rq_id,
                step="wait",
            ) from error
        except AsyncCvatError as error:
            raise ImportUncertainError(
                f"task {task_id}: the server imports {shown}, and could not be asked how that "
                f"went: {str(error).rstrip('.')}. Look at the task before you upload again.",
                task_id=task_id,
                rq_id=rq_id,
                step="wait",
            ) from error
        self._own.pop(rq_id, None)
        assert request is not None, "an import has no result that could be tried"
        return request

    async def _until_free(self, task_id: int, rq_id: str) -> None:
        """Wait for the end of another one's import.

        Raises:
            UploadError: It ran for too long, or is another user's.
            AsyncCvatError: The server could not be asked about it.
        """
        now = asyncio.get_running_loop().time()
        other = self._poller.watch(rq_id, task_id, asked_at=now, created=False)
        try:
            await self._poller.wait(other)
        except ExportExpiredError:
            return
        except ExportTimeoutError as error:
            raise UploadError(
                f"task {task_id} is busy with another import, which runs for longer than "
                "--import-timeout waits for, and nothing was uploaded: try again when that has "
                "ended",
                task_id=task_id,
                rq_id=rq_id,
                step="wait",
            ) from error
        except PermissionDeniedError as error:
            # Another user's, which nobody else may look at.
            raise _busy(task_id) from error

    def _checked(self, upload: AnnotationUpload, request: ServerRequest) -> ServerRequest:
        if request.state is RequestStatus.FAILED:
            message = " ".join((request.message or "").split()) or "no reason given"
            raise ImportFailedError(
                f"task {upload.task_id}: the server could not import {upload.file.shown}: "
                f"{message}",
                task_id=upload.task_id,
                rq_id=request.id,
                step="import",
            )
        seconds = None
        if request.started_date is not None and request.finished_date is not None:
            seconds = (request.finished_date - request.started_date).total_seconds()
        self._emit(ImportFinished(upload.task_id, seconds))
        return request


def _busy(task_id: int) -> UploadError:
    return UploadError(
        f"task {task_id} is busy with another import, and nothing was uploaded: try again when "
        "that has ended",
        task_id=task_id,
        step="upload",
        retryable=True,
    )
