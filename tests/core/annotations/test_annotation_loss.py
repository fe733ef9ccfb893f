"""Decide whether an import would lose annotations, and whether one has."""

from __future__ import annotations

from typing import Any

import pytest

from asynccvat.core.annotations.capacity import better_format, capacity_of
from asynccvat.core.annotations.counts import AnnotationCounts
from asynccvat.core.annotations.file_counts import FileCounts
from asynccvat.core.annotations.loss import check_result, refuse_loss
from asynccvat.errors import AnnotationLossError

BOXES = {"rectangle": 9}


def has(**counts: Any) -> AnnotationCounts:
    return AnnotationCounts(**counts)


def refusal(
    existing: AnnotationCounts, held: AnnotationCounts | None, importer: str, **permits: bool
) -> str:
    """Return why an upload is refused, "" if it is not."""
    counts = None if held is None else FileCounts(held)
    try:
        refuse_loss(7, existing, counts, importer, file="a.xml", **permits)
    except AnnotationLossError as error:
        return str(error) if error.task_id == 7 else "of another task"
    return ""


@pytest.mark.parametrize(
    ("existing", "held", "importer", "said"),
    [
        (has(tracks=1), has(shapes=3), "CVAT 1.1",
         ("it has 1 track, which CVAT for images 1.1 turns into 3 shapes. Mirror it as CVAT for "
         "video 1.1, or give --lossy.")),
        (has(tracks=2, shapes=1), has(shapes=51), "CVAT 1.1",
         ("it has 2 tracks, which CVAT for images 1.1 turns into shapes. Mirror it as CVAT "
         "JSON, which carries tracks and shapes, or give --lossy.")),
        (has(tracks=2, shapes=1), has(tracks=3), "CVAT 1.1",
         "it has 1 shape, which CVAT for video 1.1 turns into tracks. "),
        (has(shapes=4), has(tracks=4), "CVAT 1.1",
         ("it has 4 shapes, which CVAT for video 1.1 turns into 4 tracks. Mirror it as CVAT for "
         "images 1.1, or give --lossy.")),
        (has(tags=1, tracks=1), has(tracks=1), "CVAT 1.1",
         ("it has 1 tag, which CVAT for video 1.1 does not carry, so the import would lose that. "
         "Mirror it as CVAT JSON, or give --lossy.")),
        (has(tracks=1), has(shapes=2), "COCO 1.0",
         "it has 1 track, and the file holds 2 shapes. Mirror it as CVAT for video 1.1, or"),
        (has(tracks=1), None, "PASCAL VOC 1.1", "it has 1 track, which PASCAL VOC 1.1 does not"),
        (has(shapes=4, types={"skeleton": 1, "points": 2, "unknown": 1}), has(shapes=1), "COCO 1.0",
         ("it has 2 sets of points, 1 skeleton and 1 annotation of an unknown type, which COCO 1.0 "
         "does not carry")),
        (has(shapes=1, types=BOXES, attributed=1, grouped=1), has(shapes=1), "YOLO 1.1",
         "it has 1 annotation with attributes and 1 annotation in groups, which YOLO 1.1 does"),
        (has(shapes=2, tags=1), None, "Future 9.9",
         ("it has 1 tag, and asynccvat does not know whether Future 9.9 carries that. Mirror it as "
         "CVAT for images 1.1")),
        (has(tracks=1, shapes=3, types={"mask": 1}),
         has(tracks=3, shapes=1, types={"mask": 1}), "CVAT 1.1", "it has 2 shapes, which CVAT for"),
        (has(tracks=1, shapes=1, types={"mask": 1}, grouped=1),
         has(tracks=1, shapes=1, types={"mask": 1}), "CVAT 1.1", "it has 1 annotation in groups, "),
        (has(tracks=3), has(), "CVAT 1.1",
         ("'a.xml' holds no annotations, and the import would remove the 3 tracks of the task. "
         "Check the file, or give --allow-empty.")),
    ],
)  # fmt: skip
def test_a_loss_is_refused_with_numbers(
    existing: AnnotationCounts, held: AnnotationCounts | None, importer: str, said: str
) -> None:
    assert said in refusal(existing, held, importer)
    assert refusal(existing, held, importer).startswith("cannot upload to task 7: ")
    assert refusal(existing, held, importer, lossy=True, allow_empty=True) == ""


@pytest.mark.parametrize(
    ("existing", "held", "importer"),
    [
        (has(), has(), "CVAT 1.1"),  # there is nothing to lose
        (has(shapes=5, tags=1, grouped=1, attributed=1), has(shapes=1), "CVAT 1.1"),
        (has(tracks=5), has(tracks=1), "CVAT 1.1"),
        (has(shapes=1, tracks=1, types={"mask": 1}), has(tracks=1, shapes=1, types={"mask": 1}),
         "CVAT 1.1"),
        (has(tracks=5, shapes=1, tags=1), has(tracks=1, shapes=1, tags=1), "CVAT 1.1"),
        (has(tracks=5, shapes=5, tags=1), None, "CVAT 1.1"),  # the server will judge it
        (has(tracks=5, shapes=5, types=BOXES), has(tracks=1, shapes=1), "COCO 1.0"),
        (has(tracks=5, shapes=5, tags=3), has(tracks=1, shapes=1), "Datumaro 1.0"),
        (has(tracks=5, types=BOXES), has(tracks=5), "MOT 1.1"),
        (has(shapes=5, types=BOXES), None, "YOLO 1.1"),
        # The file holds what is not expected of its format.
        (has(tags=1, attributed=1, grouped=1, types={"mask": 1}, shapes=1),
         has(tags=1, attributed=1, grouped=1, types={"mask": 1}, shapes=1), "Future 9.9"),
    ],
)  # fmt: skip
def test_what_the_format_carries_is_the_users_to_replace(
    existing: AnnotationCounts, held: AnnotationCounts | None, importer: str
) -> None:
    assert refusal(existing, held, importer) == ""


def test_a_mask_in_a_file_of_tracks_loses_its_group() -> None:
    masks = has(shapes=1, types={"mask": 1}, grouped=1)
    held = FileCounts(has(shapes=1, types={"mask": 1}), only_tracks=True)
    with pytest.raises(AnnotationLossError, match="1 annotation in groups, which CVAT for video"):
        refuse_loss(7, masks, held, "CVAT 1.1", file="a.xml")


def test_the_better_format_is_another_one() -> None:
    assert better_format(has(shapes=1, tags=1)) == "CVAT for images 1.1"
    assert better_format(has(tracks=1, shapes=1, types={"mask": 1})) == "CVAT for video 1.1"
    # In the best format already: what is missing has to be in the file.
    assert "Keep that in the file, or give --lossy" in refusal(
        has(tracks=1, shapes=1, types={"rectangle": 2}), has(shapes=2), "CVAT JSON"
    )
    assert capacity_of("CVAT 1.1", None).tracks
    assert "Mirror it as CVAT JSON, which carries tracks and shapes, or give" in (
        refusal(has(tracks=1, shapes=1, grouped=1), has(tracks=1, shapes=1), "Datumaro 1.0")
    )


# --- after the import -----------------------------------------------------------------------------


def warnings(
    before: AnnotationCounts,
    held: FileCounts | None,
    after: AnnotationCounts,
    **how: bool,
) -> tuple[str, ...]:
    return check_result(7, before, held, after, **how)


def test_a_task_without_annotations_afterwards_has_failed() -> None:
    with pytest.raises(AnnotationLossError, match="it had 12 before, and the file may hold some"):
        warnings(has(shapes=12), None, has())
    with pytest.raises(AnnotationLossError, match="it had 0 before, and the file holds 3"):
        warnings(has(), FileCounts(has(shapes=3)), has())
    assert warnings(has(shapes=12), FileCounts(has()), has(), allow_empty=True) == ()
    assert warnings(has(), FileCounts(has()), has()) == ()
    assert warnings(has(), None, has()) == ()


def test_a_fall_below_half_is_a_warning() -> None:
    assert warnings(has(shapes=12), None, has(shapes=6)) == ()
    assert warnings(has(shapes=12), None, has(shapes=5)) == (
        "the task had 12 annotations, and has 5 now",
    )
    assert warnings(has(shapes=12), None, has(shapes=5), allow_empty=True) == ()
    # It is told also where the server left out some of the few that the file holds.
    both = warnings(has(shapes=100), FileCounts(has(shapes=12)), has(shapes=11))
    assert len(both) == 2
    assert both[1] == "the task had 100 annotations, and has 11 now"


def test_all_tracks_or_tags_gone_is_a_warning() -> None:
    assert warnings(has(tracks=2, tags=1), None, has(shapes=9)) == (
        "the task had 2 tracks, and has none now",
        "the task had 1 tag, and has none now",
    )
    assert warnings(has(tracks=2, tags=1), None, has(shapes=9), lossy=True) == ()


def test_annotations_that_the_server_left_out_are_a_warning() -> None:
    held = FileCounts(has(shapes=5))
    assert warnings(has(), held, has(shapes=4)) == (
        "the task has 4 annotations now, and 1 of 5 are missing: the server left them out",
    )
    assert warnings(has(shapes=3), held, has(shapes=8), appended=True) == ()
    assert warnings(has(shapes=3), held, has(shapes=7), appended=True) != ()
    assert warnings(has(), FileCounts(has(shapes=5), exact=False), has(shapes=4)) == ()
