"""The journal of a verification, in `.asynccvat/`: by it an interrupted one goes on.

One process at a time writes it. Where it cannot be written (another verification is at work, the
destination is mounted for reading only), a verification goes on without, and cannot be resumed.
"""

from __future__ import annotations

import errno
import os
import sys
import threading
import time
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path

from asynccvat.core.verify_journal import (
    JournalHead,
    Verified,
    decode_journal,
    encode_journal,
    encode_line,
)
from asynccvat.fs import files
from asynccvat.store.layout import is_same, write_file
from asynccvat.store.lock import FLOCK_UNSUPPORTED

if sys.platform != "win32":
    import fcntl

JOURNAL_NAME = "verify.journal"

_BUSY = frozenset({errno.EAGAIN, errno.EACCES})


class VerifyJournal:
    """Which tasks were read and are right.

    Attributes:
        entries: Those of the verification that is gone on with, by task.
        problem: Why nothing is noted, None where it is.
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
        """Open the journal, made where there is none.

        Args:
            own: Handle of the folder that it lies in.
            dest: The destination, for messages.
            restart: Forget what it says.
        """
        fd: int | None = None
        try:
            fd = _locked(own)
            if fd is None:
                problem = f"another verification of {dest} is at work: this one cannot be resumed"
                return cls(own, None, {}, problem)
            content = b"" if restart else files.read_file(JOURNAL_NAME, dir_fd=own) or b""
            now = int(time.time())
            entries = decode_journal(content, now=now)
            if not entries:
                files.truncate(fd)
                files.write(fd, encode_line(JournalHead(began=now)))
            os.lseek(fd, 0, os.SEEK_END)
        except OSError as error:
            if fd is not None:
                os.close(fd)
            said = os.strerror(error.errno or 0)
            problem = f"{dest} takes no journal ({said}): this verification cannot be resumed"
            return cls(own, None, {}, problem)
        return cls(own, fd, entries, None)

    def note(self, found: Iterable[tuple[int, str]]) -> None:
        """Note tasks, each with the identity of its receipt, as read and right."""
        if self._fd is None:
            return
        now = int(time.time())
        lines = b"".join(encode_line(Verified(task_id, receipt, now)) for task_id, receipt in found)
        # Without a sync: what a power cut takes of it is read once more.
        with self._writing:
            try:
                files.write(self._fd, lines)
            except OSError as error:
                said = os.strerror(error.errno or 0)
                self.problem = f"the journal takes no more ({said}): it can be resumed up to here"

    def finish(self, task_ids: Collection[int]) -> None:
        """Forget these tasks, as all that was to be verified is; without others the file goes."""
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
        """Let go of it."""
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None


def _locked(own: int) -> int | None:
    """The journal, locked; None where another process has it."""
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
            # Two that write it at once make each other's tasks read again, no more.
        # Else whoever had it before has finished, and removed it.
        if is_same(os.fstat(fd), files.lstat(JOURNAL_NAME, dir_fd=own)):
            if files.is_plain(fd):
                return fd
            files.unlink(JOURNAL_NAME, dir_fd=own)
        os.close(fd)
