"""The annotation files inside an export: CVAT XML, COCO and Datumaro JSON, Pascal VOC, YOLO.

Each function turns a task into the text of one file (or of one per frame), as a CVAT server's
exporters write it. Which files an archive holds, and where, is the business of `formats`.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import pairwise
from pathlib import PurePosixPath
from typing import Any
from xml.sax.saxutils import escape, quoteattr

from asynccvat.simulator.dataset import (
    Attribute,
    Frame,
    Label,
    Project,
    Shape,
    Tag,
    Task,
)


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
        for tag in annotations.tags:
            tags[tag.frame].append(tag)
        for frame in task.frames():
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


# --- CVAT XML -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Origin:
    """What an annotation file says of where it comes from; `project` only if that was exported."""

    tasks: tuple[Task, ...]
    project: Project | None
    exported_at: datetime
    base_url: str


def cvat_images_xml(origin: Origin, drawn: Sequence[Drawn]) -> str:
    """`annotations.xml` of "CVAT for images 1.1": each image with its shapes and tags."""
    lines = [*_cvat_head(origin)]
    for one in drawn:
        frame = one.frame
        where = ""
        if origin.project is not None:
            where = f'subset={quoteattr(one.subset)} task_id="{one.task.id}" '
        lines.append(
            f'  <image id="{frame.index}" name={quoteattr(frame.name)} {where}'
            f'width="{frame.width}" height="{frame.height}">'
        )
        for shape in one.shapes:
            element = _XML_ELEMENTS[shape.type]
            lines.append(
                f'    <{element} label={quoteattr(shape.label.name)} source="manual" '
                f'occluded="{shape.occluded:d}" {_xml_points(shape)} z_order="{shape.z_order}">'
            )
            lines += _xml_attributes(shape)
            lines.append(f"    </{element}>")
        for tag in one.tags:
            lines.append(f'    <tag label={quoteattr(tag.label.name)} source="manual">')
            lines.append("    </tag>")
        lines.append("  </image>")
    return "\n".join([*lines, "</annotations>", ""])


def cvat_video_xml(origin: Origin, drawn: Sequence[Drawn]) -> str:
    """`annotations.xml` of "CVAT for video 1.1": each shape is a track that lives for one frame."""
    lines = [*_cvat_head(origin)]
    shapes = [(one.frame.index, shape) for one in drawn for shape in one.shapes]
    for number, (frame, shape) in enumerate(shapes):
        lines.append(f'  <track id="{number}" label={quoteattr(shape.label.name)} source="manual">')
        element = _XML_ELEMENTS[shape.type]
        for outside in (0, 1):
            if frame + outside >= len(drawn):
                continue
            lines.append(
                f'    <{element} frame="{frame + outside}" keyframe="1" '
                f'outside="{outside}" occluded="{shape.occluded:d}" {_xml_points(shape)} '
                f'z_order="{shape.z_order}">'
            )
            lines += _xml_attributes(shape)
            lines.append(f"    </{element}>")
        lines.append("  </track>")
    return "\n".join([*lines, "</annotations>", ""])


_XML_ELEMENTS = {"rectangle": "box", "polygon": "polygon", "points": "points"}


def _xml_points(shape: Shape) -> str:
    if shape.type == "rectangle":
        left, top, right, bottom = shape.points
        return f'xtl="{left:.2f}" ytl="{top:.2f}" xbr="{right:.2f}" ybr="{bottom:.2f}"'
    pairs = (f"{x:.2f},{y:.2f}" for x, y in _pairs(shape.points))
    return f'points="{";".join(pairs)}"'


def _xml_attributes(shape: Shape) -> Iterator[str]:
    for attribute, value in shape.attributes:
        name = quoteattr(attribute.name)
        yield f"      <attribute name={name}>{escape(value)}</attribute>"


def _cvat_head(origin: Origin) -> Iterator[str]:
    yield '<?xml version="1.0" encoding="utf-8"?>'
    yield "<annotations>"
    yield "  <version>1.1</version>"
    yield "  <meta>"
    if origin.project is None:
        yield from _xml_task(origin.tasks[0], origin.base_url, 4)
    else:
        yield from _xml_project(origin.project, origin)
    yield from _xml_texts(4, ("dumped", origin.exported_at))
    yield "  </meta>"


def _xml_project(project: Project, origin: Origin) -> Iterator[str]:
    yield "    <project>"
    yield from _xml_texts(
        6,
        ("id", project.id),
        ("name", project.name),
        ("bugtracker", ""),
        ("created", project.created_date),
        ("updated", project.updated_date),
    )
    yield "      <labels>"
    for label in project.labels:
        yield from _xml_label(label)
    yield "      </labels>"
    yield "      <tasks>"
    for task in origin.tasks:
        yield from _xml_task(replace(task, labels=()), origin.base_url, 8)
    yield "      </tasks>"
    yield "    </project>"


def _xml_task(task: Task, base_url: str, indent: int) -> Iterator[str]:
    margin = " " * indent
    yield f"{margin}<task>"
    yield from _xml_texts(
        indent + 2,
        ("id", task.id),
        ("name", task.name),
        ("size", task.size),
        ("mode", task.mode),
        ("overlap", task.overlap),
        ("bugtracker", ""),
        ("created", task.created_date),
        ("updated", task.updated_date),
        ("subset", task.subset or "default"),
        ("start_frame", 0),
        ("stop_frame", (task.size or 1) - 1),
        ("frame_filter", ""),
    )
    yield f"{margin}  <segments>"
    for job in task.jobs():
        yield f"{margin}    <segment>"
        yield from _xml_texts(
            indent + 6,
            ("id", job.id),
            ("start", job.start_frame),
            ("stop", job.stop_frame),
            ("url", f"{base_url}/api/jobs/{job.id}"),
        )
        yield f"{margin}    </segment>"
    yield f"{margin}  </segments>"
    yield f"{margin}  <owner>"
    owner = task.owner
    yield from _xml_texts(indent + 4, ("username", owner.username), ("email", owner.email))
    yield f"{margin}  </owner>"
    yield f"{margin}  <assignee></assignee>"
    if task.labels:
        yield f"{margin}  <labels>"
        for label in task.labels:
            yield from _xml_label(label)
        yield f"{margin}  </labels>"
    yield f"{margin}</task>"


def _xml_label(label: Label) -> Iterator[str]:
    yield "        <label>"
    yield from _xml_texts(10, ("name", label.name), ("color", label.color), ("type", label.type))
    yield "          <attributes>"
    for attribute in label.attributes:
        yield "            <attribute>"
        yield from _xml_texts(
            14,
            ("name", attribute.name),
            ("mutable", attribute.mutable),
            ("input_type", attribute.input_type),
            ("default_value", attribute.default_value),
            ("values", "\n".join(attribute.values)),
        )
        yield "            </attribute>"
    yield "          </attributes>"
    yield "        </label>"


def _xml_texts(indent: int, *elements: tuple[str, object]) -> Iterator[str]:
    for name, text in elements:
        yield f"{' ' * indent}<{name}>{escape(str(text))}</{name}>"


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
            if shape.type == "points":  # only "COCO Keypoints 1.0" has them
                continue
            box = _bounding_box(shape.points)
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": image_id,
                    "category_id": category[shape.label.id],
                    "segmentation": [list(shape.points)] if shape.type == "polygon" else [],
                    "area": _area(shape),
                    "bbox": box,
                    "iscrowd": 0,
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
                    *(_datumaro_shape(shape, index[shape.label.id]) for shape in one.shapes),
                    *(_datumaro_tag(index[tag.label.id]) for tag in one.tags),
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


def _datumaro_tag(label: int) -> dict[str, Any]:
    return {"id": 0, "type": "label", "attributes": {}, "group": 0, "label_id": label}


def _datumaro_shape(shape: Shape, label: int) -> dict[str, Any]:
    common = {
        "id": 0,
        "type": "bbox" if shape.type == "rectangle" else shape.type,
        "attributes": _json_attributes(shape),
        "group": 0,
        "label_id": label,
    }
    if shape.type == "rectangle":
        return {**common, "z_order": shape.z_order, "bbox": _bounding_box(shape.points)}
    points = {**common, "points": list(shape.points), "z_order": shape.z_order}
    if shape.type == "points":
        points["visibility"] = [2] * (len(shape.points) // 2)
    return points


def _json_attributes(shape: Shape) -> dict[str, Any]:
    values: dict[str, Any] = {
        attribute.name: _json_value(attribute, value) for attribute, value in shape.attributes
    }
    values["occluded"] = shape.occluded
    if shape.type == "rectangle":
        values["rotation"] = 0.0
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


def _pairs(points: tuple[float, ...]) -> list[tuple[float, float]]:
    return list(zip(points[::2], points[1::2], strict=True))


def _bounding_box(points: tuple[float, ...]) -> list[float]:
    left, top = min(points[::2]), min(points[1::2])
    return [left, top, max(points[::2]) - left, max(points[1::2]) - top]


def _area(shape: Shape) -> float:
    if shape.type == "rectangle":
        _, _, width, height = _bounding_box(shape.points)
        return width * height
    corners = _pairs(shape.points)
    doubled = sum(x1 * y2 - x2 * y1 for (x1, y1), (x2, y2) in pairwise([*corners, corners[0]]))
    return abs(doubled) / 2
