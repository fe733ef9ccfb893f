"""Keep the tasks that took longest, of any number of tasks."""

from __future__ import annotations

import heapq
from dataclasses import dataclass

from asynccvat.core.targets import TargetKind
from asynccvat.progress.flights import Flight, Stage

MOST = 3
"""The most tasks that are named as slow."""


@dataclass(frozen=True, slots=True)
class SlowTask:
    """A task that took long, without its time in the server's queue.

    Attributes:
        task_id: The task, or the target of another kind.
        target: What `task_id` is the id of.
        name: Its name, "" if it is not known.
        seconds: Seconds that were spent on it.
        stage: What took most of them.
    """

    task_id: int
    target: TargetKind
    name: str
    seconds: float
    stage: Stage


class SlowestTasks:
    """The tasks with an outcome that took longest, at most three."""

    def __init__(self) -> None:
        """Begin without tasks."""
        self._slowest: list[tuple[float, int, SlowTask]] = []
        self._noted = 0

    @property
    def tasks(self) -> list[SlowTask]:
        """These tasks, the slowest first."""
        return [slow for _, _, slow in sorted(self._slowest, reverse=True)]

    def note(self, flight: Flight) -> None:
        """Note a task that has its outcome."""
        seconds = flight.own_seconds
        slow = SlowTask(flight.task_id, flight.target, flight.name, seconds, flight.longest)
        self._noted += 1
        entry = (seconds, self._noted, slow)
        if len(self._slowest) < MOST:
            heapq.heappush(self._slowest, entry)
        else:
            heapq.heappushpop(self._slowest, entry)
