"""Any mixture of faults, out of a seed: the run ends right, or tells of each task that did not."""

from __future__ import annotations

import gc
import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from mirrored import connected, files, of_task, run, settle, staged

import asynccvat as ac
from asynccvat.simulator import Fault, SimulatedServer, SimulatorOptions

pytestmark = [pytest.mark.anyio, pytest.mark.proof("Network faults, mixed")]

SPEED = 200.0
SEEDS = range(300)
SAMPLE = (3, 14, 159, 265)
JSON = "application/vnd.cvat+json"
PAGE = "<html><body><h1>Sorry</h1></body></html>"

Chance = random.Random
Kind = Callable[[Chance], dict[str, Any]]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "seed" in metafunc.fixturenames:
        metafunc.parametrize("seed", SEEDS if metafunc.config.getoption("thorough") else SAMPLE)


def refusal(chance: Chance) -> dict[str, Any]:
    status = chance.choice([400, 401, 403, 404, 408, 409, 410, 416, 425, 500, 502, 503, 504])
    return {"status": status, "body": json.dumps({"detail": "No."}), "content_type": JSON}


def pause(chance: Chance) -> dict[str, Any]:
    headers = {"Retry-After": chance.choice(["0", "1", "3", "soon", "-1", "2.5"])}
    return {"status": chance.choice([429, 503]), "body": "{}", "headers": headers}


def nonsense(chance: Chance) -> dict[str, Any]:
    kind = chance.choice(["text/html", JSON, "application/zip"])
    return {"status": 200, "body": chance.choice([PAGE, "{", "{}", "[]", ""]), "content_type": kind}


ANYWHERE: tuple[Kind, ...] = (
    refusal,
    refusal,
    pause,
    nonsense,
    lambda _: {"drop": True},
    lambda _: {"lose_answer": True},
    lambda _: {"lose_queue": True},
    lambda chance: {"cut_head_at": chance.randrange(200)},
    lambda chance: {"cut_at": chance.randrange(-50, 2000)},
    lambda chance: {"delay": chance.uniform(0, 3)},
    lambda chance: {"edit_task": chance.randrange(1, 20)},
    lambda chance: {"delete_task": chance.randrange(1, 60)},
    lambda _: {"redirect": "/api/users/self"},
    lambda _: {"origin": "http://elsewhere.invalid"},
)
OF_DOWNLOADS: tuple[Kind, ...] = (
    lambda chance: {"cut_at": chance.randrange(400_000)},
    lambda chance: {"alter_at": chance.randrange(20_000)},
    lambda chance: {"truncate": chance.randrange(1, 3000)},
    lambda chance: {"stall_at": chance.randrange(10_000)},
    lambda chance: {"trickle_at": chance.randrange(10_000)},
    lambda chance: {"promise": chance.choice([-7, 7])},
    lambda chance: {"headers": {"Content-Range": chance.choice([None, "bytes 1-2/3", "x"])}},
    lambda chance: {"headers": {"ETag": chance.choice([None, '"other"', 'W/"weak"'])}},
    lambda _: {"extra": "more"},
    lambda _: {"ignore_range": True},
    lambda _: {"compress": True},
    lambda _: {"expire": True},
    lambda _: {"move_etag": True},
)
OF_EXPORTS: tuple[Kind, ...] = tuple(
    lambda _, kind=kind: {"export": kind, "count": 2}  # type: ignore[misc]
    for kind in ("fail", "kill", "requeue", "null_dates")
)
PATHS = ("auth/login", "^/api/tasks[?]", "dataset/export", "^/api/requests", "dataset/download")


def some_fault(chance: Chance) -> Fault:
    """One fault: its kind, its place, how often and how probably it strikes."""
    often: dict[str, Any] = {
        "times": chance.choice([1, 1, 1, 2, 3, 8]),
        "probability": chance.choice([1.0, 0.5, 0.2, 0.05]),
        "nth": chance.choice([None, None, chance.randrange(1, 40)]),
    }
    group = chance.random()
    if group < 0.15:
        return Fault(**chance.choice(OF_EXPORTS)(chance), **often)
    if group < 0.5:
        return Fault(path=PATHS[-1], **chance.choice(OF_DOWNLOADS)(chance), **often)
    # A login or a list that is refused ends the run before anything can be seen: seldom.
    path = chance.choices(PATHS, weights=[1, 1, 8, 8, 8])[0]
    return Fault(path=path, **chance.choice(ANYWHERE)(chance), **often)


async def test_a_run_ends_right_or_tells_of_each_task_that_did_not(data: Path, seed: int) -> None:
    chance = random.Random(f"mixture {seed}")
    tasks = chance.randrange(20, 61)
    images = chance.random() < 0.3
    faults = [some_fault(chance) for _ in range(chance.randrange(3, 25))]
    built = SimulatorOptions(
        tasks=tasks, frames=2, frame_bytes=160_000 if images else None, seed=seed
    )
    async with SimulatedServer(built) as server:
        server.faults.add(*faults)
        there = set(server.tasks)
        async with connected(server, stall_timeout=80.0) as client:
            ran = await run(client, data, server, images=images)
        report, scripted = ran.report, server.faults._scripted
        struck = sum(one.struck for one in scripted)
        lost = sum(one.struck for one in scripted if one.fault.lose_queue)

        # No task is lost, and none is told of twice.
        told = [one.task_id for one in report.outcomes]
        assert len(told) == len(set(told))
        assert set(told) <= there
        if not report.interrupted:
            assert set(told) >= there & set(server.tasks)
        # A failure has its name.
        for failure in report.failures:
            assert isinstance(failure.error, ac.AsyncCvatError)
            assert failure.error.task_id == failure.task_id
            assert str(failure.error)
        assert (report.stopped_by is not None) == report.interrupted
        # The server is not asked without end: a fault costs a few calls; a lost queue, of each
        # task in it a vain try, a question and another export.
        assert report.requests <= 10 + 4 * tasks * (1 + lost) + 4 * struck

        held = files(data)
        assert staged(data) == []
        edited = {fault.edit_task for fault in faults}
        tree = await settle(server, data, images=images, prune=True, max_delete="100%")
        for one in report.outcomes:
            if not one.ok:
                assert of_task(held, one.task_id) == {}
            elif one.task_id in server.tasks and one.task_id not in edited:
                assert of_task(held, one.task_id) == of_task(tree, one.task_id)
    # What nobody awaited would say so now.
    gc.collect()
