"""Compare tasks' files with their receipts, in several threads.

A cancellation ends the threads soon. `run` chooses the tasks; `file_checks` compares the files.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import ParamSpec, TypeVar

from asynccvat.aio.task_groups import task_group
from asynccvat.commands.verify.file_checks import Claim, Meter
from asynccvat.commands.verify.inspection import Inspection
from asynccvat.commands.verify.reading_threads import ReadingThreads
from asynccvat.core.plans.verify import is_large, slices
from asynccvat.core.problems import VerifyProblem, merge_problems
from asynccvat.core.records.receipts import MemberRecord, ReceiptHead

P = ParamSpec("P")
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class ComparedTask:
    """The result for one task.

    Attributes:
        task_id: The task.
        claim: What its folder should hold; None if its receipt is gone or damaged.
        problems: The differences.
        confirmed: Whether it is certain that no mirror was changing the task.
    """

    task_id: int
    claim: Claim | None
    problems: tuple[VerifyProblem, ...]
    confirmed: bool = True


class Comparison:
    """Compares tasks of one destination.

    Attributes:
        look: The destination.
    """

    def __init__(self, look: Inspection, threads: int, on_read: Callable[[int, int], None]) -> None:
        """Prepare a comparison.

        Args:
            look: The destination.
            threads: Number of threads.
            on_read: Called in the event loop with the files and bytes read since the last call.
        """
        self.look = look
        self._threads = ReadingThreads(threads, on_read)
        self._tell = self._threads.tell

    async def compare(
        self, batch: Sequence[ReceiptHead], before: Mapping[int, str]
    ) -> list[ComparedTask]:
        """Compare tasks: all small ones in one thread, each large one in several.

        Args:
            batch: The tasks.
            before: By task, the identity of the receipt whose files were read before. Of these
                tasks, only files with a changed size or time are read.

        Raises:
            StoreError: This process can open no more files.
        """
        small = [head.task_id for head in batch if not is_large(head)]
        compared = await self.thread(_compare_each, self.look, small, before, self._tell)
        for head in batch:
            if is_large(head):
                compared.append(await self._compare_large(head.task_id, before))
        return compared

    async def _compare_large(self, task_id: int, before: Mapping[int, str]) -> ComparedTask:
        claim = await self.thread(self.look.claim, task_id)
        if not isinstance(claim, Claim):
            return _unclaimed(task_id, claim)
        contents = before.get(task_id) != claim.identity
        problems = await self.thread(self.look.foreign_in, claim)

        async def check(members: Sequence[MemberRecord]) -> None:
            problems.extend(
                await self.thread(_check_slice, self.look, claim, members, contents, self._tell)
            )

        async with task_group() as group:
            for members in slices(claim.receipt.members):
                group.start_soon(check, members)
        confirmed = not problems or await self.thread(self.look.still_holds, claim)
        return ComparedTask(task_id, claim, merge_problems(problems), confirmed=confirmed)

    async def thread(self, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a blocking call in one of the threads; a cancellation ends it soon."""
        return await self._threads.run(call, *args, **kwargs)


def _compare_each(
    look: Inspection,
    task_ids: Iterable[int],
    before: Mapping[int, str],
    tell: Callable[[int, int], None],
) -> list[ComparedTask]:
    """Compare several small tasks, in one thread."""
    compared = []
    meter = Meter(tell)
    for task_id in task_ids:
        tell(0, 0)  # raises after a cancellation
        claim = look.claim(task_id)
        if not isinstance(claim, Claim):
            compared.append(_unclaimed(task_id, claim))
            continue
        contents = before.get(task_id) != claim.identity
        problems = look.foreign_in(claim)
        for members in slices(claim.receipt.members):
            problems += look.check(claim, members, contents=contents, meter=meter)
        confirmed = not problems or look.still_holds(claim)
        compared.append(ComparedTask(task_id, claim, merge_problems(problems), confirmed=confirmed))
    meter.tell()
    return compared


def _check_slice(
    look: Inspection,
    claim: Claim,
    members: Sequence[MemberRecord],
    contents: bool,
    tell: Callable[[int, int], None],
) -> list[VerifyProblem]:
    """Compare a part of a large task, in one thread."""
    tell(0, 0)  # raises if it was cancelled while this waited for a thread
    meter = Meter(tell)
    problems = look.check(claim, members, contents=contents, meter=meter)
    meter.tell()
    return problems


def _unclaimed(task_id: int, problem: VerifyProblem | None) -> ComparedTask:
    return ComparedTask(task_id, None, () if problem is None else (problem,))
