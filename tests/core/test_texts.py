"""Words for values that messages share."""

from __future__ import annotations

import pytest

from asynccvat.core.texts import first_few


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
