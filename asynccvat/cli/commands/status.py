"""`asynccvat status`: what a folder holds, without asking a server."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

import asynccvat
from asynccvat.cli import output, signals
from asynccvat.cli.command import command
from asynccvat.cli.common_options import AsJson
from asynccvat.cli.exit_codes import ExitCode
from asynccvat.cli.queries import minute
from asynccvat.cli.shared_options import SharedOptions
from asynccvat.cli.text import age, counted, ended, number_of_bytes, printable
from asynccvat.core.texts import first_few

if TYPE_CHECKING:
    from asynccvat.models import ChangedFile, DestinationStatus

_MOST_FILES = 10
_TITLE_WIDTH = 11


@command
def status(
    shared: SharedOptions,
    *,
    destination: Annotated[
        Path, typer.Argument(metavar="DEST", help="The folder of a mirror, or of backups.")
    ],
    as_json: AsJson = False,
) -> int:
    """Show what DEST holds and from when, edited files, and how the last run ended; offline.

    Files are compared by size and time. `asynccvat verify DEST` reads them, and `asynccvat diff
    DEST` asks the server.

    For example:

    asynccvat status data/

    asynccvat status data/ --json
    """
    found = signals.run(lambda: asynccvat.status(destination))
    if as_json:
        output.write_json(found.to_json())
        return ExitCode.DONE
    if found.is_green and not shared.verbose:
        output.sentence(printable(_green(found)))
        return ExitCode.DONE
    output.write(printable(f"{found.path}: {found.holds} of {found.server}"))
    for title, line in _lines(found, verbose=shared.verbose):
        whole = f"  {title:<{_TITLE_WIDTH}}{printable(line)}".rstrip()
        if title:
            output.sentence(whole, indent=_TITLE_WIDTH)
        else:
            output.write(whole)  # a path, which has to be copied as it is
    for warning in found.warnings:
        output.remark(f"warning: {printable(warning)}")
    return ExitCode.DONE


def _green(found: DestinationStatus) -> str:
    """Return the one line for a destination in which nothing is unusual."""
    parts = [f"{_here(found)} of {found.server}"]
    if found.description:
        parts.append(found.description)
    parts.append(number_of_bytes(found.bytes))
    if found.last_run is None:
        parts.append("no run is noted")
    elif found.last_run.only:
        parts.append(f"last run of {found.last_run.only} alone, complete {_ago(found)}")
    else:
        parts.append(f"complete {_ago(found)}")
    aside = ", ".join(_put_aside(found))
    return f"{found.path}: {', '.join(parts)}{f'; put aside: {aside}' if aside else ''}."


def _lines(found: DestinationStatus, *, verbose: bool) -> Iterator[tuple[str, str]]:
    """Yield a title and a text for each line below the first one."""
    if found.description:
        yield "mirrors" if found.holds != "backups" else "of", found.description
    here = f"{_here(found)}, {counted(found.files, 'file')}, {number_of_bytes(found.bytes)}"
    yield "here", here
    if found.oldest_at is not None and found.newest_at is not None:
        first, last = minute(found.oldest_at), minute(found.newest_at)
        yield "from", f"{first} UTC" if first == last else f"{first} to {last} UTC"
    for one in found.formats if verbose or len(found.formats) > 1 else ():
        how = "with" if one.images else "without"
        yield "format", f"{one.format}, {how} images: {counted(one.folders, 'folder')}"
    yield "last run", _last_run(found)
    if found.failed:
        yield "failed", f"{len(found.failed):,}: {first_few(found.failed)}"
    yield from _files("edited", found.edited, verbose=verbose)
    yield from _files("missing", found.missing, verbose=verbose)
    for number, aside in enumerate(_put_aside(found)):
        yield "" if number else "put aside", aside


def _here(found: DestinationStatus) -> str:
    if found.holds == "backups":
        here = counted(found.backups, "backup")
        of = [counted(count, kind) for kind, count in found.backed_up.items()]
        return f"{here} of {' and '.join(of)}" if of else here
    return counted(found.targets, found.holds.removesuffix("s"))


def _last_run(found: DestinationStatus) -> str:
    run = found.last_run
    if run is None:
        return "none is noted"
    what = f"{run.verb} of {run.only} alone" if run.only else run.verb
    began = f"{what}, {minute(run.began_at)} UTC"
    if found.is_running:
        return f"{began}, running: {found.writer}"
    if found.was_killed:
        return f"{began}, killed before it ended. Run it again to continue."
    counts = ", ".join(f"{count:,} {_RESULTS.get(one, one)}" for one, count in run.counts.items())
    line = f"{began}, {run.end} {_ago(found)}: {counts or 'no tasks'}"
    return line if run.error is None else f"{line}. {ended(run.error)}"


def _ago(found: DestinationStatus) -> str:
    run = found.last_run
    assert run is not None, "only runs have an age"
    began = datetime.fromisoformat(run.ended_at or run.began_at)
    return f"{age((datetime.now(UTC) - began).total_seconds())} ago"


def _files(title: str, found: Sequence[ChangedFile], *, verbose: bool) -> Iterator[tuple[str, str]]:
    if not found:
        return
    targets = len({one.target_id for one in found})
    yield title, f"{counted(len(found), 'file')} in {counted(targets, 'folder')}"
    shown = found if verbose else found[:_MOST_FILES]
    for one in shown:
        yield "", one.path
    if len(found) > len(shown):
        yield "", f"and {len(found) - len(shown):,} more (-v lists them)"


_RESULTS = {"kept": "unchanged"}
"""What the summary of a run calls a result by another word than its report."""

_WORDS = {
    "kept": "{} of your files",
    "replaced": "{} of replaced annotations",
    "history": "{} of earlier versions",
    "archives": "{} of archives",
}


def _put_aside(found: DestinationStatus) -> list[str]:
    return [
        _WORDS[kind].format(f"{counted(total.items, 'item')} ({number_of_bytes(total.bytes)})")
        for kind, total in found.kept.items()
    ]
