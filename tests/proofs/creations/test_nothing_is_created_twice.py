"""A `create` that loses an answer, or ends at any call, ends like one that was never disturbed.

What the server holds is compared: its project, the tasks by name, their frames by name, and how
many annotations they have. Nothing may be there twice or in part, and no empty task may be left.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import aiohttp
import anyio
import pytest
from engine_serving import Serving, connected, serving
from media_files import large_png, png

import asynccvat as ac
from asynccvat.simulator import Fault, SimulatedServer

pytestmark = [pytest.mark.anyio, pytest.mark.proof("Nothing is created twice")]

OPTIONS = ac.CreateOptions(durable=False, split=None, transfers=2, concurrency=2)
EVERY = 5
"""A sample takes each fifth call."""

State = dict[str, Any]


def media(root: Path) -> Path:
    """Write two folders, one of which has annotations."""
    for folder, count in (("cam1", 3), ("cam2", 1)):
        (root / folder).mkdir(parents=True)
        for number in range(count):
            (root / folder / f"{number}.png").write_bytes(png(3 + number, 3))
    # So much is sent in pieces, and the other folder in one call.
    (root / "cam1" / "0.png").write_bytes(large_png(1_200_000))
    (root / "cam2" / "annotations.xml").write_text(
        '<annotations><image id="0" name="0.png" width="3" height="3"><box label="car" xtl="0" '
        'ytl="0" xbr="1" ybr="1" occluded="0"/></image></annotations>'
    )
    return root


async def create(client: ac.CvatClient, source: Path) -> ac.Run:
    return ac.open_create(client, source, project="Harbour", labels=["car", "bus"], options=OPTIONS)


async def finished(client: ac.CvatClient, source: Path) -> ac.RunReport:
    async with await create(client, source) as run:
        return await run.wait()


async def state_of(server: SimulatedServer) -> State:
    """Return what the server holds that it did not hold in the beginning."""
    state: State = {"projects": sorted(one.name for one in server.projects.values())}
    headers = {"Authorization": f"Token {server.token}"}
    async with aiohttp.ClientSession(headers=headers) as session:
        for task_id, task in sorted(server.tasks.items()):
            if task_id == 1:
                continue
            assert task.name not in state, f"{task.name} is there twice"
            url = f"{server.url}/api/tasks/{task_id}"
            async with session.get(f"{url}/data/meta") as answer:
                meta = json.loads(await answer.read())
            async with session.get(f"{url}/annotations") as answer:
                annotations = json.loads(await answer.read())
            state[task.name] = (
                [frame["name"] for frame in meta["frames"]],
                len(annotations["shapes"]),
                server.projects[task.project_id].name if task.project_id else None,
            )
    return state


WANTED: State = {
    "cam1": (["0.png", "1.png", "2.png"], 0, "Harbour"),
    "cam2": (["0.png"], 1, "Harbour"),
}


def without_project(state: State) -> State:
    projects = state.pop("projects")
    assert projects.count("Harbour") == 1
    return state


async def calls_of_a_whole_run(tmp_path: Path) -> int:
    async with serving(1) as serve:
        report = await finished(serve.client, media(tmp_path / "whole"))
        assert report.ok, report.failures
        assert without_project(await state_of(serve.server)) == WANTED
        return len(serve.server.calls)


class Cutter:
    """Cancels a run at its nth call, before it is sent or after it is answered."""

    def __init__(self, nth: int, *, after: bool) -> None:
        self.run: ac.Run | None = None
        self._nth = nth
        self.config = aiohttp.TraceConfig()
        signal = self.config.on_request_end if after else self.config.on_request_start
        signal.append(self._count)

    async def _count(self, _session: aiohttp.ClientSession, _: SimpleNamespace, __: object) -> None:
        self._nth -= 1
        if self._nth == 0 and self.run is not None:
            self.run.cancel()
            # A killed process does nothing more.
            await anyio.sleep_forever()


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
async def test_a_run_that_ends_at_any_call_is_continued(
    tmp_path: Path, *, after: bool, thorough: bool, count_cases: Callable[[int], None]
) -> None:
    most = await calls_of_a_whole_run(tmp_path)
    numbers = range(1, most + 1) if thorough else range(1 + EVERY // 2 * after, most + 1, EVERY)
    for nth in numbers:
        source = media(tmp_path / str(nth))
        async with serving(1) as serve:
            cutter = Cutter(nth, after=after)
            async with connected(serve.server, trace_configs=[cutter.config]) as client:
                run = cutter.run = await create(client, source)
                async with run:
                    await run.wait()
            await continued(serve, source, f"cut at call {nth}")
    count_cases(len(numbers))


async def continued(serve: Serving, source: Path, case: str) -> None:
    """Run again, and compare."""
    report = await finished(serve.client, source)
    assert report.ok, f"{case}: {[one.failure for one in report.failures]}, {report.stopped_by}"
    assert without_project(await state_of(serve.server)) == WANTED, case


@pytest.mark.parametrize("then", ["goes on", "ends"])
async def test_an_answer_that_is_lost_makes_nothing_twice(
    tmp_path: Path, then: str, *, thorough: bool, count_cases: Callable[[int], None]
) -> None:
    most = await calls_of_a_whole_run(tmp_path)
    step = 1 if thorough else EVERY
    numbers = range(1 if then == "ends" else 2, most + 1, step)
    for nth in numbers:
        source = media(tmp_path / f"{then} {nth}")
        async with serving(1) as serve:
            serve.server.faults.add(Fault(nth=nth, lose_answer=True))
            policy = ac.RetryPolicy(attempts=0) if then == "ends" else ac.RetryPolicy()
            async with connected(serve.server, policy=policy) as client:
                try:
                    await finished(client, source)
                except ac.AsyncCvatError:
                    assert then == "ends"
            await continued(serve, source, f"the answer to call {nth} was lost")
    count_cases(len(numbers))
