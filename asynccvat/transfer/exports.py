"""Exports of tasks: ask, or adopt what already runs; wait; ask again where that is due.

Who may be in flight when is decided in `core.scheduling.admission`, whether a request that somebody
else began will do in `core.scheduling.adoption`. Reading the archives is left to `archives`.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

import anyio

from asynccvat.aio.task_groups import task_group
from asynccvat.client import CvatClient
from asynccvat.client.poller import Poller, WatchedRequest
from asynccvat.core.models import ExportSpec, RequestAccepted, RequestStatus, ServerRequest
from asynccvat.core.scheduling.admission import exports_allowed
from asynccvat.core.scheduling.adoption import may_adopt
from asynccvat.core.scheduling.result_urls import ResultUrlTemplate
from asynccvat.errors import (
    AsyncCvatError,
    ExportError,
    ExportExpiredError,
    ExportFailedError,
    ExportNotReadyError,
    ProtocolError,
)
from asynccvat.events import Event, ExportFinished, ExportRequested, Retrying

# Seconds that an aborted run spends on taking its own requests out of the server's queue.
_CANCEL_SECONDS = 5.0
_CANCELS_AT_ONCE = 8
# How CVAT's queue (RQ) begins the message of an export whose process was killed.
_WORK_HORSE_KILLED = "Work-horse terminated unexpectedly"


class RequestSlots:
    """Places for exports in flight, as many as the server's model calls for at the moment.

    Waiting is first come, first served. A place is free again as soon as its export has ended, or
    should have and waits to be read: reading the archive takes none.
    """

    def __init__(self, poller: Poller, fixed: int | None) -> None:
        """Count places by what a poller learns, or as many as the user fixed."""
        self._poller = poller
        self._fixed = fixed
        self._taken = 0
        self._waiting: deque[anyio.Event] = deque()

    @property
    def limit(self) -> int:
        """How many exports may be in flight now."""
        return exports_allowed(self._poller.model, self._fixed)

    async def acquire(self) -> None:
        """Wait for a place and take it."""
        if self._taken < self.limit and not self._waiting:
            self._taken += 1
            return
        turn = anyio.Event()
        self._waiting.append(turn)
        try:
            await turn.wait()
        except BaseException:
            if turn.is_set():
                self.release()
            else:
                self._waiting.remove(turn)
            raise

    def release(self) -> None:
        """Give a place back; whoever waits longest gets it, if the limit still allows."""
        self._taken -= 1
        while self._waiting and self._taken < self.limit:
            self._taken += 1
            self._waiting.popleft().set()


@dataclass(frozen=True, slots=True)
class Result:
    """An export's result, there or about to be.

    Attributes:
        url: Where the archive is.
        predicted: The request behind it, where the server was not asked whether it has ended:
            whoever reads the archive says so, with `Exports.found` or `Exports.not_yet`.
    """

    url: str
    predicted: WatchedRequest | None = None


class Exports:
    """Asks for exports of one spec and waits for them."""

    def __init__(
        self,
        client: CvatClient,
        poller: Poller,
        spec: ExportSpec,
        *,
        retries: int,
        emit: Callable[[Event], None],
        listed_at: datetime | None = None,
    ) -> None:
        """Ask a client for exports.

        Args:
            client: The client.
            poller: Its poller, which has to run.
            spec: Format and images.
            retries: How often an export that vanished, or was not ours, is asked for again.
            emit: Told what happens.
            listed_at: The server's `Date` when it listed the tasks. None where no state is
                claimed; then only what was seen queued is adopted.
        """
        self.listed_at = listed_at
        self._client = client
        self._poller = poller
        self._spec = spec
        self._retries = retries
        self._emit = emit
        self._asking: set[asyncio.Task[RequestAccepted]] = set()
        self._own: dict[str, WatchedRequest] = {}
        self._places = ResultUrlTemplate()

    @property
    def can_predict(self) -> bool:
        """Whether it is known where results will be."""
        return self._places.known

    async def result(self, task_id: int, spec: ExportSpec | None = None) -> Result:
        """Have a task exported, whole and no older than the listing.

        Args:
            task_id: The task.
            spec: How, where that is not as all others.

        Returns:
            The result: it is there, or should be there now.

        Raises:
            ExportFailedError: The server tried and failed; `retryable` where its process was
                killed, which may have been the fault of others.
            ExportTimeoutError: It ran for too long.
            ExportExpiredError: It vanished from the server more often than is asked again.
            AsyncCvatError: The server could not be asked.
        """
        problem: AsyncCvatError | None = None
        for _ in range(self._retries + 1):
            if problem is not None:
                self._emit(Retrying(task_id, "export", str(problem), 0.0))
            try:
                watched = await self._ask(task_id, spec or self._spec)
                return await self._wait(watched)
            except ExportExpiredError as error:
                problem = error
            except _TooOldError as error:
                problem = error
        assert problem is not None
        raise problem

    def found(self, result: Result) -> None:
        """Say that a result was there, predicted or not."""
        watched = result.predicted
        if watched is not None:
            self._poller.tried(watched, ended=True)
            self._own.pop(watched.rq_id, None)
            self._places = self._places.confirmed()
            self._emit(ExportFinished(watched.task_id, None))

    async def not_yet(self, result: Result, why: AsyncCvatError) -> Result:
        """Say that a predicted result was not there; return it once it is, or should be.

        Args:
            result: The result.
            why: What the server said instead.

        Raises:
            AsyncCvatError: As `result`.
        """
        assert result.predicted is not None
        if not isinstance(why, ExportNotReadyError | ExportExpiredError):
            # Not early, but wrong: perhaps its places are not what we take them for.
            self._places = self._places.doubted()
        self._poller.tried(result.predicted, ended=False)
        return await self._wait(result.predicted)

    def give_up(self, result: Result) -> None:
        """Say that nobody waits for a result any more."""
        if result.predicted is not None:
            self._poller.forget(result.predicted)

    async def _wait(self, watched: WatchedRequest) -> Result:
        task_id = watched.task_id
        while (request := await self._poller.wait(watched)) is None:
            url = self._places.predict(watched.rq_id, task_id)
            if url is not None:
                return Result(url, predicted=watched)
            # Another result has shown meanwhile that places cannot be predicted here.
            self._poller.tried(watched, ended=False)
        if watched.created:
            self._own.pop(watched.rq_id, None)
        elif not may_adopt(request, listed_at=self.listed_at, seen_queued=watched.seen_queued):
            raise _too_old(task_id, request)
        url = self._checked(task_id, request)
        self._places = self._places.with_place(watched.rq_id, task_id, url)
        return Result(url)

    async def cancel_queued(self) -> None:
        """Take out of the server's queue what this very object put there; for aborted runs.

        What already runs at the server is left to end: it cannot be cancelled. Takes at most 5
        seconds, and failures are of no consequence: the requests would end by themselves.
        """
        with anyio.move_on_after(_CANCEL_SECONDS, shield=True):
            if self._asking:
                await asyncio.wait(self._asking)
            limiter = anyio.CapacityLimiter(_CANCELS_AT_ONCE)
            async with task_group() as group:
                for watched in self._own.values():
                    if _may_be_queued(watched):
                        group.start_soon(self._cancel, watched.rq_id, limiter)
        if self._asking:
            for task in self._asking:
                task.cancel()
            with anyio.CancelScope(shield=True):
                await asyncio.wait(self._asking)
        self._own.clear()

    async def _cancel(self, rq_id: str, limiter: anyio.CapacityLimiter) -> None:
        async with limiter:
            try:
                await self._client.cancel_request(rq_id)
            except AsyncCvatError:
                # It runs by now, or the server is gone; either way nothing is left to be done.
                return

    async def _ask(self, task_id: int, spec: ExportSpec) -> WatchedRequest:
        """Ask for an export; a cancellation meanwhile must not lose what the server queued."""
        clock = asyncio.get_running_loop().time
        began = clock()
        call = asyncio.ensure_future(self._client.request_export(task_id, spec))
        self._asking.add(call)
        call.add_done_callback(lambda done: self._asked(done, task_id, began))
        accepted = await asyncio.shield(call)
        self._emit(ExportRequested(task_id, accepted.rq_id, accepted.created))
        if accepted.created:
            return self._own[accepted.rq_id]
        return self._poller.watch(
            accepted.rq_id, task_id, asked_at=(began + clock()) / 2, created=False
        )

    def _asked(self, call: asyncio.Task[RequestAccepted], task_id: int, began: float) -> None:
        """Note at once what the server queued for us, also when nobody waits any more."""
        self._asking.discard(call)
        if call.cancelled() or call.exception() is not None:
            return
        accepted = call.result()
        if accepted.created:
            now = asyncio.get_running_loop().time()
            self._own[accepted.rq_id] = self._poller.watch(
                accepted.rq_id,
                task_id,
                asked_at=(began + now) / 2,
                created=True,
                predictable=True,
                uncertainty=(now - began) / 2,
            )

    def _checked(self, task_id: int, request: ServerRequest) -> str:
        if request.state is RequestStatus.FAILED:
            message = (request.message or "").strip() or "no reason given"
            raise ExportFailedError(
                f"the server could not export task {task_id}: {message}",
                task_id=task_id,
                rq_id=request.id,
                step="export",
                retryable=message.startswith(_WORK_HORSE_KILLED),
            )
        if request.result_url is None:
            raise ProtocolError(
                f"the export of task {task_id} finished without a result_url; the server may "
                "have written it to a cloud storage instead",
                task_id=task_id,
                rq_id=request.id,
                step="export",
            )
        seconds = None
        if request.started_date is not None and request.finished_date is not None:
            seconds = (request.finished_date - request.started_date).total_seconds()
        self._emit(ExportFinished(task_id, seconds))
        return request.result_url


def _may_be_queued(watched: WatchedRequest) -> bool:
    """Whether a request can still be in the server's queue, as far as is known."""
    # Where the server could only not be asked, nothing is known of its end.
    has_ended = watched.error is None or isinstance(watched.error, ExportError)
    return not watched.started and not (watched.ended and has_ended)


class _TooOldError(ExportError):
    """The export of somebody else began too early to stand for ours."""


def _too_old(task_id: int, request: ServerRequest) -> ExportError:
    return _TooOldError(
        f"an export of task {task_id} that somebody else began was running, and may be older "
        "than what the listing showed; another client of the same user may be at the same tasks",
        task_id=task_id,
        rq_id=request.id,
        step="export",
        retryable=True,
    )
