"""The files that each export format writes, as far as needed to recognize an export."""

from __future__ import annotations

from collections.abc import Iterable
from fnmatch import fnmatchcase

# By the beginning of the exporter's name; the first that fits counts. The layouts are those of
# archives of CVAT 2.54.
_ANNOTATION_FILES = (
    ("CVAT", ("annotations.xml",)),
    ("COCO", ("annotations/*.json",)),
    ("Datumaro", ("annotations/*.json",)),
    ("PASCAL VOC", ("Annotations/*.xml", "labelmap.txt")),
    # Only folders of images, one for each label.
    ("Ultralytics YOLO Classification", ("*",)),
    ("Ultralytics YOLO", ("data.yaml",)),
    ("YOLO", ("obj.data",)),
)


def annotation_files(export_format: str) -> tuple[str, ...]:
    """Return patterns of the paths of a format's annotation files.

    For a format whose layout is not known, any file counts.
    """
    for beginning, patterns in _ANNOTATION_FILES:
        if export_format.startswith(beginning):
            return patterns
    return ("*",)


_TEXTS = (".xml", ".json", ".txt", ".yaml", ".yml", ".csv", ".names", ".data")


def is_text(path: str) -> bool:
    """Tell by its name whether a member is text: annotations, or a list of files.

    All others are media, or were drawn from media. They rarely change, and take most of the room.
    """
    return path.endswith(_TEXTS)


def holds_annotations(paths: Iterable[str], export_format: str) -> bool:
    """Tell whether a folder with files at these paths holds an export in this format."""
    patterns = annotation_files(export_format)
    return any(fnmatchcase(path, pattern) for path in paths for pattern in patterns)
