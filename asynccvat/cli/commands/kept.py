"""`asynccvat kept`: list what a mirror has put aside, restore it, or purge it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

import asynccvat
from asynccvat.cli import output, parsing, signals
from asynccvat.cli.command import command
from asynccvat.cli.common_options import SELECTION, AsJson, option
from asynccvat.cli.exit_codes import ExitCode
from asynccvat.cli.queries import minute
from asynccvat.cli.shared_options import SharedOptions
from asynccvat.cli.text import counted, number_of_bytes

if TYPE_CHECKING:
    from asynccvat.models import KeptItem

_ACTION = "What is done"


class Kind(StrEnum):
    """Why something was put aside."""

    KEPT = "kept"
    REPLACED = "replaced"
    HISTORY = "history"
    ARCHIVES = "archives"


@command
def kept(
    shared: SharedOptions,
    *,
    destination: Annotated[Path, typer.Argument(metavar="DEST", help="The folder of a mirror.")],
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="NAME", help="Only these, by the names that the list shows."),
    ] = None,
    kind: Annotated[
        list[Kind] | None,
        option(
            "--kind",
            group=SELECTION,
            help="Only kept (your files), replaced (by uploads), history or archives. May be "
            "repeated.",
        ),
    ] = None,
    older_than: Annotated[
        str | None,
        option(
            "--older-than",
            group=SELECTION,
            metavar="AGE",
            help="Only what was put aside longer ago, such as 30d, or before a date.",
        ),
    ] = None,
    restore: Annotated[
        bool,
        option(
            "--restore",
            group=_ACTION,
            help="Move the named files back to where they were. What is there now is put aside.",
        ),
    ] = False,
    purge: Annotated[
        bool,
        option("--purge", group=_ACTION, help="Remove them for good. It needs --yes."),
    ] = False,
    yes: Annotated[
        bool, option("--yes", group=_ACTION, help="With --purge: remove, instead of showing.")
    ] = False,
    break_lock: Annotated[
        bool,
        option("--break-lock", group=_ACTION, help="Take over the lock from another process."),
    ] = False,
    as_json: AsJson = False,
) -> int:
    """List what a mirror has put aside: files of yours, replaced annotations, history, archives.

    With --restore or --purge, do that with them.

    For example:

    asynccvat kept data/

    asynccvat kept data/ kept/task147-20260101T020000Z --restore

    asynccvat kept data/ --kind history --older-than 90d --purge --yes
    """
    del shared  # no server is asked
    given = tuple(names or ())
    kinds = [one.value for one in kind or ()]
    before = None
    if older_than is not None:
        before = parsing.since(older_than, "--older-than", now=datetime.now(UTC))
    narrowed = bool(kinds) or before is not None
    _check(named=bool(given), narrowed=narrowed, restore=restore, purge=purge, yes=yes)
    if restore:
        return _restore(destination, given, break_lock=break_lock, as_json=as_json)
    if yes:
        gone = signals.run(
            lambda: asynccvat.purge_kept(
                destination, given, kinds=kinds, before=before, break_lock=break_lock
            )
        )
        return _show(gone, f"Removed {_total(gone)}.", as_json=as_json)
    found = signals.run(lambda: asynccvat.kept(destination, given, kinds=kinds, before=before))
    line = _total(found)
    if purge:
        line = f"Nothing was removed: {line} would go. Add --yes to remove that."
    return _show(found, line, as_json=as_json)


def _check(*, named: bool, narrowed: bool, restore: bool, purge: bool, yes: bool) -> None:
    """Refuse options that contradict each other.

    Raises:
        typer.BadParameter: They do.
    """
    if restore and purge:
        raise typer.BadParameter(
            "it contradicts --purge. Remove one of them.", param_hint="--restore"
        )
    if yes and not purge:
        raise typer.BadParameter("it needs --purge.", param_hint="--yes")
    if restore and (narrowed or not named):
        raise typer.BadParameter(
            "it needs the names of what is restored, and no --kind or --older-than.",
            param_hint="--restore",
        )
    if purge and not (named or narrowed):
        raise typer.BadParameter(
            "it needs to know what goes. Give names, --kind or --older-than.",
            param_hint="--purge",
        )


def _total(items: Sequence[KeptItem]) -> str:
    return f"{counted(len(items), 'item')}, {number_of_bytes(sum(one.bytes for one in items))}"


def _show(items: Sequence[KeptItem], line: str, *, as_json: bool) -> ExitCode:
    if as_json:
        output.write_json({"version": 1, "items": [item.to_json() for item in items]})
        return ExitCode.DONE
    if items:
        output.table(
            ("kind", "id", "put aside", "files", "size", "name"),
            [
                (
                    str(one.kind),
                    one.target_id,
                    None if one.at is None else minute(one.at),
                    f"{one.files:,}",
                    number_of_bytes(one.bytes),
                    one.name,
                )
                for one in items
            ],
            numbers=("id", "files", "size"),
            copied=("name",),
        )
    output.remark(line)
    return ExitCode.DONE


def _restore(
    destination: Path, names: Sequence[str], *, break_lock: bool, as_json: bool
) -> ExitCode:
    done = signals.run(lambda: asynccvat.restore_kept(destination, names, break_lock=break_lock))
    if as_json:
        output.write_json({"version": 1, "items": [one.to_json() for one in done]})
        return ExitCode.DONE
    for one in done:
        aside = "" if one.put_aside is None else f"; what was there is now {one.put_aside}"
        files = counted(one.item.files, "file")
        output.write(f"restored {files} to {destination / one.folder}{aside}")
    return ExitCode.DONE
