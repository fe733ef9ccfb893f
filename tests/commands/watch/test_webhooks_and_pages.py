"""Check what a watch answers on its addresses, and how soon a webhook brings a change."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import io
import json
import socket
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from engine_serving import QUICK, Serving, files, serving
from watching import rounds

import asynccvat as ac
from asynccvat.core.watching.deliveries import LARGEST_BODY

pytestmark = pytest.mark.anyio

SECRET = "a secret of webhooks"
EVENTS = ["create:task", "delete:task", "update:job", "update:project", "update:task"]


@pytest.fixture
async def serve() -> AsyncIterator[Serving]:
    async with serving(3) as started:
        yield started


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as opened:
        yield opened


def slow_watch(serve: Serving, data: Path) -> ac.Watch:
    """A watch that looks once an hour, unless it is woken."""
    watching = ac.WatchOptions(every=3600, full_every=86400)
    return ac.watch(serve.client, data, options=QUICK, watching=watching)


@pytest.fixture
async def watching(serve: Serving, data: Path) -> AsyncIterator[tuple[ac.Watch, str]]:
    """A watch, and the address of its webhooks."""
    watched = slow_watch(serve, data)
    async with ac.serve_watch(watched, listen="127.0.0.1:0", secret=SECRET) as addresses:
        assert addresses.webhook is not None
        yield watched, addresses.webhook


def signed(body: bytes, secret: str = SECRET) -> dict[str, str]:
    digest = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    return {"X-Signature-256": f"sha256={digest}"}


async def make_webhook(serve: Serving, session: aiohttp.ClientSession, url: str) -> int:
    given = {
        "target_url": url,
        "type": "project",
        "project_id": 1,
        "events": EVENTS,
        "secret": SECRET,
        "content_type": "application/json",
    }
    headers = {"Authorization": f"Token {serve.server.token}"}
    address = f"{serve.server.url}/api/webhooks"
    async with session.post(address, json=given, headers=headers) as answer:
        assert answer.status == 201, await answer.text()
        made: dict[str, Any] = await answer.json(content_type=None)
        return int(made["id"])


async def test_a_webhook_brings_a_change_long_before_the_next_round(
    serve: Serving, data: Path, session: aiohttp.ClientSession
) -> None:
    watched = slow_watch(serve, data)
    async with ac.serve_watch(watched, listen="127.0.0.1:0", secret=SECRET) as addresses:
        assert addresses.webhook is not None
        await make_webhook(serve, session, addresses.webhook)
        await rounds(watched, 1)
        looking = asyncio.ensure_future(anext(watched))
        await asyncio.sleep(0)
        begun = time.monotonic()
        await serve.annotate(2, shapes=[serve.box(2)])
        while not (done := await looking).changed:
            looking = asyncio.ensure_future(anext(watched))
        seconds = time.monotonic() - begun
    assert [change.task_id for change in done.changes] == [2]
    assert "update:" in done.woken_by
    assert seconds < 20, "the next round is due after an hour; the benchmark looks for 2 seconds"
    assert files(data) == await serve.archives()
    assert watched.status.deliveries["accepted"] >= 1


TASK = b'{"event": "update:task"}'
PING = b'{"event": "ping"}'


@pytest.mark.parametrize(
    ("body", "headers", "expected"),
    [
        (TASK, {}, (403, "refused")),
        (TASK, signed(TASK, "another secret"), (403, "refused")),
        (b"no json", signed(b"no json"), (400, "unreadable")),
        (PING, signed(PING), (200, "ignored")),
        (TASK, signed(TASK), (200, "accepted")),
        (b" " * (LARGEST_BODY + 1), {}, (413, "too large")),
    ],
    ids=["unsigned", "another secret", "no json", "ping", "good", "too large"],
)
async def test_deliveries_are_answered_by_what_they_are(
    watching: tuple[ac.Watch, str],
    session: aiohttp.ClientSession,
    body: bytes,
    headers: dict[str, str],
    expected: tuple[int, str],
) -> None:
    watched, address = watching
    async with session.post(address, data=io.BytesIO(body), headers=headers) as answer:
        assert answer.status == expected[0]
        assert SECRET not in await answer.text()
    async with session.get(address) as answer:
        assert answer.status == 405
    assert watched.status.deliveries == {expected[1]: 1}


async def test_a_body_that_does_not_come_is_given_up(
    serve: Serving, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("asynccvat.commands.watch.listener._SECONDS_FOR_A_BODY", 0.05)
    watched = slow_watch(serve, data)
    async with ac.serve_watch(watched, listen="127.0.0.1:0", secret=SECRET) as addresses:
        assert addresses.webhook is not None
        port = int(addresses.webhook.rpartition(":")[2].partition("/")[0])
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"POST /webhook HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n{")
        assert b" 408 " in await reader.readline()
        writer.close()


async def test_webhooks_without_a_secret_are_refused(serve: Serving, data: Path) -> None:
    for secret in (None, ""):
        with pytest.raises(ac.ConfigError, match="Set ASYNCCVAT_WEBHOOK_SECRET"):
            async with ac.serve_watch(slow_watch(serve, data), listen="127.0.0.1:0", secret=secret):
                pass


async def test_an_address_that_is_taken_is_named(serve: Serving, data: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        why = r".--status-listen.: Address already in use\. Choose another address\."
        with pytest.raises(ac.ConfigError, match=f"cannot listen on {address} {why}"):
            async with ac.serve_watch(slow_watch(serve, data), status_listen=address):
                pass


async def test_no_address_is_refused(serve: Serving, data: Path) -> None:
    with pytest.raises(ac.ConfigError, match="Give --listen or --status-listen"):
        async with ac.serve_watch(slow_watch(serve, data)):
            pass


async def test_pages_are_hidden_from_proxies_and_foreign_names(
    serve: Serving, data: Path, session: aiohttp.ClientSession
) -> None:
    watched = slow_watch(serve, data)
    async with ac.serve_watch(watched, listen="127.0.0.1:0", secret=SECRET) as addresses:
        async with session.get(addresses.status) as answer:
            assert answer.status == 200
        for page in (
            "",
            "status",
            "status/rounds/1",
            "status.json",
            "metrics",
            "healthz",
            "readyz",
        ):
            address = addresses.status.replace("/status", f"/{page}")
            for headers in (
                {"X-Forwarded-For": "203.0.113.7"},
                {"X-Forwarded-Proto": "https"},
                {"Host": "evil.example"},
            ):
                async with session.get(address, headers=headers) as answer:
                    assert answer.status == 404


async def test_the_status_address_takes_no_webhooks(
    serve: Serving, data: Path, session: aiohttp.ClientSession
) -> None:
    watched = slow_watch(serve, data)
    async with ac.serve_watch(
        watched, listen="127.0.0.1:0", status_listen="127.0.0.1:0", secret=SECRET
    ) as addresses:
        assert addresses.webhook is not None
        headers = {"X-Forwarded-For": "203.0.113.7"}
        async with session.get(addresses.status, headers=headers) as answer:
            assert answer.status == 200
        body = b'{"event": "update:task"}'
        wrong = addresses.status.replace("/status", "/webhook")
        async with session.post(wrong, data=body, headers=signed(body)) as answer:
            assert answer.status == 404
        wrong = addresses.webhook.replace("/webhook", "/status")
        async with session.get(wrong) as answer:
            assert answer.status == 404


async def test_the_pages_tell_what_the_rounds_did(
    serve: Serving, data: Path, session: aiohttp.ClientSession
) -> None:
    watched = slow_watch(serve, data)
    async with ac.serve_watch(watched, status_listen="127.0.0.1:0") as addresses:

        async def page(name: str) -> tuple[int, str]:
            address = addresses.status.replace("/status", f"/{name}")
            async with session.get(address) as answer:
                assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
                return answer.status, await answer.text()

        assert await page("healthz") == (200, "ok: waiting\n")
        assert await page("readyz") == (503, "not up to date: the first round has not ended\n")
        await rounds(watched, 1)
        assert await page("readyz") == (200, "ok: up to date\n")
        _, text = await page("status")
        assert "Up to date" in text
        _, text = await page("status.json")
        status = json.loads(text)
        assert (status["up_to_date"], status["tasks"]) == (True, 3)
        _, text = await page("metrics")
        assert "asynccvat_watch_up_to_date 1.0" in text
        assert 'asynccvat_watch_changes_total{action="fetched"} 3.0' in text
        assert "asynccvat_watch_tasks 3.0" in text


async def test_probes_may_ask_for_the_head_and_the_top_leads_to_the_page(
    serve: Serving, data: Path, session: aiohttp.ClientSession
) -> None:
    async with ac.serve_watch(slow_watch(serve, data), status_listen="127.0.0.1:0") as addresses:
        top = addresses.status.removesuffix("status")
        for page, status in (("healthz", 200), ("readyz", 503), ("status", 200)):
            async with session.head(f"{top}{page}") as answer:
                assert (answer.status, await answer.read()) == (status, b"")
        async with session.get(top) as answer:
            assert str(answer.url) == addresses.status
            assert "data" in await answer.text()


async def test_metrics_without_their_package_say_what_to_install(
    serve: Serving,
    data: Path,
    session: aiohttp.ClientSession,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "prometheus_client", None)
    monkeypatch.delitem(sys.modules, "asynccvat.commands.watch.metrics", raising=False)
    monkeypatch.delattr("asynccvat.commands.watch.metrics", raising=False)
    async with ac.serve_watch(slow_watch(serve, data), status_listen="127.0.0.1:0") as addresses:
        address = addresses.status.replace("/status", "/metrics")
        async with session.get(address) as answer:
            assert answer.status == 501
            assert "pip install 'asynccvat[metrics]'" in await answer.text()
