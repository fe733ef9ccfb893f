"""A condition that fits nothing is named, with what would fit; wildcards fit as shells' do."""

from __future__ import annotations

from fnmatch import fnmatchcase

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asynccvat.core.models import Owner, Project, Task
from asynccvat.core.selections.empty import explain, other_conditions, text_conditions
from asynccvat.core.selections.matching import task_check, wildcard_check
from asynccvat.core.selections.selection import JobSelection, ProjectSelection, Selection
from asynccvat.core.selections.wildcards import has_wildcard, longest_literal, pattern_of

ANN = Owner(id=2, username="ann")
TASKS = [
    Task(id=1, name="street-1", subset="Train", owner=ANN),
    Task(id=2, name="street-2", subset="Val", owner=ANN),
    Task(id=3, name="avenue", owner=ANN),
]


@pytest.mark.parametrize(
    ("selection", "said"),
    [
        (
            Selection(name="street"),
            (
                "no task has the name 'street'. It must be exact, or hold a wildcard, like "
                "'street*'. The nearest: 'street-1', 'street-2'."
            ),
        ),
        (
            Selection(name="Avenu"),
            (
                "no task has the name 'Avenu'. It must be exact, or hold a wildcard, like "
                "'Avenu*'. The nearest: 'avenue'."
            ),
        ),
        (
            Selection(name="xyz"),
            "no task has the name 'xyz'. It must be exact, or hold a wildcard, like 'xyz*'.",
        ),
        (
            Selection(subset="test"),
            (
                "no task has the subset 'test'. It must be exact, or hold a wildcard, like "
                "'test*'. Those that exist: 'Train', 'Val'."
            ),
        ),
        (
            Selection(assignee="bob"),
            "no task has the assignee 'bob'. It must be exact, or hold a wildcard, like 'bob*'.",
        ),
        (Selection(owner="b*"), "no task has the owner 'b*'. Those that exist: 'ann'."),
        (
            Selection(name="street-1", subset="Val"),
            (
                "there are tasks with name 'street-1' and subset 'Val', but none that meet all "
                "conditions."
            ),
        ),
        (
            Selection(name="street-*", owner="ann", subset="V?l", status="completed"),
            (
                "there are tasks with name 'street-*' and subset 'V?l' and owner 'ann', but none "
                "that meet all conditions."
            ),
        ),
        (
            Selection(name="road*", owner="bob"),
            (
                "no task has the name 'road*'. No task has the owner 'bob'. It must be exact, or "
                "hold a wildcard, like 'bob*'. Those that exist: 'ann'."
            ),
        ),
    ],
)
def test_what_fits_nothing_is_named(selection: Selection, said: str) -> None:
    assert explain(text_conditions(selection), "tasks", TASKS) == said


def test_many_known_values_are_not_all_named() -> None:
    projects = [Project(id=n, name="x", owner=Owner(id=n, username=f"u{n}")) for n in range(1, 10)]
    said = explain(text_conditions(ProjectSelection(owner="zzz")), "projects", projects)
    assert said.startswith("no project has the owner 'zzz'.")
    assert said.endswith("Those that exist: 'u1', 'u2', 'u3', 'u4', 'u5', 'u6' and 3 more.")


@pytest.mark.parametrize(
    ("selection", "others"),
    [
        (Selection(), False),
        (Selection(name="x", project_ids=[1]), False),
        (Selection(status="completed"), True),
        (Selection(updated_since="2026-01-01"), True),
        (JobSelection(task_name="x"), True),
        (ProjectSelection(owner="x"), False),
    ],
)
def test_other_conditions_are_told_apart(
    selection: Selection | JobSelection | ProjectSelection, others: bool
) -> None:
    assert other_conditions(selection) is others


@given(
    text=st.text(alphabet="ab.[]*?\n\\", max_size=8),
    value=st.text(alphabet="ab.[]\n\\", max_size=8),
)
def test_wildcards_fit_as_those_of_shells_without_brackets(text: str, value: str) -> None:
    fits = bool(pattern_of(text).fullmatch(value))
    assert fits == fnmatchcase(value, text.replace("[", "[[]"))
    assert has_wildcard(text) == ("*" in text or "?" in text)
    if fits:
        # What narrows the list at the server loses nothing.
        assert longest_literal(text) in value
    if not has_wildcard(text):
        assert fits == (text == value)


def test_wildcards_are_matched_here_and_narrow_the_list_at_the_server() -> None:
    selection = Selection(name="str*-1", subset="T*", owner="ann", project_ids=[5])
    (query,) = selection.queries()
    assert query == {
        "owner": "ann",
        "project_id": "5",
        "filter": '{"in":["str",{"var":"name"}]}',
    }
    fits = wildcard_check(selection)
    assert fits is not None
    assert [task.id for task in TASKS if fits(task)] == [1]
    # The server was not asked for it, so it does not count as disobeyed.
    holds = task_check(Selection(name="str*-1", subset="T*", owner="a?n"))
    assert [task.id for task in TASKS if holds(task)] == [1, 2, 3]
    assert wildcard_check(Selection(name="*")) is not None
    assert list(Selection(name="*").queries()) == [{}]
    assert wildcard_check(Selection(name="street")) is None
