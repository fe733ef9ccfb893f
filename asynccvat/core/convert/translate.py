"""Move annotations as JSON from one task to another, which may be on another server.

Labels are found by name and type, attributes by name, frames by name. Ids are left out, as CVAT
takes none in new annotations. All other fields stay as they are, those too that are not known here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from asynccvat.core.annotations.entries import entries_of, fields_of
from asynccvat.core.convert.task_json import step_of
from asynccvat.core.texts import first_few
from asynccvat.errors import ForeignAnnotationsError

Json = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class TaskSide:
    """One of two tasks.

    Attributes:
        labels: Its labels, as `GET /api/labels` lists them.
        media: What `GET /api/tasks/{id}/data/meta` says. None if that is not known: then frames
            keep their places.
    """

    labels: Sequence[Json]
    media: Json | None = None


def translate(annotations: bytes, source: TaskSide, target: TaskSide) -> bytes:
    """Return annotations as the other task takes them.

    Args:
        annotations: What `GET /api/tasks/{id}/annotations` says of the one task.
        source: That task.
        target: The task that is to have them.

    Raises:
        ForeignAnnotationsError: The target lacks a label, an attribute or a frame that they need.
            Or a track would move in another way there.
        TypeError: They are no object.
        UNREADABLE: They are no JSON.
    """
    translation = _Translation(_Labels(source.labels, target.labels), _Frames(source, target))
    fields = fields_of(annotations)
    if fields is None:
        raise TypeError("no object")
    found: dict[str, msgspec.Raw | list[msgspec.Raw]] = {**fields}
    for key in _LISTS & fields.keys():
        entries = entries_of(fields[key])
        if entries is None:
            raise TypeError(f"{key} is no list")
        found[key] = [
            msgspec.Raw(msgspec.json.encode(translation.annotation(msgspec.json.decode(one))))
            for one in entries
        ]
    translation.check()
    return msgspec.json.encode(found)


_LISTS = frozenset({"tags", "shapes", "tracks"})


@dataclass(slots=True)
class _Translation:
    """Translates annotations one by one, and notes what the target lacks."""

    labels: _Labels
    frames: _Frames
    lacking: dict[str, None] = field(default_factory=dict)

    def annotation(self, one: Json) -> dict[str, Any]:
        """Translate a tag, a shape, a track, or a part of one."""
        label = self.labels.target.get(one["label_id"])
        if label is None:
            name = self.labels.names.get(one["label_id"], f"number {one['label_id']}")
            self.lacking[f"the label {name}"] = None
        found = {**self._part(one, one["label_id"]), "label_id": label}
        if "elements" in one:
            found["elements"] = [self.annotation(element) for element in one["elements"]]
        if "shapes" in one:
            self._check_track(one)
            found["shapes"] = [self._part(shape, one["label_id"]) for shape in one["shapes"]]
        return found

    def _part(self, one: Json, label_id: int) -> dict[str, Any]:
        """Translate frame and attributes, which is all that a keyframe of a track has."""
        found = {key: value for key, value in one.items() if key != "id"}
        found["frame"] = self.frames.target(one["frame"])
        if found["frame"] is None:
            self.lacking[f"the frame {self.frames.name(one['frame'])}"] = None
        if "attributes" in one:
            found["attributes"] = [self._value(value, label_id) for value in one["attributes"]]
        return found

    def _value(self, value: Json, label_id: int) -> dict[str, Any]:
        spec = self.labels.attributes.get(value["spec_id"])
        # A label that is missing is named alone, without its attributes.
        if spec is None and self.labels.target.get(label_id) is not None:
            spec_name = self.labels.attribute_names.get(value["spec_id"], value["spec_id"])
            name = self.labels.names.get(label_id)
            self.lacking[f"the attribute {spec_name} of the label {name}"] = None
        return {**value, "spec_id": spec}

    def _check_track(self, track: Json) -> None:
        frames = [shape["frame"] for shape in track["shapes"]]
        if frames and not self.frames.keep_distance(min(frames), max(frames)):
            first, last = (self.frames.name(frame) for frame in (min(frames), max(frames)))
            self.lacking[f"the order of the frames from {first} to {last}"] = None

    def check(self) -> None:
        """Refuse if the target lacked anything."""
        if self.lacking:
            raise ForeignAnnotationsError(
                f"the annotations do not fit the task: it lacks {first_few(list(self.lacking))}. "
                "Choose a task with the same labels and images, or add what it lacks."
            )


class _Labels:
    """Which label and attribute of the target stands for each of the source, by id.

    Attributes:
        target: The label of the target for each label.
        attributes: The attribute of the target for each attribute.
        names: The name of each label of the source, quoted.
        attribute_names: The name of each attribute of the source, quoted.
    """

    def __init__(self, source: Iterable[Json], target: Iterable[Json]) -> None:
        self.target: dict[int, int] = {}
        self.attributes: dict[int, int] = {}
        self.names: dict[int, str] = {}
        self.attribute_names: dict[int, str] = {}
        self._match(source, target)

    def _match(self, source: Iterable[Json], target: Iterable[Json]) -> None:
        exact = {(label["name"], label.get("type")): label for label in target}
        for label in source:
            name, kind = label["name"], label.get("type")
            specs = label.get("attributes") or ()
            self.names[label["id"]] = repr(name)
            self.attribute_names |= {spec["id"]: repr(spec["name"]) for spec in specs}
            # A label of the type `any` takes every shape.
            found = exact.get((name, kind)) or exact.get((name, "any"))
            if found is not None:
                self.target[label["id"]] = found["id"]
                there = {spec["name"]: spec["id"] for spec in found.get("attributes") or ()}
                for spec in specs:
                    if spec["name"] in there:
                        self.attributes[spec["id"]] = there[spec["name"]]
            below = found.get("sublabels") if found is not None else None
            self._match(label.get("sublabels") or (), below or ())


class _Frames:
    """Which frame of the target stands for each of the source."""

    def __init__(self, source: TaskSide, target: TaskSide) -> None:
        self._names = None if source.media is None else _names(source.media)
        there = None if target.media is None else _names(target.media)
        self._count = None if there is None else len(there)
        self._places: dict[str, int] | None = None
        if self._names is not None and there is not None and self._names != there:
            self._places = {name: place for place, name in enumerate(there)}

    def target(self, frame: int) -> int | None:
        """Return the frame of the target, None if it has none."""
        if self._names is None:
            return frame if self._count is None or frame < self._count else None
        if self._places is None:
            return frame
        # A track may go on past the last frame of its task.
        past = max(frame - len(self._names) + 1, 0)
        found = self._places.get(self._names[frame - past])
        return None if found is None else found + past

    def name(self, frame: int) -> str:
        """Return the name of a frame for a message."""
        names = self._names
        return repr(names[frame]) if names is not None and frame < len(names) else str(frame)

    def keep_distance(self, first: int, last: int) -> bool:
        """Whether the frames from one to another follow each other at the target, too."""
        if self._places is None:
            return True
        start = self.target(first)
        return start is not None and all(
            self.target(frame) == start + frame - first for frame in range(first, last + 1)
        )


def _names(media: Json) -> list[str]:
    """Return the name of each frame. Those of a video are named by their number in it."""
    frames, size = media["frames"], media["size"]
    if len(frames) == size:
        return [frame["name"] for frame in frames]
    start, step = media["start_frame"], step_of(media["frame_filter"])
    return [f"number {start + place * step}" for place in range(size)]
