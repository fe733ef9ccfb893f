"""The options of `copy`, as a frozen value that checks itself."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePath

from asynccvat.core.declarations import (
    DURATION,
    REPLACING,
    SIZE,
    Folder,
    Number,
    Switch,
    Text,
    option,
)
from asynccvat.core.options.transfer import (
    DEFAULT_EXPORT_TIMEOUT,
    DEFAULT_UPLOAD_LIMIT,
    MOST_CONCURRENCY,
    TransferOptions,
)
from asynccvat.errors import ConfigError

DEFAULT_SPOOL = 8 * 1024**3
"""Bytes of disk for backups whose size the source does not tell."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CopyOptions(TransferOptions):
    """Options of `copy`, `open_copy` and `plan_copy`.

    Attributes:
        concurrency: Backups and restores in flight at each server. None learns how many each
            server runs at once.
        transfers: Backups that stream from one server to the other at once.
        retries: How often one step of one task is retried, if that is known to be safe.
        wait_for_server: Seconds that a run waits for a server that stopped answering, 0 for not.
        queue_timeout: Seconds that requests may wait while nothing leaves a server's queue.
        max_time: Seconds that the whole run may take, None for no limit. What is done is kept.
        durable: Sync the journal to disk before each call that counts.
        into_project: The project of the target for all tasks: its id, or its name. None keeps
            projects apart: each goes into the project of its name, which is made if it is missing.
        state: The folder of the journal. None for one in the user's state folder, named by both
            sides.
        states: Set stages and states of jobs at the target as they are at the source, also of
            tasks that were copied before.
        overwrite: Also replace and remove copies that were changed at the target.
        duplicate: Also copy tasks of which the target's project has one of the same name, subset
            and size that this journal does not know.
        prune: Remove copies of tasks that are deleted at the source. Needs `expect`.
        expect: How many copies `prune` removes, as a dry run shows it.
        bandwidth: Bytes a second for all transfers together, None for no limit.
        export_timeout: Seconds that one backup may take, counted from its start.
        import_timeout: Seconds that one restore may take, counted from its start.
        upload_limit: Bytes of the largest file that the target accepts.
        spool_limit: Bytes of disk for backups whose size the source does not tell, or that it
            sends without ranges. One at a time lies there.
        break_lock: Take over the journal's lock, although its owner cannot be asked.
        default_project_id: The project to select where the selection is empty.
    """

    into_project: str | None = option(
        None,
        "--into-project",
        "The target's project for all tasks: its id, or its name.",
        Text(metavar="ID|NAME"),
        group=None,
    )
    state: str | PurePath | None = option(  # noqa: RUF009 - a declared field, as all of these
        None,
        "--state",
        "The folder of this copy's journal; by default one in the user's state folder.",
        Folder(),
        group=None,
    )
    states: bool = option(
        False,
        "--states",
        "Also set the stages and states of jobs, which backups do not carry.",
        Switch(),
        group=None,
    )
    overwrite: bool = option(
        False,
        "--overwrite",
        "Replace or remove copies although they were changed at the target.",
        Switch(),
        group=REPLACING,
    )
    duplicate: bool = option(
        False,
        "--duplicate",
        "Copy tasks although the target has one of the same name that this journal does not know.",
        Switch(),
        group=REPLACING,
    )
    prune: bool = option(
        False,
        "--prune",
        "Remove the copies of tasks that are deleted at the source. Needs --expect.",
        Switch(),
        group=REPLACING,
    )
    expect: int | None = option(
        None,
        "--expect",
        "How many copies --prune removes, as --dry-run shows it.",
        Number(0, example=1),
        group=REPLACING,
    )
    concurrency: int | None = option(
        None,
        "--concurrency",
        "Backups and restores in flight at each server, at most 128; by default learned.",
        Number(1, example=4, most=MOST_CONCURRENCY),
    )
    transfers: int = option(
        4, "--transfers", "Backups that stream to the target at once.", Number(1, example=4)
    )
    bandwidth: int | None = option(
        None,
        "--bwlimit",
        "Bytes per second for all transfers together, like 800K, 10M or 1.5G.",
        SIZE,
    )
    export_timeout: float = option(
        DEFAULT_EXPORT_TIMEOUT,
        "--export-timeout",
        "How long one backup may take, its time in the queue excluded: seconds, or like 30m or 4h.",
        DURATION,
    )
    import_timeout: float = option(
        DEFAULT_EXPORT_TIMEOUT,
        "--import-timeout",
        "How long one restore may take, its time in the queue excluded: seconds, or like 30m.",
        DURATION,
    )
    upload_limit: int = option(
        DEFAULT_UPLOAD_LIMIT,
        "--upload-limit",
        "The largest backup that the target accepts, like 25G.",
        SIZE,
    )
    spool_limit: int = option(
        DEFAULT_SPOOL,
        "--spool-limit",
        "Disk space for backups whose size the source does not tell, like 8G.",
        SIZE,
    )
    durable: bool = option(
        True,
        "--no-fsync",
        "Do not sync the journal to disk: faster, but not safe against a power cut.",
        Switch(),
    )
    break_lock: bool = option(
        False,
        "--break-lock",
        "Take over the lock of a process that has surely ended.",
        Switch(),
        group=REPLACING,
    )
    default_project_id: int | None = None

    def __post_init__(self) -> None:
        TransferOptions.__post_init__(self)
        if self.expect is not None and not self.prune:
            raise ConfigError(
                "expect says how many copies prune removes, and prune is not set. Give --prune, or "
                "remove --expect."
            )
