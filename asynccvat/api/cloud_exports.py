"""Exports to a cloud storage by the server: `export_to_cloud`, with its plan and its run."""

from __future__ import annotations

from dataclasses import replace

from asynccvat.api.arguments import check_client, checked_options
from asynccvat.client import CvatClient
from asynccvat.commands.export_to_cloud.run import CloudRun
from asynccvat.core.numbers import whole
from asynccvat.core.options.cloud import CloudOptions
from asynccvat.core.outcomes import RunReport
from asynccvat.core.plans.cloud import CloudPlan
from asynccvat.core.selections.selection import Selection
from asynccvat.core.specs import BackupSpec, ExportSpec, RequestSpec
from asynccvat.core.targets import TargetKind
from asynccvat.errors import ConfigError
from asynccvat.transfer.run import EventCallback, Run


async def plan_export_to_cloud(
    client: CvatClient,
    storage_id: int,
    prefix: str = "",
    selection: Selection | None = None,
    spec: ExportSpec | BackupSpec | str | None = None,
    *,
    options: CloudOptions | None = None,
) -> CloudPlan:
    """Plan what `export_to_cloud` would do, with reasons. Nothing is changed anywhere.

    The arguments are those of `open_export_to_cloud`, the errors those of `export_to_cloud`.
    """
    return await _cloud_run(client, storage_id, prefix, selection, spec, options=options).plan()


def open_export_to_cloud(
    client: CvatClient,
    storage_id: int,
    prefix: str = "",
    selection: Selection | None = None,
    spec: ExportSpec | BackupSpec | str | None = None,
    *,
    options: CloudOptions | None = None,
    on_event: EventCallback | None = None,
) -> Run:
    """Let the server write archives to a cloud storage, and read each outcome as it comes.

    Use the run with `async with`. Nothing passes through this process.

    Args:
        client: The server.
        storage_id: The cloud storage, as the server numbers it.
        prefix: The folder in it, such as `exports/may`.
        selection: Which tasks, projects or jobs. None for all that the user may see.
        spec: A format's name, an `ExportSpec` or a `BackupSpec`. By default `CVAT` without images.
        options: Limits, the record, and what may be replaced.
        on_event: Receives each event, synchronously, in the loop's thread.

    Returns:
        The run, as from `open_mirror`. `location` of an outcome is the object's key.

    Raises:
        ConfigError: The arguments contradict each other.
        TypeError: An argument has the wrong type, for example `options` of another verb.
    """
    return Run(
        _cloud_run(client, storage_id, prefix, selection, spec, options=options).work, on_event
    )


async def export_to_cloud(
    client: CvatClient,
    storage_id: int,
    prefix: str = "",
    selection: Selection | None = None,
    spec: ExportSpec | BackupSpec | str | None = None,
    *,
    options: CloudOptions | None = None,
    on_event: EventCallback | None = None,
) -> RunReport:
    """Let the server write exports or backups to a cloud storage, many at a time.

    The arguments are those of `open_export_to_cloud`.

    Returns:
        The report. Failures are in it, and are never raised; see `RunReport.raise_for_failures`.

    Raises:
        ConfigError: The server cannot reach the storage, or does not export in that format.
        NotFoundError: There is no such storage.
        StoreLockedError: Another process writes the record.
        StoreError: The record cannot be used.
        AsyncCvatError: The server cannot be reached, or refuses the user or the listing.
        TypeError: An argument has the wrong type, for example `options` of another verb.
    """
    async with open_export_to_cloud(
        client, storage_id, prefix, selection, spec, options=options, on_event=on_event
    ) as run:
        return await run.wait()


def _cloud_run(
    client: CvatClient,
    storage_id: int,
    prefix: str,
    selection: Selection | None,
    spec: ExportSpec | BackupSpec | str | None,
    *,
    options: CloudOptions | None,
) -> CloudRun:
    check_client(client)
    checked = checked_options(options, CloudOptions)
    if not isinstance(prefix, str):
        raise TypeError(f"prefix must be a text, not {prefix!r}")
    made: RequestSpec = spec if isinstance(spec, BackupSpec) else ExportSpec.of(spec)
    target = TargetKind.of_plural(checked.target)
    if made.target is TargetKind.TASK:
        made = replace(made, target=target)
    elif target not in (TargetKind.TASK, made.target):
        raise ConfigError(
            f"the {type(made).__name__} asks for {made.target.plural}, and the options for "
            f"{target.plural}. Give one of them."
        )
    return CloudRun(
        client,
        whole("storage_id", storage_id),
        prefix,
        Selection.of(selection),
        spec=made,
        options=checked,
    )
