"""Translate aiohttp's exceptions into errors of asynccvat; none of them reaches a caller.

`refusals` words the errors for responses with an unexpected status.
"""

from __future__ import annotations

import errno
import os
import re

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
from asynccvat.http.refusals import certificate_wanted, proxy_refusal
from asynccvat.http.route import Route

_AGAIN = "Check the network and the server, then run again."

# How OpenSSL calls the answer of a server that speaks plain HTTP.
_NOT_TLS = re.compile(
    r"wrong.version.number|record.layer.failure|packet.length|http.request", re.IGNORECASE
)

HTTP_FAILURES = (aiohttp.ClientError, TimeoutError, OSError)
"""The exceptions of aiohttp for a failed exchange."""


class TrickleError(TimeoutError):
    """A body arrived too slowly to count as progress. It stays inside `http`."""


def translate(
    exc: BaseException, route: Route, *, connect_timeout: float, stall_timeout: float
) -> AsyncCvatError:
    """Return the error for a failed exchange; its message says what to do.

    Args:
        exc: One of `HTTP_FAILURES`.
        route: The way to the server, for the message.
        connect_timeout: Seconds, for the message.
        stall_timeout: Seconds, for the message.
    """
    origin = route.origin
    match exc:
        case aiohttp.ConnectionTimeoutError():
            return ConnectError(
                f"no connection to {_goal(route)} within {connect_timeout:g} s. Check that the "
                "server runs and can be reached from here."
            )
        case TimeoutError():
            little = "next to nothing" if isinstance(exc, TrickleError) else "nothing"
            return StallError(f"{origin} sent {little} for {stall_timeout:g} s. {_AGAIN}")
        case aiohttp.ClientConnectorError() | aiohttp.ClientHttpProxyError():
            return _no_connection(exc, route)
        case aiohttp.InvalidURL():
            return ConfigError(f"{origin} is not a usable URL. Check the server URL.")
        case aiohttp.ClientResponseError():
            return ProtocolError(
                f"{origin} does not answer in HTTP: {_short(exc.message)}. Check host and port."
            )
        case aiohttp.ClientPayloadError():
            return _broken_body(exc, origin)
        case OSError() | aiohttp.ServerDisconnectedError():
            return _lost(exc, route)
        case _:
            return TransportError(f"the exchange with {origin} failed: {_reason(exc)}. {_AGAIN}")


def _no_connection(
    exc: aiohttp.ClientConnectorError | aiohttp.ClientHttpProxyError, route: Route
) -> ConnectError:
    origin, proxy = route.origin, route.proxy
    match exc:
        case _ if alert := _alert(exc):
            return _certificate_alert(alert, route)
        case aiohttp.ClientConnectorCertificateError():
            return _bad_certificate(exc, route)
        case aiohttp.ClientConnectorSSLError() if _NOT_TLS.search(str(exc)):
            other = f"http{origin.removeprefix('https')}"
            return ConnectError(
                f"no TLS connection to {origin}: the port does not speak https. If the server has "
                f"no https, write {other}, and credentials are sent unencrypted.",
                retryable=False,
            )
        case aiohttp.ClientConnectorSSLError():
            reason = _reason(exc)
            what = "Check that the port speaks https."
            if "ALERT_HANDSHAKE_FAILURE" in reason:  # what TLS 1.2 says without a certificate
                what = route.hint or what
            return ConnectError(f"no TLS connection to {origin}: {reason}. {what}", retryable=False)
        case aiohttp.ClientHttpProxyError():
            return proxy_refusal(exc.status, _short(exc.message), route)
        case aiohttp.ClientProxyConnectionError() if proxy is not None:
            return ConnectError(
                f"no connection to the proxy {proxy} on the way to {origin}: {_reason(exc)}. "
                f"{proxy.remedy}"
            )
        case _:
            return ConnectError(_unconnected(exc, route))


def _unconnected(
    exc: aiohttp.ClientConnectorError | aiohttp.ClientHttpProxyError, route: Route
) -> str:
    """Say that there was no connection of TCP, and what may help."""
    what = "Check the URL, and that the server runs."
    match getattr(exc, "os_error", None):
        case _ if isinstance(exc, aiohttp.ClientConnectorDNSError):
            return (
                f"the host of {route.origin} cannot be found: {_reason(exc)}. Check the URL and "
                "the network."
            )
        case OSError(errno=errno.EMFILE | errno.ENFILE):
            what = (
                "Raise the limit with `ulimit -n`, or transfer less at once with a lower "
                "--transfers."
            )
        case ConnectionResetError():
            what = route.hint or what
        case _:
            pass
    return f"no connection to {route.origin}: {_reason(exc)}. {what}"


def _lost(exc: OSError | aiohttp.ServerDisconnectedError, route: Route) -> TransportError:
    if alert := _alert(exc):
        # TLS 1.3 ends its handshake before the server has looked at the client's certificate.
        return _certificate_alert(alert, route)
    what = route.hint or _AGAIN
    return ReadError(f"the connection to {route.origin} was lost: {_reason(exc)}. {what}")


def _goal(route: Route) -> str:
    return route.origin + ("" if route.proxy is None else f" through the proxy {route.proxy}")


def _bad_certificate(exc: aiohttp.ClientConnectorCertificateError, route: Route) -> ConnectError:
    """Say why the server's certificate is not accepted, and what helps against that."""
    reason = getattr(exc.certificate_error, "verify_message", "") or "it is not trusted"
    match getattr(exc.certificate_error, "verify_code", None):
        case 9 | 10:  # X509_V_ERR_CERT_NOT_YET_VALID, X509_V_ERR_CERT_HAS_EXPIRED
            what = "Check the clock of this machine, or have the certificate renewed."
        case 62 | 64:  # X509_V_ERR_HOSTNAME_MISMATCH, X509_V_ERR_IP_ADDRESS_MISMATCH
            what = "Give the URL with the host that the certificate is for."
        case _ if route.authorities:
            what = (
                f"The CA bundle {route.authorities} lacks its authority: add that one's "
                "certificate to it."
            )
        case _:
            what = (
                "If a private authority signed it, or your network inspects TLS, give that "
                "authority's certificate with --ca-bundle, or name it in SSL_CERT_FILE."
            )
    return ConnectError(
        f"the TLS certificate of {route.origin} is refused: {reason}. {what}", retryable=False
    )


# TLS alerts (RFC 8446, 6.2) about the client's certificate, as OpenSSL names them. The first two
# say that there is none, the others that it is not accepted.
_NO_CERTIFICATE = ("CERTIFICATE_REQUIRED", "NO_CERTIFICATE")
_ALERTS = (
    *_NO_CERTIFICATE,
    "ALERT_BAD_CERTIFICATE",
    "ALERT_CERTIFICATE_EXPIRED",
    "ALERT_CERTIFICATE_REVOKED",
    "ALERT_CERTIFICATE_UNKNOWN",
    "ALERT_UNKNOWN_CA",
    "ALERT_UNSUPPORTED_CERTIFICATE",
    "ALERT_ACCESS_DENIED",
)


def _alert(exc: BaseException) -> str:
    """Return the alert by which a server refused the client's certificate, "" for none."""
    text = str(getattr(exc, "os_error", exc))
    return next((name for name in _ALERTS if f"{name}]" in text), "")


def _certificate_alert(alert: str, route: Route) -> ConnectError:
    words = alert.removeprefix("ALERT_").replace("_", " ").lower()
    return ConnectError(
        f"no TLS connection to {route.origin} ({words}): the server, or a gateway before it, "
        f"{certificate_wanted(route)}",
        retryable=False,
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
    # asyncio words it as "Connect call failed ('127.0.0.1', 1)", or several of them with numbers.
    if "Connect call failed" in text:
        found = re.search(r"\[Errno (\d+)\]", text)
        number = int(found[1]) if found is not None else getattr(cause, "errno", None)
        text = os.strerror(number or errno.ECONNREFUSED)
    return _short(text or type(cause).__name__)


def _short(text: str) -> str:
    line = " ".join(text.split()).rstrip(".")
    return line if len(line) <= 200 else line[:199] + "…"
