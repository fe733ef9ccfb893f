"""Check the text of the files of a mirror as JSON."""

from __future__ import annotations

import hashlib
import json
import tracemalloc
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from asynccvat.core.annotations.counts import read_task_annotations
from asynccvat.core.annotations.json_files import (
    NO_JOBS,
    annotations_of_job,
    is_own_annotations,
    jobs_digest,
    jobs_files,
    jobs_with_own_annotations,
    json_file,
    json_text,
)
from asynccvat.core.decoding import UNREADABLE

_TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
_NUMBERS = st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False)
_VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | _NUMBERS | _TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_TEXTS, inner, max_size=4),
    max_leaves=20,
)


@given(_VALUES)
def test_a_file_has_the_values_of_the_answer(value: Any) -> None:
    assert msgspec.json.decode(json_file(msgspec.json.encode(value))) == value


@given(st.dictionaries(_TEXTS, _VALUES, max_size=5), st.randoms(use_true_random=False))
def test_the_order_of_keys_in_an_answer_does_not_matter(value: dict[str, Any], random: Any) -> None:
    keys = list(value)
    random.shuffle(keys)
    assert json_text({key: value[key] for key in keys}) == json_text(value)


@given(_VALUES, st.sampled_from([None, 2]))
def test_a_file_does_not_depend_on_how_the_answer_is_written(
    value: Any, indent: int | None
) -> None:
    answer = json.dumps(value, indent=indent).encode()
    assert json_file(answer) == json_text(msgspec.json.decode(answer))


def test_a_file_and_its_counts_need_little_room_beside_the_answer() -> None:
    box = {"id": 1, "frame": 0, "points": [1.5, 2.25], "attributes": [{"spec_id": 1, "value": "a"}]}
    answer = msgspec.json.encode({"version": 0, "shapes": [box] * 20_000, "tracks": []})
    tracemalloc.start()
    try:
        json_file(answer)
        _, file_peak = tracemalloc.get_traced_memory()
        tracemalloc.reset_peak()
        read_task_annotations(1, answer)
        _, counts_peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    # The file itself, and a reference for each annotation.
    assert file_peak < 3.5 * len(answer)
    assert counts_peak < 1.5 * len(answer)


def test_each_annotation_has_a_line_of_its_own() -> None:
    one, two = {"id": 2, "frame": 0}, {"frame": 1, "id": 1}
    text = json_file(msgspec.json.encode({"version": 0, "shapes": [one, two], "tags": []}))
    assert text == (
        b'{\n"shapes": [\n{"frame":0,"id":2},\n{"frame":1,"id":1}\n],\n'
        b'"tags": [],\n"version": 0\n}\n'
    )


def test_a_list_of_numbers_stays_on_one_line() -> None:
    assert json_text({"deleted_frames": [3, 7]}) == b'{\n"deleted_frames": [3,7]\n}\n'


def test_an_empty_object_is_a_file_of_one_line() -> None:
    assert json_text({}) == b"{}\n"


@pytest.mark.parametrize(
    "answer", [b'{"shapes": [', b"{", b"", b'{"shapes": [{"a": "\xff"}]}', b'{"shapes": [{}}]}']
)
def test_what_is_no_json_is_refused(answer: bytes) -> None:
    with pytest.raises(UNREADABLE):
        json_file(answer)


def test_jobs_are_sorted_by_their_ids_within_their_tasks() -> None:
    jobs = [{"id": 9, "task_id": 1}, {"id": 4, "task_id": 2}, {"id": 3, "task_id": 1}, {"id": 5}]
    assert jobs_files(jobs) == {
        1: b'[\n{"id":3,"task_id":1},\n{"id":9,"task_id":1}\n]\n',
        2: b'[\n{"id":4,"task_id":2}\n]\n',
    }


def test_another_state_of_a_job_is_another_digest() -> None:
    new, done = ({"id": 1, "task_id": 1, "state": state} for state in ("new", "completed"))
    one, other = jobs_files([new])[1], jobs_files([done])[1]
    assert jobs_digest(one) == hashlib.sha256(one).hexdigest()
    assert jobs_digest(one) != jobs_digest(other)


def test_only_ground_truth_and_replicas_have_annotations_of_their_own() -> None:
    types = ("annotation", "ground_truth", "consensus_replica", None)
    jobs = [{"id": n, "task_id": 1, "type": kind} for n, kind in enumerate(types, start=1)]
    assert jobs_with_own_annotations(jobs_files(jobs)[1]) == (2, 3)
    assert jobs_with_own_annotations(NO_JOBS) == ()


def test_a_file_of_a_job_is_known_by_its_name() -> None:
    assert is_own_annotations(annotations_of_job(12))
    assert not any(map(is_own_annotations, ("annotations.json", "annotations-job0.json")))
