"""Kept archives: published with their folder, replaced, restored and removed."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest
from destinations import Disk, failing, fill, open_store, put, read_tree, receipt_of

from asynccvat.errors import StoreError, StoreLockedError
from asynccvat.store import KeptArchives, UnfinishedArchive

pytestmark = pytest.mark.anyio


async def begun(archives: KeptArchives, task_id: int, content: bytes) -> UnfinishedArchive:
    """Write an archive that does not have its final name yet."""
    archive = await archives.begin(task_id)
    with os.fdopen(archive.create(), "wb") as file:
        file.write(content)
    return archive


async def test_whoever_lost_the_lock_touches_no_archive_of_the_successor(tmp_path: Path) -> None:
    kept = tmp_path / ".asynccvat/archives"
    async with open_store(tmp_path, durable=False) as store:
        written = await begun(store.archives, 1, b"old")
        async with open_store(tmp_path, durable=False, break_lock=True) as successor:
            await begun(successor.archives, 1, b"new")
            await successor.archives.publish(1)
            await begun(successor.archives, 2, b"on its way")
            (kept / "1.zip.part").write_bytes(b"old")
            for attempt in (
                store.archives.publish(1),
                store.archives.remove([1, 2]),
                store.archives.begin(2),
            ):
                with pytest.raises(StoreLockedError, match="taken over"):
                    await attempt
            for touch in (written.create, written.remove):
                with pytest.raises(StoreLockedError, match="taken over"):
                    touch()
    assert (kept / "1.zip").read_bytes() == b"new"
    assert (kept / "2.zip.part").read_bytes() == b"on its way"


async def test_an_archive_that_was_never_published_takes_no_earlier_one_with_it(
    tmp_path: Path,
) -> None:
    kept = tmp_path / ".asynccvat/archives"
    async with open_store(tmp_path, durable=False) as store:
        await begun(store.archives, 1, b"earlier")
        await store.archives.publish(1)
        await store.archives.drop_earlier(1)
        await begun(store.archives, 1, b"new")
        (kept / "1.zip.part").unlink()
        with pytest.raises(StoreError):
            await store.archives.publish(1)
        await store.archives.roll_back(1)
    assert read_tree(kept) == {"1.zip": b"earlier"}


async def test_whoever_lost_the_lock_makes_no_folder_for_archives(tmp_path: Path) -> None:
    async with (
        open_store(tmp_path, durable=False) as store,
        open_store(tmp_path, durable=False, break_lock=True),
    ):
        with pytest.raises(StoreLockedError):
            await store.archives.begin(1)
    assert not (tmp_path / ".asynccvat/archives").exists()


@pytest.mark.parametrize("restored", [True, False])
async def test_a_staging_knows_whether_its_failed_commit_may_be_finished(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, restored: bool
) -> None:
    disk = Disk(monkeypatch)
    disk.fail["exchange"] = failing(errno.ENOSYS)
    async with open_store(tmp_path, durable=False) as store:
        await put(store, 1, {"a": b"old"})
        staging = await store.stage(1)
        receipt = receipt_of(1, fill(staging, {"a": b"new"}), updated="v2")
        # The first of the two renames of a swap is done, and undone if that works.
        refused = [("tree", "task1")] if restored else [("tree", "task1"), ("old", "task1")]
        disk.fail["rename"] = lambda name, new_name, **_: (
            PermissionError(errno.EACCES, "no") if (name, new_name) in refused else None
        )
        with pytest.raises(StoreError):
            await store.commit(staging, receipt)
        assert staging.published is not restored
        disk.fail.clear()
        await store.abandon(staging, keep=True)
    assert read_tree(tmp_path / "task1") == {"a": b"old" if restored else b"new"}
