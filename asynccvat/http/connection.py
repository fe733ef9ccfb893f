"""The wire to one server: aiohttp's session, its timeouts, TLS and proxy, and nothing of CVAT.

A request goes in, an answer's headers come out; whatever aiohttp raises leaves as an error of
asynccvat. Credentials, redirects, refusals and retries are left to `session`.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from types import SimpleNamespace

import aiohttp
import anyio
import anyio.to_thread
from aiohttp.abc import ResolveResult
from yarl import URL

from asynccvat.core.urls import ServerUrl
from asynccvat.errors import AsyncCvatError, ConfigError, ProtocolError
from asynccvat.fs import handles
from asynccvat.http.calls import FormFile, HttpOptions, StreamedBody
from asynccvat.http.failures import HTTP_FAILURES, may_be_shown, translate
from asynccvat.http.proxy import environment_proxy
from asynccvat.http.stall import StallDetector

_MAX_ANSWER = 256 * 2**20
_MAX_ERROR_BODY = 64 * 2**10
# What one read of asyncio's transport can bring: smaller buffers stop and start it, larger ones
# only cost memory (1 GiB in 0.6 s either way).
_READ_BUFFER = 2**18


class Connection:
    """A pool of connections to one server.

    Attributes:
        requests_sent: Requests sent so far.
        answered: Whether the server, or a proxy before it, ever answered.
        is_cvat: Whether an answer ever had the media type that only CVAT sends.
    """

    def __init__(self, server: ServerUrl, options: HttpOptions) -> None:
        self.requests_sent = 0
        self.answered = False
        self.is_cvat = False
        self._server = server
        self._options = options
        self._session: aiohttp.ClientSession | None = None
        self._proxy: URL | None = None
        self._proxy_headers: dict[str, str] | None = None

    async def open(self) -> None:
        """Make the pool; nothing is sent yet.

        Raises:
            ConfigError: CA bundle or proxy cannot be used.
        """
        if self._session is not None:
            raise RuntimeError("this client is open already; make one for each `async with`")
        context = await anyio.to_thread.run_sync(_tls_context, self._options.verify)
        if self._options.trust_environment:
            self._proxy, self._proxy_headers = environment_proxy(self._server)
        tracing = aiohttp.TraceConfig()
        tracing.on_request_headers_sent.append(self._await_headers)
        self._session = aiohttp.ClientSession(
            trace_configs=[tracing],
            connector=aiohttp.TCPConnector(
                limit=handles.connections(handles.limit(), self._options.max_connections),
                ssl=context,
                resolver=_TimedResolver(self._options.connect_timeout),
            ),
            # With a session cookie CVAT would want CSRF tokens, at the login already.
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(
                total=None,
                sock_connect=self._options.connect_timeout,
                sock_read=self._options.stall_timeout,
            ),
        )

    async def close(self) -> None:
        """Close all connections, whatever is under way on them."""
        session, self._session = self._session, None
        if session is not None:
            with anyio.CancelScope(shield=True):
                await session.close()

    async def send(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        *,
        json: object = None,
        body: FormFile | StreamedBody | None = None,
        auto_decompress: bool = True,
    ) -> aiohttp.ClientResponse:
        """Send a request; return when the headers of its answer are here.

        Args:
            method: The HTTP method.
            url: Quoted.
            headers: All but those of the connection itself.
            json: The body.
            body: The body, where it is no JSON. The stall timeout counts for each of its pieces.
            auto_decompress: Unpack a compressed answer while it is read.

        Raises:
            TransportError: There was no answer.
            ProtocolError: The answer is not HTTP.
        """
        if self._session is None:
            raise RuntimeError("the client is not open: use it inside `async with`")
        if self._proxy is not None and url.startswith("http:"):
            # Without a tunnel the proxy reads the request's own headers.
            headers = {**headers, **(self._proxy_headers or {})}
        self.requests_sent += 1
        try:
            # aiohttp's own timeout begins with the wait for the answer.
            async with asyncio.timeout(None) as patience:
                response = await self._session.request(
                    method,
                    URL(url, encoded=True),
                    headers=_with_length(headers, body),
                    json=json,
                    data=_data(body, patience, self._options.stall_timeout),
                    allow_redirects=False,
                    auto_decompress=auto_decompress,
                    read_bufsize=_READ_BUFFER,
                    proxy=self._proxy,
                    proxy_headers=self._proxy_headers,
                    trace_request_ctx=patience if body is None else None,
                )
        except HTTP_FAILURES as exc:
            failure = self.failure(exc)
        else:
            self.answered = True
            self.is_cvat = self.is_cvat or response.content_type == "application/vnd.cvat+json"
            return response
        # Outside the handler, so that aiohttp's exception is no context of ours.
        raise failure

    async def _await_headers(
        self,
        _session: aiohttp.ClientSession,
        context: SimpleNamespace,
        _sent: aiohttp.TraceRequestHeadersSentParams,
    ) -> None:
        """Give the headers of an answer as long as two silences: a trickle of them is none.

        Where the request has a body, the time that this takes to go out says nothing.
        """
        patience: asyncio.Timeout | None = context.trace_request_ctx
        if patience is not None:
            clock = asyncio.get_running_loop().time
            patience.reschedule(clock() + 2 * self._options.stall_timeout)

    async def read(self, response: aiohttp.ClientResponse) -> bytes:
        """Read a whole answer.

        Raises:
            TransportError: It breaks off or stalls.
            ProtocolError: It is larger than any answer of CVAT.
        """
        pieces: list[bytes] = []
        size = 0
        clock = asyncio.get_running_loop().time
        stall, began = StallDetector(self._options.stall_timeout), clock()
        try:
            while piece := await response.content.readany():
                stall.received(len(piece), clock() - began)
                began = clock()
                pieces.append(piece)
                size += len(piece)
                if size > _MAX_ANSWER:
                    raise ProtocolError(f"{self._server.origin} sent an answer without end")
            return b"".join(pieces)
        except HTTP_FAILURES as exc:
            failure = self.failure(exc)
        raise failure

    async def read_some(self, response: aiohttp.ClientResponse) -> bytes:
        """Read the beginning of an error page; one that breaks off is an error page still."""
        body = b""
        try:
            while len(body) < _MAX_ERROR_BODY and (piece := await response.content.readany()):
                body += piece
        except HTTP_FAILURES:
            pass  # the status is what counts, and it is here
        return body[:_MAX_ERROR_BODY]

    def failure(self, exc: BaseException) -> AsyncCvatError:
        """What one of aiohttp's exceptions means."""
        failure = translate(
            exc,
            origin=self._server.origin,
            connect_timeout=self._options.connect_timeout,
            stall_timeout=self._options.stall_timeout,
        )
        failure.__cause__ = exc if may_be_shown(exc) else None
        return failure


def _with_length(
    headers: Mapping[str, str], body: FormFile | StreamedBody | None
) -> Mapping[str, str]:
    """Tell the length of a body that is streamed: CVAT takes no chunked ones."""
    if isinstance(body, StreamedBody):
        return {**headers, "Content-Length": str(body.length)}
    return headers


def _data(
    body: FormFile | StreamedBody | None, patience: asyncio.Timeout, stall_timeout: float
) -> aiohttp.FormData | AsyncIterator[bytes] | None:
    """A body as aiohttp takes it; each piece of it has so many seconds to go out."""
    match body:
        case FormFile():
            form = aiohttp.FormData()
            form.add_field(
                body.name, body.content, filename=body.filename, content_type=body.content_type
            )
            return form
        case StreamedBody():
            return _patiently(body.pieces(), patience, stall_timeout)
        case _:
            return None


async def _patiently(
    pieces: AsyncIterator[bytes], patience: asyncio.Timeout, stall_timeout: float
) -> AsyncIterator[bytes]:
    clock = asyncio.get_running_loop().time
    async for piece in pieces:
        patience.reschedule(clock() + stall_timeout)
        yield piece
    # The last piece, and then the answer.
    patience.reschedule(clock() + 2 * stall_timeout)


def _tls_context(verify: bool | str | Path) -> ssl.SSLContext | bool:
    if isinstance(verify, bool):
        return verify
    try:
        if Path(verify).is_dir():
            return ssl.create_default_context(capath=str(verify))
        return ssl.create_default_context(cafile=str(verify))
    except OSError as error:  # ssl.SSLError, too
        raise ConfigError(
            f"the CA bundle {str(verify)!r} cannot be used ({error.strerror or error}); give a "
            "file of certificates in PEM form"
        ) from error


class _TimedResolver(aiohttp.ThreadedResolver):
    """Looks hosts up within the connect timeout, which aiohttp counts from the address only."""

    def __init__(self, limit: float) -> None:
        super().__init__()
        self._limit = limit

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        try:
            async with asyncio.timeout(self._limit):
                return await super().resolve(host, port, family)
        except TimeoutError:
            raise OSError(None, f"the name service gave no answer in {self._limit:g} s") from None
