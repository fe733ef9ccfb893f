"""Words for values that messages share."""

from __future__ import annotations

import pytest

from asynccvat.core.texts import first_few, printable


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, ""),
        (1, "1"),
        (3, "1, 2, 3"),
        (4, "1, 2, 3 and 1 more"),
        (1503, "1, 2, 3 and 1,500 more"),
    ],
)
def test_a_long_list_is_cut_and_counted(count: int, text: str) -> None:
    assert first_few(range(1, count + 1), 3) == text


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("street 5", "street 5"),
        ("straße ✓", "straße ✓"),
        (" a\n\tb ", "a b"),
        ("a\x1b[31mb", "a\N{REPLACEMENT CHARACTER}[31mb"),
        ("a\u202eb", "a\N{REPLACEMENT CHARACTER}b"),
    ],
)
def test_a_line_has_no_control_characters(text: str, line: str) -> None:
    assert printable(text) == line
