"""Check upload plans, the pieces of large files, and receipts after an upload."""

from __future__ import annotations

from pathlib import PurePath
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asynccvat.core.models import Task, TaskListing
from asynccvat.core.options.mirror import MirrorOptions
from asynccvat.core.options.upload import UploadOptions
from asynccvat.core.plans.mirror import Fetch, FolderState, Reason, plan_mirror
from asynccvat.core.plans.upload import (
    RefuseUpload,
    SkipUpload,
    Upload,
    UploadCandidate,
    UploadReason,
    UploadStep,
    plan_uploads,
)
from asynccvat.core.records.receipts import (
    MemberRecord,
    Receipt,
    ReceiptHead,
    after_upload,
    decode_receipt,
    encode_receipt,
)
from asynccvat.core.specs import ExportSpec
from asynccvat.core.wire.tus import ONE_REQUEST, chunk_length, metadata, read_offset
from asynccvat.errors import (
    AnnotationFileError,
    AnnotationLossError,
    AsyncCvatError,
    ConfigError,
    NotFoundError,
    ProtocolError,
    TaskChangedError,
    UploadError,
)

LISTING = TaskListing(
    (
        Task(id=1, name="one", updated_date="u1", size=5),
        Task(id=2, name="two", updated_date="u2", size=5),
        Task(id=3, name="empty", updated_date="u3"),
        Task(id=4, name="cloud", updated_date="u4", size=5, dimension="3d"),
    )
)


def candidate(task_id: int = 1, **given_: Any) -> UploadCandidate:
    fields = {"path": PurePath(f"task{task_id}/a.xml"), "importer": "CVAT 1.1", "named": False}
    return UploadCandidate(task_id=task_id, **{**fields, **given_})


def plan(*candidates: UploadCandidate, **rest: bool) -> tuple[UploadStep, ...]:
    return plan_uploads(candidates, LISTING, **rest).steps


@pytest.mark.parametrize(
    ("given_", "force", "reason"),
    [
        ({"edited": True}, False, UploadReason.EDITED),
        ({"edited": True, "named": True}, False, UploadReason.EDITED),
        ({"edited": None}, False, UploadReason.FOUND),
        ({"edited": False, "named": True}, False, UploadReason.ASKED_FOR),
        ({"edited": False}, True, UploadReason.FORCED),
    ],
)
def test_edited_named_or_never_mirrored_files_are_uploaded(
    given_: dict[str, Any], force: bool, reason: UploadReason
) -> None:
    (step,) = plan(candidate(**given_), force=force)
    assert step == Upload(1, "one", PurePath("task1/a.xml"), reason, "CVAT 1.1")


def test_unchanged_files_are_skipped_without_a_call() -> None:
    (step,) = plan(candidate(9, name="nine", edited=False))
    assert step == SkipUpload(9, "nine", PurePath("task9/a.xml"), UploadReason.UNCHANGED)


@pytest.mark.parametrize(
    ("given_", "reason", "kind"),
    [
        ({"problem": AnnotationFileError("a.xml is empty")}, "file", AnnotationFileError),
        ({"task_id": 7}, "not found", NotFoundError),
        ({"task_id": 3}, "no data", AsyncCvatError),
    ],
)
def test_files_with_problems_are_refused(
    given_: dict[str, Any], reason: str, kind: type[AsyncCvatError]
) -> None:
    (step,) = plan(candidate(**given_))
    assert isinstance(step, RefuseUpload)
    assert step.reason == reason
    assert isinstance(step.problem, kind)


def test_a_file_for_tasks_of_another_dimension_is_refused() -> None:
    flat, fitting, unknown = plan(
        candidate(4, named=True, importer="COCO 1.0", dimension="2d"),
        candidate(4, named=True, importer="Datumaro 3D 1.0", dimension="3d"),
        candidate(1, named=True, importer="COCO 1.0", dimension="2d"),
    )
    assert isinstance(flat, RefuseUpload)
    assert flat.reason == "dimension"
    assert "the task is 3d, and 'COCO 1.0' holds the annotations of 2d tasks only" in str(
        flat.problem
    )
    assert isinstance(fitting, Upload)
    assert isinstance(unknown, Upload)


def test_a_task_is_held_to_the_state_that_was_mirrored() -> None:
    same, changed, unknown = plan(
        candidate(1, edited=True, mirrored_date="u1"),
        candidate(2, edited=True, mirrored_date="older"),
        candidate(1, named=True),
    )
    assert isinstance(same, Upload)
    assert same.mirrored_date == "u1"
    assert isinstance(changed, RefuseUpload)
    assert isinstance(changed.problem, TaskChangedError)
    assert "kept/" in str(changed.problem)
    assert "--overwrite" in str(changed.problem)
    # Outside a mirror nothing tells whether the task changed.
    assert isinstance(unknown, Upload)
    assert unknown.mirrored_date is None


def test_overwrite_uploads_to_a_task_that_changed() -> None:
    (step,) = plan(candidate(2, edited=True, mirrored_date="older"), overwrite=True)
    assert isinstance(step, Upload)
    assert step.mirrored_date is None


def test_uploads_that_would_lose_annotations_are_refused_in_a_plan() -> None:
    made = plan_uploads([candidate(1, edited=True), candidate(2, edited=True)], LISTING)
    why = AnnotationLossError("it has 1 track", task_id=2)
    kept, refused = made.with_refusals({2: why}).steps
    assert isinstance(kept, Upload)
    path = PurePath("task2/a.xml")
    assert refused == RefuseUpload(2, "two", path, UploadReason.LOSS, why)


@pytest.mark.parametrize(
    ("problem", "reason"),
    [
        (AnnotationFileError("it is no XML"), "file"),
        (UploadError("nothing keeps them"), "loss"),
        (NotFoundError("gone", status=404), "unreadable"),
        (ProtocolError("the answer is no JSON"), "unreadable"),
    ],
)
def test_a_plan_says_why_a_comparison_of_annotations_failed(
    problem: AsyncCvatError, reason: str
) -> None:
    (step,) = plan_uploads([candidate(2, edited=True)], LISTING).with_refusals({2: problem}).steps
    assert step.reason == reason


def test_a_plan_is_json() -> None:
    made = plan_uploads(
        [
            candidate(1, edited=True),
            candidate(2, edited=False),
            candidate(2, problem=AnnotationFileError("a.xml is empty")),
        ],
        LISTING,
    )
    assert made.counts == {"upload": 1, "skip": 1, "refuse": 1}
    first, second, third = made.to_json()["steps"]
    assert first["importer"] == "CVAT 1.1"
    assert second == {
        "step": "skip",
        "task_id": 2,
        "name": "two",
        "path": "task2/a.xml",
        "reason": "unchanged",
    }
    assert third["error"] == "a.xml is empty"


# --- pieces -------------------------------------------------------------------------------------


@given(st.integers(1, 25 << 30), st.data())
def test_pieces_reach_the_end_and_five_breaks_cost_less_than_a_tenth(
    size: int, data: st.DataObject
) -> None:
    offset = data.draw(st.integers(0, size - 1))
    length = chunk_length(size, offset)
    assert 1 <= length <= size - offset
    assert length <= max(ONE_REQUEST, size / 50, 1 << 16)


def test_a_file_of_200_mb_has_about_sixty_pieces() -> None:
    size, offset, chunks = 200_000_000, 0, 0
    while offset < size:
        offset += chunk_length(size, offset)
        chunks += 1
    assert offset == size
    assert 50 <= chunks <= 70
    assert 5 * chunk_length(size, 0) < 0.1 * size


def test_metadata_names_the_file_in_base64() -> None:
    # As a real upload was recorded.
    assert metadata("annotations.zip") == "filename YW5ub3RhdGlvbnMuemlw"


def test_an_offset_outside_the_file_is_a_protocol_error() -> None:
    assert read_offset(" 7 ", size=7) == 7
    for nonsense in (None, "", "-1", "8", "7.0", "\u0663", "9" * 30):
        with pytest.raises(ProtocolError, match="Upload-Offset"):
            read_offset(nonsense, size=7)


# --- options ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "wrong",
    [
        {"mode": "merge"},
        {"mode": 1},
        {"transfers": 0},
        {"concurrency": 0},
        {"retries": -1},
        {"import_timeout": 0},
        {"overwrite": "yes"},
    ],
)
def test_options_that_cannot_be_used_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        UploadOptions(**wrong)


# --- receipts -----------------------------------------------------------------------------------


def receipt() -> Receipt:
    members = (MemberRecord("annotations.xml", 10, 1, 100), MemberRecord("images/1.jpg", 5, 2, 101))
    head = ReceiptHead(
        task_id=1,
        folder="task1",
        format="CVAT for images 1.1",
        images=False,
        updated_date="u1",
        origin="http://cvat",
        digest="d",
        files=2,
        bytes=15,
        requested_at="r",
        committed_at="c",
    )
    return Receipt(head, members)


def test_an_uploaded_member_counts_as_known_and_a_file_of_ones_own_does_not() -> None:
    edited = MemberRecord("annotations.xml", 20, 9, 500)
    own = MemberRecord("annotations_pseudo.xml", 1, 1, 1)
    noted = after_upload(receipt(), [edited, own], at="now", updated_date=None)
    assert noted.members == (edited, receipt().members[1])
    assert noted.head.bytes == 25
    assert noted.head.uploaded_at == "now"
    assert noted.head.uploaded == ("annotations.xml",)
    again = after_upload(noted, [edited], at="later", updated_date=None)
    assert again.head.uploaded == ("annotations.xml",)
    assert noted.head.updated_date == "u1"
    assert after_upload(receipt(), [], at="now", updated_date="u2").head.updated_date == "u2"
    assert decode_receipt(encode_receipt(noted)) == noted


@pytest.mark.parametrize("updated_date", ["u1", "u2"])
def test_a_task_whose_files_were_uploaded_is_fetched_whatever_its_date(updated_date: str) -> None:
    head = after_upload(receipt(), [], at="now", updated_date=updated_date).head
    made = plan_mirror(
        TaskListing((Task(id=1, updated_date="u2", size=1),)),
        {1: head},
        ExportSpec(),
        MirrorOptions(),
        states={1: FolderState.INTACT},
    )
    (step,) = made.of(Fetch)
    assert step.reason is Reason.UPLOADED
