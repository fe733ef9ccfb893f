"""Read archives over HTTP into staged trees, and retry what breaks.

Others use `ArchiveReader`. It runs one `session` for each archive: `remote` makes the requests that
`core.wire.ranges` plans, and `extraction` writes the members. `transfer` requests another export
when an archive is gone.
"""

from asynccvat.archives.reader import ArchiveReader
from asynccvat.archives.session import StagedArchive

__all__ = ["ArchiveReader", "StagedArchive"]
