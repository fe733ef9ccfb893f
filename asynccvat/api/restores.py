"""Restore backups: `restore`. `commands.restore` does the work."""

from __future__ import annotations

from collections.abc import Sequence

from asynccvat.api.arguments import PathText, check_client, checked_options, checked_path
from asynccvat.client import CvatClient
from asynccvat.commands.restore.annotations import AnnotationRestore
from asynccvat.commands.restore.run import RestoreRun
from asynccvat.commands.restore.sources import BackupChoice
from asynccvat.core.numbers import whole
from asynccvat.core.options.restore import RestoreOptions
from asynccvat.core.outcomes import RunReport
from asynccvat.core.plans.restore import RestorePlan
from asynccvat.core.plans.upload import UploadPlan
from asynccvat.core.selections.id_lists import of_some, required
from asynccvat.core.targets import TargetKind
from asynccvat.transfer.run import EventCallback, Run


async def plan_restore(
    client: CvatClient,
    source: PathText,
    ids: Sequence[int] | None = None,
    *,
    projects: bool = False,
    project: int | str | None = None,
    at: str | None = None,
    options: RestoreOptions | None = None,
) -> RestorePlan:
    """Plan what `restore` would do, with reasons. Nothing is changed, here or at the server.

    The arguments are those of `open_restore`, the errors those of `restore`.
    """
    choice = _choice(ids, at, projects=projects)
    return await _restores(client, source, choice, project, options).plan()


def open_restore(
    client: CvatClient,
    source: PathText,
    ids: Sequence[int] | None = None,
    *,
    projects: bool = False,
    project: int | str | None = None,
    at: str | None = None,
    options: RestoreOptions | None = None,
    on_event: EventCallback | None = None,
) -> Run:
    """Restore backups, and read each outcome as soon as it is compared with its backup.

    Use the run with `async with`. A journal beside the backups notes each step before the call
    to the server. So a restore that was killed continues where it was, and makes nothing twice.

    Args:
        client: The server.
        source: The folder of `backup`, or the zip of one backup.
        ids: The ids that the tasks had when they were backed up. None takes all of the folder.
        projects: Restore the backups of projects, and `ids` are theirs.
        project: The project to move the tasks into, by its id or its name. None leaves them
            outside of any project, as CVAT restores them.
        at: The newest backup from before this moment, ISO 8601. None takes the newest of all.
        options: Limits and guards.
        on_event: Receives each event, synchronously, in the loop's thread.

    Returns:
        The run, as from `open_mirror`. `new_id` of an outcome is the new task or project.

    Raises:
        ConfigError: The arguments contradict each other.
        TypeError: An argument has the wrong type, for example `options` of another verb.
    """
    choice = _choice(ids, at, projects=projects)
    return Run(_restores(client, source, choice, project, options).work, on_event)


async def restore(
    client: CvatClient,
    source: PathText,
    ids: Sequence[int] | None = None,
    *,
    projects: bool = False,
    project: int | str | None = None,
    at: str | None = None,
    options: RestoreOptions | None = None,
    on_event: EventCallback | None = None,
) -> RunReport:
    """Restore backups of tasks or projects, many at a time.

    The arguments are those of `open_restore`.

    Returns:
        The report. Failures of backups are in it, and are never raised; see
        `RunReport.raise_for_failures`.

    Raises:
        ConfigError: There are no such backups, or no such project.
        StoreLockedError: Another process restores from the folder to this server.
        StoreError: The journal cannot be used.
        AsyncCvatError: The server cannot be reached, or refuses the user.
        TypeError: An argument has the wrong type, for example `options` of another verb.
    """
    async with open_restore(
        client,
        source,
        ids,
        projects=projects,
        project=project,
        at=at,
        options=options,
        on_event=on_event,
    ) as run:
        return await run.wait()


async def restore_annotations(
    client: CvatClient,
    source: PathText,
    task_ids: Sequence[int],
    *,
    at: str | None = None,
    options: RestoreOptions | None = None,
    on_event: EventCallback | None = None,
) -> RunReport:
    """Put the annotations of backups back into the tasks that they were made of.

    The tasks stay as they are otherwise. What they hold now is kept in `options.backup_dir`
    before; `undo_upload` puts it back. A task whose annotations changed since its backup, and since
    the last upload by asynccvat, is refused. `options.overwrite` permits it.

    Args:
        client: The server.
        source: The folder of `backup`.
        task_ids: The tasks.
        at: The newest backup from before this moment, ISO 8601. None takes the newest of all.
        options: `overwrite` and `backup_dir`. Of the others, `durable` counts here.
        on_event: Receives each event, synchronously, in the loop's thread.

    Returns:
        The report. Failures of tasks are in it, and are never raised.

    Raises:
        ConfigError: There are no such backups, or no folder keeps what is replaced.
        StoreError: The receipts, or that folder, cannot be used.
        AsyncCvatError: The server cannot be reached, or refuses the user.
        TypeError: An argument has the wrong type, for example `options` of another verb.
    """
    async with open_restore_annotations(
        client, source, task_ids, at=at, options=options, on_event=on_event
    ) as run:
        return await run.wait()


def open_restore_annotations(
    client: CvatClient,
    source: PathText,
    task_ids: Sequence[int],
    *,
    at: str | None = None,
    options: RestoreOptions | None = None,
    on_event: EventCallback | None = None,
) -> Run:
    """Put annotations of backups back, and read each outcome as soon as it is known.

    Use the run with `async with`. The arguments are those of `restore_annotations`.

    Returns:
        The run, as from `open_mirror`.

    Raises:
        ConfigError: No task is named, or no folder keeps what is replaced.
        TypeError: An argument has the wrong type, for example `options` of another verb.
    """
    return Run(_annotations(client, source, task_ids, at, options).work, on_event)


async def plan_restore_annotations(
    client: CvatClient,
    source: PathText,
    task_ids: Sequence[int],
    *,
    at: str | None = None,
    options: RestoreOptions | None = None,
) -> UploadPlan:
    """Plan what `restore_annotations` would do, with reasons. Nothing is changed.

    The arguments are those of `restore_annotations`, the errors, too.
    """
    return await _annotations(client, source, task_ids, at, options).plan()


def _annotations(
    client: CvatClient,
    source: PathText,
    task_ids: Sequence[int],
    at: str | None,
    options: RestoreOptions | None,
) -> AnnotationRestore:
    check_client(client)
    given = checked_options(options, RestoreOptions)
    choice = _choice(task_ids, at, projects=False)
    return AnnotationRestore(client, checked_path(source), choice, given)


def _choice(ids: Sequence[int] | None, at: str | None, *, projects: bool) -> BackupChoice:
    kind = TargetKind.PROJECT if projects else TargetKind.TASK
    checked = None if ids is None else of_some([whole("ids", one) for one in ids], required(ids))
    return BackupChoice(kind=kind, ids=checked, at=at)


def _restores(
    client: CvatClient,
    source: PathText,
    choice: BackupChoice,
    project: int | str | None,
    options: RestoreOptions | None,
) -> RestoreRun:
    check_client(client)
    return RestoreRun(
        client, checked_path(source), choice, project, checked_options(options, RestoreOptions)
    )
