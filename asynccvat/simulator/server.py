"""The server as a whole: started, scripted, asked and stopped.

`SimulatedServer` lives in the caller's event loop; `processes` runs one in a process of its own.
"""

from __future__ import annotations

import asyncio
import json
import logging
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict
from datetime import datetime
from types import TracebackType
from typing import Any, Self, TypeVar

from aiohttp import web

from asynccvat.simulator.application import Application
from asynccvat.simulator.faults import Fault, Faults
from asynccvat.simulator.options import SimulatorOptions
from asynccvat.simulator.queues.archives import ArchiveMaker
from asynccvat.simulator.queues.export_queue import ExportQueue
from asynccvat.simulator.queues.import_queue import ImportQueue
from asynccvat.simulator.queues.processor import ApiWorkers, make_processor
from asynccvat.simulator.queues.registry import RequestRegistry
from asynccvat.simulator.queues.requests import RequestSpan
from asynccvat.simulator.queues.uploads import FILE_ID, Uploads
from asynccvat.simulator.routes.calls import Backend
from asynccvat.simulator.wire.records import CallRecord
from asynccvat.simulator.world.accounts import Accounts
from asynccvat.simulator.world.tasks import Dataset, Task
from asynccvat.simulator.world.world import Organization, World

T = TypeVar("T")

_LOG = logging.getLogger(__name__)
_CONNECTIONS = logging.getLogger(f"{__name__}.connections")


def _is_worth_a_word(record: logging.LogRecord) -> bool:
    """Clients that go away in mid-answer, killed or by a scripted fault, are nothing to report."""
    return not (record.exc_info and isinstance(record.exc_info[1], ConnectionError))


_CONNECTIONS.addFilter(_is_worth_a_word)


class SimulatedServer:
    """A simulated CVAT server, listening while its context lasts.

    Its methods may be called from any thread, as from a test whose server runs in another one.

    Example:
        ```python
        async with SimulatedServer(SimulatorOptions(tasks=3)) as server:
            ...  # server.url, server.username, server.password
        ```

    Attributes:
        options: What it was asked to be.
        faults: The script of faults; add to it at any time.
        accounts: Users and tokens.
        world: Tasks, projects, organizations.
        queue: Export workers, and all requests.
        import_queue: Import workers.
        uploads: Files that are not imported yet.
    """

    def __init__(self, options: SimulatorOptions | None = None) -> None:
        """Build the content; ready archives are added, and listening starts, with the context.

        Raises:
            ValueError: The options do not fit together.
        """
        self.options = options or SimulatorOptions()
        self.faults = Faults(self.options.seed)
        self.accounts = Accounts(self.options)
        self.world = World(self.options, self.accounts.by_id[1].user)
        processor = make_processor(self.options)
        registry = RequestRegistry(self.options.remembered_requests)
        self.uploads = Uploads()
        self.queue = ExportQueue(
            self.options, processor, self.faults, registry, self.world.snapshot
        )
        self.import_queue = ImportQueue(
            self.options,
            processor,
            self.faults,
            registry=registry,
            uploads=self.uploads,
            world=self.world,
        )
        self._maker = ArchiveMaker(self.world.dataset.projects)
        self._backend = Backend(
            self.options,
            self.accounts,
            self.world,
            registry,
            self.queue,
            self.import_queue,
            self.uploads,
        )
        self._app = Application(
            self._backend,
            ApiWorkers(self.options.api_workers, processor),
            self.faults,
            self._maker,
            self._control,
        )
        self._runner: web.ServerRunner | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = 0
        self._port = 0

    # Life.

    async def __aenter__(self) -> Self:
        """Start listening.

        Raises:
            OSError: As for `start`.
            ValueError: The same.
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
            ValueError: The folder of archives holds none that can be told apart.
        """
        if self.options.archives is not None:
            await asyncio.to_thread(self.world.add_archives, self.options.archives)
        self._loop, self._thread = asyncio.get_running_loop(), threading.get_ident()
        server = web.Server(
            self._app.handle,
            access_log=None,
            logger=_CONNECTIONS,
            max_line_size=1 << 18,
            max_field_size=1 << 18,
            lingering_time=0.0,
        )
        self._runner = web.ServerRunner(server, shutdown_timeout=0.05)
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, self.options.host, self.options.port).start()
        except OSError:
            await self._runner.cleanup()
            raise
        self._port = self._runner.addresses[0][1]
        self.queue.start()
        self.import_queue.start()

    async def stop(self) -> None:
        """Stop the workers and listening; open connections are closed."""
        await self.queue.stop()
        await self.import_queue.stop()
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None
        self._loop = None
        await asyncio.to_thread(self._maker.close)
        await asyncio.to_thread(self.uploads.close)

    def _do_in_loop(self, function: Callable[[], T]) -> T:
        """Call the function where the server runs, so that any thread may steer it.

        Raises:
            TimeoutError: The server's loop did not answer within ten seconds.
        """
        loop = self._loop
        if loop is None or self._thread == threading.get_ident():
            return function()

        async def run() -> T:
            return function()

        return asyncio.run_coroutine_threadsafe(run(), loop).result(10)

    # Where it is and how to get in.

    @property
    def url(self) -> str:
        """Its origin, as `http://127.0.0.1:8080`."""
        return f"http://{self.options.host}:{self._port}"

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
        """A personal access token of the superuser (`Authorization: Bearer`)."""
        admin = self.accounts.by_id[1]
        return self._do_in_loop(
            lambda: (
                self.accounts.create_access_token(admin, read_only=read_only, expiry=expiry).value
            )
        )

    # What it holds.

    @property
    def dataset(self) -> Dataset:
        """Its tasks and projects; change them by the methods below."""
        return self.world.dataset

    def edit_task(self, task_id: int) -> Task:
        """Change the task's annotations, and so its `updated_date` and its archives.

        Raises:
            KeyError: There is no such task.
        """
        return self._do_in_loop(lambda: self.world.edit_task(task_id))

    def rename_task(self, task_id: int, name: str) -> Task:
        """Rename the task.

        Raises:
            KeyError: There is no such task.
        """
        return self._do_in_loop(lambda: self.world.change_task(task_id, name=name))

    def change_media(self, task_id: int) -> Task:
        """Change the task's images, of the same names and sizes, and so its date and its archives.

        Raises:
            KeyError: There is no such task.
        """
        return self._do_in_loop(lambda: self.world.change_media(task_id))

    def change_task(self, task_id: int, **fields: Any) -> Task:
        """Change fields of the task, as `subset`, `deleted_frames` or `organization_id`.

        Raises:
            KeyError: There is no such task.
        """
        return self._do_in_loop(lambda: self.world.change_task(task_id, **fields))

    def delete_task(self, task_id: int) -> None:
        """Delete the task.

        Raises:
            KeyError: There is no such task.
        """
        self._do_in_loop(lambda: self.world.delete_task(task_id))

    def add_task(
        self, name: str | None = None, *, project_id: int | None = None, frames: int | None = 5
    ) -> Task:
        """Add a task; `frames` None makes one without data."""
        return self._do_in_loop(
            lambda: self.world.add_task(name, project_id=project_id, frames=frames)
        )

    def add_organization(self, slug: str, task_ids: tuple[int, ...] = ()) -> Organization:
        """Add an organization and move tasks into it.

        Raises:
            KeyError: There is no such task.
        """

        def add() -> Organization:
            organization = self.world.add_organization(slug)
            for task_id in task_ids:
                self.world.change_task(task_id, organization_id=organization.id)
            return organization

        return self._do_in_loop(add)

    # What happens to it.

    def expire_results(self, task_id: int | None = None) -> int:
        """Remove the results of a task, or all: downloads are 404 until exported again.

        Returns:
            How many results were removed.
        """
        return self._do_in_loop(
            lambda: self.queue.remove_results(lambda request: task_id in (None, request.task_id))
        )

    def forget_requests(self) -> None:
        """Lose the queue and all requests, as a restarted server without its memory does."""
        self._do_in_loop(self._backend.forget_requests)

    def pause_exports(self) -> None:
        """Leave further exports queued, until `release_exports`."""
        self._do_in_loop(self.queue.pause)

    def release_exports(self) -> None:
        """Let exports go on that were paused, or that a fault made stick."""
        self._do_in_loop(self.queue.release)

    def pause_imports(self) -> None:
        """Leave further imports queued, until `release_imports`."""
        self._do_in_loop(self.import_queue.pause)

    def release_imports(self) -> None:
        """Let imports go on that were paused, or that a fault made stick."""
        self._do_in_loop(self.import_queue.release)

    # What it saw.

    @property
    def calls(self) -> list[CallRecord]:
        """Every call so far, in the order of their arrival."""
        return self._app.calls

    @property
    def exports(self) -> list[RequestSpan]:
        """Every export run so far, in the order of their ends."""
        return self.queue.timeline

    @property
    def imports(self) -> list[RequestSpan]:
        """Every import run so far, in the order of their ends."""
        return self.import_queue.timeline

    @property
    def stats(self) -> dict[str, Any]:
        """Sums over what it saw: calls by kind and status, bytes, exports, imports, idle workers.

        `export_span` are the seconds from the first start to the last end of an export;
        `export_idle` those that export workers did nothing within them. Likewise for imports.
        """
        calls = self.calls
        return {
            "calls": len(calls),
            "calls_by_kind": dict(Counter(_kind(call) for call in calls)),
            "statuses": {
                str(status): count for status, count in Counter(c.status for c in calls).items()
            },
            "bytes_sent": sum(call.bytes_sent for call in calls),
            "bytes_received": sum(call.bytes_received for call in calls),
            **_sums("export", self.exports, self.options.export_workers),
            **_sums("import", self.imports, self.options.import_workers),
            "requests_remembered": self.queue.registry.remembered,
        }

    def _control(self, method: str, path: str, body: bytes) -> Any:
        """Answer a call below `/_simulator/`, by which another process steers the server."""
        match method, path.removeprefix("/_simulator/"):
            case "GET", "stats":
                return self.stats
            case "GET", "calls":
                return [asdict(call) for call in self.calls]
            case "GET", "exports":
                return [asdict(span) for span in self.exports]
            case "GET", "imports":
                return [asdict(span) for span in self.imports]
            case "POST", "faults":
                given = json.loads(body)
                faults = given if isinstance(given, list) else [given]
                self.faults.add(*(Fault.from_json(fault) for fault in faults))
                return {"faults": len(self.faults)}
            case "DELETE", "faults":
                self.faults.clear()
                return {"faults": 0}
            case "POST", "do":
                return self._do(json.loads(body))
            case _:
                raise ValueError(f"there is no {method} {path}")

    def _do(self, given: dict[str, Any]) -> Any:
        """Run one of the methods above by its name."""
        name = given.pop("method")
        if name not in _STEERABLE:
            raise ValueError(f"{name} is none of {', '.join(sorted(_STEERABLE))}")
        value = getattr(self, name)(**given)
        return {"id": value.id} if isinstance(value, (Task, Organization)) else value


_STEERABLE = frozenset(
    {
        "change_media",
        "edit_task",
        "rename_task",
        "delete_task",
        "add_task",
        "expire_results",
        "forget_requests",
        "pause_exports",
        "release_exports",
        "pause_imports",
        "release_imports",
        "create_access_token",
    }
)


def _sums(kind: str, spans: list[RequestSpan], workers: int) -> dict[str, Any]:
    first = min((span.started for span in spans), default=0.0)
    last = max((span.finished for span in spans), default=0.0)
    busy = sum(span.finished - span.started for span in spans)
    return {
        f"{kind}s": len(spans),
        f"{kind}s_failed": sum(span.status == "failed" for span in spans),
        f"{kind}_span": last - first,
        f"{kind}_idle": (last - first) * workers - busy,
    }


def _kind(call: CallRecord) -> str:
    """What a call is for, with ids left out: `GET /api/tasks/{id}/dataset/download`."""
    path = call.path
    if path.startswith("/api/requests/"):
        tail = "/cancel" if path.endswith("/cancel") else ""
        return f"{call.method} /api/requests/{{id}}{tail}"
    return f"{call.method} " + "/".join(
        "{id}" if part.isdecimal() or FILE_ID.fullmatch(part) else part for part in path.split("/")
    )


async def serve(options: SimulatorOptions, *, started: asyncio.Event | None = None) -> None:
    """Serve until cancelled; `asynccvat simulate` is this.

    Args:
        options: What to serve.
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
