"""What README shows is true: its program runs, its commands exist, its lines are the ones in CI."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

import asynccvat
from asynccvat.cli import app
from asynccvat.core.environment import CONFIG_VARIABLE, VARIABLES
from asynccvat.settings import DEFAULT_FILES
from asynccvat.settings.values import FLAGS
from asynccvat.simulator import Fault, ServerProcess, SimulatorOptions

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text("utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


FIRST, SERVICE, PIPELINE, NIGHTLY = blocks("python")


@pytest.fixture(scope="module")
def server() -> Iterator[ServerProcess]:
    with ServerProcess(SimulatorOptions(tasks=6, projects=2)) as running:
        yield running


def started(
    program: str, server: ServerProcess, folder: Path, **more: str
) -> subprocess.Popen[str]:
    """A program of README, in a folder of its own, with the server in its environment."""
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith("CVAT_")
    }
    return subprocess.Popen(
        [sys.executable, "-u", "-W", "error", "-c", program],
        env=environment | {"CVAT_URL": server.url, "CVAT_ACCESS_TOKEN": server.token} | more,
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.parametrize("program", [FIRST, PIPELINE], ids=["first", "pipeline"])
def test_a_program_meets_each_completed_task_as_it_lands(
    program: str, server: ServerProcess, tmp_path: Path
) -> None:
    run = started(program, server, tmp_path)
    out, err = run.communicate(timeout=60)
    assert (run.returncode, err) == (0, "")
    folders = sorted(path.name for path in (tmp_path / "data").glob("task*"))
    assert len(folders) == 2
    assert len(out.splitlines()) == 2
    if program == PIPELINE:
        assert re.fullmatch(r"(task \d: trained on [1-9]\d* boxes\n){2}", out)
    for folder in folders:
        assert list((tmp_path / "data" / folder / "annotations").glob("instances_*.json"))
        assert list((tmp_path / "data" / folder / "images").rglob("*.jpg"))


def test_the_service_streams_the_events_of_a_mirror(server: ServerProcess, tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    service = started(SERVICE, server, tmp_path, PORT=str(port))
    try:
        assert service.stdout is not None
        while "Running on" not in service.stdout.readline():
            assert service.poll() is None
        events = [json.loads(line) for line in posted(f"http://127.0.0.1:{port}/mirrors/2")]
        assert events[0]["event"] == "listing_read"
        assert [event["event"] for event in events].count("task_done") == 3
        assert events[-1]["event"] == "run_finished"
        assert events[-1]["ok"]
        assert len(list((tmp_path / "data" / "project2").glob("task*"))) == 3
        # What keeps a mirror from beginning is told, too, and the service goes on.
        (gone,) = [json.loads(line) for line in posted(f"http://127.0.0.1:{port}/mirrors/99")]
        assert gone["stopped_by"]["type"] == "NotFoundError"
    finally:
        service.send_signal(signal.SIGINT)
        _, err = service.communicate(timeout=60)
    assert (service.returncode, err) == (0, "")


def posted(url: str) -> list[bytes]:
    """The lines that come back of an empty POST."""
    directly = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with directly.open(urllib.request.Request(url, method="POST")) as answer:
        return list(answer)


def test_the_nightly_job_reports_and_tells_of_failures(tmp_path: Path) -> None:
    messages: list[str] = []

    class Hook(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            messages.append(json.loads(body)["text"])
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with (
        ServerProcess(SimulatorOptions(tasks=4, frames=1)) as own,
        HTTPServer(("127.0.0.1", 0), Hook) as hook,
    ):
        threading.Thread(target=hook.serve_forever).start()
        try:
            webhook = f"http://127.0.0.1:{hook.server_port}/"

            def night(**more: str) -> int:
                job = started(NIGHTLY, own, tmp_path, WEBHOOK=webhook, **more)
                _, err = job.communicate(timeout=60)
                assert err == ""
                return job.returncode

            assert (night(), messages) == (0, [])
            assert json.loads((tmp_path / "report.json").read_text())["counts"] == {"fetched": 4}
            own.do("edit_task", task_id=2)
            own.add_faults(Fault(export="fail", task_id=2, message="no frames", times=None))
            assert night() == 1
            assert json.loads((tmp_path / "report.json").read_text())["counts"]["failed"] == 1
            assert "task 2" in messages[-1]
            assert night(CVAT_ACCESS_TOKEN="nobody.knows-it") == 2
            assert "failed" in messages[-1]
            assert len(messages) == 2
        finally:
            hook.shutdown()


def test_the_run_file_that_is_shown_is_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (text,) = blocks("yaml")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "predictions").mkdir()
    (tmp_path / "predictions" / "street.json").write_text("{}")
    (tmp_path / "steps.yaml").write_text(text)
    (tmp_path / "steps.yaml").chmod(0o600)
    steps = asynccvat.load_run_file("steps.yaml").steps
    assert [step.task for step in steps] == [
        "download_cvat_tasks",
        "upload_anno_with_cvat_tasks",
        "mirror",
    ]


# What datnvt-cvat-cli 0.1.0 has.
ITS_COMMANDS = (
    *("download", "upload", "list-tasks", "list-projects", "task-info", "check-connection", "run"),
    *("--config", "--url", "--username", "--password", "--verbose", "--project-id"),
)
ITS_NAMES = (
    *("CVATClient", "ServerConfig", "DatasetFormat", "from_config"),
    *("check_connection", "check_project", "get_projects", "get_tasks", "get_task_ids"),
    *("get_task_info", "download_tasks", "download_annotations", "upload_tasks"),
    "upload_annotations",
)
MOVES = re.findall(
    r"^\| (.+?) \| (.+) \|$",
    README.partition("## Coming from datnvt-cvat-cli")[2].partition("\n## ")[0],
    re.MULTILINE,
)


def test_every_command_and_method_of_datnvt_cvat_cli_has_one_of_ours() -> None:
    theirs = " ".join(left for left, _ in MOVES)
    for name in (*ITS_COMMANDS, *ITS_NAMES):
        assert re.search(rf"(?<![\w-]){name}(?![\w-])", theirs), f"{name} has no counterpart"


def test_every_name_of_ours_that_they_are_sent_to_exists() -> None:
    for _, ours in MOVES:
        for name in re.findall(r"\bac\.(\w+)", ours):
            assert hasattr(asynccvat, name), name
        for name in re.findall(r"\bclient\.(\w+)", ours):
            assert hasattr(asynccvat.CvatClient, name), name
    shown = {
        command for left, _ in MOVES for command in re.findall(r"`([a-z]+(?:-[a-z]+)*)\b", left)
    }
    assert {name for name in ITS_COMMANDS if not name.startswith("-")} <= shown & COMMANDS.keys()


def commands(group: Any, *path: str) -> Iterator[tuple[str, set[str]]]:
    """The commands of a group, those of its groups too, each with all forms of its options."""
    for name, command in getattr(group, "commands", {}).items():
        yield " ".join((*path, name)), flags(command)
        yield from commands(command, *path, name)


def flags(command: Any) -> set[str]:
    given = {flag for item in command.params for flag in (*item.opts, *item.secondary_opts)}
    return {flag for flag in given if flag.startswith("-")} | {"--help", "-h"}


CLI = get_command(app)
COMMANDS = dict(commands(CLI))
TABLE = {
    name.strip("`"): set(re.findall(r"(?<=[` ])-[a-z-]+", options))
    for name, options in re.findall(
        r"^\| (.+?) \| (.+) \|$", README.partition("## Every command and option")[2], re.MULTILINE
    )
}
SHARED = TABLE["all, before or after the command"]


def test_every_command_is_named_where_readme_says_what_it_does() -> None:
    overview = README.partition("## Every command and option")[0]
    assert {"mirror", "requests cancel"} <= COMMANDS.keys()
    for name in COMMANDS:
        assert f"`{name}" in overview, f"README does not say what {name} does"


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_of_a_command_is_named_and_no_other(name: str) -> None:
    shared = SHARED if "--url" in COMMANDS[name] else {"--help", "-h"}
    assert TABLE[name] == COMMANDS[name] - shared


def test_the_options_of_every_command_are_named() -> None:
    assert flags(CLI) == SHARED | TABLE["none"]
    assert COMMANDS["mirror"] >= SHARED
    rows = {"command", "---", "none", "all, before or after the command"}
    assert TABLE.keys() - rows == COMMANDS.keys()


def test_every_place_of_settings_is_named() -> None:
    for name in (*VARIABLES.values(), CONFIG_VARIABLE, *DEFAULT_FILES, *FLAGS):
        assert f"`{name}`" in README, f"README does not name {name}"


@pytest.mark.parametrize("line", re.findall(r"^asynccvat .*$", README, re.MULTILINE))
def test_every_option_that_is_shown_exists(line: str) -> None:
    command, *options = re.findall(
        r"(?<=asynccvat )[a-z-]+|(?<= )--[a-z-]+", line.partition("#")[0]
    )
    assert set(options) <= COMMANDS[command]


def test_the_lines_that_set_everything_up_are_there() -> None:
    lines = [line for block in blocks("sh") for line in block.splitlines()]
    assert lines[0].startswith("python3 -m venv .venv && ")
    assert lines[0].endswith("asynccvat demo")
    assert lines[1].startswith("python3 -m venv .venv && ")
    assert lines[1].endswith("-m pytest")


def test_the_check_runs_the_line_for_the_tests() -> None:
    pattern = re.search(r"sed -n 's/\^\\\((.*)\\\)\$/", (ROOT / ".ci" / "run").read_text("utf-8"))
    assert pattern is not None
    assert re.search(rf"^{pattern[1]}$", README, re.MULTILINE)


def promises(text: str) -> list[str]:
    """The numbered promises of a document, without its line breaks."""
    section = re.split(r"\n#+ (?:\d+\. )?Promises\n", text)[1].partition("\n## ")[0]
    found = re.findall(r"^\d\. (.*?)(?=\n\d\. |\n\n|\Z)", section, re.MULTILINE | re.DOTALL)
    return [" ".join(promise.split()) for promise in found]


def test_the_promises_are_seven_and_each_has_its_name() -> None:
    found = promises(README)
    assert len(found) == 7
    assert all(promise.startswith("**") for promise in found)


def test_the_promises_are_the_designs_own(shared: Path) -> None:
    assert promises(README) == promises((shared / "DESIGN.md").read_text("utf-8"))
