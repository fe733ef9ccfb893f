"""Turn conditions into the parameters of CVAT's lists, in queries that fit into a URL.

`selection` has the conditions.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

# CVAT's nginx answers 414 to a request line beyond 8 KiB. Batches of ids leave room for the rest of
# the URL.
_MAX_FILTER_LENGTH = 4000
# A range of 1,000 ids fills more than one batch. It is queried by its first and last id instead.
_LONG_RUN = 1000


def after(query: Mapping[str, str], last_id: int) -> dict[str, str]:
    """Narrow a list's query to the items after an id. The list must be sorted by ids."""
    terms = [json.loads(query["filter"])] if "filter" in query else []
    return {**query, **_filter([*terms, {">": [{"var": "id"}, last_id]}])}


def of_projects(
    plain: dict[str, str],
    terms: list[Any],
    project_ids: Sequence[int] | None,
    key: str,
    ids: Sequence[int] | None,
) -> Iterator[dict[str, str]]:
    """Yield queries for the entries of some projects; the rest is as in `in_batches`."""
    if project_ids is not None:
        projects = sorted(set(project_ids))
        if not projects:
            return
        if len(projects) == 1:
            plain = {**plain, "project_id": str(projects[0])}
        else:
            terms = [{"in": [{"var": "project_id"}, projects]}, *terms]
    yield from in_batches(plain, terms, key, ids)


def in_batches(
    plain: dict[str, str],
    terms: list[Any],
    key: str,
    ids: Sequence[int] | None,
    *,
    compare: bool = True,
) -> Iterator[dict[str, str]]:
    """Yield queries that together hold all entries with some ids, in ascending order.

    Args:
        plain: Parameters that CVAT compares for equality.
        terms: Conditions in JSON logic.
        key: The variable that holds the id.
        ids: The ids, None for all entries.
        compare: Whether the list knows comparisons, so that one query can hold any range.
    """
    if ids is None:
        yield plain | _filter(terms)
        return
    for part in _parts(ids) if compare else [sorted(set(ids))]:
        if isinstance(part, range):
            limits = [{">=": [{"var": key}, part[0]]}, {"<=": [{"var": key}, part[-1]]}]
            yield plain | _filter([*terms, *limits])
            continue
        for batch in id_batches(part):
            yield plain | _filter([*terms, {"in": [{"var": key}, batch]}])


def _parts(ids: Sequence[int]) -> Iterator[range | list[int]]:
    """Split ids into long runs of consecutive numbers and the ids between them."""
    between: list[int] = []
    run: list[int] = []
    for number in [*sorted(set(ids)), None]:
        if run and number == run[-1] + 1:
            run.append(number)
            continue
        if len(run) >= _LONG_RUN:
            if between:
                yield between
            between = []
            yield range(run[0], run[-1] + 1)
        else:
            between += run
        run = [] if number is None else [number]
    if between:
        yield between


def id_batches(ids: Sequence[int]) -> Iterator[list[int]]:
    """Split ids, sorted and each once, into batches that fit into a request's URL."""
    batch: list[int] = []
    length = 0
    for task_id in sorted(set(ids)):
        # A comma becomes %2C in the URL. No blank follows it.
        cost = len(str(task_id)) + 3
        if batch and length + cost > _MAX_FILTER_LENGTH:
            yield batch
            batch, length = [], 0
        batch.append(task_id)
        length += cost
    if batch:
        yield batch


def _filter(terms: list[Any]) -> dict[str, str]:
    if not terms:
        return {}
    expression = terms[0] if len(terms) == 1 else {"and": terms}
    return {"filter": json.dumps(expression, separators=(",", ":"))}
