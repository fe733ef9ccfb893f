"""Archives, over HTTP, into staged trees: the requests, and what to do when they go wrong.

`ArchiveReader` is what others use. Which bytes to ask for is decided in `core.ranges`, members are
written by `extract`; exports that have to be asked for again are left to `transfer`.
"""

from asynccvat.archives.reader import ArchiveReader
from asynccvat.archives.session import StagedArchive

__all__ = ["ArchiveReader", "StagedArchive"]
