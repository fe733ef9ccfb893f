"""When an export of annotations alone will do: every guard, one by one."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from asynccvat.core.models import DataMeta, Task
from asynccvat.core.plans.mirror import Reason
from asynccvat.core.plans.refresh import (
    REFRESH_FROM,
    exported_fingerprint,
    fingerprint_on_disk,
    fits_folder,
    is_worth_refreshing,
    media_fingerprint,
)
from asynccvat.core.records.receipts import MemberRecord, ReceiptHead
from asynccvat.core.specs import ExportSpec

SPEC = ExportSpec("COCO 1.0", images=True)
TASK = Task(id=7, size=3, updated_date="2026-11-23T12:00:00.5Z", subset="train")
META = DataMeta(
    size=3, deleted_frames=(1,), chunks_updated_date=datetime(2026, 11, 23, 12, tzinfo=UTC),
    storage="local",
)  # fmt: skip
HEAD = ReceiptHead(
    task_id=7, folder="task7", format=SPEC.format, images=True, updated_date="", origin="",
    digest="", media_fingerprint="digest", files=3, bytes=0, requested_at="", committed_at="",
)  # fmt: skip


def member(path: str, size: int = 1) -> MemberRecord:
    return MemberRecord(path, size, 0, 0)


MEMBERS = [member("images/train/a.jpg"), member("images/train/b.jpg"), member("annotations/t.json")]


def test_a_changed_task_whose_images_are_known_is_asked_about() -> None:
    assert fingerprint_on_disk(TASK, Reason.CHANGED, HEAD, SPEC) == "digest"
    assert fingerprint_on_disk(TASK, Reason.UPLOADED, HEAD, SPEC) == "digest"


@pytest.mark.parametrize(
    ("changes", "spec"),
    [
        ({}, ExportSpec("PASCAL VOC 1.1", images=True)),
        ({"media_fingerprint": None}, SPEC),
        ({"format": "Datumaro 1.0"}, SPEC),
        ({"images": False}, ExportSpec("COCO 1.0")),
        ({"format": "PASCAL VOC 1.1"}, ExportSpec("PASCAL VOC 1.1", images=True)),
    ],
)
def test_other_formats_and_unknown_images_are_not(
    changes: dict[str, Any], spec: ExportSpec
) -> None:
    head = msgspec.structs.replace(HEAD, **changes)
    assert fingerprint_on_disk(TASK, Reason.CHANGED, head, spec) is None


@pytest.mark.parametrize("reason", sorted(set(Reason) - {Reason.CHANGED, Reason.UPLOADED}))
def test_whatever_else_the_reason_is_all_is_exported(reason: Reason) -> None:
    assert fingerprint_on_disk(TASK, reason, HEAD, SPEC) is None


def test_new_tasks_and_tasks_without_data_are_not_asked_about() -> None:
    assert fingerprint_on_disk(TASK, Reason.CHANGED, None, SPEC) is None
    assert fingerprint_on_disk(Task(id=7), Reason.CHANGED, HEAD, SPEC) is None


@pytest.mark.parametrize(("size", "worth"), [(REFRESH_FROM - 1, False), (REFRESH_FROM, True)])
def test_only_images_count_for_what_is_worth_it(size: int, worth: bool) -> None:
    members = [member("images/a.jpg", size), member("annotations.xml", REFRESH_FROM)]
    assert is_worth_refreshing(members, SPEC) is worth
    assert not is_worth_refreshing(members, replace(SPEC, images=False))


@pytest.mark.parametrize(
    "changes",
    [
        {"size": 4},
        {"deleted_frames": ()},
        {"deleted_frames": (2,)},
        {"included_frames": (0, 1)},
        {"chunks_updated_date": datetime(2026, 11, 23, 12, 0, 1, tzinfo=UTC)},
    ],
)
def test_whatever_changes_the_images_changes_the_digest(changes: dict[str, Any]) -> None:
    other = msgspec.structs.replace(META, **changes)
    assert media_fingerprint(other, TASK) != media_fingerprint(META, TASK)
    assert media_fingerprint(other, TASK) is not None


def test_another_subset_is_another_digest_and_another_name_is_not() -> None:
    digest = media_fingerprint(META, TASK)
    assert media_fingerprint(META, msgspec.structs.replace(TASK, subset="test")) != digest
    assert (
        media_fingerprint(META, msgspec.structs.replace(TASK, name="new", status="done")) == digest
    )
    none = {
        media_fingerprint(META, msgspec.structs.replace(TASK, subset=subset))
        for subset in (None, "")
    }
    assert len(none) == 1


def test_the_order_in_which_frames_are_named_is_of_no_consequence() -> None:
    one, other = (
        msgspec.structs.replace(META, deleted_frames=frames, included_frames=frames)
        for frames in ((1, 2), (2, 1))
    )
    assert media_fingerprint(one, TASK) == media_fingerprint(other, TASK)


@pytest.mark.parametrize(
    "changes",
    [
        {"chunks_updated_date": None},
        {"size": None},
        {"storage": "share"},
        {"storage": None},
        {"storage": "cloud_storage", "cloud_storage_id": 1},
        {"cloud_storage_id": 1},
    ],
)
def test_media_of_which_too_little_is_known_have_no_digest(changes: dict[str, Any]) -> None:
    meta = msgspec.structs.replace(META, **changes)
    assert media_fingerprint(meta, TASK) is None
    assert exported_fingerprint(meta, TASK, MEMBERS) is None


def test_what_a_full_export_brought_is_known_by_the_digest() -> None:
    assert exported_fingerprint(META, TASK, MEMBERS) == media_fingerprint(META, TASK) is not None
    some = msgspec.structs.replace(META, size=9, included_frames=(0, 1, 2))
    assert exported_fingerprint(some, TASK, MEMBERS) == media_fingerprint(some, TASK) is not None


@pytest.mark.parametrize("updated", ["2026-11-23T11:59:59Z", "2026-11-24T12:00:00", "", "today"])
def test_media_made_after_the_listing_or_who_knows_when_are_not_relied_on(updated: str) -> None:
    task = msgspec.structs.replace(TASK, updated_date=updated)
    assert exported_fingerprint(META, task, MEMBERS) is None


def test_as_many_images_as_frames_have_to_be_there() -> None:
    assert exported_fingerprint(META, TASK, MEMBERS[1:]) is None
    assert exported_fingerprint(META, TASK, [*MEMBERS, member("images/train/c.jpg")]) is None


@pytest.mark.parametrize(
    ("paths", "fitting"),
    [
        (["annotations/t.json"], True),
        (["annotations/u.json"], False),
        ([], False),
        (["annotations/t.json", "more.txt"], False),
        (["annotations/t.json", "images/train/a.jpg"], False),
    ],
)
def test_an_export_of_annotations_has_just_the_files_beside_the_images(
    paths: list[str], fitting: bool
) -> None:
    assert fits_folder([member(path, 99) for path in paths], MEMBERS) is fitting
