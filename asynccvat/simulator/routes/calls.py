"""One call as the handlers see it, and the parts of the server that they work on."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import parse_qsl, unquote

from aiohttp import web

from asynccvat.simulator.faults import Fault
from asynccvat.simulator.options import SimulatorOptions
from asynccvat.simulator.queues.export_queue import ExportQueue
from asynccvat.simulator.queues.import_queue import ImportQueue
from asynccvat.simulator.queues.registry import RequestRegistry
from asynccvat.simulator.queues.uploads import Uploads
from asynccvat.simulator.routes.page_cache import PageCache
from asynccvat.simulator.wire.records import CallRecord
from asynccvat.simulator.wire.responses import bad_request_page, detail, server_error_page
from asynccvat.simulator.world.accounts import ANONYMOUS, Account, Accounts, Identity
from asynccvat.simulator.world.world import OrganizationScope, World

LARGEST_BODY: Final = 100 << 20
"""Bytes of a body that is no form past which CVAT's application refuses it."""

_SAFE_METHODS: Final = ("GET", "HEAD", "OPTIONS")


@dataclass(frozen=True)
class Backend:
    """What handlers read and change."""

    options: SimulatorOptions
    accounts: Accounts
    world: World
    registry: RequestRegistry
    queue: ExportQueue
    imports: ImportQueue
    uploads: Uploads
    pages: PageCache = field(default_factory=PageCache)

    def forget_requests(self) -> None:
        """Lose all requests, as a restarted queue without its memory does."""
        self.queue.forget()
        self.imports.forget()


@dataclass(slots=True)
class Call:
    """One call.

    Attributes:
        backend: The server's parts.
        request: The call as aiohttp has it.
        path: The path, decoded.
        query: The query; of repeated parameters the last, as Django takes it.
        origin: Scheme and host that absolute links in the answer get.
        record: What the server remembers of it.
        id: The number in the path, or None.
        rq_id: The request's id in the path, or an empty text.
        file_id: The id of an uploaded file in the path, or an empty text.
        identity: Who calls.
        faults: The scripted faults that strike the call.
    """

    backend: Backend
    request: web.BaseRequest
    path: str
    query: dict[str, str]
    origin: str
    record: CallRecord
    id: int | None = None
    rq_id: str = ""
    file_id: str = ""
    identity: Identity = ANONYMOUS
    faults: list[Fault] = field(default_factory=list)

    @property
    def account(self) -> Account:
        """The user.

        Raises:
            RefusedError: 401, the call is anonymous.
        """
        return self.identity.required

    @property
    def number(self) -> int:
        """The number in the path."""
        assert self.id is not None, "the route has no number"
        return self.id

    @property
    def scope(self) -> OrganizationScope:
        """Which organization the call is about.

        Raises:
            RefusedError: 404 for an unknown organization, 400 for contradictions.
        """
        return self.backend.world.scope(self.query, self.request.headers.get("X-Organization"))

    @property
    def is_safe(self) -> bool:
        """Whether the method only reads."""
        return self.request.method in _SAFE_METHODS

    async def pieces(self) -> AsyncIterator[bytes]:
        """The body as it comes in; none of it is held back.

        Raises:
            ConnectionResetError: The connection broke, or a fault broke it.
        """
        while piece := await self.request.content.readany():
            self.count_received(piece)
            yield piece

    def count_received(self, piece: bytes) -> None:
        """Tell the record of a piece of the body that came in.

        Raises:
            ConnectionResetError: A fault broke the connection there.
        """
        self.record.bytes_received += len(piece)
        for fault in self.faults:
            if fault.break_at is not None and self.record.bytes_received >= fault.break_at:
                if self.request.transport is not None:
                    self.request.transport.abort()
                raise ConnectionResetError("broken by a scripted fault")

    async def body(self) -> bytes:
        """The body as a whole.

        Raises:
            RefusedError: 400, it is larger than CVAT takes.
        """
        body = bytearray()
        async for piece in self.pieces():
            body += piece
            if len(body) > LARGEST_BODY:
                raise bad_request_page()
        return bytes(body)

    async def json(self) -> Any:
        """The body as JSON.

        Raises:
            RefusedError: 415 for another type of body, 400 for broken JSON or too much of it.
        """
        body = await self.body()
        if not body:
            return {}
        if self.request.content_type != "application/json":
            raise detail(415, f'Unsupported media type "{self.request.content_type}" in request.')
        try:
            return json.loads(body)
        except ValueError as error:
            raise detail(400, f"JSON parse error - {error}") from None

    async def json_object(self) -> dict[str, Any]:
        """The body as a JSON object.

        Raises:
            RefusedError: As for `json`, and 500 for JSON that is no object.
        """
        value = await self.json()
        if not isinstance(value, dict):
            raise server_error_page()
        return value


def split_target(raw_path: str) -> tuple[str, dict[str, str], str]:
    """Path, query and undecoded query of a request target."""
    path, _, query = raw_path.partition("?")
    return unquote(path), dict(parse_qsl(query, keep_blank_values=True)), query


def link_origin(headers: Mapping[str, str], scheme: str) -> str:
    """The origin of absolute links: X-Forwarded-* and Host are believed, as CVAT believes them."""
    host = headers.get("X-Forwarded-Host") or headers.get("Host") or "localhost"
    return f"{headers.get('X-Forwarded-Proto') or scheme}://{host}"
