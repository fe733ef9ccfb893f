"""Filter, search and sort the rows of lists, as CVAT does.

A row may be of any type; `FilterTerms` tells how to read its terms. Unknown parameters are ignored,
as on a real server. `paging` cuts the rows into pages.
"""

from __future__ import annotations

import functools
import json
import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Generic, TypeVar

from asynccvat.simulator.wire.responses import RefusedError, field_error, messages

Row = TypeVar("Row")
Read = Callable[[Row], Any]

_COMPARISONS: Final[dict[str, Callable[[Any, Any], bool]]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


@dataclass(frozen=True)
class FilterTerms(Generic[Row]):
    """The terms by which a list can be filtered, searched and sorted.

    Attributes:
        read: The terms of JSON logic, and how to read each from a row.
        simple: Names of the query parameters that filter by equality.
        numbers: Those of the `simple` parameters that must be numbers.
        search: The terms in which `search` searches.
    """

    read: Mapping[str, Read[Row]]
    simple: tuple[str, ...]
    numbers: frozenset[str]
    search: tuple[str, ...]


def select(rows: Sequence[Row], query: Mapping[str, str], terms: FilterTerms[Row]) -> Sequence[Row]:
    """Return the rows that match the simple filters, `search` and `filter`, sorted by `sort`.

    Raises:
        RefusedError: 400, a number is invalid or the JSON logic is not understood.
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
    """Parse the JSON of a `filter` parameter.

    Raises:
        RefusedError: 400, it is not JSON or it is empty.
    """
    try:
        logic = json.loads(expression)
    except ValueError as error:
        raise messages(400, f"filter: can't parse filter expression: {error}") from None
    if not logic:
        raise messages(400, "filter shouldn't be empty")
    return logic


def compile_logic(logic: Any, terms: FilterTerms[Row]) -> Callable[[Row], bool]:
    """Compile JSON logic with the operations that CVAT knows.

    They are: and, or, !, ==, <, <=, >, >=, in, var.

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


def _compile_leaf(
    operation: str, arguments: list[Any], terms: FilterTerms[Row]
) -> Callable[[Row], bool]:
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


def _term(value: Any, terms: FilterTerms[Row]) -> Read[Row]:
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
    except (TypeError, ValueError):  # null, or a string compared with a number: not true in SQL
        return False


def _equal(rows: Sequence[Row], name: str, wanted: str, terms: FilterTerms[Row]) -> Sequence[Row]:
    read = terms.read[name]
    if name not in terms.numbers:
        return [row for row in rows if read(row) == wanted]
    try:
        number = int(wanted)
    except ValueError:
        raise field_error(name, "Enter a number.") from None
    return [row for row in rows if read(row) == number]


def _sorted(rows: Sequence[Row], order: str, terms: FilterTerms[Row]) -> Sequence[Row]:
    keys = [key for key in order.split(",") if key.lstrip("-") in terms.read]
    for key in reversed(keys):
        read = terms.read[key.lstrip("-")]
        value = functools.partial(_sort_value, read)
        rows = sorted(rows, key=value, reverse=key.startswith("-"))
    return rows


def _sort_value(read: Read[Row], row: Row) -> tuple[bool, Any]:
    value = read(row)
    return (value is None, 0 if value is None else value)
