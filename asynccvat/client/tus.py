"""Send a large file to the server in pieces, by the TUS protocol.

CVAT adds two calls to TUS: one before the file, and one after it that requests the import.
`client.imports` makes the second one. Until then the file changes nothing. `core.wire.tus` decides
the pieces, and reads and writes the headers.
`client.body_limit` remembers what a gateway before the server allows.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from asynccvat.aio.threads import shielded
from asynccvat.client.body_limit import TOO_LARGE, BodyLimit
from asynccvat.client.upload_file import FileToSend
from asynccvat.core.wire.tus import chunk_length, metadata, read_offset
from asynccvat.errors import (
    NotFoundError,
    ProtocolError,
    ResponseError,
    TransportError,
    UploadError,
)
from asynccvat.http import Call, HttpSession, StreamedBody

_TUS_VERSION = "1.0.0"


@dataclass(frozen=True, slots=True)
class SentFile:
    """A file that the server has.

    Attributes:
        file_id: The server's name for it.
        certain: Whether it is known to be whole. CVAT answers 404 for the address of a whole file
            as for one that it has forgotten. If the answer to the last piece was lost, only the
            request for the import can tell.
    """

    file_id: str
    certain: bool


class PieceSender:
    """Send one file to the address of one task's annotations."""

    def __init__(
        self,
        http: HttpSession,
        file: FileToSend,
        *,
        task_id: int,
        path: str,
        params: Mapping[str, str],
        limit: BodyLimit,
        on_sent: Callable[[int], None],
    ) -> None:
        """Prepare to send a file.

        Args:
            http: The server.
            file: The file.
            limit: What the gateway allows in one request. It is updated.
            task_id: The task.
            path: The path of its annotations.
            params: The query of the import.
            on_sent: Receives the bytes of each piece that was sent.
        """
        self._http = http
        self._file = file
        self._task_id = task_id
        self._path = path
        self._params = params
        self._limit = limit
        self._on_sent = on_sent
        # Held while the file is read.
        self._reading = asyncio.Lock()

    async def send(self) -> SentFile:
        """Send the file.

        Raises:
            AnnotationFileError: It was changed while it was sent.
            UploadError: A gateway refuses even the smallest pieces.
            AsyncCvatError: The server cannot be reached, or refuses it.
        """
        await self._http.call(
            self._call(
                "POST", self._path, expect=(202,), params=self._params, headers={"Upload-Start": ""}
            )
        )
        attempt = 0
        while True:
            file_id, address = await self._create()
            try:
                certain = await self._send_from(address)
            except NotFoundError as error:
                # The server has forgotten the pieces of the file: send it again, a few times.
                error.retryable = True
                await self._http.retry_or_raise(error, attempt)
                attempt += 1
                continue
            return SentFile(file_id, certain)

    async def _create(self) -> tuple[str, str]:
        """Announce the file. Returns its id and the address to send it to."""
        headers = {
            **self._tus_headers,
            "Upload-Length": str(self._file.size),
            "Upload-Metadata": metadata(self._file.filename),
        }
        answer = await self._http.call(
            self._call("POST", self._path, expect=(201,), headers=headers)
        )
        file_id, location = answer.headers.get("Upload-Filename"), answer.headers.get("Location")
        if not file_id or not location:
            raise ProtocolError(
                f"cannot upload to task {self._task_id}: the server's answer has no "
                "Upload-Filename or Location header. Check whether a proxy drops headers.",
                task_id=self._task_id,
                step="upload",
            )
        return file_id, self._http.server.path_of(location)

    async def _send_from(self, address: str) -> bool:
        """Send the file in pieces. After a break, go on at the offset that the server has.

        Returns:
            Whether it is certain that the server has all of it.
        """
        offset = attempt = 0
        while offset < self._file.size:
            length = chunk_length(self._file.size, offset, most=self._limit.most)
            try:
                offset = await self._send_chunk(address, offset, length)
                attempt = 0
            except NotFoundError:
                raise
            except (ResponseError, TransportError) as error:
                await self._file.check_unchanged()
                if isinstance(error, ResponseError) and error.status == TOO_LARGE:
                    # The server has not seen the piece, so its offset is unchanged.
                    if not self._limit.note_refused(length):
                        raise self._too_large(error, length) from error
                    continue
                if isinstance(error, ResponseError) and error.status == 409:
                    # The server has another offset than ours. Ask for it, as after any break.
                    error.retryable = True
                await self._http.retry_or_raise(error, attempt)
                try:
                    reached = await self._offset(address)
                except NotFoundError:
                    if offset + length < self._file.size:
                        raise
                    return False
                attempt = 0 if reached > offset else attempt + 1
                offset = reached
        return True

    async def _send_chunk(self, address: str, offset: int, length: int) -> int:
        try:
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
                    body=StreamedBody(length, lambda: self._pieces(offset, length)),
                    retry=False,
                )
            )
        finally:
            # aiohttp sends a body in a separate task, which it cancels and does not await.
            await shielded(self._until_read())
        return read_offset(answer.headers.get("Upload-Offset"), size=self._file.size)

    def _too_large(self, error: ResponseError, length: int) -> UploadError:
        said = f" ({error.detail.rstrip('.')})" if error.detail else ""
        return UploadError(
            f"cannot upload {str(self._file.shown)!r} to task {self._task_id}: a gateway before "
            f"{self._http.server.address} refuses a request of {length:,} bytes with status "
            f"413{said}, and asynccvat sends no smaller pieces. Have the gateway allow at least "
            "1 MiB, in nginx with client_max_body_size.",
            task_id=self._task_id,
            step="upload",
        )

    async def _offset(self, address: str) -> int:
        answer = await self._http.call(self._call("HEAD", address, headers=self._tus_headers))
        return read_offset(answer.headers.get("Upload-Offset"), size=self._file.size)

    async def _pieces(self, offset: int, length: int) -> AsyncIterator[bytes]:
        pieces = self._file.pieces(offset, length)
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

    def _call(self, method: str, path: str, **rest: Any) -> Call:
        return Call(method=method, path=path, step="upload", task_id=self._task_id, **rest)
