"""A coroutine on an event loop, with the manners of a command when signals come.

The first SIGINT or SIGTERM cancels: the engine ends its tasks, cancels its queued exports at the
server (at most 5 seconds) and lets go of the destination. The second leaves at once, which a
mirror survives as it survives being killed.

Before anything is begun, the process lets itself have more files open, where the system permits it.
"""

from __future__ import annotations

import contextlib
import gc
import os
import signal
import sys
import threading
from collections.abc import Callable, Coroutine
from typing import Any, NoReturn, TypeVar

T = TypeVar("T")

if sys.platform != "win32":
    import resource

SIGNALS = (signal.SIGINT, signal.SIGTERM)

# More than any run uses. Where the hard limit is higher still, or none, it need not be tried out.
# The second is what macOS grants in any case (OPEN_MAX).
_ENOUGH_HANDLES = (16_384, 10_240)


class Interrupted(Exception):  # noqa: N818 - a state rather than an error, as CancelledError is
    """A signal ended the run.

    Attributes:
        code: What the shell is told: 128 and the signal's number.
    """

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.code = 128 + number


def _ignore() -> None:
    pass


def run(
    main: Callable[[], Coroutine[Any, Any, T]], *, on_signal: Callable[[], None] = _ignore
) -> T:
    """Run a coroutine function to its end.

    Args:
        main: Called with nothing within the loop. It is cancelled by the first signal.
        on_signal: Called when the first signal came.

    Raises:
        Interrupted: A signal came, and `main` ended by the cancellation.
    """
    import asyncio  # noqa: PLC0415 - the start-up of `--help` stays light

    raise_handle_limit()
    # What was loaded until now stays, and the collector need not look at it each time, which takes
    # tens of milliseconds in which nothing else is done.
    gc.freeze()
    try:
        return asyncio.run(_supervised(main, on_signal))
    finally:
        gc.unfreeze()


def raise_handle_limit() -> None:
    """Let this process have as many files open as it may have for the asking.

    The soft limit is low for the sake of programs that use `select`, which this is none of.
    """
    if sys.platform == "win32":
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    for enough in _ENOUGH_HANDLES:
        wanted = enough if hard == resource.RLIM_INFINITY else min(hard, enough)
        if soft == resource.RLIM_INFINITY or soft >= wanted:
            return
        # macOS says that there is no hard limit, and has one all the same.
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
            return


async def _supervised(
    main: Callable[[], Coroutine[Any, Any, T]], on_signal: Callable[[], None]
) -> T:
    import asyncio  # noqa: PLC0415 - the start-up of `--help` stays light

    task = asyncio.current_task()
    loop = asyncio.get_running_loop()
    received: list[int] = []

    def stop(number: int) -> None:
        if received:
            leave(128 + number)
        received.append(number)
        on_signal()
        if task is not None:
            task.cancel()

    # Elsewhere than in the main thread of a Unix there are no signals to listen to.
    listens = threading.current_thread() is threading.main_thread() and os.name == "posix"
    before = {number: signal.getsignal(number) for number in SIGNALS}
    if listens:
        for number in SIGNALS:
            loop.add_signal_handler(number, stop, number)
    try:
        return await main()
    except asyncio.CancelledError:
        if received:
            raise Interrupted(received[0]) from None
        raise
    finally:
        if listens:
            for number, handler in before.items():
                loop.remove_signal_handler(number)
                signal.signal(number, handler)


def leave(code: int) -> NoReturn:
    """End the process without waiting for threads or cleanup, with the cursor shown again."""
    if sys.stderr.isatty():
        sys.stderr.write("\x1b[?25h\n")
    sys.stderr.flush()
    os._exit(code)
