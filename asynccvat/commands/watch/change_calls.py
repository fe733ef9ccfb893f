"""Await the user's callback for each change of a round, a few at once.

A callback that fails or takes too long becomes a warning, and stops nothing. A round ends when its
calls have ended: the next one may replace the folders that they read.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Self, cast

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
        """Call a function, with no more calls at once than the options allow."""
        self.warnings: list[str] = []
        self._on_change = on_change
        self._timeout = options.change_timeout
        self._at_once = options.changes_at_once
        # A first round may have 100,000 changes: those that wait are no asyncio tasks yet.
        self._waiting: deque[TaskChange] = deque()
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
            self._waiting.clear()
            while self._tasks:
                for task in self._tasks:
                    task.cancel()
                await asyncio.wait(self._tasks)

    @property
    def running(self) -> int:
        """Calls that have begun and not ended."""
        return len(self._tasks)

    def start(self, change: TaskChange) -> None:
        """Call the function for a change as soon as fewer calls are running."""
        if self._on_change is None:
            return
        self._waiting.append(change)
        if len(self._tasks) < self._at_once:
            task = asyncio.create_task(self._call_each(self._on_change), name="on_change")
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _call_each(self, on_change: OnChange) -> None:
        """Call the function for one waiting change after the other."""
        try:
            while self._waiting:
                await self._call(on_change, self._waiting.popleft())
        finally:
            # At once, so that a change which comes now does not wait for a task that has ended.
            self._tasks.discard(cast("asyncio.Task[None]", asyncio.current_task()))

    async def _call(self, on_change: OnChange, change: TaskChange) -> None:
        limit = asyncio.timeout(self._timeout)
        try:
            async with limit:
                await on_change(change)
        except asyncio.CancelledError:
            if cast("asyncio.Task[None]", asyncio.current_task()).cancelling():
                raise
            self._warn(change, "something that it waited for was cancelled")
        except Exception as error:  # noqa: BLE001 - an error of the user's code, of whatever type
            why = str(error) or type(error).__name__
            if limit.expired():
                why = f"it took longer than {duration_text(self._timeout)}"
            self._warn(change, why)

    def _warn(self, change: TaskChange, why: str) -> None:
        self.warnings.append(
            f"on_change failed for {change.target} {change.task_id}: {why}. The mirror holds the "
            "change."
        )
