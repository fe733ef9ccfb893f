"""Read archives over HTTP into staged trees or files, and retry what breaks.

Others use `ArchiveReader`. It runs one `session` for each archive that becomes a tree: `remote`
makes the requests that `core.wire.ranges` plans, and `extraction` writes the members. A backup
stays one file, which `file_session` writes. `transfer` requests another export when an archive is
gone. `json_files` writes files that came without an archive, `media` fetches media without one.
"""

from asynccvat.archives.json_files import write_files
from asynccvat.archives.media import MediaChangedError
from asynccvat.archives.reader import ArchiveReader
from asynccvat.archives.staged_archive import StagedArchive

__all__ = ["ArchiveReader", "MediaChangedError", "StagedArchive", "write_files"]
