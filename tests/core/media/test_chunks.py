"""Plans of the chunks of a task's media: names, versions, and what is fetched alone."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asynccvat.core.media.chunks import (
    FetchedChunk,
    MediaChunk,
    TaskMedia,
    encode_fetched,
    is_newer,
    left_out,
    noted_files,
    paths_of_members,
    read_task_media,
    single_frames,
)
from asynccvat.core.paths import NameRules
from asynccvat.core.records.receipts import MemberRecord
from asynccvat.errors import IntegrityError, ProtocolError, UnsafePathError

RULES = NameRules()


def meta(*names: str, **fields: Any) -> bytes:
    """What a server says of a task of images."""
    frames = [{"name": name, "width": 4, "height": 3, "related_files": 0} for name in names]
    told = {
        "size": len(names),
        "chunk_size": 2,
        "frames": frames,
        "deleted_frames": [],
        "included_frames": None,
        "chunks_updated_date": "2026-11-29T05:59:09.648264Z",
        "storage": "local",
        "cloud_storage_id": None,
    }
    return json.dumps({**told, **fields}).encode()


def media(*names: str, is_video: bool = False, **fields: Any) -> TaskMedia:
    return read_task_media(meta(*names, **fields), 7, is_video=is_video, rules=RULES)


# Chunks


def test_each_frame_goes_where_an_export_has_it() -> None:
    found = media("a.jpg", "x/b.jpg", "c.jpg")
    assert [chunk.paths for chunk in found.chunks] == [
        ("images/a.jpg", "images/x/b.jpg"),
        ("images/c.jpg",),
    ]
    assert [(chunk.number, chunk.first) for chunk in found.chunks] == [(0, 0), (1, 2)]


@pytest.mark.parametrize(
    "fields", [{"deleted_frames": [1]}, {"included_frames": [0, 2, 3]}], ids=str
)
def test_deleted_frames_are_left_out_and_count_in_their_chunk(fields: dict[str, Any]) -> None:
    found = media("a.jpg", "b.jpg", "c.jpg", "d.jpg", **fields)
    assert found.chunks[0].paths == ("images/a.jpg", None)
    assert found.paths == ("images/a.jpg", "images/c.jpg", "images/d.jpg")


def test_a_chunk_of_deleted_frames_alone_is_left_out() -> None:
    found = media("a.jpg", "b.jpg", "c.jpg", deleted_frames=[0, 1])
    assert [chunk.number for chunk in found.chunks] == [1]


def test_a_frame_that_repeats_a_name_is_left_out() -> None:
    found = media("a.jpg", "b.jpg", "a.jpg")
    assert found.paths == ("images/a.jpg", "images/b.jpg")


def test_a_video_has_a_file_for_each_chunk() -> None:
    found = media("v.mp4", is_video=True, size=5)
    assert found.paths == ("video/000000.mp4", "video/000001.mp4", "video/000002.mp4")


@pytest.mark.parametrize(
    "told",
    [meta("a.jpg", size=2), meta(size=None, frames=None), b"[", b'{"frames": [{}], "size": 1}'],
    ids=["too few", "no list", "no JSON", "no name"],
)
def test_media_that_the_server_does_not_name_are_refused(told: bytes) -> None:
    with pytest.raises(ProtocolError, match=r"media of task 7: the server does not say which"):
        read_task_media(told, 7, is_video=False, rules=RULES)


def test_without_a_size_of_chunks_there_is_one() -> None:
    assert len(media("a.jpg", "b.jpg", "c.jpg", chunk_size=None).chunks) == 1
    assert media(chunk_size=None).chunks == ()


@given(st.integers(0, 40), st.integers(1, 9), st.sets(st.integers(0, 39)))
def test_every_frame_that_is_not_deleted_is_in_one_chunk(
    size: int, length: int, deleted: set[int]
) -> None:
    names = [f"{number}.jpg" for number in range(size)]
    found = media(*names, chunk_size=length, deleted_frames=sorted(deleted))
    left = [f"images/{name}" for number, name in enumerate(names) if number not in deleted]
    assert list(found.paths) == left
    for chunk in found.chunks:
        assert chunk.first == chunk.number * length
        assert len(chunk.paths) == min(length, size - chunk.first)


# Names


@pytest.mark.parametrize("name", ["../a.jpg", "x/../../a.jpg"])
def test_names_that_lead_outside_are_refused(name: str) -> None:
    for do_map_names in (False, True):
        with pytest.raises(UnsafePathError):
            read_task_media(meta(name), 7, is_video=False, rules=RULES, do_map_names=do_map_names)


def test_names_that_the_disk_cannot_hold_are_mapped_if_that_is_wanted() -> None:
    told = meta("a\\b.jpg", "c.jpg")
    with pytest.raises(UnsafePathError):
        read_task_media(told, 7, is_video=False, rules=RULES)
    found = read_task_media(told, 7, is_video=False, rules=RULES, do_map_names=True)
    assert found.paths == ("images/a%5Cb.jpg", "images/c.jpg")
    assert found.originals == {"images/a%5Cb.jpg": "images/a\\b.jpg"}


# Versions


@pytest.mark.parametrize(
    "fields",
    [
        {"chunks_updated_date": "2026-11-30T00:00:00Z"},
        {"chunk_size": 3},
        {"frame_filter": "step=2"},
        {"start_frame": 1},
    ],
    ids=str,
)
def test_other_media_are_another_version(fields: dict[str, Any]) -> None:
    assert media("a.jpg", **fields).version != media("a.jpg").version
    assert media("b.jpg").version != media("a.jpg").version


def test_deleting_a_frame_changes_no_media() -> None:
    assert media("a.jpg", "b.jpg", deleted_frames=[1]).version == media("a.jpg", "b.jpg").version


@pytest.mark.parametrize(
    "fields",
    [{"chunks_updated_date": None}, {"storage": "cloud_storage"}, {"cloud_storage_id": 3}],
    ids=str,
)
def test_media_that_may_change_unnoticed_have_no_fingerprint(fields: dict[str, Any]) -> None:
    assert media("a.jpg", **fields).fingerprint is None
    assert media("a.jpg").fingerprint == media("a.jpg").version


@pytest.mark.parametrize(
    ("updated", "newer"),
    [
        (None, False),
        ("soon", False),
        ("2027-01-01T00:00:00", False),
        ("2026-11-29T05:59:09.648264Z", False),
        ("2026-11-01T00:00:00Z", False),
        ("2026-11-29T05:59:09.648265Z", True),
    ],
)
def test_a_chunk_of_newer_media_shows_in_its_date(updated: str | None, *, newer: bool) -> None:
    found = media("a.jpg")
    assert found.updated == datetime(2026, 11, 29, 5, 59, 9, 648264, tzinfo=UTC)
    assert is_newer(updated, found) is newer
    assert not is_newer(updated, replace(found, updated=None))


# Members


def test_members_are_assigned_by_their_numbers() -> None:
    chunk = MediaChunk(1, 2, ("images/a.jpg", None, "images/c.png"))
    names = ["000002.png", "000000.jpg", "000001.jpg"]
    assert paths_of_members(names, chunk) == ["images/c.png", "images/a.jpg", None]


@pytest.mark.parametrize(
    "names",
    [
        ["000000.jpg"],
        ["000000.jpg", "000002.jpg"],
        ["000000.jpg", "000000.png"],
        ["000000.jpg", "000001.jpg", "000002.jpg"],
        ["000000.jpg", "x/000001.jpg"],
        ["a.jpg", "b.jpg"],
    ],
)
def test_a_chunk_with_other_frames_is_refused(names: list[str]) -> None:
    chunk = MediaChunk(1, 2, ("images/a.jpg", "images/b.jpg"))
    with pytest.raises(IntegrityError, match=r"chunk 1 .* 2 frames from 2 on"):
        paths_of_members(names, chunk)


# Single frames


def test_few_missing_frames_are_fetched_one_by_one() -> None:
    paths = tuple(f"images/{number}.jpg" for number in range(16))
    chunk = MediaChunk(2, 32, paths)
    assert single_frames(chunk, {"images/3.jpg", "images/9.jpg"}) == {
        35: "images/3.jpg",
        41: "images/9.jpg",
    }
    assert single_frames(chunk, set(paths[:3])) == {}


def test_frames_that_cvat_may_encode_come_in_their_chunk() -> None:
    chunk = MediaChunk(0, 0, ("images/a.tif", *(f"images/{n}.jpg" for n in range(9))))
    assert single_frames(chunk, {"images/a.tif"}) == {}
    video = MediaChunk(0, 0, ("video/000000.mp4",), is_video=True)
    assert single_frames(video, {"video/000000.mp4"}) == {}


# Notes

RECORDS = st.lists(
    st.builds(MemberRecord, st.text(max_size=9), st.integers(0, 9), st.integers(0, 9), st.just(1)),
    max_size=4,
).map(tuple)


@given(st.lists(st.tuples(st.sampled_from("ab"), RECORDS), max_size=5), st.integers(0, 400))
def test_notes_of_a_killed_run_are_read_up_to_the_torn_line(
    chunks: list[tuple[str, tuple[MemberRecord, ...]]], cut: int
) -> None:
    lines = [encode_fetched(FetchedChunk(*chunk)) for chunk in chunks]
    expected: dict[str, MemberRecord] = {}
    whole = b""
    for line, (fingerprint, records) in zip(lines, chunks, strict=True):
        whole += line
        if len(whole) - 1 <= cut and fingerprint == "a":
            expected |= {one.path: one for one in records}
    assert noted_files(whole[:cut], "a") == expected


# What is told


def test_users_are_told_what_is_not_as_it_was_uploaded() -> None:
    assert left_out(media("a.jpg")) == ()
    frames = [{"name": "a.tiff", "related_files": 2}, {"name": "b.tif", "related_files": 1}]
    tiff, related = left_out(media(size=2, frames=frames))
    assert tiff.startswith("2 images are TIFF")
    assert related.startswith("3 files that belong")
