"""Datasets with images are imported into simulated projects: a task for each subset, and labels."""

from __future__ import annotations

import dataclasses
import io
import json
import zipfile
from typing import Any

import aiohttp
import pytest
from simulator_client import RawResponse, SimulatorClient, simulator_client

from asynccvat.simulator import Fault, SimulatorOptions
from asynccvat.simulator.formats.archives import export_archive
from asynccvat.simulator.world.tasks import Project, Task

pytestmark = pytest.mark.anyio

COCO, CVAT = "COCO 1.0", "CVAT 1.1"
EXPORTERS = {COCO: "COCO 1.0", CVAT: "CVAT for images 1.1"}
OPTIONS = SimulatorOptions(tasks=2, frames=2, projects=1, subsets=("train", "val"))


def exported(client: SimulatorClient, importer: str) -> bytes:
    project = client.server.projects[1]
    tasks = client.server.world.project_tasks(1)
    return export_archive(tasks, EXPORTERS[importer], save_images=True, project=project)


async def send(
    client: SimulatorClient, project: Project, importer: str, content: bytes
) -> RawResponse:
    form = aiohttp.FormData(default_to_multipart=True)
    form.add_field("dataset_file", content, filename="dataset.zip")
    name = importer.replace(" ", "+")
    return await client("POST", f"/api/projects/{project.id}/dataset?format={name}", data=form)


async def imported(
    client: SimulatorClient, project: Project, importer: str, content: bytes
) -> dict[str, Any]:
    answer = await send(client, project, importer, content)
    rq_id = f"action=import&target=project&target_id={project.id}&subresource=dataset"
    assert (answer.status, answer.json) == (202, {"rq_id": rq_id})
    return await client.ended(rq_id)


def look(task: Task) -> Any:
    """Boxes and polygons, which both formats have."""
    return sorted(
        (one.frame, one.type, one.label.name, one.points)
        for one in task.annotations().shapes
        if one.type in ("rectangle", "polygon")
    )


@pytest.mark.parametrize("importer", [COCO, CVAT])
async def test_each_subset_becomes_a_task_and_twice_makes_them_again(importer: str) -> None:
    async with simulator_client(OPTIONS) as client:
        project = client.server.world.add_project("empty")
        made: list[Task] = []
        for count in (2, 4):
            content = exported(client, importer)
            request = await imported(client, project, importer, content)
            assert (request["status"], request["message"]) == ("finished", "")
            assert request["operation"]["type"] == "import:dataset"
            assert (request["operation"]["project_id"], request["result_id"]) == (project.id, None)
            made = client.server.world.project_tasks(project.id)
            assert [task.name for task in made] == ["train", "val"] * (count // 2)
        assert len(client.server.uploads) == 0
        for before, after in zip(client.server.world.project_tasks(1), made[2:], strict=True):
            assert after.subset == before.subset
            # One project cannot hold two images of a name: the export numbers them.
            assert [one.data() for one in after.frames()] == [one.data() for one in before.frames()]
            assert look(after) == look(before)
        labels = client.server.projects[project.id].labels
        names = [label.name for label in client.server.projects[1].labels]
        assert [label.name for label in labels] == names
        assert {label.project_id for label in labels} == {project.id}


async def test_coco_makes_labels_with_the_attribute_of_crowds() -> None:
    async with simulator_client(OPTIONS) as client:
        project = client.server.world.add_project("empty")
        await imported(client, project, COCO, exported(client, COCO))
        shown = (await client.get(f"/api/labels?project_id={project.id}")).json["results"]
        assert shown[0]["color"] == "#2080c0"
        (spec,) = shown[0]["attributes"]
        del spec["id"]
        assert spec == {
            "name": "is_crowd",
            "mutable": False,
            "input_type": "checkbox",
            "default_value": "",
            "values": [""],
        }


async def test_labels_that_the_project_has_stay() -> None:
    async with simulator_client(OPTIONS) as client:
        before = client.server.projects[1].labels
        project = client.server.world.add_project("half", before[:1])
        await imported(client, project, CVAT, exported(client, CVAT))
        car, *others = client.server.projects[project.id].labels
        assert car == client.server.world.projects[project.id].labels[0]
        assert car.id == before[0].id
        assert [label.name for label in others] == [label.name for label in before[1:]]
        assert [label.type for label in others] == [label.type for label in before[1:]]


async def test_annotations_of_generated_tasks_survive_labels_that_an_import_adds() -> None:
    async with simulator_client(OPTIONS) as client:
        before = client.server.tasks[1].annotations()
        document = {
            "images": [{"id": 1, "file_name": "a.jpg", "width": 640, "height": 480}],
            "categories": [{"id": 1, "name": "horse"}],
            "annotations": [],
        }
        content = zipped({"annotations/instances_default.json": document, "images/a.jpg": {}})
        request = await imported(client, client.server.projects[1], COCO, content)
        assert request["status"] == "finished"
        assert client.server.projects[1].labels[-1].name == "horse"
        assert client.server.tasks[1].annotations() == before


async def test_a_dataset_comes_by_tus_too() -> None:
    async with simulator_client(OPTIONS) as client:
        project = client.server.world.add_project("empty")
        content, place = exported(client, COCO), f"/api/projects/{project.id}/dataset/"
        started = await client("POST", f"{place}?format=COCO+1.0", headers={"Upload-Start": ""})
        assert started.status == 202
        headers = {"Upload-Length": str(len(content)), "Origin": client.server.url}
        begun = await client("POST", place, headers=headers)
        where, file_id = begun.headers["Location"], begun.headers["Upload-Filename"]
        assert where == f"{client.server.url}{place}{file_id}"
        sent = await client("PATCH", where, headers={"Upload-Offset": "0"}, data=content)
        assert sent.status == 204
        path = f"{place}?format=COCO+1.0&filename={file_id}"
        done = await client("POST", path, headers={"Upload-Finish": ""})
        assert (await client.ended(done.json["rq_id"]))["status"] == "finished"
        assert len(client.server.world.project_tasks(project.id)) == 2


async def test_a_dataset_under_way_is_not_imported_again() -> None:
    async with simulator_client(OPTIONS) as client:
        project = client.server.world.add_project("empty")
        client.server.faults.add(Fault(importing="stick"))
        content = exported(client, COCO)
        first = await send(client, project, COCO, content)
        again = await send(client, project, COCO, content)
        assert (first.status, again.status) == (202, 409)
        assert first.json == again.json
        shown: dict[str, Any] = {}
        while shown.get("status") != "started":
            shown = (await client.request(first.json["rq_id"])).json
        assert shown["message"] == "Dataset import has been started..."
        client.server.release_imports()
        assert (await client.ended(first.json["rq_id"]))["message"] == ""


async def test_a_lost_answer_imports_all_the_same() -> None:
    async with simulator_client(OPTIONS) as client:
        project = client.server.world.add_project("empty")
        content = exported(client, COCO)
        for kind, count in (("drop", 0), ("lose_answer", 2)):
            fault = Fault.from_json({"method": "POST", "path": "dataset", kind: True})
            client.server.faults.add(fault)
            with pytest.raises(aiohttp.ClientError):
                await send(client, project, COCO, content)
            for entry in (await client.get("/api/requests")).json["results"]:
                assert (await client.ended(entry["id"]))["status"] == "finished"
            assert len(client.server.world.project_tasks(project.id)) == count


# --- What is no dataset ---------------------------------------------------------------------------


def zipped(members: dict[str, Any]) -> bytes:
    result = io.BytesIO()
    with zipfile.ZipFile(result, "w") as archive:
        for name, value in members.items():
            text = value if isinstance(value, str) else json.dumps(value)
            archive.writestr(name, text)
    return result.getvalue()


IMAGE = {"id": 1, "file_name": "a.jpg", "width": 1, "height": 1}
INSTANCES = {"images": [IMAGE], "categories": [], "annotations": []}
NO_MEDIA = "NoMediaInAnnotationFileError: Can't import media data from the annotation file."


@pytest.mark.parametrize(
    ("importer", "content", "words"),
    [
        (COCO, b"rubbish", NO_MEDIA),
        (CVAT, b"<annotations/>", NO_MEDIA),
        (COCO, zipped({"images/a.jpg": ""}), "CvatDatasetNotFoundError"),
        (CVAT, zipped({"images/a.jpg": ""}), "CvatDatasetNotFoundError"),
        (COCO, zipped({"annotations/instances_a.json": INSTANCES}), NO_MEDIA),
        (COCO, zipped({"annotations/instances_a.json": {}}), "coco_instances"),
        (
            COCO,
            zipped(
                {
                    "annotations/instances_a.json": INSTANCES | {"categories": [{"name": " "}]},
                    "images/a.jpg": "",
                }
            ),
            "This field may not be blank",
        ),
        (CVAT, zipped({"annotations.xml": "<annotations"}), "DatasetImportError"),
        (CVAT, zipped({"annotations.xml": "<annotations/>"}), NO_MEDIA),
        ("PASCAL VOC 1.1", zipped({"a": ""}), "The simulator reads no datasets of PASCAL VOC 1.1"),
    ],
)
async def test_what_is_no_dataset_fails(importer: str, content: bytes, words: str) -> None:
    async with simulator_client(OPTIONS) as client:
        project = client.server.world.add_project("empty")
        request = await imported(client, project, importer, content)
        assert request["status"] == "failed"
        assert words in request["message"]
        assert client.server.world.project_tasks(project.id) == []
        assert len(client.server.uploads) == 0


async def test_a_broken_image_fails_the_import() -> None:
    async with simulator_client(OPTIONS) as client:
        project = client.server.world.add_project("empty")
        content = exported(client, COCO)
        place = content.index(b"\xff\xd8") + 30
        broken = content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :]
        assert "Bad CRC-32" in (await imported(client, project, COCO, broken))["message"]


async def test_unknown_formats_and_projects_are_refused() -> None:
    async with simulator_client(OPTIONS) as client:
        project = client.server.projects[1]
        unknown = await send(client, project, "COCO 9.9", b"x")
        assert (unknown.status, unknown.json) == (400, ["Unknown input format 'COCO 9.9'"])
        nowhere = await send(client, dataclasses.replace(project, id=99), COCO, b"x")
        assert nowhere.status == 404
        empty = await client("POST", "/api/projects/1/dataset?format=COCO+1.0")
        assert (empty.status, empty.json) == (400, {"dataset_file": ["No file was submitted."]})


async def test_a_project_that_goes_in_the_meantime_fails_the_import() -> None:
    async with simulator_client(OPTIONS) as client:
        first, second = (client.server.world.add_project(name) for name in "ab")
        content = exported(client, COCO)
        client.server.pause_imports()
        answer = await send(client, first, COCO, content)
        client.server.world.delete_project(first.id)
        client.server.release_imports()
        gone = await client.ended(answer.json["rq_id"])
        assert "Project.DoesNotExist" in gone["message"]
        client.server.faults.add(Fault(importing="stick"))
        answer = await send(client, second, COCO, content)
        request = client.server.requests[answer.json["rq_id"]]
        while not getattr(request, "dataset", None):
            await client.get("/api/server/about")
        client.server.world.delete_project(second.id)
        client.server.release_imports()
        assert "Project.DoesNotExist" in (await client.ended(request.id))["message"]
