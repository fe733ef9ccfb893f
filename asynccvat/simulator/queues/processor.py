"""Spend the seconds that calls, exports and imports take.

`ApiWorkers` are the application processes that answer calls. A `Processor` performs the work of
calls, exports and imports: either without limit, so that seconds simply pass, or on a number of
cores that all current work shares equally. `routes.costs`, `export_queue` and `import_queue` decide
how many seconds a piece of work takes.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections import deque
from typing import Protocol

from asynccvat.simulator.options import SimulatorOptions


class Processor(Protocol):
    """Performs work that takes a number of seconds."""

    async def spend(self, seconds: float) -> None:
        """Return when `seconds` of work are done."""
        ...


class AmpleProcessor:
    """A processor without limit: work never waits for other work."""

    async def spend(self, seconds: float) -> None:
        """Sleep for `seconds`."""
        if seconds > 0:
            await asyncio.sleep(seconds)


class SharedProcessor:
    """A number of cores, shared equally by all current work (processor sharing).

    Every piece of work runs at the same speed, `min(1, cores / pieces)`. So one clock of work done
    advances at that speed, and a piece ends when the clock has advanced by its seconds.
    """

    def __init__(self, cores: float) -> None:
        """Share `cores` processor cores."""
        self._cores = cores
        self._work_clock = 0.0
        self._updated = 0.0
        self._pieces: list[tuple[float, int, asyncio.Future[None]]] = []
        self._numbers = itertools.count()
        self._timer: asyncio.TimerHandle | None = None

    async def spend(self, seconds: float) -> None:
        """Return when one core has worked `seconds` for the caller."""
        if seconds <= 0:
            return
        self._advance()
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        piece = (self._work_clock + seconds, next(self._numbers), done)
        heapq.heappush(self._pieces, piece)
        self._schedule()
        try:
            await done
        except asyncio.CancelledError:
            self._advance()
            if piece in self._pieces:
                self._pieces.remove(piece)
                heapq.heapify(self._pieces)
            self._schedule()
            raise

    def _speed(self) -> float:
        return min(1.0, self._cores / len(self._pieces))

    def _advance(self) -> None:
        now = asyncio.get_running_loop().time()
        if self._pieces:
            self._work_clock += (now - self._updated) * self._speed()
        self._updated = now
        while self._pieces and self._pieces[0][0] <= self._work_clock + 1e-9:
            _, _, done = heapq.heappop(self._pieces)
            if not done.done():
                done.set_result(None)

    def _schedule(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._pieces:
            remaining = max(0.0, self._pieces[0][0] - self._work_clock) / self._speed()
            self._timer = asyncio.get_running_loop().call_later(remaining, self._tick)

    def _tick(self) -> None:
        self._advance()
        self._schedule()


class ApiWorkers:
    """The processes that answer calls, first come, first served."""

    def __init__(self, count: int, processor: Processor) -> None:
        """Serve `count` calls at the same time on `processor`."""
        self._free = count
        self._processor = processor
        self._waiting: deque[asyncio.Future[None]] = deque()

    async def serve(self, seconds: float) -> None:
        """Wait for a worker and keep it for `seconds` of work."""
        if seconds <= 0:
            return
        await self._acquire()
        try:
            await self._processor.spend(seconds)
        finally:
            self._release()

    async def _acquire(self) -> None:
        if self._free:
            self._free -= 1
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self._release()  # the worker was assigned already: pass it on
            raise

    def _release(self) -> None:
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                return
        self._free += 1


def make_processor(options: SimulatorOptions) -> Processor:
    """Return the processor that the options ask for."""
    if options.cpu_cores is None:
        return AmpleProcessor()
    return SharedProcessor(options.cpu_cores)
