"""What the benchmarks make of a server's trace and of runs: figures, goals and tables."""

from __future__ import annotations

import inspect
import pkgutil
from importlib import import_module

import pytest

from benchmarks import cases
from benchmarks.measuring import Run, in_turns, median_ratio
from benchmarks.reporting import page
from benchmarks.results import Curve, Result, at_least, at_most
from benchmarks.traces import Call, Span, calls_by_kind, idle_share, scheduler_figures


def span(task_id: int, worker: int, queued: float, started: float, finished: float) -> Span:
    return {
        "rq_id": f"action=export&target=task&target_id={task_id}&user_id=1",
        "worker": worker,
        "queued": queued,
        "started": started,
        "finished": finished,
        "status": "finished",
    }


def call(
    method: str, path: str, started: float, *, task_id: int | None = None, status: int = 200
) -> Call:
    return {
        "method": method,
        "path": path,
        "query": "",
        "started": started,
        "seconds": 0.1,
        "task_id": task_id,
        "status": status,
    }


def run(name: str, seconds: float) -> Run:
    return Run(
        contender=name, seconds=seconds, process_seconds=seconds, cpu_seconds=0.5, peak_mib=10.0
    )


def trace(clock: float = 0.0) -> tuple[list[Call], list[Span]]:
    """Two exports on one worker; the second is noticed late, after a download that was early."""
    spans = [span(1, 0, 1.0, 1.0, 2.0), span(2, 0, 1.5, 2.5, 3.5)]
    export, download = "/api/tasks/{}/dataset/export", "/api/tasks/{}/dataset/download"
    calls = [
        call("GET", "/api/tasks", 0.0),
        call("POST", export.format(1), 0.9, task_id=1, status=202),
        call("POST", export.format(2), 1.4, task_id=2, status=202),
        call("GET", "/api/requests", 2.0),
        call("GET", download.format(1), 2.2, task_id=1, status=206),
        call("GET", download.format(2), 3.4, task_id=2, status=400),
        call("GET", "/api/requests/action=export", 3.8, task_id=2),
        call("GET", download.format(2), 4.1, task_id=2, status=206),
    ]
    return [one | {"started": one["started"] + clock} for one in calls], spans


def test_polls_are_statuses_lists_and_downloads_that_came_too_early() -> None:
    figures = scheduler_figures(*trace(), workers=1, seconds=4.3)
    assert figures["polls_per_export"] == 3 / 2
    assert figures["early_downloads"] == 1
    assert figures["requests_per_task"] == 8 / 2


@pytest.mark.parametrize("clock", [0.0, 0.7, -0.3])
def test_a_notice_counts_from_the_exports_end_whatever_the_calls_clock_says(clock: float) -> None:
    figures = scheduler_figures(*trace(clock), workers=1, seconds=4.3)
    assert figures["notice_seconds"] == pytest.approx((0.2 + 0.6) / 2)


def test_the_notice_at_the_end_leaves_out_exports_while_the_backlog_was_full() -> None:
    calls, spans = trace()
    spans[1]["queued"] = 2.1
    figures = scheduler_figures(calls, spans, workers=1, seconds=4.3)
    assert figures["most_in_flight"] == 1
    assert figures["notice_seconds_at_end"] > figures["notice_seconds"]


def test_what_the_bound_has_no_room_for_is_told() -> None:
    figures = scheduler_figures(*trace(), workers=1, seconds=4.3)
    assert figures["before_exports"] == pytest.approx(1.0)
    assert figures["after_exports"] == pytest.approx(4.2 - 3.5)
    assert figures["without_server"] == pytest.approx(0.1)


def test_idle_workers_are_counted_between_the_first_export_and_the_last() -> None:
    _, spans = trace()
    assert idle_share(spans, 1) == pytest.approx(0.5 / 2.5)
    assert idle_share(spans, 2) == pytest.approx(3.0 / 5.0)


def test_calls_are_counted_by_kind_with_ids_left_out() -> None:
    calls, _ = trace()
    kinds = calls_by_kind(calls)
    assert kinds["GET /api/tasks/N/dataset/download"] == 3
    assert kinds["GET /api/requests/N"] == 1


def test_contenders_take_turns_and_alternate_who_goes_first() -> None:
    order: list[str] = []

    def contender(name: str, seconds: float) -> Run:
        order.append(name)
        return run(name, seconds)

    runs = in_turns(
        2,
        {
            "ours": lambda number: contender("ours", 1.0 + number),
            "peer": lambda _: contender("peer", 4.0),
        },
    )
    assert order == ["ours", "peer", "peer", "ours"]
    assert median_ratio(runs["peer"], runs["ours"]) == (4.0 + 2.0) / 2


def test_every_case_can_be_asked_for() -> None:
    modules = [
        import_module(f"{cases.__name__}.{found.name}")
        for found in pkgutil.iter_modules(cases.__path__)
    ]
    found = {
        value
        for module in modules
        for name, value in vars(module).items()
        if inspect.isfunction(value)
        and value.__module__ == module.__name__
        and not name.startswith("_")
        and inspect.signature(value, eval_str=True).return_annotation is Result
    }
    assert found == set(cases.CASES.values())


def test_goals_say_whether_they_are_met() -> None:
    assert at_most("wall", 1.05, 1.05).passed
    assert not at_most("wall", 1.06, 1.05).passed
    assert at_least("ratio", 20.0, 20).passed
    assert not at_least("ratio", 19.9, 20).passed


def test_the_page_shows_goals_contenders_curves_and_notes() -> None:
    result = Result(
        name="one",
        title="One benchmark",
        scale="3 tasks",
        goals=[at_most("wall", 2.0, 1.05, note="the disk")],
        runs={"curl | bsdtar": [run("curl | bsdtar", 2.0)]},
        notes=["A note."],
        curves=[Curve("curve", "wall time by tasks", "tasks", {"ours": [(3, 2.0)]})],
    )
    around = {
        "sizes": "full",
        "command": "python -m benchmarks --full",
        "date": "2026-03-01 10:00",
        "machine": "a machine",
        "load_before": 0.1,
        "versions": {"python": "3.13", "commit": "abc", "peers": "sdk", "curl": "curl 8",
                     "bsdtar": "bsdtar 3", "unzip": "UnZip 6"},
    }  # fmt: skip
    text = page([{"surroundings": around, **result.to_json()}])
    assert "| One benchmark: wall | <= 1.05 | 2 (the disk) | **no** |" in text
    assert "| curl \\| bsdtar | 1 | 2 |" in text
    assert "| 3 | 2.0 |" in text
    assert "`python -m benchmarks --full` on 2026-03-01 10:00" in text
    assert "A note." in text
