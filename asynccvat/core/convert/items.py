"""Turn annotations into Datumaro's, through which CVAT exports all formats but its own.

Source: `CvatToDmAnnotationConverter` in `cvat/apps/dataset_manager/bindings.py` of CVAT,
`components/annotation.py` of Datumaro, and recordings of CVAT 2.54 and 2.64.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterable
from typing import Any

from asynccvat.core.convert.interpolation import TrackedShape
from asynccvat.core.convert.task_json import (
    AttributeValue,
    LabelAttribute,
    Shape,
    Tag,
    TaskJson,
    inexact,
)

_TURNED = frozenset({"rectangle", "ellipse"})


class Items:
    """What Datumaro's formats need to know of a task's labels.

    Attributes:
        label_index: The place of each label among those that are no point of a skeleton, by id.
    """

    def __init__(self, source: TaskJson) -> None:
        """Look at the labels of a task."""
        own = [label for label, parent in source.all_labels if parent is None]
        self.label_index = {label.id: place for place, label in enumerate(own)}
        self.label_names = tuple(label.name for label in own)
        self._specs = {label.id: label.attributes for label, _ in source.all_labels}

    def attributes(self, shape: Shape | TrackedShape) -> dict[str, Any]:
        """Return the attributes of a shape by name, as JSON types.

        Raises:
            InexactConversionError: A value does not fit its attribute. CVAT's export fails then.
        """
        values = self.values(shape)
        values["occluded"] = shape.occluded
        if shape.type in _TURNED:
            values["rotation"] = shape.rotation
        if isinstance(shape, TrackedShape):
            values["track_id"] = shape.track_id
            values["keyframe"] = shape.keyframe
        return values

    def values(self, one: Shape | TrackedShape | Tag) -> dict[str, Any]:
        """Return the values of the label's attributes by name: those given, or the defaults."""
        specs = self._specs[one.label_id]
        return _values(specs, one.attributes) if specs else {}


def _values(specs: Iterable[LabelAttribute], given: Iterable[AttributeValue]) -> dict[str, Any]:
    values = {value.spec_id: value.value for value in given}
    return {spec.name: _value(spec, values.get(spec.id, spec.default_value)) for spec in specs}


def _value(spec: LabelAttribute, text: str) -> str | bool | float:
    if spec.input_type == "checkbox":
        return text.lower() == "true"
    if spec.input_type != "number":
        return text
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise inexact(f"{text!r} is no number, as the attribute {spec.name!r} needs")
    return number


def rounded(points: Iterable[float]) -> list[float]:
    """Round coordinates to hundredths of a pixel, in single precision, as Datumaro does."""
    hundredths = array("f", [number * 100 for number in array("f", points)])
    return array("f", [round(number) / 100 for number in hundredths]).tolist()


def rounded_box(points: tuple[float, ...]) -> list[float]:
    """Round left, top, right and bottom of a rectangle as Datumaro does.

    Raises:
        InexactConversionError: Its right is left of its left, or its bottom above its top.
    """
    left, top, right, bottom = points
    if right < left or bottom < top:
        raise inexact("the corners of a rectangle are the wrong way round")
    return rounded((left, top, left + (right - left), top + (bottom - top)))
