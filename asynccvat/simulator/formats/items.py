"""Takes over the images of a dataset as CVAT takes them over from Datumaro, its converter.

All formats but CVAT's own come this way: images are found by their names, single-member groups are
dissolved, shapes that say of which track they are a keyframe are put together to tracks again.
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
    Collector,
    ImportFailedError,
    Keyframe,
    Look,
)
from asynccvat.simulator.world.annotations import Label


@dataclass(frozen=True, slots=True)
class ItemAnnotation:
    """One annotation of an image.

    Attributes:
        kind: What Datumaro calls it, as `bbox`; only messages tell it.
        label: Name of its label, or None.
        look: The shape, or None for a label on the whole image.
        attributes: By name; `occluded`, `rotation`, `track_id`, `keyframe` and `outside` are taken
            for what they are, if the shape leaves these open.
        group: Which ones of an image belong together; 0 for none.
    """

    kind: str
    label: str | None
    look: Look | None
    attributes: dict[str, Any] = field(default_factory=dict)
    group: int = 0


@dataclass(frozen=True, slots=True)
class Item:
    """One image: its name without extension, its number where the file tells it."""

    name: str
    annotations: Sequence[ItemAnnotation]
    number: int | None = None


@dataclass(slots=True)
class _Gathered:
    """A track on its way: its shapes so far, and which of them are keyframes."""

    label: Label
    group: int
    shapes: list[tuple[Keyframe, bool]] = field(default_factory=list)


def collect_items(items: Sequence[Item], collector: Collector, *, tracks: bool) -> None:
    """Add the annotations of the images; without `tracks` the format has none.

    Raises:
        ImportFailedError: An image or a label is none of the task.
    """
    collector.find_root(item.name for item in items)
    gathered: dict[Any, _Gathered] = {}
    for item in items:
        frame = collector.frame(item.name, item.number)
        groups = _groups(item.annotations)
        for number, one in enumerate(item.annotations):
            try:
                _collect(
                    one, frame, groups.get(one.group, 0), collector, gathered if tracks else None
                )
            except (ImportFailedError, ValueError) as error:
                reason = str(error).removeprefix("ValueError: ").strip()
                raise ImportFailedError(
                    f"{IMPORT_ERROR}: Image {item.name}: can't import annotation "
                    f"#{number} ({one.kind}): {reason}\n"
                ) from error
    last = (collector.task.size or 1) - 1
    for track in gathered.values():
        keyframes = _keyframes(track.shapes, last)
        if keyframes:
            collector.add_track(track.label, keyframes, track.group)


def _groups(annotations: Iterable[ItemAnnotation]) -> dict[int, int]:
    """New numbers for the groups of an image that have more than one member."""
    members = Counter(one.group for one in annotations if one.group and one.look is not None)
    shared = sorted(group for group, count in members.items() if count > 1)
    return {group: number for number, group in enumerate(shared, start=1)}


def _collect(
    one: ItemAnnotation,
    frame: int,
    group: int,
    collector: Collector,
    gathered: dict[Any, _Gathered] | None,
) -> None:
    if one.label is None:
        raise ValueError("annotation has no label")
    label = collector.label(one.label)
    if one.look is None:
        collector.add_tag(frame, label, one.attributes, group)
        return
    rotation = float(one.attributes.get("rotation", one.look.rotation))
    look = dataclasses.replace(
        one.look,
        points=tuple(_single(number) for number in one.look.points),
        occluded=_is_true(one.attributes.get("occluded")),
        rotation=rotation % 360,
        attributes=one.attributes,
    )
    track_id = one.attributes.get("track_id")
    if gathered is None or track_id is None or "keyframe" not in one.attributes:
        collector.add_shape(frame, label, look, group)
        return
    track = gathered.setdefault(track_id, _Gathered(label, group))
    outside = _is_true(one.attributes.get("outside"))
    track.shapes.append((Keyframe(frame, outside, look), _is_true(one.attributes["keyframe"])))


def _keyframes(shapes: Iterable[tuple[Keyframe, bool]], last_frame: int) -> list[Keyframe]:
    """The keyframes of a track of which the file tells the frames where it is seen."""
    kept: list[Keyframe] = []
    before: Keyframe | None = None
    for shape, is_keyframe in sorted(shapes, key=lambda one: one[0].frame):
        was_seen = before is not None and not before.outside
        has_gap = before is not None and was_seen and before.frame + 1 < shape.frame
        if before is not None and has_gap:
            kept.append(dataclasses.replace(before, outside=True, frame=before.frame + 1))
        if was_seen == shape.outside or (not shape.outside and (has_gap or is_keyframe)):
            kept.append(shape)
        before = shape
    if before is not None and not before.outside and before.frame < last_frame:
        kept.append(dataclasses.replace(before, outside=True, frame=before.frame + 1))
    return kept


def _is_true(value: Any) -> bool:
    return str(value).lower() in ("true", "1", "1.0")


def _single(number: float) -> float:
    """Hundredths of a pixel in single precision, in which Datumaro keeps coordinates."""
    value: float
    (value,) = struct.unpack("f", struct.pack("f", round(number, 2)))
    return value


def import_failure(name: str) -> ImportFailedError:
    """What becomes of a file that Datumaro's reader of that name does not understand."""
    return ImportFailedError(
        f"datumaro.components.errors.DatasetImportError: Failed to import dataset '{name}'\n"
    )


def not_found(pattern: str) -> ImportFailedError:
    """What becomes of a zip in which there is nothing that the format has."""
    return ImportFailedError(
        "cvat.apps.dataset_manager.bindings.CvatDatasetNotFoundError: "
        f"dataset must contain a file matching pattern '{pattern}'\n"
    )
