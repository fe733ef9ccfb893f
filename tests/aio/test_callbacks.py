"""The user's event callback: called until it raises, which stops nothing."""

from __future__ import annotations

import pytest

from asynccvat.aio.callbacks import Callback


def test_a_callback_is_called_with_what_it_is_given() -> None:
    calls: list[tuple[int, str]] = []

    def note(number: int, *, name: str) -> None:
        calls.append((number, name))

    Callback(note)(1, name="one")

    assert calls == [(1, "one")]


def test_a_callback_that_raises_is_logged_once_and_detached(
    caplog: pytest.LogCaptureFixture,
) -> None:
    calls = []

    def fail(number: int) -> None:
        calls.append(number)
        raise ZeroDivisionError

    callback = Callback(fail)
    callback(1)
    callback(2)

    assert calls == [1]
    assert caplog.text.count("is detached: it gets no more events") == 1
    assert "ZeroDivisionError" in caplog.text


def test_without_a_callback_nothing_is_called() -> None:
    Callback[int](None)(1)
