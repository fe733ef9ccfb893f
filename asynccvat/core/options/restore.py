"""Options of restores and of imports of datasets, as frozen values that check themselves."""

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
    option,
)
from asynccvat.core.options.transfer import (
    BREAK_LOCK,
    DEFAULT_EXPORT_TIMEOUT,
    DEFAULT_UPLOAD_LIMIT,
    MOST_CONCURRENCY,
    TransferOptions,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class RestoreOptions(TransferOptions):
    """Options of `restore`, `open_restore` and `plan_restore`.

    Attributes:
        concurrency: Restores in flight. None learns how many the server runs at once.
        transfers: Backups sent at once.
        retries: How often one step of one backup is retried, if that is known to be safe.
        wait_for_server: Seconds that a run waits for a server that stopped answering, 0 for not.
        queue_timeout: Seconds that requests may wait while nothing leaves the server's queue.
        max_time: Seconds that the whole run may take, None for no limit. What is done is kept.
        durable: Sync the journal before the server is asked for what it announces. Without it, a
            power cut may lead to a second task.
        missing: Restore only what the server has not any more.
        again: Restore also what was restored before, or may have been.
        upload_limit: Bytes of the largest file that the server takes.
        journal: The folder of the journal, if the folder of the backups cannot be written to.
        overwrite: For `restore_annotations`: also replace annotations that changed since.
        backup_dir: For `restore_annotations`: the folder that keeps what is replaced.
        import_timeout: Seconds that one restore may run, counted from its start. `queue_timeout`
            limits the time in the server's queue.
        break_lock: Take over the journal's lock, although its owner cannot be asked.
    """

    missing: bool = option(
        False,
        "--missing",
        "Restore only what the server that was backed up has not any more.",
        Switch(),
    )
    again: bool = option(
        False,
        "--again",
        "Restore also what was restored before, or may have been: as another copy.",
        Switch(),
        group=REPLACING,
    )
    upload_limit: int = option(
        DEFAULT_UPLOAD_LIMIT,
        "--upload-limit",
        "The largest file that the server takes, like 25G; larger backups are refused at once.",
        SIZE,
    )
    journal: str | PurePath | None = option(  # noqa: RUF009 - a declared field, as all of these
        None,
        "--journal",
        "Keep the journal in this folder; by default beside the backups, in .asynccvat/restores/.",
        Folder(),
    )
    overwrite: bool = option(
        False,
        "--overwrite",
        "With --annotations: replace also annotations that changed since the backup.",
        Switch(),
        group=REPLACING,
    )
    backup_dir: str | PurePath | None = option(  # noqa: RUF009 - a declared field, as all of these
        None,
        "--backup-dir",
        "With --annotations: keep the annotations that are replaced in this folder.",
        Folder(),
        group=REPLACING,
    )
    concurrency: int | None = option(
        None,
        "--concurrency",
        "Restores in flight at the server, at most 128; by default learned during the run.",
        Number(1, example=4, most=MOST_CONCURRENCY),
    )
    transfers: int = option(4, "--transfers", "Backups sent at once.", Number(1, example=4))
    import_timeout: float = option(
        DEFAULT_EXPORT_TIMEOUT,
        "--import-timeout",
        "How long one restore may run, its time in the queue excluded: seconds, or like 30m or 4h.",
        DURATION,
    )
    durable: bool = option(
        True,
        "--no-fsync",
        "Do not sync the journal to disk: after a power cut, something may be restored twice.",
        Switch(),
    )
    break_lock: bool = option(False, "--break-lock", BREAK_LOCK, Switch(), group=REPLACING)


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportOptions(TransferOptions):
    """Options of `import_datasets`, `open_import_datasets` and `plan_import_datasets`.

    Attributes:
        concurrency: Not used: CVAT runs one import of a project at a time.
        transfers: Not used, for the same reason.
        retries: How often one step of one file is retried, if that is known to be safe.
        wait_for_server: Seconds that a run waits for a server that stopped answering, 0 for not.
        queue_timeout: Seconds that requests may wait while nothing leaves the server's queue.
        max_time: Seconds that the whole run may take, None for no limit. What is done is kept.
        durable: Sync the journal before the server is asked for what it announces.
        again: Import also what was imported before, or may have been.
        upload_limit: Bytes of the largest file that the server takes.
        journal: The folder of the journal, if the folder of the files cannot be written to.
        import_timeout: Seconds that one import may run, counted from its start.
        break_lock: Take over the journal's lock, although its owner cannot be asked.
    """

    concurrency: int | None = None
    transfers: int = 1
    again: bool = option(
        False,
        "--again",
        "Import also what was imported before, or may have been: its tasks are made once more.",
        Switch(),
        group=REPLACING,
    )
    upload_limit: int = option(
        DEFAULT_UPLOAD_LIMIT,
        "--upload-limit",
        "The largest file that the server takes, like 25G; larger files are refused at once.",
        SIZE,
    )
    journal: str | PurePath | None = option(  # noqa: RUF009 - a declared field, as all of these
        None,
        "--journal",
        "Keep the journal in this folder; by default beside the files, in .asynccvat/imports/.",
        Folder(),
    )
    import_timeout: float = option(
        DEFAULT_EXPORT_TIMEOUT,
        "--import-timeout",
        "How long one import may run, its time in the queue excluded: seconds, or like 30m or 4h.",
        DURATION,
    )
    durable: bool = option(
        True,
        "--no-fsync",
        "Do not sync the journal to disk: after a power cut, something may be imported twice.",
        Switch(),
    )
    break_lock: bool = option(False, "--break-lock", BREAK_LOCK, Switch(), group=REPLACING)
