"""Read the lists of CVAT's API: tasks, projects, jobs, formats and requests.

`http.paging` reads the pages, `core.selection` turns a selection into queries.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Collection, Sequence
from contextlib import aclosing

import msgspec

from asynccvat.aio.threads import in_thread
from asynccvat.core.models import Formats, Job, Page, Project, ServerRequest, Task, TaskListing
from asynccvat.core.numbers import whole
from asynccvat.core.selection import JobSelection, ProjectSelection, Selection, id_batches
from asynccvat.errors import NotFoundError
from asynccvat.http import Call, HttpSession
from asynccvat.http.paging import Listing, iter_all, list_all

_TASKS = msgspec.json.Decoder(Page[Task])
_PROJECTS = msgspec.json.Decoder(Page[Project])
_JOBS = msgspec.json.Decoder(Page[Job])
_REQUESTS = msgspec.json.Decoder(Page[ServerRequest])
_PROJECT = msgspec.json.Decoder(Project)
_FORMATS = msgspec.json.Decoder(Formats)

# A list of requests costs by all that the server remembers, not by the size of a page.
_REQUESTS_PAGE = 10_000


class Lists:
    """Lists of one server. `CvatClient` documents them."""

    def __init__(self, http: HttpSession) -> None:
        """Read lists in a session."""
        self._http = http
        self._formats: Formats | None = None
        self._formats_lock = asyncio.Lock()

    async def tasks(self, selection: Selection, page_size: int) -> TaskListing:
        """Return all tasks of a selection, checked against the server's count."""
        listings = await list_all(
            self._http,
            "/api/tasks",
            tuple({**query, "sort": "id"} for query in selection.queries()),
            _TASKS,
            page_size=page_size,
        )
        # With a hundred thousand tasks this would block the event loop for too long.
        listing = await in_thread(_joined, listings, selection)
        projects = {task.project_id for task in listing.tasks}
        await self._check_projects(selection.project_ids, projects)
        return listing

    async def each_task(self, selection: Selection, page_size: int) -> AsyncGenerator[Task, None]:
        """Yield the tasks of a selection while their list is read."""
        projects: set[int | None] = set()
        pages = iter_all(self._http, "/api/tasks", selection.queries(), _TASKS, page_size=page_size)
        async with aclosing(pages):
            async for task in pages:
                projects.add(task.project_id)
                yield task
        await self._check_projects(selection.project_ids, projects)

    async def each_job(self, selection: JobSelection, page_size: int) -> AsyncGenerator[Job, None]:
        """Yield the jobs of a selection while their list is read."""
        projects: set[int | None] = set()
        pages = iter_all(self._http, "/api/jobs", selection.queries(), _JOBS, page_size=page_size)
        async with aclosing(pages):
            async for job in pages:
                projects.add(job.project_id)
                yield job
        await self._check_projects(selection.project_ids, projects)

    def each_project(
        self, selection: ProjectSelection, page_size: int
    ) -> AsyncGenerator[Project, None]:
        """Yield the projects of a selection while their list is read."""
        return iter_all(
            self._http, "/api/projects", selection.queries(), _PROJECTS, page_size=page_size
        )

    async def _check_projects(
        self, project_ids: Sequence[int] | None, seen: Collection[int | None]
    ) -> None:
        """Check that projects without a listed item exist: an empty list does not say."""
        for project_id in sorted(set(project_ids or ()) - set(seen)):
            await self.project(project_id)

    async def project(self, project_id: int) -> Project:
        """Return one project."""
        call = Call(
            method="GET", path=f"/api/projects/{whole('project_id', project_id)}", step="project"
        )
        try:
            return self._http.decode(await self._http.call(call), _PROJECT)
        except NotFoundError as error:
            raise NotFoundError(
                f"there is no project {project_id} at {self._http.server.origin} for this user. "
                "Check the id and the organization.",
                status=error.status,
                detail=error.detail,
                step="project",
            ) from None

    async def formats(self) -> Formats:
        """Return the formats that the server writes and reads. Requested once."""
        async with self._formats_lock:
            if self._formats is None:
                path = "/api/server/annotation/formats"
                call = Call(method="GET", path=path, step="formats")
                self._formats = self._http.decode(await self._http.call(call), _FORMATS)
            return self._formats

    async def requests(
        self,
        task_ids: Sequence[int] | None,
        action: str | None,
        status: str | None,
        export_format: str | None,
        *,
        retry: bool = True,
    ) -> tuple[ServerRequest, ...]:
        """Return the user's own requests, newest first."""
        plain = {
            key: value
            for key, value in (("action", action), ("status", status), ("format", export_format))
            if value is not None
        }
        if task_ids is None:
            queries = [plain]
        else:
            # The only filter that works here: CVAT answers 500 to `and`, `or` and comparisons.
            queries = [
                {
                    **plain,
                    "filter": json.dumps({"in": [{"var": "task_id"}, ids]}, separators=(",", ":")),
                }
                for ids in id_batches(task_ids)
            ]
        listings = await list_all(
            self._http,
            "/api/requests",
            queries,
            _REQUESTS,
            page_size=_REQUESTS_PAGE,
            retry=retry,
        )
        return tuple(
            {request.id: request for listing in listings for request in listing.items}.values()
        )


def _joined(listings: Sequence[Listing[Task]], selection: Selection) -> TaskListing:
    """Join the listings of several queries: each task once, in ascending order."""
    found: dict[int, Task] = {}
    for listing in listings:
        found.update((task.id, task) for task in listing.items)
    missing: list[int] = []
    if selection.only_by_id:
        missing = sorted(set(selection.task_ids or ()) - found.keys())
    return TaskListing(
        tasks=tuple(found[task_id] for task_id in sorted(found)),
        read_at=max((one.read_at for one in listings if one.read_at is not None), default=None),
        complete=all(listing.complete for listing in listings),
        missing=tuple(missing),
    )
