"""Compare two states of a task's annotations."""

from __future__ import annotations

import copy
import json
import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asynccvat.core.annotations.comparisons import (
    AnnotationComparison,
    AnnotationLog,
    AnnotationLogEntry,
    TaskAnnotationDifference,
)
from asynccvat.core.annotations.difference import (
    AnnotationDifference,
    DifferenceRow,
    LabelNames,
    compare,
    count_by_label,
    read_annotations,
)
from asynccvat.errors import AnnotationFileError

LABELS = [
    {"id": 1, "name": "car", "attributes": [{"id": 5, "name": "parked"}]},
    {"id": 2, "name": "person", "sublabels": [{"id": 3, "name": "head"}]},
]
NAMES = LabelNames.read(json.dumps(LABELS).encode())

Document = dict[str, Any]


def shape(number: int | None, label: int = 1, frame: int = 0, **more: Any) -> dict[str, Any]:
    base = {"label_id": label, "frame": frame, "type": "rectangle", "points": [0, 0, 9, 9]}
    return {**base, **({} if number is None else {"id": number}), **more}


def differing(before: Document, after: Document, *, by_id: bool = True) -> AnnotationDifference:
    states = [read_annotations(json.dumps(one).encode(), NAMES) for one in (before, after)]
    return compare(states[0], states[1], (NAMES, NAMES), by_id=by_id)


def shapes(*given: dict[str, Any]) -> Document:
    return {"version": 0, "tags": [], "tracks": [], "shapes": given}


def test_what_is_added_removed_and_changed_is_told_by_label_and_frame() -> None:
    found = differing(
        shapes(shape(1), shape(2, frame=3), shape(3, label=2, frame=4)),
        shapes(shape(1), shape(2, frame=3, points=[1, 1, 9, 9]), shape(9, label=2, frame=7)),
    )
    assert found.rows == [
        DifferenceRow("car", "rectangle", 0, 0, 1, (3,)),
        DifferenceRow("person", "rectangle", 1, 1, 0, (4, 7)),
    ]
    assert [one.fields for one in found.changed] == [("points",)]
    assert (found.count, found.unchanged) == (3, 1)
    assert str(found) == "1 added, 1 removed, 1 changed"
    assert found.to_json()["changed"] == [
        {"label": "car", "frame": 3, "kind": "rectangle", "id": 2, "fields": ["points"]}
    ]
    assert found.to_json()["added"] == [
        {"label": "person", "frame": 7, "kind": "rectangle", "id": 9}
    ]


def test_another_label_frame_or_attribute_is_a_change() -> None:
    values = [{"spec_id": 5, "value": "yes"}]
    for more in ({"label": 2}, {"frame": 2}, {"attributes": values}):
        (one,) = differing(shapes(shape(1)), shapes(shape(1, **more))).changed
        assert one.fields == (next(iter(more)),)


def test_ids_of_different_servers_are_not_compared() -> None:
    before, after = shapes(shape(1), shape(2, frame=1)), shapes(shape(2), shape(1, frame=1))
    assert differing(before, after).count == 2
    assert differing(before, after, by_id=False) == AnnotationDifference(unchanged=2)


def test_annotations_without_ids_are_matched_by_content_each_once() -> None:
    found = differing(shapes(shape(None), shape(None)), shapes(shape(None), shape(4)))
    assert found == AnnotationDifference(unchanged=2)
    assert len(differing(shapes(shape(None), shape(None)), shapes(shape(None))).removed) == 1


def test_numbers_nulls_and_the_order_of_attributes_are_no_difference() -> None:
    values = [{"spec_id": 5, "value": "a"}, {"spec_id": 6, "value": "b"}]
    before = shape(1, points=[0, 0.0, 9, 9.5], group=None, attributes=values)
    after = shape(2, points=[0.0, 0, 9.0, 9.5], attributes=values[::-1])
    assert differing(shapes(before), shapes(after)).count == 0


def test_kinds_are_tags_types_and_tracks() -> None:
    document = {
        "tags": [{"id": 1, "label_id": 1, "frame": 0}],
        "shapes": [shape(1, type="mask")],
        "tracks": [
            {"id": 1, "label_id": 2, "frame": 0, "shapes": [shape(7, type="polygon")]},
            {"id": 2, "label_id": 9, "frame": 0, "shapes": []},
        ],
    }
    counts = count_by_label(read_annotations(json.dumps(document).encode(), NAMES))
    assert counts == {
        ("car", "mask"): 1,
        ("car", "tag"): 1,
        ("label 9", "track"): 1,
        ("person", "polygon track"): 1,
    }


def test_labels_of_two_servers_are_compared_by_name() -> None:
    other = LabelNames.read(json.dumps([{"id": 70, "name": "car", "attributes": None}]).encode())
    before = read_annotations(json.dumps(shapes(shape(1))).encode(), NAMES)
    after = read_annotations(json.dumps(shapes(shape(1, label=70))).encode(), other)
    assert compare(before, after, (NAMES, other), by_id=False).count == 0


@pytest.mark.parametrize("raw", [b"", b'{"shapes": 5}', b'{"shapes": [{}]}', b'{"tags":[3]}'])
def test_anything_else_is_no_annotations(raw: bytes) -> None:
    with pytest.raises(AnnotationFileError, match="it is not CVAT's JSON of annotations"):
        read_annotations(raw, NAMES)


@pytest.mark.parametrize("raw", [b"", b"5", b'[{"id": 1}]', b"[3]"])
def test_labels_that_cannot_be_read_are_named(raw: bytes) -> None:
    with pytest.raises(AnnotationFileError, match=r"labels\.json is not as expected"):
        LabelNames.read(raw)


numbers = st.integers(1, 5)
some_shapes = st.builds(
    lambda number, label, frame, points, elements: shape(
        number, label, frame, points=points, elements=[shape(None, 3, 0)] * elements
    ),
    numbers,
    st.sampled_from([1, 2]),
    st.integers(0, 2),
    st.lists(st.sampled_from([0, 0.5, 7.0]), max_size=2),
    st.integers(0, 1),
)
some_tracks = st.builds(
    lambda number, keyframes: {"id": number, "label_id": 1, "frame": 0, "shapes": keyframes},
    numbers,
    st.lists(some_shapes, max_size=2),
)
documents = st.fixed_dictionaries(
    {
        "tags": st.lists(
            st.builds(lambda n, frame: {"id": n, "label_id": 2, "frame": frame}, numbers, numbers),
            max_size=3,
        ),
        "shapes": st.lists(some_shapes, max_size=5),
        "tracks": st.lists(some_tracks, max_size=3),
    }
)


def total(document: Document) -> int:
    return sum(len(document[place]) for place in ("tags", "shapes", "tracks"))


@given(documents, st.booleans())
def test_a_state_does_not_differ_from_itself(document: Document, by_id: bool) -> None:
    found = differing(document, document, by_id=by_id)
    assert found == AnnotationDifference(unchanged=total(document))
    assert found.rows == []
    assert str(found) == "no difference"


@given(documents, documents, st.booleans())
def test_each_annotation_is_told_once(before: Document, after: Document, by_id: bool) -> None:
    found = differing(before, after, by_id=by_id)
    both = len(found.changed) + found.unchanged
    assert total(before) == both + len(found.removed)
    assert total(after) == both + len(found.added)


@given(documents, documents)
def test_the_way_back_is_the_opposite(before: Document, after: Document) -> None:
    there = differing(before, after, by_id=False)
    back = differing(after, before, by_id=False)
    assert not there.changed
    assert [one.to_json() for one in there.added] == [one.to_json() for one in back.removed]


def renumbered(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: one + 1000 if key == "id" else renumbered(one) for key, one in value.items()}
    return [renumbered(one) for one in value] if isinstance(value, list) else value


@given(documents, st.randoms(use_true_random=False))
def test_new_ids_and_another_order_are_no_difference(
    document: Document, chance: random.Random
) -> None:
    other = renumbered(copy.deepcopy(document))
    for place in other.values():
        chance.shuffle(place)
    assert differing(document, other).count == 0


def test_a_log_as_json_has_counts_and_differences() -> None:
    change = differing(shapes(), shapes(shape(1)))
    first = AnnotationLogEntry("2026-01-01", "v1", {("car", "rectangle"): 2})
    log = AnnotationLog("raw", 7, "seven", [first, AnnotationLogEntry("b", None, {}, change, "x")])
    shown = log.to_json()
    assert shown["task"] == {"id": 7, "name": "seven"}
    assert shown["entries"][0] == {
        "since": "2026-01-01",
        "version": "v1",
        "annotations": 2,
        "counts": [{"label": "car", "kind": "rectangle", "annotations": 2}],
        "difference": None,
        "why": None,
    }
    assert shown["entries"][1]["difference"] == change.to_json()


def test_a_comparison_is_the_same_only_if_all_could_be_compared() -> None:
    same = TaskAnnotationDifference("a", AnnotationDifference(unchanged=1))
    failed = TaskAnnotationDifference("b", None, "gone")
    differs = TaskAnnotationDifference("c", differing(shapes(), shapes(shape(1))))
    assert AnnotationComparison("x", "y", [same]).is_same
    assert not AnnotationComparison("x", "y", [same, failed]).is_same
    assert not AnnotationComparison("x", "y", [same, differs]).is_same
    assert not AnnotationComparison("x", "y", [], ["z"]).is_same
    found = AnnotationComparison("x", "y", [same, failed], (), ["z"])
    assert found.failed == [failed]
    assert found.to_json() == {
        "version": 1,
        "first": "x",
        "second": "y",
        "same": False,
        "only_first": [],
        "only_second": ["z"],
        "tasks": [
            {"folder": "a", "why": None, "unchanged": 1, "added": [], "removed": [], "changed": []},
            {"folder": "b", "why": "gone"},
        ],
    }
