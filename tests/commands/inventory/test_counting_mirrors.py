"""Count what a mirror as JSON holds: tasks that are chosen, and tasks that cannot be counted."""

from __future__ import annotations

from pathlib import Path

import pytest
from engine_serving import QUICK, serving

import asynccvat as ac
from asynccvat import errors
from asynccvat.models import TaskStatistics

pytestmark = pytest.mark.anyio


@pytest.fixture
async def mirrored(data: Path) -> dict[int, int]:
    """A mirror of three tasks, and how many annotations the server has of each."""
    async with serving(3) as serve:
        assert (await ac.mirror(serve.client, data, spec="json", options=QUICK)).ok
        tasks = [await serve.client.annotations(task) for task in (1, 2, 3)]
    return {one.task_id: one.counts.total for one in tasks}


async def test_every_task_is_counted_as_the_server_counts_it(
    data: Path, mirrored: dict[int, int]
) -> None:
    told: list[tuple[int, int]] = []
    found = await ac.stats(data, on_task=lambda one, total: told.append((one.task_id, total)))
    assert {one.task_id: one.counts.objects for one in found.tasks if one.counts} == mirrored
    assert (found.total.images, found.total.objects) == (6, sum(mirrored.values()))
    assert told == [(1, 3), (2, 3), (3, 3)]


@pytest.mark.usefixtures("mirrored")
async def test_only_chosen_tasks_are_counted(data: Path) -> None:
    assert [one.task_id for one in (await ac.stats(data, task_ids=[2])).tasks] == [2]
    assert [one.task_id for one in (await ac.stats(data, folders=["*k3"])).tasks] == [3]
    with pytest.raises(errors.ConfigError, match="holds no such task as JSON"):
        await ac.stats(data, task_ids=[9])
    with pytest.raises(TypeError, match="a list of patterns"):
        await ac.stats(data, folders="task1")


@pytest.mark.usefixtures("mirrored")
async def test_a_task_that_cannot_be_counted_stops_no_other(data: Path) -> None:
    (data / "task2" / "annotations.json").write_bytes(b"[")
    for path in (data / "task3").iterdir():
        path.unlink()
    (data / "task3").rmdir()
    found = await ac.stats(data)
    counted = [one.task_id for one in found.tasks if one.counts is not None]
    assert counted == [1]
    why = {one.task_id: one.why or "" for one in found.failed}
    assert "annotations.json is not as expected" in why[2]
    assert "cannot read" in why[3]
    assert isinstance(found.failed[0], TaskStatistics)


async def test_a_mirror_of_another_format_is_refused(data: Path) -> None:
    async with serving(1) as serve:
        await ac.mirror(serve.client, data, options=QUICK)
    with pytest.raises(errors.ConfigError, match=r"cannot count .*: it holds no task as JSON"):
        await ac.stats(data)
