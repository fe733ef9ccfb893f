"""Jobs of the simulated server: states, parts of a task, ground truth, and issues."""

from __future__ import annotations

from typing import Any

import pytest
from simulator_client import SimulatorClient, simulator_client

from asynccvat.simulator import SimulatorOptions, UserSpec

pytestmark = pytest.mark.anyio


def rectangle(label: int, frame: int) -> dict[str, Any]:
    points = [1.0, 1.0, 9.0, 9.0]
    return {"type": "rectangle", "label_id": label, "frame": frame, "points": points}


async def frames_of(client: SimulatorClient, path: str) -> list[int]:
    """Return the frames of the shapes of a task or job."""
    response = await client.get(f"{path}/annotations")
    return [shape["frame"] for shape in response.json["shapes"]]


async def test_stage_and_state_change_and_the_task_keeps_its_date() -> None:
    async with simulator_client(SimulatorOptions(tasks=2, statuses=("annotation",))) as client:
        before = client.server.tasks[1].updated_date
        changed = await client("PATCH", "/api/jobs/1", json={"state": "completed"})
        assert (changed.status, changed.json["state"]) == (200, "completed")
        changed = await client("PATCH", "/api/jobs/1", json={"stage": "validation", "assignee": 1})
        found = [changed.json[name] for name in ("stage", "state", "status")]
        assert found == ["validation", "new", "validation"]
        assert changed.json["assignee"]["username"] == "admin"
        given = {"stage": "acceptance", "state": "completed"}
        changed = await client("PATCH", "/api/jobs/1", json=given)
        assert changed.json["status"] == "completed"
        changed = await client("PATCH", "/api/jobs/1", json={"stage": "annotation"})
        assert changed.json["status"] == "annotation"
        assert client.server.tasks[1].updated_date == before
        wrong = await client("PATCH", "/api/jobs/1", json={"state": "done"})
        assert wrong.json == {"state": ['"done" is not a valid choice.']}


async def test_jobs_are_filtered_by_stage_state_type_and_assignee() -> None:
    async with simulator_client(SimulatorOptions(tasks=3, statuses=("annotation",))) as client:
        server = client.server
        server.change_job(1, state="completed", stage="acceptance")
        truth = server.add_job(2, "ground_truth", [1, 3])
        replica = server.add_job(2, "consensus_replica")

        async def ids(query: str) -> list[int]:
            return [job["id"] for job in (await client.get(f"/api/jobs?{query}")).json["results"]]

        assert await ids("state=completed") == [1]
        assert await ids("stage=acceptance") == [1]
        assert await ids("type=ground_truth") == [truth.id]
        assert await ids("type=consensus_replica") == [replica.id]
        assert await ids("type=annotation&task_id=2") == [2]
        assert await ids("") == [replica.id, truth.id, 3, 2, 1]
        shown = (await client.get(f"/api/jobs/{truth.id}")).json
        assert (shown["type"], shown["frame_count"]) == ("ground_truth", 2)
        assert (await client.get(f"/api/jobs/{replica.id}")).json["parent_job_id"] == 2
        labels = await client.get(f"/api/labels?job_id={truth.id}")
        assert labels.json["count"] == 4


async def test_a_job_shows_and_replaces_its_part_of_the_annotations() -> None:
    options = SimulatorOptions(tasks=1, frames=4, boxes_per_frame=0, statuses=("annotation",))
    async with simulator_client(options) as client:
        world = client.server.world
        first = world.job(1)
        assert first is not None
        world.change_job(1, stop_frame=1)
        second = world.add_job(1, "annotation")
        world.change_job(second.id, start_frame=2)
        label = client.server.tasks[1].labels[0].id
        given = {"shapes": [rectangle(label, frame) for frame in range(4)]}
        await client("PUT", "/api/tasks/1/annotations", json=given)
        path = f"/api/jobs/{second.id}"
        assert await frames_of(client, "/api/jobs/1") == [0, 1]
        assert await frames_of(client, path) == [2, 3]
        given = {"shapes": [rectangle(label, 3), rectangle(label, 0)]}
        await client("PUT", f"{path}/annotations", json=given)
        assert await frames_of(client, "/api/tasks/1") == [0, 1, 3]
        assert (await client("DELETE", f"{path}/annotations")).status == 204
        assert await frames_of(client, "/api/tasks/1") == [0, 1]


async def test_ground_truth_is_not_in_the_annotations_of_the_task() -> None:
    options = SimulatorOptions(tasks=1, frames=4, boxes_per_frame=0)
    async with simulator_client(options) as client:
        assert (await client.get("/api/tasks/1")).json["validation_mode"] is None
        truth = client.server.add_job(1, "ground_truth", [1, 2])
        assert (await client.get("/api/tasks/1")).json["validation_mode"] == "gt"
        label, before = client.server.tasks[1].labels[0].id, client.server.tasks[1].updated_date
        path = f"/api/jobs/{truth.id}"
        given = {"shapes": [rectangle(label, 1)]}
        assert (await client("PUT", f"{path}/annotations", json=given)).status == 200
        assert await frames_of(client, path) == [1]
        assert await frames_of(client, "/api/tasks/1") == []
        assert client.server.tasks[1].updated_date > before
        query = "format=CVAT+for+images+1.1&save_images=false"
        response = await client("POST", f"{path}/dataset/export?{query}")
        request = await client.ended(response.json["rq_id"])
        archive = await client.get(request["result_url"].removeprefix(client.server.url))
        assert archive.body.count(b"<box ") == 1
        assert archive.body.count(b"<image ") == 2


async def test_the_assignee_of_a_job_sees_it() -> None:
    users = (UserSpec("u", "pw"), UserSpec("v", "pw"))
    async with simulator_client(SimulatorOptions(tasks=1, users=users)) as client:
        accounts = client.server.accounts
        own, other = (accounts.token_of(accounts.by_id[number]) for number in (2, 3))
        await client("PATCH", "/api/jobs/1", json={"assignee": 2})
        assert (await client.get("/api/jobs/1", token=own)).status == 200
        assert (await client.get("/api/jobs/1", token=other)).status == 403


async def test_issues_are_listed_counted_resolved_and_deleted_with_their_task() -> None:
    async with simulator_client(SimulatorOptions(tasks=2)) as client:
        server = client.server
        first, second = server.add_issue(1, "here"), server.add_issue(1, "there", 1, resolved=True)
        listed = (await client.get("/api/issues?task_id=1")).json["results"]
        assert [(one["id"], one["resolved"]) for one in listed] == [
            (second.id, True),
            (first.id, False),
        ]
        assert (await client.get("/api/issues?task_id=2")).json["count"] == 0
        assert (await client.get("/api/issues?task_id=1&resolved=false")).json["count"] == 1
        assert (await client.get("/api/jobs/1")).json["issues"]["count"] == 2
        path = f"/api/issues/{first.id}"
        changed = await client("PATCH", path, json={"resolved": True})
        assert changed.json["resolved"] is True
        assert (await client.get(path)).json["frame"] == 0
        server.delete_task(1)
        assert (await client.get(path)).status == 404
        assert (await client.get("/api/issues")).json["count"] == 0
