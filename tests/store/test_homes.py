"""Check folders that lie below others: made and removed with what is in them, never by a link."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from destinations import kept, open_store, put, read_tree, staged

from asynccvat.core.models import Task
from asynccvat.core.plans.mirror import FolderState
from asynccvat.errors import ForeignFolderError
from asynccvat.store import homes
from asynccvat.store.layout import is_folder_name

pytestmark = pytest.mark.anyio


def beside(dest: Path) -> list[str]:
    """Return the paths of the folders outside of `.asynccvat`."""
    found = (path for path in dest.rglob("*") if path.is_dir())
    return sorted(
        path.relative_to(dest).as_posix() for path in found if ".asynccvat" not in path.parts
    )


async def test_a_folder_below_others_is_committed_moved_and_removed(tmp_path: Path) -> None:
    async with open_store(tmp_path) as store:
        await put(store, 1, {"a": b"1"}, folder="x/y/one")
        await put(store, 2, {"a": b"2"}, folder="x/two")
        assert beside(tmp_path) == ["x", "x/two", "x/y", "x/y/one"]
        (tmp_path / "x/y/one/mine").write_bytes(b"mine")
        heads = await store.receipts()
        await store.move(heads[1], "z/one")
        assert beside(tmp_path) == ["x", "x/two", "z", "z/one"]
        heads = await store.receipts()
        assert await store.folder_states(heads.values()) == {
            1: FolderState.INTACT,
            2: FolderState.INTACT,
        }
        await put(store, 2, {"a": b"3"}, folder="two")
        assert beside(tmp_path) == ["two", "z", "z/one"]
        await store.remove((await store.receipts())[1])
    assert beside(tmp_path) == ["two"]
    assert kept(tmp_path) == [{"mine": b"mine"}]
    assert staged(tmp_path) == []


async def test_a_move_may_bring_the_task_s_new_name_and_date(tmp_path: Path) -> None:
    async with open_store(tmp_path) as store:
        await put(store, 1, {"a": b"1"})
        renamed = Task(id=1, name="left", updated_date="v9", project_id=5)
        await store.move((await store.receipts())[1], "left-1", renamed=renamed)
        head = (await store.receipts())[1]
    assert (head.task_name, head.updated_date, head.project_id) == ("left", "v9", 5)
    assert (head.folder, head.version) == ("left-1", 1)
    assert read_tree(tmp_path / "left-1") == {"a": b"1"}


async def test_files_of_the_user_keep_the_folder_above(tmp_path: Path) -> None:
    async with open_store(tmp_path) as store:
        await put(store, 1, {"a": b"1"}, folder="x/y/one")
        (tmp_path / "x/mine").write_bytes(b"mine")
        await store.move((await store.receipts())[1], "one")
    assert beside(tmp_path) == ["one", "x"]


@pytest.mark.parametrize("kind", ["file", "link", "task", "destination"])
async def test_what_is_in_the_way_is_refused_and_stays(tmp_path: Path, kind: str) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    dest = tmp_path / "dest"
    async with open_store(dest) as store:
        await put(store, 1, {"a": b"1"})
        await put(store, 2, {"a": b"2"}, folder="x" if kind == "task" else "two")
        if kind == "file":
            (dest / "x").write_bytes(b"mine")
        elif kind == "link":
            (dest / "x").symlink_to(elsewhere)
        elif kind == "destination":
            (dest / "x/.asynccvat").mkdir(parents=True)
        heads = await store.receipts()
        with pytest.raises(ForeignFolderError, match="cannot write to"):
            await store.move(heads[1], "x/one")
        with pytest.raises(ForeignFolderError, match="cannot write to"):
            await put(store, 3, {"a": b"3"}, folder="x/three")
    assert read_tree(dest / "task1") == {"a": b"1"}
    assert not any(elsewhere.iterdir())


async def test_a_link_that_came_later_is_not_followed(tmp_path: Path) -> None:
    async with open_store(tmp_path) as store:
        await put(store, 1, {"a": b"1"}, folder="x/one")
        (tmp_path / "x").rename(tmp_path / "away")
        (tmp_path / "x").symlink_to(tmp_path / "away")
        heads = await store.receipts()
        assert await store.folder_states(heads.values()) == {1: FolderState.MISSING}
        await store.remove(heads[1])
    assert read_tree(tmp_path / "away") == {"one/a": b"1"}


def test_the_status_of_what_is_not_there_is_none(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to(tmp_path)
    fd = os.open(tmp_path, os.O_RDONLY)
    try:
        for path in ("a", "a/b", "file/b", "link/file"):
            assert homes.status_of(path, dir_fd=fd) is None
        assert homes.status_of("file", dir_fd=fd) is not None
    finally:
        os.close(fd)


@pytest.mark.parametrize(
    ("name", "allowed"),
    [
        ("task1", True),
        ("a/b/c", True),
        ("", False),
        ("/a", False),
        ("a/", False),
        ("a/./b", False),
        ("../a", False),
        ("a\0b", False),
        (".asynccvat", False),
        ("a/.ASYNCCVAT/b", False),
        ("/".join("a" * 17), False),
    ],
)
def test_only_a_path_below_the_destination_may_be_a_folder(name: str, allowed: bool) -> None:
    assert is_folder_name(name) is allowed
