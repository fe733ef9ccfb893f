"""The simulated server in the caller's loop, in a thread, in a process, and as a fixture."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from anyio import create_task_group
from simulator_client import simulator_client

from asynccvat.simulator import (
    Fault,
    ServerProcess,
    SimulatedServer,
    SimulatorOptions,
    UserSpec,
    serve,
    serve_in_thread,
)
from asynccvat.simulator.pytest_plugin import cvat_server, cvat_server_options

__all__ = ["cvat_server", "cvat_server_options"]


def fetch(url: str, token: str, method: str = "GET") -> Any:
    request = urllib.request.Request(
        url, headers={"Authorization": f"Token {token}"}, method=method
    )
    with urllib.request.urlopen(request) as answer:
        return json.load(answer)


def test_the_fixture_serves_synchronous_tests(cvat_server: SimulatedServer) -> None:
    page = fetch(f"{cvat_server.url}/api/tasks", cvat_server.token)
    assert page["count"] == 10
    cvat_server.delete_task(3)
    assert fetch(f"{cvat_server.url}/api/tasks", cvat_server.token)["count"] == 9


@pytest.mark.anyio
async def test_the_fixture_serves_coroutines(cvat_server: SimulatedServer) -> None:
    url = f"{cvat_server.url}/api/users/self"
    shown = await asyncio.to_thread(fetch, url, cvat_server.token)
    assert shown["username"] == cvat_server.username


def test_naming_the_plugin_provides_the_fixture(tmp_path: Path) -> None:
    plugin = "asynccvat.simulator.pytest_plugin"
    (tmp_path / "conftest.py").write_text(f"pytest_plugins = ['{plugin}']\n")
    (tmp_path / "test_it.py").write_text(
        "import pytest\n"
        "from asynccvat.simulator import SimulatorOptions\n"
        "@pytest.fixture\n"
        "def cvat_server_options():\n"
        "    return SimulatorOptions(tasks=2, frames=1)\n"
        "@pytest.mark.anyio\n"
        "async def test_one(cvat_server):\n"
        "    assert len(cvat_server.tasks) == 2\n"
    )
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(tmp_path)]
    ended = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert ended.returncode == 0, ended.stdout + ended.stderr


def test_a_server_in_a_thread_is_controlled_from_outside() -> None:
    with serve_in_thread(SimulatorOptions(tasks=2, frames=1)) as server:
        before = server.tasks[1].updated_date
        assert server.edit_task(1).updated_date > before
        server.pause_exports()
        path = "/api/tasks/1/dataset/export?format=COCO+1.0"
        rq_id = fetch(server.url + path, server.token, "POST")["rq_id"]
        assert rq_id in server.requests
        server.forget_requests()
        server.release_exports()
        assert server.requests == {}
        assert server.add_organization("lab", (2,)).id == server.tasks[2].organization_id


def test_a_port_in_use_raises_in_the_calling_thread() -> None:
    with serve_in_thread(SimulatorOptions(tasks=0)) as server:
        port = int(server.url.rpartition(":")[2])
        with pytest.raises(OSError, match="address"), serve_in_thread(SimulatorOptions(port=port)):
            pass


def test_a_server_in_a_process_takes_faults_and_returns_records() -> None:
    options = SimulatorOptions(
        tasks=2, frames=1, users=(UserSpec("ann", "secret"),), subsets=("Train",)
    )
    with ServerProcess(options) as server:
        assert fetch(f"{server.url}/api/tasks", server.token)["count"] == 2
        server.add_faults(Fault(path="^/api/tasks$", status=503, body="{}"))
        with pytest.raises(urllib.error.HTTPError) as refused:
            fetch(f"{server.url}/api/tasks", server.token)
        refused.value.close()
        server.add_faults(Fault(times=None))
        server.clear_faults()
        server.do("delete_task", task_id=1)
        assert fetch(f"{server.url}/api/tasks", server.token)["count"] == 1
        assert server.do("add_task", name="new") == {"id": 3}
        with pytest.raises(urllib.error.HTTPError) as unknown:
            server.do("stop")
        unknown.value.close()
        assert [call["status"] for call in server.calls] == [200, 503, 200]
        assert server.stats["calls_by_kind"] == {"GET /api/tasks": 3}
        assert server.exports == []


def test_a_process_that_cannot_serve_says_so(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(RuntimeError, match="before it listened"):
        ServerProcess(SimulatorOptions(archives=tmp_path / "nowhere"))
    assert "nowhere" in capfd.readouterr().err


def test_options_with_functions_cannot_be_sent_to_a_process() -> None:
    with pytest.raises(ValueError, match="export_seconds is a function"):
        SimulatorOptions(export_seconds=lambda _: 1.0).to_json()


def test_options_survive_a_round_trip_through_json() -> None:
    options = SimulatorOptions(
        tasks=3, archives=Path("somewhere"), users=(UserSpec("ann", "secret", superuser=True),)
    )
    assert SimulatorOptions.from_json(json.loads(json.dumps(options.to_json()))) == options


def test_unknown_options_are_named() -> None:
    command = [sys.executable, "-m", "asynccvat.simulator", "--json", '{"nonsense": 1}']
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == 2
    assert "nonsense" in ended.stderr


@pytest.mark.anyio
async def test_serve_runs_until_cancelled() -> None:
    started = asyncio.Event()
    async with create_task_group() as group:
        group.start_soon(lambda: serve(SimulatorOptions(tasks=0), started=started))
        await started.wait()
        group.cancel_scope.cancel()


@pytest.mark.anyio
async def test_calls_and_exports_are_recorded() -> None:
    async with simulator_client() as client:
        finished = await client.exported(2)
        await client.get(finished["result_url"], headers={"Range": "bytes=0-9"})
        await client.get("/api/tasks?page_size=1", anonymous=True)
        (span,) = client.server.exports
        assert (span.rq_id, span.worker, span.status) == (finished["id"], 0, "finished")
        *_, download, refused = client.server.calls
        assert (download.method, download.status, download.bytes_sent) == ("GET", 206, 10)
        assert (download.range, download.task_id) == ("bytes=0-9", 2)
        assert (download.scheme, download.authorization) == ("token", True)
        assert (refused.path, refused.query) == ("/api/tasks", "page_size=1")
        assert (refused.status, refused.authorization) == (401, False)
        stats = client.server.stats
        assert stats["exports"] == 1
        assert stats["calls_by_kind"]["GET /api/tasks/{id}/dataset/download"] == 1
        assert stats["statuses"]["401"] == 1
        polls = [call for call in client.server.calls if call.path.startswith("/api/requests/")]
        assert {call.task_id for call in polls} == {2}


@pytest.mark.anyio
async def test_a_server_can_be_changed_through_its_own_api() -> None:
    async with simulator_client() as client:
        renamed = await client("PATCH", "/api/tasks/1", json={"name": "other", "subset": "Train"})
        assert (renamed.json["name"], renamed.json["subset"]) == ("other", "Train")
        wrong = await client("PATCH", "/api/tasks/1", json={"nonsense": 1})
        assert wrong.status == 403
        before = (await client.get("/api/tasks/1")).json["updated_date"]
        annotations = (await client.get("/api/tasks/1/annotations")).json
        emptied = {**annotations, "shapes": [], "tags": []}
        assert (await client("PUT", "/api/tasks/1/annotations", json=emptied)).status == 200
        assert (await client("PUT", "/api/tasks/1/annotations", json=annotations)).status == 400
        assert (await client("DELETE", "/api/tasks/1/annotations")).status == 204
        assert (await client.get("/api/tasks/1")).json["updated_date"] > before
        assert (await client("DELETE", "/api/tasks/1")).status == 204
        assert (await client.get("/api/tasks/1")).status == 404
        created = await client("POST", "/api/tasks", json={"name": "new", "project_id": 1})
        assert created.status == 201
        assert created.headers["Location"].endswith(f"/api/tasks/{created.json['id']}")
