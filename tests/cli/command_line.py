"""The command line as a shell sees it, and a simulated server for it."""

from __future__ import annotations

import base64
import gzip
import json
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from asynccvat import cli
from asynccvat.simulator import SimulatedServer, SimulatorOptions
from asynccvat.simulator.threads import serve_in_thread


def data_of(page: Path) -> Any:
    """The data of a report page."""
    block = re.search(r'id="data">(.*?)</script>', page.read_text("utf-8"), re.DOTALL)
    assert block is not None
    data = json.loads(block[1])
    return json.loads(gzip.decompress(base64.b64decode(data["gzip"]))) if "gzip" in data else data


@dataclass(frozen=True)
class Ended:
    """How a command ended, and what it wrote."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


class Shell:
    """Runs commands in this process, with an environment of the test's own."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys

    def __call__(self, *arguments: str | Path | int) -> Ended:
        self._capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            cli.main([str(argument) for argument in arguments])
        out, err = self._capsys.readouterr()
        assert "Traceback" not in err
        assert isinstance(ended.value.code, int)
        return Ended(int(ended.value.code), out, err)


@pytest.fixture(scope="module")
def simulated() -> Iterator[SimulatedServer]:
    """Six tasks in two projects; tests that change it make one of their own.

    Its logins are not limited: the tests of a module log in more often than users do in a minute.
    """
    with serve_in_thread(
        SimulatorOptions(tasks=6, frames=2, projects=2, throttle_anonymous=None)
    ) as running:
        yield running


@pytest.fixture
def bare_shell(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Shell:
    """A shell that knows of no server, in an empty working directory."""
    monkeypatch.delenv("CI", raising=False)
    for name in list(os.environ):
        if name.startswith("CVAT_"):
            monkeypatch.delenv(name)
    # The user who runs the tests may have a profile.
    for name in ("HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME"):
        monkeypatch.setenv(name, str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    return Shell(capsys)


@pytest.fixture
def shell(bare_shell: Shell, simulated: SimulatedServer, monkeypatch: pytest.MonkeyPatch) -> Shell:
    """A shell whose environment names the simulated server and its user."""
    monkeypatch.setenv("CVAT_URL", simulated.url)
    monkeypatch.setenv("CVAT_USERNAME", simulated.username)
    monkeypatch.setenv("CVAT_PASSWORD", simulated.password)
    return bare_shell
