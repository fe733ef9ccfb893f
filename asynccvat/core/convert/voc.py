"""Write the files of "PASCAL VOC 1.1": rectangles of each image.

Tags are lists of images for each label. Polygons, lines and points are left out, as CVAT does.
Source: a recording of CVAT 2.54 for rectangles, `plugins/data_formats/voc/exporter.py` of Datumaro
for tags.
"""

from __future__ import annotations

from collections.abc import Iterator
from posixpath import splitext
from typing import Final
from xml.sax.saxutils import escape

from asynccvat.core.convert.coco import image_name
from asynccvat.core.convert.files import ConvertedFile, small_file
from asynccvat.core.convert.frames import AnnotatedFrame, Frame, annotated_frames
from asynccvat.core.convert.items import Items, rounded_box
from asynccvat.core.convert.task_json import TaskJson, inexact
from asynccvat.core.convert.xml_texts import Place, texts

_LEFT_OUT: Final = frozenset({"polygon", "polyline", "points"})
_OF_VOC: Final = frozenset({"difficult", "pose", "truncated"})


def voc_files(source: TaskJson) -> Iterator[ConvertedFile]:
    """Write the files. An image without rectangles has no file in `Annotations`.

    Raises:
        InexactConversionError: It is not known how CVAT exports the task.
    """
    items = Items(source)
    taken = {one.name for one in source.attribute_by_id.values()} & _OF_VOC
    if taken:
        raise inexact(f"the attribute {min(taken)!r} is reserved in VOC")
    if "background" in items.label_names:
        raise inexact("the label 'background' is reserved in VOC")
    head = "# label:color_rgb:parts:actions\nbackground:::\n"
    names = "".join(f"{name}:::\n" for name in items.label_names)
    yield small_file("labelmap.txt", head + names)
    images = []
    tagged: dict[str, set[str]] = {}
    for one in annotated_frames(source, skeletons=True):
        name = splitext(one.frame.name)[0]
        images.append(f"{name}\n")
        if one.tags:
            tagged[name] = {items.label_names[items.label_index[tag.label_id]] for tag in one.tags}
        boxes = _boxes(one)
        if boxes:
            text = "".join(_annotation(boxes, one.frame, image_name(source, one.frame), items))
            yield small_file(f"Annotations/{name}.xml", text)
    yield small_file(f"ImageSets/Main/{source.subset}.txt", "".join(images))
    for label in ("background", *items.label_names) if tagged else ():
        lines = (f"{name} {1 if label in labels else -1: d}\n" for name, labels in tagged.items())
        yield small_file(f"ImageSets/Main/{label}_{source.subset}.txt", "".join(lines))


def _boxes(one: AnnotatedFrame) -> list[Place]:
    found: list[Place] = []
    for shape in one.shapes:
        if shape.type == "rectangle":
            found.append(shape)
        elif shape.type not in _LEFT_OUT:
            raise inexact(f"no recording shows how CVAT writes the type {shape.type!r} to VOC")
    return found


def _annotation(boxes: list[Place], frame: Frame, image: str, items: Items) -> Iterator[str]:
    folder, found, _ = frame.name.partition("_")
    yield "<annotation>\n"
    yield from texts(2, ("folder", folder if found else ""), ("filename", image))
    yield "  <source>\n"
    yield from texts(4, ("database", "Unknown"), ("annotation", "Unknown"), ("image", "Unknown"))
    yield "  </source>\n  <size>\n"
    yield from texts(4, ("width", frame.width), ("height", frame.height), ("depth", ""))
    yield "  </size>\n  <segmented>0</segmented>\n"
    for shape in boxes:
        yield from _object(shape, items)
    yield "</annotation>\n"


def _object(shape: Place, items: Items) -> Iterator[str]:
    left, top, right, bottom = rounded_box(shape.points)
    yield "  <object>\n"
    yield from texts(
        4,
        ("name", items.label_names[items.label_index[shape.label_id]]),
        ("truncated", 0),
        ("occluded", int(shape.occluded)),
        ("difficult", 0),
    )
    yield "    <bndbox>\n"
    yield from texts(6, ("xmin", left), ("ymin", top), ("xmax", right), ("ymax", bottom))
    yield "    </bndbox>\n    <attributes>\n"
    for name, value in items.attributes(shape).items():
        if name != "occluded":
            yield (
                f"      <attribute>\n        <name>{escape(name)}</name>\n"
                f"        <value>{escape(str(value))}</value>\n      </attribute>\n"
            )
    yield "    </attributes>\n  </object>\n"
