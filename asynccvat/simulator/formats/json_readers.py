"""Read "COCO 1.0" and "Datumaro 1.0": JSON, bare or in a zip."""

from __future__ import annotations

import json
import re
import zipfile
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from typing import Any, Final

from asynccvat.simulator.formats.collector import AnnotationCollector, ParsedShape
from asynccvat.simulator.formats.items import (
    DatasetItem,
    ItemAnnotation,
    collect_items,
    import_failure,
    not_found,
)
from asynccvat.simulator.world.annotations import ShapeType
from asynccvat.simulator.world.masks import bits_of_counts, mask_points, unpack_counts

_COCO_FILE: Final = re.compile(r"(?:.*/)?instances_[^/]+\.json")
_DATUMARO_FILE: Final = re.compile(r"(?:.*/)?annotations/[^/]+\.json")

_DATUMARO_TYPES: Final[dict[str, ShapeType]] = {
    "bbox": "rectangle",
    "polygon": "polygon",
    "polyline": "polyline",
    "points": "points",
    "ellipse": "ellipse",
    "cuboid_2d": "cuboid",
    "mask": "mask",
}


def read_coco(path: Path, collector: AnnotationCollector) -> None:
    """Read "COCO 1.0": the instances of one or more subsets.

    Raises:
        ImporterError: It is not COCO, or it does not fit the task.
        zipfile.BadZipFile: The zip is broken.
    """
    items = _items(path, _COCO_FILE, _coco_items, "coco_instances", "annotations/instances_*.json")
    collect_items(items, collector, tracks=True)


def read_datumaro(path: Path, collector: AnnotationCollector) -> None:
    """Read "Datumaro 1.0": the items of one or more subsets.

    Raises:
        ImporterError: It is not Datumaro JSON, or it does not fit the task.
        zipfile.BadZipFile: The zip is broken.
    """
    items = _items(path, _DATUMARO_FILE, _datumaro_items, "datumaro", "annotations/*.json")
    collect_items(items, collector, tracks=True)


def _items(
    path: Path,
    file_name: re.Pattern[str],
    read: Callable[[Any], Iterator[DatasetItem]],
    reader_name: str,
    pattern: str,
) -> list[DatasetItem]:
    texts = []
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            names = [name for name in archive.namelist() if file_name.fullmatch(name)]
            if not names:
                raise not_found(pattern)
            texts = [archive.read(name) for name in names]
    else:
        texts = [path.read_bytes()]
    try:
        return [item for text in texts for item in read(json.loads(text))]
    except (ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
        raise import_failure(reader_name) from error


# --- COCO -----------------------------------------------------------------------------------------


def _coco_items(document: dict[str, Any]) -> Iterator[DatasetItem]:
    categories = {one["id"]: one["name"] for one in document["categories"]}
    of_image: dict[Any, list[ItemAnnotation]] = defaultdict(list)
    sizes = {image["id"]: (image.get("width"), image.get("height")) for image in document["images"]}
    for one in document["annotations"]:
        label = categories.get(one["category_id"])
        width, height = sizes[one["image_id"]]
        attributes = dict(one.get("attributes") or {})
        for kind, shape in _coco_shapes(one, width, height):
            of_image[one["image_id"]].append(
                ItemAnnotation(kind, label, shape, attributes, group=one["id"])
            )
    for image in document["images"]:
        name = str(PurePosixPath(image["file_name"]).with_suffix(""))
        yield DatasetItem(name, of_image[image["id"]])


def _coco_shapes(one: dict[str, Any], width: Any, height: Any) -> Iterator[tuple[str, ParsedShape]]:
    """Yield the shapes of an annotation: polygons, a mask, or else its box."""
    segmentation = one.get("segmentation")
    if isinstance(segmentation, dict):
        height, width = segmentation.get("size", (height, width))
        yield "mask", _mask(segmentation["counts"], width, height)
    elif segmentation:
        for points in segmentation:
            yield "polygon", ParsedShape("polygon", tuple(float(number) for number in points))
    else:
        yield "bbox", _box(one["bbox"])


def _box(box: list[Any]) -> ParsedShape:
    left, top, width, height = (float(number) for number in box)
    return ParsedShape("rectangle", (left, top, left + width, top + height))


def _mask(counts: list[int] | str, width: int, height: int) -> ParsedShape:
    unpacked = unpack_counts(counts) if isinstance(counts, str) else counts
    points = mask_points(bits_of_counts(unpacked, width, height), width)
    if points is None:
        raise ValueError("a mask that covers nothing")
    return ParsedShape("mask", points)


# --- Datumaro -------------------------------------------------------------------------------------


def _datumaro_items(document: dict[str, Any]) -> Iterator[DatasetItem]:
    labels = [one["name"] for one in document["categories"]["label"]["labels"]]
    for item in document["items"]:
        annotations = [
            ItemAnnotation(
                kind=one["type"],
                label=None if one.get("label_id") is None else labels[one["label_id"]],
                shape=_datumaro_shape(one),
                attributes=dict(one.get("attributes") or {}),
                group=one.get("group", 0),
            )
            for one in item["annotations"]
            if one["type"] == "label" or one["type"] in _DATUMARO_TYPES
        ]
        yield DatasetItem(item["id"], annotations, item.get("attr", {}).get("frame"))


def _datumaro_shape(one: dict[str, Any]) -> ParsedShape | None:
    kind = one["type"]
    if kind == "label":
        return None
    z_order = one.get("z_order", 0)
    if kind == "bbox":
        points = _box(one["bbox"]).points
    elif kind == "mask":
        height, width = one["rle"]["size"]
        points = _mask(one["rle"]["counts"], width, height).points
    else:
        points = tuple(float(number) for number in one["points"])
    if kind == "ellipse":
        left, top, right, bottom = points
        points = ((left + right) / 2, (top + bottom) / 2, right, top)
    return ParsedShape(_DATUMARO_TYPES[kind], points, z_order=z_order)
