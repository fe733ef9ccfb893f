"""Import annotation files that were sent, and wait for the end.

CVAT runs one import of a task at a time. If another one runs, it is waited for first.
`client.imports` makes the calls.
"""

from __future__ import annotations

from collections.abc import Callable

from asynccvat.client import CvatClient
from asynccvat.client.imports import AnnotationUpload
from asynccvat.client.poller import Poller
from asynccvat.client.watched import WatchedRequest
from asynccvat.core.annotations.import_failures import import_failure
from asynccvat.core.requests import RequestStatus, ServerRequest
from asynccvat.errors import (
    AsyncCvatError,
    ExportExpiredError,
    ExportTimeoutError,
    ImportFailedError,
    ImportUncertainError,
    PermissionDeniedError,
    QueueStuckError,
    UploadError,
)
from asynccvat.events import Event, ImportFinished, ImportRequested, Retrying
from asynccvat.transfer.own_requests import LeftRequests, OwnRequests


class Imports:
    """Request imports, and wait for them."""

    def __init__(
        self,
        client: CvatClient,
        poller: Poller,
        *,
        retries: int,
        emit: Callable[[Event], None],
    ) -> None:
        """Prepare to request imports.

        Args:
            client: The server.
            poller: The poller of its imports, which has to run.
            retries: How often an import is requested again if another one was in its way.
            emit: Receives the events.
        """
        self._poller = poller
        self._retries = retries
        self._emit = emit
        self._own = OwnRequests(client, poller)

    async def run(self, upload: AnnotationUpload) -> ServerRequest:
        """Import a file. A large one has been sent before.

        Returns:
            The finished request.

        Raises:
            ImportFailedError: The server tried and failed.
            ImportUncertainError: It may have happened or not.
            UploadError: It ran for too long, or other imports of the task came first.
            AsyncCvatError: The server could not be asked, or refused it. Nothing was imported.
        """
        task_id = upload.task_id
        for attempt in range(self._retries + 1):
            # Another import of the task may have ended since the last attempt.
            await upload.prepare()
            watched = await self._own.send(upload.request_import(), task_id)
            if watched.created:
                self._emit(ImportRequested(task_id, watched.rq_id))
                return self._checked(upload, await self._wait(upload, watched))
            if attempt < self._retries:
                self._emit(Retrying(task_id, "upload", str(_busy(task_id)), 0.0))
                await self._until_free(watched)
            else:
                self._poller.forget(watched)
        raise _busy(task_id)

    async def cancel_queued(self) -> LeftRequests:
        """Cancel the queued imports that this object requested. Takes at most 5 seconds."""
        return await self._own.cancel_queued()

    async def _wait(self, upload: AnnotationUpload, watched: WatchedRequest) -> ServerRequest:
        task_id, shown = upload.task_id, upload.file.shown
        try:
            request = await self._poller.wait(watched)
        except ExportExpiredError as error:
            raise ImportUncertainError(
                f"the import of {str(shown)!r} into task {task_id} may have happened or not: the "
                "server "
                "has forgotten it, perhaps because it was restarted. Look at the task before you "
                "upload again.",
                task_id=task_id,
                rq_id=watched.rq_id,
                step="wait",
            ) from error
        except QueueStuckError:
            raise  # it has not begun, and is cancelled at the end of the run
        except ExportTimeoutError as error:
            raise UploadError(
                f"the import of {str(shown)!r} into task {task_id} takes too long: the server "
                "still runs "
                "it. Look at the task later, or allow more time with --import-timeout.",
                task_id=task_id,
                rq_id=watched.rq_id,
                step="wait",
            ) from error
        except AsyncCvatError as error:
            raise ImportUncertainError(
                f"the import of {str(shown)!r} into task {task_id} may have happened or not: "
                f"{str(error).rstrip('.')}. Look at the task before you upload again.",
                task_id=task_id,
                rq_id=watched.rq_id,
                step="wait",
            ) from error
        self._own.forget(watched)
        assert request is not None, "the result of an import is never predicted"
        return request

    async def _until_free(self, other: WatchedRequest) -> None:
        """Wait for the end of another import of the same task.

        Raises:
            UploadError: It ran for too long, or is another user's.
            AsyncCvatError: The server cannot be asked.
        """
        task_id = other.task_id
        try:
            await self._poller.wait(other)
        except ExportExpiredError:
            return
        except ExportTimeoutError as error:
            raise UploadError(
                f"nothing was uploaded to task {task_id}: another import of the task runs for "
                "longer than --import-timeout. Upload again when that has ended.",
                task_id=task_id,
                rq_id=other.rq_id,
                step="wait",
            ) from error
        except PermissionDeniedError as error:
            # It is another user's import. CVAT shows no user the requests of others.
            raise _busy(task_id) from error

    def _checked(self, upload: AnnotationUpload, request: ServerRequest) -> ServerRequest:
        if request.state is RequestStatus.FAILED:
            cause, remedy = import_failure(request.message)
            raise ImportFailedError(
                f"the server could not import {str(upload.file.shown)!r} into task "
                f"{upload.task_id}: " + (f"{cause.rstrip('.')}. {remedy}" if remedy else cause),
                task_id=upload.task_id,
                rq_id=request.id,
                step="import",
            )
        self._emit(
            ImportFinished(upload.task_id, request.worker_seconds, ended_at=request.finished_date)
        )
        return request


def _busy(task_id: int) -> UploadError:
    return UploadError(
        f"nothing was uploaded to task {task_id}: another import of the task runs. Upload again "
        "when that has ended.",
        task_id=task_id,
        step="upload",
        retryable=True,
    )
