"""How late an event loop is, and who kept it: a beat in the loop, and a thread that looks on.

A beat is due every 10 ms. How late it comes is what any other callback would have had to wait.
On a machine that others use, too, part of it is time in which a thread of this process could have
run and was given no core: the loop's own, or one that held the interpreter's lock meanwhile. The
kernel counts that for each thread (`/proc/.../schedstat`); of all threads' the longest is told
apart, which is rather too little than too much.
"""

from __future__ import annotations

import asyncio
import gc
import os
import sys
import threading
import time
import traceback
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

_BEAT = 0.01
# From here on it is worth to know who it was.
_LATE = 0.03
_STALLS_TOLD = 10
# Threads come and go, but not often.
_BEATS_BETWEEN_LOOKS = 20
_OF_INTEREST = ("asynccvat", "benchmarks")


@dataclass(slots=True)
class Stall:
    """One late beat.

    Attributes:
        at: Seconds since the meter began.
        late: Seconds past its time.
        without_core: Seconds of them in which one thread was ready and had no core.
        cpu: Seconds of processor time of the loop's thread since the beat before.
        process_cpu: The same of all threads.
        where: What the loop's thread was doing meanwhile, innermost last, one look each.
    """

    at: float
    late: float
    without_core: float
    cpu: float
    process_cpu: float
    where: list[str]

    @property
    def ours(self) -> float:
        """Seconds that were not the machine's doing."""
        return max(0.0, self.late - self.without_core)

    def to_json(self) -> dict[str, Any]:
        """The stall as JSON values, in milliseconds."""
        return {
            "at": round(self.at, 2),
            "late_ms": round(self.late * 1e3, 1),
            "ours_ms": round(self.ours * 1e3, 1),
            "cpu_ms": round(self.cpu * 1e3, 1),
            "process_cpu_ms": round(self.process_cpu * 1e3, 1),
            "where": [place for place, _ in Counter(self.where).most_common(3)],
        }


@dataclass(slots=True)
class _Pauses:
    """Pauses of the garbage collector, seconds."""

    longest: float = 0.0
    total: float = 0.0
    began: float = field(default=0.0)

    def __call__(self, phase: str, info: dict[str, int]) -> None:
        del info
        if phase == "start":
            self.began = time.perf_counter()
        else:
            pause = time.perf_counter() - self.began
            self.total += pause
            self.longest = max(self.longest, pause)


class _Schedule:
    """How long each thread of this process was ready to run and had no core."""

    _FOLDER = Path("/proc/self/task")

    def __init__(self) -> None:
        """Count from now on."""
        self._files: dict[str, int] = {}
        self._waited: dict[str, int] = {}
        self.look_for_threads()
        self.longest()

    def look_for_threads(self) -> None:
        """Notice threads that have begun; those that ended are dropped when they are read."""
        if self._FOLDER.exists():
            for name in os.listdir(self._FOLDER):  # noqa: PTH208 - names are all it is about
                if name not in self._files:
                    self._files[name] = os.open(self._FOLDER / name / "schedstat", os.O_RDONLY)

    def longest(self) -> float:
        """The most seconds that one thread waited for a core since the last time."""
        most = 0
        for name, fd in list(self._files.items()):
            try:
                waited = int(os.pread(fd, 100, 0).split()[1])
            except (ProcessLookupError, IndexError):
                os.close(self._files.pop(name))
                self._waited.pop(name, None)
                continue
            most = max(most, waited - self._waited.get(name, waited))
            self._waited[name] = waited
        return most / 1e9

    @property
    def open_files(self) -> int:
        """How many files are held open for this."""
        return len(self._files)

    def close(self) -> None:
        """Look no more."""
        for fd in self._files.values():
            os.close(fd)


class LoopMeter:
    """Measures the running loop while its context lasts."""

    def __init__(self) -> None:
        """Measure nothing yet."""
        self._stalls: list[Stall] = []
        self._pauses = _Pauses()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._thread = threading.get_ident()
        self._schedule = _Schedule()
        self._began = self._due = 0.0
        self._cpu, self._process_cpu = time.thread_time(), time.process_time()
        self._beats = 0
        self._where: list[str] = []
        self._ended = threading.Event()
        self._onlooker = threading.Thread(target=self._look_on, daemon=True)

    def __enter__(self) -> Self:
        self._loop = asyncio.get_running_loop()
        self._began = self._loop.time()
        self._plan()
        gc.callbacks.append(self._pauses)
        self._onlooker.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        gc.callbacks.remove(self._pauses)
        if self._timer is not None:
            self._timer.cancel()
        self._ended.set()
        self._onlooker.join()
        self._schedule.close()

    def to_json(self) -> dict[str, Any]:
        """What was measured, in milliseconds, with the longest stalls that were ours."""
        worst = sorted(self._stalls, key=lambda stall: stall.ours, reverse=True)
        return {
            "latest_ms": max((stall.late for stall in worst), default=0.0) * 1e3,
            "longest_ms": max((stall.ours for stall in worst), default=0.0) * 1e3,
            "longest_gc_ms": self._pauses.longest * 1e3,
            "gc_seconds": self._pauses.total,
            "stalls": [stall.to_json() for stall in worst[:_STALLS_TOLD]],
        }

    @property
    def open_files(self) -> int:
        """How many of this process's open files are the meter's own."""
        return self._schedule.open_files

    def _plan(self) -> None:
        assert self._loop is not None
        self._due = self._loop.time() + _BEAT
        self._timer = self._loop.call_at(self._due, self._beat)

    def _beat(self) -> None:
        assert self._loop is not None
        now = self._loop.time()
        late, at = now - self._due, now - self._began
        cpu, process_cpu = time.thread_time(), time.process_time()
        without_core = min(late, self._schedule.longest())
        if late > _BEAT:
            spent = (cpu - self._cpu, process_cpu - self._process_cpu)
            self._stalls.append(Stall(at, late, without_core, *spent, self._where))
        self._cpu, self._process_cpu, self._where = cpu, process_cpu, []
        self._beats += 1
        if self._beats % _BEATS_BETWEEN_LOOKS == 0:
            self._schedule.look_for_threads()
        self._plan()

    def _look_on(self) -> None:
        while not self._ended.wait(_BEAT):
            if time.monotonic() - self._due > _LATE:
                frame = sys._current_frames()[self._thread]  # noqa: SLF001 - there is no other way
                self._where.append(_place(frame))


def _place(frame: Any) -> str:
    """Where a thread is: the innermost line, and the one of ours that led there."""
    frames = traceback.extract_stack(frame)
    innermost = frames[-1]
    ours = next(
        (one for one in reversed(frames) if any(name in one.filename for name in _OF_INTEREST)),
        innermost,
    )
    told = [f"{Path(one.filename).name}:{one.lineno} {one.name}" for one in (ours, innermost)]
    return " > ".join(dict.fromkeys(told))
