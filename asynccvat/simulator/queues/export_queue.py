"""The queue of exports.

The id of a request is made of what is exported and for whom, so asking twice gives the same id. A
result only remembers which tasks were exported. `archives` writes the archive when a client
downloads it: writing it here would take the time of the one thread that serves the calls.
"""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Callable
from datetime import timedelta

from asynccvat.simulator.faults import Fault, Faults
from asynccvat.simulator.formats.archives import (
    NO_DATA,
    WRITTEN_FORMATS,
    ExportUnavailableError,
    find_ready_archive,
    media_bytes,
)
from asynccvat.simulator.options import ExportStart, SimulatorOptions
from asynccvat.simulator.queues.archives import ArchiveCache
from asynccvat.simulator.queues.processor import Processor
from asynccvat.simulator.queues.registry import RequestRegistry
from asynccvat.simulator.queues.requests import (
    ExportRequest,
    ExportResult,
    ExportSubject,
    Request,
    RequestTarget,
)
from asynccvat.simulator.queues.work_queue import NO_TASK, WorkQueue
from asynccvat.simulator.world.clouds import CloudObject
from asynccvat.simulator.world.dates import utc_now
from asynccvat.simulator.world.job_annotations import has_own_annotations
from asynccvat.simulator.world.tasks import Job, Task
from asynccvat.simulator.world.users import User
from asynccvat.simulator.world.world import World


class ExportQueue(WorkQueue[ExportRequest]):
    """The queue of exports, and the workers that run them."""

    def __init__(
        self,
        options: SimulatorOptions,
        processor: Processor,
        faults: Faults,
        registry: RequestRegistry,
        world: World,
        *,
        archives: ArchiveCache | None = None,
    ) -> None:
        """Make the queue; `start` starts its workers.

        Args:
            options: How many workers, and how long exports take.
            processor: What performs the work of exports.
            faults: The scripted faults.
            registry: The requests that the server remembers.
            world: The tasks and projects to export.
            archives: Writes the archives that go to buckets.
        """
        super().__init__(registry, options.export_workers, "export")
        self._options = options
        self._processor = processor
        self._faults = faults
        self._world = world
        self._archives = archives or ArchiveCache(world.projects)
        self._cache: dict[tuple[ExportSubject, tuple[Task, ...]], ExportResult] = {}

    @property
    def requests(self) -> dict[str, Request]:
        """Every request that the server remembers, including imports."""
        return self.registry.requests

    def submit(
        self,
        subject: ExportSubject,
        owner: User,
        target: RequestTarget,
        *,
        file_name: str | None,
        destination: CloudObject | None = None,
        origin: str = "",
    ) -> tuple[Request, bool]:
        """Ask for an export; return the request, and whether it is new.

        A request of the same id that has not ended is returned unchanged. One that has ended is
        replaced, and its result is gone until the new request finishes.
        """
        rq_id = subject.rq_id(owner)
        known = self.registry.under_way(rq_id)
        if known is not None:
            return known, False
        replaced = self.registry.find(rq_id)
        request = ExportRequest(
            id=rq_id,
            subject=subject,
            owner=owner,
            target=target,
            created=self.registry.now(),
            number=self.registry.next_number(),
            earlier=replaced.result if isinstance(replaced, ExportRequest) else None,
            file_name=file_name,
            destination=destination,
            origin=origin,
        )
        self.add(request)
        return request, True

    def remove_results(self, matches: Callable[[ExportRequest], bool]) -> int:
        """Remove the results of matching requests, as CVAT's cache cleanup does.

        Returns:
            How many results were removed.
        """
        removed = 0
        for request in self.requests.values():
            if not isinstance(request, ExportRequest):
                continue
            if request.result is not None and matches(request):
                self._cache.pop((request.subject, request.result.tasks), None)
                request.result = None
                removed += 1
        return removed

    def faults_of(self, request: ExportRequest) -> list[Fault]:
        """Return the faults scripted for this export."""
        return self._faults.for_export(request.id, request.task_id)

    def may_start(self, request: ExportRequest) -> bool:
        """Refuse with `one_export_per_user` while another export of the same user runs."""
        busy = {other.owner.id for other in self.running}
        return not self._options.one_export_per_user or request.owner.id not in busy

    async def spend(self, seconds: float) -> None:
        """Spend the seconds on the server's processor."""
        await self._processor.spend(seconds)

    def seconds_of(self, request: ExportRequest) -> float:
        """Note the tasks as they are now; return the seconds of the options."""
        request.tasks = export_snapshot(self._world, request.subject)
        options, subject = self._options, request.subject
        if not options.costs:
            return 0.0
        is_cached = (subject, request.tasks) in self._cache
        if is_cached and options.cached_export_seconds is not None:
            return options.cached_export_seconds
        if callable(options.export_seconds):
            start = ExportStart(
                subject.target,
                subject.target_id,
                subject.format or "",
                subject.save_images,
                is_cached,
            )
            return options.export_seconds(start)
        packed = 0
        if subject.save_images and not is_cached and not isinstance(request.tasks, str):
            packed = sum(media_bytes(task, subject.format or "") for task in request.tasks)
        return options.export_seconds + options.media_seconds * packed / 1e6

    async def perform(self, request: ExportRequest, seconds: float, *, fails: bool) -> None:
        """Spend the seconds; then write an archive that goes to a bucket, unless it fails."""
        await self.spend(seconds)
        tasks, destination = request.tasks, request.destination
        if fails or destination is None or isinstance(tasks, str):
            return
        now = utc_now()
        name = _file_name(request, tasks, self._world)
        result = ExportResult(request.subject, tasks, name, now, int(now.timestamp()))
        archive = await self._archives.archive(result, request.origin)
        path = destination.storage.path(destination.key or name)
        if not destination.storage.folder.is_dir():
            raise FileNotFoundError(f"there is no bucket {destination.storage.resource!r}")
        await asyncio.to_thread(archive.save, path)

    def complete(self, request: ExportRequest) -> str | None:
        """Set the result; a cached archive is reused and touched."""
        tasks = request.tasks
        if isinstance(tasks, str):
            return tasks
        if request.destination is not None:
            return None
        key = (request.subject, tasks)
        result = self._cache.get(key)
        if result is None:
            name = _file_name(request, tasks, self._world)
            moment = request.finished
            assert moment is not None, "an ended request has its date"
            result = ExportResult(request.subject, tasks, name, moment, int(moment.timestamp()))
            self._cache[key] = result
        else:
            result.touch()
        if request.file_name is not None:
            result = dataclasses.replace(result, file_name=request.file_name)
        request.result = result
        return None

    def set_expiry(self, request: ExportRequest) -> None:
        """Keep the request as long as results are kept."""
        assert request.finished is not None, "an ended request has its date"
        request.expiry = request.finished + timedelta(seconds=self._options.result_seconds)


def _file_name(request: ExportRequest, tasks: tuple[Task, ...], world: World) -> str:
    subject = request.subject
    moment = max((task.updated_date for task in tasks), default=request.created)
    when = moment.strftime("%Y_%m_%d_%H_%M_%S")
    if subject.format is None:
        project = world.projects.get(subject.target_id)
        name = tasks[0].name if subject.target == "task" else project.name if project else ""
        return f"{subject.target}_{name}_backup_{when}.zip"
    words = f"{subject.target}_{subject.target_id}_{subject.subresource}_{when}"
    return f"{words}_{subject.format.lower()}.zip"


def export_snapshot(world: World, subject: ExportSubject) -> tuple[Task, ...] | str:
    """Return the tasks that an export holds now, or its failure message.

    A project is exported without its tasks that have no data.
    """
    if subject.target == "project":
        tasks = world.project_tasks(subject.target_id)
    elif subject.target == "job":
        job = world.job(subject.target_id)
        if job is None:
            return NO_TASK
        tasks = [_frames_of_job(world.tasks[job.task_id], job)]
    else:
        task = world.tasks.get(subject.target_id)
        if task is None:
            return NO_TASK
        tasks = [task]
    if subject.format is None:
        return tuple(tasks)
    with_data = tuple(task for task in tasks if task.size)
    if not with_data:
        return NO_DATA
    if any(task.ready for task in with_data):
        return _check_ready(subject, subject.format, with_data)
    if subject.format not in WRITTEN_FORMATS:
        names = ", ".join(WRITTEN_FORMATS)
        return f"The simulator does not write {subject.format}, only {names}\n"
    return with_data


def _frames_of_job(task: Task, job: Job) -> Task:
    """Return a task as the export of one of its jobs shows it: with the job's frames alone."""
    if has_own_annotations(job):
        task = dataclasses.replace(task, given=job.given)
    own = range(job.start_frame, job.stop_frame + 1) if job.frames is None else job.frames
    if len(own) == (task.size or 0):
        return task
    left_out = set(range(task.size or 0)).difference(own)
    return dataclasses.replace(
        task, deleted_frames=tuple(sorted(left_out.union(task.deleted_frames)))
    )


def _check_ready(
    subject: ExportSubject, format_name: str, tasks: tuple[Task, ...]
) -> tuple[Task, ...] | str:
    if subject.target == "project":
        return "The simulator does not merge ready archives: export the tasks one by one\n"
    try:
        find_ready_archive(tasks[0], format_name, subject.save_images)
    except ExportUnavailableError as error:
        return str(error)
    return tasks
