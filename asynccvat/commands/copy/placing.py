"""Put a copy where it belongs: into its project, with the stages and states of its task's jobs.

`commands.copy.one_task` makes the copy before, and compares it afterwards.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

from asynccvat.client import internals
from asynccvat.client.lookups import TaskLookups
from asynccvat.commands.copy.state import BothSides
from asynccvat.core.models import Job, Task
from asynccvat.core.plans.copy_steps import ProjectMatch
from asynccvat.core.records.copies import JobChange, SettingJobs, assignee_id
from asynccvat.core.selections.selection import JobSelection
from asynccvat.errors import AsyncCvatError, CopyError, ResponseError
from asynccvat.http import HeldBackError


class CopyPlacer:
    """Move copies into their projects, and set their jobs."""

    def __init__(
        self,
        sides: BothSides,
        lookups: TaskLookups,
        projects: Mapping[int | None, ProjectMatch],
    ) -> None:
        """Prepare to place copies.

        Args:
            sides: Both servers, the journals and the options.
            lookups: Says when a call that can wait has its turn.
            projects: The target's project for each project of the source; all of them are made.
        """
        self._source = sides.source
        self._target = sides.target
        self._state = sides.state
        self._options = sides.options
        self._lookups = lookups
        self._projects = projects

    async def place(self, task: Task, copy: int) -> None:
        """Move a copy into its project, and with `states` set its jobs. To do so again is safe.

        Raises:
            CopyError: The target does not move it.
            AsyncCvatError: A server refuses it, or cannot be asked.
        """
        calls = internals(self._target).restores
        into = self._projects.get(task.project_id, ProjectMatch()).into
        if into is not None:
            try:
                async with self._lookups.turn:
                    moved = await calls.move(copy, into)
            except ResponseError as error:
                raise _not_moved(task.id, copy, into, str(error)) from error
            if moved.project_id != into:
                raise _not_moved(task.id, copy, into, "the target answered as if it had done so")
        if self._options.states:
            await self.set_jobs(task.id, copy)

    async def set_jobs(
        self, task_id: int, copy: int, check: Callable[[], Awaitable[object]] | None = None
    ) -> bool:
        """Set the jobs of a copy as those of its task. Returns whether any was otherwise.

        Args:
            task_id: The task.
            copy: Its copy.
            check: Looks at the copy before its jobs are set, and again after each wait. It raises
                an error if they may not be set.

        Raises:
            AsyncCvatError: A server refuses it, or cannot be asked.
        """
        calls = internals(self._target).restores
        attempt, is_changed = 0, False
        while True:
            if check is not None:
                await check()
            due = await self._due(task_id, copy)
            try:
                for change in due:
                    stage, state = change.after
                    assert stage is not None, "only known stages are wanted"
                    assert state is not None, "only known states are wanted"
                    await calls.set_job(change.id, stage=stage, state=state)
                    attempt, is_changed = 0, True
            except HeldBackError:
                continue  # the copy may have changed meanwhile
            except AsyncCvatError as error:
                await calls.retry_or_raise(error, attempt)
                attempt += 1
            else:
                return is_changed

    async def _due(self, task_id: int, copy: int) -> list[JobChange]:
        """Return, and note, how the jobs of a copy have to change."""
        here = await self._source.jobs(JobSelection(task_ids=[task_id]))
        there = list(await self._target.jobs(JobSelection(task_ids=[copy])))
        wanted = {_place(job): (job.stage, job.state) for job in here if job.stage and job.state}
        changes = [
            JobChange(
                twin.id,
                (twin.stage, twin.state),
                wanted.get(_place(twin), (twin.stage, twin.state)),
                assignee_id(twin),
            )
            for twin in there
        ]
        due = [change for change in changes if change.before != change.after]
        if due:
            # What a killed run has set is not taken for another user's work.
            await self._state.note(SettingJobs(copy, tuple(changes)))
        return due


def _place(job: Job) -> tuple[int | None, int | None, str | None]:
    return job.start_frame, job.stop_frame, job.type


def _not_moved(task_id: int, copy: int, into: int, why: str) -> CopyError:
    return CopyError(
        f"task {task_id} became task {copy} of the target, which cannot be moved into project "
        f"{into}: {why.rstrip('.')}. Change the project, and run the same command again.",
        task_id=task_id,
        step="move",
    )
