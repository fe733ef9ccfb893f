"""Zip archives, read strictly: bytes in, checked events out, output bounded.

`records` parses single records, `directory` reads and checks the central directory, `reader`
reads members, `limits` holds the limits. Fetching bytes and writing files are left to others.
"""

from __future__ import annotations

from asynccvat.core.zip.directory import Directory, TailNeeded, read_directory
from asynccvat.core.zip.limits import ArchiveLimits
from asynccvat.core.zip.reader import (
    UNKNOWN_SIZE,
    Event,
    MemberData,
    MemberEnd,
    MemberStart,
    ZipReader,
)
from asynccvat.core.zip.records import Entry

__all__ = [
    "UNKNOWN_SIZE",
    "ArchiveLimits",
    "Directory",
    "Entry",
    "Event",
    "MemberData",
    "MemberEnd",
    "MemberStart",
    "TailNeeded",
    "ZipReader",
    "read_directory",
]
