"""Deletions that are killed before or after a call: only what was meant goes, and all is noted."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from asynccvat.simulator import SimulatorOptions
from asynccvat.simulator.threads import serve_in_thread

KILLED = 9
_PROGRAM = """
import os, sys
from asynccvat.cli import main
from asynccvat.http.session import HttpSession
number, when, *arguments = sys.argv[1:]
real, count = HttpSession.call, 0
async def call(self, call):
    global count
    count += 1
    if count == int(number) and when == "before":
        os._exit(9)
    answer = await real(self, call)
    if count == int(number) and when == "after":
        os._exit(9)
    return answer
HttpSession.call = call
main(arguments)
"""
CALLS = ((1, "before"), (10, "after"), (13, "before"))


@pytest.mark.parametrize(("number", "when"), CALLS)
def test_a_killed_deletion_is_finished_by_its_successor(
    number: int, when: str, tmp_path: Path
) -> None:
    killed_and_finished(number, when, tmp_path)


def killed_and_finished(number: int, when: str, tmp_path: Path) -> None:
    """Kill a deletion of tasks 1 to 3 at a call, run it again, and look at server and log."""
    with serve_in_thread(SimulatorOptions(tasks=5, frames=1)) as server:
        environment = os.environ | {"CVAT_URL": server.url, "CVAT_ACCESS_TOKEN": server.token}

        def run(number: int, *more: str) -> int:
            command = [sys.executable, "-c", _PROGRAM, str(number), when, "delete", "-t", "1,2,3"]
            command += ["--plan", "plan.json", *more]
            ended = subprocess.run(
                command, cwd=tmp_path, env=environment, capture_output=True, check=False
            )
            return ended.returncode

        assert run(0) == 0
        meant = ("--yes", "--expect", "3", "--log", "log.jsonl")
        assert run(number, *meant) in (0, KILLED)
        gone = {1, 2, 3} - set(server.tasks)
        assert {4, 5} <= set(server.tasks)
        log = tmp_path / "log.jsonl"
        lines = log.read_text().splitlines()[1:] if log.exists() else []
        noted = {line["id"] for line in map(json.loads, lines) if line["what"] == "delete"}
        assert gone <= noted
        assert run(0, *meant) == 0
        assert set(server.tasks) == {4, 5}
