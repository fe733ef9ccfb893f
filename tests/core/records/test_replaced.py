"""States that were replaced: their names and order, which of them stay, and what is put back."""

from __future__ import annotations

import json
import tracemalloc
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asynccvat.core.records.replaced import (
    NEWEST,
    LastUpload,
    ReplacedState,
    content_digest,
    decode_last_upload,
    encode_last_upload,
    in_pieces,
    next_state,
    replaced_states,
    superfluous,
    to_put_back,
)
from asynccvat.errors import StoreError

NOW = datetime(2026, 1, 1, 2, 0, 0, 5, tzinfo=UTC)
BOX = {
    "id": 5,
    "type": "rectangle",
    "frame": 0,
    "label_id": 1,
    "points": [1.0, 2.0, 3.5, 4.0],
    "attributes": [{"spec_id": 3, "value": "id"}],
    "elements": [{"id": 6, "type": "points", "points": [1.0, 1.0]}],
}
TRACK = {"id": 7, "frame": 0, "label_id": 1, "shapes": [{"id": 8, "frame": 0}], "elements": []}


def document(*shapes: dict[str, Any], tracks: tuple[dict[str, Any], ...] = ()) -> bytes:
    return json.dumps({"version": 0, "tags": [], "shapes": shapes, "tracks": tracks}).encode()


@given(
    st.lists(st.timedeltas(timedelta(-365), timedelta(365)), max_size=30),
    st.lists(st.booleans(), min_size=30, max_size=30),
)
def test_each_state_is_newer_than_all_before_it_and_persons_work_stays(
    clock: list[timedelta], own: list[bool]
) -> None:
    names: list[str] = ["147.last-upload.json", "148-20260101T020000.000000Z.json", "notes.txt"]
    made: list[ReplacedState] = []
    for moment, is_own in zip(clock, own, strict=False):
        states = replaced_states(names, 147)
        state = next_state(states, 147, now=NOW + moment, own=is_own)
        made.append(state)
        names.append(state.name)
        for old in superfluous((state, *states)):
            assert old.own
            names.remove(old.name)
    left = replaced_states(names, 147)
    assert list(left) == sorted(left, key=lambda one: one.at, reverse=True)
    assert left[:NEWEST] == tuple(reversed(made))[:NEWEST]
    assert {one for one in made if not one.own} <= set(left)
    assert len([one for one in left if one.own]) <= NEWEST


def test_a_name_tells_task_time_and_whose_state_it_is() -> None:
    state = next_state((), 147, now=NOW, own=False)
    assert state.name == "147-20260101T020000.000005Z.json"
    own = next_state((state,), 147, now=NOW - timedelta(days=1), own=True)
    assert own.name == "147-20260101T020000.000006Z.own.json"
    assert replaced_states([state.name, own.name], 147) == (own, state)
    assert replaced_states(["147-20261301T020000.000005Z.json", "x"], 147) == ()


def test_ids_are_removed_at_every_depth_and_nothing_else_is() -> None:
    put = json.loads(to_put_back(document(BOX, tracks=(TRACK,))))
    (box,), (track,) = put["shapes"], put["tracks"]
    assert "id" not in box
    assert box["elements"] == [{"type": "points", "points": [1.0, 1.0]}]
    assert box["attributes"] == BOX["attributes"]
    assert track == {"frame": 0, "label_id": 1, "shapes": [{"frame": 0}], "elements": []}


def test_a_digest_ignores_ids_and_order_and_sees_everything_else() -> None:
    other = {**BOX, "frame": 1}
    digest = content_digest(document(BOX, other))
    renumbered = {**BOX, "id": 99, "points": [1, 2, 3.5, 4]}
    assert content_digest(document(other, renumbered)) == digest
    assert content_digest(document(BOX)) != digest
    assert content_digest(document(BOX, {**other, "points": [2.0, 1.0, 3.5, 4.0]})) != digest
    assert content_digest(document(BOX, {**other, "attributes": []})) != digest


def test_a_digest_is_that_of_earlier_versions() -> None:
    content = {"version": 0, "shapes": [BOX, {**BOX, "frame": 1}], "tracks": [TRACK], "id": 3}
    plain = json.dumps(
        {
            "shapes": [_without_ids({**BOX, "frame": frame}) for frame in (0, 1)],
            "tracks": [_without_ids(TRACK)],
            "version": 0,
        },
        separators=(",", ":"),
        sort_keys=True,
    ).replace(".0", "")
    assert content_digest(json.dumps(content).encode()) == sha256(plain.encode()).hexdigest()


def _without_ids(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_ids(one) for key, one in value.items() if key != "id"}
    return [_without_ids(one) for one in value] if isinstance(value, list) else value


@pytest.mark.parametrize("content", [b"[1, 2.0]", b'"a"', b"{}", b'{"id": 1}', b'{"a": null}'])
def test_other_json_is_taken_as_it_is(content: bytes) -> None:
    assert json.loads(to_put_back(content)) == _without_ids(json.loads(content))
    assert content_digest(content) == content_digest(to_put_back(content))


@pytest.mark.parametrize("read", [content_digest, to_put_back, lambda raw: in_pieces(raw, 1 << 20)])
def test_many_annotations_need_little_room_beside_their_json(read: Callable[[bytes], Any]) -> None:
    content = document(*[BOX] * 20_000)
    tracemalloc.start()
    try:
        read(content)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 4 * len(content)


def test_recorded_annotations_keep_their_digest_when_they_are_put_back(shared: Path) -> None:
    recorded = sorted((shared / "contract/exports-2.64").glob("*_raw.json"))
    assert recorded
    for path in recorded:
        raw = json.dumps(json.loads(path.read_text("utf-8"))["annotations"]).encode()
        put = to_put_back(raw)
        assert b'"id":' not in put
        assert content_digest(put) == content_digest(raw)


@given(st.integers(0, 40), st.integers(100, 5_000))
def test_pieces_are_short_and_hold_everything_once(count: int, most: int) -> None:
    shapes = [{**BOX, "frame": frame} for frame in range(count)]
    content = document(*shapes, tracks=(TRACK,))
    pieces = in_pieces(content, most)
    assert all(len(piece) <= most or _annotations(piece) == 1 for piece in pieces)
    assert sum(map(_annotations, pieces)) == count + 1
    assert all({"tags", "shapes", "tracks"} <= json.loads(piece).keys() for piece in pieces)
    frames = [shape["frame"] for piece in pieces for shape in json.loads(piece)["shapes"]]
    assert frames == list(range(count))
    assert len(in_pieces(content, 1 << 20)) == 1


def _annotations(piece: bytes) -> int:
    return sum(len(json.loads(piece)[kind]) for kind in ("tags", "shapes", "tracks"))


@pytest.mark.parametrize("damaged", [b"", b"{", b"\xff", b"[" * 5000])
def test_damaged_annotations_are_an_error(damaged: bytes) -> None:
    with pytest.raises(StoreError, match="damaged annotations"):
        content_digest(damaged)


def test_an_unreadable_note_of_the_last_upload_counts_as_none() -> None:
    last = LastUpload(digest="d", at="now")
    assert decode_last_upload(encode_last_upload(last)) == last
    for unknown in (None, b"", b"{}", b'{"version":2,"digest":"d","at":"now"}'):
        assert decode_last_upload(unknown) is None
