"""Destinations: where tasks are stored, each of them whole or absent at any moment.

- `protocol`: what a transfer asks of any destination.
- `mirror_store`: the destination of a mirror, as coroutines; `mirror_view` is the part of it that
  only reads. They are built on:
    - `opening` and `identity`: its folders, and the server and organization that it mirrors;
    - `lock` and `lock_owner`: one writer at a time;
    - `layout`: its open folders, and the receipts in them;
    - `survey` and `chunks`: what stands in it, read for many tasks at a time;
    - `staging`: the tree of a task on its way, and the files that can be reused for it;
    - `commits`: changes of tasks' folders, done in groups, and recovery after a kill;
    - `kept_archives`: the archives of `--keep-archive`;
    - `replaced`: the annotations that uploads replaced.
- `backup_store`: a destination of backups, one file each; `backup_view` is the part of it that only
  reads, `backup_files` reads the receipts, and `staged_backup` is a zip on its way.
- `loose_folder`: the folder of one download, outside of any mirror; `quarantine` clears the folder
  that it replaces.
- `trees`, `name_probe` and `disk_threads`: trees of files, what names the file system can hold, and
  blocking work in threads.

`core.plans` decides what is fetched, moved or removed. Every effect on the disk is in `fs.files`.
"""

from asynccvat.store.backup_store import BackupStore
from asynccvat.store.commits.changes import Committed
from asynccvat.store.kept_archives import KeptArchives, UnfinishedArchive
from asynccvat.store.loose_folder import LooseFolder
from asynccvat.store.mirror_store import MirrorStore
from asynccvat.store.protocol import StagingStore, TaskStore
from asynccvat.store.replaced import ReplacedAnnotations
from asynccvat.store.staged_backup import StagedBackup
from asynccvat.store.staging import Reusable, Staging

__all__ = [
    "BackupStore",
    "Committed",
    "KeptArchives",
    "LooseFolder",
    "MirrorStore",
    "ReplacedAnnotations",
    "Reusable",
    "StagedBackup",
    "Staging",
    "StagingStore",
    "TaskStore",
    "UnfinishedArchive",
]
