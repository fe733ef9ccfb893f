"""What calls and exports cost on the simulated server, on a clock that jumps instead of waiting."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, TypeVar

import pytest

from asynccvat.simulator import ExportStart, SimulatorOptions
from asynccvat.simulator.faults import Fault, Faults
from asynccvat.simulator.formats.archives import media_bytes
from asynccvat.simulator.formats.ready_archives import add_ready_archives
from asynccvat.simulator.queues.export_queue import ExportQueue
from asynccvat.simulator.queues.processor import (
    AmpleProcessor,
    ApiWorkers,
    SharedProcessor,
    make_processor,
)
from asynccvat.simulator.queues.registry import RequestRegistry
from asynccvat.simulator.queues.requests import ExportSubject, RequestTarget
from asynccvat.simulator.routes.costs import call_seconds
from asynccvat.simulator.world.accounts import Accounts
from asynccvat.simulator.world.world import World

T = TypeVar("T")


class JumpingLoop(asyncio.SelectorEventLoop):
    """A loop whose clock jumps to the next timer as soon as there is nothing else to do."""

    now = 0.0

    def time(self) -> float:
        return self.now

    def _run_once(self) -> None:
        timers = [timer.when() for timer in self._scheduled if not timer.cancelled()]  # type: ignore[attr-defined]  # asyncio's own
        if timers and not self._ready:  # type: ignore[attr-defined]  # the same
            self.now = max(self.now, min(timers))
        super()._run_once()  # type: ignore[misc]  # the same


def run(main: Coroutine[Any, Any, T]) -> T:
    with asyncio.Runner(loop_factory=JumpingLoop) as runner:
        return runner.run(main)


def clock() -> float:
    return round(asyncio.get_running_loop().time(), 6)


async def ends(workers: ApiWorkers, *seconds: float) -> list[float]:
    """Return when each of several simultaneous calls is served."""

    async def one(cost: float) -> float:
        await workers.serve(cost)
        return clock()

    return await asyncio.gather(*(one(cost) for cost in seconds))


def test_calls_wait_for_a_worker_in_the_order_of_their_arrival() -> None:
    async def main() -> list[float]:
        return await ends(ApiWorkers(2, AmpleProcessor()), 0.04, 0.04, 0.04, 0.04, 0.1)

    assert run(main()) == [0.04, 0.04, 0.08, 0.08, 0.18]


def test_a_cancelled_call_passes_its_worker_to_the_next() -> None:
    async def main() -> float:
        workers = ApiWorkers(1, AmpleProcessor())
        first = asyncio.create_task(workers.serve(1))
        second = asyncio.create_task(workers.serve(1))
        third = asyncio.create_task(workers.serve(1))
        await asyncio.sleep(0.5)
        second.cancel()
        first.cancel()
        await asyncio.gather(first, second, third, return_exceptions=True)
        return clock()

    assert run(main()) == 1.5


def test_a_worker_assigned_to_a_call_as_it_is_cancelled_goes_to_the_next() -> None:
    async def main() -> float:
        workers = ApiWorkers(1, AmpleProcessor())
        first, second, third = (asyncio.create_task(workers.serve(1)) for _ in range(3))
        await first
        second.cancel()
        await asyncio.gather(second, third, return_exceptions=True)
        return clock()

    assert run(main()) == 2


def test_work_of_no_seconds_is_done_at_once() -> None:
    async def main() -> float:
        await SharedProcessor(1).spend(0)
        return clock()

    assert run(main()) == 0


def test_shared_cores_slow_down_all_current_work() -> None:
    async def main() -> list[float]:
        return await ends(ApiWorkers(9, SharedProcessor(2)), 1, 1, 1, 1)

    assert run(main()) == [2, 2, 2, 2]


def test_shared_cores_speed_up_when_something_ends() -> None:
    async def main() -> list[float]:
        return await ends(ApiWorkers(9, SharedProcessor(1)), 1, 2)

    assert run(main()) == [2, 3]


def test_cancelled_work_frees_its_share() -> None:
    async def main() -> float:
        processor = SharedProcessor(1)
        kept = asyncio.create_task(processor.spend(2))
        given_up = asyncio.create_task(processor.spend(2))
        await asyncio.sleep(1)
        given_up.cancel()
        await kept
        return clock()

    assert run(main()) == 2.5


def test_a_single_piece_of_work_is_as_fast_as_one_core() -> None:
    async def main() -> list[float]:
        return await ends(ApiWorkers(9, SharedProcessor(8)), 1)

    assert run(main()) == [1]


def test_processors_of_the_options() -> None:
    assert isinstance(make_processor(SimulatorOptions()), AmpleProcessor)
    assert isinstance(make_processor(SimulatorOptions(cpu_cores=2)), SharedProcessor)


COSTS = SimulatorOptions(costs=True, latency=0.02)


@pytest.mark.parametrize(
    ("given", "seconds"),
    [
        ({}, 0.02),
        ({"listed_tasks": 100}, 0.07),
        ({"listed_jobs": 100}, 0.07),
        ({"reads_annotations": True}, 0.033),
        ({"lists_requests": True}, 0.024),
        ({"lists_requests": True, "remembered_requests": 300}, 0.534),
        ({"basic": True}, 0.22),
        ({"hashes_password": True}, 0.22),
    ],
)
def test_seconds_of_a_call(given: dict[str, Any], seconds: float) -> None:
    assert call_seconds(COSTS, **given) == pytest.approx(seconds)
    assert call_seconds(SimulatorOptions(), **given) == 0


def ends_of_exports(
    options: SimulatorOptions,
    *task_ids: int,
    faults: Faults | None = None,
    again: bool = False,
    images: bool = False,
) -> Any:
    """Run simultaneous exports, and return the last span of each task, in seconds."""

    async def main() -> Any:
        world = World(options)
        queue = ExportQueue(
            options,
            make_processor(options),
            faults or Faults(),
            registry=RequestRegistry(),
            world=world,
        )
        queue.start()
        owner = Accounts(options).by_id[1].user
        for _ in range(1 + again):
            for task_id in task_ids:
                subject = ExportSubject(
                    "task",
                    task_id,
                    "CVAT for images 1.1",
                    "dataset" if images else "annotations",
                )
                queue.submit(subject, owner, RequestTarget("task", 1, task_id), file_name=None)
            while not all(  # noqa: ASYNC110 - the clock jumps, nothing is waited for
                request.ended for request in queue.requests.values()
            ):
                await asyncio.sleep(0.01)
        await queue.stop()
        return {
            int(span.rq_id.split("&")[2].removeprefix("target_id=")): (
                round(span.started, 6),
                round(span.finished, 6),
            )
            for span in queue.timeline
        }

    return run(main())


def test_exports_take_their_seconds_on_the_given_number_of_workers() -> None:
    options = SimulatorOptions(tasks=4, costs=True, export_seconds=0.25)
    assert ends_of_exports(options, 1, 2, 3, 4) == {
        1: (0, 0.25),
        2: (0, 0.25),
        3: (0.25, 0.5),
        4: (0.25, 0.5),
    }


def test_the_time_of_an_export_can_be_a_function_of_it() -> None:
    def seconds(start: ExportStart) -> float:
        assert (start.target, start.format, start.save_images) == (
            "task",
            "CVAT for images 1.1",
            False,
        )
        return start.target_id / 10

    options = SimulatorOptions(tasks=3, costs=True, export_seconds=seconds, export_workers=3)
    assert ends_of_exports(options, 1, 2, 3) == {1: (0, 0.1), 2: (0, 0.2), 3: (0, 0.3)}


def test_an_archive_that_is_cached_can_take_less() -> None:
    options = SimulatorOptions(tasks=1, costs=True, cached_export_seconds=0.1)
    queue_times = ends_of_exports(options, 1, again=True)
    assert queue_times == {1: (0.25, 0.35)}


def test_images_take_an_export_more_time_unless_they_are_cached() -> None:
    options = SimulatorOptions(
        tasks=1, frames=10, frame_bytes=500_000, costs=True, media_seconds=0.1
    )
    assert ends_of_exports(options, 1) == {1: (0, 0.25)}
    assert ends_of_exports(options, 1, images=True) == {1: (0, 0.75)}
    assert ends_of_exports(options, 1, images=True, again=True) == {1: (0.75, 1.0)}


def test_a_ready_archive_is_as_large_as_its_file(tmp_path: Path) -> None:
    (tmp_path / "task5.zip").write_bytes(bytes(2_000_000))
    world = World(SimulatorOptions(tasks=0))
    add_ready_archives(world, tmp_path)
    assert media_bytes(world.tasks[5], "COCO 1.0") == 2_000_000


def test_exports_of_one_user_can_be_made_to_wait_for_each_other() -> None:
    options = SimulatorOptions(tasks=2, costs=True, one_export_per_user=True)
    assert ends_of_exports(options, 1, 2) == {1: (0, 0.25), 2: (0.25, 0.5)}


def test_exports_share_the_cores() -> None:
    options = SimulatorOptions(tasks=2, costs=True, cpu_cores=1)
    assert ends_of_exports(options, 1, 2) == {1: (0, 0.5), 2: (0, 0.5)}


def test_an_export_that_goes_back_starts_again_from_the_beginning() -> None:
    options = SimulatorOptions(tasks=1, costs=True, export_seconds=0.4)
    faults = Faults()
    faults.add(Fault(export="requeue"))
    assert ends_of_exports(options, 1, faults=faults) == {1: (0.2, 0.6)}


@pytest.mark.parametrize(
    "wrong", [{"tasks": -1}, {"export_workers": 0}, {"api_workers": 0}, {"frames": -2}]
)
def test_options_that_cannot_be_served_are_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        SimulatorOptions(**wrong)  # type: ignore[arg-type]  # one name, one number
