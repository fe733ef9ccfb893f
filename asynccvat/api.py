"""Many tasks: plan, mirror, download, upload. What callers use; the work itself is done below."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from os import PathLike
from pathlib import Path

from asynccvat.client import CvatClient
from asynccvat.commands.download.run import DownloadRun
from asynccvat.commands.mirror.run import MirrorRun, prepare
from asynccvat.commands.upload.run import UploadRun
from asynccvat.core.models import ExportSpec
from asynccvat.core.options import MirrorOptions, UploadOptions
from asynccvat.core.outcomes import RunReport, TaskOutcome
from asynccvat.core.plans.download import DownloadPlan
from asynccvat.core.plans.mirror import Fetch, Plan
from asynccvat.core.plans.upload import UploadPlan
from asynccvat.core.selection import Selection
from asynccvat.store import MirrorStore
from asynccvat.transfer.run import EventCallback, Run

PathText = str | PathLike[str]


async def plan(
    client: CvatClient,
    dest: PathText,
    selection: Selection | None = None,
    spec: ExportSpec | None = None,
    *,
    options: MirrorOptions | None = None,
) -> Plan:
    """What `mirror` would do, and why; nothing is changed, here or there.

    Args:
        client: The server.
        dest: The destination.
        selection: Which tasks; all that the user may see by default.
        spec: Format and images; annotations as `CVAT for images 1.1` by default.
        options: How; the guards and the prefix count here.

    Raises:
        ConfigError: The destination belongs to another server, the server does not export in
            that format, or an option cannot be used.
        StoreError: The destination cannot be read.
        AsyncCvatError: The server cannot be reached or refuses the listing.
    """
    options = options or MirrorOptions()
    async with MirrorStore.open(
        Path(dest), origin=client.origin, organization=client.organization, read_only=True
    ) as store:
        spec = spec or ExportSpec()
        plan_ = await prepare(client, store, selection or Selection(), spec, options)
    if plan_.of(Fetch):
        # A mirror learns it from its first export.
        await client.check_format(spec.format)
    return plan_


def open_mirror(
    client: CvatClient,
    dest: PathText,
    selection: Selection | None = None,
    spec: ExportSpec | None = None,
    *,
    options: MirrorOptions | None = None,
    on_event: EventCallback | None = None,
) -> Run:
    """Mirror tasks and meet each outcome as it lands: a run, for `async with`.

    Args:
        client: The server.
        dest: The destination; made if it is not there.
        selection: Which tasks; all that the user may see by default.
        spec: Format and images; annotations as `CVAT for images 1.1` by default.
        options: How.
        on_event: Told each event, synchronously, in the loop's thread.

    Returns:
        The run, an async context manager and an async iterator of `TaskOutcome`. Ordinary
        failures of tasks are outcomes; what keeps the run from beginning is raised by
        iterating, by `wait` or by leaving the block.
    """
    work = MirrorRun(
        client,
        Path(dest),
        selection or Selection(),
        spec or ExportSpec(),
        options or MirrorOptions(),
    )
    return Run(work.work, on_event)


async def mirror(
    client: CvatClient,
    dest: PathText,
    selection: Selection | None = None,
    spec: ExportSpec | None = None,
    *,
    options: MirrorOptions | None = None,
    on_event: EventCallback | None = None,
) -> RunReport:
    """Mirror tasks into a destination; afterwards it holds what the server has.

    The arguments are those of `open_mirror`.

    Returns:
        The report. Failures of tasks are in it, and never raised; see
        `RunReport.raise_for_failures`.

    Raises:
        ConfigError: An option cannot be used, or the destination belongs to another server.
        StoreLockedError: Another mirror is at work on the destination.
        StoreError: The destination cannot be used.
        AsyncCvatError: The server cannot be reached, or refuses the user or the listing.
    """
    async with open_mirror(
        client, dest, selection, spec, options=options, on_event=on_event
    ) as run:
        return await run.wait()


async def download(
    client: CvatClient,
    task_id: int,
    path: PathText,
    spec: ExportSpec | None = None,
    *,
    options: MirrorOptions | None = None,
    skip_existing: bool = False,
    replace: bool = False,
    on_event: EventCallback | None = None,
) -> TaskOutcome:
    """Export one task into a folder, whole or not at all; no receipt is kept.

    Args:
        client: The server.
        task_id: The task.
        path: The folder, which must not hold anything yet, but for what the options below say.
        spec: Format and images; annotations as `CVAT for images 1.1` by default.
        options: Limits, retries and durability.
        skip_existing: Leave a folder alone that holds the format's annotation file already.
        replace: Let the task's export replace one that is there already; what that held and the
            new one does not, edited files for example, is put aside, beside it.
        on_event: Told each event, synchronously, in the loop's thread.

    Raises:
        AsyncCvatError: It failed; the folder is as it was.
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
    # From now on the error leads to this frame, which must not lead to the outcome.
    del report
    raise error


async def download_many(
    client: CvatClient,
    paths: Mapping[int, PathText],
    spec: ExportSpec | None = None,
    *,
    options: MirrorOptions | None = None,
    skip_existing: bool = False,
    replace: bool = False,
    on_event: EventCallback | None = None,
) -> RunReport:
    """Export tasks into folders of their own, many at a time; the stateless sibling of `mirror`.

    Args:
        client: The server.
        paths: The folder of each task.
        spec: Format and images.
        options: Limits, retries and durability.
        skip_existing: Leave folders alone that hold the format's annotation file already.
        replace: As in `download`.
        on_event: Told each event, synchronously, in the loop's thread.

    Returns:
        The report; failures of tasks are in it, and never raised.

    Raises:
        ConfigError: Two tasks have the same folder.
        StoreError: A folder's parent cannot be written to.
    """
    work = _downloads(client, paths, spec, options, skip_existing=skip_existing, replace=replace)
    async with Run(work.work, on_event) as run:
        return await run.wait()


async def plan_downloads(
    client: CvatClient,
    paths: Mapping[int, PathText],
    spec: ExportSpec | None = None,
    *,
    skip_existing: bool = False,
    replace: bool = False,
) -> DownloadPlan:
    """What `download_many` would do, and why; nothing is changed, and the server not asked.

    Args:
        client: The server.
        paths: The folder of each task.
        spec: Format and images.
        skip_existing: Leave folders alone that hold the format's annotation file already.
        replace: As in `download`.

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
    spec: ExportSpec | None,
    options: MirrorOptions | None,
    *,
    skip_existing: bool,
    replace: bool,
) -> DownloadRun:
    return DownloadRun(
        client,
        {task_id: Path(path) for task_id, path in paths.items()},
        spec or ExportSpec(),
        options or MirrorOptions(),
        skip_existing=skip_existing,
        replace=replace,
    )


async def plan_upload(
    client: CvatClient,
    source: Mapping[int, PathText] | PathText,
    task_ids: Sequence[int] | None = None,
    *,
    format: str | None = None,  # noqa: A002 - CVAT's own word for it
    options: UploadOptions | None = None,
) -> UploadPlan:
    """What `upload` would do, and why; nothing is changed, here or there.

    The arguments are those of `open_upload`, the errors those of `upload`.
    """
    return await _uploading(client, source, task_ids, format, options).plan()


def open_upload(
    client: CvatClient,
    source: Mapping[int, PathText] | PathText,
    task_ids: Sequence[int] | None = None,
    *,
    format: str | None = None,  # noqa: A002 - CVAT's own word for it
    options: UploadOptions | None = None,
    on_event: EventCallback | None = None,
) -> Run:
    """Upload annotation files and meet each outcome as it lands: a run, for `async with`.

    Where the files lie in a mirror of this server, its receipts learn of it: the next mirror
    fetches those tasks once and no other.

    Args:
        client: The server.
        source: The folder that holds the tasks' folders (a mirror, for one), or the file or
            folder of each task.
        task_ids: With a folder of folders: these tasks. None takes all that it holds, but for
            those whose files are as they were mirrored.
        format: The importer's name, or that of the exporter that wrote the files; without it, the
            format of the mirror, else CVAT's own XML.
        options: How.
        on_event: Told each event, synchronously, in the loop's thread.

    Returns:
        The run, an async context manager and an async iterator of `TaskOutcome`. What cannot be
        uploaded is refused before anything is sent of it, and fails its task alone; what keeps
        the run from beginning is raised by iterating, by `wait` or by leaving the block.

    Raises:
        ConfigError: The arguments contradict each other.
    """
    work = _uploading(client, source, task_ids, format, options)
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
        The report. Failures of tasks are in it, and never raised; see
        `RunReport.raise_for_failures`.

    Raises:
        ConfigError: The server cannot import in that format or mode, the folder is not there, or
            it mirrors another server.
        StoreLockedError: A mirror is at work on the folder.
        StoreError: The receipts cannot be used.
        AsyncCvatError: The server cannot be reached, or refuses the user.
    """
    async with open_upload(
        client, source, task_ids, format=format, options=options, on_event=on_event
    ) as run:
        return await run.wait()


def _uploading(
    client: CvatClient,
    source: Mapping[int, PathText] | PathText,
    task_ids: Sequence[int] | None,
    format_name: str | None,
    options: UploadOptions | None,
) -> UploadRun:
    place: Mapping[int, Path] | Path
    if isinstance(source, Mapping):
        place = {task_id: Path(path) for task_id, path in source.items()}
    else:
        place = Path(source)
    return UploadRun(client, place, task_ids, format_name, options or UploadOptions())
