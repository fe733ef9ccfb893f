"""CVAT's own SDK and command line work with the simulator.

They run in processes of their own: their warnings and their log are theirs.
"""

from __future__ import annotations

import io
import json
import re
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
from official_clients import needs_cli, needs_sdk, run, run_cli

from asynccvat.simulator import SimulatedServer, SimulatorOptions
from asynccvat.simulator.formats.archives import export_archive
from asynccvat.simulator.threads import serve_in_thread
from asynccvat.simulator.world.tasks import ReadyArchive

FORMATS: Final = ("CVAT for images 1.1", "COCO 1.0")

UPLOADS: Final = {
    "CVAT for images 1.1": "CVAT 1.1",
    "CVAT for video 1.1": "CVAT 1.1",
    "COCO 1.0": "COCO 1.0",
    "Datumaro 1.0": "Datumaro 1.0",
    "PASCAL VOC 1.1": "PASCAL VOC 1.1",
    "Ultralytics YOLO Detection 1.0": "Ultralytics YOLO Detection 1.0",
}
"""Exporters, each with the importer of its archives."""

UPLOAD_SCRIPT: Final = """
import json, sys
from pathlib import Path
from cvat_sdk import make_client
from cvat_sdk.core.exceptions import CvatSdkException

given = json.loads(sys.argv[1])
folder = Path(given["folder"])
told = {}
with make_client(given["url"], credentials=(given["username"], given["password"])) as client:
    source, target = client.tasks.retrieve(1), client.tasks.retrieve(2)
    for exporter, importer in given["formats"].items():
        first, second = folder / f"first {exporter}.zip", folder / f"second {exporter}.zip"
        source.export_dataset(exporter, first, include_images=False, status_check_period=0)
        target.import_annotations(importer, first, status_check_period=0)
        target.export_dataset(exporter, second, include_images=False, status_check_period=0)
    target.set_annotations({"shapes": [], "tags": [], "tracks": []})
    told["left"] = len(target.get_annotations().shapes)
    rubbish = folder / "rubbish.xml"
    rubbish.write_text("rubbish")
    try:
        target.import_annotations("CVAT 1.1", rubbish, status_check_period=0)
    except CvatSdkException as error:
        told["failure"] = str(error)
print(json.dumps(told))
"""

SDK_SCRIPT: Final = """
import json, os, sys
from pathlib import Path
from cvat_sdk import make_client

given = json.loads(sys.argv[1])
credentials = {"access_token": given["token"]} if given["token"] else {
    "credentials": (given["username"], given["password"])
}
with make_client(given["url"], **credentials) as client:
    tasks = client.tasks.list()
    task = client.tasks.retrieve(given["task_id"])
    told = {
        "names": {one.id: one.name for one in tasks},
        "projects": [one.name for one in client.projects.list()],
        "me": client.users.retrieve_current_user().username,
        "size": task.size,
        "frames": [frame.name for frame in task.get_meta().frames],
        "labels": [label.name for label in task.get_labels()],
        "jobs": [job.id for job in task.get_jobs()],
        "shapes": [shape.type.value for shape in task.get_annotations().shapes],
        "updated": task.updated_date.isoformat(),
    }
    for export in given["exports"]:
        task.export_dataset(
            export["format"],
            Path(export["path"]),
            include_images=export["images"],
            status_check_period=0,
        )
print(json.dumps(told))
"""


@pytest.fixture(scope="module")
def server() -> Iterator[SimulatedServer]:
    options = SimulatorOptions(tasks=13, projects=2, unicode_tasks=1, subsets=("", "val"))
    with serve_in_thread(options) as running:
        yield running


def run_sdk(
    server: SimulatedServer,
    folder: Path,
    task_id: int,
    exports: list[dict[str, Any]],
    *,
    token: str = "",
) -> dict[str, Any]:
    given = {
        "url": server.url,
        "username": server.username,
        "password": server.password,
        "token": token,
        "task_id": task_id,
        "exports": exports,
    }
    told: dict[str, Any] = json.loads(
        run([sys.executable, "-c", SDK_SCRIPT, json.dumps(given)], folder)
    )
    return told


def members(data: bytes) -> dict[str, bytes]:
    """Return the members of an archive, without the time of its export."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


@needs_sdk
def test_the_sdk_logs_in_and_sees_what_the_server_holds(
    server: SimulatedServer, tmp_path: Path
) -> None:
    told = run_sdk(server, tmp_path, 13, [])
    held = server.world
    task = held.tasks[13]
    assert told["names"] == {str(one.id): one.name for one in held.tasks.values()}
    assert sorted(told["projects"]) == ["project-1", "project-2"]
    assert told["me"] == "admin"
    assert (told["size"], told["jobs"]) == (5, [13])
    assert told["frames"] == [frame.name for frame in task.frames()]
    assert told["labels"] == [label.name for label in task.labels]
    assert told["shapes"] == [shape.type for shape in task.annotations().shapes]
    assert told["updated"] == task.updated_date.isoformat()


@needs_sdk
def test_the_sdk_works_with_a_personal_access_token(
    server: SimulatedServer, tmp_path: Path
) -> None:
    token = server.create_access_token(read_only=True)
    target = tmp_path / "archive.zip"
    export = {"format": "COCO 1.0", "path": str(target), "images": False}
    told = run_sdk(server, tmp_path, 2, [export], token=token)
    assert told["me"] == "admin"
    assert list(members(target.read_bytes())) == ["annotations/instances_val.json"]


@needs_sdk
@needs_cli
@pytest.mark.parametrize("images", [True, False])
def test_sdk_and_command_line_export_the_same_archive(
    server: SimulatedServer, tmp_path: Path, images: bool
) -> None:
    by_sdk = {name: tmp_path / f"sdk {name}.zip" for name in FORMATS}
    exports = [
        {"format": name, "path": str(path), "images": images} for name, path in by_sdk.items()
    ]
    run_sdk(server, tmp_path, 4, exports)
    for name, path in by_sdk.items():
        other = tmp_path / f"cli {name}.zip"
        run_cli(
            server,
            tmp_path,
            "task",
            "export-dataset",
            "--format",
            name,
            "--with-images",
            "yes" if images else "no",
            "--completion_verification_period",
            "0",
            "4",
            str(other),
        )
        data = path.read_bytes()
        # Unchanged since, so the second export came from the server's cache.
        assert other.read_bytes() == data
        frames = {frame.data() for frame in server.tasks[4].frames()}
        pictures = {data for member, data in members(data).items() if member.endswith(".jpg")}
        assert pictures == (frames if images else set())


@needs_cli
def test_the_command_line_lists_tasks_and_projects(server: SimulatedServer, tmp_path: Path) -> None:
    tasks = json.loads(run_cli(server, tmp_path, "task", "ls", "--json"))
    assert {task["id"]: task["name"] for task in tasks} == {
        task.id: task.name for task in server.tasks.values()
    }
    numbers = run_cli(server, tmp_path, "project", "ls").split()
    assert sorted(numbers) == ["1", "2"]


@needs_sdk
def test_ready_archives_reach_the_sdk_byte_by_byte(tmp_path: Path) -> None:
    folder = tmp_path / "ready"
    folder.mkdir()
    with zipfile.ZipFile(folder / "task5_coco-10_images.zip", "w") as archive:
        archive.writestr("annotations/instances_default.json", "{}")
        archive.writestr("images/default/a.jpg", b"\xff\xd8")
    target = tmp_path / "received.zip"
    export = {"format": "COCO 1.0", "path": str(target), "images": True}
    with serve_in_thread(SimulatorOptions(tasks=0, projects=0, archives=folder)) as running:
        run_sdk(running, tmp_path, 5, [export])
        (ready,) = running.tasks[5].ready
        assert ready == ReadyArchive(folder / "task5_coco-10_images.zip", "COCO 1.0", True)
    assert target.read_bytes() == (folder / "task5_coco-10_images.zip").read_bytes()


@needs_sdk
def test_the_sdk_exports_what_it_uploaded(tmp_path: Path) -> None:
    with serve_in_thread(SimulatorOptions(tasks=2)) as running:
        given = {
            "url": running.url,
            "username": running.username,
            "password": running.password,
            "folder": str(tmp_path),
            "formats": UPLOADS,
        }
        told = json.loads(run([sys.executable, "-c", UPLOAD_SCRIPT, json.dumps(given)], tmp_path))
        assert len(running.uploads) == 0
        assert running.stats["calls_by_kind"]["PATCH /api/tasks/{id}/annotations/{id}"] == 7
    assert told["left"] == 0
    assert "ParseError: syntax error: line 1, column 0" in told["failure"]
    # What is on the frame before the last stays on the last in the XML of videos, as seen on CVAT.
    for exporter in UPLOADS.keys() - {"CVAT for video 1.1"}:
        first = annotations_in(tmp_path / f"first {exporter}.zip")
        second = annotations_in(tmp_path / f"second {exporter}.zip")
        assert second == first, exporter


def annotations_in(path: Path) -> dict[str, list[str]]:
    """The files of an archive as sorted lines, without what tells the task and the source.

    Sorted, since of shapes that one format has no order for, another need not keep it.
    """
    told = {}
    for name, data in members(path.read_bytes()).items():
        text = data.decode().partition("</meta>")[2] if name == "annotations.xml" else data.decode()
        text = text.replace('source="manual"', 'source="file"')
        text = re.sub(r'<track id="\d+"', "<track", text)
        text = re.sub(r'"id":\d+,"image_id"', '"image_id"', text)
        told[name] = sorted(re.split(r"(?<=>)\n|(?<=\}),|\n", text))
    return told


@needs_cli
def test_the_command_line_uploads_annotations(tmp_path: Path) -> None:
    with serve_in_thread(SimulatorOptions(tasks=2)) as running:
        path = tmp_path / "annotations.zip"
        path.write_bytes(export_archive(running.tasks[1], "COCO 1.0", save_images=False))
        run_cli(running, tmp_path, "task", "import-dataset", "--format", "COCO 1.0", "2", str(path))
        found = running.tasks[2].annotations().shapes
        held = running.tasks[1].annotations().shapes
        assert [shape.points for shape in found] == [
            shape.points
            for shape in sorted(held, key=lambda shape: (shape.frame, shape.z_order))
            if shape.type != "points"
        ]


BACKUP_SCRIPT: Final = """
import json, sys
from pathlib import Path
from cvat_sdk import make_client

given = json.loads(sys.argv[1])
folder = Path(given["folder"])
with make_client(given["url"], credentials=(given["username"], given["password"])) as client:
    task, project = client.tasks.retrieve(1), client.projects.retrieve(1)
    task.download_backup(folder / "task.zip", status_check_period=0)
    project.download_backup(folder / "project.zip", status_check_period=0)
    made = client.tasks.create_from_backup(folder / "task.zip", status_check_period=0)
    again = client.projects.create_from_backup(folder / "project.zip", status_check_period=0)
    again.import_dataset("COCO 1.0", given["dataset"], status_check_period=0)
    told = {
        "task": made.id,
        "project": again.id,
        "frames": [frame.name for frame in made.get_meta().frames],
        "tasks": [one.name for one in again.get_tasks()],
    }
print(json.dumps(told))
"""


@needs_sdk
def test_the_sdk_backs_up_and_restores_and_imports_datasets(tmp_path: Path) -> None:
    with serve_in_thread(SimulatorOptions(tasks=2)) as running:
        dataset = tmp_path / "dataset.zip"
        dataset.write_bytes(export_archive(running.tasks[1], "COCO 1.0", save_images=True))
        given = {
            "url": running.url,
            "username": running.username,
            "password": running.password,
            "folder": str(tmp_path),
            "dataset": str(dataset),
        }
        told = json.loads(run([sys.executable, "-c", BACKUP_SCRIPT, json.dumps(given)], tmp_path))
        assert len(running.uploads) == 0
        assert told["frames"] == [frame.name for frame in running.tasks[1].frames()]
        restored = running.world.project_tasks(told["project"])
        assert [one.name for one in restored] == ["street-00001", "street-00002", "default"]
        assert sorted(told["tasks"]) == sorted(one.name for one in restored)
        assert_alike(running, told["task"])


@needs_cli
def test_the_command_line_backs_up_and_restores(tmp_path: Path) -> None:
    with serve_in_thread(SimulatorOptions(tasks=2)) as running:
        task, project = tmp_path / "task.zip", tmp_path / "project.zip"
        run_cli(running, tmp_path, "task", "backup", "1", str(task))
        run_cli(running, tmp_path, "task", "create-from-backup", str(task))
        assert_alike(running, max(running.tasks))
        with zipfile.ZipFile(task) as archive:
            assert {"task.json", "annotations.json", "data/manifest.jsonl"} < set(
                archive.namelist()
            )
        run_cli(running, tmp_path, "project", "backup", "1", str(project))
        run_cli(running, tmp_path, "project", "create-from-backup", str(project))
        assert len(running.world.project_tasks(max(running.projects))) == 2


def assert_alike(server: SimulatedServer, restored: int) -> None:
    """The first task and the one that was restored of it hold the same."""
    before, after = server.tasks[1], server.tasks[restored]
    assert after.name == before.name
    assert [frame.data() for frame in after.frames()] == [frame.data() for frame in before.frames()]
    assert [
        (shape.frame, shape.type, shape.label.name, shape.points)
        for shape in after.annotations().shapes
    ] == [
        (shape.frame, shape.type, shape.label.name, shape.points)
        for shape in before.annotations().shapes
    ]
