"""Sentences on a terminal: wrapped between words, and whole elsewhere."""

from __future__ import annotations

import io
import os
import pty
import struct
import sys
import termios
from collections.abc import Iterator
from fcntl import ioctl
from typing import IO

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from asynccvat.cli import output
from asynccvat.cli.wrapping import width_of, wrapped

WORDS = st.text("abc äß界`.,/'\u0301", min_size=0, max_size=80)


def test_a_sentence_is_wrapped_between_words_and_indented() -> None:
    assert wrapped("failed: there is no such task, or this user may not see it.", 30) == [
        "failed: there is no such task,",
        "  or this user may not see it.",
    ]
    assert wrapped("  2 tasks (4, 9): no data", 20) == ["  2 tasks (4, 9): no", "    data"]
    assert wrapped("short", 30) == ["short"]
    assert wrapped("", 30) == [""]


def test_a_command_and_a_long_word_stay_whole() -> None:
    assert wrapped("Run `asynccvat requests cancel --all` then.", 20) == [
        "Run",
        "  `asynccvat requests cancel --all`",
        "  then.",
    ]
    assert wrapped("see https://cvat.example/tasks/147", 10) == [
        "see",
        "  https://cvat.example/tasks/147",
    ]


def test_characters_that_take_two_columns_count_twice() -> None:
    assert wrapped("界界界 界界界", 12) == ["界界界", "  界界界"]
    assert wrapped("界界界 界界界", 13) == ["界界界 界界界"]


@given(WORDS, st.integers(4, 40))
def test_wrapping_loses_and_adds_nothing_but_space(line: str, width: int) -> None:
    lines = wrapped(line, width)
    assert "".join("".join(lines).split()) == "".join(line.split())
    assert all(len(one.split()) < 2 or cell_len(one) <= width or "`" in one for one in lines)


@pytest.fixture
def terminal() -> Iterator[IO[str]]:
    outer, inner = pty.openpty()
    ioctl(inner, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 33, 0, 0))
    with os.fdopen(inner, "w") as stream:
        yield stream
    os.close(outer)


@pytest.fixture(autouse=True)
def _plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("CI", "COLUMNS", "TERM"):
        monkeypatch.delenv(name, raising=False)


def test_the_width_is_that_of_the_terminal(
    terminal: IO[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert width_of(terminal) == 33
    monkeypatch.setenv("COLUMNS", "44")
    assert width_of(terminal) == 44


@pytest.mark.parametrize(("name", "value"), [("CI", "true"), ("TERM", "dumb")])
def test_logs_and_dumb_terminals_get_whole_lines(
    terminal: IO[str], monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    assert width_of(terminal) is None
    assert width_of(io.StringIO()) is None
    assert width_of(None) is None


class _Terminal(io.StringIO):
    """A terminal without a size, as within some editors."""

    def isatty(self) -> bool:
        return True

    def fileno(self) -> int:
        raise OSError(25, "Inappropriate ioctl for device")


def test_results_and_messages_are_wrapped_on_a_terminal_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    text = "word " * 40 + "end"
    for terminal, lines in ((_Terminal(), 3), (io.StringIO(), 1)):
        for name, write in (("stdout", output.sentence), ("stderr", output.remark)):
            stream = type(terminal)()
            with monkeypatch.context() as patch:
                patch.setattr(sys, name, stream)
                write(text)
            assert len(stream.getvalue().splitlines()) == lines
            assert stream.getvalue().split() == text.split()
