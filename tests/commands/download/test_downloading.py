"""Check downloads: named tasks into named folders, each whole or absent, without receipts."""

from __future__ import annotations

import errno
import fcntl
import json
import os
from dataclasses import replace
from pathlib import Path

import anyio
import pytest
from engine_serving import QUICK_DOWNLOAD, Log, actions, error, files, outcome, serving, until

import asynccvat as ac
from asynccvat.archives import bandwidth
from asynccvat.events import ExportRequested, Planned, TransferFinished
from asynccvat.fs import files as disk
from asynccvat.simulator import Fault

pytestmark = pytest.mark.anyio

IMAGES = ac.ExportSpec("COCO 1.0", images=True)


async def test_one_task_lands_in_the_folder_that_was_named(tmp_path: Path) -> None:
    async with serving(2) as serve:
        path = tmp_path / "out" / "deep" / "mine"
        one = await ac.download(serve.client, 2, path, IMAGES, options=QUICK_DOWNLOAD)
        assert (one.action, one.reason, one.path) == (ac.Action.FETCHED, "asked for", path)
        assert files(path) == await serve.archive(2, IMAGES)
        assert [item.name for item in path.parent.iterdir()] == ["mine"]
        listed, downloaded = serve.calls("GET", "/api/tasks")[:2]
        assert listed.path == "/api/tasks"  # which tells the task's dimension
        assert [downloaded] == serve.calls("GET", "dataset/download")[:1]


async def test_the_outcome_names_the_folder_as_the_caller_did(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    async with serving(1) as serve:
        fetched = await ac.download(serve.client, 1, "out/mine", options=QUICK_DOWNLOAD)
        assert (fetched.path, fetched.reason) == (Path("out/mine"), ac.models.Reason.ASKED_FOR)
        assert files(tmp_path / "out/mine") == await serve.archive(1)
        again = await ac.download(
            serve.client, 1, "out/mine", options=QUICK_DOWNLOAD, skip_existing=True
        )
        assert (again.path, again.reason) == (Path("out/mine"), ac.models.Reason.EXISTING)


async def test_a_read_only_folder_is_refused_before_anything_is_exported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("mine")
    async with serving(2) as serve:
        paths = {task_id: tmp_path / "file" / f"task{task_id}" for task_id in (1, 2)}
        with pytest.raises(ac.StoreError, match=r"a file"):
            await ac.download_many(serve.client, paths, options=QUICK_DOWNLOAD)
        with monkeypatch.context() as patched:
            # The user that runs the tests may be allowed to write anywhere.
            patched.setattr("os.access", lambda *_: False)
            with pytest.raises(ac.StoreError, match=r"cannot write to .*/out': Permission denied"):
                await ac.download(
                    serve.client, 1, tmp_path / "out" / "task1", options=QUICK_DOWNLOAD
                )
        assert serve.calls("POST", "export") == []


async def test_an_empty_folder_is_filled(tmp_path: Path) -> None:
    async with serving(1) as serve:
        (tmp_path / "out").mkdir()
        await ac.download(serve.client, 1, tmp_path / "out", options=QUICK_DOWNLOAD)
        assert files(tmp_path / "out") == await serve.archive(1)


async def test_a_durable_download_is_the_same(tmp_path: Path) -> None:
    async with serving(1) as serve:
        await ac.download(serve.client, 1, str(tmp_path / "out"))
        assert files(tmp_path / "out") == await serve.archive(1)


async def test_many_tasks_are_downloaded_at_once(tmp_path: Path, log: Log) -> None:
    async with serving(7) as serve:
        paths = {task_id: tmp_path / f"t{task_id}" for task_id in range(1, 8)}
        report = await ac.download_many(serve.client, paths, options=QUICK_DOWNLOAD, on_event=log)
        assert report.ok
        for task_id, path in paths.items():
            assert files(path) == await serve.archive(task_id)
        assert sorted(path.name for path in tmp_path.iterdir()) == sorted(
            path.name for path in paths.values()
        )
        assert log.names[-1] == "run_finished"
        json.dumps(report.to_json())


async def test_nothing_to_download_is_no_failure() -> None:
    async with serving(1) as serve:
        assert (await ac.download_many(serve.client, {})).ok


async def test_a_filled_folder_is_refused_without_a_call(tmp_path: Path) -> None:
    async with serving(2) as serve:
        path = tmp_path / "out"
        path.mkdir()
        (path / "mine.txt").write_text("mine")
        with pytest.raises(ac.errors.ForeignFolderError, match="the folder holds files already"):
            await ac.download(serve.client, 1, path, options=QUICK_DOWNLOAD)
        with pytest.raises(ac.errors.ForeignFolderError):
            await ac.download(serve.client, 1, path, options=QUICK_DOWNLOAD, skip_existing=True)
        report = await ac.download_many(
            serve.client, {1: path, 2: tmp_path / "other"}, options=QUICK_DOWNLOAD
        )
        assert actions(report) == {1: ("failed", "asked for"), 2: ("fetched", "asked for")}
        assert files(path) == {"mine.txt": b"mine"}
        assert serve.calls("tasks/1/") == []


@pytest.mark.parametrize("export_format", ["CVAT for images 1.1", "COCO 1.0", "PASCAL VOC 1.1"])
async def test_existing_downloads_are_skipped_with_skip_existing(
    tmp_path: Path, export_format: str
) -> None:
    async with serving(2) as serve:
        spec = ac.ExportSpec(export_format)
        paths = {1: tmp_path / "a", 2: tmp_path / "b"}
        await ac.download(serve.client, 1, paths[1], spec, options=QUICK_DOWNLOAD)
        before = files(paths[1])
        report = await ac.download_many(
            serve.client, paths, spec, options=QUICK_DOWNLOAD, skip_existing=True
        )
        assert actions(report) == {1: ("skipped", "existing"), 2: ("fetched", "asked for")}
        assert outcome(report, 1).path == paths[1]
        assert files(paths[1]) == before
        one = await ac.download(
            serve.client, 1, paths[1], spec, options=QUICK_DOWNLOAD, skip_existing=True
        )
        assert one.action is ac.Action.SKIPPED


async def test_leftovers_next_to_an_existing_download_are_removed_unless_locked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with serving(1) as serve:

        async def skipped() -> ac.TaskOutcome:
            return await ac.download(
                serve.client, 1, tmp_path / "a", options=QUICK_DOWNLOAD, skip_existing=True
            )

        await ac.download(serve.client, 1, tmp_path / "a", options=QUICK_DOWNLOAD)
        hidden = tmp_path / ".a.asynccvat"
        (hidden / "staging/tree").mkdir(parents=True)
        (hidden / "lock").touch()
        with (hidden / "lock").open("r+b") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            assert (await skipped()).warnings == ()
        assert hidden.exists(), "another process was writing there"
        with monkeypatch.context() as patched:
            patched.setattr(disk, "rmdir", failing)
            (warning,) = (await skipped()).warnings
            assert "cannot remove the leftovers of a killed download next to" in warning
        assert (await skipped()).warnings == ()
        assert [path.name for path in tmp_path.iterdir()] == ["a"]


def failing(_name: str, *, dir_fd: int) -> None:
    raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(dir_fd))


async def test_an_export_is_replaced_with_replace(tmp_path: Path) -> None:
    async with serving(2) as serve:
        paths = {1: tmp_path / "a", 2: tmp_path / "b"}
        (tmp_path / "b").mkdir()
        (tmp_path / "b/mine.txt").write_text("no export")
        await ac.download(serve.client, 1, paths[1], options=QUICK_DOWNLOAD)
        before = files(paths[1])
        (tmp_path / "a/annotations.xml").write_text("edited")
        plan = await ac.plan_download(serve.client, paths, replace=True)
        assert plan.counts == {"fetch": 1, "refuse": 1}
        report = await ac.download_many(serve.client, paths, options=QUICK_DOWNLOAD, replace=True)
        assert actions(report) == {1: ("fetched", "asked for"), 2: ("failed", "asked for")}
        assert files(paths[1]) == before
        assert files(tmp_path / "a.old-1") == {"annotations.xml": b"edited"}
        (warning,) = outcome(report, 1).warnings
        assert "a.old-1" in warning


async def test_two_tasks_cannot_have_the_same_folder(tmp_path: Path) -> None:
    async with serving(2) as serve:
        for same in (tmp_path / "a", tmp_path / "x" / ".." / "a"):
            with pytest.raises(ac.ConfigError, match="tasks 1 and 2"):
                await ac.download_many(
                    serve.client, {1: tmp_path / "a", 2: same}, options=QUICK_DOWNLOAD
                )
        assert serve.server.calls == []
        assert list(tmp_path.iterdir()) == []


async def test_a_task_that_does_not_exist_is_reported(tmp_path: Path) -> None:
    async with serving(1) as serve:
        with pytest.raises(ac.NotFoundError) as caught:
            await ac.download(serve.client, 9, tmp_path / "out", options=QUICK_DOWNLOAD)
        assert caught.value.task_id == 9
        assert list(tmp_path.iterdir()) == []


async def test_a_task_without_data_fails_with_the_servers_message(tmp_path: Path) -> None:
    async with serving(2, tasks_without_data=1) as serve:
        with pytest.raises(ac.errors.ExportFailedError, match="NoneType"):
            await ac.download(serve.client, 2, tmp_path / "out", options=QUICK_DOWNLOAD)
        assert list(tmp_path.iterdir()) == []


async def test_an_error_that_stops_a_download_is_raised(tmp_path: Path) -> None:
    async with serving(1) as serve:
        with pytest.raises(ac.ConfigError, match="COCO"):
            await ac.download(
                serve.client, 1, tmp_path / "out", ac.ExportSpec("COCO 2.0"), options=QUICK_DOWNLOAD
            )
        assert list(tmp_path.iterdir()) == []


async def test_an_unknown_format_is_raised_for_many_tasks_as_for_one(tmp_path: Path) -> None:
    async with serving(2) as serve:
        paths = {task_id: tmp_path / "out" / f"task{task_id}" for task_id in (1, 2)}
        with pytest.raises(ac.ConfigError, match=r"'COCO 1\.0'"):
            await ac.download_many(serve.client, paths, "COCO 2.0", options=QUICK_DOWNLOAD)
        assert serve.calls("POST", "export") == []
        assert list(tmp_path.iterdir()) == []


async def test_a_folder_below_a_link_to_nothing_is_refused(tmp_path: Path) -> None:
    (tmp_path / "disk").symlink_to(tmp_path / "unmounted")
    async with serving(1) as serve:
        with pytest.raises(ac.ConfigError, match=r"is a link to .*unmounted', which is not there"):
            await ac.download(serve.client, 1, tmp_path / "disk" / "task1", options=QUICK_DOWNLOAD)
        assert [path.name for path in tmp_path.iterdir()] == ["disk"]


async def test_failed_downloads_leave_none_of_the_folders_that_they_made(tmp_path: Path) -> None:
    async with serving(3) as serve:
        serve.server.faults.add(*(Fault(export="fail", task_id=task) for task in (1, 2)))
        (tmp_path / "mine").mkdir()
        paths = {
            1: tmp_path / "new" / "er" / "task1",
            2: tmp_path / "mine" / "task2",
            3: tmp_path / "new" / "task3",
        }
        report = await ac.download_many(serve.client, paths, options=QUICK_DOWNLOAD)
        assert sorted(one.task_id for one in report.failures) == [1, 2]
        assert sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*")) == [
            "mine",
            "new",
            "new/task3",
            "new/task3/annotations.xml",
        ]


async def test_a_broken_archive_leaves_nothing(tmp_path: Path) -> None:
    async with serving(1) as serve:
        serve.server.faults.add(Fault(path="dataset/download", alter_at=200, times=None))
        with pytest.raises(ac.errors.ArchiveError):
            await ac.download(serve.client, 1, tmp_path / "out", options=QUICK_DOWNLOAD)
        assert list(tmp_path.iterdir()) == []


async def test_a_cancelled_download_leaves_nothing(tmp_path: Path) -> None:
    async with serving(1) as serve:
        log = Log()
        with anyio.CancelScope() as scope:
            log.on(TransferFinished, lambda _: scope.cancel())
            await ac.download(
                serve.client, 1, tmp_path / "out", options=QUICK_DOWNLOAD, on_event=log
            )
        assert scope.cancelled_caught
        assert list(tmp_path.iterdir()) in ([], [tmp_path / "out"])
        if (tmp_path / "out").exists():
            assert files(tmp_path / "out") == await serve.archive(1)


async def test_a_folder_filled_during_the_run_is_not_replaced(tmp_path: Path) -> None:
    async with serving(1) as serve:
        log = Log()
        path = tmp_path / "out"
        log.on(ExportRequested, lambda _: path.mkdir())
        log.on(ExportRequested, lambda _: (path / "mine").write_text("mine"))
        with pytest.raises(ac.errors.ForeignFolderError):
            await ac.download(serve.client, 1, path, options=QUICK_DOWNLOAD, on_event=log)
        assert files(path) == {"mine": b"mine"}
        assert list(tmp_path.iterdir()) == [path]


async def test_a_folder_that_another_process_fills_fails_alone(tmp_path: Path) -> None:
    async with serving(4) as serve:
        serve.server.faults.add(
            Fault(path="dataset/download", task_id=1, delay=0.2),
        )
        first: list[ac.TaskOutcome] = []

        async def hold() -> None:
            first.append(await ac.download(serve.client, 1, tmp_path / "a", options=QUICK_DOWNLOAD))

        async with anyio.create_task_group() as group:
            group.start_soon(hold)
            await until(lambda: len(serve.calls("dataset/download")) == 1)
            report = await ac.download_many(
                serve.client,
                {2: tmp_path / "a", 3: tmp_path / "b", 4: tmp_path / "c"},
                options=QUICK_DOWNLOAD,
            )
        assert isinstance(error(report, 2), ac.StoreLockedError)
        assert report.stopped_by is None
        assert report.count(ac.Action.FETCHED) == 2
        assert first[0].ok
        assert files(tmp_path / "a") == await serve.archive(1)


async def test_a_result_that_expired_is_exported_again(tmp_path: Path, log: Log) -> None:
    async with serving(1) as serve:
        serve.server.faults.add(Fault(path="dataset/download", expire=True))
        await ac.download(serve.client, 1, tmp_path / "out", options=QUICK_DOWNLOAD, on_event=log)
        assert log.retries("download") == 1


async def test_a_path_that_cannot_be_a_folder_is_reported(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    async with serving(1) as serve:
        for path in (tmp_path / "file", tmp_path / "file" / "below"):
            with pytest.raises(ac.StoreError):
                await ac.download(serve.client, 1, path, options=QUICK_DOWNLOAD)
        with pytest.raises(ac.ConfigError):
            await ac.download(serve.client, 1, tmp_path / ".asynccvat", options=QUICK_DOWNLOAD)
        assert [item.name for item in tmp_path.iterdir()] == ["file"]


async def test_an_adopted_export_has_to_be_seen_queued(tmp_path: Path, log: Log) -> None:
    async with serving(1) as serve:
        serve.server.faults.add(Fault(export="stick"))
        accepted = await serve.client.request_export(1, ac.ExportSpec())
        await until(lambda: serve.server.requests[accepted.rq_id].status == "started")
        serve.server.edit_task(1)
        log.on(ExportRequested, lambda _: serve.server.release_exports())
        await ac.download(serve.client, 1, tmp_path / "out", options=QUICK_DOWNLOAD, on_event=log)
        assert [event.created for event in log.of(ExportRequested)] == [False, True]
        assert files(tmp_path / "out") == await serve.archive(1)


async def test_all_downloads_share_one_bandwidth(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[int] = []
    real = bandwidth.Bandwidth.__init__

    def counted(self: bandwidth.Bandwidth, rate: int, surroundings: object) -> None:
        made.append(rate)
        real(self, rate, surroundings)  # type: ignore[arg-type]  # passed through

    monkeypatch.setattr(bandwidth.Bandwidth, "__init__", counted)
    async with serving(3) as serve:
        paths = {task_id: tmp_path / str(task_id) for task_id in (1, 2, 3)}
        options = replace(QUICK_DOWNLOAD, bandwidth=50_000_000)
        assert (await ac.download_many(serve.client, paths, options=options)).ok
        assert made == [50_000_000]


async def test_the_plan_of_a_download_is_told_before_the_exports(tmp_path: Path, log: Log) -> None:
    (tmp_path / "task1").mkdir()
    (tmp_path / "task1" / "mine").write_text("mine")
    async with serving(3) as serve:
        paths = {task_id: tmp_path / f"task{task_id}" for task_id in (1, 2, 3)}
        await ac.download_many(serve.client, paths, options=QUICK_DOWNLOAD, on_event=log)
    planned = Planned(fetch=2, keep=0, skip=0, move=0, remove=0, refuse=1)
    assert log.of(Planned) == [planned]
    first = log.of(ExportRequested)[0]
    assert log.events.index(planned) < log.events.index(first)
