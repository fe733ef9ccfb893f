"""Fetch many tasks at once, and decide when to stop.

One poller serves all of them; exports in flight, transfers and open files have limits. A task that
fails stops no other, except for what every other task would meet, too (`transfer.outages`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from functools import partial
from typing import TypeVar

import anyio

from asynccvat.aio.task_groups import run_beside, task_group
from asynccvat.aio.threads import shielded
from asynccvat.archives.bandwidth import Bandwidth
from asynccvat.client import CvatClient
from asynccvat.client.poller import Poller
from asynccvat.core.options.transfer import FetchOptions
from asynccvat.core.outcomes import Action, TaskOutcome
from asynccvat.core.scheduling.admission import MOST_IN_FLIGHT
from asynccvat.core.scheduling.polling import Demand
from asynccvat.core.specs import BackupSpec, ExportSpec, RequestSpec
from asynccvat.core.wire.ranges import RangeOptions
from asynccvat.errors import AsyncCvatError, ExportFailedError, StoreLockedError
from asynccvat.events import Event, ExportStarted, QueueStalled, Retrying, TaskStarted
from asynccvat.fs import handles
from asynccvat.http import giving_way
from asynccvat.http.retry_after import Timing
from asynccvat.transfer.bugs import of_one_task
from asynccvat.transfer.content_fingerprints import ContentFingerprints
from asynccvat.transfer.converted_source import Conversions, ConvertedSource
from asynccvat.transfer.export_source import EarlierResult, ExportSource
from asynccvat.transfer.exports import Exports
from asynccvat.transfer.json_source import JsonSource
from asynccvat.transfer.media_fingerprints import MediaFingerprints
from asynccvat.transfer.one_task import TaskFetcher
from asynccvat.transfer.orders import Destinations, FetchOrder, failed
from asynccvat.transfer.outages import (
    OF_EVERY_TASK,
    OutageDetector,
    destination_lost,
    end_of_run,
    may_pass,
    refusing_all,
    second_try,
)
from asynccvat.transfer.slots import RequestSlots
from asynccvat.transfer.sources import TaskSource
from asynccvat.transfer.task_json import TaskJsonReader

OptionsT = TypeVar("OptionsT", bound=FetchOptions)

# Exports that wait to be read, for each transfer. More would expire at the server before a slow
# network could read them.
_EXPORTED_AHEAD = 8
# With fewer tasks, all results are asked for, and nothing has to be known of earlier ones.
_ENOUGH_TO_PREDICT = 8


class Dispatcher:
    """Fetch many tasks, and report how each ended.

    Attributes:
        stopped_by: The failure that ended the run early, None as long as there is none.
    """

    def __init__(
        self,
        client: CvatClient,
        destinations: Destinations,
        spec: RequestSpec,
        options: FetchOptions,
        *,
        emit: Callable[[Event], None],
        done: Callable[[TaskOutcome], None],
        warn: Callable[[str], None],
        listed_at: datetime | None = None,
        one_lock: bool = True,
        refresh: bool = False,
        contents: ContentFingerprints | None = None,
        earlier_result: EarlierResult | None = None,
        jobs: Mapping[int, bytes] | None = None,
        conversions: Conversions | None = None,
    ) -> None:
        """Prepare to fetch tasks.

        Args:
            client: The server.
            destinations: Gives each task its destination.
            spec: What the server makes of each, and what they are: tasks, projects or jobs.
            options: Limits and retries.
            emit: Receives the events.
            done: Receives each outcome.
            warn: Receives warnings about the run.
            listed_at: The server's `Date` when it listed the tasks, None if it sent none.
            one_lock: Whether all destinations are under one lock, so that a lost lock ends the
                run.
            refresh: Whether unchanged images are reused without exporting them again.
            contents: Tells what an export depends on, for the receipts. None leaves that out.
            earlier_result: Finds results of which a part is on disk, and which are read first.
            jobs: For tasks as JSON: the text of `jobs.json` for each that has jobs. None if their
                list may lack some.
            conversions: Converts tasks from the server's JSON, except some. None exports all.
        """
        self.stopped_by: AsyncCvatError | None = None
        self._target = spec.target
        self._done = done
        self._warn = warn
        self._emit = emit
        self._outages = OutageDetector()
        self._fatal = (*OF_EVERY_TASK, StoreLockedError) if one_lock else OF_EVERY_TASK
        self._more_to_request = False
        self._others_wait = False
        self._poller = Poller(
            client,
            timeout=options.export_timeout,
            queue_timeout=options.queue_timeout,
            demand=self._demand,
            target=spec.target,
            noun=spec.noun,
            on_started=lambda task_id: self._note_event(ExportStarted(task_id)),
            on_stalled=lambda stall: emit(QueueStalled(stall)),
        )
        self._slots = RequestSlots(self._poller, options.concurrency)
        self._exports = Exports(
            client,
            self._poller,
            retries=options.retries,
            emit=self._note_event,
            listed_at=listed_at,
        )
        is_json = isinstance(spec, ExportSpec) and spec.is_json
        self._exports_most = not is_json and conversions is None
        self._source: TaskSource
        if isinstance(spec, ExportSpec) and spec.is_json:
            limit = options.bandwidth
            self._source = JsonSource(
                client,
                spec,
                jobs,
                self._slots,
                bandwidth=None if limit is None else Bandwidth(limit, Timing()),
                transfers=anyio.CapacityLimiter(options.transfers),
                emit=self._note_event,
            )
        else:
            exports = self._source = ExportSource(
                exports=self._exports,
                slots=self._slots,
                spec=spec,
                transfers=anyio.CapacityLimiter(options.transfers),
                retries=options.retries,
                emit=self._note_event,
                media=MediaFingerprints(client) if refresh else None,
                earlier_result=earlier_result,
            )
            if conversions is not None:
                reader = TaskJsonReader(
                    client,
                    conversions.jobs,
                    bandwidth=conversions.bandwidth,
                    emit=self._note_event,
                )
                self._source = ConvertedSource(exports, reader, conversions)
        self._fetcher = TaskFetcher(
            source=self._source,
            destinations=destinations,
            origin=client.origin,
            organization=client.organization,
            emit=self._note_event,
            on_staged=self._outages.note_staged,
            action=Action.BACKED_UP if isinstance(spec, BackupSpec) else Action.FETCHED,
            contents=contents,
        )
        most = options.concurrency or MOST_IN_FLIGHT
        self._under_way = anyio.Semaphore(most + _EXPORTED_AHEAD * options.transfers)
        self._scope = anyio.CancelScope()
        self._second_chances: list[FetchOrder] = []
        self._last_chances: list[FetchOrder] = []

    async def fetch_all(self, orders: Sequence[FetchOrder]) -> None:
        """Fetch tasks, beginning in the given order.

        Returns when each has its outcome, or once `stopped_by` is set. Then a task that met the
        run's own failure, or whose turn did not come, has no outcome. A cancellation cancels the
        exports that are still queued at the server.
        """
        try:
            with self._scope:
                self._source.expect(orders)
                work = self._fetch_all(orders)
                if self._exports_most and len(orders) >= _ENOUGH_TO_PREDICT:
                    work = run_beside(self._exports.list_earlier_results, work)
                await self._poller.during(work)
        finally:
            await shielded(self._cancel_queued())

    async def _cancel_queued(self) -> None:
        left = len((await self._exports.cancel_queued()).may_be_queued)
        if left:
            exports = "1 export may remain" if left == 1 else f"{left} exports may remain"
            self._warn(
                f"{exports} queued at the server: it did not confirm the cancellation. "
                "`asynccvat requests cancel --all` removes what still waits."
            )

    async def _fetch_all(self, orders: Sequence[FetchOrder]) -> None:
        with giving_way(self._gives_way):
            await self._fetch_each(orders)
        # What failed may pass by now. Until then these tasks must not delay the others.
        await self._fetch_each(self._second_chances, is_second=True)
        # The server killed the exports of these tasks, perhaps for lack of memory while others
        # ran. Each gets one more export, while no other export of the run is in flight.
        for order in self._last_chances:
            await self._under_way.acquire()
            await self._slots.acquire()
            await self._fetch(order, is_second=True, is_alone=True)

    async def _fetch_each(self, orders: Sequence[FetchOrder], *, is_second: bool = False) -> None:
        async with task_group() as group:
            for number, order in enumerate(orders):
                # The last tasks are not polled in batches: from there on each end matters.
                self._more_to_request = len(orders) - number >= self._slots.limit // 2
                self._others_wait = True
                await self._under_way.acquire()
                await self._slots.acquire()
                group.start_soon(partial(self._fetch, order, is_second=is_second))
            self._more_to_request = self._others_wait = False

    def _gives_way(self, step: str, task_id: int) -> bool:
        """Whether an export whose request keeps failing leaves its slot to the next task."""
        return self._others_wait and step == "export" and self._outages.may_give_way(task_id, step)

    def _demand(self) -> Demand:
        """Tell the poller what the run needs. It asks before each poll."""
        return Demand(
            more_to_request=self._more_to_request,
            may_fetch=self._exports.can_predict,
            has_room=self._source.has_room,
        )

    async def _fetch(
        self, order: FetchOrder, *, is_second: bool = False, is_alone: bool = False
    ) -> None:
        clock = asyncio.get_running_loop().time
        began = clock()
        self._emit(TaskStarted(order.task.id, order.task.name))
        try:
            outcome = await of_one_task(self._fetcher.fetch(order), order.task.id, self._target)
        except AsyncCvatError as error:
            if isinstance(error, ExportFailedError) and error.retryable and not is_alone:
                self._note_event(Retrying(order.task.id, "export", str(error), 0.0))
                self._last_chances.append(order)
                return
            if end_of_run(error) is None:
                error.task_id = error.task_id or order.task.id
                error.concern(self._target)
            self._note_failure(order.task.id, error)
            if end_of_run(error) is not None:
                return
            if may_pass(error) and not is_second:
                self._note_event(
                    Retrying(order.task.id, error.step or "", second_try(error, self._target), 0.0)
                )
                self._second_chances.append(order)
                return
            outcome = failed(order, error, clock() - began, self._target)
        else:
            self._outages.note_stored(order.task.id)
        finally:
            self._under_way.release()
        self._done(outcome)

    def _note_event(self, event: Event) -> None:
        self._outages.note(event)
        self._emit(event)

    def _note_failure(self, task_id: int, error: AsyncCvatError) -> None:
        why = self._reason_to_stop(task_id, error)
        if why is not None and self.stopped_by is None:
            self.stopped_by = why
            self._scope.cancel()

    def _reason_to_stop(self, task_id: int, error: AsyncCvatError) -> AsyncCvatError | None:
        nothing_stored = self._outages.is_destination_lost(task_id, error)
        if self._outages.is_refusing_all(task_id, error):
            return refusing_all(error, self._target)
        if isinstance(error, self._fatal):
            return error
        return destination_lost(error, self._target) if nothing_stored else None


def within_handles(options: OptionsT, warn: Callable[[str], None]) -> OptionsT:
    """Limit transfers to what the limit on open files allows, with a warning."""
    limit = handles.limit()
    share = handles.share(limit, options.transfers, writers=RangeOptions().parallel)
    if share.transfers == options.transfers:
        return options
    warn(
        f"only {share.transfers} archives are read at once, not {options.transfers}: this process "
        f"may have only {limit} files open. Raise that limit (ulimit -n) for more."
    )
    return replace(options, transfers=share.transfers)
