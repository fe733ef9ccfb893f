"""CVAT's own SDK and command line create, list, read back and delete on the simulator."""

from __future__ import annotations

import json
import sys
import zipfile
from pathlib import Path
from typing import Final

from official_clients import needs_cli, needs_sdk, run, run_cli

from asynccvat.simulator import SimulatedServer, SimulatorOptions
from asynccvat.simulator.threads import serve_in_thread
from asynccvat.simulator.world.jpeg import draw_jpeg

SCRIPT: Final = """
import json, sys
from pathlib import Path
from cvat_sdk import make_client, models
from cvat_sdk.core.proxies.tasks import ResourceType

given = json.loads(sys.argv[1])
folder = Path(given["folder"])
told = {}
with make_client(given["url"], credentials=(given["username"], given["password"])) as client:
    project = client.projects.create(models.ProjectWriteRequest(
        name="made", labels=[models.PatchedLabelRequest(name="car", attributes=[])]))
    def make(name, files, **data):
        spec = models.TaskWriteRequest(name=name, project_id=project.id, segment_size=2)
        return client.tasks.create_from_data(
            spec, [folder / one for one in files], resource_type=ResourceType.LOCAL,
            data_params={"image_quality": 70, **data}, status_check_period=0)
    images = make("images", ["b10.jpg", "b9.jpg", "a.jpg"], sorting_method="natural")
    zipped = make("zip", ["all.zip"])
    video = make("video", ["v.webm"])
    for task in (images, zipped, video):
        told[task.name] = {
            "size": task.size,
            "mode": task.mode,
            "frames": [frame.name for frame in task.get_meta().frames],
            "jobs": len(task.get_jobs()),
            "project": task.project_id,
        }
    told["first"] = images.get_frame(0, quality="original").read().hex()
    job = images.get_jobs()[0]
    job.update({"state": "completed"})
    told["state"] = client.jobs.retrieve(job.id).state
    told["tasks"] = [task.name for task in client.projects.retrieve(project.id).get_tasks()]
    zipped.remove()
    told["left"] = len(client.tasks.list())
    project.remove()
    told["end"] = [len(client.tasks.list()), len(client.projects.list())]
print(json.dumps(told))
"""


def write_media(folder: Path) -> None:
    for number, name in enumerate(("b10.jpg", "b9.jpg", "a.jpg")):
        (folder / name).write_bytes(draw_jpeg(number, 64, 48))
    with zipfile.ZipFile(folder / "all.zip", "w") as archive:
        archive.writestr("d/one.jpg", draw_jpeg(7, 64, 48))
    (folder / "v.webm").write_bytes(b"\x1aE\xdf\xa3" + bytes(64))


def given(server: SimulatedServer, folder: Path) -> str:
    access = {"url": server.url, "username": server.username, "password": server.password}
    return json.dumps({**access, "folder": str(folder)})


@needs_sdk
def test_the_sdk_creates_reads_and_deletes(tmp_path: Path) -> None:
    write_media(tmp_path)
    with serve_in_thread(SimulatorOptions(tasks=0, projects=0)) as server:
        told = json.loads(run([sys.executable, "-c", SCRIPT, given(server, tmp_path)], tmp_path))
    assert told["images"] == {
        "size": 3,
        "mode": "annotation",
        "frames": ["a.jpg", "b9.jpg", "b10.jpg"],
        "jobs": 2,
        "project": 1,
    }
    assert told["zip"]["frames"] == ["d/one.jpg"]
    assert (told["video"]["size"], told["video"]["mode"]) == (30, "interpolation")
    assert bytes.fromhex(told["first"]) == (tmp_path / "a.jpg").read_bytes()
    assert told["state"] == "completed"
    assert sorted(told["tasks"]) == ["images", "video", "zip"]
    assert (told["left"], told["end"]) == (2, [0, 0])


@needs_cli
def test_the_command_line_creates_lists_and_deletes(tmp_path: Path) -> None:
    write_media(tmp_path)
    labels = json.dumps([{"name": "car", "attributes": []}])
    with serve_in_thread(SimulatorOptions(tasks=0, projects=0)) as server:
        run_cli(server, tmp_path, "project", "create", "made", "--labels", labels)
        files = [str(tmp_path / name) for name in ("a.jpg", "b9.jpg")]
        where = ["--project_id", "1", "--completion_verification_period", "1"]
        run_cli(server, tmp_path, "task", "create", *where, "both", "local", *files)
        assert "both" in run_cli(server, tmp_path, "task", "ls", "--json")
        (task,) = server.tasks.values()
        assert (task.size, task.project_id) == (2, 1)
        assert task.frames()[0].data() == (tmp_path / "a.jpg").read_bytes()
        run_cli(server, tmp_path, "task", "delete", "1")
        assert not server.tasks
        run_cli(server, tmp_path, "project", "delete", "1")
        assert not server.projects
