"""One server's pool of connections: aiohttp's session, its timeouts, TLS and proxy.

`Connection` sends one request and returns an `Exchange` once the response's headers have arrived.
It raises errors of asynccvat for those of aiohttp (see `failures`). `session` adds what is CVAT's:
credentials, redirects, refusals and retries.
"""

from __future__ import annotations

import asyncio
import socket
import weakref
from collections.abc import AsyncIterator, Mapping
from contextvars import ContextVar
from dataclasses import replace
from types import SimpleNamespace

import aiohttp
import anyio
import anyio.to_thread
from aiohttp.abc import ResolveResult
from yarl import URL

from asynccvat.core.wire.proxies import Proxy
from asynccvat.core.wire.urls import ServerUrl
from asynccvat.errors import AsyncCvatError, ConfigError
from asynccvat.fs import handles
from asynccvat.http.calls import FormFile, HttpOptions, StreamedBody
from asynccvat.http.exchange import Exchange, ExchangeRecord
from asynccvat.http.failures import HTTP_FAILURES, may_be_shown, translate
from asynccvat.http.proxy import environment_proxy
from asynccvat.http.route import Route
from asynccvat.http.tls import Trust, read_trust

# The most that asyncio's transport reads at once. A smaller buffer pauses and resumes it for each
# read, a larger one costs memory and gains nothing (1 GiB in 0.6 s either way).
_READ_BUFFER = 2**18

_headers_deadline: ContextVar[weakref.ref[asyncio.Timeout] | None] = ContextVar(
    "_headers_deadline", default=None
)
"""The deadline of the request that the current task sends. None for a request with a body, which
sets its own deadline while it sends that. Weak, because an idle connection keeps the context of the
request that opened it, and would keep the deadline's task and its result, too."""

_sendings: ContextVar[list[None] | None] = ContextVar("_sendings", default=None)
"""Gets an item each time that the current task sends the headers of its request. aiohttp repeats
GET, PUT and DELETE without being asked if a kept connection turns out to be broken."""


class Connection:
    """Send requests over a pool of connections to one server.

    Attributes:
        requests_sent: Requests sent so far.
        answered: Whether the server, or a proxy before it, ever answered.
        is_cvat: Whether a response ever had the media type that only CVAT sends.
        route: The way to the server. Its proxy and certificates are known once the pool is open.
    """

    def __init__(self, server: ServerUrl, options: HttpOptions) -> None:
        self.requests_sent = 0
        self.answered = False
        self.is_cvat = False
        self._server = server
        self._options = options
        self._session: aiohttp.ClientSession | None = None
        self._opening = False
        self.route = Route(server.address, server.host)

    @property
    def direct(self) -> bool:
        """Whether requests go to the server itself: neither a proxy nor a given connector."""
        return self.route.proxy is None and self._options.connector is None

    async def open(self) -> None:
        """Make the pool; nothing is sent yet.

        Raises:
            ConfigError: The CA bundle or the proxy cannot be used.
            RuntimeError: The pool is open, or the given connector cannot be used.
        """
        self._refuse_if_open()
        self._opening = True
        try:
            await self._open()
        finally:
            self._opening = False

    async def _open(self) -> None:
        trust = Trust(context=True)
        if self._server.origin.startswith("https:") or self._options.names_certificates:
            trust = await anyio.to_thread.run_sync(_trust, self._options)
        proxy = self._options.proxy
        if proxy is None and self._options.trust_environment:
            proxy = environment_proxy(self._server)
        certificate = self._options.client_cert
        self.route = Route(
            self._server.address,
            self._server.host,
            proxy,
            "" if certificate is None else str(certificate),
            trust.authorities,
        )
        deadlines = aiohttp.TraceConfig()
        deadlines.on_request_headers_sent.append(self._limit_wait_for_headers)
        deadlines.on_request_headers_sent.append(_count_sending)
        connector = self._options.connector
        if connector is None:
            connector = self._connector(trust)
        else:
            _check_usable(connector)
        self._session = aiohttp.ClientSession(
            trace_configs=[deadlines, *self._options.trace_configs],
            connector=connector,
            connector_owner=self._options.connector is None,
            # CVAT wants CSRF tokens from a client with a session cookie, even for the login.
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(
                total=None,
                sock_connect=self._options.connect_timeout,
                sock_read=self._options.stall_timeout,
            ),
        )

    def _connector(self, trust: Trust) -> aiohttp.BaseConnector:
        limit = handles.connections(handles.limit(), self._options.max_connections)
        if self.route.proxy is not None and self.route.proxy.is_socks:
            return _socks_connector(self.route.proxy, limit, trust)
        return aiohttp.TCPConnector(
            limit=limit,
            ssl=trust.context,
            resolver=_TimedResolver(self._options.connect_timeout),
        )

    def _refuse_if_open(self) -> None:
        if self._session is not None or self._opening:
            raise RuntimeError(
                "the client is open already. Make one client for each `async with` block."
            )

    async def close(self) -> None:
        """Close all connections, also those in use; a given connector stays open."""
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
    ) -> Exchange:
        """Send a request; return once the response's headers have arrived.

        Args:
            method: The HTTP method.
            url: The quoted URL.
            headers: All headers except those that belong to the connection.
            json: The body, as an object to encode.
            body: The body, if it is not JSON. The stall timeout applies to each of its pieces.
            auto_decompress: Decompress the response while it is read.

        Raises:
            TransportError: There was no response.
            ProtocolError: The response is not HTTP.
            RuntimeError: The client is not open.
        """
        if self._session is None:
            raise RuntimeError(
                "the client is not open. Use `async with CvatClient(...) as client:`, or "
                "`await client.open()` first."
            )
        proxy = self.route.proxy
        if proxy is not None and proxy.is_socks:
            proxy = None  # the connector goes through it
        if proxy is not None and url.startswith("http:"):
            # For plain HTTP there is no tunnel: the proxy reads the request's own headers.
            headers = {**headers, **(proxy.headers or {})}
        self.requests_sent += 1
        record = ExchangeRecord(method, url)
        sendings: list[None] = []
        _sendings.set(sendings)
        try:
            # aiohttp's own timeout covers each silence alone, and only after the request was sent.
            async with asyncio.timeout(None) as deadline:
                _headers_deadline.set(None if body is not None else weakref.ref(deadline))
                response = await self._session.request(
                    method,
                    URL(url, encoded=True),
                    headers=_with_length(headers, body),
                    json=json,
                    data=_data(body, deadline, self._options.stall_timeout),
                    allow_redirects=False,
                    auto_decompress=auto_decompress,
                    read_bufsize=_READ_BUFFER,
                    proxy=None if proxy is None else proxy.url,
                    proxy_headers=None if proxy is None else proxy.headers,
                )
        except HTTP_FAILURES as exc:
            failure = self._failure_of(exc)
            failure.unanswered = len(sendings)
        else:
            self.answered = True
            self.is_cvat = self.is_cvat or response.content_type == "application/vnd.cvat+json"
            return Exchange(
                response,
                record,
                origin=self._server.address,
                stall_timeout=self._options.stall_timeout,
                failure_of=self._failure_of,
                unanswered=len(sendings) - 1,
            )
        record.failed(failure)
        # Raised outside the handler: aiohttp's exception must not become its `__context__`.
        raise failure

    async def _limit_wait_for_headers(
        self,
        _session: aiohttp.ClientSession,
        _context: SimpleNamespace,
        _sent: aiohttp.TraceRequestHeadersSentParams,
    ) -> None:
        """Allow two stall timeouts for all headers, because a trickle of them is no progress.

        For a request with a body, the deadline begins after the body (see `_with_deadline`).
        """
        found = _headers_deadline.get()
        deadline = None if found is None else found()
        if deadline is not None:
            clock = asyncio.get_running_loop().time
            deadline.reschedule(clock() + 2 * self._options.stall_timeout)

    def _failure_of(self, exc: BaseException) -> AsyncCvatError:
        """Translate one of aiohttp's exceptions into an error of asynccvat."""
        failure = translate(
            exc,
            replace(self.route, answered=self.answered),
            connect_timeout=self._options.connect_timeout,
            stall_timeout=self._options.stall_timeout,
        )
        failure.__cause__ = exc if may_be_shown(exc) else None
        return failure


async def _count_sending(
    _session: aiohttp.ClientSession,
    _context: SimpleNamespace,
    _sent: aiohttp.TraceRequestHeadersSentParams,
) -> None:
    found = _sendings.get()
    if found is not None:
        found.append(None)


def _with_length(
    headers: Mapping[str, str], body: FormFile | StreamedBody | None
) -> Mapping[str, str]:
    """Add the length of a streamed body, because CVAT takes no chunked bodies."""
    if isinstance(body, StreamedBody):
        return {**headers, "Content-Length": str(body.length)}
    return headers


def _data(
    body: FormFile | StreamedBody | None, deadline: asyncio.Timeout, stall_timeout: float
) -> aiohttp.FormData | AsyncIterator[bytes] | None:
    """Convert a body for aiohttp; sending each piece may take `stall_timeout` seconds."""
    match body:
        case FormFile():
            form = aiohttp.FormData(dict(body.fields))
            form.add_field(
                body.name, body.content, filename=body.filename, content_type=body.content_type
            )
            return form
        case StreamedBody():
            return _with_deadline(body.pieces(), deadline, stall_timeout)
        case _:
            return None


async def _with_deadline(
    pieces: AsyncIterator[bytes], deadline: asyncio.Timeout, stall_timeout: float
) -> AsyncIterator[bytes]:
    clock = asyncio.get_running_loop().time
    async for piece in pieces:
        deadline.reschedule(clock() + stall_timeout)
        yield piece
    # Once for the last piece, and once for the response's headers.
    deadline.reschedule(clock() + 2 * stall_timeout)


def _check_usable(connector: aiohttp.BaseConnector) -> None:
    """Refuse a connector that would fail at the first call, and not say why."""
    if connector.closed:
        raise RuntimeError("the given connector is closed. Make a new one for this client.")
    loop = asyncio.get_running_loop()
    # aiohttp has no public name for it.
    if getattr(connector, "_loop", loop) is not loop:
        raise RuntimeError(
            "the given connector belongs to another event loop. Make it inside the coroutine "
            "that uses the client."
        )


def _socks_connector(proxy: Proxy, limit: int, trust: Trust) -> aiohttp.BaseConnector:
    try:
        # It needs an optional package, which few proxies need.
        from asynccvat.http.socks import SocksConnector  # noqa: PLC0415 - see above
    except ImportError:
        missing = ConfigError(
            f"the proxy {proxy} speaks SOCKS, for which a package is missing. Run: pip install "
            "'asynccvat[socks]'."
        )
    else:
        return SocksConnector(proxy, limit=limit, ssl=trust.context)
    raise missing


def _trust(options: HttpOptions) -> Trust:
    return read_trust(
        options.verify,
        certificate=options.client_cert,
        key=options.client_key,
        environment=options.trust_environment,
    )


class _TimedResolver(aiohttp.ThreadedResolver):
    """Look up host names within the connect timeout; aiohttp's begins after the lookup."""

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
            raise OSError(None, f"the name lookup took longer than {self._limit:g} s") from None
