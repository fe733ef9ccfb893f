"""Read the media of tasks without an export: chunks of frames, and single frames.

The server sends these answers without ranges and without an ETag. `core.media.chunks` knows what
they hold.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Literal

from asynccvat.core.numbers import whole
from asynccvat.http import Call, HttpSession, ResultStream

MediaPart = Literal["chunk", "frame"]
"""A chunk of frames, or one frame."""


class MediaCalls:
    """Calls of one server that answer with media."""

    def __init__(self, http: HttpSession) -> None:
        """Make calls in a session."""
        self._http = http

    @asynccontextmanager
    async def open(self, task_id: int, part: MediaPart, number: int) -> AsyncIterator[ResultStream]:
        """Read a part of a task's media in the original quality.

        Args:
            task_id: The task.
            part: A chunk, or a frame.
            number: Its number, from 0.

        Raises:
            NotFoundError: The task does not exist.
            ProtocolError: The answer is no media.
            TransportError: The connection failed.
        """
        call = Call(
            method="GET",
            path=f"/api/tasks/{whole('task_id', task_id)}/data",
            step="download",
            params={"type": part, "number": str(number), "quality": "original"},
            # CVAT compresses chunks if it may, which costs it time and saves a few percent.
            headers={"Accept-Encoding": "identity", "Cache-Control": "no-cache"},
            task_id=task_id,
        )
        stream = await self._http.open_stream(call, None)
        try:
            yield stream
        finally:
            stream.close()
