"""Measure the rates of a run, and predict the time left.

While exports are the limit, the server's measured export rate decides. While the network is, the
bytes that are missing decide. The prediction is the longer one of the two, as both go on at the
same time.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from itertools import pairwise

from asynccvat.events import (
    Event,
    ExportFinished,
    ExportRequested,
    ImportFinished,
    ImportRequested,
    TaskDone,
    TransferProgress,
    TransferStarted,
    UploadProgress,
    UploadStarted,
)
from asynccvat.progress.flights import MOVING, Flights, Stage

# A rate over less than a second would jump.
_SHORTEST = 1.0
# Values that come more often than this are added up.
_BUCKET_SECONDS = 0.25
# Ends of exports that a rate is measured over: more would miss that the server became slower.
_MOST_ENDS = 64
# Seconds that a rate of bytes is measured over.
_BYTES_SECONDS = 15.0


class Rate:
    """A rate over the latest values. Times are seconds of any monotonic clock."""

    def __init__(self, *, seconds: float = float("inf"), most: int | None = None) -> None:
        """Begin without values.

        Args:
            seconds: How long a value counts.
            most: How many values count at most, None for no limit.
        """
        self._seconds = seconds
        self._most = most
        self._since: float | None = None
        self._values: deque[tuple[float, float]] = deque()
        self._sum = 0.0

    @property
    def begun(self) -> bool:
        """Whether there is something to measure."""
        return self._since is not None

    @property
    def longest_gap(self) -> float:
        """The longest time between two values, 0.0 before the first."""
        if self._since is None:
            return 0.0
        times = [self._since, *(at for at, _ in self._values)]
        return max((after - before for before, after in pairwise(times)), default=0.0)

    def begin(self, at: float) -> None:
        """Measure from this time on, if nothing was measured before."""
        if self._since is None:
            self._since = at

    def add(self, at: float, amount: float = 1.0) -> None:
        """Add a value."""
        self.begin(at)
        self._sum += amount
        if self._most is None and self._values and at - self._values[-1][0] < _BUCKET_SECONDS:
            first, before = self._values.pop()
            self._values.append((first, before + amount))
            return
        self._values.append((at, amount))
        if self._most is not None and len(self._values) > self._most:
            self._forget_first()

    def per_second(self, now: float) -> float | None:
        """Return the rate; None before the first value."""
        if self._since is None or not self._values:
            return None
        while len(self._values) > 1 and self._values[0][0] < now - self._seconds:
            self._forget_first()
        if self._values[0][0] < now - self._seconds:
            return 0.0
        since = max(self._since, now - self._seconds)
        return self._sum / max(now - since, _SHORTEST)

    def seconds_for(self, amount: float, now: float) -> float | None:
        """Return how long an amount takes from now on; None before the first value.

        Values that come at once, like the ends of exports on several workers, are followed by a
        gap. Until it is longer than any before, it says nothing about the rate.
        """
        if self._since is None or not self._values:
            return None
        last = self._values[-1][0]
        quiet = now - last
        if last > self._since and quiet <= self.longest_gap:
            return max(0.0, amount * (last - self._since) / self._sum - quiet)
        return amount * max(now - self._since, 0.0) / self._sum

    def _forget_first(self) -> None:
        self._since, amount = self._values.popleft()
        self._sum -= amount


@dataclass(slots=True)
class Work:
    """What is left to do, as `Pace` needs it.

    Attributes:
        unfinished: Tasks without an outcome.
        to_move: Those of them whose archives or files are read or sent. Moves and removals of
            folders need no export.
    """

    unfinished: int
    to_move: int


@dataclass(slots=True)
class Pace:
    """The measured rates of one run.

    Attributes:
        exports: Exports that ended. Its clock stands still in outages.
        imports: Imports that ended. The same clock.
        tasks: Tasks that got their outcome. The same clock.
        shown_bytes: Bytes read and sent lately. The same clock.
        moving_bytes: Bytes read and sent. Its clock runs only while something is read or sent.
    """

    exports: Rate = field(default_factory=lambda: Rate(most=_MOST_ENDS))
    imports: Rate = field(default_factory=lambda: Rate(most=_MOST_ENDS))
    tasks: Rate = field(default_factory=lambda: Rate(most=_MOST_ENDS))
    shown_bytes: Rate = field(default_factory=lambda: Rate(seconds=_BYTES_SECONDS))
    moving_bytes: Rate = field(default_factory=lambda: Rate(seconds=_BYTES_SECONDS))
    _sizes: int = 0
    _sized: int = 0

    def apply(self, event: Event, *, active: float, moving: float) -> None:
        """Measure an event.

        Args:
            event: What happened.
            active: Seconds of the run, outages excluded.
            moving: Seconds in which something was read or sent.
        """
        match event:
            case ExportRequested():
                self.exports.begin(active)
            case ImportRequested():
                self.imports.begin(active)
            case ExportFinished():
                self.exports.add(active)
            case ImportFinished():
                self.imports.add(active)
            case TaskDone():
                self.tasks.add(active)
            case TransferStarted(size=int(size)):
                self._note_size(max(size - event.reused, 0), active)
            case UploadStarted():
                self._note_size(event.size, active)
            case TransferProgress(transferred=size) | UploadProgress(sent=size):
                self.shown_bytes.add(active, size)
                self.moving_bytes.add(moving, size)
            case _:
                pass

    @property
    def mean_size(self) -> float | None:
        """Mean bytes of the archives and files that were begun; None before the first."""
        return self._sizes / self._sized if self._sized else None

    def seconds_left(
        self, work: Work, flights: Flights, *, active: float, moving: float
    ) -> float | None:
        """Predict the time left.

        Args:
            work: What is left to do.
            flights: The tasks under way.
            active: Seconds of the run, outages excluded.
            moving: Seconds in which something was read or sent.

        Returns:
            Seconds. None while nothing tells them, or if nothing is left.
        """
        if work.unfinished <= 0:
            return None
        exported = sum(flight.exported for flight in flights)
        imported = flights.count(Stage.CHECKING)
        times = []
        for rate, left in (
            (self.exports, work.to_move - exported),
            (self.imports, work.to_move - imported),
        ):
            if not rate.begun or left <= 0:
                continue
            seconds = rate.seconds_for(left, active)
            if seconds is None:
                return None
            times.append(seconds)
        missing, bytes_a_second = self._missing(work, flights), self.moving_bytes.per_second(moving)
        # In less than a second, bytes do not show what the network can do.
        if missing and bytes_a_second and (moving >= _SHORTEST or not times):
            times.append(missing / bytes_a_second)
        if times:
            return max(times)
        return self.tasks.seconds_for(work.unfinished, active)

    def _missing(self, work: Work, flights: Flights) -> float | None:
        """Return the bytes that are missing; None if no size tells them."""
        mean = self.mean_size
        if mean is None:
            return None
        known = [flight.missing for flight in flights if flight.stage in MOVING]
        moved = sum(flight.has_moved for flight in flights)
        unknown = work.to_move - moved - len(known)
        return sum(mean if size is None else size for size in known) + mean * max(0, unknown)

    def _note_size(self, size: int, active: float) -> None:
        self._sizes += size
        self._sized += 1
        self.shown_bytes.begin(active)
