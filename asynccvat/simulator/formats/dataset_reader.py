"""Read datasets with images for projects: "COCO 1.0" and "CVAT 1.1", a task for each subset.

The images stay in the uploaded zip. The annotations of each subset become a file, which `readers`
reads as for a task. Labels that the project lacks are made, as CVAT does.
"""

from __future__ import annotations

import json
import posixpath
import re
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final
from xml.etree import ElementTree as ET

from asynccvat.simulator.formats.backup_reader import NewNumbers
from asynccvat.simulator.formats.collector import ImporterError
from asynccvat.simulator.formats.items import import_failure, not_found
from asynccvat.simulator.formats.labels_json import InvalidLabelsError, read_labels
from asynccvat.simulator.formats.readers import read_annotations
from asynccvat.simulator.formats.zip_members import MemberFiles
from asynccvat.simulator.world.annotations import Annotations, Label
from asynccvat.simulator.world.content import Frame
from asynccvat.simulator.world.media import TaskMedia
from asynccvat.simulator.world.tasks import Task

NO_MEDIA: Final = (
    "cvat.apps.dataset_manager.bindings.NoMediaInAnnotationFileError: Can't import media data from "
    "the annotation file. Please upload full dataset as a zip archive.\n"
)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_COCO_FILE: Final = re.compile(r"(?:.*/)?instances_([^/]+)\.json")


@dataclass(frozen=True, slots=True)
class ImportedSubset:
    """One subset of a dataset: the media of its task, and the annotations."""

    name: str
    media: TaskMedia
    annotations: Annotations


@dataclass(frozen=True, slots=True)
class ImportedDataset:
    """A dataset: all labels of the project, those that are made included, and the subsets."""

    labels: tuple[Label, ...]
    subsets: tuple[ImportedSubset, ...]


@dataclass(frozen=True, slots=True)
class _SubsetFile:
    """The annotation file of one subset, and its images: name, width, height."""

    name: str
    content: bytes
    images: tuple[tuple[str, int, int], ...]


@dataclass(frozen=True, slots=True)
class _DatasetFile:
    """The labels and the subsets that the annotation files of a dataset name."""

    labels: tuple[Mapping[str, Any], ...]
    subsets: tuple[_SubsetFile, ...]


def read_dataset(
    path: Path, format_name: str, labels: Sequence[Label], numbers: NewNumbers
) -> ImportedDataset:
    """Return what a dataset has for a project.

    Args:
        path: The uploaded file.
        format_name: The importer's name, exactly.
        labels: The labels of the project.
        numbers: Numbers for what is made.

    Raises:
        ImporterError: The file is no dataset with images of this format.
    """
    if format_name not in _READERS:
        raise ImporterError(
            f"The simulator reads no datasets of {format_name}, only of {', '.join(_READERS)}\n"
        )
    if not zipfile.is_zipfile(path):
        raise ImporterError(NO_MEDIA)
    try:
        with zipfile.ZipFile(path) as archive:
            described = _READERS[format_name](archive)
            merged = _merged(labels, described.labels, numbers)
            subsets = tuple(
                _subset(one, merged, MemberFiles(archive, path), format_name, numbers)
                for one in described.subsets
            )
    except zipfile.BadZipFile as error:
        raise ImporterError(f"zipfile.BadZipFile: {error}\n") from error
    except InvalidLabelsError as error:
        detail = f"rest_framework.exceptions.ValidationError: {error.errors}\n"
        raise ImporterError(detail) from error
    return ImportedDataset(merged, subsets)


def _subset(
    one: _SubsetFile,
    labels: tuple[Label, ...],
    files: MemberFiles,
    format_name: str,
    numbers: NewNumbers,
) -> ImportedSubset:
    members = files.names()
    found = []
    for name, width, height in sorted(one.images):
        places = (posixpath.join("images", one.name, name), posixpath.join("images", name), name)
        place = next((place for place in places if place in members), None)
        if place is None:
            raise ImporterError(NO_MEDIA)
        found.append((name, width, height, files.find(place)))
    media = TaskMedia(
        frames=tuple(
            Frame(index, name, width, height, 0, None, source)
            for index, (name, width, height, source) in enumerate(found)
        ),
        originals=tuple((name, source) for name, _, _, source in found),
        stop_frame=len(found) - 1,
    )
    # The annotations are read for a task that no server has, so that a failure changes nothing.
    draft = Task(0, one.name, None, labels, len(found), _EPOCH, _EPOCH, media=media)
    path = files.beside(one.name)
    path.write_bytes(one.content)
    try:
        annotations = read_annotations(path, format_name, draft, numbers.annotations)
    finally:
        path.unlink()
    return ImportedSubset(one.name, media, annotations)


# --- Labels -------------------------------------------------------------------------------------


def _merged(
    labels: Sequence[Label], found: Sequence[Mapping[str, Any]], numbers: NewNumbers
) -> tuple[Label, ...]:
    """Return the project's labels, and after them those that it lacks."""
    known = {label.name for label in labels}
    lacking = [one for one in found if one["name"] not in known]
    return (*labels, *read_labels(lacking, numbers))


# --- COCO ---------------------------------------------------------------------------------------

_CROWD: Final = {
    "name": "is_crowd",
    "mutable": False,
    "input_type": "checkbox",
    "default_value": "",
    "values": ("",),
}
"""The attribute that CVAT gives to every label that it makes for COCO."""


def _coco(archive: zipfile.ZipFile) -> _DatasetFile:
    files = [(name, _COCO_FILE.fullmatch(name)) for name in sorted(archive.namelist())]
    subsets: list[_SubsetFile] = []
    labels: dict[str, dict[str, Any]] = {}
    for name, match in files:
        if match is None:
            continue
        content = archive.read(name)
        try:
            document = json.loads(content)
            images = tuple(
                (str(one["file_name"]), int(one.get("width", 0)), int(one.get("height", 0)))
                for one in document["images"]
            )
            names = [str(one["name"]) for one in document["categories"]]
        except (ValueError, KeyError, TypeError) as error:
            raise import_failure("coco_instances") from error
        labels |= {one: {"name": one, "attributes": (_CROWD,)} for one in names}
        subsets.append(_SubsetFile(match[1], content, images))
    if not subsets:
        raise not_found("annotations/instances_*.json")
    return _DatasetFile(tuple(labels.values()), tuple(subsets))


# --- CVAT XML -----------------------------------------------------------------------------------


def _cvat(archive: zipfile.ZipFile) -> _DatasetFile:
    if "annotations.xml" not in archive.namelist():
        raise not_found("annotations.xml")
    try:
        # Local uploads of tests and demonstrations; expat itself bounds what entities expand to.
        root = ET.fromstring(archive.read("annotations.xml"))  # noqa: S314
        subsets = dict.fromkeys(_subset_of(image) for image in root.iter("image"))
        files = tuple(_cvat_subset(root, name) for name in subsets)
        labels = tuple(_xml_labels(root))
    except (ET.ParseError, KeyError, ValueError) as error:
        raise import_failure("cvat") from error
    if not files:
        raise ImporterError(NO_MEDIA)
    return _DatasetFile(labels, files)


def _subset_of(image: ET.Element) -> str:
    return image.get("subset") or "default"


def _cvat_subset(root: ET.Element, subset: str) -> _SubsetFile:
    images = [image for image in root.iter("image") if _subset_of(image) == subset]
    own = ET.Element("annotations")
    own.extend(images)
    return _SubsetFile(
        subset,
        ET.tostring(own),
        tuple(
            (one.attrib["name"], int(one.attrib["width"]), int(one.attrib["height"]))
            for one in images
        ),
    )


def _xml_labels(root: ET.Element) -> Iterator[dict[str, Any]]:
    elements = root.findall("./meta/*/labels/label")
    for element in elements:
        if element.findtext("parent") is None:
            label = _xml_label(element)
            label["sublabels"] = tuple(
                _xml_label(below) for below in elements if below.findtext("parent") == label["name"]
            )
            yield label


def _xml_label(element: ET.Element) -> dict[str, Any]:
    return {
        "name": element.findtext("name", ""),
        "color": element.findtext("color"),
        "type": element.findtext("type", "any"),
        "svg": element.findtext("svg", ""),
        "attributes": tuple(
            {
                "name": spec.findtext("name", ""),
                "mutable": spec.findtext("mutable") == "True",
                "input_type": spec.findtext("input_type", "text"),
                "default_value": spec.findtext("default_value", ""),
                "values": tuple(spec.findtext("values", "").split("\n")),
            }
            for spec in element.findall("./attributes/attribute")
        ),
    }


_READERS: Final[dict[str, Callable[[zipfile.ZipFile], _DatasetFile]]] = {
    "COCO 1.0": _coco,
    "CVAT 1.1": _cvat,
}
