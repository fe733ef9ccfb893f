"""Write the file of "Datumaro 1.0": rectangles and polygons, by image.

How CVAT writes other annotations is not recorded. Source: a recording of CVAT 2.54.
"""

from __future__ import annotations

from collections.abc import Iterator
from posixpath import splitext
from typing import Any

import msgspec

from asynccvat.core.convert.coco import image_name
from asynccvat.core.convert.frames import AnnotatedFrame, annotated_frames
from asynccvat.core.convert.items import Items, rounded, rounded_box
from asynccvat.core.convert.task_json import TaskJson, inexact
from asynccvat.core.convert.xml_texts import Place, chunks

_json = msgspec.json.Encoder().encode


def datumaro_json(source: TaskJson) -> Iterator[bytes]:
    """Write the file in chunks.

    Raises:
        InexactConversionError: It is not known how CVAT exports the task.
    """
    if any(label.type == "skeleton" for label, _ in source.all_labels):
        raise inexact("no recording shows how CVAT writes a label of a skeleton to Datumaro")
    items = Items(source)
    return chunks(_head(source, items), _items(source, items))


def _head(source: TaskJson, items: Items) -> Iterator[str]:
    names = {one.name for one in source.attribute_by_id.values()}
    labels = [{"name": name, "parent": "", "attributes": []} for name in items.label_names]
    head = {
        "dm_format_version": "1.0",
        "media_type": 2,
        "infos": {},
        "categories": {
            "label": {
                "labels": labels,
                "label_groups": [],
                "attributes": sorted({*names, "occluded"}),
            },
            "points": {"items": []},
        },
    }
    yield _json(head).decode()[:-1] + ',"items":['


def _items(source: TaskJson, items: Items) -> Iterator[str]:
    for place, one in enumerate(annotated_frames(source, skeletons=True)):
        frame = one.frame
        item = {
            "id": splitext(frame.name)[0],
            "annotations": _annotations(one, items),
            "attr": {"frame": frame.number},
            "image": {"path": image_name(source, frame), "size": [frame.height, frame.width]},
        }
        yield ("," if place else "") + _json(item).decode()
    yield "]}"


def _annotations(one: AnnotatedFrame, items: Items) -> list[dict[str, Any]]:
    if one.tags:
        raise inexact("no recording shows how CVAT writes tags to Datumaro")
    return [_annotation(shape, items) for shape in one.shapes]


def _annotation(shape: Place, items: Items) -> dict[str, Any]:
    common = {
        "id": 0,
        "type": "bbox" if shape.type == "rectangle" else shape.type,
        "attributes": items.attributes(shape),
        "group": shape.group or 0,
        "label_id": items.label_index[shape.label_id],
        "z_order": shape.z_order,
    }
    if shape.type == "rectangle":
        left, top, right, bottom = rounded_box(shape.points)
        return {**common, "bbox": [left, top, right - left, bottom - top]}
    if shape.type == "polygon":
        return {**common, "points": rounded(shape.points)}
    raise inexact(f"no recording shows how CVAT writes a {shape.type} to Datumaro")
