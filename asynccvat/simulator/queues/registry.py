"""The requests that the server remembers, and the dates it gives them."""

from __future__ import annotations

from datetime import datetime

from asynccvat.simulator.queues.requests import Request
from asynccvat.simulator.world.dates import RisingClock, utc_now
from asynccvat.simulator.world.users import User


class RequestRegistry:
    """The requests of a server by id; expired ones are forgotten."""

    def __init__(self, remembered_elsewhere: int = 0) -> None:
        """Start with no requests; those of other users only cost time in lists."""
        self.requests: dict[str, Request] = {}
        self._elsewhere = remembered_elsewhere
        self._number = 0
        self._clock = RisingClock()

    @property
    def remembered(self) -> int:
        """How many requests the server remembers, including those of other users."""
        return len(self.requests) + self._elsewhere

    def find(self, rq_id: str) -> Request | None:
        """Return the request of that id."""
        request = self.requests.get(rq_id)
        if request is not None and request.expiry is not None and request.expiry <= utc_now():
            del self.requests[rq_id]
            return None
        return request

    def owned_by(self, user: User) -> list[Request]:
        """Return the user's requests, newest first."""
        now = utc_now()
        own = [
            request
            for request in self.requests.values()
            if request.owner.id == user.id and not (request.expiry and request.expiry <= now)
        ]
        own.sort(key=lambda request: -request.number)
        return own

    def under_way(self, rq_id: str) -> Request | None:
        """Return the request of that id if it has not ended."""
        known = self.find(rq_id)
        return None if known is None or known.ended else known

    def next_number(self) -> int:
        """Return a number larger than that of any earlier request."""
        self._number += 1
        return self._number

    def add(self, request: Request) -> None:
        """Remember the request; it replaces an ended one of the same id."""
        self.requests.pop(request.id, None)
        self.requests[request.id] = request

    def holds(self, request: Request) -> bool:
        """Tell whether this very request is remembered, not another of the same id."""
        return self.requests.get(request.id) is request

    def now(self) -> datetime:
        """Return a date later than any returned before, so that dates order requests."""
        return self._clock.now()
