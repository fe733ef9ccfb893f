"""Check the models of CVAT's API, and the queries of selections."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from asynccvat.core.decoding import PageDecoder
from asynccvat.core.models import Project, Task
from asynccvat.core.requests import RequestStatus, ServerRequest
from asynccvat.core.selections.queries import after, id_batches
from asynccvat.core.selections.selection import (
    JobSelection,
    ProjectSelection,
    Selection,
)
from asynccvat.core.specs import ExportSpec
from asynccvat.errors import ConfigError


def queries(**options: Any) -> list[dict[str, str]]:
    return list(Selection(**options).queries())


def test_a_task_of_a_newer_server_decodes() -> None:
    task = msgspec.json.decode(
        b'{"id":3,"name":"mirror-0001","updated_date":"2026-11-23T11:38:17.582213Z",'
        b'"owner":{"url":"http://x/api/users/1","id":1,"username":"admin"},"future":{"a":[1]}}',
        type=Task,
    )
    assert task.updated_date == "2026-11-23T11:38:17.582213Z"
    assert task.owner is not None
    assert task.owner.username == "admin"


def test_a_task_without_data_decodes() -> None:
    task = msgspec.json.decode(b'{"id":279,"name":"empty","mode":""}', type=Task)
    assert (task.id, task.size, task.image_quality) == (279, None, None)
    assert task.without_data
    assert not Task(id=1, size=5).without_data


def test_a_project_decodes_with_and_without_its_subsets() -> None:
    page = PageDecoder(Project).decode(
        b'{"count":2,"next":null,"previous":null,"results":['
        b'{"id":1,"name":"a","task_subsets":["Train","Test"]},{"id":2,"name":"b"}]}',
    )
    assert [project.task_subsets for project in page.results] == [("Train", "Test"), ()]


def test_a_finished_request_can_still_lack_its_dates() -> None:
    request = msgspec.json.decode(
        b'{"id":"r","status":"finished","operation":{"type":"export:annotations","task_id":3},'
        b'"started_date":null,"finished_date":null,"expiry_date":null,"result_url":"http://x/y"}',
        type=ServerRequest,
    )
    assert request.ended
    assert request.finished_date is None


@pytest.mark.parametrize(
    ("status", "state", "ended"),
    [
        ("queued", RequestStatus.QUEUED, False),
        ("started", RequestStatus.STARTED, False),
        ("finished", RequestStatus.FINISHED, True),
        ("failed", RequestStatus.FAILED, True),
        ("deferred", RequestStatus.QUEUED, False),
    ],
)
def test_unknown_states_count_as_queued(status: str, state: RequestStatus, ended: bool) -> None:
    request = ServerRequest(id="r", status=status)
    assert (request.state, request.ended) == (state, ended)


def test_no_selection_is_one_query_for_everything() -> None:
    assert queries() == [{}]


def test_plain_filters_are_passed_through() -> None:
    assert queries(project_ids=[5], status="completed", subset="Train", name="a b") == [
        {"project_id": "5", "status": "completed", "subset": "Train", "name": "a b"}
    ]


def test_several_projects_become_one_filter() -> None:
    (query,) = queries(project_ids=[3, 1, 3])
    assert json.loads(query["filter"]) == {"in": [{"var": "project_id"}, [1, 3]]}


def test_filters_are_joined() -> None:
    own = {"==": [{"var": "owner"}, "alice"]}
    (query,) = queries(task_ids=[2, 1], updated_since="2026-11-23", filter=json.dumps(own))
    assert json.loads(query["filter"]) == {
        "and": [
            {">=": [{"var": "updated_date"}, "2026-11-23T00:00:00Z"]},
            own,
            {"in": [{"var": "id"}, [1, 2]]},
        ]
    }


@pytest.mark.parametrize(
    ("given_date", "sent"),
    [
        ("2026-11-23", "2026-11-23T00:00:00Z"),
        (" 2026-11-23T11:45:00Z ", "2026-11-23T11:45:00Z"),
        ("2026-11-23 11:45", "2026-11-23T11:45:00Z"),
        ("2026-11-23T11:45:00.5+01:00", "2026-11-23T11:45:00.500000+01:00"),
        (datetime(2026, 11, 23, 11, 45, tzinfo=UTC), "2026-11-23T11:45:00Z"),
        (datetime(2026, 11, 23, 11, 45), "2026-11-23T11:45:00Z"),  # noqa: DTZ001 - it counts as UTC
    ],
)
def test_dates_are_sent_with_time_and_offset(given_date: str | datetime, sent: str) -> None:
    assert Selection(updated_since=given_date).updated_since == sent


@pytest.mark.parametrize("date", ["yesterday", "2026-13-01"])
def test_unreadable_dates_are_refused(date: str) -> None:
    with pytest.raises(ConfigError, match="neither a date nor"):
        Selection(updated_since=date)


@pytest.mark.parametrize("text", ["{bad", "[" * 100_000])
def test_filters_that_are_not_json_are_refused(text: str) -> None:
    with pytest.raises(ConfigError, match=r"^filter '.{1,200}' is not JSON. Write it in"):
        Selection(filter=text)


def test_a_filter_whose_quotes_the_shell_took_is_told_so() -> None:
    with pytest.raises(ConfigError, match="has no double quotes, so it is not JSON"):
        Selection(filter="{==:[{var:owner},ann]}")


@pytest.mark.parametrize("text", ["[]", "{}", "5", "null"])
def test_filters_that_are_not_an_expression_are_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="is no JSON logic"):
        Selection(filter=text)


@pytest.mark.parametrize(
    ("selected", "told"),
    [
        ({"task_ids": "147"}, "task_ids must be a list of ids, like [147, 148], not '147'"),
        ({"task_ids": 147}, "task_ids must be a list of ids"),
        ({"task_ids": {1: 2}}, "task_ids must be a list of ids"),
        ({"task_ids": ["147"]}, "task_ids must be positive whole numbers, not '147'"),
        ({"project_ids": [0]}, "project_ids must be positive whole numbers, not 0"),
        ({"project_ids": [True]}, "project_ids must be positive whole numbers"),
        ({"status": "done"}, "status must be one of annotation, validation, completed, not 'done'"),
        ({"name": 5}, "name must be a text, not 5"),
        ({"filter": {"==": [1, 1]}}, "filter must be a text"),
    ],
)
def test_a_selection_with_impossible_values_is_refused(selected: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Selection(**selected)
    assert told in str(caught.value)


def test_ids_may_come_in_any_kind_of_sequence() -> None:
    assert list(Selection(task_ids=range(1, 3)).queries()) == queries(task_ids=(1, 2))


@pytest.mark.parametrize("spec", [{"format": ""}, {"format": " "}, {"format": None}, {"images": 1}])
def test_an_empty_spec_is_refused(spec: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        ExportSpec(**spec)


def test_a_selection_of_no_project_asks_for_nothing() -> None:
    assert list(Selection(project_ids=[]).queries()) == []


def test_many_ids_take_several_queries() -> None:
    batches = list(id_batches(range(100_000, 101_000)))
    assert [len(batch) for batch in batches] == [444, 444, 112]


@given(ids=st.lists(st.integers(1, 10**9), max_size=1500))
def test_ids_are_cut_into_lists_that_fit_into_a_url(ids: list[int]) -> None:
    batches = list(id_batches(ids))
    assert [number for batch in batches for number in batch] == sorted(set(ids))
    assert all(batches)
    for query in Selection(task_ids=ids).queries() if ids else ():
        assert len(urlencode(query)) < 6000


def test_owner_and_assignee_are_user_names() -> None:
    assert queries(owner="ann", assignee="bob") == [{"owner": "ann", "assignee": "bob"}]
    assert not Selection(task_ids=[1], owner="ann").only_by_id
    assert not Selection(task_ids=[1], assignee="ann").only_by_id


def test_projects_are_selected_by_id_and_by_what_cvat_filters_them_by() -> None:
    selection = ProjectSelection(
        project_ids=[6, 5, 5], status="completed", name="a", owner="ann", assignee="bob"
    )
    assert list(selection.queries()) == [
        {
            "status": "completed",
            "name": "a",
            "owner": "ann",
            "assignee": "bob",
            "filter": '{"in":[{"var":"id"},[5,6]]}',
        }
    ]
    assert list(ProjectSelection().queries()) == [{}]
    assert list(ProjectSelection(project_ids=[]).queries()) == []


def test_jobs_are_selected_by_task_and_by_what_cvat_filters_them_by() -> None:
    selection = JobSelection(
        project_ids=[5],
        task_ids=[148, 147],
        task_name="street",
        stage="validation",
        state="in progress",
        type="ground_truth",
        updated_since="2026-03-31",
    )
    assert list(selection.queries()) == [
        {
            "task_name": "street",
            "stage": "validation",
            "state": "in progress",
            "type": "ground_truth",
            "project_id": "5",
            "filter": '{"and":[{">=":[{"var":"updated_date"},"2026-03-31T00:00:00Z"]},'
            '{"in":[{"var":"task_id"},[147,148]]}]}',
        }
    ]
    assert list(JobSelection(project_ids=[]).queries()) == []
    assert len(list(JobSelection(task_ids=range(1, 10001, 2)).queries())) > 1


@pytest.mark.parametrize(
    ("kind", "options", "message"),
    [
        (ProjectSelection, {"status": "done"}, "status must be one of annotation, validation"),
        (ProjectSelection, {"project_ids": "5"}, "project_ids must be a list of ids"),
        (JobSelection, {"stage": "done"}, "stage must be one of annotation, validation, accept"),
        (JobSelection, {"state": "done"}, "state must be one of new, in progress, completed"),
        (JobSelection, {"type": "done"}, "type must be one of annotation, ground_truth"),
        (JobSelection, {"task_ids": [0]}, "task_ids must be positive whole numbers"),
        (JobSelection, {"task_name": 7}, "task_name must be a text"),
        (JobSelection, {"assignee": 7}, "assignee must be a text"),
        (JobSelection, {"filter": "{"}, "filter '{' is not JSON"),
        (JobSelection, {"updated_since": "lately"}, "neither a date nor a date and time"),
    ],
)
def test_selections_of_projects_and_jobs_are_checked_where_they_are_given(
    kind: Any, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        kind(**options)


@given(filter_=st.none() | st.just('{"==":[{"var":"owner"},"a"]}'), last=st.integers(1, 10**9))
def test_a_list_goes_on_after_an_id_under_the_same_conditions(
    filter_: str | None, last: int
) -> None:
    query = {"status": "completed"} | ({} if filter_ is None else {"filter": filter_})
    narrowed = after(query, last)
    beyond = {">": [{"var": "id"}, last]}
    expected = beyond if filter_ is None else {"and": [json.loads(filter_), beyond]}
    assert json.loads(narrowed["filter"]) == expected
    assert narrowed["status"] == "completed"
