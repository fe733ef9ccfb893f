"""Why an upload cannot be undone, what its undo left, and what its plan says, in words and JSON."""

from __future__ import annotations

from pathlib import PurePath

import pytest

from asynccvat.core.annotations.counts import AnnotationCounts
from asynccvat.core.options.upload import UploadOptions
from asynccvat.core.plans.undo import (
    changed_since_upload,
    check_put_back,
    no_such_state,
    nothing_kept,
    put_back_refused,
    undo_uncertain,
)
from asynccvat.core.plans.upload import PutBack, UploadPlan, UploadReason
from asynccvat.errors import AnnotationLossError, ConfigError, ResponseError, TransportError

SOME = AnnotationCounts(tags=1, shapes=5, tracks=2)


def test_each_refusal_names_the_task_and_what_to_do() -> None:
    assert "kept in '/r'. Check the task" in str(nothing_kept(7, "/r"))
    assert "is not kept in '/r'. Name one of a, b." in str(no_such_state(7, "x", "/r", ["a", "b"]))
    assert "task changed since that upload" in str(changed_since_upload(7, known=True))
    assert "nothing tells how" in str(changed_since_upload(7, known=False))
    assert "may have happened or not: gone. Look" in str(undo_uncertain(TransportError("gone."), 7))


def test_an_undo_is_done_if_the_task_holds_as_many_of_each_kind() -> None:
    check_put_back(7, wanted=SOME, found=SOME, file="f")
    found = AnnotationCounts(tags=1, shapes=3, tracks=1)
    with pytest.raises(AnnotationLossError, match="put back 1 of 2 tracks, 3 of 5 shapes of task"):
        check_put_back(7, wanted=SOME, found=found, file="f")


@pytest.mark.parametrize(
    ("status", "detail", "says"),
    [
        (413, "", "client_max_body_size"),
        (400, "label_id `9` is invalid", "was removed since"),
        (400, "spec_id `9` is invalid", "was removed since"),
        (400, "shapes: wrong", "as it came"),
        (403, "no", "as it came"),
    ],
)
def test_a_refused_undo_says_why(status: int, detail: str, says: str) -> None:
    error = ResponseError("as it came", status=status, detail=detail)
    assert says in str(put_back_refused(error, 7, "f", 10))


def test_a_plan_of_an_undo_is_json() -> None:
    step = PutBack(7, "seven", PurePath("f.json"), UploadReason.UNDO, AnnotationCounts(), SOME)
    plan = UploadPlan((step,))
    assert plan.counts == {"put back": 1}
    assert plan.of(PutBack) == (step,)
    assert plan.to_json()["steps"][0] == {
        "step": "put back",
        "task_id": 7,
        "name": "seven",
        "path": "f.json",
        "reason": "undo",
        "now": {"tags": 0, "shapes": 0, "tracks": 0},
        "kept": {"tags": 1, "shapes": 5, "tracks": 2},
    }


@pytest.mark.parametrize("wrong", ["", " ", 7, b"replaced"])
def test_a_backup_folder_is_a_path(wrong: object) -> None:
    with pytest.raises(ConfigError, match="backup_dir must be the path of a folder"):
        UploadOptions(backup_dir=wrong)  # type: ignore[arg-type]
    assert UploadOptions(backup_dir=PurePath("replaced")).backup_dir == PurePath("replaced")
