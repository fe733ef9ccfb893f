"""New projects and tasks on the simulated server: labels, data in forms and by TUS, failures."""

from __future__ import annotations

import base64
import io
import zipfile
from typing import Any

import aiohttp
import pytest
from anyio.lowlevel import checkpoint
from simulator_client import RawResponse, SimulatorClient, simulator_client

from asynccvat.simulator import Fault, SimulatorOptions, UserSpec
from asynccvat.simulator.queues.creation_queue import CreationRequest
from asynccvat.simulator.world.jpeg import draw_jpeg

pytestmark = pytest.mark.anyio

OPTIONS = {"image_quality": 70}


def picture(seed: int, width: int = 64, height: int = 48) -> bytes:
    return draw_jpeg(seed, width, height)


def zipped(members: dict[str, bytes], method: int = zipfile.ZIP_STORED) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", method) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return stream.getvalue()


async def make_project(client: SimulatorClient, *labels: str) -> int:
    given = {"name": "made", "labels": [{"name": name} for name in labels]}
    project: int = (await client("POST", "/api/projects", json=given)).json["id"]
    return project


async def make_task(client: SimulatorClient, **fields: Any) -> int:
    given = {"name": "made", "labels": [{"name": "car"}], **fields}
    if "project_id" in fields:
        del given["labels"]
    response = await client("POST", "/api/tasks", json=given)
    assert response.status == 201, response.body
    task: int = response.json["id"]
    return task


async def send_form(
    client: SimulatorClient, task_id: int, files: dict[str, bytes], header: str = "", **options: Any
) -> RawResponse:
    form = aiohttp.FormData(quote_fields=False, default_to_multipart=True)
    for number, (name, data) in enumerate(files.items()):
        form.add_field(f"client_files[{number}]", data, filename=name)
    for name, value in options.items():
        form.add_field(name, str(value))
    headers = {header: "true"} if header else {}
    return await client("POST", f"/api/tasks/{task_id}/data", data=form, headers=headers)


async def send_by_tus(
    client: SimulatorClient, task_id: int, name: str, data: bytes, pieces: int = 1
) -> RawResponse:
    """Send a file by TUS; return the response to its last piece."""
    coded = base64.b64encode(name.encode()).decode()
    begun = await client(
        "POST",
        f"/api/tasks/{task_id}/data/",
        headers={
            "Upload-Length": str(len(data)),
            "Upload-Metadata": f"filename {coded}",
            "Origin": client.server.url,
        },
    )
    assert begun.status == 201, begun.body
    assert begun.headers["Upload-Filename"] == name
    step = -(-len(data) // pieces)
    response = begun
    for offset in range(0, len(data), step):
        response = await client(
            "PATCH",
            begun.headers["Location"],
            headers={
                "Upload-Offset": str(offset),
                "Content-Type": "application/offset+octet-stream",
            },
            data=data[offset : offset + step],
        )
    return response


async def finish(client: SimulatorClient, task_id: int, **options: Any) -> RawResponse:
    path, headers = f"/api/tasks/{task_id}/data", {"Upload-Finish": "true"}
    return await client("POST", path, headers=headers, json=OPTIONS | options)


async def created(client: SimulatorClient, task_id: int, response: RawResponse) -> dict[str, Any]:
    assert response.status == 202, response.body
    assert response.json == {"rq_id": f"action=create&target=task&target_id={task_id}"}
    return await client.ended(response.json["rq_id"])


async def meta(client: SimulatorClient, task_id: int) -> Any:
    return (await client.get(f"/api/tasks/{task_id}/data/meta")).json


async def frame_names(client: SimulatorClient, task_id: int) -> list[str]:
    return [frame["name"] for frame in (await meta(client, task_id))["frames"]]


async def test_a_zip_by_tus_becomes_a_task_that_keeps_folders() -> None:
    images = {f"cam {number}/a{number}.jpg": picture(number, 64, 40 + number) for number in (10, 9)}
    async with simulator_client() as client:
        project = await make_project(client, "car")
        task_id = await make_task(client, project_id=project, subset="train")
        start = await client("POST", f"/api/tasks/{task_id}/data", headers={"Upload-Start": "true"})
        assert (start.status, start.body) == (202, b"")
        assert (await send_by_tus(client, task_id, "all.zip", zipped(images), 3)).status == 204
        request = await created(
            client, task_id, await finish(client, task_id, sorting_method="natural")
        )
        assert request["status"] == "finished"
        assert request["operation"]["type"] == "create:task"
        shown = await meta(client, task_id)
        assert [(one["name"], one["width"], one["height"]) for one in shown["frames"]] == [
            ("cam 9/a9.jpg", 64, 49),
            ("cam 10/a10.jpg", 64, 50),
        ]
        task = (await client.get(f"/api/tasks/{task_id}")).json
        assert (task["size"], task["mode"], task["subset"]) == (2, "annotation", "train")
        await client.exported(task_id)
        request = await client.exported(task_id)
        archive = await client.get(request["result_url"].removeprefix(client.server.url))
        with zipfile.ZipFile(io.BytesIO(archive.body)) as opened:
            for name, data in images.items():
                assert opened.read(f"images/{name}") == data


async def test_forms_drop_folders_and_segments_become_jobs() -> None:
    async with simulator_client() as client:
        task_id = await make_task(client, segment_size=2, overlap=0)
        files = {f"d/{number}.jpg": picture(number) for number in range(5)}
        first, last = dict(list(files.items())[:3]), dict(list(files.items())[3:])
        for some in (first, last):
            assert (await send_form(client, task_id, some, "Upload-Multiple")).status == 200
        assert (await created(client, task_id, await finish(client, task_id)))["message"] == ""
        assert await frame_names(client, task_id) == [f"{number}.jpg" for number in range(5)]
        jobs = (await client.get(f"/api/jobs?task_id={task_id}")).json["results"]
        parts = [(job["start_frame"], job["stop_frame"], job["frame_count"]) for job in jobs]
        assert sorted(parts) == [(0, 1, 2), (2, 3, 2), (4, 4, 1)]
        again = await finish(client, task_id)
        assert (again.status, again.json) == (400, "Adding more data is not supported")


async def test_start_stop_and_step_choose_frames() -> None:
    async with simulator_client() as client:
        task_id = await make_task(client)
        files = {f"f{number}.jpg": picture(number) for number in range(6)}
        response = await send_form(
            client,
            task_id,
            files,
            image_quality=55,
            start_frame=1,
            stop_frame=5,
            frame_filter="step=2",
        )
        await created(client, task_id, response)
        shown = await meta(client, task_id)
        assert [frame["name"] for frame in shown["frames"]] == ["f1.jpg", "f3.jpg", "f5.jpg"]
        found = [shown[name] for name in ("start_frame", "stop_frame", "frame_filter", "size")]
        assert found == [1, 5, "step=2", 3]
        assert shown["image_quality"] == 55


async def test_a_folder_in_the_name_loses_the_file() -> None:
    async with simulator_client() as client:
        task_id = await make_task(client)
        assert (await send_by_tus(client, task_id, "a.jpg", picture(1))).status == 204
        assert (await send_by_tus(client, task_id, "d/b.jpg", picture(2), 2)).status == 500
        request = await created(client, task_id, await finish(client, task_id))
        assert request["status"] == "failed"
        assert "failed to parse image file 'd/b.jpg'" in request["message"]
        task = (await client.get(f"/api/tasks/{task_id}")).json
        assert (task["size"], task["mode"], task["data_chunk_size"]) == (0, "", None)


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({}, "ValueError: No media data found\n"),
        ({"notes.txt": b"no picture"}, "ValueError: No media data found\n"),
        ({"a.jpg": picture(1)[:-20]}, "OSError: Truncated File Read\n"),
        ({"a.png": b"\x89PNG\r\n\x1a\n" + bytes(40)}, "OSError: Truncated File Read\n"),
        ({"a.jpg": b"no picture"}, "InvalidImageError: failed to parse image file 'a.jpg'\n"),
        ({"a.zip": b"no zip"}, "zipfile.BadZipFile: File is not a zip file\n"),
        ({"a.zip": zipped({"a.txt": b"x"})}, "Exception: No image found\n"),
        ({"a.mp4": b"no video"}, "av.error.InvalidDataError"),
        ({"a.mp4": b"FLV", "b.jpg": picture(1)}, "can be used simultaneously"),
    ],
)
async def test_data_of_which_no_task_is_made_fail_with_the_words_of_cvat(
    files: dict[str, bytes], message: str
) -> None:
    async with simulator_client() as client:
        task_id = await make_task(client)
        if files:
            response = await send_form(client, task_id, files, image_quality=70)
        else:
            path = f"/api/tasks/{task_id}/data"
            response = await client("POST", path, json={"image_quality": 70})
        request = await created(client, task_id, response)
        assert request["status"] == "failed"
        assert message in request["message"]
        # The task stays, empty, and takes data again.
        shown = await meta(client, task_id)
        assert (shown["size"], shown["frames"], shown["chunks_updated_date"]) == (0, [], None)


async def test_a_video_has_one_entry_and_its_frames_count() -> None:
    async with simulator_client() as client:
        task_id = await make_task(client)
        response = await send_form(
            client, task_id, {"v.webm": b"\x1aE\xdf\xa3" + bytes(99)}, image_quality=70
        )
        await created(client, task_id, response)
        task = (await client.get(f"/api/tasks/{task_id}")).json
        found = [task[name] for name in ("size", "mode", "overlap", "data_chunk_size")]
        assert found == [30, "interpolation", 5, 36]
        assert task["data_original_chunk_type"] == "video"
        shown = await meta(client, task_id)
        assert [frame["name"] for frame in shown["frames"]] == ["v.webm"]


async def test_an_order_must_name_every_file() -> None:
    async with simulator_client() as client:
        task_id = await make_task(client)
        for name in ("b.jpg", "a.jpg", "c.jpg"):
            await send_by_tus(client, task_id, name, picture(ord(name[0])))
        order = ["c.jpg", "a.jpg", "x.jpg"]
        response = await finish(
            client, task_id, sorting_method="predefined", upload_file_order=order
        )
        assert response.status == 400
        assert "x.jpg (missing), b.jpg (extra)" in response.json[0]
        order = ["c.jpg", "a.jpg", "b.jpg"]
        response = await finish(
            client, task_id, sorting_method="predefined", upload_file_order=order
        )
        await created(client, task_id, response)
        assert await frame_names(client, task_id) == order


async def test_jobs_can_be_given_their_files() -> None:
    async with simulator_client() as client:
        task_id = await make_task(client)
        await send_form(
            client,
            task_id,
            {f"{name}.jpg": picture(ord(name)) for name in "abc"},
            "Upload-Multiple",
        )
        mapping = [["c.jpg", "a.jpg"], ["b.jpg"]]
        refused = await finish(
            client, task_id, sorting_method="predefined", job_file_mapping=mapping
        )
        request = await created(client, task_id, refused)
        assert "job_file_mapping cannot be used with sorting_method" in request["message"]
        await created(client, task_id, await finish(client, task_id, job_file_mapping=mapping))
        assert await frame_names(client, task_id) == ["c.jpg", "a.jpg", "b.jpg"]
        jobs = (await client.get(f"/api/jobs?task_id={task_id}")).json["results"]
        parts = sorted((job["start_frame"], job["stop_frame"]) for job in jobs)
        assert parts == [(0, 1), (2, 2)]


@pytest.mark.parametrize(
    ("options", "errors"),
    [
        ({"chunk_size": ""}, {}),
        (
            {"image_quality": 101},
            {"image_quality": ["Ensure this value is less than or equal to 100."]},
        ),
        ({"chunk_size": "x"}, {"chunk_size": ["A valid integer is required."]}),
        ({"sorting_method": "x"}, {"sorting_method": ['"x" is not a valid choice.']}),
        ({"frame_filter": "x"}, {"frame_filter": ["Does not match the pattern step=N."]}),
    ],
)
async def test_wrong_options_are_refused(options: dict[str, Any], errors: dict[str, Any]) -> None:
    async with simulator_client() as client:
        task_id = await make_task(client)
        await send_by_tus(client, task_id, "a.jpg", picture(1))
        response = await finish(client, task_id, **options)
        assert response.status == (400 if errors else 202), response.body
        if errors:
            assert response.json == errors


async def test_a_creation_under_way_is_a_conflict_and_can_be_cancelled() -> None:
    async with simulator_client() as client:
        task_id = await make_task(client)
        await send_by_tus(client, task_id, "a.jpg", picture(1))
        client.server.pause_creations()
        first, second = await finish(client, task_id), await finish(client, task_id)
        assert (first.status, second.status) == (202, 409)
        assert first.json == second.json
        rq_id = first.json["rq_id"].replace("&", "%26").replace("=", "%3D")
        assert (await client("POST", f"/api/requests/{rq_id}/cancel")).status == 200
        client.server.release_creations()
        await created(client, task_id, await finish(client, task_id))
        assert [span.status for span in client.server.creations] == ["finished"]


async def test_a_task_deleted_meanwhile_and_a_killed_worker_fail() -> None:
    async with simulator_client() as client:
        client.server.faults.add(Fault(creating="kill"))
        task_id = await make_task(client)
        await send_by_tus(client, task_id, "a.jpg", picture(1))
        request = await created(client, task_id, await finish(client, task_id))
        assert "Work-horse terminated" in request["message"]
        client.server.pause_creations()
        response = await finish(client, task_id)
        client.server.delete_task(task_id)
        client.server.release_creations()
        request = await client.ended(response.json["rq_id"])
        assert "Task matching query does not exist" in request["message"]


async def test_labels_are_created_with_attributes_and_sublabels() -> None:
    svg = '<circle data-node-id="1" data-label-name="1"></circle>'
    labels = [
        {
            "name": "car",
            "attributes": [
                {
                    "name": "parked",
                    "mutable": False,
                    "input_type": "checkbox",
                    "default_value": "false",
                    "values": ["false"],
                }
            ],
        },
        {
            "name": "person",
            "type": "skeleton",
            "sublabels": [{"name": "1", "type": "points"}],
            "svg": svg,
        },
    ]
    async with simulator_client() as client:
        given = {"name": "p", "labels": labels}
        project = (await client("POST", "/api/projects", json=given)).json["id"]
        car, person = (await client.get(f"/api/labels?project_id={project}")).json["results"]
        assert car["attributes"][0]["name"] == "parked"
        assert (car["color"], car["project_id"]) == ("#2080c0", project)
        (point,) = person["sublabels"]
        assert person["svg"] == svg.replace('name="1"', f'id="{point["id"]}"')


@pytest.mark.parametrize(
    ("given", "errors"),
    [
        ({}, {"name": ["This field is required."]}),
        ({"name": " "}, {"name": ["This field may not be blank."]}),
        ({"name": "x" * 257}, {"name": ["Ensure this field has no more than 256 characters."]}),
        (
            {"name": "x", "labels": [{"name": "a"}, {"name": "a"}]},
            ["All label names must be unique"],
        ),
        ({"name": "x", "labels": [{}]}, {"labels": [{"name": ["This field is required."]}]}),
        (
            {"name": "x", "labels": [{"name": ""}]},
            {"labels": [{"name": ["This field may not be blank."]}]},
        ),
        (
            {"name": "x", "labels": ["a"]},
            {
                "labels": [
                    {"non_field_errors": ["Invalid data. Expected a dictionary, but got str."]}
                ]
            },
        ),
        (
            {"name": "x", "labels": "a"},
            {"labels": {"non_field_errors": ['Expected a list of items but got type "str".']}},
        ),
        (
            {"name": "x", "labels": [{"name": "a", "type": "b"}]},
            {"labels": [{"type": ['"b" is not a valid choice.']}]},
        ),
        (
            {"name": "x", "assignee_id": 99},
            {"assignee_id": ['Invalid pk "99" - object does not exist.']},
        ),
    ],
)
async def test_wrong_projects_are_refused(given: dict[str, Any], errors: Any) -> None:
    async with simulator_client() as client:
        response = await client("POST", "/api/projects", json=given)
        assert (response.status, response.json) == (400, errors)


async def test_a_task_has_labels_or_a_project() -> None:
    async with simulator_client() as client:
        both = {"name": "x", "project_id": 1, "labels": [{"name": "a"}]}
        response = await client("POST", "/api/tasks", json=both)
        assert response.json == ["Task must have only one of Label set or project_id"]
        response = await client("POST", "/api/tasks", json={"name": "x", "project_id": 77})
        assert response.json == ["Project matching query does not exist."]
        assert (await client("POST", "/api/tasks", json={"name": "x"})).status == 201


async def test_workers_and_full_servers_create_nothing() -> None:
    users = (UserSpec("w", "pw", worker=True), UserSpec("u", "pw"))
    options = SimulatorOptions(tasks=2, users=users, most_tasks=3, most_projects=2)
    async with simulator_client(options) as client:
        accounts = client.server.accounts
        worker, user = (accounts.token_of(accounts.by_id[number]) for number in (2, 3))
        for path in ("/api/tasks", "/api/projects"):
            given = {"name": "x"}
            assert (await client("POST", path, json=given, token=worker)).status == 403
            assert (await client("POST", path, json=given, token=user)).status == 201
            response = await client("POST", path, json=given)
            assert response.status == 403
            assert "Maximum number" in response.json["detail"]
        groups = (await client.get("/api/users/self", token=worker)).json["groups"]
        assert groups == ["worker"]


async def test_a_task_moves_into_a_project_whose_labels_fit() -> None:
    async with simulator_client(SimulatorOptions(tasks=1, projects=0, frames=2)) as client:
        fitting = await make_project(client, "sky", "dot", "person", "car", "more")
        wrong = await make_project(client, "car")
        for project, words in ((99, "Cannot find project"), (wrong, "must be mapped")):
            response = await client("PATCH", "/api/tasks/1", json={"project_id": project})
            assert response.status == 400
            assert words in response.json["non_field_errors"][0]
        before = client.server.tasks[1]
        response = await client(
            "PATCH", "/api/tasks/1", json={"project_id": fitting, "name": "moved"}
        )
        assert (response.status, response.json["project_id"]) == (200, fitting)
        after = client.server.tasks[1]
        assert after.updated_date > before.updated_date
        assert {shape.label.project_id for shape in after.annotations().shapes} == {fitting}
        names = [shape.label.name for shape in before.annotations().shapes]
        assert [shape.label.name for shape in after.annotations().shapes] == names
        organization = client.server.add_organization("acme")
        client.server.world.change_project(wrong, organization_id=organization.id)
        response = await client("PATCH", "/api/tasks/1", json={"project_id": wrong})
        assert "same organization" in response.json["non_field_errors"][0]


async def test_a_project_changes_and_its_tasks_get_its_labels() -> None:
    async with simulator_client() as client:
        project = await make_project(client, "car")
        task_id = await make_task(client, project_id=project)
        path = f"/api/projects/{project}"
        changes = {"name": "other", "labels": [{"name": "bus"}], "assignee_id": 1}
        changed = await client("PATCH", path, json=changes)
        assert (changed.json["name"], changed.json["assignee"]["id"]) == ("other", 1)
        assert [label.name for label in client.server.tasks[task_id].labels] == ["car", "bus"]
        twice = await client("PATCH", path, json={"labels": [{"name": "bus"}]})
        assert twice.json == ["All label names must be unique"]
        assert (await client("PATCH", path, json={"colour": 1})).status == 403


async def test_projects_are_deleted_with_their_tasks_and_only_by_owners() -> None:
    options = SimulatorOptions(tasks=2, users=(UserSpec("u", "pw"),))
    async with simulator_client(options) as client:
        accounts = client.server.accounts
        user = accounts.token_of(accounts.by_id[2])
        await client("PATCH", "/api/tasks/1", json={"assignee_id": 2})
        assert (await client("DELETE", "/api/tasks/1", token=user)).status == 403
        assert (await client("DELETE", "/api/projects/1", token=user)).status == 403
        given = {"name": "own", "labels": [{"name": "car"}]}
        own = (await client("POST", "/api/tasks", json=given, token=user)).json["id"]
        assert (await client("DELETE", f"/api/tasks/{own}", token=user)).status == 204
        assert (await client("DELETE", "/api/projects/1")).status == 204
        assert (await client("DELETE", "/api/projects/1")).status == 404
        assert (await client.get("/api/tasks/1")).status == 404


async def test_edits_of_a_made_task_add_a_shape() -> None:
    async with simulator_client() as client:
        task_id = await make_task(client)
        await created(
            client,
            task_id,
            await send_form(client, task_id, {"a.jpg": picture(1)}, image_quality=70),
        )
        path = f"/api/tasks/{task_id}/annotations"
        assert (await client.get(path)).json["shapes"] == []
        client.server.edit_task(task_id)
        client.server.edit_task(task_id)
        assert len((await client.get(path)).json["shapes"]) == 2


async def test_a_form_sent_twice_is_appended_and_other_fields_are_refused() -> None:
    async with simulator_client() as client:
        task_id = await make_task(client)
        image = picture(1)
        for part in (image[:100], image[100:]):
            await send_form(client, task_id, {"a.jpg": part}, "Upload-Multiple")
        request = await created(client, task_id, await finish(client, task_id))
        assert request["status"] == "finished"
        assert client.server.tasks[task_id].frames()[0].data() == image
        other = await make_task(client)
        form = aiohttp.FormData(default_to_multipart=True)
        form.add_field("file", image, filename="a.jpg")
        refused = await client("POST", f"/api/tasks/{other}/data", data=form)
        assert (refused.status, refused.json) == (400, {"detail": "Unexpected field file"})
        headers = {"Content-Type": "multipart/form-data"}
        path = f"/api/tasks/{other}/data"
        refused = await client("POST", path, data=b"rubbish", headers=headers)
        assert "Multipart form parse error" in refused.json["detail"]


async def test_fields_of_a_form_that_are_lists_are_read() -> None:
    async with simulator_client() as client:
        task_id = await make_task(client)
        files = {"a.jpg": picture(1), "b.jpg": picture(2)}
        order = {"upload_file_order[0]": "b.jpg", "upload_file_order[1]": "a.jpg"}
        response = await send_form(
            client, task_id, files, image_quality=70, sorting_method="predefined", **order
        )
        await created(client, task_id, response)
        assert await frame_names(client, task_id) == ["b.jpg", "a.jpg"]


async def test_a_form_that_breaks_off_leaves_nothing() -> None:
    async with simulator_client() as client:
        task_id = await make_task(client)
        client.server.faults.add(Fault(path="/data$", break_at=600))
        with pytest.raises(aiohttp.ClientError):
            await send_form(client, task_id, {"a.jpg": picture(1) * 9}, "Upload-Multiple")
        request = await created(client, task_id, await finish(client, task_id))
        assert "No media data found" in request["message"]


@pytest.mark.parametrize(
    ("lost", "effect"), [({"drop": True}, False), ({"lose_answer": True}, True)]
)
async def test_answers_are_lost_before_or_after_the_effect(
    lost: dict[str, Any], effect: bool
) -> None:
    async with simulator_client(SimulatorOptions(tasks=2, projects=1)) as client:
        server = client.server
        task_id = await make_task(client)
        await send_by_tus(client, task_id, "a.jpg", picture(1))
        tasks, projects = len(server.tasks), len(server.projects)

        async def call(method: str, path: str, **more: Any) -> None:
            # aiohttp itself repeats a DELETE once.
            server.faults.add(Fault(method=method, path=f"^{path}$", times=None, **lost))
            with pytest.raises(aiohttp.ClientError):
                await client(method, path, **more)
            server.faults.clear()

        await call("POST", "/api/tasks", json={"name": "n", "labels": [{"name": "car"}]})
        assert (len(server.tasks) > tasks) == effect
        await call("POST", "/api/projects", json={"name": "n"})
        assert (len(server.projects) > projects) == effect
        finish_it = {"json": OPTIONS, "headers": {"Upload-Finish": "true"}}
        await call("POST", f"/api/tasks/{task_id}/data", **finish_it)
        assert (f"action=create&target=task&target_id={task_id}" in server.requests) == effect
        await call("PATCH", "/api/tasks/1", json={"name": "other"})
        assert (server.tasks[1].name == "other") == effect
        await call("DELETE", "/api/tasks/2")
        assert (2 not in server.tasks) == effect


async def test_new_tasks_and_imports_share_their_workers() -> None:
    async with simulator_client(SimulatorOptions(tasks=1, import_workers=1)) as client:
        server = client.server
        server.faults.add(Fault(importing="stick"))
        form = aiohttp.FormData(default_to_multipart=True)
        form.add_field("annotation_file", b"<annotations/>", filename="a.xml")
        path = "/api/tasks/1/annotations?format=CVAT+1.1"
        imported = (await client("POST", path, data=form)).json["rq_id"]
        while server.requests[imported].status != "started":
            await checkpoint()
        task_id = await make_task(client)
        await send_by_tus(client, task_id, "a.jpg", picture(1))
        rq_id = (await finish(client, task_id)).json["rq_id"]
        assert (await client.request(rq_id)).json["status"] == "queued"
        server.release_imports()
        assert (await client.ended(rq_id))["status"] == "finished"


async def test_a_new_task_takes_a_worker_some_seconds_and_more_for_its_bytes() -> None:
    spent: list[float] = []
    options = SimulatorOptions(tasks=0, costs=True, latency=0.0, creation_seconds=0.01)
    async with simulator_client(options) as client:
        queue = client.server.creation_queue

        async def spend(seconds: float) -> None:
            spent.append(seconds)

        queue.spend = spend  # type: ignore[method-assign]
        task_id = await make_task(client)
        await send_by_tus(client, task_id, "a.jpg", picture(1) + bytes(40))
        rq_id = (await finish(client, task_id)).json["rq_id"]
        request = client.server.requests[rq_id]
        assert isinstance(request, CreationRequest)
        assert queue.seconds_of(request) == pytest.approx(
            0.01 + options.media_seconds * (len(picture(1)) + 40) / 1e6
        )
        await client.ended(rq_id)
        assert len(spent) == 1


async def test_the_date_of_a_project_moves_with_its_tasks_and_not_with_their_data() -> None:
    async with simulator_client() as client:
        project = await make_project(client, "car")

        def date() -> Any:
            return client.server.projects[project].updated_date

        dates = [date()]
        task_id = await make_task(client, project_id=project)
        dates.append(date())
        sent = await send_form(client, task_id, {"a.jpg": picture(1)}, image_quality=70)
        await created(client, task_id, sent)
        assert date() == dates[-1]
        await client("PATCH", f"/api/tasks/{task_id}", json={"name": "other"})
        dates.append(date())
        client.server.edit_task(task_id)
        dates.append(date())
        assert dates == sorted(set(dates))
