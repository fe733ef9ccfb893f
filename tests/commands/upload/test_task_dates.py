"""The dates of tasks, read for many uploads together."""

from __future__ import annotations

import re
from pathlib import Path

import anyio
import pytest
from engine_serving import QUICK, serving, until

import asynccvat as ac
from asynccvat.aio.task_groups import task_group
from asynccvat.commands.upload.task_dates import TaskDates
from asynccvat.simulator import Fault

pytestmark = pytest.mark.anyio

TASKS = range(1, 41)


async def dates_of(dates: TaskDates) -> dict[int, str]:
    found: dict[int, str] = {}

    async def read(task_id: int) -> None:
        found[task_id] = await dates.updated_date(task_id)

    async with task_group() as group:
        for task_id in TASKS:
            group.start_soon(read, task_id)
    return found


async def test_tasks_that_ask_at_once_share_a_list() -> None:
    async with serving(len(TASKS)) as serve:
        found = await dates_of(TaskDates(serve.client))
        expected = {task.id: task.updated_date for task in (await serve.client.tasks()).tasks}
        assert found == expected
        assert len(serve.calls("GET", "/api/tasks")) <= 4, "one of them is this test's own"


async def test_a_change_before_a_task_asks_is_seen() -> None:
    async with serving(3) as serve:
        serve.server.faults.add(Fault(path=r"/api/tasks\?", delay=0.2))
        dates = TaskDates(serve.client)
        found: dict[int, str] = {}

        async def read(task_id: int) -> None:
            found[task_id] = await dates.updated_date(task_id)

        async with task_group() as group:
            group.start_soon(read, 1)
            await until(lambda: len(serve.server.faults) == 0)
            serve.server.edit_task(2)
            group.start_soon(read, 2)
            group.start_soon(read, 3)
        assert found[2] == (await serve.client.task(2)).updated_date


async def test_without_the_list_each_task_is_asked_for() -> None:
    async with serving(len(TASKS)) as serve:
        expected = {task.id: task.updated_date for task in (await serve.client.tasks()).tasks}
        serve.server.faults.add(Fault(path=r"/api/tasks\?", status=400, times=None))
        before = len(serve.server.calls)
        assert await dates_of(TaskDates(serve.client)) == expected
        assert len(serve.calls("/api/tasks?", since=before)) <= 1, "it is not tried again"


async def test_a_task_that_is_gone_says_so_and_hinders_no_other() -> None:
    async with serving(4) as serve:
        serve.server.delete_task(3)
        dates = TaskDates(serve.client)
        gone: list[int] = []

        async def read(task_id: int) -> None:
            try:
                await dates.updated_date(task_id)
            except ac.errors.NotFoundError:
                gone.append(task_id)

        async with task_group() as group:
            for task_id in (1, 2, 3, 4):
                group.start_soon(read, task_id)
        assert gone == [3]


async def test_a_cancelled_reader_leaves_its_batch_to_another() -> None:
    async with serving(4) as serve:
        dates = TaskDates(serve.client)
        found: dict[int, str] = {}

        async def read(task_id: int, scope: anyio.CancelScope | None = None) -> None:
            with scope or anyio.CancelScope():
                found[task_id] = await dates.updated_date(task_id)

        serve.server.faults.add(Fault(path=r"/api/tasks\?", delay=30.0))
        second = anyio.CancelScope()
        with anyio.fail_after(10):
            async with task_group() as group:
                group.start_soon(read, 2, second)
                for task_id in (1, 3, 4):
                    group.start_soon(read, task_id)
                await until(lambda: len(serve.server.faults) == 0)
                second.cancel()
        assert set(found) == {1, 3, 4}


async def test_uploads_to_a_mirror_need_no_call_more_for_each_task(data: Path) -> None:
    async with serving(len(TASKS)) as serve:
        assert (await ac.mirror(serve.client, data, options=QUICK)).ok
        before = len(serve.server.calls)
        forced = ac.UploadOptions(durable=False, force=True)
        assert (await ac.upload(serve.client, data, options=forced)).ok
        paths = [call.path for call in serve.calls("GET", since=before)]
    assert sum(path.endswith("/annotations") for path in paths) == 2 * len(TASKS)
    assert not any(re.fullmatch(r"/api/tasks/\d+", path) for path in paths)
    assert paths.count("/api/tasks") <= len(TASKS) * 0.75
