"""Versions of CVAT that are too old are known by their numbers, and no other is."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asynccvat.core.wire.server_versions import (
    OLDEST,
    has_access_tokens,
    oldest_text,
    too_old,
    version_problem,
)


@pytest.mark.parametrize(
    ("version", "is_old"),
    [
        ("1.7.0", True),
        ("2.9.2", True),
        ("2.16.3", True),
        ("v2.16.3", True),
        ("2.17.0", False),
        ("2.17", False),
        ("2.54.1", False),
        ("2.65.0.alpha.0", False),
        ("3.0", False),
        ("", False),
        ("develop", False),
    ],
)
def test_the_numbers_decide(version: str, is_old: bool) -> None:
    assert too_old(version) is is_old


def test_the_oldest_version_is_named_as_it_is_compared() -> None:
    assert oldest_text() == "2.17"
    assert not too_old(oldest_text())


def test_a_problem_names_server_and_version() -> None:
    assert version_problem("https://x", "2.54.1") == ""
    assert version_problem("https://x", "2.9.2") == (
        "https://x is CVAT 2.9.2, which asynccvat cannot use. Update the server to 2.17 or later."
    )


@given(major=st.integers(0, 99), minor=st.integers(0, 999))
def test_versions_are_compared_as_numbers(major: int, minor: int) -> None:
    assert too_old(f"{major}.{minor}.1") is ((major, minor) < OLDEST)


@given(st.text(max_size=20))
def test_any_text_is_a_version(version: str) -> None:
    assert too_old(version) in (True, False)


@pytest.mark.parametrize(
    ("version", "known"),
    [("2.48.0", True), ("v2.64.0-dev", True), ("3.0", True), ("2.47.9", False), ("dev", False)],
)
def test_versions_that_make_access_tokens_are_known(version: str, known: bool) -> None:
    assert has_access_tokens(version) is known
