"""Backups become tasks and projects, each once, and what was made is compared with its backup."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from engine_serving import Log, actions, error
from restoring import (
    LABELS,
    RestoringServer,
    backup,
    project_backup,
    restoring_server,
    store_backup,
)

import asynccvat as ac
from asynccvat import errors
from asynccvat.commands.restore.records import journal_folder
from asynccvat.core.plans.restore import RefuseRestore
from asynccvat.models import RestoreReason
from asynccvat.store.journal import Journal

pytestmark = pytest.mark.anyio

QUICK = ac.RestoreOptions(durable=False)


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
    """A destination with the backups of tasks 7, 8 and 9."""
    place = tmp_path / "backups"
    for number in (7, 8, 9):
        store_backup(place, number, backup(f"street {number}", boxes=number))
    return place


def restored(dest: Path, client: ac.CvatClient) -> dict[str, Any]:
    folder = journal_folder(dest, None, client.origin, client.organization)
    found: dict[str, Any] = json.loads((folder / "restored.json").read_bytes())
    return found


async def test_each_backup_becomes_a_task(
    server: RestoringServer, client: ac.CvatClient, dest: Path, log: Log
) -> None:
    report = await ac.restore(client, dest, options=QUICK, on_event=log)
    assert report.ok, report.failures
    assert server.names() == ["street 7", "street 8", "street 9"]
    assert actions(report) == dict.fromkeys((7, 8, 9), ("restored", "new"))
    new_ids = {one.task_id: one.new_id for one in report.outcomes}
    assert sorted(new_ids.values(), key=str) == sorted(server.tasks)
    ids = restored(dest, client)
    assert ids["tasks"] == {str(old): new for old, new in new_ids.items()}
    assert ids["server"] == server.url
    assert server.most_unanswered == 1
    assert report.transferred == server.received
    assert "import_requested" in log.names


async def test_what_was_restored_is_not_restored_again(
    server: RestoringServer, client: ac.CvatClient, dest: Path
) -> None:
    await ac.restore(client, dest, [7], options=QUICK)
    report = await ac.restore(client, dest, options=QUICK)
    assert actions(report)[7] == ("skipped", "existing")
    assert len(server.tasks) == 3
    again = await ac.restore(client, dest, [7], options=ac.RestoreOptions(again=True))
    assert actions(again) == {7: ("restored", "again")}
    assert len(server.tasks) == 4


async def test_what_is_gone_since_is_restored_again(
    server: RestoringServer, client: ac.CvatClient, dest: Path
) -> None:
    report = await ac.restore(client, dest, [7], options=QUICK)
    (made,) = report.outcomes
    assert made.new_id is not None
    del server.tasks[made.new_id]
    server.tasks[999] = {"id": 999, "name": "another"}
    assert actions(await ac.restore(client, dest, [7], options=QUICK)) == {7: ("restored", "gone")}


async def test_only_tasks_that_the_server_lacks_are_restored_on_request(
    server: RestoringServer, client: ac.CvatClient, tmp_path: Path
) -> None:
    place = tmp_path / "own"
    for number in (7, 8):
        store_backup(place, number, backup(f"street {number}"), origin=server.url)
    server.tasks[7] = {"id": 7, "name": "street 7"}
    only = ac.RestoreOptions(durable=False, missing=True)
    report = await ac.restore(client, place, options=only)
    assert actions(report) == {7: ("skipped", "at server"), 8: ("restored", "new")}
    assert not report.warnings


HIDDEN = "may not be seen"
UNREADABLE = "cannot be read"


def spoil(server: RestoringServer, task_id: int, how: str) -> None:
    """Let no list show a task that is at the server."""
    if how == HIDDEN:
        server.tasks.pop(task_id, None)
        server.fault("GET", f"/api/tasks/{task_id}", 403)
    else:
        server.tasks[task_id] = {"id": task_id, "name": ["not", "a", "text"]}


@pytest.mark.parametrize("how", [HIDDEN, UNREADABLE])
async def test_a_task_that_no_list_shows_is_not_taken_for_missing(
    server: RestoringServer, client: ac.CvatClient, tmp_path: Path, how: str
) -> None:
    for number in (7, 8):
        store_backup(tmp_path, number, backup(f"street {number}"), origin=server.url)
    spoil(server, 7, how)
    only = ac.RestoreOptions(durable=False, missing=True)
    report = await ac.restore(client, tmp_path, options=only)
    assert actions(report) == {7: ("skipped", "at server"), 8: ("restored", "new")}


@pytest.mark.parametrize("how", [HIDDEN, UNREADABLE])
async def test_what_was_restored_and_no_list_shows_is_not_restored_again(
    server: RestoringServer, client: ac.CvatClient, dest: Path, how: str
) -> None:
    (made,) = (await ac.restore(client, dest, [7], options=QUICK)).outcomes
    assert made.new_id is not None
    spoil(server, made.new_id, how)
    report = await ac.restore(client, dest, [7], options=QUICK)
    assert actions(report) == {7: ("skipped", "existing")}


async def test_a_restore_warns_of_tasks_that_will_be_at_the_server_twice(
    server: RestoringServer, client: ac.CvatClient, tmp_path: Path
) -> None:
    store_backup(tmp_path, 7, backup("street"), origin=server.url)
    server.tasks[7] = {"id": 7, "name": "street"}
    report = await ac.restore(client, tmp_path, options=QUICK)
    assert actions(report) == {7: ("restored", "new")}
    (warning,) = report.warnings
    assert "task 7 is still at the server" in warning


async def test_what_another_server_lacks_cannot_be_asked_for(
    client: ac.CvatClient, dest: Path
) -> None:
    only = ac.RestoreOptions(durable=False, missing=True)
    with pytest.raises(errors.ConfigError, match="is a backup of http://old: its id means"):
        await ac.plan_restore(client, dest, options=only)


async def test_a_plan_changes_nothing(
    server: RestoringServer, client: ac.CvatClient, dest: Path
) -> None:
    before = sorted(dest.rglob("*"))
    plan = await ac.plan_restore(client, dest, options=QUICK)
    assert plan.counts == {"restore": 3}
    assert repr(plan) == "RestorePlan(restore=3)"
    first = plan.to_json()["steps"][0]
    assert (first["task_id"], first["annotations"], first["reason"]) == (7, 7, "new")
    assert sorted(dest.rglob("*")) == before
    assert server.files == {}
    await ac.restore(client, dest, [8], options=QUICK)
    plan = await ac.plan_restore(client, dest, options=QUICK)
    assert plan.counts == {"restore": 2, "skip": 1}
    assert plan.to_json()["steps"][1]["new_id"] == 100


async def test_the_newest_whole_backup_is_taken_or_one_of_an_earlier_time(
    server: RestoringServer, client: ac.CvatClient, dest: Path
) -> None:
    store_backup(dest, 7, backup("newer"), stamp="2026-11-30T031200Z")
    store_backup(dest, 7, backup("newest"), stamp="2026-12-01T031200Z", lightweight=True)
    await ac.restore(client, dest, [7], options=QUICK)
    assert server.names() == ["newer"]
    await ac.restore(client, dest, [7], at="2026-11-29T12:00:00Z", options=QUICK)
    assert server.names() == ["newer", "street 7"]
    report = await ac.restore(client, dest, [7], at="2026-01-01T00:00:00Z", options=QUICK)
    assert "it has no backup from 2026-01-01T00:00:00Z or before" in str(error(report, 7))
    # Also if a later one was restored before.
    await ac.restore(client, dest, [8], options=QUICK)
    before = await ac.restore(client, dest, [8], at="2026-01-01T00:00:00Z", options=QUICK)
    assert actions(before) == {8: ("failed", "file")}
    assert "its oldest is 'task7/2026-11-29T031200Z.zip'. Give a later --at." in str(
        error(report, 7)
    )


async def test_a_single_zip_is_restored(
    server: RestoringServer, client: ac.CvatClient, dest: Path, tmp_path: Path
) -> None:
    path = tmp_path / "one.zip"
    path.write_bytes(backup("alone"))
    report = await ac.restore(client, path, options=QUICK)
    assert report.ok, report.failures
    assert server.names() == ["alone"]
    assert actions(await ac.restore(client, path, options=QUICK)) == {0: ("skipped", "existing")}
    # A zip of a destination shares that destination's journal.
    (of_dest,) = (dest / "task7").iterdir()
    assert (await ac.restore(client, of_dest, options=QUICK)).ok
    assert actions(await ac.restore(client, dest, [7], options=QUICK)) == {
        7: ("skipped", "existing")
    }


async def test_projects_are_restored_with_their_tasks(
    server: RestoringServer, client: ac.CvatClient, tmp_path: Path
) -> None:
    dest = tmp_path / "projects"
    content = project_backup("town", backup("a"), backup("b", boxes=5))
    store_backup(dest, 4, content, target="project")
    report = await ac.restore(client, dest, projects=True, options=QUICK)
    assert report.ok, report.failures
    assert [one["name"] for one in server.projects.values()] == ["town"]
    assert server.names() == ["a", "b"]
    assert restored(dest, client)["projects"] == {"4": 10}
    assert actions(await ac.restore(client, dest, projects=True, options=QUICK)) == {
        4: ("skipped", "existing")
    }
    with pytest.raises(ac.ConfigError, match="holds those of projects: give --projects"):
        await ac.restore(client, dest, options=QUICK)
    with pytest.raises(ac.ConfigError, match="no backup of project 5"):
        await ac.restore(client, dest, [5], projects=True, options=QUICK)


# --- into a project -----------------------------------------------------------------------------


def with_project(server: RestoringServer, name: str = "town", **more: Any) -> int:
    number = 50 + len(server.projects)
    server.projects[number] = {"id": number, "name": name, "labels": LABELS, **more}
    return number


@pytest.mark.parametrize("by", ["id", "name"])
async def test_tasks_are_moved_into_a_project(
    server: RestoringServer, client: ac.CvatClient, dest: Path, by: str
) -> None:
    number = with_project(server)
    report = await ac.restore(client, dest, project=number if by == "id" else "town", options=QUICK)
    assert report.ok, report.failures
    assert {task["project_id"] for task in server.tasks.values()} == {number}


async def test_a_task_that_was_restored_elsewhere_is_told(
    server: RestoringServer, client: ac.CvatClient, dest: Path
) -> None:
    for number in (1, 2):
        server.projects[number] = {"id": number, "name": f"p{number}", "labels": LABELS}
    await ac.restore(client, dest, [7], options=QUICK)
    await ac.restore(client, dest, [8], project=1, options=QUICK)
    report = await ac.restore(client, dest, [7, 8], project=1, options=QUICK)
    warned = {one.task_id: one.warnings for one in report.outcomes}
    assert warned[8] == ()
    assert warned[7][0].startswith("it was restored before as task 100, and not into project 1.")
    plan = await ac.plan_restore(client, dest, [8], project=2, options=QUICK)
    assert "as task 101, and not into project 2" in plan.to_json()["steps"][0]["detail"]


async def test_a_label_that_the_project_lacks_is_told_before_anything_is_sent(
    server: RestoringServer, client: ac.CvatClient, dest: Path
) -> None:
    number = with_project(server, labels=[])
    report = await ac.restore(client, dest, [7], project=number, options=QUICK)
    problem = error(report, 7)
    assert f"into project {number}: it has no label 'car'. Add it to the project" in str(problem)
    assert actions(report) == {7: ("failed", RestoreReason.LABELS)}
    assert server.files == {}
    assert server.count("POST", ".*backup/") == 0


async def test_a_name_that_means_no_project_or_two_is_refused(
    server: RestoringServer, client: ac.CvatClient, dest: Path
) -> None:
    with_project(server)
    with_project(server)
    with pytest.raises(ac.ConfigError, match="has 2 projects named 'town': 50, 51"):
        await ac.restore(client, dest, project="town", options=QUICK)
    with pytest.raises(ac.ConfigError, match="no project 'nowhere'"):
        await ac.restore(client, dest, project="nowhere", options=QUICK)
    with pytest.raises(ac.NotFoundError):
        await ac.restore(client, dest, project=4711, options=QUICK)
    with pytest.raises(ac.ConfigError, match="cannot be restored into a project"):
        await ac.restore(client, dest, projects=True, project=50, options=QUICK)


async def test_a_project_that_goes_in_mid_run_leaves_tasks_that_the_next_run_moves(
    server: RestoringServer, client: ac.CvatClient, dest: Path
) -> None:
    number = with_project(server)
    server.fault("PATCH", "/api/tasks/100", 400)
    report = await ac.restore(client, dest, [7], project=number, options=QUICK)
    assert "as task 100, but cannot move it into project" in str(error(report, 7))
    assert (await ac.restore(client, dest, [7], project=number, options=QUICK)).ok
    assert len(server.tasks) == 1
    assert server.tasks[100]["project_id"] == number


async def test_once_the_project_is_gone_nothing_more_is_sent(
    server: RestoringServer, client: ac.CvatClient, dest: Path
) -> None:
    number = with_project(server)

    def gone(method: str, path: str) -> None:
        if method == "PATCH" and path.startswith("/api/tasks/1"):
            server.projects.pop(number, None)
            server.faults[method, path] = [400]

    server.before = gone
    options = ac.RestoreOptions(durable=False, transfers=1, concurrency=1)
    for other in range(10, 30):
        store_backup(dest, other, backup(f"street {other}"))
    report = await ac.restore(client, dest, project=number, options=options)
    assert f"project {number} is gone from the server" in str(report.stopped_by)
    assert len(server.tasks) < 23
    # Each task that was made is named.
    assert {f"as task {task}, but" in str(report.failures) for task in server.tasks} == {True}
    server.before = lambda _method, _path: None
    other = with_project(server)
    report = await ac.restore(client, dest, project=other, options=QUICK)
    assert report.ok, report.failures
    assert sorted(task["project_id"] for task in server.tasks.values()) == [other] * 23


# --- files that cannot be restored --------------------------------------------------------------

WHOLE = backup("whole")


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"no zip at all", "it is no zip, and so no backup"),
        (WHOLE[: len(WHOLE) // 2], "it is cut short: the end of the zip is missing"),
        (backup(version="9.0"), "it is a backup of version '9.0', and this asynccvat knows"),
        (WHOLE.replace(b"task.json", b"task.jsOn"), "neither task.json nor project.json"),
        (WHOLE.replace(b"wholewhole", b"wholeWhole", 1), "it is damaged (Bad CRC-32"),
        (WHOLE.replace(b'"name"', b'"name '), "it is damaged (Bad CRC-32"),
    ],
    ids=["no zip", "truncated", "version", "other zip", "damaged media", "damaged task"],
)
async def test_a_file_that_is_no_whole_backup_is_refused_before_a_byte_is_sent(
    server: RestoringServer, client: ac.CvatClient, tmp_path: Path, content: bytes, says: str
) -> None:
    path = tmp_path / "bad.zip"
    path.write_bytes(content)
    report = await ac.restore(client, path, options=QUICK)
    message = report.failures[0].failure
    assert says in message
    assert message.startswith("cannot restore '")
    assert isinstance(report.failures[0].error, errors.BackupFileError)
    assert server.count("POST", ".*backup/") == 0


async def test_a_description_that_cannot_be_read_is_refused(
    client: ac.CvatClient, tmp_path: Path
) -> None:
    path = tmp_path / "bad.zip"
    path.write_bytes(backup(labels=[{"name": 5}]))
    report = await ac.restore(client, path, options=QUICK)
    assert "its description of the task cannot be read" in report.failures[0].failure


async def test_a_backup_above_the_limit_is_refused_with_the_number(
    server: RestoringServer, client: ac.CvatClient, dest: Path
) -> None:
    store_backup(dest, 8, backup("large", media=50_000))
    options = ac.RestoreOptions(upload_limit=20_000, durable=False)
    report = await ac.restore(client, dest, options=options)
    assert "the server takes files of at most 20,000 bytes" in str(error(report, 8))
    assert actions(report)[8] == ("failed", "too large")
    assert server.names() == ["street 7", "street 9"]
    server.largest = 10_000
    report = await ac.restore(client, dest, [8], options=QUICK)
    assert "takes no file of more than 10,000 bytes" in str(error(report, 8))


async def test_a_backup_that_is_missing_or_lightweight_is_refused(
    client: ac.CvatClient, dest: Path, tmp_path: Path
) -> None:
    for path in (dest / "task8").iterdir():
        path.unlink()
    store_backup(dest, 10, backup("light"), lightweight=True)
    report = await ac.restore(client, dest, options=QUICK)
    assert "'task8/2026-11-29T031200Z.zip' is missing" in str(error(report, 8))
    assert "it has lightweight backups alone" in str(error(report, 10))
    assert report.count(ac.Action.RESTORED) == 2
    with pytest.raises(ac.ConfigError, match="there is no such file or folder"):
        await ac.restore(client, tmp_path / "nowhere", options=QUICK)
    (tmp_path / "empty").mkdir()
    with pytest.raises(ac.ConfigError, match="asynccvat made no backups there"):
        await ac.restore(client, tmp_path / "empty", options=QUICK)
    with pytest.raises(ac.ConfigError, match="is the zip of one backup"):
        await ac.restore(client, path.parent.parent / "task7" / path.name, [7], options=QUICK)


def damaged(content: bytes) -> bytes:
    """The same zip with other bytes in its media."""
    assert b"newnew" in content
    return content.replace(b"newnew", b"neWnew", 1)


async def test_an_older_backup_is_named_and_never_taken_for_the_newest(
    server: RestoringServer, client: ac.CvatClient, dest: Path
) -> None:
    newest = "2026-12-01T031200Z"
    store_backup(dest, 7, damaged(backup("new")), stamp=newest)
    store_backup(dest, 8, backup("new"), stamp=newest).unlink()
    store_backup(dest, 9, backup("new"), stamp=newest).write_bytes(b"cut")
    says = "The newest one that is whole is 'task{0}/2026-11-29T031200Z.zip': restore it with "
    planned = {
        step.target_id: str(step.problem)
        for step in (await ac.plan_restore(client, dest, options=QUICK)).of(RefuseRestore)
    }
    report = await ac.restore(client, dest, options=QUICK)
    assert server.names() == []
    for number, why in ((7, "Bad CRC-32"), (8, "is missing"), (9, "has another size")):
        told = str(error(report, number))
        assert why in told
        assert (says + "-t {0} --at 2026-11-29T03:12:00Z.").format(number) in told
        # The media are read by the run alone.
        assert planned.get(number) == (None if number == 7 else told)
    report = await ac.restore(client, dest, at="2026-11-29T03:12:00Z", options=QUICK)
    assert server.names() == ["street 7", "street 8", "street 9"]


async def test_older_backups_that_are_damaged_are_not_named(
    client: ac.CvatClient, tmp_path: Path
) -> None:
    dest = tmp_path / "backups"
    for day in (1, 2, 3):
        content = backup("new") if day == 1 else damaged(backup("new"))
        store_backup(dest, 7, content, stamp=f"2026-12-0{day}T031200Z")
        if day > 1:
            store_backup(dest, 8, content, stamp=f"2026-12-0{day}T031200Z")
    report = await ac.restore(client, dest, options=QUICK)
    assert "-t 7 --at 2026-12-01T03:12:00Z" in str(error(report, 7))
    assert str(error(report, 8)).endswith("None of its older backups is whole, either.")


async def test_a_damaged_receipt_of_a_newer_backup_is_a_warning(
    client: ac.CvatClient, dest: Path
) -> None:
    store_backup(dest, 7, backup("new"), stamp="2026-12-01T031200Z")
    (dest / ".asynccvat/backups/task7/2026-12-01T031200Z.json").write_text("{}")
    report = await ac.restore(client, dest, [7], options=QUICK)
    assert "task7/2026-12-01T031200Z.json' cannot be used" in report.warnings[0]


# --- what the server makes of it ----------------------------------------------------------------


async def test_a_failure_of_the_server_is_one_failure(
    server: RestoringServer, client: ac.CvatClient, dest: Path
) -> None:
    def failing(task: dict[str, Any]) -> None:
        if task["name"] == "street 8":
            raise KeyError("quota")

    server.losing = failing
    report = await ac.restore(client, dest, options=QUICK)
    assert "the server could not restore" in str(error(report, 8))
    assert report.count(ac.Action.RESTORED) == 2
    server.losing = lambda _task: None
    server.tasks.pop(102, None)
    assert (await ac.restore(client, dest, [8], options=QUICK)).ok


async def test_a_task_that_differs_from_its_backup_is_a_failure_and_stays(
    server: RestoringServer, client: ac.CvatClient, dest: Path
) -> None:
    def losing(task: dict[str, Any]) -> None:
        task["boxes"] -= 1
        task["size"] -= 1

    server.losing = losing
    report = await ac.restore(client, dest, [7], options=QUICK)
    problem = error(report, 7)
    assert "task 100, restored from" in str(problem)
    assert "it has 2 of 3 frames, 6 of 7 shapes" in str(problem)
    # The next run compares it again, and makes no second one.
    assert not (await ac.restore(client, dest, [7], options=QUICK)).ok
    assert len(server.tasks) == 1
    server.tasks[100] |= {"boxes": 7, "size": 3}
    assert (await ac.restore(client, dest, [7], options=QUICK)).ok


async def test_jobs_that_share_frames_are_compared_one_by_one(
    server: RestoringServer, client: ac.CvatClient, tmp_path: Path
) -> None:
    jobs = [
        {"type": "annotation", "start_frame": 0, "stop_frame": 2},
        {"type": "annotation", "start_frame": 2, "stop_frame": 4},
        {"type": "ground_truth", "start_frame": 0, "stop_frame": 4},
    ]
    path = tmp_path / "jobs.zip"
    path.write_bytes(backup("jobs", jobs=jobs))
    report = await ac.restore(client, path, options=QUICK)
    assert report.ok, report.failures
    assert server.count("GET", "/api/jobs/.*/annotations") == 3
    assert server.count("GET", "/api/tasks/.*/annotations") == 0


async def test_a_project_that_lacks_a_task_is_a_failure(
    server: RestoringServer, client: ac.CvatClient, tmp_path: Path
) -> None:
    dest = tmp_path / "projects"
    store_backup(dest, 4, project_backup("town", backup("a"), backup("b")), target="project")

    def renamed(task: dict[str, Any]) -> None:
        if task["name"] == "b":
            task["name"] = "c"
        task["boxes"] = 1

    server.losing = renamed
    report = await ac.restore(client, dest, projects=True, options=QUICK)
    assert "it has in task 100 1 of 2 shapes, no task 'b'" in str(error(report, 4))


# --- the journal --------------------------------------------------------------------------------


async def test_one_process_restores_at_a_time(client: ac.CvatClient, dest: Path) -> None:
    folder = journal_folder(dest, None, client.origin, None)
    async with Journal.open(
        folder, "journal", kind="restores", origin=client.origin, organization=None
    ):
        with pytest.raises(ac.StoreLockedError, match="is being written by"):
            await ac.restore(client, dest, options=QUICK)
        # A plan only reads.
        assert (await ac.plan_restore(client, dest, options=QUICK)).counts == {"restore": 3}


async def test_the_journal_may_lie_elsewhere(
    client: ac.CvatClient, dest: Path, tmp_path: Path
) -> None:
    options = ac.RestoreOptions(journal=tmp_path / "journal", durable=False)
    before = sorted(dest.rglob("*"))
    assert (await ac.restore(client, dest, [7], options=options)).ok
    assert sorted(dest.rglob("*")) == before
    assert actions(await ac.restore(client, dest, [7], options=options)) == {
        7: ("skipped", "existing")
    }
    assert [path.name for path in (tmp_path / "journal").iterdir()] == [
        f"http-127.0.0.1-{client.origin.rpartition(':')[2]}"
    ]


def test_each_organization_has_a_journal_of_its_own() -> None:
    def name(organization: str | None) -> str:
        return journal_folder(Path("b"), None, "https://cvat:8443", organization).name

    assert name(None) == "https-cvat-8443"
    assert name("acme") == "https-cvat-8443@acme"
    assert name("") == "https-cvat-8443@"


# --- a single zip -------------------------------------------------------------------------------


async def test_the_zip_of_a_project_is_one_also_if_it_is_named_alone(
    server: RestoringServer, client: ac.CvatClient, tmp_path: Path
) -> None:
    path = store_backup(
        tmp_path / "projects", 5, project_backup("town", backup("a")), target="project"
    )
    report = await ac.restore(client, path, options=QUICK)
    assert report.ok, report.failures
    (made,) = server.projects
    # Its id is no task's: what became of a task of that number says nothing.
    assert made not in server.tasks
    again = await ac.restore(client, path, options=QUICK)
    assert actions(again) == {5: ("skipped", "existing")}
    assert len(server.projects) == 1


async def test_a_project_is_never_moved_into_one(
    server: RestoringServer, client: ac.CvatClient, tmp_path: Path
) -> None:
    server.projects[1] = {"id": 1, "name": "p1", "labels": LABELS}
    path = tmp_path / "town.zip"
    path.write_bytes(project_backup("town", backup("a")))
    report = await ac.restore(client, path, project=1, options=QUICK)
    assert "it is the backup of a project. Remove --project." in report.failures[0].failure
    assert (list(server.projects), server.count("PATCH", ".*")) == ([1], 0)
    # The same is told if it was restored before.
    assert (await ac.restore(client, path, options=QUICK)).ok
    report = await ac.restore(client, path, project=1, options=QUICK)
    assert "it is the backup of a project" in report.failures[0].failure


async def test_a_lightweight_zip_that_is_named_alone_is_restored_with_a_warning(
    client: ac.CvatClient, tmp_path: Path
) -> None:
    dest = tmp_path / "backups"
    path = store_backup(dest, 7, backup("light"), lightweight=True)
    whole = store_backup(dest, 8, backup("whole"))
    refused = await ac.restore(client, dest, [7], options=QUICK)
    assert "or name the zip, if the server has that bucket" in str(error(refused, 7))
    report = await ac.restore(client, path, options=QUICK)
    assert report.ok
    assert "is a lightweight backup: it lacks the media" in report.warnings[0]
    assert (await ac.restore(client, whole, options=QUICK)).warnings == ()
