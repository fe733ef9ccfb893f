"""Read "CVAT for images 1.1" of a task, and write one `annotations.xml` for many tasks."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Final
from xml.etree import ElementTree as ET
from xml.sax.saxutils import quoteattr

from asynccvat.core.merge.categories import Categories
from asynccvat.core.merge.names import ImageFiles
from asynccvat.core.merge.values import (
    MergeImage,
    MergeLabel,
    MergeObject,
    MergeTask,
    ReadFile,
    not_mergeable,
)

_FILE: Final = "annotations.xml"
_CORNERS: Final = ("xtl", "ytl", "xbr", "ybr")


def read_cvat(paths: Sequence[str], read: ReadFile) -> MergeTask:
    """Read the annotations of a task.

    Args:
        paths: All files of the task.
        read: Reads one of them.

    Raises:
        InexactConversionError: They are not as CVAT writes them, or they have tracks.
    """
    try:
        root = _parsed(read(_FILE) or b"")
        if root.find("track") is not None:
            raise not_mergeable("it has tracks, as 'CVAT for video' has. Mirror it as JSON instead")
        labels = list(_labels(root))
        is_video = root.findtext("meta/task/mode") == "interpolation"
        subset = root.findtext("meta/task/subset") or ""
        images = list(_images(root, subset, ImageFiles(paths), is_video=is_video))
    except (ET.ParseError, KeyError, ValueError) as error:
        raise not_mergeable(f"{_FILE} is not as CVAT writes it: {error}") from error
    return MergeTask(labels, images, is_video)


def _parsed(content: bytes) -> ET.Element:
    # CVAT declares no entities. Those of others could grow to any size.
    if b"<!DOCTYPE" in content:
        raise not_mergeable(f"{_FILE} declares a document type, which CVAT does not write")
    parser = ET.XMLParser(encoding="utf-8")  # noqa: S314 - there is no document type
    parser.feed(content)
    return parser.close()


def _labels(root: ET.Element) -> Iterator[MergeLabel]:
    """Yield the labels. The points of a skeleton belong to its label."""
    points: defaultdict[str, list[ET.Element]] = defaultdict(list)
    tops: list[ET.Element] = []
    for one in root.iterfind("meta/*/labels/label"):
        parent = one.findtext("parent")
        (tops if parent is None else points[parent]).append(one)
    for top in tops:
        name = top.findtext("name") or ""
        group = [top, *points[name]]
        details = "\n".join(text for one in group for text in _details(one))
        yield MergeLabel(name, "\n        ".join(map(_written, group)), details)


def _details(label: ET.Element) -> Iterator[str]:
    yield f"{label.findtext('name')}: {label.findtext('type')}"
    for attribute in label.iter("attribute"):
        for one in attribute:
            yield f"{one.tag}={one.text}"


def _written(element: ET.Element) -> str:
    element.tail = None
    return ET.tostring(element, encoding="unicode")


def _images(
    root: ET.Element, subset: str, files: ImageFiles, *, is_video: bool
) -> Iterator[MergeImage]:
    for element in root.iterfind("image"):
        get = element.attrib
        own = get.get("subset", subset)
        name = get["name"]
        file = files.find(("images", f"images/{own}"), name, any_extension=is_video)
        image = MergeImage(name, int(get["width"]), int(get["height"]), own, file)
        for one in element:
            image.objects.append(MergeObject(one.attrib["label"], _area(one), _written(one)))
        yield image


def _area(element: ET.Element) -> float | None:
    """Return the area of an element, None for what has none."""
    get = element.attrib
    match element.tag:
        case "box":
            left, top, right, bottom = (float(get[one]) for one in _CORNERS)
            return (right - left) * (bottom - top)
        case "ellipse":
            return math.pi * float(get["rx"]) * float(get["ry"])
        case "polygon":
            points = [tuple(map(float, one.split(","))) for one in get["points"].split(";")]
            pairs = zip(points, [*points[1:], points[0]], strict=True)
            return abs(sum(x * other_y - other_x * y for (x, y), (other_x, other_y) in pairs)) / 2
        case "mask":
            return float(sum(map(int, get["rle"].split(",")[1::2])))
        case _:
            return None


class CvatPart:
    """The `annotations.xml` of one part of a data set."""

    tail: Final = b"</annotations>\n"
    """What stands behind the images."""

    def __init__(self, name: str) -> None:
        """Start with no images."""
        self._name = name
        self._images = 0

    def add(self, image: MergeImage, name: str, categories: Categories) -> bytes:
        """Return an image with its annotations as text."""
        del categories  # CVAT names labels, and does not number them
        head = (
            f'  <image id="{self._images}" name={quoteattr(name)} '
            f'width="{image.width}" height="{image.height}">\n'
        )
        self._images += 1
        objects = "".join(f"    {one.text}\n" for one in image.objects)
        return f"{head}{objects}  </image>\n".encode()

    def head(self, categories: Categories) -> bytes:
        """Return what stands before the images. It is known when all of them are."""
        labels = "".join(f"        {label.text}\n" for label in categories.labels)
        return (
            '<?xml version="1.0" encoding="utf-8"?>\n<annotations>\n  <version>1.1</version>\n'
            f"  <meta>\n    <task>\n      <name>{self._name}</name>\n"
            f"      <size>{self._images}</size>\n      <mode>annotation</mode>\n"
            f"      <labels>\n{labels}      </labels>\n    </task>\n  </meta>\n"
        ).encode()
