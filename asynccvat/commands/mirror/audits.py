"""Convert the tasks of a mirror instead of exporting them, as long as audits find no difference.

`transfer.converted_source` converts and audits. After a difference, all tasks that were converted
are exported again, also those of earlier runs. The difference is noted on disk first, so that a run
that is killed in between leaves the rest to the next one.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial

from asynccvat.aio.task_groups import run_limited
from asynccvat.archives.bandwidth import Bandwidth
from asynccvat.client import CvatClient, internals
from asynccvat.commands.mirror.jobs import with_jobs
from asynccvat.core.convert.audits import conversion_rule
from asynccvat.core.models import Task
from asynccvat.core.plans.mirror import Fetch, Plan, Reason, Remove
from asynccvat.core.records.distrusted_rules import DistrustedRules
from asynccvat.core.records.receipts import ReceiptHead
from asynccvat.core.records.settling import Settled
from asynccvat.core.selections.selection import Selection
from asynccvat.core.texts import first_few
from asynccvat.errors import AsyncCvatError, NotFoundError, StoreError
from asynccvat.store import MirrorStore
from asynccvat.transfer.converted_source import Conversions
from asynccvat.transfer.orders import FetchOrder

_ASKED_AT_ONCE = 4

FetchAgain = Callable[[Sequence[FetchOrder]], Awaitable[AsyncCvatError | None]]
"""Exports tasks. Returns the error that stopped it, if any did."""


class Audits:
    """What the conversions of one run need, and what follows from their audits."""

    def __init__(
        self,
        client: CvatClient,
        store: MirrorStore,
        settled: Settled,
        warn: Callable[[str], None],
        *,
        is_repair: bool = False,
    ) -> None:
        """Prepare a run.

        Args:
            client: The server.
            store: The destination.
            settled: What the run works with.
            warn: Receives warnings about the run.
            is_repair: Whether only the fetched tasks are touched, which are exported.
        """
        self._is_repair = is_repair
        self._client = client
        self._store = store
        self._settled = settled
        self._warn = warn
        self._distrusted = DistrustedRules()
        self._is_noted = True
        self._conversions: Conversions | None = None

    async def begin(self, plan_: Plan, bandwidth: Bandwidth | None) -> Conversions | None:
        """Prepare to convert what a plan fetches. None if all of it is exported.

        Args:
            plan_: The plan.
            bandwidth: Limits the bytes of all answers together; None for no limit.

        Raises:
            StoreError: The note of distrusted rules cannot be read.
            AsyncCvatError: The jobs of the tasks cannot be listed.
        """
        if self._is_repair:
            return None
        self._distrusted = await self._store.distrusted.read()
        fetches = plan_.of(Fetch)
        if not self._settled.options.without_exports or not fetches:
            return None
        if self._distrusted.pending:
            return None  # a difference of an earlier run comes first
        rule = conversion_rule(internals(self._client).version)
        if (found := self._distrusted.found.get(rule)) is not None:
            self._warn(
                f"nothing is converted with the rule {rule!r}: it differed from an export in "
                f"{found}. All tasks are exported. A newer asynccvat or CVAT is tried again."
            )
            return None
        tasks = tuple(fetch.task for fetch in fetches)
        selection = Selection(task_ids=tuple(task.id for task in tasks))
        if len(tasks) == len(plan_.listing.tasks):
            selection = self._settled.selection
        listing = replace(plan_.listing, tasks=tasks, complete=True)
        listing = await with_jobs(self._client, listing, selection)
        if not listing.complete:
            self._warn(
                "no task is converted: the list of jobs kept changing while it was read. All tasks "
                "are exported. Run again later."
            )
            return None
        self._conversions = Conversions(
            rule=rule,
            jobs=listing.jobs or {},
            rules=self._store.rules,
            bandwidth=bandwidth,
            on_difference=self._note,
        )
        return self._conversions

    async def _note(self, where: str) -> None:
        assert self._conversions is not None, "only a conversion differs"
        self._distrusted = self._distrusted.with_difference(self._conversions.rule, where)
        self._is_noted = False
        await self._store.distrusted.write(self._distrusted)
        self._is_noted = True

    async def _note_again(self) -> StoreError | None:
        """Note a difference whose note could not be written. Returns the error if it still cannot.

        Perhaps the disk was full, and has room now that the run is over.
        """
        if not self._is_noted:
            try:
                await self._store.distrusted.write(self._distrusted)
            except StoreError as error:
                return error
            self._is_noted = True
        return None

    async def end(
        self, plan_: Plan, fetch: FetchAgain, stopped_by: AsyncCvatError | None
    ) -> AsyncCvatError | None:
        """Tell what the audits found, and export again what must not stay as it was converted.

        Args:
            plan_: The plan that was carried out.
            fetch: Exports tasks.
            stopped_by: The error that stopped the run, so that nothing more is exported. None if
                none did.

        Returns:
            The error that stopped it, None if none did.

        Raises:
            AsyncCvatError: The tasks cannot be listed, or the disk refuses something.
        """
        unnoted = await self._note_again()
        if self._conversions is not None:
            self._tell(self._conversions, unnoted)
        stopped_by = stopped_by or unnoted
        if stopped_by is not None or not self._distrusted.pending:
            return stopped_by
        return await self._export_again(plan_, fetch)

    async def _export_again(self, plan_: Plan, fetch: FetchAgain) -> AsyncCvatError | None:
        """Export all tasks that were converted, by whatever rule: few of them were audited."""
        wrong = await self._converted()
        tasks = {task.id: task for task in plan_.listing.tasks if task.id in wrong}
        if rest := sorted(wrong.keys() - tasks.keys()):
            listing = await self._client.tasks(Selection(task_ids=tuple(rest)))
            tasks |= {task.id: task for task in listing.tasks}
        gone = await self._ask_for(sorted(wrong.keys() - tasks.keys()), tasks)
        if tasks:
            self._warn(f"{_tasks(tasks)} converted before, and had to be exported again.")
            if (stopped_by := await fetch(_orders(tasks, wrong))) is not None:
                return stopped_by
        if left := (await self._converted()).keys() - gone:
            self._warn(
                f"{_tasks(left)} converted before, and could not be exported again yet. Nothing is "
                "converted until then. Run again."
            )
            return None
        removed = plan_.of(Remove) if plan_.guard is None else ()
        if stay := gone.difference([removal.task_id for removal in removed]):
            self._warn(
                f"{_tasks(stay)} converted before, perhaps wrongly, and deleted on the server "
                "since. What is here stays as it is. To remove it, use --prune."
            )
        await self._store.distrusted.write(self._distrusted.settled())
        return None

    async def _ask_for(self, task_ids: Sequence[int], found: dict[int, Task]) -> set[int]:
        """Ask for tasks that no list has, each alone, as lists leave out what cannot be read.

        Args:
            task_ids: The tasks.
            found: Receives those that are there.

        Returns:
            Those that are gone. Only a 404 says so.
        """
        gone: set[int] = set()

        async def ask(task_id: int) -> None:
            try:
                found[task_id] = await self._client.task(task_id)
            except NotFoundError:
                gone.add(task_id)
            except AsyncCvatError:
                pass  # the next run asks again

        await run_limited(_ASKED_AT_ONCE, [partial(ask, task_id) for task_id in task_ids])
        return gone

    async def _converted(self) -> dict[int, ReceiptHead]:
        heads = await self._store.receipts()
        return {task_id: head for task_id, head in heads.items() if head.rule is not None}

    def _tell(self, conversions: Conversions, unnoted: StoreError | None) -> None:
        """Warn of tasks that were exported, and of audits that found something or nothing.

        Args:
            conversions: What came of the run's conversions.
            unnoted: Why the difference could not be noted, so that the next run does not know it.
        """
        if conversions.exported:
            exported = conversions.exported
            by_reason: dict[str, list[int]] = {}
            for task_id in sorted(exported):
                by_reason.setdefault(exported[task_id], []).append(task_id)
            why = "; ".join(f"{reason} ({first_few(ids)})" for reason, ids in by_reason.items())
            self._warn(f"{_tasks(exported)} exported, as no exact conversion is known: {why}")
        if conversions.difference is not None:
            then = "Tasks are exported until a newer asynccvat or CVAT is there."
            if unnoted is not None:
                then = (
                    f"This could not be noted ({str(unnoted).rstrip('.')}), so later runs do not "
                    "know it, and what was converted stays. Run again with --force --with-exports."
                )
            self._warn(
                "a conversion differs from the export of the server, by the rule "
                f"{conversions.rule!r}: {conversions.difference}. {then}"
            )
        elif not conversions.audited and (conversions.changing or conversions.converted):
            why = "no export of a converted task could be compared with it"
            if conversions.changing:
                why = f"{_tasks(conversions.changing)} changed on the server during the audit"
            self._warn(f"no conversion was audited: {why}. The next run audits others.")


def _tasks(task_ids: Iterable[int]) -> str:
    """Return how many tasks there are, which, and the verb."""
    ids = sorted(task_ids)
    if len(ids) == 1:
        return f"task {ids[0]} was"
    return f"{len(ids)} tasks ({first_few(ids)}) were"


def _orders(tasks: Mapping[int, Task], heads: Mapping[int, ReceiptHead]) -> list[FetchOrder]:
    return [
        FetchOrder(
            task=task, folder=heads[task_id].folder, reason=Reason.AUDIT, previous=heads[task_id]
        )
        for task_id, task in sorted(tasks.items())
    ]
