"""Await the user's callback for each change of a round, a few at once.

A callback that fails or takes too long becomes a warning, and stops nothing. A round ends when its
calls have ended: the next one may replace the folders that they read.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Self

from asynccvat.core.options.watch import WatchOptions
from asynccvat.core.quantities import duration_text
from asynccvat.core.watching.rounds import TaskChange

OnChange = Callable[[TaskChange], Awaitable[object]]
"""What is awaited for each change."""


class ChangeCalls:
    """The calls of one round. Leaving the block waits for them; an error cancels them.

    Attributes:
        warnings: A sentence for each call that failed.
    """

    def __init__(self, on_change: OnChange | None, options: WatchOptions) -> None:
        """Call a function, at most so many times at once as the options say."""
        self.warnings: list[str] = []
        self._on_change = on_change
        self._timeout = options.change_timeout
        self._slots = asyncio.Semaphore(options.changes_at_once)
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            if kind is None or issubclass(kind, Exception):
                while self._tasks:
                    await asyncio.wait(self._tasks)
        finally:
            while self._tasks:
                for task in self._tasks:
                    task.cancel()
                await asyncio.wait(self._tasks)

    @property
    def running(self) -> int:
        """Calls that have not ended."""
        return len(self._tasks)

    def start(self, change: TaskChange) -> None:
        """Call the function for a change as soon as fewer calls are running."""
        if self._on_change is None:
            return
        task = asyncio.create_task(self._call(self._on_change, change), name="on_change")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _call(self, on_change: OnChange, change: TaskChange) -> None:
        async with self._slots:
            limit = asyncio.timeout(self._timeout)
            try:
                async with limit:
                    await on_change(change)
            except Exception as error:  # noqa: BLE001 - an error of the user's code, of whatever type
                why = str(error) or type(error).__name__
                if limit.expired():
                    why = f"it took longer than {duration_text(self._timeout)}"
                self.warnings.append(
                    f"on_change failed for {change.target} {change.task_id}: {why}. The mirror "
                    "holds the change."
                )
