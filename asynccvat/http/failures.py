"""Translate aiohttp's exceptions into errors of asynccvat; none of them reaches a caller.

`refusals` words the errors for responses with an unexpected status.
"""

from __future__ import annotations

import errno

import aiohttp

from asynccvat.errors import (
    AsyncCvatError,
    ConfigError,
    ConnectError,
    ProtocolError,
    ReadError,
    StallError,
    TransportError,
)

_AGAIN = "Check the network and the server, then run again."

HTTP_FAILURES = (aiohttp.ClientError, TimeoutError, OSError)
"""The exceptions of aiohttp for a failed exchange."""


class TrickleError(TimeoutError):
    """A body arrived too slowly to count as progress. It stays inside `http`."""


def translate(
    exc: BaseException, *, origin: str, connect_timeout: float, stall_timeout: float
) -> AsyncCvatError:
    """Return the error for a failed exchange; its message says what to do.

    Args:
        exc: One of `HTTP_FAILURES`.
        origin: The server, for the message.
        connect_timeout: Seconds, for the message.
        stall_timeout: Seconds, for the message.
    """
    match exc:
        case aiohttp.ConnectionTimeoutError():
            return ConnectError(
                f"no connection to {origin} within {connect_timeout:g} s. Check that the server "
                "runs and can be reached from here."
            )
        case TimeoutError():
            little = "next to nothing" if isinstance(exc, TrickleError) else "nothing"
            return StallError(f"{origin} sent {little} for {stall_timeout:g} s. {_AGAIN}")
        case aiohttp.ClientConnectorError() | aiohttp.ClientHttpProxyError():
            return _no_connection(exc, origin)
        case aiohttp.InvalidURL():
            return ConfigError(f"{origin} is not a usable URL. Check the server URL.")
        case aiohttp.ClientResponseError():
            return ProtocolError(
                f"{origin} does not answer in HTTP: {_short(exc.message)}. Check host and port."
            )
        case aiohttp.ClientPayloadError():
            return _broken_body(exc, origin)
        case OSError() | aiohttp.ServerDisconnectedError():
            return ReadError(f"the connection to {origin} was lost: {_reason(exc)}. {_AGAIN}")
        case _:
            return TransportError(f"the exchange with {origin} failed: {_reason(exc)}. {_AGAIN}")


def _no_connection(
    exc: aiohttp.ClientConnectorError | aiohttp.ClientHttpProxyError, origin: str
) -> ConnectError:
    match exc:
        case aiohttp.ClientConnectorCertificateError():
            reason = getattr(exc.certificate_error, "verify_message", "") or "it is not trusted"
            return ConnectError(
                f"the TLS certificate of {origin} is refused: {reason}. If a private authority "
                "signed it, give that authority's certificate with --ca-bundle.",
                retryable=False,
            )
        case aiohttp.ClientConnectorSSLError():
            return ConnectError(
                f"no TLS connection to {origin}: {_reason(exc)}. Check that the port speaks https.",
                retryable=False,
            )
        case aiohttp.ClientHttpProxyError():
            return ConnectError(
                f"the proxy refused to connect to {origin}: {exc.status} {_short(exc.message)}. "
                "Check HTTPS_PROXY and NO_PROXY in the environment.",
                retryable=exc.status >= 500,
            )
        case aiohttp.ClientProxyConnectionError():
            return ConnectError(
                f"no connection to the proxy on the way to {origin}: {_reason(exc)}. Check "
                "HTTP_PROXY, HTTPS_PROXY and NO_PROXY in the environment."
            )
        case aiohttp.ClientConnectorDNSError():
            return ConnectError(
                f"the host of {origin} cannot be found: {_reason(exc)}. Check the URL and the "
                "network."
            )
        case aiohttp.ClientConnectorError(os_error=OSError(errno=errno.EMFILE | errno.ENFILE)):
            return ConnectError(
                f"no connection to {origin}: {_reason(exc)}. Raise the limit with `ulimit -n`, "
                "or transfer less at once with a lower --transfers."
            )
        case _:
            return ConnectError(
                f"no connection to {origin}: {_reason(exc)}. Check the URL, and that the server "
                "runs."
            )


def _broken_body(exc: aiohttp.ClientPayloadError, origin: str) -> AsyncCvatError:
    if "content-encoding" in str(exc).lower():
        return ProtocolError(
            f"{origin} sent a compressed response that cannot be decompressed. {_AGAIN}"
        )
    return ReadError(f"the response of {origin} broke off before its end. {_AGAIN}")


def may_be_shown(exc: BaseException) -> bool:
    """Whether an exception may be a `__cause__`: some show the request's headers in `repr`."""
    return not isinstance(exc, aiohttp.ClientResponseError)


def _reason(exc: BaseException) -> str:
    cause = getattr(exc, "os_error", exc)
    text = getattr(cause, "strerror", None) or str(cause)
    return _short(text or type(cause).__name__)


def _short(text: str) -> str:
    line = " ".join(text.split()).rstrip(".")
    return line if len(line) <= 200 else line[:199] + "…"
