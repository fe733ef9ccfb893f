"""Run a coroutine for a command, and handle SIGINT, SIGTERM and SIGHUP.

The first signal cancels the coroutine: the engine stops its tasks, cancels its queued exports at
the server (in at most 5 seconds) and unlocks the destination. The second signal exits at once, even
while the event loop is busy; a mirror survives that as it survives SIGKILL.

SIGHUP stays ignored if it was when the process began: `nohup` asks for that.

Before it starts, the process raises its limit of open files as far as the system permits.
"""

from __future__ import annotations

import contextlib
import gc
import os
import signal
import sys
import threading
from collections.abc import Callable, Coroutine, Iterator
from typing import Any, NoReturn, TypeVar

from asynccvat.cli import output

T = TypeVar("T")

if sys.platform != "win32":
    import resource

SIGNALS = (
    (signal.SIGINT, signal.SIGTERM)
    if sys.platform == "win32"
    else (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
)

_FROZEN_BY_PYTHON = 1000
"""More objects than Python itself freezes: 375 in Python 3.12.1, none in 3.11 and 3.13."""

# More than any run uses, even if the hard limit is higher. The second number is what macOS always
# permits (OPEN_MAX).
_ENOUGH_HANDLES = (16_384, 10_240)


class Interrupted(Exception):  # noqa: N818 - no error, like CancelledError
    """A signal ended the run.

    Attributes:
        code: The exit code: 128 plus the number of the signal.
    """

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.code = 128 + number


def _ignore() -> None:
    pass


@contextlib.contextmanager
def _logged_warnings_shown() -> Iterator[None]:
    """Write what the package logs as a warning. A run shows its own warnings itself."""
    import logging  # noqa: PLC0415 - the start-up of `--help` stays light

    class Remarks(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            output.remark(f"warning: {record.getMessage()}")

    logger, handler = logging.getLogger("asynccvat"), Remarks(logging.WARNING)
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)


def run(
    main: Callable[[], Coroutine[Any, Any, T]],
    *,
    on_signal: Callable[[], None] = _ignore,
    left_behind: str = "",
) -> T:
    """Run a coroutine function to its end, or until a signal.

    Args:
        main: The coroutine function. The first signal cancels it.
        on_signal: Called at the first signal.
        left_behind: Written at the second signal: what may remain at the server.

    Raises:
        Interrupted: A signal came, and the cancellation ended `main`.
    """
    import asyncio  # noqa: PLC0415 - the start-up of `--help` stays light

    raise_handle_limit()
    with _loaded_modules_frozen(), _logged_warnings_shown():
        return asyncio.run(_supervised(main, on_signal, left_behind))


@contextlib.contextmanager
def _loaded_modules_frozen() -> Iterator[None]:
    """Keep the garbage collector from scanning what was loaded before.

    The modules stay. To scan them at each collection would stop the event loop for tens of
    milliseconds. A caller that has frozen its own objects decides by itself: to unfreeze them would
    undo that, and the collector would hardly ever look at what was unfrozen.
    """
    if gc.get_freeze_count() > _FROZEN_BY_PYTHON:
        yield
        return
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


def raise_handle_limit() -> None:
    """Raise this process's limit of open files.

    The default soft limit is low for programs that use `select`; asynccvat does not.
    """
    if sys.platform == "win32":
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    for enough in _ENOUGH_HANDLES:
        wanted = enough if hard == resource.RLIM_INFINITY else min(hard, enough)
        if soft == resource.RLIM_INFINITY or soft >= wanted:
            return
        # macOS reports no hard limit, but has one.
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
            return


async def _supervised(
    main: Callable[[], Coroutine[Any, Any, T]], on_signal: Callable[[], None], left_behind: str
) -> T:
    import asyncio  # noqa: PLC0415 - the start-up of `--help` stays light

    task = asyncio.current_task()
    loop = asyncio.get_running_loop()
    received: list[int] = []
    terminals = [stream for stream in (1, 2) if os.isatty(stream)]

    def leave_at_once(number: int, _frame: object) -> None:
        # The signal may have interrupted a write to the buffer of stderr.
        with contextlib.suppress(OSError):
            os.write(2, f"{left_behind}\n".encode() if left_behind else b"")
        leave(128 + number)

    def stop(number: int) -> None:
        received.append(number)
        for each in before:
            # The loop calls its handlers only between two steps. Python's come at once.
            loop.remove_signal_handler(each)
            signal.signal(each, leave_at_once)
        _give_up_lost(terminals)
        on_signal()
        if task is not None:
            task.cancel()

    # An event loop can handle signals only in the main thread of a Unix process.
    listens = threading.current_thread() is threading.main_thread() and os.name == "posix"
    before = _handlers() if listens else {}
    for handled in before:
        loop.add_signal_handler(handled, stop, handled)
    try:
        return await main()
    except asyncio.CancelledError:
        if received:
            raise Interrupted(received[0]) from None
        raise
    finally:
        for handled, handler in before.items():
            loop.remove_signal_handler(handled)
            signal.signal(handled, handler)


def _handlers() -> dict[signal.Signals, Any]:
    """Return the present handlers of the signals that end a run."""
    handlers = {number: signal.getsignal(number) for number in SIGNALS}
    if sys.platform != "win32" and handlers[signal.SIGHUP] is signal.SIG_IGN:
        del handlers[signal.SIGHUP]
    return handlers


def _give_up_lost(terminals: list[int]) -> None:
    """Discard what is written to a terminal that is gone; each write would fail."""
    for stream in terminals:
        if not os.isatty(stream):
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, stream)
            os.close(nowhere)


def leave(code: int) -> NoReturn:
    """Exit without waiting for threads or cleanup; show the terminal's cursor again."""
    if sys.stderr.isatty():
        sys.stderr.write("\x1b[?25h\n")
    sys.stderr.flush()
    os._exit(code)
