"""Cuts a coroutine off between any two callbacks of its event loop, and looks at what it left.

The loop counts every callback that it runs: steps of all tasks, answers of threads, sockets that
can be read, timers. So a cancellation comes not only where the cancelled task itself waits, but at
each moment of all that goes on for it, also when what it waits for is there and not yet taken.
"""

from __future__ import annotations

import asyncio
import concurrent.futures.thread
import contextlib
import gc
import queue
import sys
import threading
import traceback
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import anyio
from anyio._backends import _asyncio as anyio_asyncio

import asynccvat as ac

PATIENCE = 20.0
"""Seconds after which a run that was cut off counts as hung: its cleaning up has 5 at most."""

THREAD_ENDS = 10.0
"""Seconds within which an idle thread ends when the loop has; a busy one never does."""


class Way(StrEnum):
    """How it is cut off."""

    TASK = "the task is cancelled"
    SCOPE = "an anyio scope around it is cancelled"
    LOOP = "all tasks of the loop are cancelled, as `asyncio.run` does at its end"


class _Counted(deque[Any]):
    """The callbacks that are due, which tell the loop before each of them is run."""

    def __init__(self, loop: CountingLoop, first: deque[Any]) -> None:
        super().__init__(first)
        self._loop = loop

    def popleft(self) -> Any:
        self._loop.before_callback()
        return super().popleft()


class CountingLoop(asyncio.SelectorEventLoop):
    """Counts its callbacks, and does something before certain ones."""

    _ready: deque[Any]

    def __init__(self) -> None:
        super().__init__()
        self._ready = _Counted(self, self._ready)
        self._plan: dict[int, Callable[[], object]] = {}
        self._counting = False
        self.count = 0

    def before_callback(self) -> None:
        if self._counting:
            self.count += 1
            if action := self._plan.pop(self.count, None):
                action()

    @contextlib.contextmanager
    def doing(self, plan: dict[int, Callable[[], object]]) -> Iterator[None]:
        """Count from one, and do what is planned for its number before a callback is run."""
        self._plan, self._counting, self.count = dict(plan), True, 0
        try:
            yield
        finally:
            self._plan, self._counting = {}, False


@dataclass(frozen=True)
class Cut:
    """Where something is cut off.

    Attributes:
        at: Before which callback.
        way: How.
        again: So many callbacks later its task is cancelled once more, while it cleans up.
    """

    at: int
    way: Way = Way.TASK
    again: int | None = None

    def __str__(self) -> str:
        again = "" if self.again is None else f", again {self.again} later"
        return f"before callback {self.at}{again}: {self.way}"


@dataclass
class Ended:
    """How it ended.

    Attributes:
        callbacks: How many callbacks there were until then.
        was_cut: Whether the cut came before it had ended by itself.
        value: What it returned, where it was not cut off.
    """

    callbacks: int
    was_cut: bool
    value: Any = None


@dataclass
class Complaints:
    """What the interpreter and the loop say of things that nobody took care of.

    Attributes:
        of_all: Whether all tasks are cancelled, those that have not begun included.
        heard: What they said.
    """

    of_all: bool = False
    heard: list[str] = field(default_factory=list)

    def of_loop(self, _loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        self.heard.append(f"the loop: {context}")

    def unraisable(self, unraisable: Any) -> None:
        if "was never awaited" in str(unraisable.exc_value) and self.of_all:
            # anyio's task groups leave one behind whose task is cancelled before its first step.
            return
        self.heard.append(f"the interpreter: {unraisable.exc_value!r} in {unraisable.object!r}")

    def __enter__(self) -> Self:
        self._hook, sys.unraisablehook = sys.unraisablehook, self.unraisable
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        sys.unraisablehook = self._hook


Work = Callable[[], Awaitable[Any]]
Story = Callable[[CountingLoop], Awaitable[None]]


def in_a_loop(story: Story, *, all_cancelled: bool = False) -> None:
    """Run a coroutine function in a loop of its own, and see that nothing of it is left.

    Warnings have to be errors, so that an unclosed file is heard of.

    Args:
        story: What is run.
        all_cancelled: Whether it cancels all tasks of the loop.
    """
    threads = set(threading.enumerate())
    before = open_files()
    with Complaints(all_cancelled) as complaints:
        with asyncio.Runner(loop_factory=CountingLoop) as runner:
            loop = runner.get_loop()
            assert isinstance(loop, CountingLoop)
            loop.set_exception_handler(complaints.of_loop)
            runner.run(_whole(story, loop))
        for thread in set(threading.enumerate()) - threads:
            thread.join(THREAD_ENDS)
            assert not thread.is_alive(), f"a thread is at work still: {thread}"
        del loop, runner
        gc.collect()
    assert complaints.heard == [], complaints.heard
    left = open_files() - before
    assert left == set(), f"files or sockets are open still: {left}"


async def _whole(story: Story, loop: CountingLoop) -> None:
    await story(loop)


async def cut_off(loop: CountingLoop, work: Work, cut: Cut) -> Ended:
    """Run a coroutine, cut it off, and see that it ends as it should, at once and whole."""
    scope = anyio.CancelScope()
    tasks, files = asyncio.all_tasks(), open_files(sockets=False)

    async def in_scope() -> Any:
        with scope:
            return await work()

    task = asyncio.create_task(in_scope())
    struck = False

    def strike() -> None:
        nonlocal struck
        struck = not task.done()
        if cut.way is Way.SCOPE:
            scope.cancel()
        elif cut.way is Way.LOOP:
            for one in asyncio.all_tasks(loop) - tasks:
                one.cancel()
        else:
            task.cancel()

    plan: dict[int, Callable[[], object]] = {cut.at: strike}
    if cut.again is not None:
        plan[cut.at + cut.again] = task.cancel
    with loop.doing(plan):
        await asyncio.wait([task], timeout=PATIENCE)
    _see_that_nothing_is_left(task, tasks, files)
    if not struck:
        return Ended(loop.count, was_cut=False, value=task.result())
    if cut.way is Way.SCOPE and not task.cancelled():
        # It may have come to its end without asking the scope again.
        return Ended(loop.count, was_cut=scope.cancelled_caught, value=task.result())
    assert task.cancelled(), f"the cancellation was swallowed: {task}"
    assert cut.way is not Way.SCOPE or cut.again is not None, "a scope's cancellation got out of it"
    return Ended(loop.count, was_cut=True)


def _see_that_nothing_is_left(
    task: asyncio.Task[Any], tasks: set[asyncio.Task[Any]], files: set[tuple[str, str]]
) -> None:
    if not task.done():
        for one in asyncio.all_tasks() - tasks:
            one.print_stack()
    assert task.done(), "it hangs"
    left = {one for one in asyncio.all_tasks() - tasks if not one.done()}
    assert left == set(), f"tasks are left: {left}"
    assert busy_threads() == [], f"threads are at work still: {busy_threads()}"
    opened = open_files(sockets=False) - files
    assert opened == set(), f"files are open still: {opened}"


def open_files(*, sockets: bool = True) -> set[tuple[str, str]]:
    """What this process has open: the descriptors, and what they are of."""
    found = set()
    for descriptor in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # the listing's own
            what = str(descriptor.readlink()).removesuffix(" (deleted)")
            if sockets or not what.startswith("socket:"):
                found.add((descriptor.name, what))
    return found


def busy_threads() -> list[str]:
    """What threads are doing still, but for those of the pools that wait for work."""
    frames = sys._current_frames()
    busy = []
    for thread in threading.enumerate():
        frame = frames.get(thread.ident or 0)
        if thread is threading.current_thread() or frame is None:
            continue
        doing = [one.f_code for one, _ in traceback.walk_stack(frame)]
        told = any(one.co_qualname == _TELLS for one in doing)
        works = any(one.co_qualname == _AT_WORK for one in doing) and not told
        if works or any(one.co_filename not in _WAITING for one in doing):
            busy.append(f"{thread.name}: {doing[0].co_qualname} of {doing[0].co_filename}")
    return busy


_WAITING = {
    module.__file__
    for module in (
        *(threading, queue, concurrent.futures.thread, anyio_asyncio),
        *(asyncio.base_events, asyncio.selector_events, asyncio.futures, concurrent.futures._base),
    )
}
"""Where the stack of a thread lies that waits for work, or tells that it has done it."""

_AT_WORK = "_WorkItem.run"
_TELLS = "Future.set_result"
"""But for the first, which is the loop's own pool doing something, until it tells of the end."""


def held_connections(client: ac.CvatClient) -> int:
    """Connections of a client that somebody still uses."""
    session = client._http._connection._session
    assert session is not None
    assert session.connector is not None
    return len(session.connector._acquired)


@contextlib.asynccontextmanager
async def connected(url: str, **credentials: Any) -> AsyncIterator[ac.CvatClient]:
    """A client; afterwards its sockets are gone."""
    async with ac.CvatClient(url, **credentials) as client:
        yield client
    # Transports close with the loop's next turn.
    for _ in range(3):
        await asyncio.sleep(0)
