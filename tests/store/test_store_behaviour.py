"""What a destination does with tasks: commit, update, move, remove, stage, sweep, adopt."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import shutil
import socket
import stat
import threading
import time
import unicodedata
from pathlib import Path
from typing import Any

import anyio
import pytest
from destinations import (
    ORIGIN,
    Crash,
    Disk,
    failing,
    fill,
    kept,
    listing,
    open_store,
    put,
    read_tree,
    receipt_of,
    staged,
)
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from asynccvat.core.plans.mirror import FolderState
from asynccvat.core.records.receipts import Receipt
from asynccvat.core.specs import ExportSpec
from asynccvat.errors import (
    ConfigError,
    DiskFullError,
    DriveError,
    ForeignFolderError,
    StoreError,
    StoreLockedError,
)
from asynccvat.fs import files, system_calls
from asynccvat.store import MirrorStore, chunks
from asynccvat.store.commits import group_commit, group_run
from asynccvat.store.layout import Layout

pytestmark = pytest.mark.anyio

BIG = b"x" * 100_000


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Disk:
    """The disk, watched."""
    return Disk(monkeypatch)


async def test_a_committed_task_is_its_folder_and_its_receipt(tmp_path: Path) -> None:
    async with open_store(tmp_path) as store:
        committed = await put(store, 7, {"a.txt": b"a", "images/b.jpg": b"b"})
        assert committed.path == tmp_path / "task7"
        assert committed.warnings == ()
        heads = await store.receipts()
        assert list(heads) == [7]
        assert heads[7].folder == "task7"
        assert heads[7].updated_date == "v1"
        members = await store.members(7)
        assert [member.path for member in members] == ["a.txt", "images/b.jpg"]
        assert await store.folder_states(heads.values()) == {7: FolderState.INTACT}
        assert staged(tmp_path) == []
    assert read_tree(tmp_path / "task7") == {"a.txt": b"a", "images/b.jpg": b"b"}


async def test_receipts_of_some_tasks_leave_the_others_unread(tmp_path: Path) -> None:
    async with open_store(tmp_path) as store:
        await put(store, 1, {"a.txt": b"a"})
        await put(store, 2, {"a.txt": b"a"}, folder="other2")
    (tmp_path / ".asynccvat/receipts/3.json").write_bytes(b"damaged")
    async with open_store(tmp_path) as store:
        assert list(await store.receipts({1, 7})) == [1]
        assert store.warnings == []
        # Whose folder stands in the way is told by all receipts.
        (tmp_path / "new").mkdir()
        assert await store.unclaimed(["other2", "new"]) == {"new"}
        assert list(await store.receipts()) == [1, 2]
        assert len(store.warnings) == 1


async def test_receipts_of_some_tasks_are_none_where_there_is_no_destination(
    tmp_path: Path,
) -> None:
    async with open_store(tmp_path / "none", read_only=True) as store:
        assert await store.receipts({1}) == {}
        assert await store.compared() == ({}, {})


async def test_receipts_and_folders_are_compared_in_one_reading(tmp_path: Path) -> None:
    async with open_store(tmp_path) as store:
        for task_id in (1, 2, 3, 4):
            await put(store, task_id, {"a.txt": b"a", "b.txt": b"b"})
        (tmp_path / "task2/a.txt").write_bytes(b"edited")
        (tmp_path / "task2/b.txt").unlink()
        shutil.rmtree(tmp_path / "task3")
        receipts = tmp_path / ".asynccvat/receipts"
        cut = (receipts / "4.json").read_bytes().splitlines(keepends=True)[:2]
        (receipts / "4.json").write_bytes(b"".join(cut))
        (receipts / "5.json").write_bytes(b"damaged")
        (receipts / "6.json").write_bytes((receipts / "1.json").read_bytes())
        heads, changed = await store.compared()
        assert heads == {1: heads[1], 2: heads[2], 3: heads[3], 4: heads[4]}
        assert changed == {
            2: (("a.txt", FolderState.EDITED), ("b.txt", FolderState.MISSING)),
            3: (("", FolderState.MISSING),),
            4: (("", FolderState.MISSING),),  # its members are unknown
        }
        assert [name in text for name, text in zip("56", store.warnings, strict=True)] == [True] * 2


async def test_receipts_outlive_the_store_and_a_task_without_files_is_a_task(
    tmp_path: Path,
) -> None:
    async with open_store(tmp_path) as store:
        await put(store, 1, {})
    async with open_store(tmp_path) as store:
        heads = await store.receipts()
        assert await store.folder_states(heads.values()) == {1: FolderState.INTACT}
        assert await store.members(1) == ()
    assert store.warnings == []


async def test_files_and_folders_get_the_modes_of_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        async with open_store(tmp_path / "d") as store:
            await put(store, 1, {"a.txt": b"a"})
    finally:
        os.umask(before)
    modes = {
        path: stat.S_IMODE((tmp_path / "d" / path).stat().st_mode)
        for path in (".asynccvat/receipts/1.json", "task1", ".asynccvat/staging")
    }
    assert modes == {
        ".asynccvat/receipts/1.json": 0o640,
        "task1": 0o750,
        ".asynccvat/staging": 0o750,
    }


async def test_receipts_are_read_by_several_threads_once_the_disk_waited(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    others = threading.Barrier(2)
    opened = files.open_for_reading

    def waiting(name: str, *, dir_fd: int) -> int:
        if name in ("2.json", "3.json"):
            others.wait(timeout=60)  # both are being read now
        return opened(name, dir_fd=dir_fd)

    async with open_store(tmp_path) as store:
        for task_id in range(1, 4):
            await put(store, task_id, {})
        monkeypatch.setattr(chunks, "CHUNK", 1)
        # No processor time passes while the disk is waited for.
        monkeypatch.setattr(time, "thread_time", lambda: 0.0)
        monkeypatch.setattr(files, "open_for_reading", waiting)
        assert sorted(await store.receipts()) == [1, 2, 3]


async def test_many_commits_at_once_share_their_syncs(tmp_path: Path, disk: Disk) -> None:
    async with open_store(tmp_path) as store:
        ready = []
        for task_id in range(1, 151):
            tree = await store.stage(task_id)
            ready.append((tree, receipt_of(task_id, fill(tree, {"a.txt": b"a"}))))
        disk.revive()
        async with anyio.create_task_group() as group:
            for tree, receipt in ready:
                group.start_soon(store.commit, tree, receipt)
        assert len(await store.receipts()) == 150
    syncs = disk.names().count("sync_filesystem")
    if syncs:  # else this file system has no syncfs to trust
        assert syncs == 3 * 3  # three groups, each of three steps to be synced
        # Each intent is on disk before it has its name; nothing else is synced one by one.
        assert disk.names().count("fsync") == 150


async def test_without_syncfs_each_file_and_folder_is_synced(tmp_path: Path, disk: Disk) -> None:
    async with open_store(tmp_path) as store:
        store._layout.can_sync_filesystem = False
        disk.revive()
        await put(store, 1, {f"{number}.txt": b"a" for number in range(20)})
    # 20 files, the tree, the intent; and folders: two, three and three in the three steps.
    assert disk.names().count("sync_filesystem") == 0
    assert disk.names().count("fsync") == 20 + 1 + 1 + 2 + 3 + 3


async def test_not_durable_nothing_is_synced(tmp_path: Path, disk: Disk) -> None:
    async with open_store(tmp_path / "new", durable=False) as store:
        await put(store, 1, {"a.txt": b"a"})
        (tmp_path / "new/task1/mine.txt").write_bytes(b"mine")
        await put(store, 1, {"a.txt": b"b"})
        heads = await store.receipts()
        await store.remove(heads[1])
    assert {"fsync", "sync_filesystem"}.isdisjoint(disk.names())


async def test_the_intent_is_durable_before_the_folder_and_that_before_the_receipt(
    tmp_path: Path, disk: Disk
) -> None:
    async with open_store(tmp_path) as store:
        await put(store, 1, {"a.txt": b"a"})
        tree = await store.stage(1)
        receipt = receipt_of(1, fill(tree, {"a.txt": b"b"}), updated="v2")
        disk.revive()
        await store.commit(tree, receipt)
    order = [
        "sync" if name in ("fsync", "sync_filesystem") else f"{name} {argument}"
        for name, argument in disk.log
        if name in ("fsync", "sync_filesystem", "exchange") or argument in ("receipt.json", "a.txt")
    ]
    order = [step for step, before in zip(order, ["", *order], strict=False) if step != before]
    assert order == [
        "sync",
        "exchange tree",
        "sync",
        "rename receipt.json",
        "sync",
        "unlink a.txt",
    ]


async def test_one_failing_commit_leaves_the_others_of_its_group_alone(
    tmp_path: Path, disk: Disk
) -> None:
    (tmp_path / "task2").mkdir()
    async with open_store(tmp_path) as store:
        ready = {}
        for task_id in (1, 2, 3):
            tree = await store.stage(task_id)
            ready[task_id] = (tree, receipt_of(task_id, fill(tree, {"a.txt": b"a"})))
        ended: dict[int, Exception | None] = {}

        async def commit_one(task_id: int) -> None:
            try:
                await store.commit(*ready[task_id])
            except StoreError as error:
                ended[task_id] = error
            else:
                ended[task_id] = None

        async with anyio.create_task_group() as group:
            for task_id in ready:
                group.start_soon(commit_one, task_id)
        assert ended[1] is None
        assert ended[3] is None
        assert isinstance(ended[2], ForeignFolderError)
        assert ended[2].task_id == 2
        assert "--adopt" in str(ended[2])
        await store.abandon(ready[2][0], keep=False)
        assert sorted(await store.receipts()) == [1, 3]
    assert disk.names().count("exchange") == 0


async def test_a_failed_sync_fails_the_group_and_forgets_the_trees(
    tmp_path: Path, disk: Disk
) -> None:
    async with open_store(tmp_path) as store:
        fill(await store.stage(1), {"big.bin": BIG})
    async with open_store(tmp_path) as store:
        tree = await store.stage(1)
        assert list(tree.reusable) == ["big.bin"]
        receipt = receipt_of(1, fill(tree, {f"{n}.txt": b"a" for n in range(20)}))
        disk.fail["sync_filesystem"] = disk.fail["fsync"] = failing(errno.EIO)
        store._layout.can_sync_filesystem = True
        disk.fail["fsync"] = lambda *_: None  # the intent's own goes well
        with pytest.raises(StoreError, match=r"task 1: cannot make durable .*drive failed"):
            await store.commit(tree, receipt)
        disk.fail.clear()
        assert not tree.tree.exists()
        assert not (tmp_path / "task1").exists()
        # That of the killed run is gone as well: files of it may have been linked into the tree.
        assert listing(tree.tree.parent) == []
        await store.abandon(tree, keep=True)
        assert await store.receipts() == {}
    async with open_store(tmp_path) as store:
        await put(store, 1, {"a.txt": b"a"})
    assert read_tree(tmp_path / "task1") == {"a.txt": b"a"}


@pytest.mark.parametrize("step", [2, 3])
async def test_after_a_sync_that_fails_later_nothing_is_synced_or_cleared_until_the_next_run(
    tmp_path: Path, disk: Disk, step: int
) -> None:
    async with open_store(tmp_path) as store:
        await put(store, 1, {"a.txt": b"a"})
        store._layout.can_sync_filesystem = True
        tree = await store.stage(1)
        receipt = receipt_of(1, fill(tree, {f"{n}.txt": b"b" for n in range(20)}), updated="v2")
        calls = 0

        def fail_at_step(*_: Any) -> OSError | None:
            nonlocal calls
            calls += 1
            return OSError(errno.EIO, "") if calls == step else None

        monkey = pytest.MonkeyPatch()
        monkey.setattr(group_run, "SYNCFS_FROM", 1)
        disk.fail["sync_filesystem"] = fail_at_step
        with pytest.raises(DriveError, match="drive failed"):
            await store.commit(tree, receipt)
        monkey.undo()
        disk.fail.clear()
        disk.log.clear()
        # The drive may have lost what it was given; what was replaced is all that is sure.
        await store.abandon(tree, keep=False)
        with pytest.raises(DriveError, match="drive failed"):
            await store.stage(2)
        assert disk.log == []
        (area,) = (tmp_path / ".asynccvat/staging").iterdir()
        assert read_tree(area / "tree") == {"a.txt": b"a"}
    async with open_store(tmp_path) as store:
        heads = await store.receipts()
        assert heads[1].updated_date == "v2"
        assert await store.folder_states(heads.values()) == {1: FolderState.INTACT}
    assert staged(tmp_path) == []


async def test_edited_and_added_files_are_put_aside_when_their_task_is_replaced(
    tmp_path: Path,
) -> None:
    async with open_store(tmp_path) as store:
        await put(store, 1, {"a.txt": b"old", "b.txt": b"old", "c/d.txt": b"old", "e/f.txt": b""})
        folder = tmp_path / "task1"
        (folder / "a.txt").write_bytes(b"edited")
        (folder / "c/mine.txt").write_bytes(b"added")
        (folder / "link").symlink_to(tmp_path)
        (folder / "e/f.txt").unlink()
        (folder / "e/f.txt").mkdir()
        heads = await store.receipts()
        assert await store.folder_states(heads.values()) == {1: FolderState.EDITED}
        committed = await put(store, 1, {"a.txt": b"new"}, updated="v2")
        assert read_tree(folder) == {"a.txt": b"new"}
        assert kept(tmp_path) == [{"a.txt": b"edited", "c/mine.txt": b"added"}]
        assert len(committed.warnings) == 1
        assert str(tmp_path / ".asynccvat/kept/task1-") in committed.warnings[0]
        put_aside = next((tmp_path / ".asynccvat/kept").iterdir())
        assert (put_aside / "link").is_symlink()
        # The same again within the same second finds another name.
        (folder / "a.txt").write_bytes(b"edited again")
        await put(store, 1, {"a.txt": b"newer"}, updated="v3")
    assert {"a.txt": b"edited again"} in kept(tmp_path)


@pytest.mark.parametrize(("content", "later"), [(b"old", 1), (b"longer", 0)])
async def test_another_time_or_another_size_alone_makes_a_file_the_users(
    tmp_path: Path, content: bytes, later: int
) -> None:
    async with open_store(tmp_path) as store:
        await put(store, 1, {"a.txt": b"old"})
        file = tmp_path / "task1/a.txt"
        (member,) = await store.members(1)
        file.write_bytes(content)
        os.utime(file, ns=(member.mtime_ns, member.mtime_ns + later))
        heads = await store.receipts()
        assert await store.folder_states(heads.values()) == {1: FolderState.EDITED}
        await put(store, 1, {"a.txt": b"new"}, updated="v2")
    assert kept(tmp_path) == [{"a.txt": content}]


async def test_missing_files_and_folders_are_seen(tmp_path: Path) -> None:
    async with open_store(tmp_path) as store:
        for task_id in range(1, 8):
            await put(store, task_id, {"a/b/c.txt": b"1", "d.txt": b"2"})
        (tmp_path / "task1/d.txt").unlink()
        (tmp_path / "task2").rename(tmp_path / "elsewhere")
        (tmp_path / "task3/a/b/c.txt").unlink()
        (tmp_path / "task3/a/b").rmdir()
        (tmp_path / "task4/a").rename(tmp_path / "task4/other")
        (tmp_path / "task4/a").symlink_to(tmp_path / "task4/other")
        (tmp_path / "task5").rename(tmp_path / "task5.real")
        (tmp_path / "task5").symlink_to(tmp_path / "task5.real")
        (tmp_path / "task6/d.txt").unlink()
        (tmp_path / "task6/d.txt").symlink_to("a/b/c.txt")
        heads = await store.receipts()
        receipt = tmp_path / ".asynccvat/receipts/7.json"
        receipt.write_bytes(receipt.read_bytes().split(b"\n")[0] + b"\n")
        assert await store.folder_states(heads.values()) == {
            1: FolderState.MISSING,
            2: FolderState.MISSING,
            3: FolderState.MISSING,
            4: FolderState.EDITED,
            5: FolderState.MISSING,
            6: FolderState.EDITED,
            7: FolderState.MISSING,  # it is unknown what it should hold
        }
        await put(store, 7, {"d.txt": b"new"}, updated="v2")
        # Without the old members nothing of the old folder is known to be ours.
        assert kept(tmp_path) == [{"a/b/c.txt": b"1", "d.txt": b"2"}]


@pytest.mark.parametrize("number", [errno.EACCES, errno.EIO])
async def test_a_folder_that_cannot_be_looked_at_is_a_warning_and_stops_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    real = files.open_folder

    def closed(name: str, *, dir_fd: int) -> int:
        if name == "task1":
            raise OSError(number, os.strerror(number))
        return real(name, dir_fd=dir_fd)

    async with open_store(tmp_path) as store:
        for task_id in (1, 2):
            await put(store, task_id, {"a.txt": b"1"})
        heads = await store.receipts()
        monkeypatch.setattr(files, "open_folder", closed)
        states = await store.folder_states(heads.values())
    assert states == {1: FolderState.EDITED, 2: FolderState.INTACT}
    (warning,) = store.warnings
    assert warning.startswith(f"task 1: cannot check {str(tmp_path / 'task1')!r}: ")


async def test_out_of_handles_no_folder_counts_as_edited(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def out_of_handles(name: str, *, dir_fd: int) -> int:
        raise OSError(errno.EMFILE, f"{name} in {dir_fd}")

    async with open_store(tmp_path) as store:
        await put(store, 1, {"a.txt": b"1"})
        heads = await store.receipts()
        monkeypatch.setattr(files, "open_folder", out_of_handles)
        with pytest.raises(StoreError, match="ulimit -n"):
            await store.folder_states(heads.values())


async def test_a_damaged_receipt_is_a_warning_and_its_folder_nobodys(tmp_path: Path) -> None:
    async with open_store(tmp_path) as store:
        for task_id in range(1, 6):
            await put(store, task_id, {"a.txt": b"1"})
    receipts = tmp_path / ".asynccvat/receipts"
    (receipts / "1.json").write_bytes(b"\x00" * 300)
    (receipts / "5.json").write_bytes(
        (receipts / "5.json").read_bytes().replace(b"name of", b"name\xffof")
    )
    (receipts / "2.json").write_bytes((receipts / "3.json").read_bytes())
    (receipts / "4.json").write_bytes(
        (receipts / "4.json").read_bytes().replace(b'"folder":"task4"', b'"folder":"../x"')
    )
    (receipts / "notes.txt").write_text("not a receipt")
    async with open_store(tmp_path) as store:
        assert sorted(await store.receipts()) == [3]
        assert [line.split(":")[0] for line in store.warnings] == [
            f"the receipt .asynccvat/receipts/{task_id}.json cannot be used"
            for task_id in (1, 2, 4, 5)
        ]
        names = [f"task{task_id}" for task_id in range(7)]
        assert await store.unclaimed(names) == {"task1", "task2", "task4", "task5"}
        with pytest.raises(ForeignFolderError):
            await put(store, 1, {"a.txt": b"2"})
    async with open_store(tmp_path) as store:
        await put(store, 1, {"a.txt": b"2"}, adopt=True)
        assert read_tree(tmp_path / "task1") == {"a.txt": b"2"}
        assert kept(tmp_path) == [{"a.txt": b"1"}]
        with pytest.raises(StoreError, match="task 6 has no receipt"):
            await store.members(6)


async def test_a_receipt_is_not_called_damaged_for_want_of_file_handles(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_store(tmp_path) as store:
        for task_id in (1, 2):
            await put(store, task_id, {"a.txt": b"1"})
        opened, number = files.open_for_reading, errno.EIO

        def failing(name: str, *, dir_fd: int) -> int:
            if name == "1.json":
                raise OSError(number, os.strerror(number))
            return opened(name, dir_fd=dir_fd)

        monkeypatch.setattr(files, "open_for_reading", failing)
        assert sorted(await store.receipts()) == [2]
        assert "receipts/1.json cannot be used" in store.warnings[0]
        number = errno.EMFILE
        with pytest.raises(StoreError, match="ulimit -n"):
            await store.receipts()


async def test_what_is_wrong_with_one_receipt_is_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_store(tmp_path) as store:
        for task_id in (1, 2):
            await put(store, task_id, {"a.txt": b"1"})
        odd = socket.socket(socket.AF_UNIX)
        with odd, contextlib.chdir(tmp_path / ".asynccvat/receipts"):
            odd.bind("7.json")
        heads = await store.receipts()
        assert sorted(heads) == [1, 2]
        assert "receipts/7.json cannot be used" in store.warnings[0]
        reading = Layout.receipt

        def failing(layout: Layout, task_id: int) -> Receipt:
            if task_id == 1:
                raise OSError(errno.EIO, os.strerror(errno.EIO))
            return reading(layout, task_id)

        monkeypatch.setattr(Layout, "receipt", failing)
        states = await store.folder_states(heads.values())
        assert states == {1: FolderState.EDITED, 2: FolderState.INTACT}
        assert "task 1: cannot check" in store.warnings[1]


async def test_a_receipt_with_a_long_first_line_is_read(tmp_path: Path) -> None:
    async with open_store(tmp_path) as store:
        tree = await store.stage(1)
        receipt = receipt_of(1, fill(tree, {"a": b""}), task_name="n" * 10_000)
        await store.commit(tree, receipt)
        assert (await store.receipts())[1].task_name == "n" * 10_000


async def test_adopting_puts_aside_what_was_there(tmp_path: Path) -> None:
    (tmp_path / "task1").write_bytes(b"a file of the user")
    (tmp_path / "outside").mkdir()
    (tmp_path / "task2").symlink_to(tmp_path / "outside")
    async with open_store(tmp_path) as store:
        assert await store.unclaimed(["task1", "task2", "task3", "../x", ".asynccvat"]) == {
            "task1",
            "task2",
        }
        first = await put(store, 1, {"a.txt": b"1"}, adopt=True)
        await put(store, 2, {"a.txt": b"2"}, adopt=True)
        assert "is now in" in first.warnings[0]
    assert read_tree(tmp_path / "task1") == {"a.txt": b"1"}
    assert read_tree(tmp_path / "task2") == {"a.txt": b"2"}
    assert not (tmp_path / "task2").is_symlink()
    assert read_tree(tmp_path / "outside") == {}
    aside = sorted((tmp_path / ".asynccvat/kept").iterdir())
    assert aside[0].read_bytes() == b"a file of the user"
    assert aside[1].is_symlink()


async def test_a_link_planted_for_a_folder_is_never_followed(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    dest = tmp_path / "dest"
    async with open_store(dest) as store:
        await put(store, 1, {"a/b.txt": b"old"})
        (dest / "task1").rename(outside / "moved")
        (dest / "task1").symlink_to(outside / "moved")
        await put(store, 1, {"a/b.txt": b"new"}, updated="v2")
        assert read_tree(outside / "moved") == {"a/b.txt": b"old"}
        assert read_tree(dest / "task1") == {"a/b.txt": b"new"}
        # A link inside the folder: what it leads to stays as well.
        (dest / "task1/a").rename(outside / "a")
        (dest / "task1/a").symlink_to(outside / "a")
        heads = await store.receipts()
        await store.remove(heads[1])
    assert read_tree(outside / "a") == {"b.txt": b"new"}
    assert not (dest / "task1").exists()


async def test_a_link_planted_in_a_tree_on_its_way_is_not_published(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    async with open_store(tmp_path / "dest") as store:
        staging = await store.stage(1)
        receipt = receipt_of(1, fill(staging, {"a/b/c.txt": b"1", "d.txt": b"2"}))
        # The same files, elsewhere: what they are when they are read is for others to decide.
        shutil.move(staging.tree / "a", outside)
        (staging.tree / "a").symlink_to(outside)
        with pytest.raises(StoreError, match=r"a/b/c\.txt was edited while"):
            await store.commit(staging, receipt)
        await store.abandon(staging, keep=False)
    assert not (tmp_path / "dest/task1").exists()
    assert read_tree(outside) == {"b/c.txt": b"1"}


async def test_a_link_planted_for_the_folder_of_kept_archives_is_not_followed(
    tmp_path: Path,
) -> None:
    (tmp_path / "outside").mkdir()
    archives = tmp_path / "dest/.asynccvat/archives"
    async with open_store(tmp_path / "dest") as store:
        archive = await store.archives.begin(1)
        archives.rmdir()
        archives.symlink_to(tmp_path / "outside")
        with pytest.raises(OSError, match=r"Not a directory|symbolic links"):
            archive.create()
        with pytest.raises(StoreError, match="a file or a link, not a folder"):
            await store.archives.begin(2)
    assert listing(tmp_path / "outside") == []


@pytest.mark.parametrize("name", ["staging", "receipts", "kept", ""])
async def test_a_link_planted_for_our_own_folders_is_refused(tmp_path: Path, name: str) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    own = tmp_path / "dest/.asynccvat"
    place = own / name if name else own
    place.parent.mkdir(parents=True)
    place.symlink_to(outside)
    with pytest.raises(StoreError, match="a file or a link, not a folder"):
        async with open_store(tmp_path / "dest"):
            pass
    assert listing(outside) == []


async def test_a_link_planted_in_staging_is_removed_not_followed(tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/a.txt").write_bytes(b"mine")
    dest = tmp_path / "dest"
    async with open_store(dest) as store:
        (dest / ".asynccvat/staging/5").symlink_to(tmp_path / "outside")
        (dest / ".asynccvat/staging/junk").write_bytes(b"")
        await store.sweep({5})
        assert staged(dest) == []
        (dest / ".asynccvat/staging/6").symlink_to(tmp_path / "outside")
        with pytest.raises(StoreError, match="a file or a link, not a folder"):
            await store.stage(6)
    assert read_tree(tmp_path / "outside") == {"a.txt": b"mine"}


async def test_a_move_keeps_everything_and_renames_the_receipt_with_it(tmp_path: Path) -> None:
    async with open_store(tmp_path) as store:
        await put(store, 1, {"a.txt": b"1"})
        (tmp_path / "task1/mine.txt").write_bytes(b"mine")
        head = (await store.receipts())[1]
        moved = await store.move(head, "job1")
        assert moved.path == tmp_path / "job1"
        heads = await store.receipts()
        assert heads[1].folder == "job1"
        assert await store.folder_states(heads.values()) == {1: FolderState.INTACT}
        assert await store.unclaimed(["job1", "task1"]) == set()
    assert read_tree(tmp_path / "job1") == {"a.txt": b"1", "mine.txt": b"mine"}
    assert not (tmp_path / "task1").exists()
    assert staged(tmp_path) == []


async def test_a_move_onto_anything_is_refused(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    async with open_store(tmp_path) as store:
        await put(store, 1, {"a.txt": b"1"})
        await put(store, 2, {"a.txt": b"2"})
        heads = await store.receipts()
        with pytest.raises(ForeignFolderError, match="--adopt"):
            await store.move(heads[1], "mine")
        with pytest.raises(StoreError, match="is that of task 2"):
            await store.move(heads[1], "task2")
        with pytest.raises(StoreError, match="is that of task 2"):
            await put(store, 3, {"a.txt": b"3"}, folder="task2", adopt=True)
        for name in (
            "../x",
            ".asynccvat",
            "",
            "a//b",
            "a/../b",
            "a/.asynccvat",
            "/".join("a" * 17),
        ):
            with pytest.raises(ConfigError, match="--folder-prefix"):
                await store.move(heads[1], name)
        (tmp_path / "task1").rename(tmp_path / "gone")
        with pytest.raises(StoreError, match=r"is gone\. Run again"):
            await store.move(heads[1], "job1")
    assert read_tree(tmp_path / "task2") == {"a.txt": b"2"}


async def test_a_removal_takes_what_is_ours_and_puts_the_rest_aside(tmp_path: Path) -> None:
    async with open_store(tmp_path) as store:
        await put(store, 1, {"a.txt": b"1", "b/c.txt": b"1"})
        await put(store, 2, {"a.txt": b"2"})
        (tmp_path / "task1/b/mine.txt").write_bytes(b"mine")
        heads = await store.receipts()
        first = await store.remove(heads[1])
        second = await store.remove(heads[2])
        assert len(first.warnings) == 1
        assert second.warnings == ()
        assert await store.receipts() == {}
        assert kept(tmp_path) == [{"b/mine.txt": b"mine"}]
        assert staged(tmp_path) == []
        # Its folder gone already, a removal is only that of the receipt.
        await put(store, 3, {"a.txt": b"3"})
        (tmp_path / "task3").rename(tmp_path / "elsewhere")
        await store.remove((await store.receipts())[3])
        assert await store.receipts() == {}
    assert read_tree(tmp_path / "elsewhere") == {"a.txt": b"3"}


async def test_a_removal_also_takes_what_is_staged_of_its_task(tmp_path: Path) -> None:
    async with open_store(tmp_path) as store:
        await put(store, 1, {"a.txt": b"1"})
        tree = await store.stage(1)
        fill(tree, {"b.txt": b"2"})
        head = (await store.receipts())[1]
        with pytest.raises(StoreError, match="staged already"):
            await store.remove(head)
        store._active.clear()
        removed = await store.remove(head)
        assert removed.warnings == ()
    assert kept(tmp_path) == []
    assert staged(tmp_path) == []


async def test_a_new_folder_name_that_is_taken_is_refused(tmp_path: Path) -> None:
    (tmp_path / "job1").mkdir()
    async with open_store(tmp_path) as store:
        await put(store, 1, {"a.txt": b"1"})
        with pytest.raises(ForeignFolderError):
            await put(store, 1, {"a.txt": b"2"}, folder="job1")
    assert read_tree(tmp_path / "task1") == {"a.txt": b"1"}


async def test_a_name_that_differs_in_case_only_can_be_the_same_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real_lstat, real_exchange = files.lstat, files.exchange

    def folded(name: str) -> str:
        """The name that the folder was made with, as a file system that folds case finds it."""
        made_with = "task1" if (tmp_path / "task1").exists() else "TASK1"
        return made_with if name.lower() == "task1" else name

    def lstat(name: str, *, dir_fd: int) -> os.stat_result | None:
        return real_lstat(folded(name), dir_fd=dir_fd)

    def exchange(name: str, new_name: str, *, dir_fd: int, new_dir_fd: int) -> None:
        real_exchange(name, folded(new_name), dir_fd=dir_fd, new_dir_fd=new_dir_fd)

    monkeypatch.setattr(files, "lstat", lstat)
    monkeypatch.setattr(files, "exchange", exchange)
    async with open_store(tmp_path) as store:
        await put(store, 1, {"a.txt": b"1"})
        await put(store, 1, {"a.txt": b"2"}, folder="TASK1", updated="v2")
        assert read_tree(tmp_path / "task1") == {"a.txt": b"2"}
        head = (await store.receipts())[1]
        assert head.folder == "TASK1"
        await put(store, 1, {"a.txt": b"3"}, folder="task1", updated="v3")
        await store.move((await store.receipts())[1], "TASK1")
    assert listing(tmp_path) == [".asynccvat", "TASK1"]
    assert read_tree(tmp_path / "TASK1") == {"a.txt": b"3"}


async def test_a_new_folder_name_takes_the_old_folder_away(tmp_path: Path) -> None:
    async with open_store(tmp_path) as store:
        await put(store, 1, {"a.txt": b"1"})
        await put(store, 1, {"a.txt": b"2"}, folder="job1", updated="v2")
    assert listing(tmp_path) == [".asynccvat", "job1"]
    assert read_tree(tmp_path / "job1") == {"a.txt": b"2"}


async def test_the_old_folder_has_lost_its_name_durably_before_anything_in_it_goes(
    tmp_path: Path, disk: Disk
) -> None:
    async with open_store(tmp_path) as store:
        await put(store, 1, {"a.txt": b"1", "b.txt": b"2"})
        staging = await store.stage(1)
        receipt = receipt_of(1, fill(staging, {"a.txt": b"1"}), folder="job1")
        disk.revive()
        await store.commit(staging, receipt)
        effects = disk.log[disk.log.index(("rename", "task1")) + 1 :]
    names = [name for name, _ in effects]
    assert names[: names.index("unlink")] == ["fsync", "fsync"]


async def test_the_folder_being_replaced_and_killed_runs_are_offered_for_taking_over(
    tmp_path: Path,
) -> None:
    async with open_store(tmp_path) as store:
        await put(store, 1, {"big.bin": BIG, "small.txt": b"s", "d/big.bin": BIG})
        for _ in range(2):
            killed = await store.stage(1)
            fill(killed, {"d/big.bin": BIG + b"more", "tiny": b""})
            store._active.clear()
        tree = await store.stage(1)
        assert sorted(tree.reusable) == ["big.bin", "d/big.bin", "small.txt", "tiny"]
        assert tree.previous is not None
        assert [one.path for one in tree.previous.members] == ["big.bin", "small.txt", "d/big.bin"]
        head = tree.previous.head
        assert tree.expected(ExportSpec(head.format, images=head.images)) == tree.previous.members
        assert tree.expected(ExportSpec("YOLO 1.1")) == ()
        (source,) = tree.reusable["big.bin"]
        assert source.folder == tmp_path / "task1"
        assert source.size == len(BIG)
        assert source.crc is not None
        _, second, third = tree.reusable["d/big.bin"]
        assert (second.size, second.crc) == (len(BIG) + 4, None)
        with tree.open_source(third, "d/big.bin") as (dir_fd, name), tree.open_tree() as fd:
            files.link(name, "taken.bin", dir_fd=dir_fd, new_dir_fd=fd)
        with tree.open_source(source, "big.bin") as (dir_fd, name):
            assert files.read_file(name, dir_fd=dir_fd) == BIG
        assert read_tree(tree.tree) == {"taken.bin": BIG + b"more"}
        members = fill(tree, {"a.txt": b"2"})
        (tree.tree / "taken.bin").unlink()
        await store.commit(tree, receipt_of(1, members))
    assert read_tree(tmp_path / "task1") == {"a.txt": b"2"}
    assert staged(tmp_path) == []


async def test_only_trees_worth_keeping_and_still_planned_survive_the_sweep(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("asynccvat.store.mirror_store.KEEP_ABOVE", 100)
    async with open_store(tmp_path) as store:
        for task_id, size in ((1, 101), (2, 100), (3, 101)):
            tree = await store.stage(task_id)
            fill(tree, {"a/b.bin": b"x" * size})
            await store.abandon(tree, keep=True)
            await store.abandon(tree, keep=False)  # it is over: nothing happens
        assert staged(tmp_path) == ["1", "3"]
        active = await store.stage(4)
        await store.sweep({1, 2})
        assert staged(tmp_path) == ["1", "4"]
        await store.abandon(active, keep=False)
        assert staged(tmp_path) == ["1"]


async def test_a_task_is_staged_once_and_committed_once(tmp_path: Path) -> None:
    async with open_store(tmp_path) as store:
        tree = await store.stage(1)
        with pytest.raises(StoreError, match="staged already"):
            await store.stage(1)
        receipt = receipt_of(1, fill(tree, {"a": b""}))
        with pytest.raises(ValueError, match="not that of task 1"):
            await store.commit(tree, receipt_of(2, receipt.members))
        await store.commit(tree, receipt)
        with pytest.raises(StoreError, match="committed or abandoned before"):
            await store.commit(tree, receipt)
        gone = await store.stage(2)
        gone.tree.rmdir()
        with pytest.raises(StoreError, match="is gone"):
            await store.commit(gone, receipt_of(2, ()))


async def test_a_commit_that_was_refused_can_be_tried_again(tmp_path: Path) -> None:
    (tmp_path / "task1").mkdir()
    async with open_store(tmp_path) as store:
        tree = await store.stage(1)
        receipt = receipt_of(1, fill(tree, {"a": b"1"}))
        with pytest.raises(ForeignFolderError):
            await store.commit(tree, receipt)
        await store.commit(tree, receipt, adopt=True)
    assert read_tree(tmp_path / "task1") == {"a": b"1"}


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
@pytest.mark.parametrize("effect", ["open_for_writing", "write", "link", "exchange", "rename"])
async def test_a_full_disk_is_said_so_and_loses_nothing(
    tmp_path: Path, disk: Disk, effect: str, number: int
) -> None:
    async with open_store(tmp_path) as store:
        await put(store, 1, {"a": b"old"})
        tree = await store.stage(1)
        receipt = receipt_of(1, fill(tree, {"a": b"new"}), updated="v2")
        disk.fail[effect] = failing(number)
        with pytest.raises(DiskFullError, match=r"task 1: .*Free some space") as caught:
            await store.commit(tree, receipt)
        assert caught.value.task_id == 1
        assert not caught.value.retryable
        disk.fail.clear()
        await store.abandon(tree, keep=False)
        heads = await store.receipts()
        assert heads[1].updated_date == "v1"
        assert await store.folder_states(heads.values()) == {1: FolderState.INTACT}
        await put(store, 1, {"a": b"new"}, updated="v2")
    assert read_tree(tmp_path / "task1") == {"a": b"new"}
    assert staged(tmp_path) == []


async def test_what_cannot_be_cleared_is_a_warning_of_a_commit_that_stands(
    tmp_path: Path, disk: Disk
) -> None:
    async with open_store(tmp_path) as store:
        await put(store, 1, {"a": b"old"})
        disk.fail["unlink"] = failing(errno.EACCES, "a")
        committed = await put(store, 1, {"a": b"new"}, updated="v2")
        assert "in its place" in committed.warnings[0]
        assert "right to write" in committed.warnings[0]
        await store.sweep(())
        assert staged(tmp_path) == ["1"]
    async with open_store(tmp_path) as store:
        # Still not: the others go on, this one says why.
        assert "cannot recover from an interrupted run" in store.warnings[0]
        with pytest.raises(StoreError, match="cannot recover from an interrupted run"):
            await store.stage(1)
        await put(store, 2, {"a": b"2"})
        disk.fail.clear()
        await put(store, 1, {"a": b"newer"}, updated="v3")
    assert read_tree(tmp_path / "task1") == {"a": b"newer"}
    assert staged(tmp_path) == []


async def test_what_cannot_be_swept_is_a_warning(tmp_path: Path, disk: Disk) -> None:
    async with open_store(tmp_path) as store:
        for task_id in (1, 2):
            tree = await store.stage(task_id)
            fill(tree, {f"{task_id}.txt": b"1"})
        store._active.clear()
        disk.fail["unlink"] = failing(errno.EROFS, "1.txt")
        await store.sweep(())
        assert staged(tmp_path) == ["1"]
        assert "Mount the file system for writing" in store.warnings[0]


@pytest.mark.parametrize(
    ("number", "remedy"),
    [
        (errno.EACCES, "Give this user the right"),
        (errno.EROFS, "Mount the file system for writing"),
        (errno.EMFILE, "ulimit -n"),
        (errno.EIO, "drive failed"),
        (errno.ENOSPC, "Free some space"),
        (errno.EDOM, "run again"),
    ],
)
async def test_a_destination_that_cannot_be_written_says_what_to_do(
    tmp_path: Path, disk: Disk, number: int, remedy: str
) -> None:
    disk.fail["mkdir"] = failing(number)
    with pytest.raises(StoreError, match=remedy) as caught:
        async with open_store(tmp_path / "dest"):
            pass
    assert str(tmp_path / "dest") in str(caught.value)


async def test_a_destination_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    for path in (tmp_path / "file", tmp_path / "file/below"):
        with pytest.raises(StoreError, match=r"is a file, not a folder\. Name another folder"):
            async with open_store(path):
                pass


async def test_a_destination_that_loops_is_refused_also_for_a_look(tmp_path: Path) -> None:
    (tmp_path / "dest").mkdir()
    (tmp_path / "dest/.asynccvat").symlink_to(".asynccvat")
    with pytest.raises(StoreError, match="a file or a link, not a folder"):
        async with open_store(tmp_path / "dest", read_only=True):
            pass


async def test_a_destination_that_is_a_link_is_the_users_own_and_is_followed(
    tmp_path: Path,
) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    async with open_store(tmp_path / "link") as store:
        await put(store, 1, {"a": b"1"})
    assert read_tree(tmp_path / "real/task1") == {"a": b"1"}


async def test_a_destination_mirrors_one_server_and_one_organization(tmp_path: Path) -> None:
    async with open_store(tmp_path, organization="lab") as store:
        await put(store, 1, {"a": b"1"})
    for other in (
        {"origin": "https://other.example.com", "organization": "lab"},
        {"origin": ORIGIN, "organization": None},
        {"origin": ORIGIN, "organization": ""},
    ):
        with pytest.raises(ConfigError, match=r"organization 'lab' at https://cvat\.example"):
            async with open_store(tmp_path, **other):
                pass
    async with open_store(tmp_path, organization="lab"):
        pass


async def test_a_destination_to_which_nothing_came_can_mirror_another_server(
    tmp_path: Path,
) -> None:
    async with open_store(tmp_path, origin="https://mistyped.example.com"):
        pass
    async with open_store(tmp_path, read_only=True):
        pass
    async with open_store(tmp_path) as store:
        await put(store, 1, {"a": b"1"})
    with pytest.raises(ConfigError, match=r"mirrors https://cvat\.example\.com"):
        async with open_store(tmp_path, origin="https://mistyped.example.com"):
            pass


async def test_what_an_interrupted_run_staged_holds_a_destination_to_its_server(
    tmp_path: Path,
) -> None:
    async with open_store(tmp_path):
        pass
    (tmp_path / ".asynccvat/staging/1").mkdir()
    with pytest.raises(ConfigError, match=r"mirrors https://cvat\.example\.com"):
        async with open_store(tmp_path, origin="https://other.example.com"):
            pass


@pytest.mark.parametrize("damage", [None, b"{", b'{"origin": "\xff"}'])
async def test_where_that_file_is_lost_the_receipts_tell(
    tmp_path: Path, damage: bytes | None
) -> None:
    async with open_store(tmp_path) as store:
        await put(store, 1, {"a": b"1"})
        await put(store, 2, {"a": b"1"})
    (tmp_path / ".asynccvat/receipts/1.json").write_bytes(b"damaged")
    file = tmp_path / ".asynccvat/destination.json"
    if damage is None:
        file.unlink()
    else:
        file.write_bytes(damage)
    with pytest.raises(ConfigError, match=r"mirrors https://cvat\.example\.com, not the personal"):
        async with open_store(tmp_path, organization=""):
            pass
    async with open_store(tmp_path):
        pass
    assert file.read_bytes() != damage


@pytest.mark.parametrize("read_only", [False, True])
@pytest.mark.parametrize("form", [b'{"version":4,"servers":[]}', b'{"version":4,"origin":1}'])
async def test_a_destination_of_a_newer_version_is_refused_and_left_as_it_is(
    tmp_path: Path, form: bytes, read_only: bool
) -> None:
    async with open_store(tmp_path) as store:
        await put(store, 1, {"a": b"1"})
    (tmp_path / ".asynccvat/staging/1").mkdir()
    file = tmp_path / ".asynccvat/destination.json"
    file.write_bytes(form)
    with pytest.raises(ConfigError, match=r"newer asynccvat: .*version 4, .*\. Upgrade asynccvat"):
        async with open_store(tmp_path, read_only=read_only):
            pass
    assert file.read_bytes() == form
    assert staged(tmp_path) == ["1"]


async def test_looking_only_changes_nothing_and_needs_no_lock(tmp_path: Path) -> None:
    async with open_store(tmp_path / "absent", read_only=True) as view:
        assert await view.receipts() == {}
        assert await view.unclaimed(["task1"]) == set()
    assert listing(tmp_path) == []
    (tmp_path / "bare/task1").mkdir(parents=True)
    async with open_store(tmp_path / "bare", read_only=True) as view:
        assert await view.receipts() == {}
        assert await view.unclaimed(["task1", "task2"]) == {"task1"}
    async with (
        open_store(tmp_path / "dest") as store,
        open_store(tmp_path / "dest", read_only=True) as view,
    ):
        await put(store, 1, {"a": b"1"})
        heads = await view.receipts()
        assert await view.folder_states(heads.values()) == {1: FolderState.INTACT}
        assert view.rules.component_bytes == store.rules.component_bytes
        with pytest.raises(StoreError, match="reading only"):
            await view.stage(1)
        with pytest.raises(StoreError, match="reading only"):
            await view.remove(heads[1])
    with pytest.raises(ConfigError):
        async with open_store(tmp_path / "dest", read_only=True, organization="x"):
            pass


async def test_a_lock_taken_over_stops_commits(tmp_path: Path) -> None:
    async with open_store(tmp_path) as store:
        tree = await store.stage(1)
        receipt = receipt_of(1, fill(tree, {"a": b"1"}))
        async with open_store(tmp_path, break_lock=True):
            with pytest.raises(StoreLockedError, match="taken over by process"):
                await store.commit(tree, receipt)
        assert await store.receipts() == {}


async def test_whoever_lost_the_lock_leaves_staging_to_its_new_owner(tmp_path: Path) -> None:
    async with open_store(tmp_path) as store:
        mine = await store.stage(1)
        async with open_store(tmp_path, break_lock=True) as other:
            theirs = await other.stage(1)
            receipt = receipt_of(1, fill(theirs, {"a": b"1"}))
            await store.abandon(mine, keep=False)
            for attempt in (store.stage(1), store.sweep(())):
                with pytest.raises(StoreLockedError, match="taken over by process"):
                    await attempt
            await other.commit(theirs, receipt)
    assert read_tree(tmp_path / "task1") == {"a": b"1"}


async def test_every_member_of_a_group_learns_of_a_failure_of_the_whole(tmp_path: Path) -> None:
    async with open_store(tmp_path) as store:
        ready = []
        for task_id in (1, 2):
            tree = await store.stage(task_id)
            ready.append((tree, receipt_of(task_id, fill(tree, {"a": b"1"}))))
        (tmp_path / ".asynccvat/lock").unlink()
        ended = await asyncio.gather(*[store.commit(*one) for one in ready], return_exceptions=True)
    assert [type(error) for error in ended] == [StoreLockedError, StoreLockedError]


async def test_copying_stands_in_for_links_where_there_are_none(tmp_path: Path, disk: Disk) -> None:
    async with open_store(tmp_path) as store:
        await put(store, 1, {"a": b"old"})
        (tmp_path / "task1/mine").write_bytes(b"mine")
        disk.fail["link"] = failing(errno.EPERM)
        await put(store, 1, {"a": b"new"}, updated="v2")
    assert read_tree(tmp_path / "task1") == {"a": b"new"}
    assert kept(tmp_path) == [{"mine": b"mine"}]


async def test_two_renames_stand_in_for_an_exchange(tmp_path: Path, disk: Disk) -> None:
    disk.fail["exchange"] = failing(errno.EINVAL)
    async with open_store(tmp_path) as store:
        await put(store, 1, {"a": b"1"})
        await put(store, 1, {"a": b"2"}, updated="v2")
        await put(store, 1, {"a": b"3"}, updated="v3")
    assert disk.names().count("exchange") == 1  # tried once, then known
    assert read_tree(tmp_path / "task1") == {"a": b"3"}


async def test_the_first_of_two_renames_is_taken_back_when_the_second_fails(
    tmp_path: Path, disk: Disk
) -> None:
    disk.fail["exchange"] = failing(errno.ENOSYS)
    disk.fail["rename"] = failing(errno.EIO, "tree")
    async with open_store(tmp_path) as store:
        tree = await store.stage(1)
        disk.fail.pop("rename")
        await store.commit(tree, receipt_of(1, fill(tree, {"a": b"1"})))
        tree = await store.stage(1)
        receipt = receipt_of(1, fill(tree, {"a": b"2"}), updated="v2")
        disk.fail["rename"] = failing(errno.EIO, "tree")
        with pytest.raises(StoreError, match="drive failed"):
            await store.commit(tree, receipt)
        assert read_tree(tmp_path / "task1") == {"a": b"1"}
        disk.fail.pop("rename")
        await store.abandon(tree, keep=False)
        assert (await store.receipts())[1].updated_date == "v1"
    assert staged(tmp_path) == []


async def test_a_crash_while_opening_leaves_what_the_next_opening_takes(
    tmp_path: Path, disk: Disk
) -> None:
    for number in range(1, 100):
        dest = tmp_path / str(number) / "a"
        disk.revive(crash_at=number)
        try:
            async with open_store(dest):
                pass
        except Crash:
            disk.revive()
            async with open_store(dest) as store:
                await store.sweep(())
                assert await store.receipts() == {}
                assert staged(dest) == []
        else:
            assert number > 10
            return
    pytest.fail("opening takes more than a hundred effects")


async def test_a_kept_archive_is_durably_gone_before_what_comes_next(
    tmp_path: Path, disk: Disk
) -> None:
    async with open_store(tmp_path) as store:
        os.close((await store.archives.begin(1)).create())
        await store.archives.publish(1)
        disk.revive()
        await store.archives.remove([1])
        assert disk.names() == ["unlink", "fsync"]


@pytest.mark.parametrize("at_once", [True, False])
async def test_what_a_killed_run_did_is_durable_before_anything_is_built_on_it(
    tmp_path: Path, disk: Disk, monkeypatch: pytest.MonkeyPatch, *, at_once: bool
) -> None:
    monkeypatch.setattr(system_calls, "can_sync_filesystem", lambda _fd: at_once)
    async with open_store(tmp_path) as store:
        await put(store, 1, {"a.txt": b"1"})
    # A removal that was killed before its last two renames were synced.
    area = tmp_path / ".asynccvat/staging/1"
    area.mkdir()
    (tmp_path / ".asynccvat/receipts/1.json").rename(area / "old.json")
    (tmp_path / "task1").rename(area / "old")
    disk.revive()
    async with open_store(tmp_path):
        before = disk.names()[: disk.log.index(("unlink", "a.txt"))]
    assert before.count("sync_filesystem") == (1 if at_once else 0)
    assert before.count("fsync") == (0 if at_once else 6)
    assert staged(tmp_path) == []


NAMES = st.text(
    st.characters(codec="utf-8", exclude_characters="/\\", exclude_categories=("Cc", "Cs")),
    min_size=1,
    max_size=12,
).filter(lambda name: name not in (".", ".."))
TREES = st.dictionaries(
    st.lists(NAMES, min_size=1, max_size=3).map("/".join), st.binary(max_size=20), max_size=6
)


def without_clashes(tree: dict[str, bytes]) -> dict[str, bytes]:
    """Leave out names that could be one on another file system, or a file and a folder."""
    chosen: dict[str, bytes] = {}
    folders: set[str] = set()
    for path, content in tree.items():
        key = unicodedata.normalize("NFC", path.casefold())
        parts = key.split("/")
        parents = {"/".join(parts[:depth]) for depth in range(1, len(parts))}
        if key not in folders and parents.isdisjoint(chosen) and key == path:
            chosen[path] = content
            folders |= parents
    return chosen


@st.composite
def edited_trees(draw: st.DrawFn) -> tuple[dict[str, bytes], set[str]]:
    """A tree, and the files of it that the user edited.

    Not drawn within the test: hypothesis may break an example off at any draw, by an exception
    that the loop of the test is left with.
    """
    tree = draw(TREES.map(without_clashes))
    return tree, draw(st.sets(st.sampled_from(sorted(tree)))) if tree else set()


@settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))
@given(before=edited_trees(), new=TREES.map(without_clashes))
async def test_any_tree_replaces_any_other_and_edits_survive(
    tmp_path_factory: pytest.TempPathFactory,
    before: tuple[dict[str, bytes], set[str]],
    new: dict[str, bytes],
) -> None:
    dest = tmp_path_factory.mktemp("dest")
    old, edited = before
    async with open_store(dest, durable=False) as store:
        await put(store, 1, old)
        for path in edited:
            (dest / "task1" / path).write_bytes(b"edited, and longer than any of the others")
        await put(store, 1, new, updated="v2")
        heads = await store.receipts()
        assert await store.folder_states(heads.values()) == {1: FolderState.INTACT}
        assert read_tree(dest / "task1") == new
        aside = kept(dest)
        assert (set(aside[0] or ()) if aside else set()) == edited
        await store.remove(heads[1])
    assert listing(dest) == [".asynccvat"]


class TestCancellation:
    """A cancelled commit was done whole or not begun, and the others of its group go on."""

    @pytest.fixture(autouse=True)
    def wide_groups(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(group_commit, "GROUP_SECONDS", 3600)
        monkeypatch.setattr(group_commit, "GROUP_SIZE", 3)

    async def staged_three(self, store: MirrorStore) -> list[tuple[Any, Any]]:
        ready = []
        for task_id in (1, 2, 3):
            tree = await store.stage(task_id)
            ready.append((tree, receipt_of(task_id, fill(tree, {"a": b"1"}))))
        return ready

    @pytest.mark.parametrize("victim", [0, 1])
    async def test_before_the_group_runs_it_was_not_begun(
        self, tmp_path: Path, victim: int
    ) -> None:
        async with open_store(tmp_path) as store:
            ready = await self.staged_three(store)
            tasks = [asyncio.create_task(store.commit(*one)) for one in ready[:2]]
            await anyio.wait_all_tasks_blocked()
            tasks[victim].cancel()
            with pytest.raises(asyncio.CancelledError):
                await tasks[victim]
            if victim == 1:
                others = [asyncio.create_task(store.commit(*ready[2]))]
                await anyio.wait_all_tasks_blocked()
                tasks[0].cancel()  # the leader: it does the work of the third before it goes
                with pytest.raises(asyncio.CancelledError):
                    await tasks[0]
                await asyncio.gather(*others)
                assert sorted(await store.receipts()) == [3]
            else:
                await tasks[1]
                assert sorted(await store.receipts()) == [2]
            for tree, _ in ready:
                await store.abandon(tree, keep=False)
            assert staged(tmp_path) == []

    async def test_alone_in_its_group_it_was_not_begun(self, tmp_path: Path) -> None:
        async with open_store(tmp_path) as store:
            ready = await self.staged_three(store)
            with anyio.move_on_after(0.01) as scope:
                await store.commit(*ready[0])
            assert scope.cancelled_caught
            assert await store.receipts() == {}
            await asyncio.gather(*[store.commit(*one) for one in ready])
            assert sorted(await store.receipts()) == [1, 2, 3]

    @pytest.mark.parametrize("victim", [0, 1, 2])
    async def test_while_the_group_runs_it_is_done_to_the_end(
        self, tmp_path: Path, disk: Disk, victim: int
    ) -> None:
        loop = asyncio.get_running_loop()
        async with open_store(tmp_path) as store:
            ready = await self.staged_three(store)
            tasks: list[asyncio.Task[Any]] = []

            def cancel(*_: Any, **__: Any) -> None:
                # Called in the thread, in the middle of the group: wait until it is under way.
                asyncio.run_coroutine_threadsafe(request(), loop).result()

            async def request() -> None:
                tasks[victim].cancel()
                await asyncio.sleep(0)
                tasks[victim].cancel()

            disk.fail["rename"] = cancel
            tasks += [asyncio.create_task(store.commit(*one)) for one in ready]
            ended = await asyncio.gather(*tasks, return_exceptions=True)
            disk.fail.clear()
            assert sorted(await store.receipts()) == [1, 2, 3]
            assert [isinstance(end, asyncio.CancelledError) for end in ended] == [
                number == victim for number in range(3)
            ]
            assert all(tree.ended for tree, _ in ready)

    async def test_a_cancelled_call_whose_thread_fails_is_cancelled(self, tmp_path: Path) -> None:
        async with open_store(tmp_path) as store:
            loop = asyncio.get_running_loop()

            def fail() -> None:
                loop.call_soon_threadsafe(task.cancel)
                done.wait_for_cancel(loop)
                raise OSError(errno.EIO, "late")

            done = _Waiter()
            task = asyncio.create_task(store._threads.run("try", fail))
            with pytest.raises(asyncio.CancelledError):
                await task


class _Waiter:
    def wait_for_cancel(self, loop: asyncio.AbstractEventLoop) -> None:
        """Return when the loop has done all that was asked of it before."""

        async def pass_by() -> None:
            await asyncio.sleep(0)

        asyncio.run_coroutine_threadsafe(pass_by(), loop).result()
