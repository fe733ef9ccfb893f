"""`asynccvat backups`: list the backups that a folder holds."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

import asynccvat
from asynccvat.cli import output, signals, waits
from asynccvat.cli.command import command
from asynccvat.cli.credentials import client_for
from asynccvat.cli.exit_codes import ExitCode
from asynccvat.cli.listing import Column, Listing, ListOptions
from asynccvat.cli.queries import minute
from asynccvat.cli.shared_options import SharedOptions
from asynccvat.cli.text import counted, number_of_bytes, printable

if TYPE_CHECKING:
    from asynccvat.models import StoredBackup

_COLUMNS: tuple[Column[StoredBackup], ...] = (
    Column(title="target", value=lambda one: str(one.receipt.target)),
    Column(title="id", value=lambda one: one.receipt.id, number=True),
    Column(title="made", value=lambda one: one.receipt.requested_at, text=minute),
    Column(title="size", value=lambda one: one.receipt.size, text=number_of_bytes, number=True),
    Column(title="kind", value=lambda one: "lightweight" if one.receipt.lightweight else "whole"),
    Column(title="zip", value=lambda one: str(one.condition)),
    Column(
        title="server",
        value=lambda one: {True: "has it", False: "not listed", None: None}[one.on_server],
    ),
    Column(title="name", value=lambda one: one.receipt.name, wraps=True),
    Column(title="file", value=lambda one: one.receipt.file, wraps=True),
    Column(title="files", value=lambda one: one.receipt.files, number=True, extra=True),
    Column(title="frames", value=lambda one: one.receipt.state.frames, number=True, extra=True),
    Column(title="jobs", value=lambda one: one.receipt.state.job_count, number=True, extra=True),
    Column(title="tasks", value=lambda one: one.receipt.state.task_count, number=True, extra=True),
    Column(
        title="updated",
        value=lambda one: one.receipt.state.updated_date,
        text=minute,
        extra=True,
    ),
)


@command
def backups(
    shared: SharedOptions,
    *,
    destination: Annotated[
        Path, typer.Argument(metavar="DEST", help="The folder of `asynccvat backup`.")
    ],
    offline: Annotated[
        bool,
        typer.Option("--offline", help="Do not ask the server which tasks it still has."),
    ] = False,
    list_options: ListOptions,
) -> int:
    """List the backups in DEST: of what, when, how large, and whether the server still has it.

    The zips are not read: `asynccvat verify DEST` does that.

    For example:

    asynccvat backups backups/

    asynccvat backups backups/ --offline --sort -size --limit 10
    """
    listing = Listing(_COLUMNS, list_options)
    found = signals.run(lambda: _list(shared, destination, offline=offline))
    listing.show(found, "backup", record=lambda one: one.to_json())
    bad = sum(one.condition != "present" for one in found)
    if bad:
        output.remark(f"warning: {counted(bad, 'zip')} missing or changed.")
    return ExitCode.SOME_FAILED if bad else ExitCode.DONE


async def _list(
    shared: SharedOptions, destination: Path, *, offline: bool
) -> tuple[StoredBackup, ...]:
    """List the backups, without the server if it cannot be asked."""
    from asynccvat.errors import GatewayError, TransportError  # noqa: PLC0415 - `--help` stays light

    if offline:
        return await asynccvat.list_backups(destination)
    client = client_for(shared.settings(destination), retries=0)
    try:
        async with client:
            with waits.told():
                return await asynccvat.list_backups(destination, client=client)
    except (GatewayError, TransportError) as error:
        output.remark(f"warning: the server was not asked: {printable(str(error))}")
        return await asynccvat.list_backups(destination)
