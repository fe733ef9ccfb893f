"""The files of one task against its receipt: opened folder by folder, and no link is followed.

Synchronous, for worker threads. Which receipt holds is left to `inspection`, what is wrong with a
file to `core.problems`.
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
from asynccvat.core.receipts import MemberRecord, Receipt
from asynccvat.fs import disk_errors, files
from asynccvat.store import trees
from asynccvat.store.layout import NOT_THERE

_READ_BYTES = 256 * 1024
_TELL_EVERY_FILES, _TELL_EVERY_BYTES = 256, 8 * 1024 * 1024


class Meter:
    """Counts the files and bytes that one thread reads, and tells of them now and then."""

    def __init__(self, tell: Callable[[int, int], None]) -> None:
        """Count for `tell`, which is called with the files and bytes since; it may raise, to stop.

        Seldom, as each call wakes another thread, which costs as much as a small file.
        """
        self._tell = tell
        self._files = self._bytes = 0

    def count_file(self) -> None:
        """Another file is looked at."""
        self._files += 1
        if self._files >= _TELL_EVERY_FILES:
            self.tell()

    def count_bytes(self, read: int) -> None:
        """More bytes were read."""
        self._bytes += read
        if self._bytes >= _TELL_EVERY_BYTES:
            self.tell()

    def tell(self) -> None:
        """Tell what was not told yet."""
        self._tell(self._files, self._bytes)
        self._files = self._bytes = 0


@dataclass(frozen=True, slots=True)
class Claim:
    """What a task's folder should hold.

    Attributes:
        receipt: The receipt that holds.
        identity: Size and CRC of the receipt on disk.
        recorded: Whether it is the one on disk, rather than one that is about to replace that.
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
        members: Those of its members that are to be looked at, in order of their paths.
        dest: Handle of the destination.
        contents: Read every file; otherwise those only whose size or time is another one.
        meter: Counts what is read.

    Raises:
        StoreError: Nothing can be opened any more; that is about this process, no file.
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
    """What lies in a task's folder and is no member; a folder without members is one.

    Folders that no file is in are not: archives have such, of which no receipt speaks.
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
    """The note of something that no receipt speaks of."""
    return VerifyProblem(kind=ProblemKind.FOREIGN, path=path, task_id=task_id)


def _foreign_paths(
    name: str, path: str, known: dict[str, set[str]], *, dir_fd: int
) -> Iterator[str]:
    """What is in a folder, and below it, beside the names that are known of each folder.

    Nothing where it cannot be opened, which its members tell.
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
    """Whether a folder may hold files: one that cannot be read may, one that just went does not."""
    try:
        return trees.holds_files(name, dir_fd=dir_fd)
    except OSError as error:
        return _obstacle(error, name).kind is not ProblemKind.MISSING


class _Parents:
    """Opens the folders of a task's members, each level on its own, so that no link is followed.

    Attributes:
        broken: The folders that cannot be opened, and why.
    """

    def __init__(self, folder: str, dest: int) -> None:
        self.broken: dict[str, Obstacle] = {}
        self._folder = folder
        self._dest = dest
        self._open: list[tuple[str, int]] = []  # paths in the task's folder, each in the one before

    def open(self, parent: str) -> tuple[str | None, int]:
        """A folder's handle; or the path of the first folder on the way that cannot be opened."""
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
    """`a`, `a/b`, `a/b/c` of `a/b/c`."""
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
    """What a thread reads into, for as long as it lives: to make it anew costs a small file."""
    if not hasattr(_of_thread, "buffer"):
        _of_thread.buffer = memoryview(bytearray(_READ_BYTES))
    buffer: memoryview = _of_thread.buffer
    return buffer


class _Findings:
    """What is wrong in a slice of a task."""

    def __init__(self, claim: Claim) -> None:
        self.problems: list[VerifyProblem] = []
        self._claim = claim

    def file(self, member: MemberRecord, state: FileState) -> None:
        """A file is not as it should be, or only its time is not."""
        kind = judge(member, state)
        if kind is not None:
            expected = FileState(member.size, member.crc, member.mtime_ns)
            self._add(kind, member.path, expected=expected, found=state)

    def obstacle(self, member: MemberRecord, error: OSError) -> None:
        """A file cannot be read."""
        found = _obstacle(error, member.path)
        expected = FileState(member.size, member.crc, member.mtime_ns)
        self._add(found.kind, member.path, detail=found.detail, expected=expected)

    def folder(self, path: str, found: Obstacle) -> None:
        """A member cannot be come by, as a folder on the way cannot be opened."""
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
    """Look at a file, and read it where its size alone does not tell that it is another one.

    Returns:
        What it is; None where it is just as it should be, which is the rule and has to be quick.
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
            # Whoever writes to it just now has changed its time by the end.
            status = os.fstat(fd)
        return FileState(size, crc, status.st_mtime_ns)
    finally:
        os.close(fd)
