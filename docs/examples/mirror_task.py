"""Mirror a project as one step of a workflow, for Airflow, Prefect and other schedulers."""

from __future__ import annotations

import asyncio
from typing import Any

import asynccvat as ac


def mirror_project(project: int, dest: str, format_name: str = "COCO 1.0") -> dict[str, Any]:
    """Mirror a project, and return what changed, as JSON types for the next step.

    A second call fetches only what has changed since. So a scheduler may retry it at will: the
    retry continues where the attempt before it stopped.

    Args:
        project: The id of the project.
        dest: The folder of the mirror. Its disk must outlive the worker.
        format_name: A format of CVAT, with images.

    Raises:
        AsyncCvatError: The mirror could not begin.
        TasksFailedError: It ended, and not all tasks are here.
    """
    return asyncio.run(_mirror_project(project, dest, format_name))


async def _mirror_project(project: int, dest: str, format_name: str) -> dict[str, Any]:
    what = ac.Selection(project_ids=[project])
    how = ac.ExportSpec(format_name, images=True)
    # The worker's environment names the server and the token; neither is an argument, which
    # schedulers write into their logs.
    async with ac.CvatClient.from_environment() as client:
        report = await ac.mirror(client, dest, what, how)
    report.raise_for_failures()
    changed = [
        str(outcome.path) for outcome in report.outcomes if outcome.action is ac.Action.FETCHED
    ]
    return {
        "changed": sorted(changed),
        "counts": {str(action): count for action, count in report.counts.items()},
    }
