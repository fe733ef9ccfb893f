"""Where a destination may be, and what a run leaves that failed before it began."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
from destinations import listing, open_store, put

from asynccvat.core.records.remembered import Remembered
from asynccvat.errors import ConfigError, StoreLockedError
from asynccvat.fs import files
from asynccvat.store import MirrorStore, opening
from asynccvat.store.opening import open_layout
from asynccvat.store.placement import check_place

pytestmark = [pytest.mark.anyio, pytest.mark.proof("Destinations")]


async def refusal(dest: Path, *, read_only: bool = False) -> str:
    with pytest.raises(ConfigError) as refused:
        async with open_store(dest, read_only=read_only):
            pass
    return refused.value.message


@pytest.mark.parametrize("read_only", [False, True], ids=["a run", "a plan"])
async def test_a_destination_inside_another_one_is_refused(tmp_path: Path, read_only: bool) -> None:
    outer = tmp_path / "data"
    async with open_store(outer) as store:
        await put(store, 7, {"a": b"a"})
    for inner in (outer / "more", outer / "task7" / "deep" / "er", outer / ".asynccvat" / "kept"):
        assert await refusal(inner, read_only=read_only) == (
            f"cannot mirror to '{inner}': it lies in another destination, '{outer}'. Name a folder "
            "outside of it."
        )
    assert listing(outer) == [".asynccvat", "task7"]
    assert listing(outer / "task7") == ["a"]


@pytest.mark.parametrize(
    "kept", ["backups/task7", "restores/https-cvat", "replaced/7.json", "history/7", "imports/x"]
)
async def test_to_remove_an_own_folder_is_advised_only_if_nothing_of_use_is_in_it(
    tmp_path: Path, kept: str
) -> None:
    outer = tmp_path / "data"
    own = outer / ".asynccvat"
    async with open_store(outer) as store:
        await store.remember(Remembered())
    says = f"Or remove {str(own)!r}: no task and no backup is there."
    assert says in await refusal(outer / "more")
    (own / kept).mkdir(parents=True)
    assert (await refusal(outer / "more")).endswith("'. Name a folder outside of it.")


async def test_a_destination_around_another_one_is_refused(tmp_path: Path) -> None:
    async with open_store(tmp_path / "inner"):
        pass
    (tmp_path / "loop").symlink_to("loop")
    assert await refusal(tmp_path) == (
        f"cannot mirror to '{tmp_path}': it holds another destination, "
        f"{str(tmp_path / 'inner')!r}. Name a folder that holds none."
    )
    assert listing(tmp_path) == ["inner", "loop"]


async def test_the_root_and_home_directories_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert await refusal(Path("/"), read_only=True) == (
        "cannot mirror to '/': it is the root of the file system. Name a folder in it."
    )
    (tmp_path / "ann").mkdir()
    (tmp_path / "link").symlink_to("ann")
    monkeypatch.setenv("HOME", str(tmp_path / "ann"))
    for home in (tmp_path / "ann", tmp_path / "link", tmp_path / "ann" / "x" / ".."):
        assert (await refusal(home)).endswith(
            f": it is a home directory. Name a folder in it, such as {tmp_path / 'ann' / 'cvat'}."
        )
    assert await refusal(tmp_path) == (
        f"cannot mirror to {str(tmp_path)!r}: home directories are in it. Name a folder of its own."
    )
    assert listing(tmp_path / "ann") == []
    monkeypatch.setattr(os, "getuid", lambda: 4_000_000_000)  # which the system does not know
    async with open_store(tmp_path / "ann" / "cvat"):
        pass
    monkeypatch.delenv("HOME")
    async with open_store(tmp_path / "ann2"):
        pass


async def test_a_mirror_that_is_there_keeps_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_store(tmp_path) as store:
        await put(store, 7, {"a": b"a"})
    monkeypatch.setenv("HOME", str(tmp_path))
    async with open_store(tmp_path) as store:
        assert list(await store.receipts()) == [7]


@pytest.mark.parametrize("below", ["", "sub/deep"])
async def test_a_link_to_nothing_is_refused(tmp_path: Path, below: str) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "unmounted")
    dest = tmp_path / "link" / below
    assert await refusal(dest) == (
        f"cannot use '{dest}': {str(tmp_path / 'link')!r} is a link to "
        f"{str(tmp_path / 'unmounted')!r}, which is not there. Mount or create that, or name "
        "another folder."
    )
    assert listing(tmp_path) == ["link"]


async def test_git_is_told_to_ignore_what_is_asynccvats_own(tmp_path: Path) -> None:
    async with open_store(tmp_path / "data") as store:
        await put(store, 7, {"a": b"a"})
    assert (tmp_path / "data/.asynccvat/.gitignore").read_bytes() == b"*\n"


async def nothing(_: MirrorStore) -> None:
    pass


async def fail_in(
    dest: Path, after: Callable[[MirrorStore], Coroutine[Any, Any, object]] = nothing
) -> None:
    """Let a run fail, after it has done something."""

    async def run() -> None:
        async with open_store(dest) as store:
            await after(store)
            raise LookupError

    with pytest.raises(LookupError):
        await run()


async def test_a_run_that_fails_before_it_began_leaves_no_folder(tmp_path: Path) -> None:
    await fail_in(tmp_path / "new" / "er")
    assert listing(tmp_path) == []
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "file").touch()
    await fail_in(tmp_path / "mine")
    assert listing(tmp_path / "mine") == ["file"]


async def test_a_run_that_began_leaves_what_it_did(tmp_path: Path) -> None:
    await fail_in(tmp_path / "a", lambda store: store.remember(Remembered(format="COCO 1.0")))
    await fail_in(tmp_path / "b", lambda store: put(store, 7, {"a": b"a"}))
    assert listing(tmp_path / "b") == [".asynccvat", "task7"]
    async with open_store(tmp_path / "a") as store:
        assert store.remembered == Remembered(format="COCO 1.0")
    await fail_in(tmp_path / "a")
    async with open_store(tmp_path / "a") as store:
        assert store.remembered == Remembered(format="COCO 1.0")


async def test_a_run_that_failed_at_once_leaves_folders_that_another_made_use_of(
    tmp_path: Path,
) -> None:
    for mine in (Path("mine"), Path(".asynccvat", "kept", "mine")):

        async def make_use(store: MirrorStore, name: Path = mine) -> None:
            (store.path / name).touch()

        await fail_in(tmp_path / mine.parent.name / "new", make_use)
        assert (tmp_path / mine.parent.name / "new" / mine).exists()
    assert listing(tmp_path / "new") == ["mine"]
    assert listing(tmp_path / "kept" / "new" / ".asynccvat") == [
        ".gitignore",
        "destination.json",
        "kept",
        "lock",
        "receipts",
        "staging",
    ]


async def test_a_run_opens_folders_again_that_another_one_removed_between_making_and_opening(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = []
    real = files.mkdir

    def mkdir(name: str, *, dir_fd: int) -> None:
        real(name, dir_fd=dir_fd)
        made.append(name)
        if made == [".asynccvat"]:
            files.rmdir(name, dir_fd=dir_fd)

    monkeypatch.setattr(files, "mkdir", mkdir)
    async with open_store(tmp_path / "new"):
        assert made.count(".asynccvat") == 2


@pytest.mark.parametrize("moment", ["before the lock", "with the lock"])
async def test_a_run_starts_anew_if_another_one_removes_its_new_folders_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    opened = []

    def once_removed(path: Path, *, durable: bool) -> object:
        layout = open_layout(path, durable=durable)
        opened.append(layout)
        if len(opened) == 1:
            own = path / ".asynccvat"
            shutil.rmtree(own) if moment == "before the lock" else (own / "staging").rmdir()
        return layout

    monkeypatch.setattr(opening, "open_layout", once_removed)
    async with open_store(tmp_path / "data") as store:
        await put(store, 7, {"a": b"a"})
    assert len(opened) == 2
    assert listing(tmp_path / "data") == [".asynccvat", "task7"]


async def test_a_second_run_in_a_new_destination_removes_nothing_of_the_first(
    tmp_path: Path,
) -> None:
    async with open_store(tmp_path / "data") as store:
        with pytest.raises(StoreLockedError):
            async with open_store(tmp_path / "data"):
                pass
        await put(store, 7, {"a": b"a"})
    assert listing(tmp_path / "data") == [".asynccvat", "task7"]


@pytest.mark.parametrize("journal", ["restores", "imports", "creations"])
def test_a_folder_with_journals_alone_is_no_destination(tmp_path: Path, journal: str) -> None:
    (tmp_path / "sent" / ".asynccvat" / journal).mkdir(parents=True)
    check_place(tmp_path / "sent" / "backups")
    check_place(tmp_path)
