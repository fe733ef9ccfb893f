"""A destination of backups: each zip is whole with its receipt, or absent."""

from __future__ import annotations

import errno
import io
import zipfile
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import pytest
from destinations import ORIGIN, Crash, Disk, failing, open_store, put

from asynccvat.core.records.backups import (
    BackupCondition,
    BackupReceipt,
    TargetState,
    backup_folder,
    stamp_of,
)
from asynccvat.core.records.receipts import MemberRecord
from asynccvat.core.records.remembered import Remembered
from asynccvat.core.targets import TargetKind
from asynccvat.errors import ConfigError, DiskFullError, StoreError
from asynccvat.fs import files
from asynccvat.store import Committed
from asynccvat.store.backup_store import BackupStore

pytestmark = pytest.mark.anyio

STATE = TargetState(updated_date="v1", jobs="j1", media="m1", frames=5, job_count=1)
FIRST, SECOND = "2026-11-29T03:12:00.123+00:00", "2026-11-30T03:12:00.123+00:00"
MEMBERS = (MemberRecord("task.json", 3, 7, 0),)


def opened(dest: Path, **options: Any) -> AbstractAsyncContextManager[BackupStore]:
    return BackupStore.open(dest, **({"origin": ORIGIN, "organization": None} | options))


def receipt_of(
    content: bytes,
    *,
    target: TargetKind = TargetKind.TASK,
    target_id: int = 147,
    at: str = FIRST,
    **changes: Any,
) -> BackupReceipt:
    folder = backup_folder(target, target_id)
    given: dict[str, Any] = {
        "target": target,
        "id": target_id,
        "name": "street",
        "file": f"{folder}/{stamp_of(at)}.zip",
        "size": len(content),
        "digest": "0" * 8,
        "files": len(MEMBERS),
        "bytes": 3,
        "lightweight": False,
        "state": STATE,
        "origin": ORIGIN,
        "requested_at": at,
        "committed_at": at,
    }
    return BackupReceipt(**(given | changes))


async def back_up(store: BackupStore, content: bytes = b"zip", **changes: Any) -> Committed:
    receipt = receipt_of(content, **changes)
    staged = await store.stage(
        receipt.target,
        receipt.id,
        STATE,
        lightweight=receipt.lightweight,
        requested_at=receipt.requested_at,
    )
    with staged.open_part() as fd:
        files.truncate(fd, 0)
        files.write(fd, content)
    return await store.commit(staged, receipt, MEMBERS)


async def stored(dest: Path) -> dict[str, bytes]:
    """The zips that have a receipt, all of which must be there."""
    async with BackupStore.open(dest, read_only=True) as store:
        backups = await store.list()
        assert store.warnings == []
    assert all(one.condition is BackupCondition.PRESENT for one in backups)
    return {one.receipt.file: (dest / one.receipt.file).read_bytes() for one in backups}


async def test_a_backup_has_a_folder_for_its_target_and_a_name_for_its_moment(
    tmp_path: Path,
) -> None:
    async with opened(tmp_path) as store:
        committed = await back_up(store)
        await back_up(store, target=TargetKind.PROJECT, target_id=5)

        assert committed.path == tmp_path / "task147" / "2026-11-29T031200Z.zip"
        listed = await store.list()

    assert [one.receipt.file for one in listed] == [
        "project5/2026-11-29T031200Z.zip",
        "task147/2026-11-29T031200Z.zip",
    ]
    receipt = listed[1].receipt
    assert (receipt.name, receipt.state, receipt.size) == ("street", STATE, 3)
    own = tmp_path / ".asynccvat"
    assert (own / "backups" / "task147" / "2026-11-29T031200Z.json").is_file()
    assert list((own / "staging").iterdir()) == []
    async with BackupStore.open(tmp_path, read_only=True) as reader:
        assert await reader.list() == listed
        assert await reader.members(receipt) == MEMBERS


async def test_two_backups_of_one_second_have_two_names(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        await back_up(store, b"one")
        await back_up(store, b"two")

    assert await stored(tmp_path) == {
        "task147/2026-11-29T031200Z.zip": b"one",
        "task147/2026-11-29T031201Z.zip": b"two",
    }


async def test_a_zip_of_the_users_keeps_its_name(tmp_path: Path) -> None:
    (tmp_path / "task147").mkdir()
    own = tmp_path / "task147" / "2026-11-29T031200Z.zip"
    own.write_bytes(b"mine")

    async with opened(tmp_path) as store:
        committed = await back_up(store)

    assert own.read_bytes() == b"mine"
    assert committed.path.name == "2026-11-29T031201Z.zip"


async def test_a_mirror_and_backups_never_share_a_destination(tmp_path: Path) -> None:
    async with open_store(tmp_path / "mirror") as mirror:
        await put(mirror, 1, {"a": b"1"})
    async with opened(tmp_path / "backups") as store:
        await back_up(store)

    with pytest.raises(ConfigError, match="holds a mirror"):
        async with opened(tmp_path / "mirror"):
            pass
    with pytest.raises(ConfigError, match="holds a mirror"):
        async with BackupStore.open(tmp_path / "mirror", read_only=True):
            pass
    with pytest.raises(ConfigError, match="holds backups"):
        async with open_store(tmp_path / "backups"):
            pass
    # Without destination.json, the receipts tell.
    (tmp_path / "backups" / ".asynccvat" / "destination.json").unlink()
    with pytest.raises(ConfigError, match="holds backups"):
        async with open_store(tmp_path / "backups"):
            pass
    with pytest.raises(ConfigError, match=r"holds backups of https://cvat\.example\.com, not"):
        async with opened(tmp_path / "backups", origin="https://other.example.com"):
            pass


async def test_an_older_asynccvat_is_told_that_it_cannot_read_backups(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        await store.remember(Remembered())

    identity = (tmp_path / ".asynccvat" / "destination.json").read_text()

    assert '"version":2' in identity
    assert '"holds":"backups"' in identity


async def test_a_run_that_could_not_begin_leaves_no_folder(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError):
        async with opened(tmp_path / "new"):
            raise ZeroDivisionError

    assert not (tmp_path / "new").exists()


async def test_readers_change_nothing(tmp_path: Path) -> None:
    async with BackupStore.open(tmp_path / "none", read_only=True) as store:
        assert await store.list() == ()
        with pytest.raises(StoreError, match="reading only"):
            await store.remove(receipt_of(b""))

    assert not (tmp_path / "none").exists()


async def test_missing_and_changed_zips_and_damaged_receipts_are_told_apart(
    tmp_path: Path,
) -> None:
    async with opened(tmp_path) as store:
        missing = await back_up(store, target_id=1)
        changed = await back_up(store, target_id=2)
        await back_up(store, target_id=3)
    missing.path.unlink()
    changed.path.write_bytes(b"longer")
    receipts = tmp_path / ".asynccvat" / "backups"
    (receipts / "task3" / "2026-11-29T031200Z.json").write_text("{}")
    (receipts / "task3" / "2026-11-29T031209Z.json").write_bytes(
        (receipts / "task1" / "2026-11-29T031200Z.json").read_bytes()
    )

    async with BackupStore.open(tmp_path, read_only=True) as store:
        listed = await store.list()
        warnings = store.new_warnings()

    assert {one.receipt.id: one.condition for one in listed} == {
        1: BackupCondition.MISSING,
        2: BackupCondition.CHANGED,
    }
    assert len(warnings) == 2
    assert all("damaged receipt" in warning for warning in warnings)


async def test_a_backup_killed_at_any_effect_is_whole_or_absent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = Disk(monkeypatch)
    crashed = 0
    for effect in range(1, 100):
        dest = tmp_path / str(effect)
        disk.revive()
        async with opened(dest) as store:
            await back_up(store, b"first")
        disk.revive(crash_at=effect)
        try:
            async with opened(dest) as store:
                await back_up(store, b"second", at=SECOND)
        except Crash:
            crashed += 1
        else:
            break
        before = await stored(dest)
        disk.revive()
        async with opened(dest) as store:
            after = {one.receipt.file for one in await store.list()}
            await store.sweep(())
        found = await stored(dest)

        assert before["task147/2026-11-29T031200Z.zip"] == b"first"
        assert set(found) == after
        assert found in (
            {"task147/2026-11-29T031200Z.zip": b"first"},
            {
                "task147/2026-11-29T031200Z.zip": b"first",
                "task147/2026-11-30T031200Z.zip": b"second",
            },
        )
        assert len(list((dest / "task147").iterdir())) == len(found)
        assert list((dest / ".asynccvat" / "staging").iterdir()) == []
    assert crashed > 8


async def test_a_removal_killed_at_any_effect_leaves_no_receipt_without_its_zip(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = Disk(monkeypatch)
    crashed = 0
    for effect in range(1, 100):
        dest = tmp_path / str(effect)
        disk.revive()
        async with opened(dest) as store:
            await back_up(store, b"first")
            await back_up(store, b"second", at=SECOND)
        disk.revive(crash_at=effect)
        try:
            async with opened(dest) as store:
                (old, _) = await store.list()
                await store.remove(old.receipt)
        except Crash:
            crashed += 1
        else:
            break
        await stored(dest)
        disk.revive()
        async with opened(dest):
            pass
        found = await stored(dest)

        assert found["task147/2026-11-30T031200Z.zip"] == b"second"
        assert len(list((dest / "task147").iterdir())) == len(found)
    assert crashed > 4
    assert list(await stored(tmp_path / str(crashed + 1))) == ["task147/2026-11-30T031200Z.zip"]


async def test_a_full_disk_leaves_the_bytes_for_the_next_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = Disk(monkeypatch)
    async with opened(tmp_path) as store:
        staged = await store.stage(
            TargetKind.TASK, 147, STATE, lightweight=False, requested_at=FIRST
        )
        staged.note_origin("/api/result", '"etag"', 9)
        with staged.open_part() as fd:
            files.write(fd, b"zip")
        disk.fail["rename"] = failing(errno.ENOSPC, "backup.zip.part")
        with pytest.raises(DiskFullError):
            await store.commit(staged, receipt_of(b"zip"), MEMBERS)
        await store.abandon(staged, keep=True)
        assert await store.part(TargetKind.TASK, 147) is not None

    disk.revive()
    async with opened(tmp_path) as store:
        assert await store.list() == ()
        await store.sweep({"task147"})
        again = await store.stage(
            TargetKind.TASK, 147, STATE, lightweight=False, requested_at=SECOND
        )
        origin = again.origin()
        assert origin is not None
        assert (origin.total, origin.requested_at) == (9, FIRST)
        with again.open_part() as fd:
            assert files.read_into(fd, memoryview(bytearray(9))) == 3
        committed = await store.commit(again, receipt_of(b"zip"), MEMBERS)
        assert committed.path.read_bytes() == b"zip"


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"lightweight": True}, "it was to be a whole one"),
        ({"state": TargetState(updated_date="v2", jobs="j1", media="m1")}, "the task changed"),
    ],
)
async def test_bytes_of_another_request_are_not_continued(
    tmp_path: Path, changes: dict[str, Any], why: str
) -> None:
    async with opened(tmp_path) as store:
        staged = await store.stage(
            TargetKind.TASK, 147, STATE, lightweight=False, requested_at=FIRST
        )
        staged.note_origin("/api/result", '"etag"', 9)
        with staged.open_part() as fd:
            files.write(fd, b"zip")
        await store.abandon(staged, keep=True)
        given: dict[str, Any] = {"lightweight": False, "state": STATE} | changes
        again = await store.stage(
            TargetKind.TASK,
            147,
            given["state"],
            lightweight=given["lightweight"],
            requested_at=SECOND,
        )
        assert again.origin() is None, why
        await store.abandon(again, keep=False)
        assert await store.part(TargetKind.TASK, 147) is None


async def test_a_target_is_staged_once_and_committed_once(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        staged = await store.stage(
            TargetKind.TASK, 147, STATE, lightweight=False, requested_at=FIRST
        )
        with pytest.raises(StoreError, match="task147 is staged already"):
            await store.stage(TargetKind.TASK, 147, STATE, lightweight=False, requested_at=FIRST)
        with staged.open_part() as fd:
            files.write(fd, b"zip")
        await store.commit(staged, receipt_of(b"zip"), MEMBERS)
        with pytest.raises(StoreError, match="committed or abandoned before"):
            await store.commit(staged, receipt_of(b"zip"), MEMBERS)
        await store.abandon(staged, keep=False)
        assert len(await store.list()) == 1
        assert store.server == "https://cvat.example.com"


async def test_a_zip_that_changed_after_its_check_is_not_committed(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        staged = await store.stage(
            TargetKind.TASK, 147, STATE, lightweight=False, requested_at=FIRST
        )
        with staged.open_part() as fd:
            files.write(fd, b"zip and more")
        with pytest.raises(StoreError, match="was changed after it was checked"):
            await store.commit(staged, receipt_of(b"zip"), MEMBERS)
        await store.abandon(staged, keep=False)
        assert await store.list() == ()


async def test_a_link_in_place_of_a_folder_is_not_followed(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    async with opened(tmp_path / "dest") as store:
        (tmp_path / "dest" / "task147").symlink_to(elsewhere)
        with pytest.raises(StoreError):
            await back_up(store)
    assert list(elsewhere.iterdir()) == []


async def test_a_failed_sync_leaves_no_zip_that_may_not_be_on_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = Disk(monkeypatch)
    async with opened(tmp_path) as store:
        for name in ("fsync", "sync_filesystem"):
            disk.fail[name] = failing(errno.EIO)
        with pytest.raises(StoreError):
            await back_up(store)
        disk.revive()
        # Nothing of this process may trust the disk any more.
        with pytest.raises(StoreError):
            await back_up(store)
    async with opened(tmp_path) as store:
        assert await store.list() == ()
        await store.sweep(())
    assert list((tmp_path / "task147").iterdir()) == []
    assert list((tmp_path / ".asynccvat" / "staging").iterdir()) == []


async def test_leftovers_that_cannot_be_recovered_are_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = Disk(monkeypatch)
    disk.revive()
    async with opened(tmp_path) as store:
        await back_up(store, b"first")
    disk.revive(crash_at=8)
    with pytest.raises(Crash):
        async with opened(tmp_path) as store:
            await back_up(store, b"second", at=SECOND)
    area = tmp_path / ".asynccvat/staging/task147"
    area.mkdir(exist_ok=True)
    (area / "receipt.json").write_bytes(b"{")
    disk.revive()
    disk.fail["unlink"] = failing(errno.EIO, "receipt.json")
    async with opened(tmp_path) as store:
        assert any("cannot recover" in warning for warning in store.new_warnings())
        assert len(await store.list()) == 1


async def test_what_blocks_a_sweep_is_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = Disk(monkeypatch)
    async with opened(tmp_path) as store:
        (tmp_path / ".asynccvat/staging/rubbish").write_text("x")
        disk.fail["unlink"] = failing(errno.EIO, "rubbish")
        await store.sweep(())
        assert any("cannot sweep" in warning for warning in store.new_warnings())
    disk.revive()
    async with opened(tmp_path) as store:
        await store.sweep(())
    assert list((tmp_path / ".asynccvat/staging").iterdir()) == []


async def test_what_a_killed_removal_noted_may_be_cut(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = Disk(monkeypatch)
    async with opened(tmp_path) as store:
        await back_up(store)
    area = tmp_path / ".asynccvat/staging/task147"
    area.mkdir()
    (area / "removal.json").write_bytes(b"{")
    disk.revive()
    async with opened(tmp_path) as store:
        await store.sweep(())
        assert len(await store.list()) == 1
    assert list((tmp_path / ".asynccvat/staging").iterdir()) == []


async def test_a_removal_of_what_is_gone_is_done(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        (await back_up(store)).path.unlink()
        (one,) = await store.list()
        assert one.condition is BackupCondition.MISSING
        await store.remove(one.receipt)
        assert await store.list() == ()
        await store.remove(one.receipt)


async def test_a_zip_is_checked_against_its_receipt(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        path = (await back_up(store, b"no zip")).path
        (one,) = await store.list()
        problem = await store.check(one.receipt)
        assert problem is not None
        assert "its list of members differs" in problem.reason
        path.unlink()
        path.mkdir()
        problem = await store.check(one.receipt)
        assert problem is not None
        assert str(problem.kind) == "replaced"
        path.rmdir()
        problem = await store.check(one.receipt)
        assert problem is not None
        assert str(problem.kind) == "missing"
        with pytest.raises(StoreError, match="is gone"):
            await store.members(receipt_of(b"", at=SECOND))
        gone = await store.check(receipt_of(b"", at=SECOND))
        assert gone is not None
        assert str(gone.kind) == "damaged receipt"
        nowhere = await store.check(receipt_of(b"", target_id=9))
        assert nowhere is not None
        assert str(nowhere.kind) == "missing"


async def test_a_zip_with_other_members_is_another_one(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("task.json", "{}")
    async with opened(tmp_path) as store:
        await back_up(store, buffer.getvalue())
        (one,) = await store.list()
        problem = await store.check(one.receipt)
    assert problem is not None
    assert "not those of the receipt" in problem.reason


async def test_a_destination_to_write_to_needs_its_server(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="needs the origin"):
        async with BackupStore.open(tmp_path / "new"):
            pass
    assert not (tmp_path / "new").exists()
