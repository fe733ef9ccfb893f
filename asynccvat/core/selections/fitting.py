"""Tell which conditions have a meaning for tasks, projects or jobs.

A condition that the server's list does not know would otherwise select everything. `selection` has
the conditions themselves.
"""

from __future__ import annotations

from asynccvat.core.selections.selection import Selection
from asynccvat.core.targets import TargetKind

_TASKS, _JOBS = (TargetKind.TASK,), (TargetKind.JOB,)


def unfitting_condition(
    target: TargetKind,
    selection: Selection,
    *,
    stage: str | None = None,
    state: str | None = None,
    type: str | None = None,  # noqa: A002 - CVAT's word, as that of the option
) -> str | None:
    """Return the first condition that has no meaning for a target; None if all have one.

    Args:
        target: What is selected.
        selection: The conditions that all targets may have.
        stage: The stage of jobs.
        state: The state of jobs.
        type: The type of jobs.

    Returns:
        The condition as it is typed, such as `--subset`.
    """
    conditions = (
        ("--stage", stage, _JOBS),
        ("--state", state, _JOBS),
        ("--type", type, _JOBS),
        ("--subset", selection.subset, _TASKS),
        ("--task-id", selection.task_ids, (TargetKind.TASK, TargetKind.JOB)),
        ("--status", selection.status, (TargetKind.TASK, TargetKind.PROJECT)),
        ("--owner", selection.owner, (TargetKind.TASK, TargetKind.PROJECT)),
    )
    return next(
        (flag for flag, value, fits in conditions if value is not None and target not in fits), None
    )
