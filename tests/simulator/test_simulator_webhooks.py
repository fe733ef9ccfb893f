"""The simulator keeps webhooks, and sends them what changes."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import hmac
import io
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Final

import pytest
from simulator_client import SimulatorClient, simulator_client
from webhook_address import Hook, listening

from asynccvat.simulator import SimulatorOptions, UserSpec
from asynccvat.simulator.formats.archives import export_archive
from asynccvat.simulator.world.webhooks import EVENTS

pytestmark = pytest.mark.anyio

HERE: Final = "/api/webhooks"
OPTIONS: Final = SimulatorOptions(
    tasks=3, frames=4, projects=1, users=(UserSpec("ann", "pass"),), version="2.64.0"
)


@contextlib.asynccontextmanager
async def with_hook() -> AsyncIterator[tuple[SimulatorClient, Hook]]:
    async with simulator_client(OPTIONS) as client, listening() as hook:
        yield client, hook


def of_project(url: str, **fields: Any) -> dict[str, Any]:
    return {
        "target_url": url,
        "type": "project",
        "project_id": 1,
        "events": list(EVENTS["project"]),
        **fields,
    }


async def made(client: SimulatorClient, given: dict[str, Any], query: str = "") -> int:
    response = await client("POST", HERE + query, json=given)
    assert response.status == 201, response.body
    number: int = response.json["id"]
    assert response.headers["Location"].endswith(f"{HERE}/{number}")
    return number


async def bodies(client: SimulatorClient, hook: Hook) -> list[dict[str, Any]]:
    """Return the events since the last call of this."""
    await client.server.deliveries_sent()
    found = [json.loads(one.body) for one in hook.received]
    hook.received.clear()
    return found


async def events(client: SimulatorClient, hook: Hook) -> list[str]:
    return [body["event"] for body in await bodies(client, hook)]


# --- Webhooks -------------------------------------------------------------------------------------


async def test_webhooks_are_made_listed_changed_and_deleted() -> None:
    async with with_hook() as (client, hook):
        number = await made(client, of_project(hook.url, description="ours", secret="s"))
        shown = (await client.get(f"{HERE}/{number}")).json
        assert (shown["is_active"], shown["enable_ssl"]) == (True, True)
        assert "secret" not in shown
        changed = await client("PATCH", f"{HERE}/{number}", json={"events": ["delete:task"]})
        assert changed.json["events"] == ["delete:task"]
        assert changed.json["updated_date"] > shown["updated_date"]
        other = await made(client, of_project(hook.url, description="theirs"))
        listed = (await client.get(HERE)).json
        assert [one["id"] for one in listed["results"]] == [other, number]
        found = (await client.get(f"{HERE}?search=ours")).json["results"]
        assert [one["id"] for one in found] == [number]
        replaced = of_project("https://example.com/x", type="organization", project_id=7)
        put = (await client("PUT", f"{HERE}/{number}", json=replaced)).json
        assert (put["target_url"], put["type"]) == ("https://example.com/x", "project")
        assert put["project_id"] == 1
        assert (await client("DELETE", f"{HERE}/{number}")).status == 204
        assert (await client.get(f"{HERE}/{number}")).status == 404


async def test_the_events_of_each_type_are_those_of_a_real_server(shared: Path) -> None:
    path = shared / "contract" / "http-2.64" / "webhooks_264.json"
    exchanges = json.loads(path.read_bytes())["exchanges"]
    recorded = [json.loads(exchange["response"]["body"]) for exchange in exchanges[1:3]]
    async with simulator_client(OPTIONS) as client:
        for expected in recorded:
            shown = await client.get(f"{HERE}/events?type={expected['webhook_type']}")
            assert shown.json == expected
        assert (await client.get(f"{HERE}/events")).json["webhook_type"] == "all"
        refused = await client.get(f"{HERE}/events?type=x")
        assert (refused.status, refused.json) == (400, "Incorrect value of type parameter")


@pytest.mark.parametrize(
    ("changes", "status", "error"),
    [
        ({"target_url": "no url"}, 400, {"target_url": ["Enter a valid URL."]}),
        ({"target_url": 7}, 400, {"target_url": ["Enter a valid URL."]}),
        ({"target_url": None}, 400, {"target_url": ["This field is required."]}),
        ({"type": "x"}, 400, {"type": ['"x" is not a valid choice.']}),
        ({"type": None}, 400, {"type": ["This field is required."]}),
        ({"content_type": "x"}, 400, {"content_type": ['"x" is not a valid choice.']}),
        ({"events": None}, 400, {"events": ["This field is required."]}),
        ({"events": ["x"]}, 400, {"events": ['"x" is not a valid choice.']}),
        (
            {"events": "create:task"},
            400,
            {"events": ['Expected a list of items but got type "str".']},
        ),
        (
            {"events": ["create:project"]},
            400,
            {"non_field_errors": ["Invalid events list for project webhook"]},
        ),
        ({"events": [{}]}, 400, {"events": ['"{}" is not a valid choice.']}),
        ({"type": []}, 400, {"type": ['"[]" is not a valid choice.']}),
        ({"project_id": "x"}, 400, {"project_id": ["A valid integer is required."]}),
        ({"project_id": 9}, 400, ["Could not find project with provided id: 9"]),
        ({"project_id": None}, 500, None),
        ({"type": "organization"}, 500, None),
    ],
)
async def test_wrong_webhooks_are_refused(
    changes: dict[str, Any], status: int, error: object
) -> None:
    given = of_project("http://127.0.0.1:1/", **changes)
    given = {name: value for name, value in given.items() if value is not None}
    async with simulator_client(OPTIONS) as client:
        refused = await client("POST", HERE, json=given)
        assert refused.status == status
        if error is not None:
            assert refused.json == error
        assert not client.server.world.webhooks.by_id


async def test_only_owners_of_a_project_manage_its_webhooks() -> None:
    async with with_hook() as (client, hook):
        accounts = client.server.accounts
        ann = accounts.token_of(accounts.by_id[2])
        number = await made(client, of_project(hook.url))
        refused = await client("POST", HERE, json=of_project(hook.url), token=ann)
        assert refused.status == 403
        assert (await client.get(f"{HERE}/{number}", token=ann)).status == 403
        assert (await client.get(HERE, token=ann)).json["count"] == 0
        client.server.world.change_project(1, assignee=accounts.by_id[2].user)
        assert (await client.get(HERE, token=ann)).json["count"] == 1


# --- Deliveries -----------------------------------------------------------------------------------


async def test_a_delivery_is_signed_and_remembered_with_its_answer() -> None:
    async with with_hook() as (client, hook):
        hook.status, hook.answer = 202, b"thanks"
        number = await made(client, of_project(hook.url, secret="key"))
        client.server.rename_task(1, "other")
        await client.server.deliveries_sent()
        (received,) = hook.received
        signature = hmac.new(b"key", received.body, hashlib.sha256).hexdigest()
        assert received.headers["X-Signature-256"] == f"sha256={signature}"
        (shown,) = (await client.get(f"{HERE}/{number}/deliveries")).json["results"]
        assert (shown["status_code"], shown["response"]) == (202, "thanks")
        assert shown["changed_fields"] == "name,updated_date"
        assert shown["request"] == json.loads(received.body)
        one = await client.get(f"{HERE}/{number}/deliveries/{shown['id']}")
        assert one.json == shown
        webhook = (await client.get(f"{HERE}/{number}")).json
        assert webhook["last_status"] == 202
        assert webhook["last_delivery_date"] == shown["updated_date"]


async def test_without_a_secret_nothing_is_signed() -> None:
    async with with_hook() as (client, hook):
        number = await made(client, of_project(hook.url))
        assert (await client("POST", f"{HERE}/{number}/ping")).json["event"] == "ping"
        assert "X-Signature-256" not in hook.received[0].headers


async def test_an_address_that_nobody_listens_on_is_a_bad_gateway() -> None:
    async with with_hook() as (client, hook):
        number = await made(client, of_project(hook.url))
        await client("PATCH", f"{HERE}/{number}", json={"target_url": "http://127.0.0.1:1/"})
        shown = (await client("POST", f"{HERE}/{number}/ping")).json
        assert (shown["status_code"], shown["response"]) == (502, "")


async def test_a_delivery_is_sent_again_when_asked() -> None:
    async with with_hook() as (client, hook):
        number = await made(client, of_project(hook.url))
        client.server.rename_task(1, "other")
        (first,) = await bodies(client, hook)
        path = f"{HERE}/{number}/deliveries"
        assert (await client("POST", f"{path}/1/redelivery")).json == {}
        assert await bodies(client, hook) == [first]
        again, before = (await client.get(path)).json["results"]
        assert (again["redelivery"], before["redelivery"]) == (True, False)
        assert (await client.get(f"{path}/99")).status == 500


# --- Events ---------------------------------------------------------------------------------------


async def test_an_inactive_webhook_and_an_event_not_wanted_send_nothing() -> None:
    async with with_hook() as (client, hook):
        number = await made(client, of_project(hook.url, is_active=False))
        client.server.rename_task(1, "one")
        assert await events(client, hook) == []
        change = {"is_active": True, "events": ["update:job"]}
        await client("PATCH", f"{HERE}/{number}", json=change)
        client.server.rename_task(1, "two")
        assert await events(client, hook) == []
        client.server.change_job(1, state="completed")
        assert await events(client, hook) == ["update:job"]


async def test_a_task_outside_the_project_sends_nothing() -> None:
    async with with_hook() as (client, hook):
        await made(client, of_project(hook.url))
        client.server.edit_task(client.server.add_task().id)
        assert await events(client, hook) == []


async def test_an_export_sends_nothing() -> None:
    async with with_hook() as (client, hook):
        await made(client, of_project(hook.url))
        await client.exported(1)
        assert await events(client, hook) == []


async def test_an_organization_gets_the_events_of_its_projects_and_tasks() -> None:
    async with with_hook() as (client, hook):
        for slug in ("lab", "other"):
            client.server.add_organization(slug)
        given = {
            "target_url": hook.url,
            "type": "organization",
            "events": list(EVENTS["organization"]),
        }
        await made(client, given, "?org=lab")
        for slug in ("lab", "other"):
            await client("POST", f"/api/projects?org={slug}", json={"name": slug})
        (project,) = await bodies(client, hook)
        assert (project["event"], project["project"]["name"]) == ("create:project", "lab")
        assert (await client.get(f"{HERE}?org=lab")).json["count"] == 1
        assert (await client.get(f"{HERE}?org=other")).json["count"] == 0


async def test_a_change_of_annotations_names_only_the_jobs_that_have_them() -> None:
    async with with_hook() as (client, hook):
        world = client.server.world
        task = world.tasks[1]
        (job,) = task.jobs()
        jobs = tuple(
            dataclasses.replace(job, id=number, start_frame=start, stop_frame=start + 1)
            for number, start in ((901, 0), (902, 2))
        )
        client.server.change_task(1, own_jobs=jobs)
        await made(client, of_project(hook.url))
        label = task.labels[0].id
        box = {"type": "rectangle", "frame": 3, "label_id": label, "points": [1, 1, 5, 5]}
        path = "/api/tasks/1/annotations?action=create"
        assert (await client("PATCH", path, json={"shapes": [box]})).status == 200
        found = await bodies(client, hook)
        assert [one["event"] for one in found] == ["update:job", "update:task", "update:project"]
        assert found[0]["job"]["id"] == 902
        first, second = world.tasks[1].jobs()
        assert first.updated_date == job.updated_date < second.updated_date


async def test_a_worker_names_the_address_of_the_user_and_has_paths_for_links() -> None:
    async with with_hook() as (client, hook):
        await made(client, of_project(hook.url))
        archive = export_archive(client.server.tasks[2], "CVAT for images 1.1", save_images=False)
        path = "/api/tasks/1/annotations?format=CVAT+1.1"
        asked = await client("POST", path, data={"annotation_file": io.BytesIO(archive)})
        await client.ended(asked.json["rq_id"])
        found = await bodies(client, hook)
        assert [one["event"] for one in found] == ["update:job", "update:task", "update:project"]
        job, task, project = found
        assert job["sender"] == {"id": 1, "username": "admin", "email": "admin@example.com"}
        assert (job["job"]["url"], job["job"]["issues"]) == ("/api/jobs/1", None)
        assert (task["task"]["url"], task["task"]["jobs"]["url"]) == ("/api/tasks/1", None)
        assert project["project"]["tasks"]["url"] is None


async def test_a_change_at_the_server_itself_is_one_of_the_superuser() -> None:
    async with with_hook() as (client, hook):
        await made(client, of_project(hook.url))
        client.server.edit_task(1)
        for body in await bodies(client, hook):
            assert body["sender"]["url"] == f"{client.server.url}/api/users/1"


async def test_deleting_a_project_sends_its_jobs_its_tasks_and_itself() -> None:
    async with with_hook() as (client, hook):
        number = await made(client, of_project(hook.url))
        await client("DELETE", "/api/tasks/1")
        job, task = await bodies(client, hook)
        assert (job["event"], task["event"]) == ("delete:job", "delete:task")
        assert "before_update" not in task
        assert task["task"]["jobs"]["count"] == 1
        await client("DELETE", "/api/projects/1")
        left = ["delete:job", "delete:task"] * 2
        assert await events(client, hook) == [*left, "delete:project"]
        assert (await client.get(f"{HERE}/{number}")).status == 404


async def test_issues_and_jobs_that_are_added_send_events() -> None:
    async with with_hook() as (client, hook):
        await made(client, of_project(hook.url))
        issue = client.server.add_issue(1)
        await client("PATCH", f"/api/issues/{issue.id}", json={"resolved": True})
        created, updated = await bodies(client, hook)
        assert (created["event"], updated["event"]) == ("create:issue", "update:issue")
        assert updated["before_update"] == {"resolved": False}
        client.server.add_job(1, "ground_truth", [1])
        assert await events(client, hook) == ["create:job"]
