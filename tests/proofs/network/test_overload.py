"""Servers in trouble are asked hardly more than servers that are well: no storm of retries.

The ideal is what the same run asks for where nothing goes wrong. How often exports are asked about,
or tried too early, depends on how busy the machine is; so those calls are left out of that ratio on
both sides where they were answered. What keeps them from becoming a storm is a bound of their own,
on all calls together.
"""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

import anyio
import pytest
from mirrored import Ran, connected, files, mirror_undisturbed, run, staged

import asynccvat as ac
from asynccvat.core.wire.retry import RetryPolicy
from asynccvat.events import (
    Event,
    ExportRequested,
    Planned,
    Retrying,
    ServerPaused,
    ServerUnreachable,
)
from asynccvat.simulator import Fault, SimulatedServer, SimulatorOptions

pytestmark = [pytest.mark.anyio, pytest.mark.proof("Overload")]

FIGURES = logging.getLogger("figures")
"""What was measured: `--log-cli-level=INFO` shows it."""

SPEED = 20.0
MOST = 1.1
"""Requests to a server in trouble, as a multiple of the ideal."""

MOST_A_TASK = 4.0
"""Requests of all kinds, by task: its export, its download, and its share of the questions.

They are 2.1 to 2.6, for one question is about many tasks. On a machine that is busy with other
work the clock of these tests runs ahead of what is done, and questions come up more often; a
client that asks about each task by itself until it has ended sends tens.
"""

AT_ONCE, A_SECOND = 32, 8
"""Retries in an outage: told here anew, so that the client cannot move its own bound."""

ONE_PERCENT = [
    Fault(path="^/api/", times=None, probability=0.002, **what)
    for what in (
        {"status": 500, "body": "<h1>Server Error (500)</h1>"},
        {"status": 502},
        {"status": 503, "body": "busy", "headers": {"Retry-After": "1"}},
        {"drop": True},
        {"cut_at": 20},
    )
]
WORKERS = 64


def asked_for(ran: Ran) -> int:
    """Calls, but for answered questions of how exports go, and for tries that were too early."""
    return sum(
        not (call.path.startswith("/api/requests") and call.status in (200, 404))
        and call.status != 400
        for call in ran.calls
    )


def tasks_of(report: ac.RunReport) -> list[int]:
    return sorted(one.task_id for one in report.outcomes)


async def with_one_percent_of_calls_failing(data: Path, tasks: int) -> float:
    """Mirror so many tasks, all of them well; return the requests, as a multiple of the ideal."""
    async with SimulatedServer(SimulatorOptions(tasks=tasks, frames=1)) as server:
        server.faults.add(*ONE_PERCENT)
        async with connected(server) as client:
            ran = await run(client, data, server)
        failed = sum(one.struck for one in server.faults._scripted)
        report = ran.report
        # Six times in a row a call fails once in a million million times.
        assert report.ok, (report.stopped_by, report.failures)
        assert tasks_of(report) == list(range(1, tasks + 1))
        assert failed >= tasks / 100, "a fault met no calls"
        assert staged(data) == []
        undisturbed = data.with_name("undisturbed")
        ideal = await mirror_undisturbed(server, undisturbed)
    assert files(data) == files(undisturbed)
    calls = [len(one.calls) for one in (ideal, ran)]
    assert max(calls) <= MOST_A_TASK * tasks, "a storm of questions"
    ratio = asked_for(ran) / asked_for(ideal)
    FIGURES.info(
        "%d tasks: %d calls where all is well, %d with %d failures (%.3f times); with questions "
        "%d and %d",
        tasks,
        asked_for(ideal),
        asked_for(ran),
        failed,
        ratio,
        *calls,
    )
    return ratio


async def test_one_percent_of_failing_calls_costs_hardly_more_than_that(data: Path) -> None:
    assert await with_one_percent_of_calls_failing(data, 500) <= MOST


@pytest.mark.thorough
async def test_so_it_is_with_ten_thousand_tasks(data: Path) -> None:
    assert await with_one_percent_of_calls_failing(data, 10_000) <= MOST


@pytest.mark.parametrize(
    "seconds", [6.0, pytest.param(12.0, marks=pytest.mark.thorough)], ids=["short", "long"]
)
async def test_an_outage_meets_a_trickle_of_retries_and_no_storm(
    data: Path, seconds: float
) -> None:
    asked, lasted, borne = 0, 0.0, 0
    all_refused = anyio.Event()

    async def outage() -> None:
        nonlocal asked, lasted
        began = anyio.current_time()
        await all_refused.wait()
        await anyio.sleep(seconds)
        asked = len([call for call in server.calls if call.status == 503])
        lasted = anyio.current_time() - began
        server.faults.clear()

    def hear(event: Event) -> None:
        nonlocal borne
        if isinstance(event, Retrying):
            borne += 1
            if borne == WORKERS:
                all_refused.set()
        elif isinstance(event, ServerUnreachable):
            all_refused.set()  # the workers wait together from now on
        elif isinstance(event, Planned):
            # Right before all workers ask for their first exports.
            server.faults.add(Fault(status=503, times=None))
            group.start_soon(outage)

    async with (
        SimulatedServer(SimulatorOptions(tasks=120, frames=1)) as server,
        anyio.create_task_group() as group,
    ):
        # The budget has to bound them, not the attempts.
        async with connected(server, policy=RetryPolicy(attempts=20)) as client:
            ran = await run(
                client, data, server, listener=hear, concurrency=WORKERS, transfers=WORKERS
            )
        assert ran.report.ok, ran.report.failures
        undisturbed = data.with_name("undisturbed")
        await mirror_undisturbed(server, undisturbed, concurrency=WORKERS, transfers=WORKERS)
    assert files(data) == files(undisturbed)
    FIGURES.info("%g s of 503, %d workers: %d requests meanwhile", seconds, WORKERS, asked)
    assert asked <= WORKERS + AT_ONCE + A_SECOND * (lasted + 1)


async def test_a_pause_that_one_is_asked_for_is_kept_by_all(data: Path) -> None:
    sent: list[int] = []
    requested = 0

    def hear(event: Event) -> None:
        nonlocal requested
        if isinstance(event, ExportRequested):
            requested += 1
            if requested == WORKERS:
                server.faults.add(Fault(status=429, body="{}", headers={"Retry-After": "10"}))
        elif isinstance(event, ServerPaused):
            # What had its turn before the pause is sent by the first of these times. The earlier of
            # two timers runs first, however late both are.
            for seconds in (event.seconds / 2, event.seconds - 0.1):
                asyncio.get_running_loop().call_later(
                    seconds, lambda: sent.append(client.requests_sent)
                )

    async with (
        SimulatedServer(SimulatorOptions(tasks=100, frames=1)) as server,
        connected(server) as client,
    ):
        ran = await run(client, data, server, listener=hear, concurrency=WORKERS, transfers=WORKERS)
    assert ran.pauses == [10.0]
    before, at_the_end = sent
    assert before == at_the_end, "nobody asked for anything meanwhile"
    assert ran.report.ok
