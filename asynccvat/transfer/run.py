"""A run: work that goes on in the background while its outcomes are read.

`open_mirror`, `open_download` and `open_upload` return one. Outcomes and events are buffered, so a
slow reader never holds the work up. The work is a separate asyncio task: no cancel scope is held
across a yield, and leaving the block ends the task. `transfer.report` builds the run's report.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import replace
from types import TracebackType
from typing import Any, Generic, Self, TypeVar, cast

from asynccvat.aio.callbacks import Callback
from asynccvat.aio.threads import wait_for_end
from asynccvat.core.outcomes import RunReport, TaskOutcome
from asynccvat.core.plans.mirror import Plan
from asynccvat.core.targets import TargetKind
from asynccvat.events import Event, RunFinished, TaskDone, UploadProgress

EventCallback = Callable[[Event], None]

T = TypeVar("T")


class Run:
    """A mirror, download or upload under way. Use it as an async context manager.

    Iterate over it for the outcomes, over `events()` for all that happens, or `wait()` for the
    report. Leaving the block early cancels the run: its queued requests are cancelled at the
    server, and its lock is released.

    Attributes:
        plan: What is to be done, None before the listing was read. Only a mirror has one.
        target: What the ids of its events are: of tasks, projects or jobs.
        sent: Bytes of files sent so far, those of tasks included that failed.
        report: What was done, complete once the run has ended. Before that it is empty and says
            that the run was interrupted.
    """

    def __init__(
        self,
        work: Callable[[Run], Coroutine[Any, Any, None]],
        on_event: EventCallback | None = None,
    ) -> None:
        """Prepare a run.

        Args:
            work: Does the work. It sets `plan` and `report`, and hands its events to `emit`.
            on_event: Receives each event, synchronously, in the loop's thread. If it raises, the
                error is logged and it receives nothing more.
        """
        self.plan: Plan | None = None
        self.target = TargetKind.TASK
        self.sent = 0
        self.report = RunReport(interrupted=True)
        self._work = work
        self._callback = Callback(on_event)
        self._outcomes: _Buffer[TaskOutcome] = _Buffer()
        self._subscribers: list[_Buffer[Event]] = []
        self._task: asyncio.Task[None] | None = None
        self._failure_was_raised = False
        self._finished = False

    def __repr__(self) -> str:
        if self._task is None:
            return "<Run, not begun>"
        return f"<Run, {self.report!r}>" if self._task.done() else "<Run, under way>"

    async def __aenter__(self) -> Self:
        if self._task is not None:
            raise RuntimeError("a run can be entered only once: open another one")
        self._task = asyncio.create_task(self._work(self), name="asynccvat run")
        self._task.add_done_callback(lambda _task: self._wake())
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._running.cancel()
        # The run cleans up within seconds, and a second cancellation must not cut it off.
        cancelled = await wait_for_end(self._running)
        if cancelled is not None:
            raise cancelled
        if error is None:
            self._raise_failure(once=True)

    def __aiter__(self) -> AsyncIterator[TaskOutcome]:
        """Iterate over the outcomes, in the order in which tasks end."""
        return self

    async def __anext__(self) -> TaskOutcome:
        running = self._running
        found = await self._outcomes.next(running)
        if found is None:
            self._raise_failure()
            raise StopAsyncIteration
        return found

    def events(self) -> AsyncIterator[Event]:
        """Iterate over the events from now on. The last one is `RunFinished`.

        Call it right after `async with` to miss none. Several iterators may be open at once.

        Raises:
            AsyncCvatError: At the end, if the run could not begin.
        """
        events: _Buffer[Event] = _Buffer()
        self._subscribers.append(events)
        return self._each_event(events)

    async def wait(self) -> RunReport:
        """Wait until the run has ended.

        Returns:
            The report. Failures of tasks are in it.

        Raises:
            AsyncCvatError: The run could not begin: wrong credentials, no server, a locked or
                unusable destination, a listing that could not be read.
        """
        if not self._running.done():
            await asyncio.wait([self._running])
        self._raise_failure()
        return self.report

    def cancel(self) -> None:
        """Cancel the run, and return at once. `wait` for its clean-up, or leave the block.

        Its queued requests are cancelled at the server, and its lock is released. Iterators end,
        and the report says that the run was interrupted.
        """
        self._running.cancel()

    def emit(self, event: Event) -> None:
        """Hand an event to the callback and to all iterators. Called by the work."""
        if self.target is not TargetKind.TASK and hasattr(event, "target"):
            # Every event that has the field takes the value; mypy sees those without it, too.
            event = cast("Event", replace(cast("Any", event), target=self.target))
        if isinstance(event, TaskDone):
            self._outcomes.put(event.outcome)
        elif isinstance(event, UploadProgress):
            self.sent += event.sent
        self._finished = self._finished or isinstance(event, RunFinished)
        for subscriber in self._subscribers:
            subscriber.put(event)
        self._callback(event)

    async def _each_event(self, events: _Buffer[Event]) -> AsyncIterator[Event]:
        try:
            while (event := await events.next(self._running)) is not None:
                yield event
        finally:
            self._subscribers.remove(events)
        self._raise_failure()

    def _wake(self) -> None:
        """Let all iterators see that the run has ended."""
        if not self._finished:
            # It was cancelled before its first step, so the work could not say it.
            self.emit(RunFinished(self.report))
        self._outcomes.news.set()
        for subscriber in self._subscribers:
            subscriber.news.set()

    @property
    def _running(self) -> asyncio.Task[None]:
        if self._task is None:
            raise RuntimeError(
                "the run has not begun: use it with 'async with', "
                "as in 'async with open_mirror(...) as run'"
            )
        return self._task

    def _raise_failure(self, *, once: bool = False) -> None:
        """Raise what ended the work, if anything did. With `once`, unless it was raised before."""
        if self._running.cancelled():
            return
        failure = self._running.exception()
        if failure is None or (once and self._failure_was_raised):
            return
        self._failure_was_raised = True
        raise failure


class _Buffer(Generic[T]):
    """Values that wait for one reader."""

    def __init__(self) -> None:
        self.news = asyncio.Event()
        self._values: deque[T] = deque()

    def put(self, value: T) -> None:
        self._values.append(value)
        self.news.set()

    async def next(self, until: asyncio.Task[None]) -> T | None:
        """Return the next value, None once a task has ended and no value is left."""
        while not self._values:
            if until.done():
                return None
            self.news.clear()
            await self.news.wait()
        return self._values.popleft()
