"""Every Python program of the documentation runs, against a simulated server."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import textwrap
import threading
import urllib.request
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from pages import Block, block, blocks

from asynccvat.simulator import Fault, ServerProcess, SimulatorOptions

Start = Callable[..., subprocess.Popen[str]]
Run = Callable[..., int]

FIRST = block("README.md", "python")
PIPELINE = block("docs/howto/training-pipeline.md", "python")
SERVICE = block("docs/howto/web-service.md", "python")
NIGHTLY = block("docs/howto/nightly-mirror.md", "python")
OWN_TESTS = block("docs/python/simulator.md", "python")
TELEMETRY = block("docs/python/telemetry.md", "python")
TESTED_APART = (FIRST, PIPELINE, SERVICE, NIGHTLY, OWN_TESTS, TELEMETRY)
# `test_examples.py` runs the cells of the notebook.
OTHERS = [
    item
    for item in blocks("python")
    if item not in TESTED_APART and item.page != "docs/howto/notebook.md"
]

# What stands around a fragment: a block that uses `client` without making one.
AROUND = """\
import asyncio
import asynccvat as ac


async def fragment():
    async with ac.CvatClient.from_environment() as client:
{fragment}


asyncio.run(fragment())
"""


def program(item: Block) -> str:
    """A block as a whole program."""
    if "import asynccvat" in item.text or not re.search(r"\b(await|async) ", item.text):
        return item.text
    return AROUND.format(fragment=textwrap.indent(item.text, " " * 8))


@pytest.mark.parametrize("item", OTHERS, ids=str)
def test_a_block_runs(
    item: Block, server: ServerProcess, folder: Path, run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(program(item), server, folder) == 0
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("item", [FIRST, PIPELINE], ids=str)
def test_a_program_meets_each_completed_task_as_it_lands(
    item: Block,
    server: ServerProcess,
    tmp_path: Path,
    run: Run,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run(item.text, server, tmp_path) == 0
    out, err = capsys.readouterr()
    assert err == ""
    folders = sorted(path.name for path in (tmp_path / "data").glob("task*"))
    assert len(folders) == 2
    assert len(out.splitlines()) == 2
    if item == PIPELINE:
        assert re.fullmatch(r"(task \d: trained on [1-9]\d* boxes\n){2}", out)
    for folder in folders:
        assert list((tmp_path / "data" / folder / "annotations").glob("instances_*.json"))
        assert list((tmp_path / "data" / folder / "images").rglob("*.jpg"))


def test_the_service_streams_the_events_of_a_mirror(
    server: ServerProcess, tmp_path: Path, start: Start
) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    service = start(SERVICE.text, server, tmp_path, PORT=str(port))
    try:
        assert service.stdout is not None
        while "Running on" not in service.stdout.readline():
            assert service.poll() is None
        events = [json.loads(line) for line in posted(f"http://127.0.0.1:{port}/mirrors/2")]
        assert [event["event"] for event in events[:2]] == ["run_started", "destination_settled"]
        assert [event["event"] for event in events].count("task_done") == 3
        assert events[-1]["event"] == "run_finished"
        assert events[-1]["ok"]
        assert len(list((tmp_path / "data" / "project2").glob("task*"))) == 3
        # What keeps a mirror from beginning is reported, too, and the service goes on.
        _, gone = [json.loads(line) for line in posted(f"http://127.0.0.1:{port}/mirrors/99")]
        assert gone["stopped_by"]["type"] == "NotFoundError"
    finally:
        service.send_signal(signal.SIGINT)
        _, err = service.communicate(timeout=60)
    assert (service.returncode, err) == (0, "")


def test_the_service_stops_a_mirror_when_its_client_hangs_up(tmp_path: Path, start: Start) -> None:
    options = SimulatorOptions(tasks=3, frames=1, export_workers=2)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with ServerProcess(options) as own:
        # No export ends. Once two run and one waits, nothing more happens that could be written.
        own.add_faults(Fault(export="stick", times=None))
        service = start(SERVICE.text, own, tmp_path, PORT=str(port))
        try:
            assert service.stdout is not None
            while "Running on" not in service.stdout.readline():
                assert service.poll() is None
            with socket.create_connection(("127.0.0.1", port)) as client:
                client.sendall(b"POST /mirrors/1 HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n")
                heard = b""
                while (heard.count(b'"export_requested"'), heard.count(b'"export_started"')) != (
                    3,
                    2,
                ):
                    heard += client.recv(2**16)
            while not any(call["path"].endswith("/cancel") for call in own.calls):
                assert service.poll() is None
        finally:
            service.send_signal(signal.SIGINT)
            service.communicate(timeout=60)


def posted(url: str) -> list[bytes]:
    """The lines that answer an empty POST."""
    directly = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with directly.open(urllib.request.Request(url, method="POST")) as answer:
        return list(answer)


def test_the_nightly_job_reports_and_sends_a_message_on_failure(
    tmp_path: Path, run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
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
                code = run(NIGHTLY.text, own, tmp_path, WEBHOOK=webhook, **more)
                assert capsys.readouterr().err == ""
                return code

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


def test_the_test_of_ones_own_passes(tmp_path: Path) -> None:
    (tmp_path / "test_own.py").write_text(OWN_TESTS.text)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-c", "/dev/null", "."],
        cwd=tmp_path,
        env=os.environ | {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert "1 passed" in done.stdout, done.stdout + done.stderr
