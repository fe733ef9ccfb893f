"""Restore backups: find them, compare them with the journal, and carry the plan out."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

from asynccvat.aio.threads import shielded
from asynccvat.client import CvatClient
from asynccvat.commands.restore.dispatcher import RestoreDispatcher, failed
from asynccvat.commands.restore.preparation import RestorePreparation, RestoreTarget
from asynccvat.commands.restore.records import RESTORES, RestoreJournal, journal_folder
from asynccvat.commands.restore.sources import BackupChoice, BackupSource, find_sources
from asynccvat.core.options.restore import RestoreOptions
from asynccvat.core.outcomes import Action, TaskOutcome
from asynccvat.core.plans.restore import RefuseRestore, RestorePlan, SkipRestore
from asynccvat.core.targets import TargetKind
from asynccvat.errors import AsyncCvatError, ConfigError, StoreError
from asynccvat.transfer.report import ReportBuilder
from asynccvat.transfer.run import Run


class RestoreRun:
    """One restore, from finding the backups to the last comparison."""

    def __init__(
        self,
        client: CvatClient,
        source: Path,
        choice: BackupChoice,
        project: int | str | None,
        options: RestoreOptions,
    ) -> None:
        """Restore backups to a client's server.

        Args:
            client: The server.
            source: A destination of backups, or one zip.
            choice: Which of a destination.
            project: The project to move the tasks into, by its id or name. None for none.
            options: The options.

        Raises:
            ConfigError: The arguments contradict each other.
        """
        if project is not None and choice.kind is TargetKind.PROJECT:
            raise ConfigError(
                "a project cannot be restored into a project. Remove --project or --projects."
            )
        self._client = client
        self._source = source
        self._choice = choice
        self._options = options
        self._preparation = RestorePreparation(client, choice, project, options)

    async def work(self, run: Run) -> None:
        """Restore, and write the run's report however it ends."""
        report = ReportBuilder(run, self._options, verb="restore")
        await report.during(self._restore(run, report))

    async def plan(self) -> RestorePlan:
        """Return what would be done, and why. Changes nothing, neither here nor at the server."""
        async with self._opened(read_only=True) as (journal, sources, target):
            return (await self._preparation.prepare(journal, sources, target)).plan

    async def _restore(self, run: Run, report: ReportBuilder) -> AsyncCvatError | None:
        async with self._opened(read_only=False) as (journal, sources, target):
            prepared = await self._preparation.prepare(journal, sources, target, run.emit)
            if prepared.orders:
                run.target = prepared.orders[0].kind
            for skip in prepared.plan.of(SkipRestore):
                report.done(_skipped(skip))
            for refusal in prepared.plan.of(RefuseRestore):
                report.done(failed(refusal, refusal.problem))
            dispatcher = RestoreDispatcher(
                self._client,
                journal,
                self._options,
                report,
                project_id=prepared.project_id,
                emit=run.emit,
            )
            try:
                await dispatcher.restore_all(prepared.orders)
            finally:
                await shielded(_write_restored(journal, report))
        return dispatcher.stopped_by

    @contextlib.asynccontextmanager
    async def _opened(
        self, *, read_only: bool
    ) -> AsyncIterator[tuple[RestoreJournal, Sequence[BackupSource], RestoreTarget]]:
        """Find the backups and the project, and open the journal."""
        found = await find_sources(self._source, self._choice)
        # A project that cannot be found leaves no journal behind.
        target = await self._preparation.target()
        given = self._options.journal
        client = self._client
        folder = journal_folder(
            found.root, None if given is None else Path(given), client.origin, client.organization
        )
        async with RestoreJournal.open(
            folder,
            kind=RESTORES,
            origin=client.origin,
            organization=client.organization,
            durable=self._options.durable,
            break_lock=self._options.break_lock,
            read_only=read_only,
        ) as journal:
            yield journal, found.sources, target


async def _write_restored(journal: RestoreJournal, report: ReportBuilder) -> None:
    if not journal.states.done:
        return
    try:
        report.new_ids_file = await journal.write_restored()
    except StoreError as error:
        report.warn(f"the list of new ids could not be written, but the journal has them: {error}")


def _skipped(step: SkipRestore) -> TaskOutcome:
    return TaskOutcome(
        task_id=step.target_id,
        target=step.target,
        name=step.name,
        action=Action.SKIPPED,
        reason=step.reason,
        location=str(step.path),
        new_id=step.new_id,
        warnings=(step.detail,) if step.detail else (),
    )
