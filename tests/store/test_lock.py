"""One writer at a time, in one process or several, with flock and without."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from destinations import Disk, failing, listing, open_store, put, read_tree

from asynccvat.errors import StoreError, StoreLockedError
from asynccvat.fs import files
from asynccvat.store import lock, lock_owner
from asynccvat.store.lock import EXCLUSIVE_NAME, LOCK_NAME, Lock, acquire
from asynccvat.store.lock_owner import LockOwner

HOLDER = """
import sys
from pathlib import Path
from asynccvat.fs import files
from asynccvat.store.lock import acquire
held = acquire(files.open_directory(Path(sys.argv[1])), Path(sys.argv[1]))
print("held", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[int]:
    fd = files.open_directory(tmp_path)
    yield fd
    os.close(fd)


@pytest.fixture
def without_flock(monkeypatch: pytest.MonkeyPatch) -> None:
    def unsupported(_fd: int, _operation: int) -> None:
        raise OSError(errno.ENOLCK, "no locks available")

    monkeypatch.setattr(fcntl, "flock", unsupported)


def write_owner(tmp_path: Path, **changes: object) -> None:
    ours = msgspec.structs.asdict(lock_owner.ourselves()) | changes
    (tmp_path / EXCLUSIVE_NAME).write_bytes(msgspec.json.encode(ours))


def test_a_second_process_is_told_who_holds_the_lock_and_since_when(
    tmp_path: Path, folder: int
) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(StoreLockedError, match=rf"process {holder.pid} on .* since 20") as told:
            acquire(folder, tmp_path)
        assert str(tmp_path) in str(told.value)
        assert "use --break-lock if" in str(told.value)
        holder.kill()
        holder.communicate()
    # Its death frees the lock, though its text still stands there.
    acquire(folder, tmp_path).release()


@pytest.mark.anyio
async def test_two_mirrors_in_one_process_exclude_each_other(tmp_path: Path) -> None:
    async with open_store(tmp_path):
        with pytest.raises(StoreLockedError, match=r"this very process .* other run") as told:
            async with open_store(tmp_path):
                pass
        assert "--break-lock" not in str(told.value), "that would break what is at work here"
    async with open_store(tmp_path) as store:
        await put(store, 1, {"a": b"1"})
    assert read_tree(tmp_path / "task1") == {"a": b"1"}


@pytest.mark.usefixtures("without_flock")
@pytest.mark.anyio
async def test_they_do_so_without_flock_too(tmp_path: Path) -> None:
    async with open_store(tmp_path) as store:
        with pytest.raises(StoreLockedError, match=r"last sign of life \d+ s ago"):
            async with open_store(tmp_path):
                pass
        await put(store, 1, {"a": b"1"})
    assert listing(tmp_path / ".asynccvat") == [
        ".gitignore",
        "destination.json",
        "kept",
        "receipts",
        "staging",
    ]
    async with open_store(tmp_path):
        pass


@pytest.mark.anyio
async def test_a_process_without_the_lock_writes_nothing(tmp_path: Path) -> None:
    """Not even a draft of a file that another process may be writing."""
    own = tmp_path / ".asynccvat"
    async with open_store(tmp_path):
        (own / ".gitignore").rename(own / ".gitignore.part")
        before = listing(own)
        with pytest.raises(StoreLockedError, match=f"this very process {os.getpid()}"):
            async with open_store(tmp_path):
                pass
        assert listing(own) == before


@pytest.mark.usefixtures("without_flock")
def test_a_folder_that_is_removed_meanwhile_ends_the_search_for_an_owner(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = tmp_path / "own"
    own.mkdir()
    real = files.unlink

    def unlink(name: str, *, dir_fd: int) -> None:
        real(name, dir_fd=dir_fd)
        if name == LOCK_NAME:
            own.rmdir()

    monkeypatch.setattr(files, "unlink", unlink)
    fd = files.open_directory(own)
    try:
        with pytest.raises(FileNotFoundError):
            acquire(fd, own)
    finally:
        os.close(fd)


def test_a_lock_can_be_broken_and_its_owner_finds_out(tmp_path: Path, folder: int) -> None:
    held = acquire(folder, tmp_path)
    held.verify()
    taken = acquire(folder, tmp_path, break_lock=True)
    taken.verify()
    with pytest.raises(StoreLockedError, match=rf"taken over by process {os.getpid()}"):
        held.verify()
    held.release(remove=True)
    taken.verify()
    taken.release(remove=True)
    assert listing(tmp_path) == []


@pytest.mark.usefixtures("without_flock")
def test_a_lock_file_names_its_owner_from_the_start(
    tmp_path: Path, folder: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A kill after any call leaves no lock without an owner, as it could never be taken over."""
    seen: list[bytes] = []
    for name in ("open_for_writing", "write", "link"):
        effect = getattr(files, name)

        def watched(*args: Any, effect: Callable[..., Any] = effect, **kwargs: Any) -> Any:
            result = effect(*args, **kwargs)
            with contextlib.suppress(FileNotFoundError):
                seen.append((tmp_path / EXCLUSIVE_NAME).read_bytes())
            return result

        monkeypatch.setattr(files, name, watched)
    acquire(folder, tmp_path).release()
    assert [msgspec.json.decode(text, type=LockOwner).pid for text in seen] == [os.getpid()]
    assert listing(tmp_path) == []


@pytest.mark.usefixtures("without_flock")
def test_where_nothing_can_be_linked_either_it_is_written_afterwards(
    tmp_path: Path, folder: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = Disk(monkeypatch)
    disk.fail["link"] = failing(errno.EPERM)
    held = acquire(folder, tmp_path)
    assert listing(tmp_path) == [EXCLUSIVE_NAME]
    with pytest.raises(StoreLockedError, match="this very process"):
        acquire(folder, tmp_path)
    held.release()
    assert listing(tmp_path) == []
    writes = iter([None, OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))])
    disk.fail["write"] = lambda *_, **__: next(writes)
    with pytest.raises(OSError, match="No space"):
        acquire(folder, tmp_path)
    assert listing(tmp_path) == []


def test_a_lock_file_that_was_removed_is_no_lock(tmp_path: Path, folder: int) -> None:
    held = acquire(folder, tmp_path)
    (tmp_path / LOCK_NAME).unlink()
    with pytest.raises(StoreLockedError, match="was taken over, so this run stops"):
        held.verify()
    held.release()


def test_a_file_removed_between_opening_and_locking_is_made_again(
    tmp_path: Path, folder: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = fcntl.flock
    calls: list[int] = []

    def removed_first(fd: int, operation: int) -> None:
        if not calls:
            (tmp_path / LOCK_NAME).unlink()
        calls.append(fd)
        real(fd, operation)

    monkeypatch.setattr(fcntl, "flock", removed_first)
    held = acquire(folder, tmp_path)
    held.verify()
    held.release()
    assert len(calls) == 2


@pytest.mark.usefixtures("without_flock")
def test_a_dead_owner_on_this_host_is_succeeded(tmp_path: Path, folder: int) -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as ended:
        ended.wait()
    write_owner(tmp_path, pid=ended.pid)
    held = acquire(folder, tmp_path)
    held.verify()
    held.release()
    assert not (tmp_path / EXCLUSIVE_NAME).exists()


@pytest.mark.usefixtures("without_flock")
def test_a_later_process_of_the_same_number_is_not_taken_for_the_owner(
    tmp_path: Path, folder: int
) -> None:
    if lock_owner._process_start(os.getpid()) is None:
        pytest.skip("this system does not tell when a process began")
    write_owner(tmp_path, process_start="another boot 1")
    acquire(folder, tmp_path).release()


@pytest.mark.usefixtures("without_flock")
@pytest.mark.parametrize("change", [{"host": "elsewhere"}, {}, {"process_start": None}])
def test_an_owner_elsewhere_or_alive_is_not_succeeded_but_by_force(
    tmp_path: Path, folder: int, change: dict[str, object]
) -> None:
    write_owner(tmp_path, **change)
    with pytest.raises(StoreLockedError, match=r"is being written by (this very )?process"):
        acquire(folder, tmp_path)
    acquire(folder, tmp_path, break_lock=True).release()


@pytest.mark.usefixtures("without_flock")
def test_an_owner_that_runs_as_another_user_is_alive(
    tmp_path: Path, folder: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def not_permitted(_pid: int, _signal: int) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "kill", not_permitted)
    write_owner(tmp_path)
    with pytest.raises(StoreLockedError):
        acquire(folder, tmp_path)


@pytest.mark.usefixtures("without_flock")
@pytest.mark.parametrize("content", [b"", b'{"host": "\xff"}'])
def test_a_lock_that_names_nobody_is_not_succeeded(
    tmp_path: Path, folder: int, monkeypatch: pytest.MonkeyPatch, content: bytes
) -> None:
    (tmp_path / EXCLUSIVE_NAME).write_bytes(content)
    monkeypatch.setattr(lock, "_BETWEEN_LOOKS", 0.0)
    with pytest.raises(StoreLockedError, match="by another process"):
        acquire(folder, tmp_path)


def test_who_has_just_taken_a_lock_is_told_though_its_text_is_still_another_s(
    tmp_path: Path, folder: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It holds the lock before it has written its text; until then the text is a dead owner's."""
    held = acquire(folder, tmp_path)
    text = (tmp_path / LOCK_NAME).read_bytes()
    dead = msgspec.structs.asdict(lock_owner.ourselves()) | {"process_start": "another boot 1"}
    if lock_owner._process_start(os.getpid()) is None:
        pytest.skip("this system does not tell when a process began")
    texts = [msgspec.json.encode(dead), b"", text]
    waits: list[float] = []

    def look(_name: str, *, dir_fd: int) -> bytes:
        assert dir_fd == folder
        return texts[min(len(waits), 2)]

    monkeypatch.setattr(files, "read_file", look)
    monkeypatch.setattr(time, "sleep", waits.append)
    with pytest.raises(StoreLockedError, match=f"this very process {os.getpid()}, since 20"):
        acquire(folder, tmp_path)
    assert len(waits) == 2
    texts[2] = texts[0]
    with pytest.raises(StoreLockedError, match="written by another process"):
        acquire(folder, tmp_path)
    held.release()


@pytest.mark.usefixtures("without_flock")
def test_the_heart_beats_while_the_lock_is_held(
    tmp_path: Path, folder: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    beaten = threading.Event()
    real = files.touch

    def touch(fd: int) -> None:
        real(fd)
        beaten.set()

    monkeypatch.setattr(lock, "HEARTBEAT_SECONDS", 0.001)
    monkeypatch.setattr(files, "touch", touch)
    held = acquire(folder, tmp_path)
    os.utime(tmp_path / EXCLUSIVE_NAME, (0, 0))
    beaten.clear()
    assert beaten.wait(30)
    held.release()
    assert "asynccvat-heartbeat" not in [thread.name for thread in threading.enumerate()]


def test_a_heartbeat_that_fails_ends_no_run(
    tmp_path: Path, folder: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    failed = threading.Event()

    def touch(_fd: int) -> None:
        failed.set()
        raise OSError(errno.ESTALE, "stale file handle")

    monkeypatch.setattr(lock, "HEARTBEAT_SECONDS", 0.001)
    monkeypatch.setattr(files, "touch", touch)
    fd = files.open_for_writing(EXCLUSIVE_NAME, dir_fd=folder)
    held = Lock(folder, tmp_path, fd, name=EXCLUSIVE_NAME)
    assert failed.wait(30)
    held.verify()
    held.release()


@pytest.mark.parametrize("flock", [True, False])
def test_a_lock_that_cannot_be_written_leaks_nothing(
    tmp_path: Path,
    folder: int,
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
    *,
    flock: bool,
) -> None:
    if not flock:
        request.getfixturevalue("without_flock")
    disk = Disk(monkeypatch)
    disk.fail["write"] = failing(errno.ENOSPC)
    before = len(listing(Path("/dev/fd")))
    with pytest.raises(OSError, match="No space"):
        acquire(folder, tmp_path)
    assert len(listing(Path("/dev/fd"))) == before
    # Once there is room again, the lock has no owner.
    disk.fail.clear()
    acquire(folder, tmp_path).release()


def test_a_link_planted_for_the_lock_is_refused(tmp_path: Path, folder: int) -> None:
    (tmp_path / LOCK_NAME).symlink_to(tmp_path / "target")
    with pytest.raises(OSError, match="symbolic links"):
        acquire(folder, tmp_path)
    assert not (tmp_path / "target").exists()


def test_the_text_is_for_people_and_for_proof_of_death(tmp_path: Path, folder: int) -> None:
    held = acquire(folder, tmp_path)
    owner = msgspec.json.decode((tmp_path / LOCK_NAME).read_bytes(), type=LockOwner)
    held.release()
    assert owner.pid == os.getpid()
    assert owner.since.endswith("Z")


@pytest.mark.anyio
async def test_on_windows_the_store_points_to_wsl(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "platform", "win32")
    with pytest.raises(Exception, match="WSL") as refused:
        async with open_store(tmp_path):
            pass
    assert not isinstance(refused.value, StoreError)


def test_a_lock_with_a_second_name_elsewhere_is_replaced_not_written_to(
    tmp_path: Path, folder: int
) -> None:
    """A backup of hard links gives it one, or an attacker who wants another file overwritten."""
    other = tmp_path / "other"
    other.write_bytes(b"theirs")
    (tmp_path / LOCK_NAME).hardlink_to(other)

    lock = acquire(folder, tmp_path)

    assert other.read_bytes() == b"theirs"
    assert other.stat().st_ino != (tmp_path / LOCK_NAME).stat().st_ino
    lock.verify()
    with pytest.raises(StoreLockedError):
        acquire(folder, tmp_path)
    lock.release()


def test_a_lock_with_a_second_name_that_somebody_holds_is_left_alone(
    tmp_path: Path, folder: int
) -> None:
    lock = acquire(folder, tmp_path)
    (tmp_path / "backup").hardlink_to(tmp_path / LOCK_NAME)

    with pytest.raises(StoreLockedError):
        acquire(folder, tmp_path)

    lock.verify()
    lock.release()


def test_a_pipe_planted_for_the_lock_is_replaced(tmp_path: Path, folder: int) -> None:
    os.mkfifo(tmp_path / LOCK_NAME)
    lock = acquire(folder, tmp_path)
    assert (tmp_path / LOCK_NAME).is_file()
    lock.verify()
    lock.release()
