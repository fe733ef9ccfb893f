"""Spans and metrics of runs, as OpenTelemetry's own SDK receives them."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import pytest
from collected import SECOND, Telemetry, attributes, happened, parent, times
from engine_serving import QUICK, serving
from every_verb import VERBS, Verb

import asynccvat as ac
from asynccvat import events
from asynccvat.core.outcomes import Action, TaskOutcome
from asynccvat.core.problems import ProblemKind, VerifyProblem
from asynccvat.core.scheduling.stalls import QueueStall
from asynccvat.errors import ExportFailedError, OutageError
from asynccvat.simulator import Fault

GIB = 1024**3


@pytest.fixture
def telemetry() -> Telemetry:
    return Telemetry()


def done(task_id: int, action: Action = Action.FETCHED, **rest: Any) -> events.TaskDone:
    return events.TaskDone(TaskOutcome(task_id=task_id, action=action, reason="new", **rest))


FETCHED = (
    (1, events.RunStarted(8, verb="mirror")),
    (2, events.TaskStarted(7, "seven")),
    (3, events.ExportRequested(7, "rq7", created=True)),
    (5, events.ExportStarted(7)),
    (9, events.ExportFinished(7, 4.0)),
    (10, events.TransferStarted(7, 100, 20)),
    (11, events.TransferProgress(7, 30)),
    (12, events.TransferProgress(7, 50)),
    (13, events.TransferFinished(7)),
    (15, done(7, name="seven", transferred=80, files=3)),
    (16, events.RunFinished(ac.RunReport(outcomes=(done(7).outcome,), transferred=80))),
)


def test_the_stages_of_a_task_are_spans_inside_that_of_the_task_and_it_inside_the_run(
    telemetry: Telemetry,
) -> None:
    telemetry.play(*FETCHED)
    assert {
        span.name: (parent(span, telemetry.spans), times(span)) for span in telemetry.spans
    } == {
        "asynccvat.export": ("asynccvat.task", (3, 9)),
        "asynccvat.transfer": ("asynccvat.task", (10, 13)),
        "asynccvat.commit": ("asynccvat.task", (13, 15)),
        "asynccvat.task": ("asynccvat.run", (2, 15)),
        "asynccvat.run": (None, (1, 16)),
    }
    assert all(span.status.is_unset for span in telemetry.spans)


def test_spans_say_what_they_are_about(telemetry: Telemetry) -> None:
    telemetry.play(*FETCHED)
    assert attributes(telemetry.one("task")) == {
        "asynccvat.target": "task",
        "asynccvat.target.id": 7,
        "asynccvat.name": "seven",
        "asynccvat.action": "fetched",
        "asynccvat.reason": "new",
        "asynccvat.files": 3,
        "asynccvat.bytes": 80,
    }
    assert attributes(telemetry.one("export")) == {
        "asynccvat.request.id": "rq7",
        "asynccvat.request.created": True,
        "asynccvat.server.seconds": 4.0,
    }
    assert happened(telemetry.one("export")) == [("server.started", {})]
    assert attributes(telemetry.one("transfer")) == {
        "asynccvat.size": 100,
        "asynccvat.reused": 20,
        "asynccvat.bytes": 80,
    }
    assert attributes(telemetry.one("run")) == {
        "asynccvat.verb": "mirror",
        "asynccvat.transfers": 8,
        "asynccvat.target": "task",
        "asynccvat.ok": True,
        "asynccvat.tasks": 1,
        "asynccvat.bytes": 80,
        "asynccvat.requests": 0,
    }


def test_metrics_count_tasks_bytes_and_durations(telemetry: Telemetry) -> None:
    telemetry.play(*FETCHED)
    assert telemetry.counts("tasks") == {("fetched", "task"): 1}
    assert telemetry.counts("network.io") == {("receive",): 80}
    assert telemetry.counts("retries") == {}
    assert telemetry.seconds("run.duration") == {(True, "mirror"): 15.0}
    assert telemetry.seconds("task.duration") == {("fetched",): 13.0}
    assert telemetry.seconds("stage.duration") == {
        ("export",): 6.0,
        ("transfer",): 3.0,
        ("commit",): 2.0,
    }
    assert telemetry.seconds("server.duration") == {("export",): 4.0}


def test_an_upload_has_a_span_for_the_file_and_one_for_the_import(telemetry: Telemetry) -> None:
    telemetry.play(
        (0, events.RunStarted(2)),
        (0, events.TaskStarted(4, "four")),
        (1, events.UploadStarted(4, GIB)),
        (2, events.UploadProgress(4, GIB)),
        (3, events.ImportRequested(4, "rq4")),
        (4, events.ImportStarted(4)),
        (8, events.ImportFinished(4, None)),
        (9, done(4, Action.UPLOADED)),
        (9, events.RunFinished(ac.RunReport())),
    )
    assert times(telemetry.one("upload")) == (1, 3)
    assert attributes(telemetry.one("upload"))["asynccvat.bytes"] == GIB
    assert times(telemetry.one("import")) == (3, 8)
    assert telemetry.counts("network.io") == {("transmit",): GIB}
    assert telemetry.counts("tasks") == {("uploaded", "task"): 1}
    assert telemetry.seconds("server.duration") == {}


def test_a_task_that_failed_is_an_error_as_is_its_stage_and_the_run(telemetry: Telemetry) -> None:
    failed = done(3, Action.FAILED, error=ExportFailedError("no data"))
    telemetry.play(
        (0, events.RunStarted(2)),
        (0, events.TaskStarted(3, "three")),
        (1, events.ExportRequested(3, "rq3", created=False)),
        (2, failed),
        (3, events.RunFinished(ac.RunReport(outcomes=(failed.outcome,)))),
    )
    for name, description in (
        ("export", "task 3: no data"),
        ("task", "task 3: no data"),
        ("run", "1 of 1 tasks failed or were passed over"),
    ):
        span = telemetry.one(name)
        assert (span.status.is_ok, span.status.description) == (False, description)
        assert attributes(span).get("error.type") == (
            None if name == "run" else "ExportFailedError"
        )
    assert telemetry.counts("tasks") == {("failed", "task"): 1}
    assert telemetry.seconds("run.duration") == {(False, ""): 3.0}


def test_unchanged_tasks_are_counted_without_a_span_and_refused_ones_have_one(
    telemetry: Telemetry,
) -> None:
    telemetry.play(
        (0, events.RunStarted(2)),
        (0, done(1, Action.KEPT)),
        (0, done(2, Action.KEPT)),
        (0, done(3, Action.FAILED, name="three", error=ExportFailedError("no"))),
        (1, events.RunFinished(ac.RunReport(outcomes=(done(1, Action.KEPT).outcome,)))),
    )
    refused = telemetry.one("task")
    assert attributes(refused)["asynccvat.target.id"] == 3
    assert parent(refused, telemetry.spans) == "asynccvat.run"
    assert telemetry.counts("tasks") == {("kept", "task"): 2, ("failed", "task"): 1}
    assert telemetry.seconds("task.duration") == {}


def test_a_retry_is_counted_by_step_and_noted_where_it_happened(telemetry: Telemetry) -> None:
    telemetry.play(
        (0, events.RunStarted(2)),
        (0, events.Retrying(None, "list", "broken", 0.5)),
        (1, events.TaskStarted(3, "")),
        (1, events.TransferStarted(3, None, 0)),
        (2, events.Retrying(3, "download", "cut", 1.0)),
        (3, events.TransferFinished(3)),
        (4, done(3)),
        (4, events.RunFinished(ac.RunReport())),
    )
    assert telemetry.counts("retries") == {("list",): 1, ("download",): 1}
    assert happened(telemetry.one("transfer")) == [
        ("retry", {"step": "download", "error": "cut", "delay": 1.0})
    ]
    assert happened(telemetry.one("run")) == [
        ("retry", {"step": "list", "error": "broken", "delay": 0.5})
    ]


def test_what_concerns_the_whole_run_is_noted_in_its_span(telemetry: Telemetry) -> None:
    stall = QueueStall(action="export", seconds=300, waiting=2, running=1, since=None)
    telemetry.play(
        (0, events.RunStarted(2)),
        (0, events.ListingRead(3, complete=True)),
        (1, events.ServerPaused(5.0)),
        (2, events.ServerUnreachable(1.0, 60.0, "refused")),
        (3, events.ServerBack(2.0)),
        (4, events.QueueStalled(stall)),
        (5, events.Warned("odd")),
        (6, events.RunFinished(ac.RunReport(stopped_by=OutageError("gone")))),
    )
    assert happened(telemetry.one("run")) == [
        ("listing", {"tasks": 3, "complete": True}),
        ("server.paused", {"seconds": 5.0}),
        ("server.unreachable", {"seconds": 1.0, "wait": 60.0, "error": "refused"}),
        ("server.back", {"seconds": 2.0}),
        ("queue.stalled", {"message": str(stall)}),
        ("warning", {"message": "odd"}),
    ]


def test_an_error_that_stopped_the_run_is_that_of_its_span(telemetry: Telemetry) -> None:
    report = ac.RunReport(interrupted=True, stopped_by=OutageError("gone"))
    telemetry.play(
        (0, events.RunStarted(2)),
        (1, events.TaskStarted(3, "")),
        (1, events.ExportRequested(3, "rq", created=True)),
        (2, events.RunFinished(report)),
    )
    run = telemetry.one("run")
    assert run.status.description == "gone"
    assert attributes(run)["error.type"] == "OutageError"
    assert times(telemetry.one("export")) == (1, 2)
    assert telemetry.one("task").status.description == "the run ended before the task"


@pytest.mark.parametrize(
    ("report", "why"),
    [
        (ac.RunReport(guard="too many removals"), "too many removals"),
        (ac.RunReport(interrupted=True), "interrupted"),
        (ac.RunReport(listing_complete=False), "the list of the server was not complete"),
    ],
)
def test_the_span_of_a_run_that_is_not_ok_says_why(
    telemetry: Telemetry, report: ac.RunReport, why: str
) -> None:
    telemetry.play((0, events.RunStarted(1)), (1, events.RunFinished(report)))
    assert telemetry.one("run").status.description == why


def test_a_task_that_begins_again_has_one_span_and_two_exports(telemetry: Telemetry) -> None:
    telemetry.play(
        (0, events.RunStarted(2)),
        (0, events.TaskStarted(3, "")),
        (1, events.ExportRequested(3, "a", created=True)),
        (2, events.TaskStarted(3, "")),
        (3, events.ExportRequested(3, "b", created=True)),
        (4, events.TransferStarted(3, 1, 0)),
        (5, events.ExportFinished(3, 1.0)),
        (6, done(3)),
        (7, events.RunFinished(ac.RunReport())),
    )
    assert [times(span) for span in telemetry.named("export")] == [(1, 2), (3, 4)]
    assert times(telemetry.one("transfer")) == (4, 6)
    assert times(telemetry.one("task")) == (0, 6)


def test_a_verification_holds_the_run_of_its_repair(telemetry: Telemetry) -> None:
    problem = VerifyProblem(kind=ProblemKind.MISSING, path="task1/a.jpg", task_id=1)
    telemetry.play(
        (0, events.VerifyStarted(2, 5, 100, 0)),
        (1, events.ProblemFound(problem)),
        (2, events.RepairStarted(1)),
        (2, events.RunStarted(4)),
        (3, events.RunFinished(ac.RunReport())),
        (4, events.VerifyFinished(ac.VerifyReport(problems=(problem,), tasks=2, files=5))),
    )
    verify = telemetry.one("verify")
    assert times(verify) == (0, 4)
    assert parent(telemetry.one("run"), telemetry.spans) == "asynccvat.verify"
    assert verify.status.description == "the mirror has problems"
    assert telemetry.counts("verify.problems") == {("missing",): 1}


def test_runs_whose_end_did_not_come_are_ended_by_the_next(telemetry: Telemetry) -> None:
    telemetry.play(
        (0, events.VerifyStarted(1, 1, 1, 0)),
        (1, events.RunStarted(2)),
        (2, events.VerifyStarted(1, 1, 1, 0)),
        (3, events.VerifyFinished(ac.VerifyReport())),
        (4, events.RunStarted(2)),
        (5, events.RunFinished(ac.RunReport())),
    )
    assert [span.status.description for span in telemetry.named("run")] == [
        "the run did not end",
        None,
    ]
    assert [span.status.description for span in telemetry.named("verify")] == [
        "the verification did not end",
        None,
    ]


def test_events_without_their_beginning_are_counted_and_have_no_span(telemetry: Telemetry) -> None:
    telemetry.play(
        (0, events.ListingRead(1, complete=True)),
        (0, events.ExportRequested(3, "rq", created=True)),
        (1, events.ExportStarted(3)),
        (2, events.ExportFinished(3, 1.5)),
        (3, events.Retrying(3, "", "cut", 0.0)),
        (4, events.TransferProgress(3, 10)),
        (5, done(3)),
        (6, events.RunFinished(ac.RunReport())),
        (7, events.VerifyFinished(ac.VerifyReport())),
    )
    assert telemetry.spans == ()
    assert telemetry.counts("tasks") == {("fetched", "task"): 1}
    assert telemetry.counts("network.io") == {("receive",): 10}
    assert telemetry.counts("retries") == {("task",): 1}
    assert telemetry.seconds("server.duration") == {("export",): 1.5}


def test_the_warnings_of_an_outcome_are_noted_in_the_span_of_its_task(telemetry: Telemetry) -> None:
    telemetry.play(
        (0, events.RunStarted(2)),
        (0, events.TaskStarted(3, "")),
        (1, done(3, warnings=("put aside",))),
        (1, events.RunFinished(ac.RunReport())),
    )
    assert happened(telemetry.one("task")) == [("warning", {"message": "put aside"})]


@pytest.mark.anyio
async def test_a_mirror_is_one_trace_inside_the_current_span(tmp_path: Path) -> None:
    telemetry = Telemetry()
    listener = telemetry.with_clock(itertools.count(step=SECOND).__next__)
    async with serving(3) as serve:
        serve.server.faults.add(Fault(export="fail", task_id=2))
        with telemetry.tracers.get_tracer("caller").start_as_current_span("caller"):
            report = await ac.mirror(
                serve.client, tmp_path / "data", options=QUICK, on_event=listener
            )
        again = await ac.mirror(serve.client, tmp_path / "data", options=QUICK, on_event=listener)
    assert len(report.failures) == 1
    first, second = telemetry.named("run")
    assert parent(first, telemetry.spans) == "caller"
    assert parent(second, telemetry.spans) is None
    (trace,) = {
        span.context.trace_id
        for span in telemetry.spans
        if span.context is not None and span.name == "caller"
    }
    of_first = [span for span in telemetry.spans if span.context and span.context.trace_id == trace]
    tasks = [span for span in of_first if span.name == "asynccvat.task"]
    assert sorted(attributes(span)["asynccvat.target.id"] for span in tasks) == [1, 2, 3]
    assert {parent(span, telemetry.spans) for span in tasks} == {"asynccvat.run"}
    stages = [span.name for span in of_first if parent(span, telemetry.spans) == "asynccvat.task"]
    assert [stages.count(f"asynccvat.{name}") for name in ("transfer", "commit")] == [2, 2]
    assert telemetry.counts("tasks") == {
        ("fetched", "task"): 3,
        ("kept", "task"): 2,
        ("failed", "task"): 1,
    }
    assert telemetry.counts("network.io") == {("receive",): report.transferred + again.transferred}
    assert telemetry.seconds("run.duration").keys() == {(False, "mirror"), (True, "mirror")}


@pytest.mark.anyio
@pytest.mark.parametrize("verb", VERBS, ids=lambda verb: str(verb.__name__))
async def test_all_spans_of_a_verb_end_and_its_tasks_and_bytes_are_counted(
    verb: Verb, tmp_path: Path
) -> None:
    telemetry = Telemetry()
    async with serving(3) as serve:
        report = await verb(serve, tmp_path, telemetry.listener)
    assert report.ok, report.failures
    tasks = telemetry.named("task")
    assert len(tasks) == len(report.outcomes)
    assert {parent(span, telemetry.spans) for span in tasks} <= {"asynccvat.run"}
    assert attributes(telemetry.one("run"))["asynccvat.verb"] == verb.__name__
    stages = [span for span in telemetry.spans if span not in (*tasks, telemetry.one("run"))]
    assert {parent(span, telemetry.spans) for span in stages} <= {"asynccvat.task"}
    assert all(span.status.is_unset for span in telemetry.spans)
    assert sum(telemetry.counts("tasks").values()) == len(report.outcomes)
    assert sum(telemetry.counts("network.io").values()) == report.transferred
