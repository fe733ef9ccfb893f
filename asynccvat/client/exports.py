"""Request exports, and read their archives.

`client.poller` waits for exports, `transfer.exports` requests them for many tasks.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import msgspec

from asynccvat.client.lists import Lists
from asynccvat.core.format_names import exporter_for, format_problem
from asynccvat.core.numbers import whole
from asynccvat.core.requests import RequestAccepted, RequestId
from asynccvat.core.selections.selection import RequestSelection
from asynccvat.core.specs import BucketKey, RequestSpec
from asynccvat.core.targets import TargetKind
from asynccvat.core.wire.responses import ByteRange, is_json
from asynccvat.errors import (
    AsyncCvatError,
    ConfigError,
    ExportExpiredError,
    ExportNotReadyError,
    ProtocolError,
    ResponseError,
)
from asynccvat.http import Call, HttpSession, ResultStream

MAX_COLLISIONS = 3
"""How often a request is sent again if another one of the same task ran."""

_REQUEST_ID = msgspec.json.Decoder(RequestId)


class ExportCalls:
    """Exports of one server. `CvatClient` documents them."""

    def __init__(self, http: HttpSession, lists: Lists) -> None:
        """Export in a session.

        Args:
            http: The session.
            lists: The same server's lists.
        """
        self._http = http
        self._lists = lists

    async def request(
        self, target_id: int, spec: RequestSpec, to: BucketKey | None = None
    ) -> RequestAccepted:
        """Request what a spec says: the export or the backup of a target.

        Args:
            target_id: The target.
            spec: What the server makes.
            to: Where in a cloud storage the server writes it. None keeps it for a download.
        """
        target = spec.target
        purpose = f"{spec.verb} {target} {whole(f'{target}_id', target_id)}"
        call = Call(
            method="POST",
            path=f"{target.endpoint}/{target_id}/{spec.resource}/export",
            step="export",
            params=spec.query if to is None else spec.query | to.query,
            expect=(202, 409),
            task_id=target_id,
            target=target,
            purpose=purpose,
        )
        for _ in range(MAX_COLLISIONS):
            try:
                answer = await self._http.call(call)
            except ResponseError as error:
                said = error.detail.lower()
                if spec.format is not None and error.status == 400 and "unknown format" in said:
                    raise await self._unknown_format(spec.format) from None
                raise
            if answer.status == 202 or is_json(answer.content_type):
                rq_id = self._http.decode(answer, _REQUEST_ID).rq_id
                self._http.note_request(rq_id)
                return RequestAccepted(rq_id, answer.status == 202, accepted_at=answer.date)
            # Some versions only say in plain text that it runs, without its id.
            running = await self._running(target_id, spec)
            if running is not None:
                return RequestAccepted(running, created=False)
            # It has ended since. The next call queues a new export.
        raise ProtocolError(
            f"cannot {purpose}: {self._http.server.address} says that another {spec.noun} "
            "of it runs, but lists none. Try again later.",
            task_id=target_id,
            step="export",
            retryable=True,
        )

    async def _running(self, target_id: int, spec: RequestSpec) -> str | None:
        selection = RequestSelection(
            (target_id,), "export", export_format=spec.format, target=spec.target
        )
        for request in await self._lists.requests(selection):
            operation = request.operation
            if (
                not request.ended
                and operation.type == spec.operation_type
                and operation.target == spec.target
                and operation.id_of(spec.target) == target_id
                and operation.format == spec.format
            ):
                return request.id
        return None

    async def exporter(self, name: str) -> str:
        """Return the exact name of the format that a text means."""
        return exporter_for(name, await self._lists.formats(), origin=self._http.server.address)

    async def check_format(self, name: str) -> None:
        """Check that the server has the exporters that a format's exact name can mean."""
        if await self.exporter(name) != name:
            raise await self._unknown_format(name)

    async def _unknown_format(self, name: str) -> ConfigError:
        formats = await self._lists.formats()
        return format_problem(name, formats, origin=self._http.server.address)

    @asynccontextmanager
    async def result(
        self,
        result_url: str,
        part: ByteRange | None,
        if_range: str | None,
        task_id: int | None,
        target: TargetKind = TargetKind.TASK,
    ) -> AsyncIterator[ResultStream]:
        """Read the archive of an export or backup, or a part of it."""
        server = self._http.server
        # Each export of a task has the same URL: no cache may answer with an earlier one.
        headers = {"Accept-Encoding": "identity", "Cache-Control": "no-cache"}
        if part is not None:
            headers["Range"] = part.header
            if if_range is not None:
                headers["If-Range"] = if_range
        call = Call(
            method="GET",
            path=server.path_of(result_url),
            step="download",
            expect=(200, 206),
            headers=headers,
            task_id=task_id,
            target=target,
        )
        try:
            stream = await self._http.open_stream(call, part)
        except ResponseError as error:
            raise _download_error(error) from error
        try:
            yield stream
        finally:
            stream.close()


def _download_error(error: ResponseError) -> AsyncCvatError:
    """Tell a result that is not there yet or has expired from a refused call."""
    said = error.detail.lower()
    if error.status == 400 and "not finished" in said:
        return ExportNotReadyError(
            f"{error.message.rstrip('.')}. Another export of the same may have been started.",
            task_id=error.task_id,
            step=error.step,
        )
    unknown = error.status == 400 and "unknown export request" in said
    expired = error.status == 404 and ("expired" in said or "no request" in said)
    if unknown or expired:
        return ExportExpiredError(
            f"{error.message.rstrip('.')}. Export it again.",
            task_id=error.task_id,
            step=error.step,
            retryable=True,
        )
    return error
