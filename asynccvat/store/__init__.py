"""The store: a destination on disk, whole or absent at any moment.

`MirrorStore` is the mirror's destination with its lock, staging, grouped commits, receipts and
recovery; `LooseFolder` is the place of a single download; an `Inspection` only looks. What is to
be fetched, kept, moved or removed is decided elsewhere; every effect on the disk goes through
`files`.
"""

from asynccvat.store.checking import Claim, Meter
from asynccvat.store.commit import Committed
from asynccvat.store.inspection import Inspection, inspecting
from asynccvat.store.journal import VerifyJournal
from asynccvat.store.kept_archives import KeptArchives, UnfinishedArchive
from asynccvat.store.loose import LooseFolder
from asynccvat.store.mirror import MirrorStore
from asynccvat.store.staging import KEEP_ABOVE, Reusable, Staging

__all__ = [
    "KEEP_ABOVE",
    "Claim",
    "Committed",
    "Inspection",
    "KeptArchives",
    "LooseFolder",
    "Meter",
    "MirrorStore",
    "Reusable",
    "Staging",
    "UnfinishedArchive",
    "VerifyJournal",
    "inspecting",
]
