"""Labels and annotations as the JSON of CVAT's API; `annotations_json_reader` reads it."""

from __future__ import annotations

from typing import Any

from asynccvat.simulator.world.annotations import (
    Annotations,
    AttributeValues,
    Label,
    Shape,
    Tag,
    Track,
)


def label_json(label: Label) -> dict[str, Any]:
    """Return a label as JSON, with the project or else the task that it belongs to."""
    owner: dict[str, Any] = {"project_id": label.project_id}
    if label.project_id is None and label.task_id is not None:
        owner = {"task_id": label.task_id}
    value = {
        **_own_json(label),
        "type": label.type,
        "sublabels": [
            {**_own_json(below), "type": below.type, "has_parent": True}
            for below in label.sublabels
        ],
        **owner,
        "parent_id": None,
        "has_parent": False,
    }
    return value | {"svg": label.svg} if label.svg else value


def _own_json(label: Label) -> dict[str, Any]:
    return {
        "id": label.id,
        "name": label.name,
        "color": label.color,
        "attributes": [
            {
                "id": attribute.id,
                "name": attribute.name,
                "mutable": attribute.mutable,
                "input_type": attribute.input_type,
                "default_value": attribute.default_value,
                "values": list(attribute.values),
            }
            for attribute in label.attributes
        ],
    }


def annotations_json(annotations: Annotations) -> dict[str, Any]:
    """Return the annotations of a task as JSON."""
    return {
        "version": 0,
        "tags": [_tag_json(tag) for tag in annotations.tags],
        "shapes": [_shape_json(shape) for shape in annotations.shapes],
        "tracks": [_track_json(track) for track in annotations.tracks],
    }


def _shape_json(shape: Shape) -> dict[str, Any]:
    return {
        "id": shape.id,
        "label_id": shape.label.id,
        "type": shape.type,
        "frame": shape.frame,
        "group": shape.group,
        "source": shape.source,
        "score": shape.score,
        "occluded": shape.occluded,
        "outside": shape.outside,
        "z_order": shape.z_order,
        "rotation": shape.rotation,
        "points": list(shape.points),
        "view_id": None,
        "description": shape.description,
        "needs_review": shape.needs_review,
        "attributes": _attributes_json(shape.attributes),
        "elements": [_element_json(element) for element in shape.elements],
    }


def _element_json(shape: Shape) -> dict[str, Any]:
    """Return the JSON of a skeleton's element, which has no elements of its own."""
    value = _shape_json(shape)
    del value["elements"]
    return value


def _tag_json(tag: Tag) -> dict[str, Any]:
    return {
        "id": tag.id,
        "label_id": tag.label.id,
        "frame": tag.frame,
        "group": tag.group,
        "source": tag.source,
        "attributes": _attributes_json(tag.attributes),
    }


def _track_json(track: Track) -> dict[str, Any]:
    return {
        "id": track.id,
        "label_id": track.label.id,
        "frame": track.frame,
        "group": track.group,
        "source": track.source,
        "shapes": [
            {
                "id": shape.id,
                "frame": shape.frame,
                "type": shape.type,
                "occluded": shape.occluded,
                "outside": shape.outside,
                "z_order": shape.z_order,
                "rotation": shape.rotation,
                "points": list(shape.points),
                "attributes": _attributes_json(shape.attributes),
            }
            for shape in track.shapes
        ],
        "attributes": _attributes_json(track.attributes),
        "elements": [_track_json(element) for element in track.elements],
    }


def _attributes_json(attributes: AttributeValues) -> list[dict[str, Any]]:
    return [{"spec_id": attribute.id, "value": value} for attribute, value in attributes]
