"""Lists as CVAT pages, filters and sorts them.

Pure: rows in, rows out. A row is anything; a `Field` says how to read a term from it. What is
unknown to a real server is ignored here as it is there, whatever the client may have meant.
"""

from __future__ import annotations

import functools
import json
import math
import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Generic, TypeVar
from urllib.parse import urlencode

from asynccvat.simulator.wire.responses import RefusedError, detail, field_error, messages

Row = TypeVar("Row")
Read = Callable[[Row], Any]

DEFAULT_PAGE_SIZE: Final = 10

_COMPARISONS: Final[dict[str, Callable[[Any, Any], bool]]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


@dataclass(frozen=True)
class Terms(Generic[Row]):
    """By what a list can be filtered, searched and sorted.

    Attributes:
        read: The terms of JSON logic, and how to read each from a row.
        simple: Names of the query parameters that filter by equality.
        numbers: Those of them that must be numbers.
        search: The terms that `search` looks into.
    """

    read: Mapping[str, Read[Row]]
    simple: tuple[str, ...]
    numbers: frozenset[str]
    search: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Page(Generic[Row]):
    """One page of a list and the queries of its neighbours."""

    count: int
    rows: Sequence[Row]
    next: str | None
    previous: str | None


def select(rows: Sequence[Row], query: Mapping[str, str], terms: Terms[Row]) -> Sequence[Row]:
    """The rows that simple filters, `search` and `filter` leave, in the asked order.

    Raises:
        RefusedError: 400, a number is none or the JSON logic is not understood.
    """
    for name in terms.simple:
        wanted = query.get(name)
        if wanted:
            rows = _equal(rows, name, wanted, terms)
    words = query.get("search")
    if words:
        lowered = words.lower()
        reads = [terms.read[name] for name in terms.search]
        rows = [row for row in rows if any(lowered in str(read(row)).lower() for read in reads)]
    expression = query.get("filter")
    if expression:
        accept = compile_logic(parse_logic(expression), terms)
        rows = [row for row in rows if accept(row)]
    return _sorted(rows, query.get("sort", ""), terms)


def parse_logic(expression: str) -> Any:
    """The JSON of a `filter` parameter.

    Raises:
        RefusedError: 400, it is not JSON or empty.
    """
    try:
        logic = json.loads(expression)
    except ValueError as error:
        raise messages(400, f"filter: can't parse filter expression: {error}") from None
    if not logic:
        raise messages(400, "filter shouldn't be empty")
    return logic


def compile_logic(logic: Any, terms: Terms[Row]) -> Callable[[Row], bool]:
    """JSON logic as CVAT understands it: and, or, !, ==, <, <=, >, >=, in, var.

    Raises:
        RefusedError: 400, an operation or a term is not supported.
    """
    if not (isinstance(logic, dict) and len(logic) == 1):
        raise messages(400, f"filter: {logic} term is not supported")
    ((operation, arguments),) = logic.items()
    if operation in ("and", "or") and isinstance(arguments, list):
        parts = [compile_logic(argument, terms) for argument in arguments]
        decide = all if operation == "and" else any
        return lambda row: decide(part(row) for part in parts)
    if operation == "!":
        inner = compile_logic(arguments[0] if isinstance(arguments, list) else arguments, terms)
        return lambda row: not inner(row)
    if isinstance(arguments, list):
        return _compile_leaf(operation, arguments, terms)
    raise _unsupported(operation, arguments)


def _compile_leaf(operation: str, arguments: list[Any], terms: Terms[Row]) -> Callable[[Row], bool]:
    if operation == "==" and len(arguments) == 2:
        read, value = _term(arguments[0], terms), arguments[1]
        return lambda row: bool(read(row) == value)
    if operation in _COMPARISONS and len(arguments) == 2:
        read, value = _term(arguments[0], terms), arguments[1]
        compare = _COMPARISONS[operation]
        return lambda row: _ordered(compare, read(row), value)
    if operation == "<=" and len(arguments) == 3:
        low, read, high = arguments[0], _term(arguments[1], terms), arguments[2]
        return lambda row: (
            _ordered(operator.ge, read(row), low) and _ordered(operator.le, read(row), high)
        )
    if operation == "in" and len(arguments) == 2:
        if _is_var(arguments[0]) and isinstance(arguments[1], list):
            read, values = _term(arguments[0], terms), arguments[1]
            known = frozenset(value for value in values if isinstance(value, (str, int)))
            return lambda row: read(row) in known
        if _is_var(arguments[1]):
            text, read = str(arguments[0]).lower(), _term(arguments[1], terms)
            return lambda row: text in str(read(row) or "").lower()
    raise _unsupported(operation, arguments)


def _unsupported(operation: str, arguments: Any) -> RefusedError:
    return messages(
        400, f"filter: operation '{operation}' with arguments '{arguments}' is not supported"
    )


def _is_var(value: Any) -> bool:
    return isinstance(value, dict) and list(value) == ["var"]


def _term(value: Any, terms: Terms[Row]) -> Read[Row]:
    name = value.get("var") if isinstance(value, dict) else None
    if name is None:
        raise messages(400, f"filter: {value} term is not supported")
    read = terms.read.get(name)
    if read is None:
        raise messages(400, f"filter: term '{name}' is not supported")
    return read


def _ordered(compare: Callable[[Any, Any], bool], left: Any, right: Any) -> bool:
    try:
        if isinstance(left, datetime):
            return compare(left, datetime.fromisoformat(right))
        return compare(left, right)
    except (TypeError, ValueError):  # null, or a text against a number: not true in SQL
        return False


def _equal(rows: Sequence[Row], name: str, wanted: str, terms: Terms[Row]) -> Sequence[Row]:
    read = terms.read[name]
    if name not in terms.numbers:
        return [row for row in rows if read(row) == wanted]
    try:
        number = int(wanted)
    except ValueError:
        raise field_error(name, "Enter a number.") from None
    return [row for row in rows if read(row) == number]


def _sorted(rows: Sequence[Row], order: str, terms: Terms[Row]) -> Sequence[Row]:
    keys = [key for key in order.split(",") if key.lstrip("-") in terms.read]
    for key in reversed(keys):
        read = terms.read[key.lstrip("-")]
        value = functools.partial(_sort_value, read)
        rows = sorted(rows, key=value, reverse=key.startswith("-"))
    return rows


def _sort_value(read: Read[Row], row: Row) -> tuple[bool, Any]:
    value = read(row)
    return (value is None, 0 if value is None else value)


def cut_page(rows: Sequence[Row], query: Mapping[str, str]) -> Page[Row]:
    """One page of the rows.

    `page_size` may be any number from 1, or `all`; anything else means 10, without a word.

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
    return Page(
        len(rows),
        rows[(number - 1) * size : number * size],
        _neighbour(query, number + 1) if number < pages else None,
        _neighbour(query, number - 1) if number > 1 else None,
    )


def page_size(query: Mapping[str, str], count: int) -> int:
    """Rows on a page of a list of `count`."""
    wanted = query.get("page_size", "")
    if wanted == "all":
        return max(1, count)
    return int(wanted) if wanted.isdecimal() and int(wanted) > 0 else DEFAULT_PAGE_SIZE


def _neighbour(query: Mapping[str, str], number: int) -> str:
    """The query of another page, its parameters sorted as Django REST framework sorts them."""
    values = dict(query)
    if number == 1:
        values.pop("page", None)
    else:
        values["page"] = str(number)
    return urlencode(sorted(values.items()))
