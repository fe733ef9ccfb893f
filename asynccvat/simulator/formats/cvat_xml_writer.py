"""Write the `annotations.xml` of CVAT's own formats.

The XML describes the task (or the project) first, then its frames. `archives` puts the file into an
archive, `cvat_xml_reader` reads such files.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import groupby
from typing import Final
from xml.sax.saxutils import escape, quoteattr

from asynccvat.simulator.formats.frames import AnnotatedFrame
from asynccvat.simulator.formats.geometry import corners
from asynccvat.simulator.world.annotations import (
    AttributeValues,
    Label,
    Shape,
    ShapeType,
    Track,
    TrackedShape,
)
from asynccvat.simulator.world.tasks import Project, Task


@dataclass(frozen=True, slots=True)
class ExportSource:
    """What an annotation file says about its export.

    `project` is None if tasks were exported.
    """

    tasks: tuple[Task, ...]
    project: Project | None
    exported_at: datetime
    base_url: str


def cvat_images_xml(source: ExportSource, frames: Sequence[AnnotatedFrame]) -> str:
    """Write `annotations.xml` of "CVAT for images 1.1": each image with its shapes and tags."""
    lines = [*_cvat_head(source)]
    for one in frames:
        frame = one.frame
        where = ""
        if source.project is not None:
            where = f'subset={quoteattr(one.subset)} task_id="{one.task.id}" '
        lines.append(
            f'  <image id="{frame.index}" name={quoteattr(_image_name(one))} {where}'
            f'width="{frame.width}" height="{frame.height}">'
        )
        for shape in one.shapes:
            lines += _image_shape(shape)
        for tag in one.tags:
            lines.append(
                f'    <tag label={quoteattr(tag.label.name)} source="{tag.source}"'
                f"{_xml_group(tag.group)}>"
            )
            lines += _xml_attributes(tag.attributes)
            lines.append("    </tag>")
        lines.append("  </image>")
    return "\n".join([*lines, "</annotations>", ""])


def _image_name(one: AnnotatedFrame) -> str:
    """Return the name of an image; frames of a video have no extension here."""
    return one.item_id if one.task.video else one.frame.name


def cvat_video_xml(source: ExportSource, frames: Sequence[AnnotatedFrame]) -> str:
    """Write `annotations.xml` of "CVAT for video 1.1".

    A shape without a track becomes a track on one frame.
    """
    lines = [*_cvat_head(source)]
    number = 0
    for first, track in _tracks(frames):
        lines += _track(track, number, first)
        number += 1
    is_only = source.project is None
    last = _last_frame(source.tasks[0]) if is_only else len(frames) - 1
    for one, shape in _shapes_without_track(frames):
        lines += _short_track(shape, number, one, last)
        number += 1
    return "\n".join([*lines, "</annotations>", ""])


def _tracks(frames: Sequence[AnnotatedFrame]) -> Iterator[tuple[AnnotatedFrame, Track]]:
    """Yield all tracks, each with a frame of its task."""
    for _, of_task in groupby(frames, key=lambda one: one.task.id):
        first = next(of_task)
        for track in first.task.annotations().tracks:
            yield first, track


def _shapes_without_track(
    frames: Sequence[AnnotatedFrame],
) -> Iterator[tuple[AnnotatedFrame, Shape]]:
    """Yield the shapes that no track has, in the order in which the server keeps them."""
    for _, of_task in groupby(frames, key=lambda one: one.task.id):
        by_id = {
            shape.id: (one, shape)
            for one in of_task
            for shape in one.shapes
            if shape.track_id is None
        }
        first, _ = next(iter(by_id.values()), (None, None))
        if first is not None:
            kept = first.task.annotations().shapes
            yield from (by_id[shape.id] for shape in kept if shape.id in by_id)


def _track(track: Track, number: int, where: AnnotatedFrame) -> Iterator[str]:
    """Write a track: its shape on each frame on which it is visible, and where that ends."""
    yield (
        f'  <track id="{number}" label={quoteattr(track.label.name)} source="{track.source}"'
        f"{_xml_group(track.group)}>"
    )
    rows: dict[int, Shape | TrackedShape] = {
        one.frame: track.shape_on(one.frame, number) or one for one in track.shapes if one.outside
    }
    size = where.task.size or 0
    rows = {frame: one for frame, one in rows.items() if frame < size}
    rows |= {one.frame: one for one in track.shapes_until(size, number)}
    for frame, shape in sorted(rows.items()):
        attributes = shape.attributes
        if isinstance(shape, TrackedShape):
            attributes = (*attributes, *track.attributes)
        outside = shape.outside
        keyframe = shape.keyframe if isinstance(shape, Shape) else True
        shown = where.first + frame * where.step
        yield from _tracked(shape, shown, outside, attributes, keyframe=keyframe)
    yield "  </track>"


def _short_track(shape: Shape, number: int, where: AnnotatedFrame, last: int) -> Iterator[str]:
    frame = where.frame.index
    yield (
        f'  <track id="{number}" label={quoteattr(shape.label.name)} source="{shape.source}"'
        f"{_xml_group(shape.group)}>"
    )
    yield from _tracked(shape, frame, False, shape.attributes)
    if frame + where.step < last:  # seen: it does not end on the last frame
        yield from _tracked(shape, frame + where.step, True, shape.attributes)
    yield "  </track>"


def _tracked(
    shape: Shape | TrackedShape,
    frame: int,
    outside: bool,
    attributes: AttributeValues,
    *,
    keyframe: bool = True,
) -> Iterator[str]:
    element = _XML_ELEMENTS[shape.type]
    if shape.type == "skeleton":
        elements = shape.elements if isinstance(shape, Shape) else ()
        keyframe = keyframe or any(one.keyframe for one in elements)
        yield f'    <skeleton frame="{frame}" keyframe="{keyframe:d}" z_order="{shape.z_order}">'
        for one in elements:
            name, shown = _XML_ELEMENTS[one.type], outside or one.outside
            is_key = keyframe if one.track_id is None else one.keyframe
            yield (
                f'      <{name} label={quoteattr(one.label.name)} keyframe="{is_key:d}" '
                f'outside="{shown:d}" occluded="{one.occluded:d}" {_xml_points(one)}>'
            )
            yield from _xml_attributes(one.attributes, 8)
            yield f"      </{name}>"
        yield from _xml_attributes(attributes)
        yield "    </skeleton>"
        return
    yield (
        f'    <{element} frame="{frame}" keyframe="{keyframe:d}" outside="{outside:d}" '
        f'occluded="{shape.occluded:d}" {_xml_points(shape)} z_order="{shape.z_order}">'
    )
    yield from _xml_attributes(attributes)
    yield f"    </{element}>"


def _image_shape(shape: Shape) -> Iterator[str]:
    element = _XML_ELEMENTS[shape.type]
    if shape.type == "skeleton":
        yield (
            f'    <skeleton label={quoteattr(shape.label.name)} source="{shape.source}" '
            f'z_order="{shape.z_order}"{_xml_group(shape.group)}>'
        )
        for one in shape.elements:
            name = _XML_ELEMENTS[one.type]
            yield (
                f'      <{name} label={quoteattr(one.label.name)} source="{one.source}" '
                f'outside="{one.outside:d}" occluded="{one.occluded:d}" {_xml_points(one)}>'
            )
            yield from _xml_attributes(one.attributes, 8)
            yield f"      </{name}>"
        yield from _xml_attributes(shape.attributes)
        yield "    </skeleton>"
        return
    yield (
        f'    <{element} label={quoteattr(shape.label.name)} source="{shape.source}" '
        f'occluded="{shape.occluded:d}" {_xml_points(shape)} z_order="{shape.z_order}"'
        f"{_xml_group(shape.group)}>"
    )
    yield from _xml_attributes(shape.attributes)
    yield f"    </{element}>"


_XML_ELEMENTS: Final[dict[ShapeType, str]] = {
    "rectangle": "box",
    "polygon": "polygon",
    "polyline": "polyline",
    "points": "points",
    "ellipse": "ellipse",
    "cuboid": "cuboid",
    "mask": "mask",
    "skeleton": "skeleton",
}
_CUBOID_CORNERS: Final = ("tl1", "bl1", "tr1", "br1", "tl2", "bl2", "tr2", "br2")


def _xml_points(shape: Shape | TrackedShape) -> str:
    points = shape.points
    rotation = f' rotation="{shape.rotation:.2f}"' if shape.rotation else ""
    match shape.type:
        case "rectangle":
            left, top, right, bottom = points
            return (
                f'xtl="{left:.2f}" ytl="{top:.2f}" xbr="{right:.2f}" ybr="{bottom:.2f}"{rotation}'
            )
        case "ellipse":
            x, y, right, top = points
            return f'cx="{x:.2f}" cy="{y:.2f}" rx="{right - x:.2f}" ry="{y - top:.2f}"{rotation}'
        case "mask":
            *runs, left, top, right, bottom = (int(number) for number in points)
            size = f'width="{right - left + 1}" height="{bottom - top + 1}"'
            return f'rle="{", ".join(map(str, runs))}" left="{left}" top="{top}" {size}'
        case "cuboid":
            named = zip(_CUBOID_CORNERS, corners(points), strict=True)
            return " ".join(f'x{corner}="{x:.2f}" y{corner}="{y:.2f}"' for corner, (x, y) in named)
        case _:
            return f'points="{";".join(f"{x:.2f},{y:.2f}" for x, y in corners(points))}"'


def _xml_group(group: int | None) -> str:
    return f' group_id="{group}"' if group else ""


def _xml_attributes(attributes: AttributeValues, indent: int = 6) -> Iterator[str]:
    for attribute, value in attributes:
        name = quoteattr(attribute.name)
        yield f"{' ' * indent}<attribute name={name}>{escape(value)}</attribute>"


def _cvat_head(source: ExportSource) -> Iterator[str]:
    yield '<?xml version="1.0" encoding="utf-8"?>'
    yield "<annotations>"
    yield "  <version>1.1</version>"
    yield "  <meta>"
    if source.project is None:
        yield from _xml_task(source.tasks[0], source.base_url, 4)
    else:
        yield from _xml_project(source.project, source)
    yield from _xml_texts(4, ("dumped", source.exported_at))
    yield "  </meta>"


def _xml_project(project: Project, source: ExportSource) -> Iterator[str]:
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
    for task in source.tasks:
        yield from _xml_task(replace(task, labels=()), source.base_url, 8)
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
        ("start_frame", task.frame_number(0)),
        ("stop_frame", _last_frame(task)),
        ("frame_filter", "" if task.media is None else task.media.frame_filter),
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
    if task.video is not None:
        first = task.frames()[0]
        yield f"{margin}  <original_size>"
        yield from _xml_texts(indent + 4, ("width", first.width), ("height", first.height))
        yield f"{margin}  </original_size>"
        yield from _xml_texts(indent + 2, ("source", task.video.rpartition("/")[2]))
    yield f"{margin}</task>"


def _last_frame(task: Task) -> int:
    """Return the last frame of the media that the task may have."""
    return (task.size or 1) - 1 if task.media is None else task.media.stop_frame


def _xml_label(label: Label, parent: str = "") -> Iterator[str]:
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
    if parent:
        yield from _xml_texts(10, ("parent", parent))
    if label.svg:
        yield from _xml_texts(10, ("svg", label.named_svg))
    yield "        </label>"
    for sublabel in label.sublabels:
        yield from _xml_label(sublabel, label.name)


def _xml_texts(indent: int, *elements: tuple[str, object]) -> Iterator[str]:
    for name, text in elements:
        yield f"{' ' * indent}<{name}>{escape(str(text))}</{name}>"
