"""Count the events of a verification, and turn its report into lines.

`display` has the clock and the terminal.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from asynccvat import VerifyReport
from asynccvat.cli.progress import Progress
from asynccvat.cli.text import counted, number_of_bytes, printable, span
from asynccvat.core.targets import TargetKind
from asynccvat.events import Event, ProblemFound, RepairStarted, VerifyProgress, VerifyStarted
from asynccvat.models import ProblemKind, VerifyProblem

_MOST_NOTES_ALIKE = 10


@dataclass(slots=True)
class VerifyCounts:
    """The counts of one verification, and of the repair that follows.

    Attributes:
        started: The time of the start, in seconds of the clock of `overall`.
        total: Files to check; None until it is known.
        bytes: Bytes to read.
        resumed: Tasks that an interrupted verification has checked.
        target: What is checked: tasks, projects or jobs.
        files: Files that were checked.
        read: Bytes that were read.
        problems: Problems found, notes excluded.
        repair: The counts of the repair; None before it starts.
    """

    started: float
    total: int | None = None
    bytes: int = 0
    resumed: int = 0
    target: TargetKind = TargetKind.TASK
    files: int = 0
    read: int = 0
    problems: int = 0
    repair: Progress | None = field(default=None)

    def apply(self, event: Event, now: float) -> None:
        """Count an event."""
        match event:
            case VerifyStarted():
                self.total, self.bytes, self.resumed = event.files, event.bytes, event.resumed
                self.target = event.target
            case VerifyProgress():
                self.files += event.files
                self.read += event.read
            case ProblemFound(problem=problem):
                self.problems += not problem.kind.is_note
            case RepairStarted():
                self.repair = Progress(now)
            case _ if self.repair is not None:
                self.repair.apply(event, now)
            case _:
                pass

    @property
    def fraction(self) -> float:
        """The share of the work that is done, from 0 to 1."""
        if self.repair is not None:
            return self.repair.fraction
        done, of = (self.read, self.bytes) if self.bytes else (self.files, self.total or 0)
        return min(1.0, done / of) if of else 0.0

    def overall(self, now: float) -> str:
        """Return files, bytes, the rate and the time left in one line."""
        if self.repair is not None:
            return f"repairing: {self.repair.overall(now)}"
        if self.total is None:
            return "reading receipts"
        seconds = max(now - self.started, 1e-9)
        parts = [
            f"{min(self.files, self.total):,}/{self.total:,} files",
            f"{number_of_bytes(self.read)} of {number_of_bytes(self.bytes)}",
        ]
        if self.read:
            parts.append(f"{number_of_bytes(self.read / seconds)}/s")
            if self.read < self.bytes:
                parts.append(f"{span(seconds / self.read * (self.bytes - self.read))} left")
        return ", ".join(parts)

    def details(self, now: float) -> list[str]:
        """Return what a repair waits for, and its slowest tasks."""
        return [] if self.repair is None else self.repair.details(now)

    def stages(self, now: float) -> str:
        """Return in one line what was found so far."""
        if self.repair is not None:
            return self.repair.stages(now)
        found = counted(self.problems, "problem")
        if not self.resumed:
            return found
        return f"{found}, {counted(self.resumed, self.target)} checked before"


def problem_lines(report: VerifyReport, *, notes: bool, repaired: bool) -> Iterator[str]:
    """Yield a line for each problem; of many notes of one kind, the first ones."""
    for problem in report.repaired if repaired else ():
        yield f"repaired: {_line(problem)}"
    noted: Counter[ProblemKind] = Counter()
    for problem in report.problems:
        if not problem.kind.is_note:
            yield _line(problem)
        elif notes:
            noted[problem.kind] += 1
            if noted[problem.kind] <= _MOST_NOTES_ALIKE:
                yield _line(problem)
    for kind, count in noted.items():
        if count > _MOST_NOTES_ALIKE:
            yield f"{kind}: {count - _MOST_NOTES_ALIKE:,} more; --json names them all"


def _line(problem: VerifyProblem) -> str:
    return f"{problem.kind}: {printable(problem.place)}: {printable(problem.reason)}"


def summary(report: VerifyReport, place: str) -> str:
    """Return in one line what a verification found."""
    how = "Done in"
    if report.interrupted:
        how = "Interrupted after" if report.stopped_by is None else "Stopped after"
    found = [f"{count:,} {kind}" for kind, count in report.counts.items()]
    if report.ok:
        found.insert(0, "no problems")
    if report.without_receipts:
        found.insert(0, "nothing to compare with")
    if not report.listing_complete:
        found.append("not all compared with the server")
    if report.repaired:
        found.insert(0, f"{len(report.repaired):,} repaired")
    read = f"{counted(report.files, 'file')}, {number_of_bytes(report.bytes)} read"
    parts = [f"{how} {span(report.seconds)}: {counted(report.tasks, report.target)}, {read}"]
    if found:
        parts.append(f" ({', '.join(found)})")
    if report.resumed:
        parts.append(f", {counted(report.resumed, report.target)} of them checked before")
    if report.kept:
        # Earlier runs moved most of them there, so the sentence does not say when.
        parts.append(f", {counted(report.kept, 'item')} in .asynccvat/kept")
    return f"{''.join(parts)}: {place}"
