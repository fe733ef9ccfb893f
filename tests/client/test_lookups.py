"""Many comparisons share lists, and make one call at a time while others go first."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator

import anyio
import anyio.lowlevel
import pytest
from engine_serving import Serving, serving

from asynccvat.aio.task_groups import task_group
from asynccvat.client.lookups import TaskLookups
from asynccvat.errors import AuthenticationError, NotFoundError
from asynccvat.simulator import Fault

pytestmark = pytest.mark.anyio


@pytest.fixture
async def serve() -> AsyncIterator[Serving]:
    async with serving(30) as running:
        yield running


async def settle() -> None:
    for _ in range(5):
        await anyio.lowlevel.checkpoint()


async def compare(lookups: TaskLookups, task_id: int) -> tuple[int, int | None, list[int | None]]:
    task = await lookups.task(task_id)
    jobs = await lookups.jobs(task_id)
    await lookups.annotations(task_id)
    return task.id, task.size, [job.task_id for job in jobs]


@pytest.mark.parametrize("is_busy", [True, False], ids=["busy", "idle"])
async def test_comparisons_at_once_share_lists(serve: Serving, is_busy: bool) -> None:
    lookups = TaskLookups(serve.client, is_busy=lambda: is_busy)
    await serve.client.login()
    since = len(serve.server.calls)
    async with task_group() as group:
        found = [group.start(compare, lookups, number) for number in range(1, 31)]
    assert [one.result for one in found] == [(number, 2, [number]) for number in range(1, 31)]
    calls = Counter(call.path.rpartition("/")[2] for call in serve.server.calls[since:])
    assert calls["annotations"] == 30
    assert calls["tasks"] <= 3
    # How many answers come together is up to the event loop: 3.12 takes one list more.
    assert calls["jobs"] <= 8


async def test_a_task_that_is_gone_fails_alone(serve: Serving) -> None:
    lookups = TaskLookups(serve.client, is_busy=lambda: True)
    failed: list[NotFoundError] = []

    async def ask(number: int) -> None:
        try:
            assert (await lookups.task(number)).id == number
        except NotFoundError as error:
            failed.append(error)

    async with task_group() as group:
        for number in (1, 2, 999, 3):
            group.start_soon(ask, number)
    assert [error.task_id for error in failed] == [999]
    assert await lookups.jobs(999) == ()


@pytest.mark.parametrize("status", [400, 502])
async def test_where_the_server_fails_lists_each_task_is_read_alone(
    serve: Serving, status: int
) -> None:
    serve.server.faults.add(Fault(path=r"/api/tasks\?", status=status, times=None))
    lookups = TaskLookups(serve.client)
    async with task_group() as group:
        found = [group.start(compare, lookups, number) for number in range(1, 6)]
    assert [one.result for one in found] == [(number, 2, [number]) for number in range(1, 6)]
    failed = len(serve.calls("/api/tasks?"))
    assert await compare(lookups, 6) == (6, 2, [6])
    assert len(serve.calls("/api/tasks?")) == failed, "it is not tried again"


async def test_what_fails_every_call_fails_the_list(serve: Serving) -> None:
    serve.server.faults.add(Fault(path="/api/tasks", status=401, times=None))
    lookups = TaskLookups(serve.client)
    errors: list[AuthenticationError] = []

    async def ask(number: int) -> None:
        with pytest.raises(AuthenticationError) as caught:
            await lookups.task(number)
        errors.append(caught.value)

    async with task_group() as group:
        for number in (1, 2, 3):
            group.start_soon(ask, number)
    assert len({id(error) for error in errors}) == 3


async def test_while_other_calls_go_first_comparisons_make_one_call_at_a_time(
    serve: Serving,
) -> None:
    busy = True
    lookups = TaskLookups(serve.client, is_busy=lambda: busy)
    began: list[int] = []

    async def read(number: int) -> None:
        async with lookups.turn:
            began.append(number)
            await release.wait()

    release = anyio.Event()
    async with task_group() as group:
        for number in range(16):
            group.start_soon(read, number)
        await settle()
        assert began == [0]
        group.start_soon(read, 16)
        await settle()
        assert began == [0, 1], "many wait, so that the run would fall behind"
        busy = False
        group.start_soon(read, 17)
        await settle()
        assert began == list(range(8)), "nothing else is to be sent"
        release.set()
    assert began == list(range(18))


async def test_the_annotations_of_a_job_are_counted(serve: Serving) -> None:
    lookups = TaskLookups(serve.client, is_busy=lambda: True)
    (job,) = await lookups.jobs(1)
    of_job, of_task = await lookups.job_annotations(job.id), await lookups.annotations(1)
    assert of_job.counts == of_task.counts
    assert of_job.counts.total
