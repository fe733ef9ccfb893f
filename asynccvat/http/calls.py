"""Values of the HTTP layer: options of a connection, one call, its response.

`session` makes the calls.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import aiohttp

from asynccvat.core.targets import TargetKind
from asynccvat.core.wire.headers import checked_headers
from asynccvat.core.wire.proxies import Proxy
from asynccvat.core.wire.responses import error_text
from asynccvat.core.wire.retry import RetryPolicy
from asynccvat.errors import ConfigError


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpOptions:
    """How to connect to the server.

    Attributes:
        verify: True to check certificates against the system's authorities, False to check
            nothing (unsafe), or the file or folder of a CA bundle.
        connect_timeout: Seconds for the name lookup, the connection and the TLS handshake.
        stall_timeout: Seconds without a byte after which an exchange has failed. Within a body
            1 KiB is needed to end a silence.
        max_connections: Connections open at once; further calls wait for one. A process that may
            open few file descriptors gets fewer.
        trust_environment: Use the proxies and the CA bundles that the environment names.
        policy: How often, and after which delays, failed calls are retried.
        headers: Headers for every call, for a gateway before the server. Their values are secrets.
        client_cert: The file of a client certificate in PEM form, None for none.
        client_key: The file of its key. None if the certificate's file holds it.
        proxy: The proxy to go through, whatever the environment says. None: as it says.
        connector: An aiohttp connector to use instead of a new one, None for a new one. It is
            never closed here. Its own TLS settings, name lookup and limit of connections apply
            instead of `verify`, `client_cert` and `max_connections`.
        trace_configs: aiohttp's trace configurations, which are called for every request.

    Raises:
        ConfigError: A number is not positive.
        TypeError: A value has the wrong type, or `connector` and `verify` are both given.
    """

    verify: bool | str | Path = True
    connect_timeout: float = 10.0
    stall_timeout: float = 60.0
    max_connections: int = 100
    trust_environment: bool = True
    policy: RetryPolicy = field(default_factory=RetryPolicy)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    client_cert: str | Path | None = None
    client_key: str | Path | None = None
    proxy: Proxy | None = None
    connector: aiohttp.BaseConnector | None = None
    trace_configs: Sequence[aiohttp.TraceConfig] = ()

    def __post_init__(self) -> None:
        for name in ("connect_timeout", "stall_timeout", "max_connections"):
            value = getattr(self, name)
            if not isinstance(value, int | float):
                raise TypeError(f"{name} must be a number, not {described_type(value)}")
            if not value > 0:
                raise ConfigError(f"{name} must be positive, not {value}")
        if not isinstance(self.verify, bool | str | Path):
            raise TypeError(
                "verify must be True, False or the path of a CA bundle, not "
                f"{described_type(self.verify)}. Give a TLS context to an aiohttp connector, and "
                "that as connector=."
            )
        if not isinstance(self.policy, RetryPolicy):
            raise TypeError(f"policy must be a RetryPolicy, not {described_type(self.policy)}")
        object.__setattr__(self, "headers", checked_headers(self.headers))
        if self.client_key is not None and self.client_cert is None:
            raise ConfigError("a client key was given without a certificate. Give both.")
        if self.connector is not None:
            self._check_connector(self.connector)
        for config in self.trace_configs:
            if not isinstance(config, aiohttp.TraceConfig):
                raise TypeError(
                    "trace_configs must hold aiohttp.TraceConfig objects, not "
                    f"{described_type(config)}"
                )

    @property
    def names_certificates(self) -> bool:
        """Whether files of certificates are named, which have to be usable."""
        return not isinstance(self.verify, bool) or self.client_cert is not None

    def _check_connector(self, connector: object) -> None:
        if not isinstance(connector, aiohttp.BaseConnector):
            raise TypeError(
                "connector must be an aiohttp connector such as aiohttp.TCPConnector, not "
                f"{described_type(connector)}"
            )
        if self.verify is not True or self.client_cert is not None:
            given = "verify=" if self.verify is not True else "client_cert="
            raise TypeError(
                f"{given} and connector= exclude each other. Give the connector a TLS context "
                "(ssl=) instead."
            )
        if self.proxy is not None and self.proxy.is_socks:
            raise TypeError(
                "connector= excludes a SOCKS proxy, which needs a connector of its own. Give a "
                "connector that goes through it."
            )


def described_type(value: object) -> str:
    """Name the type of a value that a user gave; the value itself may be a secret."""
    return "None" if value is None else type(value).__name__


@dataclass(frozen=True, slots=True, kw_only=True)
class FormFile:
    """A form with one file as a request's body, small enough for memory.

    Attributes:
        name: The form's field.
        filename: The file's name, as the server sees it.
        content_type: Its media type.
        content: Its bytes.
        fields: The form's other fields.
    """

    name: str
    filename: str
    content_type: str
    content: bytes = field(repr=False)
    fields: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class StreamedBody:
    """A request's body that is read while it is sent.

    Attributes:
        length: Its size in bytes.
        pieces: Opens the body at its start; called once for each attempt.
    """

    length: int
    pieces: Callable[[], AsyncIterator[bytes]] = field(repr=False)


class HeldBackError(Exception):
    """A call with `at_once` had to wait, and was not sent. Callers check again, and repeat it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One request to the server, and the step that it belongs to.

    Attributes:
        method: The HTTP method.
        path: Quoted path from the server's root; it may include a query.
        step: The step that the call belongs to, in one word; messages and errors name it.
        params: The query.
        json: The body, as an object to encode.
        body: The body, if it is not JSON.
        expect: The statuses that give a `Response`; all others raise an error.
        headers: Headers besides those of every call.
        anonymous: Send no credentials.
        retry: Retry after temporary failures. Only for calls that may safely be repeated.
        during_outage: Send it even while the server is known not to answer.
        at_once: Do not send it after a pause or an outage. When that is over, `HeldBackError` is
            raised. For calls that rely on what the caller has just read.
        task_id: The task that the call is about, or the target of another kind.
        target: What `task_id` is the id of.
        purpose: What the call is for, as it follows "cannot"; "" if the step tells it.
        rq_id: The server's request that the call is about.
    """

    method: str
    path: str
    step: str
    params: Mapping[str, str] = field(default_factory=dict)
    json: object = field(default=None, repr=False)
    body: FormFile | StreamedBody | None = None
    expect: tuple[int, ...] = (200,)
    headers: Mapping[str, str] = field(default_factory=dict)
    anonymous: bool = False
    retry: bool = True
    during_outage: bool = False
    at_once: bool = False
    task_id: int | None = None
    target: TargetKind = TargetKind.TASK
    purpose: str = ""
    rq_id: str | None = None


@dataclass(frozen=True, slots=True)
class Response:
    """A whole response whose status was expected.

    Attributes:
        status: The HTTP status.
        content_type: The Content-Type header.
        body: The body, decompressed.
        date: The Date header: the server's clock when it answered. None if it was not sent.
        headers: All headers; their names are looked up in any case.
    """

    status: int
    content_type: str | None
    body: bytes = field(repr=False)
    date: datetime | None
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)

    @property
    def text(self) -> str:
        """The response's own message, on one short line."""
        return error_text(self.content_type, self.body)
