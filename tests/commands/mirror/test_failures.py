"""Check that a failure concerns one task, and which errors end a run."""

from __future__ import annotations

import errno
import gc
import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import anyio.lowlevel
import pytest
from engine_serving import (
    QUICK,
    Log,
    actions,
    connected,
    error,
    files,
    serving,
    staged,
    until,
)

import asynccvat as ac
from asynccvat.core.wire.retry import RetryPolicy
from asynccvat.events import ExportRequested, Retrying, TaskDone, to_json
from asynccvat.fs import files as disk
from asynccvat.simulator import Fault
from asynccvat.store import MirrorStore

pytestmark = pytest.mark.anyio

FEW = replace(QUICK, retries=2)


async def test_a_failed_export_has_the_servers_message_and_stops_no_other_task(data: Path) -> None:
    async with serving(3) as serve:
        serve.server.faults.add(
            Fault(export="fail", task_id=2, message="ValueError: frame 3 is broken\n", times=None)
        )
        report = await ac.mirror(serve.client, data, options=QUICK)
        assert actions(report) == {
            1: ("fetched", "new"),
            2: ("failed", "new"),
            3: ("fetched", "new"),
        }
        failure = error(report, 2)
        assert isinstance(failure, ac.errors.ExportFailedError)
        assert "ValueError: frame 3 is broken" in str(failure)
        assert "task 2" in str(failure)
        assert failure.task_id == 2
        assert len(serve.calls("POST", "tasks/2/dataset")) == 1
        assert not (data / "task2").exists()
        assert staged(data) == []
        assert not report.interrupted
        assert report.stopped_by is None

        serve.server.faults.clear()
        report = await ac.mirror(serve.client, data, options=QUICK)
        assert report.ok
        assert actions(report)[2] == ("fetched", "new")
        assert files(data) == await serve.archives()


async def test_a_failed_update_leaves_the_folder_as_it_was(data: Path) -> None:
    async with serving(2) as serve:
        await ac.mirror(serve.client, data, options=QUICK)
        before = files(data)
        serve.server.edit_task(2)
        serve.server.faults.add(Fault(export="fail", task_id=2))
        options = replace(QUICK, folder_prefix="task")
        report = await ac.mirror(serve.client, data, options=options)
        assert actions(report)[2] == ("failed", "changed")
        assert files(data) == before


async def test_failures_are_raised_on_demand(data: Path) -> None:
    async with serving(3) as serve:
        serve.server.faults.add(Fault(export="fail", task_id=2, message="Boom\n"))
        report = await ac.mirror(serve.client, data, options=QUICK)
        assert not report.ok
        assert [one.task_id for one in report.failures] == [2]
        with pytest.raises(ac.TasksFailedError, match=r"1 of 3 tasks failed.*task 2.*Boom") as got:
            report.raise_for_failures()
        assert got.value.report is report
        record = json.loads(json.dumps(report.to_json()))
        assert record["counts"] == {"fetched": 2, "failed": 1}
        assert record["ok"] is False
        (failed,) = [one for one in record["tasks"] if one["action"] == "failed"]
        assert failed["error"]["type"] == "ExportFailedError"
        report = await ac.mirror(serve.client, data, options=QUICK)
        report.raise_for_failures()


async def test_an_export_whose_process_was_killed_is_repeated_alone_at_the_end(
    data: Path, log: Log
) -> None:
    async with serving(6, export_workers=2) as serve:
        serve.server.faults.add(Fault(export="kill", task_id=1), Fault(export="kill", task_id=4))
        report = await ac.mirror(serve.client, data, options=QUICK, on_event=log)
        assert report.ok
        assert files(data) == await serve.archives()
        asked = [call.task_id for call in serve.calls("POST", "dataset/export")]
        # `archives` requested all of them afterwards, one by one.
        assert asked[:8] == [1, 2, 3, 4, 5, 6, *asked[6:8]]
        assert sorted(task_id or 0 for task_id in asked[6:8]) == [1, 4]
        second = asked[7]
        done_before = [
            event.outcome.task_id
            for event in log.events[
                : next(
                    number
                    for number, event in reversed(list(enumerate(log.events)))
                    if isinstance(event, ExportRequested) and event.task_id == second
                )
            ]
            if isinstance(event, TaskDone)
        ]
        assert sorted(done_before) == sorted({1, 2, 3, 4, 5, 6} - {second})
        assert log.retries("export") == 2


async def test_an_export_whose_process_is_killed_twice_fails(data: Path) -> None:
    async with serving(2) as serve:
        serve.server.faults.add(Fault(export="kill", task_id=1, times=None))
        report = await ac.mirror(serve.client, data, options=QUICK)
        assert "Work-horse terminated unexpectedly" in str(error(report, 1))
        assert len(serve.calls("POST", "tasks/1/dataset")) == 2
        assert actions(report)[2] == ("fetched", "new")


@pytest.mark.parametrize(
    "fault",
    [Fault(alter_at=200), Fault(truncate=40), Fault(extra="junk")],
    ids=["altered", "truncated", "trailing bytes"],
)
async def test_a_broken_archive_fails_only_its_task(data: Path, fault: Fault) -> None:
    async with serving(3) as serve:
        serve.server.faults.add(replace(fault, path="download", task_id=2, times=None))
        report = await ac.mirror(serve.client, data, options=QUICK)
        assert isinstance(error(report, 2), ac.errors.ArchiveError)
        assert error(report, 2).task_id == 2
        assert report.count(ac.Action.FETCHED) == 2
        assert not (data / "task2").exists()
        assert staged(data) == []


async def test_an_archive_that_was_broken_once_is_fetched_again(data: Path) -> None:
    async with serving(2) as serve:
        serve.server.faults.add(Fault(path="download", task_id=2, alter_at=200))
        assert (await ac.mirror(serve.client, data, options=QUICK)).ok
        assert files(data) == await serve.archives()


async def test_a_task_that_is_deleted_during_the_run_fails_alone(data: Path) -> None:
    async with serving(3) as serve:
        log = Log()
        log.on(ExportRequested, lambda _: serve.server.tasks.pop(3, None))
        options = replace(QUICK, concurrency=1)
        report = await ac.mirror(serve.client, data, options=options, on_event=log)
        assert isinstance(error(report, 3), ac.NotFoundError)
        assert report.count(ac.Action.FETCHED) == 2


async def test_passing_errors_are_retried(data: Path, log: Log) -> None:
    async with serving(4) as serve:
        serve.server.faults.add(
            Fault(path="/api/tasks", status=502),
            Fault(path="dataset/export", status=503),
            Fault(path="dataset/export", drop=True, nth=2),
            Fault(path="/api/requests", status=502),
            Fault(path="dataset/download", status=500),
            Fault(path="dataset/download", cut_at=100, nth=3),
        )
        report = await ac.mirror(serve.client, data, options=QUICK, on_event=log)
        assert report.ok, report.failures
        assert files(data) == await serve.archives()
        assert len(log.of(Retrying)) >= 5


async def test_an_export_without_a_result_url_says_why(data: Path) -> None:
    finished: dict[str, Any] = {
        "id": "x",
        "status": "finished",
        "operation": {},
        "result_url": None,
    }
    async with serving(1) as serve:
        serve.server.faults.add(
            Fault(
                path="^/api/requests/",
                status=200,
                body=json.dumps(finished),
                content_type="application/vnd.cvat+json",
                times=None,
            )
        )
        report = await ac.mirror(serve.client, data, options=QUICK)
        assert isinstance(error(report, 1), ac.errors.ProtocolError)
        assert "cloud storage" in str(error(report, 1))


async def test_a_failure_without_a_message_says_so(data: Path) -> None:
    async with serving(1) as serve:
        serve.server.faults.add(Fault(export="fail", message=""))
        report = await ac.mirror(serve.client, data, options=QUICK)
        assert "no reason given" in str(error(report, 1))


# What ends a run


async def test_a_wrong_password_ends_the_run_before_it_began(data: Path) -> None:
    async with serving(1, client={"password": "wrong"}) as serve:
        run = ac.open_mirror(serve.client, data, options=QUICK)
        with pytest.raises(ac.AuthenticationError, match="refuses the login") as caught:
            async with run:
                await run.wait()
        assert run.report.interrupted
        assert run.report.stopped_by is caught.value
        assert files(data) == {}


async def test_an_unknown_format_is_raised_before_anything_is_done(data: Path) -> None:
    async with serving(6) as serve:
        run = ac.open_mirror(serve.client, data / "new", spec="coco 2.0", options=QUICK)
        with pytest.raises(ac.ConfigError, match=r"cannot export as 'coco 2\.0'.*'COCO 1\.0'"):
            async with run:
                await run.wait()
        assert run.report.outcomes == (), "it is the run's failure, and said once"
        assert run.report.to_json()["stopped_by"]["type"] == "ConfigError"
        assert serve.calls("POST", "export") == []
        assert not data.exists(), "a run that did nothing leaves nothing"


async def test_an_unknown_format_is_found_by_a_plan_that_would_fetch(data: Path) -> None:
    async with serving(2) as serve:
        wrong = ac.ExportSpec("coco 2.0")
        with pytest.raises(ac.ConfigError, match=r"cannot export as 'coco 2\.0'.*'COCO 1\.0'"):
            await ac.plan_mirror(serve.client, data, spec=wrong)
        lacking = ac.ExportSpec("Ultralytics YOLO Pose 1.0")
        nothing = await ac.plan_mirror(serve.client, data, ac.Selection(task_ids=[]), lacking)
        assert nothing.steps == ()


async def test_a_login_that_is_revoked_during_the_run_is_renewed_once(data: Path) -> None:
    async with serving(5) as serve:
        serve.server.faults.add(
            Fault(
                path="/api/requests",
                status=401,
                body='{"detail":"Invalid token."}',
                content_type="application/vnd.cvat+json",
            )
        )
        report = await ac.mirror(serve.client, data, options=QUICK)
        assert report.ok
        assert len(serve.calls("POST", "/api/auth/login")) == 2


async def test_a_token_that_is_revoked_during_the_run_stops_it(data: Path) -> None:
    async with serving(8) as serve:
        token = serve.server.create_access_token()
        async with connected(serve.server, token=token) as client:
            serve.server.faults.add(
                Fault(
                    path="dataset/export",
                    status=401,
                    body='{"detail":"Invalid token."}',
                    content_type="application/vnd.cvat+json",
                    times=None,
                )
            )
            log = Log()
            report = await ac.mirror(client, data, options=QUICK, on_event=log)
        assert isinstance(report.stopped_by, ac.AuthenticationError)
        assert token not in json.dumps(report.to_json())
        assert len(serve.calls("POST", "dataset/export")) < 8
        assert log.names[-1] == "run_finished"
        assert to_json(log.events[-1])["stopped_by"]["type"] == "AuthenticationError"


async def test_a_token_that_is_revoked_while_exports_are_waited_for_stops_the_run(
    data: Path,
) -> None:
    async with serving(6) as serve:
        serve.server.pause_exports()
        async with connected(serve.server, token=serve.server.create_access_token()) as client:
            serve.server.faults.add(
                Fault(
                    path="^/api/requests",
                    status=401,
                    body='{"detail":"Invalid token."}',
                    content_type="application/vnd.cvat+json",
                    times=None,
                )
            )
            options = replace(QUICK, concurrency=6)
            report = await ac.mirror(client, data, options=options)
        assert isinstance(report.stopped_by, ac.AuthenticationError)
        assert report.count(ac.Action.FETCHED) == 0
        assert staged(data) == []


async def test_a_failed_listing_is_seen_also_where_the_disk_fails_after_it(
    data: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async with serving(1, client={"password": "wrong"}) as serve:

        async def unreadable(_store: MirrorStore, _among: object) -> object:
            await until(lambda: any(call.status == 400 for call in serve.server.calls))
            for _ in range(10):
                await anyio.lowlevel.checkpoint()
            raise ac.StoreError("the disk is gone")

        monkeypatch.setattr(MirrorStore, "receipts", unreadable)
        with pytest.raises(ac.StoreError, match="the disk is gone"):
            await ac.mirror(serve.client, data, options=QUICK)
        gc.collect()
        assert "never retrieved" not in caplog.text


def full(monkeypatch: pytest.MonkeyPatch, effect: str, number: int, after: int) -> None:
    """Let an operation on the disk fail from its `after`-th time on."""
    real: Callable[..., Any] = getattr(disk, effect)
    times = iter(range(1, 1_000_000))

    def failing(*args: Any, **kwargs: Any) -> Any:
        if next(times) >= after:
            raise OSError(number, os.strerror(number))
        return real(*args, **kwargs)

    monkeypatch.setattr(disk, effect, failing)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
async def test_a_full_disk_stops_the_run_and_the_next_one_completes(
    data: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    async with serving(12) as serve:
        with monkeypatch.context() as patch:
            full(patch, "write", number, after=8)
            one_by_one = replace(QUICK, concurrency=1, transfers=1)
            report = await ac.mirror(serve.client, data, options=one_by_one)
        assert isinstance(report.stopped_by, ac.errors.DiskFullError)
        assert any(isinstance(one.error, ac.errors.DiskFullError) for one in report.failures)
        assert len(report.outcomes) < 12
        held = files(data)
        wanted = await serve.archives()
        assert held.items() <= wanted.items()
        for task_id in range(1, 13):
            assert (data / f"task{task_id}").exists() == (
                data / ".asynccvat" / "receipts" / f"{task_id}.json"
            ).exists()
        assert (await ac.mirror(serve.client, data, options=QUICK)).ok
        assert files(data) == wanted


async def test_a_disk_error_of_one_task_stops_no_other(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = disk.mkdir

    def failing(name: str, *, dir_fd: int) -> None:
        if name == "2":
            raise OSError(errno.EACCES, os.strerror(errno.EACCES))
        real(name, dir_fd=dir_fd)

    async with serving(3) as serve:
        monkeypatch.setattr(disk, "mkdir", failing)
        report = await ac.mirror(serve.client, data, options=QUICK)
        assert isinstance(error(report, 2), ac.StoreError)
        assert report.count(ac.Action.FETCHED) == 2
        assert report.stopped_by is None


async def test_a_lock_that_was_taken_over_stops_the_run(data: Path) -> None:
    async with serving(8) as serve:
        log = Log()

        def take_over(_: object) -> None:
            lock = data / ".asynccvat" / "lock"
            lock.unlink(missing_ok=True)
            lock.write_text("somebody else's")

        log.on(ExportRequested, take_over)
        report = await ac.mirror(serve.client, data, options=QUICK, on_event=log)
        assert isinstance(report.stopped_by, ac.StoreLockedError)
        assert report.count(ac.Action.FETCHED) == 0


async def test_a_server_that_answers_now_and_then_is_not_down(data: Path) -> None:
    policy = RetryPolicy(attempts=0)
    async with serving(40, client={"policy": policy}) as serve:
        for nth in range(3, 41):
            if nth % 4:
                serve.server.faults.add(Fault(method="POST", path="dataset", nth=nth, status=500))
        report = await ac.mirror(serve.client, data, options=QUICK)
        assert report.stopped_by is None
        assert report.count(ac.Action.FETCHED) + len(report.failures) == 40
        assert report.count(ac.Action.FETCHED) >= 10


async def test_an_unreachable_server_is_reported_at_once(data: Path) -> None:
    async with serving(1) as serve:
        url = serve.server.url
    async with ac.CvatClient(url, token="a" * 40) as client:
        with pytest.raises(ac.errors.ConnectError):
            await ac.mirror(client, data, options=QUICK)
        with pytest.raises(ac.errors.ConnectError):
            await ac.plan_mirror(client, data)


async def test_an_unusable_destination_is_reported(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    async with serving(1) as serve:
        with pytest.raises(ac.StoreError):
            await ac.mirror(serve.client, tmp_path / "file", options=QUICK)


async def test_receipts_that_cannot_be_read_end_the_run_whatever_the_server_does(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def unreadable(_store: MirrorStore, _among: object) -> object:
        raise ac.StoreError("the disk is gone")

    async with serving(1) as serve:
        monkeypatch.setattr(MirrorStore, "receipts", unreadable)
        with pytest.raises(ac.StoreError, match="the disk is gone"):
            await ac.mirror(serve.client, data, options=QUICK)
