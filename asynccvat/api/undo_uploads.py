"""Put back what uploads replaced: `undo_upload`. `commands.upload.undo` does the work."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from asynccvat.api.arguments import PathText, check_client, checked_options, checked_path
from asynccvat.client import CvatClient
from asynccvat.commands.upload.undo import UndoRun
from asynccvat.core.options.upload import UploadOptions
from asynccvat.core.outcomes import RunReport
from asynccvat.core.plans.upload import UploadPlan
from asynccvat.core.selections.id_lists import IdList, required
from asynccvat.errors import ConfigError
from asynccvat.transfer.run import EventCallback, Run


async def undo_upload(
    client: CvatClient,
    folder: PathText,
    task_ids: Sequence[int] | Mapping[int, PathText],
    *,
    options: UploadOptions | None = None,
    on_event: EventCallback | None = None,
) -> RunReport:
    """Put back what uploads replaced in tasks.

    What a task holds now is kept before, so a second undo takes the first one back.

    Args:
        client: The server.
        folder: The mirror that was uploaded from, or the `backup_dir` of the upload.
        task_ids: The tasks, each of which gets the newest kept state that differs from what it
            holds; or the file of the state to put back for each task.
        options: `overwrite` also undoes uploads to tasks that changed since. Of the others,
            `durable` and `break_lock` count here.
        on_event: Receives each event, synchronously, in the loop's thread.

    Returns:
        The report. Failures of tasks are in it, and are never raised.

    Raises:
        ConfigError: The folder is not there, or belongs to another server.
        StoreLockedError: A mirror is at work on the folder.
        StoreError: The folder cannot be used.
        AsyncCvatError: The server cannot be reached, or refuses the user.
        TypeError: An argument has the wrong type, for example `options` of another verb.
    """
    async with open_undo_upload(
        client, folder, task_ids, options=options, on_event=on_event
    ) as run:
        return await run.wait()


def open_undo_upload(
    client: CvatClient,
    folder: PathText,
    task_ids: Sequence[int] | Mapping[int, PathText],
    *,
    options: UploadOptions | None = None,
    on_event: EventCallback | None = None,
) -> Run:
    """Put back what uploads replaced, and read each outcome as soon as it is known.

    Use the run with `async with`. The arguments are those of `undo_upload`.

    Returns:
        The run, as from `open_mirror`.

    Raises:
        ConfigError: An id is no id.
        TypeError: An argument has the wrong type, for example `options` of another verb.
    """
    return Run(_undo(client, folder, task_ids, options).work, on_event)


async def plan_undo_upload(
    client: CvatClient,
    folder: PathText,
    task_ids: Sequence[int] | Mapping[int, PathText],
    *,
    options: UploadOptions | None = None,
) -> UploadPlan:
    """Plan what `undo_upload` would do, with reasons. Nothing is changed, here or at the server.

    The arguments are those of `undo_upload`, the errors, too.
    """
    return await _undo(client, folder, task_ids, options).plan()


def _undo(
    client: CvatClient,
    folder: PathText,
    task_ids: Sequence[int] | Mapping[int, PathText],
    options: UploadOptions | None,
) -> UndoRun:
    check_client(client)
    if isinstance(task_ids, str | bytes) or not isinstance(task_ids, Iterable):
        raise TypeError(f"task_ids must be a list of ids like [147], not {task_ids!r}")
    states: dict[int, str | None] = dict.fromkeys(task_ids)
    if isinstance(task_ids, Mapping):
        states = {task_id: checked_path(path).name for task_id, path in task_ids.items()}
    if not states:
        raise ConfigError("task_ids is empty. Name the tasks whose uploads are to be undone.")
    of_ranges = set(states) - required(task_ids if isinstance(task_ids, IdList) else tuple(states))
    return UndoRun(
        client,
        checked_path(folder),
        states,
        checked_options(options, UploadOptions),
        of_ranges=of_ranges,
    )
