"""Lists read whole: pages in parallel, proven by the count, read again when they move."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime
from typing import Any

import pytest
from aiohttp import web
from scripted import Connect, ScriptedServer, page, reply

from asynccvat.core.retry import RetryPolicy
from asynccvat.core.selection import Selection
from asynccvat.errors import NotFoundError, ProtocolError, ResponseError, ServerError
from asynccvat.http.paging import gather

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


async def test_no_tasks_are_a_whole_list(server: ScriptedServer, connect: Connect) -> None:
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


async def test_a_list_that_moved_is_read_again(server: ScriptedServer, connect: Connect) -> None:
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


async def test_a_list_that_never_agrees_with_its_count_says_so(
    server: ScriptedServer, connect: Connect
) -> None:
    server["GET /api/tasks"] = page(1, 2, 2, count=3)
    client = await connect(token=TOKEN)
    listing = await client.tasks()
    assert [task.id for task in listing.tasks] == [1, 2]
    assert not listing.complete
    assert client.requests_sent == 3


async def test_a_404_that_speaks_of_something_else_is_an_error(
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
    with pytest.raises(ServerError, match=r"list: .* answered 500"):
        await client.tasks()


async def test_explicit_ids_are_asked_for_in_batches_and_the_missing_are_named(
    server: ScriptedServer, connect: Connect
) -> None:
    there = [number for number in range(100_000, 101_000) if number != 100_500]
    server["GET /api/tasks"] = Tasks(*there, 7)
    client = await connect(token=TOKEN)
    listing = await client.tasks(Selection(task_ids=[*range(100_000, 101_000), 100_001]))
    assert [task.id for task in listing.tasks] == there
    assert listing.missing == (100_500,)
    assert client.requests_sent == 3
    assert all(len(one.raw_path) < 8000 for one in server.asked)


async def test_filters_are_passed_through_quoted(server: ScriptedServer, connect: Connect) -> None:
    server["GET /api/tasks"] = page(1, project_id=5)
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


async def test_a_refused_filter_is_told_in_the_server_s_words(
    server: ScriptedServer, connect: Connect
) -> None:
    server["GET /api/tasks"] = reply(["filter: term 'nosuch' is not supported"], 400)
    client = await connect(token=TOKEN)
    with pytest.raises(
        ResponseError, match=r"term 'nosuch' is not supported; check the filter"
    ) as caught:
        await client.tasks(Selection(filter='{"==":[{"var":"nosuch"},1]}'))
    assert caught.value.status == 400


async def test_a_project_that_is_not_there_is_told_from_an_empty_one(
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


async def test_a_list_that_is_none_is_a_protocol_error(
    server: ScriptedServer, connect: Connect
) -> None:
    server["GET /api/tasks"] = reply([1, 2])
    client = await connect(token=TOKEN)
    with pytest.raises(ProtocolError, match="JSON that cannot be read"):
        await client.tasks()


async def test_answers_without_a_date_leave_the_moment_open(
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


async def test_a_gathering_keeps_order_and_raises_what_failed_itself() -> None:
    async def value(number: int) -> int:
        await asyncio.sleep(0)
        return number

    async def fail() -> int:
        raise ZeroDivisionError

    assert await gather([lambda: value(1), lambda: value(2)]) == [1, 2]
    assert await gather([]) == []
    with pytest.raises(ZeroDivisionError):
        await gather([lambda: value(1), fail, fail])
