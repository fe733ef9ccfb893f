"""Views of the simulated server that a mirror seldom calls, and the HTTP around them."""

from __future__ import annotations

import json

import pytest
from simulator_client import EXPORT, SimulatorClient, simulator_client

from asynccvat.simulator import Fault, SimulatorOptions, UserSpec

pytestmark = pytest.mark.anyio


async def control(client: SimulatorClient, method: str, name: str, value: object = None) -> object:
    answer = await client(method, f"/_simulator/{name}", json=value)
    assert answer.status == 200, answer.body
    return answer.json


async def test_control_calls_read_and_change_the_server() -> None:
    async with simulator_client() as client:
        assert await control(client, "POST", "faults", {"status": 503}) == {"faults": 1}
        more = [Fault(status=500, times=None).to_json()]
        assert await control(client, "POST", "faults", more) == {"faults": 2}
        assert (await client.get("/api/tasks")).status == 503
        assert await control(client, "DELETE", "faults") == {"faults": 0}
        finished = await client.exported()
        assert await control(client, "POST", "do", {"method": "edit_task", "task_id": 2}) == {
            "id": 2
        }
        token = await control(client, "POST", "do", {"method": "create_access_token"})
        bearer = {"Authorization": f"Bearer {token}"}
        assert (await client.get("/api/users/self", headers=bearer)).status == 200
        calls = await control(client, "GET", "calls")
        assert isinstance(calls, list)
        assert calls[0]["status"] == 503
        exports = await control(client, "GET", "exports")
        assert isinstance(exports, list)
        assert exports[0]["rq_id"] == finished["id"]
        stats = await control(client, "GET", "stats")
        assert isinstance(stats, dict)
        assert stats["exports"] == 1


@pytest.mark.parametrize(
    ("method", "name", "value"),
    [
        ("GET", "nonsense", None),
        ("POST", "do", {"method": "stop"}),
        ("POST", "do", {"method": "edit_task", "task_id": 99}),
        ("POST", "faults", {"nonsense": 1}),
    ],
)
async def test_wrong_control_calls_are_refused(method: str, name: str, value: object) -> None:
    async with simulator_client() as client:
        assert (await client(method, f"/_simulator/{name}", json=value)).status == 400


@pytest.mark.parametrize(
    ("accept", "status", "kind"),
    [
        ("*/*", 200, "application/vnd.cvat+json"),
        ("application/vnd.cvat+json, */*", 200, "application/vnd.cvat+json"),
        ("application/vnd.cvat+json; version=2.0", 200, "application/vnd.cvat+json"),
        ("text/html", 200, "text/html; charset=utf-8"),
        ("application/json", 406, "application/vnd.cvat+json"),
        ("application/zip", 406, "application/vnd.cvat+json"),
    ],
)
async def test_accept_headers(accept: str, status: int, kind: str) -> None:
    async with simulator_client() as client:
        answer = await client.get("/api/server/about", headers={"Accept": accept})
        assert (answer.status, answer.type) == (status, kind)


async def test_json_is_compressed_from_200_bytes_on() -> None:
    async with simulator_client() as client:
        for path, is_packed in (("/api/tasks", True), ("/api/server/plugins", False)):
            headers = {"Authorization": f"Token {client.server.token}", "Accept-Encoding": "gzip"}
            async with client.session.get(client.server.url + path, headers=headers) as answer:
                assert (answer.headers.get("Content-Encoding") == "gzip") == is_packed
                assert ("Accept-Encoding" in answer.headers["Vary"]) == is_packed
        plain = await client.get("/api/tasks", headers={"Accept-Encoding": "identity"})
        assert "Content-Encoding" not in plain.headers
        assert plain.json["count"] == 3


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("HEAD", "/api/tasks/1", 500),
        ("HEAD", "/api/users/self", 200),
        ("HEAD", "/api/server/about", 200),
        ("OPTIONS", f"/api/tasks/1/{EXPORT}", 200),
        ("GET", f"/api/tasks/1/{EXPORT}", 405),
        ("DELETE", "/api/tasks", 405),
        ("HEAD", "/api/webhooks", 405),
        ("OPTIONS", "/api/webhooks/events", 405),
        ("HEAD", f"/api/tasks/1/{EXPORT}", 405),
        ("GET", "/api/webhooks/1/deliveries/1/nothing", 404),
        ("GET", "/api/tasks/", 404),
        ("GET", "/api/tasks/1/", 404),
        ("GET", "/api/tasks/junk", 404),
        ("GET", "/api/requests/", 404),
        ("GET", "/api/nosuch/1", 404),
        ("GET", "/api", 404),
        ("GET", "/api/tasks/99", 404),
        ("GET", "/api/projects/99", 404),
        ("GET", "/api/jobs/99", 404),
        ("GET", "/api/users/99", 404),
        ("PATCH", "/api/users/99", 404),
        ("DELETE", "/api/auth/access_tokens/9", 404),
        ("GET", "/api/labels?task_id=junk", 400),
        ("GET", f"/api/tasks?search={'a' * 8200}", 414),
        ("GET", "/api/tasks/1/dataset?format=COCO+1.0", 410),
        ("GET", "/api/tasks/1/annotations?format=COCO+1.0", 410),
        ("GET", "/api/projects/1/annotations", 410),
        ("GET", "/api/projects/1/backup", 410),
        ("PUT", "/api/tasks/1/annotations?format=CVAT+1.1", 410),
        ("GET", "/api/projects/1/dataset/?action=import_status", 410),
    ],
)
async def test_paths_and_methods(method: str, path: str, status: int) -> None:
    async with simulator_client() as client:
        assert (await client(method, path)).status == status


async def test_headers_past_the_buffers_of_nginx_are_refused() -> None:
    async with simulator_client() as client:
        answer = await client.get("/api/users/self", headers={"X-Long": "b" * 8200})
        assert answer.status == 400
        assert b"Request Header Or Cookie Too Large" in answer.body


async def test_bodies_that_cannot_be_read() -> None:
    async with simulator_client() as client:
        url = f"{client.server.url}/api/tasks/1"
        for body, kind, status in (
            (b"{bad", "application/json", 400),
            (b"[1]", "application/json", 500),
            (b"x=1", "text/plain", 415),
        ):
            headers = {"Authorization": f"Token {client.server.token}", "Content-Type": kind}
            async with client.session.patch(url, data=body, headers=headers) as answer:
                assert answer.status == status


async def test_a_task_shows_its_data_jobs_and_labels() -> None:
    options = SimulatorOptions(tasks=2, frames=3, tasks_without_data=1)
    async with simulator_client(options) as client:
        task = (await client.get("/api/tasks/1")).json
        assert (task["size"], task["jobs"]["count"]) == (3, 1)
        meta = (await client.get("/api/tasks/1/data/meta")).json
        assert (meta["size"], meta["stop_frame"], len(meta["frames"])) == (3, 2, 3)
        for link in (task["jobs"]["url"], task["labels"]["url"]):
            assert (await client.get(link)).json["count"] > 0
        job = (await client.get("/api/jobs/1")).json
        assert (job["task_id"], job["frame_count"]) == (1, 3)
        labels = [
            (await client.get(f"/api/labels?{query}")).json["count"]
            for query in ("task_id=1", "job_id=1", "project_id=1", "")
        ]
        assert len(set(labels)) == 1
        assert (await client.get("/api/jobs")).json["count"] == 1
        assert (await client.get("/api/tasks/2/data/meta")).status == 500
        assert (await client.get("/api/tasks/2/annotations")).status == 400
        assert (await client("POST", "/api/tasks/2/backup/export")).status == 400


async def test_data_meta_shows_whether_the_images_changed() -> None:
    async with simulator_client(SimulatorOptions(tasks=1, frames=3)) as client:
        before = (await client.get("/api/tasks/1/data/meta")).json
        client.server.edit_task(1)
        assert (await client.get("/api/tasks/1/data/meta")).json == before
        images = [frame.data() for frame in client.server.tasks[1].exported_frames()]
        client.server.change_media(1)
        changed = (await client.get("/api/tasks/1/data/meta")).json
        assert changed["chunks_updated_date"] > before["chunks_updated_date"]
        others = [frame.data() for frame in client.server.tasks[1].exported_frames()]
        assert not set(images) & set(others)
        client.server.change_task(1, deleted_frames=(1,))
        deleted = (await client.get("/api/tasks/1/data/meta")).json
        assert (deleted["size"], deleted["deleted_frames"]) == (3, [1])
        assert len(deleted["frames"]) == 3
        left = [frame.data() for frame in client.server.tasks[1].exported_frames()]
        assert left == [others[0], others[2]]


async def test_access_tokens_are_made_listed_and_deleted() -> None:
    async with simulator_client() as client:
        given = {"name": "mine", "expiry_date": "2100-01-01T00:00:00Z"}
        made = await client("POST", "/api/auth/access_tokens", json=given)
        assert made.status == 201
        bearer = {"Authorization": f"Bearer {made.json['value']}"}
        own = await client.get("/api/auth/access_tokens/self", headers=bearer)
        assert own.json["name"] == "mine"
        assert "value" not in own.json
        assert own.json["read_only"] is True  # CVAT's default
        assert (await client.get("/api/auth/access_tokens/self")).status == 401
        assert (await client.get("/api/auth/access_tokens")).json["count"] == 1
        assert (await client("POST", "/api/auth/access_tokens", json={})).status == 400
        number = made.json["id"]
        assert (await client("DELETE", f"/api/auth/access_tokens/{number}")).status == 204
        assert (await client.get("/api/users/self", headers=bearer)).status == 401


async def test_an_access_token_lists_access_tokens_and_changes_none() -> None:
    async with simulator_client() as client:
        given = {"name": "writer", "read_only": False}
        made = await client("POST", "/api/auth/access_tokens", json=given)
        bearer = {"Authorization": f"Bearer {made.json['value']}"}
        path = "/api/auth/access_tokens"
        assert (await client.get(path, headers=bearer)).json["count"] == 1
        assert (await client("POST", path, json=given, headers=bearer)).status == 403
        own = f"{path}/{made.json['id']}"
        assert (await client("DELETE", own, headers=bearer)).status == 403


async def test_names_and_number_of_access_tokens_are_limited() -> None:
    async with simulator_client() as client:
        path = "/api/auth/access_tokens"
        assert (await client("POST", path, json={"name": "a" * 51})).status == 400
        assert (await client("POST", path, json={"name": " "})).status == 400
        gone = {"name": "a" * 50, "expiry_date": "2020-01-01T00:00:00Z"}
        assert (await client("POST", path, json=gone)).status == 201
        assert (await client.get(path)).json["count"] == 0
        for _ in range(50):
            assert (await client("POST", path, json={"name": "one"})).status == 201
        refused = await client("POST", path, json={"name": "one more"})
        assert refused.status == 400
        assert refused.json[0].startswith("You have reached the maximum allowed number of Personal")


async def test_servers_before_2_48_know_no_access_tokens() -> None:
    async with simulator_client(SimulatorOptions(tasks=1, version="2.47.0")) as client:
        assert (await client.get("/api/auth/access_tokens")).status == 404
        made = await client("POST", "/api/auth/access_tokens", json={"name": "one"})
        assert made.status == 404
        assert (await client.get("/api/users/self")).status == 200


async def test_sessions_need_the_csrf_token_for_changes() -> None:
    async with simulator_client() as client:
        given = {"username": "admin", "password": client.server.password}
        first = await client("POST", "/api/auth/login", json=given, anonymous=True)
        cookies = [value.partition(";")[0] for value in first.headers.getall("Set-Cookie")]
        token = cookies[0].partition("=")[2]
        headers = {"Cookie": "; ".join(cookies), "X-CSRFToken": token}
        right = await client("PATCH", "/api/users/1", json={}, headers=headers, anonymous=True)
        assert right.status == 200
        headers["X-CSRFToken"] = "wrong"
        wrong = await client("PATCH", "/api/users/1", json={}, headers=headers, anonymous=True)
        assert wrong.status == 403
        stale = {"Cookie": "sessionid=unknown"}
        again = await client("POST", "/api/auth/login", json=given, headers=stale, anonymous=True)
        assert again.status == 200


async def test_organizations_are_made_and_give_their_tasks_to_their_owner() -> None:
    options = SimulatorOptions(tasks=2, frames=1, users=(UserSpec("ann", "secret"),))
    async with simulator_client(options) as client:
        token = client.server.accounts.token_of(client.server.accounts.by_id[2])
        made = await client("POST", "/api/organizations", json={"slug": "lab"}, token=token)
        assert made.status == 201
        assert (await client("POST", "/api/organizations", json={})).status == 400
        assert (await client.get("/api/organizations")).json["count"] == 1
        client.server.change_task(1, organization_id=made.json["id"])
        assert (await client.get("/api/tasks", token=token)).json["count"] == 1
        created = await client("POST", "/api/tasks?org=lab", json={"name": "x"}, token=token)
        assert created.json["organization_id"] == made.json["id"]
        assert (await client.get("/api/tasks?org=lab", token=token)).json["count"] == 2


async def test_tasks_are_assigned_to_users_that_exist() -> None:
    options = SimulatorOptions(tasks=1, frames=1, users=(UserSpec("ann", "secret"),))
    async with simulator_client(options) as client:
        assigned = await client("PATCH", "/api/tasks/1", json={"assignee_id": 2})
        assert assigned.json["assignee"]["username"] == "ann"
        taken_back = await client("PATCH", "/api/tasks/1", json={"assignee_id": None})
        assert taken_back.json["assignee"] is None
        assert (await client("PATCH", "/api/tasks/1", json={"assignee_id": 9})).status == 400
        assert (await client("PATCH", "/api/tasks/1", json={"name": ""})).status == 400
        wrong = await client("POST", "/api/tasks", json={"name": "x", "project_id": 99})
        assert wrong.status == 400
        shape = {"label_id": 99999, "type": "rectangle", "frame": 0, "points": [1, 2, 3, 4]}
        path = "/api/tasks/1/annotations?action=create"
        refused = await client("PATCH", path, json={"shapes": [shape]})
        assert refused.json == ["label_id `99999` is invalid"]


async def test_health_needs_no_credentials_and_is_plain_json() -> None:
    async with simulator_client(SimulatorOptions(tasks=0, throttle_anonymous=0)) as client:
        answer = await client.get("/api/server/health/?format=json", anonymous=True)
        assert (answer.status, answer.type) == (200, "application/json")
        assert set(answer.json.values()) == {"working"}


async def test_calls_that_cost_time_are_answered_all_the_same() -> None:
    options = SimulatorOptions(
        tasks=3, costs=True, latency=0, requests_list_seconds=0, export_seconds=0
    )
    async with simulator_client(options) as client:
        assert (await client.get("/api/tasks?page_size=2&page=2")).json["count"] == 3
        assert (await client.get("/api/tasks?filter=broken")).status == 400
        assert (await client.get("/api/tasks", anonymous=True)).status == 401
        assert (await client.exported())["status"] == "finished"
        listed = await client.get("/api/requests")
        assert json.loads(listed.body)["count"] == 1
