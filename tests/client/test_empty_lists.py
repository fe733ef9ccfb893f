"""An empty list explains itself: names that fit nothing, and tasks of which only a job is seen."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

import asynccvat as ac
from asynccvat.aio.list_warnings import warnings_to
from asynccvat.models import Task
from asynccvat.simulator import Fault, SimulatedServer, SimulatorOptions
from asynccvat.simulator.options import UserSpec

pytestmark = pytest.mark.anyio

ANN = UserSpec("ann", "simulated-ann")


@pytest.fixture
async def server() -> AsyncIterator[SimulatedServer]:
    options = SimulatorOptions(tasks=3, projects=2, subsets=("Train",), users=(ANN,))
    async with SimulatedServer(options) as running:
        yield running


@pytest.fixture
def warned() -> list[str]:
    """The warnings of the test's calls."""
    return []


async def look(
    server: SimulatedServer,
    warned: list[str],
    call: Callable[[ac.CvatClient], Awaitable[object]],
    user: UserSpec | None = None,
) -> int:
    """Make a call in a client of its own; return how many calls it took, the login excluded."""
    name, password = (
        (server.username, server.password) if user is None else (user.username, user.password)
    )
    async with ac.CvatClient(server.url, username=name, password=password) as client:
        await client.login()
        before = client.requests_sent
        with warnings_to(warned.append):
            await call(client)
        return client.requests_sent - before


async def each_task(client: ac.CvatClient, selection: ac.Selection) -> list[Task]:
    return [task async for task in client.iter_tasks(selection)]


@pytest.mark.parametrize("way", ["whole", "one by one"])
async def test_a_name_that_fits_no_task_is_told_with_one_more_call(
    server: SimulatedServer, warned: list[str], way: str
) -> None:
    selection = ac.Selection(name="street-1", project_ids=[1])
    calls = await look(
        server,
        warned,
        lambda client: client.tasks(selection) if way == "whole" else each_task(client, selection),
    )
    (message,) = warned
    assert message == (
        "no task has the name 'street-1'. It must be exact, or hold a wildcard, like "
        "'street-1*'. The nearest: 'street-00001', 'street-00002'."
    )
    assert calls == 3  # the list, the project that it says nothing of, the names


@pytest.mark.parametrize("way", ["whole", "one by one", "first"])
async def test_names_to_exclude_that_leave_nothing_are_told_without_another_call(
    server: SimulatedServer, warned: list[str], way: str
) -> None:
    selection = ac.Selection(exclude=["street-*"], limit=2 if way == "first" else None)
    calls = await look(
        server,
        warned,
        lambda client: (
            each_task(client, selection) if way == "one by one" else client.tasks(selection)
        ),
    )
    assert warned == ["all 3 tasks of this selection fit a name to exclude: 'street-*'."]
    assert calls == 1
    warned.clear()
    await look(server, warned, lambda client: client.jobs(ac.JobSelection(exclude=["*"])))
    assert warned == ["all 3 tasks of this selection fit a name to exclude: '*'."]
    warned.clear()
    wanted = ac.ProjectSelection(project_ids=[1], exclude=["*"])
    await look(server, warned, lambda client: client.projects(wanted))
    assert warned == ["the only project of this selection fits a name to exclude: '*'."]


async def test_projects_and_jobs_explain_themselves_too(
    server: SimulatedServer, warned: list[str]
) -> None:
    await look(server, warned, lambda client: client.projects(ac.ProjectSelection(name="project")))
    await look(server, warned, lambda client: client.jobs(ac.JobSelection(assignee="an")))
    assert [message[:40] for message in warned] == [
        "no project has the name 'project'. It mu",
        "no job has the assignee 'an'. It must be",
    ]


@pytest.mark.parametrize(
    "selection",
    [
        ac.Selection(updated_since="2100-01-01"),
        ac.Selection(status="completed", project_ids=[2], updated_since="2100-01-01"),
        ac.Selection(task_ids=[99]),
        ac.Selection(task_ids=[99], name="x"),
        ac.Selection(project_ids=()),
        ac.Selection(project_ids=[]),
        ac.Selection(project_ids=[], name="x"),
    ],
)
async def test_what_is_often_empty_costs_nothing_more(
    server: SimulatedServer, warned: list[str], selection: ac.Selection
) -> None:
    calls = await look(server, warned, lambda client: client.tasks(selection))
    assert warned == []
    assert calls <= 1 + len(selection.project_ids or ())


async def test_wildcards_select_what_they_fit(server: SimulatedServer, warned: list[str]) -> None:
    found: list[list[int]] = []

    async def ask(client: ac.CvatClient) -> None:
        for name in ("street-*2", "street-0000?", "STREET*", "*"):
            listing = await client.tasks(ac.Selection(name=name))
            found.append([task.id for task in listing.tasks])
        listing = await client.tasks(ac.Selection(subset="T*n", owner="a*"))
        found.append([task.id for task in listing.tasks])

    await look(server, warned, ask)
    assert found == [[2], [1, 2, 3], [], [1, 2, 3], [1, 2, 3]]
    assert warned == ["no task has the name 'STREET*'."]


@pytest.mark.parametrize(("jobs", "said"), [(1, "1 job is"), (2, "2 jobs are")])
async def test_tasks_of_which_only_a_job_is_seen_are_explained(
    server: SimulatedServer, warned: list[str], jobs: int, said: str
) -> None:
    ann = next(one.user for one in server.accounts.by_id.values() if one.user.username == "ann")
    for task_id in range(1, jobs + 1):
        server.change_task(task_id, job_assignee=ann)
    calls = await look(server, warned, lambda client: client.tasks(), ANN)
    (message,) = warned
    assert message.startswith(f"no task is listed, but {said} assigned to you: CVAT lists only")
    assert calls == 2
    await look(server, warned, lambda client: client.tasks(ac.Selection(name="street-00001")), ANN)
    assert warned == [message] * 2


async def test_a_user_without_tasks_and_jobs_is_told_nothing(
    server: SimulatedServer, warned: list[str]
) -> None:
    assert await look(server, warned, lambda client: client.tasks(), ANN) == 2
    assert warned == []


async def test_a_list_is_right_even_if_its_emptiness_cannot_be_explained(
    server: SimulatedServer, warned: list[str]
) -> None:
    server.faults.add(Fault(path=r"/api/jobs", status=403, body="[]", times=None))
    await look(server, warned, lambda client: client.tasks(), ANN)
    assert warned == []


async def test_many_projects_without_tasks_cost_one_call(warned: list[str]) -> None:
    async with SimulatedServer(SimulatorOptions(tasks=1, projects=8)) as server:
        calls = await look(
            server, warned, lambda client: client.tasks(ac.Selection(project_ids=range(1, 9)))
        )
    assert calls == 2
    assert warned == []
