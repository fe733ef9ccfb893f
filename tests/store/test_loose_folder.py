"""The folder of a single download: whole or absent, and no file of the user is replaced."""

from __future__ import annotations

import errno
import itertools
from pathlib import Path

import pytest
from destinations import Crash, Disk, failing, fill, listing, put_loose, read_tree, receipt_of

from asynccvat.errors import (
    ConfigError,
    DiskFullError,
    ForeignFolderError,
    StoreError,
    StoreLockedError,
)
from asynccvat.fs import files
from asynccvat.store import LooseFolder

pytestmark = pytest.mark.anyio

TREE = {"a.txt": b"a", "images/b.jpg": b"b"}


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Disk:
    """The disk, watched."""
    return Disk(monkeypatch)


@pytest.mark.parametrize("durable", [True, False])
async def test_a_download_ends_as_its_folder_and_nothing_else(
    tmp_path: Path, disk: Disk, *, durable: bool
) -> None:
    target = tmp_path / "out/deep/task1"
    async with LooseFolder.open(target, durable=durable) as folder:
        assert folder.rules.component_bytes == 255
        committed = await put_loose(folder, TREE)
        assert committed.path == target
        assert read_tree(target) == TREE
    assert listing(target.parent) == ["task1"]
    assert ("fsync" in disk.names()) == durable


async def test_a_folder_counts_as_there_once_both_folders_of_its_rename_are_synced(
    tmp_path: Path, disk: Disk
) -> None:
    async with LooseFolder.open(tmp_path / "task1") as folder:
        staging = await folder.stage(1)
        receipt = receipt_of(1, fill(staging, TREE))
        await folder.commit(staging, receipt)
        names = disk.names()
    assert names[len(names) - names[::-1].index("rename") :] == ["fsync", "fsync"]


async def test_its_hidden_folder_may_be_made_by_another_at_the_same_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = files.mkdir

    def both(name: str, *, dir_fd: int) -> None:
        if name == ".t.asynccvat":
            real(name, dir_fd=dir_fd)
        real(name, dir_fd=dir_fd)

    monkeypatch.setattr(files, "mkdir", both)
    async with LooseFolder.open(tmp_path / "t") as folder:
        await put_loose(folder, TREE)
    assert read_tree(tmp_path / "t") == TREE


async def test_many_files_are_synced_at_once_where_that_can_be_trusted(
    tmp_path: Path, disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("asynccvat.fs.system_calls.can_sync_filesystem", lambda _fd: True)
    async with LooseFolder.open(tmp_path / "t") as folder:
        await put_loose(folder, {f"{number}.txt": b"" for number in range(20)})
    assert disk.names().count("sync_filesystem") == 1


async def test_an_empty_folder_may_be_there_a_filled_one_may_not(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    async with LooseFolder.open(tmp_path / "empty") as folder:
        await put_loose(folder, TREE)
    (tmp_path / "file").write_bytes(b"mine")
    (tmp_path / "link").symlink_to("empty")
    for name in ("empty", "file", "link"):
        with pytest.raises(ForeignFolderError, match="holds something already"):
            async with LooseFolder.open(tmp_path / name):
                pass
    assert listing(tmp_path) == ["empty", "file", "link"]


async def replaced(target: Path, tree: dict[str, bytes]) -> tuple[str, ...]:
    async with LooseFolder.open(target, durable=False, replace=True) as folder:
        return (await put_loose(folder, tree)).warnings


async def test_where_that_is_asked_for_a_folder_is_replaced_and_what_was_in_it_stays(
    tmp_path: Path,
) -> None:
    target = tmp_path / "t"
    target.mkdir()
    assert await replaced(target, TREE) == ()
    assert await replaced(target, TREE) == ()
    assert listing(tmp_path) == ["t"]
    (target / "a.txt").write_bytes(b"A")
    (target / "mine").mkdir()
    (target / "mine/b.txt").write_bytes(b"mine")
    (target / "link").symlink_to("a.txt")
    (warning,) = await replaced(target, TREE)
    assert str(tmp_path / "t.old-1") in warning
    assert read_tree(target) == TREE
    assert (tmp_path / "t.old-1/link").is_symlink()
    (tmp_path / "t.old-1/link").unlink()
    assert read_tree(tmp_path / "t.old-1") == {"a.txt": b"A", "mine/b.txt": b"mine"}
    (target / "a.txt").write_bytes(b"longer")
    await replaced(target, TREE)
    assert read_tree(tmp_path / "t.old-2") == {"a.txt": b"longer"}
    assert listing(tmp_path) == ["t", "t.old-1", "t.old-2"]


async def test_a_folder_is_replaced_whose_files_were_where_folders_are_now_and_the_other_way_round(
    tmp_path: Path,
) -> None:
    target = tmp_path / "t"
    old = {"a.txt/b": b"1", "images": b"2", "same.txt": b"3"}
    await replaced(target, old)
    (target / "link").symlink_to("images")
    (warning,) = await replaced(target, TREE | {"same.txt": b"3", "link/deep.txt": b"4"})
    assert str(tmp_path / "t.old-1") in warning
    assert read_tree(target) == TREE | {"same.txt": b"3", "link/deep.txt": b"4"}
    assert read_tree(tmp_path / "t.old-1") == {"a.txt/b": b"1", "images": b"2"}


@pytest.mark.parametrize("refused", ["open_and_look", "unlink"])
async def test_what_cannot_be_compared_or_cleared_is_a_warning_of_a_download_that_stands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, refused: str
) -> None:
    target = tmp_path / "t"
    await replaced(target, TREE)
    real = getattr(files, refused)

    def refuse(name: str, *, dir_fd: int) -> object:
        if name == "b.jpg":
            raise PermissionError(errno.EACCES, "closed to us")
        return real(name, dir_fd=dir_fd)

    monkeypatch.setattr(files, refused, refuse)
    (warning,) = await replaced(target, TREE)
    assert f"its earlier files are in {str(tmp_path / 't.old-1')!r}" in warning
    assert "Permission denied" in warning
    assert read_tree(target) == TREE
    left = read_tree(tmp_path / "t.old-1")
    assert left == (TREE if refused == "open_and_look" else {"images/b.jpg": b"b"})


async def test_a_file_is_never_replaced_by_a_folder(tmp_path: Path) -> None:
    (tmp_path / "t").write_bytes(b"mine")
    with pytest.raises(ForeignFolderError, match="holds something already"):
        await replaced(tmp_path / "t", TREE)


async def test_a_replacement_that_fails_leaves_the_folder_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "t"
    await replaced(target, {"old.txt": b"old"})
    real = files.rename

    def rename(name: str, new_name: str, *, dir_fd: int, new_dir_fd: int) -> None:
        if name == "tree":
            raise OSError(errno.EIO, "broken")
        real(name, new_name, dir_fd=dir_fd, new_dir_fd=new_dir_fd)

    monkeypatch.setattr(files, "rename", rename)
    with pytest.raises(StoreError, match="Input/output error"):
        await replaced(target, TREE)
    assert read_tree(target) == {"old.txt": b"old"}
    assert listing(tmp_path) == ["t"]


@pytest.mark.parametrize("raced", [False, True])
async def test_a_folder_filled_meanwhile_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, raced: bool
) -> None:
    target = tmp_path / "t"
    async with LooseFolder.open(target) as folder:
        staging = await folder.stage(1)
        receipt = receipt_of(1, fill(staging, TREE))
        target.mkdir()
        (target / "mine.txt").write_bytes(b"mine")
        if raced:
            monkeypatch.setattr("asynccvat.store.loose_folder._refuse_filled", lambda *_: None)
        with pytest.raises(ForeignFolderError):
            await folder.commit(staging, receipt)
        await folder.abandon(staging, keep=False)
    assert read_tree(target) == {"mine.txt": b"mine"}
    assert listing(tmp_path) == ["t"]


@pytest.mark.parametrize("name", ["..", "/", ".asynccvat"])
async def test_a_path_that_can_be_no_folder_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigError, match="Name another folder"):
        async with LooseFolder.open(tmp_path / name):
            pass


async def test_on_windows_it_points_to_wsl(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.platform", "win32")
    with pytest.raises(ConfigError, match="WSL"):
        async with LooseFolder.open(tmp_path / "t"):
            pass


async def test_what_a_folder_holds_can_be_asked(tmp_path: Path) -> None:
    assert await LooseFolder.contents(tmp_path / "none") == ()
    (tmp_path / "d").mkdir()
    (tmp_path / "d/a.txt").write_bytes(b"")
    (tmp_path / "b.txt").write_bytes(b"")
    assert await LooseFolder.contents(tmp_path) == ("b.txt", "d/a.txt")
    with pytest.raises(StoreError, match="cannot read"):
        await LooseFolder.contents(tmp_path / "b.txt")


async def test_two_downloads_to_one_place_exclude_each_other(tmp_path: Path) -> None:
    async with LooseFolder.open(tmp_path / "t") as folder:
        with pytest.raises(StoreLockedError):
            async with LooseFolder.open(tmp_path / "t"):
                pass
        await put_loose(folder, TREE)
    assert read_tree(tmp_path / "t") == TREE


async def test_what_a_failed_download_leaves_is_kept_only_if_it_is_worth_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("asynccvat.store.loose_folder.KEEP_ABOVE", 1000)
    target = tmp_path / "t"
    for size, left in ((1000, []), (1001, [".t.asynccvat"])):
        async with LooseFolder.open(target) as folder:
            staging = await folder.stage(1)
            fill(staging, {"d/big.bin": b"x" * size})
            await folder.abandon(staging, keep=True)
            await folder.abandon(staging, keep=False)  # it is over: nothing happens
        assert listing(tmp_path) == left
    async with LooseFolder.open(target) as folder:
        staging = await folder.stage(1)
        (source,) = staging.reusable["d/big.bin"]
        assert (source.size, source.crc) == (1001, None)
        with staging.open_source(source, "d/big.bin") as (_, name):
            assert name == "big.bin"
        await folder.commit(staging, receipt_of(1, fill(staging, TREE)))
    assert listing(tmp_path) == ["t"]
    assert read_tree(target) == TREE


async def test_after_a_failed_sync_nothing_is_taken_over(
    tmp_path: Path, disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("asynccvat.store.loose_folder.KEEP_ABOVE", 0)
    async with LooseFolder.open(tmp_path / "t") as folder:
        staging = await folder.stage(1)
        receipt = receipt_of(1, fill(staging, TREE))
        disk.fail["sync_filesystem"] = disk.fail["fsync"] = failing(errno.EIO)
        with pytest.raises(StoreError, match="drive failed"):
            await folder.commit(staging, receipt)
        disk.fail.clear()
        await folder.abandon(staging, keep=True)
    assert listing(tmp_path) == []


async def test_a_place_that_cannot_be_held_is_left_as_it_was(tmp_path: Path, disk: Disk) -> None:
    disk.fail["open_for_writing"] = failing(errno.ENOSPC)
    with pytest.raises(DiskFullError, match="cannot use"):
        async with LooseFolder.open(tmp_path / "t"):
            pass
    assert listing(tmp_path) == []


async def test_killed_before_any_effect_it_is_whole_or_absent_and_can_be_done_again(
    tmp_path: Path, disk: Disk
) -> None:
    for number in itertools.count(1):
        target = tmp_path / str(number) / "t"
        disk.revive(crash_at=number)
        try:
            async with LooseFolder.open(target) as folder:
                await put_loose(folder, TREE)
        except Crash:
            disk.revive()
            tree = read_tree(target)
            assert tree in (None, TREE)
            if tree is None:
                async with LooseFolder.open(target) as folder:
                    await put_loose(folder, TREE)
                assert listing(target.parent) == ["t"]
            assert read_tree(target) == TREE
        else:
            assert number > 20
            return


@pytest.mark.parametrize(
    ("number", "kind"), [(errno.ENOSPC, DiskFullError), (errno.EACCES, StoreError)]
)
async def test_a_commit_that_fails_leaves_nothing(
    tmp_path: Path, disk: Disk, number: int, kind: type[StoreError]
) -> None:
    async with LooseFolder.open(tmp_path / "t") as folder:
        staging = await folder.stage(1)
        receipt = receipt_of(1, fill(staging, TREE))
        disk.fail["rename"] = failing(number)
        with pytest.raises(kind, match=r"task 1: cannot commit to .*t':"):
            await folder.commit(staging, receipt)
        disk.fail.clear()
        await folder.abandon(staging, keep=False)
    assert listing(tmp_path) == []


async def test_a_link_planted_in_a_tree_on_its_way_is_not_published(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    async with LooseFolder.open(tmp_path / "t") as folder:
        staging = await folder.stage(1)
        receipt = receipt_of(1, fill(staging, {"a/b.txt": b"1"}))
        (staging.tree / "a").rename(outside)
        (staging.tree / "a").symlink_to(outside)
        with pytest.raises(StoreError, match=r"a/b\.txt was edited while"):
            await folder.commit(staging, receipt)
    assert listing(tmp_path) == ["outside"]
    assert read_tree(outside) == {"b.txt": b"1"}
