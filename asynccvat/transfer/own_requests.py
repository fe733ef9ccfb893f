"""The requests that a run put into the server's queue, so that it can cancel them.

`transfer.exports` and `transfer.imports` send their requests through here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any

import anyio

from asynccvat.aio.task_groups import task_group
from asynccvat.client import CvatClient
from asynccvat.client.poller import Poller
from asynccvat.client.watched import WatchedRequest
from asynccvat.core.requests import RequestAccepted
from asynccvat.errors import AsyncCvatError, ExportError
from asynccvat.http import impatient

# Seconds that an aborted run spends on cancelling its own requests.
_CANCEL_SECONDS = 5.0
_CANCELS_AT_ONCE = 16


@dataclass(frozen=True, slots=True)
class LeftRequests:
    """What an aborted run left at the server.

    Attributes:
        task_ids: The tasks of all requests that were not cancelled, in ascending order. The server
            runs them, has ended them, or did not answer.
        may_be_queued: The tasks of those for which the server did not answer.
    """

    task_ids: tuple[int, ...]
    may_be_queued: tuple[int, ...]


class OwnRequests:
    """The requests of one run."""

    def __init__(self, client: CvatClient, poller: Poller) -> None:
        """Begin without any.

        Args:
            client: The server.
            poller: Watches each request that the server accepted.
        """
        self._client = client
        self._poller = poller
        self._sending: dict[asyncio.Task[RequestAccepted], int] = {}
        self._own: dict[str, WatchedRequest] = {}

    async def send(
        self,
        call: Coroutine[Any, Any, RequestAccepted],
        task_id: int,
        *,
        predictable: Callable[[RequestAccepted], bool] = lambda _accepted: False,
    ) -> WatchedRequest:
        """Make the call that queues a request. A cancellation does not lose what it queued.

        Args:
            call: The call.
            task_id: The task that it is about.
            predictable: Tells of the accepted request whether its result may be fetched before it
                is known to have ended.

        Returns:
            The request, watched. `created` is False if it ran already and belongs to another
            client or an earlier run.
        """
        clock = asyncio.get_running_loop().time
        began = clock()
        sending = asyncio.ensure_future(call)
        self._sending[sending] = task_id
        sending.add_done_callback(
            lambda done: self._note(done, task_id, began, predictable=predictable)
        )
        accepted = await asyncio.shield(sending)
        if accepted.created:
            return self._own[accepted.rq_id]
        return self._poller.watch(
            accepted.rq_id, task_id, asked_at=(began + clock()) / 2, created=False
        )

    def forget(self, watched: WatchedRequest) -> None:
        """Note that a request has ended, so that there is nothing to cancel."""
        self._own.pop(watched.rq_id, None)

    async def cancel_queued(self) -> LeftRequests:
        """Cancel the requests that may still be queued. Takes at most 5 seconds.

        A request that runs already cannot be cancelled.

        Returns:
            The requests that were not cancelled.
        """
        answered: set[str] = set()
        with impatient(), anyio.move_on_after(_CANCEL_SECONDS, shield=True):
            if self._sending:
                await asyncio.wait(self._sending)
            limiter = anyio.CapacityLimiter(_CANCELS_AT_ONCE)
            async with task_group() as group:
                for watched in self._own.values():
                    if _may_be_queued(watched):
                        group.start_soon(self._cancel, watched, limiter, answered)
        lost = tuple(self._sending.values())
        if self._sending:
            for sending in self._sending:
                sending.cancel()
            with anyio.CancelScope(shield=True):
                await asyncio.wait(self._sending)
        open_ = [one.task_id for one in self._own.values() if _may_be_open(one, answered)]
        left = LeftRequests(
            tuple(sorted(watched.task_id for watched in self._own.values())),
            tuple(sorted([*open_, *lost])),
        )
        self._own.clear()
        return left

    async def _cancel(
        self, watched: WatchedRequest, limiter: anyio.CapacityLimiter, answered: set[str]
    ) -> None:
        async with limiter:
            try:
                cancelled = await self._client.cancel_request(watched.rq_id)
            except AsyncCvatError:
                return  # the server is unreachable, and nothing can be done
        answered.add(watched.rq_id)
        if cancelled:
            self._own.pop(watched.rq_id, None)

    def _note(
        self,
        sending: asyncio.Task[RequestAccepted],
        task_id: int,
        began: float,
        *,
        predictable: Callable[[RequestAccepted], bool],
    ) -> None:
        """Note at once what the server queued, even if the caller was cancelled."""
        self._sending.pop(sending, None)
        if sending.cancelled() or sending.exception() is not None:
            return
        accepted = sending.result()
        if accepted.created:
            now = asyncio.get_running_loop().time()
            self._own[accepted.rq_id] = self._poller.watch(
                accepted.rq_id,
                task_id,
                asked_at=(began + now) / 2,
                created=True,
                predictable=predictable(accepted),
                accepted_at=accepted.accepted_at,
                uncertainty=(now - began) / 2,
            )


def _may_be_queued(watched: WatchedRequest) -> bool:
    """Whether a request can still be in the server's queue, as far as is known."""
    # If the server could not be asked, nothing is known of the request's end.
    has_ended = watched.error is None or isinstance(watched.error, ExportError)
    return not watched.started and not (watched.ended and has_ended)


def _may_be_open(watched: WatchedRequest, answered: set[str]) -> bool:
    """Whether a request may be in the queue still, after all were to be cancelled."""
    return _may_be_queued(watched) and watched.rq_id not in answered
