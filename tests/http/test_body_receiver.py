"""Long bodies are read straight from their connection: whole, in bounded memory and time."""

from __future__ import annotations

import asyncio
import random
import ssl
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import anyio.lowlevel
import pytest
import trustme
from aiohttp import web
from scripted import Connect, ScriptedServer, raw_server, reply, scripted_server

from asynccvat.aio.threads import in_thread
from asynccvat.client import CvatClient, internals
from asynccvat.errors import ReadError, StallError
from asynccvat.http.body_receiver import BUFFER_BYTES, BUFFERS, WORTHWHILE, BodyReceiver

pytestmark = pytest.mark.anyio

TOKEN = "abcdefgh.0123456789ABCDEFGHIJKLMNOPQRSTUV"
RESULT = "/api/tasks/5/dataset/download?rq_id=1"
DOWNLOAD = "GET /api/tasks/5/dataset/download"
BODY = random.Random(7).randbytes(WORTHWHILE + 1_234_567)
SOME = BODY[: WORTHWHILE - 1]


class Sink:
    """What a worker thread does with the pieces: it copies them."""

    def __init__(self, held: threading.Event | None = None) -> None:
        self.received = bytearray()
        self.told = 0
        self._held = held

    def consume(self, pieces: Iterable[memoryview]) -> None:
        for piece in pieces:
            if self._held is not None:
                assert self._held.wait(20)
            self.received += piece

    def tell(self, size: int) -> None:
        self.told += size


@asynccontextmanager
async def taken(client: CvatClient, sink: Sink) -> AsyncIterator[BodyReceiver]:
    async with asyncio.timeout(20), internals(client).open_result(RESULT) as stream:
        body_receiver = stream.body_receiver(sink.tell)
        assert body_receiver is not None
        with body_receiver:
            yield body_receiver


async def drain(client: CvatClient, sink: Sink) -> BodyReceiver:
    async with taken(client, sink) as body_receiver:
        await in_thread(body_receiver.drain, sink.consume)
    return body_receiver


def raw(body: bytes, length: int) -> bytes:
    head = f"HTTP/1.1 200 OK\r\nContent-Type: application/zip\r\nContent-Length: {length}\r\n\r\n"
    return head.encode() + body


def in_pieces(seed: int) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    """Answers with the body in pieces of any size, with a pause for the reader now and then."""

    async def answer(request: web.Request) -> web.StreamResponse:
        chance = random.Random(seed)
        response = web.StreamResponse(headers={"Content-Type": "application/zip"})
        response.content_length = len(BODY)
        await response.prepare(request)
        position = 0
        while position < len(BODY):
            size = chance.choice((1, 700, 40_000, 900_000))
            await response.write(BODY[position : position + size])
            position += size
            if chance.random() < 0.5:
                await anyio.lowlevel.checkpoint()
        return response

    return answer


@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_a_body_arrives_whole_in_pieces_of_any_size(
    server: ScriptedServer, connect: Connect, seed: int
) -> None:
    server[DOWNLOAD] = in_pieces(seed)
    sink = Sink()
    body_receiver = await drain(await connect(token=TOKEN), sink)
    body_receiver.check()
    assert sink.received == BODY
    assert sink.told == len(BODY)


async def test_a_body_arrives_whole_through_tls(connect: Connect, tmp_path: Path) -> None:
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    sink = Sink()
    async with scripted_server(context) as secure:
        secure[DOWNLOAD] = in_pieces(4)
        body_receiver = await drain(
            await connect(secure.url, token=TOKEN, verify=tmp_path / "ca.pem"), sink
        )
        body_receiver.check()
    assert sink.received == BODY


@pytest.mark.parametrize("limit", [1, 100])
async def test_the_connection_of_a_body_is_released(
    server: ScriptedServer, connect: Connect, limit: int
) -> None:
    server[DOWNLOAD] = reply(body=BODY, content_type="application/zip")
    server["GET /api/users/self"] = reply({"id": 1, "username": "alice"})
    client = await connect(token=TOKEN, max_connections=limit)
    for _ in range(2):
        (await drain(client, Sink())).check()
    assert (await client.user()).id == 1


async def test_a_slow_thread_stops_the_network_and_is_no_stall(
    server: ScriptedServer, connect: Connect
) -> None:
    server[DOWNLOAD] = reply(body=BODY, content_type="application/zip")
    go_on = threading.Event()
    sink = Sink(held=go_on)
    client = await connect(token=TOKEN, stall_timeout=0.05)
    async with taken(client, sink) as body_receiver:
        at_first = sink.told
        draining = asyncio.ensure_future(in_thread(body_receiver.drain, sink.consume))
        while not body_receiver._full:
            await anyio.lowlevel.checkpoint()
        checks: list[None] = []
        check = body_receiver._check_stall
        body_receiver._check_stall = lambda: checks.append(check())  # type: ignore[method-assign] # count them
        while len(checks) < 2:
            await anyio.lowlevel.checkpoint()
        # The thread holds what aiohttp had read, or the first buffer.
        assert sink.told <= at_first + (BUFFERS + 1) * BUFFER_BYTES < len(BODY)
        go_on.set()
        await draining
    body_receiver.check()
    assert sink.received == BODY


async def test_a_body_that_breaks_off_is_drained_and_a_read_error(connect: Connect) -> None:
    sink = Sink()
    async with raw_server(raw(SOME, len(BODY))) as url:
        body_receiver = await drain(await connect(url, token=TOKEN), sink)
    with pytest.raises(ReadError, match="broke off before its end"):
        body_receiver.check()
    assert sink.received == SOME
    assert sink.told == len(SOME)


async def test_a_connection_that_is_lost_is_a_read_error(
    server: ScriptedServer, connect: Connect
) -> None:
    lost = asyncio.Event()

    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "application/zip"})
        response.content_length = len(BODY)
        await response.prepare(request)
        await response.write(SOME)
        await lost.wait()
        assert request.transport is not None
        request.transport.abort()
        return response

    server[DOWNLOAD] = answer
    sink = Sink()
    async with taken(await connect(token=TOKEN), sink) as body_receiver:
        transport = body_receiver._transport
        body_receiver.connection_lost(ConnectionResetError(104, "Connection reset by peer"))
        await in_thread(body_receiver.drain, sink.consume)
        transport.abort()
    lost.set()
    with pytest.raises(ReadError, match="was lost: Connection reset by peer"):
        body_receiver.check()
    assert SOME.startswith(sink.received)


async def test_silence_is_a_stall(connect: Connect) -> None:
    sink = Sink()
    async with raw_server(raw(SOME, len(BODY)), hold=True) as url:
        client = await connect(url, token=TOKEN, stall_timeout=0.05)
        body_receiver = await drain(client, sink)
    with pytest.raises(StallError, match=r"sent nothing for 0\.05 s"):
        body_receiver.check()
    assert SOME.startswith(sink.received)


async def test_a_trickle_is_a_stall(connect: Connect, server: ScriptedServer) -> None:
    sink = Sink()

    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "application/zip"})
        response.content_length = len(BODY)
        await response.prepare(request)
        await response.write(SOME)
        for start in range(len(SOME), len(BODY)):
            await response.write(BODY[start : start + 1])
            await asyncio.sleep(0.02)
        return response

    server[DOWNLOAD] = answer
    client = await connect(token=TOKEN, stall_timeout=0.1)
    body_receiver = await drain(client, sink)
    with pytest.raises(StallError, match=r"sent next to nothing for 0\.1 s"):
        body_receiver.check()
    assert sink.received.startswith(SOME)


async def test_a_thread_that_fails_ends_the_body(server: ScriptedServer, connect: Connect) -> None:
    def fail(pieces: Iterable[memoryview]) -> None:
        for _ in pieces:
            raise OverflowError("mine")

    server[DOWNLOAD] = in_pieces(5)
    async with taken(await connect(token=TOKEN), Sink()) as body_receiver:
        with pytest.raises(OverflowError, match="mine"):
            await in_thread(body_receiver.drain, fail)
    body_receiver.check()


async def test_leaving_the_block_lets_the_thread_end(connect: Connect) -> None:
    sink = Sink()
    async with raw_server(raw(SOME, len(BODY)), hold=True) as url:
        client = await connect(url, token=TOKEN)
        async with taken(client, sink) as body_receiver:
            draining = asyncio.ensure_future(in_thread(body_receiver.drain, sink.consume))
            while sink.told < BUFFER_BYTES:
                await anyio.lowlevel.checkpoint()
        await draining
    assert SOME.startswith(sink.received)
    assert len(sink.received) >= BUFFER_BYTES


@dataclass
class Connection:
    """The parts of aiohttp's connection, to be changed by a test."""

    transport: object
    protocol: object


class Without:
    """Another object, except for one attribute that it lacks."""

    def __init__(self, other: object, lacking: str) -> None:
        self._other = other
        self._lacking = lacking

    def __getattr__(self, name: str) -> Any:
        if name == self._lacking:
            raise AttributeError(name)
        return getattr(self._other, name)


class Layered(Without):
    """A transport that calls another protocol than aiohttp's."""

    def __init__(self, transport: object) -> None:
        super().__init__(transport, "")

    def get_protocol(self) -> object:
        return object()


@pytest.mark.parametrize(
    "change",
    [
        *(
            lambda one, name=name: Connection(Without(one.transport, name), one.protocol)
            for name in ("get_protocol", "set_protocol", "pause_reading", "resume_reading")
        ),
        *(
            lambda one, name=name: Connection(one.transport, Without(one.protocol, name))
            for name in ("pause_reading", "connection_lost")
        ),
        lambda one: Connection(Layered(one.transport), one.protocol),
        lambda one: Without(one, "transport"),
        lambda one: Without(one, "protocol"),
        lambda _: None,
    ],
)
async def test_another_aiohttp_leaves_long_bodies_to_chunks(
    server: ScriptedServer,
    connect: Connect,
    monkeypatch: pytest.MonkeyPatch,
    change: Callable[[Any], object],
) -> None:
    server[DOWNLOAD] = reply(body=BODY, content_type="application/zip")
    client = await connect(token=TOKEN)
    async with internals(client).open_result(RESULT) as stream:
        connection = stream._response.connection
        assert connection is not None
        monkeypatch.setattr(
            aiohttp.ClientResponse, "connection", property(lambda _: change(connection))
        )
        assert stream.body_receiver(Sink().tell) is None
        assert b"".join([chunk async for chunk in stream.chunks()]) == BODY


async def test_an_aiohttp_without_unread_bytes_leaves_long_bodies_to_chunks(
    server: ScriptedServer, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    server[DOWNLOAD] = reply(body=BODY, content_type="application/zip")
    monkeypatch.delattr(aiohttp.StreamReader, "read_nowait")
    client = await connect(token=TOKEN)
    async with internals(client).open_result(RESULT) as stream:
        assert stream.body_receiver(Sink().tell) is None
        assert b"".join([chunk async for chunk in stream.chunks()]) == BODY


async def test_short_bodies_and_those_of_unknown_length_are_left_to_chunks(
    server: ScriptedServer, connect: Connect
) -> None:
    async def boundless(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "application/zip"})
        await response.prepare(request)
        await response.write(BODY)
        return response

    server[DOWNLOAD] = [
        reply(body=BODY[: WORTHWHILE - 1], content_type="application/zip"),
        boundless,
    ]
    client = await connect(token=TOKEN)
    for size in (WORTHWHILE - 1, len(BODY)):
        async with internals(client).open_result(RESULT) as stream:
            assert stream.body_receiver(Sink().tell) is None
            assert b"".join([chunk async for chunk in stream.chunks()]) == BODY[:size]


async def test_a_body_that_broke_before_the_takeover_is_left_to_chunks(connect: Connect) -> None:
    async with raw_server(raw(SOME[:1000], len(BODY))) as url:
        client = await connect(url, token=TOKEN)
        async with asyncio.timeout(20), internals(client).open_result(RESULT) as stream:
            while stream._response.content.exception() is None:
                await anyio.lowlevel.checkpoint()
            assert stream.body_receiver(Sink().tell) is None
            chunks = stream.chunks()
            assert await anext(aiter(chunks)) == SOME[:1000]
            with pytest.raises(ReadError, match="broke off before its end"):
                await anext(aiter(chunks))


async def test_a_failing_callback_lets_the_thread_end(
    server: ScriptedServer, connect: Connect
) -> None:
    def fail(size: int) -> None:
        raise OverflowError(f"{size} is too much")

    loop, told = asyncio.get_running_loop(), []
    handler = loop.get_exception_handler()
    loop.set_exception_handler(lambda _loop, context: told.append(context["exception"]))
    try:
        server[DOWNLOAD] = in_pieces(7)
        async with taken(await connect(token=TOKEN), Sink()) as body_receiver:
            body_receiver._on_bytes = fail
            await in_thread(body_receiver.drain, Sink().consume)
    finally:
        loop.set_exception_handler(handler)
    assert any(isinstance(error, OverflowError) for error in told)
