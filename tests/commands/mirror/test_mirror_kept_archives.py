"""Check kept archives if the commit of their task fails."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from engine_serving import QUICK, actions, error, files, serving

import asynccvat as ac
from asynccvat.fs import files as disk

pytestmark = pytest.mark.anyio

KEEPING = replace(QUICK, keep_archive=True)


@pytest.fixture
def refuse(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Let an operation on the disk fail for a name, this many times."""

    def refusing(effect: str, name: str, number: int = errno.EACCES, *, times: int = 1) -> None:
        real = getattr(disk, effect)
        left = times

        def call(first: object, *args: object, **kwargs: object) -> object:
            nonlocal left
            if first == name and left:
                left -= 1
                raise OSError(number, os.strerror(number))
            return real(first, *args, **kwargs)

        monkeypatch.setattr(disk, effect, call)

    return refusing


async def test_an_archive_stays_if_recovery_finishes_its_commit(
    data: Path, refuse: Callable[..., None]
) -> None:
    async with serving(1) as serve:
        refuse("rename", "receipt.json")
        report = await ac.mirror(serve.client, data, options=KEEPING)
        assert actions(report) == {1: ("failed", "new")}
        report = await ac.mirror(serve.client, data, options=KEEPING)
        assert actions(report) == {1: ("kept", "unchanged")}
        assert sorted(files(data / ".asynccvat/archives", own=True)) == ["1.zip"]


async def test_an_archive_is_rolled_back_with_an_unpublished_tree(
    data: Path, refuse: Callable[..., None]
) -> None:
    async with serving(1) as serve:
        refuse("rename", "tree")
        report = await ac.mirror(serve.client, data, options=KEEPING)
        assert actions(report) == {1: ("failed", "new")}
        assert files(data / ".asynccvat/archives", own=True) == {}


@pytest.mark.parametrize(
    ("effect", "name"),
    [("rename", "1.zip.part"), ("rename", "receipt.json"), ("exchange", "tree"), ("mkdir", "tree")],
)
async def test_an_earlier_archive_stays_with_its_folder_if_the_commit_fails(
    data: Path, refuse: Callable[..., None], effect: str, name: str
) -> None:
    archives = data / ".asynccvat/archives"
    async with serving(1) as serve:
        await ac.mirror(serve.client, data, options=KEEPING)
        before = files(archives, own=True)
        refuse(effect, name)
        again = replace(KEEPING, force=True)
        report = await ac.mirror(serve.client, data, options=again)
        assert actions(report) == {1: ("failed", "forced")}
        report = await ac.mirror(serve.client, data, options=KEEPING)
        assert actions(report) == {1: ("kept", "unchanged")}
        after = files(archives, own=True)
        assert after.keys() == before.keys() == {"1.zip"}


async def test_leftovers_next_to_archives_are_swept(data: Path) -> None:
    archives = data / ".asynccvat/archives"
    async with serving(1) as serve:
        await ac.mirror(serve.client, data, options=KEEPING)
        (archives / "1.zip.before").write_bytes(b"the one before")
        await ac.mirror(serve.client, data, options=QUICK)
        assert files(archives, own=True).keys() == {"1.zip"}


async def test_an_archive_that_cannot_be_removed_is_a_note_to_the_commits_own_error(
    data: Path, refuse: Callable[..., None]
) -> None:
    async with serving(1) as serve:
        refuse("rename", "tree", errno.EXDEV)
        refuse("unlink", "1.zip")
        report = await ac.mirror(serve.client, data, options=KEEPING)
        failure = error(report, 1)
        assert "single file system" in str(failure)
        assert any("cannot restore the earlier archive in" in note for note in failure.__notes__)
