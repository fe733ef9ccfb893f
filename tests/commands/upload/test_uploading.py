"""Check uploads of many files: outcomes, bounds, refusals, stops and cancellations."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import Any

import anyio
import pytest
from engine_serving import Log, Serving, actions, connected, data, error, files, serving, until

import asynccvat as ac
from asynccvat.core.scheduling.in_flight import InFlight
from asynccvat.core.scheduling.polling import Demand
from asynccvat.events import (
    ImportFinished,
    ImportRequested,
    Planned,
    TaskDone,
    TaskStarted,
    UploadProgress,
    UploadStarted,
)
from asynccvat.simulator import Fault

__all__ = ["data"]

pytestmark = pytest.mark.anyio

QUICK = ac.UploadOptions(durable=False, backup=False)
LOSSY = ac.UploadOptions(durable=False, backup=False, lossy=True)
"""The tasks have tags, points and attributes, which most formats do not carry."""
EMPTYING = ac.UploadOptions(durable=False, backup=False, allow_empty=True)
CVAT = "annotations.xml"


async def exported(serve: Serving, place: Path, spec: ac.ExportSpec | None = None) -> None:
    """Put each task's export into a plain folder without receipts."""
    for path, content in (await serve.archives(spec)).items():
        target = place / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)


def edit(path: Path, old: str = 'occluded="0"', new: str = 'occluded="1"') -> None:
    text = path.read_text("utf-8")
    assert old in text
    path.write_text(text.replace(old, new), "utf-8")


async def test_every_folder_of_tasks_is_uploaded_and_the_server_holds_what_was_sent(
    data: Path, log: Log
) -> None:
    async with serving(4) as serve:
        await exported(serve, data)
        (data / "notes").mkdir()
        for path in data.glob(f"task*/{CVAT}"):
            edit(path)
        report = await ac.upload(serve.client, data, options=QUICK, on_event=log)
        assert report.ok
        assert actions(report) == dict.fromkeys(range(1, 5), ("uploaded", "found"))
        assert report.transferred == sum(len(content) for content in files(data).values())
        for number in range(1, 5):
            assert b'occluded="0"' not in (await serve.archive(number))[CVAT]
    for kind in (UploadStarted, UploadProgress, ImportRequested, ImportFinished, TaskDone):
        assert len(log.of(kind)) == 4
    assert log.of(Planned)[0].upload == 4
    assert log.names[-1] == "run_finished"
    # The folder gets no receipts.
    assert not (data / ".asynccvat").exists()


async def test_named_tasks_are_uploaded_and_no_others(data: Path) -> None:
    async with serving(3) as serve:
        await exported(serve, data)
        report = await ac.upload(serve.client, data, [3, 1, 3], options=QUICK)
        assert actions(report) == {3: ("uploaded", "asked for"), 1: ("uploaded", "asked for")}


async def test_what_failed_before_its_request_is_not_counted_as_still_to_come(
    data: Path, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    demands: list[Demand] = []
    decide = InFlight.next_poll

    def next_poll(in_flight: InFlight, demand: Demand) -> Any:
        demands.append(demand)
        return decide(in_flight, demand)

    monkeypatch.setattr(InFlight, "next_poll", next_poll)
    async with serving(2) as serve:
        await exported(serve, data)
        demands.clear()
        log.on(TaskStarted, lambda _: (data / "task1" / CVAT).unlink(missing_ok=True))
        serve.server.pause_imports()
        log.on(TaskDone, lambda _: serve.server.release_imports())
        report = await ac.upload(serve.client, data, options=QUICK, on_event=log)
    assert actions(report) == {1: ("failed", "found"), 2: ("uploaded", "found")}
    assert not demands[-1].more_to_request


async def test_pairs_name_files_and_folders_anywhere(data: Path, tmp_path: Path) -> None:
    async with serving(2) as serve:
        await exported(serve, data)
        loose = tmp_path / "street.xml"
        (data / "task1" / CVAT).rename(loose)
        edit(loose)
        report = await ac.upload(serve.client, {1: loose, 2: data / "task2"}, options=QUICK)
        assert report.ok
        assert {outcome.path for outcome in report.outcomes} == {loose, data / "task2" / CVAT}
        assert b'occluded="0"' not in (await serve.archive(1))[CVAT]


@pytest.mark.parametrize(
    "name", ["COCO 1.0", "Datumaro 1.0", "PASCAL VOC 1.1", "Ultralytics YOLO Detection 1.0"]
)
async def test_a_folder_of_any_format_restores_its_annotations(data: Path, name: str) -> None:
    spec = ac.ExportSpec(name)
    async with serving(1, subsets=("Train",)) as serve:
        await exported(serve, data, spec)
        boxes = await _boxes(serve)
        (data / "empty.xml").write_bytes(b"<annotations/>")
        assert (await ac.upload(serve.client, {1: data / "empty.xml"}, options=EMPTYING)).ok
        assert await _boxes(serve) == 0
        report = await ac.upload(serve.client, {1: data / "task1"}, format=name, options=QUICK)
        assert [outcome.failure for outcome in report.outcomes] == [""]
        assert 0 < await _boxes(serve) <= boxes


async def _boxes(serve: Serving) -> int:
    """Return the shapes of task 1 as the server exports them."""
    return (await serve.archive(1))[CVAT].count(b"source=")


async def test_a_packed_folder_is_the_same_zip_each_time_without_images(data: Path) -> None:
    spec = ac.ExportSpec("Ultralytics YOLO Detection 1.0", images=True)
    async with serving(1) as serve:
        await exported(serve, data, spec)
        sizes = []
        for _ in range(2):
            report = await ac.upload(serve.client, data, format=spec.format, options=LOSSY)
            assert report.ok
            sizes.append(report.transferred)
            packed = [path for path in files(data) if "/images/" not in path]
            assert report.outcomes[0].files == len(packed)
        assert sizes[0] == sizes[1]
    assert [path for path in files(data) if "/images/" in path]


async def test_a_zip_in_the_folder_is_uploaded(data: Path) -> None:
    async with serving(1) as serve:
        tree = await serve.archive(1)
        content = io.BytesIO()
        with zipfile.ZipFile(content, "w") as archive:
            archive.writestr(CVAT, tree[CVAT].replace(b'occluded="0"', b'occluded="1"'))
        (data / "task1").mkdir(parents=True)
        (data / "task1" / "street.zip").write_bytes(content.getvalue())
        report = await ac.upload(serve.client, data, options=QUICK)
        assert report.ok
        assert b'occluded="0"' not in (await serve.archive(1))[CVAT]


# --- refused ------------------------------------------------------------------------------------


async def test_wrong_files_are_refused_and_the_others_are_uploaded(data: Path) -> None:
    async with serving(6, tasks_without_data=1) as serve:
        await exported(serve, data)
        (data / "task1" / CVAT).write_bytes(b"")
        (data / "task2" / CVAT).write_bytes(b"<html><body>502</body></html>")
        (data / "task3" / CVAT).unlink()
        without = next(number for number, task in serve.server.tasks.items() if task.size is None)
        for number in (without, 99):
            (data / f"task{number}").mkdir(exist_ok=True)
            (data / f"task{number}" / CVAT).write_bytes(b"<annotations/>")
        wanted = [1, 2, 3, 4, 55, 99, without]
        report = await ac.upload(serve.client, data, wanted, options=QUICK)
        assert [outcome.task_id for outcome in report.outcomes if outcome.ok] == [4]
        assert "is empty" in str(error(report, 1))
        assert "HTML page" in str(error(report, 2))
        assert "holds none of annotations_pseudo.xml" in str(error(report, 3))
        assert "task55': there is no such file or folder" in str(error(report, 55))
        assert isinstance(error(report, 99), ac.NotFoundError)
        assert "has no data yet" in str(error(report, without))
        sent = {call.path.split("/")[3] for call in serve.calls("POST", "/annotations")}
        assert sent == {"4"}


async def test_if_nothing_can_be_uploaded_no_call_is_made(
    tmp_path: Path,
) -> None:
    async with serving(1) as serve:
        (tmp_path / "empty.xml").write_bytes(b"")
        before = len(serve.server.calls)
        report = await ac.upload(serve.client, {1: tmp_path / "empty.xml", 2: tmp_path / "absent"})
        assert len(report.failures) == 2
        assert serve.server.calls[before:] == []


async def test_a_file_that_the_format_cannot_read_is_refused_before_it_is_sent(data: Path) -> None:
    async with serving(1) as serve:
        await exported(serve, data)
        with pytest.raises(ac.ConfigError, match="has no such importer"):
            await ac.upload(serve.client, data, format="CVAT 2.0")
        pair = {1: data / "task1" / CVAT}
        report = await ac.upload(serve.client, pair, format="COCO 1.0")
        assert "it is XML, and 'COCO 1.0' reads JSON or ZIP" in str(error(report, 1))
        with pytest.raises(ac.ConfigError, match="cannot append"):
            await ac.upload(serve.client, data, options=ac.UploadOptions(mode="append"))
        assert serve.calls("POST", "/annotations") == []


async def test_a_missing_folder_or_one_without_tasks_is_refused(data: Path, tmp_path: Path) -> None:
    async with serving(1) as serve:
        with pytest.raises(ac.ConfigError, match="cannot read"):
            await ac.upload(serve.client, data)
        (tmp_path / "job1").mkdir()
        with pytest.raises(ac.ConfigError, match="holds no task's folder, like 'task147'"):
            await ac.upload(serve.client, tmp_path)
        with pytest.raises(ac.ConfigError, match="the files name their tasks already"):
            await ac.upload(serve.client, {1: data}, [1])
        with pytest.raises(ac.ConfigError, match="positive whole numbers"):
            await ac.upload(serve.client, {0: data})


# --- many ---------------------------------------------------------------------------------------


async def test_a_failed_import_stops_no_other(data: Path) -> None:
    async with serving(5) as serve:
        await exported(serve, data)
        serve.server.faults.add(Fault(importing="fail", task_id=3, message="Boom: no\n"))
        report = await ac.upload(serve.client, data, options=QUICK)
        (failure,) = report.failures
        assert failure.task_id == 3
        assert isinstance(failure.error, ac.errors.ImportFailedError)
        assert str(failure.error).endswith("annotations.xml' into task 3: Boom: no")
        with pytest.raises(ac.TasksFailedError, match="1 of 5 tasks failed"):
            report.raise_for_failures()


async def test_a_fixed_number_of_imports_in_flight_is_obeyed(data: Path, log: Log) -> None:
    async with serving(6) as serve:
        await exported(serve, data)
        serve.server.pause_imports()
        options = ac.UploadOptions(durable=False, backup=False, concurrency=2)
        async with ac.open_upload(serve.client, data, options=options, on_event=log) as run:
            await until(lambda: len(serve.calls("POST", "/annotations")) == 2)
            looks = len(serve.calls("GET", "/api/requests"))
            await until(lambda: len(serve.calls("GET", "/api/requests")) >= looks + 3)
            assert len(serve.calls("POST", "/annotations")) == 2
            serve.server.release_imports()
            assert (await run.wait()).count(ac.Action.UPLOADED) == 6


async def test_outcomes_come_as_tasks_end(data: Path) -> None:
    async with serving(3) as serve:
        await exported(serve, data)
        async with ac.open_upload(serve.client, data, options=QUICK) as run:
            landed = [outcome.task_id async for outcome in run]
        assert sorted(landed) == [1, 2, 3]
        assert run.report.count(ac.Action.UPLOADED) == 3


async def test_refused_credentials_stop_the_run(data: Path) -> None:
    async with serving(3) as serve:
        await exported(serve, data)
        serve.server.faults.add(Fault(method="POST", path="/annotations", status=401, times=None))
        report = await ac.upload(serve.client, data, options=QUICK)
        assert isinstance(report.stopped_by, ac.AuthenticationError)
        assert report.interrupted


async def test_a_server_that_takes_no_file_stops_the_run(data: Path) -> None:
    async with serving(70) as serve:
        await exported(serve, data)
        async with connected(serve.server, policy=ac.RetryPolicy(attempts=0)) as client:
            await client.formats()
            serve.server.faults.add(
                Fault(method="POST", path="/annotations", status=502, times=None)
            )
            report = await ac.upload(client, data, options=QUICK)
        assert report.stopped_by is not None
        assert "the server fails for every task" in str(report.stopped_by)


# --- cancelled ----------------------------------------------------------------------------------


async def test_a_cancelled_run_cancels_its_queued_imports(data: Path, log: Log) -> None:
    async with serving(4) as serve:
        await exported(serve, data)
        before = {number: await serve.archive(number) for number in range(1, 5)}
        serve.server.pause_imports()
        imports = ac.UploadOptions(durable=False, backup=False, concurrency=4)
        async with ac.open_upload(serve.client, data, options=imports, on_event=log) as run:
            await until(lambda: len(log.of(ImportRequested)) == 4)
        assert run.report.interrupted
        assert run.report.warnings == ()
        assert len(serve.calls("POST", "/cancel")) == 4
        serve.server.release_imports()
        assert serve.server.imports == []
        assert {number: await serve.archive(number) for number in range(1, 5)} == before


async def test_begun_imports_are_named_after_a_cancellation(data: Path, log: Log) -> None:
    async with serving(1) as serve:
        await exported(serve, data)
        serve.server.faults.add(Fault(importing="stick"))
        async with ac.open_upload(serve.client, data, options=QUICK, on_event=log) as run:
            await serve.stuck_importing(1)
        serve.server.release_imports()
        (warning,) = run.report.warnings
        assert warning == (
            "cannot cancel the import into task 1: the server runs it, or has ended it. "
            "Look there before you upload again."
        )


async def test_one_command_takes_all_begun_imports_of_a_mirror_back(data: Path) -> None:
    async with serving(2, import_workers=2) as serve:
        assert (await ac.mirror(serve.client, data, options=ac.MirrorOptions(durable=False))).ok
        for path in data.glob(f"task*/{CVAT}"):
            path.write_text(path.read_text().replace('occluded="0"', 'occluded="1"', 1))
        serve.server.faults.add(Fault(importing="stick", times=None))
        keeping = ac.UploadOptions(durable=False)
        async with ac.open_upload(serve.client, data, options=keeping) as run:
            await serve.stuck_importing(1)
            await serve.stuck_importing(2)
        serve.server.release_imports()
        (warning,) = run.report.warnings
        assert warning.endswith(
            f" `asynccvat upload --undo -t 1,2 -i {data} --overwrite` puts back what tasks 1, 2 "
            "held before."
        )


async def test_a_cancellation_during_the_request_loses_no_import(data: Path) -> None:
    async with serving(1) as serve:
        await exported(serve, data)
        serve.server.pause_imports()
        with anyio.CancelScope() as scope:
            async with ac.open_upload(serve.client, data, options=QUICK) as run:
                await until(lambda: bool(serve.calls("POST", "/annotations")))
                scope.cancel()
        assert run.report.interrupted
        assert len(serve.calls("POST", "/cancel")) == 1
        serve.server.release_imports()
        assert not [rq_id for rq_id in serve.server.requests if "import" in rq_id]


# --- the plan -----------------------------------------------------------------------------------


async def test_a_plan_changes_nothing_here_or_there(data: Path) -> None:
    async with serving(2) as serve:
        await exported(serve, data)
        before = files(data, own=True)
        plan = await ac.plan_upload(serve.client, data, [1, 2, 7], options=QUICK)
        assert plan.counts == {"upload": 2, "refuse": 1}
        assert files(data, own=True) == before
        assert serve.calls("POST", "/annotations") == []
