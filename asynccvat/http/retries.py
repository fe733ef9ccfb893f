"""The retries of one session: wait before a retry, pause all calls, tell the listener.

`retry_budget` decides about one failure, `retry_after` and `outages` hold the calls back, and
`session` makes the calls.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable

from asynccvat.core.wire.retry import GiveUp, RetryAfter, RetryPolicy
from asynccvat.errors import AsyncCvatError, RateLimitError, ServerError, TransportError
from asynccvat.http.listeners import current_listener
from asynccvat.http.outages import OutageGate
from asynccvat.http.retry_after import RetryAfterGate, Timing
from asynccvat.http.retry_budget import SharedBudget

_log = logging.getLogger(__name__)


# The retry before which a call asks whether the server is there at all. Most failures pass before.
_DOUBTS = 2
# The retry before which a call may give way to other tasks. A fault of one moment passes before.
_GIVES_WAY = 1


class Retries:
    """Wait for the retries of one session, and for the pauses that its server asks for.

    Attributes:
        budget: The retries that all users of the session share.
        outages: Holds the calls back while the server does not answer.
    """

    def __init__(
        self,
        policy: RetryPolicy,
        timing: Timing,
        probe: Callable[[], Awaitable[AsyncCvatError | None]],
    ) -> None:
        """Begin with a full budget and without a pause.

        Args:
            policy: The bounds of retries and delays.
            timing: Time and randomness.
            probe: Asks the server for what concerns no task; returns why that failed.
        """
        self.budget = SharedBudget()
        self.outages = OutageGate(probe, policy, timing)
        self._policy = policy
        self._timing = timing
        self._gate = RetryAfterGate(timing)

    async def retry_or_raise(
        self, error: AsyncCvatError, attempt: int, *, may_outwait: bool = True
    ) -> bool:
        """Wait for the right time to retry a failed step, or raise its error.

        Args:
            error: The failure, with the call's step and task.
            attempt: The number of retries of this step so far.
            may_outwait: Whether an outage of the server may be waited for.

        Returns:
            Whether there was an outage. If not, the failure is the step's own.

        Raises:
            AsyncCvatError: `error` itself, if the step should not be retried.
            OutageError: The server does not answer any more.
        """
        decision: RetryAfter | GiveUp
        if self._gives_way(error, attempt):
            decision = GiveUp("other tasks wait")
        else:
            decision = self.budget.decide(error, attempt, self._policy, self._timing)
        doubtful = isinstance(decision, GiveUp) or attempt == _DOUBTS
        may_outwait = may_outwait and doubtful and _may_be_outage(error)
        if may_outwait and await self.outages.outwait():
            return True
        if isinstance(decision, GiveUp):
            raise error
        delay = decision.delay
        _log.debug("%s: retry %d in %.1f s after: %s", error.step, attempt + 1, delay, error)
        if isinstance(error, RateLimitError) and error.retry_after is None:
            # The server named no time for its pause, so all calls wait as long as this one.
            self._close_gate(delay)
        listener = current_listener()
        if listener.on_retry is not None:
            listener.on_retry(error.step or "", error.task_id, error, delay)
        await self._timing.sleep(delay)
        return False

    def _gives_way(self, error: AsyncCvatError, attempt: int) -> bool:
        """Whether a call that may be retried is given up for the sake of other tasks."""
        if not _GIVES_WAY <= attempt < self._policy.attempts or not _may_be_outage(error):
            return False
        ask = current_listener().gives_way
        if ask is None or error.step is None or error.task_id is None:
            return False
        return ask(error.step, error.task_id)

    async def back_off(self, attempt: int) -> None:
        """Wait as before a retry, for something that the server has not done yet."""
        await self._timing.sleep(self._policy.backoff(attempt, self._timing.jitter()))

    def pause(self, retry_after: float) -> None:
        """Hold all calls back for the seconds that the server asked for, within the policy."""
        self._close_gate(self._policy.pause(retry_after))

    async def wait_until_free(self, *, during_outage: bool = False) -> bool:
        """Wait until the server's pause is over, and its outage.

        Args:
            during_outage: Wait for the pause alone.

        Returns:
            Whether there was anything to wait for.

        Raises:
            OutageError: The server did not come back in time.
        """
        if remaining := self._gate.remaining:
            self._tell_pause(remaining)
        await self._gate.wait()
        was_away = not during_outage and await self.outages.wait()
        return remaining > 0 or was_away

    def _close_gate(self, seconds: float) -> None:
        if self._gate.close_for(seconds):
            self._tell_pause(seconds)

    def _tell_pause(self, seconds: float) -> None:
        """Tell the current listener of a pause, once."""
        listener = current_listener()
        if listener.paused_until < self._gate.opens_at:
            listener.paused_until = self._gate.opens_at
            if listener.on_pause is not None:
                listener.on_pause(seconds)


def _may_be_outage(error: AsyncCvatError) -> bool:
    """Whether every other call might fail in the same way."""
    return isinstance(error, TransportError | ServerError) and error.retryable
