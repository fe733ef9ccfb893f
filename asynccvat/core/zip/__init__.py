"""Zip archives, read strictly: bytes in, checked events out, output bounded.

`fields` decodes names and extra fields, `records` parses single records, and `ends` finds the end
of an archive. `directory` reads and checks the central directory. `reader` reads members by it:
`local_headers` checks their own headers, `members` counts their bytes. `sizes` predicts how large
an archive will be, `stored` lays one out that is made
while it is sent, and `core.archive_limits` has the limits. `archives` fetches the bytes and
writes the files.
"""

from __future__ import annotations

from asynccvat.core.archive_limits import ArchiveLimits
from asynccvat.core.zip.directory import Directory, read_directory, stored_digest
from asynccvat.core.zip.ends import TailNeeded
from asynccvat.core.zip.members import KeptPrefix, MemberData, MemberEnd, MemberStart
from asynccvat.core.zip.reader import ZipReader
from asynccvat.core.zip.records import ZipEntry
from asynccvat.core.zip.sizes import ArchiveSize

__all__ = [
    "ArchiveLimits",
    "ArchiveSize",
    "Directory",
    "KeptPrefix",
    "MemberData",
    "MemberEnd",
    "MemberStart",
    "TailNeeded",
    "ZipEntry",
    "ZipReader",
    "read_directory",
    "stored_digest",
]
