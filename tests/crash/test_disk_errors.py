"""Whatever the system refuses, at whichever call: a word, nothing broken, and the next run ends it.

Errors are injected into every function of `files` that touches the disk, by its number among the
calls of a run that does all that a mirror can do.
"""

from __future__ import annotations

import contextlib
import errno
import os
import random
import re
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest
from failing_disk import (
    LOOKS,
    SYNCS,
    FailingDisk,
    Refusal,
    Scene,
    hurry,
    open_below,
    scene,
)

import asynccvat as ac
from asynccvat import files

pytestmark = [pytest.mark.anyio, pytest.mark.proof("Disk errors")]

ERRORS = (
    errno.EACCES,
    errno.EROFS,
    errno.EMFILE,
    errno.ENFILE,
    errno.EIO,
    errno.EPERM,
    errno.EDQUOT,
    errno.ENOSPC,
    errno.ELOOP,
    errno.ESTALE,
    errno.EBUSY,
)
OF_EVERY_TASK = (errno.EROFS, errno.EIO, errno.EDQUOT, errno.ENOSPC)
"""What the next task would meet as well: the run stops."""


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> FailingDisk:
    hurry(monkeypatch)
    return FailingDisk(monkeypatch)


@pytest.fixture
def place() -> Iterator[Path]:
    """In memory, where that can be: thousands of destinations are made."""
    shm = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=shm if shm.is_dir() else None) as folder:
        yield Path(folder)


@pytest.fixture
async def stage(place: Path, disk: FailingDisk) -> AsyncIterator[Scene]:
    disk.refuse(None)
    async with scene(place) as made:
        yield made


@contextlib.contextmanager
def told_of(refusal: Refusal, disk: FailingDisk) -> Iterator[None]:
    """Let a failed case say which one it was."""
    try:
        yield
    except BaseException as error:
        error.add_note(f"the case: {refusal}, which met {disk.refused[:3]}")
        raise


def check_told(error: BaseException | None, number: int, place: Path) -> None:
    """An error says what happened, to which task or where, and what to do."""
    assert isinstance(error, ac.StoreError), repr(error)
    text = str(error)
    assert str(place) in text or re.search(r"\btask \d", text), text
    _, said, remedy = text.partition(os.strerror(number))
    assert said, text
    assert len(remedy.removeprefix("; ")) > 10, text
    assert isinstance(error, ac.DiskFullError) == (number in (errno.ENOSPC, errno.EDQUOT))
    assert isinstance(error, ac.DriveError) == (number in (errno.EIO, errno.EROFS))


async def meet(stage: Scene, disk: FailingDisk, refusal: Refusal) -> bool:
    """Mirror while something is refused, then once more; tells whether it came to that."""
    dest = stage.fresh()
    disk.refuse(refusal)
    report = None
    try:
        report = await stage.mirror(dest)
    except ac.AsyncCvatError as error:
        check_told(error, refusal.number, dest)
    met = list(disk.refused)
    assert disk.synced_again == 0, "what a sync failed for was synced again"
    disk.refuse(None)
    if report is not None:
        _check_report(report, refusal, met, dest)
    assert open_below(dest) == []
    stage.check_whole(dest)
    await stage.check_next_run(dest)
    return bool(met)


def _check_report(report: ac.MirrorReport, refusal: Refusal, met: list[str], dest: Path) -> None:
    for outcome in report.failures:
        check_told(outcome.error, refusal.number, dest)
    stopped = report.stopped_by
    if stopped is not None:
        check_told(stopped, refusal.number, dest)
        assert refusal.number in OF_EVERY_TASK
    elif report.failures:
        assert refusal.number not in OF_EVERY_TASK, "it goes on"
        if not refusal.for_good and met[0] not in SYNCS:
            # A failed sync is all of its group's, and of whatever would come after it.
            assert len(report.failures) == 1, "one failure stays one"


async def count_calls(stage: Scene, disk: FailingDisk) -> dict[str, int]:
    """How often each function is called by a run that nothing disturbs."""
    disk.refuse(None)
    await stage.mirror(stage.fresh())
    return dict(disk.counts)


async def test_every_kind_of_call_meets_some_error_and_every_error_some_kind_of_call(
    stage: Scene, disk: FailingDisk, count_cases: Callable[[int], None]
) -> None:
    chance = random.Random(147)
    counts = await count_calls(stage, disk)
    assert {*counts, "exchange", "sync_filesystem", "touch"} >= {*files.EFFECTS, *LOOKS}
    cases = []
    for which, (name, count) in enumerate(sorted(counts.items())):
        number = ERRORS[which % len(ERRORS)]
        cases.append(Refusal(number, chance.randint(1, count), (name,)))
    total = sum(counts.get(name, 0) for name in files.EFFECTS)
    cases += [Refusal(each, chance.randint(1, total), for_good=True) for each in ERRORS]
    for refusal in cases:
        with told_of(refusal, disk):
            # What comes at the same time may come in another order, and so be one call less.
            met = await meet(stage, disk, refusal)
            assert met or refusal.at > 1
    count_cases(len(cases))


@pytest.mark.thorough
@pytest.mark.parametrize("number", ERRORS, ids=errno.errorcode.get)
async def test_an_error_at_any_effect(
    number: int, stage: Scene, disk: FailingDisk, count_cases: Callable[[int], None]
) -> None:
    count_cases(await _meet_each(stage, disk, number, files.EFFECTS, for_good=False))


@pytest.mark.thorough
@pytest.mark.parametrize(
    "number", [errno.EROFS, errno.ENOSPC, errno.EMFILE], ids=errno.errorcode.get
)
async def test_an_error_from_any_effect_on(
    number: int, stage: Scene, disk: FailingDisk, count_cases: Callable[[int], None]
) -> None:
    count_cases(await _meet_each(stage, disk, number, files.EFFECTS, for_good=True))


@pytest.mark.thorough
@pytest.mark.parametrize(
    "number", [errno.EACCES, errno.EIO, errno.EMFILE, errno.ESTALE], ids=errno.errorcode.get
)
async def test_an_error_at_any_look(
    number: int, stage: Scene, disk: FailingDisk, count_cases: Callable[[int], None]
) -> None:
    count_cases(await _meet_each(stage, disk, number, LOOKS, for_good=False))


async def _meet_each(
    stage: Scene, disk: FailingDisk, number: int, calls: tuple[str, ...], *, for_good: bool
) -> int:
    counts = await count_calls(stage, disk)
    total = sum(counts.get(name, 0) for name in calls)
    assert total > 100
    for at in range(1, total + 1):
        refusal = Refusal(number, at, calls, for_good=for_good)
        with told_of(refusal, disk):
            await meet(stage, disk, refusal)
    return total
