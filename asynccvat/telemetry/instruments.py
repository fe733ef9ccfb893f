"""The metrics of runs: counters of tasks, bytes, retries and problems, and durations.

Their attributes have few values: no metric names a task. `spans` does.
"""

from __future__ import annotations

from opentelemetry.metrics import Meter

from asynccvat.core.targets import TargetKind
from asynccvat.telemetry.names import ACTION, DIRECTION, OK, PROBLEM, STAGE, STEP, TARGET, VERB

# Seconds. Those that the API proposes end at ten seconds, and exports take minutes.
_SECONDS = (0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600, 1800, 3600, 14400)


class Instruments:
    """Counts what happens."""

    def __init__(self, meter: Meter) -> None:
        """Make the instruments.

        Args:
            meter: Where they are made.
        """
        self._tasks = meter.create_counter(
            "asynccvat.tasks", unit="{task}", description="Outcomes of tasks, projects or jobs"
        )
        self._bytes = meter.create_counter(
            "asynccvat.network.io", unit="By", description="Bytes of archives and files"
        )
        self._retries = meter.create_counter(
            "asynccvat.retries", unit="{retry}", description="Steps that failed and were retried"
        )
        self._problems = meter.create_counter(
            "asynccvat.verify.problems",
            unit="{problem}",
            description="Differences that verifications found",
        )
        self._runs, self._task_seconds, self._stage_seconds, self._worker_seconds = (
            meter.create_histogram(
                f"asynccvat.{name}.duration",
                unit="s",
                description=description,
                explicit_bucket_boundaries_advisory=_SECONDS,
            )
            for name, description in (
                ("run", "Wall time of runs"),
                ("task", "Time from the start of a task to its outcome"),
                ("stage", "Time of an export, transfer, commit, upload or import"),
                ("server", "Time that a worker of the server took"),
            )
        )

    def count_outcome(self, action: str, target: TargetKind) -> None:
        """Count the outcome of a task."""
        self._tasks.add(1, {ACTION: action, TARGET: str(target)})

    def count_bytes(self, number: int, direction: str) -> None:
        """Count bytes; `direction` is `receive` or `transmit`."""
        self._bytes.add(number, {DIRECTION: direction})

    def count_retry(self, step: str) -> None:
        """Count a retry of a step."""
        self._retries.add(1, {STEP: step})

    def count_problem(self, kind: str) -> None:
        """Count a difference that a verification found."""
        self._problems.add(1, {PROBLEM: kind})

    def record_run(self, seconds: float, verb: str, *, ok: bool) -> None:
        """Record the wall time of a run; `verb` is the function that it was a run of."""
        self._runs.record(seconds, {OK: ok, VERB: verb})

    def record_task(self, seconds: float, action: str) -> None:
        """Record the time from a task's start to its outcome."""
        self._task_seconds.record(seconds, {ACTION: action})

    def record_stage(self, seconds: float, stage: str) -> None:
        """Record the time of a stage."""
        self._stage_seconds.record(seconds, {STAGE: stage})

    def record_worker(self, seconds: float, stage: str) -> None:
        """Record the time of a worker of the server."""
        self._worker_seconds.record(seconds, {STAGE: stage})
