"""`asynccvat report`: write a page about a run from its log of events."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

import asynccvat
from asynccvat.cli import output
from asynccvat.cli.exit_codes import ExitCode


def report(
    log: Annotated[
        Path,
        typer.Argument(metavar="EVENTS.jsonl", help="The file that --log-json wrote."),
    ],
    page: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE.html",
            help="The page; by default beside the log, with the ending .html.",
        ),
    ] = None,
    number: Annotated[
        int,
        typer.Option(
            "--run",
            metavar="N",
            help="Which run of the log: 1 is the first, -1 the last, -2 the one before it.",
        ),
    ] = -1,
) -> None:
    """Write a page about a run from the log that --log-json wrote.

    It is the page of --report: time line, use of the server's workers, slowest tasks, failures, and
    a table of all tasks. It is one file, and needs no network.

    For example:

    asynccvat report events.jsonl -o report.html
    """
    where = log.with_suffix(".html") if page is None else page
    output.check_writable(where, "--output")
    try:
        with log.open("rb") as lines:
            text = asynccvat.report_page(lines, number)
    except OSError as error:
        raise typer.BadParameter(
            f"{str(log)!r} cannot be read: {error.strerror}. Name a file that --log-json wrote.",
            param_hint="EVENTS.jsonl",
        ) from error
    if not output.save_text(text, where):
        raise typer.Exit(ExitCode.SOME_FAILED)
    output.write(str(where))
