"""The system refuses any call of a backup run: the error is named, and each zip is whole or absent.

Errors are injected into every function of `files` that changes something on the disk, by its number
among the calls of a run that backs a changed task up, removes its older backup, and adds a task.
"""

from __future__ import annotations

import errno
import random
import shutil
import zipfile
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from failing_disk import FailingDisk, Refusal, hurry, open_below
from memory_folders import in_memory

import asynccvat as ac
from asynccvat.simulator import SimulatedServer, SimulatorOptions

pytestmark = [pytest.mark.anyio, pytest.mark.proof("Disk errors")]

ERRORS = (errno.ENOSPC, errno.EIO, errno.EACCES, errno.EROFS, errno.EMFILE, errno.EDQUOT)
SAMPLE = 12
OPTIONS = ac.BackupOptions(transfers=1, concurrency=1, keep=1)


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> FailingDisk:
    hurry(monkeypatch)
    return FailingDisk(monkeypatch)


@pytest.fixture
def place() -> Iterator[Path]:
    with in_memory() as folder:
        yield folder


def zips(dest: Path) -> Counter[str]:
    """How many backups each task has; each is a whole archive."""
    found: Counter[str] = Counter()
    for path in dest.glob("*/*.zip"):
        with zipfile.ZipFile(path) as archive:
            assert archive.testzip() is None, path
        found[path.parent.name] += 1
    return found


@dataclass(frozen=True)
class Stage:
    """A server, and a destination whose first task was edited since, and whose third is missing."""

    client: ac.CvatClient
    place: Path

    def fresh(self) -> Path:
        dest = self.place / "case"
        shutil.rmtree(dest, ignore_errors=True)
        return shutil.copytree(self.place / "before", dest, copy_function=shutil.copy2)

    async def back_up(self, dest: Path) -> ac.RunReport:
        return await ac.backup(self.client, dest, options=OPTIONS)


@pytest.fixture
async def stage(place: Path, disk: FailingDisk) -> AsyncIterator[Stage]:
    disk.refuse(None)
    async with (
        SimulatedServer(SimulatorOptions(tasks=2, frames=1, frame_bytes=70_000)) as server,
        ac.CvatClient(server.url, token=server.token) as client,
    ):
        made = Stage(client, place)
        assert (await made.back_up(place / "before")).ok
        server.edit_task(1)
        server.add_task(frames=1)
        yield made


async def meet(stage: Stage, disk: FailingDisk, refusal: Refusal) -> bool:
    """Back up while something is refused, then once more; tells whether it came to that."""
    dest = stage.fresh()
    disk.refuse(refusal)
    told: list[BaseException | None] = []
    try:
        report = await stage.back_up(dest)
    except ac.AsyncCvatError as error:
        told.append(error)
    else:
        told += [one.error for one in report.failures]
        told += [report.stopped_by] if report.stopped_by is not None else []
    met = bool(disk.refused)
    assert disk.synced_again == 0, "what a sync failed for was synced again"
    disk.refuse(None)
    for one in told:
        assert isinstance(one, ac.StoreError), repr(one)
    assert open_below(dest) == []
    assert set(zips(dest)) >= {"task1", "task2"}, "the last good backup of a task is lost"
    again = await stage.back_up(dest)
    assert again.ok, again.to_json()
    assert zips(dest) == {"task1": 1, "task2": 1, "task3": 1}
    checked = await ac.verify(dest)
    assert checked.ok, checked.problems
    assert not checked.problems
    assert list((dest / ".asynccvat/staging").iterdir()) == []
    return met


async def test_an_error_at_any_effect_of_a_backup_loses_no_backup(
    stage: Stage, disk: FailingDisk, count_cases: Callable[[int], None], *, thorough: bool
) -> None:
    disk.refuse(Refusal(errno.EIO, 1_000_000))
    dest = stage.fresh()
    assert (await stage.back_up(dest)).ok
    effects = disk.effects
    assert effects > 20
    cases = [
        Refusal(number, at, for_good=for_good)
        for number in ERRORS
        for at in range(1, effects + 1)
        for for_good in (False, True)
    ]
    chosen = cases if thorough else random.Random("backups").sample(cases, SAMPLE)
    met = 0
    for refusal in chosen:
        try:
            met += await meet(stage, disk, refusal)
        except BaseException as error:
            error.add_note(f"the case: {refusal}, which met {disk.refused[:3]}")
            raise
    assert met > len(chosen) * 0.9
    count_cases(met)
