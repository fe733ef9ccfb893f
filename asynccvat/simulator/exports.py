"""The queue of exports: requests, their workers, and the results they leave.

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
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final, Literal

from asynccvat.simulator.costs import Processor
from asynccvat.simulator.dataset import Task, User
from asynccvat.simulator.faults import Fault, Faults
from asynccvat.simulator.options import ExportStart, SimulatorOptions
from asynccvat.simulator.times import stamp, utc_now

Status = Literal["queued", "started", "finished", "failed"]
Target = Literal["task", "project", "job"]

KILLED: Final = "Work-horse terminated unexpectedly; waitpid returned 9 (signal 9); "
"""What CVAT says of an export whose process was killed, as by lack of memory."""

NO_DATA: Final = "AttributeError: 'NoneType' object has no attribute 'validation_mode'\n"
"""What CVAT 2.54 says of the export of a task without data."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What an export is of.

    Attributes:
        target: What is exported.
        target_id: Its id.
        format: Name of the format, or None for a backup.
        subresource: `dataset` (with images), `annotations` or `backup`.
    """

    target: Target
    target_id: int
    format: str | None
    subresource: Literal["dataset", "annotations", "backup"]

    @property
    def save_images(self) -> bool:
        """Whether the images are wanted."""
        return self.subresource != "annotations"

    def rq_id(self, user: User) -> str:
        """The id of a user's request for it: the same one each time."""
        parts = ["action=export", f"target={self.target}", f"target_id={self.target_id}"]
        parts.append(f"user_id={user.id}")
        if self.format is not None:
            parts.append(f"format={self.format.replace(' ', '_').replace('.', '~')}")
        parts.append(f"subresource={self.subresource}")
        return "&".join(parts)


@dataclass(slots=True)
class Result:
    """What an export left: the tasks as they were, to be written when downloaded.

    Attributes:
        wanted: What was asked for.
        tasks: The exported tasks as they were.
        file_name: The name offered for the download.
        exported: When it was exported, cold: the date within the archive.
        modified: Seconds since 1970: Last-Modified, and the first half of the ETag.
    """

    wanted: Wanted
    tasks: tuple[Task, ...]
    file_name: str
    exported: datetime
    modified: int

    def touch(self) -> None:
        """Move the time of the file, by a second at least, so that its ETag moves too."""
        self.modified = max(int(utc_now().timestamp()), self.modified + 1)


@dataclass(slots=True)
class ExportRequest:
    """One entry of `/api/requests`."""

    id: str
    wanted: Wanted
    owner: User
    project_id: int | None
    task_id: int | None
    job_id: int | None
    created: datetime
    number: int
    status: Status = "queued"
    message: str = ""
    started: datetime | None = None
    finished: datetime | None = None
    expiry: datetime | None = None
    result: Result | None = None
    file_name: str | None = None
    null_dates: int = 0
    requeued: bool = False
    worker: int | None = None
    hold: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def ended(self) -> bool:
        """Whether it finished or failed."""
        return self.status in ("finished", "failed")

    @property
    def result_path(self) -> str:
        """The path of the download, without its query."""
        resource = "backup" if self.wanted.subresource == "backup" else "dataset"
        return f"/api/{self.wanted.target}s/{self.wanted.target_id}/{resource}/download"


@dataclass(frozen=True, slots=True)
class ExportSpan:
    """When a worker ran an export, in seconds since the server started.

    Attributes:
        rq_id: The request.
        worker: The worker's number, from 0.
        queued: When it was asked for.
        started: When the worker took it.
        finished: When the worker was done.
        status: How it ended.
    """

    rq_id: str
    worker: int
    queued: float
    started: float
    finished: float
    status: str


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


def request_json(request: ExportRequest, origin: str) -> dict[str, Any]:
    """An entry of `/api/requests`, as one answer shows it.

    An answer that calls it finished may lack the dates: the queue writes its status first.
    """
    hides_dates = request.status == "finished" and request.null_dates > 0
    hides_start = hides_dates and request.null_dates > 1
    if hides_dates:
        request.null_dates -= 1
    url = None
    if request.status == "finished":
        escaped = request.id.replace("&", "%26").replace("=", "%3D")
        url = f"{origin}{request.result_path}?rq_id={escaped}"
    return {
        "status": request.status,
        "message": request.message,
        "id": request.id,
        "operation": {
            "type": f"export:{request.wanted.subresource}",
            "target": request.wanted.target,
            "project_id": request.project_id,
            "task_id": request.task_id,
            "job_id": request.job_id,
            "format": request.wanted.format,
            "lightweight": None,
        },
        "progress": 0.0,
        "created_date": stamp(request.created),
        "started_date": None if hides_start else stamp(request.started),
        "finished_date": None if hides_dates else stamp(request.finished),
        "expiry_date": None if hides_dates else stamp(request.expiry),
        "owner": {"id": request.owner.id, "username": request.owner.username},
        "result_url": url,
        "result_id": None,
    }
