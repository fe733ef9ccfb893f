"""The annotation files inside an export: COCO and Datumaro JSON, Pascal VOC, YOLO.

Each function turns a task into the text of one file (or of one per frame), as a CVAT server's
exporters write it. CVAT's own XML is written by `cvat_xml`; which files an archive holds, and
where, is the business of `formats`.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import PurePosixPath
from typing import Any, Final
from xml.sax.saxutils import escape

from asynccvat.simulator.world.annotations import Attribute, Label, Shape, ShapeType, Tag
from asynccvat.simulator.world.masks import coco_counts, mask_points, pack_counts, shape_bits
from asynccvat.simulator.world.tasks import Frame, Task


@dataclass(frozen=True, slots=True)
class Drawn:
    """One frame of an export with what is annotated on it, shapes from the back to the front."""

    task: Task
    frame: Frame
    shapes: tuple[Shape, ...]
    tags: tuple[Tag, ...]

    @property
    def subset(self) -> str:
        """The subset as exporters call it."""
        return self.task.subset or "default"


def draw(tasks: Sequence[Task]) -> list[Drawn]:
    """The frames of the tasks, numbered through, with names that are unique."""
    drawn: list[Drawn] = []
    taken: dict[str, int] = defaultdict(int)
    for task in tasks:
        shapes: dict[int, list[Shape]] = defaultdict(list)
        tags: dict[int, list[Tag]] = defaultdict(list)
        annotations = task.annotations()
        for shape in annotations.shapes:
            shapes[shape.frame].append(shape)
        for number, track in enumerate(annotations.tracks):
            for shape in track.shapes_until(task.size or 0, number):
                shapes[shape.frame].append(shape)
        for tag in annotations.tags:
            tags[tag.frame].append(tag)
        for frame in task.exported_frames():
            name = _unique_name(frame.name, taken)
            back_to_front = sorted(shapes[frame.index], key=lambda shape: shape.z_order)
            numbered = replace(frame, index=len(drawn), name=name)
            drawn.append(Drawn(task, numbered, tuple(back_to_front), tuple(tags[frame.index])))
    return drawn


def _unique_name(name: str, taken: dict[str, int]) -> str:
    """`name`, or `name_1` and so on where tasks of a project share it, as CVAT renames them."""
    stem, dot, extension = name.rpartition(".")
    count = taken[name]
    taken[name] += 1
    return f"{stem}_{count}{dot}{extension}" if count else name


def item_id(frame: Frame) -> str:
    """The name of a frame without its extension, as Datumaro and VOC call an image."""
    return str(PurePosixPath(frame.name).with_suffix(""))


# --- JSON formats -------------------------------------------------------------------------------


def coco_json(labels: Sequence[Label], drawn: Sequence[Drawn]) -> str:
    """`instances_<subset>.json` of "COCO 1.0": rectangles and polygons; ids count from 1."""
    category = {label.id: number for number, label in enumerate(labels, start=1)}
    images = []
    annotations: list[dict[str, Any]] = []
    for image_id, one in enumerate(drawn, start=1):
        images.append(
            {
                "id": image_id,
                "width": one.frame.width,
                "height": one.frame.height,
                "file_name": one.frame.name,
                "license": 0,
                "flickr_url": "",
                "coco_url": "",
                "date_captured": 0,
            }
        )
        for shape in one.shapes:
            if shape.type in _IN_COCO:
                number = len(annotations) + 1
                annotations.append(
                    {
                        "id": number,
                        "image_id": image_id,
                        "category_id": category[shape.label.id],
                        **_coco_place(shape, one.frame),
                        "attributes": _json_attributes(shape),
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
"""What "COCO 1.0" has; points are in "COCO Keypoints 1.0" only, an ellipse becomes a mask."""


def _coco_place(shape: Shape, frame: Frame) -> dict[str, Any]:
    """Where a shape is: polygons by their corners, masks by runs."""
    if shape.type in ("mask", "ellipse"):
        bits = shape_bits(shape, frame.width, frame.height)
        counts = coco_counts(bits, frame.width)
        return {
            "segmentation": {"counts": counts, "size": [frame.height, frame.width]},
            "area": float(sum(bits)),
            "bbox": _box_of_bits(bits, frame.width),
            "iscrowd": 1,
        }
    return {
        "segmentation": [list(shape.points)] if shape.type == "polygon" else [],
        "area": _area(shape),
        "bbox": _bounding_box(shape.points),
        "iscrowd": 0,
    }


def _box_of_bits(bits: bytes, width: int) -> list[float]:
    *_, left, top, right, bottom = mask_points(bits, width) or (0, 0, -1, -1)
    return [float(left), float(top), float(right - left + 1), float(bottom - top + 1)]


def datumaro_json(labels: Sequence[Label], drawn: Sequence[Drawn]) -> str:
    """`<subset>.json` of "Datumaro 1.0": everything, by item."""
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
                "id": item_id(one.frame),
                "annotations": [
                    *(
                        _datumaro_shape(shape, index[shape.label.id], one.frame)
                        for shape in one.shapes
                    ),
                    *(_datumaro_tag(tag, index[tag.label.id]) for tag in one.tags),
                ],
                "attr": {"frame": one.frame.index},
                "image": {
                    "path": one.frame.name,
                    "size": [one.frame.height, one.frame.width],
                },
            }
            for one in drawn
        ],
    }
    return _compact(document)


def _datumaro_tag(tag: Tag, label: int) -> dict[str, Any]:
    values = {attribute.name: _json_value(attribute, value) for attribute, value in tag.attributes}
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
        "attributes": _json_attributes(shape),
        "group": shape.group or 0,
        "label_id": label,
    }
    if shape.type == "rectangle":
        return {**common, "z_order": shape.z_order, "bbox": _bounding_box(shape.points)}
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


def _json_attributes(shape: Shape) -> dict[str, Any]:
    values: dict[str, Any] = {
        attribute.name: _json_value(attribute, value) for attribute, value in shape.attributes
    }
    values["occluded"] = shape.occluded
    if shape.type in ("rectangle", "ellipse"):
        values["rotation"] = shape.rotation
    if shape.track_id is not None:
        values |= {"track_id": shape.track_id, "keyframe": shape.keyframe}
    return values


def _json_value(attribute: Attribute, value: str) -> str | bool:
    return value == "true" if attribute.input_type == "checkbox" else value


def _compact(document: object) -> str:
    return json.dumps(document, ensure_ascii=False, separators=(",", ":"))


# --- Pascal VOC and YOLO ------------------------------------------------------------------------


def voc_label_map(labels: Iterable[Label]) -> str:
    """`labelmap.txt` of "PASCAL VOC 1.1"."""
    names = ["background", *(label.name for label in labels)]
    return "\n".join(["# label:color_rgb:parts:actions", *(f"{name}:::" for name in names), ""])


def voc_xml(one: Drawn, *, save_images: bool) -> str:
    """A frame's file of "PASCAL VOC 1.1": its rectangles. The depth is known with images only."""
    frame = one.frame
    identity = item_id(frame)
    lines = [
        "<annotation>",
        f"  <folder>{escape(identity.partition('_')[0] if '_' in identity else '')}</folder>",
        f"  <filename>{escape(frame.name)}</filename>",
        "  <source>",
        "    <database>Unknown</database>",
        "    <annotation>Unknown</annotation>",
        "    <image>Unknown</image>",
        "  </source>",
        "  <size>",
        f"    <width>{frame.width}</width>",
        f"    <height>{frame.height}</height>",
        f"    <depth>{3 if save_images else ''}</depth>",
        "  </size>",
        "  <segmented>0</segmented>",
    ]
    for shape in one.shapes:
        if shape.type == "rectangle":
            lines += _voc_object(shape)
    return "\n".join([*lines, "</annotation>", ""])


def _voc_object(shape: Shape) -> Iterator[str]:
    yield "  <object>"
    yield f"    <name>{escape(shape.label.name)}</name>"
    yield "    <truncated>0</truncated>"
    yield f"    <occluded>{shape.occluded:d}</occluded>"
    yield "    <difficult>0</difficult>"
    yield "    <bndbox>"
    for name, value in zip(("xmin", "ymin", "xmax", "ymax"), shape.points, strict=True):
        yield f"      <{name}>{value}</{name}>"
    yield "    </bndbox>"
    yield "    <attributes>"
    for name, value in _json_attributes(shape).items():
        if name != "occluded":
            yield "      <attribute>"
            yield f"        <name>{escape(name)}</name>"
            yield f"        <value>{escape(str(value))}</value>"
            yield "      </attribute>"
    yield "    </attributes>"
    yield "  </object>"


def yolo_yaml(subsets: Iterable[str], labels: Sequence[Label]) -> str:
    """`data.yaml` of "Ultralytics YOLO Detection 1.0"."""
    lists = (f"{subset}: {subset}.txt" for subset in subsets)
    names = (f"  {number}: {label.name}" for number, label in enumerate(labels))
    return "\n".join([*lists, "names:", *names, "path: .", ""])


def yolo_labels(labels: Sequence[Label], one: Drawn) -> str:
    """A frame's file of "Ultralytics YOLO Detection 1.0": class, centre and size of rectangles."""
    index = {label.id: number for number, label in enumerate(labels)}
    width, height = one.frame.width, one.frame.height
    lines = []
    for shape in one.shapes:
        if shape.type == "rectangle":
            left, top, wide, high = _bounding_box(shape.points)
            values = (
                (left + wide / 2) / width,
                (top + high / 2) / height,
                wide / width,
                high / height,
            )
            numbers = " ".join(f"{value:.6f}" for value in values)
            lines.append(f"{index[shape.label.id]} {numbers}\n")
    return "".join(lines)


# --- Geometry -----------------------------------------------------------------------------------


def pairs(points: tuple[float, ...]) -> list[tuple[float, float]]:
    """The corners of a shape."""
    return list(zip(points[::2], points[1::2], strict=True))


def _bounding_box(points: tuple[float, ...]) -> list[float]:
    left, top = min(points[::2]), min(points[1::2])
    return [left, top, max(points[::2]) - left, max(points[1::2]) - top]


def _area(shape: Shape) -> float:
    if shape.type == "rectangle":
        _, _, width, height = _bounding_box(shape.points)
        return width * height
    corners = pairs(shape.points)
    doubled = sum(x1 * y2 - x2 * y1 for (x1, y1), (x2, y2) in pairwise([*corners, corners[0]]))
    return abs(doubled) / 2
