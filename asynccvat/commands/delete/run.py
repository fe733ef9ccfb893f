"""Plan a deletion, and carry it out: each target is read again just before its call.

`core.plans.delete` decides. A lost answer is looked up: what is gone then was deleted.
"""

from __future__ import annotations

from asynccvat.client import CvatClient, internals
from asynccvat.commands.delete.log import DeletionLog
from asynccvat.commands.delete.reading import RequiredBackups, read_again, read_facts
from asynccvat.core.delete_options import DeleteOptions, check_selection
from asynccvat.core.outcomes import Action, FailedOutcome, TaskOutcome
from asynccvat.core.plans.delete import (
    DeletePlan,
    DeleteReason,
    DeleteStep,
    is_unchanged,
    obstacle,
    plan_delete,
    since,
    wrong_number,
)
from asynccvat.core.selections.selection import Selection
from asynccvat.errors import (
    AsyncCvatError,
    AuthenticationError,
    ConnectError,
    RateLimitError,
    ResponseError,
    ServerError,
    TransportError,
)
from asynccvat.events import ListingRead, Planned
from asynccvat.transfer.report import ReportBuilder
from asynccvat.transfer.run import Run

_CHANGED = "it changed since the dry run"


class DeleteRun:
    """One deletion of many targets."""

    def __init__(
        self,
        client: CvatClient,
        selection: Selection,
        options: DeleteOptions,
        *,
        expect: int = 0,
        seen: DeletePlan | None = None,
    ) -> None:
        """Delete a selection of a client's targets.

        Args:
            client: The server.
            selection: Which targets.
            options: The options.
            expect: How many the dry run showed.
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
        """Return what would be deleted, and why not. Changes nothing, here or there."""
        async with RequiredBackups.open(self._client, self._options) as backups:
            return await self._plan(backups)

    async def work(self, run: Run) -> None:
        """Delete, and write the run's report however it ends."""
        run.target = self._options.target
        report = ReportBuilder(run, self._options)
        await report.during(self._delete(run, report))

    async def _plan(self, backups: RequiredBackups | None) -> DeletePlan:
        await internals(self._client).check_version()
        facts = await read_facts(self._client, self._selection, self._options, backups)
        return plan_delete(facts, lose_issues=self._options.lose_issues)

    async def _delete(self, run: Run, report: ReportBuilder) -> AsyncCvatError | None:
        await internals(self._client).check_may_write("delete")
        async with (
            DeletionLog.open(self._client, self._options) as log,
            RequiredBackups.open(self._client, self._options) as backups,
        ):
            plan = await self._plan(backups)
            # The number is that of the dry run, also where an interrupted run did a part of it.
            counted = plan
            if self._seen is not None:
                plan, counted = since(plan, self._seen), self._seen
            guard = plan.guard or counted.guard or wrong_number(self._expect, counted)
            report.set_listing(complete=plan.guard is None, guard=guard)
            run.emit(ListingRead(len(plan.steps), plan.guard is None))
            run.emit(_planned(plan))
            if guard is not None:
                report.warn(guard)
                return None
            for step in plan.steps:
                if step.step != "delete":
                    report.done(self._skipped(step, step.reason, step.detail))
                    continue
                # What was seen first decides, not what this run has just read.
                seen = step if self._seen is None else _planned_step(self._seen, step)
                stopped_by = await self._one(seen, log, backups, report)
                if stopped_by is not None:
                    return stopped_by
        return None

    async def _one(
        self,
        step: DeleteStep,
        log: DeletionLog,
        backups: RequiredBackups | None,
        report: ReportBuilder,
    ) -> AsyncCvatError | None:
        """Delete one target; return the error that ends the run, None to go on."""
        try:
            report.done(await self._attempts(step, log, backups))
        except ResponseError as error:
            known = not isinstance(error, ServerError)
            await log.note("refused" if known else "unknown", step, error=str(error))
            report.done(self._failed(step, error))
            return error if isinstance(error, AuthenticationError) else None
        except TransportError as error:
            await log.note("unknown", step, error=str(error))
            report.done(self._failed(step, error))
            return error
        return None

    async def _attempts(
        self, step: DeleteStep, log: DeletionLog, backups: RequiredBackups | None
    ) -> TaskOutcome:
        calls = internals(self._client).deletions
        attempt, lost = 0, False
        while True:
            now = await read_again(self._client, step.id, self._options, backups)
            if now is None:
                await log.note("deleted" if lost else "gone", step)
                return self._deleted(step) if lost else self._gone(step)
            found = obstacle(now, lose_issues=self._options.lose_issues)
            if not is_unchanged(step, now.state, now.tasks):
                found = DeleteReason.CHANGED, _CHANGED
            if found is not None:
                await log.note("passed over", step, reason=str(found[0]), detail=found[1])
                return self._skipped(step, *found)
            await log.note("delete", step, updated_date=now.state.updated_date)
            try:
                was_there = await calls.delete(self._options.target, step.id)
            except (TransportError, ServerError, RateLimitError) as error:
                # Nothing is sent again before the target was read again.
                lost = lost or not isinstance(error, ConnectError | RateLimitError)
                if lost and await read_again(self._client, step.id, self._options, None) is None:
                    continue
                if attempt >= self._options.retries:
                    raise
                await calls.retry_or_raise(error, attempt)
                attempt += 1
                continue
            # A first 404 may be our own, too: a broken connection carries a call twice.
            await log.note("deleted" if was_there or lost else "gone", step)
            return self._deleted(step) if was_there or lost else self._gone(step)

    def _deleted(self, step: DeleteStep) -> TaskOutcome:
        return TaskOutcome(
            task_id=step.id,
            target=self._options.target,
            name=step.name,
            action=Action.DELETED,
            reason=DeleteReason.SELECTED,
        )

    def _gone(self, step: DeleteStep) -> TaskOutcome:
        return self._skipped(
            step, DeleteReason.GONE, "it was gone already, or the answer of its call was lost"
        )

    def _skipped(self, step: DeleteStep, reason: DeleteReason, detail: str) -> TaskOutcome:
        return TaskOutcome(
            task_id=step.id,
            target=self._options.target,
            name=step.name,
            action=Action.SKIPPED,
            reason=reason,
            warnings=(f"not deleted: {detail}.",),
        )

    def _failed(self, step: DeleteStep, error: AsyncCvatError) -> TaskOutcome:
        return FailedOutcome(
            task_id=step.id,
            target=self._options.target,
            name=step.name,
            action=Action.FAILED,
            reason=step.reason,
            error=error,
        )


def _planned_step(seen: DeletePlan, step: DeleteStep) -> DeleteStep:
    return next(one for one in seen.deletions if one.id == step.id)


def _planned(plan: DeletePlan) -> Planned:
    deletions = len(plan.deletions)
    return Planned(
        fetch=0,
        keep=0,
        skip=len(plan.steps) - deletions,
        move=0,
        remove=deletions,
        refuse=0,
    )
