"""Exports are requested, found running, followed and cancelled."""

from __future__ import annotations

import asyncio

import pytest
from aiohttp import web
from scripted import Connect, FakeTime, ScriptedServer, reply

from asynccvat.core.requests import RequestAccepted, RequestStatus
from asynccvat.core.specs import ExportSpec
from asynccvat.errors import (
    ConfigError,
    NotFoundError,
    PermissionDeniedError,
    ProtocolError,
    ResponseError,
)

pytestmark = pytest.mark.anyio

TOKEN = "abcdefgh.0123456789ABCDEFGHIJKLMNOPQRSTUV"
EXPORT = "POST /api/tasks/5/dataset/export"
IMAGES_XML = "CVAT for images 1.1"
RQ_ID = (
    "action=export&target=task&target_id=5&user_id=1&format=CVAT_for_images_1~1"
    "&subresource=annotations"
)
QUOTED = (
    "action%3Dexport%26target%3Dtask%26target_id%3D5%26user_id%3D1%26format%3D"
    "CVAT_for_images_1~1%26subresource%3Dannotations"
)
RUNNING_TEXT = reply(status=409, text="Export process is already running")
FORMATS = reply(
    {
        "importers": [{"name": "COCO 1.0"}],
        "exporters": [
            {"name": "COCO 1.0", "enabled": True},
            {"name": "COCO Keypoints 1.0"},
            {"name": "CVAT for images 1.1", "ext": "ZIP", "version": "1.1", "dimension": "2d"},
            {"name": "Coco switched off 1.0", "enabled": False},
        ],
    }
)


def entry(**changes: object) -> dict[str, object]:
    operation = {
        "type": "export:annotations",
        "target": "task",
        "project_id": 1,
        "task_id": 5,
        "job_id": None,
        "format": "CVAT for images 1.1",
    }
    for name in operation.keys() & changes.keys():
        operation[name] = changes.pop(name)
    return {"id": RQ_ID, "status": "started", "message": "", "operation": operation, **changes}


def requests(*entries: dict[str, object]) -> web.Response:
    return reply({"count": len(entries), "next": None, "previous": None, "results": list(entries)})


async def test_an_export_is_requested_by_its_query(
    server: ScriptedServer, connect: Connect
) -> None:
    server[EXPORT] = reply({"rq_id": RQ_ID}, 202)
    client = await connect(token=TOKEN)
    accepted = await client.request_export(5, ExportSpec(IMAGES_XML, images=True))
    assert accepted == RequestAccepted(RQ_ID, created=True)
    assert server.asked[0].query == {
        "format": "CVAT for images 1.1",
        "save_images": "true",
        "location": "local",
    }
    assert server.asked[0].body == b""


async def test_an_export_that_runs_already_is_a_success(
    server: ScriptedServer, connect: Connect
) -> None:
    server[EXPORT] = reply({"rq_id": RQ_ID}, 409)
    client = await connect(token=TOKEN)
    assert await client.request_export(5, ExportSpec(IMAGES_XML)) == RequestAccepted(
        RQ_ID, created=False
    )
    assert server.asked[0].query["save_images"] == "false"


async def test_a_running_export_is_found_in_the_list_of_requests(
    server: ScriptedServer, connect: Connect
) -> None:
    server[EXPORT] = RUNNING_TEXT
    server["GET /api/requests"] = requests(
        entry(id="ended", status="finished"),
        entry(id="images", type="export:dataset"),
        entry(id="job", target="job", job_id=3),
        entry(id="other task", task_id=6),
        entry(id="other format", format="COCO 1.0"),
        entry(status="queued"),
    )
    client = await connect(token=TOKEN)
    assert await client.request_export(5, ExportSpec(IMAGES_XML)) == RequestAccepted(
        RQ_ID, created=False
    )
    assert server.asked[1].query == {
        "action": "export",
        "format": "CVAT for images 1.1",
        "filter": '{"in":[{"var":"task_id"},[5]]}',
        "page_size": "10000",
    }


async def test_an_export_with_images_differs_from_one_without(
    server: ScriptedServer, connect: Connect
) -> None:
    server[EXPORT] = RUNNING_TEXT
    server["GET /api/requests"] = requests(entry(), entry(id="images", type="export:dataset"))
    client = await connect(token=TOKEN)
    assert (await client.request_export(5, ExportSpec(IMAGES_XML, images=True))).rq_id == "images"


async def test_an_export_that_ended_in_between_is_requested_again(
    server: ScriptedServer, connect: Connect
) -> None:
    server[EXPORT] = [RUNNING_TEXT, reply({"rq_id": RQ_ID}, 202)]
    server["GET /api/requests"] = requests()
    client = await connect(token=TOKEN)
    assert await client.request_export(5, ExportSpec(IMAGES_XML)) == RequestAccepted(
        RQ_ID, created=True
    )


async def test_a_running_export_that_is_never_listed_is_an_error(
    server: ScriptedServer, connect: Connect
) -> None:
    server[EXPORT] = RUNNING_TEXT
    server["GET /api/requests"] = requests()
    client = await connect(token=TOKEN)
    with pytest.raises(ProtocolError, match="another export of it runs, but lists none") as e:
        await client.request_export(5, ExportSpec(IMAGES_XML))
    assert e.value.retryable
    assert server.times(EXPORT) == 3


async def test_an_unknown_format_is_an_error_that_names_the_nearest(
    server: ScriptedServer, connect: Connect
) -> None:
    server[EXPORT] = reply(["Unknown format specified for the request"], 400)
    server["GET /api/server/annotation/formats"] = FORMATS
    client = await connect(token=TOKEN)
    with pytest.raises(ConfigError, match=r"as 'coco 1\.0': .* Did you mean 'COCO 1\.0'\?$"):
        await client.request_export(5, ExportSpec("coco 1.0"))
    with pytest.raises(
        ConfigError,
        match=r"as '@@@': .* List its formats with `asynccvat f",
    ):
        await client.request_export(5, ExportSpec("@@@"))
    assert server.times("GET /api/server/annotation/formats") == 1


async def test_formats_are_read_once(server: ScriptedServer, connect: Connect) -> None:
    server["GET /api/server/annotation/formats"] = FORMATS
    client = await connect(token=TOKEN)
    first, second = await asyncio.gather(client.formats(), client.formats())
    assert first is second
    assert [item.name for item in first.importers] == ["COCO 1.0"]
    assert first.exporters[2].ext == "ZIP"
    assert client.requests_sent == 1


@pytest.mark.parametrize(
    ("answer", "kind", "message"),
    [
        (reply({"detail": "No Task"}, 404), NotFoundError, "cannot export task 5: .* 404, No Task"),
        (reply({"detail": "You do not have permission"}, 403), PermissionDeniedError, "403"),
        (reply(["Something else"], 400), ResponseError, "Something else"),
        (reply({"id": 1}, 202), ProtocolError, "JSON that cannot be read"),
    ],
)
async def test_a_refused_export_has_its_error(
    server: ScriptedServer,
    connect: Connect,
    answer: web.Response,
    kind: type[Exception],
    message: str,
) -> None:
    server[EXPORT] = answer
    client = await connect(token=TOKEN)
    with pytest.raises(kind, match=message):
        await client.request_export(5, ExportSpec(IMAGES_XML))


async def test_an_export_call_is_retried_after_an_outage(
    server: ScriptedServer, connect: Connect, fake_time: FakeTime
) -> None:
    server[EXPORT] = [reply(status=502, text="x"), reply({"rq_id": RQ_ID}, 409)]
    client = await connect(token=TOKEN)
    assert not (await client.request_export(5, ExportSpec(IMAGES_XML))).created
    assert fake_time.slept == [0.5]


async def test_a_request_is_read_by_its_quoted_id(server: ScriptedServer, connect: Connect) -> None:
    server[f"GET /api/requests/{RQ_ID}"] = reply(
        entry(status="finished", finished_date=None, result_url="http://other.example/x?y=1")
    )
    client = await connect(token=TOKEN)
    request = await client.request(RQ_ID)
    assert request.state is RequestStatus.FINISHED
    assert request.result_url == "http://other.example/x?y=1"
    assert server.asked[0].raw_path == f"/api/requests/{QUOTED}"


async def test_a_request_that_is_forgotten_is_not_found(
    server: ScriptedServer, connect: Connect
) -> None:
    server["GET /api/requests/a/b"] = reply(
        status=404, text="There is no request with specified id"
    )
    client = await connect(token=TOKEN)
    with pytest.raises(NotFoundError, match="There is no request with specified id") as caught:
        await client.request("a/b")
    assert caught.value.rq_id == "a/b"
    assert server.asked[0].raw_path == "/api/requests/a%2Fb"


async def test_requests_are_listed_with_the_one_filter_that_works(
    server: ScriptedServer, connect: Connect
) -> None:
    queued = entry(status="queued")
    server["GET /api/requests"] = requests(queued, queued, {**queued, "id": "b"})
    client = await connect(token=TOKEN)
    found = await client.requests(task_ids=[5, 3, 5], status="queued")
    assert [request.id for request in found] == [RQ_ID, "b"]
    assert server.asked[0].query == {
        "action": "export",
        "status": "queued",
        "filter": '{"in":[{"var":"task_id"},[3,5]]}',
        "page_size": "10000",
    }


async def test_all_requests_are_one_query_and_none_is_no_call(
    server: ScriptedServer, connect: Connect
) -> None:
    server["GET /api/requests"] = requests(entry())
    client = await connect(token=TOKEN)
    assert len(await client.requests(action=None)) == 1
    assert server.asked[0].query == {"page_size": "10000"}
    assert await client.requests(task_ids=[]) == ()
    assert client.requests_sent == 1


async def test_many_requests_are_read_in_batches(server: ScriptedServer, connect: Connect) -> None:
    server["GET /api/requests"] = requests(entry(task_id=100_999))
    client = await connect(token=TOKEN)
    assert len(await client.requests(task_ids=range(100_000, 101_000))) == 1
    assert client.requests_sent == 3


@pytest.mark.parametrize(
    ("answer", "cancelled"),
    [
        (reply(body=b"", content_type=""), True),
        (reply(status=400, text="Only requests that have not yet been started"), False),
        (reply(status=404, text="There is no request with specified id"), False),
    ],
)
async def test_cancelling_returns_whether_it_was_in_time(
    server: ScriptedServer, connect: Connect, answer: web.Response, cancelled: bool
) -> None:
    server[f"POST /api/requests/{RQ_ID}/cancel"] = answer
    client = await connect(token=TOKEN)
    assert await client.cancel_request(RQ_ID) is cancelled
    assert server.asked[0].raw_path == f"/api/requests/{QUOTED}/cancel"


async def test_cancelling_another_user_s_request_is_refused(
    server: ScriptedServer, connect: Connect
) -> None:
    server["POST /api/requests/r/cancel"] = reply({"detail": "You do not have permission"}, 403)
    client = await connect(token=TOKEN)
    with pytest.raises(PermissionDeniedError):
        await client.cancel_request("r")
