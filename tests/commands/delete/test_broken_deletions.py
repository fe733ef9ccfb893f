"""Deletions that meet refusals, lost answers, and logs that cannot be used."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from engine_serving import Serving, connected, serving
from gateway_pages import nginx
from pauses import pause_before

import asynccvat as ac
from asynccvat import errors
from asynccvat.events import Planned, RunFinished
from asynccvat.fs import files
from asynccvat.simulator import Fault, UserSpec
from asynccvat.store.journal import Journal

pytestmark = pytest.mark.anyio

ANN = UserSpec("ann", "secret-of-ann")
TASK_1 = r"/api/tasks/1$"


@pytest.fixture
async def cvat() -> AsyncIterator[Serving]:
    async with serving(3, users=(ANN,)) as running:
        yield running


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "log.jsonl"


def options(log: Path, **given: Any) -> ac.DeleteOptions:
    base: dict[str, Any] = {"durable": False, "log": log, "retries": 2}
    return ac.DeleteOptions(**(base | given))


def lines(log: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in log.read_text().splitlines()[1:]]


def noted(log: Path) -> list[tuple[str, int]]:
    return [(line["what"], line["id"]) for line in lines(log)]


def actions(report: ac.RunReport) -> dict[int, str]:
    return {one.task_id: f"{one.action}: {one.reason}" for one in report.outcomes}


async def delete(
    cvat: Serving, log: Path, *ids: int, client: ac.CvatClient | None = None, **given: Any
) -> ac.RunReport:
    return await ac.delete(
        client or cvat.client,
        ac.Selection(task_ids=ids),
        expect=len(ids),
        options=options(log, **given),
    )


async def test_what_the_user_may_not_delete_fails_and_the_others_go(
    cvat: Serving, log: Path
) -> None:
    world = cvat.server.world
    ann = cvat.server.accounts.by_id[2].user
    world.tasks[1] = replace(world.tasks[1], assignee=ann)
    world.tasks[2] = replace(world.tasks[2], owner=ann)
    async with connected(cvat.server, username=ANN.username, password=ANN.password) as client:
        report = await delete(cvat, log, 1, 2, client=client)
    assert actions(report) == {1: "failed: selected", 2: "deleted: selected"}
    error = report.failures[0].error
    assert isinstance(error, errors.PermissionDeniedError)
    assert "cannot delete task 1: " in str(error)
    assert str(error).endswith(
        "This user may not delete it. Ask its owner, or use another account."
    )
    assert noted(log) == [("delete", 1), ("refused", 1), ("delete", 2), ("deleted", 2)]
    assert sorted(cvat.server.tasks) == [1, 3]


async def test_a_read_only_token_is_refused_before_anything_is_sent(
    cvat: Serving, log: Path
) -> None:
    async with connected(
        cvat.server, token=cvat.server.create_access_token(read_only=True)
    ) as client:
        with pytest.raises(errors.PermissionDeniedError, match=r"cannot delete at .*read-only"):
            await delete(cvat, log, 1, client=client)
    assert not cvat.calls("DELETE")
    assert not log.exists()


async def test_a_failing_server_is_asked_again_after_another_look(cvat: Serving, log: Path) -> None:
    cvat.server.faults.add(Fault("DELETE", TASK_1, times=2, status=500))
    report = await delete(cvat, log, 1)
    assert actions(report) == {1: "deleted: selected"}
    assert [one[0] for one in noted(log)] == ["delete"] * 3 + ["deleted"]


async def test_what_changes_between_two_tries_stays(cvat: Serving, log: Path) -> None:
    cvat.server.faults.add(Fault("DELETE", TASK_1, status=500, edit_task=1))
    report = await delete(cvat, log, 1)
    assert actions(report) == {1: "passed over: changed"}
    assert noted(log) == [("delete", 1), ("passed over", 1)]
    assert 1 in cvat.server.tasks


async def test_what_changes_during_a_pause_before_the_call_stays(
    cvat: Serving, log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def edit() -> None:
        cvat.server.edit_task(1)

    pause_before(monkeypatch, cvat.client, "DELETE", "/tasks/1", edit)
    report = await delete(cvat, log, 1, 2)
    assert actions(report) == {1: "passed over: changed", 2: "deleted: selected"}
    assert noted(log) == [("delete", 1), ("passed over", 1), ("delete", 2), ("deleted", 2)]
    assert sorted(cvat.server.tasks) == [1, 3]


async def test_a_server_that_fails_for_one_task_fails_that_one(cvat: Serving, log: Path) -> None:
    cvat.server.faults.add(Fault("DELETE", TASK_1, times=None, status=500))
    report = await delete(cvat, log, 1, 2)
    assert actions(report) == {1: "failed: selected", 2: "deleted: selected"}
    assert noted(log)[-3:] == [("unknown", 1), ("delete", 2), ("deleted", 2)]


async def test_a_look_that_fails_is_noted_only_after_a_call(cvat: Serving, log: Path) -> None:
    cvat.server.faults.add(Fault("GET", TASK_1, times=None, status=400))
    report = await delete(cvat, log, 1, 2)
    assert actions(report) == {1: "failed: selected", 2: "deleted: selected"}
    assert noted(log) == [("delete", 2), ("deleted", 2)]


@pytest.mark.parametrize("times", [1, 2, 3])
async def test_a_lost_answer_is_a_deletion(cvat: Serving, log: Path, times: int) -> None:
    # aiohttp sends a DELETE again by itself on a kept connection. CVAT answers 404 then.
    cvat.server.faults.add(Fault("DELETE", TASK_1, times=times, lose_answer=True))
    report = await delete(cvat, log, 1)
    assert actions(report) == {1: "deleted: selected"}
    assert noted(log) == [("delete", 1), ("deleted", 1)]
    assert report.ok


async def test_what_another_user_deletes_first_is_not_our_deletion(
    cvat: Serving, log: Path
) -> None:
    cvat.server.faults.add(Fault("DELETE", TASK_1, delete_task=1))
    report = await delete(cvat, log, 1)
    assert actions(report) == {1: "skipped: gone"}
    assert noted(log) == [("delete", 1), ("gone", 1)]
    assert report.ok


async def test_a_page_of_a_gateway_is_no_deletion(cvat: Serving, log: Path) -> None:
    page = nginx("404 Not Found")
    fault = Fault("DELETE", TASK_1, times=None, status=404, body=page, headers={"Server": "nginx"})
    cvat.server.faults.add(fault)
    report = await delete(cvat, log, 1)
    assert actions(report) == {1: "failed: selected"}
    assert noted(log)[-1] == ("unknown", 1)
    assert 1 in cvat.server.tasks


async def test_the_next_run_finds_out_what_became_of_a_lost_call(cvat: Serving, log: Path) -> None:
    # Neither the answer arrives nor that of the look that follows it.
    cvat.server.faults.add(
        Fault("DELETE", TASK_1, times=2, lose_answer=True),
        Fault("GET", TASK_1, nth=2, status=400),
    )
    report = await delete(cvat, log, 1)
    assert actions(report) == {1: "failed: selected"}
    assert noted(log) == [("delete", 1), ("unknown", 1)]
    assert (await delete(cvat, log, 2)).ok
    assert noted(log)[2:] == [("deleted", 1), ("delete", 2), ("deleted", 2)]
    assert lines(log)[2]["later"] is True
    assert (await delete(cvat, log, 3)).ok
    assert noted(log)[5:] == [("delete", 3), ("deleted", 3)]


async def test_the_next_run_finds_out_what_still_stands(cvat: Serving, log: Path) -> None:
    cvat.server.faults.add(Fault("DELETE", TASK_1, times=1, status=500))
    await delete(cvat, log, 1, retries=0)
    assert noted(log) == [("delete", 1), ("unknown", 1)]
    assert (await delete(cvat, log, 1)).ok
    assert noted(log)[2:] == [("not deleted", 1), ("delete", 1), ("deleted", 1)]


async def test_a_lost_call_for_what_the_user_may_see_no_more_keeps_no_run_from_deleting(
    cvat: Serving, log: Path
) -> None:
    cvat.server.faults.add(Fault("DELETE", TASK_1, times=1, status=500))
    await delete(cvat, log, 1, retries=0)
    cvat.server.faults.add(Fault("GET", TASK_1, times=1, status=403))
    report = await delete(cvat, log, 2)
    assert actions(report) == {2: "deleted: selected"}
    assert noted(log)[2] == ("not deleted", 1)


async def test_refused_credentials_end_the_run(cvat: Serving, log: Path) -> None:
    token = cvat.server.create_access_token()
    async with connected(cvat.server, token=token) as client:
        cvat.server.faults.add(
            Fault("DELETE", times=None, status=401, body='{"detail": "Invalid token."}')
        )
        report = await delete(cvat, log, 1, 2, client=client)
    assert isinstance(report.stopped_by, errors.AuthenticationError)
    assert actions(report) == {1: "failed: selected"}
    assert noted(log) == [("delete", 1), ("refused", 1)]


async def test_a_server_that_is_gone_ends_the_run(cvat: Serving, log: Path) -> None:
    def on_event(event: object) -> None:
        if isinstance(event, Planned):
            cvat.server.faults.add(Fault(times=None, drop=True))

    report = await ac.delete(
        cvat.client,
        ac.Selection(task_ids=[1, 2]),
        expect=2,
        options=options(log, retries=0, wait_for_server=0),
        on_event=on_event,
    )
    assert isinstance(report.stopped_by, errors.TransportError)
    assert actions(report) == {1: "failed: selected"}
    assert noted(log) == []


async def test_a_log_of_another_server_is_refused(cvat: Serving, log: Path) -> None:
    async with serving(1) as other:
        await delete(other, log, 1)
    before = log.read_bytes()
    with pytest.raises(errors.StoreError, match=r"it holds the deletions of http.*or move it away"):
        await delete(cvat, log, 1)
    assert log.read_bytes() == before
    assert not cvat.calls("DELETE")


async def test_a_log_that_another_process_writes_is_refused(cvat: Serving, log: Path) -> None:
    async with Journal.open(
        log.parent, "log", kind="deletions", origin=cvat.client.origin, organization=None
    ):
        with pytest.raises(errors.StoreLockedError):
            await delete(cvat, log, 1)
    assert not cvat.calls("DELETE")


async def test_a_log_that_cannot_be_written_lets_nothing_go(cvat: Serving, log: Path) -> None:
    log.mkdir()
    with pytest.raises(errors.StoreError):
        await delete(cvat, log, 1)
    assert not cvat.calls("DELETE")


async def test_a_deletion_that_the_log_cannot_note_is_in_the_report(
    cvat: Serving, log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writing = files.write

    def full(fd: int, content: bytes) -> None:
        if b'"deleted"' in content:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        writing(fd, content)

    monkeypatch.setattr(files, "write", full)
    reports: list[ac.RunReport] = []

    def on_event(event: object) -> None:
        if isinstance(event, RunFinished):
            reports.append(event.report)

    with pytest.raises(errors.DiskFullError):
        await ac.delete(
            cvat.client,
            ac.Selection(task_ids=[1, 2]),
            expect=2,
            options=options(log),
            on_event=on_event,
        )
    assert actions(reports[-1]) == {1: "deleted: selected"}
    assert noted(log) == [("delete", 1)]
    assert sorted(cvat.server.tasks) == [2, 3]
