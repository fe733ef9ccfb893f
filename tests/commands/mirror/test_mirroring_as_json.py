"""Check mirrors as JSON: the files, what changes them, and the calls that they cost."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from engine_serving import (
    QUICK,
    Serving,
    actions,
    error,
    files,
    kept,
    outcome,
    receipt_head,
    serving,
)

import asynccvat as ac
from asynccvat import errors
from asynccvat.archives.bandwidth import Bandwidth
from asynccvat.simulator import Fault

pytestmark = pytest.mark.anyio

JSON = "json"
BARE = replace(QUICK, frames=False)
CHANGE = replace(QUICK, change=True)


@pytest.fixture
async def serve(data: Path) -> AsyncIterator[Serving]:
    """A server of four tasks, mirrored once as JSON."""
    async with serving(4) as started:
        report = await mirror(started, data, JSON)
        assert report.ok
        yield started


async def mirror(
    serve: Serving,
    data: Path,
    spec: ac.ExportSpec | str | None = None,
    options: ac.MirrorOptions = QUICK,
    *,
    selection: ac.Selection | None = None,
) -> ac.RunReport:
    return await ac.mirror(serve.client, data, selection, spec, options=options)


async def told(serve: Serving, path: str) -> Any:
    """Return what the server answers to a plain call."""
    headers = {"Authorization": f"Token {serve.server.token}"}
    async with (
        aiohttp.ClientSession(headers=headers) as session,
        session.get(serve.server.url + path) as answer,
    ):
        assert answer.status == 200
        return await answer.json(content_type=None)


async def complete_job(serve: Serving, job_id: int) -> None:
    headers = {"Authorization": f"Token {serve.server.token}"}
    async with (
        aiohttp.ClientSession(headers=headers) as session,
        session.patch(f"{serve.server.url}/api/jobs/{job_id}", json={"state": "completed"}) as done,
    ):
        assert done.status == 200


def read(data: Path, name: str) -> Any:
    return json.loads((data / name).read_bytes())


def other_calls(serve: Serving, since: int) -> list[str]:
    """Return the calls that are no lists of tasks and jobs."""
    lists = ("/api/tasks", "/api/jobs")
    return [
        call.path for call in serve.server.calls[since:] if call.path.partition("?")[0] not in lists
    ]


# The files


async def test_files_hold_what_the_server_says(serve: Serving, data: Path) -> None:
    for number in serve.server.tasks:
        folder = f"task{number}"
        annotations = await told(serve, f"/api/tasks/{number}/annotations")
        assert read(data, f"{folder}/annotations.json") == annotations
        assert annotations["shapes"]
        assert read(data, f"{folder}/frames.json") == await told(
            serve, f"/api/tasks/{number}/data/meta"
        )
        assert read(data, f"{folder}/task.json") == await told(serve, f"/api/tasks/{number}")
        jobs = await told(serve, f"/api/jobs?task_id={number}")
        assert read(data, f"{folder}/jobs.json") == jobs["results"]
        labels = await told(serve, f"/api/labels?task_id={number}&page_size=100")
        assert read(data, f"{folder}/labels.json") == labels["results"]


async def test_nothing_is_exported(serve: Serving) -> None:
    assert serve.calls("POST", "/export") == []
    assert serve.calls("/api/requests") == []


async def test_receipts_count_the_annotations(serve: Serving, data: Path) -> None:
    del serve
    held = read(data, "task1/annotations.json")
    counted = receipt_head(data, 1)["annotations"]
    assert counted == sum(len(held[kind]) for kind in ("shapes", "tags", "tracks"))


async def test_a_verified_mirror_has_no_problem(serve: Serving, data: Path) -> None:
    report = await ac.verify(data, client=serve.client, against_server=True)
    assert report.ok, report


@pytest.mark.parametrize("options", [QUICK, BARE])
async def test_a_damaged_file_is_repaired(data: Path, options: ac.MirrorOptions) -> None:
    async with serving(2) as serve:
        await mirror(serve, data, JSON, options)
        held = files(data)
        (data / "task2/labels.json").unlink()
        assert not (await ac.verify(data)).ok
        report = await ac.verify(data, client=serve.client, repair=True)
        assert report.ok, report
        assert files(data) == held


async def test_ground_truth_has_a_file_of_its_own(data: Path) -> None:
    async with serving(2, frames=3) as serve:
        truth = serve.server.add_job(1, "ground_truth", [1, 2])
        await mirror(serve, data, JSON)
        assert len(serve.calls("GET", "/api/jobs/", "/annotations")) == 1
        name = f"task1/annotations-job{truth.id}.json"
        assert read(data, name) == await told(serve, f"/api/jobs/{truth.id}/annotations")


async def test_tasks_outside_projects_have_their_own_labels(data: Path) -> None:
    async with serving(2, projects=0) as serve:
        assert (await mirror(serve, data, JSON)).ok
        labels = await told(serve, "/api/labels?task_id=2&page_size=100")
        assert read(data, "task2/labels.json") == labels["results"]


async def test_labels_come_from_the_task_where_the_project_is_hidden(data: Path) -> None:
    async with serving(2) as serve:
        serve.server.faults.add(Fault(path=r"labels\?.*project_id", status=403))
        assert (await mirror(serve, data, JSON)).ok
        asked = [call.query for call in serve.calls("/api/labels")]
        assert sum("project_id" in query for query in asked) == 1
        labels = await told(serve, "/api/labels?task_id=1&page_size=100")
        assert read(data, "task1/labels.json") == labels["results"]


# What they cost


@pytest.mark.parametrize(("options", "calls"), [(QUICK, 2), (BARE, 1)])
async def test_a_new_task_costs_its_annotations_and_its_frames(
    data: Path, options: ac.MirrorOptions, calls: int
) -> None:
    async with serving(80, projects=2) as serve:
        before = len(serve.server.calls)
        assert (await mirror(serve, data, JSON, options)).ok
        own = [path for path in other_calls(serve, before) if "/api/tasks/" in path]
        assert len(own) == 80 * calls
        # The login, the version, two lists of tasks, one of jobs, and labels of two projects.
        assert len(serve.server.calls) - before <= 80 * calls + 8


async def test_an_update_costs_what_changed(data: Path) -> None:
    async with serving(60) as serve:
        await mirror(serve, data, JSON)
        for number in (7, 31, 58):
            serve.server.edit_task(number)
        before = len(serve.server.calls)
        report = await mirror(serve, data)
        assert dict(report.counts) == {"fetched": 3, "kept": 57}
        # Two calls a task, and the labels of their project.
        assert len(other_calls(serve, before)) <= 3 * 2 + 1


@pytest.mark.parametrize(
    ("selection", "asked"),
    [
        (None, None),
        (ac.Selection(project_ids=[2]), "project_id=2"),
        (ac.Selection(status="completed"), "task_id"),
        (ac.Selection(task_ids=[2, 5]), "task_id"),
        (ac.Selection(limit=2), "task_id"),
    ],
)
async def test_jobs_are_listed_for_whole_projects_or_for_the_tasks(
    data: Path, selection: ac.Selection | None, asked: str | None
) -> None:
    async with serving(6, projects=2) as serve:
        report = await mirror(serve, data, JSON, selection=selection)
        assert report.ok
        (query,) = [call.query for call in serve.calls("GET", "/api/jobs")]
        assert asked is None or asked in query
        assert ("task_id" in query) is (asked == "task_id")
        for one in report.outcomes:
            assert [job["task_id"] for job in read(data, f"task{one.task_id}/jobs.json")] == [
                one.task_id
            ]


async def test_a_run_without_changes_only_lists(serve: Serving, data: Path) -> None:
    before = len(serve.server.calls)
    report = await mirror(serve, data)
    assert report.count(ac.Action.KEPT) == 4
    assert other_calls(serve, before) == []


# What changes them


async def test_only_the_jobs_are_written_where_only_a_state_changed(
    serve: Serving, data: Path
) -> None:
    held, counted = files(data), receipt_head(data, 2)["annotations"]
    await complete_job(serve, 2)
    before = len(serve.server.calls)
    report = await mirror(serve, data)
    assert outcome(report, 2).reason == "jobs"
    assert report.count(ac.Action.FETCHED) == 1
    assert other_calls(serve, before) == []
    now = files(data)
    changed = {name for name in now if now[name] != held.get(name)}
    assert changed <= {"task2/jobs.json", "task2/task.json"}
    assert read(data, "task2/jobs.json")[0]["state"] == "completed"
    assert read(data, "task2/task.json") == await told(serve, "/api/tasks/2")
    assert receipt_head(data, 2)["annotations"] == counted
    assert (await ac.verify(data)).ok


async def test_a_verification_against_the_server_compares_the_jobs(
    serve: Serving, data: Path
) -> None:
    await complete_job(serve, 2)
    report = await ac.verify(data, client=serve.client, against_server=True)
    (problem,) = report.problems
    assert (problem.task_id, problem.detail) == (2, "its jobs changed on the server")
    assert (await ac.verify(data)).ok


async def test_a_folder_that_was_edited_stays_if_only_a_job_changed(
    serve: Serving, data: Path
) -> None:
    (data / "task2/annotations.json").write_text("{}")
    await complete_job(serve, 2)
    report = await mirror(serve, data)
    assert actions(report)[2] == ("kept", "edited")
    assert (data / "task2/annotations.json").read_text() == "{}"


async def test_a_task_that_was_emptied_is_fetched_with_a_warning(
    serve: Serving, data: Path
) -> None:
    held = receipt_head(data, 2)["annotations"]
    await serve.annotate(2, tags=[], shapes=[], tracks=[])
    (warning,) = outcome(await mirror(serve, data), 2).warnings
    assert warning == (
        f"it holds no annotation any more, and before it held {held}. If that is not meant, look "
        "at it in CVAT."
    )


async def test_files_that_turn_out_changed_are_read_again(serve: Serving, data: Path) -> None:
    held = (data / "task2/annotations.json").read_bytes()
    (data / "task2/annotations.json").write_bytes(held[::-1])
    await complete_job(serve, 2)
    report = await mirror(serve, data, options=replace(QUICK, trust_receipts=True))
    assert outcome(report, 2).reason == "jobs"
    assert (data / "task2/annotations.json").read_bytes() == held
    assert held[::-1] in kept(data).values()


async def test_a_ground_truth_job_made_later_costs_one_call(serve: Serving, data: Path) -> None:
    truth = serve.server.add_job(1, "ground_truth", [1])
    first = await mirror(serve, data)
    assert first.ok
    name = f"task1/annotations-job{truth.id}.json"
    assert read(data, name)["version"] == 0
    await complete_job(serve, truth.id)
    before = len(serve.server.calls)
    await mirror(serve, data)
    assert other_calls(serve, before) == []
    assert read(data, name)["version"] == 0


async def test_a_changed_task_is_read_again(serve: Serving, data: Path) -> None:
    serve.server.edit_task(3)
    report = await mirror(serve, data)
    assert actions(report)[3] == ("fetched", "changed")
    assert read(data, "task3/annotations.json") == await told(serve, "/api/tasks/3/annotations")


async def test_a_renamed_task_moves_its_folder_and_has_its_new_name_in_it(data: Path) -> None:
    async with serving(2) as serve:
        options = replace(QUICK, layout="{name}-{id}")
        await mirror(serve, data, JSON, options)
        serve.server.rename_task(2, "other")
        report = await mirror(serve, data)
        assert actions(report)[2] == ("fetched", "changed")
        assert read(data, "other-2/task.json")["name"] == "other"
        assert len(list(data.glob("*/task.json"))) == 2


async def test_deleted_frames_are_told(serve: Serving, data: Path) -> None:
    serve.server.change_task(3, deleted_frames=(1,))
    await mirror(serve, data)
    assert read(data, "task3/frames.json")["deleted_frames"] == [1]


async def test_history_keeps_replaced_annotations(data: Path) -> None:
    async with serving(1) as serve:
        options = replace(QUICK, history=86_400.0)
        await mirror(serve, data, JSON, options)
        held = (data / "task1/annotations.json").read_bytes()
        serve.server.edit_task(1)
        await mirror(serve, data, options=options)
        (old,) = (data / ".asynccvat/history").glob("1/*/annotations.json")
        assert old.read_bytes() == held
        assert (data / "task1/annotations.json").read_bytes() != held


# What is remembered, and what is refused


async def test_a_mirror_without_frames_stays_so(data: Path) -> None:
    async with serving(2) as serve:
        await mirror(serve, data, JSON, BARE)
        serve.server.edit_task(1)
        assert (await mirror(serve, data)).ok
        assert not list(data.glob("task*/frames.json"))
        with pytest.raises(errors.ChangeRefusedError, match=r"without frames.*with frames"):
            await mirror(serve, data, options=replace(QUICK, frames=True))
        report = await mirror(serve, data, options=replace(CHANGE, frames=True))
        assert actions(report)[1] == ("fetched", "spec")
        assert len(list(data.glob("task*/frames.json"))) == 2


async def test_frames_are_left_out_later_only_on_purpose(serve: Serving, data: Path) -> None:
    with pytest.raises(errors.ChangeRefusedError, match=r"with frames.*without frames"):
        await mirror(serve, data, options=BARE)
    assert (await mirror(serve, data, options=replace(BARE, change=True))).ok
    assert not list(data.glob("task*/frames.json"))


@pytest.mark.parametrize(
    ("spec", "options", "said"),
    [
        (ac.ExportSpec("CVAT JSON", images=True, frames=False), QUICK, "--images and without"),
        (JSON, replace(QUICK, keep_archive=True), "with --keep-archive"),
        (JSON, replace(QUICK, target="jobs"), "with --as jobs"),
        ("COCO 1.0", BARE, "with --no-frames"),
        ("COCO 1.0", replace(QUICK, frames=True), "with --frames"),
        (ac.ExportSpec("COCO 1.0", frames=False), QUICK, "with --no-frames"),
    ],
)
async def test_what_has_no_meaning_is_refused(
    data: Path, spec: ac.ExportSpec | str, options: ac.MirrorOptions, said: str
) -> None:
    async with serving(1) as serve:
        with pytest.raises(ac.ConfigError, match=said):
            await mirror(serve, data, spec, options)


async def test_another_format_needs_change(serve: Serving, data: Path) -> None:
    with pytest.raises(errors.ChangeRefusedError, match="CVAT JSON"):
        await mirror(serve, data, "COCO 1.0")
    assert (await mirror(serve, data, "COCO 1.0", CHANGE)).count(ac.Action.FETCHED) == 4
    assert files(data) == await serve.archives(ac.ExportSpec("COCO 1.0"))


async def test_a_download_as_json_is_refused(data: Path) -> None:
    async with serving(1) as serve:
        with pytest.raises(ac.ConfigError, match="`asynccvat mirror` alone"):
            await ac.download(serve.client, 1, data, JSON)


# Failures


async def test_one_failure_stays_one(data: Path) -> None:
    async with serving(4) as serve:
        serve.server.faults.add(Fault(path="tasks/3/annotations", status=400, body="broken"))
        report = await mirror(serve, data, JSON)
        assert report.count(ac.Action.FETCHED) == 3
        assert "broken" in str(error(report, 3))
        serve.server.faults.clear()
        assert (await mirror(serve, data)).count(ac.Action.FETCHED) == 1


@pytest.mark.parametrize(
    ("path", "body", "kind"),
    [
        ("tasks/1/annotations", "<p>a page</p>", "text/html"),
        ("tasks/1/data/meta", "{", "application/vnd.cvat+json"),
        ("tasks/1/annotations", "[1", "application/vnd.cvat+json"),
    ],
)
async def test_an_answer_that_cannot_be_read_is_told(
    data: Path, path: str, body: str, kind: str
) -> None:
    async with serving(2) as serve:
        serve.server.faults.add(Fault(path=path, status=200, body=body, content_type=kind))
        report = await mirror(serve, data, JSON)
        assert isinstance(error(report, 1), errors.ProtocolError)
        assert not (data / "task1").exists()
        assert report.count(ac.Action.FETCHED) == 1


@pytest.mark.parametrize("path", ["tasks/2/annotations", "tasks/2/data/meta"])
async def test_a_task_that_changes_while_it_is_read_is_read_again_by_the_next_run(
    data: Path, path: str
) -> None:
    async with serving(2) as serve:
        serve.server.faults.add(Fault(path=path, edit_task=2, times=1))
        assert (await mirror(serve, data, JSON)).ok
        again = await mirror(serve, data)
        assert actions(again) == {1: ("kept", "unchanged"), 2: ("fetched", "changed")}
        assert read(data, "task2/annotations.json") == await told(serve, "/api/tasks/2/annotations")
        assert (await mirror(serve, data)).count(ac.Action.KEPT) == 2


@pytest.mark.parametrize("path", ["tasks/2/annotations", "tasks/2/data/meta", "/api/labels"])
async def test_a_server_that_asks_to_wait_is_asked_again(data: Path, path: str) -> None:
    async with serving(2) as serve:
        wait = Fault(path=path, status=429, headers={"Retry-After": "0"}, times=1)
        serve.server.faults.add(wait)
        assert (await mirror(serve, data, JSON)).count(ac.Action.FETCHED) == 2


async def test_jobs_that_a_broken_list_left_out_are_asked_for_task_by_task(data: Path) -> None:
    async with serving(2) as serve:
        truth = serve.server.add_job(2, "ground_truth", [1])
        short = Fault(path="/api/jobs", status=200, body='{"count":9,"results":[]}', times=3)
        serve.server.faults.add(short)
        first = await mirror(serve, data, JSON)
        assert not first.ok
        assert first.count(ac.Action.FETCHED) == 2
        lists = [call for call in serve.calls("/api/jobs") if "/annotations" not in call.path]
        assert len(lists) == 3 + 2
        assert len(read(data, "task1/jobs.json")) == 1
        assert len(read(data, "task2/jobs.json")) == 2
        assert (data / f"task2/annotations-job{truth.id}.json").is_file()
        again = await mirror(serve, data)
        assert set(actions(again).values()) == {("kept", "unchanged")}


async def test_a_task_that_vanishes_meanwhile_fails_alone(data: Path) -> None:
    async with serving(3) as serve:
        serve.server.faults.add(
            Fault(path=r"/api/tasks\?.*filter", status=200, body='{"count":0,"results":[]}')
        )
        report = await mirror(serve, data, JSON)
        assert isinstance(error(report, 1), ac.NotFoundError)


async def test_answers_count_for_the_bandwidth(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[int] = []
    take = Bandwidth.take

    async def noted(self: Bandwidth, size: int) -> None:
        taken.append(size)
        await take(self, size)

    monkeypatch.setattr(Bandwidth, "take", noted)
    async with serving(3) as serve:
        report = await mirror(serve, data, JSON, replace(QUICK, bandwidth=10_000_000))
        assert report.ok
        assert len(taken) == 6
        assert sum(taken) == sum(one.transferred for one in report.outcomes)


async def test_a_failed_list_of_tasks_is_read_again(data: Path) -> None:
    async with serving(3) as serve:
        serve.server.faults.add(Fault(path=r"/api/tasks\?.*filter", status=500, times=1))
        assert (await mirror(serve, data, JSON)).count(ac.Action.FETCHED) == 3


# Incomplete lists

ONE_OF_SIX = '{"count": 6, "next": null, "previous": null, "results": [{"id": 1, "task_id": 2}]}'


async def test_a_task_whose_jobs_are_not_known_fails_and_its_folder_stays(
    serve: Serving, data: Path
) -> None:
    truth = serve.server.add_job(1, "ground_truth", [1])
    await mirror(serve, data)
    before = files(data)
    assert f"task1/annotations-job{truth.id}.json" in before
    serve.server.edit_task(1)
    jobs = Fault(path=r"^/api/jobs(\?|$)", status=200, body=ONE_OF_SIX, times=None)
    serve.server.faults.add(jobs)
    report = await mirror(serve, data)
    assert [one.task_id for one in report.failures] == [1]
    assert str(error(report, 1)).startswith(
        "cannot read the jobs of task 1: their list kept changing while it was read, "
    )
    assert files(data) == before
    serve.server.faults.clear()
    assert actions(await mirror(serve, data))[1] == ("fetched", "changed")
    assert f"task1/annotations-job{truth.id}.json" in files(data)
