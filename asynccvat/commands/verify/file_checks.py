"""Compare the files of one task with its receipt.

Folders are opened one level at a time, and no link is followed. The calls block: they are for
worker threads. `inspection` finds the receipt; `core.problems` judges a file.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from isal import isal_zlib

from asynccvat.core.problems import (
    FileState,
    Obstacle,
    ProblemKind,
    VerifyProblem,
    judge,
    obstacle,
)
from asynccvat.core.records.receipts import MemberRecord, Receipt
from asynccvat.fs import disk_errors, files
from asynccvat.store import trees
from asynccvat.store.layout import NOT_THERE

_READ_BYTES = 256 * 1024
_TELL_EVERY_FILES, _TELL_EVERY_BYTES = 256, 8 * 1024 * 1024


class Meter:
    """Counts the files and bytes that one thread reads, and reports them now and then."""

    def __init__(self, tell: Callable[[int, int], None]) -> None:
        """Start at zero.

        Args:
            tell: Called with the files and bytes since its last call. It may raise to stop the
                thread. Each call wakes the event loop, which costs as much as a small file, so it
                is not called for each file.
        """
        self._tell = tell
        self._files = self._bytes = 0

    def count_file(self) -> None:
        """Count one more file."""
        self._files += 1
        if self._files >= _TELL_EVERY_FILES:
            self.tell()

    def count_bytes(self, read: int) -> None:
        """Count bytes that were read."""
        self._bytes += read
        if self._bytes >= _TELL_EVERY_BYTES:
            self.tell()

    def tell(self) -> None:
        """Report what was not reported yet."""
        self._tell(self._files, self._bytes)
        self._files = self._bytes = 0


@dataclass(frozen=True, slots=True)
class Claim:
    """What a task's folder should hold.

    Attributes:
        receipt: The receipt in force, or the intent that is about to replace it.
        identity: Size and CRC of the receipt in force.
        recorded: Whether `receipt` is the one in force.
    """

    receipt: Receipt
    identity: str
    recorded: bool = True

    @property
    def folder(self) -> str:
        """The folder's name."""
        return self.receipt.head.folder


def check(
    claim: Claim, members: Sequence[MemberRecord], *, dest: int, contents: bool, meter: Meter
) -> list[VerifyProblem]:
    """Compare files with what a claim says of them.

    Args:
        claim: What the folder should hold.
        members: The members to check, in order of their paths.
        dest: Handle of the destination.
        contents: Read every file; otherwise only those whose size or time has changed.
        meter: Counts what is read.

    Raises:
        StoreError: This process can open no more files.
    """
    found = _Findings(claim)
    with contextlib.ExitStack() as opened:
        parents = _Parents(claim.folder, dest)
        opened.callback(parents.close)
        for member in members:
            meter.count_file()
            parent, _, name = member.path.rpartition("/")
            blocked, fd = parents.open(parent)
            if blocked is not None:
                found.folder(blocked, parents.broken[blocked])
                continue
            if not contents and _is_untouched(member, name, fd):
                continue
            try:
                state = _read(name, member, fd, meter)
            except OSError as error:
                found.obstacle(member, error)
            else:
                if state is not None:
                    found.file(member, state)
    return found.problems


def foreign_in(claim: Claim, *, dest: int) -> list[VerifyProblem]:
    """Find files in a task's folder that are no members.

    A folder without members is one finding. Folders without any file are ignored: archives may
    contain some, and receipts do not list them.
    """
    known: dict[str, set[str]] = {"": set()}
    for member in claim.receipt.members:
        parent, _, name = member.path.rpartition("/")
        while parent not in known:
            known[parent] = {name}
            parent, _, name = parent.rpartition("/")
        known[parent].add(name)
    head = claim.receipt.head
    return [
        foreign(f"{head.folder}/{path}", head.task_id)
        for path in _foreign_paths(head.folder, "", known, dir_fd=dest)
    ]


def foreign(path: str, task_id: int | None) -> VerifyProblem:
    """Return the note for a file or folder that is in no receipt."""
    return VerifyProblem(kind=ProblemKind.FOREIGN, path=path, task_id=task_id)


def _foreign_paths(
    name: str, path: str, known: dict[str, set[str]], *, dir_fd: int
) -> Iterator[str]:
    """Yield the paths in and below a folder that are not known.

    Nothing if the folder cannot be opened: the check of its members reports that.
    """
    prefix = f"{path}/" if path else ""
    with contextlib.ExitStack() as opened:
        try:
            fd = opened.enter_context(files.folder(name, dir_fd=dir_fd))
            names = files.names(fd)
        except OSError as error:
            _obstacle(error, path or name)
            return
        for one in names:
            if one not in known[path]:
                if not trees.is_folder(one, dir_fd=fd):
                    yield prefix + one
                elif _holds_files(one, dir_fd=fd):
                    yield f"{prefix}{one}/"
            elif prefix + one in known:
                yield from _foreign_paths(one, prefix + one, known, dir_fd=fd)


def _holds_files(name: str, *, dir_fd: int) -> bool:
    """Whether a folder may hold files: an unreadable one may, one that is gone does not."""
    try:
        return trees.holds_files(name, dir_fd=dir_fd)
    except OSError as error:
        return _obstacle(error, name).kind is not ProblemKind.MISSING


class _Parents:
    """Opens the folders of a task's members one level at a time, so that no link is followed.

    Attributes:
        broken: The folders that cannot be opened, with the reason.
    """

    def __init__(self, folder: str, dest: int) -> None:
        self.broken: dict[str, Obstacle] = {}
        self._folder = folder
        self._dest = dest
        self._open: list[tuple[str, int]] = []  # paths in the task's folder, each in the one before

    def open(self, parent: str) -> tuple[str | None, int]:
        """Return a folder's handle, or the path of the first folder that cannot be opened."""
        if self._open and self._open[-1][0] == parent:
            return None, self._open[-1][1]
        way = ["", *_ancestors(parent)]
        for path in way:
            if path in self.broken:
                return path, NOT_THERE
        while self._open and self._open[-1][0] not in way:
            os.close(self._open.pop()[1])
        for path in way[len(self._open) :]:
            name = path.rpartition("/")[2] if path else self._folder
            dir_fd = self._open[-1][1] if path else self._dest
            try:
                self._open.append((path, files.open_folder(name, dir_fd=dir_fd)))
            except OSError as error:
                self.broken[path] = _obstacle(error, path or self._folder)
                return path, NOT_THERE
        return None, self._open[-1][1]

    def close(self) -> None:
        while self._open:
            os.close(self._open.pop()[1])


def _ancestors(path: str) -> Iterator[str]:
    """Yield `a`, `a/b`, `a/b/c` for `a/b/c`."""
    position = path.find("/")
    while position >= 0:
        yield path[:position]
        position = path.find("/", position + 1)
    if path:
        yield path


def _obstacle(error: OSError, path: str) -> Obstacle:
    found = obstacle(error.errno, error.strerror or str(error))
    if found is None:
        raise disk_errors.explain(error, "read", path) from error
    return found


_of_thread = threading.local()


def _buffer() -> memoryview:
    """Return the thread's own buffer. Allocating it anew would cost as much as a small file."""
    if not hasattr(_of_thread, "buffer"):
        _of_thread.buffer = memoryview(bytearray(_READ_BYTES))
    buffer: memoryview = _of_thread.buffer
    return buffer


class _Findings:
    """The problems in a slice of a task."""

    def __init__(self, claim: Claim) -> None:
        self.problems: list[VerifyProblem] = []
        self._claim = claim

    def file(self, member: MemberRecord, state: FileState) -> None:
        """Add a file whose content or time has changed."""
        kind = judge(member, state)
        if kind is not None:
            expected = FileState(member.size, member.crc, member.mtime_ns)
            self._add(kind, member.path, expected=expected, found=state)

    def obstacle(self, member: MemberRecord, error: OSError) -> None:
        """Add a file that cannot be read."""
        found = _obstacle(error, member.path)
        expected = FileState(member.size, member.crc, member.mtime_ns)
        self._add(found.kind, member.path, detail=found.detail, expected=expected)

    def folder(self, path: str, found: Obstacle) -> None:
        """Add a member whose folder cannot be opened."""
        self._add(found.kind, f"{path}/" if path else "", detail=found.detail)

    def _add(self, kind: ProblemKind, path: str, **rest: FileState | str | None) -> None:
        head = self._claim.receipt.head
        self.problems.append(
            VerifyProblem(
                kind=kind,
                path=f"{head.folder}/{path}",
                task_id=head.task_id,
                **rest,  # type: ignore[arg-type]  # each is what its name takes
            )
        )


def _is_untouched(member: MemberRecord, name: str, fd: int) -> bool:
    try:
        status = files.lstat(name, dir_fd=fd)
    except OSError:
        return False
    return status is not None and trees.is_as_recorded(member, status)


def _read(name: str, member: MemberRecord, dir_fd: int, meter: Meter) -> FileState | None:
    """Read a file, unless its size has changed.

    Returns:
        Its state; None if it is as it should be. That is the usual case, and has to be quick.
    """
    fd, status = files.open_and_look(name, dir_fd=dir_fd)
    try:
        if status.st_size != member.size:
            return FileState(status.st_size, None, status.st_mtime_ns)
        crc = size = 0
        buffer = _buffer()
        while size < member.size and (got := files.read_into(fd, buffer)):
            crc = isal_zlib.crc32(buffer[:got], crc)
            size += got
            meter.count_bytes(got)
        if size == member.size and crc == member.crc:
            if status.st_mtime_ns == member.mtime_ns:
                return None
        else:
            # A program that is writing to it has changed its time by now.
            status = os.fstat(fd)
        return FileState(size, crc, status.st_mtime_ns)
    finally:
        os.close(fd)
