"""Cloud storages of the simulated server: folders that exports are written to and read from."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import pytest
from simulator_client import SimulatorClient, simulator_client

from asynccvat.simulator import Fault, SimulatorOptions, UserSpec
from asynccvat.simulator.world.jpeg import draw_jpeg

pytestmark = pytest.mark.anyio

COCO = "dataset/export?format=COCO+1.0&save_images=false&location=cloud_storage"


async def content(client: SimulatorClient, query: str = "") -> list[tuple[str, str]]:
    response = await client.get(f"/api/cloudstorages/1/content-v2{query}")
    return [(one["name"], one["mime_type"]) for one in response.json["content"]]


async def test_a_storage_is_attached_listed_and_detached() -> None:
    options = SimulatorOptions(
        tasks=1, users=(UserSpec("u", "pw"), UserSpec("w", "pw", worker=True))
    )
    async with simulator_client(options) as client:
        accounts = client.server.accounts
        user, worker = (accounts.token_of(accounts.by_id[number]) for number in (2, 3))
        given = {
            "provider_type": "AWS_S3_BUCKET",
            "resource": "cvat",
            "display_name": "lab bucket",
            "credentials_type": "KEY_SECRET_KEY_PAIR",
        }
        assert (await client("POST", "/api/cloudstorages", json=given, token=worker)).status == 403
        assert (await client("POST", "/api/cloudstorages", json={})).status == 400
        made = await client("POST", "/api/cloudstorages", json=given)
        assert (made.status, made.json["id"]) == (201, 1)
        listed = (await client.get("/api/cloudstorages")).json
        assert [one["resource"] for one in listed["results"]] == ["cvat"]
        assert (await client.get("/api/cloudstorages", token=user)).json["count"] == 0
        assert (await client.get("/api/cloudstorages/1", token=user)).status == 403
        assert (await client.get("/api/cloudstorages/1")).json["display_name"] == "lab bucket"
        assert (await client.get("/api/cloudstorages/1/status")).json == "AVAILABLE"
        assert await content(client) == []
        assert (await client("DELETE", "/api/cloudstorages/1")).status == 204
        assert (await client.get("/api/cloudstorages/1")).status == 404


async def test_exports_and_backups_go_to_it(tmp_path: Path) -> None:
    async with simulator_client() as client:
        client.server.add_cloud_storage(tmp_path)
        for path in (
            f"{COCO}&cloud_storage_id=1&filename=exports/a.zip",
            f"{COCO}&cloud_storage_id=1",
            "backup/export?location=cloud_storage&cloud_storage_id=1&filename=backups/a.zip",
        ):
            response = await client("POST", f"/api/tasks/1/{path}")
            request = await client.ended(response.json["rq_id"])
            assert (request["status"], request["result_url"]) == ("finished", None)
        listed = await content(client)
        assert listed[:2] == [("backups", "DIR"), ("exports", "DIR")]
        assert listed[2][0].endswith("_coco 1.0.zip")
        assert await content(client, "?prefix=exports/") == [("a.zip", "archive")]
        assert await content(client, "?prefix=nothing") == []
        with zipfile.ZipFile(tmp_path / "exports/a.zip") as archive:
            assert archive.namelist() == ["annotations/instances_default.json"]
        with zipfile.ZipFile(tmp_path / "backups/a.zip") as archive:
            assert "task.json" in archive.namelist()


async def test_a_failed_export_leaves_nothing_in_it(tmp_path: Path) -> None:
    async with simulator_client() as client:
        client.server.add_cloud_storage(tmp_path)
        client.server.faults.add(Fault(export="fail"))
        response = await client("POST", f"/api/tasks/1/{COCO}&cloud_storage_id=1")
        assert (await client.ended(response.json["rq_id"]))["status"] == "failed"
        assert await content(client) == []


async def test_a_large_content_comes_in_pages(tmp_path: Path) -> None:
    for name in ("a.jpg", "b.mp4", "c.txt"):
        (tmp_path / name).touch()
    async with simulator_client() as client:
        client.server.add_cloud_storage(tmp_path)
        path = "/api/cloudstorages/1/content-v2?page_size=2"
        first = (await client.get(path)).json
        assert [one["mime_type"] for one in first["content"]] == ["image", "video"]
        last = (await client.get(f"{path}&next_token={first['next']}")).json
        assert ([one["name"] for one in last["content"]], last["next"]) == (["c.txt"], None)


async def test_unknown_storages_and_keys_outside_are_refused(tmp_path: Path) -> None:
    async with simulator_client() as client:
        client.server.add_cloud_storage(tmp_path / "bucket")
        response = await client("POST", f"/api/tasks/1/{COCO}&cloud_storage_id=9")
        assert response.json == ["CloudStorage matching query does not exist."]
        response = await client("POST", f"/api/tasks/1/{COCO}&cloud_storage_id=1&filename=../a.zip")
        request = await client.ended(response.json["rq_id"])
        assert request["status"] == "failed"
        assert list(tmp_path.iterdir()) == []
        assert (await client.get("/api/cloudstorages/1/status")).json == "NOT_FOUND"


async def test_annotations_and_backups_are_read_from_it(tmp_path: Path) -> None:
    async with simulator_client() as client:
        client.server.add_cloud_storage(tmp_path)
        where = "location=cloud_storage&cloud_storage_id=1&filename=a.zip"
        response = await client("POST", f"/api/tasks/1/backup/export?{where}")
        await client.ended(response.json["rq_id"])
        response = await client("POST", f"/api/tasks/backup?{where}")
        request = await client.ended(response.json["rq_id"])
        assert (request["status"], request["result_id"]) == ("finished", 4)
        response = await client("POST", f"/api/tasks/backup?{where}.not")
        assert (await client.ended(response.json["rq_id"]))["status"] == "failed"


async def test_a_task_is_made_of_images_in_it(tmp_path: Path) -> None:
    (tmp_path / "imgs").mkdir()
    (tmp_path / "imgs/a.jpg").write_bytes(draw_jpeg(1, 64, 48))
    async with simulator_client() as client:
        client.server.add_cloud_storage(tmp_path)
        given = {"name": "c", "labels": [{"name": "car"}]}
        task_id = (await client("POST", "/api/tasks", json=given)).json["id"]
        data = {"image_quality": 70, "cloud_storage_id": 1, "server_files": ["imgs/a.jpg"]}
        response = await client("POST", f"/api/tasks/{task_id}/data", json=data)
        assert (await client.ended(response.json["rq_id"]))["status"] == "finished"
        meta = (await client.get(f"/api/tasks/{task_id}/data/meta")).json
        assert (meta["storage"], meta["cloud_storage_id"]) == ("cloud_storage", 1)
        assert [frame["name"] for frame in meta["frames"]] == ["imgs/a.jpg"]
        path = f"/api/tasks/{task_id}/backup/export?lightweight="
        light, full = await client("POST", f"{path}true"), await client("POST", f"{path}false")
        assert "lightweight=True" in light.json["rq_id"]
        request = await client.ended(full.json["rq_id"])
        archive = await client.get(request["result_url"].removeprefix(client.server.url))
        with zipfile.ZipFile(io.BytesIO(archive.body)) as opened:
            assert "data/imgs/a.jpg" in opened.namelist()
        wrong = await client("POST", f"/api/tasks/{task_id}/data", json=data)
        assert wrong.status == 400


async def test_files_that_are_nowhere_fail(tmp_path: Path) -> None:
    async with simulator_client() as client:
        client.server.add_cloud_storage(tmp_path)
        task_id = 0
        for more, words in (
            ({}, "/home/django/share/nope/a.jpg"),
            ({"cloud_storage_id": 1}, "nope/a.jpg"),
        ):
            given = {"name": "c", "labels": [{"name": "car"}]}
            task_id = (await client("POST", "/api/tasks", json=given)).json["id"]
            data = {"image_quality": 70, "server_files": ["nope/a.jpg"], **more}
            response = await client("POST", f"/api/tasks/{task_id}/data", json=data)
            request = await client.ended(response.json["rq_id"])
            assert request["status"] == "failed"
            assert words in request["message"]
        data = {"image_quality": 70, "server_files": ["a.jpg"], "cloud_storage_id": 9}
        response = await client("POST", f"/api/tasks/{task_id}/data", json=data)
        assert response.json == ["CloudStorage matching query does not exist."]
