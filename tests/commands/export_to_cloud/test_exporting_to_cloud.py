"""Let the server write to its cloud storages: keys, records, guards, lookups, backups."""

from __future__ import annotations

import io
import json
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from engine_serving import Log, actions, error, serving

import asynccvat as ac
from asynccvat.client import internals
from asynccvat.core.scheduling.in_flight import InFlight
from asynccvat.core.scheduling.polling import Demand
from asynccvat.errors import (
    ConfigError,
    ExportError,
    ExportFailedError,
    NotFoundError,
    ObjectExistsError,
    StoreLockedError,
)
from asynccvat.events import ExportFinished, ExportRequested, TaskDone
from asynccvat.models import BackupSpec, RequestAccepted, TargetKind
from asynccvat.simulator import Fault
from asynccvat.simulator.queues.archives import ArchiveBytes
from asynccvat.store.journal import Journal

pytestmark = pytest.mark.anyio

QUICK = ac.CloudOptions(durable=False)
WRITTEN = ("written", "new")


@pytest.fixture
def bucket(tmp_path: Path) -> Path:
    folder = tmp_path / "bucket"
    folder.mkdir()
    return folder


def recorded(tmp_path: Path) -> ac.CloudOptions:
    return replace(QUICK, record=tmp_path / "record.jsonl")


async def test_the_server_writes_an_object_for_each_task(bucket: Path) -> None:
    async with serving(3) as serve:
        storage = serve.server.add_cloud_storage(bucket)
        report = await ac.export_to_cloud(
            serve.client, storage.id, "/exports/may/", spec="COCO 1.0", options=QUICK
        )
        assert actions(report) == dict.fromkeys((1, 2, 3), WRITTEN)
        assert report.transferred == 0
        assert not serve.calls("GET", "/dataset/download")
        written = (bucket / "exports/may/task2.zip").read_bytes()
        with zipfile.ZipFile(io.BytesIO(written)) as archive:
            assert any("instances" in name for name in archive.namelist())
        keys = {outcome.location for outcome in report.outcomes}
        assert keys == {f"exports/may/task{number}.zip" for number in (1, 2, 3)}


async def test_an_object_that_is_there_is_refused_without_overwrite(bucket: Path) -> None:
    (bucket / "task1.zip").write_bytes(b"mine")
    async with serving(2) as serve:
        serve.server.add_cloud_storage(bucket)
        report = await ac.export_to_cloud(serve.client, 1, options=QUICK)
        assert actions(report)[2] == WRITTEN
        assert isinstance(error(report, 1), ObjectExistsError)
        assert "--overwrite" in str(error(report, 1))
        assert (bucket / "task1.zip").read_bytes() == b"mine"
        again = await ac.export_to_cloud(serve.client, 1, options=replace(QUICK, overwrite=True))
        assert set(actions(again).values()) == {("written", "overwrite")}
        assert (bucket / "task1.zip").read_bytes() != b"mine"


async def test_with_a_record_only_what_changed_is_exported_again(
    bucket: Path, tmp_path: Path
) -> None:
    options = recorded(tmp_path)
    async with serving(3) as serve:
        serve.server.add_cloud_storage(bucket)
        assert (await ac.export_to_cloud(serve.client, 1, "x", options=options)).ok
        requested = len(serve.calls("POST"))
        again = await ac.export_to_cloud(serve.client, 1, "x", options=options)
        assert set(actions(again).values()) == {("kept", "unchanged")}
        assert len(serve.calls("POST")) == requested
        serve.server.edit_task(2)
        (bucket / "x/task3.zip").unlink()
        changed = await ac.export_to_cloud(serve.client, 1, "x", options=options)
        assert actions(changed) == {1: ("kept", "unchanged"), 2: ("written", "changed"), 3: WRITTEN}
        # Another format replaces our own objects, too.
        other = await ac.export_to_cloud(serve.client, 1, "x", spec="COCO 1.0", options=options)
        assert set(actions(other).values()) == {("written", "changed")}
        lines = (tmp_path / "record.jsonl").read_text().splitlines()
        assert json.loads(lines[-1])["what"] == "COCO 1.0, without images"


async def test_lines_of_a_record_that_cannot_be_read_make_nothing_known(
    bucket: Path, tmp_path: Path
) -> None:
    async with serving(1) as serve:
        serve.server.add_cloud_storage(bucket)
        async with Journal.open(
            tmp_path,
            "record",
            kind="exports to cloud storages",
            origin=serve.client.origin,
            organization=None,
            durable=False,
        ) as journal:
            await journal.note({"key": 5})
            with pytest.raises(StoreLockedError):
                await ac.export_to_cloud(serve.client, 1, options=recorded(tmp_path))
        (bucket / "task1.zip").write_bytes(b"mine")
        report = await ac.export_to_cloud(serve.client, 1, options=recorded(tmp_path))
        assert isinstance(error(report, 1), ObjectExistsError)


async def test_backups_projects_and_jobs_go_there_too(bucket: Path) -> None:
    async with serving(4, projects=2) as serve:
        serve.server.add_cloud_storage(bucket)
        await ac.export_to_cloud(serve.client, 1, "b", spec=BackupSpec(), options=QUICK)
        with zipfile.ZipFile(bucket / "b/task1.zip") as archive:
            assert "task.json" in archive.namelist()
        projects = BackupSpec(target=TargetKind.PROJECT)
        await ac.export_to_cloud(serve.client, 1, "b", spec=projects, options=QUICK)
        with zipfile.ZipFile(bucket / "b/project2.zip") as archive:
            assert "project.json" in archive.namelist()
        jobs = await ac.export_to_cloud(serve.client, 1, options=replace(QUICK, target="jobs"))
        assert jobs.ok
        assert (bucket / "job4.zip").exists()
        assert "job_id" in jobs.to_json()["tasks"][0]


async def test_what_is_not_there_afterwards_is_a_failure(
    bucket: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = recorded(tmp_path)
    async with serving(1) as serve:
        serve.server.add_cloud_storage(bucket)
        monkeypatch.setattr(ArchiveBytes, "save", lambda *_: None)
        report = await ac.export_to_cloud(serve.client, 1, options=options)
        assert isinstance(error(report, 1), ExportError)
        assert "not in the cloud storage" in str(error(report, 1))
        (bucket / "task1.zip").write_bytes(b"mine")
        again = await ac.export_to_cloud(serve.client, 1, options=options)
        assert isinstance(error(again, 1), ObjectExistsError)


async def test_an_export_that_goes_elsewhere_is_waited_for(bucket: Path, log: Log) -> None:
    async with serving(1) as serve:
        serve.server.add_cloud_storage(bucket)
        serve.server.pause_exports()
        await serve.client.request_export(1, ac.ExportSpec())
        log.on(ExportRequested, lambda _: serve.server.release_exports())
        report = await ac.export_to_cloud(serve.client, 1, options=QUICK, on_event=log)
        assert report.ok
        assert [event.created for event in log.of(ExportRequested)] == [False, True]
        assert (bucket / "task1.zip").exists()


async def test_failures_of_the_server_are_told(bucket: Path) -> None:
    async with serving(2, tasks_without_data=1) as serve:
        serve.server.add_cloud_storage(bucket)
        serve.server.faults.add(Fault(export="fail", message="ValueError: broken", task_id=1))
        report = await ac.export_to_cloud(
            serve.client, 1, selection=ac.Selection(task_ids=[1, 2, 99]), options=QUICK
        )
        assert isinstance(error(report, 1), ExportFailedError)
        assert "the server could not export task 1 to 'task1.zip'" in str(error(report, 1))
        assert isinstance(error(report, 99), NotFoundError)
        assert actions(report)[2] == ("skipped", "no data")


async def test_what_failed_before_its_request_is_not_counted_as_still_to_come(
    bucket: Path, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    demands: list[Demand] = []
    decide = InFlight.next_poll

    def next_poll(in_flight: InFlight, demand: Demand) -> Any:
        demands.append(demand)
        return decide(in_flight, demand)

    monkeypatch.setattr(InFlight, "next_poll", next_poll)
    async with serving(2) as serve:
        serve.server.add_cloud_storage(bucket)
        serve.server.faults.add(Fault(method="POST", path="/dataset/export", task_id=1, status=400))
        serve.server.pause_exports()
        log.on(TaskDone, lambda _: serve.server.release_exports())
        report = await ac.export_to_cloud(serve.client, 1, options=QUICK, on_event=log)
    assert [one.ok for one in report.outcomes] == [False, True]
    assert not demands[-1].more_to_request


async def test_storages_that_cannot_be_used_are_refused(bucket: Path, tmp_path: Path) -> None:
    async with serving(1) as serve:
        storage = serve.server.add_cloud_storage(bucket, "lab")
        with pytest.raises(NotFoundError, match="no cloud storage 7"):
            await ac.export_to_cloud(serve.client, 7, options=QUICK)
        bucket.rmdir()
        with pytest.raises(ConfigError, match=r"'lab'.*NOT_FOUND"):
            await ac.export_to_cloud(serve.client, storage.id, options=QUICK)
        with pytest.raises(ConfigError, match=r"end with \.jsonl"):
            await ac.export_to_cloud(
                serve.client, 1, options=replace(QUICK, record=tmp_path / "record.txt")
            )
        with pytest.raises(TypeError, match="prefix"):
            await ac.export_to_cloud(serve.client, 1, 5)  # type: ignore[arg-type]


async def test_a_folder_that_the_server_does_not_list_is_refused(bucket: Path) -> None:
    (bucket / "exports").mkdir()
    (bucket / "exports" / "task1.zip").write_bytes(b"mine")
    async with serving(1) as serve:
        storage = serve.server.world.add_cloud_storage(
            bucket, "lab", "lab", specific_attributes="region=eu&prefix=data%2F"
        )
        assert [name async for name in serve.client.iter_cloud_storage(1, "exports/")] == []
        with pytest.raises(ConfigError, match="Use --prefix 'data/exports'"):
            await ac.export_to_cloud(serve.client, storage.id, "exports", options=QUICK)
        with pytest.raises(ConfigError, match="Use --prefix 'data'"):
            await ac.plan_export_to_cloud(serve.client, storage.id, options=QUICK)
        assert (bucket / "exports" / "task1.zip").read_bytes() == b"mine"
        assert (await ac.export_to_cloud(serve.client, 1, "data/exports", options=QUICK)).ok
        refused = await ac.export_to_cloud(serve.client, 1, "data/exports", options=QUICK)
        assert isinstance(error(refused, 1), ObjectExistsError)


async def test_the_plan_has_reasons_and_changes_nothing(bucket: Path, tmp_path: Path) -> None:
    (bucket / "task1.zip").write_bytes(b"mine")
    async with serving(2) as serve:
        serve.server.add_cloud_storage(bucket)
        plan = await ac.plan_export_to_cloud(serve.client, 1, options=recorded(tmp_path))
        record = plan.to_json()
        assert record["counts"] == {"refuse": 1, "write": 1}
        assert [step["reason"] for step in record["steps"]] == ["exists", "new"]
        assert "--overwrite" in record["steps"][0]["detail"]
        assert not serve.calls("POST", "/dataset/export")
        assert [path.name for path in bucket.iterdir()] == ["task1.zip"]
        assert not (tmp_path / "record.jsonl").exists()


async def test_cloud_storages_are_listed(bucket: Path) -> None:
    async with serving(1) as serve:
        serve.server.add_cloud_storage(bucket, "lab")
        (storage,) = await serve.client.cloud_storages()
        assert (storage.id, storage.display_name, storage.resource) == (1, "lab", "bucket")
        assert await serve.client.cloud_storage_status(1) == "AVAILABLE"
        for number in range(700):
            (bucket / f"{number:03}.zip").touch()
        found = [name async for name in serve.client.iter_cloud_storage(1)]
        assert len(found) == 700


async def test_a_run_that_is_left_cancels_what_waits(bucket: Path, log: Log) -> None:
    async with serving(4) as serve:
        serve.server.add_cloud_storage(bucket)
        serve.server.pause_exports()
        async with ac.open_export_to_cloud(serve.client, 1, options=QUICK, on_event=log) as run:
            async for event in run.events():
                if isinstance(event, ExportRequested):
                    break
        assert run.report.interrupted
        serve.server.release_exports()
        assert not list(bucket.iterdir())


async def test_an_export_that_runs_when_its_run_is_left_is_named(bucket: Path, log: Log) -> None:
    async with serving(1) as serve:
        serve.server.add_cloud_storage(bucket)
        serve.server.faults.add(Fault(export="stick", task_id=1))
        async with ac.open_export_to_cloud(serve.client, 1, options=QUICK, on_event=log) as run:
            await serve.stuck(1)
        (warning,) = run.report.warnings
        assert warning.startswith("the export of task 1 may still be written to the cloud storage")
        serve.server.release_exports()


async def test_an_export_that_the_server_forgets_is_requested_again(bucket: Path, log: Log) -> None:
    async with serving(1) as serve:
        serve.server.add_cloud_storage(bucket)
        serve.server.pause_exports()
        lost = False

        def forget(_: object) -> None:
            nonlocal lost
            if not lost:
                lost = True
                serve.server.forget_requests()
                serve.server.release_exports()

        log.on(ExportRequested, forget)
        report = await ac.export_to_cloud(serve.client, 1, options=QUICK, on_event=log)
        assert report.ok, report.failures
        assert len(log.of(ExportRequested)) == 2


async def test_a_task_that_another_client_exports_again_and_again_fails(
    bucket: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with serving(1) as serve:
        serve.server.add_cloud_storage(bucket)
        request = internals(serve.client).request_to_bucket

        async def collided(*given: Any) -> RequestAccepted:
            return replace(await request(*given), created=False)

        monkeypatch.setattr(internals(serve.client), "request_to_bucket", collided)
        report = await ac.export_to_cloud(serve.client, 1, options=replace(QUICK, retries=1))
        assert "another client of the same user" in str(error(report, 1))


async def test_a_run_that_was_killed_is_continued_by_its_record(
    bucket: Path, tmp_path: Path
) -> None:
    options = recorded(tmp_path)
    async with serving(1) as serve:
        serve.server.add_cloud_storage(bucket)
        assert (await ac.export_to_cloud(serve.client, 1, options=options)).ok
        record = tmp_path / "record.jsonl"
        # Killed after the server wrote the object, and before that was noted.
        record.write_text("".join(record.read_text().splitlines(keepends=True)[:-1]))
        again = await ac.export_to_cloud(serve.client, 1, options=options)
        assert actions(again) == {1: ("written", "changed")}


async def test_a_failed_export_makes_no_object_known(bucket: Path, tmp_path: Path) -> None:
    options = recorded(tmp_path)
    async with serving(1) as serve:
        serve.server.add_cloud_storage(bucket)
        serve.server.faults.add(Fault(export="fail", task_id=1))
        assert not (await ac.export_to_cloud(serve.client, 1, options=options)).ok
        (bucket / "task1.zip").write_bytes(b"mine")
        again = await ac.export_to_cloud(serve.client, 1, options=options)
        assert isinstance(error(again, 1), ObjectExistsError)


def test_an_export_to_a_bucket_has_no_transfers_to_limit() -> None:
    with pytest.raises(TypeError, match="transfers"):
        ac.CloudOptions(transfers=3)  # type: ignore[call-arg]


async def test_conditions_without_meaning_are_refused_rather_than_ignored(bucket: Path) -> None:
    async with serving(2, projects=1) as serve:
        serve.server.add_cloud_storage(bucket)
        for options, selection, flag in (
            (replace(QUICK, target="projects"), ac.Selection(subset="Train"), "--subset"),
            (replace(QUICK, target="projects"), ac.Selection(task_ids=[1]), "--task-id"),
            (replace(QUICK, target="jobs"), ac.Selection(status="completed"), "--status"),
            (replace(QUICK, target="jobs"), ac.Selection(owner="ann"), "--owner"),
            (replace(QUICK, state="completed"), ac.Selection(), "--state"),
        ):
            with pytest.raises(ConfigError, match=f"{flag}: it has no meaning"):
                ac.open_export_to_cloud(serve.client, 1, "x", selection, options=options)
        spec = BackupSpec(target=TargetKind.PROJECT)
        with pytest.raises(ConfigError, match="Give one of them"):
            ac.open_export_to_cloud(
                serve.client, 1, spec=spec, options=replace(QUICK, target="jobs")
            )
        assert not serve.calls("POST", "/dataset/export")


async def test_what_is_named_and_not_there_fails_alone(bucket: Path) -> None:
    async with serving(2, projects=1) as serve:
        serve.server.add_cloud_storage(bucket)
        projects = replace(QUICK, target="projects")
        report = await ac.export_to_cloud(
            serve.client, 1, "x", ac.Selection(project_ids=[1, 99]), options=projects
        )
        assert actions(report) == {1: WRITTEN, 99: ("failed", "not found")}
        jobs = replace(QUICK, target="jobs")
        named = ac.Selection(task_ids=[1, 98])
        report = await ac.export_to_cloud(serve.client, 1, "x", named, options=jobs)
        assert "cannot export the jobs of task 98: there is no such task" in str(error(report, 98))
        assert actions(report)[1] == WRITTEN
        plan = await ac.plan_export_to_cloud(serve.client, 1, "x", named, options=jobs)
        assert plan.to_json()["steps"][-1]["task_id"] == 98


async def test_jobs_are_chosen_by_stage_state_and_type(bucket: Path) -> None:
    async with serving(2) as serve:
        serve.server.add_cloud_storage(bucket)
        for task_id in serve.server.tasks:
            serve.server.change_task(task_id, status="annotation")
        truth = serve.server.world.add_job(1, "ground_truth", (1,)).id
        serve.server.world.change_job(truth, state="completed", stage="acceptance")
        jobs = replace(QUICK, target="jobs")
        for prefix, options in (
            ("state", replace(jobs, state="completed")),
            ("stage", replace(jobs, stage="acceptance")),
            ("type", replace(jobs, type="ground_truth")),
        ):
            report = await ac.export_to_cloud(serve.client, 1, prefix, options=options)
            assert actions(report) == {truth: WRITTEN}
            assert [path.name for path in (bucket / prefix).iterdir()] == [f"job{truth}.zip"]
        with pytest.raises(ConfigError, match="state must be"):
            replace(jobs, state="done")


@pytest.mark.parametrize(
    ("prefix", "why"),
    [
        ("../x", "'..'"),
        ("a/./b", "'.'"),
        ("a//b", "empty part"),
        ("exports\\may", "backslash"),
        ("a\tb", "control character"),
        ("ä" * 500, "bytes"),
    ],
)
async def test_folders_that_storages_take_for_others_are_refused(prefix: str, why: str) -> None:
    async with serving(1) as serve:
        with pytest.raises(ConfigError, match=why):
            ac.open_export_to_cloud(serve.client, 1, prefix)


async def test_an_own_object_stays_known_when_its_next_export_fails(
    bucket: Path, tmp_path: Path
) -> None:
    options = recorded(tmp_path)
    async with serving(1) as serve:
        serve.server.add_cloud_storage(bucket)
        assert (await ac.export_to_cloud(serve.client, 1, options=options)).ok
        serve.server.edit_task(1)
        serve.server.faults.add(Fault(export="fail", task_id=1, times=1))
        assert not (await ac.export_to_cloud(serve.client, 1, options=options)).ok
        again = await ac.export_to_cloud(serve.client, 1, options=options)
        assert actions(again) == {1: ("written", "changed")}


async def test_an_object_that_appears_during_the_run_is_not_replaced(
    bucket: Path, log: Log
) -> None:
    async with serving(3) as serve:
        serve.server.add_cloud_storage(bucket)
        log.on(ExportRequested, lambda _: (bucket / "task3.zip").write_bytes(b"mine"))
        # The second export ends after the folder was listed for the first one.
        log.on(ExportFinished, lambda _: serve.server.pause_exports())
        log.on(TaskDone, lambda _: serve.server.release_exports())
        options = replace(QUICK, concurrency=1)
        report = await ac.export_to_cloud(serve.client, 1, options=options, on_event=log)
        assert {1: WRITTEN, 2: WRITTEN}.items() <= actions(report).items()
        assert isinstance(error(report, 3), ObjectExistsError)
        assert (bucket / "task3.zip").read_bytes() == b"mine"


async def test_a_refused_request_makes_no_object_known(bucket: Path, tmp_path: Path) -> None:
    options = recorded(tmp_path)
    async with serving(1) as serve:
        serve.server.add_cloud_storage(bucket)
        serve.server.faults.add(
            Fault(method="POST", path="/dataset/export", status=403, body='{"detail": "no"}')
        )
        assert not (await ac.export_to_cloud(serve.client, 1, options=options)).ok
        serve.server.faults.clear()
        (bucket / "task1.zip").write_bytes(b"mine")
        again = await ac.export_to_cloud(serve.client, 1, options=options)
        assert isinstance(error(again, 1), ObjectExistsError)
        assert (bucket / "task1.zip").read_bytes() == b"mine"


async def test_an_incomplete_list_is_no_success(bucket: Path) -> None:
    async with serving(2) as serve:
        serve.server.add_cloud_storage(bucket)
        row = '{"id": 1, "name": "x", "size": 2, "data": 1, "updated_date": "2020"}'
        serve.server.faults.add(
            Fault(
                path=r"^/api/tasks(\?|$)",
                status=200,
                body=f'{{"count": 5, "next": null, "previous": null, "results": [{row}]}}',
                content_type="application/vnd.cvat+json",
                times=None,
            )
        )
        report = await ac.export_to_cloud(serve.client, 1, options=QUICK)
        assert actions(report) == {1: WRITTEN}
        assert not report.ok
        assert not report.listing_complete


async def test_tasks_of_another_dimension_are_not_exported_empty(bucket: Path) -> None:
    async with serving(2) as serve:
        serve.server.add_cloud_storage(bucket)
        serve.server.change_task(2, dimension="3d")
        report = await ac.export_to_cloud(serve.client, 1, spec="COCO 1.0", options=QUICK)
        assert actions(report) == {1: WRITTEN, 2: ("skipped", "dimension")}
        named = await ac.export_to_cloud(
            serve.client, 1, "x", ac.Selection(task_ids=[2]), "COCO 1.0", options=QUICK
        )
        assert "cannot export task 2 to 'x/task2.zip': the task is 3d" in str(error(named, 2))
        assert str(error(named, 2)).endswith("with --format 'Kitti Raw Format 1.0'.")
        backup = await ac.export_to_cloud(serve.client, 1, "b", spec=BackupSpec(), options=QUICK)
        assert backup.ok
