"""Change what a simulated server holds, from any thread: tasks, jobs, projects, issues, buckets.

`server` serves it, `control` lets another process make the same changes.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from asynccvat.simulator.world.annotations import Label
from asynccvat.simulator.world.clouds import CloudStorage
from asynccvat.simulator.world.issues import Issue
from asynccvat.simulator.world.tasks import Job, JobType, Project, Task
from asynccvat.simulator.world.users import Organization
from asynccvat.simulator.world.world import World

T = TypeVar("T")


class ServerChanges:
    """Changes of what a server holds, as its users may make them.

    Attributes:
        world: Tasks, projects and organizations.
    """

    def __init__(self, world: World) -> None:
        """Change this world; the server says in which loop, once it runs."""
        self.world = world
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = 0

    def _do_in_loop(self, function: Callable[[], T]) -> T:
        """Call a function in the server's loop, from any thread.

        Raises:
            TimeoutError: The server's loop did not answer within ten seconds.
        """
        loop = self._loop
        if loop is None or self._thread == threading.get_ident():
            return function()

        async def run() -> T:
            return function()

        return asyncio.run_coroutine_threadsafe(run(), loop).result(10)

    def edit_task(self, task_id: int) -> Task:
        """Change the task's annotations, and so its `updated_date` and its archives.

        Raises:
            KeyError: There is no such task.
        """
        return self._do_in_loop(lambda: self.world.edit_task(task_id))

    def rename_task(self, task_id: int, name: str) -> Task:
        """Rename the task.

        Raises:
            KeyError: There is no such task.
        """
        return self._do_in_loop(lambda: self.world.change_task(task_id, name=name))

    def change_media(self, task_id: int) -> Task:
        """Change the pixels of the task's images, and so its date and its archives.

        Raises:
            KeyError: There is no such task.
        """
        return self._do_in_loop(lambda: self.world.change_media(task_id))

    def change_task(self, task_id: int, **fields: Any) -> Task:
        """Change fields of the task, such as `subset`, `deleted_frames` or `organization_id`.

        Raises:
            KeyError: There is no such task.
        """
        return self._do_in_loop(lambda: self.world.change_task(task_id, **fields))

    def delete_task(self, task_id: int) -> None:
        """Delete the task.

        Raises:
            KeyError: There is no such task.
        """
        self._do_in_loop(lambda: self.world.delete_task(task_id))

    def add_task(
        self, name: str | None = None, *, project_id: int | None = None, frames: int | None = 5
    ) -> Task:
        """Add a task; `frames` None makes one without data."""
        return self._do_in_loop(
            lambda: self.world.add_task(name, project_id=project_id, frames=frames)
        )

    def add_project(self, name: str, labels: Sequence[str] = ()) -> Project:
        """Add a project with labels of those names."""
        return self._do_in_loop(
            lambda: self.world.add_project(
                name,
                tuple(
                    Label(next(self.world.label_ids), label, "#2080c0", "any", (), None)
                    for label in labels
                ),
            )
        )

    def change_job(self, job_id: int, **fields: Any) -> Job:
        """Change fields of a job, such as `stage` or `state`; the date of its task stays.

        Raises:
            KeyError: There is no such job.
        """
        return self._do_in_loop(lambda: self.world.change_job(job_id, **fields))

    def add_job(self, task_id: int, type: JobType, frames: Sequence[int] | None = None) -> Job:  # noqa: A002 - CVAT's own name
        """Add a ground truth job, of some frames, or a consensus replica.

        Raises:
            KeyError: There is no such task.
        """
        chosen = None if frames is None else tuple(frames)
        return self._do_in_loop(lambda: self.world.add_job(task_id, type, chosen))

    def add_issue(
        self, job_id: int, message: str = "look here", frame: int = 0, *, resolved: bool = False
    ) -> Issue:
        """Add an issue to a job.

        Raises:
            KeyError: There is no such job.
        """
        return self._do_in_loop(
            lambda: self.world.add_issue(job_id, message, frame, resolved=resolved)
        )

    def add_cloud_storage(self, folder: Path | str, name: str = "") -> CloudStorage:
        """Attach a folder as a cloud storage of the superuser, with a name to show."""
        bucket = Path(folder)
        return self._do_in_loop(
            lambda: self.world.add_cloud_storage(bucket, bucket.name, name or bucket.name)
        )

    def add_organization(self, slug: str, task_ids: tuple[int, ...] = ()) -> Organization:
        """Add an organization and move tasks into it.

        Raises:
            KeyError: There is no such task.
        """

        def add() -> Organization:
            organization = self.world.add_organization(slug)
            for task_id in task_ids:
                self.world.change_task(task_id, organization_id=organization.id)
            return organization

        return self._do_in_loop(add)
