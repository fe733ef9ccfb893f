"""The progress of every verb ends whole: all is counted, and nothing is under way any more."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
from engine_serving import Serving, serving
from every_verb import VERBS, Verb, backup, mirror

import asynccvat as ac
from asynccvat.events import Planned, RunStarted, TaskStarted
from asynccvat.progress import RunProgress
from asynccvat.simulator import Fault

pytestmark = pytest.mark.anyio


async def progress_of(verb: Verb, serve: Serving, folder: Path) -> tuple[RunProgress, ac.RunReport]:
    """Run a verb; its events are a second apart."""
    progress, seconds = RunProgress(0.0), itertools.count(1.0)
    seen: list[ac.Event] = []

    def on_event(event: ac.Event) -> None:
        seen.append(event)
        now = next(seconds)
        progress.apply(event, now)
        assert sum(progress.stages(now).values()) == len(progress.flights)
        assert progress.total is None or progress.done <= progress.total

    report = await verb(serve, folder, on_event)
    assert isinstance(seen[0], RunStarted)
    assert any(isinstance(event, Planned) for event in seen)
    assert any(isinstance(event, TaskStarted) for event in seen)
    return progress, report


@pytest.mark.parametrize("verb", VERBS, ids=lambda verb: str(verb.__name__))
async def test_the_progress_of_a_verb_ends_whole(verb: Verb, tmp_path: Path) -> None:
    async with serving(3) as serve:
        progress, report = await progress_of(verb, serve, tmp_path)
    assert report.ok, report.failures
    assert progress.total == progress.done == len(report.outcomes)
    assert progress.fraction == 1.0
    assert progress.seconds_left(10_000.0) is None
    assert (len(progress.flights), progress.failed) == (0, 0)
    assert progress.transferred == report.transferred
    names = {outcome.name for outcome in report.outcomes}
    assert {slow.name for slow in progress.slowest_done} <= names


@pytest.mark.parametrize("verb", [mirror, backup], ids=lambda verb: str(verb.__name__))
async def test_what_failed_is_not_under_way_any_more(verb: Verb, tmp_path: Path) -> None:
    async with serving(3) as serve:
        serve.server.faults.add(Fault(export="fail", task_id=2))
        progress, report = await progress_of(verb, serve, tmp_path)
    assert len(report.failures) == 1
    assert (progress.failed, progress.done, progress.total) == (1, 3, 3)
    assert len(progress.flights) == 0
