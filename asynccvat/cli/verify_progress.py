"""How a verification stands, counted from its events; and what it found, in lines.

No clock and no terminal: `display` has those.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from asynccvat import VerifyReport
from asynccvat.cli.progress import Progress
from asynccvat.cli.text import counted, number_of_bytes, printable, span
from asynccvat.events import Event, ProblemFound, RepairStarted, VerifyProgress, VerifyStarted
from asynccvat.models import ProblemKind, VerifyProblem

_MOST_NOTES_ALIKE = 10


@dataclass(slots=True)
class VerifyCounts:
    """The counts of one verification, and those of the repair once that has begun.

    Attributes:
        started: When it began, in seconds of the clock that `overall` is given, too.
        total: Files to look at; None until that is known.
        bytes: Bytes to read.
        resumed: Tasks that were read before.
        files: Files that were looked at.
        read: Bytes that were read.
        problems: What was found that is no note.
        repair: The mirror that repairs, None before.
    """

    started: float
    total: int | None = None
    bytes: int = 0
    resumed: int = 0
    files: int = 0
    read: int = 0
    problems: int = 0
    repair: Progress | None = field(default=None)

    def apply(self, event: Event) -> None:
        """Count one event in."""
        match event:
            case VerifyStarted():
                self.total, self.bytes, self.resumed = event.files, event.bytes, event.resumed
            case VerifyProgress():
                self.files += event.files
                self.read += event.read
            case ProblemFound(problem=problem):
                self.problems += not problem.kind.is_note
            case RepairStarted():
                self.repair = Progress(self.started)
            case _ if self.repair is not None:
                self.repair.apply(event)
            case _:
                pass

    @property
    def fraction(self) -> float:
        """The share that is done, from 0 to 1."""
        if self.repair is not None:
            return self.repair.fraction
        done, of = (self.read, self.bytes) if self.bytes else (self.files, self.total or 0)
        return min(1.0, done / of) if of else 0.0

    def overall(self, now: float) -> str:
        """Files, bytes, the rate and the time left, in one line."""
        if self.repair is not None:
            return f"repairing: {self.repair.overall(now)}"
        if self.total is None:
            return "reading the receipts"
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

    def stages(self) -> str:
        """What was found so far, in one line."""
        if self.repair is not None:
            return self.repair.stages()
        found = counted(self.problems, "problem")
        return f"{found}, {counted(self.resumed, 'task')} read before" if self.resumed else found


def problem_lines(report: VerifyReport, *, notes: bool, repaired: bool) -> Iterator[str]:
    """One line for each problem; of notes that many have in common, the first ones."""
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
    """What a verification found, in one line."""
    how = "Done in"
    if report.interrupted:
        how = "Interrupted after" if report.stopped_by is None else "Stopped after"
    found = [f"{count:,} {kind}" for kind, count in report.counts.items()]
    if report.ok:
        found.insert(0, "all is well")
    if not report.listing_complete:
        found.append("not all compared with the server")
    if report.repaired:
        found.insert(0, f"{len(report.repaired):,} repaired")
    read = f"{counted(report.files, 'file')}, {number_of_bytes(report.bytes)} read"
    parts = [f"{how} {span(report.seconds)}: {counted(report.tasks, 'task')}, {read}"]
    if found:
        parts.append(f" ({', '.join(found)})")
    if report.resumed:
        parts.append(f", {counted(report.resumed, 'task')} of them read before")
    if report.kept:
        parts.append(f", {report.kept:,} put aside in .asynccvat/kept")
    return f"{''.join(parts)}: {place}"
