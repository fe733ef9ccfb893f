"""Blocking work on a destination, in threads, with the system's errors explained."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar, TypeVarTuple

import anyio

from asynccvat.aio.threads import in_limited_thread
from asynccvat.fs import disk_errors

T = TypeVar("T")
Ts = TypeVarTuple("Ts")


class DiskThreads:
    """Run blocking calls that work on one folder in threads.

    Attributes:
        limiter: How many run at once.
    """

    def __init__(self, path: Path, most: int) -> None:
        """Start without a thread.

        Args:
            path: The folder, for messages.
            most: How many calls run at once.
        """
        self.limiter = anyio.CapacityLimiter(most)
        self._path = path

    async def run(
        self, doing: str, call: Callable[[*Ts], T], *args: *Ts, task_id: int | None = None
    ) -> T:
        """Run a blocking call in a thread, and wait for its end even when cancelled.

        Args:
            doing: What it does to the folder, for messages ("read").
            call: The call.
            args: Its arguments.
            task_id: The task that it is about, if it is about one.

        Raises:
            DiskFullError: There is no room.
            StoreError: The system refused something, in words.
        """

        def explained() -> T:
            with disk_errors.explained(doing, self._path, task_id=task_id):
                return call(*args)

        return await in_limited_thread(self.limiter, explained)
