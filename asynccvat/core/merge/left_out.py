"""Count the annotations that a format of data sets cannot hold."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from typing import Final

from asynccvat.core.convert.coco import SHOWN
from asynccvat.core.convert.task_json import Annotations
from asynccvat.core.merge.choices import DataSetFormat

_HELD: Final[Mapping[DataSetFormat, Collection[str]]] = {
    DataSetFormat.COCO: SHOWN,
    DataSetFormat.YOLO: ("rectangle",),
}
"""The kinds of shapes that a format holds, for formats that do not hold all annotations."""


def left_out(annotations: Annotations, to: DataSetFormat) -> Counter[str]:
    """Return how many annotations of each kind are not in a data set. A track counts once."""
    held = _HELD.get(to)
    if held is None:
        return Counter()
    kinds = [shape.type for shape in annotations.shapes]
    kinds += [track.shapes[0].type for track in annotations.tracks if track.shapes]
    found = Counter(str(kind) for kind in kinds if kind not in held)
    found["tag"] = len(annotations.tags)
    return +found  # only the kinds that there are
