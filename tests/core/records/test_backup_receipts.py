"""Receipts of backups: what is written is read again, and nothing else is taken for one."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from asynccvat.core.records.backups import (
    BackupReceipt,
    PartRecord,
    TargetState,
    backup_folder,
    decode_backup,
    decode_backup_head,
    decode_part,
    encode_backup,
    encode_part,
    is_stamp,
    moment_of,
    stamp_of,
    target_of,
)
from asynccvat.core.records.receipts import MemberRecord
from asynccvat.core.targets import TargetKind
from asynccvat.errors import StoreError

STATE = TargetState(updated_date="v1", jobs="j", media="m", frames=5, job_count=1)
MEMBERS = (MemberRecord("task.json", 3, 7, 0), MemberRecord("data/a b.jpg", 5, 9, 0))
PART = PartRecord(
    result_url="/api/x",
    etag='"1"',
    total=9,
    lightweight=False,
    state=STATE,
    requested_at="2026-11-29T03:12:00+00:00",
)


def receipt(**changes: Any) -> BackupReceipt:
    given: dict[str, Any] = {
        "target": TargetKind.TASK,
        "id": 147,
        "name": "street",
        "file": "task147/2026-11-29T031200Z.zip",
        "size": 100,
        "digest": "0",
        "files": 2,
        "bytes": 8,
        "lightweight": False,
        "state": STATE,
        "origin": "https://cvat.example.com",
        "requested_at": "2026-11-29T03:12:00.5+00:00",
        "committed_at": "2026-11-29T03:13:00+00:00",
    }
    return BackupReceipt(**(given | changes))


def test_a_receipt_is_read_as_it_was_written() -> None:
    content = encode_backup(receipt(), MEMBERS)

    assert content.count(b"\n") == 3
    assert decode_backup(content) == (receipt(), MEMBERS)
    assert decode_backup_head(content.partition(b"\n")[0]) == receipt()
    assert (receipt().folder, receipt().stamp) == ("task147", "2026-11-29T031200Z")
    assert receipt().a_second_later().file == "task147/2026-11-29T031201Z.zip"


@given(st.data())
def test_a_receipt_that_was_cut_is_no_receipt(data: st.DataObject) -> None:
    content = encode_backup(receipt(), MEMBERS)
    length = data.draw(st.integers(0, len(content) - 1))

    with pytest.raises(StoreError, match="damaged receipt"):
        decode_backup(content[:length])


def test_a_receipt_with_a_damaged_member_is_no_receipt() -> None:
    content = encode_backup(receipt(), MEMBERS).replace(b'"task.json"', b"7")

    with pytest.raises(StoreError, match="damaged receipt"):
        decode_backup(content)


@pytest.mark.parametrize(
    "file",
    [
        "task148/2026-11-29T031200Z.zip",
        "project147/2026-11-29T031200Z.zip",
        "task147/../2026-11-29T031200Z.zip",
        "../task147/2026-11-29T031200Z.zip",
        "task147/mine.zip",
        "task147/2026-11-29T031200Z",
    ],
)
def test_a_receipt_that_names_another_file_is_no_receipt(file: str) -> None:
    with pytest.raises(StoreError, match="damaged receipt: it names"):
        decode_backup_head(msgspec.json.encode(receipt(file=file)))


def test_a_newer_receipt_asks_for_an_upgrade() -> None:
    with pytest.raises(StoreError, match="upgrade asynccvat"):
        decode_backup_head(b'{"version":2,"other":1}')


def test_where_bytes_came_from_is_read_as_it_was_written() -> None:
    assert decode_part(encode_part(PART)) == PART
    assert decode_part(None) is None
    assert decode_part(encode_part(PART)[:-9]) is None
    assert decode_part(encode_part(msgspec.structs.replace(PART, version=2))) is None


@given(st.sampled_from([TargetKind.TASK, TargetKind.PROJECT]), st.integers(1, 10**9))
def test_a_folder_names_its_target(target: TargetKind, target_id: int) -> None:
    assert target_of(backup_folder(target, target_id)) == (target, target_id)


@pytest.mark.parametrize(
    "name", ["task", "task0", "task07", "task1x", "job5", "Task5", "", "task1\u0661"]
)
def test_other_folders_are_of_no_target(name: str) -> None:
    assert target_of(name) is None


def test_a_backup_is_named_by_its_moment_in_utc() -> None:
    assert stamp_of("2026-11-29T03:12:00.9+02:00") == "2026-11-29T011200Z"
    assert moment_of("2026-11-29T031200Z") == "2026-11-29T03:12:00Z"
    assert is_stamp("2026-11-29T031200Z")
    assert not is_stamp("2026-11-29T03:12:00Z")
