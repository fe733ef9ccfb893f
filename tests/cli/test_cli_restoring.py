"""`asynccvat restore` and `import-dataset`: from backups and datasets to tasks."""

from __future__ import annotations

import io
import json
import shutil
import signal
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from asynccvat.simulator import SimulatedServer, SimulatorOptions, UserSpec
from asynccvat.simulator.threads import serve_in_thread
from asynccvat.simulator.world.jpeg import draw_jpeg

if TYPE_CHECKING:
    from command_line import Shell


@pytest.fixture
def backups(shell: Shell, tmp_path: Path) -> Path:
    """Backups of the tasks 1 to 3."""
    place = tmp_path / "backups"
    ended = shell("backup", str(place), "-t", "1,2,3")
    assert ended.code == 0, ended.err
    return place


def names(server: SimulatedServer) -> list[str]:
    return [task.name for task in server.tasks.values()]


def test_backups_become_tasks_and_nothing_is_made_twice(
    shell: Shell, simulated: SimulatedServer, backups: Path
) -> None:
    planned = shell("restore", str(backups), "--dry-run")
    assert planned.code == 0
    assert [line.split("\t")[:3] for line in planned.out.splitlines()] == [
        ["step", "id", "reason"],
        *(["restore", str(number), "new"] for number in (1, 2, 3)),
    ]
    assert "Dry run, nothing was changed: 3 to restore." in planned.err
    before = names(simulated)
    ended = shell("restore", str(backups))
    assert ended.code == 0, ended.err
    assert "3 tasks (3 restored)" in ended.out
    (found,) = (backups / ".asynccvat" / "restores").glob("*/restored.json")
    new = json.loads(found.read_bytes())["tasks"]
    now = {number: f"{number} -> {new[str(number)]}" for number in (1, 2, 3)}
    said = ended.out.splitlines()[-1]
    assert said.startswith("New ids: ")
    assert said.endswith(f". All: {found}")
    assert all(text in said for text in now.values())
    assert sorted(names(simulated)) == sorted([*before, *before[:3]])
    again = shell("restore", str(backups), "--json")
    assert again.code == 0
    report: dict[str, Any] = json.loads(again.out)
    assert report["counts"] == {"skipped": 3}
    assert [one["task_id"] for one in report["tasks"]] == [1, 2, 3]
    assert report["new_ids_file"] == str(found)
    restored = json.loads(found.read_bytes())
    assert restored["tasks"] == {str(one["task_id"]): one["new_id"] for one in report["tasks"]}
    unchanged = shell("restore", str(backups), "--dry-run")
    assert unchanged.err.endswith("3 unchanged (-v lists them).\n")


def test_another_backup_of_a_restored_task_makes_a_second_copy_with_a_warning(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serve_in_thread(SimulatorOptions(tasks=1, frames=1)) as server:
        monkeypatch.setenv("CVAT_URL", server.url)
        for _ in range(2):
            assert shell("backup", "backups", "--force", "--no-fsync").code == 0
        older, newer = sorted(Path("backups/task1").glob("*.zip"))
        server.delete_task(1)
        first = shell("restore", "backups", "--json").json["tasks"][0]["new_id"]
        warning = (
            f"warning: task 1 was restored before from another backup, as task {first}. It will "
            "be there twice. 'restored.json' has the new id of each backup in 'files'."
        )

        assert warning in shell("restore", str(older), "--dry-run").err.splitlines()
        ended = shell("restore", str(older))

        assert warning in ended.err.splitlines()
        (found,) = Path("backups/.asynccvat/restores").glob("*/restored.json")
        restored = json.loads(found.read_bytes())
        second = restored["tasks"]["1"]
        assert restored["files"] == {
            f"task1/{newer.name}": first,
            f"task1/{older.name}": second,
        }
        assert list(server.tasks) == [first, second]
        assert "warning" not in shell("restore", str(older), "--again", "--dry-run").err
        server.delete_task(first)
        server.delete_task(second)
        assert "restored before" not in shell("restore", str(older), "--dry-run").err


def test_the_zip_of_a_task_that_is_still_at_the_server_is_restored_with_a_warning(
    shell: Shell, backups: Path
) -> None:
    (path,) = (backups / "task1").glob("*.zip")
    said = shell("restore", str(path), "--dry-run").err
    assert "warning: task 1 is still at the server, and will be there twice." in said
    planned = shell("restore", str(path), "--missing", "--dry-run")
    assert planned.err.endswith("1 unchanged (-v lists them).\n")


def test_a_plan_of_what_is_missing_lists_nothing_that_the_server_has(
    bare_shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serve_in_thread(SimulatorOptions(tasks=3, frames=1)) as server:
        for name in ("url", "username", "password"):
            monkeypatch.setenv(f"CVAT_{name.upper()}", getattr(server, name))
        assert bare_shell("backup", "backups", "--no-fsync").code == 0
        del server.tasks[2]
        planned = bare_shell("restore", "backups", "--missing", "--dry-run")
    assert [line.split("\t")[:2] for line in planned.out.splitlines()[1:]] == [["restore", "2"]]
    assert planned.err.endswith("1 to restore, 2 unchanged (-v lists them).\n")


def test_tasks_go_into_a_project_whose_labels_fit(
    shell: Shell, simulated: SimulatedServer, backups: Path
) -> None:
    ended = shell("restore", str(backups), "-t", "1", "--project", "1", "--json")
    assert ended.code == 0, ended.err
    (made,) = json.loads(ended.out)["tasks"]
    assert simulated.tasks[made["new_id"]].project_id == 1


def test_a_project_that_is_not_there_leaves_no_journal_behind(
    shell: Shell, backups: Path, tmp_path: Path
) -> None:
    one = tmp_path / "apart" / "one.zip"
    one.parent.mkdir()
    shutil.copy(next(backups.rglob("*.zip")), one)
    refused = shell("restore", one, "--project", "nothing")
    assert refused.code == 2
    assert "there is no project 'nothing'" in refused.err
    assert list(one.parent.iterdir()) == [one]


def test_projects_are_restored(shell: Shell, simulated: SimulatedServer, tmp_path: Path) -> None:
    place = tmp_path / "projects"
    assert shell("backup", str(place), "--projects", "--project-id", "1").code == 0
    planned = shell("restore", str(place), "--projects", "--dry-run", "--json")
    (step,) = json.loads(planned.out)["steps"]
    assert (step["project_id"], step["reason"]) == (1, "new")
    before = len(simulated.projects)
    ended = shell("restore", str(place), "--project-id", "1")
    assert ended.code == 0, ended.err
    assert len(simulated.projects) == before + 1


def test_annotations_come_back_alone(shell: Shell, backups: Path, tmp_path: Path) -> None:
    kept = str(tmp_path / "kept")
    same = shell("restore", str(backups), "--annotations", "-t", "1,2", "--backup-dir", kept)
    assert same.code == 0, same.err
    assert "2 tasks (2 unchanged)" in same.out
    empty = tmp_path / "empty.xml"
    empty.write_text("<annotations></annotations>")
    emptied = shell(
        "upload", "--pair", f"1={empty}", "--allow-empty", "--backup-dir", str(tmp_path / "other")
    )
    assert emptied.code == 0, emptied.err
    given = ("restore", str(backups), "--annotations", "-t", "1", "--backup-dir", kept)
    planned = shell(*given, "--dry-run")
    assert "1 to put back" in planned.err
    ended = shell(*given)
    assert ended.code == 0, ended.err
    assert "1 task (1 put back)" in ended.out
    assert shell("upload", "--undo", "-t", "1", "--backup-dir", kept).code == 0


def test_a_journal_beside_a_zip_makes_no_mirror_of_its_folder(
    shell: Shell, backups: Path, tmp_path: Path
) -> None:
    (found,) = (backups / "task1").iterdir()
    lone = tmp_path / "lone.zip"
    lone.write_bytes(found.read_bytes())
    assert shell("restore", lone).code == 0
    assert (tmp_path / ".asynccvat" / "restores").is_dir()
    kept = ("--backup-dir", tmp_path / "kept")
    put_back = shell("restore", backups, "--annotations", "-t", "1", *kept)
    assert put_back.code == 0, put_back.err
    undone = shell("upload", "--undo", "-t", "1", "--backup-dir", tmp_path)
    assert "nothing that it held is kept in" in undone.err


def test_datasets_become_tasks_of_a_project(
    shell: Shell, simulated: SimulatedServer, tmp_path: Path
) -> None:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr("annotations/instances_train.json", json.dumps(coco()))
        archive.writestr("images/train/a.jpg", draw_jpeg(1, 64, 48))
    path = tmp_path / "train.zip"
    path.write_bytes(content.getvalue())
    given = ("import-dataset", "1", str(path), "--format", "COCO 1.0")
    planned = shell(*given, "--dry-run", "--json")
    assert json.loads(planned.out)["counts"] == {"import": 1}
    assert "1 to import" in shell(*given, "--dry-run").err
    before = len(simulated.tasks)
    ended = shell(*given, "-v")
    assert ended.code == 0, ended.err
    assert ": 1 dataset (1 imported), " in ended.out
    assert "project 1 'train.zip': imported (new), 1 file, " in ended.err
    assert ended.err.rstrip().endswith(f"; 1 task made: {max(simulated.tasks)}")
    assert len(simulated.tasks) == before + 1
    assert "1 dataset (1 skipped)" in shell(*given).out
    assert len(simulated.tasks) == before + 1


def coco() -> dict[str, Any]:
    box = {"id": 1, "image_id": 1, "category_id": 1, "bbox": [1, 2, 9, 9], "area": 81}
    return {
        "images": [{"id": 1, "file_name": "a.jpg", "width": 64, "height": 48}],
        "categories": [{"id": 1, "name": "car"}],
        "annotations": [{**box, "iscrowd": 0, "segmentation": []}],
    }


def test_a_quota_and_a_missing_permission_are_one_clear_line_each(
    bare_shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    users = (UserSpec("wanda", "pw-of-wanda", worker=True),)
    with serve_in_thread(SimulatorOptions(tasks=3, frames=1, most_tasks=4, users=users)) as server:
        for name in ("url", "username", "password"):
            monkeypatch.setenv(f"CVAT_{name.upper()}", getattr(server, name))
        assert bare_shell("backup", "backups", "--no-fsync").code == 0
        full = bare_shell("restore", "backups")
        monkeypatch.setenv("CVAT_USERNAME", "wanda")
        monkeypatch.setenv("CVAT_PASSWORD", "pw-of-wanda")
        refused = bare_shell("restore", "backups", "--journal", "other")
        listed = bare_shell("backups", "backups")
    start = f"Error: cannot send a file to restore a task: {server.url} answered 403, "
    assert (full.code, refused.code) == (3, 3)
    assert full.out.startswith("Stopped after ")
    assert "1 task (1 restored)" in full.out
    assert full.err == (
        "warning: 3 tasks, 1, 2, 3, are still at the server, and will be there twice. Give "
        "--missing to restore only what the server lacks.\n"
        f"{start}Maximum number of tasks reached: 4. Make room at the server, or use another "
        "account or organization.\n"
    )
    assert refused.err == (
        f"{start}You do not have permission to perform this action. Ask for access, or use another "
        "account or organization.\n"
    )
    # What this user may not see need not be gone.
    assert "\tnot listed\t" in listed.out


def test_an_interrupted_restore_says_that_the_server_goes_on(
    shell: Shell, backups: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serve_in_thread(SimulatorOptions(tasks=1)) as server:
        monkeypatch.setenv("CVAT_URL", server.url)
        server.pause_imports()
        command = [sys.executable, "-m", "asynccvat", "restore", str(backups), "-t", "1"]
        command += ["--log-json", "/dev/stdout"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
            assert process.stdout is not None
            while b"import_requested" not in (line := process.stdout.readline()):
                assert line, "it ended"
            process.send_signal(signal.SIGINT)
            _, said = process.communicate(timeout=60)
        assert process.returncode == 130
        stopping, goes_on, again = said.decode().splitlines()[-3:]
        assert stopping.startswith("Stopping. What the server has begun goes on there.")
        assert goes_on.startswith("warning: the server goes on with the restore of ")
        assert again == "Run the same command again to continue."
        server.release_imports()
        assert shell("restore", backups, "-t", "1").code == 0
        assert len(server.tasks) == 2
