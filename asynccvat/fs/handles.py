"""How many files and connections may be open at once, and the share of each part.

A process that runs out of file handles fails at an arbitrary place. So the system's limit is read
before, and divided among connections, the folders of a commit's group, and archives being read.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass

if sys.platform != "win32":
    import resource

_PLENTY = 1 << 20
# Handles that are open anyway: streams, the event loop, libraries, a destination's folders.
_BASE = 24
# The staging areas of the changes in one commit group.
_PER_GROUP = 64
# For one archive: its tree, and the folder and the lock of a download.
_PER_ARCHIVE = 4
# For each thread that writes an archive: the file, and folders while another one is opened.
_PER_WRITER = 3
_LEAST_FOLDERS = 1
MOST_FOLDERS = 16
"""Folders that each writer keeps open. With fewer, folders are reopened; more gain nothing."""


def limit() -> int:
    """Return how many handles this process may have open now (`ulimit -n`)."""
    if sys.platform == "win32":
        return _PLENTY
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return _PLENTY if soft == resource.RLIM_INFINITY else min(soft, _PLENTY)


def connections(limit: int, wanted: int) -> int:
    """Return how many connections may be open at once: at most an eighth of all handles."""
    return max(1, min(wanted, limit // 8))


@dataclass(frozen=True, slots=True)
class Share:
    """The share of reading archives.

    Attributes:
        transfers: Archives read at once.
        folders: Folders that each thread writing one keeps open.
    """

    transfers: int
    folders: int


def share(limit: int, transfers: int, *, writers: int) -> Share:
    """Divide the handles that connections and commits leave.

    Args:
        limit: Handles of the process.
        transfers: The wanted number of archives read at once.
        writers: Threads that write one archive, at most.
    """
    left = limit - limit // 8 - _BASE - _PER_GROUP
    least = _PER_ARCHIVE + writers * (_PER_WRITER + _LEAST_FOLDERS)
    allowed = max(1, min(transfers, left // least))
    folders = (left // allowed - _PER_ARCHIVE) // writers - _PER_WRITER
    return Share(allowed, max(_LEAST_FOLDERS, min(folders, MOST_FOLDERS)))
