"""Import datasets into a project: `import_datasets`. `commands.import_dataset` does the work."""

from __future__ import annotations

from collections.abc import Sequence

from asynccvat.api.arguments import PathText, check_client, checked_options, checked_path
from asynccvat.client import CvatClient
from asynccvat.commands.import_dataset.run import ImportDatasetRun
from asynccvat.core.options.restore import ImportOptions
from asynccvat.core.outcomes import RunReport
from asynccvat.core.plans.import_dataset import DatasetPlan
from asynccvat.transfer.run import EventCallback, Run


async def plan_import_datasets(
    client: CvatClient,
    project: int | str,
    files: Sequence[PathText],
    *,
    format: str,  # noqa: A002 - CVAT's own word for it
    options: ImportOptions | None = None,
) -> DatasetPlan:
    """Plan what `import_datasets` would do, with reasons. Nothing is changed.

    The arguments are those of `open_import_datasets`, the errors those of `import_datasets`.
    """
    return await _imports(client, project, files, format, options).plan()


def open_import_datasets(
    client: CvatClient,
    project: int | str,
    files: Sequence[PathText],
    *,
    format: str,  # noqa: A002 - CVAT's own word for it
    options: ImportOptions | None = None,
    on_event: EventCallback | None = None,
) -> Run:
    """Import datasets into a project, and read each outcome as soon as its tasks are there.

    Use the run with `async with`. The server makes a task for each subset of a dataset, and makes
    them again if it is asked twice. A journal next to the files prevents that.

    Args:
        client: The server.
        project: The project, by its id or its name.
        files: The datasets, as archives of the format.
        format: The importer's name, or that of the exporter that wrote them.
        options: Limits and guards.
        on_event: Receives each event, synchronously, in the loop's thread.

    Returns:
        The run, as from `open_mirror`. `task_id` of its outcomes and events is the project.

    Raises:
        ConfigError: No file is given.
        TypeError: An argument has the wrong type, for example `options` of another verb.
    """
    return Run(_imports(client, project, files, format, options).work, on_event)


async def import_datasets(
    client: CvatClient,
    project: int | str,
    files: Sequence[PathText],
    *,
    format: str,  # noqa: A002 - CVAT's own word for it
    options: ImportOptions | None = None,
    on_event: EventCallback | None = None,
) -> RunReport:
    """Import datasets into a project, one after the other.

    The arguments are those of `open_import_datasets`.

    Returns:
        The report. Failures of files are in it, and are never raised; see
        `RunReport.raise_for_failures`.

    Raises:
        ConfigError: There is no such project or format, or a file is given twice.
        StoreLockedError: Another process imports from the same folder to this server.
        StoreError: The journal cannot be used.
        AsyncCvatError: The server cannot be reached, or refuses the user.
        TypeError: An argument has the wrong type, for example `options` of another verb.
    """
    async with open_import_datasets(
        client, project, files, format=format, options=options, on_event=on_event
    ) as run:
        return await run.wait()


def _imports(
    client: CvatClient,
    project: int | str,
    files: Sequence[PathText],
    format_name: str,
    options: ImportOptions | None,
) -> ImportDatasetRun:
    check_client(client)
    if isinstance(files, str | bytes) or not isinstance(files, Sequence):
        raise TypeError(f"files must be a list of paths, not {files!r}")
    paths = [checked_path(path) for path in files]
    return ImportDatasetRun(
        client, project, paths, format_name, checked_options(options, ImportOptions)
    )
