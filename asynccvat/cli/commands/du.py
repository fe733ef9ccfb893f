"""`asynccvat du`: the room that a folder takes, by use or by task."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

import asynccvat
from asynccvat.cli import output, signals
from asynccvat.cli.command import command
from asynccvat.cli.common_options import AsJson
from asynccvat.cli.exit_codes import ExitCode
from asynccvat.cli.shared_options import SharedOptions
from asynccvat.cli.text import counted, number_of_bytes

if TYPE_CHECKING:
    from asynccvat.models import DiskUsage


class Grouping(StrEnum):
    """What the room is added up by."""

    USE = "use"
    TARGET = "target"
    PROJECT = "project"


@command
def du(
    shared: SharedOptions,
    *,
    destination: Annotated[
        Path, typer.Argument(metavar="DEST", help="The folder of a mirror, or of backups.")
    ],
    by: Annotated[
        Grouping,
        typer.Option("--by", help="Add up by use, target (what has a folder) or project."),
    ] = Grouping.USE,
    limit: Annotated[
        int | None,
        typer.Option("--limit", metavar="N", min=1, help="Show only the N largest ones."),
    ] = None,
    as_json: AsJson = False,
) -> int:
    """Show the room that DEST takes: current files, archives, history, what was put aside; offline.

    A file with several names is counted once.

    For example:

    asynccvat du data/

    asynccvat du data/ --by target --limit 20
    """
    del shared  # no server is asked
    if limit is not None and by is Grouping.USE:
        raise typer.BadParameter("it needs --by target or --by project.", param_hint="--limit")
    found = signals.run(lambda: asynccvat.disk_usage(destination))
    if as_json:
        output.write_json(found.to_json())
    elif by is Grouping.USE:
        _by_use(found)
    elif by is Grouping.TARGET:
        _by_target(found, limit)
    else:
        _by_project(found, limit)
    if not as_json:
        total = found.total
        output.remark(
            f"{destination}: {counted(total.files, 'file')}, {number_of_bytes(total.bytes)}, "
            f"{number_of_bytes(total.allocated)} on disk"
        )
    return ExitCode.DONE


def _by_use(found: DiskUsage) -> None:
    output.table(
        ("use", "files", "size", "on disk"),
        [
            (
                str(use),
                f"{room.files:,}",
                number_of_bytes(room.bytes),
                number_of_bytes(room.allocated),
            )
            for use, room in found.uses.items()
        ],
        numbers=("files", "size", "on disk"),
    )


def _by_target(found: DiskUsage, limit: int | None) -> None:
    numbers = ("id", "files", "size", "current", "rest")
    output.table(
        ("target", *numbers, "name"),
        [
            (
                str(one.owner.target),
                one.owner.target_id,
                f"{one.files:,}",
                number_of_bytes(one.bytes),
                number_of_bytes(one.current),
                number_of_bytes(one.bytes - one.current),
                one.name,
            )
            for one in found.targets[:limit]
        ],
        numbers=numbers,
        wraps=("name",),
    )


def _by_project(found: DiskUsage, limit: int | None) -> None:
    numbers = ("project", "targets", "files", "size", "current", "rest")
    output.table(
        numbers,
        [
            (
                "none" if one.project_id is None else one.project_id,
                f"{one.targets:,}",
                f"{one.files:,}",
                number_of_bytes(one.bytes),
                number_of_bytes(one.current),
                number_of_bytes(one.bytes - one.current),
            )
            for one in found.projects[:limit]
        ],
        numbers=numbers,
    )
