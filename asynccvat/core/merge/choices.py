"""The choices that a merge offers. Help shows them, so that nothing else is loaded with them."""

from __future__ import annotations

from enum import StrEnum


class DataSetFormat(StrEnum):
    """The formats of data sets."""

    COCO = "coco"
    YOLO = "yolo"
    CVAT = "cvat"


class ImagePlacing(StrEnum):
    """How images come into a data set."""

    LINK = "link"
    COPY = "copy"


class SplitBy(StrEnum):
    """What stays together in one part."""

    TASK = "task"
    IMAGE = "image"
    SUBSET = "subset"
