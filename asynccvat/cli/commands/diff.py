"""`asynccvat diff`: what a mirror or a backup would do now, grouped by reason."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

import asynccvat
from asynccvat import MirrorOptions
from asynccvat.cli import output, queries
from asynccvat.cli.command import command
from asynccvat.cli.common_options import AsJson
from asynccvat.cli.exit_codes import ExitCode
from asynccvat.cli.shared_options import SharedOptions
from asynccvat.cli.text import counted, printable
from asynccvat.core.texts import first_few

if TYPE_CHECKING:
    from asynccvat.models import Difference


@command
def diff(
    shared: SharedOptions,
    *,
    destination: Annotated[
        Path, typer.Argument(metavar="DEST", help="The folder of a mirror, or of backups.")
    ],
    prune: Annotated[
        bool,
        typer.Option("--prune", help="Also compare as `mirror --prune`, which removes folders."),
    ] = False,
    as_json: AsJson = False,
) -> int:
    """Show how DEST differs from its server: what a mirror or a backup would do now, by reason.

    Format and selection are those that DEST remembers. Nothing is changed. The exit code is 0 if
    nothing differs, 1 if something does, and 2 to 5 for errors.

    For example:

    asynccvat diff data/

    asynccvat diff data/ --prune --json

    asynccvat diff backups/
    """
    options = MirrorOptions(prune=True) if prune else None
    found = queries.ask(
        shared.settings(Path(destination)),
        lambda client: asynccvat.diff(client, destination, options=options),
    )
    if as_json:
        output.write_json(found.to_json())
    else:
        _show(found, destination, verbose=shared.verbose)
    return ExitCode.DONE if found.is_current else ExitCode.SOME_FAILED


def _show(found: Difference, destination: Path, *, verbose: bool) -> None:
    plan, noun = found.plan, str(found.plan.target)
    output.remark(printable(plan.description))
    for warning in plan.warnings:
        output.remark(f"warning: {printable(warning)}")
    if found.groups:
        output.table(
            ("step", "count", "reason", noun),
            [
                (
                    group.step,
                    f"{len(group.ids):,}",
                    group.explanation,
                    ", ".join(map(str, group.ids)) if verbose else first_few(group.ids),
                )
                for group in found.groups
            ],
            numbers=("count",),
            wraps=("reason", noun),
        )
    if plan.guard is not None:
        output.remark(f"A run would refuse: {plan.guard}")
    if not plan.listing.complete:
        output.remark(f"The list of {noun}s kept changing while it was read. Compare again.")
    unchanged = f"{counted(found.unchanged, noun)} unchanged"
    if found.is_current:
        output.sentence(f"{destination} is current: {unchanged}.")
    elif found.count:
        then = _next_command(found, destination)
        output.remark(f"{counted(found.count, 'difference')}, {unchanged}. {then}")


def _next_command(found: Difference, destination: Path) -> str:
    """Say which command makes the destination current."""
    from asynccvat.models import BackupPlan, TargetKind  # noqa: PLC0415 - `--help` stays light

    plan, place = found.plan, shlex.quote(str(destination))
    if isinstance(plan, BackupPlan):
        flags = " --projects" * (plan.target is TargetKind.PROJECT)
        flags += " --lightweight" * plan.lightweight
        return f"To back them up: `asynccvat backup {place}{flags}`"
    flags = " --prune" * any(group.step == "remove" for group in found.groups)
    return f"To mirror them: `asynccvat mirror {place}{flags}`"
