"""Send a source of bytes to the server in pieces, by the TUS protocol.

CVAT adds two calls to TUS: one before the file, and one after it that has the server use the file.
`client.imports` makes the second one for annotations, `client.finishing` for everything else. Until
then the file changes nothing. `core.wire.tus` decides the pieces, and reads and writes the headers.
`client.body_limit` remembers what a gateway before the server allows.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from asynccvat.aio.threads import shielded
from asynccvat.client.body_limit import TOO_LARGE, BodyLimit
from asynccvat.client.upload_file import ByteSource
from asynccvat.client.upload_starts import UploadStarts
from asynccvat.core.wire.tus import chunk_length, metadata, read_offset
from asynccvat.errors import (
    NotFoundError,
    ProtocolError,
    ResponseError,
    TransportError,
    UploadError,
    UploadTooLargeError,
)
from asynccvat.http import Call, HttpSession, StreamedBody

_TUS_VERSION = "1.0.0"
# How a server may refuse a file that was not announced. No known CVAT does.
_NOT_ANNOUNCED = (400, 404, 409, 412)


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadPlace:
    """Where a file is sent, and what it is for.

    Attributes:
        path: The path, with a slash at its end, such as `/api/tasks/backup/`.
        purpose: What it is sent for, as it follows the file's name in a message: `to task 147`.
        params: The query of the calls before and after the file.
        task_id: The task that it concerns, for errors and retries. None if there is none.
        is_shared: Whether files of many tasks go there.
    """

    path: str
    purpose: str
    params: Mapping[str, str] = field(default_factory=dict)
    task_id: int | None = None
    is_shared: bool = False

    def call(self, method: str, path: str | None = None, **rest: Any) -> Call:
        """Return a call of this upload, by default to its own path."""
        path = self.path if path is None else path
        # The number of a task says what the call is for; without one, `purpose` does.
        purpose = "" if self.task_id is not None else f"send a file {self.purpose}"
        return Call(
            method=method,
            path=path,
            step="upload",
            task_id=self.task_id,
            purpose=purpose,
            **rest,
        )


@dataclass(frozen=True, slots=True)
class BegunUpload:
    """An upload that the server knows. Another process can go on with it.

    Attributes:
        file_id: The server's name for the file.
        address: The path to which its pieces are sent.
    """

    file_id: str
    address: str


@dataclass(frozen=True, slots=True)
class SentFile:
    """A file that the server has.

    Attributes:
        file_id: The server's name for it.
        certain: Whether it is known to be whole. CVAT answers 404 for the address of a whole file
            as for one that it has forgotten. If the answer to the last piece was lost, only the
            request after it can tell.
    """

    file_id: str
    certain: bool


async def note_nothing(_begun: BegunUpload) -> None:
    """Note nothing of an upload that has begun."""


class PieceSender:
    """Send one source to one place."""

    def __init__(
        self,
        http: HttpSession,
        source: ByteSource,
        place: UploadPlace,
        *,
        limit: BodyLimit,
        starts: UploadStarts | None = None,
        on_sent: Callable[[int], None] = lambda _count: None,
        on_begun: Callable[[BegunUpload], Awaitable[None]] = note_nothing,
    ) -> None:
        """Prepare to send a source.

        Args:
            http: The server.
            source: What is sent.
            place: Where it is sent.
            limit: What the gateway allows in one request. It is updated.
            starts: The shared places where uploads were announced. It is updated.
            on_sent: Receives the bytes of each piece that was sent.
            on_begun: Awaited with each upload that the server has begun, before its first piece.
        """
        self._http = http
        self._source = source
        self._place = place
        self._limit = limit
        self._starts = starts or UploadStarts()
        self._on_sent = on_sent
        self._on_begun = on_begun
        # Held while the source is read.
        self._reading = asyncio.Lock()

    async def send(self, begun: BegunUpload | None = None) -> SentFile:
        """Send the source.

        Args:
            begun: An upload of the same bytes to go on with, as `on_begun` received it. If the
                server has forgotten it, the file is not certain, and the request after it tells.

        Raises:
            UploadTooLargeError: The server takes no file so large.
            UploadError: The source was changed while it was sent, or a gateway refuses even the
                smallest pieces.
            AsyncCvatError: The server cannot be reached, or refuses it.
        """
        if begun is not None:
            return await self._resume(begun)
        created = await self._begin()
        attempt = 0
        while True:
            await self._on_begun(created)
            try:
                certain = await self._send_from(created.address, 0)
            except NotFoundError as error:
                # The server has forgotten the pieces of the file: send it again, a few times.
                error.retryable = True
                await self._http.retry_or_raise(error, attempt)
                attempt += 1
                created = await self._create()
                continue
            return SentFile(created.file_id, certain)

    async def _begin(self) -> BegunUpload:
        """Announce an upload where that is needed, and begin the file.

        In a shared place the first announcement does for all files. If the server refuses a later
        file, it is announced, too.
        """
        if self._place.path in self._starts.paths:
            try:
                return await self._create()
            except ResponseError as error:
                if error.status not in _NOT_ANNOUNCED:
                    raise
        await self._http.call(
            self._place.call(
                "POST", expect=(202,), params=self._place.params, headers={"Upload-Start": ""}
            )
        )
        created = await self._create()
        if self._place.is_shared:
            self._starts.paths.add(self._place.path)
        return created

    async def _resume(self, begun: BegunUpload) -> SentFile:
        try:
            certain = await self._send_from(begun.address, await self._offset(begun.address))
        except NotFoundError:
            certain = False
        return SentFile(begun.file_id, certain)

    async def _create(self) -> BegunUpload:
        """Begin a file at the server."""
        headers = {
            **self._tus_headers,
            "Upload-Length": str(self._source.size),
            "Upload-Metadata": metadata(self._source.filename),
        }
        try:
            answer = await self._http.call(self._place.call("POST", expect=(201,), headers=headers))
        except ResponseError as error:
            if error.status == TOO_LARGE:
                raise self._larger_than_allowed(error) from error
            raise
        file_id, location = answer.headers.get("Upload-Filename"), answer.headers.get("Location")
        if not file_id or not location:
            raise ProtocolError(
                f"cannot upload {self._place.purpose}: the server's answer has no "
                "Upload-Filename or Location header. Check whether a proxy drops headers.",
                task_id=self._place.task_id,
                step="upload",
            )
        return BegunUpload(file_id, self._http.server.path_of(location))

    async def _send_from(self, address: str, offset: int) -> bool:
        """Send the source in pieces. After a break, go on at the offset that the server has.

        Returns:
            Whether it is certain that the server has all of it.
        """
        attempt = 0
        while offset < self._source.size:
            length = chunk_length(self._source.size, offset, most=self._limit.most)
            try:
                offset = await self._send_chunk(address, offset, length)
                attempt = 0
            except NotFoundError:
                raise
            except (ResponseError, TransportError) as error:
                await self._source.check_unchanged()
                if isinstance(error, ResponseError) and error.status == TOO_LARGE:
                    # The server has not seen the piece, so its offset is unchanged.
                    if not self._limit.note_refused(length):
                        raise self._piece_too_large(error, length) from error
                    continue
                if isinstance(error, ResponseError) and error.status == 409:
                    # The server has another offset than ours. Ask for it, as after any break.
                    error.retryable = True
                await self._http.retry_or_raise(error, attempt)
                try:
                    reached = await self._offset(address)
                except NotFoundError:
                    if offset + length < self._source.size:
                        raise
                    return False
                attempt = 0 if reached > offset else attempt + 1
                offset = reached
        return True

    async def _send_chunk(self, address: str, offset: int, length: int) -> int:
        try:
            answer = await self._http.call(
                self._place.call(
                    "PATCH",
                    address,
                    expect=(204,),
                    headers={
                        **self._tus_headers,
                        "Upload-Offset": str(offset),
                        "Content-Type": "application/offset+octet-stream",
                    },
                    body=StreamedBody(length, lambda: self._pieces(offset, length)),
                    retry=False,
                )
            )
        finally:
            # aiohttp sends a body in a separate task, which it cancels and does not await.
            await shielded(self._until_read())
        return read_offset(answer.headers.get("Upload-Offset"), size=self._source.size)

    def _larger_than_allowed(self, error: ResponseError) -> UploadTooLargeError:
        size, most = self._source.size, _last_number(error.detail)
        allowed = "so large" if most is None else f"of more than {most:,} bytes"
        refused = UploadTooLargeError(
            f"cannot upload {str(self._source.shown)!r} {self._place.purpose}: it has {size:,} "
            f"bytes, and {self._http.server.address} takes no file {allowed}. Nothing of it was "
            "sent. Make it smaller, or have the server's administrator raise the limit.",
            task_id=self._place.task_id,
            step="upload",
        )
        refused.size, refused.most = size, most
        return refused

    def _piece_too_large(self, error: ResponseError, length: int) -> UploadError:
        said = f" ({error.detail.rstrip('.')})" if error.detail else ""
        return UploadError(
            f"cannot upload {str(self._source.shown)!r} {self._place.purpose}: a gateway before "
            f"{self._http.server.address} refuses a request of {length:,} bytes with status "
            f"413{said}, and asynccvat sends no smaller pieces. Have the gateway allow at least "
            "1 MiB, in nginx with client_max_body_size.",
            task_id=self._place.task_id,
            step="upload",
        )

    async def _offset(self, address: str) -> int:
        answer = await self._http.call(self._place.call("HEAD", address, headers=self._tus_headers))
        return read_offset(answer.headers.get("Upload-Offset"), size=self._source.size)

    async def _pieces(self, offset: int, length: int) -> AsyncIterator[bytes]:
        pieces = self._source.pieces(offset, length)
        while True:
            async with self._reading:
                piece = await anext(pieces, None)
            if piece is None:
                return
            self._on_sent(len(piece))
            yield piece

    async def _until_read(self) -> None:
        """Wait for the piece that is being read, if one is."""
        async with self._reading:
            return

    @property
    def _tus_headers(self) -> dict[str, str]:
        # CVAT builds the address from the Origin header, and answers 500 without it.
        return {"Tus-Resumable": _TUS_VERSION, "Origin": self._http.server.origin}


def _last_number(text: str) -> int | None:
    """Return the last number in a text: CVAT ends its refusal with the bytes that it takes."""
    numbers = re.findall(r"\d{1,19}", text)
    return int(numbers[-1]) if numbers else None
