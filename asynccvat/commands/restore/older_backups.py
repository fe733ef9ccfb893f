"""Name the newest older backup that is whole, where the one to restore is not.

An older backup is never restored unasked: the user may not want an older state.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from asynccvat.commands.restore.zip_files import check_members, read_backup
from asynccvat.core.records.backups import moment_of
from asynccvat.core.targets import TargetKind
from asynccvat.errors import BackupFileError


async def with_older_named(
    problem: BackupFileError, kind: TargetKind, target_id: int, older: Sequence[Path]
) -> BackupFileError:
    """Return why a backup cannot be restored, with the older one that can be.

    Older ones are read until one is whole.

    Args:
        problem: Why it cannot be restored.
        kind: What it is a backup of.
        target_id: The id that this had.
        older: The paths of the backups before it, the newest first.
    """
    if not older:
        return problem
    found = None
    for path in older:
        try:
            await read_backup(path)
            await check_members(path)
        except BackupFileError:
            continue
        found = path
        break
    if found is None:
        more = "None of its older backups is whole, either."
    else:
        flag = "-t" if kind is TargetKind.TASK else "--project-id"
        more = (
            f"The newest one that is whole is {f'{found.parent.name}/{found.name}'!r}: restore it "
            f"with {flag} {target_id} --at {moment_of(found.stem)}."
        )
    named = BackupFileError(f"{problem} {more}", task_id=problem.task_id, step=problem.step)
    named.__cause__ = problem.__cause__
    return named
