"""`asynccvat export-to-cloud` and `cloud-storages`: let the server write to its buckets."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

import asynccvat
from asynccvat import CloudOptions, Selection
from asynccvat.cli import output, plans, queries, signals, waits
from asynccvat.cli.command import command
from asynccvat.cli.common_options import (
    DEFAULT_FORMAT,
    ResultOptions,
    dry_run_option,
    in_addressed_task,
    in_default_project,
)
from asynccvat.cli.credentials import client_for
from asynccvat.cli.exit_codes import ExitCode
from asynccvat.cli.listing import Column, Listing, ListOptions
from asynccvat.cli.runs import carry_out
from asynccvat.cli.shared_options import SharedOptions
from asynccvat.errors import AuthenticationError, ResponseError

if TYPE_CHECKING:
    from asynccvat import CvatClient
    from asynccvat.models import CloudPlan, CloudStorage


@command
def export_to_cloud(
    shared: SharedOptions,
    *,
    storage: Annotated[
        int,
        typer.Option(
            "--storage",
            metavar="ID",
            min=1,
            help="The cloud storage; `asynccvat cloud-storages` lists them.",
        ),
    ],
    prefix: Annotated[
        str,
        typer.Option("--prefix", metavar="PATH", help="The folder in it, such as exports/may."),
    ] = "",
    format_: Annotated[
        str | None,
        typer.Option(
            "--format",
            "-f",
            metavar="NAME",
            help="The format, like coco or 'COCO 1.0'; see 'asynccvat formats'. "
            f"By default {DEFAULT_FORMAT!r}.",
        ),
    ] = None,
    images: Annotated[bool, typer.Option("--images", help="With the images.")] = False,
    backup: Annotated[
        bool, typer.Option("--backup", help="Whole backups instead of exports.")
    ] = False,
    selection: Selection,
    options: CloudOptions,
    dry_run: Annotated[bool, dry_run_option("How it runs")] = False,
    results: ResultOptions,
) -> int:
    """Let the server write exports to a cloud storage, an object for each task.

    Nothing passes through this machine. Objects that are there already are not replaced without
    --overwrite. With --record, a file notes what was written, and the next run exports only what
    changed. Each object is looked up afterwards.

    For example:

    asynccvat export-to-cloud --storage 3 --prefix exports --project-id 5 --record exports.jsonl

    asynccvat export-to-cloud --storage 3 --prefix backups/may --backup --as projects --dry-run
    """
    results.check(dry_run=dry_run)
    if backup and (format_ is not None or images):
        raise typer.BadParameter(
            "a backup has no format, and holds the images. Remove it, or --format and --images.",
            param_hint="--backup",
        )
    settings = shared.settings()
    selection = in_default_project(in_addressed_task(selection, settings), settings)
    spec = (
        asynccvat.models.BackupSpec()
        if backup
        else asynccvat.ExportSpec(format_ or DEFAULT_FORMAT, images)
    )
    client = client_for(settings, retries=options.retries)

    async def plan() -> CloudPlan:
        async with client:
            with waits.told():
                return await asynccvat.plan_export_to_cloud(
                    client, storage, prefix, selection, spec, options=options
                )

    if dry_run:
        return _show_plan(signals.run(plan), as_json=results.as_json, verbose=shared.verbose)
    return carry_out(
        client,
        lambda client, on_event: asynccvat.export_to_cloud(
            client, storage, prefix, selection, spec, options=options, on_event=on_event
        ),
        results,
        place=f"cloud storage {storage}",
        verbose=shared.verbose,
    )


def _show_plan(plan: CloudPlan, *, as_json: bool, verbose: bool) -> ExitCode:
    described = plan.to_json()
    if as_json:
        output.write_json(described)
    else:
        output.remark(plan.description)
        plans.show_steps(
            ("step", str(plan.target), "key", "reason", "name"),
            [
                (
                    step["step"],
                    step.get(f"{plan.target}_id", ""),
                    step["key"],
                    step["reason"],
                    step["name"],
                )
                for step in plans.shown(described["steps"], verbose=verbose)
            ],
            numbers=(str(plan.target),),
            wraps=("key", "reason", "name"),
        )
    code = plans.show_end(described["steps"], as_json=as_json, verbose=verbose)
    if code is ExitCode.DONE and not plan.listing.complete:
        return ExitCode.SOME_FAILED
    return code


_Storage = tuple["CloudStorage", str]

_STORAGE_COLUMNS: tuple[Column[_Storage], ...] = (
    Column(title="id", value=lambda one: one[0].id, number=True),
    Column(title="name", value=lambda one: one[0].display_name, wraps=True),
    Column(title="provider", value=lambda one: one[0].provider_type),
    Column(title="resource", value=lambda one: one[0].resource, wraps=True),
    Column(title="status", value=lambda one: one[1]),
)


@command
def cloud_storages(shared: SharedOptions, *, list_options: ListOptions) -> int:
    """List the cloud storages that the server can write to, and whether it reaches them.

    For example:

    asynccvat cloud-storages --json
    """
    listing = Listing(_STORAGE_COLUMNS, list_options)
    found = queries.ask(shared.settings(), _storages)
    listing.show(
        found,
        "cloud storage",
        record=lambda one: {column.title: column.value(one) for column in _STORAGE_COLUMNS},
    )
    return ExitCode.DONE


async def _storages(client: CvatClient) -> list[tuple[CloudStorage, str]]:
    """Return the storages with their states. One whose state cannot be read hides no other."""
    return [(one, await _status(client, one.id)) for one in await client.cloud_storages()]


async def _status(client: CvatClient, storage_id: int) -> str:
    try:
        return await client.cloud_storage_status(storage_id)
    except AuthenticationError:
        raise
    except ResponseError as error:
        output.remark(f"warning: {error}")
        return "UNKNOWN"
