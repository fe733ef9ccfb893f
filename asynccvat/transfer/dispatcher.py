"""Many orders at once: one poller for all, places for exports and for transfers, and when to stop.

One failed task never stops the others, but for failures that every other task would meet, too:
no room on the disk, a drive that failed, credentials that are no longer accepted, a format that the
server does not know, a server that is gone, a destination where nothing succeeds any more.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime

import anyio

from asynccvat.aio.task_groups import task_group
from asynccvat.aio.threads import shielded
from asynccvat.client import CvatClient
from asynccvat.client.poller import Poller
from asynccvat.core.models import ExportSpec
from asynccvat.core.options import MirrorOptions
from asynccvat.core.outcomes import TaskOutcome
from asynccvat.core.ranges import RangeOptions
from asynccvat.core.scheduling.admission import MOST_IN_FLIGHT
from asynccvat.errors import (
    AsyncCvatError,
    AuthenticationError,
    ConfigError,
    DiskFullError,
    DriveError,
    ExportFailedError,
    ServerError,
    StoreError,
    StoreLockedError,
    TransportError,
)
from asynccvat.events import (
    Event,
    ExportFinished,
    ExportRequested,
    ExportStarted,
    ImportFinished,
    ImportRequested,
    Retrying,
    TransferFinished,
)
from asynccvat.fs import handles
from asynccvat.transfer.exports import Exports, RequestSlots
from asynccvat.transfer.media import Media
from asynccvat.transfer.one_task import Destinations, FetchOrder, TaskFetcher, failed

# The fault of no task: the run ends for it, which is said once and not for each task under way.
OF_THE_RUN = (AuthenticationError, ConfigError)
# What ends a run: the next task would fail of the very same.
OF_EVERY_TASK = (*OF_THE_RUN, DiskFullError, DriveError)
# So many tasks whose same step failed for want of a server, and none whose step was done in
# between, mean that it is gone. Likewise a destination where the system refuses task after task.
_FAILURES_IN_A_ROW = 16
_OF_THE_DISK = ("stage", "store")
# Exports that wait to be read, for each place among the transfers: a slow network must not let
# the server export days ahead of it, as results expire.
_EXPORTED_AHEAD = 8


class OutageDetector:
    """Tells a server or a destination that is gone from one that fails some tasks.

    Counted by step: what fails fails soon, and may overtake any number of slow successes, but not
    those of the same step.
    """

    def __init__(self) -> None:
        self._in_a_row: Counter[str] = Counter()
        self._staged: set[int] = set()

    def hear(self, event: Event) -> None:
        """A step that was done begins its count anew."""
        match event:
            case ExportRequested():
                del self._in_a_row["export"]
            case ExportFinished():
                del self._in_a_row["wait"], self._in_a_row["list"]
            case ImportRequested():
                del self._in_a_row["upload"]
            case TransferFinished() | ImportFinished():
                self._in_a_row = Counter({step: self._in_a_row[step] for step in _OF_THE_DISK})
            case _:
                pass

    def server_is_gone(self, error: AsyncCvatError) -> bool:
        """Count a failure, and say whether it was one too many."""
        if not isinstance(error, TransportError | ServerError):
            return False
        step = error.step or "download"
        self._in_a_row[step] += 1
        return self._in_a_row[step] >= _FAILURES_IN_A_ROW

    def staged(self, task_id: int) -> None:
        """A task can be staged, and so can others."""
        self._staged.add(task_id)
        del self._in_a_row["stage"]

    def stored(self, task_id: int) -> None:
        """A task is in its place, and others can be put into theirs."""
        self._staged.discard(task_id)
        del self._in_a_row["store"]

    def destination_is_gone(self, task_id: int, error: AsyncCvatError) -> bool:
        """Count a failure, if the system refused something, and say whether it was one too many."""
        step = "store" if task_id in self._staged else "stage"
        self._staged.discard(task_id)
        if isinstance(error, StoreLockedError):
            return False  # somebody else writes there, and can
        if not isinstance(error, StoreError) or not isinstance(error.__cause__, OSError):
            return False
        self._in_a_row[step] += 1
        return self._in_a_row[step] >= _FAILURES_IN_A_ROW


class Dispatcher:
    """Has many orders carried out, and says how each ended.

    Attributes:
        stopped_by: The failure that ended the run before its end, None while there is none.
    """

    def __init__(
        self,
        client: CvatClient,
        destinations: Destinations,
        spec: ExportSpec,
        options: MirrorOptions,
        *,
        emit: Callable[[Event], None],
        done: Callable[[TaskOutcome], None],
        listed_at: datetime | None = None,
        one_lock: bool = True,
        refresh: bool = False,
    ) -> None:
        """Prepare to carry orders out.

        Args:
            client: The server.
            destinations: Has a place for each order.
            spec: Format and images.
            options: Limits and retries.
            emit: Told what happens.
            done: Told each outcome.
            listed_at: The server's `Date` when it listed the tasks, None where it did not.
            one_lock: Whether all orders are under the same lock, so that the next one would
                find it as this one did.
            refresh: Whether images that did not change are left where they are.
        """
        self.stopped_by: AsyncCvatError | None = None
        self._done = done
        self._emit = emit
        self._outages = OutageDetector()
        self._fatal = (*OF_EVERY_TASK, StoreLockedError) if one_lock else OF_EVERY_TASK
        self._poller = Poller(
            client,
            timeout=options.export_timeout,
            on_started=lambda task_id: self._tell(ExportStarted(task_id)),
        )
        self._slots = RequestSlots(self._poller, options.concurrency)
        self._exports = Exports(
            client,
            self._poller,
            spec,
            retries=options.retries,
            emit=self._tell,
            listed_at=listed_at,
        )
        self._transfers = TaskFetcher(
            exports=self._exports,
            slots=self._slots,
            destinations=destinations,
            spec=spec,
            origin=client.origin,
            organization=client.organization,
            transfers=options.transfers,
            retries=options.retries,
            emit=self._tell,
            media=Media(client) if refresh else None,
            on_staged=self._outages.staged,
        )
        self._poller.may_fetch = lambda: self._exports.can_predict
        self._poller.has_room = lambda: self._transfers.has_room
        most = options.concurrency or MOST_IN_FLIGHT
        self._under_way = anyio.Semaphore(most + _EXPORTED_AHEAD * options.transfers)
        self._scope = anyio.CancelScope()
        self._last_chances: list[FetchOrder] = []

    async def carry_out(self, orders: Sequence[FetchOrder]) -> None:
        """Carry orders out, in this order as far as places allow.

        Returns when each has its outcome, or once `stopped_by` says why not: a task that met what
        is the whole run's trouble, or whose turn did not come, has none. A cancellation takes
        what was queued at the server out of the queue again.
        """
        try:
            with self._scope:
                await self._poller.during(self._carry_out(orders))
        finally:
            await shielded(self._exports.cancel_queued())

    async def _carry_out(self, orders: Sequence[FetchOrder]) -> None:
        async with task_group() as group:
            for number, order in enumerate(orders):
                # The last ones are not worth another batch: from there on each end counts.
                self._poller.more_to_ask = len(orders) - number >= self._slots.limit // 2
                await self._under_way.acquire()
                await self._slots.acquire()
                group.start_soon(self._carry, order)
            self._poller.more_to_ask = False
        # Their server ran out of memory, perhaps for what ran beside them: once more, each alone.
        for order in self._last_chances:
            await self._under_way.acquire()
            await self._slots.acquire()
            await self._carry(order, last_chance=True)

    async def _carry(self, order: FetchOrder, *, last_chance: bool = False) -> None:
        clock = asyncio.get_running_loop().time
        began = clock()
        try:
            outcome = await self._transfers.bring(order)
        except AsyncCvatError as error:
            if isinstance(error, ExportFailedError) and error.retryable and not last_chance:
                self._tell(Retrying(order.task.id, "export", str(error), 0.0))
                self._last_chances.append(order)
                return
            error.task_id = error.task_id or order.task.id
            self._note_failure(order.task.id, error)
            if isinstance(error, OF_THE_RUN):
                return
            outcome = failed(order, error, clock() - began)
        else:
            self._outages.stored(order.task.id)
        finally:
            self._under_way.release()
        self._done(outcome)

    def _tell(self, event: Event) -> None:
        self._outages.hear(event)
        self._emit(event)

    def _note_failure(self, task_id: int, error: AsyncCvatError) -> None:
        why = self._reason_to_stop(task_id, error)
        if why is not None and self.stopped_by is None:
            self.stopped_by = why
            self._scope.cancel()

    def _reason_to_stop(self, task_id: int, error: AsyncCvatError) -> AsyncCvatError | None:
        nothing_stored = self._outages.destination_is_gone(task_id, error)
        if self._outages.server_is_gone(error):
            return server_gone(error)
        if isinstance(error, self._fatal):
            return error
        return _destination_gone(error) if nothing_stored else None


def within_handles(options: MirrorOptions, warn: Callable[[str], None]) -> MirrorOptions:
    """Options with no more transfers than the limit on open files allows; warns of fewer."""
    limit = handles.limit()
    share = handles.share(limit, options.transfers, writers=RangeOptions().parallel)
    if share.transfers == options.transfers:
        return options
    warn(
        f"{share.transfers} archives are read at once, not {options.transfers}, as this process "
        f"may have only {limit} files open: raise that limit (ulimit -n) for more"
    )
    return replace(options, transfers=share.transfers)


def server_gone(last: AsyncCvatError) -> AsyncCvatError:
    """What became of the server, rather than of the task that happened to be the last."""
    message = (
        f"the server is gone: {_FAILURES_IN_A_ROW} tasks in a row failed in the same way, "
        f"the last of them with: {last}"
    )
    gone: AsyncCvatError
    if isinstance(last, ServerError):
        gone = ServerError(message, status=last.status, detail=last.detail, step=last.step)
    else:
        gone = TransportError(message, step=last.step)
    gone.__cause__ = last
    return gone


def _destination_gone(last: AsyncCvatError) -> DriveError:
    gone = DriveError(
        f"nothing can be stored any more: {_FAILURES_IN_A_ROW} tasks in a row were refused by the "
        f"system, the last of them with: {last}",
        step=last.step,
    )
    gone.__cause__ = last
    return gone
