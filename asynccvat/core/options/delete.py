"""Options of deletions, as frozen values that check themselves."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from pathlib import PurePath

from asynccvat.core.declarations import REPLACING, SELECTION, Folder, Switch, option
from asynccvat.core.options.transfer import BREAK_LOCK, DEFAULT_QUEUE_TIMEOUT, TransferOptions
from asynccvat.core.selections.selection import Selection
from asynccvat.core.targets import TargetKind
from asynccvat.errors import ConfigError

NO_FILTERS = ("exclude", "limit")
"""The conditions of a selection that leave nearly everything in it."""

LOG_SUFFIX = ".jsonl"


@dataclass(frozen=True, slots=True, kw_only=True)
class DeleteOptions(TransferOptions):
    """Options of `delete`, `open_delete` and `plan_delete`.

    Attributes:
        concurrency: Not an option here: nothing is queued at the server.
        transfers: Not an option here: nothing is transferred.
        retries: How often one deletion is tried again. Each time, the target is read again first.
        wait_for_server: Seconds that a run waits for a server that stopped answering, 0 for not.
        queue_timeout: Not an option here: nothing is queued at the server.
        max_time: Seconds that the whole run may take, None for no limit.
        durable: Sync the log before the server is asked.
        projects: Delete projects with all of their tasks. The selection is about projects then.
        require_backup: Delete only what this destination of backups holds a verified, current and
            full backup of. None asks for none.
        lose_issues: Delete tasks with open issues, too. Backups do not carry issues.
        log: The file that notes each deletion. None for one in the user's state folder.
        break_lock: Take over the log's lock, although its owner cannot be asked.
    """

    concurrency: int | None = field(default=None, init=False)
    transfers: int = field(default=8, init=False)
    queue_timeout: float = field(default=DEFAULT_QUEUE_TIMEOUT, init=False)
    projects: bool = option(
        False,
        "--projects",
        "Delete projects with all their tasks. The selection is about projects then.",
        Switch(),
        group=SELECTION,
    )
    require_backup: str | PurePath | None = option(  # noqa: RUF009 - a declared field, as all here
        None,
        "--require-backup",
        "Delete only what this folder of backups holds a verified, current and full backup of.",
        Folder("DEST"),
        group=REPLACING,
    )
    lose_issues: bool = option(
        False,
        "--lose-issues",
        "Delete tasks with open issues, too. No backup holds issues.",
        Switch(),
        group=REPLACING,
    )
    log: str | PurePath | None = option(  # noqa: RUF009 - a declared field, as all here
        None,
        "--log",
        "Note each deletion in this file, which ends with .jsonl. By default in your state folder.",
        Folder("FILE"),
        group=REPLACING,
    )
    break_lock: bool = option(False, "--break-lock", BREAK_LOCK, Switch(), group=REPLACING)

    def __post_init__(self) -> None:
        TransferOptions.__post_init__(self)
        if self.log is not None and PurePath(self.log).suffix != LOG_SUFFIX:
            raise ConfigError(
                f"the log {str(self.log)!r} cannot be used: its name has to end with "
                f"{LOG_SUFFIX}. Give another with --log."
            )

    @property
    def target(self) -> TargetKind:
        """What is deleted: tasks or projects."""
        return TargetKind.PROJECT if self.projects else TargetKind.TASK


def check_selection(selection: Selection, options: DeleteOptions) -> None:
    """Check that a selection says what to delete.

    Raises:
        ConfigError: It has no condition, or one that projects do not have.
    """
    given = {
        one.name: getattr(selection, one.name)
        for one in fields(selection)
        if one.name not in NO_FILTERS
    }
    narrowing = [name for name, value in given.items() if value is not None and not _is_any(value)]
    if not narrowing:
        raise ConfigError(
            "deleting needs a filter: nothing says which. Name them, for example with "
            "--project-id 5 or --task-id 147. Deleting everything is not offered."
        )
    if options.projects and (selection.task_ids is not None or selection.subset is not None):
        raise ConfigError(
            "projects have no task ids and no subset. Select them by --project-id or --name."
        )


def _is_any(value: object) -> bool:
    return isinstance(value, str) and not value.strip("*? ")
