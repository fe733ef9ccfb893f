"""The requests that the server remembers, whatever they ask for, and the dates it gives them."""

from __future__ import annotations

from datetime import datetime, timedelta

from asynccvat.simulator.queues.requests import Request
from asynccvat.simulator.world.dates import utc_now
from asynccvat.simulator.world.tasks import User


class RequestRegistry:
    """Requests by their ids; one past its time is forgotten."""

    def __init__(self, remembered_elsewhere: int = 0) -> None:
        """Remember none, beside so many of other users that only cost time."""
        self.requests: dict[str, Request] = {}
        self._elsewhere = remembered_elsewhere
        self._number = 0
        self._latest = utc_now()

    @property
    def remembered(self) -> int:
        """How many requests the server remembers, those of other users too."""
        return len(self.requests) + self._elsewhere

    def find(self, rq_id: str) -> Request | None:
        """The request of that id."""
        request = self.requests.get(rq_id)
        if request is not None and request.expiry is not None and request.expiry <= utc_now():
            del self.requests[rq_id]
            return None
        return request

    def owned_by(self, user: User) -> list[Request]:
        """The user's requests, newest first."""
        now = utc_now()
        own = [
            request
            for request in self.requests.values()
            if request.owner.id == user.id and not (request.expiry and request.expiry <= now)
        ]
        own.sort(key=lambda request: -request.number)
        return own

    def under_way(self, rq_id: str) -> Request | None:
        """The request of that id if it has not ended."""
        known = self.find(rq_id)
        return None if known is None or known.ended else known

    def next_number(self) -> int:
        """A number larger than that of any request before."""
        self._number += 1
        return self._number

    def add(self, request: Request) -> None:
        """Remember the request, in the place of an ended one of the same id."""
        self.requests.pop(request.id, None)
        self.requests[request.id] = request

    def holds(self, request: Request) -> bool:
        """Whether it is still remembered, and not another of the same id."""
        return self.requests.get(request.id) is request

    def now(self) -> datetime:
        """A date later than any given before, so that dates order requests."""
        self._latest = max(utc_now(), self._latest + timedelta(microseconds=1))
        return self._latest
