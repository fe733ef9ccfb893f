"""A simulated server for the programs of the documentation, and a folder to run them in."""

from __future__ import annotations

import logging
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import trustme

from asynccvat.simulator import ServerProcess, SimulatorOptions

Start = Callable[..., subprocess.Popen[str]]
Run = Callable[..., int]

STEPS = """\
- task: mirror
  parameters: {dest: data}
"""


@pytest.fixture(scope="module")
def server() -> Iterator[ServerProcess]:
    with ServerProcess(SimulatorOptions(tasks=6, projects=2)) as running:
        yield running


def _settings(server: ServerProcess, folder: Path) -> dict[str, str]:
    """The variables of a program: its server, and a place of its own for logins."""
    home = str(folder / "home")
    return {
        "CVAT_URL": server.url,
        "CVAT_ACCESS_TOKEN": server.token,
        "HOME": home,
        "XDG_CONFIG_HOME": home,
    }


@pytest.fixture(scope="module")
def start() -> Start:
    """Start a program in a folder, with a server in its environment and warnings as errors."""

    def started(
        program: str, server: ServerProcess, folder: Path, **more: str
    ) -> subprocess.Popen[str]:
        environment = {
            name: value for name, value in os.environ.items() if not name.startswith("CVAT_")
        }
        return subprocess.Popen(
            [sys.executable, "-u", "-W", "error", "-c", program],
            env=environment | _settings(server, folder) | more,
            cwd=folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    return started


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run a program in this process, which is faster, and return its exit code."""
    for name in [name for name in os.environ if name.startswith("CVAT_")]:
        monkeypatch.delenv(name)

    def ran(program: str, server: ServerProcess, folder: Path, **more: str) -> int:
        environment = _settings(server, folder) | more
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        monkeypatch.chdir(folder)
        level = logging.getLogger("asynccvat").level
        try:
            exec(compile(program, "<program>", "exec"), {"__name__": "__main__"})
        except SystemExit as ended:
            return int(ended.code or 0)
        finally:
            logging.getLogger("asynccvat").setLevel(level)
        return 0

    return ran


@pytest.fixture(scope="module")
def model_folder(
    server: ServerProcess, start: Start, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """What programs of the documentation find: a mirror, annotation files, certificates."""
    folder = tmp_path_factory.mktemp("model")
    mirror = (
        "import asyncio, asynccvat as ac\n"
        "async def main():\n"
        "    async with ac.CvatClient.from_environment() as client:\n"
        "        (await ac.mirror(client, 'data/')).raise_for_failures()\n"
        "asyncio.run(main())\n"
    )
    run = start(mirror, server, folder)
    assert run.communicate(timeout=60)[1] == ""
    for number, name in enumerate(("street", "harbour"), start=1):
        shutil.copy(folder / "data" / f"task{number}" / "annotations.xml", folder / f"{name}.xml")
    (folder / "steps.yaml").write_text(STEPS)
    authority = trustme.CA()
    authority.cert_pem.write_to_path(folder / "company-ca.pem")
    client = authority.issue_cert("client.example.com")
    client.cert_chain_pems[0].write_to_path(folder / "client.pem")
    client.private_key_pem.write_to_path(folder / "client.key")
    return folder


@pytest.fixture
def folder(model_folder: Path, tmp_path: Path) -> Path:
    """A copy of the model folder, to change at will."""
    place = tmp_path / "work"
    shutil.copytree(model_folder, place)
    return place
