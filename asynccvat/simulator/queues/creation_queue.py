"""The queue of new tasks: workers read what clients sent, and give the task its frames and jobs.

As on CVAT, the workers are those of imports. `formats.task_data` reads the files.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from asynccvat.simulator.faults import Fault, Faults
from asynccvat.simulator.formats.data_options import DataOptions
from asynccvat.simulator.formats.task_data import (
    NamedFiles,
    TaskDataError,
    chunk_size_of,
    job_frames,
    read_task_data,
)
from asynccvat.simulator.options import SimulatorOptions
from asynccvat.simulator.queues.processor import Processor
from asynccvat.simulator.queues.registry import RequestRegistry
from asynccvat.simulator.queues.requests import Request, RequestTarget
from asynccvat.simulator.queues.task_files import TaskFiles
from asynccvat.simulator.queues.work_queue import NO_TASK, WorkQueue
from asynccvat.simulator.world.media import TaskMedia
from asynccvat.simulator.world.users import User
from asynccvat.simulator.world.world import World

_FINISHED_KEPT: Final = timedelta(seconds=500)
_FAILED_KEPT: Final = timedelta(days=365)


@dataclass(slots=True, kw_only=True)
class CreationRequest(Request):
    """A request to make a task of its data.

    Attributes:
        files: What was sent.
        options: What to make of it.
        media: What was read, or the message with which it fails.
    """

    files: NamedFiles
    options: DataOptions
    media: TaskMedia | str = ""

    @property
    def action(self) -> str:
        """Always `create`."""
        return "create"

    @property
    def subresource(self) -> str:
        """A creation concerns no part of the task."""
        return ""

    @property
    def type(self) -> str:
        """Always `create:task`."""
        return "create:task"


class CreationQueue(WorkQueue[CreationRequest]):
    """The queue of tasks that are made of their data."""

    def __init__(
        self,
        options: SimulatorOptions,
        processor: Processor,
        faults: Faults,
        *,
        registry: RequestRegistry,
        files: TaskFiles,
        world: World,
        slots: asyncio.Semaphore,
    ) -> None:
        """Make the queue; `start` starts its workers.

        Args:
            options: How many workers, and how long a task takes.
            processor: What performs the work.
            faults: The scripted faults.
            registry: The requests that the server remembers.
            files: The files of tasks; those of a task that was made are forgotten.
            world: The tasks.
            slots: The workers, which the queue of imports shares.
        """
        super().__init__(registry, options.import_workers, "creation", slots)
        self._options = options
        self._processor = processor
        self._faults = faults
        self._files = files
        self._world = world

    def submit(
        self,
        rq_id: str,
        owner: User,
        target: RequestTarget,
        *,
        files: NamedFiles,
        options: DataOptions,
    ) -> CreationRequest:
        """Ask for a task to be made of files.

        No request of that id may be under way.
        """
        request = CreationRequest(
            id=rq_id,
            owner=owner,
            target=target,
            created=self.registry.now(),
            number=self.registry.next_number(),
            files=files,
            options=options,
        )
        self.add(request)
        return request

    def faults_of(self, request: CreationRequest) -> list[Fault]:
        """Return the faults scripted for this task."""
        return self._faults.for_creation(request.id, request.task_id)

    def seconds_of(self, request: CreationRequest) -> float:
        """Return the seconds that the options say, for a task and for its bytes."""
        if not self._options.costs:
            return 0.0
        sent = sum(file.size for _, file in request.files if file is not None)
        return self._options.creation_seconds + self._options.media_seconds * sent / 1e6

    async def spend(self, seconds: float) -> None:
        """Spend the seconds on the server's processor."""
        await self._processor.spend(seconds)

    async def perform(self, request: CreationRequest, seconds: float, *, fails: bool) -> None:
        """Read the files, and spend the rest of the seconds."""
        del fails  # what was read counts for nothing then
        clock = asyncio.get_running_loop().time
        started = clock()
        try:
            request.media = await asyncio.to_thread(read_task_data, request.files, request.options)
        except TaskDataError as error:
            request.media = str(error)
        except FileNotFoundError as error:
            request.media = f"FileNotFoundError: {error}\n"
        await self.spend(seconds - (clock() - started))

    def complete(self, request: CreationRequest) -> str | None:
        """Give the task its media and jobs."""
        if isinstance(request.media, str):
            return request.media
        task_id = request.task_id or 0
        if task_id not in self._world.tasks:
            return NO_TASK
        options = request.options
        self._world.fill_task(
            task_id,
            request.media,
            segments=job_frames(options),
            image_quality=options.image_quality,
            data_chunk_size=options.chunk_size or chunk_size_of(request.media),
        )
        self._files.forget(task_id)
        return None

    def set_expiry(self, request: CreationRequest) -> None:
        """Keep the request as seen: 500 seconds after success, a year after a failure."""
        assert request.finished is not None, "an ended request has its date"
        kept = _FAILED_KEPT if request.status == "failed" else _FINISHED_KEPT
        request.expiry = request.finished + kept
