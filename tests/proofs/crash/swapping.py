"""Runs during which another program replaces a folder by a link to a folder outside.

Everything happens in this process. Before a chosen call that touches the disk, a folder of the
destination is moved away, and a link to a copy of it outside takes its name. A program that follows
the link finds exactly what it expects, and would change it.
"""

from __future__ import annotations

import os
import shutil
import stat
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from asynccvat.fs import files

SYNCING = ("fsync", "sync_filesystem")
LOOKS = ("lstat", "open_folder", "open_for_reading", "names", "scan", "open_directory")
"""After which, too, what was seen may be replaced."""

Snapshot = dict[str, tuple[Any, ...]]


def snapshot(folder: Path) -> Snapshot:
    """All that can be told of what is in a folder, by path; links are not followed."""
    found: Snapshot = {}
    for path in [folder, *folder.rglob("*")]:
        status = path.lstat()
        content: bytes | str | None = None
        if stat.S_ISREG(status.st_mode):
            content = path.read_bytes()
        elif stat.S_ISLNK(status.st_mode):
            content = os.readlink(path)  # noqa: PTH115 - as text
        found[path.relative_to(folder).as_posix()] = (
            status.st_mode,
            status.st_ino,
            status.st_nlink,
            status.st_size,
            status.st_mtime_ns,
            content,
        )
    return found


def folders_in(place: Path) -> list[str]:
    """The folders below a place, and itself, by path; what is behind links is not."""
    found = [Path(path).relative_to(place).as_posix() for path, *_ in os.walk(place)]
    return sorted(found)


@dataclass
class Swap:
    """One folder that is replaced before one call.

    Attributes:
        place: The folder in which the runs work.
        elsewhere: A folder for what is moved away and what is linked to.
        at: The number of the call, from 1.
        victim: The folder's path in `place`.
        folders: Before each call, the folders that there were, where that is asked for.
        calls: Those that came so far.
        done: Whether it was replaced.
    """

    place: Path
    elsewhere: Path
    at: int = 0
    victim: str = ""
    notes: bool = False
    folders: list[list[str]] = field(default_factory=list)
    calls: list[str] = field(default_factory=list)
    done: bool = False
    _before: Snapshot = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def outside(self) -> Path:
        """The folder that the link leads to."""
        return self.elsewhere / "outside"

    @property
    def moved(self) -> Path:
        """Where the folder itself is."""
        return self.elsewhere / "moved"

    def before(self, name: str) -> None:
        """Take note of a call, and replace the folder if it is the one."""
        with self._lock:
            self.calls.append(name)
            if self.notes:
                self.folders.append(folders_in(self.place))
            victim = self.place / self.victim
            if len(self.calls) == self.at and victim.is_dir() and not victim.is_symlink():
                victim.rename(self.moved)
                shutil.copytree(self.moved, self.outside, symlinks=True)
                (self.outside / "canary").write_bytes(b"alive")
                victim.symlink_to(self.outside)
                self._before = snapshot(self.outside)
                self.done = True

    def check(self) -> None:
        """Nothing was changed outside."""
        if self.done:
            assert snapshot(self.outside) == self._before

    def undo(self) -> None:
        """Put the folder back, if the link still is in its place."""
        victim = self.place / self.victim
        if victim.is_symlink():
            victim.unlink()
            self.moved.rename(victim)


@contextmanager
def swapping(swap: Swap) -> Iterator[None]:
    """Have a swap happen among the calls that change the disk or look at it."""

    def watched(name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def before_that(*args: Any, **kwargs: Any) -> Any:
            swap.before(name)
            return call(*args, **kwargs)

        return before_that

    with pytest.MonkeyPatch.context() as patch:
        # What a power cut would do is tested elsewhere, and these take the time of a drive.
        for name in SYNCING:
            patch.setattr(files, name, lambda _fd: None)
        for name in {*files.EFFECTS, *LOOKS} - {*SYNCING}:
            patch.setattr(files, name, watched(name, getattr(files, name)))
        yield
