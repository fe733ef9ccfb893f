"""Links, second names, pipes and devices planted anywhere in a destination before a run.

Whatever has the name of a file or folder of ours, nothing behind it changes and no call blocks on a
pipe. The store works, or its error names the obstacle.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import socket
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest
from destinations import open_store, put, put_loose, read_tree

from asynccvat.commands.verify.run import verify
from asynccvat.errors import AsyncCvatError
from asynccvat.fs import files
from asynccvat.store import LooseFolder, MirrorStore

pytestmark = pytest.mark.proof("Hostile archives and destinations")

OLD = {"images/a.txt": b"one", "b.txt": b"two"}
NEW = {"images/a.txt": b"three", "b.txt": b"four"}

OWN = (
    "",
    "staging",
    "receipts",
    "kept",
    "archives",
    "lock",
    "lock.held",
    "verify.journal",
    "verify.journal.part",
    "destination.json",
    "destination.json.part",
    "receipts/1.json",
    "receipts/1.json.part",
    "receipts/2.json",
    "archives/1.zip",
    "archives/1.zip.part",
    "staging/1",
    "staging/1/tree",
    "staging/1/tree/images",
    "staging/1/receipt.json",
    "staging/1/receipt.json.part",
    "staging/1/old.json",
    "staging/1/old",
    "staging/1/previous-1",
    "staging/9",
)
PLACES = [
    *(f".asynccvat/{name}".rstrip("/") for name in OWN),
    "task1",
    "task1/images",
    "task1/images/a.txt",
    "task1/b.txt",
    "task2",
]
LOOSE_PLACES = [
    "task1",
    "task1/images",
    ".task1.asynccvat",
    ".task1.asynccvat/lock",
    ".task1.asynccvat/staging",
    ".task1.asynccvat/staging/tree",
    ".task1.asynccvat/staging/tree/images",
    ".task1.asynccvat/staging/previous-1",
]


def _device(place: Path, _outside: Path) -> None:
    os.mknod(place, 0o20666, os.makedev(1, 3))


def _socket(place: Path, outside: Path) -> None:
    with socket.socket(socket.AF_UNIX) as one:
        one.bind(str(outside.parent / "socket"))
    (outside.parent / "socket").rename(place)


KINDS: dict[str, Callable[[Path, Path], object]] = {
    "a link to a folder": lambda place, outside: place.symlink_to(outside),
    "a link to a file": lambda place, outside: place.symlink_to(outside / "b.txt"),
    "a link to nothing": lambda place, outside: place.symlink_to(outside / "nothing"),
    "a link to itself": lambda place, _: place.symlink_to(place),
    "a second name of a file": lambda place, outside: place.hardlink_to(outside / "b.txt"),
    "a pipe": lambda place, _: os.mkfifo(place),
    "a socket": _socket,
    "a device": _device,
    "a file": lambda place, _: place.write_bytes(b"{}"),
    "a folder": lambda place, outside: shutil.copytree(outside / "tree", place),
}


ORDINARY = {"a link to a folder", "a second name of a file", "a pipe"}
EVERY_KIND = [
    kind if kind in ORDINARY else pytest.param(kind, marks=pytest.mark.thorough) for kind in KINDS
]


@pytest.fixture(autouse=True)
def undurable(monkeypatch: pytest.MonkeyPatch) -> None:
    """Do without syncs: power cuts are tested elsewhere."""
    for name in ("fsync", "sync_filesystem"):
        monkeypatch.setattr(files, name, lambda _fd: None)


def plant(kind: str, place: Path, outside: Path) -> bool:
    """Put something in the place of whatever is there."""
    if place.is_dir():
        shutil.rmtree(place)
    place.unlink(missing_ok=True)
    place.parent.mkdir(parents=True, exist_ok=True)
    try:
        KINDS[kind](place, outside)
    except PermissionError:
        return False  # devices are for the superuser to make
    return True


def contents(outside: Path) -> dict[str, tuple[int, int, int, bytes | None]]:
    """Everything about the files outside, except how many names they have."""
    return {
        path.relative_to(outside).as_posix(): (
            path.stat().st_ino,
            path.stat().st_mode,
            path.stat().st_mtime_ns,
            path.read_bytes() if path.is_file() else None,
        )
        for path in [outside, *outside.rglob("*")]
    }


def make_outside(folder: Path) -> Path:
    """A folder that looks like every folder of a destination."""
    outside = folder / "outside"
    for path in ("images/a.txt", "b.txt", "1.json", "1.zip.part", "tree/images/a.txt", "lock"):
        (outside / path).parent.mkdir(parents=True, exist_ok=True)
        (outside / path).write_bytes(OLD.get(path, b"alive"))
    return outside


async def use(store: MirrorStore) -> None:
    """Do all that a run does; a failure does not stop what follows."""

    async def archives() -> None:
        archive = await store.archives.begin(1)
        os.close(archive.create())
        await store.archives.publish(1)

    async def remove() -> None:
        await store.remove((await store.receipts())[1])

    heads = await store.receipts()
    await store.folder_states(heads.values())
    for step in (
        lambda: put(store, 1, NEW, updated="v2"),
        lambda: put(store, 2, NEW, adopt=True),
        archives,
        lambda: store.sweep({1, 2}),
        remove,
    ):
        try:
            await step()
        except (AsyncCvatError, KeyError):
            continue


async def mirror(dest: Path) -> None:
    async with open_store(dest) as store:
        await use(store)


@pytest.fixture
def outside(tmp_path: Path) -> Iterator[Path]:
    """What must be the same after the test as before."""
    folder = make_outside(tmp_path)
    before = contents(folder)
    yield folder
    assert contents(folder) == before


@pytest.mark.parametrize("work", [mirror, verify], ids=["mirror", "verification"])
@pytest.mark.parametrize("kind", EVERY_KIND)
def test_what_is_planted_in_a_mirror_leads_nowhere(
    tmp_path: Path,
    outside: Path,
    count_cases: Callable[[int], None],
    *,
    kind: str,
    work: Callable[[Path], Coroutine[Any, Any, object]],
) -> None:
    prepared = tmp_path / "prepared"

    async def prepare() -> None:
        async with open_store(prepared) as store:
            await put(store, 1, OLD)
            await store.stage(3)

    asyncio.run(prepare())
    before = contents(outside)
    for number, name in enumerate(PLACES):
        dest = tmp_path / f"dest{number}"
        shutil.copytree(prepared, dest)
        if not plant(kind, dest / name, outside):
            pytest.skip("only the superuser can make devices")
        with contextlib.suppress(AsyncCvatError):
            asyncio.run(work(dest))
        assert contents(outside) == before, name
    count_cases(len(PLACES))


@pytest.mark.parametrize("kind", EVERY_KIND)
def test_what_is_planted_where_a_download_goes_leads_nowhere(
    tmp_path: Path, outside: Path, count_cases: Callable[[int], None], kind: str
) -> None:
    async def download(path: Path) -> None:
        async with LooseFolder.open(path, replace=True) as folder:
            await put_loose(folder, NEW)

    before = contents(outside)
    for number, name in enumerate(LOOSE_PLACES):
        place = tmp_path / f"place{number}"
        place.mkdir()
        if not plant(kind, place / name, outside):
            pytest.skip("only the superuser can make devices")
        with contextlib.suppress(AsyncCvatError):
            asyncio.run(download(place / "task1"))
            assert read_tree(place / "task1") == NEW
            assert not (place / "task1").is_symlink()
        assert contents(outside) == before, name
    count_cases(len(LOOSE_PLACES))
