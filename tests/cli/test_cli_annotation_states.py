"""`asynccvat log` and `asynccvat diff-annotations`, seen from the shell."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from asynccvat.simulator import SimulatorOptions
from asynccvat.simulator.threads import serve_in_thread

if TYPE_CHECKING:
    from command_line import Shell


@pytest.fixture(autouse=True)
def _mirrored(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A mirror as JSON in `raw` with two states of task 2; `CVAT_URL` does not name its server."""
    with serve_in_thread(SimulatorOptions(tasks=2, frames=2)) as server:
        monkeypatch.setenv("CVAT_URL", server.url)
        mirror = ("mirror", "raw", "--format", "json", "--history", "9999d", "--no-fsync", "-q")
        assert shell(*mirror).code == 0
        content = json.loads(Path("raw/task2/annotations.json").read_bytes())
        content["shapes"].pop()
        Path("new.json").write_text(json.dumps(content))
        uploaded = shell("upload", "--pair", "2=new.json", "--format", "json", "--no-backup")
        assert uploaded.code == 0
        assert shell(*mirror).code == 0
        monkeypatch.delenv("CVAT_URL")
        yield


def test_an_earlier_state_goes_back_to_its_task(shell: Shell) -> None:
    server = json.loads(Path("raw/task2/task.json").read_bytes())["url"].partition("/api/")[0]
    since = shell("log", "raw", "-t", "2", "--json").json["entries"][0]["since"]
    given = ("upload", "--url", server, "--at", since, "-t", "2", "-i", "raw")
    planned = shell(*given, "--dry-run")
    assert planned.code == 0
    assert ".asynccvat/history/2/" in planned.out
    assert shell(*given).code == 0
    assert shell("mirror", "raw", "--url", server, "--no-fsync", "-q").code == 0
    entries = shell("log", "raw", "-t", "2", "--json").json["entries"]
    counts = [one["annotations"] for one in entries]
    assert counts == [counts[0], counts[0] - 1, counts[0]]


@pytest.mark.parametrize(
    ("given", "why"),
    [
        (("--all", "-i", "raw"), "Remove --all."),
        (("--pair", "2=new.json"), "Remove --pair."),
        (("-t", "2", "-i", "raw", "--undo"), "Remove --at."),
    ],
)
def test_options_that_contradict_an_earlier_state_are_refused(
    shell: Shell, given: tuple[str, ...], why: str
) -> None:
    ended = shell("upload", "--at", "2026-11-01", *given)
    assert ended.code == 2
    assert why in ended.err


def test_a_log_is_a_table_of_states(shell: Shell) -> None:
    ended = shell("log", "raw", "-t", "2")
    assert ended.code == 0
    head, first, second = (line.split("\t") for line in ended.out.splitlines())
    assert head == ["since", "total", "added", "removed", "changed", "by label and kind"]
    assert first[2:5] == ["", "", ""]
    again = shell("diff-annotations", f"2@{first[0]}", f"2@{second[0]}", "-i", "raw")
    assert again.err.startswith("0 added, 1 removed, ")
    assert second[2:5] == ["0", "1", "0"]
    assert int(second[1]) == int(first[1]) - 1
    assert "car rectangle" in first[5]
    assert ended.err.endswith(": 2 states\n")
    assert len(shell("log", "raw", "-t", "2", "--json").json["entries"]) == 2


def test_a_state_that_cannot_be_read_ends_a_log_with_code_1(shell: Shell) -> None:
    (version,) = Path("raw/.asynccvat/history/2").iterdir()
    (version / "annotations.json").write_bytes(b"[")
    ended = shell("log", "raw", "-t", "2")
    assert ended.code == 1
    assert f"state of {version.name.removesuffix('.000000Z')[:19]}" in ended.err


def test_a_difference_is_a_table_and_code_1(shell: Shell) -> None:
    since = shell("log", "raw", "-t", "2", "--json").json["entries"][0]["since"]
    ended = shell("diff-annotations", f"2@{since}", "2", "-i", "raw")
    assert ended.code == 1
    head, row = (line.split("\t") for line in ended.out.splitlines())
    assert head == ["task", "label", "kind", "added", "removed", "changed", "frames"]
    assert (row[0], row[3:6]) == ("", ["0", "1", "0"])
    assert ended.err.startswith("0 added, 1 removed, 0 changed, ")


def test_no_difference_is_code_0(shell: Shell) -> None:
    ended = shell("diff-annotations", "raw", "raw")
    assert (ended.code, ended.out) == (0, "")
    assert ended.err.startswith("2 tasks: 0 added, 0 removed, 0 changed, ")
    assert shell("diff-annotations", "raw", "raw", "--json").json["same"] is True


def test_tasks_that_cannot_be_compared_and_tasks_of_one_side_are_named(shell: Shell) -> None:
    for name in ("one/a", "one/b", "two/b"):
        Path(name).mkdir(parents=True)
        Path(name, "annotations.json").write_bytes(b"[")
    ended = shell("diff-annotations", "one", "two")
    assert ended.code == 1
    assert "b: cannot compare: it is not CVAT's JSON of annotations" in ended.err
    assert "only in one: a" in ended.err


def test_a_version_without_its_mirror_is_refused(shell: Shell) -> None:
    ended = shell("diff-annotations", "2@2026-11-01", "2")
    assert ended.code == 2
    assert "147@2026-11-01 needs the mirror, as --in-dir." in ended.err
