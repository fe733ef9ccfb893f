"""The writes to a kept archive, watched as the effects of `files` are.

They are the only change of a destination that goes through aiofiles instead.
"""

from __future__ import annotations

import asyncio
import io
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal

from aiofiles.threadpool.binary import AsyncFileIO

if TYPE_CHECKING:
    from typing_extensions import Buffer

Call = Callable[..., Any]

Watch = Callable[[str, Call], Call]
"""Given the name of an effect and the function, the one to be called instead."""


class WatchedAiofiles:
    """Stands for the module where an archive is kept."""

    def __init__(self, watch: Watch) -> None:
        """Watch each write and truncation; the file's handle is the first that they are given."""
        self._watch = watch

    async def open(self, fd: int, mode: Literal["wb"], buffering: Literal[0]) -> AsyncFileIO:
        assert (mode, buffering) == ("wb", 0)
        return AsyncFileIO(_File(fd, self._watch), asyncio.get_running_loop(), None)


class _File(io.FileIO):
    """A file without a buffer, each of whose changes is watched; aiofiles calls it in threads."""

    def __init__(self, fd: int, watch: Watch) -> None:
        super().__init__(fd, "wb")
        self._write = watch("write", lambda _, data: super(_File, self).write(data))
        self._truncate = watch("truncate", lambda _: super(_File, self).truncate())

    def write(self, data: Buffer) -> Any:
        return self._write(self.fileno(), data)

    def truncate(self, size: int | None = None) -> Any:
        assert size is None
        return self._truncate(self.fileno())
