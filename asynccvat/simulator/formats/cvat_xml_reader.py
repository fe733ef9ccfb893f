"""Read "CVAT 1.1": XML of images and videos, bare or in a zip.

The XML is read element by element, as CVAT does, so that a large file needs little memory.
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import IO, Any, Final
from xml.etree import ElementTree as ET

from asynccvat.simulator.formats.collector import (
    AnnotationCollector,
    ImporterError,
    ParsedElement,
    ParsedKeyframe,
    ParsedShape,
)
from asynccvat.simulator.world.annotations import ShapeType
from asynccvat.simulator.world.tasks import Task

_TYPES: Final[dict[str, ShapeType]] = {
    "box": "rectangle",
    "ellipse": "ellipse",
    "polygon": "polygon",
    "polyline": "polyline",
    "points": "points",
    "cuboid": "cuboid",
    "mask": "mask",
    "skeleton": "skeleton",
}
_CUBOID: Final = (
    *("xtl1", "ytl1", "xbl1", "ybl1", "xtr1", "ytr1", "xbr1", "ybr1"),
    *("xtl2", "ytl2", "xbl2", "ybl2", "xtr2", "ytr2", "xbr2", "ybr2"),
)


def read_cvat_xml(path: Path, collector: AnnotationCollector) -> None:
    """Read every XML in a zip, or the file itself.

    Raises:
        ImporterError: It is not such an XML, or it does not fit the task.
        zipfile.BadZipFile: The zip is broken.
    """
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            for name in archive.namelist():
                if name.endswith(".xml"):
                    with archive.open(name) as member:
                        _read(member, collector)
        return
    with path.open("rb") as file:
        _read(file, collector)


def _read(file: IO[bytes], collector: AnnotationCollector) -> None:
    try:
        for element in _top_elements(file):
            if element.tag == "image":
                _read_image(element, collector)
            elif element.tag == "track":
                _read_track(element, collector)
            element.clear()
    except ET.ParseError as error:
        raise ImporterError(f"xml.etree.ElementTree.ParseError: {error}\n") from error
    except KeyError as error:
        raise ImporterError(f"KeyError: {error}\n") from error
    except ValueError as error:
        raise ImporterError(f"ValueError: {error}\n") from error


def _top_elements(file: IO[bytes]) -> Iterator[ET.Element]:
    """Yield the children of the root."""
    depth = 0
    root = None
    # Local uploads of tests and demonstrations; expat itself bounds what entities expand to.
    for event, element in ET.iterparse(file, events=("start", "end")):  # noqa: S314
        if event == "start":
            depth += 1
            root = element if root is None else root
            continue
        depth -= 1
        if depth == 1 and root is not None:
            yield element
            root.clear()


def _read_image(image: ET.Element, collector: AnnotationCollector) -> None:
    stem = str(PurePosixPath(image.attrib["name"]).with_suffix(""))
    frame = collector.frame(stem, image.attrib["id"])
    for element in image:
        if element.tag == "tag":
            label = collector.label(element.attrib["label"])
            collector.add_tag(frame, label, _attributes(element), _group(element))
        elif element.tag in _TYPES:
            label = collector.label(element.attrib["label"])
            collector.add_shape(frame, label, _shape(element), _group(element))


def _read_track(track: ET.Element, collector: AnnotationCollector) -> None:
    keyframes = [
        _keyframe(element, collector.task)
        for element in track
        if element.tag in _TYPES and element.attrib["keyframe"] == "1"
    ]
    label = collector.label(track.attrib["label"])
    if keyframes and keyframes[0].shape.type == "mask":
        # CVAT has no tracks of masks. It takes the first mask, without its group, as a shape.
        collector.add_shape(keyframes[0].frame, label, keyframes[0].shape)
        return
    collector.add_track(label, keyframes, _group(track))


def _keyframe(element: ET.Element, task: Task) -> ParsedKeyframe:
    shape = _shape(element)
    outside = element.attrib.get("outside", "0") == "1"
    if shape.elements:  # a skeleton is outside where all its elements are
        outside = all(one.outside for one in shape.elements)
    return ParsedKeyframe(task.frame_index(int(element.attrib["frame"])), outside, shape)


def _shape(element: ET.Element) -> ParsedShape:
    given = element.attrib
    return ParsedShape(
        type=_TYPES[element.tag],
        points=_points(element.tag, given),
        occluded=given.get("occluded", "0") == "1",
        z_order=int(given.get("z_order", 0)),
        rotation=float(given.get("rotation", 0)),
        attributes=_attributes(element),
        elements=tuple(_element(one) for one in element if one.tag in _TYPES),
    )


def _element(element: ET.Element) -> ParsedElement:
    given = element.attrib
    return ParsedElement(
        given["label"],
        _shape(element),
        outside=given.get("outside", "0") == "1",
        keyframe=given.get("keyframe", "1") == "1",
    )


def _points(tag: str, given: dict[str, Any]) -> tuple[float, ...]:
    match tag:
        case "skeleton":
            return ()
        case "box":
            return tuple(float(given[name]) for name in ("xtl", "ytl", "xbr", "ybr"))
        case "ellipse":
            x, y, wide, high = (float(given[name]) for name in ("cx", "cy", "rx", "ry"))
            return x, y, round(x + wide, 2), round(y - high, 2)
        case "cuboid":
            return tuple(float(given[name]) for name in _CUBOID)
        case "mask":
            left, top = int(given["left"]), int(given["top"])
            right, bottom = left + int(given["width"]) - 1, top + int(given["height"]) - 1
            runs = (int(run) for run in given["rle"].split(","))
            return (*runs, left, top, right, bottom)
        case _:
            pairs = (pair.split(",") for pair in given["points"].split(";"))
            return tuple(float(number) for pair in pairs for number in pair)


def _attributes(element: ET.Element) -> dict[str, str]:
    return {one.attrib["name"]: one.text or "" for one in element if one.tag == "attribute"}


def _group(element: ET.Element) -> int:
    return int(element.attrib.get("group_id", 0))
