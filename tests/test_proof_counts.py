"""The summary of the proofs counts the cases of all processes that share the tests."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parent

PROOFS = """
import pytest

proof = pytest.mark.proof

@proof("Counted")
@pytest.mark.parametrize("number", range(10))
def test_many(number, count_cases):
    count_cases(number)
    count_cases(1)

@proof("Not counted")
@pytest.mark.parametrize("number", range(6))
def test_one(number):
    assert number != 3

@proof("Not counted")
@pytest.mark.thorough
def test_of_a_thorough_run():
    pass

@proof("Stopped")
def test_that_fails_half_way(count_cases):
    count_cases(2)
    raise AssertionError

def test_no_proof():
    pass
"""


@pytest.mark.parametrize(
    ("processes", "thorough"), [("0", False), ("2", True)], ids=["sample", "thorough"]
)
def test_cases_are_counted_in_every_process(
    tmp_path: Path, processes: str, *, thorough: bool
) -> None:
    (tmp_path / "test_it.py").write_text(PROOFS)
    command = ["-m", "pytest", "-q", "-p", "conftest", "-p", "no:cacheprovider"]
    command += ["-n", processes, "--dist", "worksteal", "-m", "proof", f"--rootdir={tmp_path}"]
    ended = subprocess.run(
        [sys.executable, *command, *["--thorough"] * thorough, "test_it.py"],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
        env={"PYTHONPATH": f"{TESTS}:{TESTS.parent}", "PATH": ""},
    )
    assert f"2 failed, {15 + thorough} passed" in ended.stdout, ended.stdout + ended.stderr
    counts = dict(re.findall(r"^([\w ]+): (\d+) cases, \d+ s$", ended.stdout, re.MULTILINE))
    assert counts == {"Counted": "55", "Not counted": str(5 + thorough), "Stopped": "2"}
