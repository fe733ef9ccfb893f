"""Find out whether the wrong one of http and https was given. Nothing but a handshake is sent.

`session` asks when a server never answered; `failures` words the errors of connections.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from urllib.parse import urlsplit

from asynccvat.core.wire.urls import ServerUrl
from asynccvat.errors import ConnectError

HTTP_PORT = 80
"""Where a server that speaks plain HTTP alone is looked for."""

_TIMEOUT = 3.0


async def wrong_scheme(server: ServerUrl) -> ConnectError | None:
    """Return the error for a server that speaks the other scheme, None for any other trouble."""
    parts = urlsplit(server.origin)
    if parts.scheme == "http":
        if not await _connects(server.host, parts.port or HTTP_PORT, _any_certificate()):
            return None
        other = f"https{server.address.removeprefix('http')}"
        return ConnectError(
            f"no answer from {server.address}: its port speaks https. Write {other}.",
            retryable=False,
        )
    if parts.port is not None or not await _connects(server.host, HTTP_PORT, None):
        return None
    other = f"http{server.address.removeprefix('https')}"
    return ConnectError(
        f"no connection to {server.address}: only http answers at this host. If the server has no "
        f"https, write {other}, and credentials are sent unencrypted.",
        retryable=False,
    )


async def _connects(host: str, port: int, context: ssl.SSLContext | None) -> bool:
    with contextlib.suppress(OSError, TimeoutError):
        async with asyncio.timeout(_TIMEOUT):
            _, writer = await asyncio.open_connection(host, port, ssl=context)
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()
        return True
    return False


def _any_certificate() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context
