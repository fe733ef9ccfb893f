"""Read the lists of CVAT's API: tasks, projects, jobs, formats and requests.

`http.paging` reads the pages, `core.selections.selection` turns a selection into queries.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Collection, Sequence
from contextlib import aclosing
from dataclasses import replace
from typing import Any, TypeVar

import msgspec

from asynccvat.aio.list_warnings import may_be_empty, warn
from asynccvat.aio.threads import in_thread
from asynccvat.client.empty_lists import warn_of_none
from asynccvat.client.list_checks import ListCheck
from asynccvat.client.project_names import projects_named
from asynccvat.core.decoding import (
    ListPage,
    ObjectDecoder,
    PageDecoder,
    UnreadableEntry,
    read_entries,
)
from asynccvat.core.models import Format, Formats, Job, Project, Task, TaskListing
from asynccvat.core.numbers import whole
from asynccvat.core.requests import ServerRequest
from asynccvat.core.selections.empty import all_excluded
from asynccvat.core.selections.id_lists import required
from asynccvat.core.selections.matching import (
    job_check,
    project_check,
    request_check,
    task_check,
    wildcard_check,
)
from asynccvat.core.selections.selection import (
    JobSelection,
    ProjectSelection,
    RequestSelection,
    Selection,
)
from asynccvat.errors import NotFoundError
from asynccvat.http import Call, HttpSession
from asynccvat.http.paging import Listing, first_pages, iter_all, list_all

_TASKS = PageDecoder(Task)
_PROJECTS = PageDecoder(Project)
_JOBS = PageDecoder(Job)
_REQUESTS = PageDecoder(ServerRequest)


class _FieldsPage(msgspec.Struct):
    results: list[dict[str, Any]]


_FIELDS = ObjectDecoder(_FieldsPage)
_PROJECT = ObjectDecoder(Project)
_FORMAT = ObjectDecoder(Format)

# A list of requests costs by all that the server remembers, not by the size of a page.
_REQUESTS_PAGE = 10_000
# A page of fewer entries takes a server almost as long.
_FEW = 100
# Projects or jobs of a page where all are listed: 300 tasks take a server 0.2 s.
_TARGETS_PAGE = 500


class _FormatLists(msgspec.Struct):
    exporters: tuple[msgspec.Raw, ...] = ()
    importers: tuple[msgspec.Raw, ...] = ()


_FORMAT_LISTS = ObjectDecoder(_FormatLists)

SelectionT = TypeVar("SelectionT", Selection, ProjectSelection, JobSelection)
EntryT = TypeVar("EntryT", Task, Project, Job)


class Lists:
    """Lists of one server. `CvatClient` documents them."""

    def __init__(self, http: HttpSession) -> None:
        """Read lists in a session."""
        self._http = http
        self._formats: Formats | None = None
        self._formats_lock = asyncio.Lock()

    async def resolved(self, selection: SelectionT, *, side: str = "") -> SelectionT:
        """Return a selection with the ids of the projects that it names.

        Args:
            selection: The selection.
            side: The option that names this server, where a command has two.

        Raises:
            ConfigError: No project has one of the names, or several have.
        """
        if not selection.projects:
            return selection
        names = [str(name) for name in selection.projects]
        found = await projects_named(self._http, names, several=True, side=side)
        return selection.in_projects([project.id for project in found])

    async def tasks(self, selection: Selection, page_size: int) -> TaskListing:
        """Return all tasks of a selection, checked against the server's count."""
        selection = await self.resolved(selection)
        if selection.limit is not None:
            return await self._first_tasks(selection, selection.limit, page_size)
        listings = await list_all(
            self._http,
            "/api/tasks",
            tuple({**query, "sort": "id"} for query in selection.queries()),
            _TASKS,
            page_size=page_size,
        )
        heed = ListCheck("tasks", task_check(selection), wildcard_check(selection))
        # With a hundred thousand tasks this would block the event loop for too long.
        listing = await in_thread(_joined, listings, selection, heed)
        heed.warn()
        projects = {task.project_id for task in listing.tasks}
        await self.check_projects(selection.project_ids, projects)
        if not projects and not listing.unreadable:
            await self._explain_none(heed, selection, _TASKS)
        return listing

    async def newest_tasks(
        self, selection: Selection, page_size: int
    ) -> tuple[ListPage[Task], ...]:
        """Return the first page of each list of a selection, sorted by the date of change."""
        queries = ({**query, "sort": "-updated_date"} for query in selection.queries())
        return await first_pages(self._http, "/api/tasks", queries, _TASKS, page_size=page_size)

    async def _first_tasks(self, selection: Selection, limit: int, page_size: int) -> TaskListing:
        """Return the first tasks of a selection, without reading the rest of its list."""
        heed = ListCheck("tasks", task_check(selection), wildcard_check(selection))
        pages = self._each(heed, selection, _TASKS, min(page_size, max(limit, _FEW)))
        async with aclosing(pages) as tasks:
            found = [task async for task in tasks]
        await self.check_projects(selection.project_ids, {task.project_id for task in found})
        if not found and not heed.unreadable:
            await self._explain_none(heed, selection, _TASKS)
        return TaskListing(
            tasks=tuple(found),
            read_at=self._http.server_date,
            complete=not heed.unreadable,
            unreadable=heed.unreadable,
        )

    async def listed_projects(self, selection: ProjectSelection) -> Listing[Project]:
        """Return all projects of a selection, checked against the server's count."""
        selection = await self.resolved(selection)
        heed = ListCheck("projects", project_check(selection), wildcard_check(selection))
        return await self._listed(heed, selection, _PROJECTS)

    async def listed_jobs(self, selection: JobSelection) -> Listing[Job]:
        """Return all jobs of a selection, checked against the server's count."""
        selection, named = await self._of_named_tasks(selection)
        heed = ListCheck("jobs", job_check(selection), wildcard_check(selection))
        listing = await self._listed(heed, selection, _JOBS)
        return replace(listing, complete=listing.complete and named)

    async def _of_named_tasks(self, selection: JobSelection) -> tuple[JobSelection, bool]:
        """Return a selection by the ids of its projects and tasks instead of their names.

        Returns:
            The selection, and whether the list of the tasks was complete.
        """
        selection = await self.resolved(selection)
        wanted = selection.by_task_names
        if wanted is None:
            return selection, True
        tasks = await self.tasks(wanted, _TARGETS_PAGE)
        return selection.of_tasks([task.id for task in tasks.tasks]), tasks.complete

    async def _listed(
        self,
        heed: ListCheck[EntryT],
        selection: ProjectSelection | JobSelection,
        decoder: PageDecoder[EntryT],
    ) -> Listing[EntryT]:
        """Read lists whole, join them in ascending order of id, and warn of what is left out."""
        listings = await list_all(
            self._http,
            f"/api/{heed.what}",
            tuple({**query, "sort": "id"} for query in selection.queries()),
            decoder,
            page_size=_TARGETS_PAGE,
        )
        found = {one.id: one for listing in listings for one in listing.items if heed.holds(one)}
        unreadable = tuple(entry for listing in listings for entry in listing.unreadable)
        heed.pass_over(unreadable)
        heed.warn()
        if not found and not unreadable:
            await self._explain_none(heed, selection, decoder)
        return Listing(
            items=tuple(found[key] for key in sorted(found)[: selection.limit]),
            read_at=max((one.read_at for one in listings if one.read_at is not None), default=None),
            complete=not unreadable and all(listing.complete for listing in listings),
            unreadable=unreadable,
        )

    async def task_fields(self, task_ids: Collection[int]) -> dict[int, dict[str, Any]]:
        """Return all fields of some tasks, as the server lists them."""
        found: dict[int, dict[str, Any]] = {}
        for query in Selection(task_ids=tuple(task_ids)).queries():
            call = Call(
                method="GET",
                path="/api/tasks",
                step="list",
                params={**query, "sort": "id", "page_size": str(len(task_ids))},
            )
            page = self._http.decode(await self._http.call(call), _FIELDS)
            for fields in page.results:
                if fields.get("id") in task_ids:
                    found[fields["id"]] = fields
        return found

    async def each_task(self, selection: Selection, page_size: int) -> AsyncGenerator[Task, None]:
        """Yield the tasks of a selection while their list is read."""
        selection = await self.resolved(selection)
        projects: set[int | None] = set()
        heed = ListCheck("tasks", task_check(selection), wildcard_check(selection))
        async with aclosing(self._each(heed, selection, _TASKS, page_size)) as tasks:
            async for task in tasks:
                projects.add(task.project_id)
                yield task
        await self.check_projects(selection.project_ids, projects)
        if not projects:
            await self._explain_none(heed, selection, _TASKS)

    async def each_job(self, selection: JobSelection, page_size: int) -> AsyncGenerator[Job, None]:
        """Yield the jobs of a selection while their list is read."""
        selection, _ = await self._of_named_tasks(selection)
        projects: set[int | None] = set()
        heed = ListCheck("jobs", job_check(selection), wildcard_check(selection))
        async with aclosing(self._each(heed, selection, _JOBS, page_size)) as jobs:
            async for job in jobs:
                projects.add(job.project_id)
                yield job
        await self.check_projects(selection.project_ids, projects)
        if not projects:
            await self._explain_none(heed, selection, _JOBS)

    async def each_project(
        self, selection: ProjectSelection, page_size: int
    ) -> AsyncGenerator[Project, None]:
        """Yield the projects of a selection while their list is read."""
        selection = await self.resolved(selection)
        none = True
        heed = ListCheck("projects", project_check(selection), wildcard_check(selection))
        async with aclosing(self._each(heed, selection, _PROJECTS, page_size)) as found:
            async for project in found:
                none = False
                yield project
        if none:
            await self._explain_none(heed, selection, _PROJECTS)

    async def _each(
        self,
        heed: ListCheck[EntryT],
        selection: Selection | ProjectSelection | JobSelection,
        decoder: PageDecoder[EntryT],
        page_size: int,
    ) -> AsyncGenerator[EntryT, None]:
        """Yield the entries of a list that belong to a selection, and warn of the others."""
        left = selection.limit
        pages = iter_all(
            self._http,
            f"/api/{heed.what}",
            selection.queries(),
            decoder,
            page_size=page_size,
            unread=heed.pass_over,
        )
        async with aclosing(pages):
            async for entry in pages:
                if not heed.holds(entry):
                    continue
                yield entry
                left = None if left is None else left - 1
                if left == 0:
                    break
        heed.warn()

    async def _explain_none(
        self,
        heed: ListCheck[Any],
        selection: Selection | ProjectSelection | JobSelection,
        decoder: PageDecoder[Any],
    ) -> None:
        """Warn of why a list holds nothing of a selection, if that can be known."""
        if may_be_empty():
            return
        if heed.unfit and selection.exclude and not selection.patterns():
            warn(all_excluded(heed.what, heed.unfit, selection.exclude))
        else:
            await warn_of_none(self._http, heed.what, selection, decoder)

    async def check_projects(
        self, project_ids: Sequence[int] | None, seen: Collection[int | None]
    ) -> None:
        """Check that projects without a listed item exist: an empty list does not say.

        Raises:
            NotFoundError: There is no project with an id that was named by itself.
        """
        unseen = sorted(required(project_ids) - set(seen))
        if len(unseen) > 1:
            listed = await self.listed_projects(ProjectSelection(project_ids=unseen))
            unseen = sorted(set(unseen) - {project.id for project in listed.items})
        for project_id in unseen:
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
                f"there is no project {project_id} at {self._http.server.address} for this user. "
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
                lists = self._http.decode(await self._http.call(call), _FORMAT_LISTS)
                exporters, not_written = read_entries(lists.exporters, _FORMAT)
                importers, not_read = read_entries(lists.importers, _FORMAT)
                heed = ListCheck[Format]("formats", lambda _: True)
                for one in (*exporters, *importers):
                    heed.holds(one)
                heed.pass_over((*not_written, *not_read))
                heed.warn()
                self._formats = Formats(exporters=exporters, importers=importers)
            return self._formats

    async def requests(
        self, selection: RequestSelection, *, retry: bool = True
    ) -> tuple[ServerRequest, ...]:
        """Return the user's own requests, newest first."""
        listings = await list_all(
            self._http,
            "/api/requests",
            tuple(selection.queries()),
            _REQUESTS,
            page_size=_REQUESTS_PAGE,
            retry=retry,
        )
        heed = ListCheck("requests", request_check(selection))
        found: dict[str, ServerRequest] = {}
        for listing in listings:
            heed.pass_over(listing.unreadable)
            found.update((one.id, one) for one in listing.items if heed.holds(one))
        heed.warn()
        return tuple(found.values())


def _joined(
    listings: Sequence[Listing[Task]], selection: Selection, heed: ListCheck[Task]
) -> TaskListing:
    """Join the listings of several queries: each task once, in ascending order."""
    found: dict[int, Task] = {}
    unreadable: list[UnreadableEntry] = []
    for listing in listings:
        unreadable += listing.unreadable
        found.update((task.id, task) for task in listing.items if heed.holds(task))
    heed.pass_over(unreadable)
    missing: list[int] = []
    if selection.only_by_id:
        there = found.keys() | {entry.id for entry in unreadable}
        missing = sorted(required(selection.task_ids) - there)
    return TaskListing(
        tasks=tuple(found[task_id] for task_id in sorted(found)),
        read_at=max((one.read_at for one in listings if one.read_at is not None), default=None),
        complete=not unreadable and all(listing.complete for listing in listings),
        missing=tuple(missing),
        unreadable=len(unreadable),
    )
