"""How wall time goes with the number of tasks, concurrency, the server's workers and latency."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from asynccvat.simulator import SimulatorOptions
from benchmarks.cases.mirrors import POOL_POLL, POOL_THREADS, check_mirrors, small_tasks, timed
from benchmarks.contenders import OURS, Mirrorer, asynccvat_mirror, sdk_mirror
from benchmarks.results import Curve, Result
from benchmarks.setting import Setting

_POOL = "cvat-sdk, threads, 0.2 s poll"
Point = tuple[float, SimulatorOptions, Mirrorer, Mirrorer]


def curves(setting: Setting) -> Result:
    """One run a point: the shape is what counts."""
    base = setting.sizes.curve_tasks
    quick = setting.sizes.label == "quick"
    pool = sdk_mirror(setting.cache, threads=POOL_THREADS, poll=POOL_POLL)
    ours = asynccvat_mirror()
    check_mirrors({OURS: ours, _POOL: pool}, small_tasks(6, costs=False), setting.folder("check"))

    def points(values: Iterable[float], options: Callable[[Any], SimulatorOptions]) -> list[Point]:
        chosen = list(values)[-2:] if quick else list(values)
        return [(value, options(value), ours, pool) for value in chosen]

    def in_flight(values: tuple[int, ...]) -> list[Point]:
        return [
            (
                value,
                small_tasks(base),
                asynccvat_mirror(concurrency=value),
                sdk_mirror(setting.cache, threads=value, poll=POOL_POLL),
            )
            for value in (values[-2:] if quick else values)
        ]

    found = [
        _curve(
            setting,
            "tasks",
            "wall time by tasks",
            "tasks",
            points((base // 4, base // 2, base, 2 * base), small_tasks),
        ),
        _curve(
            setting,
            "concurrency",
            f"wall time by exports in flight (threads), {base} tasks",
            "exports in flight",
            in_flight((2, 4, 8, 16, 32)),
        ),
        _curve(
            setting,
            "workers",
            f"wall time by the server's export workers, {base} tasks",
            "export workers",
            points((1, 2, 4, 8), lambda value: small_tasks(base, export_workers=value)),
        ),
        _curve(
            setting,
            "latency",
            f"wall time by seconds of a call, {base} tasks",
            "seconds of an API worker for a call",
            points((0.005, 0.02, 0.04, 0.1, 0.2), lambda value: small_tasks(base, latency=value)),
        ),
    ]
    return Result(
        name="curves",
        title="Wall time by one setting at a time",
        scale=f"{base} tasks x 5 frames; 2 export workers x 0.25 s; 2 API workers x 40 ms, but for "
        "what each curve varies; one run a point",
        curves=found,
        notes=[
            (
                "The bound is the larger of the export workers' time and that of the API workers "
                "for two calls a task."
            )
        ],
    )


def _curve(setting: Setting, name: str, title: str, x_label: str, points: Iterable[Point]) -> Curve:
    work = setting.folder(f"curve-{name}")
    lines: dict[str, list[tuple[float, float]]] = {OURS: [], _POOL: [], "bound": []}
    for value, options, ours, pool in points:
        for label, who in ((OURS, ours), (_POOL, pool)):
            run = timed(who, options, work)(0)
            lines[label].append((value, round(run.seconds, 2)))
        lines["bound"].append((value, round(_bound(options), 2)))
        print(f"    {name} {value:g}: " + ", ".join(
            f"{label} {line[-1][1]:.1f} s" for label, line in lines.items()
        ), flush=True)  # fmt: skip
    return Curve(f"curve-{name}", title, x_label, lines)


def _bound(options: SimulatorOptions) -> float:
    assert isinstance(options.export_seconds, float)
    exports = options.tasks * options.export_seconds / options.export_workers
    return max(exports, 2 * options.tasks * options.latency / options.api_workers)
