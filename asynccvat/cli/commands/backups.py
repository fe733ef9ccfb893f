"""`asynccvat backups`: list the backups that a folder holds."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

import asynccvat
from asynccvat.cli import output, queries, signals, waits
from asynccvat.cli.command import command
from asynccvat.cli.common_options import OutputForm, OutputOptions
from asynccvat.cli.credentials import client_for
from asynccvat.cli.exit_codes import ExitCode
from asynccvat.cli.queries import minute
from asynccvat.cli.shared_options import SharedOptions
from asynccvat.cli.text import counted, number_of_bytes, printable

if TYPE_CHECKING:
    from asynccvat.models import StoredBackup


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
    output_options: OutputOptions,
) -> int:
    """List the backups in DEST: of what, when, how large, and whether the server still has it.

    The zips are not read: `asynccvat verify DEST` does that.

    For example:

    asynccvat backups backups/

    asynccvat backups backups/ --offline --json
    """
    form = output_options.form()
    found = signals.run(lambda: _list(shared, destination, offline=offline))
    queries.show(
        form,
        [one.to_json() for one in found],
        ("target", "id", "made", "size", "kind", "zip", "server", "name", "file"),
        [
            (
                str(one.receipt.target),
                one.receipt.id,
                minute(one.receipt.requested_at),
                number_of_bytes(one.receipt.size),
                "lightweight" if one.receipt.lightweight else "whole",
                str(one.condition),
                {True: "has it", False: "not listed", None: None}[one.on_server],
                one.receipt.name,
                one.receipt.file,
            )
            for one in found
        ],
        numbers=("id", "size"),
        wraps=("name", "file"),
    )
    if form is OutputForm.TABLE:
        output.remark(counted(len(found), "backup"))
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
    client = client_for(shared.settings(), retries=0)
    try:
        async with client:
            with waits.told():
                return await asynccvat.list_backups(destination, client=client)
    except (GatewayError, TransportError) as error:
        output.remark(f"warning: the server was not asked: {printable(str(error))}")
        return await asynccvat.list_backups(destination)
