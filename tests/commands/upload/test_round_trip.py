"""Mirror, edit, upload, mirror: the server has the edit, and only that task is fetched again."""

from __future__ import annotations

import errno
import os
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from engine_serving import (
    QUICK,
    Log,
    Serving,
    actions,
    connected,
    data,
    error,
    files,
    kept,
    log,
    outcome,
    receipt_head,
    serving,
    stack,
    until,
)

import asynccvat as ac
from asynccvat.core.records.receipts import Receipt
from asynccvat.errors import DriveError, StoreError
from asynccvat.events import ImportFinished, ImportRequested
from asynccvat.simulator import Fault
from asynccvat.store.layout import OLD, OLD_RECEIPT, Layout

__all__ = ["data", "log", "stack"]

pytestmark = pytest.mark.anyio

LOCK = ".asynccvat/lock"

CVAT = "annotations.xml"
UPLOAD = ac.UploadOptions(durable=False)
LOSSY = ac.UploadOptions(durable=False, lossy=True)
"""The tasks have tags, points and attributes, which most formats do not carry."""


def edit(path: Path, old: str = 'occluded="0"', new: str = 'occluded="1"') -> None:
    text = path.read_text("utf-8")
    assert old in text
    path.write_text(text.replace(old, new), "utf-8")


async def mirrored(
    stack: AsyncExitStack, data: Path, tasks: int = 4, spec: ac.ExportSpec | None = None
) -> Serving:
    serve = await stack.enter_async_context(serving(tasks))
    report = await ac.mirror(serve.client, data, None, spec, options=QUICK)
    assert report.ok
    return serve


async def test_an_edit_goes_to_the_server_and_its_task_alone_is_fetched_again(
    data: Path, stack: AsyncExitStack
) -> None:
    serve = await mirrored(stack, data)
    edited = data / "task2" / CVAT
    edit(edited)
    report = await ac.upload(serve.client, data, options=UPLOAD)
    assert actions(report)[2] == ("uploaded", "edited")
    assert {actions(report)[number] for number in (1, 3, 4)} == {("skipped", "unchanged")}
    assert b'occluded="0"' not in (await serve.archive(2))[CVAT]

    again = await ac.mirror(serve.client, data, options=QUICK)
    assert actions(again)[2] == ("fetched", "uploaded")
    assert {actions(again)[number] for number in (1, 3, 4)} == {("kept", "unchanged")}
    # The server has what was uploaded, so nothing of it had to be quarantined.
    assert outcome(again, 2).warnings == ()
    assert kept(data) == {}
    assert files(data) == await serve.archives()
    third = await ac.mirror(serve.client, data, options=QUICK)
    assert {action for action, _ in actions(third).values()} == {"kept"}


async def test_an_uploaded_file_is_uploaded_again_only_after_an_edit(
    data: Path, stack: AsyncExitStack
) -> None:
    serve = await mirrored(stack, data, 1)
    path = data / "task1" / CVAT
    edit(path)
    assert actions(await ac.upload(serve.client, data, options=UPLOAD))[1][0] == "uploaded"
    assert actions(await ac.upload(serve.client, data, options=UPLOAD))[1][0] == "skipped"
    forced = ac.UploadOptions(durable=False, force=True)
    assert actions(await ac.upload(serve.client, data, options=forced))[1] == ("uploaded", "forced")
    edit(path, 'occluded="1"', 'occluded="0"')
    assert actions(await ac.upload(serve.client, data, options=UPLOAD))[1] == ("uploaded", "edited")


async def test_an_edit_after_the_upload_is_quarantined_by_the_next_mirror(
    data: Path, stack: AsyncExitStack
) -> None:
    serve = await mirrored(stack, data, 1)
    path = data / "task1" / CVAT
    edit(path)
    await ac.upload(serve.client, data, options=UPLOAD)
    path.write_bytes(b"<annotations>mine</annotations>")
    report = await ac.mirror(serve.client, data, options=QUICK)
    assert actions(report)[1] == ("fetched", "uploaded")
    assert kept(data) == {CVAT: b"<annotations>mine</annotations>"}


async def test_an_edit_during_the_import_is_quarantined_too(
    data: Path, stack: AsyncExitStack, log: Log
) -> None:
    serve = await mirrored(stack, data, 1)
    path = data / "task1" / CVAT
    edit(path)
    later = b"<annotations>later</annotations>"
    log.on(ImportRequested, lambda _event: path.write_bytes(later))
    report = await ac.upload(serve.client, data, options=UPLOAD, on_event=log)
    assert report.ok
    await ac.mirror(serve.client, data, options=QUICK)
    assert kept(data) == {CVAT: later}


async def test_an_uploaded_edit_survives_the_removal_of_its_task(
    data: Path, stack: AsyncExitStack
) -> None:
    serve = await mirrored(stack, data, 2)
    path = data / "task2" / CVAT
    edit(path)
    mine = path.read_bytes()
    await ac.upload(serve.client, data, options=UPLOAD)
    serve.server.delete_task(2)
    report = await ac.mirror(
        serve.client, data, options=ac.MirrorOptions(durable=False, prune=True)
    )
    assert actions(report)[2] == ("removed", "gone")
    # The server's copy is gone with the task, so this copy is the last one.
    assert kept(data) == {CVAT: mine}


async def test_an_added_file_is_uploaded_and_stays_in_no_receipt(
    data: Path, stack: AsyncExitStack
) -> None:
    serve = await mirrored(stack, data, 1)
    path = data / "task1" / CVAT
    predicted = path.read_bytes().replace(b'occluded="0"', b'occluded="1"')
    (data / "task1" / "annotations_pseudo.xml").write_bytes(predicted)
    report = await ac.upload(serve.client, data, options=UPLOAD)
    assert actions(report)[1] == ("uploaded", "edited")
    assert b'occluded="0"' not in (await serve.archive(1))[CVAT]
    again = await ac.mirror(serve.client, data, options=QUICK)
    assert actions(again)[1][0] == "fetched"
    assert kept(data) == {"annotations_pseudo.xml": predicted}


async def test_images_stay_when_an_uploaded_edit_is_fetched(
    data: Path, stack: AsyncExitStack
) -> None:
    spec = ac.ExportSpec(images=True)
    serve = await mirrored(stack, data, 2, spec)
    edit(data / "task1" / CVAT)
    image = next((data / "task1" / "images").rglob("*.jpg"))
    before = image.read_bytes()
    report = await ac.upload(serve.client, data, options=UPLOAD)
    assert actions(report) == {1: ("uploaded", "edited"), 2: ("skipped", "unchanged")}
    again = await ac.mirror(serve.client, data, None, spec, options=QUICK)
    assert actions(again)[1] == ("fetched", "uploaded")
    assert kept(data) == {}
    assert image.read_bytes() == before
    assert b'occluded="0"' not in (data / "task1" / CVAT).read_bytes()
    third = await ac.mirror(serve.client, data, None, spec, options=QUICK)
    assert {action for action, _ in actions(third).values()} == {"kept"}


async def test_a_packed_folder_is_noted_file_by_file(data: Path, stack: AsyncExitStack) -> None:
    spec = ac.ExportSpec("Ultralytics YOLO Detection 1.0")
    serve = await mirrored(stack, data, 2, spec)
    labels = sorted((data / "task1" / "labels").rglob("*.txt"))
    labels[0].write_text("0 0.5 0.5 0.25 0.25\n")
    report = await ac.upload(serve.client, data, options=LOSSY)
    assert actions(report) == {1: ("uploaded", "edited"), 2: ("skipped", "unchanged")}
    again = await ac.mirror(serve.client, data, None, spec, options=QUICK)
    assert actions(again)[1] == ("fetched", "uploaded")
    assert actions(again)[2][0] == "kept"
    assert kept(data) == {}
    assert labels[0].read_text().startswith("0 0.5")


async def test_a_label_file_that_was_removed_is_an_edit(data: Path, stack: AsyncExitStack) -> None:
    spec = ac.ExportSpec("Ultralytics YOLO Detection 1.0")
    serve = await mirrored(stack, data, 1, spec)
    removed = min((data / "task1" / "labels").rglob("*.txt"))
    name = removed.relative_to(data / "task1").as_posix()
    removed.unlink()
    report = await ac.upload(serve.client, data, options=LOSSY)
    assert actions(report)[1] == ("uploaded", "edited")
    assert not (await serve.archive(1, spec)).get(name)


async def test_a_pair_in_a_mirror_is_noted_in_its_receipt(
    data: Path, stack: AsyncExitStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = ac.ExportSpec("COCO 1.0")
    serve = await mirrored(stack, data, 2, spec)
    monkeypatch.chdir(data / "task1" / "annotations")
    path = Path("instances_default.json")
    path.write_bytes(path.read_bytes() + b"\n")
    report = await ac.upload(serve.client, {1: path}, options=LOSSY)
    assert actions(report)[1] == ("uploaded", "edited")
    again = await ac.mirror(serve.client, data, None, spec, options=QUICK)
    assert actions(again)[1] == ("fetched", "uploaded")
    assert kept(data) == {}


async def test_a_pair_from_another_tasks_folder_changes_no_receipt(
    data: Path, stack: AsyncExitStack
) -> None:
    serve = await mirrored(stack, data, 2)
    report = await ac.upload(serve.client, {1: data / "task2" / CVAT}, options=UPLOAD)
    assert actions(report)[1] == ("uploaded", "asked for")
    assert "uploaded_at" not in {
        key for key, value in receipt_head(data, 1).items() if value is not None
    }
    again = await ac.mirror(serve.client, data, options=QUICK)
    assert actions(again)[1] == ("fetched", "changed")


def without_lock(data: Path) -> dict[str, bytes]:
    """Return all files of a mirror, except for the owner of its lock."""
    return {path: held for path, held in files(data, own=True).items() if path != LOCK}


async def test_a_mirror_of_another_server_is_uploaded_from_only_by_pairs(
    data: Path, stack: AsyncExitStack
) -> None:
    await mirrored(stack, data, 1)
    before = without_lock(data)
    other = await stack.enter_async_context(serving(1))
    with pytest.raises(ac.ConfigError, match="mirrors"):
        await ac.upload(other.client, data, options=UPLOAD)
    pairs = {1: data / "task1" / CVAT, 2: data / "task1" / CVAT}
    for_good = ac.UploadOptions(durable=False, backup=False)
    report = await ac.upload(other.client, pairs, options=for_good)
    assert actions(report)[1] == ("uploaded", "asked for")
    assert without_lock(data) == before


async def test_a_running_mirror_and_an_upload_exclude_each_other(
    data: Path, stack: AsyncExitStack
) -> None:
    serve = await mirrored(stack, data, 1)
    edit(data / "task1" / CVAT)
    serve.server.pause_imports()
    async with ac.open_upload(serve.client, data, options=UPLOAD) as run:
        await until(lambda: bool(serve.calls("POST", "/annotations")))
        with pytest.raises(ac.StoreLockedError):
            await ac.mirror(serve.client, data, options=QUICK)
        # A plan needs no lock.
        assert (await ac.plan_upload(serve.client, data)).counts == {"upload": 1}
        serve.server.release_imports()
        assert (await run.wait()).ok


# --- the guard ------------------------------------------------------------------------------------


async def test_a_task_that_changed_since_it_was_mirrored_is_refused(
    data: Path, stack: AsyncExitStack
) -> None:
    serve = await mirrored(stack, data, 3)
    for number in (1, 2):
        edit(data / f"task{number}" / CVAT)
    serve.server.edit_task(2)
    theirs = await serve.archive(2)
    report = await ac.upload(serve.client, data, options=UPLOAD)
    assert actions(report)[1] == ("uploaded", "edited")
    assert isinstance(error(report, 2), ac.errors.TaskChangedError)
    assert outcome(report, 2).reason == "conflict"
    assert (await serve.archive(2)) == theirs


async def test_a_change_between_the_listing_and_the_upload_is_noticed(
    data: Path, stack: AsyncExitStack, log: Log
) -> None:
    serve = await mirrored(stack, data, 1)
    edit(data / "task1" / CVAT)
    log.on(ac.events.Planned, lambda _event: serve.server.edit_task(1))
    report = await ac.upload(serve.client, data, options=UPLOAD, on_event=log)
    assert isinstance(error(report, 1), ac.errors.TaskChangedError)
    assert serve.calls("POST", "/annotations") == []


async def test_an_own_upload_is_no_conflict(data: Path, stack: AsyncExitStack) -> None:
    serve = await mirrored(stack, data, 1)
    for old, new in (("0", "1"), ("1", "0")):
        edit(data / "task1" / CVAT, f'occluded="{old}"', f'occluded="{new}"')
        report = await ac.upload(serve.client, data, options=UPLOAD)
        assert actions(report)[1] == ("uploaded", "edited"), report.failures
    assert receipt_head(data, 1)["updated_date"] == (await serve.client.task(1)).updated_date


async def test_a_change_by_others_right_after_the_import_stays_a_conflict(
    data: Path, stack: AsyncExitStack, log: Log
) -> None:
    serve = await mirrored(stack, data, 1)
    edit(data / "task1" / CVAT)
    log.on(ImportFinished, lambda _event: serve.server.edit_task(1))
    assert (await ac.upload(serve.client, data, options=UPLOAD, on_event=log)).ok
    edit(data / "task1" / CVAT, 'occluded="1"', 'occluded="0"')
    report = await ac.upload(serve.client, data, options=UPLOAD)
    assert isinstance(error(report, 1), ac.errors.TaskChangedError)


async def test_overwrite_replaces_what_another_user_did(data: Path, stack: AsyncExitStack) -> None:
    serve = await mirrored(stack, data, 1)
    edit(data / "task1" / CVAT)
    serve.server.edit_task(1)
    assert "--overwrite" in outcome(await ac.upload(serve.client, data, options=UPLOAD), 1).failure
    overwriting = ac.UploadOptions(durable=False, overwrite=True)
    report = await ac.upload(serve.client, data, options=overwriting)
    assert actions(report)[1] == ("uploaded", "edited")
    assert b'occluded="0"' not in (await serve.archive(1))[CVAT]


async def test_dates_that_the_server_sets_later_are_no_conflict(
    data: Path, stack: AsyncExitStack
) -> None:
    serve = await mirrored(stack, data, 1)
    serve.server.faults.add(Fault(importing="null_dates", count=3))
    edit(data / "task1" / CVAT)
    assert (await ac.upload(serve.client, data, options=UPLOAD)).ok
    assert receipt_head(data, 1)["updated_date"] == (await serve.client.task(1)).updated_date


# --- receipts that cannot be used -----------------------------------------------------------------


async def test_a_file_with_a_damaged_receipt_is_uploaded(data: Path, stack: AsyncExitStack) -> None:
    serve = await mirrored(stack, data, 2)
    receipts = data / ".asynccvat" / "receipts"
    (receipts / "1.json").write_bytes(b"{}\n")
    whole = (receipts / "2.json").read_bytes()
    (receipts / "2.json").write_bytes(whole[:-20])
    report = await ac.upload(serve.client, data, options=UPLOAD)
    assert actions(report) == {1: ("uploaded", "found"), 2: ("uploaded", "found")}
    assert "receipts/1.json cannot be used" in report.warnings[0]


async def test_an_upload_that_cannot_be_noted_in_a_damaged_receipt_warns(
    data: Path, stack: AsyncExitStack
) -> None:
    serve = await mirrored(stack, data, 2)
    receipt = data / ".asynccvat" / "receipts" / "2.json"
    receipt.write_bytes(receipt.read_bytes()[:-20])
    edit(data / "task2" / CVAT)
    report = await ac.upload(serve.client, data, options=UPLOAD)
    assert actions(report)[2] == ("uploaded", "found")
    (warning,) = report.warnings
    assert warning.endswith("The upload to task 2 is not noted in its receipt.")


@pytest.mark.parametrize(("number", "kind"), [(errno.EIO, DriveError), (errno.EMFILE, StoreError)])
async def test_unreadable_receipts_end_an_upload_before_it_begins(
    data: Path,
    stack: AsyncExitStack,
    monkeypatch: pytest.MonkeyPatch,
    number: int,
    kind: type[StoreError],
) -> None:
    serve = await mirrored(stack, data, 1)
    edit(data / "task1" / CVAT)

    def fail(_layout: Layout, _task_id: int) -> Receipt:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(Layout, "receipt", fail)
    with pytest.raises(kind):
        await ac.upload(serve.client, data, options=UPLOAD)
    assert serve.calls("POST", "/annotations") == []


async def test_a_recovery_before_a_receipt_is_written_warns(
    data: Path, stack: AsyncExitStack, log: Log
) -> None:
    serve = await mirrored(stack, data, 1)
    edit(data / "task1" / CVAT)
    left = data / ".asynccvat" / "staging" / "1"

    def leave(_event: ImportFinished) -> None:
        (left / OLD).mkdir(parents=True)
        (left / OLD / "mine").write_text("mine")
        (left / OLD_RECEIPT).write_text("{")

    log.on(ImportFinished, leave)
    report = await ac.upload(serve.client, data, options=UPLOAD, on_event=log)
    assert kept(data) == {"mine": b"mine"}
    (warning,) = report.warnings
    assert str(data / ".asynccvat" / "kept") in warning


async def test_a_receipt_that_cannot_be_written_is_a_warning(
    data: Path, stack: AsyncExitStack, log: Log
) -> None:
    serve = await mirrored(stack, data, 1)
    edit(data / "task1" / CVAT)
    receipt = data / ".asynccvat" / "receipts" / "1.json"
    log.on(ImportFinished, lambda _event: receipt.unlink())
    report = await ac.upload(serve.client, data, options=UPLOAD, on_event=log)
    assert report.ok
    (warning,) = outcome(report, 1).warnings
    assert "uploaded, but not noted in the receipt" in warning


async def test_new_states_that_cannot_be_read_are_a_warning(
    data: Path, stack: AsyncExitStack, log: Log
) -> None:
    serve = await mirrored(stack, data, 1)
    edit(data / "task1" / CVAT)
    client = await stack.enter_async_context(
        connected(serve.server, policy=ac.RetryPolicy(attempts=0))
    )
    fault = Fault(method="GET", path="/api/tasks", status=502, times=None)
    log.on(ImportFinished, lambda _event: serve.server.faults.add(fault))
    report = await ac.upload(client, data, options=UPLOAD, on_event=log)
    assert report.ok
    assert "cannot note the new states" in report.warnings[0]
    serve.server.faults.clear()
    assert actions(await ac.mirror(serve.client, data, options=QUICK))[1] == ("fetched", "uploaded")


async def test_a_folder_under_an_older_prefix_is_found_by_its_receipt(
    data: Path, stack: AsyncExitStack
) -> None:
    serve = await stack.enter_async_context(serving(1))
    await ac.mirror(
        serve.client, data, options=ac.MirrorOptions(durable=False, folder_prefix="job_")
    )
    edit(data / "job_1" / CVAT)
    report = await ac.upload(serve.client, data, options=UPLOAD)
    assert actions(report)[1] == ("uploaded", "edited")


async def test_a_link_instead_of_a_file_is_read(
    data: Path, stack: AsyncExitStack, tmp_path: Path
) -> None:
    serve = await mirrored(stack, data, 1)
    path = data / "task1" / CVAT
    elsewhere = tmp_path / "elsewhere.xml"
    path.rename(elsewhere)
    edit(elsewhere)
    path.symlink_to(elsewhere)
    report = await ac.upload(serve.client, {1: path}, options=UPLOAD)
    assert actions(report)[1] == ("uploaded", "edited")
    assert b'occluded="0"' not in (await serve.archive(1))[CVAT]
    # The receipt may have the uploaded content, but a mirror did not make the link.
    await ac.mirror(serve.client, data, options=QUICK)
    assert elsewhere.exists()
