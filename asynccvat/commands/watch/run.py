"""A watch: rounds that keep a mirror up to date, until it is stopped.

Most rounds read one page of the newest tasks and find nothing. `core.watching.known` compares the
page, `core.watching.schedule` says when the next round is, `commands.mirror` fetches.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections import deque
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Self

from asynccvat.client import CvatClient, internals
from asynccvat.commands.mirror.run import MirrorRun
from asynccvat.commands.watch.change_calls import ChangeCalls, OnChange
from asynccvat.commands.watch.clock import Clock
from asynccvat.core.options.watch import WatchOptions
from asynccvat.core.outcomes import RunReport, TaskOutcome
from asynccvat.core.plans.mirror import Plan, Remove
from asynccvat.core.records.settling import Wanted
from asynccvat.core.selections.selection import Selection
from asynccvat.core.targets import TargetKind
from asynccvat.core.watching.known import KnownTasks
from asynccvat.core.watching.rounds import (
    FullReason,
    TaskChange,
    TaskFailure,
    WatchRound,
    change_of,
)
from asynccvat.core.watching.schedule import BETWEEN_WAKES, is_time_for_all, wait_after
from asynccvat.core.watching.status import WatchState, WatchStatus
from asynccvat.errors import (
    AsyncCvatError,
    AuthenticationError,
    ConfigError,
    NotFoundError,
    PermissionDeniedError,
    TimeLimitError,
)
from asynccvat.events import Event, ServerBack, ServerUnreachable
from asynccvat.transfer.run import EventCallback, Run

PAGE = 100
"""The newest tasks that a round reads: 87 ms of a server, by measurement."""

ENDING = (ConfigError, AuthenticationError, PermissionDeniedError)
"""Errors that a later round would meet again, and that therefore end the watch."""


@dataclass(slots=True)
class _Found:
    """What a round has done so far."""

    full_because: FullReason | None = None
    changes: list[TaskChange] = field(default_factory=list)
    failures: list[TaskFailure] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    transferred: int = 0
    error: AsyncCvatError | None = None


class Watch:
    """A watch of one mirror: an async iterator of its rounds.

    The work is done while the next round is awaited, so a reader that leaves the loop leaves
    nothing behind. A round that is cancelled ends as a cancelled mirror does.

    Attributes:
        status: What it is doing, and how its last rounds ended.
    """

    def __init__(
        self,
        client: CvatClient,
        dest: Path,
        wanted: Wanted,
        options: WatchOptions,
        *,
        on_change: OnChange | None,
        on_event: EventCallback | None,
        clock: Clock,
        chance: Callable[[], float] = random.random,
    ) -> None:
        """Prepare a watch. `api.watches` describes the arguments."""
        self._client = client
        self._dest = dest
        self._wanted = wanted
        self._options = options
        self._on_change = on_change
        self._on_event = on_event
        self._clock = clock
        self._chance = chance
        self._selection: Selection | None = None
        self._target = TargetKind.TASK
        self._known = KnownTasks(Selection())
        self._full_because: FullReason | None = FullReason.FIRST
        self._last_full = clock.seconds()
        self._news = asyncio.Event()
        self._reasons: deque[str] = deque(maxlen=16)
        self._stopped = False
        self._number = 0
        now = clock.now()
        self.status = WatchStatus(
            destination=str(dest),
            server=client.origin,
            every=options.every,
            started=now,
            state=WatchState.WAITING,
            state_since=now,
        )

    def __repr__(self) -> str:
        return f"<Watch of {str(self._dest)!r}, {self.status.state}, round {self._number}>"

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> WatchRound:
        """Wait for the time of the next round, or for `wake`; then run it.

        Raises:
            ConfigError: An option cannot be used, or the destination belongs to another server.
            AuthenticationError: The server refuses the credentials.
            PermissionDeniedError: The server refuses the user.
        """
        await self._wait()
        if self._stopped:
            self._be(WatchState.STOPPED)
            raise StopAsyncIteration
        return await self._round()

    def wake(self, reason: str = "wake") -> None:
        """Begin the next round at once. Called during a round, it begins another one after it.

        Args:
            reason: What woke it, for reports.
        """
        self._reasons.append(reason)
        self._news.set()

    def stop(self) -> None:
        """Begin no more rounds. One that is running goes on to its end."""
        self._stopped = True
        self._news.set()

    def note_delivery(self, result: str) -> None:
        """Count a call of the webhooks' address by what became of it."""
        counts = self.status.deliveries
        self.status = replace(self.status, deliveries={**counts, result: counts.get(result, 0) + 1})

    async def _wait(self) -> None:
        if self._number == 0 or self._stopped:
            return
        if self._news.is_set():
            # Webhooks often come in groups: one round serves those of a second.
            await self._clock.wait(asyncio.Event(), BETWEEN_WAKES)
            return
        seconds = wait_after(self._options, self.status.errors_in_a_row, self._chance())
        self._be(WatchState.WAITING, seconds)
        await self._clock.wait(self._news, seconds)

    def _be(self, state: WatchState, seconds: float | None = None) -> None:
        """Note what is being done, and for how long if that is known."""
        now = self._clock.now()
        next_at = None
        if seconds is not None:
            # A wait of thousands of years ends at no date.
            with contextlib.suppress(OverflowError):
                next_at = now + timedelta(seconds=seconds)
        self.status = replace(
            self.status,
            state=state,
            state_since=now,
            next_at=next_at,
            target=self._target,
            tasks=len(self._known),
        )

    async def _round(self) -> WatchRound:
        self._number += 1
        self._news.clear()
        woken_by = ", ".join(dict.fromkeys(self._reasons))
        self._reasons.clear()
        began, clock, sent = self._clock.now(), self._clock.seconds(), self._client.requests_sent
        found, calls = _Found(), ChangeCalls(self._on_change, self._options)
        try:
            async with calls:
                await self._work(found, calls)
                if calls.running:
                    self._be(WatchState.CALLING)
        except ENDING:
            self._be(WatchState.STOPPED)
            raise
        except AsyncCvatError as error:
            found.error = error
        ended = WatchRound(
            number=self._number,
            began=began,
            seconds=self._clock.seconds() - clock,
            requests=self._client.requests_sent - sent,
            transferred=found.transferred,
            full_because=found.full_because,
            changes=tuple(found.changes),
            changed=len(found.changes),
            failures=tuple(found.failures),
            failed=len(found.failures),
            error=found.error,
            warnings=(*found.warnings, *calls.warnings),
            woken_by=woken_by,
        )
        self._note(ended)
        return ended

    def _note(self, ended: WatchRound) -> None:
        """Take a round into the status."""
        failing = {one: told for one, told in self.status.failing.items() if self._is_failing(one)}
        failing |= {told.task_id: told for told in ended.failures if self._is_failing(told.task_id)}
        status = replace(self.status, failing=failing)
        self.status = status.after(ended, self._clock.now())
        self._be(WatchState.WAITING)

    def _is_failing(self, task_id: int) -> bool:
        return task_id in self._known.failing

    async def _work(self, found: _Found, calls: ChangeCalls) -> None:
        """Bring the mirror up to date, and learn what it holds.

        Raises:
            AsyncCvatError: The server or the destination cannot be used.
        """
        now = self._clock.seconds()
        because = self._full_because
        if because is None and self._target is not TargetKind.TASK:
            because = FullReason.TARGET
        if because is None and is_time_for_all(self._options, now, self._last_full):
            because = FullReason.TIME
        due: Collection[int] = ()
        if because is None:
            self._be(WatchState.LISTING)
            assert self._selection is not None, "a full round has settled it"
            pages = await internals(self._client).newest_tasks(self._selection, page_size=PAGE)
            compared = self._known.compare(pages)
            because = compared.full_because
            due = {*compared.changed, *self._known.due(self._number)}
            if because is None and not due:
                return
        self._be(WatchState.MIRRORING)
        self._full_because = found.full_because = because
        if because is not None:
            await self._mirror_all(found, calls, began=now)
        else:
            await self._mirror_some(due, found, calls)

    async def _mirror_all(self, found: _Found, calls: ChangeCalls, *, began: float) -> None:
        """Run a whole mirror. It has settled which tasks belong here, and found named projects."""
        mirror, plan, report = await self._mirror(self._wanted, found, calls)
        settled = mirror.settled
        if plan is None or settled is None:
            return  # it was stopped before it had a plan, so the next round is full, too
        if settled.selection != self._selection:
            self._selection = settled.selection
            self._known = KnownTasks(settled.selection)
        self._target = settled.spec.target
        self._known.learn_all(plan.listing, _done(report), self._number)
        if report.stopped_by is None:
            # Otherwise removals may be missing, which only a list of all tasks shows again.
            self._last_full = began
            self._full_because = None
        if report.guard is not None:
            found.warnings.append(report.guard)

    async def _mirror_some(
        self, task_ids: Collection[int], found: _Found, calls: ChangeCalls
    ) -> None:
        options = replace(self._wanted.options, prune=False, everything=False)
        wanted = replace(
            self._wanted, selection=Selection(task_ids=sorted(task_ids)), options=options
        )
        _, plan, report = await self._mirror(wanted, found, calls)
        if plan is None:
            return
        self._known.learn(plan.listing.tasks, _done(report), self._number)
        if any(isinstance(one.error, NotFoundError) for one in report.failures):
            self._full_because = FullReason.ABSENT

    async def _mirror(
        self, wanted: Wanted, found: _Found, calls: ChangeCalls
    ) -> tuple[MirrorRun, Plan | None, RunReport]:
        """Run one mirror, and call `on_change` for each change as soon as it is on disk."""
        mirror = MirrorRun(self._client, self._dest, wanted)
        removed: Mapping[int, str] | None = None
        async with Run(mirror.work, self._hear) as run:
            async for outcome in run:
                if removed is None and run.plan is not None:
                    removed = {step.task_id: step.folder for step in run.plan.of(Remove)}
                self._take(outcome, removed or {}, found, calls)
            report = await run.wait()
        found.transferred += report.transferred
        found.warnings += report.warnings
        found.error = report.stopped_by
        if isinstance(found.error, TimeLimitError):
            # The run advises to run the command again. A watch does that without the user.
            said = "the round took longer than --max-time allows. What is done is kept."
            found.error = TimeLimitError(said)
        return mirror, run.plan, report

    def _hear(self, event: Event) -> None:
        """Note whether the server answers, and hand an event of a mirror on."""
        match event:
            case ServerUnreachable():
                self._be(WatchState.UNREACHABLE)
            case ServerBack():
                self._be(WatchState.MIRRORING)
            case _:
                pass
        if self._on_event is not None:
            self._on_event(event)

    def _take(
        self,
        outcome: TaskOutcome,
        removed: Mapping[int, str],
        found: _Found,
        calls: ChangeCalls,
    ) -> None:
        if outcome.error is not None:
            found.failures.append(
                TaskFailure(
                    task_id=outcome.task_id,
                    name=outcome.name,
                    message=str(outcome.error),
                    target=outcome.target,
                )
            )
            return
        path = outcome.location or str(self._dest / removed.get(outcome.task_id, ""))
        change = change_of(outcome, str(Path(path).absolute()))
        if change is not None:
            found.changes.append(change)
            calls.start(change)


def _done(report: RunReport) -> set[int]:
    return {outcome.task_id for outcome in report.outcomes if outcome.ok}
