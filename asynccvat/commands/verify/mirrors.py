"""Verify a mirror: select its receipts, read the files, and fetch damaged tasks again on request.

No server is needed, except for a comparison with its list or for a repair: only then `repair` and
the client are imported. `comparison` reads files, and `core.plans.verify` plans the work.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

import anyio

from asynccvat.aio.list_warnings import warnings_to
from asynccvat.aio.task_groups import task_group
from asynccvat.aio.threads import entered_in_thread
from asynccvat.commands.verify.comparison import ComparedTask, Comparison
from asynccvat.commands.verify.findings import Findings
from asynccvat.commands.verify.journal import VerifyJournal
from asynccvat.commands.verify.request import VerifyRequest
from asynccvat.core.plans.repair import after_repair
from asynccvat.core.plans.verify import (
    batches,
    damaged_in_selection,
    ends_with_id,
    jobs_of_tasks,
    select_receipts,
    target_of,
    without_receipt,
)
from asynccvat.core.problems import VerifyProblem
from asynccvat.core.records.receipts import ReceiptHead
from asynccvat.core.records.remembered import Remembered
from asynccvat.core.records.settling import expected_selection
from asynccvat.core.records.verify_journal import Verified
from asynccvat.core.selections.selection import Selection
from asynccvat.core.targets import TargetKind
from asynccvat.errors import ConfigError
from asynccvat.events import (
    RepairStarted,
    VerifyStarted,
)
from asynccvat.store.homes import parents_of

if TYPE_CHECKING:
    from asynccvat.client import CvatClient

RECHECK_DELAYS = (0.0, 0.05, 0.2, 0.5, 1.0, 2.0)
"""Seconds to wait before each new comparison of a task that a mirror seems to be changing."""
# Problems that are reported in a row, before other work in the event loop has a turn.
_TOLD_AT_ONCE = 256


class MirrorVerification:
    """One verification of a mirror, from the receipts to the repair."""

    def __init__(self, comparison: Comparison, wanted: VerifyRequest, findings: Findings) -> None:
        """Prepare it.

        Args:
            comparison: Reads the files.
            wanted: What is verified.
            findings: Collects what is found.
        """
        self._comparison = comparison
        self._wanted = wanted
        self._findings = findings

    async def run(self) -> None:
        """Run all of it."""
        wanted, look, thread = self._wanted, self._comparison.look, self._comparison.thread
        client = wanted.client
        remembered = None
        if client is not None:
            remembered = await thread(look.check_server, client.origin, client.organization)
        all_heads, unreadable = await thread(look.heads)
        self._findings.target = target_of(all_heads.values(), remembered)
        self._findings.note(target=self._findings.target)
        heads = await self._select(all_heads, unreadable)
        if not all_heads and not unreadable:
            self._findings.note(without_receipts=True)
            self._findings.warn(
                f"{str(wanted.dest)!r} holds no receipt, so nothing could be compared. Check the "
                "path, or mirror into it first."
            )
        if client is not None:
            await self._ask(client, heads, remembered)
        async with entered_in_thread(look.journal(restart=wanted.restart)) as journal:
            await self._read_all(journal, heads)
            if client is not None and wanted.repair:
                await self._repair(client, all_heads, remembered)
            if wanted.everything:
                around = {one for head in all_heads.values() for one in parents_of(head.folder)}
                self._findings.found(await thread(look.foreign_around, sorted(around)))
            self._findings.note(kept=await thread(look.kept))
            await thread(journal.finish, heads.keys())
            if journal.problem is not None:
                self._findings.warn(journal.problem)

    async def _select(
        self, all_heads: Mapping[int, ReceiptHead], unreadable: Sequence[VerifyProblem]
    ) -> dict[int, ReceiptHead]:
        """Return the receipts to verify, and note those that are damaged or missing.

        Raises:
            ConfigError: No folder matches the patterns, or ids of tasks mean nothing here.
        """
        wanted, thread = self._wanted, self._comparison.thread
        target, ids = self._findings.target, wanted.task_ids
        known: set[int | None] = {*all_heads, *(one.task_id for one in unreadable)}
        if ids is not None and target is TargetKind.PROJECT:
            raise ConfigError(
                f"tasks cannot be verified by their ids: {str(wanted.dest)!r} mirrors projects. "
                "Name folders instead, like --folder project5."
            )
        if ids is not None and target is TargetKind.JOB:
            known = {head.task_of_job for head in all_heads.values()}
            ids = await thread(jobs_of_tasks, all_heads, ids)
        heads = await thread(select_receipts, all_heads, ids, wanted.folders)
        # A damaged receipt does not tell the task of a job, so it may be of any task.
        damaged = (
            list(unreadable)
            if target is TargetKind.JOB
            else damaged_in_selection(
                unreadable,
                ids,
                wanted.folders,
                end_with_ids=all(ends_with_id(head) for head in all_heads.values()),
            )
        )
        if wanted.folders and not (heads or damaged):
            raise ConfigError(
                f"no folder of a {target} in {str(wanted.dest)!r} matches "
                f"{', '.join(map(repr, wanted.folders))}. Check the pattern."
            )
        self._findings.found(damaged)
        self._findings.found(without_receipt(wanted.task_ids or (), known))
        return heads

    async def _ask(
        self,
        client: CvatClient,
        heads: Mapping[int, ReceiptHead],
        remembered: Remembered | None,
    ) -> None:
        """Ask the server before reading for hours, as it may refuse."""
        from asynccvat.commands.verify import repair as repairing  # noqa: PLC0415 - without a server, no network is loaded

        wanted = self._wanted
        if not wanted.against_server:
            await client.user()
            return
        selection = expected_selection(wanted.selection, remembered, wanted.default_project_id)
        target = self._findings.target
        named = None if wanted.everything else sorted({*heads, *(wanted.task_ids or ())})
        if wanted.task_ids is not None and target is TargetKind.JOB:
            selection, named = Selection(task_ids=sorted(wanted.task_ids)), None
        should = repairing.expected_targets(selection, remembered, heads.values(), named, target)
        with warnings_to(self._findings.warn):
            differing, complete = await repairing.compare_with_server(client, heads, should)
        told = {(problem.target, problem.task_id) for problem in self._findings.problems}
        for number, problem in enumerate(differing, start=1):
            if (problem.target, problem.task_id) not in told:
                self._findings.found([problem])
            if number % _TOLD_AT_ONCE == 0:
                await asyncio.sleep(0)
        if not complete:
            self._findings.note(listing_complete=False)
            self._findings.warn(repairing.incomplete_notice(target))

    # --- reading ----------------------------------------------------------------------------

    async def _read_all(self, journal: VerifyJournal, heads: Mapping[int, ReceiptHead]) -> None:
        before, started = await self._comparison.thread(
            _to_be_read, heads, journal.entries, self._findings.target
        )
        self._findings.note(tasks=started.tasks, resumed=started.resumed)
        self._findings.emit(started)
        doubtful: list[int] = []
        # More batches than threads, so that no thread waits for the loop; few, to bound memory.
        at_once = anyio.Semaphore(2 * self._wanted.threads)

        async def read(batch: Sequence[ReceiptHead]) -> None:
            try:
                compared = await self._compare(batch, before)
            finally:
                at_once.release()
            await self._comparison.thread(journal.note, _newly_read(compared, before))
            for one in compared:
                if one.confirmed:
                    self._findings.found(one.problems)
                else:
                    doubtful.append(one.task_id)

        async with task_group() as group:
            for batch in batches(heads.values()):
                await at_once.acquire()
                group.start_soon(read, batch)
        await self._compare_again(heads, doubtful)

    async def _compare(
        self, batch: Sequence[ReceiptHead], before: Mapping[int, str]
    ) -> list[ComparedTask]:
        compared = await self._comparison.compare(batch, before)
        for one in compared:
            if one.claim is not None:
                self._findings.files[one.task_id] = len(one.claim.receipt.members)
        return compared

    async def _compare_again(
        self, heads: Mapping[int, ReceiptHead], doubtful: Iterable[int]
    ) -> None:
        """Compare tasks again that a mirror was changing, until it is done with them.

        A change that takes longer than these seconds was left by a killed run, and is a problem.
        """
        left = sorted(doubtful)
        for delay in RECHECK_DELAYS:
            if not left:
                return
            await anyio.sleep(delay)
            again = await self._compare([heads[task_id] for task_id in left], {})
            left = [one.task_id for one in again if not one.confirmed]
            for one in again:
                if one.confirmed or delay == RECHECK_DELAYS[-1]:
                    self._findings.found(one.problems)

    # --- the repair -------------------------------------------------------------------------

    async def _repair(
        self,
        client: CvatClient,
        heads: Mapping[int, ReceiptHead],
        remembered: Remembered | None,
    ) -> None:
        from asynccvat.commands.verify import repair as repairing  # noqa: PLC0415 - without a server, no network is loaded

        damaged = {
            one.task_id
            for one in self._findings.problems
            if one.kind.is_damage and one.task_id is not None
        }
        if not damaged:
            return
        self._findings.emit(RepairStarted(len(damaged), self._findings.target))
        archived = await self._comparison.thread(self._comparison.look.archived)
        outcomes, stopped_by = await repairing.repair(
            client,
            self._wanted.dest,
            damaged,
            heads,
            archived,
            limits=self._wanted.limits,
            remembered=remembered,
            emit=self._findings.hear,
        )
        self._findings.note(repairs=outcomes, stopped_by=stopped_by)
        heads_now, unreadable = await self._comparison.thread(self._comparison.look.heads)
        again = [head for task_id, head in heads_now.items() if task_id in damaged]
        compared = await self._compare(again, {})
        still = [self._findings.of_target(problem) for one in compared for problem in one.problems]
        still += [self._findings.of_target(one) for one in unreadable if one.task_id in damaged]
        self._findings.problems, repaired = after_repair(self._findings.problems, still, outcomes)
        self._findings.note(repaired=repaired)


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
