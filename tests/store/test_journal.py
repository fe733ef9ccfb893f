"""A journal: lines count once they are durable, a torn last one is dropped, one process writes."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from asynccvat.errors import DriveError, StoreError, StoreLockedError
from asynccvat.fs import files
from asynccvat.store import journal
from asynccvat.store.journal import Journal

pytestmark = pytest.mark.anyio

WHAT: dict[str, Any] = {"kind": "restores", "origin": "http://cvat:8080", "organization": None}
LINES = [{"step": "begun", "id": number, "name": "Ünïcode\n"} for number in range(3)]


async def written(folder: Path, *lines: dict[str, Any], **more: Any) -> Path:
    async with Journal.open(folder, "here", **WHAT, **more) as journal:
        for line in lines:
            await journal.note(line)
    return folder / "here.jsonl"


async def lines_of(folder: Path, **more: Any) -> list[Any]:
    async with Journal.open(folder, "here", **WHAT, **more) as journal:
        return list(journal.lines)


@pytest.mark.parametrize(
    ("number", "says"),
    [
        (errno.EACCES, "Give this user the right to write there, or name another place with "),
        (errno.EROFS, "Mount the file system for writing, or name another place with "),
    ],
)
@pytest.mark.parametrize("option", ["--journal", "--log"])
async def test_a_place_that_cannot_be_written_to_has_an_option(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, says: str, option: str
) -> None:
    def failing(*_: Any, **__: Any) -> Any:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(journal, "make_folders", failing)
    with pytest.raises(StoreError) as refused:
        await written(tmp_path / "backups", option=option)
    assert str(refused.value).endswith(f"{os.strerror(number)}. {says}{option}.")


async def test_lines_are_read_back_in_their_order(tmp_path: Path) -> None:
    folder = tmp_path / "deep" / "journals"
    assert await lines_of(folder, read_only=True) == []
    await written(folder, *LINES[:2])
    await written(folder, *LINES[2:])
    assert await lines_of(folder) == LINES
    assert await lines_of(folder, read_only=True) == LINES


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(cut=st.integers(0, 400), tail=st.binary(max_size=8))
async def test_a_cut_journal_holds_the_lines_that_are_whole(
    tmp_path_factory: pytest.TempPathFactory, cut: int, tail: bytes
) -> None:
    folder = tmp_path_factory.mktemp("cut")
    path = await written(folder, *LINES, durable=False)
    content = path.read_bytes()
    kept = content[:cut]
    whole = max(kept.count(b"\n") - 1, 0)
    path.write_bytes(kept + tail.replace(b"\n", b""))
    assert await lines_of(folder, read_only=True) == LINES[:whole]
    assert await lines_of(folder, durable=False) == LINES[:whole]
    await written(folder, {"step": "after"}, durable=False)
    assert await lines_of(folder) == [*LINES[:whole], {"step": "after"}]


async def test_a_last_line_whose_bytes_did_not_all_come_is_dropped(tmp_path: Path) -> None:
    path = await written(tmp_path, *LINES)
    content = path.read_bytes()
    last = content.rindex(b"\n", 0, -1) + 1
    path.write_bytes(content[:last] + b"\0" * (len(content) - last - 1) + b"\n")
    assert await lines_of(tmp_path) == LINES[:2]


async def test_a_damaged_line_in_the_middle_is_refused(tmp_path: Path) -> None:
    path = await written(tmp_path, *LINES)
    first, second, *rest = path.read_bytes().split(b"\n")
    path.write_bytes(b"\n".join([first, second[:-1], *rest]))
    with pytest.raises(StoreError, match="line 2 is damaged"):
        await lines_of(tmp_path)


@pytest.mark.parametrize(
    ("head", "says"),
    [
        (b"[]", "its first line is damaged"),
        (b'{"version": 2}', "a newer asynccvat wrote it"),
        (
            b'{"version":1,"kind":"restores","origin":"https://other","organization":null}',
            "holds the restores of https://other",
        ),
    ],
)
async def test_a_journal_of_another_origin_is_refused(
    tmp_path: Path, head: bytes, says: str
) -> None:
    path = await written(tmp_path, *LINES)
    path.write_bytes(head + b"\n")
    with pytest.raises(StoreError, match=says):
        await lines_of(tmp_path)


async def test_one_process_writes_at_a_time(tmp_path: Path) -> None:
    async with Journal.open(tmp_path, "here", **WHAT) as journal:
        with pytest.raises(StoreLockedError):
            await written(tmp_path)
        await journal.note(LINES[0])
        # Reading needs no lock.
        assert await lines_of(tmp_path, read_only=True) == LINES[:1]
        await written(tmp_path, LINES[1], break_lock=True)
        with pytest.raises(StoreLockedError):
            await journal.note(LINES[2])
    assert await lines_of(tmp_path) == LINES[:2]


async def test_a_journal_for_reading_takes_no_lines(tmp_path: Path) -> None:
    async with Journal.open(tmp_path, "here", **WHAT, read_only=True) as journal:
        with pytest.raises(StoreError, match="opened for reading"):
            await journal.note(LINES[0])


async def test_a_second_name_of_the_file_is_refused(tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    mine.write_text("mine")
    os.link(mine, tmp_path / "here.jsonl")
    with pytest.raises(StoreError, match="not a plain file"):
        await written(tmp_path)
    assert mine.read_text() == "mine"


async def test_after_a_failed_sync_no_line_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with Journal.open(tmp_path, "here", **WHAT) as journal:
        await journal.note(LINES[0])

        def failing(_fd: int) -> None:
            raise OSError(errno.EIO, "no")

        monkeypatch.setattr(files, "fsync", failing)
        with pytest.raises(DriveError):
            await journal.note(LINES[1])
        monkeypatch.undo()
        with pytest.raises(DriveError):
            await journal.note(LINES[2])


class KilledError(BaseException):
    """The process ends here."""


class Death:
    """Ends the process at an effect on the disk, whose number it counts to."""

    def __init__(self, patch: pytest.MonkeyPatch, at: int, *, half: bool) -> None:
        self.at = at
        self.half = half
        self.count = 0
        self.came = False
        for name in ("truncate", "write", "fsync", "open_or_create", "make_directories"):
            patch.setattr(files, name, self.dying(name, getattr(files, name)))

    def dying(self, name: str, effect: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **more: Any) -> Any:
            self.count += 1
            if self.count < self.at:
                return effect(*args, **more)
            if name == "write" and self.half and not self.came:
                effect(args[0], args[1][: len(args[1]) // 2])
            self.came = True
            raise KilledError

        return call


@pytest.mark.parametrize("half", [False, True], ids=["before", "in the midst of it"])
async def test_a_kill_at_any_effect_leaves_a_journal_of_whole_lines(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, half: bool
) -> None:
    """A line that `note` returned from is there; one under way is there or not, never a part."""
    for at in range(1, 100):
        folder, noted = tmp_path / str(at), 0
        death = Death(monkeypatch, at, half=half)
        try:
            async with Journal.open(folder, "here", **WHAT) as journal:
                for line in LINES:
                    await journal.note(line)
                    noted += 1
        except KilledError:
            pass
        monkeypatch.undo()
        found = await lines_of(folder)
        assert found == LINES[: len(found)]
        assert noted <= len(found) <= noted + 1
        assert await lines_of(folder) == found
        if not death.came:
            break
    assert at > 8


async def test_a_refused_sync_of_a_folder_above_is_no_folder_that_cannot_be_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    above = tmp_path.stat()

    def refusing(fd: int) -> None:
        if os.path.samestat(os.fstat(fd), above):
            raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(files, "fsync", refusing)
    with pytest.raises(StoreError, match="Permission denied"):
        await written(tmp_path / "journals", *LINES)


async def test_a_folder_above_that_cannot_be_read_is_not_synced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opening = files.open_directory

    def refusing(path: Path) -> int:
        if path == tmp_path:
            raise PermissionError(errno.EACCES, "Permission denied")
        return opening(path)

    monkeypatch.setattr(files, "open_directory", refusing)
    await written(tmp_path / "journals", *LINES)
    assert await lines_of(tmp_path / "journals") == LINES
