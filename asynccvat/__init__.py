"""asynccvat: mirror, upload, back up, restore, create and copy CVAT tasks, many at a time.

    import asyncio
    import asynccvat as ac

    async def main() -> None:
        async with ac.CvatClient.from_environment() as client:
            report = await ac.mirror(client, "data/", spec="COCO 1.0")
            print(report)

    asyncio.run(main())

The client
    CvatClient      CVAT's REST API as coroutines: lists, requests, exports
    RetryPolicy     how often and how long failed calls are retried

Verbs, each a coroutine that returns a report
    mirror          make a folder hold what the server has (MirrorOptions)
    watch           keep a mirror up to date: a Watch, which yields a WatchRound each time, with its
                    TaskChanges (WatchOptions, OnChangeCommand); serve_watch and its WatchAddresses
    download        export one task into a folder, download_many many (DownloadOptions)
    upload          upload annotation files into tasks (UploadOptions)
    upload_annotations  upload one file into one task
    undo_upload     put back what the last uploads of tasks replaced
    backup          make a zip of each task or project (BackupOptions); list_backups
    export_to_cloud let the server write exports to its buckets (CloudOptions)
    restore         make tasks or projects from their backups (RestoreOptions)
    restore_annotations     put the annotations of backups back into their tasks
    import_datasets import datasets into a project (ImportOptions)
    create          make tasks from images, videos and zips (CreateOptions)
    copy            copy tasks to another server or organization (CopyOptions)
    delete          delete tasks or projects at the server (DeleteOptions); read_delete_plan
    login           keep a token for later runs; logout, whoami, saved_logins, write_settings
    convert         make what the server would export of a mirror as JSON, offline
    stats           count the images and objects of a mirror as JSON, offline; stats_page
    annotation_log  the states of a task's annotations that such a mirror kept; diff_annotations
    merge           make one data set of the tasks of mirrors, offline
    verify          compare the files of a mirror with its receipts, and repair them
    status, diff    what is here, offline; what a mirror would do now
    folders         the folder of each task in a mirror
    disk_usage      the room that a destination takes, by use and task
    task_details    all that the server knows of a task
    kept            what was put aside; restore_kept, purge_kept
    run_file        run the steps of a YAML file; load_run_file, run_file_schema

Plans and runs
    plan_mirror, plan_download, plan_upload, plan_undo_upload, plan_backup,
    plan_export_to_cloud,
    plan_restore, plan_restore_annotations, plan_import_datasets, plan_create,
    plan_copy, plan_delete, plan_run_file
                    what the verb would do, and why
    open_mirror, open_download, open_upload, open_undo_upload, open_backup,
    open_export_to_cloud, open_restore, open_restore_annotations, open_import_datasets, open_create,
    open_copy, open_delete
                    a Run: iterate over its outcomes or events(), wait() for the report

What is asked for, and what comes back
    Selection       which tasks; ProjectSelection, JobSelection
    ExportSpec      format and images; a format's name will do
    ArchiveLimits   bounds on archives
    RunReport       TaskOutcome for each task, with its Action
    VerifyReport    what a verification found
    RunRecorder     records events for a page of HTML; report_page makes it of a log,
                    and report_data its figures
    StepPlan, StepReport, RunFile, RunFileReport
                    of run files

Modules
    asynccvat.errors    every error; AsyncCvatError is the base of all
    asynccvat.events    what happens during a run, as values
    asynccvat.models    tasks, projects, jobs, requests, plans, reasons, problems
    asynccvat.progress  numbers of a run while it goes on: RunProgress

Names are loaded when they are first used, so that importing the package costs next to nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from asynccvat.core.version import VERSION

if TYPE_CHECKING:
    from asynccvat import errors as errors
    from asynccvat import events as events
    from asynccvat import models as models
    from asynccvat import progress as progress
    from asynccvat.api.annotation_states import annotation_log as annotation_log
    from asynccvat.api.annotation_states import diff_annotations as diff_annotations
    from asynccvat.api.backups import backup as backup
    from asynccvat.api.backups import list_backups as list_backups
    from asynccvat.api.backups import open_backup as open_backup
    from asynccvat.api.backups import plan_backup as plan_backup
    from asynccvat.api.cloud_exports import export_to_cloud as export_to_cloud
    from asynccvat.api.cloud_exports import open_export_to_cloud as open_export_to_cloud
    from asynccvat.api.cloud_exports import plan_export_to_cloud as plan_export_to_cloud
    from asynccvat.api.conversions import convert as convert
    from asynccvat.api.copies import copy as copy
    from asynccvat.api.copies import open_copy as open_copy
    from asynccvat.api.copies import plan_copy as plan_copy
    from asynccvat.api.creations import create as create
    from asynccvat.api.creations import open_create as open_create
    from asynccvat.api.creations import plan_create as plan_create
    from asynccvat.api.dataset_imports import import_datasets as import_datasets
    from asynccvat.api.dataset_imports import open_import_datasets as open_import_datasets
    from asynccvat.api.dataset_imports import plan_import_datasets as plan_import_datasets
    from asynccvat.api.deletions import delete as delete
    from asynccvat.api.deletions import open_delete as open_delete
    from asynccvat.api.deletions import plan_delete as plan_delete
    from asynccvat.api.deletions import read_delete_plan as read_delete_plan
    from asynccvat.api.differences import diff as diff
    from asynccvat.api.downloads import download as download
    from asynccvat.api.downloads import download_many as download_many
    from asynccvat.api.downloads import open_download as open_download
    from asynccvat.api.downloads import plan_download as plan_download
    from asynccvat.api.inventory import disk_usage as disk_usage
    from asynccvat.api.inventory import folders as folders
    from asynccvat.api.inventory import kept as kept
    from asynccvat.api.inventory import purge_kept as purge_kept
    from asynccvat.api.inventory import restore_kept as restore_kept
    from asynccvat.api.inventory import status as status
    from asynccvat.api.logins import login as login
    from asynccvat.api.logins import logout as logout
    from asynccvat.api.logins import saved_logins as saved_logins
    from asynccvat.api.logins import whoami as whoami
    from asynccvat.api.merges import merge as merge
    from asynccvat.api.mirrors import mirror as mirror
    from asynccvat.api.mirrors import open_mirror as open_mirror
    from asynccvat.api.mirrors import plan_mirror as plan_mirror
    from asynccvat.api.restores import open_restore as open_restore
    from asynccvat.api.restores import open_restore_annotations as open_restore_annotations
    from asynccvat.api.restores import plan_restore as plan_restore
    from asynccvat.api.restores import plan_restore_annotations as plan_restore_annotations
    from asynccvat.api.restores import restore as restore
    from asynccvat.api.restores import restore_annotations as restore_annotations
    from asynccvat.api.settings_files import write_settings as write_settings
    from asynccvat.api.statistics import stats as stats
    from asynccvat.api.task_details import task_details as task_details
    from asynccvat.api.undo_uploads import open_undo_upload as open_undo_upload
    from asynccvat.api.undo_uploads import plan_undo_upload as plan_undo_upload
    from asynccvat.api.undo_uploads import undo_upload as undo_upload
    from asynccvat.api.uploads import open_upload as open_upload
    from asynccvat.api.uploads import plan_upload as plan_upload
    from asynccvat.api.uploads import upload as upload
    from asynccvat.api.uploads import upload_annotations as upload_annotations
    from asynccvat.api.watches import watch as watch
    from asynccvat.client import CvatClient as CvatClient
    from asynccvat.commands.verify.run import verify as verify
    from asynccvat.commands.watch.listener import WatchAddresses as WatchAddresses
    from asynccvat.commands.watch.listener import serve_watch as serve_watch
    from asynccvat.commands.watch.on_change import OnChangeCommand as OnChangeCommand
    from asynccvat.commands.watch.run import Watch as Watch
    from asynccvat.core.archive_limits import ArchiveLimits as ArchiveLimits
    from asynccvat.core.options.backup import BackupOptions as BackupOptions
    from asynccvat.core.options.cloud import CloudOptions as CloudOptions
    from asynccvat.core.options.copy import CopyOptions as CopyOptions
    from asynccvat.core.options.create import CreateOptions as CreateOptions
    from asynccvat.core.options.delete import DeleteOptions as DeleteOptions
    from asynccvat.core.options.mirror import DownloadOptions as DownloadOptions
    from asynccvat.core.options.mirror import MirrorOptions as MirrorOptions
    from asynccvat.core.options.restore import ImportOptions as ImportOptions
    from asynccvat.core.options.restore import RestoreOptions as RestoreOptions
    from asynccvat.core.options.transfer import TransferOptions as TransferOptions
    from asynccvat.core.options.upload import UploadOptions as UploadOptions
    from asynccvat.core.options.watch import WatchOptions as WatchOptions
    from asynccvat.core.outcomes import Action as Action
    from asynccvat.core.outcomes import RunReport as RunReport
    from asynccvat.core.outcomes import TaskOutcome as TaskOutcome
    from asynccvat.core.outcomes import TasksFailedError as TasksFailedError
    from asynccvat.core.plans.verify import VerifyReport as VerifyReport
    from asynccvat.core.selections.selection import JobSelection as JobSelection
    from asynccvat.core.selections.selection import ProjectSelection as ProjectSelection
    from asynccvat.core.selections.selection import Selection as Selection
    from asynccvat.core.specs import ExportSpec as ExportSpec
    from asynccvat.core.watching.rounds import TaskChange as TaskChange
    from asynccvat.core.watching.rounds import WatchRound as WatchRound
    from asynccvat.core.wire.retry import RetryPolicy as RetryPolicy
    from asynccvat.errors import AsyncCvatError as AsyncCvatError
    from asynccvat.errors import AuthenticationError as AuthenticationError
    from asynccvat.errors import ConfigError as ConfigError
    from asynccvat.errors import NotFoundError as NotFoundError
    from asynccvat.errors import PermissionDeniedError as PermissionDeniedError
    from asynccvat.errors import StoreError as StoreError
    from asynccvat.errors import StoreLockedError as StoreLockedError
    from asynccvat.errors import TransportError as TransportError
    from asynccvat.events import Event as Event
    from asynccvat.reports import RunRecorder as RunRecorder
    from asynccvat.reports import report_data as report_data
    from asynccvat.reports import report_page as report_page
    from asynccvat.reports import stats_page as stats_page
    from asynccvat.runfiles import RunFile as RunFile
    from asynccvat.runfiles import RunFileReport as RunFileReport
    from asynccvat.runfiles import StepPlan as StepPlan
    from asynccvat.runfiles import StepReport as StepReport
    from asynccvat.runfiles import load_run_file as load_run_file
    from asynccvat.runfiles import plan_run_file as plan_run_file
    from asynccvat.runfiles import run_file as run_file
    from asynccvat.runfiles import run_file_schema as run_file_schema
    from asynccvat.transfer.run import Run as Run

__version__ = VERSION

_MODULES = ("errors", "events", "models", "progress")
_NAMES_OF = {
    "asynccvat.api.annotation_states": ("annotation_log", "diff_annotations"),
    "asynccvat.api.conversions": ("convert",),
    "asynccvat.api.merges": ("merge",),
    "asynccvat.api.copies": ("copy", "open_copy", "plan_copy"),
    "asynccvat.api.deletions": ("delete", "open_delete", "plan_delete", "read_delete_plan"),
    "asynccvat.api.differences": ("diff",),
    "asynccvat.api.inventory": (
        "disk_usage",
        "folders",
        "kept",
        "purge_kept",
        "restore_kept",
        "status",
    ),
    "asynccvat.api.logins": ("login", "logout", "saved_logins", "whoami"),
    "asynccvat.api.settings_files": ("write_settings",),
    "asynccvat.api.statistics": ("stats",),
    "asynccvat.api.task_details": ("task_details",),
    "asynccvat.api.mirrors": ("mirror", "open_mirror", "plan_mirror"),
    "asynccvat.api.downloads": ("download", "download_many", "open_download", "plan_download"),
    "asynccvat.api.backups": ("backup", "list_backups", "open_backup", "plan_backup"),
    "asynccvat.api.dataset_imports": (
        "import_datasets",
        "open_import_datasets",
        "plan_import_datasets",
    ),
    "asynccvat.api.restores": (
        "open_restore",
        "open_restore_annotations",
        "plan_restore",
        "plan_restore_annotations",
        "restore",
        "restore_annotations",
    ),
    "asynccvat.api.creations": ("create", "open_create", "plan_create"),
    "asynccvat.api.uploads": ("open_upload", "plan_upload", "upload", "upload_annotations"),
    "asynccvat.api.undo_uploads": ("open_undo_upload", "plan_undo_upload", "undo_upload"),
    "asynccvat.api.watches": ("watch",),
    "asynccvat.client": ("CvatClient",),
    "asynccvat.commands.watch.listener": ("WatchAddresses", "serve_watch"),
    "asynccvat.commands.watch.on_change": ("OnChangeCommand",),
    "asynccvat.commands.watch.run": ("Watch",),
    "asynccvat.core.options.watch": ("WatchOptions",),
    "asynccvat.core.watching.rounds": ("TaskChange", "WatchRound"),
    "asynccvat.commands.verify.run": ("verify",),
    "asynccvat.core.archive_limits": ("ArchiveLimits",),
    "asynccvat.core.options.backup": ("BackupOptions",),
    "asynccvat.core.options.create": ("CreateOptions",),
    "asynccvat.api.cloud_exports": (
        "export_to_cloud",
        "open_export_to_cloud",
        "plan_export_to_cloud",
    ),
    "asynccvat.core.options.cloud": ("CloudOptions",),
    "asynccvat.core.options.copy": ("CopyOptions",),
    "asynccvat.core.options.delete": ("DeleteOptions",),
    "asynccvat.core.specs": ("ExportSpec",),
    "asynccvat.core.options.mirror": ("DownloadOptions", "MirrorOptions"),
    "asynccvat.core.options.transfer": ("TransferOptions",),
    "asynccvat.core.options.upload": ("UploadOptions",),
    "asynccvat.core.outcomes": ("Action", "RunReport", "TaskOutcome", "TasksFailedError"),
    "asynccvat.core.options.restore": ("ImportOptions", "RestoreOptions"),
    "asynccvat.core.plans.verify": ("VerifyReport",),
    "asynccvat.core.wire.retry": ("RetryPolicy",),
    "asynccvat.core.selections.selection": ("JobSelection", "ProjectSelection", "Selection"),
    "asynccvat.errors": (
        "AsyncCvatError",
        "AuthenticationError",
        "ConfigError",
        "NotFoundError",
        "PermissionDeniedError",
        "StoreError",
        "StoreLockedError",
        "TransportError",
    ),
    "asynccvat.events": ("Event",),
    "asynccvat.reports": ("RunRecorder", "report_data", "report_page", "stats_page"),
    "asynccvat.runfiles": (
        "RunFile",
        "RunFileReport",
        "StepPlan",
        "StepReport",
        "load_run_file",
        "plan_run_file",
        "run_file",
        "run_file_schema",
    ),
    "asynccvat.transfer.run": ("Run",),
}
_MODULE_OF = {name: module for module, names in _NAMES_OF.items() for name in names}


def __getattr__(name: str) -> Any:
    """Load a public name when it is first used."""
    if name in _MODULES:
        return import_module(f"asynccvat.{name}")
    module = _MODULE_OF.get(name)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(module), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """List the public names alone."""
    return sorted((*_MODULE_OF, *_MODULES, "__version__"))
