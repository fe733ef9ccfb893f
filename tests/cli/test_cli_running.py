"""Signals while a coroutine runs."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest

from asynccvat.cli import signals


async def answer() -> int:
    return 42


def test_it_returns_what_the_coroutine_returns() -> None:
    assert signals.run(answer) == 42


async def frozen() -> int:
    return gc.get_freeze_count()


@pytest.fixture
def unfrozen() -> Iterator[None]:
    """The tests themselves are frozen; not here."""
    gc.unfreeze()
    yield
    gc.collect()
    gc.freeze()


@pytest.mark.usefixtures("unfrozen")
def test_the_garbage_collector_skips_what_was_loaded_before() -> None:
    assert signals.run(frozen) > 10_000
    assert gc.get_freeze_count() == 0


def test_what_the_caller_has_frozen_stays_so() -> None:
    gc.freeze()
    before = gc.get_freeze_count()
    assert signals.run(frozen) == before
    assert gc.get_freeze_count() == before


@pytest.mark.usefixtures("hang_up_ends_processes")
@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)]
)
def test_the_first_signal_cancels_and_lets_cleanup_end(number: int, code: int) -> None:
    story: list[str] = []

    async def main() -> None:
        os.kill(os.getpid(), number)
        try:
            await asyncio.Event().wait()
        finally:
            story.append("cleaned up")

    with pytest.raises(signals.Interrupted) as caught:
        signals.run(main, on_signal=lambda: story.append("told"))
    assert caught.value.code == code
    assert story == ["told", "cleaned up"]


def test_signal_handlers_are_restored() -> None:
    before = [signal.getsignal(number) for number in signals.SIGNALS]
    signals.run(answer)
    assert [signal.getsignal(number) for number in signals.SIGNALS] == before


def test_a_cancellation_without_a_signal_is_no_interruption() -> None:
    async def main() -> None:
        raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        signals.run(main)


def test_outside_the_main_thread_it_runs_without_signal_handlers() -> None:
    answers: list[int] = []
    thread = threading.Thread(target=lambda: answers.append(signals.run(answer)))
    thread.start()
    thread.join()
    assert answers == [42]


def test_the_second_signal_exits_at_once() -> None:
    script = """
import asyncio, os, signal, threading
from asynccvat.cli import signals

async def main():
    os.kill(os.getpid(), signal.SIGINT)
    try:
        await asyncio.Event().wait()
    finally:
        os.kill(os.getpid(), signal.SIGINT)
        await asyncio.Event().wait()

signals.run(main)
"""
    ended = subprocess.run([sys.executable, "-c", script], check=False, timeout=60)
    assert ended.returncode == 130


def test_the_second_signal_exits_at_once_even_if_the_loop_is_busy() -> None:
    script = """
import asyncio, os, signal, threading, time
from asynccvat.cli import signals

async def main():
    os.kill(os.getpid(), signal.SIGINT)
    try:
        await asyncio.Event().wait()
    finally:
        threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGTERM)).start()
        time.sleep(3600)

signals.run(main)
"""
    ended = subprocess.run([sys.executable, "-c", script], check=False, timeout=60)
    assert ended.returncode == 143


def test_a_hangup_that_was_ignored_stays_ignored() -> None:
    async def main() -> str:
        os.kill(os.getpid(), signal.SIGHUP)
        await asyncio.sleep(0)
        return "went on"

    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        assert signals.run(main) == "went on"
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)
