"""CVAT's own SDK and command line, and `asynccvat`, take what the other one made."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest
from official_clients import needs_cli, needs_sdk, run_cli, run_script

from asynccvat.simulator import SimulatedServer, SimulatorOptions
from asynccvat.simulator.formats.archives import export_archive
from asynccvat.simulator.threads import serve_in_thread

if TYPE_CHECKING:
    from command_line import Shell

READ: Final = """
import hashlib, json, sys
from cvat_sdk import make_client

given = json.loads(sys.argv[1])
read = []
with make_client(given["url"], credentials=(given["username"], given["password"])) as client:
    for task in sorted(client.tasks.list(), key=lambda task: task.id):
        names = {label.id: label.name for label in task.get_labels()}
        held = task.get_annotations()
        read.append({
            "id": task.id,
            "name": task.name,
            "project": task.project_id,
            "size": task.size,
            "frames": [frame.name for frame in task.get_meta().frames],
            "images": [
                hashlib.sha256(task.get_frame(number, quality="original").read()).hexdigest()
                for number in range(task.size)
            ],
            "labels": sorted(names.values()),
            "jobs": [[job.start_frame, job.stop_frame] for job in task.get_jobs()],
            "shapes": sorted(
                [shape.frame, shape.type.value, names[shape.label_id], list(shape.points)]
                for shape in held.shapes
            ),
            "tags": sorted([tag.frame, names[tag.label_id]] for tag in held.tags),
        })
print(json.dumps(read))
"""

OPTIONS: Final = SimulatorOptions(tasks=2, frames=3, unicode_tasks=1)


@pytest.fixture
def own(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> Iterator[SimulatedServer]:
    """A server for one test, which the shell uses."""
    del shell  # it names another server
    with serve_in_thread(OPTIONS) as server:
        monkeypatch.setenv("CVAT_URL", server.url)
        yield server


def read(server: SimulatedServer, home: Path) -> list[dict[str, Any]]:
    """Return all tasks of a server, as the SDK reads them."""
    given = {"url": server.url, "username": server.username, "password": server.password}
    found: list[dict[str, Any]] = json.loads(run_script(READ, json.dumps(given), home))
    return found


def content(task: dict[str, Any]) -> dict[str, Any]:
    """Return what a copy of a task has in common with it."""
    return {name: value for name, value in task.items() if name not in ("id", "project")}


@needs_cli
@pytest.mark.parametrize("kind", ["task", "project"])
def test_the_official_command_line_restores_our_backups(
    kind: str, shell: Shell, own: SimulatedServer, tmp_path: Path
) -> None:
    chosen = ("-t", "1,2") if kind == "task" else ("--projects",)
    assert shell("backup", tmp_path / "backups", *chosen).code == 0
    before = read(own, tmp_path)
    for path in sorted((tmp_path / "backups").glob(f"{kind}*/*.zip")):
        run_cli(own, tmp_path, kind, "create-from-backup", str(path))
    restored = read(own, tmp_path)[len(before) :]
    assert [content(task) for task in restored] == [content(task) for task in before]


@needs_cli
def test_backups_of_the_official_command_line_are_restored(
    shell: Shell, own: SimulatedServer, tmp_path: Path
) -> None:
    before = read(own, tmp_path)
    for number in (1, 2):
        path = tmp_path / f"{number}.zip"
        run_cli(own, tmp_path, "task", "backup", str(number), str(path))
        ended = shell("restore", path)
        assert ended.code == 0, ended.err
    restored = read(own, tmp_path)[len(before) :]
    assert [content(task) for task in restored] == [content(task) for task in before]


@needs_sdk
def test_the_sdk_reads_the_same_of_a_copy_as_of_its_source(
    shell: Shell, own: SimulatedServer, tmp_path: Path
) -> None:
    with serve_in_thread(SimulatorOptions(tasks=0, projects=0)) as target:
        sides: list[object] = []
        for option, server in (("--from", own), ("--to", target)):
            path = tmp_path / f"{option.strip('-')}.yaml"
            path.write_text(
                f"url: {server.url}\nusername: {server.username}\npassword: {server.password}\n"
            )
            path.chmod(0o600)
            sides += [option, path]
        ended = shell("copy", *sides, "--state", tmp_path / "state")  # type: ignore[arg-type]
        assert ended.code == 0, ended.err
        copied, source = read(target, tmp_path), read(own, tmp_path)
    assert sorted(map(content, copied), key=str) == sorted(map(content, source), key=str)
    assert {task["project"] for task in copied} == {1}


@needs_sdk
def test_the_sdk_reads_a_dataset_that_was_imported_and_misses_a_task_that_was_deleted(
    shell: Shell, own: SimulatedServer, tmp_path: Path
) -> None:
    path = tmp_path / "dataset.zip"
    path.write_bytes(export_archive(own.tasks[1], "COCO 1.0", save_images=True))
    ended = shell("import-dataset", 1, path, "--format", "COCO 1.0")
    assert ended.code == 0, ended.err
    images = [hashlib.sha256(frame.data()).hexdigest() for frame in own.tasks[1].frames()]
    made = read(own, tmp_path)[-1]
    assert (made["project"], sorted(made["images"])) == (1, sorted(images))
    ended = shell("delete", "-t", made["id"], "--yes", "--expect", 1)
    assert ended.code == 0, ended.err
    assert [task["id"] for task in read(own, tmp_path)] == [1, 2]
