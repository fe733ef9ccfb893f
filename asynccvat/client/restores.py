"""The calls of restores and of imports of datasets: send a file, have it used, and look afterwards.

`client.tus` sends, `client.finishing` makes the call that counts.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime

import msgspec

from asynccvat.aio.threads import in_thread
from asynccvat.client.body_limit import BodyLimit
from asynccvat.client.finishing import FindLost, UploadFinish
from asynccvat.client.lists import Lists
from asynccvat.client.tus import BegunUpload, PieceSender, SentFile, UploadPlace
from asynccvat.client.upload_file import ByteSource
from asynccvat.client.upload_starts import UploadStarts
from asynccvat.core.annotations.counts import TaskAnnotations, read_task_annotations
from asynccvat.core.backups.annotations import TaskLabel
from asynccvat.core.backups.labels import BackupLabel
from asynccvat.core.decoding import ObjectDecoder
from asynccvat.core.models import Task
from asynccvat.core.requests import RequestAccepted, ServerRequest
from asynccvat.core.selections.selection import RequestSelection
from asynccvat.core.targets import TargetKind
from asynccvat.errors import AsyncCvatError
from asynccvat.http import Call, HttpSession

_TASK = ObjectDecoder(Task)
_MOST_LABELS = 10_000


class _Labels(msgspec.Struct, frozen=True):
    results: tuple[BackupLabel, ...] = ()


class _TaskLabels(msgspec.Struct, frozen=True):
    results: tuple[TaskLabel, ...] = ()


class _Id(msgspec.Struct, frozen=True):
    id: int


class _Ids(msgspec.Struct, frozen=True):
    results: tuple[_Id, ...] = ()


_IDS = ObjectDecoder(_Ids)
_LABELS = ObjectDecoder(_Labels)
_TASK_LABELS = ObjectDecoder(_TaskLabels)


def restore_place(kind: TargetKind) -> UploadPlace:
    """Return where the backups of tasks or projects are sent."""
    return UploadPlace(
        path=f"{kind.endpoint}/backup/", purpose=f"to restore a {kind}", is_shared=True
    )


def dataset_place(project_id: int, importer: str) -> UploadPlace:
    """Return where a dataset for a project is sent.

    Args:
        project_id: The project.
        importer: The importer's exact name.
    """
    # Without a location, a project whose default source is a bucket would read the file there.
    params = {"format": importer, "location": "local", "use_default_location": "false"}
    return UploadPlace(
        path=f"/api/projects/{project_id}/dataset/",
        purpose=f"into project {project_id}",
        params=params,
    )


class RestoreCalls:
    """The calls of one client's restores."""

    def __init__(
        self, http: HttpSession, lists: Lists, limit: BodyLimit, starts: UploadStarts
    ) -> None:
        """Share a client's session and lists, and what it knows of limits and of places."""
        self._http = http
        self._lists = lists
        self._limit = limit
        self._starts = starts

    async def send(
        self,
        source: ByteSource,
        place: UploadPlace,
        begun: BegunUpload | None,
        *,
        on_sent: Callable[[int], None],
        on_begun: Callable[[BegunUpload], Awaitable[None]],
    ) -> SentFile:
        """Send a file. Nothing is done with it yet.

        Args:
            source: The file.
            place: Where it is sent.
            begun: An upload of the same bytes to go on with, None for a new one.
            on_sent: Receives the bytes of each piece that was sent.
            on_begun: Awaited with each upload that the server has begun, before its first piece.

        Raises:
            UploadTooLargeError: The server takes no file so large.
            UploadError: The file was changed while it was sent.
            AsyncCvatError: The server cannot be reached, or refuses it.
        """
        sender = PieceSender(
            self._http,
            source,
            place,
            limit=self._limit,
            starts=self._starts,
            on_sent=on_sent,
            on_begun=on_begun,
        )
        return await sender.send(begun)

    async def finish(
        self,
        place: UploadPlace,
        file_id: str,
        *,
        find_lost: FindLost,
        lost_before: datetime | None = None,
    ) -> RequestAccepted:
        """Have the server use a file that was sent, at most once.

        Args:
            place: Where it was sent.
            file_id: The server's name for it.
            find_lost: Searches the server for what a lost call has begun.
            lost_before: When an earlier call was lost, on the server's clock.

        Raises:
            UploadForgottenError: The server does not have the file. Send it again.
            RequestUncertainError: The server may have done it or not.
            AsyncCvatError: The server refuses it, or cannot be reached. Nothing was done.
        """
        finish = UploadFinish(
            self._http, place, file_id, find_lost=find_lost, lost_before=lost_before
        )
        return await finish.request()

    async def imports(self) -> tuple[ServerRequest, ...]:
        """Return the user's restores and imports that the server remembers, newest first.

        Raises:
            AsyncCvatError: The server cannot be asked.
        """
        return await self._lists.requests(RequestSelection(action="import"))

    async def newest(self, kind: TargetKind) -> int:
        """Return the highest id of a task or project that the user sees, 0 if there is none.

        Raises:
            AsyncCvatError: The server cannot be asked.
        """
        params = {"sort": "-id", "page_size": "1"}
        call = Call(method="GET", path=kind.endpoint, step="list", params=params)
        return max(
            (one.id for one in self._http.decode(await self._http.call(call), _IDS).results),
            default=0,
        )

    async def back_off(self, attempt: int) -> None:
        """Wait before the server is asked again for what it does."""
        await self._http.retries.back_off(attempt)

    async def labels(self, project_id: int) -> tuple[BackupLabel, ...]:
        """Return the labels of a project.

        Raises:
            AsyncCvatError: The server cannot be asked.
        """
        call = _labels_call(project_id=str(project_id))
        return self._http.decode(await self._http.call(call), _LABELS).results

    async def task_labels(self, task_id: int) -> tuple[TaskLabel, ...]:
        """Return the labels of a task, with their ids.

        Raises:
            AsyncCvatError: The server cannot be asked.
        """
        call = _labels_call(task_id=str(task_id))
        return self._http.decode(await self._http.call(call), _TASK_LABELS).results

    async def move(self, task_id: int, project_id: int) -> Task:
        """Move a task into a project. To do so again changes nothing.

        Raises:
            ResponseError: The server refuses it, for example for a label that the project lacks.
            AsyncCvatError: The server cannot be asked.
        """
        call = Call(
            method="PATCH",
            path=f"/api/tasks/{task_id}",
            step="move",
            json={"project_id": project_id},
            task_id=task_id,
        )
        return self._http.decode(await self._http.call(call), _TASK)

    async def set_job(self, job_id: int, *, stage: str, state: str) -> None:
        """Set the stage and the state of a job, by one call that is not retried.

        Raises:
            AsyncCvatError: The server refuses it, or cannot be asked.
            HeldBackError: The call had to wait. Nothing was set; look at the job again.
        """
        call = Call(
            method="PATCH",
            path=f"/api/jobs/{job_id}",
            step="set job",
            json={"stage": stage, "state": state},
            retry=False,
            at_once=True,
        )
        await self._http.call(call)

    async def retry_or_raise(self, error: AsyncCvatError, attempt: int) -> None:
        """Wait before another attempt, or raise the error if it is the last one."""
        await self._http.retry_or_raise(error, attempt)

    async def job_annotations(self, job_id: int) -> TaskAnnotations:
        """Return the annotations of a job, and how many there are.

        Raises:
            ProtocolError: The answer cannot be read.
            AsyncCvatError: The server cannot be asked.
        """
        call = Call(method="GET", path=f"/api/jobs/{job_id}/annotations", step="annotations")
        answer = await self._http.call(call)
        return await in_thread(read_task_annotations, job_id, answer.body)


def _labels_call(**of: str) -> Call:
    return Call(
        method="GET",
        path="/api/labels",
        step="labels",
        params={**of, "page_size": str(_MOST_LABELS)},
    )
