"""Full disks, special files and odd characters on stdout and in reports."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from command_line import Shell

from asynccvat.cli import output

FULL = Path("/dev/full")


@pytest.mark.skipif(not FULL.exists(), reason="there is no /dev/full here")
def test_a_full_stdout_is_one_line_and_no_bug() -> None:
    with FULL.open("w") as full:
        ended = subprocess.run(
            [sys.executable, "-m", "asynccvat", "--version"],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
            timeout=60,
        )
    assert ended.returncode == 1
    assert ended.stderr == "Error: cannot write to stdout: No space left on device\n"


def _run(*arguments: str | Path, stderr: int, stdout: int = subprocess.PIPE) -> tuple[int, str]:
    ended = subprocess.run(
        [sys.executable, "-m", "asynccvat", *map(str, arguments)],
        stdout=stdout,
        stderr=stderr,
        text=True,
        check=False,
        timeout=60,
    )
    return ended.returncode, ended.stdout


@contextlib.contextmanager
def _full_disk() -> Iterator[int]:
    with FULL.open("w") as full:
        yield full.fileno()


@contextlib.contextmanager
def _without_reader() -> Iterator[int]:
    reading, writing = os.pipe()
    os.close(reading)
    try:
        yield writing
    finally:
        os.close(writing)


@pytest.mark.skipif(not FULL.exists(), reason="there is no /dev/full here")
@pytest.mark.parametrize("stderr", [_full_disk, _without_reader])
def test_messages_that_cannot_be_written_stop_no_run_and_take_no_result_along(
    stderr: Callable[[], contextlib.AbstractContextManager[int]],
    shell: Shell,
    tmp_path: Path,
) -> None:
    del shell  # it sets the environment
    with stderr() as fd:
        code, out = _run("mirror", tmp_path / "data", "--json", stderr=fd)
        assert code == 0
        assert json.loads(out)["counts"]["fetched"] == 6
        assert _run("mirror", "--no-such-option", stderr=fd) == (2, "")


def test_a_report_is_written_into_a_device_or_link_and_never_replaces_it(
    tmp_path: Path,
) -> None:
    target, link = tmp_path / "target.json", tmp_path / "link.json"
    target.write_text("old, and longer than what comes")
    link.symlink_to(target)
    output.check_writable(link, "--report-json")
    assert output.save_json({}, link)
    assert link.is_symlink()
    assert json.loads(target.read_text()) == {}
    reading, writing = os.pipe()
    try:
        pipe = Path(f"/dev/fd/{writing}")
        if not pipe.exists():
            pytest.skip("there is no /dev/fd here")
        output.check_writable(pipe, "--report-json")
        assert output.save_json([1], pipe)
        assert json.loads(os.read(reading, 100)) == [1]
    finally:
        os.close(reading)
        os.close(writing)


def test_a_path_that_is_not_unicode_is_escaped_as_json_escapes(tmp_path: Path) -> None:
    path = os.fsdecode(b"data-\xff")
    assert output.save_json({"path": path}, tmp_path / "report.json")
    assert json.loads((tmp_path / "report.json").read_text("utf-8")) == {"path": path}
    log = output.EventLog(tmp_path / "log.json")
    log.write({"path": path}, "2026-03-31T12:00:00Z")
    log.close()
    assert json.loads((tmp_path / "log.json").read_text("utf-8"))["path"] == path
