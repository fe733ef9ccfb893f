"""Lists with entries that cannot be read, or that were not asked for, end no command."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from asynccvat.cli import output
from asynccvat.simulator import Fault, SimulatedServer, SimulatorOptions
from asynccvat.simulator.threads import serve_in_thread

if TYPE_CHECKING:
    from command_line import Shell

JSON = "application/vnd.cvat+json"
LISTS = {
    "tasks": ("list-tasks",),
    "projects": ("list-projects",),
    "jobs": ("list-jobs",),
    "requests": ("requests", "--all"),
}


@pytest.fixture(scope="module")
def server() -> Iterator[SimulatedServer]:
    options = SimulatorOptions(tasks=4, frames=1, projects=2)
    with serve_in_thread(options) as running:
        yield running


@pytest.fixture(scope="module")
def recorded(server: SimulatedServer) -> dict[str, list[dict[str, Any]]]:
    """The entries of each list, as the server sends them."""

    async def read() -> dict[str, list[dict[str, Any]]]:
        headers = {"Authorization": f"Token {server.token}"}
        async with aiohttp.ClientSession(server.url, headers=headers) as session:
            for task_id in (1, 2, 3):
                path = f"/api/tasks/{task_id}/dataset/export?format=CVAT for images 1.1"
                await session.post(path)
            lists = {}
            for name in LISTS:
                async with session.get(f"/api/{name}?sort=id") as response:
                    lists[name] = (await response.json(content_type=None))["results"]
            return lists

    return asyncio.run(read())


@pytest.fixture
def at_server(bare_shell: Shell, server: SimulatedServer, monkeypatch: pytest.MonkeyPatch) -> Shell:
    monkeypatch.setenv("CVAT_URL", server.url)
    monkeypatch.setenv("CVAT_ACCESS_TOKEN", server.token)
    server.faults.clear()
    return bare_shell


def listing(name: str, entries: list[Any], count: int | None = None) -> Fault:
    """A list that the server sends instead of its own."""
    body = {"count": len(entries) if count is None else count, "results": entries}
    return Fault(
        path=rf"^/api/{name}(\?|$)",
        status=200,
        body=json.dumps(body),
        content_type=JSON,
        times=None,
    )


def unreadable(entry: dict[str, Any]) -> dict[str, Any]:
    return {**entry, "updated_date": ["when?"], "created_date": ["when?"]}


def test_a_request_without_a_status_is_listed(
    at_server: Shell, server: SimulatedServer, recorded: dict[str, list[dict[str, Any]]]
) -> None:
    first, *others = recorded["requests"]
    server.faults.add(listing("requests", [{**first, "status": None}, *others]))
    ended = at_server("requests", "--all")
    assert (ended.code, ended.err) == (0, "3 requests\n")
    assert [line.rpartition("\t")[2] for line in ended.out.splitlines()[1:]] == [
        request["id"] for request in recorded["requests"]
    ]


@pytest.mark.parametrize("form", ["--json", "--jsonl", None])
@pytest.mark.parametrize("name", LISTS)
def test_entries_that_cannot_be_read_are_counted_and_passed_over(
    at_server: Shell,
    server: SimulatedServer,
    recorded: dict[str, list[dict[str, Any]]],
    name: str,
    form: str | None,
) -> None:
    first, second, *others = recorded[name]
    entries = [unreadable(first), second, "no entry", *others]
    server.faults.add(listing(name, entries))
    ended = at_server(*LISTS[name], *((form,) if form else ()))
    for entry in (second, *others):
        assert str(entry["id"]) in ended.out
    assert f"warning: cannot read 2 of {len(entries)} {name} that the server listed" in ended.err
    if name != "requests":
        assert f" ({first['id']}): Expected `str" in ended.err
    # Tasks decide what is mirrored, so a script must notice.
    assert ended.code == (1 if name == "tasks" and form != "--jsonl" else 0)


def test_nulls_where_values_belong_hide_no_entry(
    at_server: Shell, server: SimulatedServer, recorded: dict[str, list[dict[str, Any]]]
) -> None:
    for name, command in LISTS.items():
        entries = [
            {field: value if field == "id" else None for field, value in entry.items()}
            for entry in recorded[name]
        ]
        server.faults.add(listing(name, entries))
        ended = at_server(*command, "--json")
        assert ended.code == 0, ended.err
        assert [one["id"] for one in ended.json] == [entry["id"] for entry in recorded[name]]


def test_tasks_that_cannot_be_read_are_neither_missing_nor_mirrored(
    at_server: Shell,
    server: SimulatedServer,
    recorded: dict[str, list[dict[str, Any]]],
    tmp_path: Path,
) -> None:
    first, *others = recorded["tasks"]
    server.faults.add(listing("tasks", [unreadable(first), *others]))
    ended = at_server("mirror", tmp_path / "data", "--no-fsync", "-t", "1,2,3,4,99")
    assert "cannot read 1 of 4 tasks that the server listed (1)" in ended.err
    assert "task 99" in ended.err
    assert "task 1:" not in ended.err
    assert ended.code == 1
    folders = {path.name for path in (tmp_path / "data").glob("task*")}
    assert folders == {"task2", "task3", "task4"}


def test_a_format_that_cannot_be_read_hides_no_other(
    at_server: Shell, server: SimulatedServer
) -> None:
    formats = {"exporters": [{"name": 7}, {"name": "COCO 1.0", "version": None}], "importers": [1]}
    server.faults.add(
        Fault(path="annotation/formats", status=200, body=json.dumps(formats), content_type=JSON)
    )
    ended = at_server("formats")
    assert "COCO 1.0" in ended.out
    assert "warning: cannot read 2 of 3 formats that the server listed" in ended.err
    assert ended.code == 0


Ignored = tuple[str, tuple[str, ...], str, str, set[int]]
IGNORED: list[Ignored] = [
    ("list-tasks", ("-t", "2"), "tasks", "filter", {2}),
    ("list-tasks", ("--project-id", "1"), "tasks", "project_id", {1, 2}),
    ("list-tasks", ("--name", "street-00003"), "tasks", "name", {3}),
    ("list-tasks", ("--status", "completed"), "tasks", "status", {3}),
    ("list-tasks", ("--subset", "Nowhere"), "tasks", "subset", set()),
    ("list-tasks", ("--owner", "nobody"), "tasks", "owner", set()),
    ("list-tasks", ("--assignee", "nobody"), "tasks", "assignee", set()),
    ("list-tasks", ("--updated-since", "2099-01-01"), "tasks", "filter", set()),
    ("list-projects", ("--project-id", "2"), "projects", "filter", {2}),
    ("list-projects", ("--name", "nothing"), "projects", "name", set()),
    ("list-projects", ("--owner", "nobody"), "projects", "owner", set()),
    ("list-jobs", ("-t", "2"), "jobs", "filter", {2}),
    ("list-jobs", ("--project-id", "1"), "jobs", "project_id", {1, 2}),
    ("list-jobs", ("--stage", "acceptance"), "jobs", "stage", {3}),
    ("list-jobs", ("--state", "rejected"), "jobs", "state", set()),
    ("list-jobs", ("--type", "ground_truth"), "jobs", "type", set()),
    ("list-jobs", ("--assignee", "nobody"), "jobs", "assignee", set()),
]


@pytest.mark.parametrize("ignored", IGNORED, ids=str)
def test_a_filter_that_the_server_does_not_know_is_applied_here(
    at_server: Shell, server: SimulatedServer, ignored: Ignored
) -> None:
    command, options, name, parameter, ids = ignored
    server.faults.add(Fault(path=f"^/api/{name}", ignore=parameter, times=None))
    ended = at_server(command, *options, "--json")
    assert {entry["id"] for entry in ended.json} == ids, ended.err
    others = (2 if name == "projects" else 4) - len(ids)
    assert f"warning: the server listed {others} {name} that were not asked for" in ended.err


def test_requests_of_other_tasks_are_not_cancelled(
    at_server: Shell, server: SimulatedServer, recorded: dict[str, list[dict[str, Any]]]
) -> None:
    queued = [{**entry, "status": "queued"} for entry in recorded["requests"]]
    server.faults.add(listing("requests", queued))
    before = len(server.calls)
    ended = at_server("requests", "cancel", "-t", "2")
    cancelled = [call.path for call in server.calls[before:] if call.path.endswith("/cancel")]
    assert len(cancelled) == 1
    assert "target_id=2&" in cancelled[0]
    assert "2 requests that were not asked for" in ended.err


def test_uploads_end_well_where_the_server_ignores_the_filter_of_ids(
    bare_shell: Shell, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with serve_in_thread(SimulatorOptions(tasks=14, frames=1)) as running:
        monkeypatch.setenv("CVAT_URL", running.url)
        monkeypatch.setenv("CVAT_ACCESS_TOKEN", running.token)
        data = tmp_path / "data"
        assert bare_shell("mirror", data, "--no-fsync", "-t", "1,2").code == 0
        for path in data.glob("task*/annotations.xml"):
            path.write_text(path.read_text("utf-8").replace("<box ", "<box  "), "utf-8")
        running.faults.add(Fault(path="^/api/tasks", ignore="filter", times=None))
        ended = bare_shell("upload", "--all", "-i", data)
        assert ended.code == 0, ended.err
        assert ended.err.count("12 tasks that were not asked for") == 1, "once for both lists"
        # The receipts know the uploads: the next one has nothing to do.
        assert "2 unchanged" in bare_shell("upload", "--all", "-i", data).out


values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text(max_size=9)
    # Dates without an offset, and at both ends of time.
    | st.sampled_from(["2026-01-01T00:00:00", "0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z"])
    | st.sampled_from(["2026-01-01T00:00:00+23:59", "\x1b[31m", "\ud800"]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=4,
)


@st.composite
def mutated(draw: st.DrawFn, entry: dict[str, Any]) -> Any:
    """An entry of which some fields are changed or removed, at any depth."""
    changed = json.loads(json.dumps(entry))
    for _ in range(draw(st.integers(1, 4))):
        place = changed
        name = draw(st.sampled_from(sorted(place)))
        while isinstance(place.get(name), dict) and place[name] and draw(st.booleans()):
            place = place[name]
            name = draw(st.sampled_from(sorted(place)))
        if draw(st.booleans()):
            place[name] = draw(values)
        else:
            place.pop(name, None)
        if not changed:
            break
    return draw(st.just(changed) | values) if draw(st.integers(0, 9)) == 0 else changed


@pytest.mark.parametrize("name", LISTS)
@settings(max_examples=10, deadline=None, suppress_health_check=list(HealthCheck))
@given(drawn=st.data())
def test_whatever_a_list_holds_a_command_ends_with_a_sentence(
    at_server: Shell,
    server: SimulatedServer,
    recorded: dict[str, list[dict[str, Any]]],
    name: str,
    drawn: st.DataObject,
) -> None:
    entries = [drawn.draw(mutated(entry)) for entry in recorded[name]]
    count = drawn.draw(st.just(len(entries)) | st.sampled_from([-1, 0, 1, 5, 10**12]))
    form = drawn.draw(st.sampled_from([(), ("--json",), ("--jsonl",)]))
    server.faults.clear()
    server.faults.add(listing(name, entries, count))
    with pytest.MonkeyPatch.context() as patch:
        lines: list[str] = []
        patch.setattr(output, "remark", lines.append)
        ended = at_server(*LISTS[name], *form)
    # The shell has checked that there is no traceback. 70 is a bug.
    assert ended.code in (0, 1, 3, 4), (ended, lines)
