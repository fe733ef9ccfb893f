"""The life of an export request on the simulated server."""

from __future__ import annotations

import io
import zipfile

import pytest
from simulator_client import simulator_client

from asynccvat.simulator import Fault, SimulatorOptions, UserSpec

pytestmark = pytest.mark.anyio


async def test_an_export_is_queued_started_and_finished() -> None:
    async with simulator_client() as client:
        client.server.pause_exports()
        client.server.faults.add(Fault(export="stick"))
        posted = await client.export()
        rq_id = posted.json["rq_id"]
        assert posted.status == 202
        assert rq_id == (
            "action=export&target=task&target_id=1&user_id=1&format=CVAT_for_images_1~1"
            "&subresource=dataset"
        )
        queued = (await client.request(rq_id)).json
        assert (queued["status"], queued["started_date"]) == ("queued", None)
        client.server.release_exports()
        started = (await client.request(rq_id)).json
        assert (started["status"], started["finished_date"]) == ("started", None)
        client.server.release_exports()
        finished = await client.ended(rq_id)
        assert finished["status"] == "finished"
        assert finished["created_date"] < finished["started_date"] < finished["finished_date"]
        assert finished["progress"] == 0
        archive = await client.get(finished["result_url"])
        with zipfile.ZipFile(io.BytesIO(archive.body)) as members:
            assert members.testzip() is None
            assert len(members.namelist()) == 3
            assert all(one.compress_type == zipfile.ZIP_STORED for one in members.infolist())


async def test_asking_again_returns_the_request_under_way() -> None:
    async with simulator_client() as client:
        client.server.pause_exports()
        first = await client.export()
        second = await client.export()
        assert (second.status, second.json) == (409, first.json)


async def test_some_versions_answer_the_conflict_in_plain_text() -> None:
    async with simulator_client() as client:
        client.server.pause_exports()
        await client.export()
        client.server.faults.add(Fault(plain_conflict=True))
        answer = await client.export()
        assert (answer.status, answer.type) == (409, "text/html; charset=utf-8")
        assert b"rq_id" not in answer.body


async def test_asking_again_after_the_end_removes_the_result_until_the_next_end() -> None:
    async with simulator_client() as client:
        first = await client.exported()
        before = await client.get(first["result_url"])
        client.server.pause_exports()
        assert (await client.export()).status == 202
        taken = await client.get(first["result_url"])
        assert (taken.status, taken.body) == (400, b"The export process is not finished")
        client.server.release_exports()
        again = await client.ended(first["id"])
        after = await client.get(again["result_url"])
        assert after.body == before.body
        assert after.headers["ETag"] != before.headers["ETag"]
        assert after.headers["Last-Modified"] != before.headers["Last-Modified"]


async def test_an_edit_changes_the_archive_except_its_images() -> None:
    async with simulator_client() as client:
        before = await client.get((await client.exported())["result_url"])
        client.server.edit_task(1)
        after = await client.get((await client.exported())["result_url"])
        with (
            zipfile.ZipFile(io.BytesIO(before.body)) as old,
            zipfile.ZipFile(io.BytesIO(after.body)) as new,
        ):
            changed = [name for name in old.namelist() if old.read(name) != new.read(name)]
        assert changed == ["annotations.xml"]


async def test_an_export_holds_the_task_as_it_was_when_it_started() -> None:
    async with simulator_client() as client:
        client.server.faults.add(Fault(export="stick"))
        rq_id = (await client.export()).json["rq_id"]
        assert (await client.request(rq_id)).json["status"] == "started"
        name = client.server.tasks[1].name.encode()
        client.server.rename_task(1, "renamed meanwhile")
        client.server.release_exports()
        archive = await client.get((await client.ended(rq_id))["result_url"])
        assert name in archive.body
        assert b"renamed meanwhile" not in archive.body


async def test_only_a_queued_request_can_be_cancelled() -> None:
    async with simulator_client() as client:
        client.server.pause_exports()
        rq_id = (await client.export()).json["rq_id"]
        path = f"/api/requests/{rq_id.replace('&', '%26')}"
        cancelled = await client("POST", f"{path}/cancel")
        assert (cancelled.status, cancelled.body) == (200, b"")
        assert "Content-Type" not in cancelled.headers
        gone = await client.get(path)
        assert (gone.status, gone.body) == (404, b"There is no request with specified id")
        client.server.release_exports()
        finished = await client.exported()
        refused = await client("POST", f"/api/requests/{finished['id'].replace('&', '%26')}/cancel")
        assert refused.status == 400
        assert refused.body == b"Only requests that have not yet been started can be cancelled"


async def test_a_task_without_data_is_accepted_and_then_fails() -> None:
    async with simulator_client(SimulatorOptions(tasks=1, tasks_without_data=1)) as client:
        failed = await client.exported()
        assert failed["status"] == "failed"
        assert failed["message"].startswith("AttributeError: 'NoneType'")
        assert failed["result_url"] is None


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("format=Nope+1.0", 400),
        ("", 400),
        ("format=cvat+for+images+1.1", 400),
        ("format=COCO+1.0&save_images=maybe", 500),
        ("format=COCO+1.0&location=cloud_storage", 500),
        ("format=COCO+1.0&location=cloud_storage&cloud_storage_id=7", 400),
        ("format=COCO+1.0&location=local", 202),
    ],
)
async def test_queries_of_an_export(query: str, status: int) -> None:
    async with simulator_client() as client:
        answer = await client("POST", f"/api/tasks/1/dataset/export?{query}")
        assert answer.status == status


async def test_formats_that_are_not_written_fail() -> None:
    async with simulator_client() as client:
        posted = await client("POST", "/api/tasks/1/dataset/export?format=MOT+1.1")
        ended = await client.ended(posted.json["rq_id"])
        assert ended["status"] == "failed"
        assert "MOT 1.1" in ended["message"]


@pytest.mark.parametrize("target", ["tasks", "projects", "jobs"])
async def test_tasks_projects_and_jobs_can_be_exported(target: str) -> None:
    async with simulator_client() as client:
        posted = await client("POST", f"/api/{target}/1/dataset/export?format=COCO+1.0")
        ended = await client.ended(posted.json["rq_id"])
        assert ended["operation"]["target"] == target.removesuffix("s")
        archive = await client.get(ended["result_url"])
        with zipfile.ZipFile(io.BytesIO(archive.body)) as members:
            assert any(name.endswith("instances_default.json") for name in members.namelist())


async def test_backups_can_be_exported() -> None:
    async with simulator_client() as client:
        posted = await client("POST", "/api/tasks/1/backup/export")
        ended = await client.ended(posted.json["rq_id"])
        archive = await client.get(ended["result_url"])
        with zipfile.ZipFile(io.BytesIO(archive.body)) as members:
            assert {"task.json", "annotations.json"} <= set(members.namelist())


async def test_expired_results_are_not_found_until_exported_again() -> None:
    async with simulator_client() as client:
        finished = await client.exported()
        assert client.server.expire_results(1) == 1
        gone = await client.get(finished["result_url"])
        assert gone.status == 404
        assert gone.json == "The exported file has expired, please retry exporting"
        assert (await client.request(finished["id"])).json["status"] == "finished"
        assert (await client.get((await client.exported())["result_url"])).status == 200


async def test_other_results_survive_the_end_of_one() -> None:
    async with simulator_client() as client:
        first, second = await client.exported(1), await client.exported(2)
        before = (await client.get(second["result_url"])).body
        client.server.expire_results(1)
        assert (await client.get(first["result_url"])).status == 404
        assert (await client.get(second["result_url"])).body == before
        again = await client.exported(2)
        assert (await client.get(again["result_url"])).body == before


async def test_the_client_can_choose_the_file_name() -> None:
    async with simulator_client() as client:
        path = "/api/tasks/1/dataset/export?format=COCO+1.0&filename=mine.zip"
        finished = await client.ended((await client("POST", path)).json["rq_id"])
        headers = (await client.get(finished["result_url"])).headers
        assert headers["Content-Disposition"] == 'attachment; filename="mine.zip"'


async def test_an_export_fails_if_its_task_was_deleted_before_its_start() -> None:
    async with simulator_client() as client:
        client.server.pause_exports()
        rq_id = (await client.export()).json["rq_id"]
        client.server.delete_task(1)
        client.server.release_exports()
        failed = await client.ended(rq_id)
        assert (failed["status"], "DoesNotExist" in failed["message"]) == ("failed", True)


async def test_expired_requests_are_forgotten() -> None:
    async with simulator_client(SimulatorOptions(tasks=1, result_seconds=0)) as client:
        rq_id = (await client.export()).json["rq_id"]
        while not client.server.exports:
            await client.get("/api/users/self")
        assert (await client.request(rq_id)).status == 404
        assert (await client.get("/api/requests")).json["count"] == 0


async def test_a_lost_queue_forgets_everything() -> None:
    async with simulator_client() as client:
        finished = await client.exported()
        client.server.pause_exports()
        await client.export(2)
        client.server.forget_requests()
        client.server.release_exports()
        assert (await client.get("/api/requests")).json["count"] == 0
        unknown = await client.get(finished["result_url"])
        assert (unknown.status, unknown.body) == (400, b"Unknown export request id")


async def test_exports_start_in_the_order_of_the_queue() -> None:
    options = SimulatorOptions(tasks=4, frames=1, export_workers=1)
    async with simulator_client(options) as client:
        client.server.pause_exports()
        for task_id in (3, 1, 4, 2):
            await client.export(task_id)
        client.server.release_exports()
        for task_id in (1, 2, 3, 4):
            rq_id = (await client.export(task_id)).json["rq_id"]
            await client.ended(rq_id)
        started = [span.rq_id.split("&")[2] for span in client.server.exports]
        assert started[:4] == ["target_id=3", "target_id=1", "target_id=4", "target_id=2"]
        for span in client.server.exports:
            assert span.queued <= span.started <= span.finished


async def test_a_server_can_run_one_export_per_user_at_a_time() -> None:
    options = SimulatorOptions(
        tasks=3,
        frames=1,
        one_export_per_user=True,
        users=(UserSpec("ann", "secret", superuser=True),),
    )
    async with simulator_client(options) as client:
        token = client.server.accounts.token_of(client.server.accounts.by_id[2])
        client.server.faults.add(Fault(export="stick", times=2))
        for task_id in (1, 2):
            await client.export(task_id)
        await client.export(3, token=token)
        statuses = [request.status for request in client.server.requests.values()]
        assert statuses == ["started", "queued", "started"]


async def test_an_error_in_the_export_time_function_fails_the_export_alone() -> None:
    def seconds(_: object) -> float:
        raise ZeroDivisionError("no time")

    options = SimulatorOptions(
        tasks=2, costs=True, latency=0, export_workers=1, export_seconds=seconds
    )
    async with simulator_client(options) as client:
        for task_id in (1, 2):
            failed = await client.exported(task_id)
            assert failed["message"] == "ZeroDivisionError: no time\n"


OLD = "/api/tasks/1/annotations?format=CVAT+for+images+1.1"


def old_servers() -> SimulatorOptions:
    return SimulatorOptions(tasks=3, frames=2, old_exports=True)


async def test_an_old_endpoint_starts_shows_and_sends_an_export() -> None:
    async with simulator_client(old_servers()) as client:
        client.server.pause_exports()
        assert [(await client.get(OLD)).status for _ in range(2)] == [202, 202]
        client.server.release_exports()
        (rq_id,) = client.server.requests
        await client.ended(rq_id)
        assert (await client.get(OLD)).status == 201
        archive = await client.get(f"{OLD}&action=download")
        assert (archive.status, archive.type) == (200, "application/zip")
        with zipfile.ZipFile(io.BytesIO(archive.body)) as members:
            assert members.namelist() == ["annotations.xml"]
        new = await client.exported()
        assert archive.body != (await client.get(new["result_url"])).body  # that one has images


async def test_an_old_endpoint_exports_again_after_an_edit_or_expiry() -> None:
    async with simulator_client(old_servers()) as client:
        assert (await client.get(OLD)).status == 202
        (rq_id,) = client.server.requests
        for change in (
            lambda: client.server.edit_task(1),
            lambda: client.server.export_queue.remove_results(lambda _: True),
        ):
            await client.ended(rq_id)
            assert (await client.get(OLD)).status == 201
            change()
            assert (await client.get(f"{OLD}&action=download")).status == 202


async def test_an_old_endpoint_shows_a_failure() -> None:
    async with simulator_client(old_servers()) as client:
        client.server.faults.add(Fault(export="fail", message="MemoryError: all of it"))
        assert (await client.get("/api/tasks/1/dataset?format=COCO+1.0")).status == 202
        (rq_id,) = client.server.requests
        await client.ended(rq_id)
        failed = await client.get("/api/tasks/1/dataset?format=COCO+1.0")
        assert (failed.status, failed.body) == (500, b"MemoryError: all of it")


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("format=cvat", b"Unknown format specified for the request"),
        ("format=COCO+1.0&action=look", b"Unexpected action specified for the request"),
    ],
)
async def test_an_old_endpoint_refuses_unknown_values(query: str, words: bytes) -> None:
    async with simulator_client(old_servers()) as client:
        refused = await client.get(f"/api/tasks/1/annotations?{query}")
        assert refused.status == 400
        assert words in refused.body


async def test_old_servers_still_list_annotations_as_json() -> None:
    async with simulator_client(old_servers()) as client:
        assert (await client.get("/api/tasks/1/annotations")).json["shapes"]
