"""Count the annotations of a file while it is read, in bounded memory.

One counter for each kind of file takes its bytes piece by piece. `core.annotations.counting`
chooses the counters, `commands.upload.counting` reads the files.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol
from xml.parsers import expat

from asynccvat.core.annotations.counts import MASK, AnnotationCounts


@dataclass(frozen=True, slots=True)
class FileCounts:
    """What a file holds, as its importer will read it.

    Attributes:
        counts: How many annotations of each kind.
        exact: Whether these are the numbers that an import should leave. False where one
            annotation can become several, or none.
        only_tracks: Whether it is XML that knows tracks alone, CVAT's flavour for videos. A mask
            in it is a track, too.
    """

    counts: AnnotationCounts
    exact: bool = True
    only_tracks: bool = False

    @property
    def is_empty(self) -> bool:
        """Whether it holds no annotation."""
        return not self.counts.total


class UncountableError(ValueError):
    """A file is not what its counter reads."""


class FileCounter(Protocol):
    """Counts the annotations of one file."""

    def feed(self, data: bytes) -> None:
        """Take the next bytes.

        Raises:
            UncountableError: They are not what this counter reads.
        """

    def result(self) -> FileCounts:
        """Return the counts, after the last byte.

        Raises:
            UncountableError: The file is not what this counter reads.
        """


def sum_counts(parts: Iterable[FileCounts]) -> FileCounts:
    """Add the counts of several files."""
    parts = tuple(parts)
    types: Counter[str] = Counter()
    tags = shapes = tracks = grouped = attributed = 0
    exact = True
    for part in parts:
        counts = part.counts
        types.update(counts.types)
        tags += counts.tags
        shapes += counts.shapes
        tracks += counts.tracks
        grouped += counts.grouped
        attributed += counts.attributed
        exact = exact and part.exact
    added = AnnotationCounts(
        tags=tags,
        shapes=shapes,
        tracks=tracks,
        types=dict(types),
        grouped=grouped,
        attributed=attributed,
    )
    return FileCounts(added, exact, bool(parts) and all(part.only_tracks for part in parts))


# --- XML ----------------------------------------------------------------------------------------

# Types of shapes by the element that stands for one.
_SHAPES = {
    "box": "rectangle",
    "cuboid": "cuboid",
    "ellipse": "ellipse",
    "mask": MASK,
    "points": "points",
    "polygon": "polygon",
    "polyline": "polyline",
    "skeleton": "skeleton",
}


class CvatXmlCounter:
    """Count the shapes and tags of `<image>` elements, and the `<track>` elements."""

    def __init__(self) -> None:
        """Begin at the start of a file."""
        self._parser = expat.ParserCreate()
        self._parser.StartElementHandler = self._start
        self._parser.EndElementHandler = self._end
        self._depth = 0
        self._inside = ""
        self._elements: Counter[str] = Counter()
        self._types: Counter[str] = Counter()
        self._tags = self._tracks = self._grouped = self._attributed = 0
        self._shapes = 0
        self._track_is_new = self._track_is_grouped = self._has_attributes = False

    def feed(self, data: bytes) -> None:
        """Take the next bytes."""
        self._parse(data, last=False)

    def result(self) -> FileCounts:
        """Return the counts, after the last byte."""
        self._parse(b"", last=True)
        return FileCounts(
            AnnotationCounts(
                tags=self._tags,
                shapes=self._shapes,
                tracks=self._tracks,
                types=dict(self._types),
                grouped=self._grouped,
                attributed=self._attributed,
            ),
            only_tracks=self._elements["track"] > 0 and not self._elements["image"],
        )

    def _parse(self, data: bytes, *, last: bool) -> None:
        try:
            self._parser.Parse(data, last)
        except expat.ExpatError as error:
            raise UncountableError(str(error)) from error

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        self._depth += 1
        if self._depth == 2:
            self._inside = name
            self._elements[name] += 1
            if name == "track":
                self._tracks += 1
                self._track_is_new, self._has_attributes = True, False
                self._track_is_grouped = self._note_group(attributes)
        elif self._depth == 3 and self._inside == "image":
            self._has_attributes = False
            if name in _SHAPES:
                self._shapes += 1
                self._types[_SHAPES[name]] += 1
                self._note_group(attributes)
            elif name == "tag":
                self._tags += 1
                self._note_group(attributes)
        elif self._depth == 3 and self._inside == "track":
            if self._track_is_new and name in _SHAPES:
                self._begin_track(_SHAPES[name])
        elif self._depth == 4 and name == "attribute" and self._inside in ("image", "track"):
            self._attributed += not self._has_attributes
            self._has_attributes = True

    def _begin_track(self, type_: str) -> None:
        self._track_is_new = False
        self._types[type_] += 1
        if type_ == MASK:
            # CVAT has no tracks of masks, and imports the first mask as a shape without a group.
            self._tracks -= 1
            self._shapes += 1
            self._grouped -= self._track_is_grouped

    def _note_group(self, attributes: dict[str, str]) -> bool:
        is_grouped = attributes.get("group_id", "0") != "0"
        self._grouped += is_grouped
        return is_grouped

    def _end(self, _name: str) -> None:
        self._depth -= 1


# --- JSON ---------------------------------------------------------------------------------------

# A key of JSON, and the beginning of its value. Inside a text its quotes would be escaped.
_TOKEN = re.compile(
    rb'"(image_id|track_id|keyframe|segmentation|type)"[ \t\r\n]{0,64}:[ \t\r\n]{0,64}'
    rb'("[^"\\]{0,64}"|-?[0-9]{1,20}|true|false|\{|\[[ \t\r\n]{0,64}\]?)'
)
_LONGEST_TOKEN = 512
_DATUMARO_TYPES = {
    b"bbox": "rectangle",
    b"cuboid": "cuboid",
    b"cuboid_2d": "cuboid",
    b"cuboid_3d": "cuboid",
    b"ellipse": "ellipse",
    b"mask": MASK,
    b"points": "points",
    b"polygon": "polygon",
    b"polyline": "polyline",
    b"rotated_bbox": "rectangle",
    b"skeleton": "skeleton",
}


class _JsonCounter(ABC):
    """Find the keys that tell annotations apart, without building the document."""

    def __init__(self) -> None:
        """Begin at the start of a file."""
        self._rest = b""
        self._tracked = 0
        self._track_ids: set[bytes] = set()
        self._has_keyframes = False
        self._types: Counter[str] = Counter()

    def feed(self, data: bytes) -> None:
        """Take the next bytes."""
        data = self._rest + data
        end = max(0, len(data) - _LONGEST_TOKEN)
        self._rest = data[self._count_until(data, end) :]

    def _count_until(self, data: bytes, end: int) -> int:
        """Count the tokens that begin before `end`. Returns where to go on."""
        position = 0
        for found in _TOKEN.finditer(data):
            if found.start() >= end:
                return max(position, end)
            position = found.end()
            self._count(found[1], found[2])
        return max(position, end)

    def _finish(self) -> None:
        self._count_until(self._rest, len(self._rest))
        self._rest = b""

    def _count(self, key: bytes, value: bytes) -> None:
        if key == b"track_id":
            self._tracked += 1
            self._track_ids.add(value)
        elif key == b"keyframe":
            self._has_keyframes = True
        else:
            self._count_annotation(key, value)

    @abstractmethod
    def _count_annotation(self, key: bytes, value: bytes) -> None:
        """Count one key that tells an annotation."""

    def _counted(self, shapes: int, *, tags: int = 0) -> AnnotationCounts:
        """Return the counts: the shapes of one track are one annotation."""
        is_tracking = self._has_keyframes and self._tracked > 0
        return AnnotationCounts(
            tags=tags,
            shapes=max(0, shapes - self._tracked) if is_tracking else shapes,
            tracks=len(self._track_ids) if is_tracking else 0,
            types=dict(self._types),
        )


class CocoCounter(_JsonCounter):
    """Count the annotations of COCO's JSON: each has one `image_id`."""

    def __init__(self, *, keypoints: bool = False) -> None:
        """Begin at the start of a file. CVAT imports only the skeletons of keypoints."""
        super().__init__()
        self._annotations = 0
        self._keypoints = keypoints

    def _count_annotation(self, key: bytes, value: bytes) -> None:
        if key == b"image_id":
            self._annotations += 1
        elif key == b"segmentation" and not self._keypoints:
            if value.startswith(b"{"):
                self._types[MASK] += 1
            else:
                self._types["rectangle" if value.endswith(b"]") else "polygon"] += 1

    def result(self) -> FileCounts:
        """Return the counts, after the last byte."""
        self._finish()
        if self._keypoints:
            self._types["skeleton"] = self._annotations
        return FileCounts(self._counted(self._annotations), exact=not self._keypoints)


class DatumaroCounter(_JsonCounter):
    """Count the annotations of Datumaro's JSON: each has a `type`."""

    def __init__(self) -> None:
        """Begin at the start of a file."""
        super().__init__()
        self._tags = 0

    def _count_annotation(self, key: bytes, value: bytes) -> None:
        name = value.strip(b'"')
        if key != b"type":
            return
        if name == b"label":
            self._tags += 1
        elif name in _DATUMARO_TYPES:
            self._types[_DATUMARO_TYPES[name]] += 1

    def result(self) -> FileCounts:
        """Return the counts, after the last byte."""
        self._finish()
        shapes = sum(self._types.values())
        # The elements of a skeleton have types, too, and are not told from other shapes.
        exact = not self._types["skeleton"]
        return FileCounts(self._counted(shapes, tags=self._tags), exact=exact)


# --- text ---------------------------------------------------------------------------------------


class LineCounter:
    """Count the lines that are not blank: one shape each, or one shape of a track."""

    def __init__(self, type_: str, *, tracks: bool = False) -> None:
        """Begin at the start of a file.

        Args:
            type_: The type of the shapes.
            tracks: Whether the second column names a track, as in MOT.
        """
        self._type = type_
        self._tracks: set[bytes] | None = set() if tracks else None
        self._lines = 0
        self._rest = b""

    def feed(self, data: bytes) -> None:
        """Take the next bytes."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        self._count(lines)

    def _count(self, lines: Iterable[bytes]) -> None:
        for line in lines:
            if line.strip():
                self._lines += 1
                if self._tracks is not None:
                    self._tracks.add(line.split(b",")[1].strip() if b"," in line else line)

    def result(self) -> FileCounts:
        """Return the counts, after the last byte."""
        self._count([self._rest])
        self._rest = b""
        if self._tracks is None:
            counts = AnnotationCounts(shapes=self._lines, types={self._type: self._lines})
        else:
            count = len(self._tracks)
            counts = AnnotationCounts(tracks=count, types={self._type: count})
        return FileCounts(counts, exact=False)


class VocCounter:
    """Count the `<object>` elements of an XML of PASCAL VOC."""

    def __init__(self) -> None:
        """Begin at the start of a file."""
        self._parser = expat.ParserCreate()
        self._parser.StartElementHandler = self._start
        self._objects = 0

    def _start(self, name: str, _attributes: dict[str, str]) -> None:
        self._objects += name == "object"

    def feed(self, data: bytes) -> None:
        """Take the next bytes."""
        self._parse(data, last=False)

    def result(self) -> FileCounts:
        """Return the counts, after the last byte."""
        self._parse(b"", last=True)
        counts = AnnotationCounts(shapes=self._objects, types={"rectangle": self._objects})
        return FileCounts(counts, exact=False)

    def _parse(self, data: bytes, *, last: bool) -> None:
        try:
            self._parser.Parse(data, last)
        except expat.ExpatError as error:
            raise UncountableError(str(error)) from error
