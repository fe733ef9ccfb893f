"""One writer at a time: a second mirror of a destination is told about the first."""

from __future__ import annotations

import signal
from contextlib import ExitStack
from pathlib import Path

import pytest
from commands import happened, run, started
from mirror_processes import (
    check_end,
    exports_asked,
    job,
    mirror,
    mirroring,
    read_folders,
)

from asynccvat.simulator.options import SimulatorOptions
from asynccvat.simulator.processes import ServerProcess

pytestmark = pytest.mark.proof("One writer")


def test_the_second_ends_at_once_and_says_who_is_at_work_until_the_first_is_killed(
    tmp_path: Path,
) -> None:
    dest = tmp_path / "dest"
    with ServerProcess(SimulatorOptions(tasks=3)) as server:
        server.do("pause_exports")
        with started(server, dest) as first:
            first.wait_for(happened("export_requested", 3))
            asked = len(server.calls)
            second = run(server, dest)
            assert second.code == 5
            (line,) = second.err.splitlines()
            assert line.startswith(
                f"Error: {str(dest)!r} is being written by process {first.pid} on "
            )
            assert "since 2" in line
            assert not [call for call in server.calls[asked:] if call["path"] == "/api/tasks"], (
                "it asks the server for nothing"
            )
            first.signal(signal.SIGKILL)
            assert first.finish().code == -signal.SIGKILL
        server.do("release_exports")
        assert run(server, dest).code == 0
        assert sorted(read_folders(dest)) == ["task1", "task2", "task3"]


@pytest.mark.parametrize(
    "can_flock",
    [pytest.param(True, marks=pytest.mark.thorough), False],
    ids=["flock", "no flock"],
)
def test_of_many_that_start_together_one_writes_and_the_others_say_who(
    tmp_path: Path, *, can_flock: bool, thorough: bool
) -> None:
    """The second time after the one that wrote was killed: its lock is nobody's then."""
    dest, undisturbed = tmp_path / "dest", tmp_path / "undisturbed"
    since = 0
    with ServerProcess(SimulatorOptions(tasks=4)) as server:
        mirror(job(server, undisturbed))
        wanted = job(server, dest, can_flock=can_flock)
        for killed in (True, False):
            server.do("forget_requests")
            since = len(server.calls)
            server.do("pause_exports")
            with ExitStack() as stack:
                all_of_them = [
                    stack.enter_context(mirroring(wanted)) for _ in range(16 if thorough else 4)
                ]
                winners = []
                for one in all_of_them:
                    told = (event["event"] for event in one.events())
                    if next(name for name in told if name != "run_started") == "run_finished":
                        assert one.finish() == 0
                    else:
                        winners.append(one)
                (winner,) = winners
                for one in all_of_them:
                    if one is not winner:
                        assert one.report is not None
                        said = one.report["stopped_by"]
                        assert said["type"] == "StoreLockedError"
                        assert f"process {winner.pid} on " in said["message"]
                        assert ", since 2" in said["message"]
                if killed:
                    winner.kill()
                server.do("release_exports")
                assert winner.finish() == (-signal.SIGKILL if killed else 0)
        assert set(exports_asked(server, since)) == {1, 2, 3, 4}
        assert max(exports_asked(server, since).values()) == 1, "two were at work"
        check_end(dest, undisturbed)
        lefts = {path.name for path in (dest / ".asynccvat").iterdir()}
        assert not {name for name in lefts if name.startswith("lock.held")}
