"""Read what CVAT's API says of tasks, as it stands: annotations, media, labels and jobs.

`core.annotations.json_files` makes files of the answers.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import msgspec

from asynccvat.aio.list_warnings import warn
from asynccvat.core.decoding import ListPage, PageDecoder, UnreadableEntry
from asynccvat.core.numbers import whole
from asynccvat.core.selections.selection import JobSelection
from asynccvat.core.targets import TargetKind
from asynccvat.core.wire.responses import is_json
from asynccvat.errors import ProtocolError
from asynccvat.http import Call, HttpSession
from asynccvat.http.paging import list_all

# Labels or jobs of a page: 360 jobs take a server 0.2 s.
_PAGE = 500


class _Entry(msgspec.Struct):
    """An entry of a list, with all its fields as JSON types."""

    id: int
    fields: dict[str, Any] = {}


class _RawPage(msgspec.Struct):
    count: int
    results: list[dict[str, Any]]


class _EntryPages(PageDecoder[_Entry]):
    """Decode pages of a list with all fields of each entry."""

    def __init__(self) -> None:
        super().__init__(_Entry)
        self._page = msgspec.json.Decoder(_RawPage)

    def decode(self, body: bytes) -> ListPage[_Entry]:
        """Decode a page.

        Raises:
            UNREADABLE: It is no page of a list.
        """
        page = self._page.decode(body)
        readable = [fields for fields in page.results if isinstance(fields.get("id"), int)]
        unreadable = (UnreadableEntry(None, "it has no id"),) * (len(page.results) - len(readable))
        entries = tuple(_Entry(fields["id"], fields) for fields in readable)
        return ListPage(page.count, entries, unreadable)


_ENTRIES = _EntryPages()


@dataclass(frozen=True, slots=True)
class RawListing:
    """A list with all fields of its entries.

    Attributes:
        items: The entries as JSON types, in ascending order of id.
        complete: Whether all entries that the server counted are there.
    """

    items: tuple[dict[str, Any], ...]
    complete: bool


class JsonCalls:
    """Calls of one server that answer with JSON, which is not interpreted."""

    def __init__(self, http: HttpSession) -> None:
        """Make calls in a session."""
        self._http = http

    async def annotations(
        self, target_id: int, target: TargetKind = TargetKind.TASK, *, task_id: int | None = None
    ) -> bytes:
        """Return the annotations of a task or of a job.

        Args:
            target_id: The task or the job.
            target: Which of both.
            task_id: The task of the job, for messages.

        Raises:
            NotFoundError: It does not exist.
            ProtocolError: The answer is no JSON.
        """
        path = f"/api/{target.plural}/{whole('target_id', target_id)}/annotations"
        what = f"annotations of {target} {target_id}"
        return await self._body(path, "annotations", task_id or target_id, what)

    async def data_meta(self, task_id: int) -> bytes:
        """Return what the server says about the media of a task, with all its frames.

        Raises:
            NotFoundError: The task does not exist.
            ProtocolError: The answer is no JSON.
        """
        path = f"/api/tasks/{whole('task_id', task_id)}/data/meta"
        return await self._body(path, "detail", task_id, f"frames of task {task_id}")

    async def _body(self, path: str, step: str, task_id: int, what: str) -> bytes:
        answer = await self._http.call(Call(method="GET", path=path, step=step, task_id=task_id))
        if not is_json(answer.content_type):
            raise ProtocolError(
                f"cannot read the {what}: the server sent "
                f"{answer.content_type or 'a body without a type'} instead of JSON. Check whether "
                "a proxy stands before it.",
                task_id=task_id,
                step=step,
            )
        return answer.body

    async def labels(
        self, *, project_id: int | None = None, task_id: int | None = None
    ) -> tuple[dict[str, Any], ...]:
        """Return the labels of a project or of a task, with attributes and sublabels.

        Raises:
            NotFoundError: It does not exist.
            ProtocolError: The list kept changing while it was read.
        """
        name, one = ("task_id", task_id) if project_id is None else ("project_id", project_id)
        listings = await list_all(
            self._http, "/api/labels", [{name: str(one), "sort": "id"}], _ENTRIES, page_size=_PAGE
        )
        if not listings[0].complete:
            raise ProtocolError(
                f"cannot read the labels of {name.removesuffix('_id')} {one}: their list kept "
                "changing while it was read. Run again.",
                task_id=task_id,
                step="labels",
            )
        return tuple(_by_id(one.fields for one in listings[0].items))

    async def jobs(self, selection: JobSelection) -> RawListing:
        """Return the jobs of a selection whose projects have their ids."""
        queries = tuple({**query, "sort": "id"} for query in selection.queries())
        listings = await list_all(self._http, "/api/jobs", queries, _ENTRIES, page_size=_PAGE)
        unreadable = sum(len(listing.unreadable) for listing in listings)
        if unreadable:
            warn(f"{unreadable} jobs that the server listed have no id. They are left out.")
        found = _by_id(one.fields for listing in listings for one in listing.items)
        complete = not unreadable and all(listing.complete for listing in listings)
        return RawListing(tuple(found), complete)


def _by_id(entries: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    found = {fields["id"]: fields for fields in entries}
    return [found[key] for key in sorted(found)]
