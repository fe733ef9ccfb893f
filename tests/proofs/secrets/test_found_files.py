"""A file of settings that only lies in a folder sends no credentials to the server it names."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

import asynccvat as ac

pytestmark = pytest.mark.proof("Secrets")

COMMANDS = {
    "check-connection": (),
    "list-tasks": (),
    "list-projects": (),
    "list-jobs": (),
    "task-info": ("1",),
    "formats": (),
    "requests": (),
    "requests cancel": ("--all",),
    "mirror": ("data",),
    "download": ("-t", "1", "-o", "out"),
    "upload": ("--pair", "1=file.xml"),
    "verify": ("data", "--against-server"),
    "run": ("steps.yaml",),
}
CREDENTIALS = {
    "token": {"CVAT_ACCESS_TOKEN": "abcdefgh.never-sent"},
    "password": {"CVAT_USERNAME": "ann", "CVAT_PASSWORD": "never-sent"},
}


class Elsewhere(ThreadingHTTPServer):
    """Notes every call; answers none of them as CVAT does."""

    def __init__(self) -> None:
        self.heard: list[str] = []
        super().__init__(("127.0.0.1", 0), _Handler)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    server: Elsewhere

    def do_GET(self) -> None:
        self.server.heard.append(f"{self.requestline} {dict(self.headers)}")
        self.send_error(404)

    do_POST = do_GET  # noqa: N815 - the name that http.server calls

    def log_message(self, *_: object) -> None:
        """Write nothing."""


@pytest.fixture
def elsewhere() -> Iterator[Elsewhere]:
    with Elsewhere() as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture
def folder(tmp_path: Path, elsewhere: Elsewhere) -> Path:
    (tmp_path / "server.yaml").write_text(f"url: {elsewhere.url}\n")
    (tmp_path / "file.xml").write_text("<annotations></annotations>")
    (tmp_path / "steps.yaml").write_text("- task: mirror\n  parameters: {dest: data}\n")
    return tmp_path


def run(folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "asynccvat", *arguments],
        cwd=folder,
        env={"HOME": str(folder), "PATH": "/usr/bin:/bin", **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


@pytest.mark.parametrize("credentials", CREDENTIALS)
@pytest.mark.parametrize("command", COMMANDS)
def test_no_command_tells_a_found_file_s_server_the_credentials_of_the_environment(
    folder: Path, elsewhere: Elsewhere, command: str, credentials: str
) -> None:
    ended = run(folder, *command.split(), *COMMANDS[command], **CREDENTIALS[credentials])
    assert ended.returncode == 2
    assert f"refusing to send the {credentials} of the environment's" in ended.stderr
    assert "server.yaml, line 1 names that server" in ended.stderr
    assert elsewhere.heard == []


def test_a_program_does_not_tell_it_either(
    folder: Path, elsewhere: Elsewhere, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    monkeypatch.setenv("CVAT_ACCESS_TOKEN", "abcdefgh.never-sent")
    for name in ("CVAT_URL", "CVAT_SERVER_CONFIG"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(ac.ConfigError, match="refusing to send the token"):
        ac.CvatClient.from_settings()
    assert elsewhere.heard == []


def test_a_file_that_the_user_names_is_the_user_s_word(folder: Path, elsewhere: Elsewhere) -> None:
    ended = run(folder, "list-tasks", "--config", "server.yaml", **CREDENTIALS["token"])
    assert ended.returncode in (2, 4)
    assert "refusing" not in ended.stderr
    assert len(elsewhere.heard) == 1
