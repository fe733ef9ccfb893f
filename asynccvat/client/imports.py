"""The one request that counts: it has the server import a file.

It is never repeated blindly: an import may have happened, and sent again, a file could replace what
somebody did since. A large file is brought before it, which is left to `bringing`; waiting for the
import is left to `imports`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Any

import msgspec

from asynccvat.client.tus import PieceSender, SentFile
from asynccvat.client.upload_file import FileToSend
from asynccvat.core.annotation_files import FileKind
from asynccvat.core.models import RequestAccepted, RequestId, ServerRequest
from asynccvat.core.options import ImportMode
from asynccvat.core.responses import is_json
from asynccvat.core.tus import ONE_REQUEST
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
from asynccvat.http import Call, FormFile, HttpSession, Response

_REQUEST_ID = msgspec.json.Decoder(RequestId)
# Looks at the server's requests after an answer was lost: the call may still be on its way there.
_LOOKS = 3
_MEDIA_TYPES = {
    FileKind.XML: "application/xml",
    FileKind.JSON: "application/json",
    FileKind.ZIP: "application/zip",
}

KnownImports = Callable[[int], Awaitable[tuple[ServerRequest, ...]]]
"""The imports into a task that the server remembers."""


class AnnotationUpload:
    """One file for one task. Made by `CvatClient.begin_upload`.

    Attributes:
        task_id: The task.
        file: The file.
        sent: Bytes of it that went out, those of broken attempts included.
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
        on_progress: Callable[[int], None],
    ) -> None:
        """Prepare an upload; nothing is sent yet.

        Args:
            http: The server.
            file: The file.
            task_id: The task.
            importer: The importer's exact name.
            mode: What becomes of the annotations that are there.
            known_imports: Tells the imports that the server remembers.
            on_progress: Told the bytes of each piece that went out.
        """
        self.task_id = task_id
        self.file = file
        self.sent = 0
        self._http = http
        self._importer = importer
        self._mode = mode
        self._known_imports = known_imports
        self._on_progress = on_progress
        # A file that was brought is consumed by its import: asked twice, it is imported once.
        self._in_one_request = file.size <= ONE_REQUEST and mode is ImportMode.REPLACE
        self._sent_file: SentFile | None = None
        # What the first loss of an answer was, and the server's clock before that call.
        self._loss: str | None = None
        self._lost_since: datetime | None = None

    @property
    def is_small(self) -> bool:
        """Whether the file goes along with the request that has it imported."""
        return self._in_one_request

    async def send(self) -> None:
        """Carry the file to the server, if it does not go along with the request.

        Raises:
            AnnotationFileError: It was changed meanwhile.
            AsyncCvatError: The server cannot be reached, or refuses it.
        """
        if self._in_one_request:
            return
        sender = PieceSender(
            self._http,
            self.file,
            task_id=self.task_id,
            path=self._path,
            params=self._params,
            on_sent=self._note_sent,
        )
        self._sent_file = await sender.send()

    def _note_sent(self, count: int) -> None:
        self.sent += count
        self._on_progress(count)

    async def request_import(self) -> RequestAccepted:
        """Have the server import the file.

        Where the answer is lost, the server's requests are looked at: an import that was created
        since is ours; only where there is none is the server asked again.

        Raises:
            AnnotationFileError: The file was changed since it was looked at; nothing is imported.
            ImportUncertainError: Nobody could say whether the import happened.
            AsyncCvatError: The server refuses it, or cannot be reached; nothing is imported.
        """
        attempt = 0
        while True:
            before = self._http.server_date
            try:
                answer = await self._http.call(await self._question())
            except (ConnectError, RateLimitError) as error:
                # It did not get in.
                await self._http.retry_or_raise(error, attempt)
            except (TransportError, ServerError) as error:
                self._note_loss(error, before)
                found = await self._look_for_import()
                if found is not None:
                    return found
                await self._http.retry_or_raise(error, attempt)
            except ResponseError as error:
                if error.status != 400 or "such file" not in error.detail:
                    raise
                if self._loss is not None:
                    # Consumed by the import that our lost request began, however that ended.
                    return await self._must_be_there()
                if self._sent_file is None or self._sent_file.certain:
                    raise
                await self.send()
            else:
                return await self._understood(answer)
            attempt += 1

    async def _question(self) -> Call:
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
            assert self._sent_file is not None, "a file is brought before it is asked for"
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
        )

    async def _understood(self, answer: Response) -> RequestAccepted:
        if not is_json(answer.content_type):
            raise ProtocolError(
                f"task {self.task_id}: the server says that an import is running, and not which: "
                f"{answer.text}",
                task_id=self.task_id,
                step="upload",
                retryable=True,
            )
        rq_id = self._http.decode(answer, _REQUEST_ID).rq_id
        if answer.status == 202:
            return RequestAccepted(rq_id, created=True)
        if self._loss is not None:
            # It may be ours, begun by the request whose answer was lost.
            found = await self._newer_import()
            if found is not None:
                return found
        return RequestAccepted(rq_id, created=False)

    # --- after a lost answer ----------------------------------------------------------------

    def _note_loss(self, loss: AsyncCvatError, before: datetime | None) -> None:
        if self._loss is None:
            self._loss, self._lost_since = str(loss), before

    async def _look_for_import(self) -> RequestAccepted | None:
        """Look a few times for the import that a lost request may have begun."""
        for look in range(_LOOKS):
            found = await self._newer_import()
            if found is not None:
                return found
            if look + 1 < _LOOKS:
                await self._http.retries.back_off(look)
        return None

    async def _newer_import(self) -> RequestAccepted | None:
        """The import that was created since an answer was lost: it is ours.

        Raises:
            ImportUncertainError: The server cannot be asked, or does not tell when an import was
                created or what time it was.
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
            # The Date header has whole seconds, rounded down: what came later is not before it.
            elif created >= self._lost_since:
                return RequestAccepted(request.id, created=True)
        if undated:
            raise self._uncertain(
                "there is no telling when an import of this task was created: the server gives no "
                "dates, or a proxy before it drops them"
            )
        return None

    async def _must_be_there(self) -> RequestAccepted:
        found = await self._look_for_import()
        if found is None:
            raise self._uncertain("the server remembers no such import any more")
        return found

    def _uncertain(self, why: str) -> ImportUncertainError:
        return ImportUncertainError(
            f"task {self.task_id}: {self.file.shown} may have been imported or not, as the answer "
            f"was lost ({self._loss}) and nobody could say ({why}): look at the task before you "
            "upload again",
            task_id=self.task_id,
            step="upload",
        )

    # --- calls -----------------------------------------------------------------

    @property
    def _path(self) -> str:
        return f"/api/tasks/{self.task_id}/annotations/"

    @property
    def _params(self) -> dict[str, str]:
        # Without a location, a task whose default source is a bucket would look there.
        params = {"format": self._importer, "location": "local", "use_default_location": "false"}
        if self._mode is ImportMode.APPEND:
            params["import_mode"] = "append"
        return params

    def _call(self, method: str, path: str, **rest: Any) -> Call:
        return Call(method=method, path=path, step="upload", task_id=self.task_id, **rest)
