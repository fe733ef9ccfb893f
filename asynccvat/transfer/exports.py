"""Request exports, wait for them, and request them again if they vanished.

`core.scheduling.admission` decides how many may be in flight, `core.scheduling.adoption` whether
another client's export may be used. `archives` reads the results.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

import anyio

from asynccvat.client import CvatClient, internals
from asynccvat.client.poller import Poller
from asynccvat.client.watched import WatchedRequest
from asynccvat.core.requests import RequestAccepted, RequestStatus, ServerRequest
from asynccvat.core.scheduling.adoption import may_adopt
from asynccvat.core.scheduling.intervals import list_patience
from asynccvat.core.scheduling.result_dates import EarlierResults, ResultAge, ResultDates
from asynccvat.core.scheduling.result_urls import ResultUrlTemplate
from asynccvat.core.specs import RequestSpec
from asynccvat.errors import (
    AsyncCvatError,
    ExportError,
    ExportExpiredError,
    ExportFailedError,
    ExportNotReadyError,
    GatewayError,
    ProtocolError,
    ResponseError,
    ServerError,
)
from asynccvat.events import Event, ExportFinished, ExportRequested, Retrying
from asynccvat.transfer.own_requests import LeftRequests, OwnRequests

# How CVAT's queue (RQ) begins the message of an export whose process was killed.
_WORK_HORSE_KILLED = "Work-horse terminated unexpectedly"
# How a server may answer for a result that it does not have, except "not finished".
_NO_SUCH_RESULT = (400, 403, 404, 410)


class Exports:
    """Request exports, and wait for their results."""

    def __init__(
        self,
        client: CvatClient,
        poller: Poller,
        *,
        retries: int,
        emit: Callable[[Event], None],
        listed_at: datetime | None = None,
    ) -> None:
        """Prepare to request exports.

        Args:
            client: The server.
            poller: The poller of its exports, which has to run.
            retries: How often an export is requested again if it vanished or was too old.
            emit: Receives the events.
            listed_at: The server's `Date` when it listed the tasks. None if receipts claim no
                state; then the export of another client is adopted only if it was seen queued.
        """
        self.listed_at = listed_at
        self._client = client
        self._poller = poller
        self._retries = retries
        self._emit = emit
        self._own = OwnRequests(client, poller)
        self._urls = ResultUrlTemplate()
        self._earlier = EarlierResults()
        self._dates_agree: bool | None = None

    @property
    def can_predict(self) -> bool:
        """Whether results can be fetched, and recognized, before the server names them.

        The dates of the first results, whose ends the server told, show whether dates are reliable.
        """
        return self._urls.known and self._dates_agree is True

    async def list_earlier_results(self) -> None:
        """Read which results the server has already. If it cannot tell, dates alone decide."""
        with anyio.move_on_after(list_patience(self._poller.model)):
            try:
                self._earlier.note_list(await internals(self._client).known_exports())
            except AsyncCvatError:
                return  # equal dates then say nothing, and the server is asked instead

    async def result(self, task_id: int, spec: RequestSpec) -> ExportResult:
        """Export or back up a target, whole and no older than the listing.

        Args:
            task_id: The task, or the target of another kind.
            spec: What the server makes of it.

        Returns:
            The result. If it is predicted, its archive should be there now.

        Raises:
            ExportFailedError: The server tried and failed. `retryable` if the server's worker was
                killed, which other exports may have caused.
            ExportTimeoutError: It ran for too long.
            ExportExpiredError: It vanished from the server more often than it is requested again.
            AsyncCvatError: The server could not be asked.
        """
        problem: AsyncCvatError | None = None
        for _ in range(self._retries + 1):
            if problem is not None:
                self._emit(Retrying(task_id, "export", str(problem), 0.0))
            try:
                return await self._wait(await self._request(task_id, spec))
            except (ExportExpiredError, _TooOldError) as error:
                problem = error
        assert problem is not None
        raise problem

    async def cancel_queued(self) -> LeftRequests:
        """Cancel the queued exports that this object requested. Takes at most 5 seconds.

        The server finishes exports that it already runs.
        """
        return await self._own.cancel_queued()

    async def _request(self, task_id: int, spec: RequestSpec) -> WatchedRequest:
        call = self._client.request_export(task_id, spec)
        watched = await self._own.send(call, task_id, predictable=self._is_predictable)
        self._emit(ExportRequested(task_id, watched.rq_id, watched.created))
        return watched

    async def _wait(self, watched: WatchedRequest) -> ExportResult:
        task_id = watched.task_id
        while (request := await self._poller.wait(watched)) is None:
            url = self._urls.predict(watched.rq_id, task_id)
            if url is not None and self.can_predict:
                return ExportResult(url, prediction=Prediction(self, watched))
            # Another result has shown since then that this server's results cannot be predicted.
            self._poller.resolve(watched, found=False)
        if watched.created:
            self._own.forget(watched)
        elif not may_adopt(request, listed_at=self.listed_at, seen_queued=watched.seen_queued):
            raise _too_old(watched, request)
        url = self._result_url(watched, request)
        self._urls = self._urls.with_url(watched.rq_id, task_id, url)
        return ExportResult(url, ended=watched)

    def note_dates(
        self, watched: WatchedRequest, modified: datetime | None, sent: datetime | None
    ) -> None:
        """Note the dates of a download after the server told that its export has ended."""
        if watched.created and self._dates_agree is not False:
            self._dates_agree = ResultDates(watched.accepted_at, modified, sent).agree

    def _is_predictable(self, accepted: RequestAccepted) -> bool:
        self._earlier.note_request(accepted.rq_id)
        return accepted.accepted_at is not None and not self._earlier.may_be_young(
            accepted.rq_id, accepted.accepted_at
        )

    # --- called by predictions ---------------------------------------------------------------

    def note_found(
        self, watched: WatchedRequest, modified: datetime | None, sent: datetime | None
    ) -> None:
        """Note that a predicted result was there. Called by its `Prediction`.

        Raises:
            EarlierResultError: It may be an earlier result of the same id.
        """
        dates = ResultDates(watched.accepted_at, modified, sent)
        age = dates.age(self._earlier, watched.rq_id)
        if age is not ResultAge.NEW:
            raise EarlierResultError(watched, age)
        self._poller.resolve(watched, found=True)
        self._own.forget(watched)
        self._urls = self._urls.confirmed()
        self._emit(ExportFinished(watched.task_id, None))

    async def wait_again(self, watched: WatchedRequest, error: AsyncCvatError) -> ExportResult:
        """Wait on for a result that was fetched too early. Called by its `Prediction`."""
        if isinstance(error, EarlierResultError):
            is_wrong = error.age is not ResultAge.UNSURE
        else:
            is_wrong = not isinstance(error, ExportNotReadyError | ExportExpiredError)
        if is_wrong:
            # Not early, but wrong: the server's URLs may differ from the template, or give earlier
            # results.
            self._urls = self._urls.doubted()
        self._poller.resolve(watched, found=False)
        return await self._wait(watched)

    def give_up(self, watched: WatchedRequest) -> None:
        """Stop watching a request. Called by its `Prediction`."""
        self._poller.forget(watched)

    def _result_url(self, watched: WatchedRequest, request: ServerRequest) -> str:
        """Check that a request finished well, and return the URL of its result."""
        task_id, target = watched.task_id, watched.target
        if request.state is RequestStatus.FAILED:
            why = request.cause or "no reason given"
            raise ExportFailedError(
                f"the server could not {watched.verb} {target} {task_id}: {why}",
                task_id=task_id,
                rq_id=request.id,
                step="export",
                retryable=why.startswith(_WORK_HORSE_KILLED),
            )
        if request.result_url is None:
            raise ProtocolError(
                f"the {watched.named} finished without a result_url: the server may have written "
                f"it to a cloud storage. Check the target storage of the {target}.",
                task_id=task_id,
                rq_id=request.id,
                step="export",
            )
        self._emit(ExportFinished(task_id, request.worker_seconds, ended_at=request.finished_date))
        return request.result_url


@dataclass(frozen=True, slots=True)
class Prediction:
    """A predicted result, until it is known whether its archive was there.

    Call exactly one of `confirm`, `refute` and `abandon`; `refute` also if `confirm` raised.
    """

    _exports: Exports
    _watched: WatchedRequest

    def confirm(self, modified: datetime | None, sent: datetime | None) -> None:
        """Note that an archive was there.

        Args:
            modified: Its `Last-Modified`.
            sent: The `Date` of its response.

        Raises:
            EarlierResultError: It may be an earlier one. Then call `refute`.
        """
        self._exports.note_found(self._watched, modified, sent)

    @property
    def still_holds(self) -> bool:
        """Whether results can still be predicted: others may have shown that they cannot."""
        return self._exports.can_predict

    async def refute(self, error: AsyncCvatError) -> ExportResult:
        """Note that the archive was not there, and wait for the result again.

        Args:
            error: The server's answer.

        Raises:
            AsyncCvatError: As `Exports.result`.
        """
        return await self._exports.wait_again(self._watched, error)

    def abandon(self) -> None:
        """Stop waiting: the caller gave up before the server answered."""
        self._exports.give_up(self._watched)

    @staticmethod
    def is_refuted_by(error: AsyncCvatError) -> bool:
        """Whether an error means only that the archive was not there yet."""
        if isinstance(error, GatewayError | ServerError):
            return False  # it did not reach CVAT, or tells nothing of the archive
        return isinstance(error, ExportNotReadyError | ExportExpiredError | ProtocolError) or (
            isinstance(error, ResponseError) and error.status in _NO_SUCH_RESULT
        )


@dataclass(frozen=True, slots=True)
class ExportResult:
    """An export's result.

    Attributes:
        url: The URL of the archive.
        ended: The request, if the server told that it has ended.
        prediction: Set if the URL is predicted, and the archive may not be there yet.
    """

    url: str
    ended: WatchedRequest | None = None
    prediction: Prediction | None = None


class EarlierResultError(ExportNotReadyError):
    """A predicted URL gave what may be the result of an earlier export.

    Attributes:
        age: What the dates tell of it.
    """

    def __init__(self, watched: WatchedRequest, age: ResultAge) -> None:
        super().__init__(
            f"cannot use the result of {watched.target} {watched.task_id} yet: {age.value}. Wait "
            f"until the server says that the {watched.noun} has ended.",
            task_id=watched.task_id,
            rq_id=watched.rq_id,
            step="download",
        )
        self.age = age


class _TooOldError(ExportError):
    """Another client's export may have begun before the listing was read."""


def _too_old(watched: WatchedRequest, request: ServerRequest) -> ExportError:
    what = f"{watched.target}s"
    return _TooOldError(
        f"cannot use the running {watched.named}: another client began it, perhaps before the "
        f"{what} were listed. Check whether another client of the same user exports the same "
        f"{what}.",
        task_id=watched.task_id,
        rq_id=request.id,
        step="export",
        retryable=True,
    )
