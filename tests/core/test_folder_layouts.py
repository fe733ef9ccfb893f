"""Check the names that a layout gives to folders, for any names that a server may send."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asynccvat.core.folder_layouts import FIELDS, STRICT, FolderLayout, FolderNames, above
from asynccvat.core.paths import OWN_FOLDER, comparable, why_refused
from asynccvat.core.targets import TargetKind
from asynccvat.errors import ConfigError

LAYOUT = "{project}/{subset}/task{id}-{name}"
NAMES = st.text(max_size=300) | st.sampled_from(
    [
        "",
        " ",
        ".",
        "..",
        "CON",
        "nul.txt",
        ".asynccvat",
        ".ASYNCCVAT",
        "a/b",
        "a\\b",
        "C:",
        "a. ",
        "x" * 400,
        "é" * 300,
        "é",
        "Street",
        "STREET",
        "\u202estreet",
        "�",
        "~",
        "a~7",
    ]
)
VALUES = st.fixed_dictionaries(
    {field: st.none() | NAMES for field in FIELDS[TargetKind.TASK] if field != "id"}
)
LAYOUTS = st.sampled_from(
    [
        LAYOUT,
        "{id}",
        "{name}{id}",
        "{id}{name}",
        "{id}/{name}",
        "{name}/{id}",
        "{organization}-{id}",
        "{project}{project_id}{subset}{name}{organization}{id}",
        "a/{project}/{{{id}}}",
    ]
)


def path(text: str, task_id: int = 147, **values: str | None) -> str:
    return FolderNames(FolderLayout.parse(text), {}).name(task_id, values)


def named(text: str, values: Mapping[int, Mapping[str, str | None]], **held: str) -> dict[int, str]:
    names = FolderNames(
        FolderLayout.parse(text), {int(key[1:]): folder for key, folder in held.items()}
    )
    return {task_id: names.name(task_id, given) for task_id, given in values.items()}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (LAYOUT, "Street/Train/task147-left cam"),
        ("{id}", "147"),
        ("{organization}/{project_id}_{id}", "acme/5_147"),
        ("{{{id}}}", "{147}"),
        ("all/{name}/{id}", "all/left cam/147"),
    ],
)
def test_a_path_is_made_of_the_fields(text: str, expected: str) -> None:
    values: dict[str, str | None] = {
        "name": "left cam",
        "project": "Street",
        "project_id": "5",
        "subset": "Train",
        "organization": "acme",
    }
    assert path(text, 147, **values) == expected


def test_something_stands_for_what_a_task_does_not_have() -> None:
    assert path(LAYOUT, name=" ") == "no-project/default/task147-unnamed"
    assert path("{organization}/{project_id}/{id}") == "personal/no-project/147"


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("a/b", "a%2Fb/147"),
        ("..", "%2E%2E/147"),
        (".hidden", "%2Ehidden/147"),
        ("con", "co%6E/147"),
        ("what?", "what%3F/147"),
        ("end.", "end%2E/147"),
        ("e\u0301", "\u00e9/147"),
        ("x" * 300, f"{'x' * 120}/147"),
    ],
)
def test_a_name_is_made_safe(name: str, expected: str) -> None:
    assert path("{name}/{id}", name=name) == expected


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "without {id}"),
        ("/{id}", "a folder in it has no name"),
        ("{id}/", "a folder in it has no name"),
        ("a//{id}", "a folder in it has no name"),
        ("{project}/{name}", "without {id}, two of the same name"),
        ("{id}-{nme}", r"there is no field {nme} \(did you mean {name}\?\)"),
        ("{id}-{}", "there is no field {}"),
        ("{id}-{owner}", "The fields are {id}, {name}, {project}"),
        ("{id:05}", "{id} must be a plain name of a field"),
        ("{id!r}", "{id} must be a plain name of a field"),
        ("{id", "a brace has no partner"),
        ("id}", "a brace has no partner"),
        (".{id}", "starts with a dot"),
        (".asynccvat/{id}", "starts with a dot"),
        ("../{id}", "starts with a dot"),
        ("a\\{id}", "some disks refuse the name"),
        ("a?{id}", "some disks refuse the name"),
        ("nul/{id}", "some disks refuse the name"),
        ("C:/{id}", "some disks refuse the name"),
        ("/".join("abcdefgh") + "/{id}", "more than 8 folders"),
        ("x" * 65 + "{id}", "takes more than 64 bytes"),
        ("{id}-{name}-{name}", "a field twice"),
    ],
)
def test_a_layout_that_cannot_be_used_is_refused(text: str, why: str) -> None:
    with pytest.raises(ConfigError, match=why):
        FolderLayout.parse(text)


def test_the_longest_values_of_all_fields_make_a_name_that_disks_take() -> None:
    fields = [field for field in FIELDS[TargetKind.TASK] if field != "id"]
    layout = FolderLayout.parse("x" * 64 + "{id}" + "".join(f"{{{field}}}" for field in fields))
    made = layout.path({"id": "1000000000"} | dict.fromkeys(fields, ":" * 300))
    assert 200 < len(made) <= 255


def test_projects_have_fewer_fields_and_jobs_one_more() -> None:
    assert FolderLayout.parse("{name}-{id}", TargetKind.PROJECT).path({"id": "5"}) == "unnamed-5"
    with pytest.raises(ConfigError, match=r"The fields are {id}, {name}, {organization}"):
        FolderLayout.parse("{subset}-{id}", TargetKind.PROJECT)
    jobs = FolderLayout.parse("{task_id}-{name}/{id}", TargetKind.JOB)
    assert jobs.path({"id": "7", "task_id": "1", "name": "left"}) == "1-left/7"
    with pytest.raises(ConfigError, match=r"there is no field {task_id}\. The fields"):
        FolderLayout.parse("{task_id}-{id}")


@given(LAYOUTS, VALUES, st.integers(1, 10**9))
def test_every_path_can_be_written_everywhere(
    text: str, values: Mapping[str, str | None], task_id: int
) -> None:
    folder = path(text, task_id, **values)
    assert why_refused(folder, STRICT) is None
    assert folder.count("/") == text.count("/")
    for part in folder.split("/"):
        assert not part.startswith(".")
        assert len(part.encode()) <= 255
        assert comparable(part, STRICT) != OWN_FOLDER
    assert unicodedata.is_normalized("NFC", folder) or any(
        not unicodedata.is_normalized("NFC", value) for value in values.values() if value
    )


@given(LAYOUTS, VALUES, st.integers(1, 10**9))
def test_a_layout_may_have_named_what_it_named(
    text: str, values: Mapping[str, str | None], task_id: int
) -> None:
    layout = FolderLayout.parse(text)
    assert layout.may_have_named(path(text, task_id, **values), task_id)


@pytest.mark.parametrize(
    ("text", "folder", "may_have"),
    [
        ("task{id}", "task7~7", True),
        ("task{id}", "task7-left", False),
        ("task{id}", "all/task7", False),
        ("{project}/{id}", "Street~/7", True),
        ("{project}/{id}", "Street/8", False),
        ("task{id}-{name}", "task7-", False),
        ("task{id}-{name}", "7-left", False),
        ("a{project}-{name}-{id}", "aStreet-left-7~", True),
        ("a{project}-{name}-{id}", "aStreet-7", False),
        ("{project}, {name}-{id}", "Street-left-7", False),
    ],
)
def test_a_layout_named_no_folder_of_other_texts(text: str, folder: str, *, may_have: bool) -> None:
    assert FolderLayout.parse(text).may_have_named(folder, 7) == may_have


TASKS = st.dictionaries(st.integers(1, 30), VALUES, max_size=8)


@given(LAYOUTS, LAYOUTS, TASKS, TASKS)
def test_folders_are_apart_stay_where_they_are_and_follow_a_rename(
    first: str,
    second: str,
    before: Mapping[int, Mapping[str, str | None]],
    after: Mapping[int, Mapping[str, str | None]],
) -> None:
    held = {f"t{one}": folder for one, folder in named(first, before).items()}
    assert named(first, before, **held) == {int(one[1:]): folder for one, folder in held.items()}
    moved = named(second, after, **held)
    assert named(second, after, **held) == moved
    there = {int(one[1:]): folder for one, folder in held.items()} | moved
    keys = {one: comparable(folder, STRICT) for one, folder in there.items()}
    assert len(set(keys.values())) == len(keys)
    assert not any(outer in keys.values() for key in keys.values() for outer in above(key))


def test_names_that_differ_only_by_case_or_form_get_marks() -> None:
    values: dict[int, dict[str, str | None]] = {
        2: {"name": "a1"},
        12: {"name": "A"},
    }
    assert named("{name}{id}", values) == {2: "a12", 12: "A12~12"}
    held = {"t12": "A12~12"}
    assert named("{name}{id}", {12: {"name": "A"}}, **held) == {12: "A12~12"}


def test_a_name_of_a_folder_that_is_still_there_is_not_given_away() -> None:
    swapped: dict[int, dict[str, str | None]] = {2: {"name": "b1"}, 12: {"name": "a"}}
    held = {"t2": "a12", "t12": "b12"}
    assert named("{name}{id}", swapped, **held) == {2: "b12~2", 12: "a12~12"}


def test_no_folder_lies_in_that_of_another() -> None:
    assert named("task{project_id}/{id}", {1: {"project_id": "7"}}, t7="task7") == {1: "task7~/1"}
    assert named("task{id}", {7: {}}, t1="task7/1") == {7: "task7~7"}
    again = named("task{project_id}/{id}", {1: {"project_id": "7"}}, t1="task7~/1")
    assert again == {1: "task7~/1"}
