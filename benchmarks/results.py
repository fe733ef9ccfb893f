"""What a benchmark found, as values: goals met or not, the contenders' figures, curves, traces."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from benchmarks.measuring import Run


@dataclass(frozen=True, slots=True)
class Goal:
    """One thing that was to be shown.

    Attributes:
        what: Of what.
        goal: What it should be, in words.
        measured: What it was, in words.
        passed: Whether it is met.
        note: What stands in the way, or what was scaled.
    """

    what: str
    goal: str
    measured: str
    passed: bool
    note: str = ""


@dataclass(frozen=True, slots=True)
class Curve:
    """How wall time, or what else is measured, goes with one setting.

    Attributes:
        name: The plot's file name.
        title: What is shown.
        x_label: The setting and its unit.
        lines: By contender: points of setting and what was measured. A line named `bound` is drawn
            dashed.
        y_label: What was measured, and its unit.
    """

    name: str
    title: str
    x_label: str
    lines: dict[str, list[tuple[float, float]]]
    y_label: str = "seconds"


@dataclass(slots=True, kw_only=True)
class Result:
    """One benchmark's outcome.

    Attributes:
        name: The benchmark.
        title: What it measures, for people.
        scale: Sizes that it ran with.
        goals: What was to be shown.
        runs: The runs of each contender.
        notes: What a reader should know.
        curves: Curves.
        spans: By contender, the exports of one of its runs, for the time lines.
    """

    name: str
    title: str
    scale: str
    goals: list[Goal] = field(default_factory=list)
    runs: dict[str, list[Run]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    curves: list[Curve] = field(default_factory=list)
    spans: dict[str, list[dict[str, Any]]] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """The result as JSON values; what only plots show is left out."""
        return {
            "name": self.name,
            "title": self.title,
            "scale": self.scale,
            "goals": [asdict(goal) for goal in self.goals],
            "contenders": contender_rows(self.runs),
            "runs": {name: [run.to_json() for run in runs] for name, runs in self.runs.items()},
            "notes": self.notes,
            "curves": [asdict(curve) for curve in self.curves],
        }


def at_most(what: str, measured: float, limit: float, unit: str = "", note: str = "") -> Goal:
    """A goal that is met from below."""
    return Goal(
        what, f"<= {limit:g}{unit}", f"{_figure(measured)}{unit}", measured <= limit, note=note
    )


def at_least(what: str, measured: float, limit: float, unit: str = "", note: str = "") -> Goal:
    """A goal that is met from above."""
    return Goal(
        what, f">= {limit:g}{unit}", f"{_figure(measured)}{unit}", measured >= limit, note=note
    )


def _figure(value: float) -> str:
    """Three digits that count, and a thousand without an exponent."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


_FIGURES = (
    "requests_per_task",
    "polls_per_export",
    "workers_idle",
    "without_start",
    "before_exports",
    "after_exports",
    "without_server",
    "notice_seconds",
    "notice_seconds_at_end",
    "most_in_flight",
)


def contender_rows(runs: Mapping[str, Sequence[Run]]) -> list[dict[str, Any]]:
    """Medians of each contender's runs, one row each; figures that it has none of are absent."""
    rows = []
    for name, them in runs.items():
        row: dict[str, Any] = {
            "contender": name,
            "runs": len(them),
            "seconds": round(statistics.median(run.seconds for run in them), 2),
            "process_seconds": round(statistics.median(run.process_seconds for run in them), 2),
            "cpu_seconds": round(statistics.median(run.cpu_seconds for run in them), 2),
        }
        if peak := max(run.peak_mib for run in them):
            row["peak_mib"] = round(peak)
        for figure in _FIGURES:
            values = [run.figures[figure] for run in them if figure in run.figures]
            if values:
                row[figure] = round(statistics.median(values), 3)
        rows.append(row)
    return rows
