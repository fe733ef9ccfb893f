"""Check runs over very many tasks, scaled down: only the outcome of a finished task stays."""

from __future__ import annotations

import asyncio
import gc
import threading
import weakref
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from engine_serving import QUICK, QUICK_DOWNLOAD, Log, until

import asynccvat as ac
from asynccvat.client import lists
from asynccvat.client.poller import Poller
from asynccvat.commands.mirror import preparation
from asynccvat.commands.mirror import run as mirroring
from asynccvat.core.scheduling.admission import MOST_IN_FLIGHT
from asynccvat.events import TaskDone
from asynccvat.simulator import Fault, ServerProcess, SimulatorOptions
from asynccvat.store import MirrorStore
from asynccvat.transfer import dispatcher as dispatch

pytestmark = [pytest.mark.anyio, pytest.mark.proof("Soak")]

_TASKS = 120
_FEW = 30


@pytest.fixture(scope="module")
def many() -> Iterator[ServerProcess]:
    """A server in another process, so that only the client's memory is measured."""
    options = SimulatorOptions(tasks=_TASKS, frames=1, boxes_per_frame=1)
    with ServerProcess(options) as server:
        yield server


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The poller and the store of the latest run, by class."""
    found: dict[str, Any] = {}

    def keep(owner: Any) -> None:
        begin = owner.__init__

        def init(self: Any, *args: Any, **kwargs: Any) -> None:
            begin(self, *args, **kwargs)
            found[owner.__name__] = self

        monkeypatch.setattr(owner, "__init__", init)

    keep(Poller)
    keep(MirrorStore)
    keep(dispatch.Dispatcher)
    return found


def _open_files() -> int:
    return sum(1 for _ in Path("/dev/fd").iterdir())


async def _freed(left: weakref.ref[Any]) -> None:
    """Wait until an object is freed. A worker thread holds its latest call a moment longer."""

    def freed() -> bool:
        gc.collect()
        return left() is None

    await until(freed)


def _collected() -> int:
    """Count the package's objects that the garbage collector follows."""
    gc.collect()
    return sum(str(type(one).__module__).startswith("asynccvat") for one in gc.get_objects())


async def test_a_task_that_is_done_leaves_its_outcome_and_nothing_else(
    many: ServerProcess, tmp_path: Path, made: dict[str, Any], log: Log
) -> None:
    options = replace(QUICK, transfers=2)
    # Results that wait for a transfer are watched, too: predictions of them may turn out wrong.
    most = MOST_IN_FLIGHT + dispatch._EXPORTED_AHEAD * options.transfers
    assert most < _TASKS
    watched: list[int] = []
    log.on(TaskDone, lambda _: watched.append(len(made["Poller"]._watched)))
    _collected()  # what earlier tests in this process left is not counted
    files, tasks, held, reports = [_open_files()], [len(asyncio.all_tasks())], [], []
    async with ac.CvatClient(many.url, token=many.token) as client:
        for number, last in enumerate((_FEW, _TASKS)):
            selection = ac.Selection(task_ids=range(1, last + 1))
            dest = tmp_path / str(number)
            log.events.clear()
            report = await ac.mirror(client, dest, selection, options=options, on_event=log)
            assert report.count(ac.Action.FETCHED) == last
            reports.append(report)
            inflight = made["Poller"]._inflight
            assert not made["Poller"]._watched
            assert not inflight._pending
            assert not inflight._ours
            assert not made["MirrorStore"]._active
            assert made["MirrorStore"]._groups._open is None
            # The model of the server goes with the run. It has the same size for any run.
            del inflight
            store = weakref.ref(made["MirrorStore"])
            made.clear()
            log.events.clear()
            await _freed(store)
            held.append(_collected())
    files.append(_open_files())
    tasks.append(len(asyncio.all_tasks()))
    assert files[0] == files[1]
    assert tasks[0] == tasks[1]
    assert len(reports[-1].outcomes) == _TASKS
    assert max(watched) <= most
    # The report, and nothing of the run: its plan alone holds every task.
    assert held[1] - held[0] < 10


async def test_the_error_of_a_failed_task_keeps_nothing_of_its_run_alive(
    many: ServerProcess, tmp_path: Path
) -> None:
    async with ac.CvatClient(many.url, token=many.token) as client:
        selection = ac.Selection(task_ids=[1, 2])
        many.add_faults(Fault(path="dataset/export", task_id=2, status=403, times=None))
        report = await ac.mirror(client, tmp_path, selection, options=QUICK)
        with pytest.raises(ac.PermissionDeniedError):
            await ac.download(client, 2, tmp_path / "alone", options=QUICK_DOWNLOAD)
        many.clear_faults()
    assert len(report.failures) == 1
    left = weakref.ref(client)
    del client, report
    # The second collection frees what outcomes held that the first one freed.
    gc.collect()
    gc.collect()
    assert left() is None


async def test_reporting_unchanged_tasks_does_not_block_the_loop(
    many: ServerProcess, tmp_path: Path, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mirroring, "_OUTCOMES_AT_ONCE", 8)
    selection = ac.Selection(task_ids=range(1, _FEW + 1))
    turn = 0

    async def count_turns() -> None:
        nonlocal turn
        while True:
            turn += 1
            await asyncio.sleep(0)

    told: Counter[int] = Counter()
    async with ac.CvatClient(many.url, token=many.token) as client:
        await ac.mirror(client, tmp_path, selection, options=QUICK)
        log.on(TaskDone, lambda _: told.update([turn]))
        counting = asyncio.create_task(count_turns())
        report = await ac.mirror(client, tmp_path, selection, options=QUICK, on_event=log)
        counting.cancel()
    assert report.count(ac.Action.KEPT) == _FEW == told.total()
    assert max(told.values()) == 8


async def test_long_work_on_many_tasks_runs_in_threads(
    many: ServerProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads: dict[str, int] = {}

    def note(module: Any, name: str) -> None:
        function: Callable[..., Any] = getattr(module, name)

        def noted(*args: Any, **kwargs: Any) -> Any:
            threads[name] = threading.get_ident()
            return function(*args, **kwargs)

        monkeypatch.setattr(module, name, noted)

    note(lists, "_joined")
    names = ("plan_mirror", "gone_candidates", "folders_of", "_folders_to_check")
    for name in names:
        note(preparation, name)
    note(mirroring, "longest_first")
    selection = ac.Selection(task_ids=[1, 2])
    options = ac.MirrorOptions(durable=False, prune=True)
    async with ac.CvatClient(many.url, token=many.token) as client:
        await ac.mirror(client, tmp_path, selection, options=options)
    assert threads.keys() == {"_joined", "longest_first", *names}
    assert threading.get_ident() not in threads.values()
