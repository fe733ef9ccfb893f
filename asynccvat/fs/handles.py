"""How many files and connections may be open at once, and what of it each part may use.

A process that runs out of file handles fails wherever it happens to be. So the system's limit is
looked at before, and shared out: connections, the folders of a commit's group, archives being
read. What is then opened is left to those.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass

if sys.platform != "win32":
    import resource

_PLENTY = 1 << 20
# What a process has open anyway: its streams, the loop, libraries, a destination's folders.
_ITS_OWN = 24
# The areas of the operations of one commit's group.
_OF_A_GROUP = 64
# Of one archive: its tree, and the folder and the lock that it may have to itself.
_OF_AN_ARCHIVE = 4
# Of each thread that writes it: the file, and a folder more while another is opened.
_OF_A_WRITER = 3
_LEAST_FOLDERS = 1
MOST_FOLDERS = 16
"""Folders that each writer keeps open: fewer are opened again and again, more gain nothing."""


def limit() -> int:
    """How many handles this process may have open, as the system says now (`ulimit -n`)."""
    if sys.platform == "win32":
        return _PLENTY
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return _PLENTY if soft == resource.RLIM_INFINITY else min(soft, _PLENTY)


def connections(limit: int, wanted: int) -> int:
    """How many connections may be open at once: at most an eighth of all handles."""
    return max(1, min(wanted, limit // 8))


@dataclass(frozen=True, slots=True)
class Share:
    """What reading archives may use.

    Attributes:
        transfers: Archives read at once.
        folders: Folders that each thread writing one keeps open.
    """

    transfers: int
    folders: int


def share(limit: int, transfers: int, *, writers: int) -> Share:
    """Share out what connections and commits leave.

    Args:
        limit: Handles of the process.
        transfers: Archives that are wanted to be read at once.
        writers: Threads that write one archive at most.
    """
    left = limit - limit // 8 - _ITS_OWN - _OF_A_GROUP
    least = _OF_AN_ARCHIVE + writers * (_OF_A_WRITER + _LEAST_FOLDERS)
    allowed = max(1, min(transfers, left // least))
    folders = (left // allowed - _OF_AN_ARCHIVE) // writers - _OF_A_WRITER
    return Share(allowed, max(_LEAST_FOLDERS, min(folders, MOST_FOLDERS)))
