"""Events of runs that were worked out with pencil and paper: a server, a network, no clock."""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from asynccvat import events
from asynccvat.core.outcomes import Action, TaskOutcome
from asynccvat.errors import ExportFailedError

MIB = 1024 * 1024
Timed = tuple[float, events.Event]


def planned(fetch: int = 0, **rest: int) -> events.Planned:
    counts = dict.fromkeys(("keep", "skip", "move", "remove", "refuse", "upload"), 0) | rest
    return events.Planned(fetch=fetch, **counts)


def done(task_id: int, action: Action = Action.FETCHED, **rest: Any) -> events.TaskDone:
    return events.TaskDone(TaskOutcome(task_id=task_id, action=action, reason="new", **rest))


def failed(task_id: int, message: str = "no") -> events.TaskDone:
    return done(task_id, Action.FAILED, error=ExportFailedError(message))


@dataclass(frozen=True, slots=True)
class Script:
    """A mirror: exports end one after the other, and archives share the network.

    Attributes:
        sizes: Bytes of each archive.
        workers: Exports that run at once.
        export_seconds: How long each export takes.
        bandwidth: Bytes a second of the network.
        transfers: Archives that are read at once.
    """

    sizes: Sequence[int]
    workers: int = 2
    export_seconds: float = 1.0
    bandwidth: float = 100 * MIB
    transfers: int = 8

    @property
    def seconds(self) -> float:
        """How long the run takes."""
        return max(at for at, _ in self.events())

    def events(self) -> list[Timed]:
        """Return the events with their times, in order."""
        return sorted(self._events(), key=lambda timed: timed[0])

    def _events(self) -> Iterator[Timed]:
        yield 0.0, events.RunStarted(self.transfers)
        yield 0.0, events.ListingRead(len(self.sizes), complete=True)
        yield 0.0, planned(len(self.sizes))
        workers = [0.0] * self.workers
        ready = []
        for number in range(1, len(self.sizes) + 1):
            yield 0.0, events.TaskStarted(number, f"task-{number}")
            yield 0.0, events.ExportRequested(number, f"rq{number}", created=True)
            ends = heapq.heappop(workers) + self.export_seconds
            heapq.heappush(workers, ends)
            ready.append(ends)
        # Each of `transfers` lanes has its share of the network.
        lanes = [0.0] * self.transfers
        for number, (at, size) in enumerate(zip(ready, self.sizes, strict=True), 1):
            begins = max(at, heapq.heappop(lanes))
            yield at, events.ExportFinished(number, self.export_seconds)
            seconds = size / (self.bandwidth / self.transfers)
            heapq.heappush(lanes, begins + seconds)
            yield begins, events.TransferStarted(number, size, 0)
            parts = max(10, round(seconds * 2))
            for part in range(1, parts + 1):
                moved = events.TransferProgress(number, size // parts)
                yield begins + seconds * part / parts, moved
            yield begins + seconds, events.TransferFinished(number)
            yield begins + seconds, done(number)
