"""Pages of lists, as CVAT cuts them; `filters` selects the rows."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar
from urllib.parse import urlencode

from asynccvat.simulator.routes.calls import Call
from asynccvat.simulator.wire.responses import ServerResponse, detail, encode

Row = TypeVar("Row")

DEFAULT_PAGE_SIZE: Final = 10


@dataclass(frozen=True, slots=True)
class ListPage(Generic[Row]):
    """One page of a list, and the queries of the next and previous page."""

    count: int
    rows: Sequence[Row]
    next: str | None
    previous: str | None


def cut_page(rows: Sequence[Row], query: Mapping[str, str]) -> ListPage[Row]:
    """Cut one page out of the rows.

    `page_size` may be any number from 1, or `all`; anything else silently means 10.

    Raises:
        RefusedError: 404, there is no such page.
    """
    size = page_size(query, len(rows))
    pages = max(1, math.ceil(len(rows) / size))
    wanted = query.get("page", "1")
    if wanted == "last":
        wanted = str(pages)
    number = int(wanted) if wanted.isdecimal() else 0
    if not 1 <= number <= pages:
        raise detail(404, "Invalid page.")
    return ListPage(
        len(rows),
        rows[(number - 1) * size : number * size],
        _neighbour(query, number + 1) if number < pages else None,
        _neighbour(query, number - 1) if number > 1 else None,
    )


def page_size(query: Mapping[str, str], count: int) -> int:
    """Return the number of rows on a page of a list of `count` rows."""
    wanted = query.get("page_size", "")
    if wanted == "all":
        return max(1, count)
    return int(wanted) if wanted.isdecimal() and int(wanted) > 0 else DEFAULT_PAGE_SIZE


def _neighbour(query: Mapping[str, str], number: int) -> str:
    """Return the query of another page, its parameters sorted as Django REST framework does."""
    values = dict(query)
    if number == 1:
        values.pop("page", None)
    else:
        values["page"] = str(number)
    return urlencode(sorted(values.items()))


def list_response(call: Call, page: ListPage[Any], rows: Sequence[object]) -> ServerResponse:
    """Return a page with absolute links to the next and previous one.

    Args:
        call: The call.
        page: The page.
        rows: The rows of the page, as JSON values.
    """
    base = f"{call.origin}{call.path}"
    return ServerResponse(
        body=encode(
            {
                "count": page.count,
                "next": _link(base, page.next),
                "previous": _link(base, page.previous),
                "results": rows,
            }
        )
    )


def _link(base: str, query: str | None) -> str | None:
    if query is None:
        return None
    return f"{base}?{query}" if query else base
