"""Choose how the annotations of each file of an upload are counted."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from asynccvat.core.annotations.file_counts import (
    CocoCounter,
    CvatXmlCounter,
    DatumaroCounter,
    FileCounter,
    LineCounter,
    VocCounter,
)
from asynccvat.core.annotations.files import is_hidden
from asynccvat.core.annotations.json_counter import CvatJsonCounter
from asynccvat.core.specs import CVAT_JSON

_XML = re.compile(r"\.xml\Z", re.IGNORECASE)
_JSON = re.compile(r"\.json\Z", re.IGNORECASE)
_YOLO_FILE = re.compile(r"(?:^|/)(?:labels|obj_[^/]*_data)/.+\.txt\Z", re.IGNORECASE)
_VOC_FILE = re.compile(r"(?:^|/)Annotations/.+\.xml\Z")
_MOT_FILE = re.compile(r"(?:^|/)gt/gt\.txt\Z")
# Members that name labels and images, and hold no annotation in any format.
_LISTS = re.compile(
    r"(?:^|/)(?:labels?|labelmap|label_colors|train|test|val|valid|default|classes|synsets)\.txt\Z"
    r"|(?:^|/)obj\.(?:names|data)\Z|\.ya?ml\Z|(?:^|/)dataset_meta\.json\Z"
    # A list of VOC whose name ends with a label's holds tags.
    r"|(?:^|/)ImageSets/(?!Main/[^/]*_)",
    re.IGNORECASE,
)

MakeCounter = Callable[[], FileCounter]


@dataclass(frozen=True, slots=True)
class CountingPlan:
    """How the files of one upload are counted.

    Attributes:
        counters: The counter of each file that is read, by path.
        leftover: Whether other files may hold annotations, which cannot be counted.
    """

    counters: dict[str, MakeCounter]
    leftover: bool


def plan_counting(paths: Iterable[str], importer: str) -> CountingPlan:
    """Choose a counter for each file that an importer reads.

    Importers find files by patterns, which pass over hidden ones. macOS adds such a file to a zip
    for each member: `__MACOSX/._annotations.xml` is no XML.

    Args:
        paths: The files, without the task's images.
        importer: The importer's name.
    """
    every = tuple(path for path in paths if not is_hidden(path))
    counters = _counters(_only_read(every, importer), importer)
    is_counted_wholly = importer.startswith(("CVAT ", "COCO ", "Datumaro ", "MOT ")) or (
        bool(counters) and "YOLO" in importer
    )
    others = any(path not in counters and not _LISTS.search(path) for path in every)
    return CountingPlan(counters, others and not is_counted_wholly)


def _only_read(paths: tuple[str, ...], importer: str) -> tuple[str, ...]:
    """Leave out what COCO's importers leave out if a file has the name that they look for."""
    if not importer.startswith("COCO "):
        return paths
    beginning = "person_keypoints_" if "Keypoints" in importer else "instances_"
    named = tuple(path for path in paths if path.rpartition("/")[2].startswith(beginning))
    return named or paths


def _counters(paths: Iterable[str], importer: str) -> dict[str, MakeCounter]:
    for beginning, pattern, make in _COUNTERS:
        if importer.startswith(beginning):
            return {path: make for path in paths if pattern.search(path)}
    return {}


def _coco_keypoints() -> FileCounter:
    return CocoCounter(keypoints=True)


def _mot() -> FileCounter:
    return LineCounter("rectangle", tracks=True)


def _boxes() -> FileCounter:
    return LineCounter("rectangle")


def _polygons() -> FileCounter:
    return LineCounter("polygon")


def _skeletons() -> FileCounter:
    return LineCounter("skeleton")


# By the beginning of the importer's name; the first that fits counts.
_COUNTERS: tuple[tuple[str, re.Pattern[str], MakeCounter], ...] = (
    (CVAT_JSON, _JSON, CvatJsonCounter),
    ("CVAT ", _XML, CvatXmlCounter),
    ("COCO Keypoints", _JSON, _coco_keypoints),
    ("COCO ", _JSON, CocoCounter),
    ("Datumaro ", _JSON, DatumaroCounter),
    ("PASCAL VOC", _VOC_FILE, VocCounter),
    ("MOT ", _MOT_FILE, _mot),
    ("Ultralytics YOLO Segmentation", _YOLO_FILE, _polygons),
    ("Ultralytics YOLO Pose", _YOLO_FILE, _skeletons),
    ("Ultralytics YOLO Detection", _YOLO_FILE, _boxes),
    ("Ultralytics YOLO Oriented Bounding Boxes", _YOLO_FILE, _boxes),
    ("YOLO", _YOLO_FILE, _boxes),
)
