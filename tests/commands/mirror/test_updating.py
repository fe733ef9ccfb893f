"""Check runs after the first: changes at the server, changes here, and foreign folders."""

from __future__ import annotations

import errno
import shutil
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import anyio
import pytest
from engine_serving import (
    QUICK,
    Log,
    Serving,
    actions,
    error,
    files,
    kept,
    outcome,
    receipt_head,
    serving,
    staged,
)

import asynccvat as ac
from asynccvat.core.records.receipts import Receipt
from asynccvat.events import Planned
from asynccvat.fs import files as disk
from asynccvat.simulator import Fault
from asynccvat.store import Committed, MirrorStore, Staging
from asynccvat.store.layout import INTENT

pytestmark = pytest.mark.anyio

PRUNE = replace(QUICK, prune=True, max_delete="100%")
CHANGE = replace(QUICK, change=True)
XML = "annotations.xml"


@pytest.fixture
async def serve(data: Path) -> AsyncIterator[Serving]:
    """A server of four tasks, mirrored once."""
    async with serving(4) as started:
        report = await ac.mirror(started.client, data, options=QUICK)
        assert report.ok
        yield started


async def again(
    serve: Serving,
    data: Path,
    options: ac.MirrorOptions = QUICK,
    *,
    selection: ac.Selection | None = None,
    spec: ac.ExportSpec | None = None,
) -> ac.RunReport:
    return await ac.mirror(serve.client, data, selection, spec, options=options)


# Changed at the server


async def test_only_what_changed_is_fetched(serve: Serving, data: Path) -> None:
    serve.server.edit_task(2)
    serve.server.rename_task(3, "another name")
    report = await again(serve, data)
    assert actions(report) == {
        1: ("kept", "unchanged"),
        2: ("fetched", "changed"),
        3: ("fetched", "changed"),
        4: ("kept", "unchanged"),
    }
    assert files(data) == await serve.archives()
    assert receipt_head(data, 3)["task_name"] == "another name"
    assert kept(data) == {}


async def test_an_updated_date_that_went_back_is_a_change(serve: Serving, data: Path) -> None:
    task = serve.server.tasks[2]
    serve.server.tasks[2] = replace(task, updated_date=task.created_date.replace(year=2020))
    serve.server.world.version += 1
    assert actions(await again(serve, data))[2] == ("fetched", "changed")
    assert actions(await again(serve, data))[2] == ("kept", "unchanged")


async def test_a_task_edited_while_it_was_exported_is_fetched_again_next_run(
    serve: Serving, data: Path
) -> None:
    serve.server.edit_task(2)
    log = Log()
    log.on(Planned, lambda _: serve.server.edit_task(2))
    first = await ac.mirror(serve.client, data, options=QUICK, on_event=log)
    assert actions(first)[2] == ("fetched", "changed")
    assert actions(await again(serve, data))[2] == ("fetched", "changed")
    assert actions(await again(serve, data))[2] == ("kept", "unchanged")
    assert files(data) == await serve.archives()


async def test_a_new_task_joins(serve: Serving, data: Path) -> None:
    serve.server.add_task("new", frames=1)
    assert actions(await again(serve, data))[5] == ("fetched", "new")
    assert files(data) == await serve.archives()


async def test_another_format_replaces(serve: Serving, data: Path) -> None:
    coco = ac.ExportSpec("COCO 1.0", images=True)
    report = await again(serve, data, CHANGE, spec=coco)
    assert set(actions(report).values()) == {("fetched", "spec")}
    assert files(data) == await serve.archives(coco)
    report = await again(serve, data, CHANGE, spec=ac.ExportSpec("COCO 1.0"))
    assert set(actions(report).values()) == {("fetched", "spec")}
    assert files(data) == await serve.archives(ac.ExportSpec("COCO 1.0"))


async def test_a_task_that_lost_its_data_is_kept_with_its_reason(
    serve: Serving, data: Path
) -> None:
    before = files(data)
    serve.server.tasks[2] = replace(serve.server.tasks[2], size=None)
    serve.server.world.version += 1
    assert actions(await again(serve, data))[2] == ("kept", "no data")
    assert files(data) == before


# Changed here


async def test_missing_files_are_fetched(serve: Serving, data: Path) -> None:
    (data / "task2" / XML).unlink()
    shutil.rmtree(data / "task3")
    report = await again(serve, data)
    assert actions(report)[2] == actions(report)[3] == ("fetched", "missing")
    assert actions(report)[1] == ("kept", "unchanged")
    assert files(data) == await serve.archives()


async def test_trusted_receipts_need_no_check_of_files(serve: Serving, data: Path) -> None:
    (data / "task2" / XML).unlink()
    report = await again(serve, data, replace(QUICK, trust_receipts=True))
    assert actions(report)[2] == ("kept", "unchanged")


async def test_edited_files_are_kept_with_a_warning(serve: Serving, data: Path) -> None:
    (data / "task2" / XML).write_text("mine")
    report = await again(serve, data)
    assert report.ok
    assert actions(report)[2] == ("kept", "edited")
    assert "--force" in outcome(report, 2).warnings[0]
    assert (data / "task2" / XML).read_text() == "mine"


async def test_an_added_file_is_not_an_edit(serve: Serving, data: Path) -> None:
    (data / "task2" / "notes.txt").write_text("mine")
    assert actions(await again(serve, data))[2] == ("kept", "unchanged")
    assert (data / "task2" / "notes.txt").read_text() == "mine"


async def test_force_fetches_all_and_quarantines_edited_files(serve: Serving, data: Path) -> None:
    (data / "task2" / XML).write_text("mine")
    (data / "task3" / "notes.txt").write_text("mine, too")
    report = await again(serve, data, replace(QUICK, force=True))
    assert set(actions(report).values()) == {("fetched", "forced")}
    assert files(data) == await serve.archives()
    assert kept(data) == {XML: b"mine", "notes.txt": b"mine, too"}
    assert "kept" in outcome(report, 2).warnings[0]
    assert outcome(report, 1).warnings == ()


async def test_edited_files_of_a_changed_task_are_quarantined(serve: Serving, data: Path) -> None:
    (data / "task2" / XML).write_text("mine")
    serve.server.edit_task(2)
    report = await again(serve, data)
    assert actions(report)[2] == ("fetched", "changed")
    assert kept(data) == {XML: b"mine"}
    assert files(data) == await serve.archives()


async def test_a_recovered_commit_reports_where_edited_files_are(
    serve: Serving, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (data / "task2" / XML).write_text("mine")
    serve.server.edit_task(2)
    real, refused = disk.rename, [INTENT]

    def rename(name: str, new_name: str, *, dir_fd: int, new_dir_fd: int) -> None:
        if name in refused:
            refused.remove(name)
            raise PermissionError(errno.EACCES, "once")
        real(name, new_name, dir_fd=dir_fd, new_dir_fd=new_dir_fd)

    monkeypatch.setattr(disk, "rename", rename)
    report = await again(serve, data)
    assert actions(report)[2] == ("failed", "changed")
    assert kept(data) == {XML: b"mine"}
    (warning,) = report.warnings
    assert str(data / ".asynccvat" / "kept") in warning
    assert "unchanged" in actions(await again(serve, data))[2]


async def test_a_folder_with_a_damaged_receipt_is_foreign_until_adopted(
    serve: Serving, data: Path
) -> None:
    (data / ".asynccvat" / "receipts" / "2.json").write_text("{")
    report = await again(serve, data)
    assert actions(report)[2] == ("failed", "foreign")
    assert isinstance(error(report, 2), ac.errors.ForeignFolderError)
    assert any("receipts/2.json" in warning for warning in report.warnings)
    report = await again(serve, data, replace(QUICK, adopt=True))
    assert actions(report)[2] == ("fetched", "new")
    assert files(data) == await serve.archives()


# Other folders


async def test_another_prefix_renames_the_folders(serve: Serving, data: Path) -> None:
    before = len(serve.calls("dataset"))
    options = replace(QUICK, change=True, folder_prefix="job-")
    report = await again(serve, data, options)
    assert set(actions(report).values()) == {("moved", "prefix")}
    assert outcome(report, 2).path == data / "job-2"
    assert len(serve.calls("dataset")) == before
    assert files(data) == await serve.archives(prefix="job-")
    assert set(actions(await again(serve, data, options)).values()) == {("kept", "unchanged")}


async def test_another_prefix_and_a_change_are_one_fetch(serve: Serving, data: Path) -> None:
    serve.server.edit_task(2)
    shutil.rmtree(data / "task3")
    report = await again(serve, data, replace(QUICK, change=True, folder_prefix="job-"))
    assert report.ok, report.failures
    assert actions(report) == {
        1: ("moved", "prefix"),
        2: ("fetched", "changed"),
        3: ("fetched", "missing"),
        4: ("moved", "prefix"),
    }
    assert files(data) == await serve.archives(prefix="job-")


async def test_edits_move_with_a_renamed_folder(serve: Serving, data: Path) -> None:
    (data / "task2" / XML).write_text("mine")
    (data / "task3" / XML).write_text("mine, too")
    serve.server.edit_task(3)
    report = await again(serve, data, replace(QUICK, change=True, folder_prefix="job-"))
    assert actions(report)[2] == ("moved", "prefix")
    assert (data / "job-2" / XML).read_text() == "mine"
    assert actions(report)[3] == ("fetched", "changed")
    assert kept(data) == {XML: b"mine, too"}
    assert not (data / "task3").exists()


async def test_a_failed_fetch_under_another_prefix_leaves_the_folder_where_it_was(
    serve: Serving, data: Path
) -> None:
    serve.server.edit_task(2)
    serve.server.faults.add(Fault(export="fail", task_id=2))
    options = replace(QUICK, change=True, folder_prefix="job-")
    assert actions(await again(serve, data, options))[2] == ("failed", "changed")
    assert (data / "task2" / XML).is_file()
    assert actions(await again(serve, data, options))[2] == ("fetched", "changed")
    assert files(data) == await serve.archives(prefix="job-")


async def test_folders_whose_new_names_are_taken_by_others_are_renamed_in_one_run(
    data: Path,
) -> None:
    async with serving(12, frames=1) as serve:
        for prefix in ("task", "task1", "task", "task11"):
            report = await again(serve, data, replace(QUICK, change=True, folder_prefix=prefix))
            assert report.ok, report.failures
            assert files(data) == await serve.archives(prefix=prefix)


async def test_a_foreign_folder_is_refused_and_nothing_of_it_is_touched(data: Path) -> None:
    (data / "task2").mkdir(parents=True)
    (data / "task2" / "mine.txt").write_text("mine")
    async with serving(3) as serve:
        report = await again(serve, data)
        assert actions(report) == {
            1: ("fetched", "new"),
            2: ("failed", "foreign"),
            3: ("fetched", "new"),
        }
        refused = error(report, 2)
        assert isinstance(refused, ac.errors.ForeignFolderError)
        assert "--adopt" in str(refused)
        assert files(data / "task2") == {"mine.txt": b"mine"}
        assert serve.calls("POST", "/api/tasks/2/") == []

        report = await again(serve, data, replace(QUICK, adopt=True))
        assert actions(report)[2] == ("fetched", "new")
        assert files(data) == await serve.archives()
        assert kept(data) == {"mine.txt": b"mine"}


async def test_a_kept_archive_is_published_before_its_folder_and_rolled_back_with_it(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archives = data / ".asynccvat" / "archives"
    before: dict[int, bool] = {}
    real = MirrorStore.commit

    async def commit(
        store: MirrorStore, staging: Staging, receipt: Receipt, *, adopt: bool = False
    ) -> Committed:
        # If the run is killed here, the task is not done, and is fetched again with its archive.
        archive = anyio.Path(archives / f"{staging.task_id}.zip")
        before[staging.task_id] = await archive.is_file()
        if staging.task_id == 2:
            await anyio.Path(data / "task2").mkdir()
        return await real(store, staging, receipt, adopt=adopt)

    monkeypatch.setattr(MirrorStore, "commit", commit)
    async with serving(3) as serve:
        report = await again(serve, data, replace(QUICK, keep_archive=True))
    assert actions(report)[2] == ("failed", "new")
    assert before == {1: True, 2: True, 3: True}
    assert sorted(files(archives, own=True)) == ["1.zip", "3.zip"]


async def test_a_foreign_folder_at_the_new_prefix_is_refused(serve: Serving, data: Path) -> None:
    (data / "job-2").mkdir()
    report = await again(serve, data, replace(QUICK, change=True, folder_prefix="job-"))
    assert actions(report)[2] == ("failed", "foreign")
    assert (data / "task2" / XML).is_file()
    assert actions(report)[1] == ("moved", "prefix")


async def test_a_foreign_folder_at_the_new_prefix_is_quarantined_with_adopt(
    serve: Serving, data: Path
) -> None:
    (data / "job-2").mkdir()
    (data / "job-2" / "mine").write_text("mine")
    report = await again(serve, data, replace(QUICK, change=True, folder_prefix="job-", adopt=True))
    assert actions(report)[2] == ("fetched", "prefix")
    assert actions(report)[1] == ("moved", "prefix")
    assert files(data) == await serve.archives(prefix="job-")
    assert kept(data) == {"mine": b"mine"}


async def test_a_folder_that_appears_during_the_run_is_not_replaced(data: Path) -> None:
    async with serving(2) as serve:
        log = Log()
        log.on(Planned, lambda _: (data / "task2").mkdir())
        log.on(Planned, lambda _: (data / "task2" / "mine").write_text("mine"))
        report = await ac.mirror(serve.client, data, options=QUICK, on_event=log)
        assert isinstance(error(report, 2), ac.errors.ForeignFolderError)
        assert actions(report)[1] == ("fetched", "new")
        assert files(data / "task2") == {"mine": b"mine"}
        assert staged(data) == []


async def test_a_folder_at_the_new_prefix_that_appears_during_the_run_is_not_replaced(
    serve: Serving, data: Path
) -> None:
    serve.server.edit_task(1)
    log = Log()
    log.on(Planned, lambda _: (data / "job-1").mkdir())
    log.on(Planned, lambda _: (data / "job-2").mkdir())
    options = replace(QUICK, change=True, folder_prefix="job-")
    report = await ac.mirror(serve.client, data, options=options, on_event=log)
    assert isinstance(error(report, 1), ac.errors.ForeignFolderError)
    assert isinstance(error(report, 2), ac.errors.ForeignFolderError)
    assert actions(report)[3] == ("moved", "prefix")
    assert (data / "task1" / XML).is_file()


@pytest.mark.usefixtures("serve")
async def test_the_mirror_of_another_server_is_not_touched(data: Path) -> None:
    before = files(data)
    async with serving(2, seed=5) as other:
        with pytest.raises(ac.ConfigError, match="mirror"):
            await again(other, data)
        with pytest.raises(ac.ConfigError, match="mirror"):
            await ac.plan_mirror(other.client, data)
    assert files(data) == before


# Gone from the server


async def test_without_prune_the_folder_of_a_deleted_task_stays(serve: Serving, data: Path) -> None:
    serve.server.delete_task(2)
    report = await again(serve, data)
    assert set(actions(report)) == {1, 3, 4}
    assert (data / "task2" / XML).is_file()


async def test_prune_removes_what_the_server_says_is_gone(serve: Serving, data: Path) -> None:
    serve.server.delete_task(2)
    seen = len(serve.server.calls)
    report = await again(serve, data, PRUNE)
    assert report.ok
    assert actions(report)[2] == ("removed", "gone")
    assert files(data) == await serve.archives()
    assert [call.status for call in serve.calls("GET", "/api/tasks/2", since=seen)] == [404]
    assert not (data / ".asynccvat" / "receipts" / "2.json").exists()


async def test_prune_quarantines_edited_and_added_files(serve: Serving, data: Path) -> None:
    (data / "task2" / "notes.txt").write_text("mine")
    serve.server.delete_task(2)
    report = await again(serve, data, PRUNE)
    assert actions(report)[2] == ("removed", "gone")
    assert kept(data) == {"notes.txt": b"mine"}
    assert outcome(report, 2).warnings != ()


async def test_prune_of_a_narrower_selection_keeps_what_is_elsewhere(
    serve: Serving, data: Path
) -> None:
    serve.server.delete_task(4)
    report = await again(serve, data, PRUNE, selection=ac.Selection(task_ids=[1, 2]))
    assert actions(report) == {
        1: ("kept", "unchanged"),
        2: ("kept", "unchanged"),
        3: ("kept", "elsewhere"),
        4: ("removed", "gone"),
    }


async def test_prune_of_a_selected_id_that_is_gone_is_no_failure(
    serve: Serving, data: Path
) -> None:
    serve.server.delete_task(2)
    selection = ac.Selection(task_ids=[1, 2])
    report = await again(serve, data, PRUNE, selection=selection)
    assert report.ok
    assert actions(report)[2] == ("removed", "gone")


@pytest.mark.parametrize(
    ("status", "reason"), [(403, "forbidden"), (500, "unknown"), (200, "elsewhere")]
)
async def test_prune_keeps_tasks_that_may_still_exist(
    serve: Serving, data: Path, status: int, reason: str
) -> None:
    if status != 200:
        serve.server.delete_task(2)
        serve.server.faults.add(Fault(path="^/api/tasks/2$", status=status, times=None))
    selection = ac.Selection(task_ids=[1, 3, 4])
    report = await again(serve, data, PRUNE, selection=selection)
    assert actions(report)[2] == ("kept", reason)
    assert (data / "task2" / XML).is_file()


async def test_prune_stops_at_its_guard_and_removes_nothing(serve: Serving, data: Path) -> None:
    serve.server.delete_task(2)
    serve.server.delete_task(3)
    serve.server.edit_task(1)
    for most in (1, "10%"):
        report = await again(serve, data, replace(PRUNE, max_delete=most))
        assert report.guard is not None
        assert "--max-delete" in report.guard
        assert report.guard in report.warnings
        assert not report.ok
        assert (data / "task2").is_dir()
        assert (data / "task3").is_dir()
    assert actions(await again(serve, data))[1] == ("kept", "unchanged")
    report = await again(serve, data, replace(PRUNE, max_delete=2))
    assert (report.guard, report.count(ac.Action.REMOVED)) == (None, 2)


async def test_tasks_elsewhere_are_found_by_lists_and_not_one_by_one(data: Path) -> None:
    async with serving(40) as serve:
        await again(serve, data, QUICK)
        serve.server.delete_task(2)
        seen = len(serve.server.calls)
        selection = ac.Selection(name="street-00001")
        report = await again(serve, data, replace(PRUNE, change=True), selection=selection)
        assert report.ok
        assert actions(report)[2] == ("removed", "gone")
        assert actions(report)[40] == ("kept", "elsewhere")
        asked = [call.path for call in serve.calls("GET", "/api/tasks", since=seen)]
        assert asked == ["/api/tasks", "/api/tasks", "/api/tasks/2"]


async def test_no_task_is_asked_for_if_more_are_absent_than_may_be_removed(data: Path) -> None:
    async with serving(40) as serve:
        await again(serve, data, QUICK)
        for task_id in range(1, 21):
            serve.server.delete_task(task_id)
        seen = len(serve.server.calls)
        report = await again(serve, data, replace(PRUNE, max_delete="10%"))
        assert report.guard is not None
        assert "up to 20 of 40 folders would go, but --max-delete 10% allows 4" in report.guard
        assert actions(report)[1] == ("kept", "absent")
        assert [call.path for call in serve.server.calls[seen:]] == ["/api/tasks"]
        assert len(list(data.glob("task*"))) == 40


async def test_gone_tasks_are_kept_if_the_lists_cannot_be_read(serve: Serving, data: Path) -> None:
    serve.server.delete_task(2)
    serve.server.faults.add(Fault(path=r"^/api/tasks\?filter", status=403, times=None))
    options, selection = replace(PRUNE, change=True), ac.Selection(name="street-00001")
    report = await again(serve, data, options, selection=selection)
    assert actions(report) == {
        1: ("kept", "unchanged"),
        **dict.fromkeys((2, 3, 4), ("kept", "unknown")),
    }


async def test_gone_tasks_are_named_without_prune(serve: Serving, data: Path) -> None:
    serve.server.delete_task(2)
    for selection in (None, ac.Selection(project_ids=[1])):
        seen = len(serve.server.calls)
        report = await again(serve, data, replace(QUICK, change=True), selection=selection)
        (warning,) = report.warnings
        assert "1 mirrored task is not on the server any more" in warning
        assert "user: 2." in warning
        assert "--prune" in warning
        assert len(serve.server.calls) == seen + (1 if selection is None else 2)
        assert (data / "task2").is_dir()
    # Tasks that were named are reported one by one.
    report = await again(
        serve, data, replace(QUICK, change=True), selection=ac.Selection(task_ids=[1])
    )
    assert report.warnings == ()


async def test_an_incomplete_listing_removes_nothing_and_warns(serve: Serving, data: Path) -> None:
    serve.server.delete_task(2)
    serve.server.edit_task(1)
    body = '{"count": 5, "next": null, "previous": null, "results": %s}'
    listed = (await serve.client.tasks()).tasks
    rows = ",".join(
        f'{{"id": {task.id}, "name": "x", "size": 2, "data": 1, "updated_date": "2020"}}'
        for task in listed
    )
    serve.server.faults.add(
        Fault(
            path=r"^/api/tasks(\?|$)",
            status=200,
            body=body % f"[{rows}]",
            content_type="application/vnd.cvat+json",
            times=None,
        )
    )
    report = await again(serve, data, PRUNE)
    assert not report.listing_complete
    assert actions(report)[1] == ("fetched", "changed")
    assert (data / "task2").is_dir()
    assert any("incomplete" in warning for warning in report.warnings)
    assert not any("DELETE" in call.method for call in serve.server.calls)


async def test_nothing_is_removed_after_the_run_was_stopped(serve: Serving, data: Path) -> None:
    serve.server.delete_task(2)
    serve.server.edit_task(1)
    serve.server.faults.add(
        Fault(method="POST", path="dataset/export", status=401, body="{}", times=None)
    )
    report = await again(serve, data, PRUNE)
    assert isinstance(report.stopped_by, ac.AuthenticationError)
    assert (data / "task2").is_dir()


async def test_a_folder_that_cannot_be_removed_fails_alone(
    serve: Serving, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    remove = MirrorStore.remove

    async def failing(store: MirrorStore, head: object) -> object:
        if getattr(head, "task_id", None) == 2:
            raise ac.StoreError("the disk says no", task_id=2, step="remove")
        return await remove(store, head)  # type: ignore[arg-type]  # passed through

    monkeypatch.setattr(MirrorStore, "remove", failing)
    serve.server.delete_task(2)
    serve.server.delete_task(3)
    report = await again(serve, data, PRUNE)
    assert actions(report)[2] == ("failed", "gone")
    assert actions(report)[3] == ("removed", "gone")
