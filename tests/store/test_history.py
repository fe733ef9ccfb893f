"""Annotation files that are replaced are kept for a time: `.asynccvat/history/`."""

from __future__ import annotations

import errno
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from destinations import (
    Crash,
    Disk,
    Tree,
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

from asynccvat.core.records.remembered import Remembered
from asynccvat.store import MirrorStore

pytestmark = [pytest.mark.anyio, pytest.mark.proof("Destinations")]

DAY = 86400.0
FIRST: Tree = {"annotations.xml": b"first", "images/a.jpg": b"an image"}
SECOND: Tree = {"annotations.xml": b"second", "images/a.jpg": b"another image"}


@asynccontextmanager
async def keeping(dest: Path, seconds: float = DAY) -> AsyncIterator[MirrorStore]:
    async with open_store(dest) as store:
        await store.remember(Remembered(history=seconds))
        await store.keep_history(seconds)
        yield store


def history(dest: Path) -> Tree | None:
    return read_tree(dest / ".asynccvat" / "history")


async def test_replaced_annotations_are_kept_by_task_and_date(tmp_path: Path) -> None:
    async with keeping(tmp_path) as store:
        await put(store, 7, FIRST, updated="2026-01-01T10:00:00.5Z")
        assert history(tmp_path) is None
        await put(store, 7, SECOND, updated="2026-01-02T10:00:00.5Z")
        await put(store, 7, {"annotations.xml": b"third"}, updated="2026-01-03T10:00:00.5Z")
    assert history(tmp_path) == {
        "7/2026-01-01T10:00:00.5Z/annotations.xml": b"first",
        "7/2026-01-02T10:00:00.5Z/annotations.xml": b"second",
    }
    assert read_tree(tmp_path / "task7") == {"annotations.xml": b"third"}
    assert (staged(tmp_path), kept(tmp_path)) == ([], [])


async def test_without_history_nothing_is_kept(tmp_path: Path) -> None:
    async with keeping(tmp_path, 0.0) as store:
        await put(store, 7, FIRST)
        await put(store, 7, SECOND)
    assert history(tmp_path) is None


async def test_what_the_new_version_has_too_is_not_kept(tmp_path: Path) -> None:
    async with keeping(tmp_path) as store:
        await put(store, 7, {"a/one.json": b"same", "a/two.json": b"old"}, updated="v1")
        staging = await store.stage(7)
        members = fill(staging, {"a/two.json": b"new"})
        (reusable,) = staging.reusable["a/one.json"]
        (staging.tree / "a/one.json").hardlink_to(reusable.folder / "a/one.json")
        receipt = receipt_of(7, (staging.previous.members[0], *members), updated="v2")  # type: ignore[union-attr]
        await store.commit(staging, receipt)
    assert history(tmp_path) == {"7/v1/a/two.json": b"old"}
    assert read_tree(tmp_path / "task7") == {"a/one.json": b"same", "a/two.json": b"new"}


async def test_a_removed_task_leaves_its_annotations_in_the_history(tmp_path: Path) -> None:
    async with keeping(tmp_path) as store:
        await put(store, 7, FIRST)
        await store.remove((await store.receipts())[7])
    assert history(tmp_path) == {"7/v1/annotations.xml": b"first"}
    assert listing(tmp_path) == [".asynccvat"]


async def test_edited_files_go_to_the_quarantine_as_ever(tmp_path: Path) -> None:
    async with keeping(tmp_path) as store:
        await put(store, 7, {"a.xml": b"1", "b.xml": b"2", "deep/c.xml": b"3", "deep/d.xml": b"4"})
        (tmp_path / "task7/b.xml").write_bytes(b"edited by me")
        (tmp_path / "task7/deep").rename(tmp_path / "elsewhere")
        (tmp_path / "task7/deep").symlink_to(tmp_path / "elsewhere")
        await put(store, 7, {"a.xml": b"new"})
    assert history(tmp_path) == {"7/v1/a.xml": b"1"}
    assert kept(tmp_path) == [{"b.xml": b"edited by me"}]
    assert read_tree(tmp_path / "elsewhere") == {"c.xml": b"3", "d.xml": b"4"}


async def test_a_date_that_comes_again_gets_a_number_and_a_hostile_one_leads_nowhere(
    tmp_path: Path,
) -> None:
    async with keeping(tmp_path) as store:
        for number in range(3):
            await put(store, 7, {"a.xml": b"%d" % number}, updated="v1")
        for date in ("../../../x", "..", "", "a\0b"):
            await put(store, 8, {"a.xml": date.encode()}, updated=date)
        await put(store, 8, {"a.xml": b"end"})
    assert history(tmp_path) == {
        "7/v1/a.xml": b"0",
        "7/v1-2/a.xml": b"1",
        "8/_.._.._x/a.xml": b"../../../x",
        "8/unknown/a.xml": b"..",
        "8/unknown-2/a.xml": b"",
        "8/a_b/a.xml": b"a\0b",
    }


async def test_a_disk_that_knows_no_colons_gets_names_without(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = Disk(monkeypatch)

    def no_colons(*args: object, **_: object) -> OSError | None:
        refused = any(":" in str(name) for name in args)
        return OSError(errno.EINVAL, os.strerror(errno.EINVAL)) if refused else None

    disk.fail["rename"] = no_colons
    async with keeping(tmp_path) as store:
        await put(store, 7, FIRST, updated="2026-01-01T10:00:00Z")
        await put(store, 7, SECOND)
        assert history(tmp_path) == {"7/2026-01-01T100000Z/annotations.xml": b"first"}
        disk.fail["rename"] = failing(errno.EACCES, "history")
        committed = await put(store, 7, FIRST)
    assert "the next run removes what it replaced" in committed.warnings[0]
    assert read_tree(tmp_path / "task7") == FIRST
    disk.fail.clear()
    async with keeping(tmp_path):
        pass
    assert history(tmp_path) == {
        "7/2026-01-01T100000Z/annotations.xml": b"first",
        "7/v1/annotations.xml": b"second",
    }


async def test_versions_go_after_their_time_and_others_stay(tmp_path: Path) -> None:
    async with keeping(tmp_path) as store:
        for number in range(3):
            for task_id in (7, 8):
                await put(store, task_id, {"a.xml": b"%d" % number}, updated=f"v{number}")
    place = tmp_path / ".asynccvat" / "history"
    (place / "mine").write_bytes(b"")
    long_ago = (place / "7" / "v0").stat().st_mtime - 2 * DAY
    for version in ("7/v0", "8/v0", "8/v1"):
        os.utime(place / version, (long_ago, long_ago))
    async with keeping(tmp_path, 0.0):
        assert listing(place) == ["7", "8", "mine"], "switched off, it removes nothing"
    async with keeping(tmp_path, 3 * DAY):
        assert len(listing(place / "8")) == 2
    async with keeping(tmp_path, DAY):
        assert (listing(place), listing(place / "7")) == (["7", "mine"], ["v1"])


async def test_versions_that_cannot_be_removed_are_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with keeping(tmp_path) as store:
        await put(store, 7, FIRST)
        await put(store, 7, SECOND)
    os.utime(tmp_path / ".asynccvat/history/7/v1", (0, 0))
    disk = Disk(monkeypatch)
    disk.fail["unlink"] = failing(errno.EACCES, "annotations.xml")
    async with keeping(tmp_path) as store:
        (warning,) = store.new_warnings()
    assert warning.startswith(f"cannot remove old versions in '{tmp_path}/.asynccvat/history/7': ")


async def test_wherever_a_run_dies_the_replaced_version_is_whole_in_one_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, count_cases: Callable[[int], None]
) -> None:
    disk = Disk(monkeypatch)
    old: Tree = {"a/one.xml": b"one", "a/b/two.xml": b"two", "images/a.jpg": b"an image"}
    at = 0
    died = True
    while died:
        at += 1
        dest = tmp_path / str(at)
        async with keeping(dest) as store:
            await put(store, 7, old)
        disk.revive(crash_at=at)
        try:
            async with keeping(dest) as store:
                await put(store, 7, SECOND, updated="v2")
            died = False
        except Crash:
            pass
        disk.revive()
        async with keeping(dest) as store:
            if read_tree(dest / "task7") == old:
                assert history(dest) is None
                await put(store, 7, SECOND, updated="v2")
            await store.sweep([])
        assert read_tree(dest / "task7") == SECOND
        assert history(dest) == {"7/v1/a/one.xml": b"one", "7/v1/a/b/two.xml": b"two"}
        assert (staged(dest), kept(dest)) == ([], [])
    count_cases(at)
    assert at > 30
