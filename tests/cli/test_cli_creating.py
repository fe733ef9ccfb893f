"""`create` with the real engine, against the simulated server."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from media_files import png
from official_clients import needs_sdk, run_script

from asynccvat.simulator import Fault, SimulatedServer, SimulatorOptions
from asynccvat.simulator.threads import serve_in_thread

if TYPE_CHECKING:
    from command_line import Shell

READ_BACK = """
import json, sys
from cvat_sdk import make_client

given = json.loads(sys.argv[1])
with make_client(given["url"], credentials=(given["username"], given["password"])) as client:
    task = client.tasks.retrieve(given["task"])
    names = [frame.name for frame in task.get_frames_info()]
    print(json.dumps({"names": names, "size": task.size, "subset": task.subset,
                      "labels": [one.name for one in task.get_labels()]}))
"""


@pytest.fixture
def own(monkeypatch: pytest.MonkeyPatch) -> Iterator[SimulatedServer]:
    """A server for one test, which may change and break it; request `shell` before it."""
    with serve_in_thread(SimulatorOptions(tasks=1, frames=2)) as server:
        monkeypatch.setenv("CVAT_URL", server.url)
        yield server


@pytest.fixture
def images(tmp_path: Path) -> Path:
    for folder, count in (("cam1", 3), ("cam2", 2)):
        (tmp_path / "images" / folder).mkdir(parents=True)
        for number in range(count):
            (tmp_path / "images" / folder / f"{number}.png").write_bytes(png(4 + number, 4))
    return tmp_path / "images"


def test_folders_become_tasks_and_the_second_run_has_nothing_to_do(
    shell: Shell, own: SimulatedServer, images: Path
) -> None:
    first = shell("create", images, "--project", 1, "--no-fsync")
    assert first.code == 0
    assert ": 2 tasks (2 created), " in first.out
    assert first.out.rstrip().endswith(own.url)
    again = shell("create", images, "--project", 1, "--no-fsync", "-v")
    assert again.code == 0
    assert "nothing to do: 2 tasks (2 unchanged)" in again.out
    assert sorted(task.name for task in own.tasks.values())[:2] == ["cam1", "cam2"]


@pytest.mark.parametrize("given", [("--project", "nothing"), ("--project", 99)])
def test_a_project_that_is_not_there_leaves_no_journal_behind(
    shell: Shell, images: Path, given: tuple[str | int, ...]
) -> None:
    before = sorted(images.rglob("*"))
    refused = shell("create", images, *given, "--no-fsync")
    assert refused.code == 2
    assert "there is no project" in refused.err
    assert sorted(images.rglob("*")) == before


def test_a_dry_run_shows_tasks_frames_and_bytes(
    shell: Shell, own: SimulatedServer, images: Path
) -> None:
    (images / "cam2" / "1.png").write_bytes(b"")
    (images / "cam2" / "notes.doc").write_bytes(b"x")
    shown = shell(
        "create", images, "--project", "Harbour", "--labels", label_file(images), "--dry-run"
    )
    size = sum(path.stat().st_size for path in (images / "cam1").iterdir())
    assert shown.code == 1
    assert shown.out.splitlines() == [
        "step\ttask\treason\tmedia\tfiles\tframes\tbytes\tpath\tname",
        f"create\t\tnew\timage\t3\t3\t{size}\tcam1\tcam1",
        f"refuse\t\tfiles\timage\t2\t\t{(images / 'cam2/0.png').stat().st_size}\tcam2\tcam2",
    ]
    assert f"In all 1 task of 3 frames, {size} B." in shown.err
    assert "A new project is made first: project 'Harbour'." in shown.err
    assert "refused: cam2: 'cam2/1.png' is empty." in shown.err
    assert "'cam2/notes.doc' is neither media nor annotations" in shown.err
    assert len(own.tasks) == 1
    assert len(own.projects) == 1


def label_file(images: Path) -> Path:
    path = images.parent / "labels.txt"
    path.write_text("car\nbus\n")
    return path


def test_plans_and_reports_are_written_as_json(
    shell: Shell, own: SimulatedServer, images: Path
) -> None:
    del own
    plan = shell("create", images, "--project", 1, "--split", 2, "--dry-run", "--json").json
    assert [(step["name"], step["frames"]) for step in plan["steps"]] == [
        ("cam1-1", 2),
        ("cam1-2", 1),
        ("cam2-1", 2),
    ]
    report = shell("create", images, "--project", 1, "--split", 2, "--json", "--no-fsync").json
    assert report["counts"] == {"created": 3}
    assert [task["new_id"] for task in report["tasks"]] == [
        task["task_id"] for task in report["tasks"]
    ]


def test_a_limit_of_the_server_is_one_line_and_its_code(
    shell: Shell, own: SimulatedServer, images: Path
) -> None:
    body = '["tasks limit reached"]'
    own.faults.add(Fault(method="POST", path=r"^/api/tasks$", status=403, body=body))
    ended = shell("create", images, "--project", 1, "--no-fsync", "--quiet")
    assert ended.code == 3
    (line,) = [line for line in ended.err.splitlines() if "limit" in line]
    assert line.startswith("Error: cannot create a task: ")
    assert "tasks limit reached" in line


@needs_sdk
def test_the_official_client_reads_what_was_created(
    shell: Shell, own: SimulatedServer, images: Path
) -> None:
    (images / "cam1" / "left").mkdir()
    (images / "cam1" / "left" / "10.png").write_bytes(png(9, 9))
    assert shell("create", images, "--project", 1, "--subset", "train", "--no-fsync").code == 0
    task_id = next(task.id for task in own.tasks.values() if task.name == "cam1")
    given = {
        "url": own.url,
        "username": own.username,
        "password": own.password,
        "task": task_id,
    }
    read = json.loads(run_script(READ_BACK, json.dumps(given), images))
    assert read["names"] == ["0.png", "1.png", "2.png", "left/10.png"]
    assert (read["size"], read["subset"]) == (4, "train")
    assert read["labels"]
