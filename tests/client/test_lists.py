"""Lists are read whole, in parallel pages, checked by their count, or entry by entry."""

from __future__ import annotations

import asyncio
import json
from contextlib import aclosing
from datetime import UTC, datetime
from typing import Any

import pytest
from aiohttp import web
from scripted import Connect, ScriptedServer, page, reply

from asynccvat.core.requests import Cancellation
from asynccvat.core.selections.selection import JobSelection, ProjectSelection, Selection
from asynccvat.core.wire.retry import RetryPolicy
from asynccvat.errors import NotFoundError, ProtocolError, ResponseError, ServerError

pytestmark = pytest.mark.anyio

TOKEN = "abcdefgh.0123456789ABCDEFGHIJKLMNOPQRSTUV"
INVALID_PAGE = reply({"detail": "Invalid page."}, 404)


class Tasks:
    """A list of tasks that serves pages, and can change between them."""

    def __init__(self, *ids: int, largest_page: int = 10**6) -> None:
        self.ids = list(ids)
        self.largest_page = largest_page
        self.on_page: dict[int, Any] = {}
        self.served: list[int] = []
        self.busy = 0
        self.most_busy = 0

    async def __call__(self, request: web.Request) -> web.Response:
        self.busy += 1
        self.most_busy = max(self.most_busy, self.busy)
        await asyncio.sleep(0)
        self.busy -= 1
        number = int(request.query.get("page", "1"))
        self.served.append(number)
        if action := self.on_page.get(number):
            action()
        ids = self.ids
        if "filter" in request.query:
            expression = json.loads(request.query["filter"])
            ids = [task_id for task_id in ids if task_id in expression["in"][1]]
        size = min(int(request.query["page_size"]), self.largest_page)
        part = ids[(number - 1) * size : number * size]
        if number > 1 and not part:
            return INVALID_PAGE
        return page(*part, count=len(ids))


async def test_one_page_is_one_call(server: ScriptedServer, connect: Connect) -> None:
    server["GET /api/tasks"] = Tasks(3, 4, 5)
    client = await connect(token=TOKEN)
    listing = await client.tasks()
    assert [task.id for task in listing.tasks] == [3, 4, 5]
    assert listing.complete
    assert listing.missing == ()
    assert listing.read_at == datetime(2026, 11, 23, 11, 42, 53, tzinfo=UTC)
    assert [one.query for one in server.asked] == [{"sort": "id", "page_size": "500"}]


async def test_an_empty_list_is_complete(server: ScriptedServer, connect: Connect) -> None:
    server["GET /api/tasks"] = page()
    client = await connect(token=TOKEN)
    listing = await client.tasks()
    assert listing.tasks == ()
    assert listing.complete


async def test_the_other_pages_are_read_in_parallel_a_few_at_once(
    server: ScriptedServer, connect: Connect
) -> None:
    tasks = Tasks(*range(1, 1001))
    server["GET /api/tasks"] = tasks
    client = await connect(token=TOKEN)
    listing = await client.tasks(page_size=50)
    assert [task.id for task in listing.tasks] == list(range(1, 1001))
    assert sorted(tasks.served) == list(range(1, 21))
    assert tasks.served[0] == 1
    assert 1 < tasks.most_busy <= 4


async def test_a_server_with_smaller_pages_is_read_whole(
    server: ScriptedServer, connect: Connect
) -> None:
    server["GET /api/tasks"] = Tasks(*range(1, 26), largest_page=10)
    client = await connect(token=TOKEN)
    listing = await client.tasks()
    assert len(listing.tasks) == 25
    assert listing.complete


async def test_a_list_that_changed_is_read_again(server: ScriptedServer, connect: Connect) -> None:
    tasks = Tasks(*range(1, 11))
    server["GET /api/tasks"] = tasks

    def remove_an_early_one() -> None:
        tasks.ids.remove(1)
        del tasks.on_page[2]

    tasks.on_page[2] = remove_an_early_one
    client = await connect(token=TOKEN)
    listing = await client.tasks(page_size=5)
    assert [task.id for task in listing.tasks] == list(range(2, 11))
    assert listing.complete
    assert tasks.served.count(1) == 2


async def test_a_page_that_vanished_is_no_error(server: ScriptedServer, connect: Connect) -> None:
    tasks = Tasks(*range(1, 12))
    server["GET /api/tasks"] = tasks

    def remove_the_last() -> None:
        tasks.ids.remove(11)
        del tasks.on_page[3]

    tasks.on_page[3] = remove_the_last
    client = await connect(token=TOKEN)
    listing = await client.tasks(page_size=5)
    assert [task.id for task in listing.tasks] == list(range(1, 11))
    assert listing.complete


async def test_a_list_that_never_matches_its_count_is_incomplete(
    server: ScriptedServer, connect: Connect
) -> None:
    server["GET /api/tasks"] = page(1, 2, 2, count=3)
    client = await connect(token=TOKEN)
    listing = await client.tasks()
    assert [task.id for task in listing.tasks] == [1, 2]
    assert not listing.complete
    assert client.requests_sent == 3


async def test_a_404_about_something_else_is_an_error(
    server: ScriptedServer, connect: Connect
) -> None:
    def answer(request: web.Request) -> web.Response:
        if "page" in request.query:
            return reply({"detail": "Gone fishing."}, 404)
        return page(1, count=2)

    server["GET /api/tasks"] = answer
    client = await connect(token=TOKEN)
    with pytest.raises(NotFoundError, match=r"404 to page 2 of /api/tasks: Gone fishing\."):
        await client.tasks()


async def test_a_failed_page_fails_the_list_with_its_own_error(
    server: ScriptedServer, connect: Connect
) -> None:
    def answer(request: web.Request) -> web.Response:
        if request.query.get("page") == "2":
            return reply(status=500, text="<h1>Server Error (500)</h1>")
        return page(int(request.query.get("page", "1")), count=5)

    server["GET /api/tasks"] = answer
    client = await connect(token=TOKEN, policy=RetryPolicy(attempts=0))
    with pytest.raises(ServerError, match=r"cannot list the [a-z]+: .* answered 500"):
        await client.tasks()


async def test_explicit_ids_are_requested_in_batches_and_missing_ones_are_named(
    server: ScriptedServer, connect: Connect
) -> None:
    there = [number for number in range(100_000, 102_000, 2) if number != 100_500]
    server["GET /api/tasks"] = Tasks(*there, 7)
    client = await connect(token=TOKEN)
    listing = await client.tasks(Selection(task_ids=[*range(100_000, 102_000, 2), 100_002]))
    assert [task.id for task in listing.tasks] == there
    assert listing.missing == (100_500,)
    assert client.requests_sent == 3
    assert all(len(one.raw_path) < 8000 for one in server.asked)


async def test_filters_are_passed_through_quoted(server: ScriptedServer, connect: Connect) -> None:
    server["GET /api/tasks"] = page(1, project_id=5, name="a&b=ü %", subset="Train")
    client = await connect(token=TOKEN)
    await client.tasks(
        Selection(project_ids=[5], name="a&b=ü %", subset="Train", filter='{"==":[1,1]}')
    )
    assert server.asked[0].query == {
        "project_id": "5",
        "name": "a&b=ü %",
        "subset": "Train",
        "filter": '{"==":[1,1]}',
        "sort": "id",
        "page_size": "500",
    }


async def test_a_refused_filter_is_an_error_in_the_servers_words(
    server: ScriptedServer, connect: Connect
) -> None:
    server["GET /api/tasks"] = reply(["filter: term 'nosuch' is not supported"], 400)
    client = await connect(token=TOKEN)
    with pytest.raises(
        ResponseError, match=r"term 'nosuch' is not supported\. Check the filter"
    ) as caught:
        await client.tasks(Selection(filter='{"==":[{"var":"nosuch"},1]}'))
    assert caught.value.status == 400


async def test_a_missing_project_is_an_error_and_an_empty_one_is_not(
    server: ScriptedServer, connect: Connect
) -> None:
    server["GET /api/tasks"] = page(1, project_id=5)
    server["GET /api/projects/6"] = reply({"id": 6, "name": "empty"})
    client = await connect(token=TOKEN)
    assert len((await client.tasks(Selection(project_ids=[5, 6]))).tasks) == 1
    with pytest.raises(NotFoundError, match=r"there is no project 7 at .* for this user"):
        await client.tasks(Selection(project_ids=[5, 7]))
    assert server.times("GET /api/projects/5") == 0


async def test_projects_are_listed_in_order(server: ScriptedServer, connect: Connect) -> None:
    server["GET /api/projects"] = page(2, 1)
    client = await connect(token=TOKEN)
    assert [project.id for project in await client.projects()] == [1, 2]


async def test_a_list_in_another_form_is_a_protocol_error(
    server: ScriptedServer, connect: Connect
) -> None:
    server["GET /api/tasks"] = reply([1, 2])
    client = await connect(token=TOKEN)
    with pytest.raises(ProtocolError, match="JSON that cannot be read"):
        await client.tasks()


async def test_a_listing_without_dates_has_no_time(
    server: ScriptedServer, connect: Connect
) -> None:
    server["GET /api/tasks"] = reply({"count": 0, "results": []}, Date="")
    client = await connect(token=TOKEN)
    assert (await client.tasks()).read_at is None


async def test_the_latest_date_of_all_pages_is_the_listing_s(
    server: ScriptedServer, connect: Connect
) -> None:
    def answer(request: web.Request) -> web.Response:
        number = int(request.query.get("page", "1"))
        body = {"count": 3, "results": [{"id": number}]}
        return reply(body, Date=f"Mon, 23 Nov 2026 11:00:0{9 - number} GMT")

    server["GET /api/tasks"] = answer
    client = await connect(token=TOKEN)
    listing = await client.tasks(Selection(task_ids=[1, 2, 3]), page_size=1)
    assert listing.read_at == datetime(2026, 11, 23, 11, 0, 8, tzinfo=UTC)


class Growing:
    """Serve a list sorted by id that can change between two pages."""

    def __init__(self, *ids: int) -> None:
        self.ids = list(ids)
        self.asked_after: list[int] = []
        self.on_call: dict[int, Any] = {}

    async def __call__(self, request: web.Request) -> web.Response:
        assert request.query["sort"] == "id"
        assert "page" not in request.query
        ids, last = sorted(self.ids), 0
        for term in self.terms(request):
            if ">" in term:
                last = term[">"][1]
                ids = [task_id for task_id in ids if task_id > last]
            else:
                ids = [task_id for task_id in ids if task_id in term["in"][1]]
        self.asked_after.append(last)
        answer = page(*ids[: int(request.query["page_size"])], count=len(ids))
        if action := self.on_call.pop(len(self.asked_after), None):
            action()
        return answer

    @staticmethod
    def terms(request: web.Request) -> list[Any]:
        logic = json.loads(request.query.get("filter", '{"and":[]}'))
        found = logic.get("and", [logic])
        assert isinstance(found, list)
        return found


async def test_tasks_come_page_by_page_each_after_the_last_of_the_one_before(
    server: ScriptedServer, connect: Connect
) -> None:
    tasks = Growing(*range(1, 8))
    server["GET /api/tasks"] = tasks
    client = await connect(token=TOKEN)
    assert [task.id async for task in client.iter_tasks(page_size=3)] == list(range(1, 8))
    assert tasks.asked_after == [0, 3, 6]


async def test_changes_of_the_list_shift_no_page_of_an_iteration(
    server: ScriptedServer, connect: Connect
) -> None:
    tasks = Growing(*range(1, 10))
    server["GET /api/tasks"] = tasks

    def change() -> None:
        tasks.ids = [*range(3, 11)]

    tasks.on_call[1] = change
    client = await connect(token=TOKEN)
    assert [task.id async for task in client.iter_tasks(page_size=3)] == list(range(1, 11))


async def test_no_more_than_the_next_page_is_read_ahead(
    server: ScriptedServer, connect: Connect
) -> None:
    tasks = Growing(*range(1, 100))
    arrived = asyncio.Event()
    server["GET /api/tasks"] = tasks
    server["GET /api/server/about"] = reply({"version": "2.54.1"})
    tasks.on_call[2] = arrived.set
    client = await connect(token=TOKEN)
    async with aclosing(client.iter_tasks(page_size=10)) as iterator:
        assert (await anext(iterator)).id == 1
        await arrived.wait()
        for expected in range(2, 11):
            assert (await anext(iterator)).id == expected
        # Whatever else had been asked for would have arrived before this.
        await client.about()
        assert tasks.asked_after == [0, 10]


async def test_a_loop_that_is_left_early_leaves_nothing_behind(
    server: ScriptedServer, connect: Connect
) -> None:
    arrived, over = asyncio.Event(), asyncio.Event()

    async def answer(request: web.Request) -> web.Response:
        if "filter" in request.query:
            arrived.set()
            await over.wait()
        return page(1, 2, count=9)

    server["GET /api/tasks"] = answer
    client = await connect(token=TOKEN)
    before = asyncio.all_tasks()
    async with aclosing(client.iter_tasks(page_size=2)) as tasks:
        async for task in tasks:
            assert task.id == 1
            await arrived.wait()
            break
    over.set()
    left = {task for task in asyncio.all_tasks() - before if "page" in repr(task.get_coro())}
    assert not left


async def test_a_page_that_fails_ahead_fails_the_loop_when_it_is_due(
    server: ScriptedServer, connect: Connect
) -> None:
    def answer(request: web.Request) -> web.Response:
        if "filter" in request.query:
            return reply(status=500, text="<h1>Server Error (500)</h1>")
        return page(1, 2, count=9)

    server["GET /api/tasks"] = answer
    client = await connect(token=TOKEN, policy=RetryPolicy(attempts=0))
    tasks = client.iter_tasks(page_size=2)
    assert [(await anext(tasks)).id, (await anext(tasks)).id] == [1, 2]
    with pytest.raises(ServerError, match=r"cannot list the [a-z]+: .* answered 500"):
        await anext(tasks)


async def test_a_server_that_repeats_a_page_is_a_protocol_error(
    server: ScriptedServer, connect: Connect
) -> None:
    server["GET /api/tasks"] = page(1, 2, count=9)
    client = await connect(token=TOKEN)
    with pytest.raises(ProtocolError, match=r"does not continue the list of /api/tasks"):
        _ = [task async for task in client.iter_tasks(page_size=2)]


async def test_iterating_over_a_list_shorter_than_its_count_ends(
    server: ScriptedServer, connect: Connect
) -> None:
    server["GET /api/tasks"] = [page(1, 2, count=3), page(count=1)]
    client = await connect(token=TOKEN)
    assert [task.id async for task in client.iter_tasks(page_size=2)] == [1, 2]


async def test_tasks_selected_by_id_come_in_batches_and_in_order(
    server: ScriptedServer, connect: Connect
) -> None:
    there = [number for number in range(100_000, 102_000, 2) if number != 100_500]
    tasks = Growing(*there, 7)
    server["GET /api/tasks"] = tasks
    client = await connect(token=TOKEN)
    selection = Selection(task_ids=range(100_000, 102_000, 2))
    assert [task.id async for task in client.iter_tasks(selection, page_size=400)] == there
    assert all(len(one.raw_path) < 8000 for one in server.asked)
    assert [task async for task in client.iter_tasks(Selection(task_ids=[]))] == []


async def test_a_missing_project_is_an_error_after_the_loop(
    server: ScriptedServer, connect: Connect
) -> None:
    server["GET /api/tasks"] = page(1, project_id=5)
    server["GET /api/jobs"] = page(1, project_id=5)
    client = await connect(token=TOKEN)
    with pytest.raises(NotFoundError, match=r"there is no project 7 at"):
        _ = [task async for task in client.iter_tasks(Selection(project_ids=[5, 7]))]
    with pytest.raises(NotFoundError, match=r"there is no project 7 at"):
        await client.jobs(JobSelection(project_ids=[5, 7]))


async def test_jobs_and_projects_are_requested_by_their_selection(
    server: ScriptedServer, connect: Connect
) -> None:
    ann = {"id": 2, "username": "ann"}
    server["GET /api/jobs"] = page(4, 9, stage="validation", task_id=3, assignee=ann)
    server["GET /api/projects"] = page(4, owner=ann)
    client = await connect(token=TOKEN)
    jobs = await client.jobs(JobSelection(stage="validation", assignee="ann"))
    assert [(job.id, job.task_id, job.stage) for job in jobs] == [
        (4, 3, "validation"),
        (9, 3, "validation"),
    ]
    assert server.asked[-1].query == {
        "stage": "validation",
        "assignee": "ann",
        "sort": "id",
        "page_size": "500",
    }
    await client.projects(ProjectSelection(owner="ann"), page_size=7)
    assert server.asked[-1].query == {"owner": "ann", "sort": "id", "page_size": "7"}


async def test_each_request_has_its_result_of_the_cancellation(
    server: ScriptedServer, connect: Connect
) -> None:
    no = reply(status=400, text="Only requests that have not yet been started can be cancelled")
    unknown = reply(status=404, text="There is no request with specified id")
    server["POST /api/requests/waits/cancel"] = reply(status=200, text="")
    server["POST /api/requests/runs/cancel"] = no
    server["GET /api/requests/runs"] = reply({"id": "runs", "status": "started"})
    server["POST /api/requests/ended/cancel"] = no
    server["GET /api/requests/ended"] = reply({"id": "ended", "status": "failed"})
    server["POST /api/requests/vanishes/cancel"] = no
    server["GET /api/requests/vanishes"] = unknown
    server["POST /api/requests/nosuch/cancel"] = unknown
    server["GET /api/requests/nosuch"] = unknown
    server["POST /api/requests/other/cancel"] = reply(
        {"detail": "You do not have permission."}, 403
    )
    client = await connect(token=TOKEN)
    ids = ["waits", "runs", "ended", "vanishes", "nosuch", "other"]
    assert await client.cancel_requests([*ids, "waits"]) == {
        "waits": Cancellation.CANCELLED,
        "runs": Cancellation.STARTED,
        "ended": Cancellation.ENDED,
        "vanishes": Cancellation.UNKNOWN,
        "nosuch": Cancellation.UNKNOWN,
        "other": Cancellation.FORBIDDEN,
    }
    assert server.times("POST /api/requests/waits/cancel") == 1
    assert await client.cancel_requests([]) == {}
