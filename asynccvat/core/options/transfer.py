"""Options that all transfers share, as frozen values that check themselves."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

from asynccvat.core.archive_limits import ArchiveLimits
from asynccvat.core.declarations import (
    COUNT_OR_SHARE,
    COUNT_OR_TIME,
    DURATION,
    DURATION_OR_NONE,
    SIZE,
    Folder,
    Kind,
    Number,
    Quantity,
    Switch,
    Text,
    declared_options,
    option,
    option_group,
)
from asynccvat.errors import ConfigError

DEFAULT_EXPORT_TIMEOUT = 4.25 * 3600
"""Seconds. Longer than CVAT's own limit of 4 hours, so that the server gives up first."""

MOST_CONCURRENCY = 128
"""Requests in flight. More would delay the server's other users for long, and could not be
cancelled in the seconds that an interrupted run has."""

DEFAULT_UPLOAD_LIMIT = 25 * 1024**3
"""Bytes. CVAT's own limit on one uploaded file (`TUS_MAX_FILE_SIZE`), 26,843,545,600."""

DEFAULT_QUEUE_TIMEOUT = 4.5 * 3600
"""Seconds. Longer than CVAT lets any export run, so that something must have left the queue."""

DEFAULT_WAIT_FOR_SERVER = 600.0
"""Seconds. Longer than a restart or an update of a server takes."""

DEFAULT_PREFIX = "task"
"""The start of a folder's name where nothing else says it."""

PREFIX_HELP = "The start of a task's folder name; the task's id follows it. 'task' by default."
_RETRIES = "How often a failed step of a task is retried."
BREAK_LOCK = "Take over the lock of a process that has surely ended."


@dataclass(frozen=True, slots=True, kw_only=True)
class TransferOptions:
    """Options that all transfers have: downloads, mirrors and uploads.

    Attributes:
        concurrency: Exports or imports in flight. None learns how many the server runs at once.
        transfers: Archives read, or large files sent, at once.
        retries: How often one step of one task is retried, if that is known to be safe.
            The client's own `RetryPolicy` says how often single calls are retried.
        wait_for_server: Seconds that a run waits for a server that stopped answering, 0 for not.
        queue_timeout: Seconds that requests may wait while nothing leaves the server's queue.
        max_time: Seconds that the whole run may take, None for no limit. What is done is kept.
        durable: Sync to disk before a task counts as done.
    """

    concurrency: int | None = option(
        None,
        "--concurrency",
        "Exports in flight at the server, at most 128; by default learned during the run.",
        Number(1, example=4, most=MOST_CONCURRENCY),
    )
    transfers: int = option(8, "--transfers", "Archives downloaded at once.", Number(1, example=8))
    retries: int = option(5, "--retries", _RETRIES, Number(0, example=5))
    wait_for_server: float = option(
        DEFAULT_WAIT_FOR_SERVER,
        "--wait-for-server",
        "How long to wait for a server that stopped answering, like 90s or 30m; 0 for not.",
        DURATION_OR_NONE,
    )
    queue_timeout: float = option(
        DEFAULT_QUEUE_TIMEOUT,
        "--queue-timeout",
        "How long to wait while nothing leaves the server's queue: seconds, or like 30m or 4h.",
        DURATION,
    )
    max_time: float | None = option(
        None,
        "--max-time",
        "How long the whole run may take, or each round of a watch. What is done by then is kept; "
        "exit code 1.",
        DURATION,
    )
    durable: bool = option(
        True,
        "--no-fsync",
        "Do not sync files to disk: faster, but not safe against a power cut.",
        Switch(),
    )

    def __post_init__(self) -> None:
        _check(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class FetchOptions(TransferOptions):
    """Options of downloads and mirrors. See `DownloadOptions` and `MirrorOptions`.

    Attributes:
        bandwidth: Bytes a second for all transfers together, None for no limit.
        export_timeout: Seconds that one export may run, counted from its start. `queue_timeout`
            limits the time in the server's queue.
        reuse: Reuse members that are on disk already, after reading them again.
        limits: Bounds on archives.
    """

    bandwidth: int | None = option(
        None,
        "--bwlimit",
        "Bytes per second for all downloads together, like 800K, 10M or 1.5G.",
        SIZE,
    )
    export_timeout: float = option(
        DEFAULT_EXPORT_TIMEOUT,
        "--export-timeout",
        "How long one export may run, its time in the queue excluded: seconds, or like 30m or 4h.",
        DURATION,
    )
    reuse: bool = option(
        True, "--no-reuse", "Download files even if they are on disk already.", Switch()
    )
    limits: ArchiveLimits = option_group(ArchiveLimits)  # noqa: RUF009 - it makes a field

    def __post_init__(self) -> None:
        TransferOptions.__post_init__(self)
        if not isinstance(self.limits, ArchiveLimits):
            raise ConfigError(f"limits must be ArchiveLimits, not {self.limits!r}")


_COUNTS = {
    COUNT_OR_SHARE: "a number or a percentage like 10%",
    COUNT_OR_TIME: "a number or a time like 30d",
}


def _check(options: TransferOptions) -> None:
    """Refuse values that their options do not accept, before they fail somewhere deep inside.

    Raises:
        ConfigError: There is one.
    """
    for item in declared_options(type(options)):
        if len(item.path) > 1:
            continue  # a nested dataclass checks itself
        value = getattr(options, item.name)
        if value is None and item.default is None:
            continue
        wanted = _wanted(item.kind, value)
        if wanted is not None:
            or_none = ", or None" if item.default is None else ""
            raise ConfigError(f"{item.name} must be {wanted}{or_none}, not {value!r}")


def _wanted(kind: Kind, value: Any) -> str | None:
    """What a value should have been, in words; None if it is accepted."""
    whole = isinstance(value, int) and not isinstance(value, bool)
    match kind:
        case Switch() if not isinstance(value, bool):
            return "True or False"
        case Text(choices=()) | Folder():
            return _wanted_text(kind, value)
        case Text(choices=choices) if choices and value not in choices:
            return " or ".join(choices)
        case Number(least=least, most=most):
            accepted = whole and least <= value <= (value if most is None else most)
            bounds = f", at least {least}" if most is None else f" from {least} to {most}"
            return None if accepted else f"a whole number{bounds}"
        case Quantity() if kind == SIZE and not (whole and value >= 1):
            return "a whole number, at least 1"
        case Quantity() if kind in (DURATION, DURATION_OR_NONE):
            return _wanted_seconds(kind, value)
        case Quantity() if kind in _COUNTS and not (whole or isinstance(value, str)):
            return _COUNTS[kind]
    return None


def _wanted_seconds(kind: Kind, value: Any) -> str | None:
    """As `_wanted`, for a duration."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if kind == DURATION_OR_NONE:
        return None if is_number and value >= 0 else "a number of seconds, or 0 for none"
    return None if is_number and value > 0 else "a positive number of seconds"


def _wanted_text(kind: Text | Folder, value: Any) -> str | None:
    """As `_wanted`, for a text or the path of a folder."""
    if isinstance(kind, Folder):
        is_path = isinstance(value, str | PurePath) and str(value).strip()
        return None if is_path else "the path of a folder"
    is_text = isinstance(value, str) and (kind.may_be_empty or value.strip())
    return None if is_text else "a text" + ("" if kind.may_be_empty else " that is not empty")
