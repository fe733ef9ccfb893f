"""Serve calls: faults strike, time is spent, and a handler answers.

Checks have the order of Django REST framework: path, Accept, credentials, permission, throttle,
method. `routes` has the handlers; `wire.sending` sends what they return or raise.
"""

from __future__ import annotations

import asyncio
import html
import json
import re
import time
from collections.abc import Callable
from typing import Any, Final

from aiohttp import web

from asynccvat.simulator.faults import Fault, Faults
from asynccvat.simulator.queues.archives import ArchiveCache
from asynccvat.simulator.queues.processor import ApiWorkers
from asynccvat.simulator.queues.requests import ExportResult
from asynccvat.simulator.routes.about import describe
from asynccvat.simulator.routes.calls import Backend, Call, link_origin, split_target
from asynccvat.simulator.routes.costs import service_seconds
from asynccvat.simulator.routes.table import Handler, RouteMatch, find_route, is_of_new_servers
from asynccvat.simulator.wire.credentials import ANONYMOUS, identify, unauthorized
from asynccvat.simulator.wire.downloads import DownloadResponse, choose
from asynccvat.simulator.wire.records import CallRecord
from asynccvat.simulator.wire.responses import (
    JSON_TYPE,
    TEXT_TYPE,
    RefusedError,
    ServerResponse,
    detail,
    forbidden,
    header_too_large_page,
    nginx_page,
    not_found_page,
    server_error_page,
)
from asynccvat.simulator.wire.sending import send_download, send_response
from asynccvat.simulator.world.reported_changes import Actor, acting
from asynccvat.simulator.world.users import ADMIN

_LONGEST_LINE: Final = 8180
"""Bytes of a request line past which nginx answers 414 (its buffers hold 8 KiB)."""

_LONGEST_HEADER: Final = 8180
"""Bytes of a header past which nginx answers 400."""

_TASK_ID: Final = re.compile(r"/api/(?:tasks|jobs)/(\d+)|[?&/](?:.*&)?target_id=(\d+)")


class Application:
    """Serves the calls of one server.

    Attributes:
        calls: Every call so far, in the order of their arrival.
    """

    def __init__(
        self,
        backend: Backend,
        workers: ApiWorkers,
        faults: Faults,
        archives: ArchiveCache,
        control: Callable[[str, str, bytes], Any],
    ) -> None:
        """Serve calls with the parts of the server.

        Args:
            backend: What handlers use.
            workers: The processes that serve calls.
            faults: The scripted faults.
            archives: The archives of export results.
            control: Answers calls to `/_simulator/`, given method, path and body.
        """
        self._backend = backend
        self._workers = workers
        self._faults = faults
        self._archives = archives
        self._control = control
        self._epoch = time.monotonic()
        self.calls: list[CallRecord] = []

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Serve one call."""
        started = time.monotonic()
        path, query, raw_query = split_target(request.raw_path)
        path = _below(self._backend.options.path_prefix, path)
        if path.startswith("/_simulator/"):
            return await self._serve_control(path, request)
        task_id = _task_id(path, query)
        faults = self._faults.for_call(request.method, path, raw_query, task_id)
        record = CallRecord(
            request.method,
            path,
            raw_query,
            started - self._epoch,
            task_id,
            "Authorization" in request.headers,
            request.headers.get("Range"),
        )
        self.calls.append(record)
        origin = self._origin(request, faults)
        query = {
            name: value
            for name, value in query.items()
            if all(fault.ignore != name for fault in faults)
        }
        call = Call(self._backend, request, path, query, origin, record, faults=faults)
        try:
            return await self._serve(call)
        finally:
            record.seconds = time.monotonic() - started

    def _origin(self, request: web.BaseRequest, faults: list[Fault]) -> str:
        for fault in faults:
            if fault.origin is not None:
                return fault.origin
        return self._backend.options.public_url or link_origin(request.headers, request.scheme)

    async def _serve(self, call: Call) -> web.StreamResponse:
        response = await self._faulty_response(call) or await self._respond(call)
        if (call.request.content_length or 0) <= self._backend.options.largest_body:
            async for _ in call.pieces():  # nginx reads a body that the handler did not read
                pass
        if any(fault.lose_answer for fault in call.faults):
            raise _reset_connection(call, "the answer was lost by a scripted fault")
        _change_headers(response, call.faults)
        call.record.scheme = call.identity.scheme
        call.record.status = response.status
        if isinstance(response, DownloadResponse):
            return await send_download(response, call.request, call.record)
        return await send_response(response, call.request, call.record, call.faults)

    async def _faulty_response(self, call: Call) -> ServerResponse | None:
        """Apply the faults that strike before a call is served; return a scripted response."""
        response = None
        for fault in call.faults:
            if fault.delay:
                await asyncio.sleep(fault.delay)
            self._change_world(fault)
            if fault.drop:
                raise _reset_connection(call, "dropped by a scripted fault")
            response = response or _scripted_response(fault)
        return response

    def _change_world(self, fault: Fault) -> None:
        """Change what the server holds, as another client may do just before a call."""
        world = self._backend.world
        if fault.lose_queue:
            self._backend.forget_requests()
        if fault.edit_task is not None:
            world.edit_task(fault.edit_task)
        if fault.change_media is not None:
            world.change_media(fault.change_media)
        if fault.delete_task in world.tasks:
            world.delete_task(fault.delete_task)

    async def _respond(self, call: Call) -> ServerResponse | DownloadResponse:
        """Return the response of nginx, Django or the handler, in that order."""
        request = call.request
        if not call.path:
            return nginx_page(404)
        if len(request.raw_path) > _LONGEST_LINE:
            return nginx_page(414)
        if any(len(name) + len(value) > _LONGEST_HEADER for name, value in request.raw_headers):
            return header_too_large_page()
        if (request.content_length or 0) > self._backend.options.largest_body:
            return nginx_page(413)
        match = find_route(call.path)
        try:
            if match is None or not self._has(call.path):
                raise not_found_page()
            call.id, call.rq_id, call.file_id = match.id, match.rq_id, match.file_id
            call.part = match.part
            return await self._view(call, match)
        except RefusedError as refused:
            response = refused.response
        if match is not None and not response.bare:
            response.headers.setdefault("Allow", match.route.allow)
        return response

    def _has(self, path: str) -> bool:
        """Whether a server of this version knows a path."""
        options = self._backend.options
        if path.startswith("/api/auth/access_tokens"):
            return options.has_access_tokens
        return not (options.is_old and is_of_new_servers(path))

    async def _view(self, call: Call, match: RouteMatch) -> ServerResponse | DownloadResponse:
        as_page = False
        try:
            if match.route.negotiates:
                as_page = _negotiate(call.request.headers.get("Accept", "*/*"))
            call.identity = identify(
                self._backend.accounts, call.request.headers, call.request.method
            )
        except RefusedError:
            await self._workers.serve(service_seconds(call, match))
            raise
        await self._workers.serve(service_seconds(call, match))
        self._permit(call, match)
        handler = _handler(call, match)
        if match.id == -1:
            raise detail(404, "Not found.")
        with acting(_actor(call)):
            response = await handler(call)
        if isinstance(response, ExportResult):
            return await self._download(call, response)
        if as_page and response.content_type == JSON_TYPE:
            response = _html_page(response)
        response.headers.setdefault("Allow", match.route.allow)
        return response

    def _permit(self, call: Call, match: RouteMatch) -> None:
        identity = call.identity
        if identity.account is None and not match.route.anonymous:
            raise unauthorized("Authentication credentials were not provided.")
        if not match.route.anonymous:
            _ = call.scope  # every call in an unknown organization is refused
        if identity.read_only and not call.is_safe and not call.path.endswith("/export"):
            raise forbidden()
        forwarded = "".join(call.request.headers.get("X-Forwarded-For", "").split())
        if identity is not ANONYMOUS or match.route.negotiates:
            self._backend.throttle.check(identity, forwarded or call.request.remote or "")

    async def _download(
        self, call: Call, result: ExportResult
    ) -> ServerResponse | DownloadResponse:
        archive = await self._archives.archive(result, call.origin)
        if call.faults:
            archive = await asyncio.to_thread(archive.damaged, call.faults)
        chosen = choose(
            archive,
            result,
            call.request.headers,
            ignore_range=any(fault.ignore_range for fault in call.faults),
            compress=any(fault.compress for fault in call.faults),
        )
        if isinstance(chosen, DownloadResponse):
            chosen.faults = call.faults
        return chosen

    async def _serve_control(self, path: str, request: web.BaseRequest) -> web.StreamResponse:
        try:
            value = self._control(request.method, path, await request.read())
        except (ValueError, TypeError, KeyError) as error:
            value, status = {"error": repr(error)}, 400
        else:
            status = 200
        response = web.Response(
            body=json.dumps(value).encode(), status=status, content_type="application/json"
        )
        await response.prepare(request)
        await response.write_eof()
        return response


def _actor(call: Call) -> Actor:
    """Return who acts in a call; CVAT counts the jobs of the tasks that it looks up for these."""
    user = call.account.user if call.identity.account is not None else ADMIN
    counts = call.path.startswith("/api/tasks/") and (
        call.request.method in ("PATCH", "DELETE") or call.path.endswith("/data")
    )
    return Actor(user, call.origin, counts_jobs=counts)


def _handler(call: Call, match: RouteMatch) -> Handler:
    """Return the handler of the method.

    Raises:
        RefusedError: 405, or 500 for HEAD, which fails on CVAT: seen on tasks and downloads.
    """
    method = call.request.method
    if method in ("HEAD", "OPTIONS") and method not in match.route.allow:
        raise detail(405, f'Method "{method}" not allowed.')
    if method == "OPTIONS":
        return describe
    if method == "HEAD" and "HEAD" not in match.route.methods:
        if not match.route.anonymous and call.path != "/api/users/self":
            raise server_error_page()
        method = "GET"
    if method not in match.route.methods:
        raise detail(405, f'Method "{method}" not allowed.')
    return match.route.methods[method]


def _below(prefix: str, path: str) -> str:
    """Return a path as the proxy that serves CVAT under a prefix passes it on; "" outside it."""
    if prefix and not path.startswith(f"{prefix}/"):
        return ""
    return path.removeprefix(prefix)


def _task_id(path: str, query: dict[str, str]) -> int | None:
    found = _TASK_ID.search(path)
    if found is None and "rq_id" in query:
        found = _TASK_ID.search("?" + query["rq_id"])
    if found is None:
        return None
    return int(found[1] or found[2])


def _change_headers(response: ServerResponse | DownloadResponse, faults: list[Fault]) -> None:
    for fault in faults:
        for name, value in fault.headers.items():
            if value is None:
                response.headers.pop(name, None)
            else:
                response.headers[name] = value


def _scripted_response(fault: Fault) -> ServerResponse | None:
    if fault.redirect is not None:
        return ServerResponse(302, b"", "text/html", {"Location": fault.redirect}, by_nginx=True)
    if fault.status is None:
        return None
    if not fault.body and fault.status in (502, 503, 504):
        return nginx_page(fault.status)
    return ServerResponse(fault.status, fault.body.encode(), fault.body_type, by_nginx=True)


def _negotiate(accept: str) -> bool:
    """Choose between CVAT's JSON and HTML, as Django REST framework does.

    Returns:
        Whether HTML is chosen.

    Raises:
        RefusedError: 406, the caller accepts neither.
    """
    is_page = False
    for item in accept.split(","):
        media = item.partition(";")[0].strip().lower()
        if media in (JSON_TYPE, "*/*", "application/*", ""):
            return False
        is_page = is_page or media in ("text/html", "text/*")
    if is_page:
        return True
    raise detail(406, "Could not satisfy the request Accept header.")


def _html_page(response: ServerResponse) -> ServerResponse:
    """Wrap a response in HTML, like the browsable API without its design."""
    shown = html.escape(response.body.decode())
    page = f"<!DOCTYPE html>\n<html>\n<body><pre>{shown}</pre></body>\n</html>\n"
    return ServerResponse(response.status, page.encode(), TEXT_TYPE, response.headers)


def _reset_connection(call: Call, words: str) -> ConnectionResetError:
    """Reset the connection of a call; return the error to raise."""
    if call.request.transport is not None:
        call.request.transport.abort()
    return ConnectionResetError(words)
