"""The lock of a destination: one writer at a time.

`flock` on the file `lock` decides. The file's text says who holds it, for messages only.

Some network file systems do not support flock. There, the existence of `lock.held` is the lock. Its
text names the owner's host, boot and process; the owner touches it every ten seconds. Another
process takes it over only if the owner is known to be dead, or with `--break-lock`.

Taking over from a dead owner has to be one step. Otherwise two processes do it at once: both read
the dead owner's file, one removes it and creates its own, and the other removes that. So a dead
owner's file is never removed. The successor exclusively creates a file whose name is a hash of the
dead owner's text, which only one process can do, and then renames it onto `lock.held`. If it dies
in between, its own successor follows the same rule: the files form a line, and the last one in the
line holds the lock. `docs/decisions/locks.md` says which simpler ways failed.

Holders call `verify` before each commit.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import sys
import threading
import time
import uuid
from pathlib import Path

import msgspec

from asynccvat.errors import StoreLockedError
from asynccvat.fs import disk_errors, files
from asynccvat.store import lock_owner
from asynccvat.store.lock_owner import LockOwner

if sys.platform != "win32":
    import fcntl

LOCK_NAME = "lock"
EXCLUSIVE_NAME = "lock.held"
"""The lock where flock is unsupported. It is another file, as `lock` is never removed."""
LINE_PREFIX = f"{EXCLUSIVE_NAME}-"
"""How the names begin of the files that processes create to take the lock over."""
HEARTBEAT_SECONDS = 10.0

# A process that has just taken a lock is about to write its text.
_LOOKS_FOR_OWNER = 20
_BETWEEN_LOOKS = 0.025

FLOCK_UNSUPPORTED = frozenset(
    number
    for name in ("ENOLCK", "ENOSYS", "ENOTSUP", "EOPNOTSUPP", "EINVAL")
    if (number := getattr(errno, name, None)) is not None
)


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
            StoreLockedError: The file was removed, or another process has taken over the lock.
        """
        if not self.is_ours():
            owner = _read_owner(self._dir_fd, self._name)
            who = "" if owner is None else f" by {lock_owner.in_words(owner)}"
            raise StoreLockedError(
                f"the lock on {str(self._path)!r} was taken over{who}, so this run stops writing. "
                "Let one process at a time write to this destination.",
                step="lock",
            )

    def release(self, *, remove: bool = False) -> None:
        """Release the lock, if it is still ours.

        Args:
            remove: Remove the file, too. `lock.held` is removed in any case.
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
        """Whether the file of that name is still the one that we locked."""
        here = files.lstat(self._name, dir_fd=self._dir_fd)
        mine = os.fstat(self._fd)
        return here is not None and (here.st_dev, here.st_ino) == (mine.st_dev, mine.st_ino)

    def _beat(self) -> None:
        while not self._stop.wait(HEARTBEAT_SECONDS):
            # It only tells others that we are alive; `verify` finds out whether the lock is ours.
            with contextlib.suppress(OSError):
                files.touch(self._fd)


def acquire(dir_fd: int, path: Path, *, break_lock: bool = False) -> Lock:
    """Take the lock of a destination.

    Args:
        dir_fd: Handle of the folder that holds the lock file.
        path: The destination, for messages.
        break_lock: Take over the lock from any owner. The old owner finds out before its next
            commit.

    Raises:
        StoreLockedError: Another process holds it; the message says which, and since when.
        OSError: As the system says; `ENOENT` if the folder was removed.
    """
    if break_lock:
        for name in (LOCK_NAME, EXCLUSIVE_NAME):
            _remove(name, dir_fd)
    while True:
        fd = files.open_or_create(LOCK_NAME, dir_fd=dir_fd)
        try:
            _flock(fd, path, dir_fd)
            lock = Lock(dir_fd, path, fd)
            # The previous owner may have removed the file between our opening and locking.
            if lock.is_ours():
                if files.is_plain(fd):
                    files.truncate(fd)
                    files.write(fd, msgspec.json.encode(lock_owner.ourselves()) + b"\n")
                    return lock
                _remove(LOCK_NAME, dir_fd)
        except OSError as error:
            os.close(fd)
            if error.errno not in FLOCK_UNSUPPORTED:
                raise
            _remove(LOCK_NAME, dir_fd)  # it has no meaning there
            return _acquire_by_existence(dir_fd, path)
        except BaseException:
            os.close(fd)
            raise
        lock.release()


def known_writer(dir_fd: int) -> LockOwner | None:
    """Return the process that a lock names, unless it is known to have exited.

    The text stays after a lock was released, so the process may have gone on to other work. The
    lock itself is not tried: that would get in the way of a run that takes it at the same moment.
    """
    for name in (LOCK_NAME, EXCLUSIVE_NAME):
        owner = _read_owner(dir_fd, name)
        if owner is not None and not lock_owner.is_dead(owner):
            return owner
    return None


def _flock(fd: int, path: Path, dir_fd: int) -> None:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError) as error:
        raise _locked(path, dir_fd, LOCK_NAME) from error


def _acquire_by_existence(dir_fd: int, path: Path) -> Lock:
    """Create the lock file exclusively, or succeed an owner that is known to be dead."""
    while True:
        name = _end_of_line(dir_fd, path)
        try:
            fd = _create_owned(name, dir_fd)
        except (FileExistsError, FileNotFoundError):
            if os.fstat(dir_fd).st_nlink == 0:
                raise  # the folder was removed, so that no look can tell anything
            continue  # another process was quicker; the next look tells which
        try:
            if _leads_to(name, dir_fd):
                if name != EXCLUSIVE_NAME:
                    files.rename(name, EXCLUSIVE_NAME, dir_fd=dir_fd, new_dir_fd=dir_fd)
                    name = EXCLUSIVE_NAME
                _remove_line(dir_fd)
                return Lock(dir_fd, path, fd, name=EXCLUSIVE_NAME)
        except BaseException:
            os.close(fd)
            # Left there, it would name an owner that is alive and does not hold the lock.
            _remove(name, dir_fd)
            raise
        os.close(fd)
        _remove(name, dir_fd)


def _create_owned(name: str, dir_fd: int) -> int:
    """Create a file exclusively, with our text in it from the start; return its handle.

    The text is written to a draft, and a link to the draft creates the file. A kill between
    creating a file and writing to it would leave a lock that names no owner, and could never be
    taken over. Where links are unsupported, that gap remains.

    Raises:
        FileExistsError: The file exists.
        FileNotFoundError: A new owner has removed our draft.
    """
    text = msgspec.json.encode(lock_owner.ourselves()) + b"\n"
    draft = _draft_name()
    fd = files.open_for_writing(draft, dir_fd=dir_fd)
    try:
        files.write(fd, text)
        files.link(draft, name, dir_fd=dir_fd, new_dir_fd=dir_fd)
    except BaseException as error:
        os.close(fd)
        if isinstance(error, OSError) and disk_errors.is_link_refused(error):
            return _create_and_write(name, text, dir_fd)
        raise
    finally:
        _remove(draft, dir_fd)
    return fd


def _draft_name() -> str:
    return f"{LINE_PREFIX}draft-{uuid.uuid4().hex}"


def _create_and_write(name: str, text: bytes, dir_fd: int) -> int:
    fd = files.open_for_writing(name, dir_fd=dir_fd)
    try:
        files.write(fd, text)
    except BaseException:
        os.close(fd)
        _remove(name, dir_fd)
        raise
    return fd


def _end_of_line(dir_fd: int, path: Path) -> str:
    """Return the name of the file that the next owner has to create.

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
    """Whether a file is in the line; it is not if it was created too late."""
    current: str | None = EXCLUSIVE_NAME
    while current not in (None, name):
        current = _successor(current, dir_fd)
    return current is not None


def _successor(name: str, dir_fd: int) -> str | None:
    """Return the name of the file that succeeds an owner's; None if the owner may be alive."""
    try:
        content = files.read_file(name, dir_fd=dir_fd)
    except OSError:
        return None
    if content is None or not lock_owner.is_dead(lock_owner.decode_owner(content)):
        return None
    # No other owner has this text: the process is dead, and the text says when it began.
    return f"{LINE_PREFIX}{hashlib.sha256(content).hexdigest()[:32]}"


def _remove_line(dir_fd: int) -> None:
    """Remove the files of the line, now that the lock is ours."""
    for name in files.names(dir_fd):
        if name.startswith(LINE_PREFIX):
            _remove(name, dir_fd)


def _remove(name: str, dir_fd: int) -> None:
    with contextlib.suppress(FileNotFoundError):
        files.unlink(name, dir_fd=dir_fd)


def _locked(path: Path, dir_fd: int, name: str) -> StoreLockedError:
    owner = _owner_at_work(dir_fd, name)
    status = files.lstat(name, dir_fd=dir_fd)
    who = "another process" if owner is None else lock_owner.in_words(owner)
    seen = ""
    if status is not None and name == EXCLUSIVE_NAME:
        seen = f" (last sign of life {max(0, int(time.time() - status.st_mtime))} s ago)"
    remedy = "Wait until it ends, or use --break-lock if it is certain that it no longer runs."
    if owner is not None and lock_owner.is_this_process(owner):
        who = f"this very process {owner.pid}, since {owner.since}"
        remedy = "Wait until its other run into the same folder ends."
    return StoreLockedError(f"{str(path)!r} is being written by {who}{seen}. {remedy}", step="lock")


def _owner_at_work(dir_fd: int, name: str) -> LockOwner | None:
    """Return the owner of a lock that is held; None if only a dead owner, or none, is named."""
    for look in range(_LOOKS_FOR_OWNER):
        if look > 0:
            time.sleep(_BETWEEN_LOOKS)
        # A successor's file is renamed to the lock's own name at the end.
        for place in (name, EXCLUSIVE_NAME):
            owner = _read_owner(dir_fd, place)
            if owner is not None and not lock_owner.is_dead(owner):
                return owner
    return None


def _read_owner(dir_fd: int, name: str) -> LockOwner | None:
    try:
        content = files.read_file(name, dir_fd=dir_fd)
    except OSError:
        return None  # it is for the message only
    return None if content is None else lock_owner.decode_owner(content)
