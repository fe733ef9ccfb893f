"""The system refuses any effect of a run that changes a server: nothing is begun that is not noted.

The error is named. The next run, which nothing disturbs, ends at the server like one that met no
error: nothing was made twice, and nothing is missing.
"""

from __future__ import annotations

import errno
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from changing_runs import MAKING, RUNS, ChangingRun, hurry, unheard
from failing_disk import FailingDisk, Refusal, open_below
from memory_folders import in_memory

import asynccvat as ac

pytestmark = [pytest.mark.anyio, pytest.mark.proof("Disk errors")]

ERRORS = (errno.ENOSPC, errno.EIO, errno.EACCES, errno.EROFS, errno.EMFILE, errno.EDQUOT)
SAMPLE = 6


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> FailingDisk:
    hurry(monkeypatch)
    return FailingDisk(monkeypatch)


@pytest.fixture
def place() -> Iterator[Path]:
    with in_memory() as folder:
        yield folder


async def undisturbed(kind: ChangingRun, disk: FailingDisk, folder: Path) -> tuple[Any, int]:
    """Run without an error. Returns what the server has then, and how many effects there were."""
    async with kind.opened(folder) as stage:
        disk.refuse(Refusal(errno.EIO, 1_000_000))
        report = await stage.act(folder, unheard)
        assert report.ok, report.to_json()
        return await stage.held(), disk.effects


async def meet(
    kind: ChangingRun, disk: FailingDisk, folder: Path, refusal: Refusal, wanted: Any
) -> bool:
    """Run while something is refused, then twice more; tells whether it came to that."""
    disk.refuse(None)
    async with kind.opened(folder) as stage:
        disk.refuse(refusal)
        told: list[BaseException | None] = []
        try:
            report = await stage.act(folder, unheard)
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
        assert open_below(folder) == []
        again = await stage.act(folder, unheard)
        assert again.ok, again.to_json()
        assert await stage.held() == wanted
        last = await stage.act(folder, unheard)
        assert last.ok, last.to_json()
        assert not {one.action for one in last.outcomes}.intersection(MAKING), "it is done again"
    return met


@pytest.mark.parametrize("name", RUNS)
async def test_after_an_error_at_any_effect_the_next_run_ends_the_same(
    place: Path,
    disk: FailingDisk,
    name: str,
    count_cases: Callable[[int], None],
    *,
    thorough: bool,
) -> None:
    kind = RUNS[name]
    wanted, effects = await undisturbed(kind, disk, place / "whole" / "data")
    assert effects > 10
    cases = [
        Refusal(number, at, for_good=for_good)
        for number in ERRORS
        for at in range(1, effects + 1)
        for for_good in (False, True)
    ]
    chosen = cases if thorough else random.Random(name).sample(cases, SAMPLE)
    met = 0
    for number, refusal in enumerate(chosen):
        try:
            met += await meet(kind, disk, place / str(number) / "data", refusal, wanted)
        except BaseException as error:
            error.add_note(f"the case: {refusal}, which met {disk.refused[:3]}")
            raise
    assert met > len(chosen) * 0.9
    count_cases(met)
