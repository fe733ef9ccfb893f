"""Plan a deletion, and carry it out.

`core.plans.delete` decides, `reading` reads what it decides about, `one_target` makes the calls.
"""

from __future__ import annotations

import msgspec

from asynccvat.client import CvatClient, internals
from asynccvat.commands.delete.log import DeletionLog
from asynccvat.commands.delete.one_target import TargetDeleter, left
from asynccvat.commands.delete.reading import RequiredBackups, is_gone, read_facts
from asynccvat.core.options.delete import DeleteOptions, check_selection
from asynccvat.core.plans.delete import DeletePlan, plan_delete, since, wrong_number
from asynccvat.core.selections.selection import Selection
from asynccvat.errors import AsyncCvatError, AuthenticationError, GatewayError, TransportError
from asynccvat.events import ListingRead, Planned, TaskStarted
from asynccvat.transfer.report import ReportBuilder
from asynccvat.transfer.run import Run

_ENDS_A_RUN = (AuthenticationError, GatewayError, TransportError)


class DeleteRun:
    """One deletion of many targets."""

    def __init__(
        self,
        client: CvatClient,
        selection: Selection,
        options: DeleteOptions,
        *,
        expect: int | None = None,
        seen: DeletePlan | None = None,
    ) -> None:
        """Delete a selection of a client's targets.

        Args:
            client: The server.
            selection: Which targets.
            options: The options.
            expect: How many the dry run showed, None only to plan.
            seen: The plan of the dry run, None to plan anew.

        Raises:
            ConfigError: The selection has no condition.
        """
        check_selection(selection, options)
        self._client = client
        self._selection = selection
        self._options = options
        self._expect = expect
        self._seen = seen

    async def plan(self) -> DeletePlan:
        """Return what would be deleted, and why not. Changes nothing, here or there.

        Raises:
            AsyncCvatError: The server cannot be asked, or a backup not be read.
        """
        async with RequiredBackups.open(self._client, self._options) as backups:
            return (await self._plan(backups))[0]

    async def work(self, run: Run) -> None:
        """Delete, and write the run's report however it ends."""
        run.target = self._options.target
        report = ReportBuilder(run, self._options, verb="delete")
        await report.during(self._delete(run, report))

    async def _plan(self, backups: RequiredBackups | None) -> tuple[DeletePlan, bool]:
        """Return the plan, and whether the listing is complete."""
        await internals(self._client).check_version()
        self._selection = await internals(self._client).resolved(self._selection)
        seen = self._seen
        also = () if seen is None else [step.id for step in seen.deletions]
        facts = await read_facts(self._client, self._selection, self._options, backups, also)
        plan = plan_delete(facts, lose_issues=self._options.lose_issues)
        # The number is that of the dry run, also where an interrupted run did a part of it.
        counted = plan if seen is None else seen
        plan = plan if seen is None else since(plan, seen)
        guard = plan.guard or counted.guard
        if guard is None and self._expect is not None:
            guard = wrong_number(self._expect, counted)
        return msgspec.structs.replace(plan, guard=guard), facts.complete

    async def _delete(self, run: Run, report: ReportBuilder) -> AsyncCvatError | None:
        await internals(self._client).check_may_write("delete")
        async with (
            DeletionLog.open(self._client, self._options) as log,
            RequiredBackups.open(self._client, self._options) as backups,
        ):
            await self._settle(log)
            plan, complete = await self._plan(backups)
            report.set_listing(complete=complete, guard=plan.guard)
            run.emit(ListingRead(len(plan.steps), complete))
            run.emit(_planned(plan))
            if plan.guard is not None:
                report.warn(plan.guard, is_refusal=True)
                return None
            # What was seen first decides, not what this run has just read.
            first = plan if self._seen is None else self._seen
            seen = {step.id: step for step in first.deletions}
            deleter = TargetDeleter(self._client, self._options, log, backups, report)
            for step in plan.steps:
                if step.step != "delete":
                    report.done(left(step, step.reason, step.detail, self._options))
                    continue
                run.emit(TaskStarted(step.id, step.name))
                error = await deleter.delete(seen[step.id])
                if isinstance(error, _ENDS_A_RUN):
                    return error
        return None

    async def _settle(self, log: DeletionLog) -> None:
        """Note what became of the calls that an earlier run made and did not see the end of."""
        for target, step in log.unknown():
            gone = await is_gone(self._client, target, step.id)
            await log.note("deleted" if gone else "not deleted", step, target=target, later=True)


def _planned(plan: DeletePlan) -> Planned:
    deletions = len(plan.deletions)
    refused = sum(step.reason.is_refusal for step in plan.steps)
    return Planned(
        fetch=0,
        keep=0,
        skip=len(plan.steps) - deletions - refused,
        move=0,
        remove=deletions,
        refuse=refused,
    )
