"""The simulated server: start it, script it, inspect it, stop it.

`SimulatedServer` runs in the caller's event loop, `threads` runs one in another thread, `processes`
in another process.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from datetime import datetime
from types import TracebackType
from typing import Any, Self, TypeVar

from asynccvat.simulator.application import Application
from asynccvat.simulator.changes import ServerChanges
from asynccvat.simulator.control import answer_control_call
from asynccvat.simulator.faults import Faults
from asynccvat.simulator.formats.ready_archives import add_ready_archives
from asynccvat.simulator.options import SimulatorOptions
from asynccvat.simulator.queues.archives import ArchiveCache
from asynccvat.simulator.queues.creation_queue import CreationQueue
from asynccvat.simulator.queues.deliveries import DeliveryQueue
from asynccvat.simulator.queues.export_queue import ExportQueue
from asynccvat.simulator.queues.import_queue import ImportQueue
from asynccvat.simulator.queues.processor import ApiWorkers, make_processor
from asynccvat.simulator.queues.registry import RequestRegistry
from asynccvat.simulator.queues.requests import Request, RequestSpan
from asynccvat.simulator.queues.task_files import TaskFiles
from asynccvat.simulator.queues.uploads import UploadedFiles
from asynccvat.simulator.routes.calls import Backend
from asynccvat.simulator.routes.page_cache import PageCache
from asynccvat.simulator.routes.selections import Selections
from asynccvat.simulator.routes.webhook_events import WebhookEvents
from asynccvat.simulator.stats import summarize
from asynccvat.simulator.wire.listener import Listener
from asynccvat.simulator.wire.records import CallRecord
from asynccvat.simulator.wire.throttle import Throttle
from asynccvat.simulator.world.accounts import Accounts
from asynccvat.simulator.world.tasks import Project, Task
from asynccvat.simulator.world.world import World

T = TypeVar("T")

_LOG = logging.getLogger(__name__)


class SimulatedServer(ServerChanges):
    """A simulated CVAT server, listening while its context lasts.

    Its methods may be called from any thread, as from a test whose server runs in another one.

    Example:
        ```python
        async with SimulatedServer(SimulatorOptions(tasks=3)) as server:
            ...  # server.url, server.username, server.password
        ```

    Attributes:
        options: Its options.
        faults: The scripted faults; add to them at any time.
        accounts: Users and tokens.
        world: Tasks, projects and organizations.
        export_queue: The queue of exports.
        import_queue: The queue of imports.
        creation_queue: The queue of tasks that are made of their data.
        uploads: Uploaded files that are not imported yet.
    """

    def __init__(self, options: SimulatorOptions | None = None) -> None:
        """Generate the content; `start` adds the ready archives and listens.

        Raises:
            ValueError: The options do not fit together.
        """
        self.options = options or SimulatorOptions()
        self.faults = Faults(self.options.seed)
        self.accounts = Accounts(self.options)
        super().__init__(World(self.options))
        processor = make_processor(self.options)
        registry = RequestRegistry(self.options.remembered_requests)
        self.uploads = UploadedFiles()
        slots = asyncio.Semaphore(self.options.import_workers)
        self._archives = ArchiveCache(self.world.projects)
        self.export_queue = ExportQueue(
            self.options,
            processor,
            self.faults,
            registry=registry,
            world=self.world,
            archives=self._archives,
        )
        self.import_queue = ImportQueue(
            self.options,
            processor,
            self.faults,
            registry=registry,
            uploads=self.uploads,
            world=self.world,
            slots=slots,
        )
        files = TaskFiles(self.uploads)
        self.creation_queue = CreationQueue(
            self.options,
            processor,
            self.faults,
            registry=registry,
            files=files,
            world=self.world,
            slots=slots,
        )
        self._deliveries = DeliveryQueue(self.world.webhooks, self.options.version)
        self._events = WebhookEvents(
            self.world, self._deliveries, names_projects=self.options.names_projects
        )
        self._backend = Backend(
            options=self.options,
            accounts=self.accounts,
            throttle=Throttle(self.options),
            world=self.world,
            selections=Selections(self.world),
            pages=PageCache(),
            registry=registry,
            exports=self.export_queue,
            imports=self.import_queue,
            uploads=self.uploads,
            creations=self.creation_queue,
            task_files=files,
            deliveries=self._deliveries,
        )
        self._application = Application(
            self._backend,
            ApiWorkers(self.options.api_workers, processor),
            self.faults,
            self._archives,
            lambda method, path, body: answer_control_call(self, method, path, body),
        )
        self._listener = Listener(self._application.handle, self.options.host, self.options.port)

    async def __aenter__(self) -> Self:
        """Start listening.

        Raises:
            OSError: As for `start`.
            ValueError: As for `start`.
        """
        await self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Stop listening."""
        await self.stop()

    async def start(self) -> None:
        """Add the ready archives, start the workers and listen.

        Raises:
            OSError: The address cannot be listened on, or the archives cannot be read.
            ValueError: The folder of archives has no archives, or a wrong `index.json`.
        """
        if self.options.archives is not None:
            await asyncio.to_thread(add_ready_archives, self.world, self.options.archives)
        self._loop, self._thread = asyncio.get_running_loop(), threading.get_ident()
        await self._listener.start()
        self.export_queue.start()
        self.import_queue.start()
        self.creation_queue.start()
        self._deliveries.start()
        self._events.origin = self.options.public_url or self.url

    async def stop(self) -> None:
        """Stop the workers, close all connections and stop listening."""
        await self.export_queue.stop()
        await self.import_queue.stop()
        await self.creation_queue.stop()
        await self._deliveries.stop()
        await self._listener.stop()
        self._loop = None
        await asyncio.to_thread(self._archives.close)
        await asyncio.to_thread(self.uploads.close)

    @property
    def url(self) -> str:
        """Its address, such as `http://127.0.0.1:8080`."""
        return f"http://{self._listener.host}:{self._listener.port}{self.options.path_prefix}"

    @property
    def username(self) -> str:
        """The superuser's name."""
        return self.accounts.by_id[1].user.username

    @property
    def password(self) -> str:
        """The superuser's password."""
        return self.options.password

    @property
    def token(self) -> str:
        """The superuser's key, as a login returns it (`Authorization: Token`)."""
        return self.accounts.token_of(self.accounts.by_id[1])

    def create_access_token(
        self, *, read_only: bool = False, expiry: datetime | None = None
    ) -> str:
        """Create a personal access token of the superuser (`Authorization: Bearer`)."""
        admin = self.accounts.by_id[1]
        return self._do_in_loop(
            lambda: (
                self.accounts.create_access_token(admin, read_only=read_only, expiry=expiry).value
            )
        )

    @property
    def tasks(self) -> dict[int, Task]:
        """Its tasks by id; the methods below change them."""
        return self.world.tasks

    @property
    def projects(self) -> dict[int, Project]:
        """Its projects by id."""
        return self.world.projects

    @property
    def requests(self) -> dict[str, Request]:
        """The requests that it remembers, exports and imports, by id."""
        return self._backend.registry.requests

    def expire_results(self, task_id: int | None = None) -> int:
        """Remove the results of a task, or all.

        Their downloads get 404 until the next export.

        Returns:
            How many results were removed.
        """
        return self._do_in_loop(
            lambda: self.export_queue.remove_results(
                lambda request: task_id in (None, request.task_id)
            )
        )

    def forget_requests(self) -> None:
        """Lose the queues and all requests, like a Redis that restarts empty."""
        self._do_in_loop(self._backend.forget_requests)

    def pause_exports(self) -> None:
        """Start no more exports until `release_exports`."""
        self._do_in_loop(self.export_queue.pause)

    def release_exports(self) -> None:
        """Continue exports that are paused, or that a fault keeps started."""
        self._do_in_loop(self.export_queue.release)

    def pause_imports(self) -> None:
        """Start no more imports until `release_imports`."""
        self._do_in_loop(self.import_queue.pause)

    def release_imports(self) -> None:
        """Continue imports that are paused, or that a fault keeps started."""
        self._do_in_loop(self.import_queue.release)

    def pause_creations(self) -> None:
        """Make no more tasks of their data until `release_creations`."""
        self._do_in_loop(self.creation_queue.pause)

    def release_creations(self) -> None:
        """Continue new tasks that are paused, or that a fault keeps started."""
        self._do_in_loop(self.creation_queue.release)

    async def deliveries_sent(self) -> None:
        """Wait until the events so far are sent to their webhooks."""
        await self._deliveries.idle()

    @property
    def calls(self) -> list[CallRecord]:
        """Every call so far, in the order of their arrival."""
        return self._application.calls

    @property
    def exports(self) -> list[RequestSpan]:
        """Every export that has run so far, in the order of their ends."""
        return self.export_queue.timeline

    @property
    def imports(self) -> list[RequestSpan]:
        """Every import that has run so far, in the order of their ends."""
        return self.import_queue.timeline

    @property
    def creations(self) -> list[RequestSpan]:
        """Every task that was made of its data so far, in the order of their ends."""
        return self.creation_queue.timeline

    @property
    def stats(self) -> dict[str, Any]:
        """Sums over what it served; see `stats.summarize`."""
        return summarize(
            self.options,
            self.calls,
            {"export": self.exports, "import": self.imports, "creation": self.creations},
            self._backend.registry.remembered,
        )


async def serve(options: SimulatorOptions, *, started: asyncio.Event | None = None) -> None:
    """Serve until cancelled, as `asynccvat simulate` does.

    Args:
        options: The server's options.
        started: Set when the server listens.

    Raises:
        OSError: The address cannot be listened on.
        ValueError: The options do not fit together.
    """
    async with SimulatedServer(options) as server:
        _LOG.info("simulated CVAT at %s", server.url)
        if started is not None:
            started.set()
        await asyncio.Event().wait()
