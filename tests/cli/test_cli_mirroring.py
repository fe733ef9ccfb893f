"""`mirror` and `download` with the real engine, against the simulated server."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import pytest

from asynccvat.simulator import Fault, SimulatedServer, SimulatorOptions
from asynccvat.simulator.threads import serve_in_thread

if TYPE_CHECKING:
    from command_line import Shell

ASYNCCVAT = (sys.executable, "-m", "asynccvat")


@pytest.fixture
def own(monkeypatch: pytest.MonkeyPatch) -> Iterator[SimulatedServer]:
    """A server for one test, which may change and break it; request `shell` before it."""
    with serve_in_thread(SimulatorOptions(tasks=4, frames=2)) as server:
        monkeypatch.setenv("CVAT_URL", server.url)
        yield server


def files(place: Path) -> dict[str, bytes]:
    """The files of a mirror, without what it keeps for itself."""
    return {
        str(path.relative_to(place)): path.read_bytes()
        for path in place.rglob("*")
        if path.is_file() and ".asynccvat" not in path.parts
    }


def folders(place: Path) -> list[str]:
    return sorted(item.name for item in place.iterdir() if not item.name.startswith("."))


def test_a_mirror_holds_every_task_and_a_second_run_has_nothing_to_do(
    shell: Shell, tmp_path: Path
) -> None:
    ended = shell("mirror", "data", "--no-fsync")
    assert ended.code == 0
    assert folders(tmp_path / "data") == [f"task{number}" for number in range(1, 7)]
    (line,) = ended.out.splitlines()
    assert "6 tasks (6 fetched)" in line
    assert line.endswith(": data")
    mirrors = "all tasks, CVAT, without images"
    assert ended.err == f"data/ mirrors {os.environ['CVAT_URL']}: {mirrors}\n"
    before = files(tmp_path / "data")
    assert "<image " in before["task1/annotations.xml"].decode()
    ended = shell("mirror", "data", "--no-fsync")
    assert "6 tasks (6 unchanged)" in ended.out
    assert files(tmp_path / "data") == before


def test_options_reach_the_engine(shell: Shell, tmp_path: Path) -> None:
    ended = shell(
        *("mirror", "data", "-t", "1,2", "--status", "annotation", "-f", "COCO 1.0", "--images"),
        *("--folder-prefix", "t_", "--keep-archive", "--concurrency", 2, "--transfers", 1),
        *(
            "--bwlimit",
            "1G",
            "--retries",
            1,
            "--export-timeout",
            "1h",
            "--no-reuse",
            "--no-refresh",
        ),
        *("--no-fsync", "--trust-receipts", "--force", "--adopt", "--break-lock", "--prune"),
        *("--max-delete", "50%"),
    )
    assert ended.code == 0, ended.err
    held = files(tmp_path / "data")
    assert (tmp_path / "data" / ".asynccvat" / "archives" / "1.zip").is_file()
    assert "t_1/annotations/instances_default.json" in held
    assert sum(name.startswith("t_1/images/") for name in held) == 2
    assert not [name for name in held if name.startswith("t_2")]


def test_json_is_the_report_and_nothing_else_is_on_stdout(shell: Shell, tmp_path: Path) -> None:
    ended = shell("mirror", "data", "-t", 1, "--json", "--report-json", "report.json", "--no-fsync")
    report = ended.json
    assert report["ok"]
    assert report["counts"] == {"fetched": 1}
    assert report["tasks"][0]["task_id"] == 1
    assert json.loads((tmp_path / "report.json").read_text()) == report


def test_a_dry_run_prints_the_plan_and_changes_nothing(shell: Shell, tmp_path: Path) -> None:
    ended = shell("mirror", "data", "--dry-run", "-t", "1,2")
    header, *rows = ended.out.splitlines()
    assert header == "step\ttask\tfolder\treason\tname"
    assert rows == [
        "fetch\t1\ttask1\tnew\tstreet-00001",
        "fetch\t2\ttask2\tnew\tstreet-00002",
    ]
    mirrors, remark = ended.err.splitlines()
    assert mirrors.endswith(": CVAT, without images; this run: tasks 1, 2")
    assert remark == "Dry run, nothing was changed: 2 to fetch."
    assert ended.code == 0
    assert not list(tmp_path.iterdir())
    plan = shell("mirror", "data", "--dry-run", "-t", "1,2", "--json").json
    assert plan["counts"] == {"fetch": 2}


def test_a_destination_repeats_its_first_run_and_refuses_another(
    shell: Shell, tmp_path: Path
) -> None:
    first = ("mirror", "data/", "-f", "COCO 1.0", "--name", "street-00001", "--no-fsync")
    assert shell(*first).code == 0
    again = shell("mirror", "data/")
    assert (again.code, "1 task (1 unchanged)" in again.out) == (0, True)
    mirrors = (
        f"data/ mirrors {os.environ['CVAT_URL']}: name 'street-00001', COCO 1.0, without images"
    )
    assert again.err.splitlines() == [mirrors]
    dry = shell("mirror", "data/", "--dry-run")
    assert dry.err.splitlines() == [
        mirrors,
        "Dry run, nothing was changed: 1 unchanged (-v lists them).",
    ]
    before = files(tmp_path / "data")
    refused = shell("mirror", "data/", "--images", "-f", "Datumaro 1.0")
    assert (refused.code, refused.out) == (5, "")
    assert refused.err == (
        "Error: cannot mirror to 'data': it was made as COCO 1.0 and without images, "
        "and this run would make it as Datumaro 1.0 and with images. Leave these options out to "
        "go on as before, or add --change to change the destination.\n"
    )
    assert files(tmp_path / "data") == before
    assert shell("mirror", "data/", "--change", "--everything", "--no-fsync").code == 0
    assert len(folders(tmp_path / "data")) == 6
    assert shell("mirror", "data/").err.endswith(": all tasks, COCO 1.0, without images\n")


def test_the_project_of_the_settings_is_remembered_and_counts_for_less(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CVAT_PROJECT_ID", "1")
    assert ": project 1, " in shell("mirror", "data", "--no-fsync").err
    monkeypatch.setenv("CVAT_PROJECT_ID", "2")
    again = shell("mirror", "data")
    assert (again.code, ": project 1, " in again.err) == (0, True)


@pytest.mark.parametrize("options", [(), ("--dry-run",)], ids=["run", "plan"])
def test_an_unknown_format_leaves_no_folder(
    shell: Shell, tmp_path: Path, options: tuple[str, ...]
) -> None:
    ended = shell("mirror", "new/er", "-f", "Coco 2.0", *options)
    assert (ended.code, ended.out) == (2, "")
    assert ended.err.splitlines()[-1].startswith("Error: cannot export as 'Coco 2.0'")
    assert list(tmp_path.iterdir()) == []


def test_a_destination_in_another_one_is_refused(shell: Shell, tmp_path: Path) -> None:
    assert shell("mirror", "data", "-t", "1", "--no-fsync").code == 0
    refused = shell("mirror", "data/more")
    assert refused.code == 2
    assert refused.err.startswith("Error: cannot mirror to 'data/more': it lies in another dest")
    assert folders(tmp_path / "data") == ["task1"]


def test_events_are_logged_as_lines_of_json_with_their_time(shell: Shell, tmp_path: Path) -> None:
    for task in (1, 2):
        assert shell("mirror", "data", "-t", task, "--log-json", "log", "--no-fsync").code == 0
    records = [json.loads(line) for line in (tmp_path / "log").read_text().splitlines()]
    assert [record["event"] for record in records].count("run_finished") == 2
    assert {"listing_read", "planned", "export_requested", "task_done"} <= {
        record["event"] for record in records
    }
    assert all(datetime.fromisoformat(record["at"]).tzinfo for record in records)
    assert all(record["v"] == 1 for record in records)


def test_a_failed_task_is_reported_at_once_and_can_be_retried_from_the_report(
    shell: Shell, own: SimulatedServer, tmp_path: Path
) -> None:
    own.faults.add(Fault(export="fail", task_id=2, message="ValueError: no frames\n", times=None))
    ended = shell("mirror", "data", "--report-json", "report.json", "--no-fsync")
    assert ended.code == 1
    mirrors, line = ended.err.splitlines()
    assert mirrors.startswith("data/ mirrors ")
    assert line.startswith("failed: ")
    assert "task 2" in line
    assert "ValueError: no frames" in line
    assert "3 fetched, 1 failed" in ended.out
    assert folders(tmp_path / "data") == ["task1", "task3", "task4"]

    own.faults.clear()
    ended = shell("mirror", "data", "--failed-from", "report.json", "--json", "--no-fsync")
    assert ended.code == 0
    assert [task["task_id"] for task in ended.json["tasks"]] == [2]

    (tmp_path / "report.json").write_text(ended.out)
    ended = shell("mirror", "data", "--failed-from", "report.json")
    assert (ended.code, ended.out) == (0, "")
    assert "nothing failed in report.json" in ended.err


def test_an_unknown_format_names_the_nearest_ones(shell: Shell, tmp_path: Path) -> None:
    for command in (("mirror", "data"), ("download", "-t", "1", "-o", "data")):
        ended = shell(*command, "-f", "coco 1.1")
        assert ended.code == 2
        assert "COCO 1.0" in ended.err
        assert not (tmp_path / "data").exists() or folders(tmp_path / "data") == []


def test_an_unknown_task_is_a_failed_task(shell: Shell, tmp_path: Path) -> None:
    ended = shell("mirror", "data", "-t", "1,99", "--no-fsync")
    assert ended.code == 1
    assert "task 99" in ended.err
    assert folders(tmp_path / "data") == ["task1"]


def test_a_destination_that_is_not_writable_is_reported(shell: Shell, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    ended = shell("mirror", "file/data")
    assert (ended.code, ended.out) == (2, "")
    (line,) = ended.err.splitlines()
    assert "file is a file, not a folder. Name another folder" in line
    assert (tmp_path / "file").read_text() == "mine"
    assert "file is a file, not a folder" in shell("mirror", "file").err


def test_a_destination_that_cannot_be_created_is_reported(shell: Shell) -> None:
    if not Path("/proc/self").exists():
        pytest.skip("this system has no /proc")
    ended = shell("mirror", "/proc/data")
    assert ended.code == 2
    assert "'/proc/data' cannot be created in '/proc'. Choose another folder" in ended.err


def test_a_mirror_of_another_server_is_refused(
    shell: Shell, simulated: SimulatedServer, own: SimulatedServer
) -> None:
    assert shell("mirror", "data", "-t", 1, "--no-fsync").code == 0
    ended = shell("mirror", "data", "-t", 1, "--url", simulated.url)
    assert ended.code == 2
    assert own.url in ended.err


def test_too_many_removals_are_refused(shell: Shell, own: SimulatedServer, tmp_path: Path) -> None:
    assert shell("mirror", "data", "--no-fsync").code == 0
    for task in (3, 4):
        own.delete_task(task)
    for flags in ((), ("--dry-run",)):
        ended = shell("mirror", "data", "--prune", "--no-fsync", *flags)
        assert ended.code == 5
        assert "--max-delete" in ended.err
    assert len(folders(tmp_path / "data")) == 4
    ended = shell("mirror", "data", "--prune", "--max-delete", 2, "--no-fsync")
    assert ended.code == 0
    assert "2 removed, 2 unchanged" in ended.out
    assert folders(tmp_path / "data") == ["task1", "task2"]


def test_a_foreign_folder_is_a_failed_task_and_stays_unchanged(
    shell: Shell, tmp_path: Path
) -> None:
    (tmp_path / "data" / "task1").mkdir(parents=True)
    (tmp_path / "data" / "task1" / "notes.txt").write_text("mine")
    ended = shell("mirror", "data", "-t", "1,2", "--no-fsync")
    assert ended.code == 1
    assert "--adopt" in ended.err
    assert (tmp_path / "data" / "task1" / "notes.txt").read_text() == "mine"


def test_a_server_that_becomes_unreachable_ends_the_run_with_its_code(
    shell: Shell, own: SimulatedServer, tmp_path: Path
) -> None:
    own.faults.add(Fault(method="POST", path="/dataset/export", status=401, times=None))
    ended = shell("mirror", "data", "--report-json", "report.json", "--no-fsync")
    assert ended.code == 3
    assert "Error: " in ended.err
    assert not json.loads((tmp_path / "report.json").read_text())["ok"]


def test_a_server_that_stays_away_is_one_message_and_no_list_of_failures(
    shell: Shell, own: SimulatedServer, tmp_path: Path
) -> None:
    own.faults.add(
        Fault(path="/dataset/export", drop=True, times=None),
        Fault(path="/server/about", drop=True, times=None),
    )
    ended = shell("mirror", "data", "--wait-for-server", "1s", "--no-fsync")
    assert ended.code == 4
    _, waiting, error = ended.err.splitlines()
    assert waiting.startswith("no answer from the server for ")
    assert waiting.endswith("; waiting up to 1s (--wait-for-server)")
    assert error.startswith("Error: the server has not answered for ")
    ended = shell("mirror", "data", "--wait-for-server", "0", "--no-fsync")
    assert ended.code == 4
    error = ended.err.splitlines()[-1]
    assert error.startswith("Error: the server has not answered for ")
    assert "waiting up to" not in ended.err
    own.faults.clear()
    assert shell("mirror", "data", "--no-fsync").code == 0
    assert len(folders(tmp_path / "data")) == 4


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_cancels_queued_exports_and_leaves_a_mirror_that_can_continue(
    shell: Shell, own: SimulatedServer, tmp_path: Path, number: int, code: int
) -> None:
    own.faults.add(Fault(export="fail", task_id=1))
    own.faults.add(*(Fault(export="stick", task_id=task) for task in (2, 3, 4)))
    command = subprocess.Popen(
        [*ASYNCCVAT, "mirror", "data", "--report-json", "report.json", "--retries", "0"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=tmp_path,
    )
    assert command.stderr is not None
    assert command.stderr.readline().startswith("data/ mirrors ")
    assert "task 1" in command.stderr.readline()
    command.send_signal(number)
    out, err = command.communicate(timeout=60)
    assert command.returncode == code
    cancelled = [call for call in own.calls if call.path.endswith("/cancel")]
    assert {call.task_id for call in cancelled} <= {2, 3, 4}
    # An export that runs cannot be cancelled.
    assert [call.task_id for call in cancelled if call.status == 200] in ([3], [4])
    assert "Stopping" in err
    assert "Interrupted after" in out
    assert json.loads((tmp_path / "report.json").read_text())["interrupted"]
    own.faults.clear()
    own.release_exports()
    assert shell("mirror", "data", "--no-fsync").code == 0
    assert len(folders(tmp_path / "data")) == 4


@pytest.mark.usefixtures("shell", "hang_up_ends_processes")
def test_a_closed_terminal_cancels_queued_exports(own: SimulatedServer, tmp_path: Path) -> None:
    own.faults.add(*(Fault(export="stick", task_id=task) for task in (1, 2, 3, 4)))
    outer, inner = pty.openpty()
    # The terminal has to be the one that controls the process.
    takes_terminal = (
        "import fcntl, os, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); "
        "os.execv(sys.argv[1], sys.argv[1:])"
    )
    mirror = [*ASYNCCVAT, "mirror", "data", "--report-json", "report.json"]
    command = subprocess.Popen(
        [sys.executable, "-c", takes_terminal, *mirror],
        stdin=inner,
        stdout=inner,
        stderr=inner,
        cwd=tmp_path,
        start_new_session=True,
    )
    os.close(inner)
    shown = b""
    while b" queued" not in shown or not own.requests:
        shown += os.read(outer, 1 << 16)
    os.close(outer)  # which sends SIGHUP
    assert command.wait(timeout=60) == 129
    assert not [one for one in own.requests.values() if one.status == "queued"]
    assert json.loads((tmp_path / "report.json").read_text())["interrupted"]


def pieces_of(terminal: BinaryIO) -> Iterator[bytes]:
    """What a terminal shows, until its last writer has closed it."""
    with contextlib.suppress(OSError):
        while piece := terminal.read(1 << 16):
            yield piece


@pytest.mark.usefixtures("shell")
def test_on_a_terminal_there_is_a_bar_and_stdout_stays_clean(tmp_path: Path) -> None:
    outer, inner = pty.openpty()
    with os.fdopen(outer, "rb", buffering=0) as terminal:
        ended = subprocess.run(
            [*ASYNCCVAT, "mirror", "data", "--json"],
            stdout=subprocess.PIPE,
            stderr=inner,
            cwd=tmp_path,
            env=os.environ | {"TERM": "xterm-256color"},
            check=False,
            timeout=60,
        )
        os.close(inner)
        shown = b"".join(pieces_of(terminal))
    assert ended.returncode == 0
    assert json.loads(ended.stdout)["counts"] == {"fetched": 6}
    # The bar is redrawn periodically, so its numbers of a quick run depend on timing.
    assert "\N{BOX DRAWINGS HEAVY HORIZONTAL}" in shown.decode()
    assert "\x1b[?25h" in shown.decode()


def test_tasks_are_downloaded_into_folders_and_existing_ones_are_skipped(
    shell: Shell, tmp_path: Path
) -> None:
    ended = shell("download", "-t", 1, "-t", "2", "-o", "out", "--folder-prefix", "data_")
    assert ended.code == 0, ended.err
    assert folders(tmp_path / "out") == ["data_1", "data_2"]
    assert not list((tmp_path / "out").glob(".*"))
    before = files(tmp_path / "out")
    ended = shell("download", "-t", "1,2", "-o", "out", "--folder-prefix", "data_")
    assert ended.code == 0
    assert "2 " in ended.out
    assert files(tmp_path / "out") == before
    ended = shell(
        "download", "-t", 1, "-o", "out", "--folder-prefix", "data_", "--no-skip-existing"
    )
    assert (ended.code, ended.err) == (0, "")
    assert "1 fetched" in ended.out
    assert files(tmp_path / "out") == before


def test_a_download_that_skips_nothing_quarantines_edited_files(
    shell: Shell, tmp_path: Path
) -> None:
    command = ("download", "-t", 1, "-o", "out", "--no-skip-existing")
    assert shell(*command).code == 0
    before = files(tmp_path / "out")
    (tmp_path / "out/task1/annotations.xml").write_text("edited")
    ended = shell(*command)
    assert ended.code == 0
    assert ended.err == (
        "warning: task 1: earlier files that it no longer holds are in 'out/task1.old-1'\n"
    )
    assert files(tmp_path / "out") == before | {"task1.old-1/annotations.xml": b"edited"}
    (tmp_path / "mine/task1").mkdir(parents=True)
    (tmp_path / "mine/task1/notes.txt").write_text("no export")
    ended = shell("download", "-t", 1, "-o", "mine", "--no-skip-existing")
    assert ended.code == 1
    assert "the folder holds something other than an export" in ended.err


def test_each_task_may_have_a_path_of_its_own(shell: Shell, tmp_path: Path) -> None:
    ended = shell(
        *("download", "-t", "1,2", "--out-path", "a/one", "--out-path", "two"),
        *("--save-images", "-f", "COCO 1.0", "--json"),
    )
    assert ended.code == 0, ended.err
    assert ended.json["counts"] == {"fetched": 2}
    assert (tmp_path / "a/one/annotations/instances_default.json").is_file()
    assert (tmp_path / "two/annotations/instances_default.json").is_file()


def test_of_a_server_s_traceback_the_cause_alone_is_shown(
    bare_shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    traceback = (
        'Traceback (most recent call last):\n  File "/home/django/cvat/apps/engine/task.py", line '
        '320, in _validate_data\n    raise ValueError("x")\nValueError: No media data found\n'
    )
    with serve_in_thread(SimulatorOptions(tasks=2, frames=1)) as own:
        monkeypatch.setenv("CVAT_URL", own.url)
        monkeypatch.setenv("CVAT_ACCESS_TOKEN", own.token)
        own.faults.add(Fault(export="fail", task_id=2, message=traceback, times=None))
        ended = bare_shell("mirror", "data")
        listed = bare_shell("requests", "--all")
    assert ended.code == 1
    assert "the server could not export task 2: ValueError: No media data found" in ended.err
    assert "ValueError: No media data found" in listed.out
    assert "File" not in ended.err + listed.out
