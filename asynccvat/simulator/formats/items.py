"""Dataset items, as CVAT imports them from Datumaro, its converter.

All formats except CVAT's own are imported by items. Images are found by name, groups of one member
are dissolved, and shapes that name their track are joined to tracks again.
"""

from __future__ import annotations

import dataclasses
import struct
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from asynccvat.simulator.formats.collector import (
    IMPORT_ERROR,
    AnnotationCollector,
    ImporterError,
    ParsedKeyframe,
    ParsedShape,
)
from asynccvat.simulator.world.annotations import Label


@dataclass(frozen=True, slots=True)
class ItemAnnotation:
    """One annotation of an image.

    Attributes:
        kind: Datumaro's name of it, such as `bbox`, for messages.
        label: Name of its label, or None.
        shape: The shape, or None for a label on the whole image.
        attributes: Values by name. `occluded`, `rotation`, `track_id`, `keyframe` and `outside`
            describe the shape itself.
        group: Annotations of an image with the same number belong together; 0 for none.
    """

    kind: str
    label: str | None
    shape: ParsedShape | None
    attributes: dict[str, Any] = field(default_factory=dict)
    group: int = 0


@dataclass(frozen=True, slots=True)
class DatasetItem:
    """One image: its name without extension, its frame number if known."""

    name: str
    annotations: Sequence[ItemAnnotation]
    number: int | None = None


@dataclass(slots=True)
class _OpenTrack:
    """A track that is still being collected: shapes, and whether they are keyframes."""

    label: Label
    group: int
    shapes: list[tuple[ParsedKeyframe, bool]] = field(default_factory=list)


def collect_items(
    items: Sequence[DatasetItem], collector: AnnotationCollector, *, tracks: bool
) -> None:
    """Add the annotations of the images.

    Args:
        items: The images.
        collector: Where the annotations are added.
        tracks: Whether the format has tracks.

    Raises:
        ImporterError: The task has no such image or label.
    """
    collector.find_root(item.name for item in items)
    open_tracks: dict[Any, _OpenTrack] = {}
    for item in items:
        frame = collector.frame(item.name, item.number)
        groups = _groups(item.annotations)
        for number, one in enumerate(item.annotations):
            try:
                _collect(
                    one, frame, groups.get(one.group, 0), collector, open_tracks if tracks else None
                )
            except (ImporterError, ValueError) as error:
                reason = str(error).removeprefix("ValueError: ").strip()
                raise ImporterError(
                    f"{IMPORT_ERROR}: Image {item.name}: can't import annotation "
                    f"#{number} ({one.kind}): {reason}\n"
                ) from error
    last = (collector.task.size or 1) - 1
    for track in open_tracks.values():
        keyframes = _keyframes(track.shapes, last)
        if keyframes:
            collector.add_track(track.label, keyframes, track.group)


def _groups(annotations: Iterable[ItemAnnotation]) -> dict[int, int]:
    """Number the groups of an image that have more than one member."""
    members = Counter(one.group for one in annotations if one.group and one.shape is not None)
    shared = sorted(group for group, count in members.items() if count > 1)
    return {group: number for number, group in enumerate(shared, start=1)}


def _collect(
    one: ItemAnnotation,
    frame: int,
    group: int,
    collector: AnnotationCollector,
    open_tracks: dict[Any, _OpenTrack] | None,
) -> None:
    if one.label is None:
        raise ValueError("annotation has no label")
    label = collector.label(one.label)
    if one.shape is None:
        collector.add_tag(frame, label, one.attributes, group)
        return
    rotation = float(one.attributes.get("rotation", one.shape.rotation))
    shape = dataclasses.replace(
        one.shape,
        points=tuple(_single(number) for number in one.shape.points),
        occluded=_is_true(one.attributes.get("occluded")),
        rotation=rotation % 360,
        attributes=one.attributes,
    )
    track_id = one.attributes.get("track_id")
    if open_tracks is None or track_id is None or "keyframe" not in one.attributes:
        collector.add_shape(frame, label, shape, group)
        return
    track = open_tracks.setdefault(track_id, _OpenTrack(label, group))
    outside = _is_true(one.attributes.get("outside"))
    track.shapes.append(
        (ParsedKeyframe(frame, outside, shape), _is_true(one.attributes["keyframe"]))
    )


def _keyframes(
    shapes: Iterable[tuple[ParsedKeyframe, bool]], last_frame: int
) -> list[ParsedKeyframe]:
    """Return the keyframes of a track, of which the file lists every visible frame."""
    kept: list[ParsedKeyframe] = []
    before: ParsedKeyframe | None = None
    for shape, is_keyframe in sorted(shapes, key=lambda one: one[0].frame):
        was_visible = before is not None and not before.outside
        has_gap = before is not None and was_visible and before.frame + 1 < shape.frame
        if before is not None and has_gap:
            kept.append(dataclasses.replace(before, outside=True, frame=before.frame + 1))
        if was_visible == shape.outside or (not shape.outside and (has_gap or is_keyframe)):
            kept.append(shape)
        before = shape
    if before is not None and not before.outside and before.frame < last_frame:
        kept.append(dataclasses.replace(before, outside=True, frame=before.frame + 1))
    return kept


def _is_true(value: Any) -> bool:
    return str(value).lower() in ("true", "1", "1.0")


def _single(number: float) -> float:
    """Round to hundredths of a pixel in single precision, as Datumaro keeps coordinates."""
    value: float
    (value,) = struct.unpack("f", struct.pack("f", round(number, 2)))
    return value


def import_failure(name: str) -> ImporterError:
    """Return the error for a file that Datumaro's reader cannot parse."""
    return ImporterError(
        f"datumaro.components.errors.DatasetImportError: Failed to import dataset '{name}'\n"
    )


def not_found(pattern: str) -> ImporterError:
    """Return the error for a zip that has no file of the format."""
    return ImporterError(
        "cvat.apps.dataset_manager.bindings.CvatDatasetNotFoundError: "
        f"dataset must contain a file matching pattern '{pattern}'\n"
    )
