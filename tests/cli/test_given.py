"""What reports and logs say of the options that were typed."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path

import pytest

from asynccvat.cli.given import GivenCommand, _shown
from asynccvat.cli.typed import TypedCommand


class Names(StrEnum):
    REFUSE = "refuse"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (True, "yes"),
        (5, "5"),
        (Path("data/x"), "data/x"),
        (["1-5", 7], "1-5, 7"),
        (Names.REFUSE, "refuse"),
        ("https://anna:p@ss@cvat.example/tasks/5", "https://cvat.example/tasks/5"),
        ("https://cvat.example/x?signature=abc", "https://cvat.example/x"),
        ("https://anna:word@cvat.example/x?signature=abc", "https://cvat.example/x"),
        ("what? nothing@all", "what? nothing@all"),
    ],
)
def test_a_value_is_as_typed_and_an_address_without_its_credentials(
    value: object, text: str
) -> None:
    assert _shown(value) == text


@pytest.mark.parametrize(
    ("word", "shown"),
    [("http://cvat.example/x", True), ("http://cvat.example/x?signature=abc", False)],
)
def test_a_command_with_what_may_be_a_signature_is_in_no_log(word: str, shown: bool) -> None:
    typed = TypedCommand(("mirror", "data", "--url", word), frozenset({"--url"}), frozenset())
    given = GivenCommand("mirror", (), typed)
    assert given.repeatable == (typed if shown else None)
