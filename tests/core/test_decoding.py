"""Check how lists are read entry by entry, and checked against their selection."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from asynccvat.core.decoding import UNREADABLE, ListPage, ObjectDecoder, PageDecoder
from asynccvat.core.models import DataMeta, Job, Owner, Project, Task
from asynccvat.core.requests import Operation, ServerRequest
from asynccvat.core.selections.matching import job_check, project_check, request_check, task_check
from asynccvat.core.selections.selection import (
    JobSelection,
    ProjectSelection,
    RequestSelection,
    Selection,
)

ENTRIES: dict[type, dict[str, Any]] = {
    Task: {
        "id": 7,
        "name": "street",
        "updated_date": "2026-01-05T08:00:31.149677Z",
        "project_id": 5,
        "status": "completed",
        "subset": "Train",
        "owner": {"id": 1, "username": "ann"},
        "assignee": {"id": 2, "username": "bob"},
        "size": 3,
        "data": 9,
    },
    Project: {
        "id": 5,
        "name": "roads",
        "updated_date": "2026-01-05T08:00:31.149677Z",
        "status": "annotation",
        "owner": {"id": 1, "username": "ann"},
        "assignee": None,
        "task_subsets": ["Train"],
    },
    Job: {
        "id": 3,
        "task_id": 7,
        "project_id": 5,
        "stage": "annotation",
        "state": "new",
        "type": "annotation",
        "assignee": {"id": 2, "username": "bob"},
        "updated_date": "2026-01-05T08:00:31.149677Z",
    },
    ServerRequest: {
        "id": "action=export&target=task&target_id=7",
        "status": "finished",
        "operation": {"type": "export:annotations", "target": "task", "task_id": 7, "format": "F"},
        "created_date": "2026-01-05T08:00:31.149677Z",
        "started_date": "2026-01-05T08:00:31.249677",
        "finished_date": None,
        "result_url": "http://x/y",
    },
}
SELECTIONS: dict[type, list[Any]] = {
    Task: [
        Selection(),
        Selection(task_ids=[7], status="completed", updated_since="2026-01-01"),
        Selection(project_ids=[5], name="street", subset="Train", owner="ann", assignee="bob"),
    ],
    Project: [ProjectSelection(project_ids=[5], name="roads", owner="ann", status="annotation")],
    Job: [
        JobSelection(project_ids=[5], task_ids=[7], stage="annotation", state="new"),
        JobSelection(type="annotation", assignee="bob", updated_since="2026-01-01"),
    ],
    ServerRequest: [RequestSelection([7], "export", "finished", "F"), RequestSelection()],
}


def check_of(selection: Any) -> Callable[[Any], bool]:
    checks: dict[type, Any] = {
        Selection: task_check,
        ProjectSelection: project_check,
        JobSelection: job_check,
        RequestSelection: request_check,
    }
    check: Callable[[Any], bool] = checks[type(selection)](selection)
    return check


def page(*entries: Any) -> bytes:
    return json.dumps({"count": len(entries), "results": entries}).encode()


@pytest.mark.parametrize("kind", ENTRIES)
def test_a_whole_entry_meets_each_selection(kind: type) -> None:
    read: ListPage[Any] = PageDecoder(kind).decode(page(ENTRIES[kind]))
    (entry,) = read.results
    assert all(check_of(selection)(entry) for selection in SELECTIONS[kind])


@pytest.mark.parametrize("kind", ENTRIES)
def test_unreadable_entries_are_told_with_their_ids(kind: type) -> None:
    entry = ENTRIES[kind]
    bad = {**entry, "updated_date": 7, "created_date": 7}
    read: ListPage[Any] = PageDecoder(kind).decode(page(bad, 5, {"id": True, **bad}, entry, {}))
    assert len(read.results) == 1
    number = None if kind is ServerRequest else entry["id"]
    assert [one.id for one in read.unreadable] == [number, None, number, None]
    assert read.length == read.count == 5
    assert "Expected" in read.unreadable[0].why


def test_a_text_that_is_not_utf_8_hides_no_other_entry() -> None:
    body = b'{"count":2,"results":[{"id":1,"name":"\xff"},{"id":2}]}'
    read: ListPage[Task] = PageDecoder(Task).decode(body)
    assert [task.id for task in read.results] == [2]
    assert [one.id for one in read.unreadable] == [None]


def test_an_entry_with_a_boolean_as_its_id_has_none() -> None:
    read = PageDecoder(Task).decode(page({"id": True}, {"id": 0}))
    assert [one.id for one in read.unreadable] == [None, 0]


@pytest.mark.parametrize(
    "body", [b"[]", b"{}", b'{"count":-1,"results":[]}', b'{"count":1}', b"{", b"[" * 9999]
)
def test_what_is_no_page_is_unreadable(body: bytes) -> None:
    with pytest.raises(UNREADABLE):
        PageDecoder(Task).decode(body)


def test_a_null_counts_as_a_missing_value() -> None:
    task = ObjectDecoder(Task).decode(
        b'{"id":1,"name":null,"updated_date":null,"owner":{"id":4,"username":null}}'
    )
    assert task == Task(id=1, owner=Owner(id=4))
    meta = ObjectDecoder(DataMeta).decode(b'{"size":1,"deleted_frames":null}')
    assert meta.deleted_frames == ()
    with pytest.raises(msgspec.ValidationError):
        ObjectDecoder(Task).decode(b'{"id":null}')


OTHERS: list[tuple[Any, Any]] = [
    (Selection(task_ids=[8]), Task(id=7)),
    (Selection(project_ids=[5]), Task(id=7)),
    (Selection(status="completed"), Task(id=7, status="annotation")),
    (Selection(subset="Train"), Task(id=7, subset="")),
    (Selection(name="a"), Task(id=7, name="b")),
    (Selection(owner="ann"), Task(id=7)),
    (Selection(assignee="ann"), Task(id=7, assignee=Owner(id=1, username="bob"))),
    (Selection(updated_since="2026-01-02"), Task(id=7, updated_date="2026-01-01T00:00:00Z")),
    (ProjectSelection(project_ids=[6]), Project(id=5)),
    (ProjectSelection(status="completed"), Project(id=5, status="annotation")),
    (ProjectSelection(name="a"), Project(id=5, name="b")),
    (ProjectSelection(owner="ann"), Project(id=5)),
    (JobSelection(project_ids=[5]), Job(id=3, project_id=6)),
    (JobSelection(task_ids=[5]), Job(id=3)),
    (JobSelection(stage="acceptance"), Job(id=3, stage="annotation")),
    (JobSelection(state="new"), Job(id=3, state="rejected")),
    (JobSelection(type="annotation"), Job(id=3, type="ground_truth")),
    (RequestSelection(task_ids=[7]), ServerRequest(id="a")),
    (
        RequestSelection(action="import"),
        ServerRequest(id="a", operation=Operation(type="export:dataset")),
    ),
    (RequestSelection(status="queued"), ServerRequest(id="a", status="finished")),
    (RequestSelection(export_format="F"), ServerRequest(id="a", operation=Operation(format="G"))),
]


@pytest.mark.parametrize(("selection", "entry"), OTHERS)
def test_an_entry_that_was_not_asked_for_is_recognized(selection: Any, entry: Any) -> None:
    assert not check_of(selection)(entry)


@pytest.mark.parametrize(
    ("selection", "entry"),
    [
        (Selection(status="completed", subset="Train", name="a"), Task(id=7)),
        (Selection(updated_since="2026-01-02"), Task(id=7, updated_date="lately")),
        (Selection(updated_since="2026-01-02"), Task(id=7, updated_date="2026-01-01")),
        (Selection(owner="ann"), Task(id=7, owner=Owner(id=1))),
        (RequestSelection(None, "export", "queued", "F"), ServerRequest(id="a")),
    ],
)
def test_the_servers_filter_is_trusted_for_what_an_entry_does_not_show(
    selection: Any, entry: Any
) -> None:
    assert check_of(selection)(entry)


values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=4,
)
dates = st.sampled_from(
    ["2026-01-01T00:00:00", "0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z", "2026-01-01"]
)


@given(st.data())
def test_whatever_a_page_holds_its_entries_are_read_or_counted(drawn: st.DataObject) -> None:
    kind = drawn.draw(st.sampled_from(list(ENTRIES)))
    fields = list(ENTRIES[kind])
    changes = st.dictionaries(st.sampled_from(fields), values | dates, max_size=4)
    entries = [
        {**ENTRIES[kind], **change} if drawn.draw(st.booleans()) else drawn.draw(values)
        for change in drawn.draw(st.lists(changes, max_size=4))
    ]
    read: ListPage[Any] = PageDecoder(kind).decode(page(*entries))
    assert read.length == len(entries)
    for selection in SELECTIONS[kind]:
        for entry in read.results:
            assert isinstance(check_of(selection)(entry), bool)


@given(st.binary(max_size=80) | values.map(lambda value: json.dumps(value).encode()))
def test_any_bytes_are_a_page_or_unreadable(body: bytes) -> None:
    with contextlib.suppress(*UNREADABLE):
        PageDecoder(Task).decode(body)
