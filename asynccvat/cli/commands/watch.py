"""`asynccvat watch`: keep a mirror up to date until a signal."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from contextlib import AsyncExitStack, ExitStack, closing
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

import asynccvat
from asynccvat import MirrorOptions, Selection, WatchOptions
from asynccvat.cli import output, signals
from asynccvat.cli.command import command
from asynccvat.cli.common_options import DEFAULT_FORMAT, RESULTS, in_addressed_task, option
from asynccvat.cli.credentials import client_for
from asynccvat.cli.exit_codes import ExitCode
from asynccvat.cli.runs import LEFT_BEHIND
from asynccvat.cli.shared_options import SharedOptions
from asynccvat.core.declarations import WATCHING

if TYPE_CHECKING:
    from asynccvat import CvatClient, Event, OnChangeCommand, Watch, WatchAddresses
    from asynccvat.cli.watch_display import WatchDisplay

_SECRET = "ASYNCCVAT_WEBHOOK_SECRET"  # noqa: S105 - the name of the variable


@command
def watch(
    shared: SharedOptions,
    *,
    destination: Annotated[
        str, typer.Argument(metavar="DEST", help="The folder that holds the mirror.")
    ],
    format_: Annotated[
        str | None,
        typer.Option(
            "--format",
            "-f",
            metavar="NAME",
            help="The format's exact name; see 'asynccvat formats'. "
            f"By default what DEST remembers, or else {DEFAULT_FORMAT!r}.",
        ),
    ] = None,
    images: Annotated[
        bool | None,
        typer.Option(
            "--images/--no-images",
            help="Also fetch the images. By default as DEST remembers, or else not.",
        ),
    ] = None,
    watching: WatchOptions,
    on_change: Annotated[
        str | None,
        option(
            "--on-change",
            group=WATCHING,
            metavar="'CMD {path}'",
            help="Run this command for each change, without a shell. {path}, {task_id}, {name} "
            "and {action} are replaced.",
        ),
    ] = None,
    listen: Annotated[
        str | None,
        option(
            "--listen",
            group=WATCHING,
            metavar="HOST:PORT",
            help="Take CVAT's webhooks at /webhook, with the secret in ASYNCCVAT_WEBHOOK_SECRET. "
            "Serve /status and /metrics to this machine.",
        ),
    ] = None,
    status_listen: Annotated[
        str | None,
        option(
            "--status-listen",
            group=WATCHING,
            metavar="HOST:PORT",
            help="Serve /status, /healthz, /readyz and /metrics here, to all who reach it.",
        ),
    ] = None,
    selection: Selection,
    options: MirrorOptions,
    quiet: Annotated[
        bool, option("--quiet", "-q", group=RESULTS, help="Write failures and warnings only.")
    ] = False,
    as_jsonl: Annotated[
        bool, option("--jsonl", group=RESULTS, help="Write each round as a line of JSON.")
    ] = False,
    log_file: Annotated[
        Path | None,
        option(
            "--log-json",
            group=RESULTS,
            metavar="FILE",
            help="Append each event to this file, as a line of JSON.",
        ),
    ] = None,
) -> int:
    """Keep a mirror up to date: look for changes again and again, and fetch them.

    A look costs the server one page of its list. Stop it with Ctrl-C or SIGTERM; it can be killed
    at any moment, and started again.

    For example:

    asynccvat watch data/ --every 1m

    asynccvat watch data/ --on-change 'python train.py {path}'

    asynccvat watch data/ --listen 127.0.0.1:9000
    """
    settings = shared.settings(Path(destination))
    selection = in_addressed_task(selection, settings)
    options = replace(options, default_project_id=settings.project_id)
    run_command = None if on_change is None else _checked_command(on_change)
    if log_file is not None:
        output.EventLog(log_file).close()
    client = client_for(settings, retries=options.retries)
    _run(
        client,
        lambda display, on_event: asynccvat.watch(
            client,
            destination,
            selection,
            format_,
            images=images,
            options=options,
            watching=watching,
            on_change=None if run_command is None else display.beside(run_command),
            on_event=on_event,
        ),
        _Pages(listen, status_listen),
        _Shown(verbose=shared.verbose, quiet=quiet, as_jsonl=as_jsonl, log_file=log_file),
    )
    return ExitCode.DONE


def _checked_command(text: str) -> OnChangeCommand:
    """Return the command of `--on-change`; refuse one that would fail for each change.

    Raises:
        ConfigError: It cannot be split into arguments, or has an unknown placeholder.
        typer.BadParameter: Its program is not installed.
    """
    found = asynccvat.OnChangeCommand(text)
    if shutil.which(found.program) is None:
        raise typer.BadParameter(
            f"there is no program {found.program!r}. Install it, or give its path.",
            param_hint="--on-change",
        )
    return found


@dataclass(frozen=True, slots=True)
class _Pages:
    """The addresses to listen on."""

    listen: str | None
    status_listen: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Shown:
    """What is written, and where."""

    verbose: bool
    quiet: bool
    as_jsonl: bool
    log_file: Path | None


def _run(
    client: CvatClient,
    start: Callable[[WatchDisplay, Callable[[Event], None]], Watch],
    pages: _Pages,
    shown: _Shown,
) -> None:
    """Show the rounds of a watch until a signal, or until an error ends it."""
    from asynccvat.cli import watch_display  # noqa: PLC0415 - `--help` stays light
    from asynccvat.events import to_json  # noqa: PLC0415 - the same

    with ExitStack() as stack:
        log = None
        if shown.log_file is not None:
            log = stack.enter_context(closing(output.EventLog(shown.log_file)))
        display = stack.enter_context(
            watch_display.WatchDisplay(
                output.remarks(),
                verbose=shown.verbose,
                quiet=shown.quiet,
                as_lines=shown.as_jsonl,
            )
        )

        def on_event(event: Event) -> None:
            if log is not None:
                now = datetime.now(UTC).isoformat(timespec="milliseconds")
                log.write(to_json(event), now.replace("+00:00", "Z"))
            display.on_event(event)

        async def main() -> None:
            async with client, AsyncExitStack() as opened:
                watched = start(display, on_event)
                if pages.listen is not None or pages.status_listen is not None:
                    addresses = await opened.enter_async_context(
                        asynccvat.serve_watch(
                            watched,
                            listen=pages.listen,
                            status_listen=pages.status_listen,
                            secret=os.environ.get(_SECRET),
                        )
                    )
                    if not shown.quiet:
                        display.say(_listening(addresses))
                display.show(watched)
                async for done in watched:
                    display.end_round(done)

        signals.run(main, on_signal=display.say_stopping, left_behind=LEFT_BEHIND)


def _listening(addresses: WatchAddresses) -> str:
    """Return the line that says where the watch listens."""
    pages = f"status at {addresses.status}"
    return pages if addresses.webhook is None else f"webhooks at {addresses.webhook}, {pages}"
