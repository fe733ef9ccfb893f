"""One mirror: from the listing to the last removal.

The listing and the receipts are read, `core.plans.mirror` compares them, and the plan is carried
out. How fetches are carried out side by side is left to `dispatch`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, nullcontext
from pathlib import Path

import anyio

from asynccvat.aio.task_groups import task_group
from asynccvat.aio.threads import in_thread
from asynccvat.archives import ArchiveReader
from asynccvat.client import CvatClient
from asynccvat.core.models import ExportSpec, TaskListing
from asynccvat.core.options import MirrorOptions
from asynccvat.core.outcomes import Action, FailedOutcome, TaskOutcome
from asynccvat.core.paths import task_folder_name
from asynccvat.core.plans.mirror import (
    EXPLANATIONS,
    Fetch,
    Keep,
    Move,
    Plan,
    Presence,
    Reason,
    Refuse,
    Remove,
    Skip,
    gone_candidates,
    longest_first,
    plan_mirror,
)
from asynccvat.core.receipts import ReceiptHead
from asynccvat.core.selection import Selection
from asynccvat.errors import (
    AsyncCvatError,
    ForeignFolderError,
    NotFoundError,
    PermissionDeniedError,
)
from asynccvat.events import Event, ListingRead, Planned
from asynccvat.store import MirrorStore
from asynccvat.transfer.dispatcher import Dispatcher, within_handles
from asynccvat.transfer.one_task import Destination, FetchOrder
from asynccvat.transfer.outages import OF_EVERY_TASK
from asynccvat.transfer.report import ReportBuilder
from asynccvat.transfer.run import Run

_CONFIRMATIONS_AT_ONCE = 4
# Outcomes that are told in a row, before others in the loop have a turn.
_SETTLED_AT_ONCE = 256


class _OneDestination:
    """The one destination of all tasks of a mirror."""

    def __init__(self, store: MirrorStore, reader: ArchiveReader, *, keep_archives: bool) -> None:
        self._destination = Destination(store, reader, store.archives if keep_archives else None)

    def destination(self, order: FetchOrder) -> AbstractAsyncContextManager[Destination]:
        """Return the store, which is held for the whole run."""
        del order
        return nullcontext(self._destination)


class MirrorRun:
    """One mirror, from the listing to the last removal."""

    def __init__(
        self,
        client: CvatClient,
        dest: Path,
        selection: Selection,
        spec: ExportSpec,
        options: MirrorOptions,
        *,
        sweep_others: bool = True,
    ) -> None:
        """Mirror a selection of a client's tasks into a destination.

        Args:
            client: The server.
            dest: The destination.
            selection: Which tasks.
            spec: How they are exported.
            options: How it is done.
            sweep_others: Remove what interrupted runs left of tasks that are not to be fetched.
        """
        self._client = client
        self._dest = dest
        self._selection = selection
        self._spec = spec
        self._options = options
        self._sweep_others = sweep_others

    async def work(self, run: Run) -> None:
        """Do all of it; the run's report is written in any case."""
        report = ReportBuilder(run, self._client)
        await report.during(self._in_store(run, report))

    async def _in_store(self, run: Run, report: ReportBuilder) -> AsyncCvatError | None:
        async with MirrorStore.open(
            self._dest,
            origin=self._client.origin,
            organization=self._client.organization,
            durable=self._options.durable,
            break_lock=self._options.break_lock,
        ) as store:
            try:
                return await self._mirror(store, run, report)
            finally:
                _tell(store, report)  # also what came up since the plan was made

    async def _mirror(
        self, store: MirrorStore, run: Run, report: ReportBuilder
    ) -> AsyncCvatError | None:
        """Carry the plan out; returns what stopped it, if anything did."""
        plan_ = run.plan = await prepare(
            self._client, store, self._selection, self._spec, self._options, emit=run.emit
        )
        _tell(store, report)
        if not plan_.listing.complete:
            report.warn(
                "the listing was incomplete, as the tasks kept changing while they were listed: "
                "what it showed is mirrored, nothing is removed; run again for the rest"
            )
        if plan_.guard is not None:
            report.warn(plan_.guard)
        orders = await in_thread(self._orders, plan_)
        fetched = [order.task.id for order in orders]
        await store.sweep(fetched, among=None if self._sweep_others else fetched)
        await store.archives.sweep()
        if not self._options.keep_archive:
            # An archive kept earlier must not outlive what it held.
            await store.archives.remove(fetched)
        await _settle(plan_, store.path, report)
        for move in sorted(plan_.of(Move), key=_way_clear_first):
            failure = await self._move(move, store, report)
            if isinstance(failure, OF_EVERY_TASK):
                return failure
        options = within_handles(self._options, report.warn)
        reader = ArchiveReader(self._client, options, store.rules, run.emit)
        dispatcher = Dispatcher(
            self._client,
            _OneDestination(store, reader, keep_archives=options.keep_archive),
            self._spec,
            options,
            emit=run.emit,
            done=report.done,
            listed_at=plan_.listing.read_at,
            # A kept archive is the server's own, with the images.
            refresh=options.refresh and options.reuse and not options.keep_archive,
        )
        await dispatcher.fetch_all(orders)
        if dispatcher.stopped_by is None and plan_.guard is None:
            for removal in plan_.of(Remove):
                failure = await self._remove(removal, store, report)
                if isinstance(failure, OF_EVERY_TASK):
                    return failure
        return dispatcher.stopped_by

    async def _move(
        self, move: Move, store: MirrorStore, report: ReportBuilder
    ) -> AsyncCvatError | None:
        """Move a folder; returns what went wrong, if anything did."""
        try:
            moved = await store.move(move.previous, move.folder)
        except AsyncCvatError as error:
            report.done(_step_failed(move, error))
            return error
        report.done(
            TaskOutcome(
                task_id=move.task_id,
                name=move.name,
                action=Action.MOVED,
                reason=move.reason,
                location=str(moved.path),
                warnings=moved.warnings,
            )
        )
        return None

    def _orders(self, plan_: Plan) -> list[FetchOrder]:
        """What has to be brought, in the order in which to begin.

        Under an older prefix, the folder that is replaced goes with the commit: until then it
        stays where it is, so that a failure changes nothing.
        """
        return [
            FetchOrder(
                task=fetch.task,
                folder=fetch.folder,
                reason=fetch.reason,
                previous=fetch.previous,
                adopt=self._options.adopt,
            )
            for fetch in longest_first(plan_.of(Fetch))
        ]

    async def _remove(
        self, removal: Remove, store: MirrorStore, report: ReportBuilder
    ) -> AsyncCvatError | None:
        """Remove a folder; returns what went wrong, if anything did."""
        try:
            removed = await store.remove(removal.previous)
            await store.archives.remove([removal.task_id])
        except AsyncCvatError as error:
            report.done(_step_failed(removal, error))
            return error
        report.done(
            TaskOutcome(
                task_id=removal.task_id,
                name=removal.name,
                action=Action.REMOVED,
                reason=removal.reason,
                warnings=removed.warnings,
            )
        )
        return None


async def prepare(
    client: CvatClient,
    store: MirrorStore,
    selection: Selection,
    spec: ExportSpec,
    options: MirrorOptions,
    *,
    emit: Callable[[Event], None] = lambda _: None,
) -> Plan:
    """Read the listing and, meanwhile, what is here; then compare.

    What takes its time with a hundred thousand tasks is done in threads.
    """
    listing_call = asyncio.ensure_future(client.tasks(selection))
    try:
        heads = await store.receipts()
        # Which folders are worth a look follows from the listing; until it is here all those of
        # this spec are looked at, so that the disk works while the server does.
        states = {}
        if not options.trust_receipts:
            candidates = await in_thread(_worth_a_look, heads, selection, spec, options)
            states = await store.folder_states(candidates)
        listing = await listing_call
    finally:
        listing_call.cancel()
        with anyio.CancelScope(shield=True):
            await asyncio.wait([listing_call])
        if not listing_call.cancelled():
            # Seen, also where what is here could not be read either, which is then raised.
            listing_call.exception()
    emit(ListingRead(len(listing.tasks), listing.complete))
    presence: dict[int, Presence] | None = None
    if options.prune:
        presence = {}
        if listing.complete:
            presence = await _presence(client, await in_thread(gone_candidates, listing, heads))
    new_folders = await in_thread(_new_folders, listing, heads, options)
    plan_ = await in_thread(
        plan_mirror,
        listing,
        heads,
        spec,
        options,
        states=states,
        unclaimed=await store.unclaimed(new_folders),
        presence=presence,
    )
    counts = plan_.counts
    emit(
        Planned(
            **{kind: counts.get(kind, 0) for kind in ("fetch", "keep", "skip", "move", "remove")},
            refuse=counts.get("refuse", 0),
        )
    )
    return plan_


def _tell(store: MirrorStore, report: ReportBuilder) -> None:
    for warning in store.new_warnings():
        report.warn(warning)


def _worth_a_look(
    heads: Mapping[int, ReceiptHead],
    selection: Selection,
    spec: ExportSpec,
    options: MirrorOptions,
) -> list[ReceiptHead]:
    if options.force:
        return []
    wanted = heads.keys() if selection.task_ids is None else set(selection.task_ids)
    return [head for head in heads.values() if head.is_made_as(spec) and head.task_id in wanted]


def _new_folders(
    listing: TaskListing, heads: Mapping[int, ReceiptHead], options: MirrorOptions
) -> list[str]:
    """The folder names that this plan would begin to use."""
    return [
        folder
        for task in listing.tasks
        for folder in [task_folder_name(options.folder_prefix, task.id)]
        if (head := heads.get(task.id)) is None or head.folder != folder
    ]


async def _presence(client: CvatClient, candidates: Iterable[ReceiptHead]) -> dict[int, Presence]:
    """Ask the server about each task that the listing does not cover."""
    presence: dict[int, Presence] = {}
    limiter = anyio.CapacityLimiter(_CONFIRMATIONS_AT_ONCE)

    async def confirm(task_id: int) -> None:
        async with limiter:
            try:
                await client.task(task_id)
            except NotFoundError:
                presence[task_id] = Presence.GONE
            except PermissionDeniedError:
                presence[task_id] = Presence.FORBIDDEN
            except AsyncCvatError:
                presence[task_id] = Presence.UNKNOWN
            else:
                presence[task_id] = Presence.ELSEWHERE

    async with task_group() as group:
        for head in candidates:
            group.start_soon(confirm, head.task_id)
    return dict(sorted(presence.items()))


async def _settle(plan_: Plan, dest: Path, report: ReportBuilder) -> None:
    """Give the steps their outcomes for which nothing is to be done."""
    for number, outcome in enumerate(_settled(plan_, dest), start=1):
        report.done(outcome)
        if number % _SETTLED_AT_ONCE == 0:
            await asyncio.sleep(0)


def _settled(plan_: Plan, dest: Path) -> Iterator[TaskOutcome]:
    for keep in plan_.of(Keep):
        edited = keep.reason is Reason.EDITED
        yield TaskOutcome(
            task_id=keep.task_id,
            name=keep.name,
            action=Action.KEPT,
            reason=keep.reason,
            location=str(dest / keep.folder),
            warnings=(EXPLANATIONS[keep.reason],) if edited else (),
        )
    for skip in plan_.of(Skip):
        yield TaskOutcome(
            task_id=skip.task_id,
            name=skip.name,
            action=Action.SKIPPED,
            reason=skip.reason,
            warnings=(EXPLANATIONS[skip.reason],),
        )
    for refusal in plan_.of(Refuse):
        yield _refused(refusal, dest)


def _way_clear_first(move: Move) -> int:
    """Order moves so that none goes where another's folder still is: `task1` with prefix `task1`.

    Longer prefixes lengthen all names, so the longest has to go first, and the other way round.
    """
    length = len(move.folder)
    return -length if length > len(move.previous.folder) else length


def _refused(refusal: Refuse, dest: Path) -> TaskOutcome:
    explanation = EXPLANATIONS[refusal.reason]
    error: AsyncCvatError
    if refusal.reason is Reason.FOREIGN:
        error = ForeignFolderError(
            f"{dest / refusal.folder}: {explanation}", task_id=refusal.task_id, step="plan"
        )
    else:
        error = NotFoundError(
            f"task {refusal.task_id}: {explanation}",
            status=404,
            task_id=refusal.task_id,
            step="list",
        )
    return _step_failed(refusal, error)


def _step_failed(step: Move | Remove | Refuse, error: AsyncCvatError) -> TaskOutcome:
    return FailedOutcome(
        task_id=step.task_id,
        name=step.name,
        action=Action.FAILED,
        reason=step.reason,
        error=error,
    )
