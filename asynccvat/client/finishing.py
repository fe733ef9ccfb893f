"""Have the server use a file that was sent, at most once: the last call of an upload.

CVAT gives restores random ids, so a call that is repeated blindly restores twice. If an answer is
lost, the caller looks at the server first. `client.tus` sends the file, `client.imports` has the
same call for annotations, whose ids CVAT derives from the task.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime

import msgspec

from asynccvat.client.tus import UploadPlace
from asynccvat.core.requests import RequestAccepted, RequestId
from asynccvat.core.wire.responses import is_json
from asynccvat.errors import (
    AsyncCvatError,
    ConnectError,
    ProtocolError,
    RateLimitError,
    RequestUncertainError,
    ResponseError,
    ServerError,
    TransportError,
    UploadForgottenError,
)
from asynccvat.http import Call, HttpSession, Response

_REQUEST_ID = msgspec.json.Decoder(RequestId)
# How often the server is searched after a lost answer. Our call may still be on its way.
_SEARCHES = 3

FindLost = Callable[[datetime | None], Awaitable[RequestAccepted | None]]
"""Searches the server for what a call has begun since a moment of the server's clock.

Returns None if it has begun nothing. Raises `RequestUncertainError` if that stays unknown."""


class UploadFinish:
    """The last call of one upload."""

    def __init__(
        self,
        http: HttpSession,
        place: UploadPlace,
        file_id: str,
        *,
        find_lost: FindLost,
        options: object = None,
        lost_before: datetime | None = None,
    ) -> None:
        """Prepare the call.

        Args:
            http: The server.
            place: Where the file was sent.
            file_id: The server's name for it.
            find_lost: Searches the server.
            options: What else the call says, as an object to encode as JSON. None for nothing.
            lost_before: When the answer of an earlier call for this file was lost, on the server's
                clock. None if there was none. The caller has searched for what it began.
        """
        self._http = http
        self._place = place
        self._file_id = file_id
        self._find_lost = find_lost
        self._options = options
        self._since = lost_before
        self._lost = lost_before is not None
        self._loss = ""

    async def request(self) -> RequestAccepted:
        """Have the server use the file.

        If the answer is lost, the server is searched. The call is sent again only if the lost one
        began nothing.

        Raises:
            UploadForgottenError: The server does not have the file. Send it again.
            RequestUncertainError: The server may have done it or not.
            AsyncCvatError: The server refuses it, or cannot be reached. Nothing was done.
        """
        attempt = 0
        while True:
            before = self._http.server_date
            try:
                return self._accepted(await self._http.call(self._call()))
            except (ConnectError, RateLimitError) as error:
                # The server did not receive the call.
                await self._http.retry_or_raise(error, attempt)
            except (TransportError, ServerError) as error:
                found = await self._after_loss(error, before)
                if found is not None:
                    return found
                await self._http.retry_or_raise(error, attempt)
            except ResponseError as error:
                return await self._after_refusal(error)
            attempt += 1

    def _call(self) -> Call:
        return self._place.call(
            "POST",
            params={**self._place.params, "filename": self._file_id},
            headers={"Upload-Finish": ""},
            json=self._options,
            expect=(202, 409),
            retry=False,
        )

    def _accepted(self, answer: Response) -> RequestAccepted:
        if not is_json(answer.content_type):
            raise ProtocolError(
                f"cannot use the file that was sent {self._place.purpose}: the server answered "
                f"{answer.text!r} instead of the id of a request. Run again later.",
                task_id=self._place.task_id,
                step="upload",
            )
        rq_id = self._http.decode(answer, _REQUEST_ID).rq_id
        return RequestAccepted(rq_id, created=answer.status == 202, accepted_at=answer.date)

    async def _after_loss(
        self, error: AsyncCvatError, before: datetime | None
    ) -> RequestAccepted | None:
        if not self._lost:
            self._lost, self._since = True, before
        self._loss = str(error)
        return await self._search()

    async def _after_refusal(self, error: ResponseError) -> RequestAccepted:
        if not lacks_file(error):
            raise error
        if not self._lost:
            raise UploadForgottenError(
                f"the server has forgotten the file that was sent {self._place.purpose}. Send it "
                "again.",
                task_id=self._place.task_id,
                step="upload",
            ) from error
        # An earlier call consumed the file, whatever came of it.
        found = await self._search()
        if found is None:
            why = "it no longer has the file, and shows no result"
            raise uncertain(self._place, self._loss, why) from error
        return found

    async def _search(self) -> RequestAccepted | None:
        """Search a few times for what a lost call may have begun."""
        for search in range(_SEARCHES):
            found = await self._find_lost(self._since)
            if found is not None:
                return found
            if search + 1 < _SEARCHES:
                await self._http.retries.back_off(search)
        return None


def uncertain(place: UploadPlace, loss: str, why: str) -> RequestUncertainError:
    """Return the error of a call whose answer was lost, and of which the server does not tell."""
    lost = f": {loss.rstrip('.')}" if loss else ""
    return RequestUncertainError(
        f"the file that was sent {place.purpose} may have been used or not. The answer was "
        f"lost{lost}. The server does not tell: {why.rstrip('.')}. Look there before you run "
        "again.",
        task_id=place.task_id,
        step="upload",
    )


def lacks_file(error: AsyncCvatError) -> bool:
    """Whether the server says that it has no file that was sent before."""
    return isinstance(error, ResponseError) and error.status == 400 and "such file" in error.detail
