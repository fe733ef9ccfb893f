"""Any source of bytes goes to any place by TUS, and the last call of an upload happens once."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from scripted import DATE, Connect, ScriptedServer, reply

import asynccvat as ac
from asynccvat.client.body_limit import BodyLimit
from asynccvat.client.finishing import UploadFinish
from asynccvat.client.tus import BegunUpload, PieceSender, UploadPlace
from asynccvat.client.upload_file import LocalFile
from asynccvat.client.upload_starts import UploadStarts
from asynccvat.core.requests import RequestAccepted
from asynccvat.errors import (
    ProtocolError,
    RequestUncertainError,
    UploadError,
    UploadForgottenError,
    UploadTooLargeError,
)

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("no_waiting")]

PLACE = UploadPlace(path="/api/tasks/backup/", purpose="for a restore")
SHARED = UploadPlace(path=PLACE.path, purpose=PLACE.purpose, is_shared=True)
CONTENT = bytes(range(256)) * 9000
FILE = "/api/tasks/backup/1_abc"
RQ_ID = "action=import&target=task&id=1&subresource=backup"


class InMemory:
    """A source of bytes that is no file."""

    filename = "backup.zip"
    shown = "the backup of task 147"
    size = len(CONTENT)

    def __init__(self) -> None:
        self.read = 0

    async def pieces(self, offset: int, length: int) -> AsyncIterator[bytes]:
        self.read += length
        yield CONTENT[offset : offset + length]

    async def check_unchanged(self) -> None:
        pass


class Taking:
    """What a server does with the pieces of a file."""

    def __init__(self, server: ScriptedServer) -> None:
        self.taken = bytearray()
        self.sizes: list[int] = []
        self.location = f"{server.url}{FILE}"
        server["POST /api/tasks/backup/"] = self.post
        server[f"PATCH {FILE}"] = self.patch
        server[f"HEAD {FILE}"] = self.head
        self.finish: Any = reply({"rq_id": RQ_ID}, 202)
        self.allowed = len(CONTENT)
        self.announced: dict[str, str] = {}
        self.starts = self.begun = 0
        self.wants_a_start_for_each = False

    def post(self, request: web.Request) -> web.Response:
        if "Upload-Start" in request.headers:
            self.starts += 1
            return reply(status=202)
        if "Upload-Finish" in request.headers:
            answer = self.finish.pop(0) if isinstance(self.finish, list) else self.finish
            assert isinstance(answer, web.Response)
            return answer
        if self.wants_a_start_for_each and self.starts <= self.begun:
            return reply(["Start the upload first"], 400)
        self.announced = dict(request.headers)
        size = int(request.headers["Upload-Length"])
        if size > self.allowed:
            return reply(f"File size exceeds max limit of {self.allowed} bytes", 413)
        self.begun += 1
        self.taken.clear()
        return reply(status=201, Location=self.location, Upload_Filename="1_abc")

    async def patch(self, request: web.Request) -> web.Response:
        assert int(request.headers["Upload-Offset"]) == len(self.taken)
        piece = await request.read()
        self.taken += piece
        self.sizes.append(len(piece))
        return reply(status=204, Upload_Offset=str(len(self.taken)))

    def head(self, _request: web.Request) -> web.Response:
        if len(self.taken) >= len(CONTENT):
            return reply(status=404)
        return reply(status=200, Upload_Offset=str(len(self.taken)))


@pytest.fixture
def taking(server: ScriptedServer) -> Taking:
    return Taking(server)


async def sender(connect: Connect, source: Any = None, **more: Any) -> PieceSender:
    client = await connect()
    return PieceSender(
        client._http, source or InMemory(), PLACE, limit=more.pop("limit", BodyLimit()), **more
    )


async def test_a_source_that_is_no_file_arrives_whole(taking: Taking, connect: Connect) -> None:
    begun: list[BegunUpload] = []
    counted: list[int] = []

    async def note(one: BegunUpload) -> None:
        assert not taking.taken, "it is noted before the first piece"
        begun.append(one)

    sending = await sender(connect, on_sent=counted.append, on_begun=note)
    sent = await sending.send()
    assert (sent.file_id, sent.certain) == ("1_abc", True)
    assert bytes(taking.taken) == CONTENT
    assert sum(counted) == len(CONTENT)
    assert begun == [BegunUpload("1_abc", FILE)]
    name = taking.announced["Upload-Metadata"].split()[1]
    assert base64.b64decode(name) == b"backup.zip"


async def test_another_process_goes_on_where_the_server_is(
    taking: Taking, connect: Connect
) -> None:
    taking.taken += CONTENT[:2_000_000]
    source = InMemory()
    sent = await (await sender(connect, source)).send(BegunUpload("1_abc", FILE))
    assert sent.certain
    assert bytes(taking.taken) == CONTENT
    assert source.read == len(CONTENT) - 2_000_000


async def test_an_upload_that_the_server_does_not_show_is_not_certain(
    taking: Taking, connect: Connect
) -> None:
    taking.taken += CONTENT
    source = InMemory()
    sent = await (await sender(connect, source)).send(BegunUpload("1_abc", FILE))
    assert (sent.file_id, sent.certain) == ("1_abc", False)
    assert source.read == 0


async def test_one_start_does_for_many_files_of_a_shared_place(
    taking: Taking, connect: Connect
) -> None:
    client, starts = await connect(), UploadStarts()
    for count in range(1, 4):
        sending = PieceSender(client._http, InMemory(), SHARED, limit=BodyLimit(), starts=starts)
        assert (await sending.send()).certain
        assert bytes(taking.taken) == CONTENT
        assert (taking.starts, taking.begun) == (1, count)


async def test_a_file_that_is_refused_without_a_start_is_announced(
    taking: Taking, connect: Connect
) -> None:
    client, starts = await connect(), UploadStarts()
    taking.wants_a_start_for_each = True
    for count in range(1, 4):
        sending = PieceSender(client._http, InMemory(), SHARED, limit=BodyLimit(), starts=starts)
        assert (await sending.send()).certain
        assert (taking.starts, taking.begun) == (count, count)


async def test_a_place_of_one_task_is_started_for_each_file(
    taking: Taking, connect: Connect
) -> None:
    client, starts = await connect(), UploadStarts()
    for count in range(1, 3):
        await PieceSender(client._http, InMemory(), PLACE, limit=BodyLimit(), starts=starts).send()
        assert taking.starts == count


async def test_a_start_that_fails_is_made_again_for_the_next_file(
    taking: Taking, connect: Connect, server: ScriptedServer
) -> None:
    client, starts = await connect(), UploadStarts()
    server["POST /api/tasks/backup/"] = [reply({"detail": "no"}, 403), taking.post]
    sending = PieceSender(client._http, InMemory(), SHARED, limit=BodyLimit(), starts=starts)
    with pytest.raises(ac.PermissionDeniedError):
        await sending.send()
    assert (await sending.send()).certain
    assert taking.starts == 1


async def test_a_file_that_is_too_large_is_not_announced_again(
    taking: Taking, connect: Connect
) -> None:
    client, starts = await connect(), UploadStarts()
    sending = PieceSender(client._http, InMemory(), SHARED, limit=BodyLimit(), starts=starts)
    await sending.send()
    taking.allowed = 1_000_000
    with pytest.raises(UploadTooLargeError):
        await sending.send()
    assert taking.starts == 1


async def test_a_file_above_the_servers_own_limit_is_refused_with_the_number(
    taking: Taking, connect: Connect
) -> None:
    taking.allowed = 1_000_000
    with pytest.raises(UploadTooLargeError, match="no file of more than 1,000,000 bytes") as raised:
        await (await sender(connect)).send()
    assert (raised.value.size, raised.value.most) == (len(CONTENT), 1_000_000)
    assert taking.sizes == []


async def test_a_gateways_limit_makes_pieces_smaller(
    taking: Taking, server: ScriptedServer, connect: Connect
) -> None:
    async def patch(request: web.Request) -> web.Response:
        if int(request.headers["Content-Length"]) > 300_000:
            return reply(status=413, text="too large")
        return await taking.patch(request)

    server[f"PATCH {FILE}"] = patch
    limit = BodyLimit()
    assert (await (await sender(connect, limit=limit)).send()).certain
    assert bytes(taking.taken) == CONTENT
    assert limit.most < 300_000


async def test_a_file_that_was_changed_is_not_used(
    server: ScriptedServer, connect: Connect, tmp_path: Path
) -> None:
    Taking(server)
    path = tmp_path / "backup.zip"
    path.write_bytes(CONTENT)
    file = LocalFile(path=path, shown=path, size=len(CONTENT), mtime_ns=path.stat().st_mtime_ns)
    path.write_bytes(CONTENT[:-9])
    server[f"PATCH {FILE}"] = reply(status=502)
    with pytest.raises(UploadError, match=r"backup.zip': it was changed during the upload"):
        await (await sender(connect, file)).send()
    assert (
        await LocalFile(
            path=path, shown=path, size=len(CONTENT) - 9, mtime_ns=path.stat().st_mtime_ns
        ).whole()
        == CONTENT[:-9]
    )


# --- the last call ------------------------------------------------------------------------------


class Searched:
    """What a search of the server finds, each time."""

    def __init__(self, *found: RequestAccepted | None) -> None:
        self.found = list(found)
        self.since: list[datetime | None] = []

    async def __call__(self, since: datetime | None) -> RequestAccepted | None:
        self.since.append(since)
        return self.found.pop(0) if self.found else None


FOUND = RequestAccepted("found", created=True)


async def finish(connect: Connect, find: Searched, **more: Any) -> UploadFinish:
    client = await connect()
    await client.about()
    return UploadFinish(client._http, PLACE, "1_abc", find_lost=find, **more)


async def test_the_last_call_names_the_file_and_gives_the_request(
    telling: Taking, server: ScriptedServer, connect: Connect
) -> None:
    telling.finish = reply({"rq_id": RQ_ID}, 202)
    find = Searched()
    accepted = await (await finish(connect, find, options={"image_quality": 70})).request()
    assert accepted == RequestAccepted(RQ_ID, created=True)
    assert server.asked[-1].query == {"filename": "1_abc"}
    assert server.asked[-1].body == b'{"image_quality": 70}'
    assert find.since == []


@pytest.fixture
def telling(server: ScriptedServer, taking: Taking) -> Taking:
    server["GET /api/server/about"] = reply({"version": "2.64.0"})
    return taking


async def test_a_lost_answer_is_looked_for_since_the_call(
    telling: Taking, connect: Connect
) -> None:
    telling.finish = reply(status=502)
    find = Searched(None, FOUND)
    assert await (await finish(connect, find)).request() == FOUND
    moment = datetime.strptime(DATE, "%a, %d %b %Y %H:%M:%S GMT").replace(tzinfo=UTC)
    assert find.since == [moment, moment]


async def test_a_call_that_began_nothing_is_sent_again(telling: Taking, connect: Connect) -> None:
    telling.finish = [reply(status=502), reply({"rq_id": RQ_ID}, 202)]
    find = Searched()
    assert (await (await finish(connect, find)).request()).rq_id == RQ_ID
    assert len(find.since) == 3


async def test_a_consumed_file_shows_that_the_lost_call_arrived(
    telling: Taking, connect: Connect
) -> None:
    gone = reply(["No such file were uploaded"], 400)
    telling.finish = [reply(status=502), gone]
    find = Searched(None, None, None, FOUND)
    assert await (await finish(connect, find)).request() == FOUND
    telling.finish = [reply(status=502), gone]
    with pytest.raises(RequestUncertainError, match="no longer has the file, and shows no result"):
        await (await finish(connect, Searched())).request()
    telling.finish = gone
    lost = datetime(2026, 11, 23, tzinfo=UTC)
    with pytest.raises(RequestUncertainError, match=r"was lost\. The server does not tell"):
        await (await finish(connect, Searched(), lost_before=lost)).request()


async def test_a_file_that_the_server_forgot_is_told_apart(
    telling: Taking, connect: Connect
) -> None:
    telling.finish = reply(["No such file were uploaded"], 400)
    with pytest.raises(UploadForgottenError, match="has forgotten the file"):
        await (await finish(connect, Searched())).request()


async def test_a_refusal_is_not_repeated(telling: Taking, connect: Connect) -> None:
    telling.finish = [reply({"detail": "no"}, 403)]
    with pytest.raises(ac.PermissionDeniedError):
        await (await finish(connect, Searched())).request()


async def test_an_answer_without_a_request_is_no_success(telling: Taking, connect: Connect) -> None:
    telling.finish = reply(text="fine", status=202)
    with pytest.raises(ProtocolError, match="'fine' instead of the id of a request"):
        await (await finish(connect, Searched())).request()
