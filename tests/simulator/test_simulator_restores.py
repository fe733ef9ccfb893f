"""Backups are made, downloaded, uploaded and restored by the simulated server."""

from __future__ import annotations

import dataclasses
import io
import json
import re
import xml.etree.ElementTree as ET
import zipfile
from pathlib import Path
from typing import Any, Final

import aiohttp
import pytest
from simulator_client import RawResponse, SimulatorClient, simulator_client

from asynccvat.simulator import Fault, SimulatedServer, SimulatorOptions, UserSpec
from asynccvat.simulator.formats.archives import export_archive
from asynccvat.simulator.queues.requests import RequestTarget
from asynccvat.simulator.world.annotations import Annotations
from asynccvat.simulator.world.tasks import Task
from asynccvat.simulator.world.users import ADMIN

pytestmark = pytest.mark.anyio

TASKS, PROJECTS = "/api/tasks/backup", "/api/projects/backup"
REAL: Final = ("backup_task4", "backup_task339", "backup_task341")
RQ_ID = re.compile(r"action=import&target=(task|project)&id=[0-9a-f-]{36}&subresource=backup")


async def back_up(client: SimulatorClient, path: str) -> bytes:
    """Make a backup, and return it."""
    asked = await client("POST", f"{path}/backup/export?location=local&lightweight=false")
    assert asked.status == 202, asked.body
    request = await client.ended(asked.json["rq_id"])
    assert request["status"] == "finished", request["message"]
    return (await client.get(request["result_url"])).body


async def send_by_tus(
    client: SimulatorClient, place: str, content: bytes, *, query: str = "", piece: int = 1 << 20
) -> RawResponse:
    """Upload a backup in pieces, and return the answer to its end."""
    started = await client("POST", f"{place}/{query}", headers={"Upload-Start": ""})
    assert (started.status, started.body) == (202, b"")
    where, file_id = await begin(client, place, len(content))
    for offset in range(0, len(content), piece):
        sent = await append(client, where, offset, content[offset : offset + piece])
        assert sent.status == 204
    assert (await client("HEAD", where)).status == 404, "a whole file is on its way no more"
    return await finish(client, place, file_id, query)


async def begin(client: SimulatorClient, place: str, size: int) -> tuple[str, str]:
    headers = {"Upload-Length": str(size), "Origin": client.server.url}
    begun = await client("POST", f"{place}/", headers=headers)
    assert begun.status == 201
    file_id = begun.headers["Upload-Filename"]
    assert begun.headers["Location"] == f"{client.server.url}{place}/{file_id}"
    return begun.headers["Location"], file_id


async def append(client: SimulatorClient, where: str, offset: int, piece: bytes) -> RawResponse:
    headers = {"Upload-Offset": str(offset), "Content-Type": "application/offset+octet-stream"}
    return await client("PATCH", where, headers=headers, data=piece)


async def finish(client: SimulatorClient, place: str, file_id: str, query: str = "") -> RawResponse:
    joint = "&" if query else "?"
    path = f"{place}/{query}{joint}filename={file_id}"
    return await client("POST", path, headers={"Upload-Finish": ""}, json={"filename": file_id})


async def send_form(client: SimulatorClient, place: str, field: str, content: bytes) -> RawResponse:
    form = aiohttp.FormData(default_to_multipart=True)
    form.add_field(field, content, filename="backup.zip")
    return await client("POST", place, data=form)


async def restored(client: SimulatorClient, answer: RawResponse) -> int:
    """Wait for a restore that succeeds, and return the id of what it made."""
    assert answer.status == 202, answer.body
    request = await client.ended(answer.json["rq_id"])
    assert (request["status"], request["message"]) == ("finished", "")
    assert isinstance(request["result_id"], int)
    return int(request["result_id"])


async def failure(client: SimulatorClient, content: bytes, place: str = TASKS) -> str:
    """Wait for a restore that fails, and return its message."""
    answer = await send_by_tus(client, place, content)
    request = await client.ended(answer.json["rq_id"])
    assert (request["status"], request["result_id"]) == ("failed", None)
    return str(request["message"])


def look_of(client: SimulatorClient, task_id: int, format_name: str) -> Any:
    """The annotation file of a task, without what differs from one task to another."""
    task = client.server.tasks[task_id]
    with zipfile.ZipFile(io.BytesIO(export_archive(task, format_name, save_images=False))) as file:
        text = file.read("annotations.xml").decode()
    root = ET.fromstring(text)
    for parent in root.iter():
        for child in list(parent):
            if child.tag in ("id", "created", "updated", "dumped", "url", "owner"):
                parent.remove(child)
    return ET.tostring(root)


async def annotations_of(client: SimulatorClient, task_id: int) -> Any:
    """The annotations as JSON, with names of labels in place of ids."""
    labels = (await client.get(f"/api/labels?task_id={task_id}&page_size=100")).json["results"]
    names = {one["id"]: one["name"] for top in labels for one in (top, *top["sublabels"])}
    specs = {spec["id"]: spec["name"] for top in labels for spec in top["attributes"]}

    def named(value: Any) -> Any:
        if isinstance(value, list):
            return [named(one) for one in value]
        if not isinstance(value, dict):
            return value
        found = {key: named(one) for key, one in value.items() if key != "id"}
        if "label_id" in found:
            found["label_id"] = names[found["label_id"]]
        if "spec_id" in found:
            found["spec_id"] = specs[found["spec_id"]]
        return found

    return named((await client.get(f"/api/tasks/{task_id}/annotations")).json)


def members(data: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        assert archive.testzip() is None
        assert {one.compress_type for one in archive.infolist()} == {zipfile.ZIP_STORED}
        return {name: archive.read(name) for name in archive.namelist()}


def keys_of(value: Any) -> Any:
    """Names and nesting of a JSON value, without its values."""
    if isinstance(value, dict):
        return {name: keys_of(one) for name, one in value.items()}
    if isinstance(value, list):
        return [keys_of(one) for one in value]
    return type(value).__name__


# --- A task and back ------------------------------------------------------------------------------


@pytest.mark.parametrize("of_video", [0, 3])
async def test_a_restored_task_is_exported_like_the_original(of_video: int) -> None:
    options = SimulatorOptions(tasks=3, frames=6, unicode_tasks=1, video_tasks=of_video)
    async with simulator_client(options) as client:
        for task_id in (1, 3):
            before = client.server.tasks[task_id]
            data = await back_up(client, f"/api/tasks/{task_id}")
            made = await restored(client, await send_by_tus(client, TASKS, data, piece=7000))
            after = client.server.tasks[made]
            assert (after.name, after.subset, after.size) == (before.name, before.subset, 6)
            assert (after.mode, after.video) == (before.mode, before.video)
            assert after.project_id is None, "CVAT restores tasks outside projects"
            assert {label.id for label in after.labels}.isdisjoint(
                label.id for label in before.labels
            )
            assert [frame.data() for frame in after.frames()] == [
                frame.data() for frame in before.frames()
            ]
            assert await annotations_of(client, made) == await annotations_of(client, task_id)
            for format_name in ("CVAT for images 1.1", "CVAT for video 1.1"):
                assert look_of(client, made, format_name) == look_of(client, task_id, format_name)


async def test_asking_twice_restores_twice() -> None:
    async with simulator_client() as client:
        data = await back_up(client, "/api/tasks/1")
        answers = [await send_form(client, TASKS, "task_file", data) for _ in range(2)]
        ids = [answer.json["rq_id"] for answer in answers]
        assert all(RQ_ID.fullmatch(rq_id) for rq_id in ids)
        assert len(set(ids)) == 2
        assert len({await restored(client, answer) for answer in answers}) == 2
        listed = (await client.get("/api/requests?action=import&subresource=backup")).json
        assert {one["id"] for one in listed["results"]} == set(ids)
        assert {one["operation"]["type"] for one in listed["results"]} == {"import:backup"}


async def test_the_end_of_an_upload_consumes_the_file() -> None:
    async with simulator_client() as client:
        data = await back_up(client, "/api/tasks/1")
        where, file_id = await begin(client, TASKS, len(data))
        assert (await append(client, where, 3, data[3:9])).status == 409
        assert (await client("HEAD", where)).headers["Upload-Offset"] == "0"
        assert (await append(client, where, 0, data)).status == 204
        assert len(client.server.uploads) == 1
        await restored(client, await finish(client, TASKS, file_id))
        assert len(client.server.uploads) == 0
        again = await finish(client, TASKS, file_id)
        assert (again.status, again.json) == (400, ["No such file were uploaded"])
        elsewhere = await finish(client, PROJECTS, file_id)
        assert elsewhere.status == 400


@pytest.mark.parametrize("place", [TASKS, f"{TASKS}/"])
async def test_a_form_without_a_file_is_refused(place: str) -> None:
    async with simulator_client() as client:
        for field in ("other", "project_file"):
            answer = await send_form(client, place, field, b"x")
            assert (answer.status, answer.json) == (400, {"task_file": ["No file was submitted."]})


async def test_an_upload_above_the_limit_is_refused_when_it_begins() -> None:
    async with simulator_client(SimulatorOptions(tasks=1, upload_limit=1000)) as client:
        headers = {"Upload-Length": "1001", "Origin": client.server.url}
        refused = await client("POST", f"{TASKS}/", headers=headers)
        assert refused.status == 413
        assert refused.headers["Tus-Max-Size"] == "1000"
        await begin(client, TASKS, 1000)


async def test_a_restore_goes_to_the_organization_that_is_named() -> None:
    async with simulator_client() as client:
        client.server.add_organization("acme")
        data = await back_up(client, "/api/tasks/1")
        made = await restored(client, await send_by_tus(client, TASKS, data, query="?org=acme"))
        assert client.server.tasks[made].organization_id == 1
        nowhere = await client("POST", f"{TASKS}?org=nobody", data=b"")
        assert nowhere.status == 404


async def test_who_may_create_nothing_and_who_reached_the_quota_restores_nothing() -> None:
    options = SimulatorOptions(
        tasks=2, projects=1, most_tasks=2, users=(UserSpec("helper", "h", worker=True),)
    )
    async with simulator_client(options) as client:
        helper = client.server.accounts.by_id[2]
        token = client.server.accounts.token_of(helper)
        for place in (TASKS, PROJECTS, "/api/projects/1/dataset/"):
            refused = await client("POST", place, headers={"Upload-Start": ""}, token=token)
            assert refused.status == 403
        full = await client("POST", f"{TASKS}/", headers={"Upload-Start": ""})
        assert (full.status, full.json) == (403, {"detail": "Maximum number of tasks reached: 2"})
        assert (await client("POST", PROJECTS, headers={"Upload-Start": ""})).status == 202


async def test_what_a_backup_does_not_carry_is_new() -> None:
    options = SimulatorOptions(tasks=3, statuses=("completed",))
    async with simulator_client(options) as client:
        client.server.change_task(1, assignee=client.server.accounts.by_id[1].user)
        data = await back_up(client, "/api/tasks/1")
        made = client.server.tasks[await restored(client, await send_by_tus(client, TASKS, data))]
        (job,) = made.jobs()
        assert (job.stage, job.state, job.assignee) == ("annotation", "new", None)
        assert (made.assignee, made.status) == (None, "annotation")
        assert job.id != client.server.tasks[1].jobs()[0].id


async def test_a_lost_answer_restores_all_the_same() -> None:
    async with simulator_client() as client:
        data = await back_up(client, "/api/tasks/1")
        client.server.faults.add(
            Fault(method="POST", path=r"tasks/backup/\?filename=", lose_answer=True)
        )
        with pytest.raises(aiohttp.ClientError):
            await send_by_tus(client, TASKS, data)
        (entry,) = (await client.get("/api/requests?action=import")).json["results"]
        request = await client.ended(entry["id"])
        assert request["result_id"] in client.server.tasks
        client.server.faults.add(Fault(method="POST", path=r"backup/\?filename=", drop=True))
        with pytest.raises(aiohttp.ClientError):
            await send_by_tus(client, TASKS, data)
        assert (await client.get("/api/requests?action=import")).json["count"] == 1


async def test_a_restore_can_be_made_to_fail() -> None:
    async with simulator_client() as client:
        data = await back_up(client, "/api/tasks/1")
        client.server.faults.add(
            Fault(importing="fail", path="subresource=backup", message="MemoryError\n")
        )
        assert await failure(client, data) == "MemoryError\n"
        assert len(client.server.tasks) == 3


# --- Jobs, chosen frames, cloud storages ---------------------------------------------------------


async def restored_of(client: SimulatorClient, task_id: int) -> Task:
    """Back up and restore a task, and return the new one."""
    data = await back_up(client, f"/api/tasks/{task_id}")
    return client.server.tasks[await restored(client, await send_by_tus(client, TASKS, data))]


async def test_jobs_and_their_overlap_come_back_and_nothing_twice() -> None:
    async with simulator_client(SimulatorOptions(tasks=1, frames=8)) as client:
        made = await restored_of(client, 1)
        assert made.media is not None
        world = client.server.world
        world.fill_task(made.id, made.media, wanted_segment_size=4, wanted_overlap=1)
        again = await restored_of(client, made.id)
        assert [(job.start_frame, job.stop_frame) for job in again.jobs()] == [
            (0, 3),
            (3, 6),
            (6, 7),
        ]
        assert (again.segment_size, again.overlap) == (4, 1)
        assert await annotations_of(client, again.id) == await annotations_of(client, 1)


async def test_a_ground_truth_job_comes_back_and_a_replica_does_not() -> None:
    async with simulator_client(SimulatorOptions(tasks=1, frames=4)) as client:
        world, original = client.server.world, client.server.tasks[1]
        truth = world.add_job(1, "ground_truth", (1, 3))
        world.add_job(1, "consensus_replica")
        held = original.annotations()
        given = Annotations(tuple(shape for shape in held.shapes if shape.frame == 1))
        world.change_job(truth.id, given=given)
        made = await restored_of(client, 1)
        own, again = made.jobs()
        assert (own.type, again.type, again.frames) == ("annotation", "ground_truth", (1, 3))
        assert [shape.points for shape in again.given.shapes] == [
            shape.points for shape in given.shapes
        ]
        assert len(made.annotations().shapes) == len(held.shapes)


async def test_chosen_and_deleted_frames_come_back() -> None:
    async with simulator_client(SimulatorOptions(tasks=1, frames=8)) as client:
        whole = await restored_of(client, 1)
        assert whole.media is not None
        chosen = tuple(
            dataclasses.replace(frame, index=index)
            for index, frame in enumerate(whole.media.frames[1:7:2])
        )
        media = dataclasses.replace(
            whole.media, frames=chosen, start_frame=1, stop_frame=6, frame_filter="step=2"
        )
        world = client.server.world
        world.fill_task(whole.id, media, image_quality=42, data_chunk_size=7)
        world.annotate_task(whole.id, Annotations())
        world.change_task(whole.id, deleted_frames=(1,))
        made = await restored_of(client, whole.id)
        assert [frame.name for frame in made.frames()] == [frame.name for frame in chosen]
        assert (made.image_quality, made.data_chunk_size, made.deleted_frames) == (42, 7, (1,))
        assert made.media is not None
        assert (made.media.start_frame, made.media.stop_frame) == (1, 6)
        assert made.media.frame_filter == "step=2"
        assert len(made.media.originals) == 8, "a backup has all files, also those left out"


async def test_backups_are_lightweight_where_files_lie_in_a_cloud_storage() -> None:
    async with simulator_client(SimulatorOptions(tasks=1, frames=2)) as client:
        local = await client("POST", "/api/tasks/1/backup/export")
        assert "lightweight" not in local.json["rq_id"]
        task = await restored_of(client, 1)
        assert task.media is not None
        media = dataclasses.replace(task.media, storage="cloud_storage", cloud_storage_id=1)
        client.server.world.fill_task(task.id, media)
        light = await client("POST", f"/api/tasks/{task.id}/backup/export")
        request = await client.ended(light.json["rq_id"])
        assert request["id"].endswith("&lightweight=True&subresource=backup")
        assert request["operation"]["lightweight"] is True
        data = (await client.get(request["result_url"])).body
        assert set(members(data)) == {"task.json", "annotations.json", "data/manifest.jsonl"}
        full = members(await back_up(client, f"/api/tasks/{task.id}"))
        assert {"data/street_0000.jpg", "data/street_0001.jpg"} <= set(full)
        made = client.server.tasks[await restored(client, await send_by_tus(client, TASKS, data))]
        assert (made.size, made.media and made.media.storage) == (2, "cloud_storage")
        with pytest.raises(FileNotFoundError, match="lies in a cloud storage"):
            made.frames()[0].data()


# --- What is no backup ----------------------------------------------------------------------------


def changed(data: bytes, **files: Any) -> bytes:
    """A backup of which some JSON files are changed by functions, or left out (None)."""
    result = io.BytesIO()
    with zipfile.ZipFile(result, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members(data).items():
            change = files.get(name.partition(".")[0].rpartition("/")[2], lambda value: value)
            if change is None:
                continue
            if name.endswith(".json"):
                archive.writestr(name, json.dumps(change(json.loads(content))))
            else:
                archive.writestr(name, content)
    return result.getvalue()


async def test_what_is_no_backup_fails_in_the_words_of_cvat() -> None:
    async with simulator_client() as client:
        data = await back_up(client, "/api/tasks/1")
        project = await back_up(client, "/api/projects/1")
        no_zip = "zipfile.BadZipFile: File is not a zip file\n"
        no_task = "KeyError: \"There is no item named 'task.json' in the archive\"\n"
        assert await failure(client, b"rubbish") == no_zip
        assert await failure(client, data[:-2000]) == no_zip
        assert await failure(client, project) == no_task
        assert await failure(client, changed(data, task=None)) == no_task
        assert "'project.json'" in await failure(client, data, PROJECTS)
        assert "'annotations.json'" in await failure(client, changed(data, annotations=None))
        assert "'data/manifest.jsonl'" in await failure(client, changed(data, manifest=None))
        assert "street_0000.jpg" in await failure(client, changed(data, street_0000=None))
        old = await failure(client, changed(data, task=lambda value: value | {"version": "0.9"}))
        assert old == "ValueError: 0.9 version is not supported\n"
        none = await failure(client, changed(data, task=lambda value: value | {"labels": []}))
        assert none.startswith("KeyError: ")
        assert await failure(client, changed(data, task=lambda _: [])) == (
            "TypeError: task.json is no object\n"
        )
        short = changed(data, annotations=lambda _: [{"shapes": [{"label": "car"}]}])
        assert "ValidationError" in await failure(client, short)
        place = data.index(b"\xff\xd8") + 30
        broken = data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]
        assert "Bad CRC-32" in await failure(client, broken)
        frames = changed(
            data, task=lambda value: value | {"data": value["data"] | {"start_frame": 9}}
        )
        assert await failure(client, frames) == "ValueError: No media data found\n"
        text = data.replace(b'{"name":"street-00001"', b'["name":"street-00001"')
        assert "BadZipFile" in await failure(client, text)
        jobs = changed(data, task=lambda value: value | {"jobs": []})
        assert (await failure(client, jobs)).startswith("ValueError: ")
        assert len(client.server.tasks) == 3, "what fails makes nothing"
        assert len(client.server.uploads) == 0


async def test_compressed_members_are_unpacked() -> None:
    async with simulator_client() as client:
        data = changed(await back_up(client, "/api/tasks/2"))
        made = client.server.tasks[await restored(client, await send_by_tus(client, TASKS, data))]
        assert [one.data() for one in made.frames()] == [
            one.data() for one in client.server.tasks[2].frames()
        ]


# --- Projects -------------------------------------------------------------------------------------


async def test_a_project_comes_back_with_its_labels_and_tasks() -> None:
    options = SimulatorOptions(tasks=4, projects=2, subsets=("", "train"), tasks_without_data=1)
    async with simulator_client(options) as client:
        data = await back_up(client, "/api/projects/1")
        names = set(members(data))
        assert {"project.json", "task_0/task.json", "task_1/data/manifest.jsonl"} <= names
        made = await restored(client, await send_by_tus(client, PROJECTS, data))
        project = client.server.projects[made]
        assert project.name == client.server.projects[1].name
        assert {label.project_id for label in project.labels} == {made}
        tasks = client.server.world.project_tasks(made)
        originals = client.server.world.project_tasks(1)
        assert [(one.name, one.subset) for one in tasks] == [
            (one.name, one.subset) for one in originals
        ]
        for before, after in zip(originals, tasks, strict=True):
            assert after.labels == project.labels
            assert await annotations_of(client, after.id) == await annotations_of(client, before.id)
        assert set(members(await back_up(client, f"/api/projects/{made}"))) == names


async def test_a_task_without_data_is_not_backed_up() -> None:
    async with simulator_client(SimulatorOptions(tasks=2, tasks_without_data=1)) as client:
        refused = await client("POST", "/api/tasks/2/backup/export")
        assert refused.json == ["Backup of a task without data is not allowed"]
        data = await back_up(client, "/api/projects/1")
        assert {name.partition("/")[0] for name in members(data)} == {"project.json", "task_0"}


async def test_a_project_without_tasks_comes_back() -> None:
    async with simulator_client() as client:
        project = client.server.world.add_project("empty", client.server.projects[1].labels)
        asked = await client("POST", f"/api/projects/{project.id}/backup/export")
        request = await client.ended(asked.json["rq_id"])
        download = await client.get(request["result_url"])
        assert 'filename="project_empty_backup_' in download.headers["Content-Disposition"]
        assert set(members(download.body)) == {"project.json"}
        made = await restored(client, await send_by_tus(client, PROJECTS, download.body))
        assert client.server.projects[made].name == "empty"
        assert len(client.server.projects[made].labels) == 4


# --- Real backups ---------------------------------------------------------------------------------


@pytest.mark.parametrize("name", REAL)
async def test_a_real_backup_is_restored_and_made_again(name: str, shared: Path) -> None:
    real = (shared / "contract" / "exports-2.64" / f"{name}.zip").read_bytes()
    async with simulator_client() as client:
        made = await restored(client, await send_by_tus(client, TASKS, real))
        again = members(await back_up(client, f"/api/tasks/{made}"))
        compare_members(members(real), again)


async def test_a_real_backup_of_a_project_is_restored_and_made_again(shared: Path) -> None:
    real = (shared / "contract" / "exports-2.64" / "backup_project4.zip").read_bytes()
    async with simulator_client() as client:
        made = await restored(client, await send_form(client, PROJECTS, "project_file", real))
        compare_members(members(real), members(await back_up(client, f"/api/projects/{made}")))


def compare_members(real: dict[str, bytes], made: dict[str, bytes]) -> None:
    assert set(made) == set(real)
    for name, content in real.items():
        if name.endswith("annotations.json"):
            assert sort_kinds(json.loads(made[name])) == sort_kinds(json.loads(content))
        elif name.endswith(".json"):
            described, expected = json.loads(made[name]), json.loads(content)
            assert described == expected
            assert list(described) == list(expected)
        elif name.endswith(".jsonl"):
            lines = [keys_of(json.loads(line)) for line in content.splitlines()]
            assert [keys_of(json.loads(line)) for line in made[name].splitlines()] == lines
        else:
            assert made[name] == content


def sort_kinds(jobs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Annotations of jobs with values of attributes by name: their order is that of the label."""

    def sort(value: Any) -> Any:
        if isinstance(value, dict):
            found = {key: sort(one) for key, one in value.items()}
            if "attributes" in found:
                found["attributes"] = {one["name"]: one["value"] for one in found["attributes"]}
            return found
        return [sort(one) for one in value] if isinstance(value, list) else value

    return [sort(job) for job in jobs]


@pytest.mark.parametrize("number", [4, 339, 341])
@pytest.mark.parametrize("kind", ["images", "video"])
async def test_a_real_backup_is_exported_like_the_real_task(
    number: int, kind: str, shared: Path
) -> None:
    folder = shared / "contract" / "exports-2.64"
    real = folder / f"task{number}_cvat-for-{kind}-11_annotations.zip"
    async with simulator_client() as client:
        data = (folder / f"backup_task{number}.zip").read_bytes()
        made = await restored(client, await send_by_tus(client, TASKS, data))
        task = client.server.tasks[made]
        own = export_archive(task, f"CVAT for {kind} 1.1", save_images=False)
        assert annotated(own) == annotated(real.read_bytes())


def annotated(archive: bytes) -> list[Any]:
    """Images and tracks of a CVAT XML: their order is that of the database, as in each image."""
    root = ET.fromstring(members(archive)["annotations.xml"])
    found: list[Any] = []
    for element in (*root.findall("image"), *root.findall("track")):
        number = element.attrib.pop("id")
        where = number if element.tag == "image" else ""
        parts = [" ".join(ET.tostring(one, "unicode").split()) for one in element]
        ordered = sorted(parts) if element.tag == "image" else parts
        found.append((where, sorted(element.attrib.items()), ordered))
    return sorted(found)


# --- Large ones -----------------------------------------------------------------------------------


async def test_large_backups_lie_in_files() -> None:
    options = SimulatorOptions(tasks=1, frames=3, frame_bytes=6 << 20)
    async with simulator_client(options) as client:
        data = await back_up(client, "/api/tasks/1")
        made = await restored(client, await send_by_tus(client, TASKS, data, piece=1 << 19))
        kept = client.server.tasks[made].media
        assert kept is not None
        paths = {file.path for _, file in kept.originals}
        assert len(paths) == 1, "frames stay in the uploaded zip"
        assert len(await back_up(client, f"/api/tasks/{made}")) > 18 << 20
    assert not paths.pop().exists()


def test_a_restore_costs_its_seconds_and_those_of_its_bytes() -> None:
    server = SimulatedServer(
        SimulatorOptions(tasks=1, costs=True, restore_seconds=2.0, media_seconds=0.5)
    )
    upload = server.uploads.begin(TASKS, 1, 3_000_000)
    try:
        request = server.import_queue.submit_restore(upload, ADMIN, RequestTarget("task"))
        assert server.import_queue.seconds_of(request) == 2.0 + 3 * 0.5
    finally:
        server.uploads.close()
