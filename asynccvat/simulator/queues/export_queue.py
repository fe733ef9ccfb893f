"""The queue of exports, and the results they leave.

A request is known by an id made of what is asked and by whom, so asking twice meets the same
request. A result is the memory of *what* was exported; its bytes are made when somebody downloads
them (`making`), since making them here would take the time of the one processor that serves the
calls.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from datetime import timedelta
from typing import Any, Final

from asynccvat.simulator.faults import Fault, Faults
from asynccvat.simulator.formats.archives import media_bytes
from asynccvat.simulator.options import ExportStart, SimulatorOptions
from asynccvat.simulator.queues.processor import Processor
from asynccvat.simulator.queues.registry import RequestRegistry
from asynccvat.simulator.queues.requests import ExportRequest, Request, Result, Wanted
from asynccvat.simulator.queues.work_queue import WorkQueue
from asynccvat.simulator.world.tasks import Task, User

NO_DATA: Final = "AttributeError: 'NoneType' object has no attribute 'validation_mode'\n"
"""What CVAT 2.54 says of the export of a task without data."""


class ExportQueue(WorkQueue[ExportRequest]):
    """Requests for files, and the workers that make them."""

    def __init__(
        self,
        options: SimulatorOptions,
        processor: Processor,
        faults: Faults,
        registry: RequestRegistry,
        snapshot: Callable[[Wanted], tuple[Task, ...] | str],
    ) -> None:
        """Make the queue; `start` starts its workers.

        Args:
            options: How many workers, and how long exports take.
            processor: What their seconds are spent on.
            faults: The script.
            registry: Where the requests are remembered.
            snapshot: The tasks that an export holds, or the message by which it fails.
        """
        super().__init__(registry, options.export_workers, "export")
        self._options = options
        self._processor = processor
        self._faults = faults
        self._snapshot = snapshot
        self._cache: dict[tuple[Any, ...], Result] = {}

    @property
    def requests(self) -> dict[str, Request]:
        """Every request that the server remembers, imports too."""
        return self.registry.requests

    def submit(
        self,
        wanted: Wanted,
        owner: User,
        *,
        project_id: int | None,
        task_id: int | None,
        job_id: int | None,
        file_name: str | None,
    ) -> tuple[Request, bool]:
        """Ask for an export: the request, and whether it is new.

        One under way is given back as it is. One that ended is deleted and queued anew, which
        takes its result away until then.
        """
        rq_id = wanted.rq_id(owner)
        known = self.registry.under_way(rq_id)
        if known is not None:
            return known, False
        request = ExportRequest(
            id=rq_id,
            wanted=wanted,
            owner=owner,
            target=wanted.target,
            project_id=project_id,
            task_id=task_id,
            job_id=job_id,
            created=self.registry.now(),
            number=self.registry.next_number(),
            file_name=file_name,
        )
        self.add(request)
        return request, True

    def remove_results(self, matches: Callable[[ExportRequest], bool]) -> int:
        """Remove the results of matching requests, as the cleanup of the cache does.

        Returns:
            How many results were removed.
        """
        removed = 0
        for request in self.requests.values():
            if not isinstance(request, ExportRequest):
                continue
            if request.result is not None and matches(request):
                self._cache.pop((request.wanted, request.result.tasks), None)
                request.result = None
                removed += 1
        return removed

    def faults_of(self, request: ExportRequest) -> list[Fault]:
        """The faults scripted for exports."""
        return self._faults.for_export(request.id, request.task_id)

    def may_start(self, request: ExportRequest) -> bool:
        """Not while another of the same user runs, where the server is set so."""
        busy = {other.owner.id for other in self.running}
        return not self._options.one_export_per_user or request.owner.id not in busy

    async def spend(self, seconds: float) -> None:
        """On the server's processor."""
        await self._processor.spend(seconds)

    def seconds_of(self, request: ExportRequest) -> float:
        """As the options say; the tasks are exported as they are now."""
        request.tasks = self._snapshot(request.wanted)
        options, wanted = self._options, request.wanted
        if not options.costs:
            return 0.0
        is_cached = (wanted, request.tasks) in self._cache
        if is_cached and options.cached_export_seconds is not None:
            return options.cached_export_seconds
        if callable(options.export_seconds):
            start = ExportStart(
                wanted.target, wanted.target_id, wanted.format or "", wanted.save_images, is_cached
            )
            return options.export_seconds(start)
        packed = 0
        if wanted.save_images and not is_cached and not isinstance(request.tasks, str):
            packed = sum(media_bytes(task, wanted.format or "") for task in request.tasks)
        return options.export_seconds + options.media_seconds * packed / 1e6

    def complete(self, request: ExportRequest) -> str | None:
        """Leave the result."""
        tasks = request.tasks
        if isinstance(tasks, str):
            return tasks
        key = (request.wanted, tasks)
        result = self._cache.get(key)
        if result is None:
            name = _file_name(request, tasks)
            moment = request.finished
            assert moment is not None, "an ended request has its date"
            result = Result(request.wanted, tasks, name, moment, int(moment.timestamp()))
            self._cache[key] = result
        else:
            result.touch()
        if request.file_name is not None:
            result = dataclasses.replace(result, file_name=request.file_name)
        request.result = result
        return None

    def set_expiry(self, request: ExportRequest) -> None:
        """As long as results are kept."""
        assert request.finished is not None, "an ended request has its date"
        request.expiry = request.finished + timedelta(seconds=self._options.result_seconds)


def _file_name(request: ExportRequest, tasks: tuple[Task, ...]) -> str:
    wanted = request.wanted
    moment = max((task.updated_date for task in tasks), default=request.created)
    when = moment.strftime("%Y_%m_%d_%H_%M_%S")
    if wanted.format is None:
        name = tasks[0].name if wanted.target == "task" and tasks else str(wanted.target_id)
        return f"{wanted.target}_{name}_backup_{when}.zip"
    words = f"{wanted.target}_{wanted.target_id}_{wanted.subresource}_{when}"
    return f"{words}_{wanted.format.lower()}.zip"
