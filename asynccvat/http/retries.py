"""The retries of one session: wait before a retry, pause all calls, tell the callbacks.

`retry_budget` decides about one failure, `retry_after` holds the calls back, and `session` makes
the calls.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from asynccvat.core.retry import GiveUp, RetryPolicy
from asynccvat.errors import AsyncCvatError, RateLimitError
from asynccvat.http.retry_after import RetryAfterGate, Timing
from asynccvat.http.retry_budget import SharedBudget

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, eq=False)
class _Callbacks:
    on_retry: Callable[[str, int | None, AsyncCvatError, float], None] | None
    on_pause: Callable[[float], None] | None


class Retries:
    """Wait for the retries of one session, and for the pauses that its server asks for.

    Attributes:
        budget: The retries that all users of the session share.
    """

    def __init__(self, policy: RetryPolicy, timing: Timing) -> None:
        """Begin with a full budget and without a pause.

        Args:
            policy: The bounds of retries and delays.
            timing: Time and randomness.
        """
        self.budget = SharedBudget()
        self._policy = policy
        self._timing = timing
        self._gate = RetryAfterGate(timing)
        self._callbacks: list[_Callbacks] = []

    @contextmanager
    def listening(
        self,
        *,
        on_retry: Callable[[str, int | None, AsyncCvatError, float], None] | None = None,
        on_pause: Callable[[float], None] | None = None,
    ) -> Iterator[None]:
        """Call the given functions for retries and pauses within a `with` block.

        Args:
            on_retry: Gets the step, the task's id, the error, and the seconds until the retry.
            on_pause: Gets the seconds for which the server asked all calls to wait.
        """
        callbacks = _Callbacks(on_retry, on_pause)
        self._callbacks.append(callbacks)
        try:
            yield
        finally:
            self._callbacks.remove(callbacks)

    async def retry_or_raise(self, error: AsyncCvatError, attempt: int) -> None:
        """Wait for the right time to retry a failed step, or raise its error.

        Args:
            error: The failure, with the call's step and task.
            attempt: The number of retries of this step so far.

        Raises:
            AsyncCvatError: `error` itself, if the step should not be retried.
        """
        decision = self.budget.decide(error, attempt, self._policy, self._timing)
        if isinstance(decision, GiveUp):
            raise error
        delay = decision.delay
        _log.debug("%s: retry %d in %.1f s after: %s", error.step, attempt + 1, delay, error)
        if isinstance(error, RateLimitError) and error.retry_after is None:
            # The server named no time for its pause, so all calls wait as long as this one.
            self._close_gate(delay)
        for callbacks in tuple(self._callbacks):
            if callbacks.on_retry is not None:
                callbacks.on_retry(error.step or "", error.task_id, error, delay)
        await self._timing.sleep(delay)

    async def back_off(self, attempt: int) -> None:
        """Wait as before a retry, for something that the server has not done yet."""
        await self._timing.sleep(self._policy.backoff(attempt, self._timing.jitter()))

    def pause(self, retry_after: float) -> None:
        """Hold all calls back for the seconds that the server asked for, within the policy."""
        self._close_gate(self._policy.pause(retry_after))

    async def wait_for_pause(self) -> None:
        """Wait until the server's pause is over."""
        await self._gate.wait()

    def _close_gate(self, seconds: float) -> None:
        if self._gate.close_for(seconds):
            for callbacks in tuple(self._callbacks):
                if callbacks.on_pause is not None:
                    callbacks.on_pause(seconds)
