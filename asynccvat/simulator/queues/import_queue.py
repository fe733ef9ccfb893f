"""The queue of imports: workers read uploaded files and change tasks.

A worker reads the file when it takes the request, spends the rest of its seconds, and changes the
task at the very end. So a failed import has changed nothing, as with CVAT's transactions.
`formats.readers` reads the files.
"""

from __future__ import annotations

import asyncio
import uuid
from datetime import timedelta
from typing import Final

from asynccvat.simulator.faults import Fault, Faults
from asynccvat.simulator.formats.archives import NO_DATA
from asynccvat.simulator.formats.backup_reader import RestoreError
from asynccvat.simulator.formats.readers import ImporterError, read_annotations
from asynccvat.simulator.options import SimulatorOptions
from asynccvat.simulator.queues.dataset_imports import make_imported, read_project_dataset
from asynccvat.simulator.queues.processor import Processor
from asynccvat.simulator.queues.registry import RequestRegistry
from asynccvat.simulator.queues.requests import (
    DatasetRequest,
    ImportRequest,
    RequestTarget,
    RestoreRequest,
)
from asynccvat.simulator.queues.restores import make_restored, read_restore
from asynccvat.simulator.queues.uploads import UploadedFile, UploadedFiles
from asynccvat.simulator.queues.work_queue import NO_TASK, WorkQueue
from asynccvat.simulator.world.annotations import Annotations
from asynccvat.simulator.world.tasks import Task
from asynccvat.simulator.world.users import User
from asynccvat.simulator.world.world import World

_FINISHED_KEPT: Final = timedelta(hours=1)
_FAILED_KEPT: Final = timedelta(days=30)

DATASET_STARTED: Final = "Dataset import has been started..."
"""What CVAT says of a dataset while a worker imports it."""

_READY: Final = "The simulator serves ready archives for this task and imports nothing into it\n"


class ImportQueue(WorkQueue[ImportRequest]):
    """The queue of imports, and the workers that run them."""

    def __init__(
        self,
        options: SimulatorOptions,
        processor: Processor,
        faults: Faults,
        *,
        registry: RequestRegistry,
        uploads: UploadedFiles,
        world: World,
        slots: asyncio.Semaphore | None = None,
    ) -> None:
        """Make the queue; `start` starts its workers.

        Args:
            options: How many workers, and how long imports take.
            processor: What performs the work of imports.
            faults: The scripted faults.
            registry: The requests that the server remembers.
            uploads: The uploaded files; each is removed after its import.
            world: The tasks into which they are imported.
            slots: The workers, if another queue shares them.
        """
        super().__init__(registry, options.import_workers, "import", slots)
        self._options = options
        self._processor = processor
        self._faults = faults
        self._uploads = uploads
        self._world = world

    def submit_restore(
        self, upload: UploadedFile, owner: User, target: RequestTarget
    ) -> RestoreRequest:
        """Ask for a restore of a complete file; its id is random, so each asking restores."""
        request = RestoreRequest(
            id=f"action=import&target={target.kind}&id={uuid.uuid4()}&subresource=backup",
            owner=owner,
            target=target,
            created=self.registry.now(),
            number=self.registry.next_number(),
            upload=upload,
            format_name="",
        )
        self._uploads.keep(upload)
        self.add(request)
        return request

    def submit(
        self,
        rq_id: str,
        upload: UploadedFile,
        owner: User,
        target: RequestTarget,
        *,
        format_name: str,
    ) -> ImportRequest:
        """Ask for an import of a complete file, into a project that of a dataset.

        No request of that id may be under way.
        """
        make = DatasetRequest if target.kind == "project" else ImportRequest
        request = make(
            id=rq_id,
            owner=owner,
            target=target,
            created=self.registry.now(),
            number=self.registry.next_number(),
            upload=upload,
            format_name=format_name,
        )
        if isinstance(request, DatasetRequest):
            self._uploads.keep(upload)
        self.add(request)
        return request

    def dropped(self, request: ImportRequest) -> None:
        """Remove the file of the request."""
        self._uploads.discard(request.upload)

    def faults_of(self, request: ImportRequest) -> list[Fault]:
        """Return the faults scripted for this import."""
        return self._faults.for_import(request.id, request.task_id)

    def seconds_of(self, request: ImportRequest) -> float:
        """Return the seconds that the options say."""
        options = self._options
        if not options.costs:
            return 0.0
        if isinstance(request, RestoreRequest | DatasetRequest):
            return options.restore_seconds + options.media_seconds * request.upload.size / 1e6
        return options.import_seconds

    async def spend(self, seconds: float) -> None:
        """Spend the seconds on the server's processor."""
        await self._processor.spend(seconds)

    async def perform(self, request: ImportRequest, seconds: float, *, fails: bool) -> None:
        """Read the file, and spend the rest of the seconds."""
        del fails  # what was read counts for nothing then
        clock = asyncio.get_running_loop().time
        started = clock()
        try:
            if isinstance(request, RestoreRequest):
                await asyncio.to_thread(read_restore, request, self._world)
            elif isinstance(request, DatasetRequest):
                request.message = DATASET_STARTED
                await asyncio.to_thread(read_project_dataset, request, self._world)
            else:
                request.read = await self._read(request)
                self._uploads.discard(request.upload)
        except (ImporterError, RestoreError) as error:
            request.read = str(error)
            self._uploads.discard(request.upload)
        await self.spend(seconds - (clock() - started))

    async def _read(self, request: ImportRequest) -> Annotations:
        task = self._task(request)
        return await asyncio.to_thread(
            read_annotations,
            request.upload.path,
            request.format_name,
            task,
            self._world.annotation_ids,
        )

    def complete(self, request: ImportRequest) -> str | None:
        """Replace the task's annotations with those of the file, or make what is restored."""
        if isinstance(request, RestoreRequest) and request.restored is not None:
            make_restored(request, self._world)
            return None
        if isinstance(request, DatasetRequest) and request.dataset is not None:
            return make_imported(request, self._world)
        if isinstance(request.read, str):
            return request.read
        try:
            task = self._task(request)
        except ImporterError as error:  # the task was deleted in the meantime
            return str(error)
        self._world.annotate_task(task.id, request.read)
        return None

    def _task(self, request: ImportRequest) -> Task:
        task = self._world.tasks.get(request.task_id or 0)
        if task is None:
            raise ImporterError(NO_TASK)
        if task.size is None:
            raise ImporterError(NO_DATA)
        if task.ready:
            raise ImporterError(_READY)
        return task

    def set_expiry(self, request: ImportRequest) -> None:
        """Keep the request as CVAT does: an hour after success, else a month."""
        assert request.finished is not None, "an ended request has its date"
        kept = _FAILED_KEPT if request.status == "failed" else _FINISHED_KEPT
        request.expiry = request.finished + kept
