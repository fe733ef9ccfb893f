"""Figures as SVG: time lines of the server's workers, curves, memory over time.

Matplotlib is an optional dependency (`asynccvat[bench]`); without it there are tables only.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

from benchmarks.results import Curve, Result

# The same figures give the same bytes, and text stays text.
mpl.rcParams.update({"svg.hashsalt": "asynccvat", "svg.fonttype": "none", "font.size": 9})


def plot(result: Result, folder: Path) -> list[Path]:
    """Draw what a result has to show; the files' paths."""
    made = [_draw_curve(curve, folder) for curve in result.curves]
    if result.spans:
        made.append(_draw_time_lines(result, folder))
    if any(run.memory for runs in result.runs.values() for run in runs):
        made.append(_draw_memory(result, folder))
    return made


def _draw_time_lines(result: Result, folder: Path) -> Path:
    """When each of the server's workers ran an export, one picture a contender."""
    longest = max(_end(spans) for spans in result.spans.values())
    figure = Figure(figsize=(10, 1.1 + 0.9 * len(result.spans)), layout="constrained")
    axes = figure.subplots(len(result.spans), 1, sharex=True, squeeze=False)[:, 0]
    for axis, (contender, spans) in zip(axes, result.spans.items(), strict=True):
        began = _begin(spans)
        workers = sorted({span["worker"] for span in spans})
        for worker in workers:
            bars = [
                (span["started"] - began, span["finished"] - span["started"])
                for span in spans
                if span["worker"] == worker
            ]
            axis.broken_barh(bars, (worker - 0.4, 0.8), edgecolor="white", linewidth=0.2)
        axis.set_yticks(workers, [f"worker {worker}" for worker in workers])
        axis.set_title(contender, loc="left", fontsize=9)
        axis.set_xlim(0, longest)
    axes[-1].set_xlabel("seconds since the first export; gaps are idle workers")
    return _save(figure, folder / f"{result.name}-workers.svg")


def _begin(spans: list[dict[str, Any]]) -> float:
    return float(min(span["started"] for span in spans))


def _end(spans: list[dict[str, Any]]) -> float:
    return float(max(span["finished"] for span in spans)) - _begin(spans)


def _draw_memory(result: Result, folder: Path) -> Path:
    """Resident memory of each contender's last run."""
    figure = Figure(figsize=(8, 4), layout="constrained")
    axis = figure.subplots()
    for contender, runs in result.runs.items():
        if runs[-1].memory:
            seconds, mib = zip(*runs[-1].memory, strict=True)
            axis.plot(seconds, mib, label=contender, linewidth=1)
    axis.set_xlabel("seconds since the start of the process")
    axis.set_ylabel("resident memory, MiB, children included")
    axis.set_ylim(bottom=0)
    axis.legend(fontsize=8)
    axis.set_title(result.title, loc="left")
    return _save(figure, folder / f"{result.name}-memory.svg")


def _draw_curve(curve: Curve, folder: Path) -> Path:
    figure = Figure(figsize=(6, 4), layout="constrained")
    axis = figure.subplots()
    for name, points in curve.lines.items():
        x, y = zip(*points, strict=True)
        if name == "bound":
            axis.plot(x, y, "--", color="gray", label="the server's bound", linewidth=1)
        else:
            axis.plot(x, y, marker="o", label=name)
    axis.set_xlabel(curve.x_label)
    axis.set_ylabel(curve.y_label)
    axis.set_ylim(bottom=0)
    axis.legend(fontsize=8)
    axis.set_title(curve.title, loc="left")
    return _save(figure, folder / f"{curve.name}.svg")


def _save(figure: Figure, path: Path) -> Path:
    figure.savefig(path, format="svg", metadata={"Date": None})
    return path
