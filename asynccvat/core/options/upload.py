"""Options of uploads, as frozen values that check themselves."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import PurePath

from asynccvat.core.declarations import (
    DURATION,
    REPLACING,
    Folder,
    Number,
    Switch,
    Text,
    option,
)
from asynccvat.core.options.transfer import (
    BREAK_LOCK,
    DEFAULT_EXPORT_TIMEOUT,
    DEFAULT_PREFIX,
    MOST_CONCURRENCY,
    PREFIX_HELP,
    TransferOptions,
)
from asynccvat.errors import ConfigError


class ImportMode(StrEnum):
    """What becomes of the annotations that a task has already."""

    REPLACE = "replace"
    """They go: what every CVAT does."""
    APPEND = "append"
    """They stay: only where the server has it (`import_mode`, since 2026)."""


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
        None, "--folder-prefix", PREFIX_HELP, Text(may_be_empty=True), group=None
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
