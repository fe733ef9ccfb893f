"""The queue of exports: its workers, and the results they leave.

A request is known by an id made of what is asked and by whom, so asking twice meets the same
request. Workers take requests first in, first out. A result is the memory of *what* was exported;
its bytes are made when somebody downloads them (`making`), since making them here would take
the time of the one processor that serves the calls.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any, Final

from asynccvat.simulator.costs import Processor
from asynccvat.simulator.dataset import Task, User
from asynccvat.simulator.faults import Fault, Faults
from asynccvat.simulator.options import ExportStart, SimulatorOptions
from asynccvat.simulator.requests import ExportRequest, ExportSpan, Result, Wanted
from asynccvat.simulator.times import utc_now

KILLED: Final = "Work-horse terminated unexpectedly; waitpid returned 9 (signal 9); "
"""What CVAT says of an export whose process was killed, as by lack of memory."""

NO_DATA: Final = "AttributeError: 'NoneType' object has no attribute 'validation_mode'\n"
"""What CVAT 2.54 says of the export of a task without data."""


class ExportQueue:
    """Requests, and the workers that run them, first in first out."""

    def __init__(
        self,
        options: SimulatorOptions,
        processor: Processor,
        faults: Faults,
        snapshot: Callable[[Wanted], tuple[Task, ...] | str],
    ) -> None:
        """Make the queue; `start` starts its workers.

        Args:
            options: How many workers, and how long exports take.
            processor: What their seconds are spent on.
            faults: The script.
            snapshot: The tasks that an export holds, or the message by which it fails.
        """
        self._options = options
        self._processor = processor
        self._faults = faults
        self._snapshot = snapshot
        self.requests: dict[str, ExportRequest] = {}
        self.timeline: list[ExportSpan] = []
        self._cache: dict[tuple[Any, ...], Result] = {}
        self._queue: list[ExportRequest] = []
        self._running: list[ExportRequest] = []
        self._wake = asyncio.Event()
        self._paused = False
        self._workers: list[asyncio.Task[None]] = []
        self._number = 0
        self._created = utc_now()
        self._epoch = 0.0

    def start(self) -> None:
        """Start the workers in the running loop."""
        self._epoch = asyncio.get_running_loop().time()
        self._workers = [
            asyncio.create_task(self._work(number), name=f"export worker {number}")
            for number in range(self._options.export_workers)
        ]

    async def stop(self) -> None:
        """End the workers; what they run is left as it is."""
        for worker in self._workers:
            worker.cancel()
        for worker in self._workers:
            with contextlib.suppress(asyncio.CancelledError):
                await worker

    @property
    def remembered(self) -> int:
        """How many requests the server remembers, those of other users too."""
        return len(self.requests) + self._options.remembered_requests

    def find(self, rq_id: str) -> ExportRequest | None:
        """The request of that id; one past its time is forgotten."""
        request = self.requests.get(rq_id)
        if request is not None and request.expiry is not None and request.expiry <= utc_now():
            del self.requests[rq_id]
            return None
        return request

    def owned_by(self, user: User) -> list[ExportRequest]:
        """The user's requests, newest first."""
        now = utc_now()
        own = [
            request
            for request in self.requests.values()
            if request.owner.id == user.id and not (request.expiry and request.expiry <= now)
        ]
        own.sort(key=lambda request: -request.number)
        return own

    def submit(
        self,
        wanted: Wanted,
        owner: User,
        *,
        project_id: int | None,
        task_id: int | None,
        job_id: int | None,
        file_name: str | None,
    ) -> tuple[ExportRequest, bool]:
        """Ask for an export: the request, and whether it is new.

        One under way is given back as it is. One that ended is deleted and queued anew, which
        takes its result away until then.
        """
        rq_id = wanted.rq_id(owner)
        known = self.find(rq_id)
        if known is not None and not known.ended:
            return known, False
        self._number += 1
        request = ExportRequest(
            id=rq_id,
            wanted=wanted,
            owner=owner,
            project_id=project_id,
            task_id=task_id,
            job_id=job_id,
            created=self._now(),
            number=self._number,
            file_name=file_name,
        )
        self.requests.pop(rq_id, None)
        self.requests[rq_id] = request
        self._enqueue(request)
        return request, True

    def cancel(self, request: ExportRequest) -> bool:
        """Take a queued request out of the queue and forget it; False if it has started."""
        if request.status != "queued":
            return False
        self._queue.remove(request)
        del self.requests[request.id]
        return True

    def forget(self) -> None:
        """Lose all requests, running ones too, as a restarted queue without its memory does."""
        self._queue.clear()
        self.requests.clear()
        for request in self._running:
            request.hold.set()

    def pause(self) -> None:
        """Take no more requests out of the queue, until `release`."""
        self._paused = True

    def release(self) -> None:
        """Let exports go on that are paused or stick."""
        self._paused = False
        self._wake.set()
        for request in self._running:
            request.hold.set()

    def expire(self, matches: Callable[[ExportRequest], bool]) -> int:
        """Remove the results of matching requests, as the cleanup of the cache does.

        Returns:
            How many results were removed.
        """
        removed = 0
        for request in self.requests.values():
            if request.result is not None and matches(request):
                self._cache.pop((request.wanted, request.result.tasks), None)
                request.result = None
                removed += 1
        return removed

    def _now(self) -> datetime:
        """A date later than any given before, so that dates order requests."""
        self._created = max(utc_now(), self._created + timedelta(microseconds=1))
        return self._created

    def _enqueue(self, request: ExportRequest) -> None:
        self._queue.append(request)
        self._wake.set()

    def _next(self) -> ExportRequest | None:
        if self._paused:
            return None
        busy = {request.owner.id for request in self._running}
        for request in self._queue:
            if not self._options.one_export_per_user or request.owner.id not in busy:
                self._queue.remove(request)
                return request
        return None

    async def _work(self, number: int) -> None:
        while True:
            while (request := self._next()) is None:
                self._wake.clear()
                await self._wake.wait()
            self._running.append(request)
            try:
                await self._run(request, number)
            except Exception as error:  # noqa: BLE001 - a worker outlives its exports, as RQ's do
                request.status, request.message = "failed", f"{type(error).__name__}: {error}\n"
                request.finished = self._now()
            finally:
                self._running.remove(request)
                self._wake.set()

    async def _run(self, request: ExportRequest, number: int) -> None:
        faults = self._faults.for_export(request.id, request.task_id)
        kinds = {fault.export for fault in faults}
        started = asyncio.get_running_loop().time()
        queued = started - (utc_now() - request.created).total_seconds()
        request.status, request.started, request.worker = "started", self._now(), number
        snapshot = self._snapshot(request.wanted)
        seconds = self._seconds(request, snapshot)
        if "requeue" in kinds and not request.requeued:
            await self._processor.spend(seconds / 2)
            request.status, request.started, request.requeued = "queued", None, True
            if self.requests.get(request.id) is request:
                self._enqueue(request)
            return
        await self._processor.spend(seconds)
        if "stick" in kinds:
            await request.hold.wait()
        self._end(request, snapshot, faults)
        finished = asyncio.get_running_loop().time()
        self.timeline.append(
            ExportSpan(
                request.id,
                number,
                queued - self._epoch,
                started - self._epoch,
                finished - self._epoch,
                request.status,
            )
        )

    def _seconds(self, request: ExportRequest, snapshot: tuple[Task, ...] | str) -> float:
        options = self._options
        if not options.costs:
            return 0.0
        wanted = request.wanted
        cached = not isinstance(snapshot, str) and (wanted, snapshot) in self._cache
        if cached and options.cached_export_seconds is not None:
            return options.cached_export_seconds
        if callable(options.export_seconds):
            start = ExportStart(
                wanted.target, wanted.target_id, wanted.format or "", wanted.save_images, cached
            )
            return options.export_seconds(start)
        return options.export_seconds

    def _end(
        self, request: ExportRequest, snapshot: tuple[Task, ...] | str, faults: list[Fault]
    ) -> None:
        request.finished = self._now()
        request.expiry = request.finished + timedelta(seconds=self._options.result_seconds)
        for fault in faults:
            if fault.export in ("fail", "kill"):
                snapshot = fault.message if fault.export == "fail" else KILLED
            if fault.export == "null_dates":
                request.null_dates = fault.count
        if isinstance(snapshot, str):
            request.status, request.message = "failed", snapshot
            return
        request.status = "finished"
        key = (request.wanted, snapshot)
        result = self._cache.get(key)
        if result is None:
            name = _file_name(request, snapshot)
            moment = request.finished
            result = Result(request.wanted, snapshot, name, moment, int(moment.timestamp()))
            self._cache[key] = result
        else:
            result.touch()
        if request.file_name is not None:
            result = dataclasses.replace(result, file_name=request.file_name)
        request.result = result


def _file_name(request: ExportRequest, tasks: tuple[Task, ...]) -> str:
    wanted = request.wanted
    moment = max((task.updated_date for task in tasks), default=request.created)
    when = moment.strftime("%Y_%m_%d_%H_%M_%S")
    if wanted.format is None:
        name = tasks[0].name if wanted.target == "task" and tasks else str(wanted.target_id)
        return f"{wanted.target}_{name}_backup_{when}.zip"
    words = f"{wanted.target}_{wanted.target_id}_{wanted.subresource}_{when}"
    return f"{words}_{wanted.format.lower()}.zip"
