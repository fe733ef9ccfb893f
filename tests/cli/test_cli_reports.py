"""`--report` of a run, and `asynccvat report`: the page about it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from command_line import Shell, data_of

from asynccvat.simulator import SimulatedServer


def test_a_run_writes_the_page_that_its_log_makes_later(shell: Shell, tmp_path: Path) -> None:
    ended = shell("mirror", "data", "--report", "now.html", "--log-json", "events.jsonl")
    assert ended.code == 0
    later = shell("report", "events.jsonl", "-o", "later.html")
    assert (later.code, later.out) == (0, "later.html\n")
    now, then = data_of(tmp_path / "now.html"), data_of(tmp_path / "later.html")
    assert now["table"]["name"] == then["table"]["name"]
    assert now["head"]["counts"] == then["head"]["counts"] == {"fetched": 6}
    assert now["settings"] == then["settings"]
    assert now["phases"].keys() == then["phases"].keys()


def test_the_page_says_what_was_run_against_which_server(
    shell: Shell, simulated: SimulatedServer, tmp_path: Path
) -> None:
    shell("mirror", "data", "-t", "1", "-t", "2", "--images", "--report", "page.html")
    data = data_of(tmp_path / "page.html")
    assert (data["head"]["command"], data["head"]["server"]) == ("mirror", simulated.url)
    assert (data["head"]["state"], data["head"]["tasks"]) == ("done", 2)
    settings = dict(data["settings"])
    assert (settings["DEST"], settings["--images"]) == ("data", "yes")
    assert settings["--task-id"] == "1, 2"


def test_secrets_are_in_neither_the_page_nor_the_log(
    bare_shell: Shell, simulated: SimulatedServer, tmp_path: Path
) -> None:
    secret = simulated.password
    options = ("--url", simulated.url, "-u", "admin", "-p", secret, "--header", "X-Key: k9f2secret")
    ended = bare_shell(
        "mirror", "data", "-t", "1", *options, "--report", "page.html", "--log-json", "log.jsonl"
    )
    assert ended.code == 0
    assert dict(data_of(tmp_path / "page.html")["settings"])["--password"] == "(not shown)"
    for file in ("page.html", "log.jsonl"):
        text = (tmp_path / file).read_text("utf-8")
        assert secret not in text
        assert "k9f2secret" not in text


def test_a_run_with_failures_has_them_in_its_page(shell: Shell, tmp_path: Path) -> None:
    ended = shell("mirror", "data", "-t", "1", "-t", "999", "--report", "page.html")
    assert ended.code == 1
    data = data_of(tmp_path / "page.html")
    (group,) = data["failures"]
    assert (group["count"], group["ids"]) == (1, [999])
    assert group["retry"] == "asynccvat mirror data -t 999"
    assert group["retry"] in ended.out
    assert "failed" in data["head"]["state"]


def test_commands_that_a_page_shows_lack_what_is_secret(
    bare_shell: Shell, simulated: SimulatedServer, tmp_path: Path
) -> None:
    account = ("--url", simulated.url, "-u", "admin", "-p", simulated.password)
    bare_shell("mirror", "data", "-t", "999", *account, "--report", "page.html")
    (group,) = data_of(tmp_path / "page.html")["failures"]
    assert group["retry"] == f"asynccvat mirror data --url {simulated.url} -u admin -t 999"


def test_the_page_is_beside_the_log_by_default(shell: Shell, tmp_path: Path) -> None:
    shell("backup", "kept", "-t", "1", "--log-json", "log.jsonl")
    assert shell("report", "log.jsonl").out == "log.html\n"
    assert data_of(tmp_path / "log.html")["head"]["command"] == "backup"


def test_a_run_of_a_log_of_many_is_chosen(shell: Shell, tmp_path: Path) -> None:
    for tasks in ("1", "2"), ("3",):
        ids = [word for id_ in tasks for word in ("-t", id_)]
        shell("download", "-o", "got", *ids, "--log-json", "log.jsonl")
    shell("report", "log.jsonl", "--run", "1", "-o", "first.html")
    shell("report", "log.jsonl", "-o", "last.html")
    assert sorted(data_of(tmp_path / "first.html")["table"]["id"]) == [1, 2]
    assert data_of(tmp_path / "last.html")["table"]["id"] == [3]


def test_the_steps_of_a_run_file_are_one_page(shell: Shell, tmp_path: Path) -> None:
    step = "- task: mirror\n  parameters: {{dest: {}, task_id: 1}}\n"
    (tmp_path / "steps.yaml").write_text(step.format("one") + step.format("two"))
    ended = shell("run", "steps.yaml", "--report", "page.html", "--log-json", "log.jsonl")
    assert ended.code == 0, ended.err
    shell("report", "log.jsonl", "-o", "later.html")
    for page in ("page.html", "later.html"):
        assert data_of(tmp_path / page)["table"]["step"] == [1, 2]


def test_an_event_that_was_cut_spoils_neither_the_next_run_nor_its_page(
    shell: Shell, tmp_path: Path
) -> None:
    (tmp_path / "log.jsonl").write_text('{"at": "2026-11-30T12:00:0')
    shell("mirror", "data", "-t", "1", "--log-json", "log.jsonl")
    assert shell("report", "log.jsonl").code == 0
    assert data_of(tmp_path / "log.html")["head"]["command"] == "mirror"


@pytest.mark.parametrize("name", ["report.json", "report.jsonl"])
def test_a_page_with_the_name_of_a_file_of_json_is_refused(shell: Shell, name: str) -> None:
    ended = shell("mirror", "data", "--report", name)
    assert ended.code == 2
    assert "Use --report-json" in ended.err


def test_a_page_that_cannot_be_written_is_refused_before_the_run(
    shell: Shell, tmp_path: Path
) -> None:
    ended = shell("mirror", "data", "--report", "missing/page.html")
    assert ended.code == 2
    assert "--report" in ended.err
    assert not (tmp_path / "data").exists()


def test_a_page_that_cannot_be_written_in_the_end_is_a_warning(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    shell("mirror", "data", "-t", "1", "--log-json", "log.jsonl")
    monkeypatch.setattr(Path, "write_bytes", full)
    for command in (["mirror", "data", "-t", "1", "--report", "p.html"], ["report", "log.jsonl"]):
        ended = shell(*command)
        assert ended.code == 1
        assert "cannot be written: No space left on device" in ended.err


def test_a_dry_run_has_no_page(shell: Shell) -> None:
    ended = shell("mirror", "data", "--dry-run", "--report", "page.html")
    assert ended.code == 2


def test_what_is_no_log_is_refused(bare_shell: Shell, tmp_path: Path) -> None:
    (tmp_path / "page.yaml").write_text("a: 1\n")
    ended = bare_shell("report", "page.yaml")
    assert ended.code == 2
    assert "line 1 is no event. Give a file that --log-json wrote." in ended.err
    assert not (tmp_path / "page.html").exists()
    gone = bare_shell("report", "gone.jsonl")
    assert gone.code == 2
    assert "'gone.jsonl' cannot be read: No such file or directory" in gone.err


def test_a_report_as_json_has_the_figures_and_every_task(shell: Shell, tmp_path: Path) -> None:
    shell("mirror", "data", "-t", "1", "-t", "999", "--log-json", "events.jsonl")
    ended = shell("report", "events.jsonl", "--json")
    assert (ended.code, ended.err) == (0, "")
    data = ended.json
    assert (data["version"], data["command"], data["state"]) == (1, "mirror", "failed")
    assert data["counts"] == {"fetched": 1, "failed": 1}
    assert {one["task_id"]: one["action"] for one in data["outcomes"]} == {
        1: "fetched",
        999: "failed",
    }
    (failure,) = data["failures"]
    assert (failure["ids"], failure["retry"]) == ([999], "asynccvat mirror data -t 999")
    assert not (tmp_path / "events.html").exists()


def test_a_page_and_json_are_written_together(shell: Shell, tmp_path: Path) -> None:
    shell("mirror", "data", "-t", "1", "--log-json", "events.jsonl")
    ended = shell("report", "events.jsonl", "--json", "-o", "page.html")
    assert ended.json["counts"] == data_of(tmp_path / "page.html")["head"]["counts"]
    both = shell("report", "events.jsonl", "--json", "-o", "-")
    assert both.code == 2
    assert "stdout takes the page or the JSON, not both" in both.err


def test_a_page_goes_to_stdout_and_a_log_comes_from_stdin(shell: Shell, tmp_path: Path) -> None:
    shell("mirror", "data", "-t", "1", "--log-json", "events.jsonl")
    ended = shell("report", "events.jsonl", "-o", "-")
    assert ended.out.startswith("<!doctype html>")
    (tmp_path / "page.html").write_text(ended.out, "utf-8")
    assert data_of(tmp_path / "page.html")["head"]["counts"] == {"fetched": 1}
    piped = subprocess.run(
        [sys.executable, "-m", "asynccvat", "report", "-"],
        input=(tmp_path / "events.jsonl").read_bytes(),
        capture_output=True,
        check=True,
        cwd=tmp_path,
    )
    assert piped.stdout.decode() == ended.out
    assert sorted(path.name for path in tmp_path.glob("*.html")) == ["page.html"]
