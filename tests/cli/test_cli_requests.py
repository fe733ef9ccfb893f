"""`asynccvat requests`: list and cancel requests, against the simulated server."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from asynccvat import CvatClient, ExportSpec
from asynccvat.core.scheduling import stalls
from asynccvat.simulator import Fault, SimulatedServer, SimulatorOptions
from asynccvat.simulator.threads import serve_in_thread

if TYPE_CHECKING:
    from command_line import Shell


def export(server: SimulatedServer, task_id: int, *, until: str) -> str:
    """Request an export, wait until it has a state, and return its id."""

    async def main() -> str:
        async with CvatClient(server.url, token=server.token) as client, asyncio.timeout(20):
            rq_id = (await client.request_export(task_id, ExportSpec())).rq_id
            while (await client.request(rq_id)).status != until:  # each is a call
                pass
            return rq_id

    return asyncio.run(main())


@pytest.fixture
def ids(bare_shell: Shell, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, str]]:
    """The ids of requests by their states, on a server with requests in each state."""
    del bare_shell  # it has cleared the environment
    options = SimulatorOptions(tasks=5, frames=1, export_workers=1, export_seconds=0.0, projects=2)
    with serve_in_thread(options) as server:
        monkeypatch.setenv("CVAT_URL", server.url)
        monkeypatch.setenv("CVAT_ACCESS_TOKEN", server.token)
        server.faults.add(Fault(export="fail", task_id=3, message="MemoryError\nno room\n"))
        server.faults.add(Fault(export="stick", task_id=1))
        yield {
            "failed": export(server, 3, until="failed"),
            "finished": export(server, 4, until="finished"),
            "started": export(server, 1, until="started"),
            "queued": export(server, 2, until="queued"),
        }
        server.release_exports()


def test_requests_are_shown_newest_first(bare_shell: Shell, ids: dict[str, str]) -> None:
    ended = bare_shell("requests")
    header, *rows = [line.split("\t") for line in ended.out.splitlines()]
    assert header == ["status", "progress", "age", "operation", "of", "format", "message", "id"]
    assert [row[0] for row in rows] == ["queued", "started"]
    assert rows[0][3:6] == ["export:annotations", "task 2", "CVAT for images 1.1"]
    assert rows[0][1] == ""
    assert rows[0][2].endswith(" s")
    # The whole id, since `cancel` needs it.
    assert [row[-1] for row in rows] == [ids["queued"], ids["started"]]
    assert ended.err == "2 requests; 2 ended (--all shows them)\n"


def test_ended_requests_are_shown_with_the_reason_of_a_failure(
    bare_shell: Shell, ids: dict[str, str]
) -> None:
    rows = [line.split("\t") for line in bare_shell("requests", "--all").out.splitlines()[1:]]
    assert [row[-1] for row in rows] == [
        ids[state] for state in ("queued", "started", "finished", "failed")
    ]
    assert rows[3][6] == "MemoryError no room"


@pytest.mark.parametrize(
    ("flags", "states"),
    [
        ((), ["queued", "started"]),
        (("--status", "failed"), ["failed"]),
        (("--action", "import", "--all"), []),
        (("--action", "export", "-t", "1,4"), ["started"]),
        (("-t", "1,4", "--all"), ["started", "finished"]),
    ],
)
def test_requests_are_selected(
    bare_shell: Shell, ids: dict[str, str], flags: tuple[str, ...], states: list[str]
) -> None:
    expected = [ids[state] for state in states]
    shown = bare_shell("requests", "--json", *flags).json
    assert [request["id"] for request in shown] == expected
    lines = bare_shell("requests", "--jsonl", *flags).out.splitlines()
    assert [json.loads(line)["id"] for line in lines] == expected


def test_requests_of_a_project_are_those_of_its_tasks(
    bare_shell: Shell, ids: dict[str, str]
) -> None:
    everything = bare_shell("requests", "--all", "--json").json
    assert {request["id"] for request in everything} == set(ids.values())
    for project in (1, 2):
        shown = bare_shell("requests", "--all", "--json", "--project-id", project).json
        assert shown == [
            request for request in everything if request["operation"]["project_id"] == project
        ]
        assert shown


def test_the_server_s_own_progress_is_shown(
    bare_shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = {
        "id": "action=import&target=task&target_id=7",
        "status": "started",
        "progress": 0.25,
        "operation": {"type": "import:annotations", "target": "project", "project_id": 5},
    }
    body = json.dumps({"count": 1, "next": None, "previous": None, "results": [request]})
    fault = Fault(path="^/api/requests", status=200, body=body, content_type="application/json")
    with serve_in_thread(SimulatorOptions(tasks=1)) as server:
        server.faults.add(fault)
        monkeypatch.setenv("CVAT_URL", server.url)
        monkeypatch.setenv("CVAT_ACCESS_TOKEN", server.token)
        row = bare_shell("requests").out.splitlines()[1].split("\t")
    assert row == ["started", "25%", "", "import:annotations", "project 5", "", "", request["id"]]


def test_queued_requests_are_cancelled_and_the_others_get_a_reason(
    bare_shell: Shell, ids: dict[str, str]
) -> None:
    ended = bare_shell("requests", "cancel", *ids.values(), "junk")
    assert ended.code == 1
    assert ended.out.splitlines() == [
        "result\tid",
        f"ended\t{ids['failed']}",
        f"ended\t{ids['finished']}",
        f"started\t{ids['started']}",
        f"cancelled\t{ids['queued']}",
        "unknown\tjunk",
    ]
    told = ended.err.splitlines()
    assert len(told) == 4
    assert f"{ids['started']}: it is running, and CVAT cancels only queued requests" in told[2]
    assert "'asynccvat requests' shows the ids" in told[3]
    assert [item["id"] for item in bare_shell("requests", "--json").json] == [ids["started"]]


@pytest.mark.parametrize("flags", [("--all",), ("-t", "1,2")])
def test_queued_requests_are_cancelled_without_naming_them(
    bare_shell: Shell, ids: dict[str, str], flags: tuple[str, ...]
) -> None:
    ended = bare_shell("requests", "cancel", "--json", *flags)
    assert (ended.code, ended.err) == (0, "")
    assert ended.json == [{"id": ids["queued"], "result": "cancelled"}]
    again = bare_shell("requests", "cancel", *flags)
    assert (again.code, again.out) == (0, "result\tid\n")
    assert again.err == "Nothing to do: no such request waits in the server's queue.\n"


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("requests", "cancel"), "Name a request"),
        (("requests", "cancel", ""), "ID is empty"),
        (("requests", "cancel", "--all", "junk"), "Remove it or the ids"),
        (("requests", "cancel", "--all", "-t", "1"), "Remove it or the ids"),
        (("requests", "-t", "1", "cancel", "--all"), "--task-id is not for 'cancel'"),
        (("requests", "--status", "done"), "queued"),
        (("requests", "cancle"), "'cancle'"),
    ],
)
def test_bad_input_is_refused_before_anything_is_cancelled(
    bare_shell: Shell, ids: dict[str, str], arguments: tuple[str, ...], told: str
) -> None:
    ended = bare_shell(*arguments)
    assert (ended.code, ended.out) == (2, "")
    (line,) = ended.err.splitlines()
    assert told in line
    assert ids["queued"] in [item["id"] for item in bare_shell("requests", "--json").json]


def test_shared_options_may_stand_before_the_group_s_command_and_after_it(
    bare_shell: Shell, ids: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    url = os.environ["CVAT_URL"]
    monkeypatch.setenv("CVAT_URL", "http://127.0.0.1:1")
    assert bare_shell("requests", "cancel", ids["queued"]).code == 4
    assert bare_shell("requests", "--url", url, "cancel", ids["started"]).code == 1
    assert bare_shell("requests", "cancel", ids["queued"], "--url", url).code == 0


def test_a_queue_that_stands_still_is_named(
    bare_shell: Shell, ids: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert ids
    assert "nothing has left" not in bare_shell("requests").err
    monkeypatch.setattr(stalls, "SAY_AFTER", -10.0)  # dates have whole seconds
    monkeypatch.setattr(stalls, "duration_text", lambda _seconds: "7m")
    said = bare_shell("requests").err.splitlines()[-1]
    began = "warning: nothing has left the server's export queue for 7m: 1 of yours waits behind 1"
    assert said.startswith(f"{began} that runs since ")
    assert "nothing has left" not in bare_shell("requests", "-t", "2").err
