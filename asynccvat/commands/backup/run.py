"""Carry a backup plan out: make backups, then remove the ones that `keep` does not keep.

`commands.backup.preparation` makes the plan, `transfer.dispatcher` fetches many backups at once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from asynccvat.archives import ArchiveReader
from asynccvat.client import CvatClient
from asynccvat.commands.backup.preparation import prepare, settle_with
from asynccvat.core.options.backup import BackupOptions
from asynccvat.core.outcomes import Action, FailedOutcome, TaskOutcome
from asynccvat.core.paths import NameRules
from asynccvat.core.plans.backup import (
    BACKUP_EXPLANATIONS,
    BackupPlan,
    Expire,
    by_target,
    expiries,
    newest,
)
from asynccvat.core.plans.mirror import Fetch, Keep, Refuse, Skip, longest_first
from asynccvat.core.records.backup_settings import SettledSelection
from asynccvat.core.records.backups import StoredBackup
from asynccvat.core.records.remembered import Remembered
from asynccvat.core.selections.selection import Selection
from asynccvat.core.specs import BackupSpec
from asynccvat.core.targets import TargetKind
from asynccvat.errors import AsyncCvatError, NotFoundError, StoreError
from asynccvat.store import BackupStore
from asynccvat.transfer.backup_files import BackupDestinations
from asynccvat.transfer.dispatcher import Dispatcher, within_handles
from asynccvat.transfer.last_runs import noted
from asynccvat.transfer.orders import FetchOrder
from asynccvat.transfer.outages import OF_EVERY_TASK
from asynccvat.transfer.report import ReportBuilder
from asynccvat.transfer.run import Run

# Outcomes reported in a row, before other tasks of the event loop run.
_OUTCOMES_AT_ONCE = 256


class BackupRun:
    """One backup run, from the listing to the last removal."""

    def __init__(
        self, client: CvatClient, dest: Path, selection: Selection, options: BackupOptions
    ) -> None:
        """Back a selection of a client's tasks up, or their projects.

        Args:
            client: The server.
            dest: The destination.
            selection: Which tasks.
            options: How.
        """
        self._client = client
        self._dest = dest
        self._selection = selection
        self._options = options

    async def work(self, run: Run) -> None:
        """Back up, and write the run's report however it ends."""
        run.target = self._options.target
        report = ReportBuilder(run, self._options, verb="backup")
        await report.during(self._in_store(run, report))

    async def _in_store(self, run: Run, report: ReportBuilder) -> AsyncCvatError | None:
        async with BackupStore.open(
            self._dest,
            origin=self._client.origin,
            organization=self._client.organization,
            durable=self._options.durable,
            break_lock=self._options.break_lock,
        ) as store:
            try:
                return await self._back_up(store, run, report)
            finally:
                _pass_warnings(store, report)  # also those since the plan was made

    async def _back_up(
        self, store: BackupStore, run: Run, report: ReportBuilder
    ) -> AsyncCvatError | None:
        """Settle what the run works with, and do it. Returns the error that stopped it."""
        began_at = _now()
        settled = await settle_with(self._client, store, self._selection, self._options)
        work = partial(self._plan_and_fetch, store, settled, run, report, began_at=began_at)
        only = settled.only(self._options.target)
        return await noted(store.last_run, work, run, report, only=only)

    async def _plan_and_fetch(
        self,
        store: BackupStore,
        settled: SettledSelection,
        run: Run,
        report: ReportBuilder,
        *,
        began_at: str,
    ) -> AsyncCvatError | None:
        """Make the plan and carry it out. Returns the error that stopped it, if any did."""
        plan = await prepare(self._client, store, settled, self._options, emit=run.emit)
        run.plan = plan
        _pass_warnings(store, report)
        _warn_of(plan, report)
        was_lost = store.remembered is not None and store.remembered.lost
        await store.remember(
            Remembered(selection=settled.lasting, lost=was_lost and settled.lasting is None)
        )
        before = await store.failures.read()
        orders = _orders(plan, before)
        await store.sweep([order.folder for order in orders])
        await _report_unchanged(plan, store, report)
        stopped_by = await self._fetch(plan, orders, store, run, report=report, began_at=began_at)
        await _note_failures(store, before, plan, report, stopped_by=stopped_by)
        if stopped_by is None and self._options.retention is not None:
            stopped_by = await self._expire(plan, store, run, report)
        return stopped_by

    async def _fetch(
        self,
        plan: BackupPlan,
        orders: Sequence[FetchOrder],
        store: BackupStore,
        run: Run,
        *,
        report: ReportBuilder,
        began_at: str,
    ) -> AsyncCvatError | None:
        """Make the backups. Returns the error that stopped it, if any did."""
        options = within_handles(self._options, report.warn)
        spec = BackupSpec(lightweight=plan.lightweight, target=plan.target)
        reader = ArchiveReader(self._client, options, NameRules(), run.emit)
        place = BackupDestinations(store, reader, spec, plan.states, began_at=began_at)
        dispatcher = Dispatcher(
            self._client,
            place,
            spec,
            options,
            emit=run.emit,
            done=report.done,
            warn=report.warn,
            listed_at=plan.listing.read_at,
            earlier_result=place.earlier_result if options.reuse else None,
        )
        await dispatcher.fetch_all(orders)
        return dispatcher.stopped_by

    async def _expire(
        self, plan: BackupPlan, store: BackupStore, run: Run, report: ReportBuilder
    ) -> AsyncCvatError | None:
        """Remove what `keep` does not keep. Returns the error that stopped it, if any did."""
        failed = {one.task_id for one in report.outcomes if not one.ok}
        listed = {task.id for task in plan.listing.tasks}
        among = self._selection.task_ids
        if plan.target is TargetKind.PROJECT and among is not None:
            among = sorted(listed)
        mine = by_target(await store.list(), plan.target)
        guards: list[str] = []
        # A zip that this run made was read while it was fetched. Of a target with a whole one, a
        # lightweight one does not count: the whole one may be all that is left of its media.
        made = {one.task_id for one in report.outcomes if one.action is Action.BACKED_UP}
        checked = {
            target_id: True
            for target_id in made
            if not plan.lightweight or newest(mine.get(target_id, ()), whole=True) is None
        }
        for expire in expiries(mine, self._options, now=datetime.now(UTC), among=among):
            target_id = expire.task_id
            if target_id in failed:
                continue
            if target_id not in checked:
                why = await _damage_of_last(store, mine[target_id], gone=target_id in plan.absent)
                checked[target_id] = why is None
                if why is not None:
                    guards.append(why)
            if not checked[target_id]:
                continue
            failure = await _remove(expire, plan.target, store, report)
            if isinstance(failure, OF_EVERY_TASK):
                return failure
        if guards:
            run.plan = replace(plan, guard=" ".join(guards))
            for guard in guards:
                report.warn(guard, is_refusal=True)
        return None


def _orders(plan: BackupPlan, last: frozenset[int]) -> list[FetchOrder]:
    """Return the orders, in the order in which to begin; those that failed last at the end."""
    return [
        FetchOrder(task=fetch.task, folder=fetch.folder, reason=fetch.reason)
        for fetch in longest_first(plan.of(Fetch), last=last)
    ]


async def _damage_of_last(
    store: BackupStore, backups: Sequence[StoredBackup], *, gone: bool
) -> str | None:
    """Return why no backup of a target may go, None if the older ones may.

    The newest whole one may be all that is left of it, so it is read before older ones go.
    """
    last = newest(backups, whole=True) or newest(backups, whole=False)
    assert last is not None, "the newest stays"
    problem = await store.check(last.receipt)
    if problem is None:
        return None
    receipt = last.receipt
    if gone:
        then = (
            f", and the server does not list the {receipt.target} any more. Look at it with "
            "`asynccvat verify`."
        )
    else:
        # It may be outside this run's selection. `-t` counts for more than what is remembered.
        which = f"-t {receipt.id} " * (receipt.target is TargetKind.TASK)
        then = f". Back it up again with {which}--force."
    return (
        f"no backup of {receipt.target} {receipt.id} is removed: the newest one, "
        f"{receipt.file!r}, is damaged ({problem.reason}){then}"
    )


async def _remove(
    expire: Expire, target: TargetKind, store: BackupStore, report: ReportBuilder
) -> AsyncCvatError | None:
    """Remove a backup. Returns the error if that failed."""
    try:
        removed = await store.remove(expire.receipt)
    except AsyncCvatError as error:
        report.done(
            FailedOutcome(
                task_id=expire.task_id,
                target=target,
                name=expire.name,
                action=Action.FAILED,
                reason=expire.reason,
                error=error,
            )
        )
        return error
    report.done(
        TaskOutcome(
            task_id=expire.task_id,
            target=target,
            name=expire.name,
            action=Action.EXPIRED,
            reason=expire.reason,
            location=str(removed.path),
            warnings=removed.warnings,
        )
    )
    return None


async def _note_failures(
    store: BackupStore,
    before: frozenset[int],
    plan: BackupPlan,
    report: ReportBuilder,
    *,
    stopped_by: AsyncCvatError | None,
) -> None:
    """Note which targets failed, for the order of the next run."""
    if isinstance(stopped_by, StoreError):
        return  # the destination takes nothing any more
    fetched = {step.task_id for step in plan.of(Fetch)}
    ended = {outcome.task_id for outcome in report.outcomes if outcome.ok}
    failed = {outcome.task_id for outcome in report.outcomes if not outcome.ok}
    try:
        await store.failures.write((before - ended) | (failed & fetched))
    except StoreError as error:
        report.warn(str(error))


def _warn_of(plan: BackupPlan, report: ReportBuilder) -> None:
    if not plan.listing.complete:
        report.warn(
            "the listing is incomplete: tasks kept changing while they were listed, or cannot be "
            "read. The listed ones are backed up. Run again for the rest."
        )
    for warning in plan.warnings:
        report.warn(warning)


def _pass_warnings(store: BackupStore, report: ReportBuilder) -> None:
    for warning in store.new_warnings():
        report.warn(warning)


async def _report_unchanged(plan: BackupPlan, store: BackupStore, report: ReportBuilder) -> None:
    """Report the steps for which there is nothing to do."""
    for number, outcome in enumerate(_outcomes_without_work(plan, store.path), start=1):
        report.done(outcome)
        if number % _OUTCOMES_AT_ONCE == 0:
            await asyncio.sleep(0)


def _outcomes_without_work(plan: BackupPlan, dest: Path) -> Iterator[TaskOutcome]:
    for keep in plan.of(Keep):
        yield TaskOutcome(
            task_id=keep.task_id,
            target=plan.target,
            name=keep.name,
            action=Action.KEPT,
            reason=keep.reason,
            location=str(dest / keep.folder),
        )
    for skip in plan.of(Skip):
        yield TaskOutcome(
            task_id=skip.task_id,
            target=plan.target,
            name=skip.name,
            action=Action.SKIPPED,
            reason=skip.reason,
            warnings=(BACKUP_EXPLANATIONS[skip.reason],),
        )
    for refusal in plan.of(Refuse):
        yield FailedOutcome(
            task_id=refusal.task_id,
            target=plan.target,
            action=Action.FAILED,
            reason=refusal.reason,
            error=NotFoundError(
                f"cannot back up {plan.target} {refusal.task_id}: "
                f"{BACKUP_EXPLANATIONS[refusal.reason]}. Check the id, the user and the "
                "organization.",
                status=404,
                task_id=refusal.task_id,
                step="list",
            ),
        )


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
