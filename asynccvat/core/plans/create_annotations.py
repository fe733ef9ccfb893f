"""Find the annotations next to images and videos, by the names that formats give files."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase

from asynccvat.core.media.kinds import shown

CVAT = "CVAT 1.1"
_COCO, _YOLO = "COCO 1.0", "YOLO 1.1"
_ULTRALYTICS = "Ultralytics YOLO Detection 1.0"
_COCO_FILES = ("instances_*.json", "annotations/instances_*.json")
_YOLO_SUFFIXES = (".txt", ".data", ".names", ".yaml", ".yml")


@dataclass(frozen=True, slots=True)
class AnnotationsBeside:
    """Annotations next to the media of a task.

    Attributes:
        path: The file, or the folder whose files are packed, below the source.
        format: The importer's name.
    """

    path: str
    format: str


def annotations_in(
    folder: str, paths: Iterable[str]
) -> tuple[AnnotationsBeside | None, set[str], list[str]]:
    """Return a folder's annotations, the files that they use, and what is wrong with them.

    Args:
        folder: "" or the folder with a slash.
        paths: The files in it that are no media, by their paths below the source.
    """
    below = {path.removeprefix(folder): path for path in paths}
    found: list[AnnotationsBeside] = []
    used: set[str] = set()
    if "annotations.xml" in below:
        found.append(AnnotationsBeside(below["annotations.xml"], CVAT))
        used.add(below["annotations.xml"])
    for name, path in below.items():
        if any(fnmatchcase(name, pattern) for pattern in _COCO_FILES):
            found.append(AnnotationsBeside(path, _COCO))
            used.add(path)
    for name, format_name in (("obj.data", _YOLO), ("data.yaml", _ULTRALYTICS)):
        if name in below:
            found.append(AnnotationsBeside(folder.rstrip("/") or ".", format_name))
            used |= {path for one, path in below.items() if one.endswith(_YOLO_SUFFIXES)}
    if len(found) > 1:
        paths_found = " and ".join(shown(one.path) for one in found)
        return None, used, [f"it holds annotations twice, {paths_found}: remove all but one"]
    return (found[0] if found else None), used, []
