"""Check the poller: lists, single calls, predicted results, and how waiters are woken."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from engine_serving import Serving, serving, until

import asynccvat as ac
from asynccvat.client.poller import Poller
from asynccvat.client.watched import WatchedRequest
from asynccvat.core.requests import ServerRequest
from asynccvat.core.scheduling import intervals
from asynccvat.core.scheduling.polling import Demand
from asynccvat.core.wire.retry import RetryPolicy
from asynccvat.simulator import Fault

pytestmark = pytest.mark.anyio

JSON = "application/vnd.cvat+json"
EMPTY = '{"count": 0, "next": null, "previous": null, "results": []}'


@asynccontextmanager
async def watching(
    serve: Serving, *, more_to_request: bool = True, may_fetch: bool = False
) -> AsyncIterator[Poller]:
    """Run a poller. More exports seem to wait for a slot, so that it polls in batches."""
    demand = Demand(more_to_request=more_to_request, may_fetch=may_fetch)
    poller = Poller(serve.client, timeout=10, demand=lambda: demand)
    async with anyio.create_task_group() as group:
        group.start_soon(poller.run)
        yield poller
        group.cancel_scope.cancel()


async def export(
    serve: Serving, poller: Poller, task_id: int, *, predictable: bool
) -> WatchedRequest:
    accepted = await serve.client.request_export(task_id, ac.ExportSpec())
    return poller.watch(
        accepted.rq_id,
        task_id,
        asked_at=asyncio.get_running_loop().time(),
        created=True,
        predictable=predictable,
    )


async def ended(
    serve: Serving, tasks: int, *, all_queued: bool = False
) -> list[ServerRequest | ac.AsyncCvatError]:
    """Watch unpredictable exports of this many tasks. Returns how each ended.

    With `all_queued` none of them ends before all are requested, however slow this machine is.
    """
    ends: list[ServerRequest | ac.AsyncCvatError] = []

    async def wait(poller: Poller, watched: WatchedRequest) -> None:
        try:
            request = await poller.wait(watched)
        except ac.AsyncCvatError as error:
            ends.append(error)
        else:
            assert request is not None
            ends.append(request)

    if all_queued:
        serve.server.pause_exports()
    async with watching(serve) as poller, anyio.create_task_group() as group:
        for task_id in range(1, tasks + 1):
            watched = await export(serve, poller, task_id, predictable=False)
            group.start_soon(wait, poller, watched)
        if all_queued:
            serve.server.release_exports()
    return ends


def slow(tasks: int, **more: Any) -> AbstractAsyncContextManager[Serving]:
    """A server whose exports take some time, so that several are polled at once."""
    return serving(tasks, costs=True, latency=0.0, login_seconds=0.0, export_seconds=0.02, **more)


def lists(serve: Serving) -> int:
    return sum(call.path == "/api/requests" for call in serve.calls("GET"))


def finished(ends: list[ServerRequest | ac.AsyncCvatError]) -> int:
    return sum(isinstance(end, ServerRequest) and end.status == "finished" for end in ends)


async def test_a_request_without_a_waiter_is_not_polled() -> None:
    async with serving(1) as serve, watching(serve):
        await anyio.lowlevel.checkpoint()
        await anyio.lowlevel.checkpoint()
        assert serve.server.calls == []


async def test_many_unpredictable_requests_are_polled_with_lists() -> None:
    async with slow(32) as serve:
        assert finished(await ended(serve, 32, all_queued=True)) == 32
        assert lists(serve) > 0


async def test_a_single_request_is_polled_by_a_call() -> None:
    async with slow(1) as serve:
        assert finished(await ended(serve, 1)) == 1
        assert lists(serve) == 0


async def test_lists_that_cost_more_than_single_calls_are_given_up() -> None:
    async with slow(32) as serve:
        serve.server.faults.add(Fault(path=r"^/api/requests\?", delay=0.1, times=None))
        assert finished(await ended(serve, 32)) == 32
        assert lists(serve) <= 3


async def test_a_request_missing_from_a_list_is_polled_by_a_call() -> None:
    async with slow(32) as serve:
        serve.server.faults.add(
            Fault(path=r"^/api/requests\?", status=200, body=EMPTY, content_type=JSON, times=None)
        )
        assert finished(await ended(serve, 32, all_queued=True)) == 32
        assert lists(serve) > 0


async def test_a_list_that_the_server_cannot_give_is_replaced_by_single_calls() -> None:
    async with slow(32, client={"policy": RetryPolicy(attempts=0)}) as serve:
        serve.server.faults.add(Fault(path=r"^/api/requests\?", status=500, times=None))
        assert finished(await ended(serve, 32, all_queued=True)) == 32
        assert lists(serve) == 1


async def test_a_list_that_takes_too_long_is_given_up_for_single_calls(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(intervals, "_LONGEST_LIST", -1.0)
    async with slow(32) as serve:
        assert finished(await ended(serve, 32)) == 32
        assert lists(serve) <= 1


async def test_a_revoked_token_ends_all_requests_of_a_list() -> None:
    async with slow(32) as serve:
        serve.server.faults.add(
            Fault(
                path=r"^/api/requests\?",
                status=401,
                body='{"detail":"Invalid token."}',
                content_type=JSON,
                times=None,
            )
        )
        ends = await ended(serve, 32, all_queued=True)
        assert sum(isinstance(end, ac.AuthenticationError) for end in ends) > 1


async def test_the_waiter_of_a_predicted_result_is_woken_to_fetch_it() -> None:
    async with slow(12) as serve, watching(serve, may_fetch=True) as poller:
        tried = 0
        for task_id in range(1, 13):
            watched = await export(serve, poller, task_id, predictable=True)
            request = await poller.wait(watched)
            if request is None:
                tried += 1
                poller.resolve(watched, found=True)
        assert tried > 0
        assert len(serve.calls("GET", "/api/requests")) < 12 + tried


async def test_after_an_early_fetch_the_request_is_polled_again() -> None:
    async with slow(12) as serve, watching(serve, may_fetch=True) as poller:
        early = 0
        for task_id in range(1, 13):
            watched = await export(serve, poller, task_id, predictable=True)
            while await poller.wait(watched) is None:
                early += 1
                poller.resolve(watched, found=False)
        assert early > 0


async def test_a_forgotten_request_is_not_polled() -> None:
    async with serving(1) as serve:
        serve.server.pause_exports()
        async with watching(serve) as poller:
            watched = await export(serve, poller, 1, predictable=True)
            await until(lambda: len(serve.calls("GET", "/api/requests")) > 1)
            poller.forget(watched)
            seen = len(serve.server.calls)
            for _ in range(50):
                await anyio.lowlevel.checkpoint()
            assert len(serve.calls("GET", "/api/requests", since=seen)) <= 1
