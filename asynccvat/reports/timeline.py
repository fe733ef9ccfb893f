"""What happened in a run: the phases of each task, bytes over time, pauses.

`builder` makes it from events, `series` makes curves of it, `document` the data of a page.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import msgspec

from asynccvat.reports.byte_counts import ByteCounts


class Phase(StrEnum):
    """What a task does, or what it waits for."""

    AT_SERVER = "at the server"
    """Its request waits or runs at the server. It is not known which."""
    WAITING = "waiting"
    """It waits to be requested, in the server's queue, or for a free transfer."""
    WORKING = "exporting"
    """A worker of the server exports or imports it."""
    TRANSFERRING = "transferring"
    """Its archive is received, or its file is sent."""
    COMMITTING = "committing"
    """Its files are checked and put into their place."""
    RETRYING = "retrying"
    """One of its steps failed. It waits for the next attempt."""


OWN_PHASES = frozenset({Phase.WORKING, Phase.TRANSFERRING, Phase.COMMITTING, Phase.RETRYING})
"""Phases in which a task waits for no other one."""


class Span(msgspec.Struct, frozen=True, gc=False):
    """A stretch of time, in seconds of the run."""

    phase: Phase
    start: float
    end: float


class ServerStay(msgspec.Struct, frozen=True, gc=False):
    """A stay of a request at the server, from the request to the news of its end.

    Attributes:
        place: The number of its span.
        work: What a worker did: `export` or `import`.
        started: When its work was seen to have begun, in seconds of the run. None if never.
        seconds: How long a worker took, None if the server did not say.
        ended: When the worker ended, by the server's clock. None if the server did not say.
    """

    place: int
    work: str
    started: float | None = None
    seconds: float | None = None
    ended: float | None = None


@dataclass(slots=True)
class TaskLine:
    """What one task did.

    Attributes:
        target: What `id` is the id of.
        id: Its id.
        step: The number of the run file's step, 0 outside run files.
        start: When its first event came, in seconds of the run.
        end: When it had its outcome. None if it has none.
        outcome: What became of it, from its `task_done`. Empty if it has none.
        name: Its name, as far as it is known before it has an outcome.
        spans: Its phases in their order.
        stays: Which of them are stays at the server that have ended.
        moved: Bytes received or sent so far.
        retries: How often a step was tried again.
    """

    target: str
    id: int
    step: int
    start: float
    end: float | None = None
    outcome: Mapping[str, Any] = field(default_factory=dict)
    name: str = ""
    spans: list[Span] = field(default_factory=list)
    stays: list[ServerStay] = field(default_factory=list)
    moved: int = 0
    retries: int = 0
    # The phase that goes on, and when it began.
    _phase: Phase | None = None
    _since: float = 0.0
    # The phase that a retry interrupted, and when it goes on.
    _interrupted: Phase | None = None
    _resumes: float = 0.0
    # When its work at the server was seen to have begun, None before that.
    _work_began: float | None = None

    @property
    def seconds(self) -> float:
        """Seconds from its first event to its outcome; 0 if it has none."""
        return 0.0 if self.end is None else self.end - self.start

    @property
    def own_seconds(self) -> float:
        """Seconds that were spent on it alone: it waited for no other task in them."""
        return sum(span.end - span.start for span in self.spans if span.phase in OWN_PHASES)

    @property
    def failed(self) -> bool:
        """Whether it failed."""
        return self.outcome.get("action") == "failed"

    def enter(self, phase: Phase | None, at: float) -> None:
        """End the phase that goes on, and begin another; None begins none."""
        if self._phase is Phase.RETRYING and self._since <= self._resumes < at:
            self._add(Phase.RETRYING, self._resumes)
            self._phase, self._since = self._interrupted, self._resumes
        if self._phase is not None:
            self._add(self._phase, at)
        self._phase, self._since = phase, at

    def _add(self, phase: Phase, until: float) -> None:
        if until <= self._since:
            return
        last = self.spans[-1] if self.spans else None
        # A stay at the server is divided later, so it remains a separate span.
        if last and phase is last.phase is not Phase.AT_SERVER and last.end == self._since:
            self.spans[-1] = Span(phase, last.start, until)
        else:
            self.spans.append(Span(phase, self._since, until))

    def retry(self, at: float, delay: float) -> None:
        """Note that a step is tried again after `delay` seconds. Then its phase goes on."""
        self.retries += 1
        interrupted = self._phase if self._phase is not Phase.RETRYING else self._interrupted
        self.enter(Phase.RETRYING, at)
        self._interrupted, self._resumes = interrupted, at + delay

    def begin_work(self, at: float) -> None:
        """Note that a worker of the server was seen to have begun."""
        if self._phase is not Phase.AT_SERVER:
            self.enter(Phase.AT_SERVER, at)
        self._work_began = at

    def end_work(
        self, at: float, then: Phase, work: str, *, seconds: float | None, ended: float | None
    ) -> None:
        """Note the news that a worker has ended, and the phase that follows."""
        started, self._work_began = self._work_began, None
        at_server = self._phase is Phase.AT_SERVER
        self.enter(then, at)
        if at_server and self.spans and self.spans[-1].phase is Phase.AT_SERVER:
            self.stays.append(ServerStay(len(self.spans) - 1, work, started, seconds, ended))

    @property
    def is_transferring(self) -> bool:
        """Whether its bytes are on their way."""
        return self._phase is Phase.TRANSFERRING


@dataclass(slots=True)
class Pause:
    """A time in which the whole run waited for the server, in seconds of the run."""

    start: float
    end: float
    why: str


@dataclass(frozen=True, slots=True)
class Wait:
    """What a part of the run's time went to.

    Attributes:
        cause: The value of a `progress.Cause`.
        words: The cause, for people.
        seconds: How long the run waited for it in all.
    """

    cause: str
    words: str
    seconds: float


@dataclass(slots=True)
class Timeline:
    """What happened in a run.

    Attributes:
        lines: The tasks, in the order in which they ended; those without outcome at the end.
        bytes: The bytes that were received or sent, over time.
        seconds: Seconds from the first event to the last.
        pauses: When the server was unreachable, or asked for a pause.
        waits: What the time of the run went to, the longest first.
        warnings: The run's warnings.
        begun: The record of `command_started`, empty if the log has none.
        description: What the destination holds, in one line. "" if it is unknown.
        planned: Tasks with work in the plans of its steps.
        checked: Targets that a verification checked.
        ended: The records of `run_finished` or `verify_finished`: one, or one for each step of a
            run file.
        estimated: Tasks whose worker's time is estimated from that of the others.
        work: What the server's workers did: `export`, `import`, or both.
    """

    lines: list[TaskLine] = field(default_factory=list)
    bytes: ByteCounts = field(default_factory=ByteCounts)
    seconds: float = 0.0
    pauses: list[Pause] = field(default_factory=list)
    waits: list[Wait] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    begun: Mapping[str, Any] = field(default_factory=dict)
    description: str = ""
    planned: int = 0
    checked: int = 0
    ended: list[Mapping[str, Any]] = field(default_factory=list)
    estimated: int = 0
    work: set[str] = field(default_factory=set)
