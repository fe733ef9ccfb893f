"""`asynccvat backup`, `asynccvat backups` and `asynccvat verify` of what they hold."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from asynccvat.core.plans import backup_notices
from asynccvat.simulator import Fault, SimulatedServer, SimulatorOptions
from asynccvat.simulator.threads import serve_in_thread

if TYPE_CHECKING:
    from command_line import Shell


@pytest.fixture
def own(monkeypatch: pytest.MonkeyPatch) -> Iterator[SimulatedServer]:
    """A server for one test, which may change it; request `shell` before it."""
    with serve_in_thread(SimulatorOptions(tasks=3, frames=1)) as server:
        monkeypatch.setenv("CVAT_URL", server.url)
        yield server


def rows(text: str) -> list[list[str]]:
    return [line.split("\t") for line in text.splitlines()[1:]]


def test_a_run_says_what_it_did_and_a_dry_run_what_it_would_do(
    shell: Shell, own: SimulatedServer
) -> None:
    ended = shell("backup", "backups", "--dry-run")
    assert ended.code == 0
    assert [row[:4] for row in rows(ended.out)] == [
        ["back up", str(number), f"task{number}", "new"] for number in (1, 2, 3)
    ]
    assert ended.err.endswith("Dry run, nothing was changed: 3 to back up.\n")
    assert not Path("backups").exists()

    ended = shell("backup", "backups", "--no-fsync")
    assert ended.code == 0
    assert "3 tasks (3 backed up)" in ended.out
    assert "backups/ holds backups of tasks of http://127.0.0.1" in ended.err

    own.edit_task(2)
    ended = shell("backup", "backups", "--dry-run", "--keep", "1")
    assert [row[0] for row in rows(ended.out)] == ["back up", "remove"]
    assert ended.err.endswith(
        "Dry run, nothing was changed: 1 to back up, 1 to remove, 2 unchanged (-v lists them).\n"
    )
    ended = shell("backup", "backups", "--no-fsync", "--keep", "1", "--json")
    report = ended.json
    assert report["counts"] == {"backed up": 1, "kept": 2, "expired": 1}
    (made,) = [one for one in report["tasks"] if one["action"] == "backed up"]
    assert made["task_id"] == 2
    assert made["path"].endswith(".zip")
    assert made["transferred"] > 0
    plan = shell("backup", "backups", "--dry-run", "--json").json
    assert plan["counts"] == {"keep": 3}


def test_older_zips_that_go_are_counted_as_zips_and_not_as_tasks(
    shell: Shell, own: SimulatedServer
) -> None:
    assert len(own.tasks) == 3
    for _ in range(2):
        assert shell("backup", "backups", "--no-fsync", "--force").code == 0
    ended = shell("backup", "backups", "--no-fsync", "--keep", "1")
    assert ended.code == 0
    assert ": 3 tasks (3 unchanged), 3 old zips removed, 0 B received, " in ended.out
    assert "nothing to do" not in ended.out
    ended = shell("backup", "backups", "--no-fsync", "--keep", "1")
    assert ", nothing to do: 3 tasks (3 unchanged), 0 B received, " in ended.out


def test_a_zip_that_is_too_large_to_come_back_is_a_warning(
    shell: Shell, own: SimulatedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backup_notices, "DEFAULT_UPLOAD_LIMIT", 1000)
    ended = shell("backup", "backups", "--projects", "--no-fsync")
    assert (ended.code, list(own.projects)) == (0, [1])
    assert "warning: project 1: the zip has " in ended.err
    assert "bytes. A server takes files of at most 1,000 bytes back" in ended.err


def test_projects_are_named_as_such(shell: Shell, own: SimulatedServer) -> None:
    assert len(own.tasks) == 3
    ended = shell("backup", "backups", "--projects", "--dry-run")
    assert ended.out.splitlines()[0].split("\t")[1] == "project"
    ended = shell("backup", "backups", "--projects", "--no-fsync", "--full")
    assert "1 project (1 backed up)" in ended.out
    assert Path("backups/project1").is_dir()


def test_a_failed_task_is_exit_code_1_and_can_be_named_later(
    shell: Shell, own: SimulatedServer
) -> None:
    own.faults.add(Fault(path="tasks/2/backup/download", alter_at=50, times=None))
    ended = shell("backup", "backups", "--no-fsync", "--report-json", "report.json")
    assert ended.code == 1
    assert "failed: task 2" in ended.err
    own.faults.clear()
    ended = shell("backup", "backups", "--no-fsync", "--failed-from", "report.json")
    assert ended.code == 0
    assert "1 task (1 backed up)" in ended.out
    shell("backup", "backups", "--no-fsync", "--report-json", "report.json")
    ended = shell("backup", "backups", "--failed-from", "report.json")
    assert ended.code == 0
    assert "Nothing to do" in ended.err


def test_the_list_tells_what_there_is(shell: Shell, own: SimulatedServer) -> None:
    assert shell("backup", "backups", "--no-fsync").code == 0
    own.delete_task(3)
    ended = shell("backups", "backups")
    assert ended.code == 0
    assert [[row[0], row[1], row[4], row[5], row[6]] for row in rows(ended.out)] == [
        ["task", "1", "whole", "present", "has it"],
        ["task", "2", "whole", "present", "has it"],
        ["task", "3", "whole", "present", "not listed"],
    ]
    assert ended.err.endswith("3 backups\n")
    lines = shell("backups", "backups", "--offline", "--jsonl").out.splitlines()
    first = json.loads(lines[0])
    assert (first["id"], first["on_server"], first["condition"]) == (1, None, "present")
    assert [one["on_server"] for one in shell("backups", "backups", "--json").json] == [
        True,
        True,
        False,
    ]

    next(Path("backups/task1").glob("*.zip")).unlink()
    ended = shell("backups", "backups", "--offline")
    assert ended.code == 1
    assert "warning: 1 zip missing or changed." in ended.err


def test_a_broken_zip_is_a_warning_and_made_again_although_an_older_one_is_as_good(
    shell: Shell, own: SimulatedServer
) -> None:
    assert len(own.tasks) == 3
    for _ in range(2):
        assert shell("backup", "backups", "--no-fsync", "--force").code == 0
    missing = max(Path("backups/task1").glob("*.zip"))
    missing.unlink()
    cut = max(Path("backups/task2").glob("*.zip"))
    cut.write_bytes(cut.read_bytes()[:-1])
    then = "Once a newer backup is here, "
    delete = "delete what is damaged; a run with --keep removes its receipt."
    removes = "a run with --keep removes its receipt."
    warnings = {
        f"warning: 1 zip is missing: 'task1/{missing.name}'. {then}{removes}",
        f"warning: 1 zip has not the size of its receipt: 'task2/{cut.name}'. {then}{delete}",
    }
    ended = shell("backup", "backups", "--dry-run")
    assert [row[:4] for row in rows(ended.out)] == [
        ["back up", "1", "task1", "missing"],
        ["back up", "2", "task2", "damaged"],
    ]
    assert warnings < set(ended.err.splitlines())
    ended = shell("backup", "backups", "--no-fsync")
    assert ended.code == 0
    assert "3 tasks (2 backed up, 1 unchanged)" in ended.out
    assert warnings < set(ended.err.splitlines())

    cut.unlink()
    ended = shell("backup", "backups", "--no-fsync", "--keep", "7")
    assert "3 tasks (3 unchanged), 2 old zips removed" in ended.out
    assert "warning" not in ended.err
    assert shell("backups", "backups").code == 0
    assert shell("verify", "backups").code == 0
    assert shell("backup", "backups", "--no-fsync").out.count("nothing to do") == 1


def test_a_mirror_is_no_folder_of_backups_to_read(shell: Shell, own: SimulatedServer) -> None:
    assert len(own.tasks) == 3
    assert shell("mirror", "data", "--no-fsync").code == 0
    said = (
        "Error: 'data' holds a mirror, not backups. Name the folder that `asynccvat backup` was "
        "given.\n"
    )
    for command in (
        ("backups", "data"),
        ("backups", "data", "--offline"),
        ("restore", "data"),
        ("delete", "-t", "1", "--require-backup", "data"),
    ):
        ended = shell(*command)
        assert (ended.code, ended.err) == (2, said), command
    ended = shell("backup", "data", "--dry-run")
    assert ended.code == 2
    assert ended.err == (
        "Error: 'data' holds a mirror, which `asynccvat mirror` makes. Choose another destination "
        "for backups.\n"
    )


def test_the_list_needs_no_server_that_answers(shell: Shell, own: SimulatedServer) -> None:
    assert shell("backup", "backups", "--no-fsync").code == 0
    own.faults.add(Fault(path="/api/", drop=True, times=None))
    ended = shell("backups", "backups")
    assert ended.code == 0
    assert "warning: the server was not asked" in ended.err
    assert [row[6] for row in rows(ended.out)] == ["", "", ""]


def test_backups_of_another_server_are_listed_without_asking(
    shell: Shell, own: SimulatedServer, simulated: SimulatedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert shell("backup", "backups", "--no-fsync").code == 0
    monkeypatch.setenv("CVAT_URL", simulated.url)
    ended = shell("backups", "backups")
    assert ended.code == 2
    assert ended.err == (
        f"Error: 'backups' holds backups of {own.url}, not of {simulated.url}. Check --url and "
        "--org, or list them with --offline, without asking a server.\n"
    )
    assert shell("backups", "backups", "--offline").code == 0


def test_backups_are_verified_without_a_server(
    shell: Shell, own: SimulatedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert len(own.tasks) == 3
    assert shell("backup", "backups", "--no-fsync").code == 0
    monkeypatch.delenv("CVAT_URL")
    ended = shell("verify", "backups")
    assert ended.code == 0
    assert "3 tasks, 3 files" in ended.out
    path = next(Path("backups/task2").glob("*.zip"))
    content = bytearray(path.read_bytes())
    content[100] ^= 1
    path.write_bytes(content)
    ended = shell("verify", "backups")
    assert ended.code == 1
    said = next(line for line in ended.out.splitlines() if line.startswith("corrupted: "))
    assert said.startswith(f"corrupted: task2/{path.name}: member '")
    assert said.endswith("' differs from the receipt")


def test_a_retention_that_would_lose_the_last_good_backup_is_exit_code_5(
    shell: Shell, own: SimulatedServer
) -> None:
    assert shell("backup", "backups", "--no-fsync").code == 0
    assert shell("backup", "backups", "--no-fsync", "--force").code == 0
    own.delete_task(1)
    newest = max(Path("backups/task1").glob("*.zip"))
    content = bytearray(newest.read_bytes())
    content[100] ^= 1
    newest.write_bytes(content)
    ended = shell("backup", "backups", "--no-fsync", "--keep", "1")
    assert ended.code == 5
    assert "no backup of task 1 is removed" in ended.err
    assert len(list(Path("backups/task1").glob("*.zip"))) == 2


@pytest.mark.skipif(sys.platform == "win32", reason="destinations need Linux or macOS")
def test_an_interrupted_backup_is_continued_by_the_same_command(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = SimulatorOptions(tasks=1, frames=2, frame_bytes=2_000_000)
    with serve_in_thread(options) as server:
        monkeypatch.setenv("CVAT_URL", server.url)
        server.faults.add(Fault(path="backup/download", nth=2, stall_at=3_000_000))
        command = [sys.executable, "-m", "asynccvat", "backup", "backups", "--no-fsync"]
        command += ["--quiet", "--log-json", "/dev/stdout"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
            came = 0
            assert process.stdout is not None
            while came < 1_000_000:
                event = json.loads(process.stdout.readline())
                came += event.get("transferred", 0)
            process.send_signal(signal.SIGINT)
            process.communicate(timeout=60)
        part = Path("backups/.asynccvat/staging/task1/backup.zip.part")
        assert process.returncode == 130
        kept = part.stat().st_size
        report = shell("backup", "backups", "--no-fsync", "--json").json
    (made,) = report["tasks"]
    size = next(Path("backups/task1").glob("*.zip")).stat().st_size
    assert made["transferred"] == size - kept
