"""Backups of tasks and projects: made, current, continued, kept and listed."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import anyio
import msgspec
import pytest
from engine_serving import Log, Serving, actions, error, outcome, serving, staged

import asynccvat as ac
from asynccvat import errors
from asynccvat.core.records.backups import decode_backup, encode_backup
from asynccvat.errors import ChangeRefusedError, ConfigError, NotFoundError
from asynccvat.events import TransferStarted
from asynccvat.models import BackupCondition, BackupPlan, Job
from asynccvat.simulator import Fault

pytestmark = pytest.mark.anyio

DOWNLOAD = r"/backup/download"


def options(**given: Any) -> ac.BackupOptions:
    return ac.BackupOptions(**({"durable": False} | given))


@pytest.fixture
async def cvat() -> AsyncIterator[Serving]:
    async with serving(3) as running:
        yield running


@pytest.fixture
def dest(tmp_path: Path) -> Path:
    return tmp_path / "backups"


def zips(dest: Path, folder: str) -> list[bytes]:
    return [path.read_bytes() for path in sorted((dest / folder).glob("*.zip"))]


def names_in(archive: bytes) -> set[str]:
    with zipfile.ZipFile(io.BytesIO(archive)) as opened:
        assert opened.testzip() is None
        return set(opened.namelist())


def age(dest: Path, folder: str, days: float) -> None:
    """Make the backups of a folder older: those that are there are of so many days ago."""
    for path in sorted((dest / ".asynccvat" / "backups" / folder).glob("*.json")):
        receipt, members = decode_backup(path.read_bytes())
        moment = datetime.now(UTC) - timedelta(days=days)
        stamp = moment.strftime("%Y-%m-%dT%H%M%SZ")
        (dest / receipt.file).rename(dest / folder / f"{stamp}.zip")
        path.unlink()
        older = msgspec.structs.replace(
            receipt, file=f"{folder}/{stamp}.zip", requested_at=moment.isoformat()
        )
        path.with_name(f"{stamp}.json").write_bytes(encode_backup(older, members))


async def test_each_task_becomes_a_zip_with_a_receipt(cvat: Serving, dest: Path) -> None:
    report = await ac.backup(cvat.client, dest, options=options())

    assert report.ok
    assert actions(report) == dict.fromkeys((1, 2, 3), ("backed up", "new"))
    (archive,) = zips(dest, "task2")
    assert {"task.json", "annotations.json"} <= names_in(archive)
    found = await ac.list_backups(dest, client=cvat.client)
    receipt = found[1].receipt
    assert (receipt.target, receipt.id, receipt.name) == ("task", 2, "street-00002")
    assert (receipt.size, receipt.files) == (len(archive), len(names_in(archive)))
    assert (receipt.state.frames, receipt.state.job_count) == (2, 1)
    assert receipt.origin == cvat.client.origin
    assert found[1].is_whole
    assert found[1].on_server is True
    assert outcome(report, 2).path == dest / receipt.file
    assert staged(dest) == []
    requested = cvat.calls("POST", "/backup/export")
    assert all("lightweight=false" in (call.query or "") for call in requested)


async def test_what_is_current_is_not_backed_up_again(cvat: Serving, dest: Path) -> None:
    await ac.backup(cvat.client, dest, options=options())
    seen = len(cvat.server.calls)
    plan = await ac.plan_backup(cvat.client, dest)
    report = await ac.backup(cvat.client, dest, options=options())

    assert plan.counts == {"keep": 3}
    assert actions(report) == dict.fromkeys((1, 2, 3), ("kept", "unchanged"))
    assert cvat.calls("backup", since=seen) == []
    # The list of tasks and that of their jobs tell all; media are not asked for.
    assert cvat.calls("data/meta") == []


async def test_changed_annotations_and_jobs_make_another_backup(
    cvat: Serving, dest: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await ac.backup(cvat.client, dest, options=options())
    await cvat.annotate(1, shapes=[cvat.box(1)])

    real = ac.CvatClient.iter_jobs

    async def with_a_finished_job(self: Any, *args: Any, **kwargs: Any) -> AsyncIterator[Job]:
        async for job in real(self, *args, **kwargs):
            changed = {"state": "completed"} if job.task_id == 2 else {}
            yield msgspec.structs.replace(job, **changed)

    monkeypatch.setattr(ac.CvatClient, "iter_jobs", with_a_finished_job)
    report = await ac.backup(cvat.client, dest, options=options())

    assert actions(report) == {
        1: ("backed up", "changed"),
        2: ("backed up", "jobs"),
        3: ("kept", "unchanged"),
    }
    assert len(zips(dest, "task1")) == 2
    assert len(await ac.list_backups(dest)) == 5


async def test_a_task_without_data_is_skipped_and_an_unknown_one_fails(
    dest: Path,
) -> None:
    async with serving(2, tasks_without_data=1) as cvat:
        report = await ac.backup(cvat.client, dest, options=options())
        empty = next(one for one in report.outcomes if one.action is ac.Action.SKIPPED)
        assert empty.reason == "no data"
        assert "no data" in empty.warnings[0]

        report = await ac.backup(
            cvat.client, dest, ac.Selection(task_ids=[1, 99]), options=options()
        )
        assert actions(report) == {1: ("kept", "unchanged"), 99: ("failed", "not found")}
        assert isinstance(error(report, 99), NotFoundError)
        assert "cannot back up task 99" in str(error(report, 99))


async def test_projects_are_backed_up_whole(dest: Path) -> None:
    async with serving(4, projects=2) as cvat:
        report = await ac.backup(cvat.client, dest, options=options(projects=True))
        found = await ac.list_backups(dest, client=cvat.client)

        assert {one.target for one in report.outcomes} == {"project"}
        assert [one.receipt.target for one in found] == ["project", "project"]
        assert [one.receipt.state.task_count for one in found] == [2, 2]
        assert "project.json" in names_in(zips(dest, "project1")[0]) or "task_0/task.json" in (
            names_in(zips(dest, "project1")[0])
        )
        # One changed task, named alone, makes its whole project be backed up again.
        changed = next(task for task in await _tasks(cvat) if task.project_id == 2)
        await cvat.annotate(changed.id, shapes=[cvat.box(changed.id)])
        report = await ac.backup(
            cvat.client,
            dest,
            ac.Selection(task_ids=[changed.id]),
            options=options(projects=True),
        )
        assert [(one.task_id, str(one.action)) for one in report.outcomes] == [(2, "backed up")]
        report = await ac.backup(cvat.client, dest, options=options(projects=True))
        assert {one.action for one in report.outcomes} == {ac.Action.KEPT}


async def _tasks(cvat: Serving) -> tuple[Any, ...]:
    return (await cvat.client.tasks()).tasks


async def test_a_lightweight_backup_is_never_taken_for_a_whole_one(
    cvat: Serving, dest: Path
) -> None:
    first = await ac.backup(cvat.client, dest, options=options(lightweight=True))
    assert first.ok
    assert any("lightweight=true" in (call.query or "") for call in cvat.calls("backup/export"))
    found = await ac.list_backups(dest)
    assert {one.receipt.lightweight for one in found} == {True}
    assert not any(one.is_whole for one in found)

    again = await ac.backup(cvat.client, dest, options=options(lightweight=True))
    assert actions(again)[1] == ("kept", "unchanged")
    whole = await ac.backup(cvat.client, dest, options=options())
    assert actions(whole)[1] == ("backed up", "lightweight")


async def test_one_failure_stays_one_and_is_tried_last(cvat: Serving, dest: Path) -> None:
    cvat.server.faults.add(Fault(path=DOWNLOAD, task_id=1, alter_at=300, times=None))
    report = await ac.backup(cvat.client, dest, options=options())

    assert [one.task_id for one in report.failures] == [1]
    assert isinstance(error(report, 1), errors.ArchiveError)
    assert zips(dest, "task1") == []
    assert json.loads((dest / ".asynccvat/failed.json").read_text())["task_ids"] == [1]

    cvat.server.faults.clear()
    report = await ac.backup(cvat.client, dest, options=options())
    assert report.ok
    assert report.count(ac.Action.BACKED_UP) == 1
    assert not (dest / ".asynccvat/failed.json").exists()


async def broken_off(cvat: Serving, dest: Path) -> int:
    """Back task 1 up, whose bytes break off in the midst; return how many are on disk."""
    cvat.server.faults.add(
        Fault(path=DOWNLOAD, nth=2, cut_at=400_000),
        *[Fault(path=DOWNLOAD, nth=number, cut_at=0) for number in range(3, 20)],
    )
    report = await ac.backup(
        cvat.client, dest, ac.Selection(task_ids=[1]), options=options(retries=0)
    )
    assert not report.ok
    cvat.server.faults.clear()
    return (dest / ".asynccvat/staging/task1/backup.zip.part").stat().st_size


@pytest.fixture
async def large() -> AsyncIterator[Serving]:
    async with serving(2, frames=3, frame_bytes=300_000) as running:
        yield running


async def test_a_backup_goes_on_in_another_process_with_the_same_result(
    large: Serving, dest: Path, log: Log
) -> None:
    here = await broken_off(large, dest)
    assert here > 0
    seen = len(large.server.calls)

    report = await ac.backup(large.client, dest, options=options(), on_event=log)

    assert report.ok
    (archive,) = zips(dest, "task1")
    assert names_in(archive)
    assert outcome(report, 1).transferred == len(archive) - here
    assert [event.reused for event in log.of(TransferStarted) if event.task_id == 1] == [here]
    # The result that was there is read, and no other one requested.
    assert large.calls("POST", "/tasks/1/backup/export", since=seen) == []
    assert staged(dest) == []


async def test_a_result_that_is_gone_is_requested_anew(large: Serving, dest: Path) -> None:
    await broken_off(large, dest)
    large.server.faults.add(Fault(path=DOWNLOAD, task_id=1, expire=True, times=1))
    seen = len(large.server.calls)

    report = await ac.backup(large.client, dest, options=options(retries=0))

    assert report.ok
    (archive,) = zips(dest, "task1")
    assert names_in(archive)
    assert len(large.calls("POST", "/tasks/1/backup/export", since=seen)) == 1


async def test_bytes_of_an_earlier_state_are_not_continued(large: Serving, dest: Path) -> None:
    await broken_off(large, dest)
    await large.annotate(1, shapes=[large.box(1)])

    report = await ac.backup(large.client, dest, options=options())

    (archive,) = zips(dest, "task1")
    assert report.ok
    assert outcome(report, 1).transferred >= len(archive)


async def test_bytes_of_a_task_that_is_not_selected_go(large: Serving, dest: Path) -> None:
    await broken_off(large, dest)

    await ac.backup(large.client, dest, ac.Selection(task_ids=[2]), options=options())

    assert staged(dest) == []


# --- what goes -----------------------------------------------------------------------------------


async def test_older_backups_go_only_if_that_is_asked_for(cvat: Serving, dest: Path) -> None:
    await ac.backup(cvat.client, dest, options=options())
    for folder in ("task1", "task2", "task3"):
        age(dest, folder, 40)
    await ac.backup(cvat.client, dest, options=options(force=True))
    assert len(await ac.list_backups(dest)) == 6

    plan = await ac.plan_backup(cvat.client, dest, options=options(keep="30d"))
    assert plan.counts == {"remove": 3, "keep": 3}
    report = await ac.backup(
        cvat.client, dest, ac.Selection(task_ids=[1]), options=options(keep="30d")
    )
    assert report.count(ac.Action.EXPIRED) == 1
    assert len(zips(dest, "task1")) == 1
    assert len(zips(dest, "task2")) == 2
    report = await ac.backup(cvat.client, dest, options=options(keep=1))
    assert report.count(ac.Action.EXPIRED) == 2
    assert len(await ac.list_backups(dest)) == 3


async def test_the_backups_of_a_task_whose_run_failed_stay(cvat: Serving, dest: Path) -> None:
    await ac.backup(cvat.client, dest, options=options())
    age(dest, "task1", 40)
    await ac.backup(cvat.client, dest, options=options(force=True))
    cvat.server.faults.add(Fault(path=DOWNLOAD, task_id=1, alter_at=300, times=None))

    report = await ac.backup(cvat.client, dest, options=options(force=True, keep=1))

    assert [one.task_id for one in report.failures] == [1]
    assert len(zips(dest, "task1")) == 2


async def test_the_last_good_backup_of_a_task_that_is_gone_never_goes(
    cvat: Serving, dest: Path
) -> None:
    await ac.backup(cvat.client, dest, options=options())
    for folder in ("task1", "task2"):
        age(dest, folder, 40)
    await ac.backup(cvat.client, dest, options=options(force=True))
    for number in (1, 2):
        cvat.server.delete_task(number)
    newest = max((dest / "task1").glob("*.zip"))
    content = bytearray(newest.read_bytes())
    content[200] ^= 1
    newest.write_bytes(content)

    report = await ac.backup(cvat.client, dest, options=options(keep=1))

    assert report.guard is not None
    assert "no backup of task 1 is removed" in report.guard
    assert "damaged" in report.guard
    assert "the server does not list the task any more" in report.guard
    assert not report.ok
    assert len(zips(dest, "task1")) == 2
    assert len(zips(dest, "task2")) == 1
    assert any("2 tasks with backups here are not on the server" in one for one in report.warnings)
    found = await ac.list_backups(dest, client=cvat.client)
    assert {one.receipt.id: one.on_server for one in found} == {1: False, 2: False, 3: True}


async def test_no_good_backup_goes_for_a_damaged_one_of_a_task_that_lives(
    cvat: Serving, dest: Path
) -> None:
    await ac.backup(cvat.client, dest, options=options())
    age(dest, "task1", 40)
    await ac.backup(cvat.client, dest, options=options(force=True))
    newest = max((dest / "task1").glob("*.zip"))
    content = bytearray(newest.read_bytes())
    content[200] ^= 1
    newest.write_bytes(content)

    report = await ac.backup(cvat.client, dest, options=options(keep=1))

    assert report.guard is not None
    assert "no backup of task 1 is removed" in report.guard
    assert "Back it up again with -t 1 --force." in report.guard
    assert len(zips(dest, "task1")) == 2
    assert len(zips(dest, "task2")) == 1

    # It is not called gone by a run that does not list it.
    elsewhere = ac.Selection(name="no such name")
    report = await ac.backup(cvat.client, dest, elsewhere, options=options(keep=1, change=True))
    assert report.guard is not None
    assert "Back it up again with -t 1 --force." in report.guard

    mended = await ac.backup(
        cvat.client, dest, ac.Selection(task_ids=[1]), options=options(force=True, keep=1)
    )
    assert mended.ok
    assert len(zips(dest, "task1")) == 1


async def test_a_lightweight_backup_lets_no_good_one_go_for_a_damaged_whole_one(
    cvat: Serving, dest: Path
) -> None:
    await ac.backup(cvat.client, dest, options=options())
    age(dest, "task1", 40)
    await ac.backup(cvat.client, dest, options=options(force=True))
    newest = max((dest / "task1").glob("*.zip"))
    content = bytearray(newest.read_bytes())
    content[200] ^= 1
    newest.write_bytes(content)

    report = await ac.backup(
        cvat.client, dest, options=options(force=True, lightweight=True, keep=1)
    )

    assert report.guard is not None
    assert "no backup of task 1 is removed" in report.guard
    assert len(zips(dest, "task1")) == 3
    assert len(zips(dest, "task2")) == 2


# --- the destination -----------------------------------------------------------------------------


async def test_a_destination_remembers_its_selection(dest: Path) -> None:
    async with serving(4, projects=2) as cvat:
        chosen = ac.Selection(project_ids=[1])
        await ac.backup(cvat.client, dest, chosen, options=options())
        report = await ac.backup(cvat.client, dest, options=options())
        assert len(report.outcomes) == 2
        with pytest.raises(ChangeRefusedError, match=r"cannot use .* for backups"):
            await ac.backup(cvat.client, dest, ac.Selection(project_ids=[2]), options=options())
        report = await ac.backup(cvat.client, dest, options=options(everything=True, change=True))
        assert len(report.outcomes) == 4


async def test_mirrors_and_backups_refuse_each_others_destinations(
    cvat: Serving, dest: Path, tmp_path: Path
) -> None:
    await ac.backup(cvat.client, dest, options=options())
    with pytest.raises(ConfigError, match="holds backups"):
        await ac.mirror(cvat.client, dest)
    await ac.mirror(cvat.client, tmp_path / "mirror", options=ac.MirrorOptions(durable=False))
    with pytest.raises(ConfigError, match="holds a mirror"):
        await ac.backup(cvat.client, tmp_path / "mirror")
    with pytest.raises(ConfigError, match="holds no backups"):
        await ac.list_backups(tmp_path / "nothing")


async def test_a_lost_destination_file_asks_for_the_selection(cvat: Serving, dest: Path) -> None:
    await ac.backup(cvat.client, dest, options=options())
    (dest / ".asynccvat/destination.json").unlink()

    with pytest.raises(ConfigError, match=r"cannot use .* for backups.* was lost or damaged"):
        await ac.backup(cvat.client, dest, options=options())
    report = await ac.backup(cvat.client, dest, options=options(everything=True))
    assert {one.action for one in report.outcomes} == {ac.Action.KEPT}


async def test_a_run_hands_out_its_plan_and_its_outcomes(cvat: Serving, dest: Path) -> None:
    async with ac.open_backup(cvat.client, dest, options=options()) as run:
        seen = [one.task_id async for one in run]
        report = await run.wait()

    assert sorted(seen) == [1, 2, 3]
    assert isinstance(run.plan, BackupPlan)
    assert run.plan.counts == {"back up": 3}
    assert report.ok


# --- verify --------------------------------------------------------------------------------------


async def test_a_verification_reads_every_member_again(cvat: Serving, dest: Path) -> None:
    await ac.backup(cvat.client, dest, options=options())
    clean = await ac.verify(dest)
    assert clean.ok
    assert (clean.tasks, clean.files) == (3, 3)
    assert clean.bytes > 0

    damaged = next((dest / "task1").glob("*.zip"))
    content = bytearray(damaged.read_bytes())
    content[200] ^= 1
    damaged.write_bytes(content)
    next((dest / "task2").glob("*.zip")).unlink()
    longer = next((dest / "task3").glob("*.zip"))
    longer.write_bytes(longer.read_bytes() + b"more")
    (dest / "task3" / "notes.txt").write_text("mine")
    (dest / "other").mkdir()
    report = await ac.verify(dest)

    assert {(problem.task_id, str(problem.kind)) for problem in report.failures} == {
        (1, "corrupted"),
        (2, "missing"),
        (3, "edited"),
    }
    assert {problem.path for problem in report.notes} == {"task3/notes.txt", "other/"}
    assert "differs from the receipt" in report.failures[0].reason
    assert "bytes instead of" in report.failures[2].reason
    found = await ac.list_backups(dest)
    assert [one.condition for one in found] == [
        BackupCondition.PRESENT,
        BackupCondition.MISSING,
        BackupCondition.CHANGED,
    ]


async def test_problems_of_projects_are_said_of_projects(dest: Path) -> None:
    async with serving(2, projects=1) as serve:
        plan = await ac.plan_backup(serve.client, dest, options=options(projects=True))
        assert plan.to_json()["steps"][0]["project_id"] == 1
        await ac.backup(serve.client, dest, options=options(projects=True))
    zip_file = next((dest / "project1").glob("*.zip"))
    zip_file.write_bytes(zip_file.read_bytes()[:-9])
    (dest / "project1" / "notes.txt").write_text("mine")
    report = await ac.verify(dest)
    assert report.target == "project"
    assert [one["project_id"] for one in report.to_json()["problems"]] == [1, 1]
    named = await ac.verify(dest, [1])
    assert [one["task_id"] for one in named.to_json()["problems"]] == [1]


async def test_a_verification_can_be_narrowed(cvat: Serving, dest: Path) -> None:
    await ac.backup(cvat.client, dest, options=options())
    next((dest / "task2").glob("*.zip")).unlink()

    assert (await ac.verify(dest, [1])).ok
    assert (await ac.verify(dest, folders=["task[13]"])).tasks == 2
    named = await ac.verify(dest, [1, 99])
    assert [str(problem.kind) for problem in named.problems] == ["not backed up"]
    with pytest.raises(ConfigError, match="no folder of backups"):
        await ac.verify(dest, folders=["project*"])
    with pytest.raises(ConfigError, match=f"cannot repair '{dest}': it holds backups, not a"):
        await ac.verify(dest, client=cvat.client, repair=True)
    with pytest.raises(ConfigError, match=f"cannot compare '{dest}' with the server: it holds"):
        await ac.verify(dest, client=cvat.client, against_server=True)


async def test_damaged_receipts_are_problems(cvat: Serving, dest: Path) -> None:
    await ac.backup(cvat.client, dest, options=options())
    receipts = dest / ".asynccvat" / "backups"
    next((receipts / "task1").iterdir()).write_text("{")
    path = next((receipts / "task2").iterdir())
    path.write_bytes(path.read_bytes().rsplit(b"\n", 2)[0] + b"\n")

    report = await ac.verify(dest)

    assert {(one.task_id, str(one.kind)) for one in report.failures} == {
        (1, "damaged receipt"),
        (2, "damaged receipt"),
    }


async def test_nothing_blocks_while_a_verification_is_cancelled(cvat: Serving, dest: Path) -> None:
    await ac.backup(cvat.client, dest, options=options())
    with anyio.CancelScope() as scope:
        await ac.verify(dest, on_event=lambda _: scope.cancel())
    assert scope.cancelled_caught
