"""CVAT's paged lists, read whole: the first page, then the others in parallel.

A list can change while it is read: an entry that appears or goes shifts the pages after it. The
proof of a whole list is that its distinct ids are as many as the server counts; without it the
list is read again, a bounded number of times, and then called incomplete.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Generic, Protocol, TypeVar

import anyio
import msgspec

from asynccvat.core.models import Page
from asynccvat.errors import NotFoundError
from asynccvat.http.calls import Answer, Call
from asynccvat.http.session import HttpSession

MAX_PASSES = 3
"""How often a list that does not agree with its count is read."""

_PARALLEL_PAGES = 4


class Identified(Protocol):
    """What a list holds: anything with an id."""

    @property
    def id(self) -> int | str: ...


ItemT = TypeVar("ItemT", bound=Identified)
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
    return await gather([partial(reader.read, query) for query in queries])


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
            answers = await self._pass(query)
            dates = [answer.date for answer, _ in answers if answer.date is not None]
            read_at = max([*dates, *([read_at] if read_at else [])], default=None)
            pages = [page for _, page in answers if page is not None]
            items = {item.id: item for page in pages for item in page.results}
            complete = len(pages) == len(answers) and {page.count for page in pages} == {len(items)}
            passes += 1
            if complete or passes == MAX_PASSES:
                return Listing(tuple(items.values()), read_at, complete)

    async def _pass(self, query: Mapping[str, str]) -> list[tuple[Answer, Page[ItemT] | None]]:
        answer, first = await self._page(query, 1)
        answers = [(answer, first)]
        if first is not None and first.results and first.count > len(first.results):
            # A server may serve smaller pages than it was asked for.
            pages = -(-first.count // len(first.results))
            answers += await gather(
                [partial(self._page, query, number) for number in range(2, pages + 1)]
            )
        return answers

    async def _page(
        self, query: Mapping[str, str], number: int
    ) -> tuple[Answer, Page[ItemT] | None]:
        """One page; None for one that is not there any more."""
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
            return answer, None
        return answer, self._http.decode(answer, self._decoder)


async def gather(calls: Sequence[Callable[[], Awaitable[T]]]) -> list[T]:
    """Await all; the first failure cancels the others and is raised as it is, in no group."""
    results: dict[int, T] = {}
    failures: list[Exception] = []

    async def run(index: int, call: Callable[[], Awaitable[T]]) -> None:
        try:
            results[index] = await call()
        except Exception as error:  # noqa: BLE001 - raised again below, outside of the group
            failures.append(error)
            group.cancel_scope.cancel()

    async with anyio.create_task_group() as group:
        for index, call in enumerate(calls):
            group.start_soon(run, index, call)
    if failures:
        raise failures[0]
    return [results[index] for index in range(len(calls))]
