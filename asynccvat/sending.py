"""One annotation file on its way into one task, up to the request that has the server import it.

`bring` carries the bytes of a large file to the server, where they change nothing yet, and goes on
where a break left off (TUS). `ask` makes the one request that counts. It is never repeated blindly:
an import may have happened, and sent again, a file could replace what somebody did since. Waiting
for the import is left to `imports`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import aiofiles
import msgspec

from asynccvat.core.annotation_files import Kind
from asynccvat.core.models import ExportRequest, RequestId
from asynccvat.core.responses import is_json
from asynccvat.core.tus import ONE_REQUEST, chunk_length, metadata, read_offset
from asynccvat.core.uploading import Mode
from asynccvat.errors import (
    AnnotationFileError,
    AsyncCvatError,
    ConnectError,
    ImportUncertainError,
    NotFoundError,
    ProtocolError,
    RateLimitError,
    ResponseError,
    ServerError,
    TransportError,
)
from asynccvat.http import Answer, Call, FormFile, HttpSession, Streamed

_REQUEST_ID = msgspec.json.Decoder(RequestId)
_PIECE = 1 << 20
_TUS_VERSION = "1.0.0"
# Looks at the server's requests after an answer was lost: the call may still be on its way there.
_LOOKS = 3
_MEDIA_TYPES = {
    Kind.XML: "application/xml",
    Kind.JSON: "application/json",
    Kind.ZIP: "application/zip",
}

KnownImports = Callable[[int], Awaitable[tuple[ExportRequest, ...]]]
"""The imports into a task that the server remembers."""


@dataclass(frozen=True, slots=True)
class FileToSend:
    """A file as it was when it was looked at; sent only while it still is so.

    Attributes:
        path: Where it is read.
        shown: What the user knows it by.
        kind: What it is.
        size: Bytes.
        mtime_ns: When it was changed last, nanoseconds.
    """

    path: Path
    shown: Path
    kind: Kind
    size: int
    mtime_ns: int

    @property
    def filename(self) -> str:
        """The name that the server is told: by its ending CVAT tells what it is."""
        return f"annotations.{self.kind.lower()}"


@dataclass(frozen=True, slots=True)
class ImportAccepted:
    """What the server said to an import that was asked for.

    Attributes:
        rq_id: The request to follow. Opaque.
        created: True where it is of our file, False where another one was running, and ours was
            not taken.
    """

    rq_id: str
    created: bool


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
        mode: Mode,
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
        self._in_one_request = file.size <= ONE_REQUEST and mode is Mode.REPLACE
        self._brought: str | None = None
        # Of a file that has come whole CVAT says that it is not there: until its import is asked
        # for, nobody knows which it is.
        self._may_be_gone = False
        self._lost_since: datetime | None = None
        self._answer_was_lost = False

    @property
    def is_small(self) -> bool:
        """Whether the file goes along with the request that has it imported."""
        return self._in_one_request

    # --- the bytes --------------------------------------------------------------------------

    async def bring(self) -> None:
        """Carry the file to the server, if it does not go along with the request.

        Raises:
            AnnotationFileError: It was changed meanwhile.
            AsyncCvatError: The server cannot be reached, or refuses it.
        """
        if self._in_one_request:
            return
        await self._http.call(
            self._call(
                "POST", self._path, expect=(202,), params=self._params, headers={"Upload-Start": ""}
            )
        )
        attempt = 0
        while True:
            file_id, address = await self._create()
            try:
                await self._send_from(address)
            except NotFoundError as error:
                # The server has forgotten what it had of the file: from the start, a few times.
                error.retryable = True
                await self._http.before_retry(error, attempt)
                attempt += 1
                continue
            self._brought = file_id
            return

    async def _create(self) -> tuple[str, str]:
        """Have the server expect the file; returns its id and the address to send it to."""
        headers = {
            **self._tus_headers,
            "Upload-Length": str(self.file.size),
            "Upload-Metadata": metadata(self.file.filename),
        }
        answer = await self._http.call(
            self._call("POST", self._path, expect=(201,), headers=headers)
        )
        file_id, location = answer.headers.get("Upload-Filename"), answer.headers.get("Location")
        if not file_id or not location:
            raise ProtocolError(
                f"task {self.task_id}: the server expects the file, and does not say where (no "
                "Upload-Filename or Location); a proxy before it may drop headers",
                task_id=self.task_id,
                step="upload",
            )
        return file_id, self._http.server.rebase(location).removeprefix(self._http.server.origin)

    async def _send_from(self, address: str) -> None:
        """Send the file in pieces, each time from where the server says that it is."""
        offset = attempt = 0
        while offset < self.file.size:
            try:
                offset = await self._send_chunk(address, offset)
                attempt = 0
            except NotFoundError:
                raise
            except (ResponseError, TransportError) as error:
                await self._unchanged()
                if isinstance(error, ResponseError) and error.status == 409:
                    # It is elsewhere than we thought: as after any break, it says where.
                    error.retryable = True
                await self._http.before_retry(error, attempt)
                try:
                    reached = await self._offset(address)
                except NotFoundError:
                    if offset + chunk_length(self.file.size, offset) < self.file.size:
                        raise
                    self._may_be_gone = True
                    return
                attempt = 0 if reached > offset else attempt + 1
                offset = reached

    async def _send_chunk(self, address: str, offset: int) -> int:
        length = chunk_length(self.file.size, offset)
        answer = await self._http.call(
            self._call(
                "PATCH",
                address,
                expect=(204,),
                headers={
                    **self._tus_headers,
                    "Upload-Offset": str(offset),
                    "Content-Type": "application/offset+octet-stream",
                },
                body=Streamed(length, lambda: self._pieces(offset, length)),
                retry=False,
            )
        )
        return read_offset(answer.headers.get("Upload-Offset"), size=self.file.size)

    async def _offset(self, address: str) -> int:
        answer = await self._http.call(self._call("HEAD", address, headers=self._tus_headers))
        return read_offset(answer.headers.get("Upload-Offset"), size=self.file.size)

    async def _pieces(self, offset: int, length: int) -> AsyncIterator[bytes]:
        end = offset + length
        while offset < end:
            # Opened for each piece: a call that breaks leaves the rest unread, and nothing open.
            async with aiofiles.open(self.file.path, "rb") as file:
                await file.seek(offset)
                piece = await file.read(min(end - offset, _PIECE))
            if not piece:
                raise self._changed()
            offset += len(piece)
            self._note_sent(len(piece))
            yield piece

    def _note_sent(self, count: int) -> None:
        self.sent += count
        self._on_progress(count)

    # --- the request that counts ------------------------------------------------------------

    async def ask(self) -> ImportAccepted:
        """Have the server import the file.

        Where the answer is lost, the server's requests are looked at: an import that is there is
        ours; only where there is none is the server asked again.

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
                await self._http.before_retry(error, attempt)
            except (TransportError, ServerError) as error:
                self._note_loss(before)
                found = await self._look_for_import(error)
                if found is not None:
                    return found
                await self._http.before_retry(error, attempt)
            except ResponseError as error:
                if error.status != 400 or "such file" not in error.detail:
                    raise
                if self._answer_was_lost:
                    # Consumed by the import that our lost request began, however that ended.
                    return await self._must_be_there(error)
                if not self._may_be_gone:
                    raise
                self._may_be_gone = False
                await self.bring()
            else:
                return await self._understood(answer)
            attempt += 1

    async def _question(self) -> Call:
        params = {**self._params}
        headers: dict[str, str] = {}
        body: FormFile | None = None
        if self._in_one_request:
            content = await self._whole()
            body = FormFile(
                name="annotation_file",
                filename=self.file.filename,
                content_type=_MEDIA_TYPES[self.file.kind],
                content=content,
            )
            self._note_sent(len(content))
        else:
            assert self._brought is not None, "a file is brought before it is asked for"
            await self._unchanged()
            params["filename"] = self._brought
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

    async def _understood(self, answer: Answer) -> ImportAccepted:
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
            return ImportAccepted(rq_id, created=True)
        if self._answer_was_lost:
            # It may be ours, begun by the request whose answer was lost.
            found = await self._newer_import()
            if found is not None:
                return found
        return ImportAccepted(rq_id, created=False)

    # --- after a lost answer ----------------------------------------------------------------

    def _note_loss(self, before: datetime | None) -> None:
        if not self._answer_was_lost:
            self._answer_was_lost = True
            self._lost_since = before

    async def _look_for_import(self, lost: AsyncCvatError) -> ImportAccepted | None:
        """Look a few times for the import that a lost request may have begun."""
        for look in range(_LOOKS):
            try:
                found = await self._newer_import()
            except AsyncCvatError as error:
                raise self._uncertain(lost, str(error)) from error
            if found is not None:
                return found
            if look + 1 < _LOOKS:
                await self._http.rest(look)
        return None

    async def _newer_import(self) -> ImportAccepted | None:
        for request in await self._known_imports(self.task_id):
            operation = request.operation
            if not operation.type.startswith("import:") or operation.task_id != self.task_id:
                continue
            created = request.created_date
            # The Date header has whole seconds, rounded down: what came later is not before it.
            if created is None or self._lost_since is None or created >= self._lost_since:
                return ImportAccepted(request.id, created=True)
        return None

    async def _must_be_there(self, refused: AsyncCvatError) -> ImportAccepted:
        found = await self._look_for_import(refused)
        if found is None:
            raise self._uncertain(refused, "the server remembers no such import any more")
        return found

    def _uncertain(self, lost: AsyncCvatError, why: str) -> ImportUncertainError:
        return ImportUncertainError(
            f"task {self.task_id}: {self.file.shown} may have been imported or not, as the answer "
            f"was lost ({lost}) and nobody could say ({why}): look at the task before you upload "
            "again",
            task_id=self.task_id,
            step="upload",
        )

    # --- calls and the file -----------------------------------------------------------------

    @property
    def _path(self) -> str:
        return f"/api/tasks/{self.task_id}/annotations/"

    @property
    def _params(self) -> dict[str, str]:
        # Without a location, a task whose default source is a bucket would look there.
        params = {"format": self._importer, "location": "local", "use_default_location": "false"}
        if self._mode is Mode.APPEND:
            params["import_mode"] = "append"
        return params

    @property
    def _tus_headers(self) -> dict[str, str]:
        # CVAT makes the address from the Origin, and without one fails with 500.
        return {"Tus-Resumable": _TUS_VERSION, "Origin": self._http.server.origin}

    def _call(self, method: str, path: str, **rest: Any) -> Call:
        return Call(method=method, path=path, step="upload", task_id=self.task_id, **rest)

    async def _whole(self) -> bytes:
        try:
            async with aiofiles.open(self.file.path, "rb") as file:
                content: bytes = await file.read(self.file.size + 1)
        except OSError as error:
            raise self._changed() from error
        await self._unchanged()
        return content

    async def _unchanged(self) -> None:
        """Make sure that what was read is the file that was looked at, and one version of it."""
        try:
            status = await asyncio.to_thread(self.file.path.stat)
        except OSError as error:
            raise self._changed() from error
        if (status.st_size, status.st_mtime_ns) != (self.file.size, self.file.mtime_ns):
            raise self._changed()

    def _changed(self) -> AnnotationFileError:
        return AnnotationFileError(
            f"{self.file.shown} was changed while it was being uploaded, and nothing was imported: "
            "upload it again",
            task_id=self.task_id,
            step="upload",
        )
