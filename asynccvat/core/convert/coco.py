"""Write the file of "COCO 1.0": images, categories and instances.

Rectangles, polygons, masks and ellipses are in it. The rest is left out, as CVAT does. Source:
`plugins/data_formats/coco/exporter.py` of Datumaro, and recordings of CVAT 2.54 and 2.64.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any, Final

import msgspec

from asynccvat.core.convert.ellipses import ellipse_bits
from asynccvat.core.convert.frames import AnnotatedFrame, Frame, annotated_frames, exported_frames
from asynccvat.core.convert.items import Items, rounded, rounded_box
from asynccvat.core.convert.masks import (
    CocoMask,
    coco_mask,
    coco_mask_of_bits,
    polygon_area,
)
from asynccvat.core.convert.task_json import TaskJson, inexact
from asynccvat.core.convert.xml_texts import Place, chunks

SHOWN: Final = frozenset({"rectangle", "polygon", "mask", "ellipse"})
_OF_COCO: Final = frozenset({"is_crowd", "score"})

_json = msgspec.json.Encoder().encode


def coco_json(source: TaskJson) -> Iterator[bytes]:
    """Write the file in chunks.

    Raises:
        InexactConversionError: It is not known how CVAT exports the task.
    """
    items = Items(source)
    taken = {one.name for one in source.attribute_by_id.values()} & _OF_COCO
    if taken:
        raise inexact(f"the attribute {min(taken)!r} is reserved in COCO")
    return chunks(_head(items), _images(source), _annotations(source, items))


def _head(items: Items) -> Iterator[str]:
    info = dict.fromkeys(("contributor", "date_created", "description", "url", "version"), "")
    head = {
        "licenses": [{"name": "", "id": 0, "url": ""}],
        "info": {**info, "year": ""},
        "categories": [
            {"id": place, "name": name, "supercategory": ""}
            for place, name in enumerate(items.label_names, start=1)
        ],
    }
    yield _json(head).decode()[:-1] + ',"images":['


def _images(source: TaskJson) -> Iterator[str]:
    for place, frame in enumerate(exported_frames(source), start=1):
        image = {
            "id": place,
            "width": frame.width,
            "height": frame.height,
            "file_name": image_name(source, frame),
            "license": 0,
            "flickr_url": "",
            "coco_url": "",
            "date_captured": 0,
        }
        yield ("," if place > 1 else "") + _json(image).decode()


def image_name(source: TaskJson, frame: Frame) -> str:
    """Return the file name of a frame's image in Datumaro's formats."""
    return f"{frame.name}.png" if source.is_video else frame.name


def _annotations(source: TaskJson, items: Items) -> Iterator[str]:
    yield '],"annotations":['
    number = 0
    for image, one in enumerate(annotated_frames(source, skeletons=False), start=1):
        for shape in _instances(one):
            number += 1
            found = {
                "id": number,
                "image_id": image,
                "category_id": items.label_index[shape.label_id] + 1,
                **_place(shape, one.frame),
                "attributes": items.attributes(shape),
            }
            yield ("," if number > 1 else "") + _json(found).decode()
    yield "]}"


def _instances(one: AnnotatedFrame) -> Sequence[Place]:
    """Return the shapes of a frame in COCO's order: those without a group first."""
    shapes = [shape for shape in one.shapes if shape.type in SHOWN]
    groups = Counter(shape.group for shape in shapes if shape.group)
    if not groups:
        return shapes
    if max(groups.values()) > 1:
        raise inexact("COCO joins the shapes of a group to one object")
    return sorted(shapes, key=lambda shape: shape.group or 0)


def _place(shape: Place, frame: Frame) -> dict[str, Any]:
    """Say where a shape is: a rectangle by its box, a polygon by corners, a mask by run lengths."""
    if shape.type == "rectangle":
        box = _box(rounded_box(shape.points))
        return _described([], box[2] * box[3], box)
    if shape.type == "polygon":
        points = rounded(shape.points)
        if len(points) < 6:
            raise inexact(f"a polygon has {len(points)} numbers as its points")
        xs, ys = points[::2], points[1::2]
        area = polygon_area(points, frame.width, frame.height)
        return _described([points], float(area), _box([min(xs), min(ys), max(xs), max(ys)]))
    mask = mask_of(shape, frame)
    segmentation = {"counts": mask.counts, "size": [frame.height, frame.width]}
    return {
        "segmentation": segmentation,
        "area": float(mask.area),
        "bbox": mask.box,
        "iscrowd": 1,
    }


def mask_of(shape: Place, frame: Frame) -> CocoMask:
    """Return the pixels of a mask or an ellipse.

    Raises:
        InexactConversionError: They are not known.
    """
    width, height = frame.width, frame.height
    try:
        if shape.type == "mask":
            return coco_mask(shape.points, width, height)
        bits = ellipse_bits(shape.points, shape.rotation, width, height)
    except ValueError as error:
        raise inexact(str(error)) from error
    if bits is None or not any(bits.inside):
        raise inexact("an ellipse is outside of the image")
    return coco_mask_of_bits(bits, width, height)


def _box(corners: Sequence[float]) -> list[float]:
    left, top, right, bottom = corners
    return [left, top, right - left, bottom - top]


def _described(segments: list[list[float]], area: float, box: list[float]) -> dict[str, Any]:
    return {
        "segmentation": segments,
        "area": area,
        "bbox": [round(number, 2) for number in box],
        "iscrowd": 0,
    }
