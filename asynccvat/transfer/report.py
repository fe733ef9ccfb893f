"""Build the report of a run while it goes on."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from pathlib import Path

import anyio

from asynccvat.aio.list_warnings import warnings_to
from asynccvat.core.options.transfer import TransferOptions
from asynccvat.core.outcomes import RunReport, TaskOutcome
from asynccvat.core.quantities import duration_text
from asynccvat.errors import AsyncCvatError, TimeLimitError
from asynccvat.events import (
    Retrying,
    RunFinished,
    RunStarted,
    ServerBack,
    ServerPaused,
    ServerUnreachable,
    TaskDone,
    Warned,
)
from asynccvat.http import CallListener, listening
from asynccvat.transfer.run import Run


class ReportBuilder:
    """Collect outcomes and warnings of a run, and write its report at the end.

    Attributes:
        verb: The function that it is a run of.
        outcomes: The outcomes so far.
        new_ids_file: The file that says which id became which, None for none.
    """

    def __init__(self, run: Run, options: TransferOptions, *, verb: str) -> None:
        """Begin the report. Time and requests are counted from here.

        Args:
            run: The run.
            options: How long it may wait for the server, and go on in all.
            verb: The function that it is a run of.
        """
        self.verb = verb
        self._run = run
        self._most_seconds = options.max_time
        self._transfers = options.transfers
        # Only what fetches has it.
        self._bandwidth: int | None = getattr(options, "bandwidth", None)
        self._began = asyncio.get_running_loop().time()
        self._listener = CallListener(
            on_retry=self._retrying,
            on_pause=lambda seconds: run.emit(ServerPaused(seconds)),
            on_unreachable=self._unreachable,
            on_back=lambda seconds: run.emit(ServerBack(seconds)),
            patience=options.wait_for_server,
        )
        self.outcomes: list[TaskOutcome] = []
        self.new_ids_file: Path | None = None
        self._complete = True
        self._guard: str | None = None
        self._warnings: list[str] = []

    def set_listing(self, *, complete: bool, guard: str | None) -> None:
        """Note what a plan says that is not the run's `plan`: a mirror's plan says it itself.

        Args:
            complete: Whether the listing agreed with the server's count.
            guard: Why removals are not carried out, None if they are.
        """
        self._complete, self._guard = complete, guard

    def done(self, outcome: TaskOutcome) -> None:
        """Note a task's outcome."""
        self.outcomes.append(outcome)
        self._run.emit(TaskDone(outcome))

    def done_again(self, outcome: TaskOutcome) -> None:
        """Note the outcome of a task that had one before. Its last one counts."""
        self.outcomes = [one for one in self.outcomes if one.task_id != outcome.task_id]
        self.done(outcome)

    def warn(self, message: str, *, is_refusal: bool = False) -> None:
        """Note a warning about the run, or why a guard refused a part of it. Drops repeats."""
        if message in self._warnings:
            return
        self._warnings.append(message)
        self._run.emit(Warned(message, is_refusal))

    async def during(self, work: Awaitable[AsyncCvatError | None]) -> None:
        """Await the run's work, and write the report however it ends.

        Args:
            work: Returns the error that stopped it early, if any did.
        """
        stopped_by: AsyncCvatError | None = None
        interrupted = True
        self._run.emit(RunStarted(self._transfers, bandwidth=self._bandwidth, verb=self.verb))
        try:
            with (
                listening(self._listener),
                warnings_to(self.warn),
                anyio.move_on_after(self._most_seconds) as limit,
            ):
                stopped_by = await work
            if limit.cancelled_caught:
                stopped_by = self._out_of_time()
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
            outcomes=tuple(self.outcomes),
            target=self._run.target,
            seconds=asyncio.get_running_loop().time() - self._began,
            requests=self._listener.requests,
            # What was sent for tasks that failed, or were interrupted, is in no outcome.
            transferred=max(sum(one.transferred for one in self.outcomes), self._run.sent),
            listing_complete=self._complete if plan is None else plan.listing.complete,
            interrupted=interrupted,
            stopped_by=stopped_by,
            guard=self._guard if plan is None else plan.guard,
            new_ids_file=self.new_ids_file,
            warnings=tuple(self._warnings),
        )
        self._run.emit(RunFinished(self._run.report))

    def _retrying(
        self, step: str, task_id: int | None, error: AsyncCvatError, delay: float
    ) -> None:
        self._run.emit(Retrying(task_id, step, str(error), delay))

    def _unreachable(self, seconds: float, wait: float, error: AsyncCvatError) -> None:
        self._run.emit(ServerUnreachable(seconds, wait, str(error)))

    def _out_of_time(self) -> TimeLimitError:
        assert self._most_seconds is not None, "only a limit can be reached"
        return TimeLimitError(
            f"the run has taken {duration_text(self._most_seconds)}, which --max-time allows. "
            "What is done is kept: run the same command again to continue."
        )
