"""Ctrl-C and SIGTERM in the middle of `asynccvat mirror`."""

from __future__ import annotations

import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from commands import ask_for_export, happened, requests_by_status, run, started
from mirror_processes import (
    bytes_downloaded,
    check_end,
    check_parts,
    exports_asked,
    job,
    mirror,
    read_folders,
)

from asynccvat.simulator.faults import Fault
from asynccvat.simulator.options import SimulatorOptions
from asynccvat.simulator.processes import ServerProcess

TASKS = 8
MIB = 1024 * 1024
STAGING = ".asynccvat/staging"


@pytest.fixture
def server() -> Iterator[ServerProcess]:
    """Archives that are larger than their tails; one export at a time."""
    options = SimulatorOptions(tasks=TASKS, frames=3, frame_bytes=200_000, export_workers=1)
    with ServerProcess(options) as running:
        yield running


def complete(server: ServerProcess, dest: Path) -> None:
    ended = run(server, dest, "-v")
    assert ended.code == 0, ended.err


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)], ids=["SIGINT", "SIGTERM"]
)
def test_interrupted_it_takes_back_its_own_queued_requests_and_the_next_run_completes(
    tmp_path: Path, server: ServerProcess, number: int, code: int
) -> None:
    dest = tmp_path / "interrupted"
    server.do("pause_exports")

    def is_midway(seen: list[dict[str, Any]]) -> bool:
        return happened("export_started")(seen) and happened("task_done", 2)(seen)

    with started(server, dest, "--concurrency", str(TASKS)) as command:
        command.wait_for(happened("export_requested", TASKS))
        # The exports run in the order in which they came to be asked for. One never ends, so that
        # all behind it stay queued; and the archive of one before it never comes whole.
        _, stalling, _, stuck, *_ = exports_asked(server)
        server.add_faults(
            Fault(export="stick", task_id=stuck),
            Fault(path="dataset/download", task_id=stalling, stall_at=100_000, times=None),
        )
        server.do("release_exports")
        command.wait_for(is_midway)
        of_others = {
            ask_for_export(server, 8, "COCO 1.0", "false"),
            ask_for_export(server, 7, "CVAT for images 1.1", "true"),
        }
        assert len(requests_by_status(server)["queued"]) == TASKS - 4 + len(of_others)
        command.signal(number)
        ended = command.finish()

    assert ended.code == code
    assert len(ended.out.splitlines()) == 1
    assert ended.out.startswith("Interrupted after")
    assert requests_by_status(server)["queued"] == of_others
    server.clear_faults()
    server.do("release_exports")
    mirror(job(server, tmp_path / "undisturbed"))
    left = read_folders(dest)
    assert len(left) == 2
    check_parts(left, read_folders(tmp_path / "undisturbed"))
    assert list((dest / STAGING).iterdir()) == []

    since = len(server.calls)
    complete(server, dest)
    assert len(exports_asked(server, since)) == TASKS - 2
    check_end(dest, tmp_path / "undisturbed")


def test_interrupted_it_leaves_requests_alone_that_it_only_joined(
    tmp_path: Path, server: ServerProcess
) -> None:
    server.do("pause_exports")
    others = {ask_for_export(server, task_id, "COCO 1.0", "true") for task_id in (2, 5)}
    with started(server, tmp_path / "dest", "--concurrency", str(TASKS)) as command:
        command.wait_for(happened("export_requested", TASKS))
        assert len(requests_by_status(server)["queued"]) == TASKS
        command.signal(signal.SIGINT)
        assert command.finish().code == 130
    assert requests_by_status(server) == {"queued": others}


def test_interrupted_twice_it_leaves_at_once_and_the_next_run_completes(
    tmp_path: Path, server: ServerProcess
) -> None:
    mirror(job(server, tmp_path / "undisturbed"))
    server.do("pause_exports")
    # The server is slow to take requests back; nobody has to wait for that.
    server.add_faults(Fault(path="/cancel$", delay=3600, times=None))
    dest = tmp_path / "dest"
    with started(server, dest) as command:
        command.wait_for(happened("export_requested"))
        command.signal(signal.SIGINT)
        assert " mirrors " in command.read_remark()
        assert command.read_remark().startswith("Stopping")
        command.signal(signal.SIGINT)
        assert "`asynccvat requests cancel --all`" in command.read_remark()
        ended = command.finish()
    assert ended.code == 130
    assert ended.out == "", "whoever leaves at once has no summary"
    server.do("release_exports")
    check_parts(read_folders(dest))
    complete(server, dest)
    check_end(dest, tmp_path / "undisturbed")


def test_interrupted_within_a_large_archive_the_next_run_takes_over_or_sweeps_what_came(
    tmp_path: Path,
) -> None:
    size = 32 * MIB
    with ServerProcess(SimulatorOptions(tasks=2, frames=32, frame_bytes=MIB)) as server:
        mirror(job(server, tmp_path / "undisturbed"))

        # The archive comes in one range of 32 MiB, of which the last quarter never comes.
        server.add_faults(Fault(path="dataset/download", stall_at=24 * MIB, times=None))
        dest = tmp_path / "taken over"
        with started(server, dest, "--task-id", "1") as command:
            command.wait_for(lambda seen: sum(one.get("transferred", 0) for one in seen) > 22 * MIB)
            command.signal(signal.SIGINT)
            assert command.finish().code == 130
        server.clear_faults()
        assert read_folders(dest) == {}
        assert [path.name for path in (dest / STAGING).iterdir()] == ["1"]
        swept = shutil.copytree(dest, tmp_path / "swept")

        since = len(server.calls)
        complete(server, dest)
        assert bytes_downloaded(server, since) < 2 * size - 16 * MIB
        check_end(dest, tmp_path / "undisturbed")

        assert run(server, swept, "--task-id", "2").code == 0
        assert list((swept / STAGING).iterdir()) == []
