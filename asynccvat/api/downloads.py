"""Download tasks: `download` and `download_many`. `commands.download` does the work."""

from __future__ import annotations

from collections.abc import Mapping

from asynccvat.api.arguments import PathText, check_client, checked_options, checked_path
from asynccvat.client import CvatClient
from asynccvat.commands.download.run import DownloadRun
from asynccvat.core.options.mirror import DownloadOptions
from asynccvat.core.outcomes import RunReport, TaskOutcome
from asynccvat.core.plans.download import DownloadPlan
from asynccvat.core.selections.selection import Selection
from asynccvat.core.specs import ExportSpec
from asynccvat.transfer.run import EventCallback, Run


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
    check_client(client)
    given: object = paths
    if not isinstance(given, Mapping):
        raise TypeError(
            f"paths must map each task's id to its folder, not be {type(given).__name__}: for "
            'example {147: "data/task147"}'
        )
    Selection(task_ids=list(paths))  # which checks the ids
    return DownloadRun(
        client,
        {task_id: checked_path(path) for task_id, path in paths.items()},
        ExportSpec.of(spec),
        checked_options(options, DownloadOptions),
        skip_existing=skip_existing,
        replace=replace,
    )
