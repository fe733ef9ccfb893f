"""Receipts as they stand on disk."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from asynccvat.core.models import Task
from asynccvat.core.records.receipts import (
    MemberRecord,
    Receipt,
    ReceiptHead,
    after_upload,
    decode_head,
    decode_receipt,
    encode_receipt,
    format_version,
    moved_head,
)
from asynccvat.core.specs import ExportSpec
from asynccvat.errors import StoreError

TEXT = st.text(st.characters(codec="utf-8"), max_size=20)
MEMBERS = st.builds(
    MemberRecord,
    TEXT,
    st.integers(0, 2**62),
    st.integers(0, 2**32 - 1),
    st.integers(0, 2**62),
    st.none() | TEXT,
)


def receipt_of(members: tuple[MemberRecord, ...], name: str = "a task") -> Receipt:
    head = ReceiptHead(
        task_id=7,
        task_name=name,
        folder="task7",
        format="COCO 1.0",
        images=True,
        updated_date="2026-01-01T00:00:00Z",
        origin="https://cvat.example.com",
        digest="d",
        files=len(members),
        bytes=sum(member.size for member in members),
        requested_at="r",
        committed_at="c",
    )
    return Receipt(head, members)


@given(st.lists(MEMBERS, max_size=5).map(tuple), TEXT)
def test_what_was_written_is_read_again(members: tuple[MemberRecord, ...], name: str) -> None:
    receipt = receipt_of(members, name)
    content = encode_receipt(receipt)
    assert decode_receipt(content) == receipt
    assert decode_head(content.split(b"\n", 1)[0]) == receipt.head
    assert content.count(b"\n") == 1 + len(members)


@given(st.data())
def test_a_receipt_that_was_cut_anywhere_is_damaged(data: st.DataObject) -> None:
    content = encode_receipt(receipt_of((MemberRecord("a", 1, 2, 3), MemberRecord("b", 4, 5, 6))))
    cut = data.draw(st.integers(0, len(content) - 1))
    with pytest.raises(StoreError, match="damaged receipt"):
        decode_receipt(content[:cut])


def test_a_member_that_is_no_record_is_damage() -> None:
    content = encode_receipt(receipt_of((MemberRecord("a", 1, 2, 3),)))
    with pytest.raises(StoreError, match="damaged receipt"):
        decode_receipt(content.replace(b'["a",1,2,3]', b'["a",1,2,"3"]'))


def test_a_moved_folder_has_the_lowest_version_that_knows_its_name() -> None:
    receipt = receipt_of((MemberRecord("a", 1, 2, 3),))
    moved = moved_head(receipt, "Street/7", content="now")
    assert (moved.version, moved.folder, moved.content) == (4, "Street/7", "now")
    assert (moved.task_name, moved.updated_date) == ("a task", receipt.head.updated_date)
    back = moved_head(Receipt(moved, receipt.members), "task7", content="later")
    assert back == msgspec.structs.replace(receipt.head, content="now")


def test_a_renamed_task_brings_its_name_project_and_date() -> None:
    renamed = Task(id=7, name="left", project_id=5, updated_date="v9")
    moved = moved_head(receipt_of(()), "left-7", renamed)
    assert (moved.task_name, moved.project_id, moved.updated_date) == ("left", 5, "v9")


def test_an_empty_line_in_place_of_a_member_is_damage() -> None:
    content = encode_receipt(receipt_of((MemberRecord("a", 1, 2, 3), MemberRecord("b", 4, 5, 6))))
    with pytest.raises(StoreError, match="lists 1 of 2 members"):
        decode_receipt(content.replace(b'["a",1,2,3]', b""))


@pytest.mark.parametrize("text", [b"a task", b"a.jpg"])
def test_bytes_that_are_no_utf8_are_damage(text: bytes) -> None:
    content = encode_receipt(receipt_of((MemberRecord("a.jpg", 1, 2, 3),)))
    with pytest.raises(StoreError, match="damaged receipt"):
        decode_receipt(content.replace(text, b"\xff" + text[1:]))


def test_a_receipt_of_a_newer_version_is_refused_with_a_word() -> None:
    head = msgspec.structs.replace(receipt_of(()).head, version=99)
    with pytest.raises(StoreError, match=r"version 99, .* reads up to 4: upgrade asynccvat"):
        decode_head(msgspec.json.encode(head))


def test_so_is_one_whose_other_keys_have_other_forms() -> None:
    with pytest.raises(StoreError, match=r"version 5, .* upgrade asynccvat"):
        decode_head(b'{"version":5,"task":{"id":7}}')


def test_receipts_of_version_1_are_read_for_ever() -> None:
    head = decode_head(
        b'{"version":1,"task_id":7,"task_name":"a task","folder":"task7","format":"COCO 1.0",'
        b'"images":true,"updated_date":"u","origin":"https://cvat.example.com",'
        b'"organization":"team","digest":"d","media":"m","files":1,"bytes":1,"requested_at":"r",'
        b'"committed_at":"c","uploaded_at":null,"uploaded":["a"],"device":3,"inode":4}'
    )
    assert (head.media_fingerprint, head.organization, head.uploaded) == ("m", "team", ("a",))
    assert b'"media":"m"' in msgspec.json.encode(head)


def test_a_head_knows_what_it_was_made_with() -> None:
    head = receipt_of(()).head
    assert head.is_made_as(ExportSpec("COCO 1.0", images=True))
    assert not head.is_made_as(ExportSpec("COCO 1.0"))
    assert not head.is_made_as(ExportSpec("YOLO 1.1", images=True))
    assert head.may_be_made_as(ExportSpec("COCO 1.0", images=True))
    assert not head.may_be_made_as(ExportSpec(images=True))
    video = msgspec.structs.replace(head, format="CVAT for video 1.1")
    assert video.may_be_made_as(ExportSpec(images=True))
    assert not video.may_be_made_as(ExportSpec())
    assert not video.is_made_as(ExportSpec(images=True).for_mode("annotation"))


def test_a_receipt_with_mapped_names_has_both_and_a_version_of_its_own() -> None:
    plain = MemberRecord("a.jpg", 1, 2, 3)
    mapped = MemberRecord("b%5Cc.jpg", 4, 5, 6, "b\\c.jpg")
    assert (format_version([plain]), format_version([plain, mapped])) == (1, 2)
    content = encode_receipt(receipt_of((plain, mapped)))
    assert b'\n["a.jpg",1,2,3]\n["b%5Cc.jpg",4,5,6,"b\\\\c.jpg"]\n' in content
    assert decode_receipt(content).members == (plain, mapped)
    assert (plain.original, mapped.original) == ("a.jpg", "b\\c.jpg")


def test_an_upload_keeps_the_original_name_of_a_mapped_member() -> None:
    mapped = MemberRecord("b%5Cc.txt", 4, 5, 6, "b\\c.txt")
    uploaded = MemberRecord("b%5Cc.txt", 9, 8, 7)
    noted = after_upload(receipt_of((mapped,)), [uploaded], at="now", updated_date=None)
    assert noted.members == (MemberRecord("b%5Cc.txt", 9, 8, 7, "b\\c.txt"),)
