"""Warnings reach whoever asked for the list, and keep nothing alive afterwards."""

from __future__ import annotations

import contextvars
import gc
import logging
import weakref

import pytest

from asynccvat.aio.list_warnings import warn, warnings_to


class Run:
    """Receives warnings."""

    def __init__(self) -> None:
        self.heard: list[str] = []

    def warn(self, message: str) -> None:
        """Note a warning."""
        self.heard.append(message)


def test_a_block_hears_of_its_own_warnings(caplog: pytest.LogCaptureFixture) -> None:
    outer, inner = Run(), Run()
    with warnings_to(outer.warn):
        warn("one")
        with warnings_to(inner.warn):
            warn("two")
        warn("three")
    with caplog.at_level(logging.WARNING):
        warn("four")
    assert (outer.heard, inner.heard) == (["one", "three"], ["two"])
    assert caplog.messages == ["four"]


def test_a_context_that_outlives_the_block_keeps_no_run(caplog: pytest.LogCaptureFixture) -> None:
    run = Run()
    with warnings_to(run.warn):
        context = contextvars.copy_context()  # as that of an idle connection
    left = weakref.ref(run)
    del run
    gc.collect()
    assert left() is None
    with caplog.at_level(logging.WARNING):
        context.run(warn, "late")
    assert caplog.messages == ["late"]
