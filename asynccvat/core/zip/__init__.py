"""Zip archives, read strictly: bytes in, checked events out, output bounded.

`fields` decodes names and extra fields, `records` parses single records, `ends` finds the end of
an archive, `directory` reads and checks the central directory. `reader` takes members apart with
what `members` counts and `sources` know; `sizes` predicts how large an archive is, and
`core.archive_limits` has the limits. Fetching bytes and writing files are left to others.
"""

from __future__ import annotations

from asynccvat.core.archive_limits import ArchiveLimits
from asynccvat.core.zip.directory import Directory, read_directory, stored_digest
from asynccvat.core.zip.ends import TailNeeded
from asynccvat.core.zip.members import (
    UNKNOWN_SIZE,
    MemberData,
    MemberEnd,
    MemberEvent,
    MemberStart,
)
from asynccvat.core.zip.reader import ZipReader
from asynccvat.core.zip.records import ZipEntry
from asynccvat.core.zip.sizes import ArchiveSize

__all__ = [
    "UNKNOWN_SIZE",
    "ArchiveLimits",
    "ArchiveSize",
    "Directory",
    "MemberData",
    "MemberEnd",
    "MemberEvent",
    "MemberStart",
    "TailNeeded",
    "ZipEntry",
    "ZipReader",
    "read_directory",
    "stored_digest",
]
