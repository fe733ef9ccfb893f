"""Another process changes what a simulated server holds."""

from __future__ import annotations

from pathlib import Path

from asynccvat.simulator import SimulatorOptions
from asynccvat.simulator.processes import ServerProcess


def test_another_process_controls_what_the_server_holds(tmp_path: Path) -> None:
    with ServerProcess(SimulatorOptions(tasks=1)) as server:
        project = server.do("add_project", name="made", labels=["car"])["id"]
        assert project == 2
        job = server.do("add_job", task_id=1, type="ground_truth", frames=[0])["id"]
        server.do("change_job", job_id=job, state="completed")
        assert server.do("add_issue", job_id=1) == {"id": 1}
        assert server.do("add_cloud_storage", folder=str(tmp_path)) == {"id": 1}
        assert server.creations == []
