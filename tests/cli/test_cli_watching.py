"""Check what `asynccvat watch` writes, and how it ends."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import pytest
from command_line import Shell

from asynccvat.simulator import SimulatedServer, SimulatorOptions
from asynccvat.simulator.threads import serve_in_thread


@pytest.fixture
def changing() -> Iterator[SimulatedServer]:
    """A server of three tasks that a test may change."""
    with serve_in_thread(SimulatorOptions(tasks=3, frames=2)) as running:
        yield running


def start(server: SimulatedServer, *arguments: str, **environment: str) -> subprocess.Popen[str]:
    """Start a watch in a process of its own, with its stdout and stderr piped."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("CVAT_")}
    account = {
        "CVAT_URL": server.url,
        "CVAT_USERNAME": server.username,
        "CVAT_PASSWORD": server.password,
    }
    return subprocess.Popen(
        [sys.executable, "-m", "asynccvat", "watch", *arguments],
        env={**kept, **account, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def line_of(stream: IO[str] | None) -> str:
    assert stream is not None
    return stream.readline()


def end(process: subprocess.Popen[str]) -> tuple[int, str]:
    """Ask a watch to end; return its exit code and what it wrote to stderr."""
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=30)
    return process.returncode, err


def test_a_watch_writes_a_line_for_each_round_with_changes(
    changing: SimulatedServer, tmp_path: Path
) -> None:
    process = start(changing, str(tmp_path / "data"), "--every", "0.05")
    try:
        first = line_of(process.stdout)
        assert "3 fetched" in first
        changing.edit_task(2)
        second = line_of(process.stdout)
        assert "1 fetched" in second
        assert second.rstrip().endswith(": task2")
    finally:
        code, err = end(process)
    assert code == 143
    assert "mirrors" in err
    assert "Traceback" not in err


def test_rounds_are_lines_of_json(changing: SimulatedServer, tmp_path: Path) -> None:
    process = start(changing, str(tmp_path / "data"), "--every", "0.05", "--jsonl")
    try:
        first, second = (json.loads(line_of(process.stdout)) for _ in range(2))
    finally:
        end(process)
    assert (first["changed"], first["full_because"], first["ok"]) == (3, "the first round", True)
    assert (second["changed"], second["full_because"], second["requests"]) == (0, None, 1)


def test_a_command_runs_for_each_change(changing: SimulatedServer, tmp_path: Path) -> None:
    command = f"""{sys.executable} -c 'import sys; open(sys.argv[1] + "/seen", "x")' {{path}}"""
    data = tmp_path / "data"
    process = start(changing, str(data), "--on-change", command)
    try:
        assert "3 fetched" in line_of(process.stdout)
        assert all((data / f"task{number}" / "seen").exists() for number in (1, 2, 3))
    finally:
        end(process)


def test_an_outage_is_told_and_outlived(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with serve_in_thread(SimulatorOptions(tasks=1)) as server:
        process = start(server, str(data), "--every", "0.05", "--retries", "0")
        assert "1 fetched" in line_of(process.stdout)
        port = int(server.url.rpartition(":")[2])
    try:
        assert process.stderr is not None
        told = next(line for line in process.stderr if "did not end" in line)
        assert "It is tried again later." in told
        with serve_in_thread(SimulatorOptions(tasks=2, port=port)):
            assert "fetched" in line_of(process.stdout)
    finally:
        code, _ = end(process)
    assert code == 143


def test_quiet_writes_failures_alone(changing: SimulatedServer, tmp_path: Path) -> None:
    data = tmp_path / "data"
    process = start(changing, str(data), "-q", "--status-listen", "127.0.0.1:0")
    try:
        deadline = time.monotonic() + 30
        while not (data / "task3").exists():
            assert time.monotonic() < deadline
            assert process.poll() is None
    finally:
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=30)
    assert out == ""
    assert err.splitlines()[0].startswith("Stopping: ")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--listen", "127.0.0.1:0"), "Set ASYNCCVAT_WEBHOOK_SECRET"),
        (("--status-listen", "nowhere"), "--status-listen 'nowhere' is no address"),
        (("--on-change", "echo {pth}"), "there is no {pth}"),
        (("--on-change", "no-such-program {path}"), "there is no program 'no-such-program'"),
        (("--force",), "--force would fetch all tasks"),
        (("--every", "0"), "--every"),
    ],
)
def test_what_cannot_work_is_refused(
    shell: Shell, tmp_path: Path, arguments: tuple[str, ...], message: str
) -> None:
    ended = shell("watch", tmp_path / "data", *arguments)
    assert ended.code == 2
    assert message in ended.err
    assert not (tmp_path / "data").exists()


def test_refused_credentials_end_a_watch(
    shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CVAT_PASSWORD", "wrong")
    assert shell("watch", tmp_path / "data").code == 3
