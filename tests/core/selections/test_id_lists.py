"""Ids are read as people write them, and asked for in queries that fit into a URL."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asynccvat.core.selections.id_lists import (
    MOST_WRITTEN,
    IdList,
    in_order,
    in_ranges,
    in_words,
    read_ids,
    required,
    with_required,
    write_ids,
)
from asynccvat.core.selections.selection import RequestSelection, Selection

IDS = st.integers(1, 5000)
RANGES = st.tuples(IDS, st.integers(0, 3000)).map(
    lambda ends: range(ends[0], ends[0] + ends[1] + 1)
)
PARTS = st.lists(st.one_of(IDS, RANGES), min_size=1, max_size=8)


def _text(part: int | range) -> str:
    return f"{part[0]}-{part[-1]}" if isinstance(part, range) else str(part)


@given(PARTS)
def test_what_is_written_is_read_again(parts: list[int | range]) -> None:
    assert read_ids(",".join(map(_text, parts))) == parts
    assert read_ids(" , ".join(map(_text, parts)) + ",") == parts


@given(PARTS)
def test_the_ids_are_those_of_all_parts_and_only_named_ones_have_to_exist(
    parts: list[int | range],
) -> None:
    ids = IdList.of(parts)
    named = {part for part in parts if isinstance(part, int)}
    ranged = {number for part in parts if isinstance(part, range) for number in part}
    assert len(ids) == len(set(ids))
    assert set(ids) == named | ranged
    assert required(ids) == named
    assert required(tuple(ids)) == set(ids)


@pytest.mark.parametrize(
    "text", ["", "0", "0-4", "5-4", "1-", "-1", "1--2", "x", "#7", "1,,2", "1-9999999"]
)
def test_what_is_no_id_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"(Write|smaller)"):
        read_ids(text)


def _asked_for(query: dict[str, str]) -> set[int]:
    """Return the ids that a query selects."""
    logic: Any = json.loads(query["filter"])
    if "in" in logic:
        return set(logic["in"][1])
    least, most = (term[key][1] for term, key in zip(logic["and"], (">=", "<="), strict=True))
    return set(range(least, most + 1))


@given(PARTS)
def test_queries_ask_for_each_id_once_in_ascending_order(parts: list[int | range]) -> None:
    ids = IdList.of(parts)
    asked = [_asked_for(query) for query in Selection(task_ids=ids).queries()]
    assert sum(map(len, asked)) == len(set(ids))
    assert set().union(*asked) == set(ids)
    assert all(max(first) < min(then) for first, then in pairwise(asked))


def test_a_long_range_is_one_query_where_the_list_knows_comparisons() -> None:
    assert list(Selection(task_ids=range(1, 100_001)).queries()) == [
        {"filter": '{"and":[{">=":[{"var":"id"},1]},{"<=":[{"var":"id"},100000]}]}'}
    ]
    requests = list(RequestSelection(tuple(range(1, 3001))).queries())
    assert all(set(json.loads(query["filter"])) == {"in"} for query in requests)


@given(PARTS, st.lists(IDS))
def test_ids_keep_whether_they_have_to_exist_however_they_are_joined(
    parts: list[int | range], more: list[int]
) -> None:
    ids = IdList.of(parts)
    joined = with_required(ids, more)
    assert set(joined) == {*ids, *more}
    assert required(joined) == {*required(ids), *more}
    assert (*in_order(joined),) == tuple(sorted(joined))
    assert required(in_order(joined)) == required(joined)
    selection = Selection(project_ids=ids, projects=more or None)
    assert required(selection.project_ids) == {*required(ids), *more}
    assert required(selection.in_projects([7]).project_ids) == {*required(ids), *more, 7}


@given(PARTS)
def test_ids_are_written_as_the_ranges_that_they_make(parts: list[int | range]) -> None:
    ids = IdList.of(parts)
    written = read_ids(",".join(in_ranges(ids)))
    assert set(IdList.of(written)) == set(ids)
    assert len(written) <= len(parts)
    said = read_ids(",".join(in_words(ids)))
    assert set(IdList.of(said)) == set(ids)


@given(st.lists(st.integers(1, 400), unique=True))
def test_ids_of_a_command_are_those_that_it_reads(ids: list[int]) -> None:
    for ranges in (True, False):
        written = write_ids(ids, ranges=ranges)
        if written is None:
            assert not ids or len(ids) > MOST_WRITTEN
            continue
        assert set(IdList.of(read_ids(written))) == set(ids)
        assert written.count(",") < MOST_WRITTEN


def test_ids_that_are_too_many_for_a_command_are_not_written() -> None:
    assert write_ids(range(1, 2 * MOST_WRITTEN), ranges=True) == f"1-{2 * MOST_WRITTEN - 1}"
    assert write_ids(range(1, 2 * MOST_WRITTEN), ranges=False) is None
    assert write_ids(range(1, 4 * MOST_WRITTEN, 2), ranges=True) is None
    assert write_ids([], ranges=True) is None
