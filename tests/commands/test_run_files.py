"""Run files against the simulated server: checked as a whole, then run step by step."""

from __future__ import annotations

import io
import json
import shutil
import zipfile
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import pytest
from engine_serving import Serving, files, serving, until
from media_files import png

import asynccvat as ac
from asynccvat.events import Event, ExportRequested, RunFinished
from asynccvat.models import DeletePlan, TargetKind
from asynccvat.runfiles.steps import RunFileStep
from asynccvat.settings import Settings
from asynccvat.simulator import Fault

pytestmark = pytest.mark.anyio

EXAMPLES = Path(__file__).parent.parent / "runfiles" / "examples"
IDS = (147, 150, 151)
COCO = ac.ExportSpec("COCO 1.0")


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@asynccontextmanager
async def named(monkeypatch: pytest.MonkeyPatch, tasks: int = 3) -> AsyncIterator[Serving]:
    """A server that the environment names."""
    async with serving(tasks) as serve:
        for name, value in (
            ("URL", serve.server.url),
            ("USERNAME", serve.server.username),
            ("PASSWORD", serve.server.password),
        ):
            monkeypatch.setenv(f"CVAT_{name}", value)
        yield serve


def written(text: str) -> Path:
    file = Path("steps.yaml")
    file.write_text(text)
    file.chmod(0o600)
    return file


def counts(report: ac.RunFileReport) -> list[tuple[int, int, int, int]]:
    return [(step.done, step.skipped, step.warned, step.failed) for step in report.steps]


async def told(file: Path, settings: Callable[[RunFileStep], Settings] | None = None) -> list[str]:
    with pytest.raises(ac.errors.RunFileError) as caught:
        await ac.run_file(file, settings=settings)
    return [str(problem) for problem in caught.value.problems]


def keeping(example: str) -> Path:
    """Write an example again, with a folder for the annotations that its uploads replace."""
    text = (EXAMPLES / example).read_text("utf-8")
    step = "- task: upload_anno_with_cvat_tasks\n  parameters:\n"
    assert step in text
    return written(text.replace(step, f"{step}    backup_dir: replaced\n"))


async def test_the_examples_of_datnvt_cvat_cli_do_what_they_say(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with named(monkeypatch, 151) as serve:
        report = await ac.run_file(EXAMPLES / "download.yaml")
        assert counts(report) == [(3, 0, 0, 0)]
        for task_id in IDS:
            assert files(Path(f"data/raw/task{task_id}")) == await serve.archive(task_id)
        again = await ac.run_file(EXAMPLES / "download.yaml")
        assert counts(again) == [(0, 3, 0, 0)]

        processed = Path("data/processed")
        processed.mkdir()
        for task_id in IDS:
            text = Path(f"data/raw/task{task_id}/annotations.xml").read_text()
            assert 'occluded="0"' in text
            edited = text.replace('occluded="0"', 'occluded="1"')
            (processed / f"task{task_id}_annotations.xml").write_text(edited)
            (processed / f"task{task_id}").mkdir()
            (processed / f"task{task_id}" / "annotations.xml").write_text(text)
        await serve.annotate(151, shapes=[serve.box(151)] * 2)
        coco = json.loads((await serve.archive(151, COCO))["annotations/instances_default.json"])
        del coco["annotations"][1:]
        (processed / "task151_annotations.json").write_text(json.dumps(coco))

        # Nothing is replaced that nothing keeps.
        assert counts(await ac.run_file(EXAMPLES / "upload.yaml")) == [(0, 0, 0, 3)]
        assert counts(await ac.run_file(keeping("upload.yaml"))) == [(3, 0, 0, 0)]
        for task_id in (147, 150):
            assert b'occluded="0"' not in (await serve.archive(task_id))["annotations.xml"]
        assert (await serve.archive(151))["annotations.xml"].count(b"<box ") == 1

        assert counts(await ac.run_file(keeping("tasks.yaml"))) == [(0, 3, 0, 0), (3, 0, 0, 0)]
        assert b'occluded="0"' not in (await serve.archive(151))["annotations.xml"]

        # The folders hold the first state; a file of predictions is preferred to the annotations.
        shutil.copy(
            processed / "task147_annotations.xml", processed / "task147/annotations_pseudo.xml"
        )
        assert counts(await ac.run_file(keeping("upload_in_dir.yaml"))) == [(3, 0, 0, 0)]
        for task_id, edit in ((147, True), (150, False), (151, False)):
            held = (await serve.archive(task_id))["annotations.xml"]
            assert (b'occluded="0"' not in held) == edit


async def test_steps_run_in_order_and_share_one_login(monkeypatch: pytest.MonkeyPatch) -> None:
    async with named(monkeypatch) as serve:
        file = written(
            "- {task: mirror, parameters: {dest: data, no_fsync: true}}\n"
            "- {task: upload, parameters: {in_dir: data, task_ids: [1, 2]}}\n"
            "- {task: mirror, parameters: {dest: data, no_fsync: true}}\n"
        )
        heard: list[tuple[int, Event]] = []
        ended: list[int] = []
        report = await ac.run_file(
            file,
            on_event=lambda step, event: heard.append((step.number, event)),
            on_step=lambda step: ended.append(step.step.number),
        )
        assert report.ok
        assert counts(report) == [(3, 0, 0, 0), (2, 0, 0, 0), (2, 1, 0, 0)]
        assert ended == [1, 2, 3]
        assert [n for n, event in heard if isinstance(event, RunFinished)] == [1, 2, 3]
        assert len(serve.calls("POST", "/api/auth/login")) == 1
        described = report.to_json()
        json.dumps(described)
        assert [step["line"] for step in described["steps"]] == [1, 2, 3]
        assert described["steps"][0]["reports"][0]["counts"] == {"fetched": 3}


async def test_a_step_s_own_server_wins_over_the_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with named(monkeypatch) as other, serving(2) as own:
        file = written(
            "- task: download\n"
            f"  server: {{url: {own.server.url}, username: admin, password: simulated-secret}}\n"
            "  parameters: {task_ids: [1], out_dir: own}\n"
            "- {task: download, parameters: {task_ids: [1], out_dir: other}}\n"
        )
        assert (await ac.run_file(file)).ok
        assert files(Path("own/task1")) == await own.archive(1)
        assert files(Path("other/task1")) == await other.archive(1)


async def test_a_step_s_server_is_sent_no_secret_of_another(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with named(monkeypatch), serving(2) as own:
        file = written(
            "- task: download\n"
            f"  server: {{url: {own.server.url}}}\n"
            "  parameters: {task_ids: [1], out_dir: own}\n"
        )
        (line,) = await told(file)
        assert line.startswith("steps.yaml, line 1, column 3: no credentials are given for ")
        assert own.server.calls == []


async def test_every_problem_that_the_servers_know_is_reported_before_the_first_step(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with named(monkeypatch) as serve:
        Path("one.xml").write_text("<annotations></annotations>")
        Path("one.json").write_text("{}")
        file = written(
            "- {task: download, parameters: {task_ids: [1], out_dir: out}}\n"
            "- task: download\n"
            "  parameters: {task_ids: [1, 77], out_dir: more, dataset_format: coco 2.0}\n"
            "- task: upload\n"
            "  parameters:\n"
            "    folder_prefix: task\n"
            "    tasks:\n"
            "      - {task_id: 88, annotation_path: one.xml}\n"
            "      - {task_id: 1, annotation_path: one.json, dataset_format: CVAT 1.1}\n"
            "      - {task_id: 2, annotation_path: one.json, dataset_format: Coc}\n"
            "- {task: mirror, parameters: {dest: data, project_id: [1, 9], format: VOC 2}}\n"
            "- {task: mirror, parameters: {dest: data, project_id: 9, task_id: 66}}\n"
            "- {task: mirror, parameters: {dest: data, task_id: [1, 66]}}\n"
            "- {task: mirror, parameters: {dest: data, task_id: 66, prune: true}}\n"
            "- task: mirror\n"
            "  server: {url: 'http://127.0.0.1:1', token: abc}\n"
            "  parameters: {dest: gone}\n"
            "- task: mirror\n"
            f"  server: {{url: {serve.server.url}, username: admin, password: wrong}}\n"
            "  parameters: {dest: refused}\n"
            "- task: mirror\n"
            "  server: {project_id: 44}\n"
            "  parameters: {dest: data}\n"
            "- {task: upload, parameters: {task_ids: [1, 99], in_dir: data}}\n"
            "- {task: upload, parameters: {task_ids: [1], in_dir: data, mode: append}}\n"
        )
        lines = await told(file)
        no_such_format = f"{serve.server.url} has no such format"
        expected = (
            ("line 3, column ", " has no task 77, or this user may not see it"),
            ("line 3, column ", f"cannot export as 'coco 2.0': {no_such_format}. Did you mean "),
            (
                "line 25, column ",
                f"cannot append annotations: {serve.server.url} only replaces them",
            ),
            ("line 8, column ", "cannot upload to task 88: there is no such task"),
            ("line 9, column ", "one.json': it is JSON, and 'CVAT 1.1' reads "),
            (
                "line 10, column ",
                f"cannot import 'Coc': {serve.server.url} has no such importer. Did you mean ",
            ),
            ("line 11, column ", "there is no project 9 at "),
            ("line 11, column ", "cannot export as 'VOC 2'"),
            ("line 12, column ", "there is no project 9 at "),
            ("line 13, column ", " has no task 66, or"),
            ("line 16, column ", "no connection to http://127.0.0.1:1: "),
            ("line 19, column ", " refuses the login of 'admin'"),
            ("line 22, column ", "there is no project 44 at "),
            ("line 24, column ", " has no task 99, or"),
        )
        for place, words in expected:
            assert any(place in line and words in line for line in lines), (place, lines)
        assert len(lines) == len(expected)
        assert not Path("out").exists()
        assert serve.calls("POST", "export") == []


async def test_a_download_that_would_hold_no_annotation_is_reported_before_the_first_step(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with named(monkeypatch) as serve:
        serve.server.change_task(2, dimension="3d")
        file = written(
            "- task: download\n"
            "  parameters: {task_ids: [1, 2], out_dir: out, dataset_format: COCO 1.0}\n"
        )
        (line,) = await told(file)
        assert line.startswith("steps.yaml, line 2, column 30: cannot download task 2: the task is")
        assert "3d, and 'COCO 1.0' holds the annotations of 2d tasks only." in line
        with pytest.raises(ac.errors.RunFileError):
            await ac.plan_run_file(file)
        assert not Path("out").exists()


async def test_a_mirror_of_another_server_cannot_be_uploaded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with serving(2) as other:
        await ac.mirror(other.client, "data", options=ac.MirrorOptions(durable=False))
    async with named(monkeypatch):
        (line,) = await told(written("- {task: upload, parameters: {task_ids: [1], in_dir: data}}"))
        assert line.startswith("steps.yaml, line 1, column 3: ")
        assert "data" in line


async def test_a_server_that_lists_no_tasks_is_reported_before_the_first_step(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with named(monkeypatch) as serve:
        serve.server.faults.add(Fault(method="GET", path=r"/api/tasks\b", status=403, times=None))
        file = written("- {task: download, parameters: {task_ids: [1], out_dir: out}}\n")
        with pytest.raises(ac.errors.RunFileError) as caught:
            await ac.run_file(file)
        (problem,) = caught.value.problems
        assert isinstance(problem.error, ac.PermissionDeniedError)


async def test_a_task_whose_state_forbids_the_step_fails_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with named(monkeypatch) as serve:
        await ac.mirror(serve.client, "data", options=ac.MirrorOptions(durable=False))
        serve.server.edit_task(1)
        report = await ac.run_file(
            written("- task: upload\n  parameters: {task_ids: [1, 2], in_dir: data}\n")
        )
        assert counts(report) == [(1, 0, 0, 1)]
        (failed,) = (one for one in report.steps[0].outcomes if not one.ok)
        assert isinstance(failed.error, ac.errors.TaskChangedError)


async def test_skip_existing_false_fetches_again_what_is_there(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with named(monkeypatch) as serve:
        file = written(
            "- task: download\n  parameters: {task_ids: [1], out_dir: raw, skip_existing: false}\n"
        )
        assert counts(await ac.run_file(file)) == [(1, 0, 0, 0)]
        Path("raw/task1/annotations.xml").write_text("edited")
        assert counts(await ac.run_file(file)) == [(1, 0, 1, 0)]
        assert files(Path("raw/task1")) == await serve.archive(1)
        assert files(Path("raw/task1.old-1")) == {"annotations.xml": b"edited"}


async def test_a_step_that_fails_stops_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    async with named(monkeypatch) as serve:
        serve.server.faults.add(Fault(export="fail", task_id=1, message="no", times=None))
        Path("mine").mkdir()
        Path("mine/task2").write_text("a file, no folder")
        report = await ac.run_file(
            written(
                "- {task: download, parameters: {task_ids: [1, 3], out_dir: out}}\n"
                "- {task: download, parameters: {task_ids: [2, 3], out_dir: mine}}\n"
                "- {task: mirror, parameters: {dest: data, task_id: 2, no_fsync: true}}\n"
            )
        )
        assert not report.ok
        assert counts(report) == [(1, 0, 0, 1), (1, 0, 0, 1), (1, 0, 0, 0)]
        assert report.steps[0].stopped_by is None


async def test_a_callback_that_raises_is_detached_and_loses_no_report(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    heard: list[Event] = []

    def hear(_step: RunFileStep, event: Event) -> None:
        heard.append(event)
        raise LookupError("the display is broken")

    async with named(monkeypatch) as serve:
        serve.server.faults.add(Fault(export="fail", task_id=1, message="no", times=None))
        report = await ac.run_file(
            written(
                "- {task: download, parameters: {task_ids: [1, 3], out_dir: out}}\n"
                "- {task: mirror, parameters: {dest: data, task_id: 2, no_fsync: true}}\n"
            ),
            on_event=hear,
        )
        assert not report.ok
        assert counts(report) == [(1, 0, 0, 1), (1, 0, 0, 0)]
        failures = [type(one.error) for one in report.steps[0].outcomes if not one.ok]
        assert failures == [ac.errors.ExportFailedError]
        assert len(heard) == 1
        assert "the display is broken" in caplog.text


async def test_an_error_that_prevents_a_step_is_in_its_report(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with named(monkeypatch):
        Path("data").write_text("a file")
        report = await ac.run_file(
            written(
                "- {task: mirror, parameters: {dest: data}}\n"
                "- {task: mirror, parameters: {dest: more, no_fsync: true}}\n"
            )
        )
        assert isinstance(report.steps[0].stopped_by, ac.AsyncCvatError)
        assert [step.ok for step in report.steps] == [False, True]


async def test_an_unreachable_server_ends_its_own_steps_and_no_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with named(monkeypatch) as serve, serving(2) as other:
        file = written(
            "- {task: mirror, parameters: {dest: data, no_fsync: true}}\n"
            "- task: mirror\n"
            f"  server: {{url: {other.server.url}, username: admin, password: simulated-secret}}\n"
            "  parameters: {dest: other, no_fsync: true}\n"
            "- {task: download, parameters: {task_ids: [1], out_dir: out}}\n"
        )

        def refuse(step: RunFileStep, event: Event) -> None:
            if step.number == 1 and isinstance(event, ExportRequested):
                serve.server.faults.add(Fault(path="/api/", status=401, times=None))

        report = await ac.run_file(file, on_event=refuse)
        first, second, third = report.steps
        assert isinstance(first.stopped_by, ac.AuthenticationError)
        assert second.ok
        assert third.not_run is first.stopped_by
        assert (third.reports, third.ok) == ((), False)
        assert third.to_json()["not_run"] == str(first.stopped_by)
        assert not Path("out").exists()


async def test_no_step_waits_behind_a_queue_that_stands_still(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with named(monkeypatch) as serve:
        serve.server.faults.add(Fault(export="stick", times=None))
        file = written(
            "- {task: mirror, parameters: {dest: data, no_fsync: true, queue_timeout: 1s}}\n"
            "- {task: mirror, parameters: {dest: more, no_fsync: true}}\n"
        )
        report = await ac.run_file(file)
        first, second = report.steps
        assert isinstance(first.stopped_by, ac.errors.QueueStuckError)
        assert second.not_run is first.stopped_by
        serve.server.release_exports()


async def test_a_cancelled_run_reports_the_step_that_was_running(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with named(monkeypatch) as serve:
        serve.server.faults.add(Fault(export="stick", task_id=2, times=None))
        file = written(
            "- {task: mirror, parameters: {dest: a, task_id: 1, no_fsync: true}}\n"
            "- {task: mirror, parameters: {dest: b, no_fsync: true}}\n"
            "- {task: mirror, parameters: {dest: c, no_fsync: true}}\n"
        )
        ended: list[ac.StepReport] = []
        async with anyio.create_task_group() as group:

            async def run() -> None:
                await ac.run_file(file, on_step=ended.append)

            group.start_soon(run)
            await until(lambda: len(list(Path("b").glob("task*"))) == 2)
            group.cancel_scope.cancel()
        assert [step.step.number for step in ended] == [1, 2]
        assert [step.ok for step in ended] == [True, False]
        assert not Path("c").exists()
        serve.server.release_exports()


async def test_the_project_of_the_settings_is_the_default_of_a_mirror() -> None:
    async with serving(4, projects=2) as serve:
        server = f"{{url: {serve.server.url}, token: {serve.server.token}, project_id: 2}}"
        file = written(
            f"- {{task: mirror, server: {server}, parameters: {{dest: two, no_fsync: true}}}}\n"
            f"- task: mirror\n  server: {server}\n"
            "  parameters: {dest: one, project_id: 1, no_fsync: true}\n"
        )
        plans = await ac.plan_run_file(file)
        report = await ac.run_file(file)
        tasks = [{one.task_id for one in step.outcomes} for step in report.steps]
        project = serve.server.tasks
        assert tasks[0] == {n for n, task in project.items() if task.project_id == 2}
        assert tasks[1] == {n for n, task in project.items() if task.project_id == 1}
        planned = [plan.to_json()["plans"][0]["counts"] for plan in plans]
        assert planned == [{"fetch": len(ids)} for ids in tasks]


async def test_a_plan_names_what_each_step_would_do_and_changes_nothing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    async with named(monkeypatch) as serve:
        Path("2.xml").write_text("<annotations><image><box/></image></annotations>")
        Path("mine/task3").mkdir(parents=True)
        Path("mine/task3/notes.txt").write_text("mine")
        file = written(
            "- {task: download, parameters: {task_ids: [1, 2, 3], out_dir: mine}}\n"
            "- {task: upload, parameters: {no_backup: true,\n"
            "   tasks: [{task_id: 2, annotation_path: 2.xml},\n"
            "   {task_id: 1, annotation_path: mine/task1/annotations.xml}]}}\n"
            "- {task: upload, parameters: {task_ids: [1], in_dir: mine}}\n"
            "- {task: mirror, parameters: {dest: 2.xml}}\n"
        )
        first, second, third, fourth = await ac.plan_run_file(file)
        assert first.plans[0].counts == {"fetch": 2, "refuse": 1}
        assert second.plans[0].counts == {"upload": 1}
        assert second.awaits == {1: Path("mine/task1/annotations.xml")}
        assert (third.plans, third.awaits) == ((), {1: Path("mine/task1")})
        assert isinstance(fourth.error, ac.AsyncCvatError)
        json.dumps([plan.to_json() for plan in (first, second, third, fourth)])
        assert serve.calls("POST", "export") == []
        assert sorted(path.name for path in tmp_path.iterdir()) == ["2.xml", "mine", "steps.yaml"]


async def test_a_restore_is_a_step(monkeypatch: pytest.MonkeyPatch) -> None:
    async with named(monkeypatch, 2) as serve:
        made = await ac.backup(serve.client, "backups", ac.Selection(task_ids=[1]))
        assert made.ok, made.failures
        file = written("- {task: restore, parameters: {src: backups, task_id: 1}}\n")
        (planned,) = await ac.plan_run_file(file)
        assert [plan.counts for plan in planned.plans] == [{"restore": 1}]
        assert counts(await ac.run_file(file)) == [(1, 0, 1, 0)]  # task 1 is there twice now
        assert len(serve.server.tasks) == 3
        assert counts(await ac.run_file(file)) == [(0, 1, 0, 0)]
        assert len(serve.server.tasks) == 3


async def test_an_export_to_a_cloud_storage_is_a_step(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    bucket = tmp_path / "bucket"
    bucket.mkdir()
    async with named(monkeypatch, 2) as serve:
        serve.server.add_cloud_storage(bucket)
        file = written(
            "- {task: export_to_cloud, parameters: {storage: 1, prefix: x, record: a.jsonl}}\n"
        )
        (planned,) = await ac.plan_run_file(file)
        assert [plan.counts for plan in planned.plans] == [{"write": 2}]
        assert counts(await ac.run_file(file)) == [(2, 0, 0, 0)]
        assert sorted(path.name for path in (bucket / "x").iterdir()) == ["task1.zip", "task2.zip"]
        assert counts(await ac.run_file(file)) == [(0, 2, 0, 0)]
        backups = written(
            "- {task: export_to_cloud, parameters: {storage: 1, backup: true, task_id: 2}}\n"
        )
        assert counts(await ac.run_file(backups)) == [(1, 0, 0, 0)]


@pytest.mark.parametrize(
    ("parameters", "says"),
    [
        ("{storage: 1, backup: true, images: true}", "a backup has no format"),
        ("{storage: 1, record: a.txt}", "end with .jsonl"),
        ("{storage: 1, as: projects, task_id: 1}", "it has no meaning for projects: leave it out"),
        ("{storage: 1, as: jobs, status: completed}", "it has no meaning for jobs: leave it out"),
        ("{storage: 1, state: completed}", "it has no meaning for tasks: leave it out"),
        ("{storage: 1, prefix: a/../b}", "Give another with 'prefix'"),
    ],
)
async def test_an_export_to_a_cloud_storage_that_contradicts_itself_is_refused(
    monkeypatch: pytest.MonkeyPatch, parameters: str, says: str
) -> None:
    async with named(monkeypatch, 1):
        (problem,) = await told(written(f"- {{task: export_to_cloud, parameters: {parameters}}}\n"))
        assert says in problem


@pytest.mark.parametrize(
    ("parameters", "says"),
    [
        ("{src: b, task_id: 1, projects: true}", "'task_id' is for backups of tasks"),
        ("{src: b, project: 5, project_id: 1}", "'project' is for backups of tasks"),
        ("{src: b, project: 4711}", "4711"),
    ],
)
async def test_a_restore_that_contradicts_itself_is_refused(
    monkeypatch: pytest.MonkeyPatch, parameters: str, says: str
) -> None:
    async with named(monkeypatch, 1):
        (problem,) = await told(written(f"- {{task: restore, parameters: {parameters}}}\n"))
        assert says in problem


async def test_a_step_creates_tasks_of_folders(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (here / "images" / "cam1").mkdir(parents=True)
    (here / "images" / "cam1" / "1.png").write_bytes(png(4, 4))
    file = written(
        "- task: create\n"
        "  parameters: {src: images, project: 1, subset: train, journal: journal, no_fsync: true}\n"
    )
    async with named(monkeypatch, 1) as serve:
        (plan,) = await ac.plan_run_file(file)
        assert plan.to_json()["plans"][0]["counts"] == {"create": 1}
        assert counts(await ac.run_file(file)) == [(1, 0, 0, 0)]
        assert counts(await ac.run_file(file)) == [(0, 1, 0, 0)]
        assert [task.subset for task in serve.server.tasks.values() if task.name == "cam1"] == [
            "train"
        ]


async def test_a_step_that_creates_in_a_missing_project_is_refused_at_its_line(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (here / "images").mkdir()
    file = written(
        "- task: create\n  parameters:\n    src: images\n    project: 99\n    overlap: 5\n"
    )
    async with named(monkeypatch, 1):
        (problem,) = await told(file)
        assert "'overlap' needs 'segment_size'" in problem
        file = written("- task: create\n  parameters:\n    src: images\n    project: 99\n")
        (problem,) = await told(file)
        assert "line 4" in problem
        assert "there is no project 99" in problem


async def test_a_step_imports_datasets_once(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with named(monkeypatch, 1) as serve:
        spec = ac.ExportSpec("COCO 1.0", images=True)
        (here / "town.zip").write_bytes(zipped(await serve.archive(1, spec)))
        for project in (1, serve.server.projects[1].name):
            shutil.rmtree(here / ".asynccvat", ignore_errors=True)
            before = len(serve.server.tasks)
            file = written(
                "- task: import_dataset\n"
                f"  parameters: {{project: {project}, files: town.zip, format: COCO 1.0}}\n"
            )
            (planned,) = await ac.plan_run_file(file)
            assert [plan.counts for plan in planned.plans] == [{"import": 1}]
            assert counts(await ac.run_file(file)) == [(1, 0, 0, 0)]
            assert counts(await ac.run_file(file)) == [(0, 1, 0, 0)]
            assert len(serve.server.tasks) == before + 1


async def test_everything_that_an_import_lacks_is_reported_before_the_first_step(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    missing = written(
        "- {task: download, parameters: {task_ids: [1], out_dir: raw}}\n"
        "- task: import_dataset\n"
        "  parameters:\n    project: 1\n    files: [gone.zip, raw/task1/later.zip]\n"
        "    format: COCO 1.0\n"
        "- {task: create, parameters: {src: gone, labels: labels.txt, project: 1}}\n"
    )
    async with named(monkeypatch, 1) as serve:
        said = await told(missing)
        assert [one.partition(": ")[2] for one in sorted(said)] == [
            "cannot use 'gone.zip': there is no such file or folder",
            "cannot use 'gone': there is no such file or folder",
            "cannot use 'labels.txt': there is no such file or folder",
        ]
        (here / "a.zip").write_bytes(b"")
        said = await told(
            written(
                "- task: import_dataset\n"
                "  parameters:\n    project: Nowhere\n    files: a.zip\n    format: COCO 9\n"
            )
        )
        assert ["line 3" in said[0], "line 5" in said[1]] == [True, True]
        assert "there is no project 'Nowhere'" in said[0]
        assert "'COCO 9'" in said[1]
        assert "COCO 1.0" in said[1]
        assert not serve.calls("POST", "dataset")


def zipped(members: Mapping[str, bytes]) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return made.getvalue()


DELETE = "- task: delete\n  parameters: {yes: true, no_fsync: true, log: log.jsonl, "


async def test_a_step_deletes_what_it_names_by_its_ids(monkeypatch: pytest.MonkeyPatch) -> None:
    async with named(monkeypatch) as serve:
        file = written(f"{DELETE}expect: 2, task_id: [1, 2]}}\n")
        (planned,) = await ac.plan_run_file(file)
        assert [plan.counts for plan in planned.plans] == [{"delete": 2}]
        assert sorted(serve.server.tasks) == [1, 2, 3]
        assert counts(await ac.run_file(file)) == [(2, 0, 0, 0)]
        assert sorted(serve.server.tasks) == [3]
        report = await ac.run_file(file)
        (guard,) = [one.guard for one in report.steps[0].reports]
        assert guard is not None
        assert "0 tasks would go, and 'expect' is 2" in guard
        assert not report.ok


async def test_a_step_that_was_run_before_deletes_nothing_else(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with named(monkeypatch) as serve:
        selection = ac.Selection(name="* 1")
        serve.server.rename_task(1, "street 1")
        plan = await ac.plan_delete(serve.client, selection)
        Path("old.json").write_text(json.dumps(plan.to_json()))
        file = written(f"{DELETE}expect: 1, name: '* 1', plan: old.json}}\n")
        assert counts(await ac.run_file(file)) == [(1, 0, 0, 0)]
        # Another one meets the filter by now, and the number is the same again.
        serve.server.rename_task(2, "street 1")
        report = await ac.run_file(file)
        assert sorted(serve.server.tasks) == [2, 3]
        assert report.ok
        assert {one.task_id: str(one.reason) for one in report.steps[0].outcomes} == {
            1: "gone",
            2: "not planned",
        }


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ("task_id: 1", "needs 'yes: true', and 'expect'"),
        ("yes: true, task_id: 1", "needs 'yes: true', and 'expect'"),
        ("yes: false, expect: 1, task_id: 1", "needs 'yes: true', and 'expect'"),
        ("yes: true, expect: 1, status: completed", "find others when the file is run again"),
        ("yes: true, expect: 1, project_id: 1", "Name the tasks by 'task_id', or give 'plan'"),
        ("yes: true, expect: 1, projects: true, name: a", "Name the projects by 'project_id'"),
        ("yes: true, expect: 1", "'project_id' or 'task_id' or"),
        ("yes: true, expect: 1, name: '*'", "deleting needs a filter"),
        ("yes: true, expect: 1, task_id: 1, plan: gone.json", "cannot read the plan 'gone.json'"),
        ("yes: true, expect: 1, task_id: 1, plan: projects.json", "one of projects, and this"),
        ("yes: true, expect: 1, task_id: 1, projects: true", "projects have no task ids"),
        ("yes: true, expect: 1, task_id: 1, log: a.txt", "another with 'log'"),
    ],
)
async def test_no_step_deletes_by_accident(
    keys: str, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = DeletePlan(origin="http://cvat", target=TargetKind.PROJECT)
    Path("projects.json").write_text(json.dumps(plan.to_json()))
    file = written(
        "- {task: mirror, parameters: {dest: data, no_fsync: true}}\n"
        f"- {{task: delete, parameters: {{{keys}}}}}\n"
    )
    async with named(monkeypatch) as serve:
        (problem,) = await told(file)
        assert problem.startswith("steps.yaml, line 2, ")
        assert words in problem
        assert not Path("data").exists()
        assert sorted(serve.server.tasks) == [1, 2, 3]


async def test_a_deletion_that_is_not_confirmed_can_be_planned(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with named(monkeypatch) as serve:
        serve.server.add_issue(1, "look")
        file = written("- {task: delete, parameters: {project_id: 1}}\n")
        (planned,) = await ac.plan_run_file(file)
        (plan,) = planned.plans
        assert plan.counts == {"delete": 2, "pass over": 1}
        assert "'lose_issues: true'" in str(planned.plans_to_json())
        assert not serve.calls("DELETE")


async def test_nothing_is_deleted_after_a_step_that_failed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    text = (
        "- {task: mirror, parameters: {dest: data, task_id: 1, no_fsync: true}}\n"
        f"{DELETE}expect: 1, task_id: 1}}\n"
    )
    async with named(monkeypatch) as serve:
        serve.server.faults.add(Fault(export="fail", times=None))
        heard: list[ac.StepReport] = []
        report = await ac.run_file(written(text), on_step=heard.append)
        assert counts(report) == [(0, 0, 0, 1), (0, 0, 0, 0)]
        assert isinstance(report.steps[1].not_run, ac.errors.EarlierStepError)
        assert "step 1 did not succeed" in str(report.steps[1].not_run)
        assert heard == list(report.steps)
        assert sorted(serve.server.tasks) == [1, 2, 3]
        serve.server.faults.clear()
        assert counts(await ac.run_file(written(text))) == [(1, 0, 0, 0), (1, 0, 0, 0)]


async def test_a_mirror_as_json_is_a_step_and_goes_back_in_another(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with named(monkeypatch, 2) as serve:
        mirrored = written(
            "- task: mirror\n  parameters:\n    dest: raw\n    format: json\n    frames: false\n"
        )
        assert counts(await ac.run_file(mirrored)) == [(2, 0, 0, 0)]
        assert not (here / "raw/task1/frames.json").exists()
        path = here / "raw/task1/annotations.json"
        value = json.loads(path.read_bytes())
        del value["shapes"][0]
        path.write_text(json.dumps(value))
        uploaded = written(
            "- task: upload_anno_with_cvat_tasks\n  parameters:\n    in_dir: raw\n"
            "    task_ids: [1]\n    dataset_format: json\n"
        )
        assert counts(await ac.run_file(uploaded)) == [(1, 0, 0, 0)]
        assert len(serve.calls("PUT", "/annotations")) == 1
