"""Verify a mirror: read every file again, and compare it with its receipt.

No server is needed, except for a comparison with its list or for a repair: only then `repair` and
the client are imported. `comparison` reads files; `core.plans.verify` plans the work, and has the
report.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING

import anyio

from asynccvat.aio.callbacks import Callback
from asynccvat.aio.list_warnings import warnings_to
from asynccvat.aio.task_groups import task_group
from asynccvat.aio.threads import entered_in_thread
from asynccvat.commands.verify.backups import (
    BackupSelection,
    check_all,
    find_backups,
    foreign_files,
    looking_at_backups,
)
from asynccvat.commands.verify.comparison import ComparedTask, Comparison
from asynccvat.commands.verify.inspection import inspecting
from asynccvat.commands.verify.journal import VerifyJournal
from asynccvat.commands.verify.reading_threads import ReadingThreads
from asynccvat.core.archive_limits import ArchiveLimits
from asynccvat.core.numbers import check_whole
from asynccvat.core.plans.repair import after_repair
from asynccvat.core.plans.targets import task_of_folder
from asynccvat.core.plans.verify import (
    VerifyReport,
    batches,
    damaged_in_selection,
    jobs_of_tasks,
    select_receipts,
    target_of,
    without_receipt,
)
from asynccvat.core.problems import ProblemKind, VerifyProblem
from asynccvat.core.records.receipts import ReceiptHead
from asynccvat.core.records.remembered import Remembered, expected_selection
from asynccvat.core.records.verify_journal import Verified
from asynccvat.core.selections.selection import Selection
from asynccvat.core.targets import TargetKind
from asynccvat.errors import ConfigError
from asynccvat.events import (
    Event,
    ProblemFound,
    RepairStarted,
    VerifyFinished,
    VerifyProgress,
    VerifyStarted,
    Warned,
)
from asynccvat.store.layout import Layout, parent_of

if TYPE_CHECKING:
    from asynccvat.client import CvatClient

DEFAULT_THREADS = 4
RECHECK_DELAYS = (0.0, 0.05, 0.2, 0.5, 1.0, 2.0)
"""Seconds to wait before each new comparison of a task that a mirror seems to be changing."""
# Problems that are reported in a row, before other work in the event loop has a turn.
_TOLD_AT_ONCE = 256


async def verify(
    dest: str | PathLike[str],
    task_ids: Sequence[int] | None = None,
    *,
    folders: Sequence[str] = (),
    restart: bool = False,
    threads: int = DEFAULT_THREADS,
    client: CvatClient | None = None,
    against_server: bool = False,
    selection: Selection | None = None,
    default_project_id: int | None = None,
    repair: bool = False,
    limits: ArchiveLimits | None = None,
    on_event: Callable[[Event], None] | None = None,
) -> VerifyReport:
    """Read every file of a mirror, and compare its size and CRC-32 with the task's receipt.

    In a destination of backups, it reads every member of every zip instead. Such a verification
    begins anew each time, and needs no client.

    It reads the files of the tasks' folders, but no kept archives. It changes nothing except a
    journal in `.asynccvat/`, by which an interrupted verification resumes: tasks that were found
    right are not read again within a week. A mirror may be running at the same time. Tasks that it
    changes are compared again, so they cause no false alarm.

    Args:
        dest: The mirror.
        task_ids: Only these tasks; None for all tasks of the mirror. In a mirror of jobs, only the
            jobs of these tasks.
        folders: Only tasks whose folder names match one of these patterns, like `task1*`. A
            damaged receipt is reported if its task's folder may match.
        restart: Read everything; do not resume an interrupted verification.
        threads: Number of files that are read at once.
        client: The server, for a comparison or a repair.
        against_server: Compare receipts with the server's list of tasks, too: which tasks have
            changed there, are gone, or are not mirrored. Nothing is exported for it.
        selection: The tasks that should be mirrored, if all are compared with the server; None for
            those that the mirror remembers, or else all that the user may see.
        default_project_id: The project to compare with, where neither the selection nor the mirror
            says which tasks.
        repair: Fetch damaged tasks again, by an ordinary mirror of just these. Whole files are
            reused, and edited ones go to `kept/`.
        limits: Bounds on the archives of a repair. None for the default ones.
        on_event: Called with each event, in the event loop's thread.

    Returns:
        The report. Problems of files are never raised. After a repair, the report reflects the
        state after it.

    Raises:
        ConfigError: There is no mirror, it is that of another server, a newer asynccvat wrote it,
            or the arguments contradict each other.
        StoreLockedError: Another process writes to the mirror, and something is to be repaired.
        StoreError: The destination cannot be read.
        AsyncCvatError: The server cannot be reached, or refuses the user or the listing.
        TypeError: An argument has the wrong type.
    """
    wanted = Selection(task_ids=task_ids)  # which checks the ids
    if client is None and (repair or against_server):
        raise ConfigError("a repair or a comparison with the server needs a client. Pass `client`.")
    if selection is not None:
        Selection.of(selection)  # which checks its type
    if selection is not None and (selection.task_ids is not None or not against_server):
        raise ConfigError(
            "`selection` is for `against_server`. Name single tasks by `task_ids` instead."
        )
    check_whole("threads", threads)
    if threads < 1:
        raise ConfigError(f"threads must be at least 1, not {threads}")
    work = _Verification(Path(dest), on_event, threads)
    await work.run(
        _VerifyRequest(
            task_ids=None if wanted.task_ids is None else frozenset(wanted.task_ids),
            folders=tuple(folders),
            restart=restart,
            client=client,
            against_server=against_server,
            selection=selection,
            default_project_id=default_project_id,
            repair=repair,
            limits=limits or ArchiveLimits(),
        )
    )
    return work.report


@dataclass(frozen=True, slots=True, kw_only=True)
class _VerifyRequest:
    task_ids: frozenset[int] | None
    folders: tuple[str, ...]
    restart: bool
    client: CvatClient | None
    against_server: bool
    selection: Selection | None
    default_project_id: int | None
    repair: bool
    limits: ArchiveLimits

    @property
    def everything(self) -> bool:
        return self.task_ids is None and not self.folders


class _Verification:
    """One verification, from the receipts to the repair."""

    def __init__(self, dest: Path, on_event: Callable[[Event], None] | None, threads: int) -> None:
        self.report = VerifyReport(interrupted=True)
        self._dest = dest
        self._emit = Callback(on_event)
        self._threads = threads
        self._bytes = 0
        self._files: dict[int, int] = {}
        self._target = TargetKind.TASK
        self._problems: list[VerifyProblem] = []

    async def run(self, wanted: _VerifyRequest) -> None:
        """Run all of it. The report is complete also after an error."""
        clock = asyncio.get_running_loop().time
        began = clock()
        interrupted = True
        try:
            async with entered_in_thread(looking_at_backups(self._dest)) as layout:
                if layout is not None:
                    await self._verify_backups(layout, wanted)
            if layout is None:
                async with entered_in_thread(inspecting(self._dest)) as look:
                    await self._verify(Comparison(look, self._threads, self._count), wanted)
            interrupted = self.report.stopped_by is not None
        finally:
            self.report = replace(
                self.report,
                problems=tuple(sorted(self._problems, key=_by_place)),
                files=sum(self._files.values()),
                bytes=self._bytes,
                seconds=clock() - began,
                interrupted=interrupted,
            )
            self._emit(VerifyFinished(self.report))

    async def _verify(self, comparison: Comparison, wanted: _VerifyRequest) -> None:
        client, look, thread = wanted.client, comparison.look, comparison.thread
        remembered = None
        if client is not None:
            remembered = await thread(look.check_server, client.origin, client.organization)
        all_heads, unreadable = await thread(look.heads)
        self._target = target_of(all_heads.values(), remembered)
        self.report = replace(self.report, target=self._target)
        heads = await self._select(comparison, all_heads, unreadable, wanted)
        if not all_heads and not unreadable:
            self.report = replace(self.report, without_receipts=True)
            self._warn(
                f"{str(self._dest)!r} holds no receipt, so nothing could be compared. Check the "
                "path, or mirror into it first."
            )
        if client is not None:
            await self._ask(client, heads, wanted, remembered)
        async with entered_in_thread(look.journal(restart=wanted.restart)) as journal:
            await self._read_all(comparison, journal, heads)
            if client is not None and wanted.repair:
                await self._repair(
                    comparison, client, all_heads, limits=wanted.limits, remembered=remembered
                )
            if wanted.everything:
                parents = {parent_of(head.folder) for head in all_heads.values()} - {None}
                around = sorted(parent for parent in parents if parent is not None)
                self._found(await thread(look.foreign_around, around))
            self.report = replace(self.report, kept=await thread(look.kept))
            await thread(journal.finish, heads.keys())
            if journal.problem is not None:
                self._warn(journal.problem)

    async def _select(
        self,
        comparison: Comparison,
        all_heads: Mapping[int, ReceiptHead],
        unreadable: Sequence[VerifyProblem],
        wanted: _VerifyRequest,
    ) -> dict[int, ReceiptHead]:
        """Return the receipts to verify, and note those that are damaged or missing.

        Raises:
            ConfigError: No folder matches the patterns, or ids of tasks mean nothing here.
        """
        target, ids = self._target, wanted.task_ids
        known: set[int | None] = {*all_heads, *(one.task_id for one in unreadable)}
        if ids is not None and target is TargetKind.PROJECT:
            raise ConfigError(
                f"tasks cannot be verified by their ids: {str(self._dest)!r} mirrors projects. "
                "Name folders instead, like --folder project5."
            )
        if ids is not None and target is TargetKind.JOB:
            known = {task_of_folder(head.folder) for head in all_heads.values()}
            ids = await comparison.thread(jobs_of_tasks, all_heads, ids)
        heads = await comparison.thread(select_receipts, all_heads, ids, wanted.folders)
        # A damaged receipt does not tell the task of a job, so it may be of any task.
        damaged = (
            list(unreadable)
            if target is TargetKind.JOB
            else damaged_in_selection(unreadable, ids, wanted.folders)
        )
        if wanted.folders and not (heads or damaged):
            raise ConfigError(
                f"no folder of a {target} in {str(self._dest)!r} matches "
                f"{', '.join(map(repr, wanted.folders))}. Check the pattern."
            )
        self._found(damaged)
        self._found(without_receipt(wanted.task_ids or (), known))
        return heads

    async def _verify_backups(self, layout: Layout, wanted: _VerifyRequest) -> None:
        """Read the zips of a destination of backups."""
        if wanted.against_server or wanted.repair:
            raise ConfigError(
                f"{str(self._dest)!r} holds backups. `asynccvat backup` compares them with the "
                "server. To replace a damaged one, name its task: `asynccvat backup DEST -t 147 "
                "--force`."
            )
        threads = ReadingThreads(self._threads, self._count)
        selected = BackupSelection(task_ids=wanted.task_ids, folders=wanted.folders)
        found = await threads.run(find_backups, layout, selected)
        self._found(found.problems)
        if not (found.backups or found.problems):
            self.report = replace(self.report, without_receipts=True)
            self._warn(
                f"{str(self._dest)!r} holds no backup, so nothing could be compared. Check the "
                "path, or run `asynccvat backup` first."
            )
        targets = {one.receipt.folder: one.receipt.target for one in found.backups}
        kinds = set(targets.values())
        started = VerifyStarted(
            target=kinds.pop() if len(kinds) == 1 else TargetKind.TASK,
            tasks=len(targets),
            files=len(found.backups),
            bytes=sum(one.receipt.size for one in found.backups),
            resumed=0,
        )
        self.report = replace(self.report, tasks=started.tasks, target=started.target)
        self._files = dict(enumerate([1] * started.files))
        self._emit(started)
        await check_all(layout, found.backups, threads, at_once=self._threads, found=self._found)
        if selected.everything:
            self._found(await threads.run(foreign_files, layout))

    async def _ask(
        self,
        client: CvatClient,
        heads: Mapping[int, ReceiptHead],
        wanted: _VerifyRequest,
        remembered: Remembered | None,
    ) -> None:
        """Ask the server before reading for hours, as it may refuse."""
        from asynccvat.commands.verify import repair as repairing  # noqa: PLC0415 - without a server, no network is loaded

        if not wanted.against_server:
            await client.user()
            return
        selection = expected_selection(wanted.selection, remembered, wanted.default_project_id)
        target = self._target
        named = None if wanted.everything else sorted({*heads, *(wanted.task_ids or ())})
        if wanted.task_ids is not None and target is TargetKind.JOB:
            selection, named = Selection(task_ids=sorted(wanted.task_ids)), None
        should = repairing.expected_targets(selection, remembered, heads.values(), named, target)
        with warnings_to(self._warn):
            differing, complete = await repairing.compare_with_server(client, heads, should)
        told = {(problem.target, problem.task_id) for problem in self._problems}
        for number, problem in enumerate(differing, start=1):
            if (problem.target, problem.task_id) not in told:
                self._found([problem])
            if number % _TOLD_AT_ONCE == 0:
                await asyncio.sleep(0)
        if not complete:
            self.report = replace(self.report, listing_complete=False)
            self._warn(repairing.incomplete_notice(target))

    # --- reading ----------------------------------------------------------------------------

    async def _read_all(
        self, comparison: Comparison, journal: VerifyJournal, heads: Mapping[int, ReceiptHead]
    ) -> None:
        before, started = await comparison.thread(_to_be_read, heads, journal.entries, self._target)
        self.report = replace(self.report, tasks=started.tasks, resumed=started.resumed)
        self._emit(started)
        doubtful: list[int] = []
        # More batches than threads, so that no thread waits for the loop; few, to bound memory.
        at_once = anyio.Semaphore(2 * self._threads)

        async def read(batch: Sequence[ReceiptHead]) -> None:
            try:
                compared = await self._compare(comparison, batch, before)
            finally:
                at_once.release()
            await comparison.thread(journal.note, _newly_read(compared, before))
            for one in compared:
                if one.confirmed:
                    self._found(one.problems)
                else:
                    doubtful.append(one.task_id)

        async with task_group() as group:
            for batch in batches(heads.values()):
                await at_once.acquire()
                group.start_soon(read, batch)
        await self._compare_again(comparison, heads, doubtful)

    async def _compare(
        self, comparison: Comparison, batch: Sequence[ReceiptHead], before: Mapping[int, str]
    ) -> list[ComparedTask]:
        compared = await comparison.compare(batch, before)
        for one in compared:
            if one.claim is not None:
                self._files[one.task_id] = len(one.claim.receipt.members)
        return compared

    async def _compare_again(
        self, comparison: Comparison, heads: Mapping[int, ReceiptHead], doubtful: Iterable[int]
    ) -> None:
        """Compare tasks again that a mirror was changing, until it is done with them.

        A change that takes longer than these seconds was left by a killed run, and is a problem.
        """
        left = sorted(doubtful)
        for delay in RECHECK_DELAYS:
            if not left:
                return
            await anyio.sleep(delay)
            again = await self._compare(comparison, [heads[task_id] for task_id in left], {})
            left = [one.task_id for one in again if not one.confirmed]
            for one in again:
                if one.confirmed or delay == RECHECK_DELAYS[-1]:
                    self._found(one.problems)

    # --- the repair -------------------------------------------------------------------------

    async def _repair(
        self,
        comparison: Comparison,
        client: CvatClient,
        heads: Mapping[int, ReceiptHead],
        *,
        limits: ArchiveLimits,
        remembered: Remembered | None,
    ) -> None:
        from asynccvat.commands.verify import repair as repairing  # noqa: PLC0415 - without a server, no network is loaded

        damaged = {
            one.task_id for one in self._problems if one.kind.is_damage and one.task_id is not None
        }
        if not damaged:
            return
        self._emit(RepairStarted(len(damaged), self._target))
        archived = await comparison.thread(comparison.look.archived)
        outcomes, stopped_by = await repairing.repair(
            client,
            self._dest,
            damaged,
            heads,
            archived,
            limits=limits,
            remembered=remembered,
            emit=self._hear,
        )
        self.report = replace(self.report, repairs=outcomes, stopped_by=stopped_by)
        heads_now, unreadable = await comparison.thread(comparison.look.heads)
        again = [head for task_id, head in heads_now.items() if task_id in damaged]
        compared = await self._compare(comparison, again, {})
        still = [self._of_target(problem) for one in compared for problem in one.problems]
        still += [self._of_target(one) for one in unreadable if one.task_id in damaged]
        self._problems, repaired = after_repair(self._problems, still, outcomes)
        self.report = replace(self.report, repaired=repaired)

    # --- events and the report ---------------------------------------------------------------

    def _count(self, files: int, read: int) -> None:
        self._bytes += read
        self._emit(VerifyProgress(files=files, read=read))

    def _found(self, problems: Iterable[VerifyProblem]) -> None:
        for problem in map(self._of_target, problems):
            self._problems.append(problem)
            self._emit(ProblemFound(problem))

    def _of_target(self, problem: VerifyProblem) -> VerifyProblem:
        """Say that a problem is about a project or a job: files are compared by ids alone."""
        is_said = problem.target is not TargetKind.TASK
        if is_said or problem.kind is ProblemKind.NOT_MIRRORED:
            return problem
        return replace(problem, target=self._target)

    def _warn(self, message: str) -> None:
        self.report = replace(self.report, warnings=(*self.report.warnings, message))
        self._emit(Warned(message))

    def _hear(self, event: Event) -> None:
        """Pass an event of the repair on; its warnings belong to the report, too."""
        if isinstance(event, Warned):
            self._warn(event.message)
        else:
            self._emit(event)


def _to_be_read(
    heads: Mapping[int, ReceiptHead], entries: Mapping[int, Verified], target: TargetKind
) -> tuple[dict[int, str], VerifyStarted]:
    """Return which tasks were read before, with their receipts' identities, and what is left."""
    before = {task_id: entry.receipt for task_id, entry in entries.items() if task_id in heads}
    return before, VerifyStarted(
        tasks=len(heads),
        files=sum(head.files for head in heads.values()),
        bytes=sum(head.bytes for task_id, head in heads.items() if task_id not in before),
        resumed=len(before),
        target=target,
    )


def _newly_read(
    compared: Iterable[ComparedTask], before: Mapping[int, str]
) -> list[tuple[int, str]]:
    """Return the tasks for the journal, each with its receipt's identity.

    Tasks that were read before keep the time of that reading. Tasks with notes count, too, as each
    run finds notes again by names and times. A touched file is read by each run, as its time does
    not match the receipt.
    """
    return [
        (one.task_id, one.claim.identity)
        for one in compared
        if one.claim is not None
        and one.claim.recorded
        and one.confirmed
        and all(problem.kind.is_note for problem in one.problems)
        and before.get(one.task_id) != one.claim.identity
    ]


def _by_place(problem: VerifyProblem) -> tuple[str, int, str]:
    return problem.path, problem.task_id or 0, problem.kind
