"""One request and its response: read the body, and log how the exchange ended.

`connection` sends the request. `result_stream` reads long bodies piece by piece.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from urllib.parse import urlsplit

import aiohttp

from asynccvat.errors import AsyncCvatError, ProtocolError
from asynccvat.http.failures import HTTP_FAILURES
from asynccvat.http.stall import StallDetector

_log = logging.getLogger(__name__)

_MAX_BODY = 256 * 2**20
_MAX_ERROR_BODY = 64 * 2**10

_OF_TASKS = ("/annotations", "/data/meta")
"""How paths end whose answers grow with a task: CVAT sends them whole, of whatever size."""

_SHOWN = frozenset(
    {
        "action",
        "filter",
        "format",
        "lightweight",
        "location",
        "number",
        "org",
        "page",
        "page_size",
        "project_id",
        "quality",
    }
    | {"rq_id", "save_images", "sort", "status", "task_id", "type"}
)
"""Parameters of a query whose values are logged. Any other value might be a secret."""


class Exchange:
    """A request whose response's headers have arrived. Close it to release its connection.

    Attributes:
        response: aiohttp's response.
        received: Bytes of the body that were read so far.
        stall_timeout: Seconds without 1 KiB of the body after which the exchange has failed.
        failure_of: Translates aiohttp's exceptions into errors of asynccvat.
        unanswered: How often the request was sent without an answer before this response.
    """

    def __init__(
        self,
        response: aiohttp.ClientResponse,
        record: ExchangeRecord,
        *,
        origin: str,
        stall_timeout: float,
        failure_of: Callable[[BaseException], AsyncCvatError],
        unanswered: int = 0,
    ) -> None:
        """Begin with the body unread.

        Args:
            response: aiohttp's response.
            record: The log record to complete.
            origin: The server, for messages.
            stall_timeout: Seconds without 1 KiB of the body after which the exchange has failed.
            failure_of: Translates aiohttp's exceptions into errors of asynccvat.
            unanswered: How often the request was sent without an answer before this response.
        """
        self.response = response
        self.received = 0
        self.stall_timeout = stall_timeout
        self.failure_of = failure_of
        self.unanswered = unanswered
        self._record = record
        self._origin = origin

    @property
    def status(self) -> int:
        """The HTTP status."""
        return self.response.status

    def header(self, name: str) -> str | None:
        """Return a header's value, None if it was not sent."""
        return self.response.headers.get(name)

    async def read(self) -> bytes:
        """Read the whole body.

        Raises:
            TransportError: The body breaks off or stalls.
            ProtocolError: The body is too large to be held in memory.
        """
        pieces: list[bytes] = []
        clock = asyncio.get_running_loop().time
        stall, began = StallDetector(self.stall_timeout), clock()
        try:
            while piece := await self.response.content.readany():
                stall.received(len(piece), clock() - began)
                began = clock()
                pieces.append(piece)
                self.received += len(piece)
                if self.received > _MAX_BODY:
                    raise _too_large(self._origin, self.response.url.path)
            return b"".join(pieces)
        except HTTP_FAILURES as exc:
            failure = self.failure_of(exc)
        # Raised outside the handler: aiohttp's exception must not become its `__context__`.
        raise failure

    async def read_error(self) -> bytes:
        """Read the beginning of an error's body, as far as it arrives."""
        body = b""
        try:
            while len(body) < _MAX_ERROR_BODY and (piece := await self.response.content.readany()):
                body += piece
                self.received += len(piece)
        except HTTP_FAILURES:
            pass  # the status decides which error is raised, and it has arrived
        return body[:_MAX_ERROR_BODY]

    def close(self) -> None:
        """Release the connection, which is lost if the body was not read to its end."""
        self.response.close()
        self._record.ended(self.status, self.received)


def _too_large(origin: str, path: str) -> ProtocolError:
    """Return the error for a body that is not read to its end."""
    if path.endswith(_OF_TASKS):
        advice = (
            "It is held in memory as a whole, while archives of exports are not. So export the "
            "task: with --with-exports, and another --format than json"
        )
    else:
        advice = "CVAT sends lists in pages, so check the server URL"
    return ProtocolError(
        f"cannot read the answer to {path}: {origin} sent more than {_MAX_BODY >> 20} MiB. {advice}"
    )


class ExchangeRecord:
    """Log one exchange at level DEBUG: method, path, status, milliseconds and bytes.

    Nothing that may be a secret is logged: no header, no body, no unknown parameter.
    """

    def __init__(self, method: str, url: str) -> None:
        """Begin to measure the time."""
        self._method = method
        self._url = url
        self._began = time.perf_counter()
        self._logged = False

    def ended(self, status: int, size: int) -> None:
        """Log a response of which `size` bytes were read; later calls do nothing."""
        if not self._logged and _log.isEnabledFor(logging.DEBUG):
            self._logged = True
            shown, milliseconds = shown_url(self._url), self._milliseconds()
            _log.debug(
                "%s %s: %d, %.0f ms, %d bytes", self._method, shown, status, milliseconds, size
            )

    def failed(self, error: AsyncCvatError) -> None:
        """Log that there was no response."""
        if _log.isEnabledFor(logging.DEBUG):
            shown, milliseconds = shown_url(self._url), self._milliseconds()
            _log.debug("%s %s: no response, %.0f ms: %s", self._method, shown, milliseconds, error)

    def _milliseconds(self) -> float:
        return (time.perf_counter() - self._began) * 1000


def shown_url(url: str) -> str:
    """Return the path and query of a URL, without values that might be secrets."""
    parts = urlsplit(url)
    if not parts.query:
        return parts.path
    return f"{parts.path}?{'&'.join(map(_shown_parameter, parts.query.split('&')))}"


def _shown_parameter(parameter: str) -> str:
    name, equals, _ = parameter.partition("=")
    if name in _SHOWN:
        return parameter
    return f"{name}=***" if equals else "***"
