"""A server of one archive that breaks, changes and refuses as a test tells it to."""

from __future__ import annotations

import os
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

import anyio
import anyio.lowlevel
from aiohttp import web

from asynccvat.fs import files
from asynccvat.store import UnfinishedArchive

RESULT = "/api/requests/result"
_RANGE = re.compile(r"bytes=(\d*)-(\d*)")


@dataclass
class Request:
    """One request, and what it was answered.

    Attributes:
        range: Its Range header, "" for none.
        if_range: Its If-Range header, "" for none.
        status: The answer's status.
        start: Offset of the answer's first byte.
        sent: Bytes of the archive that were sent.
    """

    range: str
    if_range: str
    status: int = 0
    start: int = 0
    sent: int = 0


@dataclass
class ArchiveSite:
    """Serves `content` with ranges.

    Attributes:
        content: The archive.
        etag: Its ETag, "" for none.
        ranges: Whether Range is obeyed.
        heeds_if_range: Whether If-Range is obeyed.
        content_type: Of the archive.
        encoding: Content-Encoding that is claimed, "" for none.
        cuts: By a request's number, from 0: after how many bytes its answer breaks off.
        turns: By a request's number: called before it is answered; what it returns, unless None,
            is the answer.
        requests: Those that came.
        may_break: What a cut waits for, if anything.
    """

    content: bytes
    etag: str = '"1"'
    ranges: bool = True
    heeds_if_range: bool = True
    content_type: str = "application/zip"
    encoding: str = ""
    cuts: dict[int, int] = field(default_factory=dict)
    turns: dict[int, Callable[[], Awaitable[web.Response | None]]] = field(default_factory=dict)
    requests: list[Request] = field(default_factory=list)
    may_break: anyio.Event | None = None
    url: str = ""

    @property
    def sent(self) -> int:
        """Bytes of archives sent in all."""
        return sum(request.sent for request in self.requests)

    def becomes(self, number: int, content: bytes | None = None, *, etag: str) -> None:
        """Have the archive change before request `number` is answered."""

        async def change() -> None:
            self.content = self.content if content is None else content
            self.etag = etag

        self.turns[number] = change

    def refuses(self, number: int, status: int, text: str, kind: str = "text/html") -> None:
        """Have request `number` refused."""

        async def refuse() -> web.Response:
            return web.Response(status=status, text=text, content_type=kind)

        self.turns[number] = refuse

    async def handle(self, asked: web.Request) -> web.StreamResponse:
        number = len(self.requests)
        request = Request(asked.headers.get("Range", ""), asked.headers.get("If-Range", ""))
        self.requests.append(request)
        if number in self.turns:
            answer = await self.turns[number]()
            if answer is not None:
                request.status = answer.status
                return answer
        return await self._send(asked, request, self.cuts.get(number))

    async def _send(
        self, asked: web.Request, request: Request, cut: int | None
    ) -> web.StreamResponse:
        total = len(self.content)
        headers = {"Content-Type": self.content_type, "Accept-Ranges": "bytes"}
        if self.etag:
            headers["ETag"] = self.etag
        if self.encoding:
            headers["Content-Encoding"] = self.encoding
        start, stop = 0, total
        wanted = _RANGE.fullmatch(request.range) if self.ranges else None
        if wanted and (not self.heeds_if_range or request.if_range in ("", self.etag)):
            first, last = wanted.groups()
            start = int(first) if first else max(0, total - int(last))
            stop = min(total, int(last) + 1) if first and last else total
            if start >= stop:
                request.status = 416
                return web.Response(status=416, headers={"Content-Range": f"bytes */{total}"})
            headers["Content-Range"] = f"bytes {start}-{stop - 1}/{total}"
        request.status = 206 if "Content-Range" in headers else 200
        request.start = start
        body = self.content[start:stop]
        response = web.StreamResponse(status=request.status, headers=headers)
        response.content_length = len(body)
        await response.prepare(asked)
        request.sent = len(body) if cut is None else cut
        await response.write(body[: request.sent])
        if cut is not None and asked.transport is not None:
            # aiohttp's client forgets what it has not handed on when its connection breaks; both
            # ends live in one loop, and these few turns let it hand on everything.
            if self.may_break is not None:
                await self.may_break.wait()
            for _ in range(20):
                await anyio.lowlevel.checkpoint()
            asked.transport.close()
        else:
            await response.write_eof()
        return response


@asynccontextmanager
async def archive_site(content: bytes) -> AsyncIterator[ArchiveSite]:
    """Serve an archive on a free port of this machine."""
    site = ArchiveSite(content)
    app = web.Application()
    app.router.add_get(RESULT, site.handle)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    try:
        listener = web.TCPSite(runner, "127.0.0.1", 0)
        await listener.start()
        site.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        yield site
    finally:
        await runner.cleanup()


class FakeTime:
    """A clock that sleeping moves, so that no test waits."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.slept: list[float] = []

    def clock(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds
        await anyio.lowlevel.checkpoint()


def keeping(path: Path) -> UnfinishedArchive:
    """Keep an archive in a file of that name."""

    @contextmanager
    def folder() -> Iterator[int]:
        fd = files.open_directory(path.parent)
        try:
            yield fd
        finally:
            os.close(fd)

    return UnfinishedArchive(path, folder)


def numbered(prefix: str, sizes: list[int]) -> dict[str, bytes]:
    """Members of these sizes, each with other bytes."""
    content = {}
    for number, size in zip(count(), sizes, strict=False):
        seed = f"{prefix}{number:04d}/".encode()
        content[f"{prefix}{number:04d}.bin"] = (seed * (size // len(seed) + 1))[:size]
    return content
