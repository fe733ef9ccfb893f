"""Recording what a program does to a real folder, as a trace for power cuts.

Every function of `asynccvat.fs.files.EFFECTS` is replaced by one that does the same and notes it.
So are the writes to a kept archive, which go through aiofiles. At the end, the trace has to lead to
the real state: so nothing else has changed the disk.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from archive_writes import WatchedAiofiles
from power_disk import (
    EVERYTHING,
    ROOT,
    Cut,
    Named,
    Numbers,
    Synced,
    Told,
    Trace,
    Written,
    abstract,
    look,
)

from asynccvat.archives import kept_copy
from asynccvat.fs import files

Effect = Callable[..., Any]


class Recorder:
    """Notes what is done in one folder.

    Attributes:
        folder: That folder.
        trace: What was noted.
    """

    def __init__(self, folder: Path, trace: Trace, numbers: Numbers) -> None:
        """Go on with a trace, in a folder that holds what it led to."""
        self.trace = trace
        self.folder = folder
        self._numbers = numbers
        state = Cut(trace, len(trace.steps)).state()
        self._contents = {inode: content for inode, (content, _) in state.contents.items()}
        self._next_number = itertools.count(1 + max(*trace.folders, *self._contents, ROOT))
        self._lock = threading.Lock()

    @contextlib.contextmanager
    def watching(self) -> Iterator[None]:
        """Note what is done meanwhile; at the end, make sure that nothing was done unnoticed."""
        with pytest.MonkeyPatch.context() as patch:
            for name in files.EFFECTS:
                patch.setattr(files, name, self._noting(name))
            patch.setattr(kept_copy, "aiofiles", WatchedAiofiles(self._noting_archive))
            yield
        self._check()

    def told(self, what: object) -> None:
        """Note what the caller was told."""
        with self._lock:
            self.trace.steps.append(Told(what))

    def _check(self) -> None:
        expected = Cut(self.trace, len(self.trace.steps)).state()
        found, _ = look(self.folder, self._numbers)
        assert found.names == {
            (folder, name): inode
            for folder in found.folders
            for name, inode in expected.folders.get(folder, {}).items()
        }, "names were changed unnoticed"
        for inode, content in found.contents.items():
            assert content == expected.contents[inode], "a content was changed unnoticed"

    def _noting(self, name: str) -> Effect:
        effect: Effect = getattr(files, name)
        note: Callable[..., Any] = getattr(self, f"_{name}")

        def noting(*args: Any, **kwargs: Any) -> Any:
            with self._lock:
                return note(effect, *args, **kwargs)

        return noting

    def _noting_archive(self, name: str, effect: Effect) -> Effect:
        def noting(fd: int, *data: memoryview) -> Any:
            with self._lock:
                before = self._contents[self._number(fd)] if name == "write" else b""
                count = effect(fd, *data)
                self._written(fd, before + b"".join(one[:count] for one in data))
            return count

        return noting

    # --- names -----------------------------------------------------------------------------------

    def _open_for_writing(self, effect: Effect, name: str, *, dir_fd: int) -> int:
        fd: int = effect(name, dir_fd=dir_fd)
        self._created("open_for_writing", self._place(name, dir_fd), os.fstat(fd))
        return fd

    def _open_or_create(self, effect: Effect, name: str, *, dir_fd: int) -> int:
        is_new = files.lstat(name, dir_fd=dir_fd) is None
        fd: int = effect(name, dir_fd=dir_fd)
        if is_new:
            self._created("open_or_create", self._place(name, dir_fd), os.fstat(fd))
        return fd

    def _mkdir(self, effect: Effect, name: str, *, dir_fd: int) -> None:
        effect(name, dir_fd=dir_fd)
        self._made(self._place(name, dir_fd), os.stat(name, dir_fd=dir_fd))

    def _make_directories(self, effect: Effect, path: Path) -> None:
        missing = [one for one in (path, *path.parents) if not one.exists()]
        effect(path)
        for one in reversed(missing):
            self._made((self._numbered(one.parent.stat()), one.name), one.stat())

    def _rename(
        self, effect: Effect, name: str, new_name: str, *, dir_fd: int, new_dir_fd: int
    ) -> None:
        inode = self._named(name, dir_fd)
        effect(name, new_name, dir_fd=dir_fd, new_dir_fd=new_dir_fd)
        old, new = self._place(name, dir_fd), self._place(new_name, new_dir_fd)
        self._changed("rename", (old, None), (new, inode))

    def _exchange(
        self, effect: Effect, name: str, new_name: str, *, dir_fd: int, new_dir_fd: int
    ) -> None:
        one, other = self._named(name, dir_fd), self._named(new_name, new_dir_fd)
        effect(name, new_name, dir_fd=dir_fd, new_dir_fd=new_dir_fd)
        here, there = self._place(name, dir_fd), self._place(new_name, new_dir_fd)
        self._changed("exchange", (here, other), (there, one))

    def _link(
        self, effect: Effect, name: str, new_name: str, *, dir_fd: int, new_dir_fd: int
    ) -> None:
        effect(name, new_name, dir_fd=dir_fd, new_dir_fd=new_dir_fd)
        inode = self._named(name, dir_fd)
        self._changed("link", (self._place(new_name, new_dir_fd), inode))

    def _unlink(self, effect: Effect, name: str, *, dir_fd: int) -> None:
        effect(name, dir_fd=dir_fd)
        self._changed("unlink", (self._place(name, dir_fd), None))

    def _rmdir(self, effect: Effect, name: str, *, dir_fd: int) -> None:
        effect(name, dir_fd=dir_fd)
        self._changed("rmdir", (self._place(name, dir_fd), None))

    def _remove_directory(self, effect: Effect, path: Path) -> None:
        effect(path)
        self._changed("rmdir", ((self._numbered(path.parent.stat()), path.name), None))

    # --- contents and syncs ----------------------------------------------------------------------

    def _truncate(self, effect: Effect, fd: int, length: int = 0) -> None:
        effect(fd, length)
        self._written(fd, self._contents[self._number(fd)][:length])

    def _write(self, effect: Effect, fd: int, data: bytes | bytearray | memoryview) -> None:
        before = self._contents[self._number(fd)]
        start = os.lseek(fd, 0, os.SEEK_CUR)
        assert start == len(before), "only appending is foreseen here"
        effect(fd, data)
        self._written(fd, before + abstract(bytes(data), self._numbers))

    def _touch(self, effect: Effect, fd: int) -> None:
        effect(fd)
        self._written(fd, self._contents[self._number(fd)])

    def _fsync(self, effect: Effect, fd: int) -> None:
        effect(fd)
        status = os.fstat(fd)
        number = self._numbers.get((status.st_dev, status.st_ino))
        # Folders above ours are there in any case.
        if number is not None:
            self.trace.steps.append(Synced(number))

    def _sync_filesystem(self, effect: Effect, fd: int) -> None:
        effect(fd)
        self.trace.steps.append(Synced(EVERYTHING))

    # --- inside ----------------------------------------------------------------------------------

    def _place(self, name: str, dir_fd: int) -> tuple[int, str]:
        """The folder that a name is in, which may be one below the open one, and the last part."""
        parent, _, last = name.rpartition("/")
        if not parent:
            return self._number(dir_fd), last
        return self._numbered(os.stat(parent, dir_fd=dir_fd)), last

    def _number(self, fd: int) -> int:
        return self._numbered(os.fstat(fd))

    def _numbered(self, status: os.stat_result) -> int:
        return self._numbers[status.st_dev, status.st_ino]

    def _named(self, name: str, dir_fd: int) -> int:
        return self._numbered(os.stat(name, dir_fd=dir_fd, follow_symlinks=False))

    def _changed(self, effect: str, *changes: tuple[tuple[int, str], int | None]) -> None:
        self.trace.steps.append(Named(effect, changes))

    def _new_number(self, status: os.stat_result) -> int:
        # An inode that is used again is another one here.
        number = next(self._next_number)
        self._numbers[status.st_dev, status.st_ino] = number
        return number

    def _made(self, place: tuple[int, str], status: os.stat_result) -> None:
        number = self._new_number(status)
        self.trace.folders.add(number)
        self._changed("mkdir", (place, number))

    def _created(self, effect: str, place: tuple[int, str], status: os.stat_result) -> None:
        number = self._new_number(status)
        self._contents[number] = b""
        self.trace.steps.append(Written(number, b"", status.st_mtime_ns))
        self._changed(effect, (place, number))

    def _written(self, fd: int, content: bytes) -> None:
        number = self._number(fd)
        self._contents[number] = content
        self.trace.steps.append(Written(number, content, os.fstat(fd).st_mtime_ns))
