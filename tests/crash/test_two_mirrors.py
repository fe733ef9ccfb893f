"""One writer at a time: a second mirror of a destination is told about the first."""

from __future__ import annotations

import signal
from pathlib import Path

from commands import happened, run, started
from mirror_processes import read_folders

from asynccvat.simulator.options import SimulatorOptions
from asynccvat.simulator.processes import ServerProcess


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
            assert line.startswith(f"Error: {dest} is being written by process {first.pid} on ")
            assert "since 2" in line
            assert not [call for call in server.calls[asked:] if call["path"] == "/api/tasks"], (
                "it asks the server for nothing"
            )
            first.signal(signal.SIGKILL)
            assert first.finish().code == -signal.SIGKILL
        server.do("release_exports")
        assert run(server, dest).code == 0
        assert sorted(read_folders(dest)) == ["task1", "task2", "task3"]
