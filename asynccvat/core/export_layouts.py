"""Which files the formats write: enough to tell whether a folder holds an export already."""

from __future__ import annotations

from collections.abc import Iterable
from fnmatch import fnmatchcase

# By the beginning of the exporter's name, the first that fits counts; the layouts are those of
# CVAT 2.54's own archives.
_ANNOTATION_FILES = (
    ("CVAT", ("annotations.xml",)),
    ("COCO", ("annotations/*.json",)),
    ("Datumaro", ("annotations/*.json",)),
    ("PASCAL VOC", ("Annotations/*.xml", "labelmap.txt")),
    # Nothing but folders of images, one for each label.
    ("Ultralytics YOLO Classification", ("*",)),
    ("Ultralytics YOLO", ("data.yaml",)),
    ("YOLO", ("obj.data",)),
)


def annotation_files(export_format: str) -> tuple[str, ...]:
    """Patterns of the paths at which a format writes its annotations.

    Any file at all, for a format whose layout is not known here.
    """
    for beginning, patterns in _ANNOTATION_FILES:
        if export_format.startswith(beginning):
            return patterns
    return ("*",)


_TEXTS = (".xml", ".json", ".txt", ".yaml", ".yml", ".csv", ".names", ".data")


def is_text(path: str) -> bool:
    """Whether a member is text, by its name: annotations, and lists of what there is.

    All else is media, or what was drawn from them: it rarely changes, and takes most of the room.
    """
    return path.endswith(_TEXTS)


def holds_annotations(paths: Iterable[str], export_format: str) -> bool:
    """Whether a folder with files at these paths holds an export in this format."""
    patterns = annotation_files(export_format)
    return any(fnmatchcase(path, pattern) for path in paths for pattern in patterns)
