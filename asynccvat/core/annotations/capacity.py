"""What CVAT's formats can carry.

The table is from recordings of CVAT 2.64 (CVAT's own XML and COCO) and from CVAT's documentation of
each format. `core.annotations.loss` decides by it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from asynccvat.core.annotations.counts import AnnotationCounts
from asynccvat.core.annotations.file_counts import FileCounts
from asynccvat.core.specs import CVAT_IMAGES, CVAT_JSON, CVAT_VIDEO

_EVERY_TYPE = frozenset(
    {
        "cuboid",
        "ellipse",
        "mask",
        "points",
        "polygon",
        "polyline",
        "rectangle",
        "skeleton",
        "unknown",
    }
)
_BOXES = frozenset({"rectangle"})
_POLYGONS = frozenset({"polygon"})
_BOXES_AND_POLYGONS = _BOXES | _POLYGONS
_NONE: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class FormatCapacity:
    """What an import in one format can leave in a task.

    Attributes:
        format: The format, as users name it.
        types: The types of shapes and tracks.
        shapes: Whether shapes stay shapes. A format for tracks makes tracks of them.
        tracks: Whether tracks stay tracks. A format for images makes shapes of them.
        tags: Whether it carries tags.
        attributes: Whether it carries the values of attributes.
        groups: Whether it carries groups.
        known: False if nothing is known about the format.
    """

    format: str
    types: frozenset[str]
    shapes: bool = True
    tracks: bool = False
    tags: bool = False
    attributes: bool = False
    groups: bool = False
    known: bool = True


def _capacity(name: str, types: frozenset[str], *carried: str) -> FormatCapacity:
    return FormatCapacity(
        format=name,
        types=types,
        shapes="only tracks" not in carried,
        tracks="tracks" in carried or "only tracks" in carried,
        tags="tags" in carried,
        attributes="attributes" in carried,
        groups="groups" in carried,
    )


_CVAT = _capacity("CVAT 1.1", _EVERY_TYPE, "tracks", "tags", "attributes", "groups")
_CVAT_IMAGES = _capacity(CVAT_IMAGES, _EVERY_TYPE, "tags", "attributes", "groups")
_CVAT_VIDEO = _capacity(CVAT_VIDEO, _EVERY_TYPE, "only tracks", "attributes", "groups")
_CVAT_JSON = _capacity(CVAT_JSON, _EVERY_TYPE, "tracks", "tags", "attributes", "groups")
_FORMATS: Mapping[str, FormatCapacity] = {
    one.format: one
    for one in (
        _capacity("CamVid 1.0", _POLYGONS),
        _capacity("Cityscapes 1.0", _POLYGONS),
        _capacity("COCO 1.0", _BOXES_AND_POLYGONS | {"mask"}, "tracks", "attributes"),
        _capacity("COCO Keypoints 1.0", frozenset({"skeleton"}), "tracks", "attributes"),
        # CVAT dissolves a group that has one member on a frame.
        _capacity("Datumaro 1.0", _EVERY_TYPE, "tracks", "tags", "attributes"),
        _capacity("Datumaro 3D 1.0", frozenset({"cuboid"}), "tracks", "tags", "attributes"),
        _capacity("ICDAR Localization 1.0", _BOXES_AND_POLYGONS, "attributes"),
        _capacity("ICDAR Recognition 1.0", _NONE, "tags", "attributes"),
        _capacity("ICDAR Segmentation 1.0", _BOXES_AND_POLYGONS, "attributes"),
        _capacity("ImageNet 1.0", _NONE, "tags"),
        _capacity("KITTI 1.0", _BOXES_AND_POLYGONS),
        _capacity("Kitti Raw Format 1.0", frozenset({"cuboid"}), "only tracks", "attributes"),
        _capacity("LabelMe 3.0", _BOXES_AND_POLYGONS | {"mask"}, "attributes", "groups"),
        _capacity("LFW 1.0", frozenset({"points", "skeleton"}), "tags", "attributes"),
        _capacity("Market-1501 1.0", _NONE, "tags", "attributes"),
        _capacity("MOT 1.1", _BOXES, "only tracks"),
        _capacity("MOTS PNG 1.0", _POLYGONS, "only tracks"),
        _capacity("Open Images V6 1.0", _BOXES_AND_POLYGONS, "tags"),
        _capacity("PASCAL VOC 1.1", _BOXES, "attributes"),
        _capacity("Segmentation mask 1.1", _POLYGONS),
        _capacity("Sly Point Cloud Format 1.0", frozenset({"cuboid"}), "tracks", "attributes"),
        _capacity("Ultralytics YOLO Classification 1.0", _NONE, "tags"),
        _capacity("Ultralytics YOLO Detection 1.0", _BOXES),
        _capacity("Ultralytics YOLO Oriented Bounding Boxes 1.0", _BOXES),
        _capacity("Ultralytics YOLO Pose 1.0", frozenset({"skeleton"})),
        _capacity("Ultralytics YOLO Segmentation 1.0", _POLYGONS),
        _capacity("VGGFace2 1.0", frozenset({"points", "rectangle"})),
        _capacity("WiderFace 1.0", _BOXES, "tags", "attributes"),
        _capacity("YOLO 1.1", _BOXES),
    )
}


def capacity_of(importer: str, held: FileCounts | None) -> FormatCapacity:
    """Return what an import can leave in a task.

    CVAT's XML comes in two flavours with one importer. What the file holds tells which it is.

    Args:
        importer: The importer's name.
        held: What the file holds, None if it cannot be counted.
    """
    if importer == CVAT_JSON:
        return _CVAT_JSON
    if importer.startswith("CVAT "):
        if held is None:
            return _CVAT
        counts = held.counts
        if counts.tracks and (counts.shapes > counts.masks or counts.tags):
            return _CVAT
        return _CVAT_VIDEO if counts.tracks or held.only_tracks else _CVAT_IMAGES
    unknown = FormatCapacity(format=importer, types=_BOXES_AND_POLYGONS, known=False)
    return _FORMATS.get(importer, unknown)


def export_keeps_tracks(exporter: str) -> bool:
    """Whether an export can hold tracks. Of unknown formats that is assumed."""
    if exporter in (CVAT_IMAGES, CVAT_VIDEO):
        return exporter == CVAT_VIDEO
    found = _FORMATS.get(exporter)
    return found is None or found.tracks


def better_format(existing: AnnotationCounts) -> str:
    """Return the name of a format of mirrors that carries what a task has."""
    if not existing.tracks:
        return CVAT_IMAGES
    # A mask stays a shape in the flavour for videos, too.
    if existing.shapes == existing.masks and not existing.tags:
        return CVAT_VIDEO
    return CVAT_JSON
