"""Upload annotation files: `upload` and `upload_annotations`. `commands.upload` does the work."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from asynccvat.api.arguments import PathText, check_client, checked_options, checked_path
from asynccvat.client import CvatClient
from asynccvat.commands.upload.run import UploadRun
from asynccvat.commands.upload.single import import_file
from asynccvat.core.options.transfer import DEFAULT_EXPORT_TIMEOUT
from asynccvat.core.options.upload import UploadOptions
from asynccvat.core.outcomes import RunReport
from asynccvat.core.plans.upload import UploadPlan
from asynccvat.core.requests import ServerRequest
from asynccvat.transfer.run import EventCallback, Run


async def plan_upload(
    client: CvatClient,
    source: Mapping[int, PathText] | PathText,
    task_ids: Sequence[int] | None = None,
    *,
    format: str | None = None,  # noqa: A002 - CVAT's own word for it
    at: str | None = None,
    options: UploadOptions | None = None,
) -> UploadPlan:
    """Plan what `upload` would do, with reasons. Nothing is changed, here or at the server.

    The arguments are those of `open_upload`, the errors those of `upload`.
    """
    return await _uploads(client, source, task_ids, format, options, at=at).plan()


def open_upload(
    client: CvatClient,
    source: Mapping[int, PathText] | PathText,
    task_ids: Sequence[int] | None = None,
    *,
    format: str | None = None,  # noqa: A002 - CVAT's own word for it
    at: str | None = None,
    options: UploadOptions | None = None,
    on_event: EventCallback | None = None,
) -> Run:
    """Upload annotation files, and read each outcome as soon as its import is done.

    Use the run with `async with`. If the files lie in a mirror of this server, its receipts note
    the upload: the next mirror fetches just those tasks again.

    Args:
        client: The server.
        source: The folder that holds the tasks' folders, for example a mirror; or the file or
            folder of each task.
        task_ids: The tasks, if `source` is a folder. None takes all in it, in a mirror only those
            whose files were edited.
        format: The importer's name, or that of the exporter that wrote the files. By default the
            mirror's format, outside a mirror CVAT's own XML.
        at: A day or a time of ISO 8601: the annotations that `task_ids` had then are put back, from
            the history of a mirror of `CVAT JSON`. A day means its end, in UTC.
        options: Limits, guards and the mode.
        on_event: Receives each event, synchronously, in the loop's thread.

    Returns:
        The run, as from `open_mirror`. A file that cannot be uploaded is refused before any of it
        is sent, and fails its task alone.

    Raises:
        ConfigError: The arguments contradict each other.
        TypeError: An argument has the wrong type, for example `options` of another verb.
    """
    work = _uploads(client, source, task_ids, format, options, at=at)
    return Run(work.work, on_event)


async def upload(
    client: CvatClient,
    source: Mapping[int, PathText] | PathText,
    task_ids: Sequence[int] | None = None,
    *,
    format: str | None = None,  # noqa: A002 - CVAT's own word for it
    at: str | None = None,
    options: UploadOptions | None = None,
    on_event: EventCallback | None = None,
) -> RunReport:
    """Upload annotation files into tasks, many at a time.

    The arguments are those of `open_upload`.

    Returns:
        The report. Failures of tasks are in it, and are never raised; see
        `RunReport.raise_for_failures`.

    Raises:
        ConfigError: The server cannot import in that format or mode, the folder is not there, or
            it mirrors another server.
        StoreLockedError: A mirror is at work on the folder.
        StoreError: The receipts cannot be used.
        AsyncCvatError: The server cannot be reached, or refuses the user.
        TypeError: An argument has the wrong type, for example `options` of another verb.
    """
    async with open_upload(
        client, source, task_ids, format=format, at=at, options=options, on_event=on_event
    ) as run:
        return await run.wait()


async def upload_annotations(
    client: CvatClient,
    task_id: int,
    path: PathText,
    *,
    format: str = "CVAT 1.1",  # noqa: A002 - CVAT's own word for it
    mode: str = "replace",
    timeout: float = DEFAULT_EXPORT_TIMEOUT,
    lossy: bool = False,
    allow_empty: bool = False,
    backup_dir: PathText | None = None,
    backup: bool = True,
) -> ServerRequest:
    """Import one annotation file into one task, and wait until that is done.

    A large file is sent in pieces, and resumed after a break. Receipts of a mirror are neither
    read nor written; `upload` does that. A task that has lost much is a warning in the log.

    Args:
        client: The server.
        task_id: The task.
        path: The file; or a task's folder, in which the annotations are looked for, and packed if
            the format needs many files.
        format: The importer's name, or that of the exporter that wrote the file.
        mode: `replace`, or `append` if the server can.
        timeout: Seconds that the import may run. The time in the server's queue is not limited.
        lossy: Also replace what the format cannot carry, such as tracks.
        allow_empty: Also replace annotations by a file without any.
        backup_dir: The folder that keeps what the task holds before. `undo_upload` puts it back.
        backup: Whether what the task holds has to be kept. Give False to replace it for good.

    Returns:
        The finished request.

    Raises:
        AnnotationFileError: The file cannot be what the format needs. Nothing was sent.
        AnnotationLossError: The import would lose annotations of the task, and nothing was sent; or
            the task has none afterwards.
        ConfigError: The server cannot import in that format or mode.
        ImportFailedError: The server tried and failed. The message is its own.
        ImportUncertainError: It may have happened or not: look at the task.
        UploadError: Another import of the task is in the way, or nothing would keep what it holds.
        StoreError: There is no room to pack a folder's files, or to keep what the task holds.
        NotFoundError: There is no such task.
        AsyncCvatError: The server cannot be reached, or refuses it.
    """
    check_client(client)
    options = UploadOptions(
        mode=mode,
        import_timeout=timeout,
        backup_dir=None if backup_dir is None else checked_path(backup_dir),
        backup=backup,
        lossy=lossy,
        allow_empty=allow_empty,
    )
    return await import_file(client, task_id, checked_path(path), format, options)


def _uploads(
    client: CvatClient,
    source: Mapping[int, PathText] | PathText,
    task_ids: Sequence[int] | None,
    format_name: str | None,
    options: UploadOptions | None,
    *,
    at: str | None,
) -> UploadRun:
    check_client(client)
    files: Mapping[int, Path] | Path
    if isinstance(source, Mapping):
        files = {task_id: checked_path(path) for task_id, path in source.items()}
    else:
        files = checked_path(source)
    checked = checked_options(options, UploadOptions)
    return UploadRun(client, files, task_ids, format_name, checked, at=at)
