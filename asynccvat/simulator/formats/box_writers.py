"""Write the files of "PASCAL VOC 1.1" and "Ultralytics YOLO Detection 1.0".

`archives` puts the files into an archive, `box_readers` reads such files.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from xml.sax.saxutils import escape

from asynccvat.simulator.formats.frames import AnnotatedFrame, shape_attributes
from asynccvat.simulator.formats.geometry import bounding_box
from asynccvat.simulator.world.annotations import Label, Shape


def voc_label_map(labels: Iterable[Label]) -> str:
    """Write `labelmap.txt` of "PASCAL VOC 1.1"."""
    names = ["background", *(label.name for label in labels)]
    return "\n".join(["# label:color_rgb:parts:actions", *(f"{name}:::" for name in names), ""])


def voc_xml(one: AnnotatedFrame, *, save_images: bool) -> str:
    """Write a frame's file of "PASCAL VOC 1.1": its rectangles.

    CVAT knows the depth of the image only if it exports the images.
    """
    frame = one.frame
    identity = one.item_id
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
    for name, value in shape_attributes(shape).items():
        if name != "occluded":
            yield "      <attribute>"
            yield f"        <name>{escape(name)}</name>"
            yield f"        <value>{escape(str(value))}</value>"
            yield "      </attribute>"
    yield "    </attributes>"
    yield "  </object>"


def yolo_yaml(subsets: Iterable[str], labels: Sequence[Label]) -> str:
    """Write `data.yaml` of "Ultralytics YOLO Detection 1.0"."""
    lists = (f"{subset}: {subset}.txt" for subset in subsets)
    names = (f"  {number}: {label.name}" for number, label in enumerate(labels))
    return "\n".join([*lists, "names:", *names, "path: .", ""])


def yolo_labels(labels: Sequence[Label], one: AnnotatedFrame) -> str:
    """Write a frame's file of "Ultralytics YOLO Detection 1.0".

    Each line holds the class, centre and size of one rectangle, relative to the frame.
    """
    index = {label.id: number for number, label in enumerate(labels)}
    width, height = one.frame.width, one.frame.height
    lines = []
    for shape in one.shapes:
        if shape.type == "rectangle":
            left, top, wide, high = bounding_box(shape.points)
            values = (
                (left + wide / 2) / width,
                (top + high / 2) / height,
                wide / width,
                high / height,
            )
            numbers = " ".join(f"{value:.6f}" for value in values)
            lines.append(f"{index[shape.label.id]} {numbers}\n")
    return "".join(lines)
