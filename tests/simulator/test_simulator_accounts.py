"""Logins and credentials on the simulated server."""

from __future__ import annotations

from base64 import b64encode
from datetime import UTC, datetime

import pytest
from simulator_client import SimulatorClient, simulator_client

from asynccvat.simulator import SimulatorOptions, UserSpec

pytestmark = pytest.mark.anyio


async def log_in(client: SimulatorClient) -> str:
    given = {"username": client.server.username, "password": client.server.password}
    answer = await client("POST", "/api/auth/login", json=given, anonymous=True)
    return str(answer.json["key"])


async def test_every_login_returns_the_same_key_and_logout_revokes_it() -> None:
    async with simulator_client() as client:
        key = await log_in(client)
        assert key == await log_in(client)
        assert key == client.server.token
        assert (await client.get("/api/users/self", token=key)).json["username"] == "admin"
        assert (await client("POST", "/api/auth/logout", token=key)).status == 200
        assert (await client.get("/api/users/self", token=key)).status == 401
        assert await log_in(client) != key


async def test_login_by_email_and_by_a_wrong_password() -> None:
    async with simulator_client() as client:
        given = {"email": "admin@example.com", "password": client.server.password}
        assert (await client("POST", "/api/auth/login", json=given, anonymous=True)).status == 200
        given["password"] = "wrong"
        wrong = await client("POST", "/api/auth/login", json=given, anonymous=True)
        assert wrong.status == 400
        assert wrong.json == {"non_field_errors": ["Unable to log in with provided credentials."]}


async def test_a_login_with_the_cookies_of_an_earlier_one_is_refused() -> None:
    async with simulator_client() as client:
        given = {"username": "admin", "password": client.server.password}
        first = await client("POST", "/api/auth/login", json=given, anonymous=True)
        cookies = [value.partition(";")[0] for value in first.headers.getall("Set-Cookie")]
        assert [cookie.partition("=")[0] for cookie in cookies] == [
            "csrftoken",
            "sessionfresh",
            "sessionid",
        ]
        headers = {"Cookie": "; ".join(cookies)}
        again = await client("POST", "/api/auth/login", json=given, headers=headers, anonymous=True)
        assert (again.status, again.json) == (403, {"detail": "CSRF Failed: CSRF token missing."})
        reading = await client.get("/api/users/self", headers=headers, anonymous=True)
        assert reading.status == 200


@pytest.mark.parametrize(
    ("authorization", "status"),
    [
        ("Basic " + b64encode(b"admin:simulated-secret").decode(), 200),
        ("Basic " + b64encode(b"admin:wrong").decode(), 401),
        ("Basic !", 401),
        ("Token " + "0" * 40, 401),
        ("Bearer 12345678." + "0" * 32, 401),
    ],
)
async def test_credentials_of_every_kind(authorization: str, status: int) -> None:
    async with simulator_client() as client:
        answer = await client.get("/api/users/self", headers={"Authorization": authorization})
        assert answer.status == status
        assert ("WWW-Authenticate" in answer.headers) == (status == 401)


async def test_a_read_only_access_token_may_export() -> None:
    async with simulator_client() as client:
        value = client.server.create_access_token(read_only=True)
        bearer = {"Authorization": f"Bearer {value}"}
        assert [len(part) for part in value.split(".")] == [8, 32]
        assert (await client.get("/api/tasks", headers=bearer)).status == 200
        assert (await client.export(headers=bearer)).status == 202
        assert (await client("PATCH", "/api/tasks/1", json={}, headers=bearer)).status == 403
        as_token = {"Authorization": f"Token {value}"}
        assert (await client.get("/api/tasks", headers=as_token)).status == 401


async def test_an_expired_access_token_is_invalid() -> None:
    async with simulator_client() as client:
        value = client.server.create_access_token(expiry=datetime(2020, 1, 1, tzinfo=UTC))
        answer = await client.get("/api/tasks", headers={"Authorization": f"Bearer {value}"})
        assert (answer.status, answer.json) == (401, {"detail": "Invalid token."})


async def test_anonymous_calls_are_throttled_per_address() -> None:
    async with simulator_client(SimulatorOptions(tasks=1, throttle_anonymous=2)) as client:
        for _ in range(2):
            assert (await client.get("/api/server/about", anonymous=True)).status == 200
        refused = await client("POST", "/api/auth/login", json={}, anonymous=True)
        assert refused.status == 429
        seconds = int(refused.headers["Retry-After"])
        assert 1 <= seconds <= 60
        assert refused.json == {
            "detail": f"Request was throttled. Expected available in {seconds} seconds."
        }
        elsewhere = {"X-Forwarded-For": "203.0.113.9"}
        answer = await client.get("/api/server/about", headers=elsewhere, anonymous=True)
        assert answer.status == 200
        assert (await client.get("/api/server/about")).status == 200


async def test_a_server_can_refuse_all_anonymous_calls() -> None:
    async with simulator_client(SimulatorOptions(tasks=1, throttle_anonymous=0)) as client:
        refused = await client.get("/api/server/about", anonymous=True)
        assert (refused.status, refused.headers["Retry-After"]) == (429, "60")


async def test_users_can_be_throttled_too() -> None:
    async with simulator_client(SimulatorOptions(tasks=1, throttle_users=1)) as client:
        assert (await client.get("/api/tasks")).status == 200
        assert (await client.get("/api/tasks")).status == 429


async def test_other_users_see_only_their_own_tasks() -> None:
    options = SimulatorOptions(tasks=3, frames=1, users=(UserSpec("ann", "secret"),))
    async with simulator_client(options) as client:
        ann = client.server.accounts.by_id[2]
        token = client.server.accounts.token_of(ann)
        assert (await client.get("/api/tasks", token=token)).json["count"] == 0
        assert (await client.get("/api/tasks/2", token=token)).status == 403
        assert (await client.export(2, token=token)).status == 403
        client.server.change_task(2, assignee=ann.user)
        assert (await client.get("/api/tasks", token=token)).json["count"] == 1
        theirs = (await client.export(2, token=token)).json["rq_id"]
        ours = (await client.export(2)).json["rq_id"]
        assert "user_id=2" in theirs
        assert "user_id=1" in ours
        await client.ended(ours)
        path = f"/api/requests/{ours.replace('&', '%26')}"
        assert (await client.get(path, token=token)).status == 403


async def test_an_organization_narrows_the_lists() -> None:
    async with simulator_client() as client:
        client.server.add_organization("lab", (2,))
        for query, headers, count in (
            ("", {}, 3),
            ("?org=", {}, 2),
            ("?org=lab", {}, 1),
            ("?org_id=1", {}, 1),
            ("", {"X-Organization": "lab"}, 1),
        ):
            answer = await client.get(f"/api/tasks{query}", headers=headers)
            assert answer.json["count"] == count, (query, headers)
        unknown = await client.get("/api/tasks?org=nosuch")
        assert unknown.status == 404
        contradiction = await client.get("/api/tasks?org=lab", headers={"X-Organization": "other"})
        assert contradiction.status == 400


async def test_requests_are_listed_by_the_organization_of_their_target() -> None:
    async with simulator_client() as client:
        client.server.add_organization("lab", (2,))
        for task_id in (1, 2):
            await client.exported(task_id)

        async def listed(query: str, headers: dict[str, str] | None = None) -> list[int]:
            response = await client.get(f"/api/requests{query}", headers=headers or {})
            return [one["operation"]["task_id"] for one in response.json["results"]]

        assert await listed("?org=lab") == [2]
        for query in ("", "?org="):
            assert await listed(query) == [2, 1]
        assert await listed("", {"X-Organization": "lab"}) == [2, 1]
