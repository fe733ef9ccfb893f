"""`backup`, `restore` and `import_datasets` on the simulated server, also if answers are lost."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

import asynccvat as ac
from asynccvat.simulator import Fault, SimulatedServer, SimulatorOptions
from asynccvat.simulator.formats.archives import export_archive

pytestmark = pytest.mark.anyio

QUICK = ac.RetryPolicy(base=0.01)
OPTIONS = SimulatorOptions(tasks=3, frames=3, unicode_tasks=1, subsets=("train", ""))


def shapes(server: SimulatedServer, task_id: int) -> list[object]:
    return [
        (shape.frame, shape.type, shape.label.name, shape.points)
        for shape in server.tasks[task_id].annotations().shapes
    ]


async def test_all_tasks_are_backed_up_and_restored(tmp_path: Path) -> None:
    async with (
        SimulatedServer(OPTIONS) as server,
        ac.CvatClient(server.url, token=server.token, policy=QUICK) as client,
    ):
        backed_up = await ac.backup(client, tmp_path / "backups")
        assert backed_up.counts == {"backed up": 3}
        assert (await ac.backup(client, tmp_path / "backups")).counts == {"kept": 3}
        restored = await ac.restore(client, tmp_path / "backups")
        assert restored.counts == {"restored": 3}
        originals, made = (1, 2, 3), (4, 5, 6)
        assert set(server.tasks) == {*originals, *made}
        names = {server.tasks[task_id].name: task_id for task_id in made}
        for task_id in originals:
            task = server.tasks[task_id]
            again = server.tasks[names[task.name]]
            assert shapes(server, again.id) == shapes(server, task_id)
            assert [one.data() for one in again.frames()] == [one.data() for one in task.frames()]
        assert (await ac.restore(client, tmp_path / "backups")).counts == {"skipped": 3}
        assert len(server.tasks) == 6


@pytest.mark.parametrize(
    ("method", "path", "frame_bytes"),
    [
        pytest.param("PATCH", r"tasks/backup/1_", 1_000_000, id="a piece"),
        pytest.param("POST", r"backup/\?filename=", 1_000_000, id="the call after the pieces"),
    ],
)
@pytest.mark.parametrize("kind", ["lose_answer", "drop"])
async def test_a_lost_answer_makes_no_task_twice(
    method: str, path: str, frame_bytes: int, kind: str, tmp_path: Path
) -> None:
    options = SimulatorOptions(tasks=1, frames=2, frame_bytes=frame_bytes)
    async with (
        SimulatedServer(options) as server,
        ac.CvatClient(server.url, token=server.token, policy=QUICK) as client,
    ):
        await ac.backup(client, tmp_path / "backups")
        fault = Fault.from_json({"method": method, "path": path, kind: True})
        server.faults.add(fault)
        report = await ac.restore(client, tmp_path / "backups")
        assert report.counts == {"restored": 1}
        assert len(server.faults) == 0
        assert set(server.tasks) == {1, 2}


async def test_a_project_is_backed_up_and_restored(tmp_path: Path) -> None:
    async with (
        SimulatedServer(OPTIONS) as server,
        ac.CvatClient(server.url, token=server.token, policy=QUICK) as client,
    ):
        data = export_archive(
            server.world.project_tasks(1), "COCO 1.0", save_images=True, project=server.projects[1]
        )
        dataset = tmp_path / "dataset.zip"
        dataset.write_bytes(data)
        report = await ac.import_datasets(client, 1, [dataset], format="COCO 1.0")
        assert not report.failures
        names = [task.name for task in server.world.project_tasks(1)]
        assert sorted(names[3:]) == ["default", "train"]
        assert zipfile.is_zipfile(dataset)
