"""Projects are selected by name and id; names that are wrong are refused with what is near."""

from __future__ import annotations

from typing import Any

import pytest

from asynccvat.core.models import Project
from asynccvat.core.selections.project_names import ambiguous, named, unknown, with_name
from asynccvat.core.selections.selection import JobSelection, ProjectSelection, Selection
from asynccvat.errors import ConfigError

STREET, HARBOUR, SECOND = (
    Project(id=5, name="Street"),
    Project(id=6, name="Harbour"),
    Project(id=7, name="Street"),
)


@pytest.mark.parametrize("kind", [Selection, ProjectSelection, JobSelection])
def test_projects_given_by_ids_are_the_same_as_project_ids(kind: Any) -> None:
    assert kind(projects=[5, "6"]) == kind(project_ids=(5, 6))
    assert kind(projects=["Street", 5, 5, "Street"], project_ids=[7]) == kind(
        projects=("Street",), project_ids=(7, 5)
    )
    assert kind(projects=[]) == kind(project_ids=())
    assert list(kind(projects=[]).queries()) == []


@pytest.mark.parametrize("kind", [Selection, JobSelection])
def test_a_selection_of_projects_says_which_tasks(kind: Any) -> None:
    assert kind(projects=["Street"]).says_which
    assert not kind().says_which


@pytest.mark.parametrize("kind", [Selection, ProjectSelection, JobSelection])
def test_the_ids_of_named_projects_join_the_others(kind: Any) -> None:
    selection = kind(projects=["Street", 6], assignee="ann").in_projects([5, 6])
    assert selection == kind(project_ids=(6, 5), assignee="ann")


@pytest.mark.parametrize("given", ["Street", [""], [0], [True], [1.5], [None], 5])
def test_what_is_neither_names_nor_ids_is_refused(given: Any) -> None:
    with pytest.raises(ConfigError, match="projects"):
        Selection(projects=given)


def test_a_name_is_exact() -> None:
    projects = [SECOND, STREET, HARBOUR, STREET]
    assert with_name("Street", projects) == (STREET, SECOND)
    assert with_name("street", projects) == ()
    assert ambiguous("Street", [STREET, SECOND], "http://cvat") == (
        "http://cvat has 2 projects named 'Street': 5, 7. Give the id of one."
    )
    assert unknown("street", projects, "http://cvat").endswith("Did you mean 'Street'?")
    assert unknown("xyz", projects, "http://cvat").endswith("shows which there are.")
    assert "`asynccvat list-projects --name 'Str*'`" in unknown("Str*", projects, "http://cvat")


@pytest.mark.parametrize(
    ("name", "call"), [("xyz", "list-projects`"), ("x*", "list-projects --name 'x*'`")]
)
def test_of_two_servers_the_advice_names_the_right_one(name: str, call: str) -> None:
    message = unknown(name, [STREET], "http://cvat", side="--to")
    assert f"`asynccvat {call} with the settings of --to shows " in message


def test_ids_in_place_of_a_name_are_answered_with_the_option_for_ids() -> None:
    hint = "Give several ids as --project-id 5,6-9."
    assert unknown("5,6-9", [STREET], "http://cvat", several=True).endswith(hint)
    assert not unknown("5,6-9", [STREET], "http://cvat").endswith(hint)


def test_one_query_asks_for_many_names() -> None:
    (selection,) = named(["Street", "Harbour"])
    assert list(selection.queries()) == [{"filter": '{"in":[{"var":"name"},["Street","Harbour"]]}'}]
    assert len(list(named([str(number) for number in range(100)]))) == 5
