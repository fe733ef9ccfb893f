"""A large file to the server, in pieces, by the TUS protocol with CVAT's own two calls more.

What is there changes nothing yet: its import has to be asked for, which is left to `asking`. What
a chunk is and what the headers say is decided in `core.tus`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from asynccvat.aio.threads import shielded
from asynccvat.client.upload_file import FileToSend
from asynccvat.core.tus import chunk_length, metadata, read_offset
from asynccvat.errors import NotFoundError, ProtocolError, ResponseError, TransportError
from asynccvat.http import Call, HttpSession, StreamedBody

_TUS_VERSION = "1.0.0"


@dataclass(frozen=True, slots=True)
class SentFile:
    """A file that is at the server.

    Attributes:
        file_id: What the server calls it.
        certain: Whether it is known to be whole. Of one that is, CVAT says that it is not there;
            so after a last piece without an answer nobody knows before its import is asked for.
    """

    file_id: str
    certain: bool


class PieceSender:
    """Carries one file to the address of one task's annotations."""

    def __init__(
        self,
        http: HttpSession,
        file: FileToSend,
        *,
        task_id: int,
        path: str,
        params: Mapping[str, str],
        on_sent: Callable[[int], None],
    ) -> None:
        """Prepare to carry a file.

        Args:
            http: The server.
            file: The file.
            task_id: The task.
            path: Where its annotations are.
            params: The query of the import.
            on_sent: Told the bytes of each piece that went out.
        """
        self._http = http
        self._file = file
        self._task_id = task_id
        self._path = path
        self._params = params
        self._on_sent = on_sent
        # Held while the file is read.
        self._reading = asyncio.Lock()

    async def send(self) -> SentFile:
        """Carry the file to the server.

        Raises:
            AnnotationFileError: It was changed meanwhile.
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
                # The server has forgotten what it had of the file: from the start, a few times.
                error.retryable = True
                await self._http.retry_or_raise(error, attempt)
                attempt += 1
                continue
            return SentFile(file_id, certain)

    async def _create(self) -> tuple[str, str]:
        """Have the server expect the file; returns its id and the address to send it to."""
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
                f"task {self._task_id}: the server expects the file, and does not say where (no "
                "Upload-Filename or Location); a proxy before it may drop headers",
                task_id=self._task_id,
                step="upload",
            )
        return file_id, self._http.server.rebase(location).removeprefix(self._http.server.origin)

    async def _send_from(self, address: str) -> bool:
        """Send the file in pieces, each time from where the server says that it is.

        Returns:
            Whether it is certain that all of it is there.
        """
        offset = attempt = 0
        while offset < self._file.size:
            try:
                offset = await self._send_chunk(address, offset)
                attempt = 0
            except NotFoundError:
                raise
            except (ResponseError, TransportError) as error:
                await self._file.check_unchanged()
                if isinstance(error, ResponseError) and error.status == 409:
                    # It is elsewhere than we thought: as after any break, it says where.
                    error.retryable = True
                await self._http.retry_or_raise(error, attempt)
                try:
                    reached = await self._offset(address)
                except NotFoundError:
                    if offset + chunk_length(self._file.size, offset) < self._file.size:
                        raise
                    return False
                attempt = 0 if reached > offset else attempt + 1
                offset = reached
        return True

    async def _send_chunk(self, address: str, offset: int) -> int:
        length = chunk_length(self._file.size, offset)
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
            # aiohttp sends a body in a task of its own, which it cancels and does not await.
            await shielded(self._until_read())
        return read_offset(answer.headers.get("Upload-Offset"), size=self._file.size)

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
        # CVAT makes the address from the Origin, and without one fails with 500.
        return {"Tus-Resumable": _TUS_VERSION, "Origin": self._http.server.origin}

    def _call(self, method: str, path: str, **rest: Any) -> Call:
        return Call(method=method, path=path, step="upload", task_id=self._task_id, **rest)
