"""A call as its handler sees it, and the server's parts."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import parse_qsl, unquote

from aiohttp import web

from asynccvat.simulator.faults import Fault
from asynccvat.simulator.options import SimulatorOptions
from asynccvat.simulator.queues.creation_queue import CreationQueue
from asynccvat.simulator.queues.deliveries import DeliveryQueue
from asynccvat.simulator.queues.export_queue import ExportQueue
from asynccvat.simulator.queues.import_queue import ImportQueue
from asynccvat.simulator.queues.registry import RequestRegistry
from asynccvat.simulator.queues.task_files import TaskFiles
from asynccvat.simulator.queues.uploads import UploadedFiles
from asynccvat.simulator.routes.page_cache import PageCache
from asynccvat.simulator.routes.scopes import OrganizationScope, find_scope
from asynccvat.simulator.routes.selections import Selections
from asynccvat.simulator.wire.credentials import ANONYMOUS, Identity
from asynccvat.simulator.wire.records import CallRecord
from asynccvat.simulator.wire.responses import bad_request_page, detail, server_error_page
from asynccvat.simulator.wire.throttle import Throttle
from asynccvat.simulator.world.accounts import Accounts, UserAccount
from asynccvat.simulator.world.users import Organization
from asynccvat.simulator.world.world import World

LARGEST_BODY: Final = 100 << 20
"""Bytes past which CVAT's application refuses a body, except a form."""

_SAFE_METHODS: Final = ("GET", "HEAD", "OPTIONS")


@dataclass(frozen=True)
class Backend:
    """The parts of the server that handlers use.

    Attributes:
        options: The server's options.
        accounts: Users and their tokens.
        throttle: The limits of calls per minute.
        world: Projects, tasks and organizations.
        selections: The rows of lists.
        pages: Cached pages of lists.
        registry: The requests that the server remembers.
        exports: The queue of exports.
        imports: The queue of imports.
        uploads: Uploaded files that are not imported yet.
        creations: The queue of tasks that are made of their data.
        task_files: Files that were sent for those tasks.
        deliveries: The queue of webhook deliveries.
    """

    options: SimulatorOptions
    accounts: Accounts
    throttle: Throttle
    world: World
    selections: Selections
    pages: PageCache
    registry: RequestRegistry
    exports: ExportQueue
    imports: ImportQueue
    uploads: UploadedFiles
    creations: CreationQueue
    task_files: TaskFiles
    deliveries: DeliveryQueue

    def forget_requests(self) -> None:
        """Lose all requests, like a Redis that restarts empty."""
        self.exports.forget()
        self.imports.forget()
        self.creations.forget()


@dataclass(slots=True)
class Call:
    """One call.

    Attributes:
        backend: The server's parts.
        request: The call as aiohttp received it.
        path: The path, decoded.
        query: The query; of a repeated parameter the last value, as in Django.
        origin: Scheme and host of absolute links in the response.
        record: What the server records about the call.
        id: The number in the path, or None.
        rq_id: The request's id in the path, or "".
        file_id: The id of an uploaded file in the path, or "".
        part: The number of a part in the path, such as that of a delivery, or None.
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
    part: int | None = None
    identity: Identity = ANONYMOUS
    faults: list[Fault] = field(default_factory=list)

    @property
    def account(self) -> UserAccount:
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
        """The organization that a list call concerns.

        Raises:
            RefusedError: 404 for an unknown organization, 400 for contradictions.
        """
        header = self.request.headers.get("X-Organization")
        return find_scope(self.backend.world, self.query, header)

    @property
    def organization_id(self) -> int | None:
        """The one organization that the call concerns; None: none, or any.

        Raises:
            RefusedError: As for `scope`.
        """
        scope = self.scope
        return scope.id if isinstance(scope, Organization) else None

    @property
    def is_safe(self) -> bool:
        """Whether the method only reads."""
        return self.request.method in _SAFE_METHODS

    async def pieces(self) -> AsyncIterator[bytes]:
        """Yield the body as it arrives.

        Raises:
            ConnectionResetError: The connection broke, or a fault broke it.
        """
        while piece := await self.request.content.readany():
            self.count_received(piece)
            yield piece

    def count_received(self, piece: bytes) -> None:
        """Record a piece of the body that has arrived.

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
        """Return the whole body.

        Raises:
            RefusedError: 400, it is larger than CVAT accepts.
        """
        body = bytearray()
        async for piece in self.pieces():
            body += piece
            if len(body) > LARGEST_BODY:
                raise bad_request_page()
        return bytes(body)

    async def json(self) -> Any:
        """Return the body as JSON.

        Raises:
            RefusedError: 415 for another type of body, 400 for a broken or too large one.
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
        """Return the body as a JSON object.

        Raises:
            RefusedError: As for `json`, and 500 for JSON that is not an object.
        """
        value = await self.json()
        if not isinstance(value, dict):
            raise server_error_page()
        return value


def split_target(raw_path: str) -> tuple[str, dict[str, str], str]:
    """Split a request target into path, query and undecoded query."""
    path, _, query = raw_path.partition("?")
    return unquote(path), dict(parse_qsl(query, keep_blank_values=True)), query


def link_origin(headers: Mapping[str, str], scheme: str) -> str:
    """Return the origin of absolute links, by X-Forwarded-* and Host, which CVAT trusts."""
    host = headers.get("X-Forwarded-Host") or headers.get("Host") or "localhost"
    return f"{headers.get('X-Forwarded-Proto') or scheme}://{host}"
