"""A restore whose answer was lost is looked for, and nothing is ever made twice."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from engine_serving import actions, error
from restoring import RestoringServer, backup, project_backup, restoring_server, store_backup

import asynccvat as ac
from asynccvat import errors
from asynccvat.http.retries import Retries

pytestmark = pytest.mark.anyio

QUICK = ac.RestoreOptions(durable=False)
POSTED = "/api/tasks/backup/"


@pytest.fixture
async def server() -> AsyncIterator[RestoringServer]:
    async with restoring_server() as running:
        yield running


@pytest.fixture
async def client(server: RestoringServer) -> AsyncIterator[ac.CvatClient]:
    async with ac.CvatClient(server.url, username="alice", password="pw-of-alice") as opened:
        yield opened


@pytest.fixture
def dest(tmp_path: Path) -> Path:
    place = tmp_path / "backups"
    for number in (7, 8, 9):
        store_backup(place, number, backup(f"street {number}", boxes=number, media=200_000))
    return place


@pytest.mark.parametrize("what", ["lose", "drop", 502], ids=str)
@pytest.mark.parametrize("times", [1, 2])
async def test_an_answer_that_is_lost_in_a_run_costs_nothing(
    server: RestoringServer, client: ac.CvatClient, dest: Path, what: Any, times: int
) -> None:
    server.fault("FINISH", POSTED, *[what] * times)
    report = await ac.restore(client, dest, options=QUICK)
    assert report.ok, report.failures
    assert server.names() == ["street 7", "street 8", "street 9"]
    assert server.finishes == 3


@pytest.mark.parametrize("nth", [1, 2, 3])
@pytest.mark.parametrize("path", ["pieces", "start", "status", "task", "jobs"])
async def test_a_break_of_any_other_call_costs_nothing(
    server: RestoringServer, client: ac.CvatClient, dest: Path, path: str, nth: int
) -> None:
    seen = 0

    def before(method: str, called: str) -> None:
        nonlocal seen
        wanted = {
            "pieces": method == "PATCH",
            "start": method == "POST" and called == POSTED,
            "status": called.startswith("/api/requests"),
            "task": called == "/api/tasks",
            "jobs": called == "/api/jobs",
        }[path]
        seen += wanted
        if wanted and seen == nth:
            server.fault(method, called, "lose")

    server.before = before
    report = await ac.restore(client, dest, options=QUICK)
    assert report.ok, report.failures
    assert server.names() == ["street 7", "street 8", "street 9"]
    assert server.finishes == 3


class Cutter:
    """Ends a run from within a call of the server."""

    def __init__(self) -> None:
        self.run: ac.Run | None = None

    def cut(self) -> None:
        assert self.run is not None
        self.run.cancel()

    async def carry_out(self, run: ac.Run) -> ac.RunReport:
        self.run = run
        async with run:
            return await run.wait()


@pytest.mark.parametrize("after", [False, True], ids=["before it", "after it"])
@pytest.mark.parametrize("at", range(1, 30, 2))
async def test_a_run_cut_at_any_call_ends_like_one_never_cut(
    server: RestoringServer, client: ac.CvatClient, dest: Path, at: int, after: bool
) -> None:
    cutter, calls = Cutter(), 0

    def count(_method: str, _path: str) -> None:
        nonlocal calls
        calls += 1
        if calls == at:
            cutter.cut()

    if after:
        server.after = count
    else:
        server.before = count
    await cutter.carry_out(ac.open_restore(client, dest, options=QUICK))
    server.before = server.after = lambda _method, _path: None
    report = await ac.restore(client, dest, options=QUICK)
    assert report.ok, report.failures
    assert server.names() == ["street 7", "street 8", "street 9"]


async def lose_a_call(
    server: RestoringServer, client: ac.CvatClient, dest: Path, *, arrives: bool = True
) -> None:
    """End a run of task 7 while the call that counts is under way."""
    cutter = Cutter()

    def end(method: str, path: str) -> None:
        if (method, path) == ("POST", POSTED) and not server.files and server.received:
            cutter.cut()

    def end_before(method: str, path: str) -> None:
        sent = [one for one in server.files.values() if len(one.content) == one.size]
        if (method, path) == ("POST", POSTED) and sent:
            cutter.cut()
            server.fault("FINISH", POSTED, "drop")

    if arrives:
        server.after = end
    else:
        server.before = end_before
    await cutter.carry_out(ac.open_restore(client, dest, [7], options=QUICK))
    server.before = server.after = lambda _method, _path: None
    server.faults.clear()


async def test_the_next_run_finds_what_a_lost_call_made(
    server: RestoringServer, client: ac.CvatClient, dest: Path
) -> None:
    await lose_a_call(server, client, dest)
    assert server.names() == ["street 7"]
    report = await ac.restore(client, dest, [7], options=QUICK)
    assert actions(report) == {7: ("restored", "interrupted")}
    assert (server.finishes, report.transferred) == (1, 0)


async def test_a_call_that_never_arrived_is_made_without_sending_the_file_again(
    server: RestoringServer, client: ac.CvatClient, dest: Path
) -> None:
    await lose_a_call(server, client, dest, arrives=False)
    assert server.names() == []
    report = await ac.restore(client, dest, [7], options=QUICK)
    assert report.ok, report.failures
    assert (server.names(), report.transferred) == (["street 7"], 0)


@pytest.mark.parametrize("arrives", [False, True])
async def test_a_task_that_was_there_before_a_lost_call_is_not_taken_for_what_it_made(
    server: RestoringServer, client: ac.CvatClient, dest: Path, arrives: bool
) -> None:
    """The server's clock comes in whole seconds, so that dates alone do not tell."""
    soon = (datetime.now(UTC) + timedelta(minutes=1)).isoformat()
    there = {"id": 50, "name": "street 7", "created_date": soon, "updated_date": "x"}
    job = {"id": 5, "task_id": 50, "type": "annotation", "start_frame": 0, "stop_frame": 2}
    server.tasks[50] = {**there, "size": 3, "jobs": [{**job, "boxes": 7}], "boxes": 7}
    await lose_a_call(server, client, dest, arrives=arrives)
    if arrives:
        server.requests.clear()
    report = await ac.restore(client, dest, [7], options=QUICK)
    assert report.ok, report.failures
    assert server.names() == ["street 7", "street 7"]


async def test_what_a_lost_call_made_is_found_after_its_request_is_forgotten(
    server: RestoringServer, client: ac.CvatClient, dest: Path
) -> None:
    await lose_a_call(server, client, dest)
    server.requests.clear()
    report = await ac.restore(client, dest, [7], options=QUICK)
    assert report.ok, report.failures
    assert server.names() == ["street 7"]
    # The other restores of a run wait for what is unanswered.
    assert (await ac.restore(client, dest, options=QUICK)).count(ac.Action.RESTORED) == 2


async def test_where_it_cannot_be_told_nothing_is_sent(
    server: RestoringServer, client: ac.CvatClient, dest: Path
) -> None:
    await lose_a_call(server, client, dest)
    server.requests.clear()
    (made,) = server.tasks.values()
    server.tasks[200] = {**made, "id": 200}
    report = await ac.restore(client, dest, [7], options=QUICK)
    problem = error(report, 7)
    assert isinstance(problem, errors.RequestUncertainError)
    assert "tasks 100, 200 may be of it. Look for the task 'street 7' there" in str(problem)
    assert server.finishes == 1
    # So says each run, until the user decides.
    report = await ac.restore(client, dest, options=QUICK)
    assert actions(report)[7] == ("failed", "interrupted")
    assert report.count(ac.Action.RESTORED) == 2
    report = await ac.restore(client, dest, [7], options=ac.RestoreOptions(again=True))
    assert report.ok, report.failures


async def test_a_file_that_is_gone_with_nothing_made_is_told(
    server: RestoringServer, client: ac.CvatClient, dest: Path
) -> None:
    await lose_a_call(server, client, dest)
    server.requests.clear()
    server.tasks.clear()
    report = await ac.restore(client, dest, [7], options=QUICK)
    assert isinstance(error(report, 7), errors.RequestUncertainError)
    assert server.finishes == 1


async def test_a_restore_of_another_process_is_not_taken_for_ours(
    server: RestoringServer, client: ac.CvatClient, dest: Path
) -> None:
    await lose_a_call(server, client, dest, arrives=False)
    server.begin("task", backup("of another"))
    server.begin("task", b"broken")
    report = await ac.restore(client, dest, [7], options=QUICK)
    assert not report.ok, "a failed request may be ours"
    assert (await ac.restore(client, dest, [7], options=QUICK)).ok
    assert server.names() == ["of another", "street 7"]


async def test_requests_that_run_are_waited_for(
    server: RestoringServer,
    client: ac.CvatClient,
    dest: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    await lose_a_call(server, client, dest)
    (request,) = server.requests.values()
    made = request["result_id"]
    request |= {"status": "started", "result_id": None}
    backed_off = Retries.back_off

    async def back_off(retries: Retries, attempt: int) -> None:
        request.update(status="finished", result_id=made)
        await backed_off(retries, attempt)

    monkeypatch.setattr(Retries, "back_off", back_off)
    report = await ac.restore(client, dest, [7], options=QUICK)
    assert report.ok, report.failures
    assert (server.finishes, len(server.tasks)) == (1, 1)


@pytest.mark.parametrize("lost", ["created_date", "Date"])
async def test_a_server_that_sends_no_dates_is_not_guessed_about(
    server: RestoringServer, client: ac.CvatClient, dest: Path, lost: str
) -> None:
    if lost == "Date":
        plain = server.reply

        def reply(value: Any, status: int = 200, **headers: str) -> Any:
            return plain(value, status, **(headers | {"Date": "unknown"}))

        server.reply = reply  # type: ignore[method-assign]
    await lose_a_call(server, client, dest)
    for request in server.requests.values():
        request["created_date"] = None
    report = await ac.restore(client, dest, [7], options=QUICK)
    assert isinstance(error(report, 7), errors.RequestUncertainError)
    assert "date" in str(error(report, 7))
    assert len(server.tasks) == 1


async def test_a_project_is_found_as_a_task_is(
    server: RestoringServer, client: ac.CvatClient, tmp_path: Path
) -> None:
    dest = tmp_path / "projects"
    store_backup(dest, 4, project_backup("town", backup("a")), target="project")
    server.fault("FINISH", "/api/projects/backup/", "lose")
    assert (await ac.restore(client, dest, projects=True, options=QUICK)).ok
    assert len(server.projects) == 1


@pytest.mark.parametrize("forget", [False, True])
async def test_the_next_run_finds_the_project_that_a_lost_call_made(
    server: RestoringServer, client: ac.CvatClient, tmp_path: Path, forget: bool
) -> None:
    dest = tmp_path / "projects"
    store_backup(dest, 4, project_backup("town", backup("a")), target="project")
    cutter = Cutter()

    def end(method: str, path: str) -> None:
        if (method, path) == ("POST", "/api/projects/backup/") and server.finishes:
            cutter.cut()

    server.after = end
    await cutter.carry_out(ac.open_restore(client, dest, projects=True, options=QUICK))
    if forget:
        server.requests.clear()
    assert (await ac.restore(client, dest, projects=True, options=QUICK)).ok
    assert len(server.projects) == 1


async def test_a_file_that_the_server_forgot_is_sent_again(
    server: RestoringServer, client: ac.CvatClient, dest: Path
) -> None:
    def forget(method: str, path: str) -> None:
        if (method, path) == ("POST", POSTED) and server.received:
            server.before = lambda _method, _path: None
            server.files.clear()

    server.before = forget
    report = await ac.restore(client, dest, [7], options=QUICK)
    assert report.ok, report.failures
    assert server.names() == ["street 7"]
    size = (dest / "task7" / "2026-11-29T031200Z.zip").stat().st_size
    assert report.transferred == 2 * size


async def test_a_restore_that_was_cut_late_sends_little_again(
    server: RestoringServer, client: ac.CvatClient, tmp_path: Path
) -> None:
    path = tmp_path / "large.zip"
    path.write_bytes(backup("large", media=20_000_000))
    size = path.stat().st_size
    cutter = Cutter()

    def cut_at_ninety_percent(_method: str, _path: str) -> None:
        if server.received > 0.9 * size:
            cutter.cut()

    server.before = cut_at_ninety_percent
    await cutter.carry_out(ac.open_restore(client, path, options=QUICK))
    assert not server.tasks
    server.before = lambda _method, _path: None
    report = await ac.restore(client, path, options=QUICK)
    assert report.ok, report.failures
    assert server.received <= 1.1 * size
    # A file that is another one by now is sent from its start.
    report = await ac.restore(client, path, options=ac.RestoreOptions(again=True, durable=False))
    assert report.transferred == size


async def test_a_server_that_is_gone_ends_the_run_and_leaves_one_call_unanswered(
    server: RestoringServer, client: ac.CvatClient, dest: Path
) -> None:
    def gone(_method: str, _path: str) -> None:
        if server.finishes:
            for _, path in [*server.calls]:
                for method in ("GET", "FINISH", "HEAD", "PATCH", "POST"):
                    server.faults[method, path] = [502] * 50

    server.after = gone
    report = await ac.restore(
        client, dest, options=ac.RestoreOptions(durable=False, wait_for_server=0)
    )
    assert not report.ok
    assert any("was lost. Run the same command again" in one for one in report.warnings)
    server.after = lambda _method, _path: None
    server.faults.clear()
    report = await ac.restore(client, dest, options=QUICK)
    assert report.ok, report.failures
    assert server.names() == ["street 7", "street 8", "street 9"]


async def test_all_restores_wait_until_a_lost_call_is_settled(
    server: RestoringServer, client: ac.CvatClient, dest: Path
) -> None:
    await lose_a_call(server, client, dest)
    report = await ac.restore(client, dest, options=QUICK)
    assert report.ok, report.failures
    assert server.names() == ["street 7", "street 8", "street 9"]


async def test_what_cannot_be_settled_fails_alone(
    server: RestoringServer, client: ac.CvatClient, dest: Path
) -> None:
    await lose_a_call(server, client, dest)
    server.requests.clear()
    (made,) = server.tasks.values()
    server.tasks[200] = {**made, "id": 200}
    report = await ac.restore(client, dest, options=QUICK)
    assert isinstance(error(report, 7), errors.RequestUncertainError)
    assert report.count(ac.Action.RESTORED) == 2


async def test_nothing_is_sent_if_a_lost_call_cannot_be_looked_for(
    server: RestoringServer, client: ac.CvatClient, dest: Path
) -> None:
    await lose_a_call(server, client, dest)
    server.fault("GET", "/api/requests", *[502] * 50)
    options = ac.RestoreOptions(durable=False, wait_for_server=0)
    report = await ac.restore(client, dest, options=options)
    assert isinstance(report.stopped_by, errors.ServerError | errors.OutageError)
    assert server.finishes == 1


async def test_a_lost_call_whose_request_is_forgotten_at_once_is_known_by_its_task(
    server: RestoringServer, client: ac.CvatClient, dest: Path
) -> None:
    def forget(method: str, path: str) -> None:
        if (method, path) == ("POST", POSTED) and server.finishes:
            server.requests.clear()

    server.after = forget
    server.fault("FINISH", POSTED, "lose")
    report = await ac.restore(client, dest, [7], options=QUICK)
    assert report.ok, report.failures
    assert len(server.tasks) == 1


@pytest.mark.parametrize("left", [True, False], ids=["with its task", "with nothing"])
async def test_a_request_that_the_server_forgets_is_known_by_its_task(
    server: RestoringServer, client: ac.CvatClient, dest: Path, left: bool
) -> None:
    def forget(method: str, path: str) -> None:
        if method == "GET" and path.startswith("/api/requests"):
            server.requests.clear()
            if not left:
                server.tasks.clear()

    server.before = forget
    report = await ac.restore(client, dest, [7], options=QUICK)
    assert report.ok is left
    if not left:
        assert "the server has forgotten its request" in str(error(report, 7))
        assert report.warnings == ()  # nothing says that the server goes on


async def test_a_restore_that_runs_for_too_long_is_left_to_the_server(
    server: RestoringServer, client: ac.CvatClient, dest: Path
) -> None:
    made: list[Any] = []

    def run_for_long(_method: str, path: str) -> None:
        for request in server.requests.values() if path.startswith("/api/requests") else ():
            if not made:
                made.append(request["result_id"])
            request |= {"status": "started", "result_id": None}

    server.before = run_for_long
    short = ac.RestoreOptions(durable=False, import_timeout=0.001)
    report = await ac.restore(client, dest, [7], options=short)
    assert "takes too long: the server still runs it" in str(error(report, 7))
    assert report.warnings == ()  # its failure says it
    server.before = lambda _method, _path: None
    for request in server.requests.values():
        request |= {"status": "finished", "result_id": made[0]}
    report = await ac.restore(client, dest, [7], options=QUICK)
    assert report.ok, report.failures
    assert len(server.tasks) == 1


@pytest.mark.parametrize("status", [403, 404])
async def test_a_refusal_leaves_nothing_unanswered(
    server: RestoringServer, client: ac.CvatClient, dest: Path, status: int
) -> None:
    server.fault("FINISH", POSTED, *[status] * 50)
    report = await ac.restore(client, dest, [7], options=QUICK)
    assert not report.ok
    server.faults.clear()
    assert (await ac.restore(client, dest, [7], options=QUICK)).ok
    assert server.names() == ["street 7"]
