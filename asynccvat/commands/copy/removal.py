"""Remove copies from the target, each only if it is as we left it. It is read again right before.

`core.plans.copy` decides which ones may go, `commands.copy.one_task` makes their successors.
"""

from __future__ import annotations

from functools import partial

from asynccvat.client import internals
from asynccvat.commands.copy.comparison import look_at
from asynccvat.commands.copy.state import BothSides
from asynccvat.core.models import Job, Task
from asynccvat.core.plans.copy import edited, jobs_as_left
from asynccvat.core.records.copies import Copied, Gone, Made
from asynccvat.core.selections.selection import JobSelection
from asynccvat.errors import CopyChangedError, NotFoundError


class CopyRemover:
    """Remove copies that no other user worked on."""

    def __init__(self, sides: BothSides) -> None:
        """Prepare to remove copies.

        Args:
            sides: Both servers, the journals and the guards.
        """
        self._target = sides.target
        self._state = sides.state
        self._overwrite = sides.options.overwrite

    async def remove(self, copied: Copied) -> None:
        """Remove a copy.

        Raises:
            CopyChangedError: It was changed.
            AsyncCvatError: The target refuses it, or cannot be asked.
        """

        async def check() -> bool:
            try:
                now = await self._target.task(copied.copy)
            except NotFoundError:
                return False
            await self.check_as_left(copied, now, "is not removed", "removes it")
            return True

        await internals(self._target).deletions.discard(copied.copy, check)
        await self._state.note(Gone(copied.copy))

    async def discard(self, task_id: int, copy: int) -> None:
        """Remove what an interrupted run made of an earlier state of a task.

        Raises:
            CopyChangedError: It was worked on since.
            AsyncCvatError: The target refuses it, or cannot be asked.
        """
        await internals(self._target).deletions.discard(
            copy, partial(self._may_be_discarded, task_id, copy)
        )

    async def _may_be_discarded(self, task_id: int, copy: int) -> bool:
        try:
            now = await self._target.task(copy)
        except NotFoundError:
            return False
        noted = self._state.ledger.made.get(task_id)
        how = "" if self._overwrite else await self._worked_on(noted, now)
        if how:
            raise CopyChangedError(
                f"task {copy} of the target was made of task {task_id} by an interrupted run, and "
                f"was worked on since: {how}. Look at it; --overwrite removes it.",
                task_id=task_id,
                step="remove",
            )
        return True

    async def check_as_left(self, copied: Copied, now: Task, what: str, overwrite: str) -> None:
        """Check that a copy is as we left it, unless `overwrite` makes that no matter.

        Args:
            copied: The copy, and how we left it.
            now: The copy, as just read.
            what: What is not done otherwise, for the message.
            overwrite: What the option does, for the message.

        Raises:
            CopyChangedError: It was changed.
        """
        if self._overwrite:
            return
        left = copied.target
        jobs = await self._target.jobs(JobSelection(task_ids=[now.id]))
        look = await look_at(self._target, now, jobs=jobs, known_date=left.updated_date)
        if self._state.ledger.jobs_are_ours(now.id, jobs):
            look = jobs_as_left(look, left)
        how = edited(left, look)
        if how:
            raise CopyChangedError(
                f"task {copied.copy} of the target, a copy of task {copied.task}, {what}: {how}. "
                f"Look at it; --overwrite {overwrite}.",
                task_id=copied.task,
                step="remove",
            )

    async def changed_since(self, made: Made, now: Task) -> str:
        """Return how a copy was changed since it was made, "" if it was not.

        Args:
            made: What was noted of it, all of it or its date alone.
            now: The copy, as just read.
        """
        if made.is_whole:
            look = await look_at(self._target, now, known_date=made.target.updated_date)
            return edited(made.target, look)
        # A move into a project is ours, and moves the date.
        is_later = now.updated_date != made.target.updated_date
        return "its date moved" if is_later and now.project_id == made.project_id else ""

    async def _worked_on(self, noted: Made | None, now: Task) -> str:
        if noted is not None and noted.copy == now.id:
            how = await self.changed_since(noted, now)
            if how or noted.is_whole:
                return how
        jobs = await self._target.jobs(JobSelection(task_ids=[now.id]))
        ours = self._state.ledger.jobs_are_ours(now.id, jobs)
        if not ours and any(_is_worked_on(job) for job in jobs):
            return "its jobs are not new, or have assignees or issues"
        return ""


def _is_worked_on(job: Job) -> bool:
    begun = (job.stage, job.state) not in (("annotation", "new"), (None, None))
    return begun or job.assignee is not None or job.issue_count > 0
