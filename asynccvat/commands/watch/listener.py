"""Listen for webhooks, and serve the pages of a watch.

`/webhook` takes CVAT's deliveries and begins a round. `/healthz`, `/readyz`, `/status`,
`/status.json` and `/metrics` are for this machine alone, unless they have an address of their own.
`/` leads to `/status`.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

import msgspec
from aiohttp import web

from asynccvat.aio.threads import in_thread
from asynccvat.commands.watch.run import Watch
from asynccvat.core.watching.addresses import Address, is_local
from asynccvat.core.watching.deliveries import (
    LARGEST_BODY,
    SIGNATURE_HEADER,
    WANTED_EVENTS,
    is_signed,
    read_delivery,
)
from asynccvat.core.watching.page import HEADERS, round_page, status_page
from asynccvat.errors import ConfigError

_DELIVERIES_AT_ONCE = 8
_SECONDS_FOR_A_BODY = 10.0
_SECONDS_TO_CLOSE = 2.0

_NO_METRICS = (
    "/metrics needs a package that is not installed. Run: pip install 'asynccvat[metrics]'\n"
)

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(frozen=True, slots=True)
class WatchAddresses:
    """The addresses that are listened on, with the ports that were taken.

    Attributes:
        webhook: The URL of `/webhook`, None without webhooks.
        status: The URL of `/status`.
    """

    webhook: str | None
    status: str


@asynccontextmanager
async def serve_watch(
    watch: Watch,
    *,
    listen: str | None = None,
    status_listen: str | None = None,
    secret: str | None = None,
) -> AsyncIterator[WatchAddresses]:
    """Take webhooks for a watch and serve its pages while a block runs.

    Args:
        watch: The watch. A delivery begins its next round.
        listen: Host and port for `/webhook`, and for the pages if they are asked for from this
            machine. Behind a proxy, forward `/webhook` alone.
        status_listen: Host and port for the pages alone, for all who reach it.
        secret: The secret of the webhooks.

    Raises:
        ConfigError: An address cannot be listened on, or there is no secret for webhooks.
    """
    if listen is None and status_listen is None:
        raise ConfigError("there is no address to listen on. Give --listen or --status-listen.")
    if listen is not None and not secret:
        raise ConfigError(
            "--listen needs the secret of the webhooks: without it everyone could begin rounds. "
            "Set ASYNCCVAT_WEBHOOK_SECRET to the secret that the webhook was made with."
        )
    pages = _Pages(watch, await in_thread(_metrics_of, watch))
    runners: list[web.AppRunner] = []
    try:
        webhook = status = None
        if listen is not None:
            routes: dict[tuple[str, str], Handler] = {
                ("POST", "/webhook"): _Webhooks(watch, secret or "").receive
            }
            if status_listen is None:
                routes |= {key: _for_this_machine(page) for key, page in pages.routes.items()}
            webhook = await _listen(Address.parse(listen, "--listen"), "--listen", routes, runners)
        if status_listen is not None:
            address = Address.parse(status_listen, "--status-listen")
            status = await _listen(address, "--status-listen", pages.routes, runners)
        yield WatchAddresses(
            None if webhook is None else f"http://{webhook}/webhook",
            f"http://{status or webhook}/status",
        )
    finally:
        for runner in runners:
            await runner.cleanup()


async def _listen(
    address: Address,
    option: str,
    routes: dict[tuple[str, str], Handler],
    runners: list[web.AppRunner],
) -> Address:
    """Listen on an address, and return it with the port that was taken."""
    application = web.Application(client_max_size=LARGEST_BODY)
    for (method, path), handler in routes.items():
        application.router.add_route(method, path, handler)
        if method == "GET":
            # Many probes ask for the head alone.
            application.router.add_route("HEAD", path, handler)
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=_SECONDS_TO_CLOSE)
    runners.append(runner)
    await runner.setup()
    try:
        await web.TCPSite(runner, address.host, address.port).start()
    except OSError as error:
        raise ConfigError(
            f"cannot listen on {address} ({option}): {_why(error)}. Choose another address."
        ) from error
    return Address(address.host, runner.addresses[0][1])


def _why(error: OSError) -> str:
    """Return why an address cannot be listened on; asyncio's own sentence repeats the address."""
    if error.errno is None or isinstance(error, socket.gaierror):
        return error.strerror or str(error)
    return os.strerror(error.errno)


def _for_this_machine(page: Handler) -> Handler:
    """Hide a page from other machines, and from proxies on this one that say what they are."""

    async def handler(request: web.Request) -> web.StreamResponse:
        peer = None if request.transport is None else request.transport.get_extra_info("peername")
        if not is_local(peer[0] if peer else None, request.headers, request.host):
            return web.Response(status=404, text="404: Not Found")
        return await page(request)

    return handler


class _Webhooks:
    """Takes deliveries."""

    def __init__(self, watch: Watch, secret: str) -> None:
        self._watch = watch
        self._secret = secret
        self._slots = asyncio.Semaphore(_DELIVERIES_AT_ONCE)

    async def receive(self, request: web.Request) -> web.StreamResponse:
        """Check a delivery, begin a round, and answer at once."""
        status, result, text = await self._result(request)
        self._watch.note_delivery(result)
        # The answer is kept and shown by CVAT.
        return web.Response(status=status, text=f"{text}\n")

    async def _result(self, request: web.Request) -> tuple[int, str, str]:
        if self._slots.locked():
            return 503, "busy", "too many deliveries at once"
        async with self._slots:
            try:
                async with asyncio.timeout(_SECONDS_FOR_A_BODY):
                    body = await request.read()
            except web.HTTPRequestEntityTooLarge:
                return 413, "too large", "the body is too large"
            except TimeoutError:
                return 408, "too slow", "the body did not arrive in time"
        if not is_signed(body, request.headers.get(SIGNATURE_HEADER), self._secret):
            return 403, "refused", "the signature is missing or wrong: compare the secrets"
        delivery = read_delivery(body)
        if delivery is None:
            return 400, "unreadable", "the body is no delivery of CVAT"
        if delivery.event not in WANTED_EVENTS:
            return 200, "ignored", f"nothing to do for {delivery.event[:100]}"
        self._watch.wake(delivery.event)
        return 200, "accepted", "a round begins"


@dataclass(frozen=True, slots=True)
class _Metrics:
    """Writes the numbers for Prometheus, and says of which media type they are."""

    write: Callable[[], bytes]
    content_type: str


def _metrics_of(watch: Watch) -> _Metrics | None:
    """Return what writes the numbers, None without the package. Reads files when it is loaded."""
    try:
        from asynccvat.commands.watch import metrics  # noqa: PLC0415 - an optional package
    except ModuleNotFoundError:
        return None
    return _Metrics(metrics.metrics_of(lambda: watch.status), metrics.CONTENT_TYPE)


class _Pages:
    """Serves what people, probes and Prometheus read."""

    def __init__(self, watch: Watch, metrics: _Metrics | None) -> None:
        self._watch = watch
        self._metrics = metrics

    @property
    def routes(self) -> dict[tuple[str, str], Handler]:
        """The handlers by method and path."""
        return {
            ("GET", "/"): self.top,
            ("GET", "/healthz"): self.health,
            ("GET", "/readyz"): self.readiness,
            ("GET", "/status"): self.page,
            ("GET", "/status.json"): self.json,
            ("GET", "/status/rounds/{number:[0-9]{1,12}}"): self.round,
            ("GET", "/metrics"): self.metrics,
        }

    async def top(self, _request: web.Request) -> web.StreamResponse:
        """Lead to the page for people. The address is relative: a proxy may add a prefix."""
        return web.Response(status=302, headers={**HEADERS, "Location": "status"})

    async def health(self, _request: web.Request) -> web.StreamResponse:
        """Answer that the process works, whatever the server does."""
        return web.Response(text=f"ok: {self._watch.status.state}\n", headers=HEADERS)

    async def readiness(self, _request: web.Request) -> web.StreamResponse:
        """Answer 200 if the mirror is up to date, else 503 and why not."""
        status = self._watch.status
        if status.is_up_to_date:
            return web.Response(text="ok: up to date\n", headers=HEADERS)
        return web.Response(status=503, text=f"not up to date: {status.problem}\n", headers=HEADERS)

    async def page(self, _request: web.Request) -> web.StreamResponse:
        """Answer with the page for people."""
        text = status_page(self._watch.status, datetime.now(UTC))
        return web.Response(text=text, content_type="text/html", headers=HEADERS)

    async def round(self, request: web.Request) -> web.StreamResponse:
        """Answer with the page of one of the last rounds."""
        text = round_page(self._watch.status, int(request.match_info["number"]))
        if text is None:
            return web.Response(status=404, text="this round is no longer kept\n", headers=HEADERS)
        return web.Response(text=text, content_type="text/html", headers=HEADERS)

    async def json(self, _request: web.Request) -> web.StreamResponse:
        """Answer with the status as JSON."""
        body = msgspec.json.encode(self._watch.status.to_json())
        return web.Response(body=body, content_type="application/json", headers=HEADERS)

    async def metrics(self, _request: web.Request) -> web.StreamResponse:
        """Answer with the numbers in Prometheus' format."""
        if self._metrics is None:
            return web.Response(status=501, text=_NO_METRICS, headers=HEADERS)
        headers = {**HEADERS, "Content-Type": self._metrics.content_type}
        return web.Response(body=self._metrics.write(), headers=headers)
