"""Carry annotations over to other labels of the same names, as when a task moves to a project."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping

from asynccvat.simulator.world.annotations import (
    Annotations,
    AttributeValues,
    Label,
    Shape,
    Track,
)


def label_names(labels: Iterable[Label]) -> set[tuple[str, ...]]:
    """Return the names of labels, and those of sublabels below the name of their skeleton."""
    names: set[tuple[str, ...]] = set()
    for label in labels:
        names.add((label.name,))
        names.update((label.name, below.name) for below in label.sublabels)
    return names


def relabel(annotations: Annotations, labels: Iterable[Label]) -> Annotations:
    """Return the annotations with the labels of the same names.

    Values of attributes that a label does not have are dropped, as CVAT does.

    Raises:
        KeyError: There is no label of a name.
    """
    known = {label.name: label for label in labels}
    return Annotations(
        tuple(_shape(shape, known) for shape in annotations.shapes),
        tuple(
            dataclasses.replace(
                tag,
                label=known[tag.label.name],
                attributes=_values(tag.attributes, known[tag.label.name]),
            )
            for tag in annotations.tags
        ),
        tuple(_track(track, known) for track in annotations.tracks),
    )


def _shape(shape: Shape, known: Mapping[str, Label]) -> Shape:
    label = known[shape.label.name]
    below = {one.name: one for one in label.sublabels}
    return dataclasses.replace(
        shape,
        label=label,
        attributes=_values(shape.attributes, label),
        elements=tuple(_shape(element, below) for element in shape.elements),
    )


def _track(track: Track, known: Mapping[str, Label]) -> Track:
    label = known[track.label.name]
    below = {one.name: one for one in label.sublabels}
    return dataclasses.replace(
        track,
        label=label,
        attributes=_values(track.attributes, label),
        shapes=tuple(
            dataclasses.replace(shape, attributes=_values(shape.attributes, label))
            for shape in track.shapes
        ),
        elements=tuple(_track(element, below) for element in track.elements),
    )


def _values(values: AttributeValues, label: Label) -> AttributeValues:
    known = {(one.name, one.input_type, one.values): one for one in label.attributes}
    keys = (((one.name, one.input_type, one.values), value) for one, value in values)
    return tuple((known[key], value) for key, value in keys if key in known)
