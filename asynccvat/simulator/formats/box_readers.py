"""Read "PASCAL VOC 1.1" and the YOLO formats, which are zips of small files."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from typing import Any, Final
from xml.etree import ElementTree as ET

import yaml

from asynccvat.simulator.formats.collector import AnnotationCollector, ParsedShape
from asynccvat.simulator.formats.items import (
    DatasetItem,
    ItemAnnotation,
    collect_items,
    import_failure,
    not_found,
)
from asynccvat.simulator.world.content import Frame

_ULTRALYTICS_FILE: Final = re.compile(r"(?:.*/)?labels/[^/]+/(.+)\.txt")
_DARKNET_FILE: Final = re.compile(r"(?:.*/)?obj_[^/]+_data/(.+)\.txt")


def read_voc(path: Path, collector: AnnotationCollector) -> None:
    """Read "PASCAL VOC 1.1": an XML for each image, in any folder.

    Raises:
        ImporterError: There is no XML, or it does not fit the task.
        zipfile.BadZipFile: The file is not a zip.
    """
    with zipfile.ZipFile(path) as archive:
        names = [name for name in archive.namelist() if name.endswith(".xml")]
        if not names:
            raise not_found("Annotations/*.xml")
        try:
            items = [_voc_item(name, archive.read(name)) for name in names]
        except (ET.ParseError, ValueError, AttributeError, KeyError) as error:
            raise import_failure("voc") from error
    collect_items(items, collector, tracks=True)


def _voc_item(member: str, text: bytes) -> DatasetItem:
    _, folder, below = member.rpartition("Annotations/")
    name = str(PurePosixPath(below if folder else member).with_suffix(""))
    # Local uploads of tests and demonstrations; expat itself bounds what entities expand to.
    root = ET.fromstring(text)  # noqa: S314
    return DatasetItem(name, [_voc_object(one) for one in root.iter("object")])


def _voc_object(element: ET.Element) -> ItemAnnotation:
    box = tuple(_number(element, f"bndbox/{side}") for side in ("xmin", "ymin", "xmax", "ymax"))
    attributes: dict[str, Any] = {
        one.findtext("name", ""): one.findtext("value", "") for one in element.iter("attribute")
    }
    attributes["occluded"] = element.findtext("occluded", "0")
    return ItemAnnotation(
        "bbox", element.findtext("name"), ParsedShape("rectangle", box), attributes
    )


def _number(element: ET.Element, path: str) -> float:
    text = element.findtext(path)
    if text is None:
        raise ValueError(f"no {path}")
    return float(text)


def read_ultralytics(path: Path, collector: AnnotationCollector) -> None:
    """Read "Ultralytics YOLO Detection 1.0": `data.yaml` names the classes.

    Raises:
        ImporterError: There is no such file, or it does not fit the task.
        zipfile.BadZipFile: The file is not a zip.
    """

    def names(archive: zipfile.ZipFile) -> dict[int, str]:
        (member,) = _members(archive, "data.yaml")
        given = yaml.safe_load(archive.read(member))["names"]
        return dict(enumerate(given)) if isinstance(given, list) else dict(given)

    _read_yolo(path, collector, _ULTRALYTICS_FILE, names, "yolo_ultralytics_detection")


def read_darknet(path: Path, collector: AnnotationCollector) -> None:
    """Read "YOLO 1.1": `obj.names` names the classes.

    Raises:
        ImporterError: There is no such file, or it does not fit the task.
        zipfile.BadZipFile: The file is not a zip.
    """

    def names(archive: zipfile.ZipFile) -> dict[int, str]:
        (member,) = _members(archive, "obj.names")
        lines = archive.read(member).decode().splitlines()
        return dict(enumerate(line.strip() for line in lines if line.strip()))

    _read_yolo(path, collector, _DARKNET_FILE, names, "yolo")


def _members(archive: zipfile.ZipFile, name: str) -> list[str]:
    found = [one for one in archive.namelist() if PurePosixPath(one).name == name]
    if not found:
        raise not_found(name)
    return found[:1]


def _read_yolo(
    path: Path,
    collector: AnnotationCollector,
    file_name: re.Pattern[str],
    names: Callable[[zipfile.ZipFile], dict[int, str]],
    reader_name: str,
) -> None:
    with zipfile.ZipFile(path) as archive:
        try:
            classes = names(archive)
            texts = {
                match[1]: archive.read(match[0]).decode()
                for match in map(file_name.fullmatch, archive.namelist())
                if match is not None
            }
            collector.find_root(texts)
            frames = collector.task.frames()
            items = [
                DatasetItem(name, list(_yolo_boxes(text, classes, frames[collector.frame(name)])))
                for name, text in texts.items()
            ]
        except (yaml.YAMLError, ValueError, TypeError, KeyError) as error:
            raise import_failure(reader_name) from error
    collect_items(items, collector, tracks=False)


def _yolo_boxes(text: str, classes: dict[int, str], frame: Frame) -> Iterator[ItemAnnotation]:
    """Read the boxes of an image: class, centre and size, relative to the image."""
    for line in text.splitlines():
        if not line.strip():
            continue
        number, *numbers = line.split()
        x, y, wide, high = (float(part) for part in numbers)
        box = (
            (x - wide / 2) * frame.width,
            (y - high / 2) * frame.height,
            (x + wide / 2) * frame.width,
            (y + high / 2) * frame.height,
        )
        yield ItemAnnotation("bbox", classes.get(int(number)), ParsedShape("rectangle", box))
