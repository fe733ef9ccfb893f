"""Copy tasks between two servers or organizations: read both, plan, carry out, compare.

`core.plans.copy` decides, `commands.copy.dispatcher` copies many tasks at once.
"""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from dataclasses import replace

from asynccvat.aio.task_groups import run_all
from asynccvat.client import CvatClient, internals
from asynccvat.commands.copy.dispatcher import CopyDispatcher, failed
from asynccvat.commands.copy.projects import make_projects
from asynccvat.commands.copy.reading import read_facts
from asynccvat.commands.copy.state import BothSides, CopyState, side_of
from asynccvat.core.options.copy import CopyOptions
from asynccvat.core.plans.copy import CopyFacts, copies_to_forget, plan_copy, with_projects
from asynccvat.core.plans.copy_steps import (
    CopyPlan,
    CopyReason,
    CopyTask,
    FinishCopy,
    KeepCopy,
    RefuseCopy,
    RemoveCopy,
    SkipCopy,
    UpdateCopy,
)
from asynccvat.core.records.copies import Gone, SideName
from asynccvat.core.selections.selection import Selection, check_prunable
from asynccvat.errors import AsyncCvatError, ConfigError, CopyError, NotFoundError
from asynccvat.events import ListingRead, Planned
from asynccvat.transfer.report import ReportBuilder
from asynccvat.transfer.run import Run


class CopyRun:
    """One copy, from the listing to the last comparison."""

    def __init__(
        self,
        source: CvatClient,
        target: CvatClient,
        selection: Selection,
        options: CopyOptions,
    ) -> None:
        """Copy a selection of one client's tasks to another client.

        Args:
            source: The server, user and organization that have the tasks.
            target: Those that get them.
            selection: Which tasks.
            options: The options.

        Raises:
            ConfigError: Both sides are the same.
        """
        self._source_side, self._target_side = side_of(source), side_of(target)
        _check_apart(self._source_side, self._target_side)
        check_prunable(selection, prune=options.prune)
        if replace(selection, limit=None) == Selection() and options.default_project_id is not None:
            selection = replace(selection, project_ids=(options.default_project_id,))
        self._source = source
        self._target = target
        self._selection = selection
        self._options = options

    async def work(self, run: Run) -> None:
        """Copy, and write the run's report however it ends."""
        report = ReportBuilder(run, self._options, verb="copy")
        await report.during(self._copy(run, report))

    async def plan(self) -> CopyPlan:
        """Return what would be done, and why. Changes nothing, neither here nor at a server."""
        async with self._opened(read_only=True) as state:
            return plan_copy(await self._facts(state), self._options)

    def _opened(self, *, read_only: bool) -> AbstractAsyncContextManager[CopyState]:
        return CopyState.open(
            self._source_side, self._target_side, self._options, read_only=read_only
        )

    async def _facts(self, state: CopyState) -> CopyFacts:
        # Both clients log in during that.
        await run_all([internals(self._source).check_version, self._check_target])
        return await read_facts(self._source, self._target, state, self._selection, self._options)

    async def _check_target(self) -> None:
        await internals(self._target).check_version()
        await internals(self._target).check_may_write("copy")

    async def _copy(self, run: Run, report: ReportBuilder) -> AsyncCvatError | None:
        async with self._opened(read_only=False) as state:
            sides = BothSides(self._source, self._target, state, self._options, run.emit)
            dispatcher = CopyDispatcher(sides, report)
            await dispatcher.settle_lost_calls()
            facts = await self._facts(state)
            plan = plan_copy(facts, self._options)
            run.emit(ListingRead(len(facts.listing.tasks), facts.listing.complete))
            run.emit(_planned(plan))
            _warn_of(plan, report)
            for copy in copies_to_forget(facts):
                await state.note(Gone(copy))
            report.set_listing(complete=facts.listing.complete, guard=plan.guard)
            projects = await make_projects(self._target, state, facts.projects)
            plan = with_projects(plan, projects)
            for refusal in plan.of(RefuseCopy):
                report.done(failed(refusal, _refused(refusal)))
            await dispatcher.carry_out(plan.steps, projects=projects, jobs=facts.jobs)
            if dispatcher.stopped_by is None:
                await dispatcher.remove(_removals(plan))
            return dispatcher.stopped_by


def _check_apart(source: SideName, target: SideName) -> None:
    """Check that neither side holds what the other one has.

    Raises:
        ConfigError: They are the same, or one shows what is in the other: copies would be copied.
    """
    if source == target:
        raise ConfigError(
            f"both sides are {source}. Name two servers, or two organizations of one."
        )
    if source.origin == target.origin and None in (source.organization, target.organization):
        flag = "--from-org" if source.organization is None else "--to-org"
        raise ConfigError(
            f"both sides are on {source.origin}, and one of them is every organization that the "
            f"user may see. Name its organization with {flag}; '' is the personal workspace."
        )


def _removals(plan: CopyPlan) -> list[RemoveCopy]:
    """Return the copies that go. What a newer one replaces was allowed by an earlier run."""
    return [
        step
        for step in plan.of(RemoveCopy)
        if step.reason is CopyReason.REPLACED or plan.guard is None
    ]


def _planned(plan: CopyPlan) -> Planned:
    keep = plan.of(KeepCopy)
    compared = sum(step.reason is CopyReason.EDITED for step in keep)
    made = len(plan.of(CopyTask)) + len(plan.of(FinishCopy)) + len(plan.of(UpdateCopy))
    return Planned(
        fetch=0,
        keep=len(keep) - compared,
        skip=len(plan.of(SkipCopy)),
        move=0,
        remove=len(_removals(plan)),
        refuse=len(plan.of(RefuseCopy)),
        upload=made + compared,
    )


def _warn_of(plan: CopyPlan, report: ReportBuilder) -> None:
    if not plan.listing.complete:
        report.warn(
            "the listing of the source is incomplete: tasks kept changing while they were listed, "
            "or cannot be read. The listed tasks are copied, and no copy is removed. Run again."
        )
    if plan.guard is not None:
        report.warn(plan.guard, is_refusal=True)
    for warning in plan.warnings:
        report.warn(warning)


def _refused(refusal: RefuseCopy) -> AsyncCvatError:
    if refusal.reason is CopyReason.NOT_FOUND:
        return NotFoundError(
            f"cannot copy task {refusal.task_id}: {refusal.detail}.",
            status=404,
            task_id=refusal.task_id,
            step="list",
        )
    what = "task" if refusal.is_removal else "cannot copy task"
    return CopyError(
        f"{what} {refusal.task_id}: {refusal.named_detail}.",
        task_id=refusal.task_id,
        step="plan",
    )
