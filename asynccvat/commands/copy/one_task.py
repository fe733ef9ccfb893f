"""Copy one task: back it up, pass the backup on, have the target make it, compare, replace.

Each step is in the journals before the call that it announces. An earlier copy goes only after the
new one stands, is compared and is noted. `commands.copy.sending` passes the backup on,
`commands.restore.making` makes the call that counts, `commands.copy.placing` moves the copy into
its project, `commands.copy.removal` removes an earlier one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType

import msgspec

from asynccvat.client.lookups import TaskLookups
from asynccvat.commands.copy.comparison import ReadCopy, compare, look_at
from asynccvat.commands.copy.placing import CopyPlacer
from asynccvat.commands.copy.removal import CopyRemover
from asynccvat.commands.copy.sending import BackupSender, PassedBackup
from asynccvat.commands.copy.state import BothSides
from asynccvat.commands.restore.making import BackupMaker
from asynccvat.core.models import Task
from asynccvat.core.outcomes import Action, TaskOutcome
from asynccvat.core.plans.comparison import ComparedTask
from asynccvat.core.plans.copy import edited
from asynccvat.core.plans.copy_steps import (
    CopyReason,
    CopyTask,
    FinishCopy,
    KeepCopy,
    ProjectMatch,
    RemoveCopy,
    UpdateCopy,
)
from asynccvat.core.records.copies import (
    Begun,
    Copied,
    Made,
    source_state,
    target_state,
)
from asynccvat.core.records.restores import Failed
from asynccvat.core.targets import TargetKind
from asynccvat.core.texts import first_few
from asynccvat.errors import (
    CopyDiffersError,
    CopyError,
    RequestUncertainError,
)


@dataclass(frozen=True, slots=True)
class CopyOrder:
    """What the target is to make. It is a `commands.restore.making.BackupOrder`."""

    key: str
    name: str
    frames: int | None
    target_id: int
    kind: TargetKind = TargetKind.TASK

    @property
    def shown(self) -> str:
        """What messages call the backup."""
        return f"the backup of task {self.target_id}"


class TaskCopier:
    """Copy tasks, many at once."""

    def __init__(
        self,
        sides: BothSides,
        sender: BackupSender,
        maker: BackupMaker,
        lookups: TaskLookups,
        *,
        projects: Mapping[int | None, ProjectMatch] = MappingProxyType({}),
        jobs: Mapping[int, str] = MappingProxyType({}),
    ) -> None:
        """Prepare to copy tasks.

        Args:
            sides: Both servers, the journals and the guards.
            sender: Passes backups on.
            maker: Has the target make tasks of them.
            lookups: Reads copies from the target, to compare them.
            projects: The target's project for each project of the source; all of them are made.
            jobs: The digest of each task's jobs at the source; empty without `states`.
        """
        self._source = sides.source
        self._target = sides.target
        self._state = sides.state
        self._options = sides.options
        self._sender = sender
        self._maker = maker
        self._lookups = lookups
        self._placer = CopyPlacer(sides, lookups, projects)
        self._jobs = jobs
        self._remover = CopyRemover(sides)
        self._begun: set[int] = set()
        self._standing: dict[int, TaskOutcome] = {}

    async def copy(self, step: CopyTask | FinishCopy) -> TaskOutcome:
        """Copy a task, or finish what an interrupted run began. Then remove an earlier copy.

        If it failed, it may be called again: what was done by then is not done twice.

        Raises:
            CopyDiffersError: The copy stands, and differs. An earlier copy stays, too.
            CopyChangedError: The copy stands, but the earlier one was changed, and stays.
            RequestUncertainError: The copy may have been made or not.
            AsyncCvatError: It failed. The next run goes on from there.
        """
        task_id = step.task.id
        if task_id not in self._standing:
            self._standing[task_id] = await self._copy(step)
        if step.previous is not None:
            await self._remover.remove(step.previous)
        return self._standing.pop(task_id)

    async def _copy(self, step: CopyTask | FinishCopy) -> TaskOutcome:
        """Make a copy, compare it, and note that it stands."""
        clock = asyncio.get_running_loop().time
        started, task = clock(), step.task
        if isinstance(step, CopyTask) and step.discard is not None:
            await self._remover.discard(task.id, step.discard)
        begun = step.begun if isinstance(step, FinishCopy) else await self._begin(task)
        passed = PassedBackup(task.id, begun.key)
        copy = await self._make(task, begun, passed, again=isinstance(step, FinishCopy))
        changed = await self._changed_since_made(task.id, copy)
        await self._placer.place(task, copy)
        read = await self._compare(task, begun, copy)
        left = (await look_at(self._target, read.copy, jobs=read.jobs, raw=read.raw)).state
        if changed:
            # No later state is like this one, so that the copy is not replaced without a word.
            left = msgspec.structs.replace(left, updated_date="", annotations="")
        # The states of jobs are those that were set now, whatever run began it.
        source = msgspec.structs.replace(begun.source, jobs=self._jobs.get(task.id, ""))
        await self._state.note(Copied(task.id, copy, source, left))
        return TaskOutcome(
            task_id=task.id,
            name=task.name,
            action=Action.COPIED,
            reason=step.reason,
            location=self._address(copy),
            files=1,
            bytes=passed.size,
            transferred=passed.sent,
            seconds=clock() - started,
            new_id=copy,
            compared=read.compared,
            warnings=(f"its copy was changed since it was made: {changed}",) if changed else (),
        )

    async def remove(self, step: RemoveCopy) -> TaskOutcome:
        """Remove a copy, unless it was changed since the plan.

        Raises:
            CopyChangedError: It was changed.
            AsyncCvatError: The target refuses it, or cannot be asked.
        """
        await self._remover.remove(step.copied)
        return TaskOutcome(
            task_id=step.copied.task,
            name=step.copied.target.name,
            action=Action.REMOVED,
            reason=step.reason,
            location=self._address(step.copied.copy),
        )

    async def update(self, step: UpdateCopy) -> TaskOutcome:
        """Set the stages and states of a copy's jobs, unless it was changed since the plan.

        Raises:
            CopyChangedError: It was changed.
            CopyDiffersError: It was changed, its jobs are set nevertheless, and it differs.
            AsyncCvatError: A server refuses it, or cannot be asked.
        """
        task, left = step.task, step.copied.target

        looks: list[Task] = []

        async def check() -> None:
            looks.append(await self._target.task(step.copied.copy))
            await self._remover.check_as_left(
                step.copied, looks[-1], "keeps the stages and states of its jobs", "sets them"
            )

        changed = await self._placer.set_jobs(task.id, step.copied.copy, check)
        now = looks[-1]
        look = await look_at(self._target, now, known_date=left.updated_date)
        # Only its jobs were set. What else another user changed stays a change.
        state = msgspec.structs.replace(left, jobs=look.state.jobs)
        how = edited(state, look)
        if not how:
            # The next plan then need not read its annotations to see that only its date moved.
            state = msgspec.structs.replace(state, updated_date=look.state.updated_date)
        copied = Copied(task.id, now.id, source_state(task, self._jobs.get(task.id, "")), state)
        await self._state.note(copied)
        compared = await self._compare_edited(task, copied, how) if how else None
        return TaskOutcome(
            task_id=task.id,
            name=task.name,
            action=Action.UPDATED if changed else Action.KEPT,
            reason=step.reason if changed else CopyReason.UNCHANGED,
            location=self._address(now.id),
            new_id=now.id,
            compared=compared,
            warnings=(f"its copy was changed: {how}",) if how else (),
        )

    async def keep(self, step: KeepCopy) -> TaskOutcome:
        """Return the outcome of a task that is not copied. A changed copy is compared.

        Raises:
            CopyDiffersError: The copy differs from the task.
            AsyncCvatError: A server cannot be asked.
        """
        compared = None
        if step.reason is CopyReason.EDITED:
            how = step.detail.removeprefix("its copy was changed: ")
            compared = await self._compare_edited(step.task, step.copied, how)
        return TaskOutcome(
            task_id=step.task.id,
            name=step.task.name,
            action=Action.KEPT,
            reason=step.reason,
            location=self._address(step.copied.copy),
            new_id=step.copied.copy,
            compared=compared,
            warnings=(step.detail,) if step.detail else (),
        )

    async def _compare_edited(self, task: Task, copied: Copied, how: str) -> ComparedTask:
        """Compare a task with its copy, which another user changed as `how` says."""
        compared = (await compare(self._source, self._lookups, task, copied.copy)).compared
        if compared.differences:
            raise self._differs(
                compared, f". It was changed: {how}. Delete it at the target to have it made again"
            )
        return compared

    # --- the steps of one copy ----------------------------------------------------------------

    async def _begin(self, task: Task) -> Begun:
        """Note that a task is about to be copied, or go on with what was begun.

        An interrupted upload is gone on with. What an earlier run asked for has an end in the plan:
        it is finished, or was lost. What this run asked for is finished here.
        """
        state = source_state(task, self._jobs.get(task.id, ""))
        known = self._state.ledger.begun.get(task.id)
        if known is not None and known.source.has_content_of(state):
            restore = self._state.restores.of(known.key)
            asked = restore.requesting is not None or restore.new_id is not None
            if task.id in self._begun or not asked:
                return known
        begun = Begun(task.id, self._state.ledger.next_key(task.id), state)
        await self._state.note(begun)
        self._begun.add(task.id)
        return begun

    async def _make(self, task: Task, begun: Begun, passed: PassedBackup, *, again: bool) -> int:
        """Have the target make the copy. Returns its id.

        Args:
            task: The task.
            begun: The attempt.
            passed: Receives what it cost.
            again: Whether an earlier run has asked for it.
        """
        made = self._state.restores.of(begun.key).new_id
        if made is not None:
            return made
        order = CopyOrder(begun.key, task.name, task.size, task.id)
        send = partial(self._sender.send, passed)
        try:
            return await self._maker.make(order, send)
        except RequestUncertainError as error:
            if not (again and self._options.duplicate):
                raise _uncertain(task) from error
            # The user has looked, and wants another copy.
            await self._state.restores.note(Failed(key=begun.key, why=str(error)))
            self._maker.give_another_chance(begun.key)
        return await self._maker.make(order, send)

    async def _changed_since_made(self, task_id: int, copy: int) -> str:
        """Note what the target made. Return how it was changed since an earlier note, "" if not."""
        now = await self._lookups.task(copy)
        noted = self._state.ledger.made.get(task_id)
        if noted is not None and noted.copy == copy:
            return await self._remover.changed_since(noted, now)
        await self._state.note(Made(task_id, copy, now.project_id, target_state(now)))
        return ""

    async def _compare(self, task: Task, begun: Begun, copy: int) -> ReadCopy:
        read = await compare(self._source, self._lookups, task, copy)
        if not read.compared.differences:
            return read
        # It stays until a user has looked at it, so all of it is noted.
        look = await look_at(self._target, read.copy, jobs=read.jobs, raw=read.raw)
        await self._state.note(Made(task.id, copy, read.copy.project_id, look.state))
        now = await self._source.task(task.id)
        if now.updated_date != begun.source.updated_date:
            raise CopyError(
                f"task {task.id} changed at the source while it was copied. Run again: task {copy} "
                "of the target is replaced then.",
                task_id=task.id,
                step="compare",
            )
        raise self._differs(
            read.compared, ". Look at both. Delete the copy at the target to have it made again"
        )

    def _differs(self, compared: ComparedTask, more: str) -> CopyDiffersError:
        found = CopyDiffersError(
            f"task {compared.copy}, the copy of task {compared.task}, differs: it has "
            f"{first_few(compared.differences, 3)}{more}.",
            task_id=compared.task,
            step="compare",
        )
        found.compared = compared
        return found

    def _address(self, copy: int) -> str:
        return f"{self._target.origin}/tasks/{copy}"


def _uncertain(task: Task) -> RequestUncertainError:
    return RequestUncertainError(
        f"the copy of task {task.id} may have been made or not: the answer of the target was lost, "
        f"and its requests do not tell. Look there for task {task.name!r}. Delete it if it is "
        "there; --duplicate then copies the task again.",
        task_id=task.id,
        step="upload",
    )
