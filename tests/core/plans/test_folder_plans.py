"""Check which folder each target of a mirror gets, and what a rename on the server is taken for."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from destinations import receipt_of

from asynccvat.core.models import DataMeta, Job, Owner, Task, TaskListing
from asynccvat.core.options.mirror import MirrorOptions
from asynccvat.core.plans.folders import FolderContext, folders_of
from asynccvat.core.plans.mirror import Fetch, FolderState, Keep, Move, Reason, plan_mirror
from asynccvat.core.plans.renames import content_fingerprint, perhaps_renamed
from asynccvat.core.records.receipts import ReceiptHead
from asynccvat.core.specs import ExportSpec
from asynccvat.core.targets import TargetKind

LAYOUT = MirrorOptions(layout="{organization}/{project}-{project_id}/{subset}/{id}-{name}")
COCO = ExportSpec("COCO 1.0", images=True)
CONTEXT = FolderContext({5: "Street"}, "acme")


def task(**given: Any) -> Task:
    values = {"id": 7, "name": "left", "updated_date": "v2", "size": 2, "data": 1, "project_id": 5}
    return Task(**{**values, **given})


def head(folder: str = "acme/Street-5/default/7-old", **given: Any) -> ReceiptHead:
    values = {"task_name": "old", "project_id": 5, "content": "same", **given}
    return receipt_of(7, (), folder=folder, updated="v1", **values).head


def folder(one: Task, context: FolderContext = CONTEXT, *held: ReceiptHead) -> str:
    receipts = {receipt.task_id: receipt for receipt in held}
    return folders_of(TaskListing((one,)), receipts, TargetKind.TASK, LAYOUT, context)[one.id]


def test_the_server_s_names_make_the_folder() -> None:
    assert folder(task(subset="Train")) == "acme/Street-5/Train/7-left"
    assert folder(task(project_id=None)) == "acme/no-project-no-project/default/7-left"


@pytest.mark.parametrize(
    ("organization", "of_task", "expected"),
    [("", None, "personal"), (None, None, "personal"), (None, 3, "organization3"), ("a", 3, "a")],
)
def test_a_mirror_of_everything_names_organizations_by_their_ids(
    organization: str | None, of_task: int | None, expected: str
) -> None:
    context = replace(CONTEXT, organization=organization)
    assert folder(task(organization_id=of_task), context).startswith(f"{expected}/")


def test_a_project_whose_name_is_unknown_moves_no_folder() -> None:
    unknown = replace(CONTEXT, projects={})
    assert folder(task(), unknown) == "acme/project5-5/default/7-left"
    assert folder(task(), unknown, head("x/y")) == "x/y"


def test_folders_stay_in_a_repair() -> None:
    assert folder(task(), replace(CONTEXT, stays=True), head("x/y")) == "x/y"
    options = MirrorOptions(folder_prefix="t")
    context = FolderContext(stays=True)
    listing = TaskListing((task(), task(id=8)))
    found = folders_of(listing, {7: head("x/y")}, TargetKind.TASK, options, context)
    assert found == {7: "x/y", 8: "t8"}


def step_of(
    one: Task,
    receipt: ReceiptHead,
    *,
    options: MirrorOptions = LAYOUT,
    state: FolderState = FolderState.INTACT,
    unclaimed: tuple[str, ...] = (),
    moved_by: Reason = Reason.LAYOUT,
    renamed: Collection[int] = (7,),
) -> Any:
    (step,) = plan_mirror(
        TaskListing((one,)),
        {7: receipt},
        COCO,
        options,
        states={7: state},
        unclaimed=unclaimed,
        folders={7: "new"},
        moved_by=moved_by,
        renamed=renamed,
    ).steps
    return step


def test_a_task_that_was_only_renamed_is_moved_with_its_new_date() -> None:
    assert step_of(task(), head()) == Move(7, "left", "new", Reason.RENAMED, head(), task())
    edited = step_of(task(), head(), state=FolderState.EDITED)
    assert edited == Move(7, "left", "new", Reason.RENAMED, head(), task(), edited.detail)
    assert edited.detail.startswith("edited here, ")


def test_other_reasons_to_fetch_it_count_for_more() -> None:
    missing = step_of(task(), head(), state=FolderState.MISSING)
    assert missing == Fetch(task(), "new", Reason.MISSING, head())
    forced = step_of(task(), head(), options=replace(LAYOUT, force=True))
    assert forced == Fetch(task(), "new", Reason.FORCED, head())
    adopting = step_of(task(), head(), options=replace(LAYOUT, adopt=True), unclaimed=("new",))
    assert adopting == Fetch(task(), "new", Reason.CHANGED, head())


@pytest.mark.parametrize(
    ("held", "renamed", "reason"),
    [
        ("acme/Road-5/default/7-left", (), Reason.RENAMED),
        ("task7", (), Reason.LAYOUT),
        ("task7", (7,), Reason.RENAMED),
    ],
)
def test_a_folder_that_the_layout_never_named_is_moved_by_the_layout(
    held: str, renamed: Collection[int], reason: Reason
) -> None:
    one = task(updated_date="v2" if renamed else "v1")
    step = step_of(one, head(held), moved_by=Reason.RENAMED, renamed=renamed)
    assert (type(step), step.reason) == (Move, reason)


def test_a_folder_at_its_place_is_kept() -> None:
    assert step_of(task(updated_date="v1"), head("new")) == Keep(7, "left", "new", Reason.UNCHANGED)


@pytest.mark.parametrize(
    ("one", "receipt", "folder", "perhaps"),
    [
        (task(), head(), "new", True),
        (task(name="old", project_id=6), head(), "new", True),
        (task(name="old"), head(), "new", False),
        (task(), head(), "acme/Street-5/default/7-old", False),
        (task(), head(content=None), "new", False),
        (task(updated_date="v1"), head(), "new", False),
        (task(), head(format="YOLO 1.1"), "new", False),
        (task(), head(uploaded_at="now"), "new", False),
        (task(id=8), head(), "new", False),
    ],
)
def test_only_a_task_with_another_name_and_folder_may_be_only_renamed(
    one: Task, receipt: ReceiptHead, folder: str, perhaps: bool
) -> None:
    found = perhaps_renamed(TaskListing((one,)), {7: receipt}, COCO, {one.id: folder})
    assert found == ([one] if perhaps else [])


META = DataMeta(size=2, storage="local", chunks_updated_date=datetime(2026, 1, 1, tzinfo=UTC))
JOBS = (Job(id=3, updated_date="a"), Job(id=4, updated_date="b"))
LABELS = ({"id": 1, "name": "car", "color": "#fff", "attributes": [{"id": 2, "name": "make"}]},)


def test_names_ids_and_orders_are_no_content() -> None:
    before = content_fingerprint(task(), JOBS, META, LABELS)
    other = ({**LABELS[0], "id": 9, "project_id": 6},)
    renamed = task(name="x", project_id=6, updated_date="v3")
    assert before is not None
    assert content_fingerprint(renamed, JOBS[::-1], META, other) == before


def test_all_else_is() -> None:
    meta = msgspec.structs.replace
    told = {
        content_fingerprint(task(), JOBS, META, LABELS),
        content_fingerprint(task(subset="Train"), JOBS, META, LABELS),
        content_fingerprint(task(owner=Owner(id=1, username="ann")), JOBS, META, LABELS),
        content_fingerprint(task(assignee=Owner(id=1, username="ann")), JOBS, META, LABELS),
        content_fingerprint(task(), (JOBS[0], Job(id=4, updated_date="c")), META, LABELS),
        content_fingerprint(task(), JOBS[:1], META, LABELS),
        content_fingerprint(task(), JOBS, meta(META, deleted_frames=(1,)), LABELS),
        content_fingerprint(task(), JOBS, meta(META, included_frames=(0, 1)), LABELS),
        content_fingerprint(task(), JOBS, META, ({**LABELS[0], "color": "#000"},)),
        content_fingerprint(task(), JOBS, META, ()),
    }
    assert len(told) == 10
    assert None not in told


@pytest.mark.parametrize(
    "changes", [{"storage": "cloud_storage"}, {"storage": None}, {"chunks_updated_date": None}]
)
def test_media_that_may_change_without_a_trace_have_no_fingerprint(changes: dict[str, Any]) -> None:
    meta = msgspec.structs.replace(META, **changes)
    assert content_fingerprint(task(), JOBS, meta, LABELS) is None
