"""Build the report of a run while it goes on."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable

from asynccvat.aio.list_warnings import warnings_to
from asynccvat.client import CvatClient, internals
from asynccvat.core.outcomes import RunReport, TaskOutcome
from asynccvat.errors import AsyncCvatError
from asynccvat.events import Retrying, RunFinished, ServerPaused, TaskDone, Warned
from asynccvat.transfer.run import Run


class ReportBuilder:
    """Collect outcomes and warnings of a run, and write its report at the end."""

    def __init__(self, run: Run, client: CvatClient) -> None:
        """Begin the report. Time and requests are counted from here."""
        self._run = run
        self._client = client
        self._began = asyncio.get_running_loop().time()
        self._requests_before = client.requests_sent
        self._outcomes: list[TaskOutcome] = []
        self._warnings: list[str] = []

    def done(self, outcome: TaskOutcome) -> None:
        """Note a task's outcome."""
        self._outcomes.append(outcome)
        self._run.emit(TaskDone(outcome))

    def warn(self, message: str) -> None:
        """Note a warning about the run."""
        self._warnings.append(message)
        self._run.emit(Warned(message))

    async def during(self, work: Awaitable[AsyncCvatError | None]) -> None:
        """Await the run's work, and write the report however it ends.

        Args:
            work: Returns the error that stopped it early, if any did.
        """
        stopped_by: AsyncCvatError | None = None
        interrupted = True
        try:
            with (
                internals(self._client).listening(on_retry=self._retrying, on_pause=self._paused),
                warnings_to(self.warn),
            ):
                stopped_by = await work
            interrupted = stopped_by is not None
        except AsyncCvatError as error:
            # The report stays when the exception is gone.
            stopped_by = error
            raise
        finally:
            self._finish(interrupted=interrupted, stopped_by=stopped_by)

    def _finish(self, *, interrupted: bool, stopped_by: AsyncCvatError | None) -> None:
        """Write the run's report, and emit its last event."""
        plan = self._run.plan
        self._run.report = RunReport(
            outcomes=tuple(self._outcomes),
            seconds=asyncio.get_running_loop().time() - self._began,
            requests=self._client.requests_sent - self._requests_before,
            transferred=sum(outcome.transferred for outcome in self._outcomes),
            listing_complete=plan is None or plan.listing.complete,
            interrupted=interrupted,
            stopped_by=stopped_by,
            guard=None if plan is None else plan.guard,
            warnings=tuple(self._warnings),
        )
        self._run.emit(RunFinished(self._run.report))

    def _retrying(
        self, step: str, task_id: int | None, error: AsyncCvatError, delay: float
    ) -> None:
        self._run.emit(Retrying(task_id, step, str(error), delay))

    def _paused(self, seconds: float) -> None:
        self._run.emit(ServerPaused(seconds))
