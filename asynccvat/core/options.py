"""Options of downloads, mirrors and uploads, as frozen values that check themselves."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import PurePath
from typing import Any

from asynccvat.core.archive_limits import ArchiveLimits
from asynccvat.core.declarations import (
    COUNT_OR_SHARE,
    COUNT_OR_TIME,
    DURATION,
    DURATION_OR_NONE,
    REPLACING,
    SELECTION,
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
from asynccvat.core.selections.selection import STAGES, STATES, TYPES, check_word
from asynccvat.core.targets import TargetKind
from asynccvat.errors import ConfigError

DEFAULT_EXPORT_TIMEOUT = 4.25 * 3600
"""Seconds. Longer than CVAT's own limit of 4 hours, so that the server gives up first."""

MOST_CONCURRENCY = 128
"""Requests in flight. More would delay the server's other users for long, and could not be
cancelled in the seconds that an interrupted run has."""

DEFAULT_QUEUE_TIMEOUT = 4.5 * 3600
"""Seconds. Longer than CVAT lets any export run, so that something must have left the queue."""

DEFAULT_WAIT_FOR_SERVER = 600.0
"""Seconds. Longer than a restart or an update of a server takes."""

DEFAULT_PREFIX = "task"
"""The start of a folder's name where nothing else says it."""

_PREFIX = "The start of a task's folder name; the task's id follows it. 'task' by default."
_RETRIES = "How often a failed step of a task is retried."
BREAK_LOCK = "Take over the lock of a process that has surely ended."


class ImportMode(StrEnum):
    """What becomes of the annotations that a task has already."""

    REPLACE = "replace"
    """They go: what every CVAT does."""
    APPEND = "append"
    """They stay: only where the server has it (`import_mode`, since 2026)."""


class UnsafeNames(StrEnum):
    """What becomes of names of members that the destination cannot hold."""

    REFUSE = "refuse"
    """The task is refused."""
    MAP = "map"
    """They are written under safe names, and uploads undo that."""


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
        "How long the whole run may take. What is done by then is kept; exit code 1.",
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


@dataclass(frozen=True, slots=True, kw_only=True)
class DownloadOptions(FetchOptions):
    """Options of `download`, `download_many` and `open_download`.

    Attributes:
        concurrency: Exports in flight. None learns how many the server runs at once.
        transfers: Archives read at once.
        retries: How often one step of one task is retried. The client's own `RetryPolicy`
            says how often single calls are retried.
        wait_for_server: Seconds that a run waits for a server that stopped answering, 0 for not.
        queue_timeout: Seconds that requests may wait while nothing leaves the server's queue.
        max_time: Seconds that the whole run may take, None for no limit. What is done is kept.
        durable: Sync to disk before a folder counts as done.
        bandwidth: Bytes a second for all transfers together, None for no limit.
        export_timeout: Seconds that one export may run, counted from its start. `queue_timeout`
            limits the time in the server's queue.
        reuse: Reuse members that are on disk already, after reading them again.
        limits: Bounds on archives.
    """


@dataclass(frozen=True, slots=True, kw_only=True)
class MirrorOptions(FetchOptions):
    """Options of `mirror`, `open_mirror` and `plan_mirror`.

    Attributes:
        concurrency: Exports in flight. None learns how many the server runs at once.
        transfers: Archives read at once.
        retries: How often one step of one task is retried. The client's own `RetryPolicy`
            says how often single calls are retried.
        wait_for_server: Seconds that a run waits for a server that stopped answering, 0 for not.
        queue_timeout: Seconds that requests may wait while nothing leaves the server's queue.
        max_time: Seconds that the whole run may take, None for no limit. What is done is kept.
        durable: Sync to disk before a folder counts as done.
        bandwidth: Bytes a second for all transfers together, None for no limit.
        export_timeout: Seconds that one export may run, counted from its start. `queue_timeout`
            limits the time in the server's queue.
        reuse: Reuse members that are on disk already, after reading them again.
        limits: Bounds on archives.
        target: What gets a folder each: `"tasks"`, `"projects"` as the server merges their tasks,
            or `"jobs"`. None for what the destination remembers, or else `"tasks"`. It cannot be
            changed.
        stage: With `"jobs"`: only those in this stage. None for what the destination remembers.
        state: With `"jobs"`: only those in this state. None as for `stage`.
        type: With `"jobs"`: only those of this type. None as for `stage`.
        folder_prefix: A task's folder is named by this and the task's id. None for what the
            destination remembers, or else "task".
        keep_archive: Keep each archive in `.asynccvat/archives/`. None for what the destination
            remembers, or else False.
        names: `"refuse"` refuses tasks with names that the destination cannot hold; `"map"` writes
            them under safe names. Receipts have both, and uploads restore the original ones. None
            for what the destination remembers, or else `"refuse"`.
        force: Fetch every task, changed or not.
        refresh: Export annotations alone if a task's images did not change, and reuse the images
            on disk, after reading them again. Needs `reuse`.
        trust_receipts: Do not check the files of unchanged tasks.
        prune: Remove the folders of tasks that are gone from the server.
        max_delete: How many folders `prune` may remove: a number, or a share like `"10%"`.
        history: Seconds for which replaced annotation files are kept in `history/`, 0 for not at
            all. None for what the destination remembers, or else 0.
        adopt: Replace folders that are in no receipt. What they held goes to `kept/`.
        break_lock: Take over the destination's lock, although its owner cannot be asked.
        change: Change what the destination remembers to what this run is given.
        everything: Mirror all tasks, although the destination remembers a selection.
        default_project_id: The project to select where neither the selection nor the destination
            says which tasks.
        target_ids: Only the projects or jobs with these ids, in this run alone. None for all.
    """

    target: str | None = option(
        None,
        "--as",
        "A folder for each task, for each project, or for each job: tasks (the default), projects "
        "or jobs.",
        Text(tuple(kind.plural for kind in TargetKind)),
        group=None,
    )
    stage: str | None = option(
        None, "--stage", "With --as jobs: those in this stage.", Text(STAGES), group=SELECTION
    )
    state: str | None = option(
        None, "--state", "With --as jobs: those in this state.", Text(STATES), group=SELECTION
    )
    type: str | None = option(
        None, "--type", "With --as jobs: those of this type.", Text(TYPES), group=SELECTION
    )
    folder_prefix: str | None = option(
        None, "--folder-prefix", _PREFIX, Text(may_be_empty=True), group=None
    )
    keep_archive: bool | None = option(
        None,
        "--keep-archive",
        "Also keep each archive unchanged, in .asynccvat/archives/. By default as DEST remembers, "
        "or else not.",
        Switch(),
        group=None,
    )
    names: str | None = option(
        None,
        "--names",
        "Refuse tasks whose file names the disk cannot hold, or map these names to safe ones: "
        "refuse (the default) or map.",
        Text(tuple(UnsafeNames)),
        group=None,
    )
    force: bool = option(
        False, "--force", "Fetch every task, even if unchanged.", Switch(), group=REPLACING
    )
    refresh: bool = option(
        True, "--no-refresh", "Export images even if only the annotations changed.", Switch()
    )
    trust_receipts: bool = option(
        False, "--trust-receipts", "Do not check the files of unchanged tasks.", Switch()
    )
    prune: bool = option(
        False,
        "--prune",
        "Remove the folders of tasks that the server no longer has.",
        Switch(),
        group=REPLACING,
    )
    max_delete: int | str = option(
        "10%",
        "--max-delete",
        "Refuse to prune more folders than this: a number, or a share like 10%.",
        COUNT_OR_SHARE,
        group=REPLACING,
    )
    history: float | None = option(
        None,
        "--history",
        "Keep replaced annotation files in .asynccvat/history/ for this time, like 30d; 0 for not.",
        DURATION_OR_NONE,
        group=REPLACING,
    )
    adopt: bool = option(
        False,
        "--adopt",
        "Take over folders with a task's name that asynccvat did not make.",
        Switch(),
        group=REPLACING,
    )
    break_lock: bool = option(False, "--break-lock", BREAK_LOCK, Switch(), group=REPLACING)
    change: bool = option(
        False,
        "--change",
        "Change what DEST remembers, such as format and selection, to what is given now.",
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
    target_ids: tuple[int, ...] | None = None

    @property
    def prefix(self) -> str:
        """The start of a folder's name."""
        return DEFAULT_PREFIX if self.folder_prefix is None else self.folder_prefix

    def __post_init__(self) -> None:
        FetchOptions.__post_init__(self)
        self.deletions_allowed(0)
        check_word("target", self.target, tuple(kind.plural for kind in TargetKind))
        check_word("stage", self.stage, STAGES)
        check_word("state", self.state, STATES)
        check_word("type", self.type, TYPES)

    def deletions_allowed(self, folders: int) -> int:
        """Return how many of the mirrored folders one run may remove.

        Raises:
            ConfigError: `max_delete` is neither a number nor a percentage.
        """
        text = str(self.max_delete).strip()
        try:
            if text.endswith("%"):
                share = float(text[:-1])
                if 0 <= share <= 100:
                    # At least one: a small mirror must be able to follow its server at all.
                    return max(1, int(folders * share / 100)) if share else 0
            elif int(text) >= 0:
                return int(text)
        except ValueError:
            pass
        raise ConfigError(f"max_delete must be a number or a percentage like 10%, not {text!r}")


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadOptions(TransferOptions):
    """Options of `upload`, `open_upload` and `plan_upload`.

    Attributes:
        concurrency: Imports in flight. None learns how many the server runs at once.
        transfers: Large files sent at once.
        retries: How often one step of one task is retried, if that is known to be safe.
        wait_for_server: Seconds that a run waits for a server that stopped answering, 0 for not.
        queue_timeout: Seconds that requests may wait while nothing leaves the server's queue.
        max_time: Seconds that the whole run may take, None for no limit. What is done is kept.
        durable: Sync receipts to disk before an upload counts as done.
        folder_prefix: A task's folder is named by this and the task's id, unless a receipt says
            otherwise. None for what the mirror remembers, or else "task".
        mode: `"replace"`, which every CVAT can, or `"append"`, which newer ones can.
        overwrite: Also upload to tasks that changed on the server since they were mirrored. Outside
            a mirror nothing tells whether a task changed.
        lossy: Also upload where the import loses annotations of the task which the format or the
            file cannot carry, such as tracks.
        allow_empty: Also upload files without annotations to tasks that have some.
        backup_dir: The folder that keeps the annotations which are replaced. None keeps them in
            the mirror that holds the files. Outside a mirror nothing is replaced without it.
        backup: Keep the annotations that are replaced. False replaces them for good.
        force: Also upload files of a mirror that were not edited.
        import_timeout: Seconds that one import may run, counted from its start. `queue_timeout`
            limits the time in the server's queue.
        break_lock: Take over a mirror's lock, although its owner cannot be asked.
    """

    folder_prefix: str | None = option(
        None, "--folder-prefix", _PREFIX, Text(may_be_empty=True), group=None
    )
    mode: str = option(
        ImportMode.REPLACE.value,
        "--mode",
        "Whether to replace the annotations that a task has, or to append (a newer CVAT only).",
        Text(tuple(ImportMode)),
        group=REPLACING,
    )
    overwrite: bool = option(
        False,
        "--overwrite",
        "Replace the annotations of tasks that changed on the server since they were mirrored.",
        Switch(),
        group=REPLACING,
    )
    lossy: bool = option(
        False,
        "--lossy",
        "Replace also what the format cannot carry, such as tracks or tags.",
        Switch(),
        group=REPLACING,
    )
    allow_empty: bool = option(
        False,
        "--allow-empty",
        "Also upload files without annotations to tasks that have some.",
        Switch(),
        group=REPLACING,
    )
    backup_dir: str | PurePath | None = option(  # noqa: RUF009 - a declared field, as all of these
        None,
        "--backup-dir",
        "Keep the annotations that are replaced in this folder; by default in the mirror.",
        Folder(),
        group=REPLACING,
    )
    backup: bool = option(
        True,
        "--no-backup",
        "Do not keep the annotations that are replaced: they cannot be put back then.",
        Switch(),
        group=REPLACING,
    )
    force: bool = option(
        False,
        "--force",
        "With --all: also upload annotations that were not edited.",
        Switch(),
        group=REPLACING,
    )
    concurrency: int | None = option(
        None,
        "--concurrency",
        "Imports in flight at the server, at most 128; by default learned during the run.",
        Number(1, example=4, most=MOST_CONCURRENCY),
    )
    transfers: int = option(4, "--transfers", "Large files sent at once.", Number(1, example=4))
    import_timeout: float = option(
        DEFAULT_EXPORT_TIMEOUT,
        "--import-timeout",
        "How long one import may run, its time in the queue excluded: seconds, or like 30m or 4h.",
        DURATION,
    )
    durable: bool = option(
        True,
        "--no-fsync",
        "Do not sync receipts to disk: faster, but not safe against a power cut.",
        Switch(),
    )
    break_lock: bool = option(False, "--break-lock", BREAK_LOCK, Switch(), group=REPLACING)

    @property
    def prefix(self) -> str:
        """The start of a folder's name, unless a receipt or the mirror says otherwise."""
        return DEFAULT_PREFIX if self.folder_prefix is None else self.folder_prefix

    def __post_init__(self) -> None:
        TransferOptions.__post_init__(self)
        if self.backup_dir is not None and not self.backup:
            raise ConfigError(
                "backup_dir names where replaced annotations are kept, and backup=False "
                "(--no-backup) keeps none. Remove one of them."
            )


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
