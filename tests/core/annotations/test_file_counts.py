"""Count the annotations of files while they are read, however they are cut into pieces."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asynccvat.core.annotations.counting import plan_counting
from asynccvat.core.annotations.counts import AnnotationCounts
from asynccvat.core.annotations.file_counts import (
    CocoCounter,
    CvatXmlCounter,
    DatumaroCounter,
    FileCounter,
    FileCounts,
    LineCounter,
    UncountableError,
    VocCounter,
    sum_counts,
)
from asynccvat.core.annotations.json_counter import CvatJsonCounter


def counted(counter: FileCounter, data: bytes, piece: int = 1 << 16) -> FileCounts:
    for start in range(0, len(data), piece):
        counter.feed(data[start : start + piece])
    return counter.result()


IMAGES_XML = b"""<?xml version="1.0" encoding="utf-8"?>
<annotations><version>1.1</version><meta><task><labels><label><attributes><attribute/></attributes>
</label></labels></task></meta>
<image id="0" name="a.jpg"><box label="car" group_id="3"><attribute name="n">1</attribute>
<attribute name="m">2</attribute></box><mask label="car"/><skeleton label="s"><points/><points/>
</skeleton><tag label="sky"><attribute name="w">rain</attribute></tag><unknown/></image>
<image id="1" name="b.jpg"></image></annotations>"""

VIDEO_XML = b"""<annotations><meta/>
<track label="car" group_id="2"><box frame="0"><attribute name="n">1</attribute></box>
<box frame="1"><attribute name="n">1</attribute></box></track>
<track label="car" group_id="2"><mask frame="0"/><mask frame="1"/></track>
<track label="s"><skeleton frame="0"><points><attribute/></points></skeleton></track>
</annotations>"""


@pytest.mark.parametrize("piece", [1, 7, 4096])
def test_shapes_and_tags_of_images_are_counted(piece: int) -> None:
    assert counted(CvatXmlCounter(), IMAGES_XML, piece) == FileCounts(
        AnnotationCounts(
            shapes=3,
            tags=1,
            types={"rectangle": 1, "mask": 1, "skeleton": 1},
            grouped=1,
            attributed=2,
        )
    )


def test_tracks_are_counted_and_a_track_of_masks_is_a_shape() -> None:
    assert counted(CvatXmlCounter(), VIDEO_XML) == FileCounts(
        AnnotationCounts(
            shapes=1,
            tracks=2,
            types={"rectangle": 1, "mask": 1, "skeleton": 1},
            grouped=1,
            attributed=1,
        ),
        only_tracks=True,
    )


@pytest.mark.parametrize("counter", [CvatXmlCounter, VocCounter])
@pytest.mark.parametrize("data", [b"", b"<annotations>", b"<annotations><image></annotations>"])
def test_damaged_xml_cannot_be_counted(counter: type[FileCounter], data: bytes) -> None:
    with pytest.raises(UncountableError):
        counted(counter(), data)


def coco(*annotations: dict[str, Any], **rest: Any) -> bytes:
    document = {"images": [{"id": 1, "file_name": "image_id"}], "annotations": list(annotations)}
    return json.dumps(document | rest).encode()


BOX = {"id": 1, "image_id": 1, "segmentation": [], "bbox": [1, 2, 3, 4], "attributes": {}}
POLYGON = {"id": 2, "image_id": 1, "segmentation": [[1, 2, 3, 4, 5, 6]]}
MASK = {"id": 3, "image_id": 1, "segmentation": {"counts": [1], "size": [1, 1]}, "iscrowd": 1}


def tracked(track_id: int) -> dict[str, Any]:
    return BOX | {"attributes": {"track_id": track_id, "keyframe": True, "note": '"image_id": 1'}}


@given(
    st.lists(st.sampled_from([BOX, POLYGON, MASK])),
    st.lists(st.integers(0, 3)),
    st.integers(1, 900),
    st.sampled_from([None, 2]),
)
def test_coco_is_counted_without_being_decoded(
    shapes: list[dict[str, Any]], tracks: list[int], piece: int, indent: int | None
) -> None:
    document = json.loads(coco(*shapes, *map(tracked, tracks)))
    held = counted(CocoCounter(), json.dumps(document, indent=indent).encode(), piece)
    assert held.exact
    assert (held.counts.shapes, held.counts.tracks) == (len(shapes), len(set(tracks)))
    assert held.is_empty == (not shapes and not tracks)
    assert held.counts.masks == shapes.count(MASK)


def test_an_id_of_a_track_without_keyframes_is_an_attribute_like_others() -> None:
    plain = BOX | {"attributes": {"track_id": 1}}
    assert counted(CocoCounter(), coco(plain, plain)).counts.tracks == 0


def test_only_skeletons_of_coco_keypoints_count() -> None:
    held = counted(CocoCounter(keypoints=True), coco(BOX | {"keypoints": [1, 2, 2]}))
    assert held == FileCounts(AnnotationCounts(shapes=1, types={"skeleton": 1}), exact=False)


def test_datumaro_is_counted_by_type() -> None:
    def item(*annotations: dict[str, Any]) -> bytes:
        return json.dumps({"items": [{"id": "a", "annotations": list(annotations)}]}).encode()

    attributes = {"track_id": 4, "keyframe": False}
    held = counted(
        DatumaroCounter(),
        item(
            {"type": "bbox"},
            {"type": "label", "image_id": 4},
            {"type": "caption"},
            {"type": "polygon", "attributes": attributes},
            {"type": "polygon", "attributes": attributes | {"keyframe": True}},
        ),
    )
    assert (held.counts.shapes, held.counts.tags, held.counts.tracks) == (1, 1, 1)
    skeleton = {"type": "skeleton", "elements": [{"type": "points"}]}
    assert not counted(DatumaroCounter(), item(skeleton)).exact


@pytest.mark.parametrize("piece", [1, 3, 100])
def test_lines_are_shapes_or_name_tracks(piece: int) -> None:
    boxes = b"0 0.1 0.2 0.3 0.4\n\n \n1 0.1 0.2 0.3 0.4"
    held = counted(LineCounter("rectangle"), boxes, piece)
    assert held.counts == AnnotationCounts(shapes=2, types={"rectangle": 2})
    mot = b"1,4,10,20\n2,4,10,20\n2,5,1,2\nodd\n"
    held = counted(LineCounter("rectangle", tracks=True), mot, piece)
    assert held.counts.tracks == 3


def test_objects_of_voc_are_counted() -> None:
    data = b"<annotation><object><name>car</name></object><object/></annotation>"
    assert counted(VocCounter(), data).counts.shapes == 2


def test_the_counts_of_several_files_are_added() -> None:
    added = sum_counts([counted(CvatXmlCounter(), data) for data in (IMAGES_XML, VIDEO_XML)])
    assert (added.counts.shapes, added.counts.tags, added.counts.tracks) == (4, 1, 2)
    assert added.counts.types == {"rectangle": 2, "mask": 2, "skeleton": 2}
    assert added.exact
    assert sum_counts([]).is_empty


# --- which files are counted ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("importer", "paths", "counted_paths", "leftover"),
    [
        ("CVAT 1.1", ["annotations.xml", "notes.txt"], ["annotations.xml"], False),
        ("COCO 1.0", ["annotations/instances_a.json", "annotations/captions_a.json"],
         ["annotations/instances_a.json"], False),
        ("COCO Keypoints 1.0", ["annotations/person_keypoints_a.json", "annotations/x.json"],
         ["annotations/person_keypoints_a.json"], False),
        ("COCO 1.0", ["mine.json"], ["mine.json"], False),
        ("Datumaro 1.0", ["annotations/a.json"], ["annotations/a.json"], False),
        ("PASCAL VOC 1.1", ["labelmap.txt", "ImageSets/Main/default.txt", "Annotations/a.xml"],
         ["Annotations/a.xml"], False),
        ("PASCAL VOC 1.1", ["ImageSets/Main/car_default.txt"], [], True),
        ("PASCAL VOC 1.1", ["SegmentationClass/a.png"], [], True),
        ("YOLO 1.1", ["obj.data", "obj.names", "train.txt", "obj_train_data/a.txt"],
         ["obj_train_data/a.txt"], False),
        ("YOLO 1.1", ["obj.data", "train.txt"], [], False),
        ("Ultralytics YOLO Detection 1.0", ["data.yaml", "Mine.txt", "labels/Mine/a.txt"],
         ["labels/Mine/a.txt"], False),
        ("Ultralytics YOLO Segmentation 1.0", ["labels/a.txt"], ["labels/a.txt"], False),
        ("Ultralytics YOLO Pose 1.0", ["labels/a.txt"], ["labels/a.txt"], False),
        ("Ultralytics YOLO Classification 1.0", ["train/car/a.jpg"], [], True),
        ("MOT 1.1", ["gt/gt.txt", "gt/labels.txt"], ["gt/gt.txt"], False),
        ("MOTS PNG 1.0", ["default/instances/labels.txt"], [], False),
        ("MOTS PNG 1.0", ["default/instances/labels.txt", "default/instances/a.png"], [], True),
        ("Future 9.9", ["a.bin"], [], True),
        ("CVAT 1.1", ["./annotations.xml"], ["./annotations.xml"], False),
        ("CVAT 1.1", ["annotations.xml", "__MACOSX/._annotations.xml"], ["annotations.xml"], False),
        ("YOLO 1.1", ["obj_train_data/a.txt", "__MACOSX/obj_train_data/._a.txt", ".DS_Store"],
         ["obj_train_data/a.txt"], False),
        ("MOTS PNG 1.0", ["labels.txt", ".DS_Store"], [], False),
    ],
)  # fmt: skip
def test_each_format_has_files_that_are_counted(
    importer: str, paths: list[str], counted_paths: list[str], leftover: bool
) -> None:
    plan = plan_counting(paths, importer)
    assert list(plan.counters) == counted_paths
    assert plan.leftover is leftover
    # An empty file of each holds nothing, or is no such file.
    for make in plan.counters.values():
        try:
            assert make().result().is_empty
        except UncountableError:
            assert importer.startswith(("CVAT", "PASCAL"))


def test_a_file_of_cvats_json_is_counted_as_the_servers_answer() -> None:
    content = b'{"tags": [{}], "shapes": [{"type": "mask"}, {"type": "ellipse"}], "tracks": []}'
    counter = CvatJsonCounter()
    counter.feed(content[:20])
    counter.feed(content[20:])
    held = counter.result()
    assert (held.counts.tags, held.counts.shapes, held.counts.masks) == (1, 2, 1)
    assert held.exact


def test_what_is_not_cvats_json_is_not_counted() -> None:
    counter = CvatJsonCounter()
    counter.feed(b'{"shapes": 5}')
    with pytest.raises(UncountableError):
        counter.result()
