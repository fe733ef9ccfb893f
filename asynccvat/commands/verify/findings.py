"""Collect what a verification finds: problems, warnings, counts, and the report made of them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from asynccvat.aio.callbacks import Callback
from asynccvat.core.plans.verify import VerifyReport
from asynccvat.core.problems import ProblemKind, VerifyProblem
from asynccvat.core.targets import TargetKind
from asynccvat.events import Event, ProblemFound, VerifyFinished, VerifyProgress, Warned


class Findings:
    """What one verification has found so far.

    Attributes:
        report: The report, complete once it is closed.
        target: What is verified: tasks, projects or jobs.
        problems: The problems, in the order in which they were found.
        files: How many files each task has, or each zip.
        emit: Passes events on.
    """

    def __init__(self, emit: Callback[Event]) -> None:
        self.report = VerifyReport(interrupted=True)
        self.target = TargetKind.TASK
        self.problems: list[VerifyProblem] = []
        self.files: dict[int, int] = {}
        self.emit = emit
        self._bytes = 0

    def note(self, **fields: Any) -> None:
        """Set fields of the report."""
        self.report = replace(self.report, **fields)

    def count(self, files: int, read: int) -> None:
        """Count files and bytes that were read."""
        self._bytes += read
        self.emit(VerifyProgress(files=files, read=read))

    def found(self, problems: Iterable[VerifyProblem]) -> None:
        """Add problems."""
        for problem in map(self.of_target, problems):
            self.problems.append(problem)
            self.emit(ProblemFound(problem))

    def of_target(self, problem: VerifyProblem) -> VerifyProblem:
        """Say that a problem is about a project or a job: files are compared by ids alone."""
        is_said = problem.target is not TargetKind.TASK
        if is_said or problem.kind is ProblemKind.NOT_MIRRORED:
            return problem
        return replace(problem, target=self.target)

    def warn(self, message: str) -> None:
        """Add a warning."""
        self.note(warnings=(*self.report.warnings, message))
        self.emit(Warned(message))

    def hear(self, event: Event) -> None:
        """Pass an event of a repair on; its warnings belong to the report, too."""
        if isinstance(event, Warned):
            self.warn(event.message)
        else:
            self.emit(event)

    def close(self, *, seconds: float, interrupted: bool) -> None:
        """Complete the report."""
        self.note(
            problems=tuple(sorted(self.problems, key=_by_place)),
            files=sum(self.files.values()),
            bytes=self._bytes,
            seconds=seconds,
            interrupted=interrupted,
        )
        self.emit(VerifyFinished(self.report))


def _by_place(problem: VerifyProblem) -> tuple[str, int, str]:
    return problem.path, problem.task_id or 0, problem.kind
