"""Compare two states of a task's annotations, as CVAT's JSON has them.

Annotations are matched by their ids if both states are of one server. Those that remain are matched
by their content. An annotation with the same id and other content is changed. Ids, the order of
annotations, and the order of their attributes are no content. Labels and attributes are compared by
their names.
"""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec

from asynccvat.core.decoding import UNREADABLE
from asynccvat.errors import AnnotationFileError

TAG: Final = "tag"
_LISTS: Final = ("tags", "shapes", "tracks")


class _Document(msgspec.Struct):
    tags: list[msgspec.Raw] = []
    shapes: list[msgspec.Raw] = []
    tracks: list[msgspec.Raw] = []


_DOCUMENT: Final = msgspec.json.Decoder(_Document)
_ENCODER: Final = msgspec.json.Encoder(order="sorted")
# What values raise that are not where CVAT's JSON has them.
_MALFORMED = (*UNREADABLE, AttributeError, IndexError, KeyError, TypeError)


@dataclass(frozen=True, slots=True)
class LabelNames:
    """The names of a task's labels and attributes, by their ids."""

    labels: Mapping[int, str] = field(default_factory=dict)
    attributes: Mapping[int, str] = field(default_factory=dict)

    @classmethod
    def read(cls, labels_json: bytes) -> LabelNames:
        """Read `labels.json`.

        Raises:
            AnnotationFileError: It is not what CVAT says of labels.
        """
        names = cls({}, {})
        try:
            names._add(msgspec.json.decode(labels_json))
        except _MALFORMED as error:
            raise AnnotationFileError(
                f"cannot compare: labels.json is not as expected: {error}. Mirror the task again."
            ) from error
        return names

    def _add(self, labels: Iterable[dict[str, Any]]) -> None:
        assert isinstance(self.labels, dict)
        assert isinstance(self.attributes, dict)
        for label in labels:
            self.labels[label["id"]] = label["name"]
            for one in label.get("attributes") or ():
                self.attributes[one["id"]] = one["name"]
            self._add(label.get("sublabels") or ())


class Annotation(msgspec.Struct, frozen=True, gc=False):
    """One annotation, as far as it is compared.

    Attributes:
        id: Its place in the document (`tags`, `shapes` or `tracks`) and its id, None without an id.
        label: Its label's name.
        frame: Its frame, the first one of a track.
        kind: `tag`, the type of a shape, or the type of a track's shapes with `track`.
        raw: Its JSON.
        digest: A digest of its content.
    """

    id: tuple[str, int] | None
    label: str
    frame: int
    kind: str
    raw: msgspec.Raw
    digest: bytes


@dataclass(frozen=True, slots=True)
class DifferingAnnotation:
    """One annotation that two states do not have alike.

    Attributes:
        label: Its label; of a changed one, that of the second state.
        frame: Its frame, the first one of a track.
        kind: `tag`, the type of a shape, or the type of a track's shapes with `track`.
        id: Its id, None without an id.
        fields: Of a changed one, what differs, such as `points`.
    """

    label: str
    frame: int
    kind: str
    id: int | None
    fields: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON types."""
        found: dict[str, Any] = {
            "label": self.label,
            "frame": self.frame,
            "kind": self.kind,
            "id": self.id,
        }
        return {**found, "fields": list(self.fields)} if self.fields else found


@dataclass(frozen=True, slots=True)
class DifferenceRow:
    """What differs of one label and one kind.

    Attributes:
        label: The label's name.
        kind: As of `DifferingAnnotation`.
        added: How many only the second state has.
        removed: How many only the first state has.
        changed: How many both have, with other content.
        frames: The frames of all of them, in order.
    """

    label: str
    kind: str
    added: int
    removed: int
    changed: int
    frames: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class AnnotationDifference:
    """How two states of a task's annotations differ.

    Attributes:
        added: What only the second state has, by frame.
        removed: What only the first state has, by frame.
        changed: What both have, with other content, by frame.
        unchanged: How many annotations are the same.
    """

    added: Sequence[DifferingAnnotation] = ()
    removed: Sequence[DifferingAnnotation] = ()
    changed: Sequence[DifferingAnnotation] = ()
    unchanged: int = 0

    @property
    def count(self) -> int:
        """How many annotations differ."""
        return len(self.added) + len(self.removed) + len(self.changed)

    @property
    def rows(self) -> list[DifferenceRow]:
        """What differs by label and kind, in their order."""
        lists = (self.added, self.removed, self.changed)
        added, removed, changed = (
            Counter((one.label, one.kind) for one in changes) for changes in lists
        )
        frames: defaultdict[tuple[str, str], set[int]] = defaultdict(set)
        for changes in lists:
            for one in changes:
                frames[one.label, one.kind].add(one.frame)
        return [
            DifferenceRow(*key, added[key], removed[key], changed[key], tuple(sorted(frames[key])))
            for key in sorted(frames)
        ]

    def __str__(self) -> str:
        """Return the numbers in words, like `2 added, 1 removed`."""
        named = (("added", self.added), ("removed", self.removed), ("changed", self.changed))
        return ", ".join(f"{len(one):,} {word}" for word, one in named if one) or "no difference"

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON types."""
        return {
            "unchanged": self.unchanged,
            "added": [one.to_json() for one in self.added],
            "removed": [one.to_json() for one in self.removed],
            "changed": [one.to_json() for one in self.changed],
        }


def read_annotations(raw: bytes, names: LabelNames) -> list[Annotation]:
    """Read annotations, to compare or to count them.

    Args:
        raw: CVAT's JSON: an object with `tags`, `shapes` and `tracks`.
        names: The labels that it means. Others are shown by their ids.

    Raises:
        AnnotationFileError: It is not that JSON.
    """
    try:
        document = _DOCUMENT.decode(raw)
        return [_read(place, one, names) for place in _LISTS for one in getattr(document, place)]
    except _MALFORMED as error:
        raise AnnotationFileError(
            f"cannot compare: it is not CVAT's JSON of annotations: {error}. Mirror the task again."
        ) from error


def _read(place: str, raw: msgspec.Raw, names: LabelNames) -> Annotation:
    value = msgspec.json.decode(raw)
    kind = TAG
    if place == "shapes":
        kind = str(value["type"])
    elif place == "tracks":
        kind = f"{value['shapes'][0]['type']} track" if value["shapes"] else "track"
    content = _ENCODER.encode([place, _content(value, names)])
    number = value.get("id")
    return Annotation(
        id=(place, number) if isinstance(number, int) else None,
        label=_label(value["label_id"], names),
        frame=int(value["frame"]),
        kind=kind,
        raw=raw,
        digest=hashlib.sha256(content).digest(),
    )


def _label(label_id: int, names: LabelNames) -> str:
    return names.labels.get(label_id, f"label {label_id}")


def _content(value: Mapping[str, Any], names: LabelNames) -> dict[str, Any]:
    """Return what counts of an annotation, a keyframe or a point of a skeleton."""
    found: dict[str, Any] = {}
    for key, item in value.items():
        if key == "id" or item is None:
            continue
        if key == "label_id":
            found["label"] = _label(item, names)
        elif key == "attributes":
            found[key] = sorted(
                [names.attributes.get(one["spec_id"], str(one["spec_id"])), one["value"]]
                for one in item
            )
        elif key in ("elements", "shapes"):
            found[key] = sorted((_content(one, names) for one in item), key=_ENCODER.encode)
        else:
            found[key] = _number(item)
    return found


def _number(value: Any) -> Any:
    """Return numbers so that 1 and 1.0 are one."""
    if isinstance(value, list):
        return [_number(one) for one in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def count_by_label(annotations: Iterable[Annotation]) -> Mapping[tuple[str, str], int]:
    """Return how many annotations there are of each label and kind, most first."""
    counts = Counter((one.label, one.kind) for one in annotations)
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def compare(
    before: Sequence[Annotation],
    after: Sequence[Annotation],
    names: tuple[LabelNames, LabelNames] = (LabelNames(), LabelNames()),
    *,
    by_id: bool = True,
) -> AnnotationDifference:
    """Compare two states of a task's annotations.

    Args:
        before: The first state.
        after: The second state.
        names: The labels of both, to say which fields differ.
        by_id: Whether ids may be compared, as those of one server may.
    """
    pairs, before, after = _matched(before, after, lambda one: one.id if by_id else None)
    same, removed, added = _matched(before, after, lambda one: one.digest)
    changed = [
        _change(new, _differing(old, new, names)) for old, new in pairs if old.digest != new.digest
    ]
    return AnnotationDifference(
        added=_in_order(map(_change, added)),
        removed=_in_order(map(_change, removed)),
        changed=_in_order(changed),
        unchanged=len(same) + len(pairs) - len(changed),
    )


_Matched = tuple[list[tuple[Annotation, Annotation]], list[Annotation], list[Annotation]]


def _matched(
    before: Iterable[Annotation], after: Iterable[Annotation], key: Callable[[Annotation], Any]
) -> _Matched:
    """Pair annotations that have the same key, each once. Those with the key None stay alone."""
    waiting: defaultdict[Any, deque[Annotation]] = defaultdict(deque)
    alone: list[Annotation] = []
    pairs, added = [], []
    for one in before:
        (alone if key(one) is None else waiting[key(one)]).append(one)
    for one in after:
        known = None if key(one) is None else waiting.get(key(one))
        if known:
            pairs.append((known.popleft(), one))
        else:
            added.append(one)
    return pairs, alone + [one for left in waiting.values() for one in left], added


def _change(one: Annotation, fields: tuple[str, ...] = ()) -> DifferingAnnotation:
    number = None if one.id is None else one.id[1]
    return DifferingAnnotation(one.label, one.frame, one.kind, number, fields)


def _differing(
    old: Annotation, new: Annotation, names: tuple[LabelNames, LabelNames]
) -> tuple[str, ...]:
    first, second = (
        _content(msgspec.json.decode(one.raw), known)
        for one, known in zip((old, new), names, strict=True)
    )
    return tuple(sorted(key for key in {*first, *second} if first.get(key) != second.get(key)))


def _in_order(changes: Iterable[DifferingAnnotation]) -> tuple[DifferingAnnotation, ...]:
    order = sorted(changes, key=lambda one: (one.frame, one.label, one.kind, one.id or 0))
    return tuple(order)
