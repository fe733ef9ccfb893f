"""Paging, filtering and sorting of the simulated server's lists."""

from __future__ import annotations

import json
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st
from simulator_client import SimulatorClient, simulator_client

from asynccvat.simulator import SimulatorOptions
from asynccvat.simulator.routes.paging import cut_page
from asynccvat.simulator.wire.responses import RefusedError

pytestmark = pytest.mark.anyio


async def ids(client: SimulatorClient, query: str) -> list[int]:
    answer = await client.get(f"/api/tasks?{query}")
    assert answer.status == 200, answer.body
    return [task["id"] for task in answer.json["results"]]


async def test_next_links_lead_through_the_whole_list() -> None:
    async with simulator_client(SimulatorOptions(tasks=7, frames=1)) as client:
        seen: list[int] = []
        link: str | None = "/api/tasks?sort=id&page_size=3"
        while link is not None:
            page = (await client.get(link)).json
            assert page["count"] == 7
            seen += [task["id"] for task in page["results"]]
            link = page["next"]
            assert link is None or link.startswith(client.server.url)
        assert seen == [1, 2, 3, 4, 5, 6, 7]


@pytest.mark.parametrize(
    ("page_size", "rows"),
    [("5", 5), ("all", 12), ("100000", 12), ("", 10), ("0", 10), ("-5", 10), ("junk", 10)],
)
async def test_page_sizes(page_size: str, rows: int) -> None:
    async with simulator_client(SimulatorOptions(tasks=12, frames=1)) as client:
        found = await ids(client, f"page_size={page_size}")
        assert found == list(range(12, 12 - rows, -1))


@pytest.mark.parametrize("page", ["0", "-1", "2", "junk"])
async def test_a_page_past_the_end_is_404(page: str) -> None:
    async with simulator_client() as client:
        answer = await client.get(f"/api/tasks?page={page}")
        assert (answer.status, answer.json) == (404, {"detail": "Invalid page."})


@given(count=st.integers(0, 60), size=st.integers(1, 20))
def test_pages_partition_the_rows(count: int, size: int) -> None:
    rows = list(range(count))
    pages = max(1, -(-count // size))
    seen: list[int] = []
    for number in range(1, pages + 1):
        page = cut_page(rows, {"page": str(number), "page_size": str(size)})
        assert page.count == count
        assert (page.previous is None) == (number == 1)
        assert (page.next is None) == (number == pages)
        seen += page.rows
    assert seen == rows
    with pytest.raises(RefusedError):
        cut_page(rows, {"page": str(pages + 1), "page_size": str(size)})


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("project_id=2&sort=id", [4, 5, 6]),
        ("name=street-00002", [2]),
        ("subset=Train&sort=id", [1, 3, 5]),
        ("search=00005", [5]),
        ("owner=admin&page_size=1", [6]),
        ("owner=nobody", []),
        ("mode=interpolation", []),
        ("status=completed", [3, 6][::-1]),
        ("sort=-status,id", [2, 5, 3, 6, 1, 4]),
        ("sort=nosuch&page_size=2", [6, 5]),
        ("id=3&page_size=1", [6]),
        ("unknown=1&page_size=1", [6]),
    ],
)
async def test_simple_filters(query: str, found: list[int]) -> None:
    options = SimulatorOptions(tasks=6, frames=1, projects=2, subsets=("Train", "Test"))
    async with simulator_client(options) as client:
        assert await ids(client, query) == found


@pytest.mark.parametrize(
    ("logic", "found"),
    [
        ({"in": [{"var": "id"}, [2, 4, 99]]}, [4, 2]),
        ({"and": [{">": [{"var": "id"}, 1]}, {"<": [{"var": "id"}, 4]}]}, [3, 2]),
        ({"or": [{"==": [{"var": "id"}, 1]}, {"==": [{"var": "name"}, "street-00006"]}]}, [6, 1]),
        ({"!": {"<=": [{"var": "id"}, 4]}}, [6, 5]),
        ({"<=": [2, {"var": "id"}, 3]}, [3, 2]),
        ({"in": ["0003", {"var": "name"}]}, [3]),
        ({">=": [{"var": "updated_date"}, "2026-01-05T08:05:00Z"]}, [6]),
        ({">": [{"var": "updated_date"}, "not a date"]}, []),
        ({"==": [{"var": "assignee"}, None]}, [6, 5, 4, 3, 2, 1]),
    ],
)
async def test_json_logic(logic: object, found: list[int]) -> None:
    async with simulator_client(SimulatorOptions(tasks=6, frames=1)) as client:
        assert await ids(client, f"filter={quote(json.dumps(logic))}") == found


@pytest.mark.parametrize(
    ("expression", "words"),
    [
        ("{broken", "filter: can't parse filter expression: "),
        ("[]", "filter shouldn't be empty"),
        ('{"==": [{"var": "nosuch"}, 1]}', "filter: term 'nosuch' is not supported"),
        ('{"nosuchop": [1, 2]}', "filter: operation 'nosuchop' with arguments '[1, 2]' is not"),
        ('{"==": 3}', "filter: operation '=="),
        ('{"==": [1, 2]}', "filter: 1 term is not supported"),
        ("[1]", "filter: [1] term is not supported"),
    ],
)
async def test_json_logic_that_is_refused(expression: str, words: str) -> None:
    async with simulator_client() as client:
        answer = await client.get(f"/api/tasks?filter={quote(expression)}")
        assert answer.status == 400
        assert answer.json[0].startswith(words)


async def test_one_list_call_shows_many_requests() -> None:
    async with simulator_client() as client:
        for task_id in (1, 2, 3):
            await client.exported(task_id)
        logic = quote(json.dumps({"in": [{"var": "task_id"}, [1, 3]]}))
        found = (await client.get(f"/api/requests?filter={logic}")).json["results"]
        assert [one["operation"]["task_id"] for one in found] == [3, 1]
        for broken in ('{"and": []}', '{">": [{"var": "task_id"}, 1]}'):
            answer = await client.get(f"/api/requests?filter={quote(broken)}")
            assert (answer.status, answer.type) == (500, "text/html; charset=utf-8")


async def test_a_list_changes_with_the_tasks() -> None:
    async with simulator_client() as client:
        before = (await client.get("/api/tasks?sort=id")).json["results"]
        assert (await client.get("/api/tasks?sort=id")).json["results"] == before
        client.server.edit_task(1)
        client.server.rename_task(2, "renamed")
        client.server.delete_task(3)
        client.server.add_task("added", frames=None)
        after = (await client.get("/api/tasks?sort=id")).json["results"]
        assert [task["name"] for task in after] == ["street-00001", "renamed", "added"]
        assert after[0]["updated_date"] > before[0]["updated_date"]
        assert "size" in after[0]
        assert "size" not in after[2]


async def test_links_are_made_from_the_headers_of_the_call() -> None:
    async with simulator_client() as client:
        headers = {"X-Forwarded-Proto": "https", "X-Forwarded-Host": "cvat.example.com"}
        page = (await client.get("/api/tasks?page_size=1", headers=headers)).json
        assert page["next"] == "https://cvat.example.com/api/tasks?page=2&page_size=1"
        plain = (await client.get("/api/tasks?page_size=1")).json
        assert plain["next"].startswith(client.server.url)


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("task_name=street-00002", [2]),
        ("stage=acceptance", [3]),
        ("state=new&sort=id", [1, 2]),
        ("type=annotation&sort=-id", [3, 2, 1]),
        ("type=ground_truth", []),
        ("search=street-00003", [3]),
        # What CVAT does not filter jobs by is passed over without a word.
        ("subset=train&sort=id", [1, 2, 3]),
        (f"filter={quote(json.dumps({'>': [{'var': 'id'}, 1]}))}&sort=id", [2, 3]),
    ],
)
async def test_filters_of_jobs(query: str, found: list[int]) -> None:
    async with simulator_client(SimulatorOptions(tasks=3, frames=1)) as client:
        answer = await client.get(f"/api/jobs?{query}")
        assert [job["id"] for job in answer.json["results"]] == found


async def test_the_parent_job_must_be_a_number() -> None:
    async with simulator_client() as client:
        answer = await client.get("/api/jobs?parent_job_id=junk")
        assert (answer.status, answer.json) == (400, {"parent_job_id": ["Enter a number."]})


@pytest.mark.parametrize(
    "path",
    [
        "/api/tasks",
        "/api/tasks/1",
        "/api/users/self",
        "/api/requests",
        "/api/server/annotation/formats",
    ],
)
async def test_every_call_in_an_unknown_organization_is_refused(path: str) -> None:
    async with simulator_client() as client:
        refused = await client.get(path, headers={"X-Organization": "nosuch"})
        assert refused.status == 404
        assert refused.json == {"detail": "nosuch organization does not exist."}
        assert (
            await client.get("/api/server/about", headers={"X-Organization": "nosuch"})
        ).status == 200


async def test_the_formats_that_are_listed_are_those_that_are_served() -> None:
    async with simulator_client() as client:
        listed = (await client.get("/api/server/annotation/formats")).json
        exporters = [item["name"] for item in listed["exporters"]]
        assert "COCO 1.0" in exporters
        assert "LFW 1.0" not in exporters
        dimensions = {item["name"]: item["dimension"] for item in listed["exporters"]}
        for name in exporters:
            if dimensions[name] == "2d":
                posted = await client(
                    "POST",
                    f"/api/tasks/1/dataset/export?format={quote(name)}&location=local",
                )
                assert (await client.ended(posted.json["rq_id"]))["status"] == "finished"
        assert {item["name"] for item in listed["importers"]} == {
            "CVAT 1.1", "COCO 1.0", "Datumaro 1.0", "PASCAL VOC 1.1", "YOLO 1.1",
            "Ultralytics YOLO Detection 1.0",
        }  # fmt: skip
