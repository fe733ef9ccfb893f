"""The lock of a destination: one writer at a time, and a word about who it is.

`flock` decides; the text in the file is for the message only. Where flock is unsupported, the
file's mere existence is the lock: made exclusively, touched every ten seconds, and taken over
only where the owner is known to be dead, or by force. What is done under the lock is left to
others; they ask `verify` before each commit.

Taking over from a dead owner has to be one step, or two would do it at once: one removes the
file and makes its own, and the other, which looked before, removes that. So a dead owner's file is
never removed. Its successor makes a file that is named after its content, exclusively, which only
one process can; and then renames that onto the lock. One that dies in between has a successor by
the same rule: the files form a line, and the lock is that of whoever is last in it.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import socket
import sys
import threading
import time
from pathlib import Path

import msgspec

from asynccvat.core.decoding import UNREADABLE
from asynccvat.errors import StoreLockedError
from asynccvat.fs import files

if sys.platform != "win32":
    import fcntl

LOCK_NAME = "lock"
EXCLUSIVE_NAME = "lock.held"
"""Where flock is unsupported. Another name: `lock` itself is there for good once it was made."""
HEARTBEAT_SECONDS = 10.0

# Whoever has just taken a lock is about to write who it is.
_LOOKS_FOR_OWNER = 20
_BETWEEN_LOOKS = 0.025

FLOCK_UNSUPPORTED = frozenset(
    number
    for name in ("ENOLCK", "ENOSYS", "ENOTSUP", "EOPNOTSUPP", "EINVAL")
    if (number := getattr(errno, name, None)) is not None
)


class LockOwner(msgspec.Struct, frozen=True, kw_only=True):
    """Who holds a lock.

    Attributes:
        host: The machine's name.
        pid: The process.
        process_start: When the process began, in the kernel's own count; tells it from a later
            one of the same number. None where the system does not say.
        since: When the lock was taken, ISO 8601.
    """

    host: str
    pid: int
    process_start: str | None = None
    since: str


class Lock:
    """A held lock. Made by `acquire`."""

    def __init__(self, dir_fd: int, path: Path, fd: int, *, name: str = LOCK_NAME) -> None:
        self._dir_fd = dir_fd
        self._path = path
        self._fd = fd
        self._name = name
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        if name == EXCLUSIVE_NAME:
            self._thread = threading.Thread(
                target=self._beat, name="asynccvat-heartbeat", daemon=True
            )
            self._thread.start()

    def verify(self) -> None:
        """Make sure that the lock is still ours.

        Raises:
            StoreLockedError: The file was removed, or another process has taken the lock over.
        """
        if not self.is_ours():
            owner = _read_owner(self._dir_fd, self._name)
            who = "" if owner is None else f" by {_in_words(owner)}"
            raise StoreLockedError(
                f"the lock on {self._path} was taken over{who}; this run stops writing: "
                "let one process at a time mirror to this destination",
                step="lock",
            )

    def release(self, *, remove: bool = False) -> None:
        """Give the lock up, if it is still ours.

        Args:
            remove: Remove the file, too. Where its mere existence is the lock, it goes anyway.
        """
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
        try:
            if (remove or self._thread is not None) and self.is_ours():
                files.unlink(self._name, dir_fd=self._dir_fd)
        finally:
            os.close(self._fd)

    def is_ours(self) -> bool:
        """Whether the file of that name still is the one that we locked."""
        here = files.lstat(self._name, dir_fd=self._dir_fd)
        mine = os.fstat(self._fd)
        return here is not None and (here.st_dev, here.st_ino) == (mine.st_dev, mine.st_ino)

    def _beat(self) -> None:
        while not self._stop.wait(HEARTBEAT_SECONDS):
            # It only tells others that we live; whether the lock is ours, `verify` finds out.
            with contextlib.suppress(OSError):
                files.touch(self._fd)


def acquire(dir_fd: int, path: Path, *, break_lock: bool = False) -> Lock:
    """Take the lock of the destination at `path`, whose `.asynccvat` is open as `dir_fd`.

    Args:
        dir_fd: Handle of the folder that holds the lock file.
        path: The destination, for messages.
        break_lock: Take the lock over from whoever has it. The old owner finds out before its
            next commit.

    Raises:
        StoreLockedError: Somebody holds it; the message says who and since when.
        OSError: As the system says.
    """
    if break_lock:
        for name in (LOCK_NAME, EXCLUSIVE_NAME):
            _remove(name, dir_fd)
    while True:
        fd = files.open_or_create(LOCK_NAME, dir_fd=dir_fd)
        try:
            _flock(fd, path, dir_fd)
            lock = Lock(dir_fd, path, fd)
            # Whoever held it before may have removed the file between our opening and locking.
            if lock.is_ours():
                if files.is_plain(fd):
                    files.truncate(fd)
                    files.write(fd, msgspec.json.encode(_ourselves()) + b"\n")
                    return lock
                _remove(LOCK_NAME, dir_fd)
        except OSError as error:
            os.close(fd)
            if error.errno not in FLOCK_UNSUPPORTED:
                raise
            _remove(LOCK_NAME, dir_fd)  # it locks nothing there
            return _acquire_by_existence(dir_fd, path)
        except BaseException:
            os.close(fd)
            raise
        lock.release()


def _flock(fd: int, path: Path, dir_fd: int) -> None:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError) as error:
        raise _locked(path, dir_fd, LOCK_NAME) from error


def _acquire_by_existence(dir_fd: int, path: Path) -> Lock:
    """Make the lock file exclusively, or succeed an owner that is known to be dead."""
    while True:
        name = _end_of_line(dir_fd, path)
        try:
            fd = files.open_for_writing(name, dir_fd=dir_fd)
        except FileExistsError:
            continue  # somebody was quicker: who, the next look tells
        try:
            files.write(fd, msgspec.json.encode(_ourselves()) + b"\n")
            if _leads_to(name, dir_fd):
                if name != EXCLUSIVE_NAME:
                    files.rename(name, EXCLUSIVE_NAME, dir_fd=dir_fd, new_dir_fd=dir_fd)
                    name = EXCLUSIVE_NAME
                    _remove_line(dir_fd)
                return Lock(dir_fd, path, fd, name=EXCLUSIVE_NAME)
        except BaseException:
            os.close(fd)
            # Left there, it would be a lock that nobody can be shown to have let go.
            _remove(name, dir_fd)
            raise
        os.close(fd)
        _remove(name, dir_fd)


def _end_of_line(dir_fd: int, path: Path) -> str:
    """The name of the file that the next owner has to make.

    Raises:
        StoreLockedError: The last owner in the line is not known to be dead.
    """
    name = EXCLUSIVE_NAME
    while (successor := _successor(name, dir_fd)) is not None:
        name = successor
    if files.lstat(name, dir_fd=dir_fd) is not None:
        raise _locked(path, dir_fd, name)
    return name


def _leads_to(name: str, dir_fd: int) -> bool:
    """Whether a file is in the line, now that it is there: it may have been made too late."""
    current: str | None = EXCLUSIVE_NAME
    while current not in (None, name):
        current = _successor(current, dir_fd)
    return current is not None


def _successor(name: str, dir_fd: int) -> str | None:
    """Which file whoever takes over from an owner has to make, None where it may be alive."""
    try:
        content = files.read_file(name, dir_fd=dir_fd)
    except OSError:
        return None
    if content is None or not _is_dead(_decoded(content)):
        return None
    # Nobody writes these bytes again: the process is dead, and they tell when it began.
    return f"{EXCLUSIVE_NAME}-{hashlib.sha256(content).hexdigest()[:32]}"


def _remove_line(dir_fd: int) -> None:
    """Clear away what was made in the line, now that the lock is ours and leads nowhere."""
    for name in files.names(dir_fd):
        if name.startswith(f"{EXCLUSIVE_NAME}-"):
            _remove(name, dir_fd)


def _remove(name: str, dir_fd: int) -> None:
    with contextlib.suppress(FileNotFoundError):
        files.unlink(name, dir_fd=dir_fd)


def _locked(path: Path, dir_fd: int, name: str) -> StoreLockedError:
    owner = _owner_at_work(dir_fd, name)
    status = files.lstat(name, dir_fd=dir_fd)
    who = "another process" if owner is None else _in_words(owner)
    seen = ""
    if status is not None and name == EXCLUSIVE_NAME:
        seen = f" (last sign of life {max(0, int(time.time() - status.st_mtime))} s ago)"
    remedy = (
        "wait until that ends, or use break_lock (--break-lock) if it surely is no longer running"
    )
    if owner is not None and msgspec.structs.replace(_ourselves(), since=owner.since) == owner:
        who = f"this very process {owner.pid}, since {owner.since}"
        remedy = "wait until its other run into the same folder ends"
    return StoreLockedError(f"{path} is being written by {who}{seen}; {remedy}", step="lock")


def _in_words(owner: LockOwner) -> str:
    return f"process {owner.pid} on {owner.host}, since {owner.since}"


def _owner_at_work(dir_fd: int, name: str) -> LockOwner | None:
    """Who holds a lock that is held; None where nobody says, or only a dead one of earlier."""
    for look in range(_LOOKS_FOR_OWNER):
        if look > 0:
            time.sleep(_BETWEEN_LOOKS)
        # Whoever takes over from a dead owner gives its file the lock's own name at the end.
        for place in (name, EXCLUSIVE_NAME):
            owner = _read_owner(dir_fd, place)
            if owner is not None and not _is_dead(owner):
                return owner
    return None


def _read_owner(dir_fd: int, name: str) -> LockOwner | None:
    try:
        content = files.read_file(name, dir_fd=dir_fd)
    except OSError:
        return None  # it is for the message, no more
    return None if content is None else _decoded(content)


def _decoded(content: bytes) -> LockOwner | None:
    try:
        return msgspec.json.decode(content, type=LockOwner)
    except UNREADABLE:
        return None


def _ourselves() -> LockOwner:
    pid = os.getpid()
    return LockOwner(
        host=socket.gethostname(),
        pid=pid,
        process_start=_process_start(pid),
        since=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    )


def _is_dead(owner: LockOwner | None) -> bool:
    """Whether it is certain that the owner is no longer running."""
    if owner is None or owner.host != socket.gethostname():
        return False
    try:
        os.kill(owner.pid, 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        pass  # it runs, as another user
    start = _process_start(owner.pid)
    return start is not None and owner.process_start is not None and start != owner.process_start


def _process_start(pid: int) -> str | None:
    """Boot and clock tick at which a process began (proc(5)), None where there is no /proc."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return None
    # The name in parentheses can hold blanks and parentheses; start time is the 22nd field.
    return f"{boot} {stat.rpartition(')')[2].split()[19]}"
