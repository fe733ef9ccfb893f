"""Write the files of "Ultralytics YOLO Detection 1.0" and "YOLO 1.1": rectangles of each image.

Other annotations are left out, as CVAT does. Source: a recording of CVAT 2.54 for the former,
`plugins/data_formats/yolo/exporter.py` of Datumaro for both.
"""

from __future__ import annotations

from collections.abc import Iterator
from posixpath import splitext
from typing import Final

import yaml

from asynccvat.core.convert.coco import image_name
from asynccvat.core.convert.files import ConvertedFile, small_file
from asynccvat.core.convert.frames import AnnotatedFrame, annotated_frames
from asynccvat.core.convert.items import Items, rounded_box
from asynccvat.core.convert.task_json import TaskJson, inexact

_RESERVED: Final = frozenset({"backup", "classes", "names", "path"})


def ultralytics_files(source: TaskJson) -> Iterator[ConvertedFile]:
    """Write the files of "Ultralytics YOLO Detection 1.0"."""
    items, subset = Items(source), _subset(source)
    images = []
    for one in annotated_frames(source, skeletons=False):
        images.append(f"data/images/{subset}/{image_name(source, one.frame)}\n")
        yield small_file(f"labels/{subset}/{splitext(one.frame.name)[0]}.txt", _lines(one, items))
    yield small_file(f"{subset}.txt", "".join(images))
    described = {
        subset: f"{subset}.txt",
        "names": dict(enumerate(items.label_names)),
        "path": ".",
    }
    yield small_file("data.yaml", yaml.safe_dump(described, sort_keys=False, allow_unicode=True))


def yolo_files(source: TaskJson) -> Iterator[ConvertedFile]:
    """Write the files of "YOLO 1.1"."""
    items, subset = Items(source), _subset(source)
    folder = f"obj_{subset}_data"
    images = []
    for one in annotated_frames(source, skeletons=False):
        images.append(f"data/{folder}/{image_name(source, one.frame)}\n")
        yield small_file(f"{folder}/{splitext(one.frame.name)[0]}.txt", _lines(one, items))
    yield small_file(f"{subset}.txt", "".join(images))
    yield small_file("obj.names", "".join(f"{name}\n" for name in items.label_names))
    yield small_file(
        "obj.data",
        f"classes = {len(items.label_names)}\n{subset} = data/{subset}.txt\n"
        "names = data/obj.names\nbackup = backup/\n",
    )


def _subset(source: TaskJson) -> str:
    """Return the subset as YOLO calls it."""
    subset = source.task.subset or "train"
    if subset in _RESERVED:
        raise inexact(f"the subset {subset!r} is reserved in YOLO")
    return "train" if subset == "default" else subset


def _lines(one: AnnotatedFrame, items: Items) -> str:
    """Write class, centre and size of each rectangle, relative to the image."""
    width, height = one.frame.width, one.frame.height
    lines = []
    for shape in one.shapes:
        if shape.type == "rectangle":
            left, top, right, bottom = rounded_box(shape.points)
            x, y = (left + right) / 2 / width, (top + bottom) / 2 / height
            wide, high = (right - left) / width, (bottom - top) / height
            label = items.label_index[shape.label_id]
            lines.append(f"{label} {x:.6f} {y:.6f} {wide:.6f} {high:.6f}\n")
    return "".join(lines)
