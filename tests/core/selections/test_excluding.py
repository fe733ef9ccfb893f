"""Names are excluded exactly or by wildcards, and a limit is a number."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asynccvat.core.models import Project, Task
from asynccvat.core.options.delete import DeleteOptions, check_selection
from asynccvat.core.selections.matching import wildcard_check
from asynccvat.core.selections.selection import (
    ProjectSelection,
    Selection,
    check_prunable,
)
from asynccvat.errors import ConfigError

NAMES = st.text("ab-", max_size=6)
GLOBS = st.text("ab-*?", min_size=1, max_size=6)


@given(st.lists(GLOBS, min_size=1, max_size=3), GLOBS, NAMES)
def test_an_entry_is_left_out_as_shells_would(globs: list[str], name: str, text: str) -> None:
    check = wildcard_check(Selection(exclude=globs, name=name + "*"))
    assert check is not None
    fits = fnmatchcase(text, name + "*") and not any(fnmatchcase(text, glob) for glob in globs)
    assert check(Task(id=1, name=text)) is fits


def test_projects_are_excluded_by_their_names() -> None:
    check = wildcard_check(ProjectSelection(exclude=["old-*", "Street"]))
    assert check is not None
    names = ["Street", "Street 2", "old-1"]
    assert [name for name in names if check(Project(id=1, name=name))] == ["Street 2"]
    assert wildcard_check(ProjectSelection()) is None


def test_nothing_excluded_is_no_condition() -> None:
    assert Selection(exclude=[]) == Selection()
    assert Selection(exclude=["a", "a"]) == Selection(exclude=("a",))


@pytest.mark.parametrize(
    "given",
    [{"exclude": "a"}, {"exclude": [""]}, {"exclude": [1]}, {"exclude": 5}]
    + [{"limit": wrong} for wrong in (0, -1, True, "5", 1.5)],
)
def test_what_cannot_be_meant_is_refused(given: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=next(iter(given))):
        Selection(**given)


@pytest.mark.parametrize(
    "given", [{"exclude": ["a*"]}, {"limit": 5}, {"exclude": ["a"], "limit": 1}]
)
def test_what_leaves_nearly_everything_is_no_filter_of_a_deletion(given: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="deleting needs a filter"):
        check_selection(Selection(**given), DeleteOptions())
    check_selection(Selection(projects=["Street"], **given), DeleteOptions())


def test_a_run_with_a_limit_removes_nothing() -> None:
    check_prunable(Selection(limit=5), prune=False)
    check_prunable(Selection(), prune=True)
    with pytest.raises(ConfigError, match="--prune contradicts --limit"):
        check_prunable(Selection(limit=5), prune=True)
