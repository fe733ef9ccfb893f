"""`run` as a shell sees it: what it prints, what it writes, how it ends."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import asynccvat as ac
from asynccvat.cli.exit_codes import ExitCode, worst
from asynccvat.simulator import Fault, ServerProcess, SimulatedServer, SimulatorOptions
from asynccvat.simulator.threads import serve_in_thread

if TYPE_CHECKING:
    from command_line import Shell

EMPTY_ZIP = b"PK\x05\x06" + bytes(18)
SECRET = "hunter2-and-more"
EXAMPLES = Path(__file__).parent.parent / "runfiles" / "examples"


def written(text: str, mode: int = 0o600) -> Path:
    file = Path("steps.yaml")
    file.write_text(text)
    file.chmod(mode)
    return file


STEPS = (
    "- {task: download_cvat_tasks, parameters: {task_ids: [1, 2], out_dir: raw}}\n"
    "- {task: upload_anno_with_cvat_tasks, parameters: {task_ids: [1], in_dir: raw, "
    "no_backup: true}}\n"
    "- {task: mirror, parameters: {dest: data, task_id: 3, no_fsync: true}}\n"
)


def test_each_step_is_shown_and_summed_up(shell: Shell) -> None:
    ended = shell("run", written(STEPS))
    assert ended.code == 0
    assert ended.out.splitlines() == [
        "step\twhat\tdone\tskipped\twarned\tfailed",
        "1\tdownload_cvat_tasks\t2\t0\t0\t0",
        "2\tupload_anno_with_cvat_tasks\t1\t0\t0\t0",
        "3\tmirror\t1\t0\t0\t0",
    ]
    *steps, mirrors = ended.err.splitlines()
    assert steps == [
        "step 1 of 3: download_cvat_tasks",
        "step 2 of 3: upload_anno_with_cvat_tasks",
        "step 3 of 3: mirror",
    ]
    assert mirrors.endswith("CVAT, without images; this run: task 3")
    assert Path("raw/task2/annotations.xml").is_file()
    assert shell("run", written(STEPS)).out.splitlines()[1:] == [
        "1\tdownload_cvat_tasks\t0\t2\t0\t0",
        "2\tupload_anno_with_cvat_tasks\t1\t0\t0\t0",
        "3\tmirror\t0\t1\t0\t0",
    ]


def test_a_dry_run_prints_what_each_step_would_do(shell: Shell, tmp_path: Path) -> None:
    ended = shell("run", written(STEPS), "--dry-run")
    assert ended.code == 0
    assert ended.out.splitlines() == [
        "number\twhat\tstep\ttask\tpath\treason",
        "1\tdownload_cvat_tasks\tfetch\t1\traw/task1\tasked for",
        "1\tdownload_cvat_tasks\tfetch\t2\traw/task2\tasked for",
        "2\tupload_anno_with_cvat_tasks\tupload\t1\traw/task1\tfetched by an earlier step",
        "3\tmirror\tfetch\t3\tdata/task3\tnew",
    ]
    assert ended.err == "Dry run, nothing was changed: 3 to fetch, 1 to upload.\n"
    assert [path.name for path in tmp_path.iterdir()] == ["steps.yaml"]
    plan = shell("run", "steps.yaml", "--dry-run", "--json").json
    assert [step["step"] for step in plan["steps"]] == [1, 2, 3]
    assert plan["steps"][1]["awaits"] == {"1": "raw/task1"}


def test_the_code_of_a_dry_run_shows_a_refusal(shell: Shell) -> None:
    Path("mine/task1").mkdir(parents=True)
    Path("mine/task1/notes.txt").write_text("mine")
    file = written("- {task: download, parameters: {task_ids: [1], out_dir: mine}}\n")
    ended = shell("run", file, "--dry-run")
    assert ended.code == 1
    assert "refuse\t1\tmine/task1" in ended.out
    ended = shell("run", written("- {task: mirror, parameters: {dest: steps.yaml}}\n"), "--dry-run")
    assert ended.code == 2
    assert "step 1: " in ended.err


def test_a_dry_run_reports_a_guard(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    with serve_in_thread(SimulatorOptions(tasks=4, frames=1)) as own:
        monkeypatch.setenv("CVAT_URL", own.url)
        step = "- {task: mirror, parameters: {dest: data, no_fsync: true, prune: true}}\n"
        assert shell("run", written(step)).code == 0
        for task_id in (1, 2, 3):
            own.delete_task(task_id)
        ended = shell("run", "steps.yaml", "--dry-run")
        assert ended.code == 5
        assert "step 1: refused: " in ended.err
        ended = shell("run", "steps.yaml")
        assert ended.code == 5


def test_the_report_is_json(shell: Shell) -> None:
    ended = shell("run", written(STEPS), "--json", "--report-json", "r.json", "--log-json", "log")
    report = ended.json
    assert report["ok"]
    assert not report["interrupted"]
    assert [step["done"] for step in report["steps"]] == [2, 1, 1]
    assert json.loads(Path("r.json").read_text()) == report
    events = [json.loads(line) for line in Path("log").read_text().splitlines()]
    ends = [event["step_number"] for event in events if event["event"] == "run_finished"]
    assert ends == [1, 2, 3]


def test_the_report_the_log_and_the_page_say_why_a_file_was_refused(shell: Shell) -> None:
    file = written("- {task: mirror, parameters: {dest: data, project: Nowhere}}\n")
    files = ("--report-json", "r.json", "--log-json", "log.jsonl", "--report", "page.html")
    ended = shell("run", file, "--json", *files)
    report = ended.json
    assert ended.code == 2
    assert "no project 'Nowhere'" in ended.err
    assert (report["ok"], report["interrupted"], report["steps"]) == (False, False, [])
    (problem,) = report["problems"]
    assert problem.startswith("steps.yaml, line 1, column 3: there is no project 'Nowhere'")
    assert json.loads(Path("r.json").read_text()) == report
    page = shell("report", "log.jsonl", "--json").json
    assert (page["state"], page["explanation"]) == ("stopped", problem)
    assert "no project 'Nowhere'" in Path("page.html").read_text()


def test_every_problem_is_reported_and_no_secret(shell: Shell) -> None:
    file = written(
        f"- {{task: upload, server: {{url: http://a, pasword: {SECRET}, token: [{SECRET}]}},\n"
        "   parameters: {task_ids: [1], in_dir: gone}}\n"
        "- {task: mirror, parameters: {dest: x, formt: y}}\n"
    )
    ended = shell("run", file)
    assert (ended.code, ended.out) == (2, "")
    lines = ended.err.splitlines()
    assert lines[-1] == "Nothing was done."
    assert len(lines) == 5
    assert all(line.startswith("Error: steps.yaml, line ") for line in lines[:-1])
    assert "did you mean 'password'?" in ended.err
    assert "did you mean 'format'?" in ended.err
    assert "gone/task1': there is no such file or folder" in ended.err
    assert SECRET not in ended.err


@pytest.mark.parametrize(
    ("server", "code", "words"),
    [
        ("{url: http://127.0.0.1:1, token: abc}", 4, "no connection"),
        ("{password: wrong}", 3, "user name and password"),
        ("{project_id: 99}", 2, "no project 99"),
        ("{url: 'ftp://cvat.example.com', token: x}", 2, "http"),
    ],
)
def test_the_most_severe_problem_sets_the_code(
    shell: Shell, simulated: SimulatedServer, server: str, code: int, words: str
) -> None:
    server = server.replace("{p", f"{{username: admin, url: '{simulated.url}', p")
    server = server.replace("project_id", "password: simulated-secret, project_id")
    file = written(f"- task: mirror\n  server: {server}\n  parameters: {{dest: x}}\n" + STEPS)
    ended = shell("run", file, "-v")
    assert ended.code == code
    assert words in ended.err
    assert "Nothing was done." in ended.err
    assert not Path("raw").exists()


def test_flags_win_over_the_settings_of_a_step(
    bare_shell: Shell, simulated: SimulatedServer
) -> None:
    file = written(
        f"- task: download\n  server: {{url: http://127.0.0.1:1, token: {SECRET}}}\n"
        "  parameters: {task_ids: [1], out_dir: raw}\n"
    )
    account = ("-u", simulated.username, "-p", simulated.password)
    assert bare_shell("run", file, "--url", simulated.url, *account).code == 0
    # A token for another server is not sent to this one.
    ended = bare_shell("run", file, "--url", simulated.url)
    assert ended.code == 2
    assert "no credentials are given" in ended.err


def test_a_file_of_secrets_that_others_can_read_is_warned_of(
    bare_shell: Shell, simulated: SimulatedServer
) -> None:
    file = written(
        f"- task: download\n  server: {{url: {simulated.url}, token: {simulated.token}}}\n"
        "  parameters: {task_ids: [1], out_dir: raw}\n",
        0o644,
    )
    ended = bare_shell("run", file)
    assert ended.code == 0
    (line,) = [line for line in ended.err.splitlines() if line.startswith("warning: ")]
    assert "steps.yaml, line 2" in line
    assert simulated.token not in ended.err


def test_a_settings_file_that_others_can_read_is_warned_of_once(
    bare_shell: Shell, simulated: SimulatedServer
) -> None:
    Path("server.yaml").write_text(f"url: {simulated.url}\ntoken: {simulated.token}\n")
    Path("server.yaml").chmod(0o644)
    ended = bare_shell("run", written(STEPS), "--dry-run")
    assert ended.code == 0
    assert ended.err.count("warning: server.yaml, line 2: others can read") == 1


def test_a_server_that_refuses_later_is_reported_and_its_steps_are_not_run(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serve_in_thread(SimulatorOptions(tasks=4, frames=1)) as own:
        monkeypatch.setenv("CVAT_URL", own.url)
        own.faults.add(Fault(path="/dataset/export", status=401, times=None))
        ended = shell("run", written(STEPS))
    assert ended.code == 3
    assert ended.out.splitlines()[1:] == [
        "1\tdownload_cvat_tasks\t0\t0\t0\t0",
        "2\tupload_anno_with_cvat_tasks\t0\t0\t0\t0",
        "3\tmirror\t0\t0\t0\t0",
    ]
    assert "Error: step 1: " in ended.err
    assert "step 3 was not run, because its server failed an earlier step: " in ended.err


def test_a_failed_task_is_code_1_and_the_other_steps_are_run(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serve_in_thread(SimulatorOptions(tasks=4, frames=1)) as own:
        monkeypatch.setenv("CVAT_URL", own.url)
        own.faults.add(Fault(export="fail", task_id=2, message="no frames", times=None))
        ended = shell("run", written(STEPS))
    assert ended.code == 1
    assert ended.out.splitlines()[1:] == [
        "1\tdownload_cvat_tasks\t1\t0\t0\t1",
        "2\tupload_anno_with_cvat_tasks\t1\t0\t0\t0",
        "3\tmirror\t1\t0\t0\t0",
    ]
    assert "failed: " in ended.err
    assert "step 1: 1 failed, by cause:\n  the server could not" in ended.err


def test_an_interrupted_run_reports_what_was_done(tmp_path: Path) -> None:
    with ServerProcess(SimulatorOptions(tasks=4, frames=1)) as server:
        server.add_faults(Fault(export="stick", task_id=3, times=None))
        file = tmp_path / "steps.yaml"
        file.write_text(STEPS + "- {task: mirror, parameters: {dest: more}}\n")
        environment = {
            name: value for name, value in os.environ.items() if not name.startswith("CVAT_")
        }
        command = subprocess.Popen(
            [sys.executable, "-m", "asynccvat", "run", "steps.yaml", "--json"],
            env=environment | {"CVAT_URL": server.url, "CVAT_ACCESS_TOKEN": server.token},
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert command.stderr is not None
        line = ""
        while not line.startswith("step 3 of 4"):
            line = command.stderr.readline()
        command.send_signal(signal.SIGINT)
        out, err = command.communicate(timeout=60)
    assert command.returncode == 130
    report = json.loads(out)
    assert (report["ok"], report["interrupted"]) == (False, True)
    assert [step["ok"] for step in report["steps"]] == [True, True, False]
    assert "Stopping" in err
    assert err.splitlines()[-1] == "Interrupted: 1 step not started."


def test_the_schema_is_printed_without_a_file(bare_shell: Shell) -> None:
    ended = bare_shell("run", "--schema")
    assert ended.code == 0
    assert ended.json == ac.run_file_schema()


def test_the_most_severe_code_wins() -> None:
    assert worst([]) is ExitCode.DONE
    assert worst([ExitCode.DONE, ExitCode.REFUSED]) is ExitCode.REFUSED
    assert worst([ExitCode.SOME_FAILED, ExitCode.REFUSED]) is ExitCode.SOME_FAILED
    assert worst([ExitCode.UNREACHABLE, ExitCode.USAGE]) is ExitCode.UNREACHABLE
    assert worst([ExitCode.NOT_ALLOWED, ExitCode.USAGE]) is ExitCode.NOT_ALLOWED


def test_a_step_puts_annotations_alone_back(shell: Shell, simulated: SimulatedServer) -> None:
    assert shell("backup", "backups", "-t", "5", "--no-fsync").code == 0
    simulated.edit_task(5)
    step = "- {task: restore, parameters: {src: %s, task_id: %s, annotations: true, %s}}\n"
    kept = "backup_dir: kept"
    ended = shell("run", written(step % ("backups", 5, kept)))
    assert ended.code == 1
    assert "With 'overwrite: true' what it holds now is replaced." in ended.err
    overwriting = written(step % ("backups", 5, f"{kept}, overwrite: true"))
    planned = shell("run", overwriting, "--dry-run", "--json")
    assert planned.json["steps"][0]["plans"][0]["counts"] == {"put back": 1}
    ended = shell("run", overwriting)
    assert ended.code == 0, ended.err
    assert ended.out.splitlines()[1] == "1\trestore\t1\t0\t0\t0"
    assert shell("upload", "--undo", "-t", "5", "--backup-dir", "kept").code == 0
    # What keeps the step from its start is its failure.
    ended = shell("run", written(step % ("kept", 5, kept)))
    assert ended.code == 2, ended.out
    assert "asynccvat made no backups there" in ended.err
    ended = shell("run", written(step % ("backups", 999, kept)))
    assert "has no task 999" in ended.err


@pytest.mark.parametrize(
    ("parameters", "says"),
    [
        ("annotations: true, backup_dir: kept", "'annotations: true' needs 'task_id'"),
        ("annotations: true, task_id: 5", "'annotations: true' needs 'backup_dir'"),
        (
            "annotations: true, task_id: 5, backup_dir: kept, project: 1",
            "'annotations: true' is for the tasks of 'task_id': remove 'project'",
        ),
        ("task_id: 5, overwrite: true", "remove it, or give 'annotations: true'"),
        ("task_id: 5, backup_dir: kept", "remove it, or give 'annotations: true'"),
    ],
)
def test_keys_of_annotations_go_together(shell: Shell, parameters: str, says: str) -> None:
    text = f"- {{task: restore, parameters: {{src: backups, {parameters}}}}}\n"
    ended = shell("run", written(text))
    assert ended.code == 2
    assert says in ended.err


def test_messages_name_keys_of_the_file(shell: Shell) -> None:
    made = "- {task: mirror, parameters: {dest: data, task_id: 3, no_fsync: true}}\n"
    assert shell("run", written(made)).code == 0
    ended = shell("run", written("- {task: mirror, parameters: {dest: data, format: COCO 1.0}}\n"))
    assert ended.code == 5
    assert "or add 'change: true' to change the destination." in ended.err
    planned = shell("run", "steps.yaml", "--dry-run")
    assert "or add 'change: true' to change the destination." in planned.err
    uploaded = (
        "- {task: upload, parameters: {tasks: "
        "[{task_id: 3, annotation_path: data/task3/annotations.xml}]}}\n"
    )
    Path("out").mkdir()
    Path("data/task3/annotations.xml").rename("out/annotations.xml")
    ended = shell("run", written(uploaded.replace("data/task3", "out")))
    assert ended.code == 1
    assert "with 'backup_dir', or give 'no_backup: true'" in ended.err
    for text in (ended.err, planned.err):
        assert " --" not in text
    assert "'backup_dir'" in str(
        shell("run", "steps.yaml", "--dry-run", "--json").json["steps"][0]["plans"]
    )


def test_a_dry_run_names_targets_that_are_no_tasks(shell: Shell) -> None:
    Path("town.zip").write_bytes(EMPTY_ZIP)
    bucket = Path("bucket").absolute()
    bucket.mkdir()
    with serve_in_thread(SimulatorOptions(tasks=2, frames=1)) as own:
        own.add_cloud_storage(bucket)
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("CVAT_URL", own.url)
            ended = shell(
                "run",
                written(
                    "- {task: mirror, parameters: {dest: data, as: projects}}\n"
                    "- {task: mirror, parameters: {dest: jobs, as: jobs, task_id: 1}}\n"
                    "- {task: backup, parameters: {dest: backups, projects: true}}\n"
                    "- {task: export_to_cloud, parameters: {storage: 1, as: projects}}\n"
                    "- task: import_dataset\n"
                    "  parameters: {project: 1, files: town.zip, format: COCO 1.0}\n"
                ),
                "--dry-run",
                "-v",
            )
    lines = [line.split("\t") for line in ended.out.splitlines()]
    assert [line[:5] for line in lines[1:]] == [
        ["1", "mirror", "fetch", "project 1", "data/project1"],
        ["2", "mirror", "fetch", "job 1", "jobs/task1/job1"],
        ["3", "backup", "back up", "project 1", "backups/project1"],
        ["4", "export_to_cloud", "write", "project 1", "project1.zip"],
        ["5", "import_dataset", "refuse", "project 1", "town.zip"],
    ]
    assert ended.code == 1


def test_a_step_that_deletes_says_why_it_did_not(shell: Shell) -> None:
    with (
        serve_in_thread(SimulatorOptions(tasks=2, frames=1)) as own,
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setenv("CVAT_URL", own.url)
        step = "- {task: delete, parameters: {log: a.jsonl, task_id: [1, 2]%s}}\n"
        file = written(step % "")
        ended = shell("run", file)
        assert ended.code == 2
        assert (
            "a step that deletes needs 'yes: true', and 'expect' with the number that" in ended.err
        )
        assert ended.err.endswith("Nothing was done.\n")
        own.add_issue(2, "look")
        ended = shell("run", file, "--dry-run")
        assert ended.code == 1
        assert ended.out.splitlines()[1:] == [
            "1\tdelete\tdelete\t1\t\tselected",
            "1\tdelete\tpass over\t2\t\topen issues",
        ]
        assert "warning: task 2: it has an open issue; 'lose_issues: true' deletes" in ended.err
        assert "1 to delete, 1 to pass over" in ended.err
        assert "step 1: 1 task would go. 'yes: true' and 'expect: 1' in the file" in ended.err
        confirmed = step % ", yes: true, expect: 1"
        failing = "- {task: download, parameters: {task_ids: [1], out_dir: raw}}\n"
        own.faults.add(Fault(export="fail", times=None))
        ended = shell("run", written(failing + confirmed))
        assert ended.code == 1
        assert "step 2 deletes nothing: step 1 did not succeed" in ended.err
        assert sorted(own.tasks) == [1, 2]
        ended = shell("run", written(confirmed))
        assert ended.code == 1
        assert ended.out.splitlines()[1:] == ["1\tdelete\t1\t0\t1\t1"]
        assert sorted(own.tasks) == [2]


def test_a_dry_run_names_the_earlier_step_that_makes_the_backups(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serve_in_thread(SimulatorOptions(tasks=1, frames=1)) as own:
        monkeypatch.setenv("CVAT_URL", own.url)
        steps = (
            "- {task: backup, parameters: {dest: kept, task_id: [1]}}\n"
            "- {task: delete, parameters: {task_id: [1], require_backup: kept, log: a.jsonl}}\n"
            "- {task: restore, parameters: {src: kept/}}\n"
        )
        ended = shell("run", written(steps), "--dry-run")
        assert ended.code == 2
        said = (
            "'kept' holds no backups before step 1 makes them. So this step has no plan yet: make "
            "the dry run again after that step."
        )
        assert {f"step 2: {said}", f"step 3: {said}"} <= set(ended.err.splitlines())
        assert not Path("kept").exists()

        assert shell("backup", "kept", "--no-fsync").code == 0
        ended = shell("run", "steps.yaml", "--dry-run")
        assert "holds no backups" not in ended.err
        assert "step 2: 1 task would go." in ended.err
