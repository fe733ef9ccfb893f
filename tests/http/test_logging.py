"""Each exchange leaves one log record at level DEBUG, without a secret."""

from __future__ import annotations

import logging
import re

import pytest
from scripted import KEY, Connect, ScriptedServer, page, raw_server, reply

from asynccvat.aio.threads import in_thread
from asynccvat.client import internals
from asynccvat.core.wire.retry import RetryPolicy
from asynccvat.errors import AsyncCvatError, ReadError
from asynccvat.http.body_receiver import WORTHWHILE
from asynccvat.http.exchange import shown_url

pytestmark = pytest.mark.anyio

TOKEN = "abcdefgh.0123456789ABCDEFGHIJKLMNOPQRSTUV"
PASSWORD = "s3cret-pw"
ARCHIVE = b"PK\x03\x04" + bytes(996)


@pytest.fixture(autouse=True)
def debugging(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, logger="asynccvat")


def lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    """The records of the package, with all times shown as 0."""
    records = [record for record in caplog.records if record.name.startswith("asynccvat.")]
    assert {record.levelno for record in records} <= {logging.DEBUG}
    return [re.sub(r"\d+ ms", "0 ms", record.getMessage()) for record in records]


async def test_a_call_is_logged_with_its_status_time_and_size(
    server: ScriptedServer, connect: Connect, caplog: pytest.LogCaptureFixture
) -> None:
    answer = page(1)
    assert isinstance(answer.body, bytes)
    server["GET /api/tasks"] = answer
    client = await connect(username="alice", password=PASSWORD)
    await client.tasks()
    key = len(f'{{"key":"{KEY}"}}')
    assert lines(caplog) == [
        f"POST /api/auth/login: 200, 0 ms, {key} bytes",
        f"GET /api/tasks?sort=id&page_size=500: 200, 0 ms, {len(answer.body)} bytes",
    ]
    assert {record.name for record in caplog.records} == {"asynccvat.http.exchange"}
    assert PASSWORD not in caplog.text
    assert KEY not in caplog.text


async def test_a_download_is_logged_when_it_is_closed(
    server: ScriptedServer, connect: Connect, caplog: pytest.LogCaptureFixture
) -> None:
    server["GET /api/tasks/5/dataset/download"] = reply(
        body=ARCHIVE, content_type="application/zip"
    )
    client = await connect(token=TOKEN)
    url = "/api/tasks/5/dataset/download?rq_id=export%3A5&signature=s1gned-by-a-proxy"
    async with internals(client).open_result(url) as stream:
        assert [chunk async for chunk in stream.chunks()]
        assert lines(caplog) == []
    assert lines(caplog) == [
        "GET /api/tasks/5/dataset/download?rq_id=export%3A5&signature=***: 200, 0 ms, 1000 bytes"
    ]
    assert TOKEN not in caplog.text


async def test_a_long_download_is_logged_with_the_bytes_of_its_thread(
    server: ScriptedServer, connect: Connect, caplog: pytest.LogCaptureFixture
) -> None:
    sizes: list[int] = []
    server["GET /api/result"] = reply(body=bytes(WORTHWHILE), content_type="application/zip")
    client = await connect(token=TOKEN)
    async with internals(client).open_result("/api/result") as stream:
        receiver = stream.body_receiver(lambda _: None)
        assert receiver is not None
        with receiver:
            await in_thread(receiver.drain, lambda pieces: sizes.extend(map(len, pieces)))
    assert sum(sizes) == WORTHWHILE
    assert lines(caplog) == [f"GET /api/result: 200, 0 ms, {WORTHWHILE} bytes"]


async def test_refusals_redirects_and_retries_are_logged(
    server: ScriptedServer, connect: Connect, caplog: pytest.LogCaptureFixture
) -> None:
    server["GET /api/users/self"] = [
        reply(status=503, text="<h1>Later</h1>"),
        reply(status=302, text="", Location="/api/users/me?sessionid=s3ssion-cookie"),
    ]
    server["GET /api/users/me"] = reply({"id": 1, "username": "alice"})
    await (await connect(token=TOKEN)).user()
    refused, retried, redirected, answered = lines(caplog)
    assert refused == "GET /api/users/self: 503, 0 ms, 14 bytes"
    assert retried.startswith("user: retry 1 in ")
    assert redirected == "GET /api/users/self: 302, 0 ms, 0 bytes"
    assert answered.startswith("GET /api/users/me?sessionid=***: 200, ")


async def test_a_request_without_a_response_is_logged_with_its_error(
    connect: Connect, caplog: pytest.LogCaptureFixture
) -> None:
    async with raw_server(None) as url:
        client = await connect(url, token=TOKEN, policy=RetryPolicy(attempts=0))
        with pytest.raises(ReadError) as caught:
            await client.user()
    assert lines(caplog) == [f"GET /api/users/self: no response, 0 ms: {caught.value}"]
    assert TOKEN not in caplog.text


async def test_nothing_is_logged_above_level_debug(
    connect: Connect, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="asynccvat")
    client = await connect(username="alice", password=PASSWORD)
    with pytest.raises(AsyncCvatError):
        await client.user()
    assert lines(caplog) == []


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("http://host/api/tasks", "/api/tasks"),
        ("http://host/api/tasks?page=2&page_size=500", "/api/tasks?page=2&page_size=500"),
        ("http://host/api/tasks?token=abc&org=", "/api/tasks?token=***&org="),
        ("http://host/api/tasks?abc", "/api/tasks?***"),
    ],
)
def test_values_of_unknown_parameters_are_not_shown(url: str, shown: str) -> None:
    assert shown_url(url) == shown
