"""The note of rules that an audit found wrong: what it says, and what damages it."""

from __future__ import annotations

import pytest

from asynccvat.core.records.distrusted_rules import (
    DistrustedRules,
    decode_distrusted,
    encode_distrusted,
)
from asynccvat.errors import StoreError


def test_nothing_is_distrusted_without_a_note() -> None:
    assert decode_distrusted(None) == DistrustedRules()


def test_a_note_is_read_as_it_was_written() -> None:
    rules = DistrustedRules().with_difference("new", "task 1, a.xml: line 2")
    assert rules.pending
    assert decode_distrusted(encode_distrusted(rules)) == rules


def test_the_first_difference_of_a_rule_stays() -> None:
    rules = DistrustedRules().with_difference("new", "first").with_difference("new", "second")
    assert rules.found == {"new": "first"}


def test_what_was_found_stays_after_the_tasks_are_exported_again() -> None:
    rules = DistrustedRules().with_difference("new", "first").settled()
    assert (rules.found, rules.pending) == ({"new": "first"}, False)


@pytest.mark.parametrize("content", [b"", b"[]", b'{"pending": 1}', b"\xff"])
def test_a_damaged_note_is_refused(content: bytes) -> None:
    with pytest.raises(StoreError, match=r"cannot read distrusted-rules\.json: .* --force"):
        decode_distrusted(content)


def test_a_note_of_a_newer_version_is_refused() -> None:
    with pytest.raises(StoreError, match=r"of version 2: .* Upgrade asynccvat"):
        decode_distrusted(b'{"version": 2}')
