"""Count the events of a run: what is done, at what rate, what is slow, and what it waits for.

A program hands each event to `RunProgress.apply` with the time at which it received it, and reads
the numbers whenever it shows them:

    progress = asynccvat.progress.RunProgress(time.monotonic())

    def on_event(event: asynccvat.Event) -> None:
        progress.apply(event, time.monotonic())
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass

from asynccvat.core.outcomes import Action, TaskOutcome
from asynccvat.core.scheduling.stalls import QueueStall
from asynccvat.core.targets import TargetKind
from asynccvat.events import (
    Event,
    ExportFinished,
    ExportStarted,
    ImportFinished,
    ImportStarted,
    ListingRead,
    Planned,
    QueueStalled,
    Retrying,
    RunStarted,
    ServerBack,
    ServerPaused,
    ServerUnreachable,
    TaskDone,
    TransferProgress,
    UploadProgress,
)
from asynccvat.progress.accounting import Cause, TimeSpent, cause_of
from asynccvat.progress.flights import AT_WORK, MOVING, Flight, Flights, Stage
from asynccvat.progress.pace import Pace, Work
from asynccvat.progress.slowest import MOST, SlowestTasks, SlowTask
from asynccvat.progress.workers import Workers

_UNCHANGED = (Action.KEPT, Action.SKIPPED)
# Seconds without any movement after which nothing tells the time left.
_STILL_AFTER = 30.0


@dataclass(frozen=True, slots=True)
class Outage:
    """An outage of the server that goes on.

    Attributes:
        since: When the server stopped answering, in seconds of the caller's clock.
        wait: Seconds that the run waits for it.
        error: What the last call met.
    """

    since: float
    wait: float
    error: str


class RunProgress:
    """The numbers of one run.

    Attributes:
        started: When the run began, in seconds of the caller's clock.
        target: What is counted: tasks, projects or jobs.
        listed: How many the server has; None until they are listed.
        total: How many have something to be done; None until there is a plan.
        uploads: Whether files are sent instead of fetched.
        done: How many of `total` have an outcome.
        failed: How many of them failed.
        transferred: Bytes of archives received, or of files sent.
        transfers: How many archives are read, or files sent, at once; None before the run tells.
        bandwidth: Bytes a second that all of them may take, None for no limit.
        flights: The tasks under way.
        spent: What the time went to.
        outage: The outage of the server that goes on, None if it answers.
        stall: Says that nothing leaves the server's queue, None if something does.
        retry_error: Why the last step that is retried failed, "" if none did.
    """

    def __init__(self, started: float) -> None:
        """Begin to count.

        Args:
            started: Seconds of a monotonic clock. All later times are seconds of the same clock.
        """
        self.started = started
        self.target = TargetKind.TASK
        self.listed: int | None = None
        self.total: int | None = None
        self.uploads = False
        self.done = 0
        self.failed = 0
        self.transferred = 0
        self.transfers: int | None = None
        self.bandwidth: int | None = None
        self.flights = Flights()
        self.spent = TimeSpent(started)
        self.outage: Outage | None = None
        self.stall: QueueStall | None = None
        self.retry_error = ""
        self._pace = Pace()
        self._paused_until = started
        self._away = 0.0
        self._moving = 0.0
        self._now = started
        self._moved_at = started
        self._to_move = 0
        # Tasks without work whose outcome is yet to come.
        self._idle = 0
        self._exporting = Workers()
        self._importing = Workers()
        self._slowest = SlowestTasks()

    def apply(self, event: Event, now: float) -> None:
        """Count an event.

        Args:
            event: What happened.
            now: When, in seconds of the clock of `started`.
        """
        self._advance(now)
        flight = self.flights.apply(event, now)
        if flight is not None:
            self._slowest.note(flight)
        match event:
            case RunStarted():
                self.transfers, self.target = event.transfers, event.target
                self.bandwidth = event.bandwidth
            case ListingRead():
                self.listed, self.target = event.tasks, event.target
            case Planned():
                self._plan(event)
                self._pace.tasks.begin(self._active(now))
            case TransferProgress(transferred=size) | UploadProgress(sent=size):
                self.transferred += size
                self._moved_at = now
                self._note_writing(getattr(event, "writing_seconds", 0.0))
            case Retrying():
                self.retry_error = event.error
            case TaskDone():
                self._finish(event.outcome, now, was_under_way=flight is not None)
            case _:
                self._apply_to_server(event, now)
        self._pace.apply(event, active=self._active(now), moving=self._moving)
        if isinstance(event, ExportStarted | ExportFinished | ImportStarted | ImportFinished):
            self.stall, self._moved_at = None, now

    @property
    def server_work(self) -> str:
        """What the server's workers do: `exports`, `imports` or `exports and imports`."""
        both = {"exports": self._pace.exports.begun, "imports": self._pace.imports.begun}
        return " and ".join(work for work, begun in both.items() if begun) or "exports"

    @property
    def fraction(self) -> float:
        """The share of the work that is done, from 0 to 1: tasks, and bytes of those under way."""
        if not self.total:
            return 0.0
        shares = sum(flight.share for flight in self.flights)
        return min(1.0, (self.done + shares) / self.total)

    def seconds(self, now: float) -> float:
        """Return for how long the run goes on."""
        return now - self.started

    def seconds_left(self, now: float) -> float | None:
        """Predict the time left.

        Returns:
            Seconds. None while nothing tells them: before the first task ended, in an outage, and
            while nothing moves.
        """
        if self.total is None or self.outage is not None or self.stall is not None:
            return None
        if now - self._moved_at >= _STILL_AFTER and not self._is_quiet_as_usual(now):
            return None
        work = Work(self.total - self.done, max(0, self._to_move))
        return self._pace.seconds_left(
            work, self.flights, active=self._active(now), moving=self._moving_until(now)
        )

    def bytes_per_second(self, now: float) -> float | None:
        """Return the rate of the last seconds; None before the first byte."""
        return self._pace.shown_bytes.per_second(self._active(now))

    def tasks_per_second(self, now: float) -> float | None:
        """Return the rate of the last tasks; None before the first one ended."""
        return self._pace.tasks.per_second(self._active(now))

    def exports_per_second(self, now: float) -> float | None:
        """Return at which rate the server ends exports; None before the first one ended."""
        return self._pace.exports.per_second(self._active(now))

    def stages(self, now: float) -> dict[Stage, int]:
        """Return how many tasks are in each stage.

        Most exports are not polled, so it is rarely known which of them run. How many do follows
        from the rate at which they end and the seconds that the server says they took. The same
        holds for imports.
        """
        counts = {stage: self.flights.count(stage) for stage in Stage}
        queued = [flight.imports for flight in self.flights if flight.stage is Stage.QUEUED]
        for stage, workers, rate, waiting in (
            (Stage.EXPORTING, self._exporting, self._pace.exports, queued.count(False)),
            (Stage.IMPORTING, self._importing, self._pace.imports, queued.count(True)),
        ):
            if self.stall is not None:
                break
            a_second = rate.per_second(self._active(now))
            more = workers.unseen(a_second, seen=counts[stage], queued=waiting)
            counts[stage] += more
            counts[Stage.QUEUED] -= more
        return {stage: count for stage, count in counts.items() if count}

    def slowest(self, now: float, *, after: float = 0.0) -> list[Flight]:
        """Return the tasks that have been longest in their present stage, at most three.

        Tasks that wait in the server's queue, or for other transfers, are not among them.

        Args:
            now: Seconds of the clock of `started`.
            after: Seconds after which a stage is long.
        """
        stages = (*AT_WORK, Stage.READY) if self.opening else AT_WORK
        long = [
            flight
            for flight in self.flights
            if flight.stage in stages and now - flight.since >= after
        ]
        return heapq.nsmallest(MOST, long, key=lambda flight: flight.since)

    @property
    def slowest_done(self) -> list[SlowTask]:
        """The tasks with an outcome that took longest, at most three, the slowest first."""
        return self._slowest.tasks

    def waits_for(self, now: float) -> Cause:
        """Return what the run waits for, judged by the last seconds."""
        self._advance(now)
        if self.outage is not None:
            return Cause.OUTAGE
        if now < self._paused_until:
            return Cause.PAUSE
        return self.spent.lately

    @property
    def opening(self) -> int:
        """How many archives were asked for whose first bytes have not come.

        A ready archive waits for a transfer only while all of them are in use.
        """
        if self.transfers is None:
            return 0
        free = self.transfers - self.flights.count(*MOVING)
        return max(0, min(self.flights.count(Stage.READY), free))

    def pause_left(self, now: float) -> float:
        """Return for how many seconds the server asked for a pause yet."""
        return max(0.0, self._paused_until - now)

    # --- time ---------------------------------------------------------------------------------

    def _advance(self, now: float) -> None:
        """Count the time since the last event for what the run waited for."""
        if now <= self._now:
            return
        if self.outage is None and self._now < self._paused_until:
            self.spent.spend(Cause.PAUSE, min(now, self._paused_until))
        self.spent.spend(self._cause(), now)
        self._moving = self._moving_until(now)
        self._now = now

    def _note_writing(self, seconds: float) -> None:
        """Count the time in which archives were written for the disk, not for the network.

        As many threads as transfers share the time: theirs is a share of it.
        """
        if seconds and self._cause() is Cause.NETWORK:
            moving = max(1, self.flights.count(*MOVING))
            self.spent.move(seconds / moving, Cause.NETWORK, Cause.DISK)

    def _cause(self) -> Cause:
        if self.outage is not None:
            return Cause.OUTAGE
        if self.total is None:
            return Cause.LISTS
        return cause_of(self.flights, self.transfers)

    def _active(self, now: float) -> float:
        """Return the seconds of the run without outages."""
        away = self._away if self.outage is None else self._away + now - self.outage.since
        return now - self.started - away

    def _moving_until(self, now: float) -> float:
        moves = self.outage is None and self.flights.count(*MOVING)
        return self._moving + (max(0.0, now - self._now) if moves else 0.0)

    def _is_quiet_as_usual(self, now: float) -> bool:
        """Whether tasks end so rarely that a long wait for the next one is usual."""
        return now - self._moved_at < 2 * self._pace.tasks.longest_gap

    # --- counts -------------------------------------------------------------------------------

    def _apply_to_server(self, event: Event, now: float) -> None:
        match event:
            case ExportFinished():
                self._exporting.note(event.seconds)
            case ImportFinished():
                self._importing.note(event.seconds)
            case QueueStalled():
                self.stall = event.stall
            case ServerPaused():
                self._paused_until = max(self._paused_until, now + event.seconds)
            case ServerUnreachable():
                if self.outage is None:
                    # The event comes late. The run has waited for the server since the last answer.
                    self.spent.move(event.seconds, self._cause(), Cause.OUTAGE)
                self.outage = Outage(now - event.seconds, event.wait, event.error)
            case ServerBack():
                self.outage = None
                self.flights.leave_out(event.seconds, now)
                self._away += event.seconds
                self._moved_at = now
            case _:
                pass

    def _plan(self, event: Planned) -> None:
        self.uploads = event.upload > 0
        self._to_move = event.fetch + event.upload
        self.total = self._to_move + event.move + event.remove + event.refuse
        self._idle = event.keep + event.skip

    def _finish(self, outcome: TaskOutcome, now: float, *, was_under_way: bool) -> None:
        # Tasks without work are not in the total. Some others turn out to need nothing.
        if outcome.action in _UNCHANGED and self._idle > 0:
            self._idle -= 1
            return
        self._moved_at = now
        self.done += 1
        if self.total is not None:
            # A task is fetched a second time if an audit found its conversion wrong.
            self.total = max(self.total, self.done)
        self.failed += outcome.action is Action.FAILED
        self._to_move -= was_under_way
