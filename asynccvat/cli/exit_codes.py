"""Turn errors and reports into exit codes and lines for stderr.

`MEANINGS` is the table of the codes. `core.wire.retry` decides what is tried again.
"""

from __future__ import annotations

import traceback
from enum import IntEnum
from typing import TYPE_CHECKING

from asynccvat.cli.text import ended, printable

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from asynccvat import RunReport


class ExitCode(IntEnum):
    """The exit codes of the command line."""

    DONE = 0
    SOME_FAILED = 1
    USAGE = 2
    NOT_ALLOWED = 3
    UNREACHABLE = 4
    REFUSED = 5
    BROKEN = 70
    """A bug in asynccvat: EX_SOFTWARE of sysexits.h."""
    HUNG_UP = 129
    """SIGHUP: 128 + 1."""
    INTERRUPTED = 130
    """SIGINT: 128 + 2."""
    TERMINATED = 143
    """SIGTERM: 128 + 15."""


MEANINGS = {
    ExitCode.DONE: "everything was done",
    ExitCode.SOME_FAILED: "some tasks failed or do not exist, `delete` passed some over, "
    "`verify` or `backups` found something wrong, or the sides of a `copy` or a `diff` differ",
    ExitCode.USAGE: "wrong usage or configuration",
    ExitCode.NOT_ALLOWED: "authentication or permission",
    ExitCode.UNREACHABLE: "the server is unreachable or out of order",
    ExitCode.REFUSED: "refused by a guard: `--max-delete`, `--expect`, `--keep` where the newest "
    "backup is damaged, or another run that works there",
    ExitCode.BROKEN: "a bug in asynccvat itself",
    ExitCode.HUNG_UP: "the terminal was closed (SIGHUP), which `nohup` prevents",
    ExitCode.INTERRUPTED: "interrupted (Ctrl-C)",
    ExitCode.TERMINATED: "terminated (SIGTERM)",
}
"""What each code means, for the help and the documentation."""

_SEVERITY = (
    ExitCode.DONE,
    ExitCode.REFUSED,
    ExitCode.SOME_FAILED,
    ExitCode.USAGE,
    ExitCode.NOT_ALLOWED,
    ExitCode.UNREACHABLE,
    ExitCode.BROKEN,
)


def exit_code(error: BaseException) -> ExitCode:
    """Return the exit code for an error that ended a command."""
    from asynccvat import errors  # noqa: PLC0415 - the start-up of `--help` stays light

    match error:
        case errors.AuthenticationError() | errors.PermissionDeniedError() | errors.GatewayError():
            return ExitCode.NOT_ALLOWED
        case errors.TransportError() | errors.ServerError() | errors.RateLimitError():
            return ExitCode.UNREACHABLE
        case errors.QueueStuckError():
            return ExitCode.UNREACHABLE
        case errors.ProtocolError():
            # The server at this address does not answer as CVAT does.
            return ExitCode.UNREACHABLE
        case errors.StoreLockedError() | errors.ForeignFolderError() | errors.ChangeRefusedError():
            return ExitCode.REFUSED
        case (
            errors.DiskFullError()
            | errors.DriveError()
            | errors.ExportError()
            | errors.ArchiveError()
            | errors.UploadError()
            | errors.RestoreError()
            | errors.CopyError()
            | errors.EarlierStepError()
            | errors.TimeLimitError()
        ):
            return ExitCode.SOME_FAILED
        case errors.AsyncCvatError():
            return ExitCode.USAGE
        case _:
            return ExitCode.BROKEN


def report_code(report: RunReport) -> ExitCode:
    """Return the exit code for a run that finished, or that an error stopped."""
    if report.stopped_by is not None:
        return exit_code(report.stopped_by)
    if report.failures or report.passed_over or report.interrupted or not report.listing_complete:
        return ExitCode.SOME_FAILED
    return ExitCode.DONE if report.guard is None else ExitCode.REFUSED


def worst(codes: Iterable[ExitCode]) -> ExitCode:
    """Return the most severe of several codes."""
    return max(codes, key=_SEVERITY.index, default=ExitCode.DONE)


def explain(error: BaseException, *, verbose: bool) -> Iterator[str]:
    """Yield the lines for stderr: the error, and with `verbose` its causes."""
    if exit_code(error) is ExitCode.BROKEN:
        first = error
        while isinstance(first, BaseExceptionGroup):
            first = first.exceptions[0]
        what = printable(str(first)) or "no message"
        yield f"Error: asynccvat has a bug: {type(first).__name__}: {what}"
        if verbose:
            # Without locals: these could hold secrets.
            yield from "".join(traceback.format_exception(error)).splitlines()
        else:
            yield "Run the command again with -v, and report the details that it shows."
        return
    yield f"Error: {ended(printable(str(error)))}"
    cause = error.__cause__
    while verbose and cause is not None:
        yield f"  because of {type(cause).__name__}: {printable(str(cause))}"
        cause = cause.__cause__
