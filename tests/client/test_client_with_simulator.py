"""The client against the simulated server, which shares no code with it."""

from __future__ import annotations

import asyncio
import io
import zipfile
from collections.abc import AsyncIterator

import pytest

from asynccvat.client import CvatClient, internals
from asynccvat.core.requests import Cancellation
from asynccvat.core.selections.selection import JobSelection, ProjectSelection, Selection
from asynccvat.core.specs import ExportSpec
from asynccvat.errors import AuthenticationError, ExportExpiredError, NotFoundError
from asynccvat.simulator import SimulatedServer, SimulatorOptions

pytestmark = pytest.mark.anyio


@pytest.fixture
async def simulated() -> AsyncIterator[SimulatedServer]:
    async with SimulatedServer(SimulatorOptions(tasks=7, frames=2)) as running:
        yield running


@pytest.fixture
async def client(simulated: SimulatedServer) -> AsyncIterator[CvatClient]:
    async with CvatClient(
        simulated.url, username=simulated.username, password=simulated.password
    ) as opened:
        yield opened


async def test_the_server_and_its_user_are_known(client: CvatClient) -> None:
    about, user, formats = await asyncio.gather(client.about(), client.user(), client.formats())
    assert about.version
    assert user.username == "admin"
    assert "COCO 1.0" in [item.name for item in formats.exporters]


async def test_tasks_are_listed_by_pages_and_by_id(client: CvatClient) -> None:
    listing = await client.tasks(page_size=2)
    assert listing.complete
    assert len(listing.tasks) == 7
    ids = [task.id for task in listing.tasks]
    chosen = await client.tasks(Selection(task_ids=[ids[0], ids[3], 99_999]))
    assert [task.id for task in chosen.tasks] == [ids[0], ids[3]]
    assert chosen.missing == (99_999,)
    assert (await client.task(ids[2])) == listing.tasks[2]
    projects = await client.projects()
    in_project = await client.tasks(Selection(project_ids=[projects[0].id]))
    assert {task.project_id for task in in_project.tasks} == {projects[0].id}


async def test_iterating_yields_the_same_tasks_as_listing(client: CvatClient) -> None:
    listing = await client.tasks()
    assert tuple([task async for task in client.iter_tasks(page_size=2)]) == listing.tasks
    completed = Selection(status="completed", filter='{"<":[{"var":"id"},6]}')
    found = [task async for task in client.iter_tasks(completed, page_size=1)]
    assert tuple(found) == (await client.tasks(completed)).tasks
    assert [task.id for task in found] == [3]


async def test_jobs_are_listed_by_their_selection(
    client: CvatClient, simulated: SimulatedServer
) -> None:
    jobs = await client.jobs(page_size=2)
    assert [job.id for job in jobs] == [task.id for task in (await client.tasks()).tasks]
    assert (jobs[0].task_id, jobs[0].frame_count, jobs[0].type) == (1, 2, "annotation")

    async def ids(**options: object) -> list[int]:
        return [job.id for job in await client.jobs(JobSelection(**options))]  # type: ignore[arg-type]  # by name

    assert await ids(task_ids=[2, 5, 99]) == [2, 5]
    assert await ids(stage="acceptance", state="completed") == [3, 6]
    assert await ids(task_name="street-00004") == [4]
    assert await ids(type="ground_truth") == []
    assert await ids(assignee="nobody") == []
    assert await ids(filter='{"==":[{"var":"task_id"},2]}') == [2]
    simulated.edit_task(5)
    assert await ids(updated_since="2000-01-01", task_ids=[5]) == [5]
    assert await ids(project_ids=[1], task_ids=[1, 2]) == [1, 2]


async def test_projects_are_listed_by_their_selection(client: CvatClient) -> None:
    (project,) = await client.projects()
    assert await client.projects(ProjectSelection(project_ids=[project.id, 99])) == (project,)
    assert await client.projects(ProjectSelection(owner="admin")) == (project,)
    assert await client.projects(ProjectSelection(owner="nobody")) == ()


async def test_queued_requests_are_cancelled_and_the_others_are_not(
    client: CvatClient, simulated: SimulatedServer
) -> None:
    simulated.pause_exports()
    accepted = [await client.request_export(task_id, ExportSpec()) for task_id in (1, 2)]
    first, second = (item.rq_id for item in accepted)
    queued = await client.requests(action=None, status="queued")
    assert [request.id for request in queued] == [second, first]
    assert queued[0].owner is not None
    assert (queued[0].owner.username, queued[0].progress) == ("admin", 0.0)
    assert await client.cancel_requests([first, "junk"]) == {
        first: Cancellation.CANCELLED,
        "junk": Cancellation.UNKNOWN,
    }
    simulated.release_exports()
    async with asyncio.timeout(20):
        while not (await client.request(second)).ended:  # each is a call
            pass
    assert await client.cancel_requests([second]) == {second: Cancellation.ENDED}


async def test_an_export_is_followed_and_read(client: CvatClient) -> None:
    task = (await client.tasks()).tasks[0]
    accepted = await client.request_export(task.id, ExportSpec(images=True))
    async with asyncio.timeout(20):
        while not (request := await client.request(accepted.rq_id)).ended:  # each is a call
            pass
    assert request.result_url is not None
    assert [item.id for item in await client.requests(task_ids=[task.id])] == [accepted.rq_id]
    async with internals(client).open_result(request.result_url) as stream:
        content = b"".join([chunk async for chunk in stream.chunks()])
    names = zipfile.ZipFile(io.BytesIO(content)).namelist()
    assert "annotations.xml" in names
    assert len(names) == 3
    async with internals(client).open_result(
        request.result_url, suffix=100, if_range=stream.etag
    ) as tail:
        assert (tail.status, tail.total) == (206, len(content))
        assert b"".join([chunk async for chunk in tail.chunks()]) == content[-100:]
    assert not await client.cancel_request(accepted.rq_id)


async def test_missing_tasks_and_requests_are_not_found(client: CvatClient) -> None:
    with pytest.raises(NotFoundError, match="No Task matches"):
        await client.request_export(99_999, ExportSpec())
    with pytest.raises(NotFoundError, match="no request"):
        await client.request("junk")
    with pytest.raises(NotFoundError, match="there is no project 99"):
        await client.tasks(Selection(project_ids=[99]))
    path = "/api/tasks/1/dataset/download?rq_id="
    known = "action=export&target=task&target_id=1&user_id=1&format=YOLO_1~1&subresource=dataset"
    with pytest.raises(ExportExpiredError, match="Unknown export request id"):
        async with internals(client).open_result(
            path + known.replace("=", "%3D").replace("&", "%26")
        ):
            pass


async def test_a_wrong_password_is_refused(simulated: SimulatedServer) -> None:
    async with CvatClient(simulated.url, username="admin", password="wrong") as stranger:
        with pytest.raises(AuthenticationError, match="Unable to log in"):
            await stranger.user()
