"""Carry a mirror's plan out: move, fetch and remove folders.

`commands.mirror.preparation` makes the plan, `transfer.dispatcher` fetches many tasks at once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from functools import partial
from pathlib import Path

import msgspec

from asynccvat.aio.threads import in_thread
from asynccvat.archives import ArchiveReader
from asynccvat.client import CvatClient
from asynccvat.commands.mirror.audits import Audits
from asynccvat.commands.mirror.preparation import prepare, settle_with
from asynccvat.commands.mirror.renames import Renames, follows_names
from asynccvat.core.options.mirror import UnsafeNames
from asynccvat.core.outcomes import Action, FailedOutcome, TaskOutcome
from asynccvat.core.plans.mirror import (
    EXPLANATIONS,
    Fetch,
    Keep,
    Move,
    Plan,
    Reason,
    Refuse,
    Remove,
    Skip,
    longest_first,
)
from asynccvat.core.plans.targets import JobAsTask
from asynccvat.core.records.complete_runs import CompleteRun, complete_run
from asynccvat.core.records.settling import Settled, Wanted, settle
from asynccvat.core.targets import TargetKind
from asynccvat.core.texts import first_few
from asynccvat.errors import (
    AsyncCvatError,
    ExportError,
    ForeignFolderError,
    NotFoundError,
    StoreError,
)
from asynccvat.store import MirrorStore, Staging
from asynccvat.transfer.dispatcher import Dispatcher, within_handles
from asynccvat.transfer.folders import FolderDestination
from asynccvat.transfer.last_runs import noted
from asynccvat.transfer.orders import Destination, FetchOrder
from asynccvat.transfer.outages import OF_EVERY_TASK
from asynccvat.transfer.report import ReportBuilder
from asynccvat.transfer.run import Run

# Outcomes reported in a row, before other tasks of the event loop run.
_OUTCOMES_AT_ONCE = 256
# From this many emptied tasks, and a tenth of the fetched ones, the run as a whole has a warning.
_MANY_EMPTIED = 3


class _OneDestination:
    """The one destination of all tasks of a mirror."""

    def __init__(self, store: MirrorStore, reader: ArchiveReader, *, keep_archives: bool) -> None:
        self._destination: Destination[Staging] = FolderDestination(
            store, reader, store.archives if keep_archives else None
        )

    def destination(self, order: FetchOrder) -> AbstractAsyncContextManager[Destination[Staging]]:
        """Return the store, which is held for the whole run."""
        del order
        return nullcontext(self._destination)


class MirrorRun:
    """One mirror, from the listing to the last removal.

    Attributes:
        settled: The settings that it uses, None until the destination is open.
    """

    def __init__(
        self,
        client: CvatClient,
        dest: Path,
        wanted: Wanted,
        *,
        is_repair: bool = False,
    ) -> None:
        """Mirror a selection of a client's tasks into a destination.

        Args:
            client: The server.
            dest: The destination.
            wanted: Which tasks, how, and with which options.
            is_repair: Fetch tasks as their receipts say: what the destination remembers neither
                counts nor changes. What interrupted runs left of other tasks stays.
        """
        self._client = client
        self._dest = dest
        self._wanted = wanted
        self._is_repair = is_repair
        self._target = TargetKind.TASK
        self._tasks_of_jobs: Mapping[int, int] = {}
        self.settled: Settled | None = None

    async def work(self, run: Run) -> None:
        """Mirror, and write the run's report however it ends."""
        report = ReportBuilder(run, self._wanted.options, verb="mirror")
        await report.during(self._in_store(run, report))

    async def _in_store(self, run: Run, report: ReportBuilder) -> AsyncCvatError | None:
        async with MirrorStore.open(
            self._dest,
            origin=self._client.origin,
            organization=self._client.organization,
            durable=self._wanted.options.durable,
            break_lock=self._wanted.options.break_lock,
        ) as store:
            try:
                return await self._mirror(store, run, report)
            finally:
                _pass_warnings(store, report)  # also those since the plan was made

    async def _mirror(
        self, store: MirrorStore, run: Run, report: ReportBuilder
    ) -> AsyncCvatError | None:
        """Settle what the run works with, and do it. Returns the error that stopped it."""
        settled = self.settled = await self._settle(store)
        self._target = run.target = settled.spec.target
        if self._is_repair:
            return await self._plan_and_fetch(store, settled, run, report)
        work = partial(self._plan_and_fetch, store, settled, run, report)
        return await noted(store.last_run, work, run, report, only=settled.only)

    async def _plan_and_fetch(
        self, store: MirrorStore, settled: Settled, run: Run, report: ReportBuilder
    ) -> AsyncCvatError | None:
        """Make the plan and carry it out. Returns the error that stopped it, if any did."""
        options = settled.options
        began = self._client.server_date
        plan_ = run.plan = await prepare(
            self._client, store, settled, stays=self._is_repair, emit=run.emit
        )
        self._tasks_of_jobs = {
            task.id: task.task_id for task in plan_.listing.tasks if isinstance(task, JobAsTask)
        }
        _pass_warnings(store, report)
        _warn_of(plan_, report)
        if not self._is_repair:
            await store.remember(settled.remembered)
            await store.complete_runs.forget_others(settled.remembered)
        await store.keep_history(options.history or 0.0)
        failed_before = await store.failures.read()
        orders = await in_thread(_orders, plan_, adopt=options.adopt, last=failed_before)
        fetched = [order.task.id for order in orders]
        await store.sweep(fetched, among=fetched if self._is_repair else None)
        await store.archives.sweep()
        if not options.keep_archive:
            # An archive kept earlier must not outlive the version of the task that it holds.
            await store.archives.remove(fetched)
        await self._report_unchanged(plan_, store.path, report)
        renames = Renames(self._client) if follows_names(settled) else None
        contents = {} if renames is None else await renames.contents_of_moved(plan_)
        for move in sorted(plan_.of(Move), key=_unobstructed_first):
            failure = await self._move(move, contents.get(move.task_id), store, report)
            if isinstance(failure, OF_EVERY_TASK):
                return failure
        options = within_handles(options, report.warn)
        reader = ArchiveReader(
            self._client,
            options,
            store.rules,
            run.emit,
            map_names=options.names == UnsafeNames.MAP,
        )
        emptied: list[int] = []

        def done(outcome: TaskOutcome) -> None:
            if outcome.emptied:
                emptied.append(outcome.task_id)
            self._done(outcome, report)

        audits = Audits(self._client, store, settled, report.warn, is_repair=self._is_repair)
        conversions = await audits.begin(plan_, reader.bandwidth)
        dispatch = partial(
            Dispatcher,
            self._client,
            _OneDestination(store, reader, keep_archives=bool(options.keep_archive)),
            settled.spec,
            options,
            emit=run.emit,
            warn=report.warn,
            listed_at=plan_.listing.read_at,
            contents=None if renames is None else renames.fingerprints,
        )
        dispatcher = dispatch(
            done=done,
            # A kept archive is the server's own, so it has the images.
            refresh=options.refresh
            and options.reuse
            and not options.keep_archive
            # Only of a task does the server tell whether its images changed.
            and self._target is TargetKind.TASK,
            # A list that changed while it was read may lack jobs.
            jobs=plan_.listing.jobs if plan_.listing.complete else None,
            conversions=conversions,
        )
        await dispatcher.fetch_all(orders)
        _warn_of_emptied(emptied, len(orders), settled, report)

        async def fetch_again(again: Sequence[FetchOrder]) -> AsyncCvatError | None:
            exporter = dispatch(done=report.done_again)
            await exporter.fetch_all(again)
            return exporter.stopped_by

        stopped_by = await audits.end(plan_, fetch_again, dispatcher.stopped_by)
        await _note_failures(
            store, failed_before, frozenset(fetched), report, stopped_by=stopped_by
        )
        stopped_by = stopped_by or await self._remove_all(plan_, store, report)
        if stopped_by is not None or self._is_repair:
            return stopped_by
        await _note_complete(store, complete_run(settled, plan_, report.outcomes, began), report)
        return None

    async def _settle(self, store: MirrorStore) -> Settled:
        if self._is_repair:
            return settle(self._wanted, await store.settings(), place=str(store.path), bound=False)
        return await settle_with(self._client, store, self._wanted)

    async def _move(
        self, move: Move, content: str | None, store: MirrorStore, report: ReportBuilder
    ) -> AsyncCvatError | None:
        """Move a folder. Returns the error if that failed."""
        try:
            moved = await store.move(
                move.previous, move.folder, renamed=move.renamed, content=content
            )
        except AsyncCvatError as error:
            self._done(_step_failed(move, error), report)
            return error
        self._done(
            TaskOutcome(
                task_id=move.task_id,
                name=move.name,
                action=Action.MOVED,
                reason=move.reason,
                location=str(moved.path),
                warnings=(*_warnings(move), *moved.warnings),
            ),
            report,
        )
        return None

    async def _remove_all(
        self, plan_: Plan, store: MirrorStore, report: ReportBuilder
    ) -> AsyncCvatError | None:
        """Remove what is gone, unless a guard refuses it. Returns the error that stopped it."""
        for removal in plan_.of(Remove) if plan_.guard is None else ():
            failure = await self._remove(removal, store, report)
            if isinstance(failure, OF_EVERY_TASK):
                return failure
        return None

    async def _remove(
        self, removal: Remove, store: MirrorStore, report: ReportBuilder
    ) -> AsyncCvatError | None:
        """Remove a folder. Returns the error if that failed."""
        try:
            removed = await store.remove(removal.previous)
            await store.archives.remove([removal.task_id])
        except AsyncCvatError as error:
            self._done(_step_failed(removal, error), report)
            return error
        self._done(
            TaskOutcome(
                task_id=removal.task_id,
                name=removal.name,
                action=Action.REMOVED,
                reason=removal.reason,
                warnings=removed.warnings,
            ),
            report,
        )
        return None

    async def _report_unchanged(self, plan_: Plan, dest: Path, report: ReportBuilder) -> None:
        """Report the steps for which there is nothing to do."""
        for number, outcome in enumerate(_outcomes_without_work(plan_, dest), start=1):
            self._done(outcome, report)
            if number % _OUTCOMES_AT_ONCE == 0:
                await asyncio.sleep(0)

    def _done(self, outcome: TaskOutcome, report: ReportBuilder) -> None:
        """Report an outcome as that of a task, a project or a job."""
        if self._target is not TargetKind.TASK and outcome.reason != Reason.NO_TASK:
            if outcome.error is not None:
                outcome.error.concern(self._target)
            outcome = msgspec.structs.replace(
                outcome,
                target=self._target,
                of_task=self._tasks_of_jobs.get(outcome.task_id),
            )
        report.done(outcome)


def _orders(plan_: Plan, *, adopt: bool, last: Collection[int]) -> list[FetchOrder]:
    """Return the orders to fetch tasks, in the order in which to begin; those of `last` at the end.

    If the prefix changed, the old folder is replaced by the commit. Until then it stays where it
    is, so that a failure changes nothing.
    """
    return [
        FetchOrder(
            task=fetch.task,
            folder=fetch.folder,
            reason=fetch.reason,
            previous=fetch.previous,
            adopt=adopt,
        )
        for fetch in longest_first(plan_.of(Fetch), last=last)
    ]


async def _note_failures(
    store: MirrorStore,
    before: frozenset[int],
    fetched: frozenset[int],
    report: ReportBuilder,
    *,
    stopped_by: AsyncCvatError | None,
) -> None:
    """Note which tasks failed, for the order of the next run."""
    if isinstance(stopped_by, StoreError):
        return  # the destination takes nothing any more
    ended = {outcome.task_id for outcome in report.outcomes if outcome.ok}
    failed = {outcome.task_id for outcome in report.outcomes if not outcome.ok}
    try:
        await store.failures.write((before - ended) | (failed & fetched))
    except StoreError as error:
        report.warn(str(error))


async def _note_complete(
    store: MirrorStore, complete: CompleteRun | None, report: ReportBuilder
) -> None:
    """Note a complete run, from whose start on a later run may look for changes."""
    if complete is None:
        return
    try:
        await store.complete_runs.write(complete)
    except StoreError as error:
        report.warn(str(error))


def _warn_of(plan_: Plan, report: ReportBuilder) -> None:
    """Warn of what the plan leaves undone, and of what the format leaves out."""
    if not plan_.listing.complete:
        report.warn(
            f"the listing is incomplete: {plan_.target.plural} kept changing while they were "
            "listed, or cannot be read. The listed ones are mirrored, and nothing is removed. Run "
            "again for the rest."
        )
    if plan_.guard is not None:
        report.warn(plan_.guard, is_refusal=True)
    for warning in plan_.warnings:
        report.warn(warning)


def _warn_of_emptied(
    emptied: Sequence[int], fetched: int, settled: Settled, report: ReportBuilder
) -> None:
    """Warn if many targets have lost all their annotations, which is seldom meant."""
    if len(emptied) < max(_MANY_EMPTIED, fetched // 10):
        return
    where = (
        "What they held is in .asynccvat/history/."
        if settled.options.history
        else "What they held is not kept here: --history 30d keeps what later runs replace."
    )
    report.warn(
        f"{len(emptied)} of {fetched} fetched {settled.spec.target.plural} hold no annotation any "
        f"more: {first_few(sorted(emptied))}. If that is not meant, look at them in CVAT. {where}"
    )


def _pass_warnings(store: MirrorStore, report: ReportBuilder) -> None:
    for warning in store.new_warnings():
        report.warn(warning)


def _outcomes_without_work(plan_: Plan, dest: Path) -> Iterator[TaskOutcome]:
    for keep in plan_.of(Keep):
        yield TaskOutcome(
            task_id=keep.task_id,
            name=keep.name,
            action=Action.KEPT,
            reason=keep.reason,
            location=str(dest / keep.folder),
            warnings=_warnings(keep),
        )
    for skip in plan_.of(Skip):
        yield TaskOutcome(
            task_id=skip.task_id,
            name=skip.name,
            action=Action.SKIPPED,
            reason=skip.reason,
            warnings=(skip.detail or EXPLANATIONS[skip.reason],),
        )
    for refusal in plan_.of(Refuse):
        yield _refused(refusal, dest, plan_.target)


def _warnings(step: Keep | Move) -> tuple[str, ...]:
    if step.reason is Reason.EDITED:
        return (EXPLANATIONS[step.reason],)
    return (step.detail,) if step.detail else ()


def _unobstructed_first(move: Move) -> int:
    """Order moves so that no target is a folder that is yet to be moved.

    With the prefix `task1`, task 1 moves to `task11`, which may still be task 11's folder. A longer
    prefix lengthens all names, so the longest goes first. With a shorter one the shortest does.
    """
    length = len(move.folder)
    return -length if length > len(move.previous.folder) else length


def _refused(refusal: Refuse, dest: Path, target: TargetKind) -> TaskOutcome:
    explanation = EXPLANATIONS[refusal.reason]
    error: AsyncCvatError
    if refusal.reason is Reason.FOREIGN:
        error = ForeignFolderError(
            f"cannot write to {str(dest / refusal.folder)!r}: {explanation}",
            task_id=refusal.task_id,
            step="plan",
        )
    elif refusal.reason is Reason.DIMENSION:
        error = ExportError(
            f"cannot mirror {target} {refusal.task_id}: {refusal.detail}",
            task_id=refusal.task_id,
            step="plan",
        )
    else:
        what = f"{target} {refusal.task_id}"
        if refusal.reason is Reason.NO_TASK:
            what = f"the jobs of task {refusal.task_id}"
        error = NotFoundError(
            f"cannot mirror {what}: {explanation}. Check the id, the user and the organization.",
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
