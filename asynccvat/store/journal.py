"""A journal: lines that are on the disk before they count, by one process at a time.

A restore or a copy notes what it is about to ask of the server, so that its successor knows. A
kill may tear the last line. A torn line is dropped: what it says has not begun. `core.records` has
what the lines of each command mean.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import msgspec

from asynccvat.core.decoding import UNREADABLE
from asynccvat.errors import StoreError
from asynccvat.fs import disk_errors, files
from asynccvat.store import lock as locks
from asynccvat.store.disk_threads import DiskThreads
from asynccvat.store.lock import Lock
from asynccvat.store.opening import make_folders, sync_above

JOURNAL_VERSION = 1
_SUFFIX = ".jsonl"


class _Head(msgspec.Struct, frozen=True, kw_only=True):
    """Line 1.

    Attributes:
        version: Version of the format.
        kind: What the journal is about, such as `restores`.
        origin: Scheme, host and port of the server.
        organization: The organization, None for what the user sees without one.
    """

    version: int = JOURNAL_VERSION
    kind: str
    origin: str
    organization: str | None = None

    @property
    def owner(self) -> str:
        """The server and the organization, for messages."""
        if self.organization is None:
            return self.origin
        if not self.organization:
            return f"the personal workspace at {self.origin}"
        return f"the organization {self.organization!r} at {self.origin}"


class _Version(msgspec.Struct):
    version: int = JOURNAL_VERSION


class Journal:
    """An open journal. `open` makes one.

    Attributes:
        path: The file.
        lines: What it held when it was opened: JSON values, oldest first.
    """

    def __init__(self, path: Path, lines: tuple[Any, ...], written: _Written | None) -> None:
        self.path = path
        self.lines = lines
        self._written = written
        # One thread: lines stand in the order in which they were noted.
        self._threads = DiskThreads(path, 1)

    @classmethod
    @contextlib.asynccontextmanager
    async def open(
        cls,
        folder: Path,
        name: str,
        *,
        kind: str,
        origin: str,
        organization: str | None,
        durable: bool = True,
        break_lock: bool = False,
        read_only: bool = False,
        option: str = "--journal",
    ) -> AsyncIterator[Self]:
        """Open a journal, and lock it against other processes.

        Args:
            folder: The folder that holds it. It is made if it is missing.
            name: The journal's name, without its ending.
            kind: What it is about. A journal of another kind is refused.
            origin: Scheme, host and port of the server whose ids it holds.
            organization: The organization.
            durable: Sync each line before it counts.
            break_lock: Take the lock over from a process that has surely ended.
            read_only: Only read it, without a lock. It may be missing.
            option: The option by which the user names another place for it.

        Raises:
            StoreLockedError: Another process writes it.
            StoreError: It cannot be made, read or written, or a newer version wrote it, or it
                belongs to another server.
        """
        path = folder / f"{name}{_SUFFIX}"
        head = _Head(kind=kind, origin=origin, organization=organization)
        threads = DiskThreads(path, 1)
        written: _Written | None = None

        def opening() -> tuple[Any, ...]:
            nonlocal written
            if read_only:
                return _read_file(path, head)
            # Kept at once: a cancellation discards what the thread returns.
            lines, written = _open(folder, path.name, head, durable=durable, break_lock=break_lock)
            return lines

        try:
            try:
                lines = await threads.run("use", opening)
            except StoreError as error:
                disk_errors.name_elsewhere(error, option)
                raise
            yield cls(path, lines, written)
        finally:
            if written is not None:
                written.close()

    async def note(self, line: msgspec.Struct | dict[str, Any]) -> None:
        """Add a line. It is durable when this returns, also if the caller is cancelled.

        Raises:
            StoreLockedError: Another process took the lock over.
            StoreError: It cannot be written. Nothing that it says may be begun.
        """
        if self._written is None:
            raise StoreError(f"cannot write to {str(self.path)!r}: it was opened for reading.")
        await self._threads.run("write to", self._written.add, line)


@dataclass(slots=True)
class _Written:
    """A journal's open file, and its lock."""

    path: Path
    dir_fd: int
    fd: int
    lock: Lock
    length: int
    durable: bool
    broken: StoreError | None = None

    def add(self, line: object) -> None:
        """Add a line, and sync it.

        Raises:
            StoreError: This or an earlier line could not be written.
        """
        if self.broken is not None:
            raise self.broken
        self.lock.verify()
        content = msgspec.json.encode(line) + b"\n"
        try:
            os.lseek(self.fd, self.length, os.SEEK_SET)
            files.write(self.fd, content)
            if self.durable:
                files.fsync(self.fd)
        except OSError as error:
            # After a failed sync, no later one can be trusted. The next process reads what is on
            # the disk, where a part of the line may stand.
            self.broken = disk_errors.explain(error, "write to", self.path)
            raise self.broken from error
        self.length += len(content)

    def close(self) -> None:
        """Close the file, and release the lock."""
        os.close(self.fd)
        try:
            self.lock.release()
        finally:
            os.close(self.dir_fd)


def _open(
    folder: Path, name: str, head: _Head, *, durable: bool, break_lock: bool
) -> tuple[tuple[Any, ...], _Written]:
    """Lock a journal, read it, and cut off a torn last line."""
    make_folders(folder, durable=False)
    if durable:
        sync_above(folder)
    path = folder / name
    with contextlib.ExitStack() as opened:
        dir_fd = files.open_directory(folder)
        opened.callback(os.close, dir_fd)
        lock = locks.acquire(dir_fd, path, break_lock=break_lock)
        opened.callback(lock.release)
        fd = files.open_or_create(name, dir_fd=dir_fd)
        opened.callback(os.close, fd)
        if not files.is_plain(fd):
            raise StoreError(
                f"cannot use {str(path)!r}: it is not a plain file of its own. Move it away.",
                step="store",
            )
        lines, length = _read(path, b"".join(_blocks(fd)), head)
        files.truncate(fd, length)
        written = _Written(path, dir_fd, fd, lock, length, durable)
        if not length:
            written.add(head)
        if durable:
            # Also what a killed process wrote and did not sync.
            files.fsync(fd)
            files.fsync(dir_fd)
        opened.pop_all()
    return lines, written


def _read_file(path: Path, head: _Head) -> tuple[Any, ...]:
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return ()
    return _read(path, content, head)[0]


def _read(path: Path, content: bytes, head: _Head) -> tuple[tuple[Any, ...], int]:
    """Return the lines after the first one, and the bytes of all whole lines.

    Raises:
        StoreError: The journal is damaged, of another server or kind, or of a newer version.
    """
    whole = content[: content.rfind(b"\n") + 1]
    values: list[Any] = []
    length = 0
    rows = whole.split(b"\n")[:-1]
    for number, row in enumerate(rows):
        try:
            values.append(msgspec.json.decode(row))
        except UNREADABLE as error:
            if number + 1 == len(rows):
                break  # torn by a power cut: its bytes came, but not all of them
            raise StoreError(
                f"cannot use {str(path)!r}: line {number + 1} is damaged. Look at the server for "
                "what was done, then move the file away.",
                step="store",
            ) from error
        length += len(row) + 1
    if not values:
        return (), 0
    _check_head(path, rows[0], head)
    return tuple(values[1:]), length


def _check_head(path: Path, row: bytes, wanted: _Head) -> None:
    try:
        version = msgspec.json.decode(row, type=_Version).version
        found = None if version > JOURNAL_VERSION else msgspec.json.decode(row, type=_Head)
    except UNREADABLE as error:
        raise StoreError(
            f"cannot use {str(path)!r}: its first line is damaged. Look at the server for what was "
            "done, then move the file away.",
            step="store",
        ) from error
    if found is None:
        raise StoreError(
            f"cannot use {str(path)!r}: a newer asynccvat wrote it. Upgrade asynccvat.",
            step="store",
        )
    if (found.kind, found.origin, found.organization) != (
        wanted.kind,
        wanted.origin,
        wanted.organization,
    ):
        raise StoreError(
            f"cannot use {str(path)!r}: it holds the {found.kind} of {found.owner}, not the "
            f"{wanted.kind} of {wanted.owner}. Use another folder, or move it away.",
            step="store",
        )


def _blocks(fd: int) -> Iterator[bytes]:
    os.lseek(fd, 0, os.SEEK_SET)
    while block := os.read(fd, 1 << 20):
        yield block
