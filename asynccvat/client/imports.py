"""Have the server import a file, at most once.

The request for an import is never repeated blindly. If the import has happened, a second one could
replace what another user did since. `client.tus` sends a large file before the request,
`transfer.imports` waits for the import.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Any

import msgspec

from asynccvat.client.body_limit import TOO_LARGE, BodyLimit
from asynccvat.client.tus import PieceSender, SentFile, UploadPlace
from asynccvat.client.upload_file import FileToSend
from asynccvat.core.annotations.files import FileKind
from asynccvat.core.options.upload import ImportMode
from asynccvat.core.requests import RequestAccepted, RequestId, ServerRequest
from asynccvat.core.wire.responses import is_json
from asynccvat.core.wire.tus import ONE_REQUEST
from asynccvat.errors import (
    AsyncCvatError,
    ConnectError,
    ImportUncertainError,
    ProtocolError,
    RateLimitError,
    ResponseError,
    ServerError,
    TransportError,
)
from asynccvat.http import Call, FormFile, HeldBackError, HttpSession, Response

_REQUEST_ID = msgspec.json.Decoder(RequestId)
# How often the server's requests are read after a lost answer. Our call may still be on its way.
_SEARCHES = 3
_MEDIA_TYPES = {
    FileKind.XML: "application/xml",
    FileKind.JSON: "application/json",
    FileKind.ZIP: "application/zip",
}

KnownImports = Callable[[int], Awaitable[tuple[ServerRequest, ...]]]
"""The imports into a task that the server remembers."""


async def nothing_to_prepare() -> None:
    """Prepare nothing before an import is requested."""


class AnnotationUpload:
    """One file for one task. Made by `ClientInternals.begin_upload`.

    Attributes:
        task_id: The task.
        file: The file.
        sent: Bytes of it that were sent, broken attempts included.
        prepare: To be awaited before the import is requested: the import replaces what the task
            holds then. `request_import` awaits it before it repeats the request.
    """

    def __init__(
        self,
        http: HttpSession,
        file: FileToSend,
        *,
        task_id: int,
        importer: str,
        mode: ImportMode,
        known_imports: KnownImports,
        limit: BodyLimit,
        on_progress: Callable[[int], None],
        prepare: Callable[[], Awaitable[None]],
    ) -> None:
        """Prepare an upload. Nothing is sent yet.

        Args:
            http: The server.
            file: The file.
            task_id: The task.
            importer: The importer's exact name.
            mode: What becomes of the annotations that the task has.
            known_imports: Returns the imports that the server remembers.
            limit: What a gateway before the server allows in one request.
            on_progress: Receives the bytes of each piece that was sent.
            prepare: As the attribute.
        """
        self.task_id = task_id
        self.prepare = prepare
        self.file = file
        self.sent = 0
        self._http = http
        self._importer = importer
        self._mode = mode
        self._known_imports = known_imports
        self._limit = limit
        self._on_progress = on_progress
        # The import consumes a file that was sent before: requested twice, it happens once.
        self._in_one_request = (
            file.size <= min(ONE_REQUEST, limit.most) and mode is ImportMode.REPLACE
        )
        self._sent_file: SentFile | None = None
        # How the first answer was lost, and the server's clock before that call.
        self._loss: str | None = None
        self._lost_since: datetime | None = None

    @property
    def is_small(self) -> bool:
        """Whether the file is sent with the request for its import."""
        return self._in_one_request

    async def send(self) -> None:
        """Send the file to the server, unless it is sent with the request.

        Raises:
            AnnotationFileError: It was changed while it was sent.
            AsyncCvatError: The server cannot be reached, or refuses it.
        """
        if self._in_one_request:
            return
        place = UploadPlace(
            path=self._path,
            purpose=f"to task {self.task_id}",
            params=self._params,
            task_id=self.task_id,
        )
        sender = PieceSender(
            self._http, self.file, place, limit=self._limit, on_sent=self._note_sent
        )
        self._sent_file = await sender.send()

    def _note_sent(self, count: int) -> None:
        self.sent += count
        self._on_progress(count)

    async def request_import(self) -> RequestAccepted:
        """Have the server import the file.

        If the answer is lost, the server's requests are read. An import that was created since then
        is ours. The request is sent again only if there is none.

        Raises:
            AnnotationFileError: The file was changed since it was checked. Nothing is imported.
            ImportUncertainError: The import may have happened or not.
            AsyncCvatError: The server refuses it, or cannot be reached. Nothing is imported.
        """
        attempt, is_prepared = 0, True
        while True:
            if not is_prepared:
                await self.prepare()
            is_prepared = False
            before = self._http.server_date
            try:
                answer = await self._http.call(await self._import_call())
            except HeldBackError:
                continue  # the task may have changed meanwhile
            except (ConnectError, RateLimitError) as error:
                # The server did not receive the request.
                await self._http.retry_or_raise(error, attempt)
            except (TransportError, ServerError) as error:
                self._note_loss(error, before)
                found = await self._find_lost_import()
                if found is not None:
                    return found
                await self._http.retry_or_raise(error, attempt)
            except ResponseError as error:
                if self._loss is not None and _lacks_file(error):
                    # The import of our lost request consumed the file, however it ended.
                    return await self._lost_import()
                await self._send_anew(error)
            else:
                return await self._accepted(answer)
            attempt += 1

    async def _send_anew(self, error: ResponseError) -> None:
        """Send the file in pieces if the refusal shows that the server does not have it.

        Raises:
            ResponseError: The refusal itself, if it shows anything else.
        """
        if self._in_one_request and error.status == TOO_LARGE:
            # A gateway refused it, so the server has seen nothing.
            self._limit.note_refused(self.file.size)
            self._in_one_request = False
        elif not _lacks_file(error) or self._sent_file is None or self._sent_file.certain:
            raise error
        await self.send()

    async def _import_call(self) -> Call:
        params = {**self._params}
        headers: dict[str, str] = {}
        body: FormFile | None = None
        if self._in_one_request:
            content = await self.file.whole()
            body = FormFile(
                name="annotation_file",
                filename=self.file.filename,
                content_type=_MEDIA_TYPES[self.file.kind],
                content=content,
            )
            self._note_sent(len(content))
        else:
            assert self._sent_file is not None, "a large file is sent before the request"
            await self.file.check_unchanged()
            params["filename"] = self._sent_file.file_id
            headers["Upload-Finish"] = ""
        return self._call(
            "POST",
            self._path,
            params=params,
            headers=headers,
            body=body,
            expect=(202, 409),
            retry=False,
            at_once=True,
        )

    async def _accepted(self, answer: Response) -> RequestAccepted:
        if not is_json(answer.content_type):
            raise ProtocolError(
                f"cannot import into task {self.task_id}: the server says that another import "
                f"runs, but not which ({answer.text!r}). Upload again when that has ended.",
                task_id=self.task_id,
                step="upload",
                retryable=True,
            )
        rq_id = self._http.decode(answer, _REQUEST_ID).rq_id
        self._http.note_request(rq_id)
        if answer.status == 202:
            return RequestAccepted(rq_id, created=True)
        if self._loss is not None:
            # It may be ours, of the request whose answer was lost.
            found = await self._newer_import()
            if found is not None:
                return found
        return RequestAccepted(rq_id, created=False)

    # --- after a lost answer ----------------------------------------------------------------

    def _note_loss(self, loss: AsyncCvatError, before: datetime | None) -> None:
        if self._loss is None:
            self._loss, self._lost_since = str(loss), before

    async def _find_lost_import(self) -> RequestAccepted | None:
        """Search a few times for the import that a lost request may have begun."""
        for search in range(_SEARCHES):
            found = await self._newer_import()
            if found is not None:
                return found
            if search + 1 < _SEARCHES:
                await self._http.retries.back_off(search)
        return None

    async def _newer_import(self) -> RequestAccepted | None:
        """Return the import that was created since an answer was lost, which is ours.

        Raises:
            ImportUncertainError: The server cannot be asked, or sends no date of an import or of
                its answers.
        """
        try:
            known = await self._known_imports(self.task_id)
        except AsyncCvatError as error:
            raise self._uncertain(str(error)) from error
        undated = False
        for request in known:
            operation = request.operation
            if not operation.type.startswith("import:") or operation.task_id != self.task_id:
                continue
            created = request.created_date
            if created is None or self._lost_since is None:
                undated = True
            # The Date header is rounded down to whole seconds, so later imports are not before it.
            elif created >= self._lost_since:
                return RequestAccepted(request.id, created=True)
        if undated:
            raise self._uncertain(
                "the server sent no date of an import, or a proxy dropped the dates"
            )
        return None

    async def _lost_import(self) -> RequestAccepted:
        found = await self._find_lost_import()
        if found is None:
            raise self._uncertain("the server remembers no such import")
        return found

    def _uncertain(self, why: str) -> ImportUncertainError:
        return ImportUncertainError(
            f"the import of {str(self.file.shown)!r} into task {self.task_id} may have happened or "
            "not. "
            f"The answer was lost: {str(self._loss).rstrip('.')}. The server's requests do not "
            f"tell: {why.rstrip('.')}. Look at the task before you upload again.",
            task_id=self.task_id,
            step="upload",
        )

    # --- calls -----------------------------------------------------------------

    @property
    def _path(self) -> str:
        return f"/api/tasks/{self.task_id}/annotations/"

    @property
    def _params(self) -> dict[str, str]:
        # Without a location, a task whose default source is a bucket would read the file there.
        params = {"format": self._importer, "location": "local", "use_default_location": "false"}
        if self._mode is ImportMode.APPEND:
            params["import_mode"] = "append"
        return params

    def _call(self, method: str, path: str, **rest: Any) -> Call:
        return Call(method=method, path=path, step="upload", task_id=self.task_id, **rest)


def _lacks_file(error: ResponseError) -> bool:
    """Whether the server says that it has no file that was sent before."""
    return error.status == 400 and "such file" in error.detail
