"""Destinations to test with: trees, receipts, and a disk that fails or dies at a chosen effect."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any
from zlib import crc32

import pytest

from asynccvat.core.records.receipts import MemberRecord, Receipt, ReceiptHead
from asynccvat.fs import files
from asynccvat.store import Committed, LooseFolder, MirrorStore, Staging

ORIGIN = "https://cvat.example.com"

Tree = Mapping[str, bytes]


class Crash(BaseException):
    """The process dies."""


class Disk:
    """Counts effects, and fails at one, or dies at one and stays dead.

    Attributes:
        log: The effects so far, by name and first argument.
        crash_at: The number of the effect that the process dies before, from 1.
        fail: By effect, a function of its arguments that returns the error to raise.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.log: list[tuple[str, Any]] = []
        self.crash_at: int | None = None
        self.dead = False
        self.fail: dict[str, Callable[..., OSError | None]] = {}
        # A process that dies loses nothing that it wrote: only a power cut tells the difference,
        # and the tests would wait for the drive.
        for name in ("fsync", "sync_filesystem"):
            monkeypatch.setattr(files, name, lambda _fd: None)
        for name in files.EFFECTS:
            monkeypatch.setattr(files, name, self._watched(name, getattr(files, name)))

    def _watched(self, name: str, effect: Callable[..., Any]) -> Callable[..., Any]:
        def watched(*args: Any, **kwargs: Any) -> Any:
            self.log.append((name, args[0]))
            if self.dead or len(self.log) == self.crash_at:
                self.dead = True
                raise Crash(f"before effect {len(self.log)}: {name}")
            error = self.fail.get(name, lambda *_, **__: None)(*args, **kwargs)
            if error is not None:
                raise error
            return effect(*args, **kwargs)

        return watched

    def revive(self, *, crash_at: int | None = None) -> None:
        """Start counting anew, as a new process."""
        self.log.clear()
        self.dead = False
        self.crash_at = crash_at
        self.fail.clear()

    def names(self) -> list[str]:
        return [name for name, _ in self.log]


def failing(number: int, name: str | None = None) -> Callable[..., OSError]:
    """Fail every call, or those whose first argument is `name`."""

    def decide(*args: Any, **_: Any) -> OSError | None:
        if name is None or args[0] == name:
            return OSError(number, os.strerror(number))
        return None

    return decide  # type: ignore[return-value]  # None where the call is to go through


def ignore_case(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let folders be found by names in another case, as on macOS."""

    def found(path: str, dir_fd: int) -> str:
        way = "."
        for name in path.split("/"):
            try:
                fd = os.open(way, os.O_RDONLY, dir_fd=dir_fd)
            except OSError:
                return path
            try:
                names = [entry.name for entry in files.scan(fd)]
            except NotADirectoryError:
                return path
            finally:
                os.close(fd)
            same = (other for other in names if other.casefold() == name.casefold())
            way += f"/{name if name in names else next(same, name)}"
        return way.removeprefix("./")

    def by_found(effect: Callable[..., Any]) -> Callable[..., Any]:
        return lambda name, *, dir_fd: effect(found(name, dir_fd), dir_fd=dir_fd)

    for one in ("lstat", "open_folder", "mkdir", "rmdir"):
        monkeypatch.setattr(files, one, by_found(getattr(files, one)))
    rename = files.rename

    def renamed(name: str, new_name: str, *, dir_fd: int, new_dir_fd: int) -> None:
        name, there = found(name, dir_fd), found(new_name, new_dir_fd)
        is_itself = name == there and os.path.sameopenfile(dir_fd, new_dir_fd)
        rename(name, new_name if is_itself else there, dir_fd=dir_fd, new_dir_fd=new_dir_fd)

    exchange = files.exchange

    def exchanged(name: str, new_name: str, *, dir_fd: int, new_dir_fd: int) -> None:
        there = found(new_name, new_dir_fd)
        exchange(found(name, dir_fd), there, dir_fd=dir_fd, new_dir_fd=new_dir_fd)

    monkeypatch.setattr(files, "rename", renamed)
    monkeypatch.setattr(files, "exchange", exchanged)


def open_store(dest: Path, **options: Any) -> AbstractAsyncContextManager[MirrorStore]:
    return MirrorStore.open(dest, **({"origin": ORIGIN, "organization": None} | options))


def fill(staging: Staging, tree: Tree) -> tuple[MemberRecord, ...]:
    """Write a tree into staging, as the extractor does."""
    members = []
    for path, content in tree.items():
        file = staging.tree / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
        members.append(MemberRecord(path, len(content), crc32(content), file.stat().st_mtime_ns))
    return tuple(members)


def receipt_of(
    task_id: int,
    members: tuple[MemberRecord, ...],
    *,
    folder: str | None = None,
    updated: str = "v1",
    **changes: Any,
) -> Receipt:
    head: dict[str, Any] = {
        "task_id": task_id,
        "task_name": f"name of {task_id}",
        "folder": folder or f"task{task_id}",
        "format": "COCO 1.0",
        "images": True,
        "updated_date": updated,
        "origin": ORIGIN,
        "digest": "0" * 8,
        "files": len(members),
        "bytes": sum(member.size for member in members),
        "requested_at": "2026-01-01T00:00:00Z",
        "committed_at": "2026-01-01T00:00:01Z",
    }
    return Receipt(ReceiptHead(**(head | changes)), members)


async def put(
    store: MirrorStore,
    task_id: int,
    tree: Tree,
    *,
    folder: str | None = None,
    updated: str = "v1",
    adopt: bool = False,
) -> Committed:
    """Stage and commit a task."""
    staging = await store.stage(task_id)
    receipt = receipt_of(task_id, fill(staging, tree), folder=folder, updated=updated)
    return await store.commit(staging, receipt, adopt=adopt)


async def put_loose(folder: LooseFolder, tree: Tree) -> Committed:
    """Stage and commit a download."""
    staging = await folder.stage(1)
    return await folder.commit(staging, receipt_of(1, fill(staging, tree)))


def read_tree(folder: Path) -> dict[str, bytes] | None:
    """Return what a folder holds; None if there is none."""
    if not folder.is_dir():
        return None
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not path.is_symlink()
    }


def listing(folder: Path) -> list[str]:
    """The names in a folder, in order."""
    return sorted(path.name for path in folder.iterdir())


def staged(dest: Path) -> list[str]:
    return listing(dest / ".asynccvat/staging")


def kept(dest: Path) -> list[dict[str, bytes] | None]:
    return [read_tree(path) for path in sorted((dest / ".asynccvat/kept").iterdir())]
