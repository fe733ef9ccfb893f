"""One annotation file is imported into one task: whole or in pieces, also after lost responses."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from scripted import Connect, ScriptedServer, reply

import asynccvat as ac
from asynccvat.client import internals
from asynccvat.client.upload_file import FileToSend
from asynccvat.core.annotations.files import FileKind
from asynccvat.core.wire.tus import ONE_REQUEST

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("no_waiting")]

XML = b"<annotations>\n</annotations>\n"
RQ_ID = "action=import&target=task&target_id=7&subresource=annotations"
FORMATS = {
    "importers": [
        {"name": "CVAT 1.1", "ext": "XML, ZIP", "enabled": True},
        {"name": "COCO 1.0", "ext": "JSON, ZIP", "enabled": True},
    ],
    "exporters": [{"name": "CVAT for images 1.1", "ext": "ZIP", "enabled": True}],
}
ASK = "POST /api/tasks/7/annotations/"
STATUS = f"GET /api/requests/{RQ_ID}"


def entry(status: str = "finished", **more: Any) -> dict[str, Any]:
    return {
        "id": RQ_ID,
        "status": status,
        "message": "",
        "operation": {"type": "import:annotations", "target": "task", "task_id": 7},
        "created_date": "2026-11-23T11:42:54.000001Z",
        **more,
    }


def listed(*entries: dict[str, Any]) -> web.Response:
    return reply({"count": len(entries), "next": None, "results": list(entries)})


@pytest.fixture
def taking(server: ScriptedServer) -> ScriptedServer:
    """A server that takes files and imports them at once."""
    server["GET /api/server/annotation/formats"] = reply(FORMATS)
    server[ASK] = reply({"rq_id": RQ_ID}, status=202)
    server[STATUS] = reply(entry())
    server["GET /api/requests"] = listed()
    server["GET /api/tasks/7/annotations"] = reply({"tags": [], "shapes": [], "tracks": []})
    return server


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "annotations.xml"
    path.write_bytes(XML)
    return path


def large(tmp_path: Path, size: int = 3 * ONE_REQUEST + 5) -> Path:
    path = tmp_path / "large.xml"
    path.write_bytes(b"<annotations>" + b" " * (size - 27) + b"</annotations>")
    return path


# --- in one request -------------------------------------------------------------------------------


async def test_a_small_file_goes_in_one_request(
    taking: ScriptedServer, connect: Connect, file: Path
) -> None:
    client = await connect()
    request = await ac.upload_annotations(client, 7, file, format="CVAT for images 1.1")
    assert request.state is ac.models.RequestStatus.FINISHED
    (asked,) = [one for one in taking.asked if one.path == "/api/tasks/7/annotations/"]
    assert asked.query["format"] == "CVAT 1.1"
    # Without it, a task whose default source is a bucket would look there.
    assert asked.query["location"] == "local"
    assert asked.headers["Content-Type"].startswith("multipart/form-data; boundary=")
    assert b'name="annotation_file"; filename="annotations.xml"' in asked.body
    assert XML in asked.body


async def test_a_task_that_has_annotations_is_not_emptied(
    taking: ScriptedServer, connect: Connect, file: Path
) -> None:
    client = await connect()
    none, some = ({"shapes": [{"type": "rectangle"}] * count} for count in (0, 12))
    taking["GET /api/tasks/7/annotations"] = reply(some)
    with pytest.raises(ac.errors.AnnotationLossError, match="would remove the 12 shapes of the"):
        await ac.upload_annotations(client, 7, file)
    assert [one for one in taking.asked if one.method == "POST" and "annot" in one.path] == []
    await ac.upload_annotations(client, 7, file, allow_empty=True, backup=False)
    boxes = b'<annotations><image id="0" name="a.jpg"><box/></image></annotations>'
    file.write_bytes(boxes)
    taking["GET /api/tasks/7/annotations"] = [reply(some), reply(none)]
    with pytest.raises(ac.errors.AnnotationLossError, match="left task 7 without annotations"):
        await ac.upload_annotations(client, 7, file, backup=False)


async def test_a_failed_import_gives_the_servers_message(
    taking: ScriptedServer, connect: Connect, file: Path
) -> None:
    message = "xml.etree.ElementTree.ParseError: syntax error: line 1, column 0\n"
    taking[STATUS] = reply(entry("failed", message=message))
    client = await connect()
    with pytest.raises(
        ac.errors.ImportFailedError,
        match=r"annotations\.xml' into task 7: xml\.etree.* column 0\. The file",
    ):
        await ac.upload_annotations(client, 7, file)


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "is empty"),
        (b"<html></html>", "an HTML page"),
        (b"{}", "is JSON, and"),
        (None, "there is no such file"),
    ],
)
async def test_files_that_cannot_be_imported_are_refused_before_a_byte_is_sent(
    taking: ScriptedServer, connect: Connect, tmp_path: Path, content: bytes | None, why: str
) -> None:
    path = tmp_path / "annotations.xml"
    if content is not None:
        path.write_bytes(content)
    client = await connect()
    with pytest.raises(ac.errors.AnnotationFileError, match=why):
        await ac.upload_annotations(client, 7, path)
    assert taking.times(ASK) == 0


async def test_a_format_that_the_server_does_not_read_is_refused(
    taking: ScriptedServer, connect: Connect, file: Path
) -> None:
    client = await connect()
    with pytest.raises(ac.ConfigError, match=r"Did you mean 'COCO 1\.0'"):
        await ac.upload_annotations(client, 7, file, format="COCO 2.0")
    assert taking.times(ASK) == 0


async def test_an_upload_to_a_missing_task_is_an_error(
    taking: ScriptedServer, connect: Connect, file: Path
) -> None:
    taking[ASK] = reply({"detail": "No Task matches the given query."}, status=404)
    client = await connect()
    with pytest.raises(ac.NotFoundError, match=r"cannot upload to task 7: .* no such task"):
        await ac.upload_annotations(client, 7, file)


# --- replace or append ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "schema", [reply(status=404), reply(text="paths:\n  format: string\n")], ids=["none", "older"]
)
async def test_append_is_refused_if_the_server_would_replace(
    taking: ScriptedServer, connect: Connect, file: Path, schema: web.Response
) -> None:
    taking["GET /api/schema/"] = schema
    client = await connect()
    for _ in range(2):
        with pytest.raises(ac.ConfigError, match=r"cannot append annotations: .* only replaces"):
            await ac.upload_annotations(client, 7, file, mode="append")
    assert taking.times("GET /api/schema/") == 1
    assert taking.times(ASK) == 0


async def test_append_is_sent_in_pieces_so_that_the_file_is_imported_only_once(
    taking: ScriptedServer, connect: Connect, file: Path
) -> None:
    taking["GET /api/schema/"] = reply(text="- name: import_mode\n")
    taking[ASK] = _tus_answers(taking)
    taking["PATCH /api/tasks/7/annotations/1_a"] = reply(
        status=204, Upload_Offset=str(len(XML)), text=""
    )
    client = await connect()
    await ac.upload_annotations(client, 7, file, mode="append")
    finish = [one for one in taking.asked if "Upload-Finish" in one.headers]
    assert [(one.query["import_mode"], one.query["filename"]) for one in finish] == [
        ("append", "1_a")
    ]


def _tus_answers(
    server: ScriptedServer, *finishes: web.Response
) -> Callable[[web.Request], web.Response]:
    last = list(finishes)

    def answer(request: web.Request) -> web.Response:
        if "Upload-Start" in request.headers:
            return reply(status=202, text="")
        if "Upload-Length" in request.headers:
            assert request.headers["Origin"] == server.url
            location = "http://wrong.example/api/tasks/7/annotations/1_a"
            return reply(status=201, text="", Location=location, Upload_Filename="1_a")
        return last.pop(0) if last else reply({"rq_id": RQ_ID}, status=202)

    return answer


async def test_an_unknown_mode_is_refused(
    taking: ScriptedServer, connect: Connect, file: Path
) -> None:
    client = await connect()
    with pytest.raises(ac.ConfigError, match="mode must be replace or append, not 'merge'"):
        await ac.upload_annotations(client, 7, file, mode="merge")
    assert taking.times(ASK) == 0


# --- never blindly --------------------------------------------------------------------------------


def lost(request: web.Request) -> web.Response:
    """Take a call and break the connection instead of answering."""
    assert request.transport is not None
    request.transport.abort()
    return reply(status=202, text="")


async def test_after_a_lost_response_an_import_that_exists_is_followed(
    taking: ScriptedServer, connect: Connect, file: Path
) -> None:
    taking[ASK] = lost
    taking["GET /api/requests"] = listed(entry("started"))
    client = await connect()
    request = await ac.upload_annotations(client, 7, file)
    assert request.id == RQ_ID
    assert taking.times(ASK) == 1


async def test_an_earlier_import_is_not_mistaken_for_ours(
    taking: ScriptedServer, connect: Connect, file: Path
) -> None:
    taking[ASK] = [lost, reply({"rq_id": RQ_ID}, status=202)]
    taking["GET /api/requests"] = listed(
        entry(created_date="2026-11-23T11:42:52.9Z"),
        entry(id="other")
        | {"operation": {"type": "import:annotations", "target": "task", "task_id": 8}},
        entry(id="data") | {"operation": {"type": "create:task", "target": "task", "task_id": 7}},
    )
    client = await connect()
    await ac.upload_annotations(client, 7, file)
    # Looked at three times, as it may have been on its way; then asked once more.
    assert taking.times("GET /api/requests") == 3
    assert taking.times(ASK) == 2


async def test_an_uncertain_import_is_not_sent_again(
    taking: ScriptedServer, connect: Connect, file: Path
) -> None:
    taking[ASK] = lost
    taking["GET /api/requests"] = reply("Redis is away", status=400)
    client = await connect()
    with pytest.raises(ac.errors.ImportUncertainError, match="may have happened or not") as caught:
        await ac.upload_annotations(client, 7, file)
    assert not caught.value.retryable
    assert taking.times(ASK) == 1


async def test_without_dates_an_existing_import_is_uncertain(
    taking: ScriptedServer, connect: Connect, file: Path
) -> None:
    taking[ASK] = lost
    taking["GET /api/requests"] = listed(entry(created_date="2026-11-19T08:00:00Z"))
    taking["GET /api/server/about"] = reply({"version": "2.54.1"})
    for answer in taking.routes.values():
        if isinstance(answer, web.Response):
            answer.headers["Date"] = "dropped by a proxy"
    client = await connect(token="0" * 40)
    with pytest.raises(
        ac.errors.ImportUncertainError, match="the server sent no date of an import"
    ):
        await ac.upload_annotations(client, 7, file)
    assert taking.times(ASK) == 1


async def test_an_import_without_a_date_is_uncertain(
    taking: ScriptedServer, connect: Connect, file: Path
) -> None:
    taking[ASK] = lost
    taking["GET /api/requests"] = listed(entry(created_date=None))
    client = await connect()
    with pytest.raises(
        ac.errors.ImportUncertainError, match="the server sent no date of an import"
    ):
        await ac.upload_annotations(client, 7, file)


async def test_a_throttled_import_call_is_retried_without_a_search(
    taking: ScriptedServer, connect: Connect, file: Path
) -> None:
    taking[ASK] = [
        reply({"detail": "Request was throttled."}, status=429, Retry_After="1"),
        reply({"rq_id": RQ_ID}, status=202),
    ]
    client = await connect()
    await ac.upload_annotations(client, 7, file)
    assert taking.times(ASK) == 2
    assert taking.times("GET /api/requests") == 0


async def test_an_upload_waits_for_a_running_import_of_another_client(
    taking: ScriptedServer, connect: Connect, file: Path
) -> None:
    taking[ASK] = [
        reply({"rq_id": RQ_ID}, status=409),
        reply({"rq_id": RQ_ID}, status=202),
    ]
    client = await connect()
    await ac.upload_annotations(client, 7, file)
    assert taking.times(ASK) == 2
    assert taking.times(STATUS) == 2


async def test_another_users_import_cannot_be_waited_for(
    taking: ScriptedServer, connect: Connect, file: Path
) -> None:
    taking[ASK] = reply({"rq_id": RQ_ID}, status=409)
    taking[STATUS] = reply({"detail": "You do not have permission"}, status=403)
    client = await connect()
    with pytest.raises(
        ac.errors.UploadError, match="nothing was uploaded to task 7: another import"
    ):
        await ac.upload_annotations(client, 7, file)


async def test_an_upload_gives_up_on_a_task_that_stays_busy(
    taking: ScriptedServer, connect: Connect, file: Path
) -> None:
    taking[ASK] = reply({"rq_id": RQ_ID}, status=409)
    client = await connect()
    with pytest.raises(ac.errors.UploadError, match="another import of the task runs"):
        await ac.upload_annotations(client, 7, file)


async def test_another_import_that_runs_for_too_long_is_not_called_an_export(
    taking: ScriptedServer, connect: Connect, file: Path
) -> None:
    taking[ASK] = reply({"rq_id": RQ_ID}, status=409)
    taking[STATUS] = reply(entry("started", started_date="2026-11-23T11:42:54Z"))
    client = await connect()
    with pytest.raises(
        ac.errors.UploadError, match="another import of the task runs for longer"
    ) as caught:
        await ac.upload_annotations(client, 7, file, timeout=0.001)
    assert "--import-timeout" in str(caught.value)
    assert "nothing was uploaded" in str(caught.value)
    assert "export" not in str(caught.value)


async def test_a_conflict_after_a_lost_response_is_our_own_import(
    taking: ScriptedServer, connect: Connect, file: Path
) -> None:
    taking[ASK] = [lost, reply({"rq_id": RQ_ID}, status=409)]
    taking["GET /api/requests"] = [listed(), listed(), listed(), listed(entry("queued"))]
    client = await connect()
    request = await ac.upload_annotations(client, 7, file)
    assert request.id == RQ_ID
    assert taking.times(ASK) == 2


async def test_an_unexplained_conflict_after_a_lost_response_is_uncertain(
    taking: ScriptedServer, connect: Connect, file: Path
) -> None:
    taking[ASK] = [lost, reply({"rq_id": RQ_ID}, status=409)]
    taking["GET /api/requests"] = [listed()] * 3 + [reply("Redis is away", status=400)]
    client = await connect()
    with pytest.raises(ac.errors.ImportUncertainError, match="The server's requests do not tell"):
        await ac.upload_annotations(client, 7, file)


async def test_a_conflict_in_plain_text_is_a_protocol_error(
    taking: ScriptedServer, connect: Connect, file: Path
) -> None:
    taking[ASK] = reply(status=409, text="An import is running")
    client = await connect()
    with pytest.raises(ac.errors.ProtocolError, match="An import is running"):
        await ac.upload_annotations(client, 7, file)


async def test_an_import_that_the_server_forgot_is_uncertain(
    taking: ScriptedServer, connect: Connect, file: Path
) -> None:
    taking[STATUS] = reply(status=404, text="not found")
    client = await connect()
    with pytest.raises(ac.errors.ImportUncertainError, match="or not: the server has forgotten it"):
        await ac.upload_annotations(client, 7, file)


async def test_an_import_whose_request_cannot_be_read_is_uncertain(
    taking: ScriptedServer, connect: Connect, file: Path
) -> None:
    taking[STATUS] = reply({"detail": "no"}, status=403)
    client = await connect()
    with pytest.raises(ac.errors.ImportUncertainError, match=r"or not: .*403.* Look at the"):
        await ac.upload_annotations(client, 7, file)


async def test_an_import_that_runs_for_too_long_is_given_up(
    taking: ScriptedServer, connect: Connect, file: Path
) -> None:
    taking[STATUS] = reply(entry("started", started_date="2026-11-23T11:42:54Z"))
    taking[f"POST /api/requests/{RQ_ID}/cancel"] = reply(status=400, text="it runs")
    client = await connect()
    with pytest.raises(ac.errors.UploadError, match="takes too long: the server still runs it"):
        await ac.upload_annotations(client, 7, file, timeout=0.001)


# --- in pieces ------------------------------------------------------------------------------------


async def test_a_file_that_the_server_forgot_is_sent_again(
    taking: ScriptedServer, connect: Connect, tmp_path: Path
) -> None:
    path = large(tmp_path, ONE_REQUEST + 10)
    taking[ASK] = _tus_answers(taking)
    taking["PATCH /api/tasks/7/annotations/1_a"] = [
        reply(status=404, text=""),
        reply(status=204, text="", Upload_Offset=str(ONE_REQUEST)),
        reply(status=204, text="", Upload_Offset=str(ONE_REQUEST + 10)),
    ]
    client = await connect()
    taking.routes[ASK] = _tus_answers(taking)
    await ac.upload_annotations(client, 7, path)
    assert sum("Upload-Length" in one.headers for one in taking.asked) == 2


async def test_a_last_piece_that_the_server_lacks_is_sent_again(
    taking: ScriptedServer, connect: Connect, tmp_path: Path
) -> None:
    size = ONE_REQUEST + 10
    gone = reply(["No such file were uploaded"], status=400)
    taking[ASK] = _tus_answers(taking, gone)
    taking["PATCH /api/tasks/7/annotations/1_a"] = [
        reply(status=204, text="", Upload_Offset=str(ONE_REQUEST)),
        lost,
        reply(status=204, text="", Upload_Offset=str(ONE_REQUEST)),
        reply(status=204, text="", Upload_Offset=str(size)),
    ]
    client = await connect()
    request = await ac.upload_annotations(client, 7, large(tmp_path, size))
    assert request.id == RQ_ID
    assert sum("Upload-Length" in one.headers for one in taking.asked) == 2
    assert sum("Upload-Finish" in one.headers for one in taking.asked) == 2


async def test_an_invalid_offset_ends_the_upload(
    taking: ScriptedServer, connect: Connect, tmp_path: Path
) -> None:
    taking[ASK] = _tus_answers(taking)
    taking["PATCH /api/tasks/7/annotations/1_a"] = reply(status=204, text="", Upload_Offset="-1")
    client = await connect()
    with pytest.raises(ac.errors.ProtocolError, match="Upload-Offset '-1'"):
        await ac.upload_annotations(client, 7, large(tmp_path))


async def test_an_upload_without_a_location_is_a_protocol_error(
    taking: ScriptedServer, connect: Connect, tmp_path: Path
) -> None:
    taking[ASK] = lambda request: reply(
        status=202 if "Upload-Start" in request.headers else 201, text=""
    )
    client = await connect()
    with pytest.raises(ac.errors.ProtocolError, match="no Upload-Filename or Location"):
        await ac.upload_annotations(client, 7, large(tmp_path))


async def test_a_piece_at_a_wrong_offset_is_sent_again_at_the_servers_offset(
    taking: ScriptedServer, connect: Connect, tmp_path: Path
) -> None:
    path = large(tmp_path, ONE_REQUEST + 10)
    taking[ASK] = _tus_answers(taking)
    taking["PATCH /api/tasks/7/annotations/1_a"] = [
        reply(status=409, text=""),
        reply(status=204, text="", Upload_Offset=str(ONE_REQUEST + 10)),
    ]
    taking["HEAD /api/tasks/7/annotations/1_a"] = reply(text="", Upload_Offset=str(ONE_REQUEST))
    client = await connect()
    await ac.upload_annotations(client, 7, path)
    pieces = [one for one in taking.asked if one.method == "PATCH"]
    assert [(one.headers["Upload-Offset"], len(one.body)) for one in pieces] == [
        ("0", ONE_REQUEST),
        (str(ONE_REQUEST), 10),
    ]


async def test_a_consumed_file_without_a_known_import_is_uncertain(
    taking: ScriptedServer, connect: Connect, tmp_path: Path
) -> None:
    def finished(request: web.Request) -> web.Response:
        if "Upload-Finish" not in request.headers:
            return others(request)
        if not any("Upload-Finish" in one.headers for one in taking.asked[:-1]):
            return lost(request)
        return reply(["No such file were uploaded"], status=400)

    others = _tus_answers(taking)
    taking[ASK] = finished
    taking["PATCH /api/tasks/7/annotations/1_a"] = reply(
        status=204, text="", Upload_Offset=str(ONE_REQUEST + 10)
    )
    client = await connect()
    with pytest.raises(ac.errors.ImportUncertainError, match="remembers no such import"):
        await ac.upload_annotations(client, 7, large(tmp_path, ONE_REQUEST + 10))


async def test_any_other_refusal_of_the_last_piece_is_an_error(
    taking: ScriptedServer, connect: Connect, file: Path
) -> None:
    taking[ASK] = reply(["Unknown input format 'CVAT 1.1'"], status=400)
    client = await connect()
    with pytest.raises(ac.errors.ResponseError, match="Unknown input format"):
        await ac.upload_annotations(client, 7, file)


# --- the file changes -----------------------------------------------------------------------------


async def test_a_large_file_that_changes_during_its_upload_is_not_imported(
    taking: ScriptedServer, connect: Connect, tmp_path: Path
) -> None:
    path = large(tmp_path, ONE_REQUEST + 10)

    def edited(request: web.Request) -> web.Response:
        del request
        path.write_bytes(path.read_bytes() + b"\n")
        return reply(status=204, text="", Upload_Offset=str(ONE_REQUEST + 10))

    taking[ASK] = _tus_answers(taking)
    taking["PATCH /api/tasks/7/annotations/1_a"] = edited
    client = await connect()
    with pytest.raises(ac.errors.AnnotationFileError, match="so nothing was imported"):
        await ac.upload_annotations(client, 7, path)
    assert not any("Upload-Finish" in one.headers for one in taking.asked)


async def test_a_large_file_that_shrinks_or_disappears_ends_its_upload(
    taking: ScriptedServer, connect: Connect, tmp_path: Path
) -> None:
    path = large(tmp_path)

    def shrunk(request: web.Request) -> web.Response:
        if "Upload-Length" in request.headers:
            path.write_bytes(XML)
        return others(request)

    others = _tus_answers(taking)
    taking[ASK] = shrunk
    client = await connect()
    with pytest.raises(ac.errors.AnnotationFileError, match="so nothing was imported"):
        await ac.upload_annotations(client, 7, path)


async def test_a_small_file_that_is_gone_is_not_sent(
    taking: ScriptedServer, connect: Connect, file: Path
) -> None:
    client = await connect()
    checked = FileToSend(
        path=file,
        shown=file,
        kind=FileKind.XML,
        size=len(XML),
        mtime_ns=file.stat().st_mtime_ns,
    )
    upload = internals(client).begin_upload(7, checked, importer="CVAT 1.1")
    file.unlink()
    with pytest.raises(ac.errors.AnnotationFileError, match="so nothing was imported"):
        await upload.request_import()
    assert taking.times(ASK) == 0


# --- the recording --------------------------------------------------------------------------------


async def test_an_upload_sends_what_the_recorded_server_accepted(
    shared: Path, taking: ScriptedServer, connect: Connect, tmp_path: Path
) -> None:
    """Every header and parameter of the recorded exchange that CVAT reads is there."""
    recorded = json.loads((shared / "contract/http/annotation_upload.json").read_text("utf-8"))
    steps = {
        name: one["request"]
        for one in recorded["exchanges"]
        for name in ("upload-start", "upload-length", "upload-offset", "upload-finish")
        if name in one["request"]["headers"] and one["response"]["status"] in (201, 202, 204)
    }
    taking[ASK] = _tus_answers(taking)
    size = ONE_REQUEST + 10
    taking["PATCH /api/tasks/7/annotations/1_a"] = [
        reply(status=204, text="", Upload_Offset=str(ONE_REQUEST)),
        reply(status=204, text="", Upload_Offset=str(size)),
    ]
    client = await connect()
    await ac.upload_annotations(client, 7, large(tmp_path, size))
    needed = {"tus-resumable", "origin", "upload-start", "upload-length", "upload-metadata"} | {
        "upload-offset",
        "upload-finish",
        "content-length",
    }
    for name, request in steps.items():
        ours = next(one for one in taking.asked if name in {key.lower() for key in one.headers})
        assert ours.method == request["method"]
        sent = {key.lower() for key in ours.headers}
        assert request["headers"].keys() & needed <= sent, name
    created = next(one for one in taking.asked if "Upload-Length" in one.headers)
    coded = created.headers["Upload-Metadata"].partition(" ")[2]
    assert base64.b64decode(coded) == b"annotations.xml"
