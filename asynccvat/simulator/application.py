"""The HTTP side: a call comes in, faults strike, its time is spent, its handler answers.

In the order of Django REST framework: path, Accept, credentials, permission, throttle, method.
Handlers know nothing of the wire; what they raise and return becomes a response here.
"""

from __future__ import annotations

import asyncio
import html
import json
import re
import time
import uuid
from collections.abc import Callable
from typing import Any, Final

from aiohttp import web

from asynccvat.simulator.faults import Fault, Faults
from asynccvat.simulator.queues.archives import ArchiveMaker
from asynccvat.simulator.queues.processor import ApiWorkers
from asynccvat.simulator.queues.requests import Result
from asynccvat.simulator.routes.calls import Backend, Call, link_origin, split_target
from asynccvat.simulator.routes.exports import describe
from asynccvat.simulator.routes.table import Handler, Match, find_route, service_seconds
from asynccvat.simulator.wire.downloads import Download, choose, cut_head, first_place, send
from asynccvat.simulator.wire.records import CallRecord
from asynccvat.simulator.wire.responses import (
    JSON_TYPE,
    PACK_FROM,
    TEXT_TYPE,
    Answer,
    RefusedError,
    detail,
    forbidden,
    header_too_large_page,
    nginx_page,
    not_found_page,
    pack,
    server_error_page,
)
from asynccvat.simulator.world.accounts import ANONYMOUS, unauthorized

_LONGEST_LINE: Final = 8180
"""Bytes of a request line past which nginx answers 414 (its buffers hold 8 KiB)."""
_LONGEST_HEADER: Final = 8180
_LARGEST_BODY: Final = 1 << 30
"""Bytes of a body past which nginx answers 413, as CVAT sets it up."""

_APPLICATION_HEADERS: Final = {
    "X-Frame-Options": "DENY",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "strict-origin-when-cross-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}
_TASK_ID: Final = re.compile(r"/api/(?:tasks|jobs)/(\d+)|[?&/](?:.*&)?target_id=(\d+)")


class Application:
    """Serves calls to a backend."""

    def __init__(
        self,
        backend: Backend,
        workers: ApiWorkers,
        faults: Faults,
        maker: ArchiveMaker,
        control: Callable[[str, str, bytes], Any],
    ) -> None:
        """Put the parts together; `control` answers the calls below `/_simulator/`."""
        self._backend = backend
        self._workers = workers
        self._faults = faults
        self._maker = maker
        self._control = control
        self._epoch = time.monotonic()
        self.calls: list[CallRecord] = []

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Serve one call."""
        started = time.monotonic()
        path, query, raw_query = split_target(request.raw_path)
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
        answer = await self._faulty_answer(call) or await self._answer(call)
        if (call.request.content_length or 0) <= _LARGEST_BODY:
            async for _ in call.pieces():  # nginx reads what nobody wanted, too
                pass
        if any(fault.lose_answer for fault in call.faults):
            raise _broken(call, "the answer was lost by a scripted fault")
        _change_headers(answer, call.faults)
        call.record.scheme = call.identity.scheme
        call.record.status = answer.status
        if isinstance(answer, Download):
            return await send(answer, call.request, call.record)
        return await _send(answer, call)

    async def _faulty_answer(self, call: Call) -> Answer | None:
        """What faults do before a call is served: the first answer that one of them gives."""
        answer = None
        for fault in call.faults:
            if fault.delay:
                await asyncio.sleep(fault.delay)
            self._change_world(fault)
            if fault.drop:
                raise _broken(call, "dropped by a scripted fault")
            answer = answer or _scripted_answer(fault)
        return answer

    def _change_world(self, fault: Fault) -> None:
        """What others do at the server just before a call."""
        world = self._backend.world
        if fault.lose_queue:
            self._backend.forget_requests()
        if fault.edit_task is not None:
            world.edit_task(fault.edit_task)
        if fault.delete_task in world.dataset.tasks:
            world.delete_task(fault.delete_task)

    async def _answer(self, call: Call) -> Answer | Download:
        """The answer of nginx, Django or the handler, in that order."""
        request = call.request
        if len(request.raw_path) > _LONGEST_LINE:
            return nginx_page(414)
        if any(len(name) + len(value) > _LONGEST_HEADER for name, value in request.raw_headers):
            return header_too_large_page()
        if (request.content_length or 0) > _LARGEST_BODY:
            return nginx_page(413)
        match = find_route(call.path)
        try:
            if match is None:
                raise not_found_page()
            call.id, call.rq_id, call.file_id = match.id, match.rq_id, match.file_id
            return await self._view(call, match)
        except RefusedError as refused:
            answer = refused.answer
        if match is not None and not answer.bare:
            answer.headers.setdefault("Allow", match.route.allow)
        return answer

    async def _view(self, call: Call, match: Match) -> Answer | Download:
        as_page = False
        try:
            if match.route.negotiates:
                as_page = _negotiate(call.request.headers.get("Accept", "*/*"))
            call.identity = self._backend.accounts.identify(
                call.request.headers, call.request.method
            )
        except RefusedError:
            await self._workers.serve(service_seconds(call, match))
            raise
        await self._workers.serve(service_seconds(call, match))
        self._permit(call, match)
        handler = _handler(call, match)
        if match.id == -1:
            raise detail(404, "Not found.")
        answer = await handler(call)
        if isinstance(answer, Result):
            return await self._download(call, answer)
        if as_page and answer.content_type == JSON_TYPE:
            answer = _as_page(answer)
        answer.headers.setdefault("Allow", match.route.allow)
        return answer

    def _permit(self, call: Call, match: Match) -> None:
        identity = call.identity
        if identity.account is None and not match.route.anonymous:
            raise unauthorized("Authentication credentials were not provided.")
        if identity.read_only and not call.is_safe and not call.path.endswith("/export"):
            raise forbidden()
        forwarded = "".join(call.request.headers.get("X-Forwarded-For", "").split())
        if identity is not ANONYMOUS or match.route.negotiates:
            self._backend.accounts.check_rate(identity, forwarded or call.request.remote or "")

    async def _download(self, call: Call, result: Result) -> Answer | Download:
        archive = await self._maker.archive(result, call.origin)
        if call.faults:
            archive = await asyncio.to_thread(archive.damaged, call.faults)
        chosen = choose(
            archive,
            result,
            call.request.headers,
            ignore_range=any(fault.ignore_range for fault in call.faults),
            compress=any(fault.compress for fault in call.faults),
        )
        if isinstance(chosen, Download):
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


def _handler(call: Call, match: Match) -> Handler:
    """The handler of the method.

    Raises:
        RefusedError: 405, or 500 for HEAD where CVAT stumbles: seen on tasks and downloads.
    """
    method = call.request.method
    if method == "OPTIONS":
        return describe
    if method == "HEAD" and "HEAD" not in match.route.methods:
        if not match.route.anonymous and call.path != "/api/users/self":
            raise server_error_page()
        method = "GET"
    if method not in match.route.methods:
        raise detail(405, f'Method "{method}" not allowed.')
    return match.route.methods[method]


def _task_id(path: str, query: dict[str, str]) -> int | None:
    found = _TASK_ID.search(path)
    if found is None and "rq_id" in query:
        found = _TASK_ID.search("?" + query["rq_id"])
    if found is None:
        return None
    return int(found[1] or found[2])


def _change_headers(answer: Answer | Download, faults: list[Fault]) -> None:
    for fault in faults:
        for name, value in fault.headers.items():
            if value is None:
                answer.headers.pop(name, None)
            else:
                answer.headers[name] = value


def _scripted_answer(fault: Fault) -> Answer | None:
    if fault.redirect is not None:
        return Answer(302, b"", "text/html", {"Location": fault.redirect}, by_nginx=True)
    if fault.status is None:
        return None
    if not fault.body and fault.status in (502, 503, 504):
        return nginx_page(fault.status)
    return Answer(fault.status, fault.body.encode(), fault.content_type, by_nginx=True)


def _negotiate(accept: str) -> bool:
    """Django REST framework's choice of a renderer, of which CVAT has JSON of its own and HTML.

    Returns:
        Whether HTML it is.

    Raises:
        RefusedError: 406, neither will do.
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


def _as_page(answer: Answer) -> Answer:
    """The page of the browsable API, less its looks."""
    shown = html.escape(answer.body.decode())
    page = f"<!DOCTYPE html>\n<html>\n<body><pre>{shown}</pre></body>\n</html>\n"
    return Answer(answer.status, page.encode(), TEXT_TYPE, answer.headers)


def _broken(call: Call, words: str) -> ConnectionResetError:
    """Break the connection of the call: what to raise then."""
    if call.request.transport is not None:
        call.request.transport.abort()
    return ConnectionResetError(words)


def _response(answer: Answer, call: Call) -> web.Response:
    headers = {"Server": "nginx", **answer.headers}
    if not answer.by_nginx:
        headers |= _APPLICATION_HEADERS
        headers["X-Request-Id"] = str(uuid.UUID(int=_request_number()))
    body = answer.body
    is_packable = len(body) >= PACK_FROM and answer.status < 500 and not answer.by_nginx
    if not answer.by_nginx:
        names = "Origin, Cookie" if answer.bare else "Accept, Origin, Cookie"
        headers["Vary"] = (
            names.replace("Accept", "Accept, Accept-Encoding") if is_packable else names
        )
    if is_packable and "gzip" in call.request.headers.get("Accept-Encoding", ""):
        body = answer.packed if answer.packed is not None else pack(body)
        headers["Content-Encoding"] = "gzip"
    response = web.Response(body=body, status=answer.status)
    if answer.content_type is not None:
        response.headers["Content-Type"] = answer.content_type
    response.headers.update(headers)
    for cookie in answer.cookies:
        response.headers.add("Set-Cookie", cookie)
    return response


_numbers = iter(range(1, 1 << 62))


def _request_number() -> int:
    return (next(_numbers) << 64) | (4 << 76) | (2 << 62)


async def _send(answer: Answer, call: Call) -> web.Response:
    """Send an answer, as far as the faults let it pass."""
    response = _response(answer, call)
    await cut_head(response, call.request, call.faults)
    body = response.body if isinstance(response.body, bytes) else b""
    limit = first_place(call.faults, len(body), "cut_at")
    if limit is not None and limit < len(body):
        call.record.bytes_sent = limit
        await _send_cut(response, call.request, body[:limit])
    call.record.bytes_sent = len(body)
    await response.prepare(call.request)
    await response.write_eof()
    return response


async def _send_cut(response: web.Response, request: web.BaseRequest, start: bytes) -> None:
    """Send the headers and the start of the body, and close the connection."""
    cut = web.StreamResponse(status=response.status)
    cut.headers.update(response.headers)
    cut.content_length = response.content_length
    await cut.prepare(request)
    await cut.write(start)
    if request.transport is not None:
        request.transport.close()
    raise ConnectionResetError("cut by a scripted fault")
