"""Write the members of an archive into staging. Synchronous, for worker threads.

An `Extractor` drives one `ZipReader` and writes what it reads. Several extractors can write into
one tree at once, each in its own thread, if they read different members. They share one
`StagedFiles`, which records the finished ones. `extraction` decides what each of them reads, and
`reuse` fills members from files that are on disk already.
"""

from __future__ import annotations

import contextlib
import os
from collections import OrderedDict
from collections.abc import Iterable

from asynccvat.archives.parts import PART_FROM, MemberParts
from asynccvat.archives.room import LOOK_AFTER, require_room
from asynccvat.core.records.receipts import MemberRecord
from asynccvat.core.zip import (
    Directory,
    MemberData,
    MemberStart,
    ZipEntry,
    ZipReader,
)
from asynccvat.errors import ArchiveError
from asynccvat.fs import disk_errors, files
from asynccvat.fs.handles import MOST_FOLDERS


class Folders:
    """Open a bounded number of a tree's folders, and make missing ones.

    For one thread at a time. Other threads may make the same folders at the same time.
    """

    def __init__(
        self, root: int, made: set[str] | None = None, *, most: int = MOST_FOLDERS
    ) -> None:
        """Start at an open folder.

        Args:
            root: Its handle. The caller closes it.
            made: The paths of the folders that are made are added to this.
            most: How many stay open.
        """
        self._most = most
        self._root = root
        self._made = set() if made is None else made
        self._open: OrderedDict[str, int] = OrderedDict()

    def get(self, path: str) -> int:
        """Return the handle of a folder; `""` is the root itself.

        It is valid until the next call.

        Raises:
            OSError: From the system; `ENOTDIR` or `ELOOP` if a file or a link has that path.
        """
        if not path:
            return self._root
        fd = self._open.get(path)
        if fd is not None:
            self._open.move_to_end(path)
            return fd
        parent, _, name = path.rpartition("/")
        parent_fd = self.get(parent)
        with contextlib.suppress(FileExistsError):
            files.mkdir(name, dir_fd=parent_fd)
            self._made.add(path)
        fd = files.open_folder(name, dir_fd=parent_fd)
        self._open[path] = fd
        if len(self._open) > self._most:
            os.close(self._open.popitem(last=False)[1])
        return fd

    def close(self) -> None:
        """Close all of them except the root."""
        while self._open:
            os.close(self._open.popitem()[1])


class StagedFiles:
    """The members of one archive that are whole in staging.

    Their CRCs were checked in this process.

    Attributes:
        task_id: The task, for messages.
        root: Handle of the tree; -1 while it is closed.
        records: The files, by path.
        directories: Folders that the archive lists as members.
        made: All folders that were made, including those of members that were then removed.
        open_folders: How many folders each writing thread keeps open.
    """

    def __init__(self, task_id: int, root: int = -1, *, open_folders: int = MOST_FOLDERS) -> None:
        """Start with an empty tree. The caller closes its handle."""
        self.task_id = task_id
        self.open_folders = open_folders
        self.root = root
        self.records: dict[str, MemberRecord] = {}
        self.directories: set[str] = set()
        self.made: set[str] = set()
        self._room = 0

    def holds(self, entry: ZipEntry) -> bool:
        """Whether a file member is staged, by path, size and CRC."""
        record = self.records.get(entry.name)
        return record is not None and (record.size, record.crc) == (entry.size, entry.crc)

    def reserve(self, size: int) -> None:
        """Count bytes before they are written.

        The free space is checked every 64 MiB.

        Raises:
            DiskFullError: They do not fit.
        """
        self._room -= size
        if self._room < 0:
            self.require(size)
            self._room = LOOK_AFTER

    def require(self, size: int) -> None:
        """Make sure that `size` more bytes fit.

        Raises:
            DiskFullError: They do not.
        """
        require_room(self.root, size, self.task_id)

    def remove(self, path: str) -> None:
        """Remove a member that the archive no longer has in this form."""
        del self.records[path]
        parent, _, name = path.rpartition("/")
        with files.folder(parent, dir_fd=self.root) as fd:
            files.unlink(name, dir_fd=fd)

    def reconcile(self, directory: Directory) -> None:
        """Remove all files and folders that differ from an archive's directory."""
        entries = {entry.name: entry for entry in directory.entries}
        stale = [
            path
            for path in self.records
            if path not in entries or entries[path].is_directory or not self.holds(entries[path])
        ]
        for path in stale:
            self.remove(path)
        self.directories &= {e.name for e in directory.entries if e.is_directory}
        kept = self.directories.union(
            *map(_parents, self.records), *map(_parents, self.directories)
        )
        for path in sorted(self.made - kept, key=len, reverse=True):
            parent, _, name = path.rpartition("/")
            with files.folder(parent, dir_fd=self.root) as fd:
                files.rmdir(name, dir_fd=fd)
            self.made.remove(path)

    def in_order(self, directory: Directory) -> tuple[MemberRecord, ...]:
        """The records of all file members of the directory, in its order.

        Raises:
            KeyError: One is missing.
        """
        return tuple(self.records[e.name] for e in directory.entries if not e.is_directory)


def _parents(path: str) -> set[str]:
    parents = set()
    while path := path.rpartition("/")[0]:
        parents.add(path)
    return parents


class Extractor:
    """Write the members of one reader into a tree.

    A member that is staged already is read and checked, but not written again. For one thread at a
    time. Call `finish` after the last bytes, or `abandon` at any time.
    """

    def __init__(
        self, reader: ZipReader, staged: StagedFiles, parts: MemberParts | None = None
    ) -> None:
        """Write the members of `reader` into the tree of `staged`.

        Args:
            reader: Reads the members.
            staged: The tree.
            parts: Keeps what came of large members. None keeps nothing.
        """
        self.reader = reader
        self._staged = staged
        self._parts = parts
        # The member that is being written as a part, and whether that may be kept.
        self._part: ZipEntry | None = None
        self._is_part_good = True
        self._folders = Folders(staged.root, staged.made, most=staged.open_folders)
        self._member = ""
        # The file being written: its handle, and whether there is one to remove.
        self._fd = -1
        self._unfinished = False

    def feed(self, chunks: Iterable[bytes | memoryview]) -> None:
        """Read the next bytes, and write what they hold.

        Raises:
            ArchiveError: As `ZipReader.feed`.
            DiskFullError: There is no room for it.
            StoreError: The file system refuses it.
        """
        try:
            for chunk in chunks:
                for event in self.reader.feed(chunk):
                    if isinstance(event, MemberData):
                        if self._fd >= 0:
                            self._staged.reserve(len(event.data))
                            files.write(self._fd, event.data)
                    elif isinstance(event, MemberStart):
                        self._start(event.entry)
                    else:
                        self._end(event.entry)
        except ArchiveError:
            self._is_part_good = False
            raise
        except OSError as error:
            raise disk_errors.explain(
                error, "write", self._member, task_id=self._staged.task_id
            ) from error

    def finish(self) -> None:
        """End the reading.

        Raises:
            ArchiveError: As `ZipReader.close`.
        """
        self.reader.close()
        self._folders.close()

    def abandon(self) -> None:
        """Close all handles and remove the unfinished member; does nothing after `finish`.

        What came of a large one is kept as a part.
        """
        try:
            if self._unfinished:
                self._unfinished = False
                self._give_up_part()
                self._close_file()
                parent, _, name = self._member.rpartition("/")
                files.unlink(name, dir_fd=self._folders.get(parent))
        finally:
            self._folders.close()

    def _start(self, entry: ZipEntry) -> None:
        self._member = entry.name
        staged = self._staged
        if entry.is_directory:
            self._folders.get(entry.name)
            staged.directories.add(entry.name)
            return
        if staged.holds(entry):
            return
        if entry.name in staged.records:
            staged.remove(entry.name)
        parent, _, name = entry.name.rpartition("/")
        self._fd = files.open_for_writing(name, dir_fd=self._folders.get(parent))
        self._unfinished = True
        if self._parts is not None and self._parts.takes(entry):
            # The empty file shows now whether the disk takes the name, and not after the download.
            self._close_file()
            self._fd = self._parts.open(entry)
            self._part = entry

    def _end(self, entry: ZipEntry) -> None:
        if not self._unfinished:
            return
        mtime_ns = os.fstat(self._fd).st_mtime_ns
        # A full disk can show itself as late as here, on network file systems.
        self._close_file()
        if self._part is not None:
            assert self._parts is not None, "it was opened there"
            parent, _, name = entry.name.rpartition("/")
            self._parts.publish(entry, name, dir_fd=self._folders.get(parent))
            self._part = None
        self._unfinished = False
        record = MemberRecord(entry.name, entry.size, entry.crc, mtime_ns, entry.mapped_from)
        self._staged.records[entry.name] = record

    def _give_up_part(self) -> None:
        """Remove a part that is damaged, or too small to be worth keeping."""
        part, self._part = self._part, None
        if part is None:
            return
        assert self._parts is not None, "it was opened there"
        is_worth_it = self._is_part_good and self._fd >= 0
        if not (is_worth_it and os.fstat(self._fd).st_size >= PART_FROM):
            self._parts.drop(part)

    def _close_file(self) -> None:
        if self._fd >= 0:
            fd, self._fd = self._fd, -1
            os.close(fd)
