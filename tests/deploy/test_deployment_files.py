"""The files of `deploy/` are what their programs accept, and their commands are asynccvat's.

Where systemd, a Docker daemon or the schemas of Kubernetes are missing, their tests skip.
"""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.main import get_command

from asynccvat.cli import app
from asynccvat.simulator import SimulatorOptions
from asynccvat.simulator.threads import serve_in_thread

DEPLOY = Path(__file__).resolve().parents[2] / "deploy"
UNITS = sorted((DEPLOY / "systemd").iterdir())
MANIFESTS = sorted((DEPLOY / "kubernetes").iterdir())
CLI: Any = get_command(app)


def documents(manifest: Path) -> list[Any]:
    return list(yaml.safe_load_all(manifest.read_text("utf-8")))


def containers(value: Any) -> Iterator[dict[str, Any]]:
    """The containers of a document, however deep."""
    if isinstance(value, dict):
        yield from value.get("containers", ())
        value = list(value.values())
    for item in value if isinstance(value, list) else ():
        yield from containers(item)


def command_lines() -> Iterator[Any]:
    """The arguments after `asynccvat` in all files, by the names of the files."""
    for unit in UNITS:
        for found in re.findall(
            r"^ExecStart=\S+/asynccvat (.+)$", unit.read_text("utf-8"), re.MULTILINE
        ):
            words = [word for word in shlex.split(found) if not word.startswith("$")]
            yield pytest.param(words, id=unit.name)
    for manifest in MANIFESTS:
        for document in documents(manifest):
            for container in containers(document):
                assert container["command"] == ["asynccvat"]
                yield pytest.param(container["args"], id=manifest.name)
    commands = re.findall(
        r"^CMD (\[.+\])$", (DEPLOY / "Dockerfile").read_text("utf-8"), re.MULTILINE
    )
    yield pytest.param(json.loads(commands[-1]), id="Dockerfile")


@pytest.mark.parametrize("words", list(command_lines()))
def test_a_command_is_one_of_asynccvat(words: list[str]) -> None:
    name, *arguments = words
    CLI.commands[name].make_context(name, arguments)


@pytest.mark.parametrize("unit", UNITS, ids=lambda path: path.name)
def test_systemd_accepts_a_unit(unit: Path, tmp_path: Path) -> None:
    program = shutil.which("systemd-analyze")
    if program is None:
        pytest.skip("systemd-analyze is not installed")
    # It checks that the program of the service exists; here another one stands for it.
    for each in UNITS:
        text = each.read_text("utf-8").replace("/opt/asynccvat/bin/asynccvat", sys.executable)
        (tmp_path / each.name.replace("@", "@main")).write_text(text, "utf-8")
    checked = subprocess.run(
        [program, "verify", "--man=no", str(tmp_path / unit.name.replace("@", "@main"))],
        capture_output=True,
        text=True,
        check=False,
    )
    # It also tells of the units of the system that it loads.
    own = [line for line in checked.stderr.splitlines() if "asynccvat" in line]
    assert (checked.returncode, own) == (0, []), checked.stderr


@pytest.mark.parametrize("manifest", MANIFESTS, ids=lambda path: path.name)
def test_kubernetes_knows_every_field_of_a_manifest(manifest: Path) -> None:
    validate = pytest.importorskip("kubernetes_validate", reason="its schemas are not installed")
    found = documents(manifest)
    assert found
    for document in found:
        validate.validate(document, "1.30", strict=True)


def test_the_schemas_refuse_an_unknown_field() -> None:
    validate = pytest.importorskip("kubernetes_validate", reason="its schemas are not installed")
    (document,) = [one for one in documents(MANIFESTS[0]) if one["kind"] == "CronJob"]
    document["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"][0]["arg"] = ["x"]
    with pytest.raises(validate.ValidationError):
        validate.validate(document, "1.30", strict=True)


def test_the_image_is_built_from_the_files_that_its_context_has(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    sources = re.findall(
        r"^COPY (?!--)(.+) \S+$", (DEPLOY / "Dockerfile").read_text("utf-8"), re.MULTILINE
    )
    copied = {name for line in sources for name in line.split()}
    ignored = (DEPLOY / "Dockerfile.dockerignore").read_text("utf-8").splitlines()
    assert copied == {line[1:] for line in ignored if line.startswith("!")}
    root, context = DEPLOY.parent, tmp_path_factory.mktemp("context")
    for name in copied:
        if (root / name).is_dir():
            shutil.copytree(
                root / name, context / name, ignore=shutil.ignore_patterns("__pycache__")
            )
        else:
            shutil.copy(root / name, context / name)
    built = subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel"],
        cwd=context,
        capture_output=True,
        text=True,
        check=False,
    )
    assert built.returncode == 0, built.stderr
    assert [path.name for path in (context / "dist").glob("asynccvat-*.whl")]


def answers(docker: str) -> bool:
    """Whether a Docker daemon answers."""
    return subprocess.run([docker, "info"], capture_output=True, check=False).returncode == 0


def test_the_image_keeps_a_mirror_up_to_date() -> None:
    docker = shutil.which("docker")
    if docker is None or not answers(docker):
        pytest.skip("no Docker daemon answers")

    def run(*arguments: str) -> str:
        return subprocess.run(
            [docker, *arguments], capture_output=True, text=True, check=True
        ).stdout.strip()

    image = run("build", "-q", "-f", str(DEPLOY / "Dockerfile"), str(DEPLOY.parent))
    with serve_in_thread(SimulatorOptions(tasks=2, frames=1)) as server:
        settings = {
            "CVAT_URL": server.url,
            "CVAT_USERNAME": server.username,
            "CVAT_PASSWORD": server.password,
        }
        given = [f"--env={name}={value}" for name, value in settings.items()]
        container = run("run", "-d", "--network", "host", *given, image)
        try:
            logs = subprocess.Popen(
                [docker, "logs", "-f", container], stdout=subprocess.PIPE, text=True
            )
            assert logs.stdout is not None
            assert "2 fetched" in logs.stdout.readline()
            with urllib.request.urlopen("http://127.0.0.1:9100/readyz", timeout=5) as answer:
                assert answer.status == 200
            run("stop", container)
            logs.wait(30)
            assert run("inspect", "-f", "{{.State.ExitCode}}", container) == "143"
        finally:
            run("rm", "-f", container)
