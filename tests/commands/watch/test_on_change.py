"""Check when callbacks and commands run for changes, and what becomes of their failures."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import anyio
import pytest
from engine_serving import Serving, serving, until
from hypothesis import given
from hypothesis import strategies as st
from watching import rounds, watch

import asynccvat as ac
from asynccvat.commands.watch.change_calls import ChangeCalls
from asynccvat.core.outcomes import Action

pytestmark = pytest.mark.anyio

HOSTILE = """a b'; touch stolen; "$(touch stolen)" -rf"""
WRITE_ARGUMENTS = "import json, os, sys; json.dump(sys.argv[2:], open(sys.argv[1], 'w'))"


def change(number: int = 1, name: str = "n") -> ac.TaskChange:
    return ac.TaskChange(task_id=number, name=name, action=Action.FETCHED, path=f"/d/task{number}")


@pytest.fixture
async def serve() -> AsyncIterator[Serving]:
    async with serving(6) as started:
        yield started


async def test_calls_run_a_few_at_once_and_end_before_the_round(serve: Serving, data: Path) -> None:
    at_once = most = ended = 0

    async def on_change(_change: ac.TaskChange) -> None:
        nonlocal at_once, most, ended
        at_once += 1
        most = max(most, at_once)
        for _ in range(20):
            await asyncio.sleep(0)
        at_once -= 1
        ended += 1

    watching = ac.WatchOptions(changes_at_once=2)
    (first,) = await rounds(watch(serve, data, watching=watching, on_change=on_change), 1)
    assert first.changed == 6
    assert ended == 6
    assert most == 2


async def test_the_folder_is_there_when_its_change_is_told(serve: Serving, data: Path) -> None:
    seen: list[bool] = []

    async def on_change(change: ac.TaskChange) -> None:
        seen.append(await anyio.Path(change.path).is_dir())

    await rounds(watch(serve, data, on_change=on_change), 1)
    assert seen == [True] * 6


async def test_a_call_that_raises_is_a_warning_and_stops_nothing(
    serve: Serving, data: Path
) -> None:
    async def on_change(change: ac.TaskChange) -> None:
        if change.task_id == 3:
            raise ValueError("no room")

    watched = watch(serve, data, on_change=on_change)
    first, second = await rounds(watched, 2)
    assert first.changed == 6
    assert first.warnings == ("on_change failed for task 3: no room. The mirror holds the change.",)
    assert second.quiet


async def test_a_call_that_is_cancelled_by_itself_is_a_warning_and_the_others_follow(
    serve: Serving, data: Path
) -> None:
    called = []

    async def on_change(change: ac.TaskChange) -> None:
        called.append(change.task_id)
        if change.task_id == 3:
            gone: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            gone.cancel()
            await gone

    watching = ac.WatchOptions(changes_at_once=1)
    (first,) = await rounds(watch(serve, data, watching=watching, on_change=on_change), 1)
    (warning,) = first.warnings
    assert "task 3: something that it waited for was cancelled" in warning
    assert sorted(called) == [1, 2, 3, 4, 5, 6]


@given(st.lists(st.integers(0, 3), max_size=12), st.integers(1, 3))
async def test_every_change_is_told_once_in_order_whenever_it_comes(
    pauses: list[int], at_once: int
) -> None:
    told, running = [], 0

    async def on_change(change: ac.TaskChange) -> None:
        nonlocal running
        running += 1
        assert running <= at_once
        told.append(change.task_id)
        await asyncio.sleep(0)
        running -= 1

    async with ChangeCalls(on_change, ac.WatchOptions(changes_at_once=at_once)) as calls:
        for number, pause in enumerate(pauses):
            calls.start(change(number))
            assert calls.running <= at_once
            for _ in range(pause):
                await asyncio.sleep(0)
    assert told == list(range(len(pauses)))
    assert calls.running == 0


async def test_a_call_that_takes_too_long_is_ended(serve: Serving, data: Path) -> None:
    async def on_change(change: ac.TaskChange) -> None:
        if change.task_id == 3:
            await asyncio.Event().wait()

    watching = ac.WatchOptions(change_timeout=0.05)
    (first,) = await rounds(watch(serve, data, watching=watching, on_change=on_change), 1)
    (warning,) = first.warnings
    assert "task 3: it took longer than 0.05s" in warning


async def test_a_cancelled_round_ends_its_calls(serve: Serving, data: Path) -> None:
    begun, ended = asyncio.Event(), []

    async def on_change(change: ac.TaskChange) -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(change.task_id)

    watching = ac.WatchOptions(changes_at_once=6)
    watched = watch(serve, data, watching=watching, on_change=on_change)
    task = asyncio.create_task(anext(watched))
    await until(lambda: begun.is_set() and watched.status.state == "waiting for on_change")
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert sorted(ended) == [1, 2, 3, 4, 5, 6]


async def test_a_command_gets_a_hostile_name_as_one_argument(tmp_path: Path) -> None:
    target = tmp_path / "arguments.json"
    command = ac.OnChangeCommand(
        f"""{sys.executable} -c "{WRITE_ARGUMENTS}" {target} {{name}} 'to {{path}}'"""
    )
    await command(change(name=HOSTILE))
    assert json.loads(target.read_text("utf-8")) == [HOSTILE, "to /d/task1"]


async def test_a_command_sees_the_values_and_not_the_secret(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ASYNCCVAT_WEBHOOK_SECRET", "s3cret")
    target = tmp_path / "environment.json"
    write = "import json, os, sys; json.dump(dict(os.environ), open(sys.argv[1], 'w'))"
    await ac.OnChangeCommand(f'{sys.executable} -c "{write}" {target}')(change(7, HOSTILE))
    environment = json.loads(target.read_text("utf-8"))
    assert environment["ASYNCCVAT_NAME"] == HOSTILE
    assert environment["ASYNCCVAT_TASK_ID"] == "7"
    assert "s3cret" not in environment.values()


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (f'{sys.executable} -c "raise SystemExit(3)"', "exited with 3"),
        (f'{sys.executable} -c "import os; os.kill(os.getpid(), 9)"', "was ended by SIGKILL"),
        ("/nowhere/program {path}", "'/nowhere/program' cannot be started: No such file"),
    ],
)
async def test_a_command_that_fails_says_how(command: str, message: str) -> None:
    with pytest.raises(ac.AsyncCvatError, match=message):
        await ac.OnChangeCommand(command)(change())


async def test_a_cancelled_command_ends_with_what_it_started(tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    script = tmp_path / "script.py"
    script.write_text(
        "import os, subprocess, sys, time\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n"
        f"open({str(pids)!r} + '.tmp', 'w').write(f'{{os.getpid()}} {{child.pid}}')\n"
        f"os.rename({str(pids)!r} + '.tmp', {str(pids)!r})\n"
        "time.sleep(600)\n"
    )
    call = asyncio.ensure_future(ac.OnChangeCommand(f"{sys.executable} {script}")(change()))
    await until(pids.exists)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    for pid in map(int, pids.read_text("utf-8").split()):
        await until(lambda pid=pid: not is_running(pid))  # type: ignore[misc]  # bound early


async def test_a_command_that_ignores_the_request_is_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("asynccvat.commands.watch.on_change._SECONDS_TO_END", 0.05)
    pid_file, script = tmp_path / "pid", tmp_path / "script.py"
    script.write_text(
        "import os, signal, time\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        f"open({str(pid_file)!r} + '.tmp', 'w').write(str(os.getpid()))\n"
        f"os.rename({str(pid_file)!r} + '.tmp', {str(pid_file)!r})\n"
        "time.sleep(600)\n"
    )
    call = asyncio.ensure_future(ac.OnChangeCommand(f"{sys.executable} {script}")(change()))
    await until(pid_file.exists)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert not is_running(int(pid_file.read_text("utf-8")))


def is_running(pid: int) -> bool:
    """Whether a process runs; one that has ended and was not waited for does not."""
    try:
        os.kill(pid, 0)
        return Path(f"/proc/{pid}/stat").read_text("utf-8").rpartition(")")[2].split()[0] != "Z"
    except (ProcessLookupError, FileNotFoundError):
        return False
