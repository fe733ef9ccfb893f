"""Recovery, case by case: the steps for each state, and the result on disk."""

from __future__ import annotations

import itertools
import shutil
from pathlib import Path

import msgspec
import pytest
from destinations import ORIGIN, fill, kept, listing, open_store, put, read_tree, receipt_of, staged

from asynccvat.core.plans.mirror import FolderState
from asynccvat.core.records.receipts import Receipt, decode_receipt, encode_receipt
from asynccvat.store.commits.recovery import (
    CrashState,
    FolderVersion,
    OldReceipt,
    RecoveryStep,
    decide,
)

OLD = {"a.txt": b"old", "b/c.txt": b"old"}
NEW = {"a.txt": b"new", "b/d.txt": b"new"}

ABSENT, IS_NEW, IS_OLD, UNKNOWN = (
    FolderVersion.ABSENT,
    FolderVersion.NEW,
    FolderVersion.PREVIOUS,
    FolderVersion.UNKNOWN,
)
NONE, IN_FORCE, REPLACED = OldReceipt.ABSENT, OldReceipt.IN_FORCE, OldReceipt.REPLACED
DROP = (RecoveryStep.DROP_INTENT, RecoveryStep.DROP_OLD_RECEIPT)


@pytest.mark.parametrize(
    ("found", "steps"),
    [
        (
            CrashState(True, IN_FORCE, IS_OLD, ABSENT, IS_NEW),
            (RecoveryStep.RECORD, RecoveryStep.FINISH),
        ),
        (
            CrashState(True, NONE, ABSENT, ABSENT, IS_NEW),
            (RecoveryStep.RECORD, RecoveryStep.FINISH),
        ),
        (CrashState(False, REPLACED, IS_OLD, ABSENT, UNKNOWN), (RecoveryStep.FINISH,)),
        (CrashState(True, IN_FORCE, IS_NEW, ABSENT, IS_OLD), DROP),
        (CrashState(True, NONE, IS_NEW, ABSENT, ABSENT), (RecoveryStep.DROP_INTENT,)),
        (
            CrashState(True, IN_FORCE, IS_NEW, IS_OLD, ABSENT, whole=True),
            (RecoveryStep.PUBLISH_TREE, RecoveryStep.RECORD, RecoveryStep.FINISH),
        ),
        (CrashState(True, IN_FORCE, IS_NEW, IS_OLD, ABSENT), (RecoveryStep.RESTORE_OLD, *DROP)),
        (CrashState(True, IN_FORCE, IS_OLD, ABSENT, ABSENT), (RecoveryStep.RESTORE_TREE, *DROP)),
        (
            CrashState(True, IN_FORCE, IS_OLD, ABSENT, UNKNOWN),
            (RecoveryStep.QUARANTINE_FINAL, RecoveryStep.RESTORE_TREE, *DROP),
        ),
        (
            CrashState(True, IN_FORCE, IS_NEW, IS_OLD, UNKNOWN),
            (RecoveryStep.QUARANTINE_FINAL, RecoveryStep.RESTORE_OLD, *DROP),
        ),
        (
            CrashState(True, IN_FORCE, UNKNOWN, ABSENT, UNKNOWN),
            (RecoveryStep.QUARANTINE_TREE, *DROP),
        ),
        (CrashState(True, NONE, UNKNOWN, ABSENT, ABSENT), (RecoveryStep.DROP_INTENT,)),
        (CrashState(False, IN_FORCE, UNKNOWN, ABSENT, IS_OLD), (RecoveryStep.DROP_OLD_RECEIPT,)),
        (CrashState(False, NONE, ABSENT, UNKNOWN, UNKNOWN), (RecoveryStep.QUARANTINE_OLD,)),
        (CrashState(False, NONE, ABSENT, UNKNOWN, ABSENT), (RecoveryStep.RESTORE_OLD,)),
    ],
)
def test_each_state_has_its_steps(found: CrashState, steps: tuple[RecoveryStep, ...]) -> None:
    assert decide(found) == steps


def test_no_state_loses_a_tree_that_may_be_the_only_one() -> None:
    for intent, old_receipt, tree, old, final, whole in itertools.product(
        [True, False], OldReceipt, FolderVersion, FolderVersion, FolderVersion, [True, False]
    ):
        steps = decide(CrashState(intent, old_receipt, tree, old, final, whole))
        published = {
            RecoveryStep.PUBLISH_TREE,
            RecoveryStep.RESTORE_TREE,
            RecoveryStep.RESTORE_OLD,
        } & set(steps)
        assert len(published) <= 1
        if published and final is not ABSENT:
            assert steps[0] is RecoveryStep.QUARANTINE_FINAL  # never renamed onto something
        if RecoveryStep.FINISH in steps:
            # What replaced the old one is in its place by then.
            assert final is IS_NEW or RecoveryStep.PUBLISH_TREE in steps or old_receipt is REPLACED
        elif intent:
            assert RecoveryStep.DROP_INTENT in steps
        assert (RecoveryStep.RECORD in steps) <= intent


def interrupt(dest: Path, receipt: Receipt, *, tree: Path | None = None) -> Path:
    """Write what a commit leaves that was killed after its intent; return its area."""
    area = dest / ".asynccvat/staging/1"
    area.mkdir(exist_ok=True)
    status = (tree or area / "tree").stat()
    head = msgspec.structs.replace(receipt.head, device=status.st_dev, inode=status.st_ino)
    (area / "receipt.json").write_bytes(encode_receipt(Receipt(head, receipt.members)))
    current = dest / ".asynccvat/receipts/1.json"
    if current.exists():
        (area / "old.json").hardlink_to(current)
    return area


async def prepare(dest: Path, *, old: bool = True) -> tuple[Path, Receipt]:
    """A destination with an old version, and a new one staged and intended."""
    async with open_store(dest) as store:
        if old:
            await put(store, 1, OLD)
        staging = await store.stage(1)
        receipt = receipt_of(1, fill(staging, NEW), updated="v2")
    return interrupt(dest, receipt), receipt


def exchange(dest: Path, area: Path) -> None:
    (dest / "task1").rename(dest / "between")
    (area / "tree").rename(dest / "task1")
    (dest / "between").rename(area / "tree")


async def recovered(dest: Path) -> tuple[str | None, list[str]]:
    """Open, and return which version is in force, and the warnings."""
    async with open_store(dest) as store:
        heads = await store.receipts()
        if 1 not in heads:
            return None, store.warnings
        states = await store.folder_states(heads.values())
        assert states[1] == "intact"
        return heads[1].updated_date, store.warnings


pytestmark = pytest.mark.anyio


async def test_what_stands_at_the_final_name_by_its_inode_is_recorded(tmp_path: Path) -> None:
    area, _ = await prepare(tmp_path)
    exchange(tmp_path, area)
    assert await recovered(tmp_path) == ("v2", [])
    assert read_tree(tmp_path / "task1") == NEW
    assert staged(tmp_path) == []


async def test_that_holds_where_inodes_have_changed_but_files_are_as_recorded(
    tmp_path: Path,
) -> None:
    area, _ = await prepare(tmp_path / "d")
    exchange(tmp_path / "d", area)
    shutil.copytree(tmp_path / "d", tmp_path / "copy")
    assert await recovered(tmp_path / "copy") == ("v2", [])
    assert read_tree(tmp_path / "copy/task1") == NEW
    assert staged(tmp_path / "copy") == []


async def test_a_tree_that_was_not_published_stays_for_taking_over(tmp_path: Path) -> None:
    area, _ = await prepare(tmp_path)
    assert await recovered(tmp_path) == ("v1", [])
    assert sorted(path.name for path in area.iterdir()) == ["tree"]
    assert read_tree(tmp_path / "task1") == OLD


async def test_between_two_renames_a_whole_tree_goes_forward(tmp_path: Path) -> None:
    area, _ = await prepare(tmp_path)
    (tmp_path / "task1").rename(area / "old")
    assert await recovered(tmp_path) == ("v2", [])
    assert read_tree(tmp_path / "task1") == NEW
    assert staged(tmp_path) == []


async def test_between_two_renames_a_damaged_tree_gives_way_to_the_old_one(
    tmp_path: Path,
) -> None:
    area, _ = await prepare(tmp_path)
    (tmp_path / "task1").rename(area / "old")
    (area / "tree/a.txt").write_bytes(b"another size")
    assert await recovered(tmp_path) == ("v1", [])
    assert read_tree(tmp_path / "task1") == OLD


async def test_a_damaged_intent_brings_the_old_version_back(tmp_path: Path) -> None:
    area, _ = await prepare(tmp_path)
    exchange(tmp_path, area)
    (area / "receipt.json").write_bytes(b"\0" * 100)
    version, warnings = await recovered(tmp_path)
    assert version == "v1"
    assert "are in no receipt" in warnings[0]
    assert read_tree(tmp_path / "task1") == OLD
    assert kept(tmp_path) == [NEW]


async def test_a_fresh_tree_with_the_inode_of_a_deleted_folder_is_not_taken_for_it(
    tmp_path: Path,
) -> None:
    area, _ = await prepare(tmp_path)
    (area / "receipt.json").unlink()
    receipt = tmp_path / ".asynccvat/receipts/1.json"
    old = decode_receipt(receipt.read_bytes())
    status = (area / "tree").stat()
    head = msgspec.structs.replace(old.head, device=status.st_dev, inode=status.st_ino)
    receipt.write_bytes(encode_receipt(Receipt(head, old.members)))
    shutil.rmtree(tmp_path / "task1")
    async with open_store(tmp_path) as store:
        heads = await store.receipts()
        assert await store.folder_states(heads.values()) == {1: FolderState.MISSING}
    assert read_tree(tmp_path / "task1") is None
    assert read_tree(area / "tree") == NEW


async def test_an_intent_that_leads_elsewhere_is_damage(tmp_path: Path) -> None:
    area, receipt = await prepare(tmp_path / "d", old=False)
    head = msgspec.structs.replace(receipt.head, folder="../elsewhere")
    interrupt(tmp_path / "d", Receipt(head, receipt.members))
    (area / "tree").rename(area / "old")
    async with open_store(tmp_path / "d"):
        pass
    assert listing(tmp_path) == ["d"]


async def test_a_damaged_intent_of_a_first_commit_leaves_the_tree(tmp_path: Path) -> None:
    area, _ = await prepare(tmp_path, old=False)
    (area / "receipt.json").write_bytes(b"{")
    assert await recovered(tmp_path) == (None, [])
    assert read_tree(area / "tree") == NEW


async def test_a_folder_that_the_user_took_away_is_replaced_by_the_old_one(
    tmp_path: Path,
) -> None:
    area, _ = await prepare(tmp_path)
    exchange(tmp_path, area)
    (tmp_path / "task1").rename(tmp_path / "taken")
    assert await recovered(tmp_path) == ("v1", [])
    assert read_tree(tmp_path / "task1") == OLD


async def test_an_edited_old_tree_that_nothing_identifies_is_put_aside(tmp_path: Path) -> None:
    area, _ = await prepare(tmp_path)
    exchange(tmp_path, area)
    (tmp_path / "task1").rename(tmp_path / "taken")
    shutil.copytree(area / "tree", area / "copy")
    shutil.rmtree(area / "tree")
    (area / "copy").rename(area / "tree")
    (area / "tree/a.txt").write_bytes(b"edited by the user")
    async with open_store(tmp_path) as store:
        assert "are in no receipt" in store.warnings[0]
    assert kept(tmp_path) == [{"a.txt": b"edited by the user", "b/c.txt": b"old"}]


async def test_after_a_reboot_that_renumbered_devices_an_edited_folder_keeps_its_place(
    tmp_path: Path,
) -> None:
    area, _ = await prepare(tmp_path)
    for path in (tmp_path / ".asynccvat/receipts/1.json", area / "receipt.json"):
        receipt = decode_receipt(path.read_bytes())
        head = msgspec.structs.replace(receipt.head, device=receipt.head.device + 1)
        # In place: the receipt has two names.
        path.write_bytes(encode_receipt(Receipt(head, receipt.members)))
    (tmp_path / "task1/a.txt").write_bytes(b"edited by the user")
    (area / "tree/a.txt").unlink()
    async with open_store(tmp_path) as store:
        assert store.warnings == []
        assert (await store.receipts())[1].updated_date == "v1"
    assert read_tree(tmp_path / "task1") == {"a.txt": b"edited by the user", "b/c.txt": b"old"}
    assert kept(tmp_path) == []


async def test_an_interrupted_clearing_is_taken_up_again(tmp_path: Path) -> None:
    area, _ = await prepare(tmp_path)
    exchange(tmp_path, area)
    (area / "receipt.json").rename(tmp_path / ".asynccvat/receipts/1.json")
    (area / "tree/a.txt").unlink()
    (area / "tree/mine.txt").write_bytes(b"mine")
    version, warnings = await recovered(tmp_path)
    assert version == "v2"
    assert "edited or added here" in warnings[0]
    assert kept(tmp_path) == [{"mine.txt": b"mine"}]
    assert staged(tmp_path) == []


async def test_a_clearing_without_a_readable_old_receipt_deletes_nothing(tmp_path: Path) -> None:
    area, _ = await prepare(tmp_path)
    exchange(tmp_path, area)
    (area / "receipt.json").rename(tmp_path / ".asynccvat/receipts/1.json")
    (area / "old.json").unlink()
    (area / "old.json").write_bytes(b"damaged")
    version, _ = await recovered(tmp_path)
    assert version == "v2"
    assert kept(tmp_path) == [OLD]


async def test_an_old_tree_that_nobody_speaks_of_is_put_aside(tmp_path: Path) -> None:
    async with open_store(tmp_path):
        old = tmp_path / ".asynccvat/staging/1/old"
        old.mkdir(parents=True)
        (old / "mine.txt").write_bytes(b"mine")
    async with open_store(tmp_path) as store:
        assert len(store.warnings) == 1
        await store.sweep(())
    assert kept(tmp_path) == [{"mine.txt": b"mine"}]
    assert staged(tmp_path) == []


async def test_a_move_that_did_not_happen_is_forgotten(tmp_path: Path) -> None:
    async with open_store(tmp_path) as store:
        await put(store, 1, OLD)
        members = await store.members(1)
    receipt = receipt_of(1, members, folder="job1")
    area = interrupt(tmp_path, receipt, tree=tmp_path / "task1")
    (area / "old.json").unlink()
    assert await recovered(tmp_path) == ("v1", [])
    assert read_tree(tmp_path / "task1") == OLD


async def test_identical_files_do_not_confuse_two_trees(tmp_path: Path) -> None:
    # Everything taken over by links: both trees have the same names, sizes and times.
    async with open_store(tmp_path) as store:
        await put(store, 1, OLD | {"gone.txt": b"old"})
        members = [m for m in await store.members(1) if m.path != "gone.txt"]
        staging = await store.stage(1)
        (staging.tree / "b").mkdir()
        for member in members:
            (staging.tree / member.path).hardlink_to(tmp_path / "task1" / member.path)
    area = interrupt(tmp_path, receipt_of(1, tuple(members), updated="v2"))
    assert await recovered(tmp_path) == ("v1", [])
    interrupt(tmp_path, receipt_of(1, tuple(members), updated="v2"))
    exchange(tmp_path, area)
    assert await recovered(tmp_path) == ("v2", [])
    assert read_tree(tmp_path / "task1") == OLD


async def test_a_folder_claimed_by_another_task_is_not_cleared(tmp_path: Path) -> None:
    # Task 1 has moved away from a name that task 2 took: its clearing must not follow.
    async with open_store(tmp_path) as store:
        await put(store, 1, OLD, folder="shared")
        await put(store, 1, NEW, folder="job1", updated="v2")
        await put(store, 2, OLD, folder="shared")
    area = tmp_path / ".asynccvat/staging/1"
    area.mkdir()
    old = receipt_of(1, (), folder="shared")
    assert old.head.origin == ORIGIN
    (area / "old.json").write_bytes(encode_receipt(old))
    assert await recovered(tmp_path) == ("v2", [])
    assert read_tree(tmp_path / "shared") == OLD
    assert staged(tmp_path) == []
