"""Downloads give the requested bytes of the configured server, or a clear error."""

from __future__ import annotations

import asyncio
import gzip
import random
from pathlib import Path
from typing import Any

import anyio.lowlevel
import pytest
from aiohttp import StreamReader, web
from scripted import Connect, FakeTime, ScriptedServer, raw_server, reply

from asynccvat.client import CvatClient, internals
from asynccvat.core.wire.retry import RetryPolicy
from asynccvat.errors import (
    ExportExpiredError,
    ExportNotReadyError,
    NotFoundError,
    PermissionDeniedError,
    ProtocolError,
    ReadError,
    ResponseError,
    StallError,
)

pytestmark = pytest.mark.anyio

TOKEN = "abcdefgh.0123456789ABCDEFGHIJKLMNOPQRSTUV"
ARCHIVE = random.Random(5).randbytes(100_000)
ETAG = '"6b04284a-2f568"'
PATH = "/api/tasks/5/dataset/download"
RESULT = f"http://10.0.0.7:8080{PATH}?rq_id=action%3Dexport%26target%3Dtask"
DOWNLOAD = f"GET {PATH}"


def archive(content: bytes = ARCHIVE, **changes: Any) -> web.Response:
    changes = {"content_type": "application/zip", "ETag": ETAG, **changes}
    return reply(body=content, **changes)


def part(first: int, last: int, **changes: Any) -> web.Response:
    changes = {"Content_Range": f"bytes {first}-{last}/{len(ARCHIVE)}", **changes}
    return archive(ARCHIVE[first : last + 1], status=206, **changes)


async def read(client: CvatClient, **options: Any) -> bytes:
    async with internals(client).open_result(RESULT, **options) as stream:
        return b"".join([chunk async for chunk in stream.chunks()])


async def test_a_whole_archive_comes_from_the_configured_server(
    server: ScriptedServer, connect: Connect
) -> None:
    server[DOWNLOAD] = archive()
    client = await connect(token=TOKEN)
    async with internals(client).open_result(RESULT) as stream:
        assert (stream.status, stream.start, stream.length, stream.total) == (
            200,
            0,
            100_000,
            100_000,
        )
        assert stream.etag == ETAG
        assert b"".join([chunk async for chunk in stream.chunks()]) == ARCHIVE
        assert stream.received == 100_000
    (asked,) = server.asked
    assert asked.raw_path == f"{PATH}?rq_id=action%3Dexport%26target%3Dtask"
    assert asked.headers["Accept"] == "application/vnd.cvat+json, */*"
    assert asked.headers["Accept-Encoding"] == "identity"
    # Each export of a task has the same URL, which a cache must not answer with an earlier one.
    assert asked.headers["Cache-Control"] == "no-cache"
    assert asked.headers["Authorization"] == f"Bearer {TOKEN}"
    assert "Range" not in asked.headers


@pytest.mark.parametrize(
    ("options", "header", "bounds"),
    [
        ({"first": 10, "last": 19}, "bytes=10-19", (10, 19)),
        ({"first": 99_990}, "bytes=99990-", (99_990, 99_999)),
        ({"suffix": 1000}, "bytes=-1000", (99_000, 99_999)),
        ({"suffix": 10**9}, "bytes=-1000000000", (0, 99_999)),
    ],
)
async def test_a_part_is_requested_and_knows_its_place(
    server: ScriptedServer,
    connect: Connect,
    options: dict[str, Any],
    header: str,
    bounds: tuple[int, int],
) -> None:
    first, last = bounds
    server[DOWNLOAD] = part(first, last)
    client = await connect(token=TOKEN)
    async with internals(client).open_result(RESULT, if_range=ETAG, **options) as stream:
        assert (stream.status, stream.start, stream.total) == (206, first, 100_000)
        assert stream.length == last - first + 1
        content = b"".join([chunk async for chunk in stream.chunks()])
    assert content == ARCHIVE[first : last + 1]
    assert server.asked[0].headers["Range"] == header
    assert server.asked[0].headers["If-Range"] == ETAG


async def test_a_server_without_ranges_sends_the_whole_archive(
    server: ScriptedServer, connect: Connect
) -> None:
    server[DOWNLOAD] = archive()
    client = await connect(token=TOKEN)
    async with internals(client).open_result(RESULT, suffix=100) as stream:
        assert (stream.status, stream.start, stream.total) == (200, 0, 100_000)
    assert "If-Range" not in server.asked[0].headers


async def test_the_rest_of_a_closed_download_is_not_read(
    server: ScriptedServer, connect: Connect
) -> None:
    async def endless(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "application/zip"})
        await response.prepare(request)
        while True:
            await response.write(b"x" * 65_536)

    server[DOWNLOAD] = endless
    server["GET /api/users/self"] = reply({"id": 1, "username": "alice"})
    client = await connect(token=TOKEN)
    async with internals(client).open_result(RESULT) as stream:
        assert stream.total is None
        async for chunk in stream.chunks():
            assert chunk
            break
    assert (await client.user()).id == 1


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (archive(content_type="text/html; charset=utf-8"), "sent text/html instead of an archive"),
        (reply({"detail": "x"}), r"sent application/vnd\.cvat\+json instead of an archive"),
        (archive(gzip.compress(ARCHIVE), Content_Encoding="gzip"), "with Content-Encoding 'gzip'"),
        (part(10, 19), "although all of it was requested"),
    ],
)
async def test_a_body_that_is_not_an_archive_is_a_protocol_error(
    server: ScriptedServer, connect: Connect, answer: web.Response, message: str
) -> None:
    server[DOWNLOAD] = answer
    client = await connect(token=TOKEN)
    with pytest.raises(ProtocolError, match=message) as caught:
        await read(client, task_id=5)
    assert (caught.value.task_id, caught.value.step) == (5, "download")


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (part(11, 19), "was for 'bytes=10-19', and the server sent 'bytes 11-19/100000'"),
        (part(10, 18), "was for 'bytes=10-19', and the server sent 'bytes 10-18/100000'"),
        (
            archive(ARCHIVE[10:20], status=206),
            "was for 'bytes=10-19', and the server sent Content-Range None",
        ),
        (part(10, 19, content_type="multipart/byteranges"), "sent multipart/byteranges instead"),
        (
            archive(b"abc", status=206, Content_Range="bytes 10-19/100000"),
            "announced 3 bytes for a range of 10",
        ),
    ],
)
async def test_a_part_of_other_bytes_is_a_protocol_error(
    server: ScriptedServer, connect: Connect, answer: web.Response, message: str
) -> None:
    server[DOWNLOAD] = answer
    client = await connect(token=TOKEN)
    with pytest.raises(ProtocolError, match=message):
        await read(client, first=10, last=19)


def raw(*headers: str, body: bytes = b"", status: str = "200 OK") -> bytes:
    lines = [f"HTTP/1.1 {status}", "Content-Type: application/zip", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


async def test_a_body_that_breaks_off_is_a_read_error(connect: Connect) -> None:
    async with raw_server(raw("Content-Length: 100", body=b"x" * 60)) as url:
        client = await connect(url, token=TOKEN)
        with pytest.raises(ReadError, match="broke off before its end"):
            await read(client)


@pytest.mark.parametrize("held_back", [True, False])
async def test_a_slow_reader_gets_what_arrived_before_a_break(
    connect: Connect, monkeypatch: pytest.MonkeyPatch, held_back: bool
) -> None:
    async with raw_server(raw("Content-Length: 100", body=b"x" * 60)) as url:
        client = await connect(url, token=TOKEN)
        async with internals(client).open_result(RESULT) as stream, asyncio.timeout(20):
            content = stream._response.content
            while content.exception() is None:  # the reader reads nothing yet
                await anyio.lowlevel.checkpoint()
            if not held_back:
                # Another aiohttp may keep it elsewhere. Then only these bytes are lost.
                monkeypatch.delattr(StreamReader, "_read_nowait")
            received = bytearray()

            async def read_all() -> None:
                async for chunk in stream.chunks():
                    received.extend(chunk)

            with pytest.raises(ReadError, match="broke off before its end"):
                await read_all()
    assert received == (b"x" * 60 if held_back else b"")


async def test_a_part_that_ends_early_is_a_read_error(connect: Connect) -> None:
    body = raw(
        "Transfer-Encoding: chunked",
        "Content-Range: bytes 0-9/100",
        body=b"6\r\nabcdef\r\n0\r\n\r\n",
        status="206 Partial Content",
    )
    async with raw_server(body) as url:
        client = await connect(url, token=TOKEN)
        with pytest.raises(ReadError, match="the body ended after 6 of 10 bytes"):
            await read(client, first=0, last=9)


async def test_a_part_that_is_too_long_is_a_protocol_error(connect: Connect) -> None:
    body = raw(
        "Transfer-Encoding: chunked",
        "Content-Range: bytes 0-3/100",
        body=b"6\r\nabcdef\r\n0\r\n\r\n",
        status="206 Partial Content",
    )
    async with raw_server(body) as url:
        client = await connect(url, token=TOKEN)
        with pytest.raises(ProtocolError, match="more than the 4 bytes announced"):
            await read(client, first=0, last=3)


async def test_a_silent_download_is_a_stall(connect: Connect) -> None:
    async with raw_server(raw("Content-Length: 100", body=b"x" * 60), hold=True) as url:
        client = await connect(url, token=TOKEN, stall_timeout=0.05)
        with pytest.raises(StallError):
            await read(client)


@pytest.mark.parametrize(
    ("answer", "kind", "retryable"),
    [
        (reply(status=400, text="The export process is not finished"), ExportNotReadyError, True),
        (reply(status=400, text="Unknown export request id"), ExportExpiredError, True),
        (
            reply("The exported file has expired, please retry exporting", 404),
            ExportExpiredError,
            True,
        ),
        (
            reply(status=404, text="There is no request with specified id"),
            ExportExpiredError,
            True,
        ),
        (reply({"detail": "No Task matches the given query."}, 404), NotFoundError, False),
        (reply(["Unexpected request id format"], 400), ResponseError, False),
        (reply({"detail": "You do not have permission"}, 403), PermissionDeniedError, False),
        (reply(status=416, text="<h1>416</h1>"), ResponseError, False),
    ],
)
async def test_each_refused_download_has_its_error(
    server: ScriptedServer,
    connect: Connect,
    answer: web.Response,
    kind: type[Exception],
    retryable: bool,
) -> None:
    server[DOWNLOAD] = answer
    client = await connect(token=TOKEN)
    with pytest.raises(kind) as caught:
        await read(client, task_id=5)
    assert type(caught.value) is kind
    assert caught.value.retryable is retryable  # type: ignore[attr-defined]  # of AsyncCvatError
    assert "cannot download the export of task 5" in str(caught.value)


async def test_a_download_waits_for_an_outage_before_its_first_byte(
    server: ScriptedServer, connect: Connect, fake_time: FakeTime
) -> None:
    server[DOWNLOAD] = [reply(status=502, text="x"), archive()]
    client = await connect(token=TOKEN)
    assert await read(client) == ARCHIVE
    assert fake_time.slept == [0.5]


async def test_an_error_of_the_caller_passes_through_unchanged(
    server: ScriptedServer, connect: Connect
) -> None:
    server[DOWNLOAD] = archive()
    client = await connect(token=TOKEN, policy=RetryPolicy(attempts=0))
    refusal = ResponseError("mine", status=400, detail="not finished")
    with pytest.raises(ResponseError) as caught:
        async with internals(client).open_result(RESULT):
            raise refusal
    assert caught.value is refusal


async def test_a_link_that_cannot_be_followed_is_a_protocol_error(connect: Connect) -> None:
    client = await connect(token=TOKEN)
    with pytest.raises(ProtocolError, match="cannot follow a link"):
        async with internals(client).open_result(""):
            pass


async def test_large_archives_come_whole(
    server: ScriptedServer, connect: Connect, tmp_path: Path
) -> None:
    content = random.Random(6).randbytes(5_000_000)
    path = tmp_path / "archive.zip"
    path.write_bytes(content)

    def served(_: web.Request) -> web.FileResponse:
        return web.FileResponse(path, headers={"Content-Type": "application/zip"})

    server[DOWNLOAD] = served
    client = await connect(token=TOKEN)
    assert await read(client) == content
    assert await read(client, first=1_000_000, last=3_999_999) == content[1_000_000:4_000_000]
    assert await read(client, suffix=262_144) == content[-262_144:]
