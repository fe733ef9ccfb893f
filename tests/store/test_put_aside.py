"""What was put aside is listed, restored without a loss, and purged."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from destinations import Crash, Disk, Tree, kept, open_store, put, read_tree

from asynccvat.core.inventory.kept import KeptItem, KeptKind
from asynccvat.core.plans.mirror import FolderState
from asynccvat.core.records.remembered import Remembered
from asynccvat.errors import StoreError
from asynccvat.store import MirrorStore

pytestmark = [pytest.mark.anyio, pytest.mark.proof("Destinations")]

FIRST: Tree = {"a.xml": b"first", "images/b.jpg": b"an image"}
SECOND: Tree = {"a.xml": b"second", "images/b.jpg": b"an image"}
MINE = b"mine, edited"
ADDED = b"mine, added"


async def quarantined(dest: Path) -> None:
    """Leave a mirror that has put an edited and an added file of task 1 aside."""
    async with open_store(dest) as store:
        await put(store, 1, FIRST)
    (dest / "task1/a.xml").write_bytes(MINE)
    (dest / "task1/images/mine.txt").write_bytes(ADDED)
    async with open_store(dest) as store:
        await put(store, 1, SECOND, updated="v2")


async def items(store: MirrorStore) -> tuple[KeptItem, ...]:
    return await store.put_aside.items(await store.receipts())


async def test_restored_files_stand_where_they_were_and_nothing_is_lost(tmp_path: Path) -> None:
    await quarantined(tmp_path)
    async with open_store(tmp_path) as store:
        (item,) = await items(store)
        assert (item.kind, item.folder, item.files) == (KeptKind.QUARANTINE, "task1", 2)
        assert item.bytes == len(MINE) + len(ADDED)
        name = await store.put_aside.restore(item, "task1")
        (left,) = await items(store)
        assert left.name == name
        heads = await store.receipts()
        assert await store.folder_states(heads.values()) == {1: FolderState.EDITED}
        assert await store.compared() == (heads, {1: (("a.xml", FolderState.EDITED),)})
    assert read_tree(tmp_path / "task1") == {**SECOND, "a.xml": MINE, "images/mine.txt": ADDED}
    assert kept(tmp_path) == [{"a.xml": b"second"}]


async def test_killed_at_any_effect_a_restore_loses_no_file_and_can_be_repeated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = Disk(monkeypatch)
    for crash_at in range(1, 100):
        dest = tmp_path / str(crash_at)
        disk.revive()
        await quarantined(dest)
        async with open_store(dest) as store:
            (item,) = await items(store)
            disk.revive(crash_at=crash_at)
            try:
                await store.put_aside.restore(item, "task1")
            except Crash:
                pass
            else:
                assert crash_at > 4
                break
            finally:
                disk.revive()
        held = [read_tree(dest / "task1") or {}, *(tree or {} for tree in kept(dest))]
        contents = {content for tree in held for content in tree.values()}
        assert {MINE, ADDED, b"second", b"an image"} <= contents
        async with open_store(dest) as store:
            for left in await items(store):
                if left.name == item.name:
                    await store.put_aside.restore(left, "task1")
        restored = read_tree(dest / "task1") or {}
        assert (restored["a.xml"], restored["images/mine.txt"]) == (MINE, ADDED)
    else:
        pytest.fail("the restore never came to its end")


async def test_a_folder_in_the_place_of_a_file_is_put_aside_whole(tmp_path: Path) -> None:
    await quarantined(tmp_path)
    (tmp_path / "task1/a.xml").unlink()
    (tmp_path / "task1/a.xml").mkdir()
    (tmp_path / "task1/a.xml/deep.txt").write_bytes(b"deep")
    async with open_store(tmp_path) as store:
        (item,) = await items(store)
        await store.put_aside.restore(item, "task1")
    assert (tmp_path / "task1/a.xml").read_bytes() == MINE
    assert kept(tmp_path) == [{"a.xml/deep.txt": b"deep"}]


async def test_a_file_that_had_the_name_of_a_folder_is_not_restored(tmp_path: Path) -> None:
    (tmp_path / "task1").write_bytes(MINE)
    async with open_store(tmp_path) as store:
        await put(store, 1, FIRST, adopt=True)
        (item,) = await items(store)
        with pytest.raises(StoreError, match="it is no folder"):
            await store.put_aside.restore(item, "task1")
        assert await items(store) == (item,)
    assert read_tree(tmp_path / "task1") == FIRST


async def test_a_link_in_the_folder_is_not_followed(tmp_path: Path) -> None:
    await quarantined(tmp_path / "data")
    outside = tmp_path / "outside"
    outside.mkdir()
    images = tmp_path / "data/task1/images"
    (images / "b.jpg").unlink()
    images.rmdir()
    images.symlink_to(outside)
    async with open_store(tmp_path / "data") as store:
        (item,) = await items(store)
        await store.put_aside.restore(item, "task1")
    assert list(outside.iterdir()) == []
    assert (images / "mine.txt").read_bytes() == ADDED


async def test_an_earlier_version_is_restored_and_purged(tmp_path: Path) -> None:
    async with open_store(tmp_path) as store:
        await store.remember(Remembered(history=86400.0))
        await store.keep_history(86400.0)
        for number, tree in enumerate((FIRST, SECOND, {**FIRST, "a.xml": b"third"})):
            await put(store, 1, tree, updated=f"v{number}")
        old, new = await items(store)
        assert [(one.kind, one.name, one.files) for one in (old, new)] == [
            (KeptKind.HISTORY, "history/1/v0", 1),
            (KeptKind.HISTORY, "history/1/v1", 1),
        ]
        await store.put_aside.restore(old, "task1")
        assert (tmp_path / "task1/a.xml").read_bytes() == b"first"
        await store.put_aside.purge(new)
        assert not (tmp_path / ".asynccvat/history/1").exists()
        assert [one.kind for one in await items(store)] == [KeptKind.QUARANTINE]


@pytest.mark.parametrize("seconds", [1e12, -1e11])
async def test_a_folder_whose_time_no_calendar_has_is_listed(
    tmp_path: Path, seconds: float
) -> None:
    async with open_store(tmp_path) as store:
        mine = tmp_path / ".asynccvat/kept/of my own"
        mine.mkdir()
        os.utime(mine, (seconds, seconds))
        (item,) = await items(store)
    assert item.name == "kept/of my own"
    # Some file systems change such a time to their latest or earliest one.
    assert (item.at is None) == (abs(mine.stat().st_mtime) > 9e10)


async def test_listing_needs_no_lock_and_changes_nothing(tmp_path: Path) -> None:
    await quarantined(tmp_path)
    before = read_tree(tmp_path)
    async with open_store(tmp_path), open_store(tmp_path, read_only=True) as looking:
        assert len(await items(looking)) == 1
    after = read_tree(tmp_path)
    assert before is not None
    assert after is not None
    assert before.keys() == after.keys()
