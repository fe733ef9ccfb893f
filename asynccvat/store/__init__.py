"""The store: a destination on disk, whole or absent at any moment.

`MirrorStore` is the mirror's destination with its lock, staging, grouped commits, receipts and
recovery; `LooseFolder` is the place of a single download. What is to be fetched, kept, moved or
removed is decided elsewhere; every effect on the disk goes through `files`.
"""

from asynccvat.store.commits.operations import Committed
from asynccvat.store.kept_archives import KeptArchives, UnfinishedArchive
from asynccvat.store.loose_folder import LooseFolder
from asynccvat.store.mirror_store import MirrorStore
from asynccvat.store.staging import KEEP_ABOVE, Reusable, Staging

__all__ = [
    "KEEP_ABOVE",
    "Committed",
    "KeptArchives",
    "LooseFolder",
    "MirrorStore",
    "Reusable",
    "Staging",
    "UnfinishedArchive",
]
