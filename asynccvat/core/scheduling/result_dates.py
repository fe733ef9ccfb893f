"""Decide by its dates whether a predicted result is that of the request just queued.

The id of an export's request is the same each time. Some server may send the result of the earlier
request under the same URL until the new export has ended. Three dates tell these apart at no cost:
the `Date` of the response that queued the request, and `Last-Modified` and `Date` of the download.
A result is never older than its request (CVAT 2.54 and 2.64, results from the cache included).

HTTP dates have whole seconds. A result of the very second of its request is new only if the id has
no earlier result that young. The server's list of requests tells that, once a run.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum

from asynccvat.core.requests import ServerRequest

_SECOND = timedelta(seconds=1)
# The clocks behind the dates may differ by a little: those of a proxy, a file server, a worker.
_CLOCKS_DIFFER = timedelta(seconds=10)


class ResultAge(Enum):
    """Whose result a download is, as far as its dates tell."""

    NEW = "it is the result of this request"
    UNSURE = "it may be an earlier result of the same id"
    OLD = "it is older than this request"
    UNKNOWN = "a date is missing or impossible"


@dataclass(frozen=True, slots=True)
class ResultDates:
    """The dates of a download, on the clocks of server and proxy.

    Attributes:
        requested: The `Date` of the response that queued the request.
        modified: The download's `Last-Modified`.
        sent: The download's `Date`.
    """

    requested: datetime | None
    modified: datetime | None
    sent: datetime | None

    @property
    def agree(self) -> bool:
        """Whether the result is not older than its request, and not from the future."""
        if self.requested is None or self.modified is None or self.sent is None:
            return False
        return self.requested <= self.modified <= self.sent + _SECOND

    def age(self, earlier: EarlierResults, rq_id: str) -> ResultAge:
        """Decide whose result this is.

        Args:
            earlier: The earlier results of all ids, as far as they are known.
            rq_id: The id of the request.
        """
        if self.requested is None or self.modified is None or self.sent is None:
            return ResultAge.UNKNOWN
        if self.modified < self.requested:
            return ResultAge.OLD
        if not self.agree:
            return ResultAge.UNKNOWN
        if earlier.may_be_young(rq_id, self.requested):
            return ResultAge.UNSURE
        if earlier.listed or self.modified > self.requested + _SECOND:
            return ResultAge.NEW
        return ResultAge.UNSURE


class EarlierResults:
    """The results that ids of requests had before this run, or by earlier requests of it.

    Attributes:
        listed: Whether the server's list of requests is known.
    """

    def __init__(self) -> None:
        """Begin without the list."""
        self.listed = False
        self._finished: dict[str, datetime | None] = {}
        self._requested: set[str] = set()
        self._repeated: set[str] = set()

    def note_list(self, requests: Iterable[ServerRequest]) -> None:
        """Note the requests that the server remembers.

        The list may have been read after requests of this run. It shows these instead of earlier
        ones of the same id, which therefore stay unknown: an unfinished request counts as young.
        """
        self.listed = True
        for request in requests:
            self._finished[request.id] = request.finished_date

    def note_request(self, rq_id: str) -> None:
        """Note a request that this run has queued."""
        (self._repeated if rq_id in self._requested else self._requested).add(rq_id)

    def may_be_young(self, rq_id: str, requested: datetime) -> bool:
        """Whether an id may have an earlier result from about the time of its request."""
        if rq_id in self._repeated:
            return True
        if rq_id not in self._finished:
            return False
        finished = self._finished[rq_id]
        return finished is None or finished > requested - _CLOCKS_DIFFER
