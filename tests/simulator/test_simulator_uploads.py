"""Uploads to the simulated server: in a form, in pieces, broken off, refused, and the imports."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from itertools import pairwise
from typing import Any

import aiohttp
import pytest
from anyio.lowlevel import checkpoint
from simulator_client import RawResponse, SimulatorClient, simulator_client

from asynccvat.simulator import Fault, SimulatorOptions, UserSpec

pytestmark = pytest.mark.anyio

BOX = (
    '<box label="car" occluded="1" xtl="1.00" ytl="2.00" xbr="30.50" ybr="40.25" z_order="3">'
    '<attribute name="parked">true</attribute></box>'
)
FILE = (
    f'<annotations><image id="1" name="street_0001.jpg" width="640" height="480">{BOX}</image>'
    "</annotations>"
).encode()
HERE = "/api/tasks/1/annotations"
RQ_ID = "action=import&target=task&target_id=1&subresource=annotations"


async def send_form(
    client: SimulatorClient, path: str, content: bytes | str | None = FILE
) -> RawResponse:
    """Upload a file in a form: text makes a plain field, None a form without it."""
    form = aiohttp.FormData({"other": "field"}, default_to_multipart=True)
    if isinstance(content, bytes):
        form.add_field("annotation_file", content, filename="annotations.xml")
    elif content is not None:
        form.add_field("annotation_file", content)
    return await client("POST", path, data=form)


async def begin(client: SimulatorClient, size: int, **more: Any) -> RawResponse:
    headers = {"Upload-Length": str(size), "Origin": client.server.url, "Tus-Resumable": "1.0.0"}
    return await client("POST", f"{HERE}/", headers=headers, **more)


async def append(
    client: SimulatorClient, where: str, offset: int, piece: bytes, **more: Any
) -> RawResponse:
    headers = {"Upload-Offset": str(offset), "Content-Type": "application/offset+octet-stream"}
    return await client("PATCH", where, headers=headers, data=piece, **more)


async def finish(client: SimulatorClient, file_id: str, **more: Any) -> RawResponse:
    path = f"{HERE}/?format=CVAT+1.1&filename={file_id}"
    return await client("POST", path, headers={"Upload-Finish": ""}, **more)


def boxes(client: SimulatorClient, task_id: int = 1) -> list[tuple[int, tuple[float, ...]]]:
    annotations = client.server.tasks[task_id].annotations()
    return [(shape.frame, shape.points) for shape in annotations.shapes]


async def test_a_file_in_a_form_replaces_the_annotations() -> None:
    async with simulator_client() as client:
        before = client.server.tasks[1]
        accepted = await send_form(client, f"{HERE}?format=CVAT+1.1")
        assert (accepted.status, accepted.json) == (202, {"rq_id": RQ_ID})
        request = await client.ended(RQ_ID)
        assert (request["status"], request["message"]) == ("finished", "")
        assert request["operation"]["type"] == "import:annotations"
        assert boxes(client) == [(1, (1.0, 2.0, 30.5, 40.25))]
        after = client.server.tasks[1]
        assert after.updated_date > before.updated_date
        (shape,) = after.annotations().shapes
        values = [(attribute.name, value) for attribute, value in shape.attributes]
        assert values == [("parked", "true"), ("make", "other")], "defaults fill what is missing"
        assert len(client.server.uploads) == 0


async def test_a_job_takes_files_too() -> None:
    async with simulator_client() as client:
        accepted = await send_form(client, "/api/jobs/2/annotations?format=CVAT+1.1")
        request = await client.ended(accepted.json["rq_id"])
        assert (request["operation"]["target"], request["operation"]["job_id"]) == ("job", 2)
        assert len(boxes(client, 2)) == 1
        shown = await client.get("/api/jobs/2/annotations")
        assert [shape["frame"] for shape in shown.json["shapes"]] == [1]


async def test_a_file_comes_in_pieces() -> None:
    async with simulator_client() as client:
        started = await client("POST", f"{HERE}/?format=CVAT+1.1", headers={"Upload-Start": ""})
        assert started.status == 202
        begun = await begin(client, len(FILE))
        assert begun.status == 201
        where, file_id = begun.headers["Location"], begun.headers["Upload-Filename"]
        assert where == f"{client.server.url}{HERE}/{file_id}"
        first = await append(client, where, 0, FILE[:100])
        assert (first.status, first.headers["Upload-Offset"]) == (204, "100")
        assert (await append(client, where, 99, FILE[99:])).status == 409
        assert (await append(client, where, 100, FILE[100:] + b"x")).status == 413
        known = await client("HEAD", where)
        assert known.headers["Upload-Offset"] == "100"
        assert known.headers["Upload-Length"] == str(len(FILE))
        assert (await append(client, where, 100, FILE[100:])).status == 204
        assert (await client("HEAD", where)).status == 404, "a whole file is on its way no more"
        assert (await finish(client, file_id)).json == {"rq_id": RQ_ID}
        assert (await client.ended(RQ_ID))["status"] == "finished"
        assert len(boxes(client)) == 1
        assert (await finish(client, file_id)).json == ["No such file were uploaded"]


async def test_a_piece_that_breaks_off_does_not_count() -> None:
    async with simulator_client() as client:
        where = (await begin(client, len(FILE))).headers["Location"]
        client.server.faults.add(Fault(method="PATCH", break_at=40))
        with pytest.raises(aiohttp.ClientError):
            await append(client, where, 0, FILE)
        assert client.server.calls[-1].status == 0
        assert (await client("HEAD", where)).headers["Upload-Offset"] == "0"
        assert (await append(client, where, 0, FILE)).status == 204


async def test_a_response_can_be_lost_after_the_work_was_done() -> None:
    async with simulator_client() as client:
        begun = await begin(client, len(FILE))
        client.server.faults.add(Fault(method="PATCH", lose_answer=True))
        with pytest.raises(aiohttp.ClientError):
            await append(client, begun.headers["Location"], 0, FILE)
        assert (await client("HEAD", begun.headers["Location"])).status == 404
        assert (await finish(client, begun.headers["Upload-Filename"])).status == 202


async def test_uploads_belong_to_their_user_and_place() -> None:
    options = SimulatorOptions(tasks=2, users=(UserSpec("ann", "secret", superuser=True),))
    async with simulator_client(options) as client:
        ann = client.server.accounts.token_of(client.server.accounts.by_id[2])
        begun = await begin(client, len(FILE))
        where, file_id = begun.headers["Location"], begun.headers["Upload-Filename"]
        assert (await client("HEAD", where, token=ann)).status == 403
        assert (await client("HEAD", where.replace("tasks/1", "tasks/2"))).status == 404
        await append(client, where, 0, FILE)
        assert (await finish(client, file_id, token=ann)).status == 400


async def test_the_url_of_an_upload_has_the_origin_of_the_call_or_proxy() -> None:
    async with simulator_client() as client:
        length = {"Upload-Length": "5"}
        without = await client("POST", f"{HERE}/", headers=length)
        assert (without.status, without.type) == (500, "text/html; charset=utf-8")
        proxied = {"X-Forwarded-Host": "cvat.example", "X-Forwarded-Proto": "https", **length}
        begun = await client("POST", f"{HERE}/", headers=proxied)
        assert begun.headers["Location"].startswith("https://cvat.example/api/tasks/1/annotations/")
        origin = {"Origin": "http://other.example", **length}
        bare = await client("POST", HERE, headers=origin)
        file_id = bare.headers["Upload-Filename"]
        assert bare.headers["Location"] == f"http://other.example/api/tasks/1/{file_id}"
        huge = await client("POST", f"{HERE}/", headers={**origin, "Upload-Length": str(10**12)})
        assert huge.status == 413
        junk = await client("POST", f"{HERE}/", headers={**origin, "Upload-Length": "many"})
        assert junk.status == 500


@pytest.mark.parametrize(
    ("query", "content", "errors"),
    [
        ("format=CVAT+for+images+1.1", FILE, ["Unknown input format 'CVAT for images 1.1'"]),
        ("", FILE, ["Unknown input format ''"]),
        ("format=CVAT+1.1", None, {"annotation_file": ["No file was submitted."]}),
        ("format=CVAT+1.1", b"", {"annotation_file": ["The submitted file is empty."]}),
        (
            "format=CVAT+1.1",
            "text",
            {
                "annotation_file": [
                    "The submitted data was not a file. Check the encoding type on the form."
                ]
            },
        ),
        ("format=CVAT+1.1&filename=x.xml", FILE, ["No such file were uploaded"]),
        ("format=CVAT+1.1&location=moon", FILE, ["'moon' is not a valid Location"]),
        ("format=CVAT+1.1&location=cloud_storage", FILE, ["The filename was not specified"]),
        (
            "format=CVAT+1.1&location=cloud_storage&filename=x&cloud_storage_id=1",
            FILE,
            ["CloudStorage matching query does not exist."],
        ),
    ],
)
async def test_what_cannot_be_imported_is_refused(query: str, content: Any, errors: Any) -> None:
    async with simulator_client() as client:
        refused = await send_form(client, f"{HERE}?{query}", content)
        assert (refused.status, refused.json) == (400, errors)
        assert len(client.server.uploads) == 0
        assert not client.server.imports


async def test_a_body_of_another_type_is_not_a_form() -> None:
    async with simulator_client() as client:
        path = f"{HERE}?format=CVAT+1.1"
        assert (await client("POST", path, json={})).status == 400
        plain = await client("POST", path, data=FILE, headers={"Content-Type": "text/xml"})
        assert plain.status == 415
        broken = {"Content-Type": "multipart/form-data; boundary=b"}
        torn = await client("POST", path, data=b"no boundary", headers=broken)
        assert torn.status == 400
        assert torn.json["detail"].startswith("Multipart form parse error - ")


async def test_only_users_who_may_change_a_task_may_upload() -> None:
    async with simulator_client(
        SimulatorOptions(tasks=1, users=(UserSpec("ann", "secret"),))
    ) as client:
        ann = client.server.accounts.token_of(client.server.accounts.by_id[2])
        start = {"Upload-Start": ""}
        assert (await client("POST", HERE, headers=start, token=ann)).status == 403
        assert (await client("POST", HERE, headers=start, anonymous=True)).status == 401
        assert (await client("POST", "/api/tasks/9/annotations", headers=start)).status == 404
        reader = client.server.create_access_token(read_only=True)
        bearer = {"Authorization": f"Bearer {reader}", **start}
        assert (await client("POST", HERE, headers=bearer)).status == 403


async def test_an_import_that_fails_changes_nothing() -> None:
    async with simulator_client() as client:
        before = client.server.tasks[1]
        await send_form(client, f"{HERE}?format=CVAT+1.1", b"rubbish")
        request = await client.ended(RQ_ID)
        assert request["status"] == "failed"
        assert request["message"] == (
            "xml.etree.ElementTree.ParseError: syntax error: line 1, column 0\n"
        )
        assert client.server.tasks[1] is before
        assert len(client.server.uploads) == 0


async def test_tasks_without_data_take_no_annotations() -> None:
    async with simulator_client(SimulatorOptions(tasks=1, tasks_without_data=1)) as client:
        assert (await send_form(client, f"{HERE}?format=CVAT+1.1")).status == 202
        assert "validation_mode" in (await client.ended(RQ_ID))["message"]


async def test_an_import_fails_if_its_task_is_deleted_before_its_end() -> None:
    async with simulator_client() as client:
        client.server.faults.add(Fault(importing="stick"))
        await send_form(client, f"{HERE}?format=CVAT+1.1")
        while not client.server.import_queue.running:
            await checkpoint()
        client.server.delete_task(1)
        client.server.release_imports()
        assert "Task matching query does not exist" in (await client.ended(RQ_ID))["message"]


async def test_an_import_under_way_conflicts_and_can_be_cancelled_while_queued() -> None:
    async with simulator_client() as client:
        client.server.pause_imports()
        path = f"{HERE}?format=CVAT+1.1"
        await send_form(client, path)
        again = await send_form(client, path)
        assert (again.status, again.json) == (409, {"rq_id": RQ_ID})
        listed = await client.get("/api/requests?action=import&task_id=1&subresource=annotations")
        assert [row["id"] for row in listed.json["results"]] == [RQ_ID]
        cancelled = await client("POST", f"/api/requests/{RQ_ID.replace('&', '%26')}/cancel")
        assert cancelled.status == 200
        assert (await client.request(RQ_ID)).status == 404
        assert len(client.server.uploads) == 0
        assert (await send_form(client, path)).status == 202


async def test_a_restarted_queue_forgets_imports_and_their_files() -> None:
    async with simulator_client() as client:
        client.server.pause_imports()
        await send_form(client, f"{HERE}?format=CVAT+1.1")
        client.server.forget_requests()
        assert (await client.request(RQ_ID)).status == 404
        assert len(client.server.uploads) == 0


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (Fault(importing="fail", message="MemoryError\n"), "MemoryError\n"),
        (Fault(importing="kill", path="action=import"), "Work-horse terminated unexpectedly"),
    ],
)
async def test_imports_fail_as_scripted_and_exports_do_not(fault: Fault, message: str) -> None:
    async with simulator_client() as client:
        before = boxes(client)
        client.server.faults.add(fault)
        assert (await client.exported())["status"] == "finished"
        await send_form(client, f"{HERE}?format=CVAT+1.1")
        request = await client.ended(RQ_ID)
        assert request["status"] == "failed"
        assert request["message"].startswith(message)
        assert boxes(client) == before


async def test_imports_run_on_the_given_number_of_workers() -> None:
    options = SimulatorOptions(
        tasks=3, costs=True, latency=0, import_seconds=0.01, import_workers=1
    )
    async with simulator_client(options) as client:
        paths = [f"/api/tasks/{number}/annotations?format=CVAT+1.1" for number in (3, 1, 2)]
        for path in paths:
            await send_form(client, path)
        while len(client.server.imports) < 3:
            await checkpoint()
        spans = client.server.imports
        assert [span.rq_id.split("&")[2] for span in spans] == [
            "target_id=3",
            "target_id=1",
            "target_id=2",
        ]
        assert all(one.finished <= two.started for one, two in pairwise(spans))
        assert client.server.stats["imports"] == 3
        assert client.server.stats["imports_failed"] == 0


async def test_nginx_refuses_a_gigabyte_by_the_content_length() -> None:
    async with simulator_client() as client:
        host, port = client.server.url.removeprefix("http://").split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        try:
            head = f"POST {HERE} HTTP/1.1\r\nHost: x\r\nContent-Length: {(1 << 30) + 1}\r\n\r\n"
            writer.write(head.encode())
            answer = await reader.readuntil(b"</h1>")
        finally:
            writer.close()
            await writer.wait_closed()
        assert answer.startswith(b"HTTP/1.1 413")
        assert b"nginx" in answer


async def test_the_application_refuses_pieces_past_a_hundred_megabytes() -> None:
    piece = bytes(1 << 20)

    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(101):
            yield piece

    async with simulator_client() as client:
        where = (await begin(client, 1 << 30)).headers["Location"]
        headers = {"Upload-Offset": "0", "Content-Length": str(101 << 20)}
        refused = await client("PATCH", where, headers=headers, data=pieces())
        assert (refused.status, refused.type) == (400, "text/html; charset=utf-8")
        assert (await client("HEAD", where)).headers["Upload-Offset"] == "0"
        assert client.server.stats["bytes_received"] == 101 << 20
