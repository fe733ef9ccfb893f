"""Read CVAT's paged lists: whole (`list_all`), or entry by entry (`iter_all`).

A list can change while it is read: an entry that appears or disappears shifts all later pages.

`list_all` reads the first page, then the others in parallel. A list is complete if it has as many
distinct ids as the server counts. An incomplete list is read again, up to `MAX_PASSES` times.

`iter_all` sorts by id, and requests each page by the last id of the page before. So it meets each
entry once that is in the list all the time, whatever changes.

`first_pages` reads the first page of each query, and no more.

`session` makes the calls; `client.lists` knows the paths and filters.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Generic, Protocol, TypeVar

import anyio

from asynccvat.aio.task_groups import run_all
from asynccvat.core.decoding import ListPage, PageDecoder, UnreadableEntry
from asynccvat.core.selections.queries import after
from asynccvat.errors import NotFoundError, ProtocolError
from asynccvat.http.calls import Call
from asynccvat.http.session import HttpSession

MAX_PASSES = 3
"""How often a list is read whose length does not match the server's count."""

_PARALLEL_PAGES = 4
# No list of CVAT's has more.
_MOST_PAGES = 20_000


class Identified(Protocol):
    """An entry of a list: anything with an id."""

    @property
    def id(self) -> int | str: ...


class Numbered(Protocol):
    """An entry of a list that is sorted by id."""

    @property
    def id(self) -> int: ...


ItemT = TypeVar("ItemT", bound=Identified)
NumberedT = TypeVar("NumberedT", bound=Numbered)
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Listing(Generic[ItemT]):
    """One whole list.

    Attributes:
        items: The entries, each once, in the server's order.
        read_at: The latest `Date` header of the pages, None if none was sent.
        complete: Whether there are as many distinct ids as the server counted.
        unreadable: Entries that cannot be read. They count for `complete`.
    """

    items: tuple[ItemT, ...]
    read_at: datetime | None
    complete: bool
    unreadable: tuple[UnreadableEntry, ...] = ()


async def list_all(
    http: HttpSession,
    path: str,
    queries: Sequence[Mapping[str, str]],
    decoder: PageDecoder[ItemT],
    *,
    page_size: int,
    retry: bool = True,
) -> list[Listing[ItemT]]:
    """Read the lists of several queries, a few pages at once.

    Args:
        http: The session.
        path: The path of the lists.
        queries: The query of each list.
        decoder: Decodes a page.
        page_size: Entries of a page.
        retry: Whether to retry after temporary failures.

    Raises:
        AsyncCvatError: A page could not be read.
    """
    reader = _Reader(http, path, decoder, page_size, retry=retry)
    return await run_all([partial(reader.read, query) for query in queries])


async def first_pages(
    http: HttpSession,
    path: str,
    queries: Iterable[Mapping[str, str]],
    decoder: PageDecoder[ItemT],
    *,
    page_size: int,
) -> tuple[ListPage[ItemT], ...]:
    """Read the first page of each query, one after the other.

    Raises:
        AsyncCvatError: The server cannot be asked, or refuses the list.
    """
    reader = _Reader(http, path, decoder, page_size)
    return tuple([await reader.first(query) for query in queries])


async def iter_all(
    http: HttpSession,
    path: str,
    queries: Iterable[Mapping[str, str]],
    decoder: PageDecoder[NumberedT],
    *,
    page_size: int,
    unread: Callable[[tuple[UnreadableEntry, ...]], None],
) -> AsyncGenerator[NumberedT, None]:
    """Yield the entries of several lists, one list after the other, each sorted by id.

    While the caller uses one page, the next one is read ahead, and no more. Close the generator
    with `contextlib.aclosing` if the loop may end early.

    Args:
        http: The session.
        path: The path of the lists.
        queries: The query of each list.
        decoder: Decodes a page.
        page_size: Entries of a page.
        unread: Receives the entries of each page that cannot be read.

    Raises:
        ProtocolError: The server sends entries that it sent before.
        AsyncCvatError: A page could not be read.
    """
    reader = _Reader(http, path, decoder, page_size)
    remaining = iter([{**query, "sort": "id"} for query in queries])
    query, last_id = next(remaining, None), 0
    coming = _begin(reader, query)
    try:
        while query is not None and coming is not None:
            page = await coming
            ids = [item.id for item in page.results]
            ids += [entry.id for entry in page.unreadable if entry.id is not None]
            if any(number <= last_id for number in ids):
                raise ProtocolError(
                    f"{http.server.address} does not continue the list of {path}: asked for the "
                    f"entries after id {last_id}, it sent earlier ones",
                    step="list",
                )
            unread(page.unreadable)
            if page.count > page.length > 0:
                if not ids:
                    raise ProtocolError(
                        f"cannot read on in the list of {path} of {http.server.address}: no entry "
                        f"of a page can be read ({page.unreadable[0].why}). Check the server.",
                        step="list",
                    )
                last_id = max(ids)
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
) -> asyncio.Task[ListPage[NumberedT]] | None:
    """Start to read a page; its error is ignored if the caller stops before."""
    if query is None:
        return None
    task = asyncio.create_task(reader.first(query))
    task.add_done_callback(lambda done: done.cancelled() or done.exception())
    return task


_PageRead = tuple[datetime | None, ListPage[ItemT] | None]
"""The server's clock when a page was read, and the page; None for a page that is gone."""


class _Entries(Generic[ItemT]):
    """The entries of one page by id, when it was read, and the length of its list.

    It is made page by page: for a hundred thousand entries at once, it would block the event loop.
    """

    def __init__(self, read: _PageRead[ItemT]) -> None:
        self.read_at, page = read
        self.count = None if page is None else page.count
        self.items = {} if page is None else {item.id: item for item in page.results}
        self.unreadable = () if page is None else page.unreadable


class _Reader(Generic[ItemT]):
    def __init__(
        self,
        http: HttpSession,
        path: str,
        decoder: PageDecoder[ItemT],
        page_size: int,
        *,
        retry: bool = True,
    ) -> None:
        self._http = http
        self._path = path
        self._decoder = decoder
        self._page_size = page_size
        self._retry = retry
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
            unreadable = tuple([entry for page in pages for entry in page.unreadable])
            complete = {page.count for page in pages} == {len(items) + len(unreadable)}
            passes += 1
            if complete or passes == MAX_PASSES:
                return Listing(tuple(items.values()), read_at, complete, unreadable)

    async def first(self, query: Mapping[str, str]) -> ListPage[ItemT]:
        """Read the first page of a query."""
        _, page = await self._page(query, 1)
        assert page is not None
        return page

    async def _pass(self, query: Mapping[str, str]) -> list[_Entries[ItemT]]:
        date, first = await self._page(query, 1)
        entries = [_Entries((date, first))]
        if first is not None and first.count > first.length > 0:
            # A server may send smaller pages than requested.
            pages = -(-first.count // first.length)
            if pages > _MOST_PAGES:
                raise ProtocolError(
                    f"cannot read the list of {self._path} of {self._http.server.address}: it "
                    f"would have {first.count} entries in pages of {first.length}. Check the "
                    "server.",
                    step="list",
                )
            entries += await run_all(
                [partial(self._entries, query, number) for number in range(2, pages + 1)]
            )
        return entries

    async def _entries(self, query: Mapping[str, str], number: int) -> _Entries[ItemT]:
        return _Entries(await self._page(query, number))

    async def _page(self, query: Mapping[str, str], number: int) -> _PageRead[ItemT]:
        """Read one page and drop its bytes; None for a page that is gone."""
        params = {**query, "page_size": str(self._page_size)}
        if number > 1:
            params["page"] = str(number)
        call = Call(
            method="GET",
            path=self._path,
            step="list",
            params=params,
            expect=(200,) if number == 1 else (200, 404),
            retry=self._retry,
        )
        async with self._limiter:
            response = await self._http.call(call)
        if response.status == 404:
            # CVAT says "Invalid page." if entries were removed since the first page.
            if "page" not in response.text.lower():
                raise NotFoundError(
                    f"{self._http.server.address} answered 404 to page {number} of {self._path}: "
                    f"{response.text}",
                    status=404,
                    detail=response.text,
                    step="list",
                )
            return response.date, None
        return response.date, self._http.decode(response, self._decoder)
