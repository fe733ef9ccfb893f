"""A queue of requests and the workers that run them, first in, first out.

`export_queue` and `import_queue` define what a worker does for a request.
"""

from __future__ import annotations

import asyncio
import contextlib
from abc import ABC, abstractmethod
from typing import Final, Generic, TypeVar

from asynccvat.simulator.faults import Fault
from asynccvat.simulator.queues.registry import RequestRegistry
from asynccvat.simulator.queues.requests import Request, RequestSpan
from asynccvat.simulator.world.dates import utc_now
from asynccvat.simulator.world.reported_changes import Actor, acting

R = TypeVar("R", bound=Request)

KILLED: Final = "Work-horse terminated unexpectedly; waitpid returned 9 (signal 9); "
"""CVAT's message for a request whose process was killed, as for lack of memory."""

NO_TASK: Final = "cvat.apps.engine.models.Task.DoesNotExist: Task matching query does not exist.\n"
"""CVAT's message for a request whose task was deleted."""


class WorkQueue(ABC, Generic[R]):
    """A queue of requests of one kind, and the workers that run them.

    Attributes:
        registry: The requests that the server remembers.
        timeline: When workers ran requests, in the order of their ends.
        queued: Requests that wait for a worker, in order.
        running: Requests that workers are running.
    """

    def __init__(
        self,
        registry: RequestRegistry,
        workers: int,
        name: str,
        slots: asyncio.Semaphore | None = None,
    ) -> None:
        """Make the queue; `start` starts its workers.

        Args:
            registry: Where the requests are remembered.
            workers: How many requests run at the same time.
            name: Name of the workers, for debugging.
            slots: How many requests run at the same time together with other queues.
        """
        self.registry = registry
        self.timeline: list[RequestSpan] = []
        self.queued: list[R] = []
        self.running: list[R] = []
        self._count = workers
        self._name = name
        self._slots = slots or asyncio.Semaphore(workers)
        self._wake = asyncio.Event()
        self._paused = False
        self._workers: list[asyncio.Task[None]] = []
        self._epoch = 0.0

    def start(self) -> None:
        """Start the workers in the running loop."""
        self._epoch = asyncio.get_running_loop().time()
        self._workers = [
            asyncio.create_task(self._work(number), name=f"{self._name} worker {number}")
            for number in range(self._count)
        ]

    async def stop(self) -> None:
        """Stop the workers; the requests that they run stay as they are."""
        for worker in self._workers:
            worker.cancel()
        for worker in self._workers:
            with contextlib.suppress(asyncio.CancelledError):
                await worker

    def add(self, request: R) -> None:
        """Remember the request and append it to the queue."""
        self.registry.add(request)
        self._enqueue(request)

    def cancel(self, request: R) -> bool:
        """Remove a queued request and forget it; return False if it has started."""
        if request.status != "queued":
            return False
        self.queued.remove(request)
        del self.registry.requests[request.id]
        self.dropped(request)
        return True

    def forget(self) -> None:
        """Lose all requests, including running ones, like a Redis that restarts empty."""
        for request in self.queued:
            self.dropped(request)
        self.queued.clear()
        for request in self.running:
            request.hold.set()
        self.registry.requests.clear()

    def pause(self) -> None:
        """Start no more requests until `release`."""
        self._paused = True

    def release(self) -> None:
        """Continue requests that are paused, or that a fault keeps started."""
        self._paused = False
        self._wake.set()
        for request in self.running:
            request.hold.set()

    def dropped(self, request: R) -> None:
        """Clean up after a request that will never run."""

    @abstractmethod
    def faults_of(self, request: R) -> list[Fault]:
        """Return the scripted faults that strike the starting request."""

    @abstractmethod
    def seconds_of(self, request: R) -> float:
        """Return the seconds of work that the starting request takes."""

    @abstractmethod
    async def spend(self, seconds: float) -> None:
        """Return when `seconds` of work are done."""

    async def perform(self, request: R, seconds: float, *, fails: bool) -> None:
        """Do the work of the request, which takes `seconds`.

        Args:
            request: The request.
            seconds: How long it takes.
            fails: Whether a fault makes it fail: nothing comes of it then.
        """
        del request, fails
        await self.spend(seconds)

    @abstractmethod
    def complete(self, request: R) -> str | None:
        """Apply the outcome of the work; return a message if it failed."""

    @abstractmethod
    def set_expiry(self, request: R) -> None:
        """Set when the server forgets the ended request."""

    def may_start(self, request: R) -> bool:
        """Tell whether a free worker may start the request."""
        del request
        return True

    def _enqueue(self, request: R) -> None:
        self.queued.append(request)
        self._wake.set()

    def _next(self) -> R | None:
        """Return the request to start next; it stays in the queue."""
        if self._paused:
            return None
        return next((request for request in self.queued if self.may_start(request)), None)

    async def _work(self, number: int) -> None:
        while True:
            while self._next() is None:
                self._wake.clear()
                await self._wake.wait()
            async with self._slots:
                request = self._next()  # another worker may have taken the one seen above
                if request is not None:
                    self.queued.remove(request)
                    await self._run_to_its_end(request, number)

    async def _run_to_its_end(self, request: R, number: int) -> None:
        self.running.append(request)
        try:
            await self._run(request, number)
        except Exception as error:  # noqa: BLE001 - a worker outlives its requests, as RQ's do
            request.status, request.message = "failed", f"{type(error).__name__}: {error}\n"
            request.finished = self.registry.now()
        finally:
            self.running.remove(request)
            self._wake.set()

    async def _run(self, request: R, number: int) -> None:
        faults = self.faults_of(request)
        kinds = {fault.kind for fault in faults}
        started = asyncio.get_running_loop().time()
        queued = started - (utc_now() - request.created).total_seconds()
        request.status, request.started, request.worker = "started", self.registry.now(), number
        seconds = self.seconds_of(request)
        if "requeue" in kinds and not request.requeued:
            await self.spend(seconds / 2)
            request.status, request.started, request.requeued = "queued", None, True
            if self.registry.holds(request):
                self._enqueue(request)
            return
        await self.perform(request, seconds, fails=bool(kinds & {"fail", "kill"}))
        if "stick" in kinds:
            await request.hold.wait()
        self._end(request, faults)
        finished = asyncio.get_running_loop().time()
        self.timeline.append(
            RequestSpan(
                request.id,
                number,
                queued - self._epoch,
                started - self._epoch,
                finished - self._epoch,
                request.status,
            )
        )

    def _end(self, request: R, faults: list[Fault]) -> None:
        request.finished = self.registry.now()
        failure: str | None = None
        for fault in faults:
            if fault.kind in ("fail", "kill"):
                failure = fault.message if fault.kind == "fail" else KILLED
            elif fault.kind == "null_dates":
                request.null_dates = fault.count
        if failure is None:
            with acting(Actor(request.owner, origin=None)):
                failure = self.complete(request)
            # Completing it may have dated a task: the request must not end before that date.
            request.finished = self.registry.now()
        request.status = "finished" if failure is None else "failed"
        request.message = failure or ""
        self.set_expiry(request)
