"""Write the file of "Datumaro 1.0": annotations by image.

How CVAT writes ellipses, cuboids and skeletons is not known. Source: a recording of CVAT 2.54 for
rectangles and polygons, `plugins/data_formats/datumaro/exporter.py` of Datumaro for the rest.
"""

from __future__ import annotations

from collections.abc import Iterator
from posixpath import splitext
from typing import Any

import msgspec

from asynccvat.core.convert.coco import image_name, mask_of
from asynccvat.core.convert.frames import AnnotatedFrame, Frame, annotated_frames
from asynccvat.core.convert.items import Items, rounded, rounded_box
from asynccvat.core.convert.masks import packed_counts
from asynccvat.core.convert.task_json import Tag, TaskJson, inexact
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
    return [
        *(_tag(tag, items) for tag in one.tags),
        *(_annotation(shape, one.frame, items) for shape in one.shapes),
    ]


def _tag(tag: Tag, items: Items) -> dict[str, Any]:
    return {
        "id": 0,
        "type": "label",
        "attributes": items.values(tag),
        "group": tag.group or 0,
        "label_id": items.label_index[tag.label_id],
    }


def _annotation(shape: Place, frame: Frame, items: Items) -> dict[str, Any]:
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
    if shape.type in ("polygon", "polyline"):
        return {**common, "points": rounded(shape.points)}
    if shape.type == "points":
        visible = [2] * (len(shape.points) // 2)
        return {**common, "points": rounded(shape.points), "visibility": visible}
    if shape.type == "mask":
        counts = packed_counts(mask_of(shape, frame).counts)
        return {**common, "rle": {"counts": counts, "size": [frame.height, frame.width]}}
    raise inexact(f"no recording shows how CVAT writes the type {shape.type!r} to Datumaro")
