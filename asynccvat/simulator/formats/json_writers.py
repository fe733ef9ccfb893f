"""Write the JSON files of "COCO 1.0" and "Datumaro 1.0", as CVAT does.

`archives` puts the files into an archive, `json_readers` reads such files.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Final

from asynccvat.simulator.formats.frames import AnnotatedFrame, attribute_value, shape_attributes
from asynccvat.simulator.formats.geometry import bounding_box, drawn_area, kept_points
from asynccvat.simulator.world.annotations import Label, Shape, ShapeType, Tag
from asynccvat.simulator.world.content import Frame
from asynccvat.simulator.world.masks import coco_counts, mask_points, pack_counts, shape_bits


def coco_json(labels: Sequence[Label], frames: Sequence[AnnotatedFrame]) -> str:
    """Write `instances_<subset>.json` of "COCO 1.0"; ids count from 1."""
    category = {label.id: number for number, label in enumerate(labels, start=1)}
    images = []
    annotations: list[dict[str, Any]] = []
    for image_id, one in enumerate(frames, start=1):
        images.append(
            {
                "id": image_id,
                "width": one.frame.width,
                "height": one.frame.height,
                "file_name": _image_name(one),
                "license": 0,
                "flickr_url": "",
                "coco_url": "",
                "date_captured": 0,
            }
        )
        for shape in sorted(one.shapes, key=lambda shape: shape.group or 0):
            if shape.type in _IN_COCO:
                number = len(annotations) + 1
                annotations.append(
                    {
                        "id": number,
                        "image_id": image_id,
                        "category_id": category[shape.label.id],
                        **_coco_geometry(shape, one.frame),
                        "attributes": shape_attributes(shape),
                    }
                )
    info = dict.fromkeys(("contributor", "date_created", "description", "url", "version"), "")
    document = {
        "licenses": [{"name": "", "id": 0, "url": ""}],
        "info": {**info, "year": ""},
        "categories": [
            {"id": category[label.id], "name": label.name, "supercategory": ""} for label in labels
        ],
        "images": images,
        "annotations": annotations,
    }
    return _compact(document)


_IN_COCO: Final = frozenset({"rectangle", "polygon", "mask", "ellipse"})
"""Shapes of "COCO 1.0". An ellipse becomes a mask; points are in "COCO Keypoints 1.0" only."""


def _coco_geometry(shape: Shape, frame: Frame) -> dict[str, Any]:
    """Describe where a shape is: polygons by their corners, masks by run lengths."""
    if shape.type in ("mask", "ellipse"):
        bits = shape_bits(shape, frame.width, frame.height)
        counts = coco_counts(bits, frame.width)
        return {
            "segmentation": {"counts": counts, "size": [frame.height, frame.width]},
            "area": float(sum(bits)),
            "bbox": _box_of_bits(bits, frame.width),
            "iscrowd": 1,
        }
    points = kept_points(shape.points)
    box = bounding_box(points)
    is_polygon = shape.type == "polygon"
    area = float(drawn_area(points, frame.width, frame.height)) if is_polygon else box[2] * box[3]
    return {
        "segmentation": [list(points)] if is_polygon else [],
        "area": area,
        "bbox": [round(number, 2) for number in box],
        "iscrowd": 0,
    }


def _image_name(one: AnnotatedFrame) -> str:
    """Return the name of an image; those of a video's frames end in lower case here."""
    return f"{one.item_id}.png" if one.task.video else one.frame.name


def _box_of_bits(bits: bytes, width: int) -> list[float]:
    *_, left, top, right, bottom = mask_points(bits, width) or (0, 0, -1, -1)
    return [float(left), float(top), float(right - left + 1), float(bottom - top + 1)]


def datumaro_json(labels: Sequence[Label], frames: Sequence[AnnotatedFrame]) -> str:
    """Write `<subset>.json` of "Datumaro 1.0": all annotations, by item."""
    index = {label.id: number for number, label in enumerate(labels)}
    names = {attribute.name for label in labels for attribute in label.attributes}
    label_entries = [{"name": label.name, "parent": "", "attributes": []} for label in labels]
    document = {
        "dm_format_version": "1.0",
        "media_type": 2,
        "infos": {},
        "categories": {
            "label": {
                "labels": label_entries,
                "label_groups": [],
                "attributes": sorted({*names, "occluded"}),
            },
            "points": {"items": []},
        },
        "items": [
            {
                "id": one.item_id,
                "annotations": [
                    *(
                        _datumaro_shape(shape, index[shape.label.id], one.frame)
                        for shape in one.shapes
                        if shape.type != "skeleton"  # not recorded how CVAT writes them here
                    ),
                    *(_datumaro_tag(tag, index[tag.label.id]) for tag in one.tags),
                ],
                "attr": {"frame": one.frame.index},
                "image": {
                    "path": one.frame.name,
                    "size": [one.frame.height, one.frame.width],
                },
            }
            for one in frames
        ],
    }
    return _compact(document)


def _datumaro_tag(tag: Tag, label: int) -> dict[str, Any]:
    values = {
        attribute.name: attribute_value(attribute, value) for attribute, value in tag.attributes
    }
    return {
        "id": 0,
        "type": "label",
        "attributes": values,
        "group": tag.group or 0,
        "label_id": label,
    }


def _datumaro_shape(shape: Shape, label: int, frame: Frame) -> dict[str, Any]:
    common = {
        "id": 0,
        "type": _DATUMARO_TYPES.get(shape.type, shape.type),
        "attributes": shape_attributes(shape),
        "group": shape.group or 0,
        "label_id": label,
    }
    if shape.type == "rectangle":
        return {**common, "z_order": shape.z_order, "bbox": bounding_box(shape.points)}
    if shape.type == "mask":
        counts = coco_counts(shape_bits(shape, frame.width, frame.height), frame.width)
        packed = {"counts": pack_counts(counts), "size": [frame.height, frame.width]}
        return {**common, "z_order": shape.z_order, "rle": packed}
    if shape.type == "ellipse":  # the corners of its box
        x, y, right, top = shape.points
        box = [2 * x - right, top, right, 2 * y - top]
        return {**common, "points": box, "z_order": shape.z_order}
    points = {**common, "points": list(shape.points), "z_order": shape.z_order}
    if shape.type == "points":
        points["visibility"] = [2] * (len(shape.points) // 2)
    return points


_DATUMARO_TYPES: Final[dict[ShapeType, str]] = {"rectangle": "bbox", "cuboid": "cuboid_2d"}


def _compact(document: object) -> str:
    return json.dumps(document, ensure_ascii=False, separators=(",", ":"))
