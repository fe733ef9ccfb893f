"""`asynccvat report`: write a page or JSON about a run from its log of events."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Annotated

import typer

import asynccvat
from asynccvat.cli import output
from asynccvat.cli.exit_codes import ExitCode

_STREAM = Path("-")


def report(
    log: Annotated[
        Path,
        typer.Argument(
            metavar="EVENTS.jsonl", help="The file that --log-json wrote; - reads stdin."
        ),
    ],
    page: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE.html",
            help="The page; by default beside the log, with the ending .html; - writes to stdout.",
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
    as_json: Annotated[
        bool,
        typer.Option(
            "--json",
            help="Write figures, failures and tasks to stdout as JSON. Without -o, write no page.",
        ),
    ] = False,
) -> None:
    """Write a page about a run from its --log-json.

    EVENTS.jsonl is what --log-json wrote. The page is that of --report: time line, use of the
    server's workers, slowest tasks, failures, and a table of all tasks. It is one file, and needs
    no network.

    For example:

    asynccvat report events.jsonl -o report.html

    asynccvat report events.jsonl --json
    """
    where = _place(log, page, as_json=as_json)
    with _opened(log) as stream:
        # A stream can be read once, and a log of many tasks is large.
        lines: Iterable[bytes] = list(stream) if as_json and where is not None else stream
        data = asynccvat.report_data(lines, number) if as_json else None
        text = "" if where is None else asynccvat.report_page(lines, number)
    if data is not None:
        output.write_json(data)
    if where is None:
        return
    if where == _STREAM:
        output.write(text)
        return
    if not output.save_text(text, where):
        raise typer.Exit(ExitCode.SOME_FAILED)
    if not as_json:
        output.write(str(where))


def _place(log: Path, page: Path | None, *, as_json: bool) -> Path | None:
    """Return where the page goes, None for no page.

    Raises:
        typer.BadParameter: It cannot be written there.
    """
    if page is None:
        page = None if as_json else _STREAM if log == _STREAM else log.with_suffix(".html")
    if page == _STREAM and as_json:
        raise typer.BadParameter(
            "stdout takes the page or the JSON, not both. Name a file, or remove --json.",
            param_hint="--output",
        )
    if page not in (None, _STREAM):
        output.check_writable(page, "--output")
    return page


@contextmanager
def _opened(log: Path) -> Iterator[Iterable[bytes]]:
    """Open a log, or stdin.

    Raises:
        typer.BadParameter: It cannot be read.
    """
    try:
        with nullcontext(sys.stdin.buffer) if log == _STREAM else log.open("rb") as stream:
            yield stream
    except OSError as error:
        raise typer.BadParameter(
            f"{str(log)!r} cannot be read: {error.strerror}. Name a file that --log-json wrote.",
            param_hint="EVENTS.jsonl",
        ) from error
