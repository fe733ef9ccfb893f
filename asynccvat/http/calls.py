"""What a session is given and gives back: how to connect, one call, its answer. Values only."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from asynccvat.core.responses import error_text
from asynccvat.core.retry import RetryPolicy
from asynccvat.errors import ConfigError


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpOptions:
    """How to connect.

    Attributes:
        verify: True for the system's certificates, False for none at all (unsafe), or the file
            or folder of a CA bundle.
        connect_timeout: Seconds for finding the host, connecting and the TLS handshake.
        stall_timeout: Seconds without a byte, or within a body without a KiB, after which an
            exchange has failed.
        max_connections: Connections open at once; further calls wait for one. Fewer where the
            process may have few handles.
        trust_environment: Use the proxies that HTTP_PROXY, HTTPS_PROXY and NO_PROXY name.
        policy: How patiently failed calls are tried again.
    """

    verify: bool | str | Path = True
    connect_timeout: float = 10.0
    stall_timeout: float = 60.0
    max_connections: int = 100
    trust_environment: bool = True
    policy: RetryPolicy = field(default_factory=RetryPolicy)

    def __post_init__(self) -> None:
        for name in ("connect_timeout", "stall_timeout", "max_connections"):
            if getattr(self, name) <= 0:
                raise ConfigError(f"{name} must be positive, not {getattr(self, name)}")


@dataclass(frozen=True, slots=True, kw_only=True)
class FormFile:
    """A body that is a form with one file in it, small enough to be held.

    Attributes:
        name: The form's field.
        filename: The file's name, as the server is to see it.
        content_type: Its media type.
        content: Its bytes.
    """

    name: str
    filename: str
    content_type: str
    content: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class StreamedBody:
    """A body that is read while it is sent, each time anew.

    Attributes:
        length: Its bytes.
        pieces: Reads it from its start.
    """

    length: int
    pieces: Callable[[], AsyncIterator[bytes]] = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One request and what it is for; messages and errors name the latter.

    Attributes:
        method: The HTTP method.
        path: Quoted, from the root of the server; a query goes to `params` or stands in it.
        step: What is being done, in a word.
        params: The query.
        json: The body.
        body: The body, where it is no JSON.
        expect: Statuses that are answers; all others are errors.
        headers: Besides the usual ones.
        anonymous: Send no credentials.
        retry: Try again after failures that may pass. Only where repeating is harmless.
        task_id: The task concerned.
        rq_id: The server's request concerned.
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
    task_id: int | None = None
    rq_id: str | None = None


@dataclass(frozen=True, slots=True)
class Response:
    """A whole answer whose status was expected.

    Attributes:
        status: The HTTP status.
        content_type: The Content-Type header.
        body: The content, unpacked.
        date: The server's clock when it answered.
        headers: All of its headers; names in any case.
    """

    status: int
    content_type: str | None
    body: bytes = field(repr=False)
    date: datetime | None
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)

    @property
    def text(self) -> str:
        """What the answer says, on one short line."""
        return error_text(self.content_type, self.body)
