"""Killed before any effect on the disk: afterwards each folder is one whole version."""

from __future__ import annotations

import errno
import itertools
import random
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import anyio
import pytest
from destinations import (
    Crash,
    Disk,
    Tree,
    failing,
    fill,
    listing,
    open_store,
    put,
    read_tree,
    receipt_of,
)
from memory_folders import in_memory

from asynccvat.core.paths import NameRules
from asynccvat.core.plans.mirror import FolderState
from asynccvat.store import MirrorStore, name_probe
from asynccvat.store.commits import group_commit

pytestmark = pytest.mark.anyio


@pytest.fixture
def place() -> Iterator[Path]:
    with in_memory() as folder:
        yield folder


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Disk:
    """The disk, watched; no waiting for others to join a group, no trying out of names."""
    monkeypatch.setattr(name_probe, "probe", lambda *_: NameRules())
    monkeypatch.setattr(group_commit, "GROUP_SECONDS", 0)
    return Disk(monkeypatch)


OLD: Tree = {"a.txt": b"old a", "images/b.jpg": b"old b", "gone.txt": b"old only"}
NEW: Tree = {"a.txt": b"new a", "images/b.jpg": b"new b", "images/c.jpg": b"new only"}
MINE = b"written by the user"


async def nothing(_store: MirrorStore, _dest: Path) -> None:
    """Before a first commit there is nothing."""


async def old_version(store: MirrorStore, _dest: Path) -> None:
    await put(store, 1, OLD)


async def old_version_with_files_of_the_user(store: MirrorStore, dest: Path) -> None:
    await put(store, 1, OLD)
    (dest / "task1/images/mine.txt").write_bytes(MINE)


async def old_version_edited_by_the_user(store: MirrorStore, dest: Path) -> None:
    await put(store, 1, OLD)
    (dest / "task1/a.txt").write_bytes(MINE)


async def folder_of_the_user(_store: MirrorStore, dest: Path) -> None:
    (dest / "task1").mkdir()
    (dest / "task1/mine.txt").write_bytes(MINE)


async def two_old_versions(store: MirrorStore, _dest: Path) -> None:
    for task_id in (1, 2):
        await put(store, task_id, OLD)


async def commit(store: MirrorStore) -> None:
    await put(store, 1, NEW, updated="v2")


async def commit_adopting(store: MirrorStore) -> None:
    await put(store, 1, NEW, updated="v2", adopt=True)


async def commit_elsewhere(store: MirrorStore) -> None:
    await put(store, 1, NEW, updated="v2", folder="job1")


async def commit_two(store: MirrorStore) -> None:
    # Staged first, so that the order of effects is the same each time.
    ready = []
    for task_id in (1, 2):
        staging = await store.stage(task_id)
        ready.append((staging, receipt_of(task_id, fill(staging, NEW), updated="v2")))
    async with anyio.create_task_group() as group:
        for staging, receipt in ready:
            group.start_soon(store.commit, staging, receipt)


async def move(store: MirrorStore) -> None:
    heads = await store.receipts()
    if heads[1].folder != "job1":
        await store.move(heads[1], "job1")


async def remove(store: MirrorStore) -> None:
    heads = await store.receipts()
    if 1 in heads:
        await store.remove(heads[1])


@dataclass(frozen=True)
class Scenario:
    before: Callable[[MirrorStore, Path], Awaitable[None]]
    action: Callable[[MirrorStore], Awaitable[None]]
    versions: dict[str, Tree]
    end: dict[str, Tree]
    absent_between: bool = False
    tasks: int = 1


V1_TO_V2 = {"v1": OLD, "v2": NEW}
SCENARIOS = {
    "fresh": Scenario(nothing, commit, {"v2": NEW}, {"task1": NEW}, absent_between=True),
    "update": Scenario(old_version, commit, V1_TO_V2, {"task1": NEW}),
    "update beside files of the user": Scenario(
        old_version_with_files_of_the_user, commit, V1_TO_V2, {"task1": NEW}
    ),
    "update of an edited file": Scenario(
        old_version_edited_by_the_user, commit, V1_TO_V2, {"task1": NEW}
    ),
    "update to another folder": Scenario(
        old_version_with_files_of_the_user, commit_elsewhere, V1_TO_V2, {"job1": NEW}
    ),
    "adoption": Scenario(
        folder_of_the_user, commit_adopting, {"v2": NEW}, {"task1": NEW}, absent_between=True
    ),
    "group": Scenario(
        two_old_versions,
        commit_two,
        V1_TO_V2,
        {"task1": NEW, "task2": NEW},
        tasks=2,
    ),
    "move": Scenario(old_version, move, {"v1": OLD}, {"job1": OLD}),
    "removal": Scenario(
        old_version_with_files_of_the_user, remove, {"v1": OLD}, {}, absent_between=True
    ),
}


def without_files_of_the_user(tree: dict[str, bytes] | None) -> dict[str, bytes] | None:
    if tree is None:
        return None
    return {path: content for path, content in tree.items() if content != MINE}


def is_whole(tree: dict[str, bytes] | None, versions: dict[str, Tree]) -> bool:
    """Whether a tree is one of the versions, except for the user's own changes."""
    assert tree is not None
    ours = without_files_of_the_user(tree)
    return any(
        ours == {path: content for path, content in version.items() if tree.get(path) != MINE}
        for version in versions.values()
    )


def user_files(dest: Path) -> int:
    return sum(
        path.is_file() and path.read_bytes() == MINE
        for path in dest.rglob("*")
        if "staging" not in path.relative_to(dest).parts
    )


async def check_at_rest(dest: Path, scenario: Scenario) -> None:
    """Check what must hold whenever a run begins."""
    async with open_store(dest) as store:
        assert store.warnings == [] or user_files(dest)
        heads = await store.receipts()
        folders = set(listing(dest)) - {".asynccvat"}
        claimed = {head.folder for head in heads.values()}
        assert claimed <= folders
        if scenario.before is not folder_of_the_user:
            assert claimed == folders
        for head in heads.values():
            tree = read_tree(dest / head.folder)
            assert is_whole(tree, {head.updated_date: scenario.versions[head.updated_date]})
        states = await store.folder_states(heads.values())
        edited = scenario.before is old_version_edited_by_the_user
        for task_id, head in heads.items():
            expected = FolderState.EDITED if edited and head.updated_date == "v1" else "intact"
            assert states[task_id] == expected


def check_between(dest: Path, scenario: Scenario, *, exchange: bool) -> None:
    """Check what must hold at any moment, also after a kill."""
    present = 0
    for name in ("task1", "job1", "task2"):
        tree = read_tree(dest / name)
        if tree is None:
            continue
        present += 1
        if without_files_of_the_user(tree) == {} and scenario.before is folder_of_the_user:
            continue  # not adopted yet
        assert is_whole(tree, scenario.versions), f"{name} is in part: {tree}"
    if exchange and not scenario.absent_between:
        assert present >= scenario.tasks


async def prepare(dest: Path, scenario: Scenario) -> int:
    async with open_store(dest) as store:
        await scenario.before(store, dest)
    return user_files(dest)


async def crash_at(
    dest: Path, disk: Disk, scenario: Scenario, number: int, *, exchange: bool
) -> bool:
    """Run the action and die before its effect of that number; return whether it came so far."""
    disk.revive()
    try:
        async with open_store(dest) as store:
            disk.revive(crash_at=number)
            if not exchange:
                disk.fail["exchange"] = failing(errno.EINVAL)
            await scenario.action(store)
    except BaseException:
        # In a group the first of several comes wrapped.
        if not disk.dead:
            raise
    died = disk.dead
    disk.revive()
    return died


@pytest.mark.parametrize("exchange", [True, False], ids=["exchange", "two renames"])
@pytest.mark.parametrize("scenario", SCENARIOS.values(), ids=SCENARIOS.keys())
async def test_killed_before_any_effect_every_folder_is_whole_and_the_next_run_ends_the_same(
    place: Path, disk: Disk, scenario: Scenario, *, exchange: bool
) -> None:
    for number in itertools.count(1):
        dest = place / str(number)
        disk.revive()
        mine = await prepare(dest, scenario)
        died = await crash_at(dest, disk, scenario, number, exchange=exchange)
        check_between(dest, scenario, exchange=exchange)
        await check_at_rest(dest, scenario)
        assert user_files(dest) == mine
        async with open_store(dest) as store:
            await scenario.action(store)
            await store.sweep(())
        ended = {
            path.name: without_files_of_the_user(read_tree(path))
            for path in dest.iterdir()
            if path.name != ".asynccvat"
        }
        assert ended == scenario.end
        assert user_files(dest) == mine
        assert listing(dest / ".asynccvat/staging") == []
        if not died:
            assert number > 8
            return


@pytest.mark.parametrize("exchange", [True, False], ids=["exchange", "two renames"])
@pytest.mark.parametrize(
    "name", ["update of an edited file", "update to another folder", "removal", "move"]
)
async def test_killed_again_during_recovery_nothing_changes_about_that(
    place: Path, disk: Disk, name: str, *, exchange: bool
) -> None:
    scenario = SCENARIOS[name]
    chance = random.Random(name)
    for trial in range(12):
        dest = place / str(trial)
        disk.revive()
        mine = await prepare(dest, scenario)
        # Late in the action, where there is something to recover, and then anywhere.
        await crash_at(dest, disk, scenario, chance.randrange(5, 25), exchange=exchange)
        for _ in range(2):
            disk.revive(crash_at=chance.randrange(1, 30))
            try:
                async with open_store(dest):
                    pass
            except Crash:
                disk.revive()
                check_between(dest, scenario, exchange=False)
        disk.revive()
        await check_at_rest(dest, scenario)
        assert user_files(dest) == mine
