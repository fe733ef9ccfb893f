"""The verbs: mirror, download and upload, each with a plan and a run.

The work is done in `commands`. `verify` lives in `commands.verify`, as it needs no server, and
`run_file` in `runfiles`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from os import PathLike, fspath
from pathlib import Path
from typing import TypeVar

from asynccvat.client import CvatClient
from asynccvat.commands.download.run import DownloadRun
from asynccvat.commands.mirror.preparation import prepare, settle_with
from asynccvat.commands.mirror.run import MirrorRun
from asynccvat.commands.upload.run import UploadRun
from asynccvat.commands.upload.single import import_file
from asynccvat.commands.upload.undo import UndoRun
from asynccvat.core.models import ExportSpec, ServerRequest
from asynccvat.core.options import (
    DEFAULT_EXPORT_TIMEOUT,
    DownloadOptions,
    MirrorOptions,
    UploadOptions,
)
from asynccvat.core.outcomes import RunReport, TaskOutcome
from asynccvat.core.plans.download import DownloadPlan
from asynccvat.core.plans.mirror import Plan
from asynccvat.core.plans.upload import UploadPlan
from asynccvat.core.records.remembered import Wanted
from asynccvat.core.selections.selection import Selection
from asynccvat.errors import ConfigError
from asynccvat.store import MirrorStore
from asynccvat.transfer.run import EventCallback, Run

PathText = str | PathLike[str]
OptionsT = TypeVar("OptionsT", DownloadOptions, MirrorOptions, UploadOptions)

# --- mirrors ----------------------------------------------------------------------------------


async def plan_mirror(
    client: CvatClient,
    dest: PathText,
    selection: Selection | None = None,
    spec: ExportSpec | str | None = None,
    *,
    images: bool | None = None,
    options: MirrorOptions | None = None,
) -> Plan:
    """Plan what `mirror` would do, with reasons. Nothing is changed, here or at the server.

    The arguments are those of `open_mirror`.

    Raises:
        ConfigError: The destination belongs to another server, the server does not export in
            that format, or an option cannot be used.
        StoreError: The destination cannot be read.
        AsyncCvatError: The server cannot be reached, or refuses the listing.
    """
    wanted = Wanted.of(selection, spec, images, _checked(options, MirrorOptions))
    _check_client(client)
    async with MirrorStore.open(
        _place(dest), origin=client.origin, organization=client.organization, read_only=True
    ) as store:
        settled = await settle_with(store, wanted)
        return await prepare(client, store, settled)


def open_mirror(
    client: CvatClient,
    dest: PathText,
    selection: Selection | None = None,
    spec: ExportSpec | str | None = None,
    *,
    images: bool | None = None,
    options: MirrorOptions | None = None,
    on_event: EventCallback | None = None,
) -> Run:
    """Mirror tasks, and read each outcome as soon as its task is done.

    Use the run with `async with`.

    Args:
        client: The server.
        dest: The destination. It is made if it does not exist.
        selection: Which tasks. Conditions that it leaves out are those that the destination
            remembers of its first run; without any, all that the user may see.
        spec: The format's name, or an `ExportSpec` for format and images. By default what the
            destination remembers, or else `CVAT`.
        images: Whether to fetch images, too, if `spec` is no `ExportSpec`. By default what the
            destination remembers, or else no.
        options: Limits, guards and what to do with files on disk.
        on_event: Receives each event, synchronously, in the loop's thread.

    Returns:
        The run, an async context manager and an async iterator of `TaskOutcome`. Failures of
        tasks are outcomes. What keeps the run from beginning is raised by iterating, by `wait`
        or by leaving the block.

    Raises:
        TypeError: An argument has the wrong type, for example `options` of another verb.
    """
    _check_client(client)
    wanted = Wanted.of(selection, spec, images, _checked(options, MirrorOptions))
    work = MirrorRun(client, _place(dest), wanted)
    return Run(work.work, on_event)


async def mirror(
    client: CvatClient,
    dest: PathText,
    selection: Selection | None = None,
    spec: ExportSpec | str | None = None,
    *,
    images: bool | None = None,
    options: MirrorOptions | None = None,
    on_event: EventCallback | None = None,
) -> RunReport:
    """Mirror tasks into a destination. Afterwards it holds what the server has.

    The arguments are those of `open_mirror`.

    Returns:
        The report. Failures of tasks are in it, and are never raised; see
        `RunReport.raise_for_failures`.

    Raises:
        ChangeRefusedError: The destination remembers another value, and `change` is not set.
        ConfigError: An option cannot be used, or the destination belongs to another server.
        StoreLockedError: Another mirror is at work on the destination.
        StoreError: The destination cannot be used.
        AsyncCvatError: The server cannot be reached, or refuses the user or the listing.
        TypeError: An argument has the wrong type, for example `options` of another verb.
    """
    async with open_mirror(
        client, dest, selection, spec, images=images, options=options, on_event=on_event
    ) as run:
        return await run.wait()


# --- downloads --------------------------------------------------------------------------------


async def download(
    client: CvatClient,
    task_id: int,
    path: PathText,
    spec: ExportSpec | str | None = None,
    *,
    options: DownloadOptions | None = None,
    skip_existing: bool = False,
    replace: bool = False,
    on_event: EventCallback | None = None,
) -> TaskOutcome:
    """Export one task into a folder, whole or not at all. No receipt is written.

    Args:
        client: The server.
        task_id: The task.
        path: The folder. It must be empty or absent, except for what the next arguments permit.
        spec: Format and images, or the format's name. `CVAT` without images by
            default.
        options: Limits and retries.
        skip_existing: Skip a folder that holds the format's annotation file already.
        replace: Replace an earlier export of the task. Files that the new export does not hold,
            for example edited ones, are moved to a folder next to it.
        on_event: Receives each event, synchronously, in the loop's thread.

    Raises:
        AsyncCvatError: It failed. The folder is unchanged.
        TypeError: An argument has the wrong type, for example `options` of another verb.
    """
    report = await download_many(
        client,
        {task_id: path},
        spec,
        options=options,
        skip_existing=skip_existing,
        replace=replace,
        on_event=on_event,
    )
    error = report.stopped_by or report.outcomes[0].error
    if error is None:
        return report.outcomes[0]
    raise error


async def download_many(
    client: CvatClient,
    paths: Mapping[int, PathText],
    spec: ExportSpec | str | None = None,
    *,
    options: DownloadOptions | None = None,
    skip_existing: bool = False,
    replace: bool = False,
    on_event: EventCallback | None = None,
) -> RunReport:
    """Export tasks into one folder each, many at a time. No receipts are written.

    The arguments are those of `open_download`.

    Returns:
        The report. Failures of tasks are in it, and are never raised.

    Raises:
        ConfigError: Two tasks have the same folder.
        StoreError: A folder's parent cannot be written to.
        TypeError: An argument has the wrong type, for example `options` of another verb.
    """
    async with open_download(
        client,
        paths,
        spec,
        options=options,
        skip_existing=skip_existing,
        replace=replace,
        on_event=on_event,
    ) as run:
        return await run.wait()


def open_download(
    client: CvatClient,
    paths: Mapping[int, PathText],
    spec: ExportSpec | str | None = None,
    *,
    options: DownloadOptions | None = None,
    skip_existing: bool = False,
    replace: bool = False,
    on_event: EventCallback | None = None,
) -> Run:
    """Export tasks into folders of their own, and read each outcome as soon as it is known.

    Use the run with `async with`.

    Args:
        client: The server.
        paths: The folder of each task.
        spec: Format and images, or the format's name.
        options: Limits and retries.
        skip_existing: Skip folders that hold the format's annotation file already.
        replace: As in `download`.
        on_event: Receives each event, synchronously, in the loop's thread.

    Returns:
        The run, as from `open_mirror`.

    Raises:
        TypeError: An argument has the wrong type, for example `options` of another verb.
    """
    work = _downloads(client, paths, spec, options, skip_existing=skip_existing, replace=replace)
    return Run(work.work, on_event)


async def plan_download(
    client: CvatClient,
    paths: Mapping[int, PathText],
    spec: ExportSpec | str | None = None,
    *,
    skip_existing: bool = False,
    replace: bool = False,
) -> DownloadPlan:
    """Plan what `download_many` would do. Nothing is changed, and the server is not asked.

    The arguments are those of `open_download`.

    Raises:
        ConfigError: Two tasks have the same folder.
        StoreError: A folder cannot be read.
    """
    return await _downloads(
        client, paths, spec, None, skip_existing=skip_existing, replace=replace
    ).plan()


def _downloads(
    client: CvatClient,
    paths: Mapping[int, PathText],
    spec: ExportSpec | str | None,
    options: DownloadOptions | None,
    *,
    skip_existing: bool,
    replace: bool,
) -> DownloadRun:
    _check_client(client)
    given: object = paths
    if not isinstance(given, Mapping):
        raise TypeError(
            f"paths must map each task's id to its folder, not be {type(given).__name__}: for "
            'example {147: "data/task147"}'
        )
    Selection(task_ids=list(paths))  # which checks the ids
    return DownloadRun(
        client,
        {task_id: _place(path) for task_id, path in paths.items()},
        ExportSpec.of(spec),
        _checked(options, DownloadOptions),
        skip_existing=skip_existing,
        replace=replace,
    )


# --- uploads ----------------------------------------------------------------------------------


async def plan_upload(
    client: CvatClient,
    source: Mapping[int, PathText] | PathText,
    task_ids: Sequence[int] | None = None,
    *,
    format: str | None = None,  # noqa: A002 - CVAT's own word for it
    options: UploadOptions | None = None,
) -> UploadPlan:
    """Plan what `upload` would do, with reasons. Nothing is changed, here or at the server.

    The arguments are those of `open_upload`, the errors those of `upload`.
    """
    return await _uploads(client, source, task_ids, format, options).plan()


def open_upload(
    client: CvatClient,
    source: Mapping[int, PathText] | PathText,
    task_ids: Sequence[int] | None = None,
    *,
    format: str | None = None,  # noqa: A002 - CVAT's own word for it
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
        options: Limits, guards and the mode.
        on_event: Receives each event, synchronously, in the loop's thread.

    Returns:
        The run, as from `open_mirror`. A file that cannot be uploaded is refused before any of it
        is sent, and fails its task alone.

    Raises:
        ConfigError: The arguments contradict each other.
        TypeError: An argument has the wrong type, for example `options` of another verb.
    """
    work = _uploads(client, source, task_ids, format, options)
    return Run(work.work, on_event)


async def upload(
    client: CvatClient,
    source: Mapping[int, PathText] | PathText,
    task_ids: Sequence[int] | None = None,
    *,
    format: str | None = None,  # noqa: A002 - CVAT's own word for it
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
        client, source, task_ids, format=format, options=options, on_event=on_event
    ) as run:
        return await run.wait()


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
    _check_client(client)
    options = UploadOptions(
        mode=mode,
        import_timeout=timeout,
        backup_dir=None if backup_dir is None else _place(backup_dir),
        backup=backup,
        lossy=lossy,
        allow_empty=allow_empty,
    )
    return await import_file(client, task_id, _place(path), format, options)


def _uploads(
    client: CvatClient,
    source: Mapping[int, PathText] | PathText,
    task_ids: Sequence[int] | None,
    format_name: str | None,
    options: UploadOptions | None,
) -> UploadRun:
    _check_client(client)
    files: Mapping[int, Path] | Path
    if isinstance(source, Mapping):
        files = {task_id: _place(path) for task_id, path in source.items()}
    else:
        files = _place(source)
    return UploadRun(client, files, task_ids, format_name, _checked(options, UploadOptions))


def _place(given: PathText) -> Path:
    """Return a path; an empty one is probably a setting that is missing.

    Raises:
        ConfigError: It is empty.
    """
    if not str(fspath(given)).strip():
        raise ConfigError("a path is empty. Name a folder or file, '.' for the working directory.")
    if re.match(r"https?:/", str(given), re.IGNORECASE):
        # One with a password in it is not repeated.
        shown = "what is given" if "@" in str(given) else repr(str(given))
        raise ConfigError(f"{shown} is an address, not a path. Name a folder or file.")
    return Path(given)


def _undo(
    client: CvatClient,
    folder: PathText,
    task_ids: Sequence[int] | Mapping[int, PathText],
    options: UploadOptions | None,
) -> UndoRun:
    _check_client(client)
    if isinstance(task_ids, str | bytes) or not isinstance(task_ids, Iterable):
        raise TypeError(f"task_ids must be a list of ids like [147], not {task_ids!r}")
    states: dict[int, str | None] = dict.fromkeys(task_ids)
    if isinstance(task_ids, Mapping):
        states = {task_id: _place(path).name for task_id, path in task_ids.items()}
    if not states:
        raise ConfigError("task_ids is empty. Name the tasks whose uploads are to be undone.")
    return UndoRun(client, _place(folder), states, _checked(options, UploadOptions))


def _check_client(client: object) -> None:
    """Refuse what is no client, before it fails somewhere deep inside.

    Raises:
        TypeError: It is none.
    """
    if not isinstance(client, CvatClient):
        raise TypeError(f"client must be a CvatClient, not {type(client).__name__}")


def _checked(options: OptionsT | None, kind: type[OptionsT]) -> OptionsT:
    """Return the options, or the defaults if there are none.

    Raises:
        TypeError: They are those of another verb.
    """
    if options is None:
        return kind()
    if not isinstance(options, kind):
        raise TypeError(f"options must be {kind.__name__}, not {type(options).__name__}")
    return options
