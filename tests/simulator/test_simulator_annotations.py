"""Annotations as JSON: read, replaced, created, updated, deleted, refused."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
from simulator_client import simulator_client

from asynccvat.simulator import SimulatorOptions
from asynccvat.simulator.formats.backups import write_backup

pytestmark = pytest.mark.anyio

HERE = "/api/tasks/1/annotations"


def empty() -> dict[str, Any]:
    return {"version": 0, "tags": [], "shapes": [], "tracks": []}


def box(label: int, **more: Any) -> dict[str, Any]:
    return {"type": "rectangle", "label_id": label, "frame": 0, "points": [1, 2, 3, 4], **more}


async def test_annotations_are_shown_and_exported_as_they_were_put() -> None:
    async with simulator_client() as client:
        task = client.server.tasks[1]
        car, _, _, sky = task.labels
        parked, make = car.attributes
        given = {
            "shapes": [box(car.id, attributes=[{"spec_id": make.id, "value": "kia"}], group=4)],
            "tags": [{"label_id": sky.id, "frame": 1}],
            "tracks": [
                {
                    "label_id": car.id,
                    "frame": 0,
                    "shapes": [
                        {"type": "rectangle", "frame": 1, "points": [1, 2, 3, 4], "outside": True},
                        {"type": "rectangle", "frame": 0, "points": [1, 2, 3, 4]},
                    ],
                }
            ],
        }
        answered = await client("PUT", HERE, json=given)
        assert answered.status == 200
        shown = (await client.get(f"{HERE}/")).json
        assert shown == answered.json
        assert shown["shapes"][0]["attributes"] == [
            {"spec_id": parked.id, "value": "false"},
            {"spec_id": make.id, "value": "kia"},
        ]
        assert [one["frame"] for one in shown["tags"]] == [1]
        assert [one["frame"] for one in shown["tracks"][0]["shapes"]] == [0, 1]
        assert shown["tracks"][0]["attributes"] == [{"spec_id": make.id, "value": "other"}]
        after = client.server.tasks[1]
        assert after.updated_date > task.updated_date


async def test_some_are_created_updated_and_deleted() -> None:
    async with simulator_client() as client:
        label = client.server.tasks[1].labels[0].id
        await client("DELETE", HERE)
        created = await client("PATCH", f"{HERE}?action=create", json={"shapes": [box(label)] * 2})
        first, second = created.json["shapes"]
        assert first["id"] != second["id"]
        moved = {**first, "points": [5, 6, 7, 8]}
        updated = await client("PATCH", f"{HERE}?action=update", json={"shapes": [moved]})
        assert updated.json["shapes"][0]["points"] == [5, 6, 7, 8]
        assert updated.json["shapes"][0]["id"] == first["id"]  # seen on 2.64
        deleted = await client("PATCH", f"{HERE}?action=delete", json={"shapes": [second]})
        assert deleted.json == {**empty(), "shapes": [second]}
        left = (await client.get(HERE)).json["shapes"]
        assert [shape["points"] for shape in left] == [[5, 6, 7, 8]]
        assert (await client("DELETE", HERE)).status == 204
        assert (await client.get(HERE)).json == empty()


async def test_annotations_past_the_last_frame_are_left_out() -> None:
    async with simulator_client() as client:
        label = client.server.tasks[1].labels[0].id
        answered = await client("PUT", HERE, json={"shapes": [box(label, frame=99)]})
        assert answered.json == empty()


@pytest.mark.parametrize(
    ("given", "errors"),
    [
        ({"shapes": [{"type": "rectangle"}]}, "label_id"),
        ({"shapes": [{"label_id": 5, "frame": 0, "type": "blob"}]}, "is not a valid choice"),
        ({"shapes": [{"label_id": "x", "frame": 0, "type": "points"}]}, "A valid integer"),
        ({"shapes": [box(5, points=["x"])]}, "A valid number is required"),
        ({"shapes": [box(5, points=[1, 2, 3])]}, "3 numbers make no rectangle"),
        ({"shapes": [{**box(5), "type": "mask", "points": [1, 0, 0, 1, 1]}]}, "make no mask"),
        ({"shapes": [{**box(5), "type": "mask", "points": [1]}]}, "make no mask"),
        ({"shapes": [box(5, id=1)]}, "must be absent"),
        ({"shapes": ["x"]}, "Expected a dictionary, but got str"),
        ({"shapes": {}}, 'Expected a list of items but got type \\"dict\\"'),
        ({"shapes": [box(99)]}, "label_id `99` is invalid"),
        (
            {"shapes": [box(5, attributes=[{"spec_id": 99, "value": ""}])]},
            "spec_id `99` is invalid",
        ),
        ({"tracks": [{"label_id": 5, "frame": 0, "shapes": []}]}, "This list may not be empty"),
        (
            {"tracks": [{"label_id": 5, "frame": 0, "shapes": [{"frame": 0}]}]},
            '"type":["This field is required."]',
        ),
        (
            {"tracks": [{"label_id": 5, "frame": 0, "shapes": ["x"]}]},
            "Expected a dictionary, but got str",
        ),
    ],
)
async def test_wrong_annotations_are_refused_and_change_nothing(given: Any, errors: str) -> None:
    async with simulator_client() as client:
        before = client.server.tasks[1]
        assert before.labels[0].id == 5
        refused = await client("PUT", HERE, json=given)
        assert refused.status == 400
        assert errors in refused.body.decode()
        assert client.server.tasks[1] is before


async def test_the_shapes_of_a_track_may_have_ids() -> None:
    async with simulator_client() as client:
        label = client.server.tasks[1].labels[0].id
        shape = {"id": 3, "type": "rectangle", "frame": 0, "points": [1, 2, 3, 4]}
        track = {"label_id": label, "frame": 0, "shapes": [shape]}
        assert (await client("PUT", HERE, json={"tracks": [track]})).status == 200


async def test_a_change_needs_an_action_and_a_task_with_data() -> None:
    async with simulator_client(SimulatorOptions(tasks=2, tasks_without_data=1)) as client:
        refused = await client("PATCH", HERE, json={})
        assert refused.json == ["Please specify a correct 'action' for the request"]
        assert (await client("PUT", "/api/tasks/2/annotations", json=empty())).status == 500


async def test_old_endpoints_for_files_are_gone() -> None:
    async with simulator_client() as client:
        for path in (HERE, "/api/jobs/1/annotations"):
            gone = await client.get(f"{path}?format=COCO+1.0")
            assert gone.status == 410
            assert f"/api/{path.split('/')[2]}/id/dataset/export" in gone.body.decode()
            assert (await client.get(f"{path}?action=import_status")).status == 410


async def test_an_edit_replaces_given_annotations() -> None:
    async with simulator_client() as client:
        await client("PUT", HERE, json=empty())
        client.server.edit_task(1)
        assert (await client.get(HERE)).json["shapes"]


async def test_a_put_is_answered_as_it_was_recorded(shared: Path) -> None:
    """Ids and foreign labels are refused; shapes on absent frames are dropped, with 200."""
    path = shared / "contract/http-2.64/annotations_json_write_264.json"
    recorded = [
        (one["request"]["body"], one["response"])
        for one in json.loads(path.read_text("utf-8"))["exchanges"]
        if one["request"]["method"] == "PUT"
    ]
    assert len(recorded) >= 6
    statuses = set()
    async with simulator_client() as client:
        label = client.server.tasks[1].labels[1].id
        for body, response in recorded:
            # The labels of that server; 1 is none of the task's on both.
            text = json.dumps(json.loads(body) if isinstance(body, str) else body)
            given = json.loads(text.replace('"label_id": 219', f'"label_id": {label}'))
            answered = await client("PUT", HERE, json=given)
            assert answered.status == response["status"], given
            said = response["body"]
            said = json.loads(said) if isinstance(said, str) else said
            if response["status"] == 200:
                counts = [len(answered.json[kind]) for kind in ("tags", "shapes", "tracks")]
                assert counts == [len(said[kind]) for kind in ("tags", "shapes", "tracks")]
            else:
                assert answered.json == said
            statuses.add(response["status"])
    assert statuses == {200, 400}


async def test_nothing_in_place_of_nothing_is_no_change() -> None:
    async with simulator_client() as client:
        assert (await client("PUT", HERE, json=empty())).status == 200
        emptied = client.server.tasks[1]
        assert (await client("PUT", HERE, json=empty())).status == 200
        assert client.server.tasks[1] is emptied


async def test_a_score_is_shown_as_it_was_given_and_comes_back_from_a_backup() -> None:
    options = SimulatorOptions(tasks=1, frames=2, version="2.64.0")
    async with simulator_client(options) as client:
        task = client.server.tasks[1]
        label = task.labels[0].id
        given = {"shapes": [box(label, score=0.25), box(label)]}
        put = await client("PUT", HERE, json=given)
        assert [shape["score"] for shape in put.json["shapes"]] == [0.25, 1]
        stream = io.BytesIO()
        write_backup(stream, [client.server.tasks[1]])
        stream.seek(0)
        asked = await client("POST", "/api/tasks/backup", data={"task_file": stream})
        restored = await client.ended(asked.json["rq_id"])
        again = await client.get(f"/api/tasks/{restored['result_id']}/annotations")
        assert [shape["score"] for shape in again.json["shapes"]] == [0.25, 1.0]


async def test_an_update_of_a_track_keeps_the_ids_of_its_shapes() -> None:
    async with simulator_client() as client:
        label = client.server.tasks[1].labels[0].id
        shapes = [{"type": "rectangle", "frame": 0, "points": [1, 2, 3, 4]}]
        given = {"tracks": [{"label_id": label, "frame": 0, "shapes": shapes}]}
        (track,) = (await client("PUT", HERE, json=given)).json["tracks"]
        path = f"{HERE}?action=update"
        changed = await client("PATCH", path, json={"tracks": [{**track, "group": 3}]})
        (again,) = changed.json["tracks"]
        assert again == {**track, "group": 3}
        assert (await client.get(HERE)).json["tracks"] == [again]
