"""How many calls each user or address may make in a minute."""

from __future__ import annotations

from collections import deque

from asynccvat.simulator.options import SimulatorOptions
from asynccvat.simulator.wire.credentials import Identity
from asynccvat.simulator.wire.responses import detail
from asynccvat.simulator.world.dates import utc_now


class Throttle:
    """Counts the calls of the last minute, by user or, if anonymous, by address."""

    def __init__(self, options: SimulatorOptions) -> None:
        """Take the limits from the options."""
        self._per_address = options.throttle_anonymous
        self._per_user = options.throttle_users
        self._recent: dict[str, deque[float]] = {}

    def check(self, identity: Identity, address: str) -> None:
        """Count a call against the limits.

        Raises:
            RefusedError: 429 with Retry-After.
        """
        if identity.account is None:
            limit, key = self._per_address, f"address {address}"
        else:
            limit, key = self._per_user, f"user {identity.account.user.id}"
        if limit is None:
            return
        now = utc_now().timestamp()
        recent = self._recent.setdefault(key, deque())
        while recent and recent[0] <= now - 60:
            recent.popleft()
        if len(recent) < limit:
            recent.append(now)
            return
        seconds = max(1, round(recent[0] + 60 - now)) if recent else 60
        refused = detail(429, f"Request was throttled. Expected available in {seconds} seconds.")
        refused.response.headers["Retry-After"] = str(seconds)
        raise refused
