"""Mirror projects and jobs: folders, incremental runs, removals, guards, verification."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from engine_serving import QUICK, Serving, actions, error, files, receipt_head, serving

import asynccvat as ac
from asynccvat.errors import ChangeRefusedError, ConfigError, ForeignFolderError
from asynccvat.events import VerifyStarted, to_json
from asynccvat.simulator import Fault

pytestmark = pytest.mark.anyio

PROJECTS = replace(QUICK, target="projects")
JOBS = replace(QUICK, target="jobs")
XML = "annotations.xml"


@pytest.fixture
async def serve() -> AsyncIterator[Serving]:
    """A server with two projects of two tasks each, whose jobs have two frames."""
    async with serving(4, projects=2, frames=4) as serving_:
        yield serving_


def split(serve: Serving, task_id: int) -> list[int]:
    """Give a task a second job, for its ground truth; return the ids of both."""
    serve.server.world.add_job(task_id, "ground_truth", (1, 2))
    return [job.id for job in serve.server.tasks[task_id].jobs()]


async def test_each_project_gets_a_folder_as_the_server_merges_it(
    serve: Serving, data: Path
) -> None:
    report = await ac.mirror(serve.client, data, options=PROJECTS)
    assert report.ok
    assert actions(report) == {1: ("fetched", "new"), 2: ("fetched", "new")}
    assert sorted(files(data)) == [f"project1/{XML}", f"project2/{XML}"]
    whole = await serve.archive(1, ac.ExportSpec(target=ac.models.TargetKind.PROJECT))
    assert files(data / "project1")[XML].count(b"<image ") == whole[XML].count(b"<image ") == 8
    assert len(serve.calls("POST", "/dataset/export")) == 3
    assert not serve.calls("POST", "/api/tasks/")
    records = json.loads(json.dumps(report.to_json()))["tasks"]
    assert {record["project_id"] for record in records} == {1, 2}
    assert all("task_id" not in record for record in records)
    head = receipt_head(data, 1)
    assert (head["version"], head["target"]) == (3, "project")
    # An older asynccvat would take the ids for those of tasks, so it refuses the destination.
    identity = json.loads((data / ".asynccvat" / "destination.json").read_text())
    assert (identity["version"], identity["settings"]["target"]) == (2, "projects")


async def test_a_project_is_current_only_while_all_its_tasks_are(
    serve: Serving, data: Path
) -> None:
    await ac.mirror(serve.client, data, options=PROJECTS)
    again = await ac.mirror(serve.client, data)
    assert actions(again) == {1: ("kept", "unchanged"), 2: ("kept", "unchanged")}
    task = next(task for task in serve.server.tasks.values() if task.project_id == 2)
    serve.server.edit_task(task.id)
    changed = await ac.mirror(serve.client, data, options=QUICK)
    assert actions(changed) == {1: ("kept", "unchanged"), 2: ("fetched", "changed")}
    serve.server.delete_task(task.id)
    fewer = await ac.mirror(serve.client, data, options=QUICK)
    assert actions(fewer) == {1: ("kept", "unchanged"), 2: ("fetched", "changed")}


async def test_each_job_gets_a_folder_in_that_of_its_task(serve: Serving, data: Path) -> None:
    first, second = split(serve, 1)
    report = await ac.mirror(serve.client, data, options=JOBS)
    assert report.ok, report.failures
    assert {f"task1/job{first}/{XML}", f"task1/job{second}/{XML}"} <= set(files(data))
    assert len(report.outcomes) == 5
    assert files(data / "task1" / f"job{second}")[XML].count(b"<image ") == 2
    records = {record["job_id"]: record["task_id"] for record in report.to_json()["tasks"]}
    assert records[second] == 1
    again = await ac.mirror(serve.client, data, options=QUICK)
    assert {action for action, _ in actions(again).values()} == {"kept"}


async def test_jobs_are_chosen_by_stage_state_and_type(serve: Serving, data: Path) -> None:
    for task_id in serve.server.tasks:
        serve.server.change_task(task_id, status="annotation")
    _, truth = split(serve, 1)
    serve.server.world.change_job(truth, state="completed", stage="acceptance")
    for narrowed in (
        replace(JOBS, state="completed"),
        replace(JOBS, stage="acceptance"),
        replace(JOBS, type="ground_truth"),
    ):
        dest = data / f"{narrowed.stage}{narrowed.state}{narrowed.type}"
        report = await ac.mirror(serve.client, dest, options=narrowed)
        assert set(actions(report)) == {truth}
        # The destination remembers the condition.
        assert set(actions(await ac.mirror(serve.client, dest, options=QUICK))) == {truth}
        plan = await ac.plan_mirror(serve.client, dest)
        assert plan.to_json()["steps"][0]["job_id"] == truth
        assert "jobs" in plan.description


async def test_a_job_is_fetched_again_when_its_date_or_its_task_changes(
    serve: Serving, data: Path
) -> None:
    _, truth = split(serve, 1)
    await ac.mirror(serve.client, data, options=JOBS)
    serve.server.world.change_job(truth, state="completed")
    report = await ac.mirror(serve.client, data, options=QUICK)
    assert [key for key, value in actions(report).items() if value[0] == "fetched"] == [truth]
    serve.server.edit_task(2)
    report = await ac.mirror(serve.client, data, options=QUICK)
    fetched = [key for key, value in actions(report).items() if value[0] == "fetched"]
    assert fetched == [job.id for job in serve.server.tasks[2].jobs()]


@pytest.mark.parametrize(
    ("first", "then"), [(QUICK, PROJECTS), (PROJECTS, JOBS), (JOBS, replace(QUICK, target="tasks"))]
)
async def test_a_destination_holds_one_kind(
    serve: Serving, data: Path, first: ac.MirrorOptions, then: ac.MirrorOptions
) -> None:
    await ac.mirror(serve.client, data, options=first)
    before = files(data)
    with pytest.raises(ChangeRefusedError, match=r"holds (tasks|projects|jobs)"):
        await ac.mirror(serve.client, data, options=replace(then, change=True))
    assert files(data) == before


@pytest.mark.parametrize(
    ("options", "selection", "flag"),
    [
        (replace(QUICK, state="completed"), ac.Selection(), "--state"),
        (PROJECTS, ac.Selection(task_ids=[1]), "--task-id"),
        (PROJECTS, ac.Selection(subset="Train"), "--subset"),
        (replace(PROJECTS, folder_prefix="x"), ac.Selection(), "--folder-prefix"),
        (JOBS, ac.Selection(owner="ann"), "--owner"),
        (JOBS, ac.Selection(status="completed"), "--status"),
    ],
)
async def test_conditions_without_meaning_are_refused(
    serve: Serving, data: Path, options: ac.MirrorOptions, selection: ac.Selection, flag: str
) -> None:
    with pytest.raises(ConfigError, match=flag):
        await ac.mirror(serve.client, data, selection, options=options)


async def test_conditions_of_a_run_that_found_no_job_narrow_no_other_run(
    serve: Serving, data: Path
) -> None:
    _, truth = split(serve, 1)
    for task_id in serve.server.tasks:
        serve.server.change_task(task_id, status="annotation")
    await ac.mirror(serve.client, data, options=replace(JOBS, state="rejected"))
    narrowed = replace(JOBS, type="ground_truth")
    assert set(actions(await ac.mirror(serve.client, data, options=narrowed))) == {truth}
    other = data.parent / "other"
    await ac.mirror(serve.client, other, options=replace(JOBS, state="rejected"))
    report = await ac.mirror(serve.client, other, options=replace(QUICK, target="tasks"))
    assert set(actions(report)) == {1, 2, 3, 4}


async def test_all_jobs_are_mirrored_again_with_everything(serve: Serving, data: Path) -> None:
    _, truth = split(serve, 1)
    serve.server.world.change_job(truth, state="completed", stage="acceptance")
    await ac.mirror(serve.client, data, options=replace(JOBS, type="ground_truth"))
    everything = replace(QUICK, everything=True)
    with pytest.raises(ChangeRefusedError, match=r"type ground_truth.*for jobs of any type"):
        await ac.mirror(serve.client, data, options=everything)
    with pytest.raises(ConfigError, match="--everything contradicts --state"):
        await ac.mirror(serve.client, data, options=replace(everything, state="completed"))
    report = await ac.mirror(serve.client, data, options=replace(everything, change=True))
    assert len(actions(report)) == 5
    assert len(actions(await ac.mirror(serve.client, data, options=QUICK))) == 5


async def test_the_conditions_of_jobs_are_given_again_where_they_were_lost(
    serve: Serving, data: Path
) -> None:
    _, truth = split(serve, 1)
    await ac.mirror(serve.client, data, options=replace(JOBS, type="ground_truth"))
    (data / ".asynccvat" / "destination.json").write_text("{}")
    with pytest.raises(ConfigError, match="which jobs belong to it"):
        await ac.mirror(serve.client, data, options=QUICK)
    report = await ac.mirror(serve.client, data, options=replace(QUICK, type="ground_truth"))
    assert actions(report) == {truth: ("kept", "unchanged")}
    assert set(actions(await ac.mirror(serve.client, data, options=QUICK))) == {truth}


async def test_a_spec_names_the_target_too(serve: Serving, data: Path) -> None:
    spec = ac.ExportSpec("COCO 1.0", target=ac.models.TargetKind.PROJECT)
    report = await ac.mirror(serve.client, data, spec=spec, options=QUICK)
    assert report.ok
    assert (data / "project1" / "annotations").is_dir()
    with pytest.raises(ConfigError, match="Give one of them"):
        await ac.mirror(serve.client, data, spec=spec, options=JOBS)


async def test_gone_projects_and_jobs_are_removed_with_prune_alone(
    serve: Serving, data: Path
) -> None:
    first, second = split(serve, 1)
    projects, jobs = data / "projects", data / "jobs"
    await ac.mirror(serve.client, projects, options=PROJECTS)
    await ac.mirror(serve.client, jobs, options=JOBS)
    serve.server.world.delete_project(serve.server.tasks[1].project_id or 0)
    left = await ac.mirror(serve.client, projects, options=QUICK)
    assert any("1 mirrored project is not on the server" in text for text in left.warnings)
    pruned = await ac.mirror(serve.client, projects, options=replace(QUICK, prune=True))
    assert ("removed", "gone") in actions(pruned).values()
    assert len(list(projects.glob("project*"))) == 1
    everything = replace(QUICK, prune=True, max_delete="100%")
    pruned = await ac.mirror(serve.client, jobs, options=everything)
    assert actions(pruned)[first] == actions(pruned)[second] == ("removed", "gone")
    assert not (jobs / "task1").exists()
    refused = await ac.mirror(serve.client, jobs, options=replace(everything, max_delete=0))
    assert refused.ok


async def test_a_failed_project_is_named_as_one(serve: Serving, data: Path) -> None:
    serve.server.faults.add(Fault(export="fail", path="/api/projects/2/"))
    report = await ac.mirror(serve.client, data, options=PROJECTS)
    if report.failures:
        assert "project 2" in report.failures[0].failure
    empty = serve.server.world.add_project("empty")
    report = await ac.mirror(serve.client, data, options=QUICK)
    assert actions(report)[empty.id] == ("skipped", "no data")
    absent = await ac.mirror(
        serve.client, data, ac.Selection(), options=replace(QUICK, target_ids=(1, 99))
    )
    assert "cannot mirror project 99" in str(error(absent, 99))
    assert set(actions(absent)) == {1, 99}


async def test_something_else_under_the_name_of_a_task_stays(serve: Serving, data: Path) -> None:
    data.mkdir()
    (data / "task1").write_text("mine")
    report = await ac.mirror(serve.client, data, options=JOBS)
    job = serve.server.tasks[1].jobs()[0].id
    assert isinstance(error(report, job), ForeignFolderError)
    assert (data / "task1").read_text() == "mine"
    assert len(report.failures) == 1


async def test_verify_reads_and_repairs_projects_and_jobs(serve: Serving, data: Path) -> None:
    split(serve, 1)
    for name, options in (("projects", PROJECTS), ("jobs", JOBS)):
        dest = data / name
        await ac.mirror(serve.client, dest, options=options)
        whole = files(dest)
        report = await ac.verify(dest, client=serve.client, against_server=True)
        assert report.ok, report.problems
        assert not report.problems
        damaged = min(dest.rglob(XML))
        damaged.write_bytes(b"x" * damaged.stat().st_size)
        repaired = await ac.verify(dest, client=serve.client, repair=True)
        assert repaired.ok, repaired.problems
        now = files(dest)
        assert now.keys() == whole.keys()
        assert len(now[damaged.relative_to(dest).as_posix()]) == len(
            whole[damaged.relative_to(dest).as_posix()]
        )
        serve.server.edit_task(1)
        stale = await ac.verify(dest, client=serve.client, against_server=True)
        assert {str(one.kind) for one in stale.problems} == {"stale"}
        key = f"{name.removesuffix('s')}_id"
        assert all(key in one and "task_id" not in one for one in stale.to_json()["problems"])
        assert all("+" not in one.reason for one in stale.problems)


async def test_a_verification_says_what_it_is_about(serve: Serving, data: Path) -> None:
    _, truth = split(serve, 1)
    await ac.mirror(serve.client, data, options=JOBS)
    (data / "task1" / f"job{truth}" / XML).unlink()
    started = []
    report = await ac.verify(
        data, on_event=lambda event: started.extend([event] * isinstance(event, VerifyStarted))
    )
    assert [to_json(event)["target"] for event in started] == ["job"]
    record = report.to_json()
    assert (record["target"], record["tasks"]) == ("job", 5)
    assert [one["job_id"] for one in record["problems"]] == [truth]
    serve.server.world.change_job(truth, state="completed")
    stale = await ac.verify(data, client=serve.client, against_server=True)
    (problem,) = [one for one in stale.problems if str(one.kind) == "stale"]
    assert (problem.target, problem.task_id) == ("job", truth)
    assert problem.reason.count("+") == 0
    serve.server.world.delete_project(serve.server.tasks[1].project_id or 0)
    gone = await ac.verify(data, client=serve.client, against_server=True)
    assert all("job_id" in one for one in gone.to_json()["problems"])


async def test_the_tasks_of_jobs_are_named_in_a_verification(serve: Serving, data: Path) -> None:
    first, truth = split(serve, 1)
    await ac.mirror(serve.client, data, options=JOBS)
    assert (await ac.verify(data, [1])).tasks == 2
    missing = await ac.verify(data, [1, 77])
    assert [(one.target, one.task_id) for one in missing.problems] == [("task", 77)]
    new = serve.server.world.add_job(1, "consensus_replica", (0,)).id
    stale = await ac.verify(data, [1], client=serve.client, against_server=True)
    assert {(one.target, one.task_id) for one in stale.problems} == {("job", new)}
    (data / ".asynccvat" / "receipts" / f"{truth}.json").write_bytes(b"x")
    damaged = await ac.verify(data, [2])
    assert [(one.target, one.task_id) for one in damaged.problems] == [("job", truth)]
    repaired = await ac.verify(data, client=serve.client, repair=True)
    assert f"the receipt of job {truth} cannot be read: the job is fetched" in repaired.warnings[0]
    assert (await ac.verify(data, folders=[f"task1/job{first}"])).tasks == 1
    assert (await ac.verify(data, folders=["task1"])).tasks == 2
    with pytest.raises(ConfigError, match="no folder of a job in"):
        await ac.verify(data, folders=["x*"])
    projects = data.parent / "projects"
    await ac.mirror(serve.client, projects, options=PROJECTS)
    with pytest.raises(ConfigError, match="like --folder project5"):
        await ac.verify(projects, [1])


async def test_what_lies_beside_the_folders_of_jobs_is_found(serve: Serving, data: Path) -> None:
    split(serve, 1)
    await ac.mirror(serve.client, data, options=JOBS)
    (data / "task1" / "mine.txt").write_text("mine")
    (data / "task1" / "job99").mkdir()
    (data / "task1" / "job99" / "labels.txt").write_text("mine")
    (data / "notes").write_text("mine")
    report = await ac.verify(data)
    assert report.ok
    assert [one.path for one in report.notes] == ["notes", "task1/job99/", "task1/mine.txt"]
    assert "foreign" in {str(one.kind) for one in report.notes}


async def test_what_is_named_and_not_there_fails_alone(
    serve: Serving, data: Path, tmp_path: Path
) -> None:
    report = await ac.mirror(
        serve.client, data, ac.Selection(project_ids=[1, 99]), options=PROJECTS
    )
    assert actions(report)[1] == ("fetched", "new")
    assert "cannot mirror project 99: it does not exist" in str(error(report, 99))
    jobs = tmp_path / "jobs"
    report = await ac.mirror(serve.client, jobs, ac.Selection(task_ids=[1, 98]), options=JOBS)
    assert actions(report)[1] == ("fetched", "new")
    assert "cannot mirror the jobs of task 98: there is no such task" in str(error(report, 98))
    (failed,) = (one for one in report.to_json()["tasks"] if one["action"] == "failed")
    assert failed["task_id"] == 98
    assert "job_id" not in failed
    selection = ac.Selection(task_ids=[98])
    plan = await ac.plan_mirror(serve.client, jobs, selection, options=JOBS)
    assert plan.to_json()["steps"][0]["task_id"] == 98
    with pytest.raises(ac.NotFoundError, match="there is no project 99"):
        await ac.mirror(serve.client, jobs, ac.Selection(project_ids=[99]), options=JOBS)
    # A task that exists and has no job of this state is no failure.
    none = replace(JOBS, state="rejected")
    assert (
        await ac.mirror(serve.client, tmp_path / "x", ac.Selection(task_ids=[1]), options=none)
    ).ok


async def test_jobs_are_chosen_by_their_tasks_names(serve: Serving, data: Path) -> None:
    names = ac.Selection(name="street-0000?")
    report = await ac.mirror(serve.client, data, names, options=JOBS)
    assert set(actions(report)) == {1, 2, 3, 4}
    assert set(actions(await ac.mirror(serve.client, data, options=QUICK))) == {1, 2, 3, 4}
    one = await ac.mirror(
        serve.client, data.parent / "one", ac.Selection(name="street-00002"), options=JOBS
    )
    assert set(actions(one)) == {2}
    none = await ac.mirror(
        serve.client, data.parent / "none", ac.Selection(name="streets"), options=JOBS
    )
    assert "no task has the name 'streets'" in none.warnings[0]


async def test_jobs_that_left_the_selection_keep_their_folders_and_are_named(
    serve: Serving, data: Path
) -> None:
    first, truth = split(serve, 1)
    for job_id in (first, truth):
        serve.server.world.change_job(job_id, state="completed")
    await ac.mirror(serve.client, data, options=replace(JOBS, state="completed"))
    serve.server.world.change_job(truth, state="in progress")
    kept = files(data / "task1" / f"job{truth}")
    said = f"1 mirrored job is not in this selection any more: {truth}."
    for options in (QUICK, replace(QUICK, prune=True)):
        report = await ac.mirror(serve.client, data, options=options)
        assert report.ok
        assert [warning[: len(said)] for warning in report.warnings] == [said]
        assert files(data / "task1" / f"job{truth}") == kept
    verified = await ac.verify(data, client=serve.client, against_server=True)
    (stale,) = verified.problems
    assert stale.task_id == truth
    assert "not in the selection any more" in stale.reason
    for narrow in (ac.Selection(task_ids=[2]), ac.Selection(updated_since="2099-01-01")):
        assert not (await ac.mirror(serve.client, data, narrow, options=QUICK)).warnings
    serve.server.world.change_job(first, state="in progress")
    report = await ac.mirror(serve.client, data, options=QUICK)
    assert report.warnings[0].startswith("2 mirrored jobs are not in this selection any more")
    serve.server.world.change_job(truth, state="completed")
    again = await ac.mirror(serve.client, data, options=QUICK)
    assert actions(again)[truth] == ("fetched", "changed")


async def test_an_empty_project_costs_no_call_and_stops_no_other(
    serve: Serving, data: Path
) -> None:
    empty = serve.server.world.add_project("project-0")
    wanted = ac.Selection(name="project-*")
    report = await ac.mirror(serve.client, data, wanted, options=PROJECTS)
    assert report.ok
    assert actions(report)[empty.id] == ("skipped", "no data")
    assert not serve.calls("GET", f"/api/projects/{empty.id}")


async def test_names_that_fit_no_project_or_job_are_explained(serve: Serving, data: Path) -> None:
    projects = await ac.mirror(
        serve.client, data / "a", ac.Selection(name="projct-1"), options=PROJECTS
    )
    assert "no project has the name 'projct-1'" in projects.warnings[0]
    assert "The nearest: 'project-1'" in projects.warnings[0]
    jobs = await ac.mirror(serve.client, data / "b", ac.Selection(assignee="nobody"), options=JOBS)
    assert "no job has the assignee 'nobody'" in jobs.warnings[0]


async def test_a_run_that_finds_nothing_says_of_what(serve: Serving, data: Path) -> None:
    report = await ac.mirror(serve.client, data, options=replace(JOBS, state="rejected"))
    assert (report.target, report.outcomes) == ("job", ())
    assert report.to_json()["target"] == "job"


async def test_uploads_from_projects_are_refused(serve: Serving, data: Path) -> None:
    await ac.mirror(serve.client, data, options=PROJECTS)
    with pytest.raises(ConfigError, match="it mirrors projects"):
        await ac.upload(serve.client, data)


async def test_events_carry_the_ids_of_projects(serve: Serving, data: Path) -> None:
    lines = []
    await ac.mirror(
        serve.client, data, options=PROJECTS, on_event=lambda event: lines.append(to_json(event))
    )
    assert {line["project_id"] for line in lines if line["event"] == "task_done"} == {1, 2}


async def test_a_project_of_images_and_videos_is_told_to_lose_tracks(data: Path) -> None:
    async with serving(2, projects=1, video_tasks=1) as serve:
        report = await ac.mirror(serve.client, data, options=PROJECTS)
        assert any("project 1 holds images and videos" in text for text in report.warnings)
        tracks = await ac.mirror(
            serve.client, data.parent / "tracks", spec="CVAT for video 1.1", options=PROJECTS
        )
        assert not tracks.warnings


async def test_errors_of_the_disk_name_the_project(serve: Serving, data: Path) -> None:
    (data / "project1").mkdir(parents=True)
    (data / "project1" / "mine").write_text("mine")
    report = await ac.mirror(serve.client, data, options=PROJECTS)
    assert isinstance(error(report, 1), ForeignFolderError)
    await ac.mirror(serve.client, data.parent / "jobs", options=JOBS)
    head = receipt_head(data.parent / "jobs", 2)
    (data.parent / "jobs" / head["folder"] / XML).write_text("edited")
    again = await ac.mirror(serve.client, data.parent / "jobs", options=replace(QUICK, force=True))
    assert again.ok
    kept = list((data.parent / "jobs" / ".asynccvat" / "kept").iterdir())
    assert [path.name.startswith("task2-job2-") for path in kept] == [True]
