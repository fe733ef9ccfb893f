"""Tell an outage of the server from one call's trouble, and hold calls back while it lasts.

What concerns no task decides: `HttpSession.probe` asks for it. `retries` comes here when a call
fails again and again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import anyio

from asynccvat.core.quantities import duration_text
from asynccvat.core.wire.retry import RetryPolicy
from asynccvat.errors import AsyncCvatError, OutageError, TransportError
from asynccvat.http.listeners import CallListener, current_listener
from asynccvat.http.retry_after import Timing

# The longest wait between two probes: a server that is back is found soon.
_PROBE_EVERY = 5.0
# The backoff of this attempt spreads the calls that go on when the server is back.
_SPREAD = 2


@dataclass(slots=True, eq=False)
class _Outage:
    """One outage.

    Attributes:
        since: When the server stopped answering.
        error: Why the last probe failed.
        over: Whether the server is back.
        probes: How many probes failed.
        probing: Whether one of the waiting calls probes now.
        changed: Set when a probe has ended; the next one has a new event.
        until: When each listener that knows of it gives up.
    """

    since: float
    error: AsyncCvatError
    over: bool = False
    probes: int = 0
    probing: bool = False
    changed: anyio.Event = field(default_factory=anyio.Event)
    until: dict[CallListener, float] = field(default_factory=dict)


class OutageGate:
    """Hold the calls of a session back while its server does not answer.

    One of the waiting calls probes, the others wait for it. Only calls of a listener with
    `patience` wait; others go on and fail on their own.
    """

    def __init__(
        self,
        probe: Callable[[], Awaitable[AsyncCvatError | None]],
        policy: RetryPolicy,
        timing: Timing,
    ) -> None:
        """Begin without an outage.

        Args:
            probe: Asks the server for what concerns no task. Returns why that failed, None if it
                did not.
            policy: The waits between two probes.
            timing: Time and randomness.
        """
        self._probe = probe
        self._policy = policy
        self._timing = timing
        self._asking = asyncio.Lock()
        self._outage: _Outage | None = None
        self._failing_since: float | None = None
        self._well_at = float("-inf")

    @property
    def is_closed(self) -> bool:
        """Whether the server is known not to answer."""
        return self._outage is not None

    def note_answer(self) -> None:
        """Note that the server served a call."""
        self._failing_since = None

    def note_failure(self) -> None:
        """Note that the server did not serve a call."""
        if self._failing_since is None:
            self._failing_since = self._timing.clock()

    async def wait(self) -> bool:
        """Wait while the server does not answer.

        Returns:
            Whether it did not.

        Raises:
            OutageError: It did not come back in time.
        """
        listener = current_listener()
        if self._outage is None or listener.patience is None:
            return False
        await self._until_over(self._outage, listener, listener.patience)
        return True

    async def outwait(self) -> bool:
        """Ask whether the server answers at all, and wait until it does.

        Returns:
            Whether there was an outage. If not, the failure is the call's own.

        Raises:
            OutageError: It did not come back in time.
        """
        listener = current_listener()
        if listener.patience is None:
            return False
        failed_at = self._timing.clock()
        async with self._asking:
            if self._outage is None:
                if self._well_at >= failed_at:
                    return False
                began = self._timing.clock()
                error = await self._probe()
                if error is None:
                    self._well_at = began
                    return False
                since = failed_at if self._failing_since is None else self._failing_since
                self._outage = _Outage(since, error)
            outage = self._outage
        await self._until_over(outage, listener, listener.patience)
        return True

    async def _until_over(self, outage: _Outage, listener: CallListener, patience: float) -> None:
        clock = self._timing.clock
        if listener not in outage.until:
            outage.until[listener] = clock() + patience
            if listener.on_unreachable is not None and patience:
                since = clock() - outage.since
                listener.on_unreachable(since, patience, outage.error)
        while not outage.over:
            left = outage.until[listener] - clock()
            if left <= 0:
                # Calls of later runs find out for themselves.
                self._end(outage)
                raise _gone(outage, clock())
            if not outage.probing:
                await self._probe_later(outage, left)
            else:
                with anyio.move_on_after(left):
                    await outage.changed.wait()
        await self._timing.sleep(self._policy.backoff(_SPREAD, self._timing.jitter()))

    async def _probe_later(self, outage: _Outage, left: float) -> None:
        delay = self._policy.backoff(outage.probes, self._timing.jitter())
        outage.probing = True
        try:
            await self._timing.sleep(min(delay, _PROBE_EVERY, left))
            error = await self._probe()
        finally:
            # A cancelled call hands over to another one.
            outage.probing = False
            outage.changed.set()
            outage.changed = anyio.Event()
        if error is not None:
            outage.error = error
            outage.probes += 1
            return
        outage.over = True
        self._end(outage)
        self.note_answer()
        for listener in outage.until:
            if listener.on_back is not None:
                listener.on_back(self._timing.clock() - outage.since)

    def _end(self, outage: _Outage) -> None:
        if self._outage is outage:
            self._outage = None


def _gone(outage: _Outage, now: float) -> OutageError:
    seconds = duration_text(max(1, round(now - outage.since)))
    remedy = ""
    if not isinstance(outage.error, TransportError):  # whose message ends with one
        remedy = ". Look at the server, then run again."
    why = str(outage.error)
    if remedy:
        why = why.rstrip(".")
    gone = OutageError(
        f"the server has not answered for {seconds} (--wait-for-server): {why}{remedy}"
    )
    gone.__cause__ = outage.error
    return gone
