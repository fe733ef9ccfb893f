"""Read annotations that a client sends as JSON, as CVAT's serializers do.

Errors name the fields that are wrong; of unknown labels and attributes CVAT names only the first.
Annotations past the task's last frame are left out silently. `annotations_json` writes such JSON.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final, TypeVar, cast

from asynccvat.simulator.world.annotations import (
    SHAPE_TYPES,
    Annotations,
    Attribute,
    AttributeValues,
    Label,
    Shape,
    ShapeType,
    Tag,
    Track,
    TrackedShape,
    points_fit,
)
from asynccvat.simulator.world.tasks import Task

T = TypeVar("T")

_REQUIRED: Final = {
    "tags": ("label_id", "frame"),
    "shapes": ("type", "label_id", "frame"),
    "tracks": ("label_id", "frame", "shapes"),
}
_TRACKED_REQUIRED: Final = ("type", "frame")
_NUMBERS: Final = ("label_id", "frame", "group", "z_order")


class InvalidAnnotationsError(Exception):
    """Annotations that CVAT refuses; `errors` is the body of the response."""

    def __init__(self, errors: Any) -> None:
        """Refuse with these errors."""
        super().__init__(errors)
        self.errors = errors


class _Numbers:
    """Numbers annotations: anew, or as they are given where they keep their ids."""

    def __init__(self, ids: Iterator[int], *, keep: bool) -> None:
        self._ids = ids
        self._keep = keep

    def of(self, one: Mapping[str, Any]) -> int:
        """Return the number of an annotation."""
        given = one.get("id") if self._keep else None
        return next(self._ids) if given is None else int(given)


def read_annotations_json(
    given: Mapping[str, Any], task: Task, ids: Iterator[int], *, keep_ids: bool = False
) -> Annotations:
    """Return the annotations that a body describes.

    Args:
        given: The body: lists of `tags`, `shapes` and `tracks`, each of which may be missing.
        task: The task to which they belong; it has data.
        ids: Numbers for the annotations.
        keep_ids: Whether those that have ids keep them; else ids are refused.

    Raises:
        InvalidAnnotationsError: Something is wrong with them.
    """
    _check(_without_ids(given) if keep_ids else given)
    numbers = _Numbers(ids, keep=keep_ids)

    def read(kind: str, make: Callable[[Mapping[str, Any], Label], T]) -> tuple[T, ...]:
        made = [(one, make(one, _label(one, task.labels))) for one in given.get(kind, ())]
        return tuple(value for one, value in made if one["frame"] < (task.size or 0))

    return Annotations(
        shapes=read("shapes", lambda one, label: _shape(one, label, numbers)),
        tags=read("tags", lambda one, label: _tag(one, label, numbers.of(one))),
        tracks=read("tracks", lambda one, label: _track(one, label, numbers)),
    )


def _label(one: Mapping[str, Any], labels: Iterable[Label]) -> Label:
    for label in labels:
        if label.id == one["label_id"]:
            return label
    raise InvalidAnnotationsError([f"label_id `{one['label_id']}` is invalid"])


def _shape(one: Mapping[str, Any], label: Label, numbers: _Numbers) -> Shape:
    return Shape(
        id=numbers.of(one),
        type=cast("ShapeType", one["type"]),
        label=label,
        frame=one["frame"],
        points=tuple(one.get("points", ())),
        occluded=bool(one.get("occluded")),
        z_order=one.get("z_order", 0),
        attributes=_values(label.attributes, one),
        rotation=one.get("rotation", 0),
        group=one.get("group"),
        source=one.get("source", "manual"),
        description=one.get("description"),
        needs_review=one.get("needs_review"),
        outside=bool(one.get("outside")),
        elements=tuple(
            _shape(element, _label(element, label.sublabels), numbers)
            for element in one.get("elements", ())
        ),
        score=one.get("score", 1),
    )


def _tag(one: Mapping[str, Any], label: Label, number: int) -> Tag:
    return Tag(
        id=number,
        label=label,
        frame=one["frame"],
        group=one.get("group"),
        source=one.get("source", "manual"),
        attributes=_values(label.attributes, one),
    )


def _track(one: Mapping[str, Any], label: Label, numbers: _Numbers) -> Track:
    mutable = tuple(attribute for attribute in label.attributes if attribute.mutable)
    immutable = tuple(attribute for attribute in label.attributes if not attribute.mutable)
    number = numbers.of(one)
    shapes = [
        TrackedShape(
            id=numbers.of(shape),
            type=cast("ShapeType", shape["type"]),
            frame=shape["frame"],
            points=tuple(shape.get("points", ())),
            occluded=bool(shape.get("occluded")),
            outside=bool(shape.get("outside")),
            z_order=shape.get("z_order", 0),
            rotation=shape.get("rotation", 0),
            attributes=_values(mutable, shape),
        )
        for shape in one["shapes"]
    ]
    return Track(
        id=number,
        label=label,
        shapes=tuple(sorted(shapes, key=lambda shape: shape.frame)),
        group=one.get("group"),
        source=one.get("source", "manual"),
        attributes=_values(immutable, one),
        elements=tuple(
            _track(element, _label(element, label.sublabels), numbers)
            for element in one.get("elements", ())
        ),
    )


def _values(attributes: Iterable[Attribute], one: Mapping[str, Any]) -> AttributeValues:
    """Return the given value of each attribute, or its default."""
    known = {attribute.id: attribute for attribute in attributes}
    given = {}
    for value in one.get("attributes", ()):
        if value["spec_id"] not in known:
            raise InvalidAnnotationsError([f"spec_id `{value['spec_id']}` is invalid"])
        given[value["spec_id"]] = str(value["value"])
    return tuple(
        (attribute, given.get(number, attribute.default_value))
        for number, attribute in known.items()
    )


# --- Validation -----------------------------------------------------------------------------------


def _check(given: Mapping[str, Any]) -> None:
    errors: dict[str, Any] = {}
    for kind, required in _REQUIRED.items():
        rows = given.get(kind, [])
        if not isinstance(rows, list):
            errors[kind] = {
                "non_field_errors": [
                    f'Expected a list of items but got type "{type(rows).__name__}".'
                ]
            }
            continue
        found = [_wrong(row, required) for row in rows]
        if any(found):
            errors[kind] = found
    if errors:
        raise InvalidAnnotationsError(errors)


def _without_ids(value: Any) -> Any:
    """Return annotations without their ids, at any depth."""
    if isinstance(value, dict):
        return {name: _without_ids(one) for name, one in value.items() if name != "id"}
    return [_without_ids(one) for one in value] if isinstance(value, list) else value


def _wrong(row: Any, required: Iterable[str]) -> dict[str, Any]:
    """Return what is wrong with a tag, shape or track, by field."""
    if not isinstance(row, dict):
        text = f"Invalid data. Expected a dictionary, but got {type(row).__name__}."
        return {"non_field_errors": [text]}
    found: dict[str, Any] = {
        name: ["This field is required."] for name in required if name not in row
    }
    if row.get("id") is not None:
        found["id"] = ["must be absent"]
    for name in _NUMBERS:
        if not isinstance(row.get(name, 0), int | None):
            found[name] = ["A valid integer is required."]
    if "type" in row and row["type"] not in SHAPE_TYPES:
        found["type"] = [f'"{row["type"]}" is not a valid choice.']
    if not _are_numbers(row.get("points", [])):
        found["points"] = ["A valid number is required."]
    elif row.get("type") in SHAPE_TYPES and not points_fit(row["type"], row.get("points", [])):
        found["points"] = [f"{len(row.get('points', []))} numbers make no {row['type']}."]
    if isinstance(row.get("shapes"), list):
        found |= _wrong_shapes(row["shapes"])
    if row.get("elements"):
        found |= _wrong_elements(row["elements"], required)
    return found


def _wrong_elements(elements: Any, required: Iterable[str]) -> dict[str, Any]:
    """Return what is wrong with the elements of a skeleton."""
    if not isinstance(elements, list):
        text = f'Expected a list of items but got type "{type(elements).__name__}".'
        return {"elements": {"non_field_errors": [text]}}
    found = [_wrong(element, required) for element in elements]
    return {"elements": found} if any(found) else {}


def _are_numbers(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(one, int | float) for one in value)


def _wrong_shapes(shapes: list[Any]) -> dict[str, Any]:
    """Return what is wrong with the shapes of a track."""
    if not shapes:
        return {"shapes": ["This list may not be empty."]}
    found = [_wrong_tracked(shape) for shape in shapes]
    return {"shapes": found} if any(found) else {}


def _wrong_tracked(shape: Any) -> dict[str, Any]:
    found = _wrong(shape, _TRACKED_REQUIRED)
    if isinstance(shape, dict) and not any(name != "id" for name in found):
        return {}  # CVAT accepts ids on the shapes of a track
    return found
