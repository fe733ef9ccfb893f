"""What stands between a client and a server: a relay that comes and goes, TLS, a proxy."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from asynccvat.simulator import SimulatedServer


@dataclass
class Relay:
    """Hands bytes on, to and fro.

    Attributes:
        target: Host and port to which it connects.
        context: Its side of TLS, towards the client.
        proxies: Whether clients say by CONNECT where they want to go; it goes to `target` then.
        connects: What they said.
    """

    target: tuple[str, int]
    context: ssl.SSLContext | None = None
    proxies: bool = False
    connects: list[str] = field(default_factory=list)
    port: int = 0
    _server: asyncio.Server | None = None
    _writers: set[asyncio.StreamWriter] = field(default_factory=set)
    _handlers: set[asyncio.Task[None]] = field(default_factory=set)

    async def up(self) -> None:
        """Listen, at the same port as ever."""
        self._server = await asyncio.start_server(
            self._handle, "127.0.0.1", self.port, ssl=self.context
        )
        self.port = self._server.sockets[0].getsockname()[1]

    async def down(self) -> None:
        """Listen no more, and break what is open."""
        if self._server is not None:
            # asyncio leaks a connection that it accepts while its server is closed.
            for listening in self._server.sockets:
                asyncio.get_running_loop().remove_reader(listening.fileno())
            for _ in range(3):
                await asyncio.sleep(0)
            self._server.close()
        for writer in tuple(self._writers):
            writer.transport.abort()
        while self._handlers:
            await asyncio.wait(set(self._handlers))

    async def _handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._handlers.add(task)
        try:
            with suppress(OSError, asyncio.IncompleteReadError):
                await self._connect(reader, writer)
        finally:
            writer.transport.abort()
            self._handlers.discard(task)

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.proxies:
            head = await reader.readuntil(b"\r\n\r\n")
            self.connects.append(head.decode())
            writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        there, back = await asyncio.open_connection(*self.target)
        both = {writer, back}
        self._writers |= both
        if self._server is None or not self._server.is_serving():
            # It went down while this connection was made.
            for one in both:
                one.transport.abort()
        try:
            await asyncio.gather(_pour(reader, back), _pour(there, writer))
        finally:
            for one in both:
                one.transport.abort()
            self._writers -= both


async def _pour(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await reader.read(2**16):
            writer.write(data)
            await writer.drain()
    writer.close()


@asynccontextmanager
async def relay(
    server: SimulatedServer | Relay,
    *,
    context: ssl.SSLContext | None = None,
    proxies: bool = False,
    up: bool = True,
) -> AsyncIterator[Relay]:
    """A relay to a server, or to another relay."""
    if isinstance(server, Relay):
        target = ("127.0.0.1", server.port)
    else:
        parts = urlsplit(server.url)
        assert parts.hostname is not None
        assert parts.port is not None
        target = (parts.hostname, parts.port)
    made = Relay(target, context, proxies)
    await made.up()
    try:
        if not up:
            await made.down()
        yield made
    finally:
        await made.down()
