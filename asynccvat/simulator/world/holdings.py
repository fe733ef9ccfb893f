"""Everything that a simulated server holds, and which accounts see it.

`world` makes the changes of tasks, projects and jobs.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from asynccvat.simulator.world.accounts import UserAccount
from asynccvat.simulator.world.clouds import CloudStorage
from asynccvat.simulator.world.dates import RisingClock
from asynccvat.simulator.world.issues import Issue
from asynccvat.simulator.world.tasks import Project, Task
from asynccvat.simulator.world.users import ADMIN, Organization, User
from asynccvat.simulator.world.webhooks import Webhooks


class Holdings:
    """The projects, tasks, organizations, cloud storages and issues of a server.

    Attributes:
        projects: The projects, by id.
        tasks: The tasks, by id.
        organizations: The organizations, by id.
        cloud_storages: The cloud storages, by id.
        issues: The issues, by id.
        webhooks: The webhooks and their deliveries.
        version: Grows with every change.
    """

    def __init__(self, projects: dict[int, Project], tasks: dict[int, Task]) -> None:
        """Hold these projects and tasks, and nothing else yet."""
        self.projects = projects
        self.tasks = tasks
        self.organizations: dict[int, Organization] = {}
        self.cloud_storages: dict[int, CloudStorage] = {}
        self.issues: dict[int, Issue] = {}
        self.webhooks = Webhooks()
        self.version = 0
        self._clock = RisingClock()

    def can_see(self, account: UserAccount, item: Task | Project) -> bool:
        """Tell whether an account may see a task or project.

        A user sees what they own, what is assigned to them, what is in their organization, and the
        tasks of a project that they see. A superuser sees everything.
        """
        if account.superuser:
            return True
        user_id = account.user.id
        if user_id in (item.owner.id, item.assignee.id if item.assignee else None):
            return True
        if item.organization_id is not None:
            organization = self.organizations.get(item.organization_id)
            if organization is not None and organization.owner.id == user_id:
                return True
        if isinstance(item, Task) and item.project_id is not None:
            project = self.projects.get(item.project_id)
            return project is not None and self.can_see(account, project)
        return False

    def can_delete(self, account: UserAccount, item: Task | Project) -> bool:
        """Tell whether an account may delete a task or project: its owner, not an assignee."""
        if account.superuser or item.owner.id == account.user.id:
            return True
        organization = self.organizations.get(item.organization_id or 0)
        if organization is not None and organization.owner.id == account.user.id:
            return True
        project = self.projects.get(item.project_id or 0) if isinstance(item, Task) else None
        return project is not None and self.can_delete(account, project)

    def project_tasks(self, project_id: int) -> list[Task]:
        """Return the tasks of a project, by id."""
        return [task for task in self.tasks.values() if task.project_id == project_id]

    def add_cloud_storage(
        self, folder: Path, resource: str, display_name: str, **fields: Any
    ) -> CloudStorage:
        """Attach a folder as a cloud storage. Further fields are those of `CloudStorage`."""
        number = max(self.cloud_storages, default=0) + 1
        now = self._clock.now()
        given = {"owner": ADMIN, **fields}
        storage = CloudStorage(
            number, folder, resource, display_name, created_date=now, updated_date=now, **given
        )
        self.cloud_storages[number] = storage
        return storage

    def add_organization(
        self, slug: str, name: str | None = None, owner: User | None = None
    ) -> Organization:
        """Add an organization."""
        self.version += 1
        number = len(self.organizations) + 1
        organization = Organization(number, slug, name or slug, owner or ADMIN, self._clock.now())
        self.organizations[number] = organization
        return organization
