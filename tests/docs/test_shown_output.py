"""What the documentation shows as output of a command is what the command writes."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from pages import block

from asynccvat.simulator import ServerProcess, SimulatorOptions

SHOWN = block("docs/commands/verify.md", "text")


def general(output: str) -> list[str]:
    """The lines of an output, without what differs between two runs."""
    lines = re.sub(r"\b(?=[\da-f]*\d)[\da-f]{8}\b|\d[\d,.:-]*Z?", "#", output).splitlines()
    return sorted(lines[:-1]) + lines[-1:]


def test_a_verification_writes_the_lines_that_are_shown(tmp_path: Path) -> None:
    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "asynccvat", *arguments],
            cwd=tmp_path,
            env=os.environ | {"CVAT_URL": server.url, "CVAT_ACCESS_TOKEN": server.token},
            capture_output=True,
            text=True,
            check=False,
        )

    with ServerProcess(SimulatorOptions(tasks=4, frames=3)) as server:
        assert run("mirror", "data", "--format", "COCO 1.0", "--images").returncode == 0
    data = tmp_path / "data"
    (data / "notes.txt").write_text("mine")
    rotten = data / "task1" / "images" / "default" / "street_0000.jpg"
    times = rotten.stat()
    content = bytearray(rotten.read_bytes())
    content[100] ^= 1
    rotten.write_bytes(content)
    os.utime(rotten, ns=(times.st_atime_ns, times.st_mtime_ns))
    for image in (data / "task2" / "images").rglob("*.jpg"):
        image.unlink()
    for folder in sorted((data / "task2" / "images").rglob("*"), reverse=True):
        folder.rmdir()
    (data / "task2" / "images").rmdir()
    with (data / "task3" / "annotations" / "instances_default.json").open("a") as edited:
        edited.write(" ")
    done = run("verify", "data")
    assert done.returncode == 1
    assert general(done.stdout + done.stderr) == general(SHOWN.text), done.stdout + done.stderr
