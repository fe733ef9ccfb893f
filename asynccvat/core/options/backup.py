"""Options of backups, as a frozen value that checks itself."""

from __future__ import annotations

from dataclasses import dataclass

from asynccvat.core import quantities
from asynccvat.core.declarations import (
    COUNT_OR_TIME,
    REPLACING,
    SELECTION,
    Switch,
    option,
)
from asynccvat.core.options.transfer import BREAK_LOCK, FetchOptions
from asynccvat.core.targets import TargetKind
from asynccvat.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Retention:
    """Which backups of a target stay. The newest whole one always does.

    Attributes:
        count: How many of the newest stay. None if `seconds` decides.
        seconds: The age up to which they stay. None if `count` decides.
    """

    count: int | None = None
    seconds: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class BackupOptions(FetchOptions):
    """Options of `backup`, `open_backup` and `plan_backup`.

    Attributes:
        concurrency: Backups in flight. None learns how many the server runs at once.
        transfers: Backups downloaded at once.
        retries: How often one step of one task is retried. The client's own `RetryPolicy`
            says how often single calls are retried.
        wait_for_server: Seconds that a run waits for a server that stopped answering, 0 for not.
        queue_timeout: Seconds that requests may wait while nothing leaves the server's queue.
        max_time: Seconds that the whole run may take, None for no limit. What is done is kept.
        durable: Sync to disk before a backup counts as done.
        bandwidth: Bytes a second for all transfers together, None for no limit.
        export_timeout: Seconds that the server may work on one backup. `queue_timeout` limits the
            time in its queue.
        reuse: Go on after the bytes that an interrupted run left, if the server still has the same
            result.
        limits: Bounds on archives.
        projects: Back up whole projects instead of tasks: those of the selected tasks.
        full: Back up all media, those in buckets included: the default. Contradicts `lightweight`.
        lightweight: Leave out media that lie in a bucket. Such a backup needs the bucket, and never
            counts as a whole one.
        keep: Remove older backups: `7` keeps the newest seven, `"30d"` those of thirty days. The
            newest whole one always stays. None removes nothing.
        force: Back up every task, changed or not.
        break_lock: Take over the destination's lock, although its owner cannot be asked.
        change: Change the selection that the destination remembers to what this run is given.
        everything: Back up all tasks, although the destination remembers a selection.
        default_project_id: The project to select where neither the selection nor the destination
            says which tasks.
    """

    projects: bool = option(
        False,
        "--projects",
        "Back up whole projects instead of tasks: the projects of the selected tasks.",
        Switch(),
        group=SELECTION,
    )
    full: bool = option(
        False,
        "--full",
        "Back up all media, those in buckets included. This is the default.",
        Switch(),
        group=None,
    )
    lightweight: bool = option(
        False,
        "--lightweight",
        "Leave out media that lie in a bucket. Such a backup is no whole one.",
        Switch(),
        group=None,
    )
    keep: int | str | None = option(
        None,
        "--keep",
        "Remove older backups: keep the newest 7, or those of a time like 30d. The newest whole "
        "one always stays. By default nothing is removed.",
        COUNT_OR_TIME,
        group=REPLACING,
    )
    force: bool = option(
        False, "--force", "Back up every task, even if unchanged.", Switch(), group=REPLACING
    )
    break_lock: bool = option(False, "--break-lock", BREAK_LOCK, Switch(), group=REPLACING)
    change: bool = option(
        False,
        "--change",
        "Change the selection that DEST remembers to what is given now.",
        Switch(),
        group=REPLACING,
    )
    everything: bool = option(
        False,
        "--everything",
        "All tasks, although DEST remembers a selection. Needs --change.",
        Switch(),
        group=SELECTION,
    )
    default_project_id: int | None = None

    def __post_init__(self) -> None:
        FetchOptions.__post_init__(self)
        if self.full and self.lightweight:
            raise ConfigError("--full contradicts --lightweight. Remove one of them.")
        _ = self.retention

    @property
    def target(self) -> TargetKind:
        """What is backed up: tasks or projects."""
        return TargetKind.PROJECT if self.projects else TargetKind.TASK

    @property
    def retention(self) -> Retention | None:
        """Which backups stay, None if all do.

        Raises:
            ConfigError: `keep` is neither a number nor a time.
        """
        if self.keep is None:
            return None
        try:
            text = quantities.count_or_time(str(self.keep))
        except ValueError as error:
            raise ConfigError(f"keep: {str(self.keep)!r} {error}") from None
        if text.isdecimal():
            return Retention(count=int(text))
        return Retention(seconds=quantities.duration(text))
