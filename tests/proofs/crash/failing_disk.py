"""A disk that refuses a call, and mirrors in this process that meet the error.

Each case begins with the same destination and the same server. Since the mirror, tasks were edited,
deleted and added, and they are wanted under another prefix, which one of them has already. So a
single run fetches, reuses, exchanges, moves and removes.
"""

from __future__ import annotations

import os
import shutil
import threading
import zipfile
from collections import Counter
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from archive_writes import WatchedAiofiles
from mirror_processes import Tree, Version, check_end, read_folders

import asynccvat as ac
from asynccvat.archives import kept_copy
from asynccvat.core.scheduling import intervals
from asynccvat.core.wire.retry import RetryPolicy
from asynccvat.fs import files
from asynccvat.simulator import SimulatedServer, SimulatorOptions
from asynccvat.store.commits import group_commit

LOOKS = (
    "open_directory",
    "open_folder",
    "open_for_reading",
    "read_file",
    "lstat",
    "scan",
    "names",
    "free_bytes",
    "longest_name",
)
"""The functions that only look at the disk."""

ARCHIVE_WRITES = ("archive's write", "archive's truncate")
"""What changes an archive that is kept."""

SYNCS = ("fsync", "sync_filesystem")
SPEC = ac.ExportSpec("COCO 1.0", images=True)
BEFORE = ac.MirrorOptions(transfers=1, concurrency=1, folder_prefix="task", change=True)
NEW_PREFIX = replace(BEFORE, folder_prefix="t")
AFTER = replace(NEW_PREFIX, prune=True, max_delete="100%")


@dataclass(frozen=True)
class Refusal:
    """What the disk refuses.

    Attributes:
        number: The error's.
        at: The number of the call that it meets, from 1.
        calls: The names of the calls that count.
        for_good: Whether all later ones are refused as well.
        after: The call that has to be made before any counts, if one has.
    """

    number: int
    at: int
    calls: Collection[str] = files.EFFECTS
    for_good: bool = False
    after: str | None = None

    def __str__(self) -> str:
        which = "from" if self.for_good else "at"
        kinds = "effects" if self.calls == files.EFFECTS else "/".join(self.calls)
        return f"{os.strerror(self.number)} {which} {self.at} of {kinds}"


class FailingDisk:
    """Counts calls, and refuses the one that it is told to.

    Attributes:
        refusal: What is to be refused, None for nothing.
        refused: The names of the calls that were refused.
        synced_again: How often something was synced whose sync had been refused.
        log: The names of all calls since the refusal was set.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.refusal: Refusal | None = None
        self.refused: list[str] = []
        self.synced_again = 0
        self.log: list[str] = []
        self._lock = threading.Lock()
        self._seen = 0
        self._not_synced: set[tuple[int, int]] = set()
        for name in SYNCS:
            # Whether anything reaches the disk is the business of other proofs.
            monkeypatch.setattr(files, name, lambda _fd: None)
        for name in (*files.EFFECTS, *LOOKS):
            monkeypatch.setattr(files, name, self._watched(name, getattr(files, name)))
        monkeypatch.setattr(kept_copy, "aiofiles", WatchedAiofiles(self._watched_archive))

    @property
    def counts(self) -> Counter[str]:
        """How often each call was made since the refusal was set."""
        return Counter(self.log)

    @property
    def effects(self) -> int:
        """How many effects there were since the refusal was set."""
        return sum(count for name, count in self.counts.items() if name in files.EFFECTS)

    def refuse(self, refusal: Refusal | None) -> None:
        """Count anew, and refuse something else or nothing."""
        with self._lock:
            self.refusal, self._seen = refusal, 0
            self.refused.clear()
            self.synced_again = 0
            self.log.clear()
            self._not_synced.clear()

    def _watched(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def watched(*args: Any, **kwargs: Any) -> Any:
            with self._lock:
                self._seen += self._counts(name)
                self.log.append(name)
                if name in SYNCS:
                    self._note_sync(name, args[0])
                if self._is_refused(name):
                    assert self.refusal is not None
                    self.refused.append(name)
                    raise OSError(self.refusal.number, os.strerror(self.refusal.number))
            return call(*args, **kwargs)

        return watched

    def _watched_archive(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        return self._watched(f"archive's {name}", call)

    def _counts(self, name: str) -> bool:
        refusal = self.refusal
        if refusal is None or name not in refusal.calls:
            return False
        return refusal.after is None or refusal.after in self.log

    def _is_refused(self, name: str) -> bool:
        refusal = self.refusal
        if refusal is None or not self._counts(name):
            return False
        return self._seen == refusal.at or (refusal.for_good and self._seen > refusal.at)

    def _note_sync(self, name: str, fd: int) -> None:
        status = os.fstat(fd)
        which = (status.st_dev, status.st_ino)
        everything = name == "sync_filesystem"
        if which in self._not_synced or (everything and self._not_synced):
            self.synced_again += 1
        if self._is_refused(name):
            self._not_synced.add(which)


@dataclass(frozen=True)
class Scene:
    """A server, a destination as it was mirrored earlier, and one as it is to become.

    Attributes:
        server: The server.
        client: A client of it.
        place: A folder for what the cases make.
        before: The destination to begin with.
        after: The destination to end with.
        whole: By task, the trees that it may have.
    """

    server: SimulatedServer
    client: ac.CvatClient
    place: Path
    before: Path
    after: Path
    whole: dict[int, list[Tree]]

    def fresh(self) -> Path:
        """A destination to begin a case with."""
        dest = self.place / "case"
        shutil.rmtree(dest, ignore_errors=True)
        return shutil.copytree(self.before, dest, copy_function=shutil.copy2)

    async def mirror(self, dest: Path, *, keep_archive: bool = False) -> ac.RunReport:
        """Bring a destination up to date."""
        options = replace(AFTER, keep_archive=keep_archive)
        return await ac.mirror(self.client, dest, spec=SPEC, options=options)

    def check_whole(self, dest: Path) -> None:
        """Every folder is one whole version, and no task that is at the server was lost."""
        folders = read_folders(dest)
        for name, tree in folders.items():
            assert tree in self.whole[_task_of(name)], f"{name} is no whole version: {sorted(tree)}"
        left = set(map(_task_of, folders))
        assert left >= {1, 2, 3}, f"only {sorted(left)} are left"

    def check_archives(self, dest: Path) -> list[int]:
        """Every archive that is kept is a whole version; tells of which tasks."""
        archives = list((dest / ".asynccvat/archives").glob("*"))
        for path in archives:
            with zipfile.ZipFile(path) as archive:
                tree = {name: archive.read(name) for name in archive.namelist()}
            assert tree in self.whole[int(path.stem)], path.name
        return sorted(int(path.stem) for path in archives)

    async def check_next_run(self, dest: Path, *, keep_archive: bool = False) -> None:
        """The next run, which nothing disturbs, ends as if nothing had ever happened."""
        report = await self.mirror(dest, keep_archive=keep_archive)
        assert report.ok, report.to_json()
        check_end(dest, self.after)
        assert self.check_archives(dest) == ([2, 5] if keep_archive else [])


def open_below(place: Path) -> list[str]:
    """What this process holds open below a folder."""
    found = []
    for handle in Path("/proc/self/fd").iterdir():
        try:
            path = handle.readlink()
        except OSError:
            continue  # it was the handle of this very listing
        if path.is_relative_to(place):
            found.append(str(path))
    return found


def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look at the server at once, which takes no time, and wait for no company to commit in."""
    monkeypatch.setattr(group_commit, "GROUP_SECONDS", 0.001)
    monkeypatch.setattr(intervals, "SHORTEST_INTERVAL", 0.004)
    monkeypatch.setattr(intervals, "SHORTEST_PAUSE", 0.002)
    monkeypatch.setattr(intervals, "FIRST_POLL", 0.002)
    monkeypatch.setattr(RetryPolicy, "backoff", lambda _self, _attempt, _jitter: 0.0)


@asynccontextmanager
async def scene(place: Path) -> AsyncIterator[Scene]:
    """Tasks 1 to 4 were mirrored; since then 2 was edited, 4 deleted, and 5 added."""
    async with (
        SimulatedServer(SimulatorOptions(tasks=4, frames=2, frame_bytes=70_000)) as server,
        ac.CvatClient(server.url, token=server.token) as client,
    ):
        before, after = place / "before", place / "after"
        for task_ids, options in (((2,), NEW_PREFIX), ((1, 3, 4), BEFORE)):
            wanted = ac.Selection(task_ids=task_ids)
            report = await ac.mirror(client, before, wanted, SPEC, options=options)
            assert report.ok, report.to_json()
        server.edit_task(2)
        server.add_task(frames=2)
        server.delete_task(4)
        shutil.copytree(before, after, copy_function=shutil.copy2)
        report = await ac.mirror(client, after, spec=SPEC, options=AFTER)
        assert report.ok, report.to_json()
        yield Scene(server, client, place, before, after, _by_task(before, after))


def _by_task(*places: Path) -> dict[int, list[Tree]]:
    versions: dict[int, list[Tree]] = {}
    for place in places:
        folders: Version = read_folders(place)
        for name, tree in folders.items():
            versions.setdefault(_task_of(name), []).append(tree)
    return versions


def _task_of(folder: str) -> int:
    return int(folder.removeprefix("task").removeprefix("t"))
