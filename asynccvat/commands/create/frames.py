"""Compare the frames of a new task with what was sent: their number, and their order."""

from __future__ import annotations

from asynccvat.client import internals
from asynccvat.client.lookups import TaskLookups
from asynccvat.commands.create.context import CreateContext
from asynccvat.core.plans.create import CreateStep
from asynccvat.core.plans.create_units import MediaUnit
from asynccvat.errors import CreationFailedError


async def checked_frames(
    context: CreateContext, tasks: TaskLookups, step: CreateStep, task_id: int
) -> int:
    """Return how many frames a task has.

    Args:
        context: The run.
        tasks: Reads tasks from the server.
        step: What the task was made of.
        task_id: The task.

    Raises:
        CreationFailedError: It has none, or another number than expected, or another order.
    """
    frames = (await tasks.task(task_id)).size or 0
    if not frames or (step.expected is not None and frames != step.expected):
        wanted = "some" if step.expected is None else f"{step.expected:,}"
        raise CreationFailedError(
            f"task {task_id}, made of {step.unit.shown!r}, has {frames:,} frames instead of "
            f"{wanted}. Look at it in CVAT. If it is of no use, delete it and run again.",
            task_id=task_id,
            step="create",
        )
    if step.unit.ordered:
        await _check_order(context, step.unit, task_id)
    return frames


async def _check_order(context: CreateContext, unit: MediaUnit, task_id: int) -> None:
    wanted = unit.frame_names(context.options)
    found = await internals(context.client).creations.frame_names(task_id)
    for number, (one, other) in enumerate(zip(wanted, found, strict=True)):
        if one != other:
            raise CreationFailedError(
                f"task {task_id}, made of {unit.shown!r}, is not in the order that was given: "
                f"frame {number:,} is {other!r} instead of {one!r}. Look at it in CVAT. If it is "
                "of no use, delete it and run again.",
                task_id=task_id,
                step="create",
            )
