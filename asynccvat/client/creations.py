"""Make projects and tasks with data, each at most once, and read labels.

CVAT makes a second one of the same name without a word if a call is repeated. So a call whose
answer was lost is sent again only if a search of the server shows that it made nothing.
`client.tus` sends the data of a new task, `client.finishing` has CVAT use it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar

import msgspec

from asynccvat.client.body_limit import TOO_LARGE, BodyLimit
from asynccvat.client.finishing import UploadFinish
from asynccvat.client.lists import Lists
from asynccvat.client.tus import BegunUpload, PieceSender, SentFile, UploadPlace
from asynccvat.client.upload_file import ByteSource
from asynccvat.core.decoding import ObjectDecoder
from asynccvat.core.labels import Label
from asynccvat.core.models import Project, Task
from asynccvat.core.numbers import whole
from asynccvat.core.requests import RequestAccepted, RequestId, ServerRequest
from asynccvat.core.selections.selection import RequestSelection
from asynccvat.core.wire.tus import ONE_REQUEST
from asynccvat.errors import (
    ConnectError,
    NotFoundError,
    RateLimitError,
    ResponseError,
    ServerError,
    TransportError,
)
from asynccvat.http import Call, FormFile, HttpSession

T = TypeVar("T")

_TASK = ObjectDecoder(Task)
_PROJECT = ObjectDecoder(Project)
_ACCEPTED = ObjectDecoder(RequestId)
# How often the server is searched after a lost answer. Our call may still be on its way.
_SEARCHES = 3
_LABELS_PAGE = 500


class _Labels(msgspec.Struct):
    results: list[dict[str, Any]]
    next: str | None = None


_LABELS = ObjectDecoder(_Labels)


class _Frame(msgspec.Struct):
    name: str


class _Meta(msgspec.Struct):
    frames: list[_Frame]


_META = ObjectDecoder(_Meta)

FindMade = Callable[[], Awaitable[T | None]]
"""Searches the server for what a call has made. Returns None if it has made nothing.

Raises an error if that stays unknown."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NewTask:
    """A task to make.

    Attributes:
        name: Its name.
        project_id: Its project, whose labels it has. None for none.
        labels: Its labels, if it has no project.
        subset: Its subset, "" for none.
        segment_size: Frames in a job, None for one job.
        overlap: Frames that neighbouring jobs share, None for what the server chooses.
    """

    name: str
    project_id: int | None = None
    labels: Sequence[Label] = ()
    subset: str = ""
    segment_size: int | None = None
    overlap: int | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the body of the call that makes it. CVAT takes a project or labels, not both."""
        body: dict[str, Any] = {"name": self.name}
        if self.project_id is None:
            body["labels"] = list(self.labels)
        else:
            body["project_id"] = self.project_id
        given = {
            "subset": self.subset or None,
            "segment_size": self.segment_size,
            "overlap": self.overlap,
        }
        return body | {key: value for key, value in given.items() if value is not None}


class Creations:
    """Calls that make projects and tasks, and that send the data of tasks."""

    def __init__(self, http: HttpSession, lists: Lists, limit: BodyLimit) -> None:
        """Share a client's session, its lists, and what it knows of a gateway's limit."""
        self._http = http
        self._lists = lists
        self._limit = limit

    async def task(self, new: NewTask, *, find_made: FindMade[Task]) -> Task:
        """Make a task without data.

        Args:
            new: The task.
            find_made: Searches the server if the answer is lost.

        Raises:
            NotFoundError: Its project does not exist any more.
            PermissionDeniedError: The user may not, or has reached a limit of the server.
            AsyncCvatError: The server refuses it, cannot be reached, or cannot be searched.
        """
        call = Call(
            method="POST",
            path="/api/tasks",
            step="create",
            json=new.to_json(),
            expect=(201,),
            retry=False,
        )
        try:
            return await self._once(call, _TASK, find_made)
        except ResponseError as error:
            if error.status != 400 or "Project matching query" not in error.detail:
                raise
            raise NotFoundError(
                f"cannot create a task: project {new.project_id} does not exist any more, or this "
                "user may not see it. Check the project, the user and the organization.",
                status=404,
                detail=error.detail,
                step="create",
            ) from error

    async def project(
        self, name: str, labels: Sequence[Label], *, find_made: FindMade[Project]
    ) -> Project:
        """Make a project.

        Args:
            name: Its name. CVAT makes another one of the same name.
            labels: Its labels.
            find_made: Searches the server if the answer is lost.

        Raises:
            PermissionDeniedError: The user may not, or has reached a limit of the server.
            AsyncCvatError: The server refuses it, cannot be reached, or cannot be searched.
        """
        call = Call(
            method="POST",
            path="/api/projects",
            step="create project",
            json={"name": name, "labels": list(labels)},
            expect=(201,),
            retry=False,
        )
        return await self._once(call, _PROJECT, find_made)

    async def send(
        self,
        task_id: int,
        source: ByteSource,
        begun: BegunUpload | None,
        *,
        on_sent: Callable[[int], None],
        on_begun: Callable[[BegunUpload], Awaitable[None]],
    ) -> SentFile:
        """Send the data of a new task. The server does nothing with them yet.

        Args:
            task_id: The task.
            source: A zip of images, or a video. CVAT loses a file with a folder in its name.
            begun: An upload of the same bytes to go on with, None for a new one.
            on_sent: Receives the bytes of each piece that was sent.
            on_begun: Awaited with each upload that the server has begun, before its first piece.

        Raises:
            UploadTooLargeError: The server takes no file so large.
            UploadError: A file was changed while it was sent.
            AsyncCvatError: The server cannot be reached, or refuses it.
        """
        sender = PieceSender(
            self._http,
            source,
            _data_place(task_id),
            limit=self._limit,
            on_sent=on_sent,
            on_begun=on_begun,
        )
        return await sender.send(begun)

    async def finish(
        self, task_id: int, file_id: str, options: dict[str, object]
    ) -> RequestAccepted:
        """Have the server make frames of the data that were sent.

        Args:
            task_id: The task.
            file_id: The server's name for the upload.
            options: What the server is told about the media.

        Raises:
            AsyncCvatError: The server refuses it, or cannot be reached.
        """

        async def find_lost(_since: datetime | None) -> RequestAccepted | None:
            request = await self.data_request(task_id)
            return None if request is None else RequestAccepted(request.id, created=True)

        finish = UploadFinish(
            self._http, _data_place(task_id), file_id, find_lost=find_lost, options=options
        )
        return await finish.request()

    def fits_one_call(self, size: int) -> bool:
        """Whether data are small enough to be sent with the call that uses them."""
        return size <= min(ONE_REQUEST, self._limit.most)

    async def send_in_one_call(
        self, task_id: int, filename: str, content: bytes, options: dict[str, object]
    ) -> RequestAccepted | None:
        """Send the data of a new task, and have the server make frames of them.

        Args:
            task_id: The task.
            filename: The name of the data. CVAT drops folders from it.
            content: A zip of images, or a video.
            options: What the server is told about the media.

        Returns:
            The request. None if a gateway takes no call so large: then nothing was done.

        Raises:
            AsyncCvatError: The server refuses it, cannot be reached, or cannot be searched.
        """
        call = Call(
            method="POST",
            path=f"/api/tasks/{task_id}/data",
            step="upload",
            body=FormFile(
                name="client_files[0]",
                filename=filename,
                content_type="application/octet-stream",
                content=content,
                fields={key: _as_text(value) for key, value in options.items()},
            ),
            expect=(202, 409),
            retry=False,
            task_id=task_id,
        )
        try:
            made = await self._once(call, _ACCEPTED, lambda: self._found_data(task_id))
        except ResponseError as error:
            if error.status != TOO_LARGE:
                raise
            self._limit.note_refused(len(content))
            return None
        return RequestAccepted(made.rq_id, created=True)

    async def _found_data(self, task_id: int) -> RequestId | None:
        request = await self.data_request(task_id)
        return None if request is None else RequestId(rq_id=request.id)

    async def data_request(self, task_id: int) -> ServerRequest | None:
        """Return the request that makes the frames of a task. None if the server knows of none.

        CVAT takes the data of a task once, so there is one at most.

        Raises:
            AsyncCvatError: The server cannot be asked.
        """
        for request in await self._lists.requests(RequestSelection((task_id,), "create")):
            if request.operation.type == "create:task" and request.operation.task_id == task_id:
                return request
        return None

    async def frame_names(self, task_id: int) -> list[str]:
        """Return the names of a task's frames, in their order.

        Raises:
            AsyncCvatError: The server cannot be reached, or refuses it.
        """
        call = Call(
            method="GET",
            path=f"/api/tasks/{whole('task_id', task_id)}/data/meta",
            step="create",
            task_id=task_id,
        )
        meta = self._http.decode(await self._http.call(call), _META)
        return [frame.name for frame in meta.frames]

    async def labels(self, **of: int) -> list[dict[str, Any]]:
        """Return the labels of a project or a task with all their fields, as JSON types.

        Args:
            of: `project_id` or `task_id`, the project or the task.

        Raises:
            AsyncCvatError: The server cannot be reached, or refuses it.
        """
        found: list[dict[str, Any]] = []
        page = 1
        while True:
            call = Call(
                method="GET",
                path="/api/labels",
                step="labels",
                params={
                    **{name: str(whole(name, value)) for name, value in of.items()},
                    "sort": "id",
                    "page_size": str(_LABELS_PAGE),
                    "page": str(page),
                },
            )
            part = self._http.decode(await self._http.call(call), _LABELS)
            found += part.results
            if part.next is None or not part.results:
                # A point of a skeleton stands within the skeleton's own label.
                return [label for label in found if not label.get("has_parent")]
            page += 1

    async def _once(self, call: Call, decoder: ObjectDecoder[T], find_made: FindMade[T]) -> T:
        """Make a call that makes something, and repeat it only if it has made nothing."""
        attempt = 0
        while True:
            try:
                return self._http.decode(await self._http.call(call), decoder)
            except (ConnectError, RateLimitError) as error:
                # The server did not receive the call.
                await self._http.retry_or_raise(error, attempt)
            except (TransportError, ServerError) as error:
                found = await self._search(find_made)
                if found is not None:
                    return found
                await self._http.retry_or_raise(error, attempt)
            attempt += 1

    async def _search(self, find_made: FindMade[T]) -> T | None:
        for search in range(_SEARCHES):
            found = await find_made()
            if found is not None:
                return found
            if search + 1 < _SEARCHES:
                await self._http.retries.back_off(search)
        return None


def _as_text(value: object) -> str:
    """Return an option as a field of a form."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def _data_place(task_id: int) -> UploadPlace:
    return UploadPlace(
        path=f"/api/tasks/{task_id}/data/", purpose=f"to task {task_id}", task_id=task_id
    )
