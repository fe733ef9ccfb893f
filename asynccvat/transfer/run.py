"""A run that goes on in the background while its outcomes are read: the handle of `open_mirror`.

It buffers outcomes, so a slow reader never holds the engine up, and it holds no cancel scope
across a yield: the engine is a task of its own, which leaving the block ends. What is done
meanwhile is left to `mirroring` and `folders`.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine
from types import TracebackType
from typing import Any, Self

from asynccvat.aio.callbacks import Callback
from asynccvat.client import CvatClient
from asynccvat.core.outcomes import RunReport, TaskOutcome, without_traceback
from asynccvat.core.plans.mirror import Plan
from asynccvat.errors import AsyncCvatError
from asynccvat.events import Event, Retrying, RunFinished, ServerPaused, TaskDone, Warned

EventCallback = Callable[[Event], None]


class Run:
    """A mirror under way: iterate over its outcomes, or wait for its report.

    Use it as an async context manager. Leaving the block early cancels what is under way: queued
    requests of the run are taken out of the server's queue, the lock is released.

    Attributes:
        plan: What is to be done, None before the listing was read.
        report: What was done, once the run has ended in whichever way; before that it is empty
            and says that the run was interrupted.
    """

    def __init__(
        self,
        work: Callable[[Run], Coroutine[Any, Any, None]],
        on_event: EventCallback | None = None,
    ) -> None:
        """Prepare a run.

        Args:
            work: Does it; it sets `plan` and `report`, and hands its events to `emit`.
            on_event: Told each event, synchronously, in the loop's thread. One that raises is
                detached and logged.
        """
        self.plan: Plan | None = None
        self.report = RunReport(interrupted=True)
        self._work = work
        self._listener = Callback(on_event)
        self._outcomes: deque[TaskOutcome] = deque()
        self._news = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._failure_was_raised = False

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._work(self), name="asynccvat run")
        self._task.add_done_callback(lambda _task: self._news.set())
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        task = self._running
        task.cancel()
        cancelled: asyncio.CancelledError | None = None
        while not task.done():
            try:
                await asyncio.wait([task])
            except asyncio.CancelledError as again:
                # The engine cleans up within seconds; a second cancellation must not cut it off.
                cancelled = again
        if cancelled is not None:
            raise cancelled
        if error is None:
            self._raise_failure(once=True)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> TaskOutcome:
        while not self._outcomes:
            if self._running.done():
                self._raise_failure()
                raise StopAsyncIteration
            self._news.clear()
            await self._news.wait()
        return self._outcomes.popleft()

    async def wait(self) -> RunReport:
        """Wait until everything is done.

        Returns:
            The report; failures of tasks are in it.

        Raises:
            AsyncCvatError: The run could not begin: wrong credentials, no server, a locked or
                unusable destination, a listing that could not be read.
        """
        if not self._running.done():
            await asyncio.wait([self._running])
        self._raise_failure()
        return self.report

    def emit(self, event: Event) -> None:
        """Hand an event to the listener, and an outcome to whoever iterates."""
        if isinstance(event, TaskDone):
            self._outcomes.append(event.outcome)
            self._news.set()
        self._listener(event)

    @property
    def _running(self) -> asyncio.Task[None]:
        assert self._task is not None, "a Run is used with `async with`"
        return self._task

    def _raise_failure(self, *, once: bool = False) -> None:
        """Raise what ended the engine, if anything did; `once`: unless it was raised before."""
        if self._running.cancelled():
            return
        failure = self._running.exception()
        if failure is None or (once and self._failure_was_raised):
            return
        self._failure_was_raised = True
        raise failure


class ReportBuilder:
    """Collects what a run's report will say, while the run goes on."""

    def __init__(self, run: Run, client: CvatClient) -> None:
        """Begin the journal of a run; its time and its requests count from here."""
        self._run = run
        self._client = client
        self._began = asyncio.get_running_loop().time()
        self._requests_before = client.requests_sent
        self._outcomes: list[TaskOutcome] = []
        self._warnings: list[str] = []

    def done(self, outcome: TaskOutcome) -> None:
        """A task has its outcome."""
        without_traceback(outcome.error)
        self._outcomes.append(outcome)
        self._run.emit(TaskDone(outcome))

    def warn(self, message: str) -> None:
        """The user ought to know something about the run."""
        self._warnings.append(message)
        self._run.emit(Warned(message))

    async def keep(self, work: Awaitable[AsyncCvatError | None]) -> None:
        """Await the run's work, and write the run's report however it ends.

        Args:
            work: Returns what stopped it before its end, if anything did.
        """
        stopped_by: AsyncCvatError | None = None
        interrupted = True
        try:
            with self._client.listening(on_retry=self._retrying, on_pause=self._paused):
                stopped_by = await work
            interrupted = stopped_by is not None
        except AsyncCvatError as error:
            # What is raised is gone with its process; the report is what stays.
            stopped_by = error
            raise
        finally:
            self._close(interrupted=interrupted, stopped_by=stopped_by)

    def _close(self, *, interrupted: bool, stopped_by: AsyncCvatError | None) -> None:
        """Write the run's report and say that it has ended."""
        plan_ = self._run.plan
        self._run.report = RunReport(
            outcomes=tuple(self._outcomes),
            seconds=asyncio.get_running_loop().time() - self._began,
            requests=self._client.requests_sent - self._requests_before,
            transferred=sum(outcome.transferred for outcome in self._outcomes),
            listing_complete=plan_ is None or plan_.listing.complete,
            interrupted=interrupted,
            stopped_by=stopped_by,
            guard=None if plan_ is None else plan_.guard,
            warnings=tuple(self._warnings),
        )
        self._run.emit(RunFinished(self._run.report))

    def _retrying(
        self, step: str, task_id: int | None, error: AsyncCvatError, delay: float
    ) -> None:
        self._run.emit(Retrying(task_id, step, str(error), delay))

    def _paused(self, seconds: float) -> None:
        self._run.emit(ServerPaused(seconds))
