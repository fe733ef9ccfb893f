"""Sum up what the time of a run went to: the server, the network, the disk, or a wait.

Many things happen at once. The time of a moment goes to what the run waits for: what would have to
be quicker for the run to be quicker.
"""

from __future__ import annotations

import math
from collections import defaultdict
from enum import StrEnum

from asynccvat.progress.flights import AT_SERVER, MOVING, Flights, Stage

# After this many seconds, a moment counts half for what the run waits for now.
_HALF_LIFE = 5.0


class Cause(StrEnum):
    """What a run waits for."""

    LISTS = "lists"
    """What there is: lists of the server, receipts and files."""
    SERVER = "server"
    """Exports or imports at the server."""
    NETWORK = "network"
    """Archives that are read, or files that are sent."""
    DISK = "disk"
    """Files that are unpacked and written, and get their final names."""
    OUTAGE = "outage"
    """A server that does not answer."""
    PAUSE = "pause"
    """A pause that the server asked for."""
    RETRIES = "retries"
    """The wait before a failed step is retried."""
    OTHER = "other"
    """Calls of the server that are no export and no import, and work on this machine."""


def cause_in_words(cause: Cause, server_work: str = "exports") -> str:
    """Return what took time, for people.

    Args:
        cause: What it is.
        server_work: What the server's workers do in this run, as `RunProgress.server_work` says.
    """
    return {
        Cause.LISTS: "reading lists",
        Cause.SERVER: f"the server's {server_work}",
        Cause.NETWORK: "the network",
        Cause.DISK: "the disk",
        Cause.OUTAGE: "no answer from the server",
        Cause.PAUSE: "pauses that the server asked for",
        Cause.RETRIES: "waits before retries",
        Cause.OTHER: "other calls of the server",
    }[cause]


def cause_of(flights: Flights, transfers: int | None) -> Cause:
    """Return what a run waits for that has a plan and a server that answers.

    Exports that wait at the server hold a run up, unless all transfers are in use: then the
    archives are the limit, whatever else waits.

    Args:
        flights: The tasks under way.
        transfers: How many archives are read or files are sent at once, None if it is not known.
    """
    moving = flights.count(*MOVING)
    if flights.count(Stage.READY) or (transfers is not None and moving >= transfers):
        return Cause.NETWORK
    if flights.count(*AT_SERVER):
        return Cause.SERVER
    if moving:
        return Cause.NETWORK
    if flights.count(Stage.WRITING):
        return Cause.DISK
    if flights.count(Stage.RETRYING) and flights.count(Stage.RETRYING) == len(flights):
        return Cause.RETRIES
    return Cause.OTHER


class TimeSpent:
    """What the time of one run went to."""

    def __init__(self, started: float) -> None:
        """Begin at a time.

        Args:
            started: Seconds of the caller's clock.
        """
        self._until = started
        self._seconds: defaultdict[Cause, float] = defaultdict(float)
        self._recent: defaultdict[Cause, float] = defaultdict(float)

    @property
    def seconds(self) -> dict[Cause, float]:
        """Seconds by cause, the longest first."""
        longest = sorted(self._seconds.items(), key=lambda item: item[1], reverse=True)
        return dict(longest)

    @property
    def shares(self) -> dict[Cause, float]:
        """The share of the time that each cause has, from 0 to 1, the largest first."""
        whole = sum(self._seconds.values())
        return {cause: seconds / whole for cause, seconds in self.seconds.items() if seconds > 0}

    @property
    def lately(self) -> Cause:
        """What most of the last seconds went to. A short change does not change it."""
        return max(self._recent, key=self._recent.__getitem__, default=Cause.OTHER)

    def move(self, seconds: float, source: Cause, target: Cause) -> None:
        """Count some of the seconds of one cause for another one.

        Args:
            seconds: How many; not more are moved than the cause has.
            source: The cause that they were counted for.
            target: The cause that they belong to.
        """
        moved = min(seconds, self._seconds[source])
        self._seconds[source] -= moved
        self._seconds[target] += moved
        recent = min(moved * math.log(2) / _HALF_LIFE, self._recent[source])
        self._recent[source] -= recent
        self._recent[target] += recent

    def spend(self, cause: Cause, until: float) -> None:
        """Count the time from the last call to `until` for a cause.

        Args:
            cause: What the run waited for.
            until: Seconds of the caller's clock. An earlier time than before counts nothing.
        """
        seconds = until - self._until
        if seconds <= 0:
            return
        self._until = until
        self._seconds[cause] += seconds
        kept = 0.5 ** (seconds / _HALF_LIFE)
        for known in self._recent:
            self._recent[known] *= kept
        self._recent[cause] += 1 - kept
