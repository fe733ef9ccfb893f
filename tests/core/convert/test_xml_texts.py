"""Texts of XML come in chunks, and nothing is lost between them."""

from __future__ import annotations

import pytest

from asynccvat.core.convert.xml_texts import chunks

CHUNK = 1 << 16


@pytest.mark.parametrize(
    ("texts", "sizes"),
    [
        ([], []),
        (["a"], [1]),
        (["a" * CHUNK], [CHUNK]),
        (["a" * CHUNK, "b"], [CHUNK, 1]),
        (["a", "b" * CHUNK, "c" * (CHUNK - 1)], [CHUNK + 1, CHUNK - 1]),
    ],
)
def test_texts_are_joined_to_chunks(texts: list[str], sizes: list[int]) -> None:
    made = list(chunks(iter(texts[:1]), iter(texts[1:])))
    assert list(map(len, made)) == sizes
    assert b"".join(made) == "".join(texts).encode()
