"""Keep the journal of a verification, so that an interrupted one can be resumed.

One process at a time writes it. If it cannot be written, the verification goes on without it and
cannot be resumed: while another verification runs, or on a file system mounted read-only.
`core.records.verify_journal` has its format.
"""

from __future__ import annotations

import errno
import os
import sys
import threading
import time
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path

from asynccvat.core.records.verify_journal import (
    JournalHead,
    Verified,
    decode_journal,
    encode_journal,
    encode_line,
)
from asynccvat.errors import StoreError
from asynccvat.fs import files
from asynccvat.store.layout import is_same, write_file
from asynccvat.store.lock import FLOCK_UNSUPPORTED

if sys.platform != "win32":
    import fcntl

JOURNAL_NAME = "verify.journal"

_BUSY = frozenset({errno.EAGAIN, errno.EACCES})


class VerifyJournal:
    """The tasks that were read and found right.

    Attributes:
        entries: What the verification that is resumed had read, by task.
        problem: Why nothing is written to the journal; None if it is written.
    """

    def __init__(
        self, own: int, fd: int | None, entries: Mapping[int, Verified], problem: str | None
    ) -> None:
        self.entries = entries
        self.problem = problem
        self._own = own
        self._fd = fd
        self._writing = threading.Lock()

    @classmethod
    def open(cls, own: int, dest: Path, *, restart: bool) -> VerifyJournal:
        """Open the journal, or create it.

        Args:
            own: Handle of the folder that holds it.
            dest: The destination, for messages.
            restart: Ignore and replace what it says.
        """
        fd: int | None = None
        try:
            fd = _locked(own)
            if fd is None:
                problem = (
                    f"another verification of {str(dest)!r} is running: this one cannot be resumed"
                )
                return cls(own, None, {}, problem)
            content = b"" if restart else files.read_file(JOURNAL_NAME, dir_fd=own) or b""
            now = int(time.time())
            entries = decode_journal(content, now=now)
            if not entries:
                files.truncate(fd)
                files.write(fd, encode_line(JournalHead(began=now)))
            os.lseek(fd, 0, os.SEEK_END)
        except (OSError, StoreError) as error:
            if fd is not None:
                os.close(fd)
            said = os.strerror(error.errno or 0) if isinstance(error, OSError) else str(error)
            problem = (
                f"the journal in {str(dest)!r} cannot be used ({said}): this verification cannot "
                "be "
                "resumed"
            )
            return cls(own, None, {}, problem)
        return cls(own, fd, entries, None)

    def note(self, found: Iterable[tuple[int, str]]) -> None:
        """Add tasks that were read and found right, each with the identity of its receipt."""
        if self._fd is None:
            return
        now = int(time.time())
        lines = b"".join(encode_line(Verified(task_id, receipt, now)) for task_id, receipt in found)
        # Without a sync: tasks that a power cut takes from the journal are read once more.
        with self._writing:
            try:
                files.write(self._fd, lines)
            except OSError as error:
                said = os.strerror(error.errno or 0)
                self.problem = (
                    f"the journal cannot be written any more ({said}): "
                    "this verification can be resumed up to here"
                )

    def finish(self, task_ids: Collection[int]) -> None:
        """Remove these tasks at the end of the verification, and the file if no others are left."""
        if self._fd is None:
            return
        left = [entry for task_id, entry in self.entries.items() if task_id not in task_ids]
        try:
            if left:
                content = encode_journal(min(entry.at for entry in left), left)
                write_file(JOURNAL_NAME, content, dir_fd=self._own, durable=False)
            else:
                files.unlink(JOURNAL_NAME, dir_fd=self._own)
        except OSError as error:
            self.problem = f"the journal cannot be removed ({os.strerror(error.errno or 0)})"

    def close(self) -> None:
        """Close the file, which frees its lock."""
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None


def _locked(own: int) -> int | None:
    """Open and lock the journal; None if another process holds it."""
    while True:
        fd = files.open_or_create(JOURNAL_NAME, dir_fd=own)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno in _BUSY:
                os.close(fd)
                return None
            if error.errno not in FLOCK_UNSUPPORTED:
                os.close(fd)
                raise
            # Without a lock, two writers make each other read tasks again; that is all.
        # Otherwise the process that held it has finished and removed the file.
        if is_same(os.fstat(fd), files.lstat(JOURNAL_NAME, dir_fd=own)):
            if files.is_plain(fd):
                return fd
            files.unlink(JOURNAL_NAME, dir_fd=own)
        os.close(fd)
