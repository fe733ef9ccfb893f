"""CVAT's paged lists, read whole (`list_all`) or as they come (`follow`).

A list can change while it is read: an entry that appears or goes shifts the pages after it.

Read whole, the first page is followed by the others in parallel. The proof of a whole list is that
its distinct ids are as many as the server counts; without it the list is read again, a bounded
number of times, and then called incomplete.

Followed, a list is sorted by ids, and each page begins after the last id of the one before,
whatever came or went meanwhile: what is in the list all the time is met once.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Generic, Protocol, TypeVar

import anyio
import msgspec

from asynccvat.aio.task_groups import run_all
from asynccvat.core.models import Page
from asynccvat.core.selection import after
from asynccvat.errors import NotFoundError, ProtocolError
from asynccvat.http.calls import Call
from asynccvat.http.session import HttpSession

MAX_PASSES = 3
"""How often a list that does not agree with its count is read."""

_PARALLEL_PAGES = 4


class Identified(Protocol):
    """What a list holds: anything with an id."""

    @property
    def id(self) -> int | str: ...


class Numbered(Protocol):
    """What a list sorted by ids holds."""

    @property
    def id(self) -> int: ...


ItemT = TypeVar("ItemT", bound=Identified)
NumberedT = TypeVar("NumberedT", bound=Numbered)
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Listing(Generic[ItemT]):
    """One list, read whole.

    Attributes:
        items: Each once, in the server's order.
        read_at: The latest `Date` of the answers, None where none was sent.
        complete: Whether the distinct ids were as many as the server counted.
    """

    items: tuple[ItemT, ...]
    read_at: datetime | None
    complete: bool


async def list_all(
    http: HttpSession,
    path: str,
    queries: Sequence[Mapping[str, str]],
    decoder: msgspec.json.Decoder[Page[ItemT]],
    *,
    page_size: int,
) -> list[Listing[ItemT]]:
    """Read the lists of several queries, a bounded number of pages at once.

    Raises:
        AsyncCvatError: A page cannot be had.
    """
    reader = _Reader(http, path, decoder, page_size)
    return await run_all([partial(reader.read, query) for query in queries])


async def follow(
    http: HttpSession,
    path: str,
    queries: Iterable[Mapping[str, str]],
    decoder: msgspec.json.Decoder[Page[NumberedT]],
    *,
    page_size: int,
) -> AsyncGenerator[NumberedT, None]:
    """Yield what the lists of several queries hold, one after the other, each sorted by ids.

    While one page is used the next one is on its way, and no more than that. Close the generator
    (`contextlib.aclosing`) where it may be left early.

    Raises:
        ProtocolError: The server sends what it sent before.
        AsyncCvatError: A page cannot be had.
    """
    reader = _Reader(http, path, decoder, page_size)
    remaining = iter([{**query, "sort": "id"} for query in queries])
    query, last_id = next(remaining, None), 0
    coming = _begin(reader, query)
    try:
        while query is not None and coming is not None:
            page = await coming
            if any(item.id <= last_id for item in page.results):
                raise ProtocolError(
                    f"{http.server.origin} does not go on with the list of {path}: asked for what "
                    f"follows {last_id}, it sent what comes before",
                    step="list",
                )
            if page.results and page.count > len(page.results):
                last_id = max(item.id for item in page.results)
                coming = _begin(reader, after(query, last_id))
            else:
                query, last_id = next(remaining, None), 0
                coming = _begin(reader, query)
            for item in page.results:
                yield item
    finally:
        if coming is not None:
            coming.cancel()
            await asyncio.wait({coming})


def _begin(
    reader: _Reader[NumberedT], query: Mapping[str, str] | None
) -> asyncio.Task[Page[NumberedT]] | None:
    """Start reading a page; how that ends is of no interest to whoever leaves before."""
    if query is None:
        return None
    task = asyncio.create_task(reader.first(query))
    task.add_done_callback(lambda done: done.cancelled() or done.exception())
    return task


_Answered = tuple[datetime | None, Page[ItemT] | None]
"""When a page was read (server's clock), and what it holds."""


class _Entries(Generic[ItemT]):
    """What a page adds to a list: its entries by id, when it was read, and how long the list is.

    Made page by page as they come: of a hundred thousand entries at once, it would hold up all
    else in the loop.
    """

    def __init__(self, answered: _Answered[ItemT]) -> None:
        self.read_at, page = answered
        self.count = None if page is None else page.count
        self.items = {} if page is None else {item.id: item for item in page.results}


class _Reader(Generic[ItemT]):
    def __init__(
        self,
        http: HttpSession,
        path: str,
        decoder: msgspec.json.Decoder[Page[ItemT]],
        page_size: int,
    ) -> None:
        self._http = http
        self._path = path
        self._decoder = decoder
        self._page_size = page_size
        self._limiter = anyio.CapacityLimiter(_PARALLEL_PAGES)

    async def read(self, query: Mapping[str, str]) -> Listing[ItemT]:
        read_at: datetime | None = None
        passes = 0
        while True:
            pages = await self._pass(query)
            dates = [page.read_at for page in pages if page.read_at is not None]
            read_at = max([*dates, *([read_at] if read_at else [])], default=None)
            items: dict[int | str, ItemT] = {}
            for page in pages:
                items |= page.items
            complete = {page.count for page in pages} == {len(items)}
            passes += 1
            if complete or passes == MAX_PASSES:
                return Listing(tuple(items.values()), read_at, complete)

    async def first(self, query: Mapping[str, str]) -> Page[ItemT]:
        """The first page of a query."""
        _, page = await self._page(query, 1)
        assert page is not None
        return page

    async def _pass(self, query: Mapping[str, str]) -> list[_Entries[ItemT]]:
        date, first = await self._page(query, 1)
        entries = [_Entries((date, first))]
        if first is not None and first.results and first.count > len(first.results):
            # A server may serve smaller pages than it was asked for.
            pages = -(-first.count // len(first.results))
            entries += await run_all(
                [partial(self._entries, query, number) for number in range(2, pages + 1)]
            )
        return entries

    async def _entries(self, query: Mapping[str, str], number: int) -> _Entries[ItemT]:
        return _Entries(await self._page(query, number))

    async def _page(self, query: Mapping[str, str], number: int) -> _Answered[ItemT]:
        """One page, without the bytes that it came as; None for one that is not there any more."""
        params = {**query, "page_size": str(self._page_size)}
        if number > 1:
            params["page"] = str(number)
        call = Call(
            method="GET",
            path=self._path,
            step="list",
            params=params,
            expect=(200,) if number == 1 else (200, 404),
        )
        async with self._limiter:
            answer = await self._http.call(call)
        if answer.status == 404:
            # Entries were removed since the first page: "Invalid page."
            if "page" not in answer.text.lower():
                raise NotFoundError(
                    f"{self._http.server.origin} answered 404 to page {number} of {self._path}: "
                    f"{answer.text}",
                    status=404,
                    detail=answer.text,
                    step="list",
                )
            return answer.date, None
        return answer.date, self._http.decode(answer, self._decoder)
