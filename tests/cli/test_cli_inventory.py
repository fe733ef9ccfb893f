"""`asynccvat status`, `diff`, `du` and `kept`: what a folder holds, seen from the shell."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from terminals import on_a_terminal

from asynccvat.simulator import Fault, SimulatedServer, SimulatorOptions
from asynccvat.simulator.threads import serve_in_thread

if TYPE_CHECKING:
    from command_line import Shell

FAST = ("--no-fsync", "--quiet")
FILE = Path("data/task2/annotations.xml")


@pytest.fixture
def own(monkeypatch: pytest.MonkeyPatch) -> Iterator[SimulatedServer]:
    """A server for one test, which may change it; request `shell` before it."""
    with serve_in_thread(SimulatorOptions(tasks=3, frames=1)) as server:
        monkeypatch.setenv("CVAT_URL", server.url)
        yield server


@pytest.fixture
def mirrored(shell: Shell, own: SimulatedServer) -> SimulatedServer:
    """A server with a mirror of it in `data`."""
    assert shell("mirror", "data", *FAST).code == 0
    return own


def rows(text: str) -> list[list[str]]:
    return [line.split("\t") for line in text.splitlines()[1:]]


def edited(path: Path = FILE) -> bytes:
    content = path.read_bytes() + b"<!-- mine -->"
    path.write_bytes(content)
    return content


# --- status -------------------------------------------------------------------------------------


def test_a_mirror_that_is_as_it_should_be_is_one_line(
    shell: Shell, mirrored: SimulatedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CVAT_URL")  # no server is needed
    ended = shell("status", "data")
    assert (ended.code, ended.err) == (0, "")
    (line,) = ended.out.splitlines()
    assert line.startswith(f"data: 3 tasks of {mirrored.url}, all tasks, CVAT, without images, ")
    assert re.search(r"complete \d+ s ago\.$", line)


@pytest.mark.usefixtures("mirrored")
def test_a_run_of_some_tasks_is_not_told_as_a_complete_mirror(shell: Shell) -> None:
    shell("mirror", "data", "-t", 2)
    (line,) = shell("status", "data").out.splitlines()
    assert re.search(r", last run of task 2 alone, complete \d+ s ago\.$", line)
    assert re.search(r"last run +mirror of task 2 alone, ", shell("status", "data", "-v").out)
    assert shell("status", "data", "--json").json["last_run"]["only"] == "task 2"
    shell("mirror", "data", "--since-last-run")
    assert shell("status", "data", "--json").json["last_run"]["only"] == ""


@pytest.mark.usefixtures("mirrored")
def test_what_the_last_run_left_is_called_as_its_summary_calls_it(shell: Shell) -> None:
    assert "3 unchanged" in shell("mirror", "data").out
    line = shell("status", "data", "-v").out
    assert re.search(r"last run +mirror, .*: 3 unchanged\n", line)
    assert shell("status", "data", "--json").json["last_run"]["counts"] == {"kept": 3}


def test_what_was_edited_or_is_missing_is_named(shell: Shell, mirrored: SimulatedServer) -> None:
    assert len(mirrored.tasks) == 3
    edited()
    Path("data/task3/annotations.xml").unlink()
    lines = shell("status", "data").out.splitlines()
    assert lines[0] == f"data: tasks of {mirrored.url}"
    assert "  here       3 tasks, 3 files, " in "\n".join(lines)
    assert lines[-4:] == [
        "  edited     1 file in 1 folder",
        "             task2/annotations.xml",
        "  missing    1 file in 1 folder",
        "             task3/annotations.xml",
    ]
    status = shell("status", "data", "--json").json
    assert (status["version"], status["green"], status["holds"]) == (1, False, "tasks")
    assert status["changed"] == [
        {"target_id": 2, "path": "task2/annotations.xml", "state": "edited"},
        {"target_id": 3, "path": "task3/annotations.xml", "state": "missing"},
    ]
    assert status["last_run"]["counts"] == {"fetched": 3}


@pytest.mark.usefixtures("mirrored")
def test_on_a_narrow_terminal_texts_are_wrapped_and_names_to_copy_stay_whole(
    shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    layout = "{project}/{subset}/task{id}-of-a-narrow-street"
    assert shell("mirror", "data", "--layout", layout, "--change", *FAST).code == 0
    path = next(Path("data").rglob("task2-*/annotations.xml"))
    edited(path)
    monkeypatch.setenv("COLUMNS", "60")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("CI", raising=False)
    lines = [line.rstrip() for line in on_a_terminal(tmp_path, ("status", "data"), ()).splitlines()]
    assert "  mirrors    all tasks, CVAT, without images, folders like" in lines
    assert f"             '{layout}'" in lines
    assert f"             {path.relative_to('data')}" in lines  # longer than a line
    assert shell("mirror", "data", "--force", "-t", 2, *FAST).code == 0
    (item,) = shell("kept", "data", "--json").json["items"]
    (row,) = [
        line
        for line in on_a_terminal(tmp_path, ("kept", "data"), ()).splitlines()
        if "kept/" in line
    ]
    assert row.split()[-1] == item["name"]
    assert len(row.rstrip()) > 60


def test_a_list_of_many_edited_files_is_cut(shell: Shell, mirrored: SimulatedServer) -> None:
    for _ in range(9):
        mirrored.add_task()
    assert shell("mirror", "data", *FAST).code == 0
    for path in Path("data").glob("task*/annotations.xml"):
        os.utime(path, ns=(1, 1))
    out = shell("status", "data").out
    assert "  edited     12 files in 12 folders" in out
    assert out.endswith("and 2 more (-v lists them)\n")
    assert "and 2 more" not in shell("status", "data", "-v").out


def test_the_end_of_the_last_run_is_told(shell: Shell, own: SimulatedServer) -> None:
    own.faults.add(Fault(path="tasks/2/dataset", status=500, times=None))
    assert shell("mirror", "data", *FAST, "--retries", "0").code == 1
    out = shell("status", "data").out
    assert re.search(r"incomplete \d+ s ago: (2 fetched, 1 failed|1 failed, 2 fetched)\n", out)
    assert "  failed     1: 2" in out
    own.faults.clear()
    own.faults.add(Fault(path="/api/tasks", status=403, times=None))
    assert shell("mirror", "data", *FAST).code == 3
    out = shell("status", "data").out
    assert re.search(r"stopped \d+ s ago: no tasks\. .*403", out)
    assert shell("status", "data", "--json").json["last_run"]["end"] == "stopped"


def test_the_status_of_backups(shell: Shell, own: SimulatedServer) -> None:
    assert shell("backup", "backups", *FAST).code == 0
    (line,) = shell("status", "backups").out.splitlines()
    assert line.startswith(f"backups: 3 backups of 3 tasks of {own.url}, all tasks, ")
    next(Path("backups/task1").glob("*.zip")).unlink()
    out = shell("status", "backups").out
    assert "  missing    1 file in 1 folder" in out
    assert shell("status", "backups", "--json").json["holds"] == "backups"


def test_a_folder_that_is_no_destination_is_a_usage_error(shell: Shell) -> None:
    Path("other").mkdir()
    for command in ("status", "du", "kept", "diff"):
        for place in ("other", "nowhere"):
            ended = shell(command, place)
            assert ended.code == 2
            assert ended.err == (
                f"Error: {place!r} holds neither a mirror nor backups. Name the folder that "
                "`asynccvat mirror` or `asynccvat backup` was given.\n"
            )
    assert not Path("nowhere").exists()


# --- diff ---------------------------------------------------------------------------------------


def test_a_current_mirror_differs_in_nothing(shell: Shell, mirrored: SimulatedServer) -> None:
    assert len(mirrored.tasks) == 3
    ended = shell("diff", "data")
    assert (ended.code, ended.out) == (0, "data is current: 3 tasks unchanged.\n")
    found = shell("diff", "data", "--json").json
    assert (found["version"], found["current"], found["groups"]) == (1, True, [])


def test_differences_are_grouped_by_reason(shell: Shell, mirrored: SimulatedServer) -> None:
    mirrored.edit_task(1)
    mirrored.edit_task(2)
    mirrored.delete_task(3)
    ended = shell("diff", "data")
    assert ended.code == 1
    assert rows(ended.out) == [["fetch", "2", "changed on the server", "1, 2"]]
    assert ended.err.endswith(
        "2 differences, 0 tasks unchanged. To mirror them: `asynccvat mirror data`\n"
    )
    assert "warning: 1 mirrored task is not on the server" in ended.err
    ended = shell("diff", "data", "--prune", "--json")
    assert ended.code == 1
    assert [(one["step"], one["reason"], one["ids"]) for one in ended.json["groups"]] == [
        ("fetch", "changed", [1, 2]),
        ("remove", "gone", [3]),
    ]
    assert Path("data/task3").is_dir()


def test_a_difference_is_what_a_dry_run_shows(shell: Shell, mirrored: SimulatedServer) -> None:
    mirrored.edit_task(2)
    edited(Path("data/task1/annotations.xml"))
    steps = shell("mirror", "data", "--dry-run", "--json").json["steps"]
    groups = shell("diff", "data", "--json").json["groups"]
    found = {(one["step"], one["reason"], task) for one in groups for task in one["ids"]}
    assert found == {
        (step["step"], step["reason"], step["task_id"])
        for step in steps
        if step["reason"] != "unchanged"
    }
    assert [one["is_difference"] for one in groups] == [True, False]


def test_an_edited_file_alone_is_no_difference(shell: Shell, mirrored: SimulatedServer) -> None:
    assert len(mirrored.tasks) == 3
    edited()
    ended = shell("diff", "data")
    assert ended.code == 0
    assert "edited here" in ended.out
    assert ended.out.endswith("data is current: 2 tasks unchanged.\n")


def test_errors_of_diff_have_codes_of_their_own(
    shell: Shell,
    mirrored: SimulatedServer,
    simulated: SimulatedServer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert shell("backup", "backups", *FAST).code == 0
    ended = shell("diff", "backups", "--prune")
    assert (ended.code, "as a mirror: it holds backups" in ended.err) == (2, True)
    mirrored.faults.add(Fault(path="/api/tasks", status=403, times=None))
    assert shell("diff", "data").code == 3
    monkeypatch.setenv("CVAT_URL", simulated.url)
    ended = shell("diff", "data")
    assert (ended.code, "needs one of its own" in ended.err) == (2, True)


def test_backups_are_compared_as_a_backup_would(shell: Shell, own: SimulatedServer) -> None:
    assert shell("backup", "zips", *FAST).code == 0
    ended = shell("diff", "zips")
    assert (ended.code, ended.out) == (0, "zips is current: 3 tasks unchanged.\n")
    own.edit_task(2)
    next(Path("zips/task3").glob("*.zip")).unlink()
    ended = shell("diff", "zips", "--json")
    assert ended.code == 1
    steps = shell("backup", "zips", "--dry-run", "--json").json["steps"]
    assert {
        (one["step"], one["reason"], task) for one in ended.json["groups"] for task in one["ids"]
    } == {
        (step["step"], step["reason"], step["task_id"])
        for step in steps
        if step["reason"] != "unchanged"
    }
    ended = shell("diff", "zips")
    assert ended.err.endswith(
        "2 differences, 1 task unchanged. To back them up: `asynccvat backup zips`\n"
    )
    assert shell("backup", "zips", *FAST).code == 0
    assert shell("diff", "zips").code == 0


def test_backups_of_projects_are_compared_as_such(shell: Shell, own: SimulatedServer) -> None:
    place = "my zips"
    assert shell("backup", place, "--projects", "--lightweight", *FAST).code == 0
    assert shell("diff", place).code == 0
    own.edit_task(2)
    ended = shell("diff", place)
    assert ended.code == 1
    assert ended.err.endswith("`asynccvat backup 'my zips' --projects --lightweight`\n")
    assert shell("backup", place, *FAST).code == 0
    ended = shell("diff", place)
    assert (ended.code, "backups of projects are here, too" in ended.err) == (0, True)


def test_a_damaged_receipt_of_a_backup_is_told_by_diff_and_by_a_dry_run(
    shell: Shell, own: SimulatedServer
) -> None:
    assert len(own.tasks) == 3
    assert shell("backup", "zips", *FAST).code == 0
    next(Path("zips/.asynccvat/backups/task2").iterdir()).write_text("{")
    for command in (("diff", "zips"), ("backup", "zips", "--dry-run")):
        ended = shell(*command)
        assert "cannot be used" in ended.err
        assert "not backed up yet" in ended.out or "new" in ended.out


# --- du -----------------------------------------------------------------------------------------


def test_room_is_added_up_by_use_and_by_target(shell: Shell, own: SimulatedServer) -> None:
    options = (*FAST, "--keep-archive", "--history", "30d")
    assert shell("mirror", "data", *options).code == 0
    own.edit_task(1)
    edited()
    own.edit_task(2)
    assert shell("mirror", "data", *FAST).code == 0
    Path("data/notes.txt").write_text("mine")
    found = shell("du", "data", "--json").json
    uses = {one["use"]: one for one in found["uses"]}
    assert list(uses) == ["current", "archives", "history", "quarantine", "records", "other"]
    assert (uses["current"]["files"], uses["archives"]["files"]) == (3, 3)
    assert (uses["quarantine"]["files"], uses["other"]["bytes"]) == (1, 4)
    files = [path for path in Path("data").rglob("*") if path.is_file()]
    assert found["files"] == len(files)
    assert found["bytes"] == sum(path.stat().st_size for path in files)
    targets = {one["task_id"]: one for one in found["targets"]}
    assert set(targets[1]["uses"]) == {"current", "archives", "history"}
    assert set(targets[2]["uses"]) == {"current", "archives", "quarantine"}
    assert [row[0] for row in rows(shell("du", "data").out)] == list(uses)
    ended = shell("du", "data", "--by", "target", "--limit", "2")
    assert len(rows(ended.out)) == 2
    assert ended.err.startswith(f"data: {len(files)} files, ")
    assert shell("du", "data", "--limit", "2").code == 2
    ((project, tasks, *_),) = rows(shell("du", "data", "--by", "project").out)
    assert (project, tasks) == (str(own.tasks[1].project_id), "3")


def test_a_file_with_two_names_counts_once(shell: Shell, mirrored: SimulatedServer) -> None:
    assert len(mirrored.tasks) == 3
    before = shell("du", "data", "--json").json
    Path("data/again.xml").hardlink_to(FILE)
    after = shell("du", "data", "--json").json
    assert (after["files"], after["bytes"]) == (before["files"], before["bytes"])


def test_the_room_of_backups(shell: Shell, own: SimulatedServer) -> None:
    assert shell("backup", "backups", *FAST).code == 0
    assert shell("backup", "backups", "--projects", *FAST).code == 0
    found = shell("du", "backups", "--json").json
    assert [one["use"] for one in found["uses"]] == ["current", "records"]
    assert [one["project_id"] for one in found["targets"] if "project_id" in one] == [1]
    assert found["targets"][0]["name"] == own.projects[1].name


# --- kept ---------------------------------------------------------------------------------------


@pytest.fixture
def quarantined(shell: Shell, mirrored: SimulatedServer) -> bytes:
    """What task 2's file held when a mirror put it aside."""
    mine = edited()
    mirrored.edit_task(2)
    assert shell("mirror", "data", *FAST).code == 0
    assert FILE.read_bytes() != mine
    return mine


def test_files_that_were_put_aside_are_listed(shell: Shell, quarantined: bytes) -> None:
    ended = shell("kept", "data")
    assert ended.code == 0
    ((kind, task, _, files, _, name),) = rows(ended.out)
    assert (kind, task, files) == ("kept", "2", "1")
    assert Path("data/.asynccvat", name, "annotations.xml").read_bytes() == quarantined
    assert ended.err.startswith("1 item, ")
    document = shell("kept", "data", "--json").json
    assert (document["version"], document["items"][0]["name"]) == (1, name)
    assert "put aside: 1 item of your files" not in shell("status", "data").out
    assert "1 item (" in shell("status", "data").out


def test_restored_files_are_where_they_were(shell: Shell, quarantined: bytes) -> None:
    theirs = FILE.read_bytes()
    name = shell("kept", "data", "--json").json["items"][0]["name"]
    ended = shell("kept", "data", name, "--restore")
    assert ended.code == 0
    assert ended.out.startswith("restored 1 file to data/task2; what was there is now kept/task2-")
    assert FILE.read_bytes() == quarantined
    (item,) = shell("kept", "data", "--json").json["items"]
    assert Path("data/.asynccvat", item["name"], "annotations.xml").read_bytes() == theirs
    # The next mirror sees an edited file, and leaves it.
    assert shell("mirror", "data", *FAST).code == 0
    assert FILE.read_bytes() == quarantined
    ended = shell("kept", "data", item["name"], "--restore", "--json")
    assert ended.json["items"][0]["folder"] == "task2"
    assert FILE.read_bytes() == theirs


def test_an_item_that_cannot_be_restored_names_those_that_were(
    shell: Shell, quarantined: bytes
) -> None:
    name = shell("kept", "data", "--json").json["items"][0]["name"]
    no_folder = "kept/task2-20990101T000000Z"
    Path("data/.asynccvat", no_folder).write_bytes(b"")
    ended = shell("kept", "data", name, no_folder, "--restore")
    assert ended.code == 2
    assert ended.err.startswith(f"Error: cannot restore '{no_folder}': it is no folder. ")
    assert ended.err.endswith(f" Restored before it: '{name}'.\n")
    assert FILE.read_bytes() == quarantined
    alone = shell("kept", "data", no_folder, "--restore")
    assert "before it" not in alone.err


def test_an_item_that_cannot_be_purged_names_those_that_were(
    shell: Shell, quarantined: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert quarantined
    first = shell("kept", "data", "--json").json["items"][0]["name"]
    second = "kept/task2-20990101T000000Z"
    Path("data/.asynccvat", second).mkdir()
    rmdir = os.rmdir

    def refusing(path: str, *, dir_fd: int | None = None) -> None:
        if path == Path(second).name:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)
        rmdir(path, dir_fd=dir_fd)

    monkeypatch.setattr(os, "rmdir", refusing)
    ended = shell("kept", "data", first, second, "--purge", "--yes")
    assert ended.code != 0
    assert ended.err.endswith(f" Removed before it: '{first}'.\n")
    assert [one["name"] for one in shell("kept", "data", "--json").json["items"]] == [second]


def test_nothing_is_purged_without_yes(shell: Shell, quarantined: bytes) -> None:
    assert quarantined
    ended = shell("kept", "data", "--kind", "kept", "--purge")
    assert ended.code == 0
    assert ended.err.startswith("Nothing was removed: 1 item, ")
    assert len(shell("kept", "data", "--json").json["items"]) == 1
    ended = shell("kept", "data", "--kind", "kept", "--purge", "--yes")
    assert (ended.code, ended.err.startswith("Removed 1 item, ")) == (0, True)
    assert shell("kept", "data").err == "0 items, 0 B\n"
    assert shell("verify", "data").code == 0


def test_purging_needs_to_know_what_goes(shell: Shell, quarantined: bytes) -> None:
    assert quarantined
    for options in (
        ("--purge", "--yes"),
        ("--yes",),
        ("--restore",),
        ("x", "--restore", "--purge"),
        ("x", "--restore", "--kind", "kept"),
        ("--older-than", "soon"),
    ):
        assert shell("kept", "data", *options).code == 2
    ended = shell("kept", "data", "kept/other", "--purge", "--yes")
    assert ended.code == 2
    assert ended.err == (
        "Error: 'data' has put aside no 'kept/other'. `asynccvat kept` shows the names.\n"
    )
    assert shell("kept", "data", "--older-than", "1d").err == "0 items, 0 B\n"
    assert len(shell("kept", "data", "--json").json["items"]) == 1
