"""Make the bodies of webhook events of the changes of a server.

The worker of a queue has no call to take links from: its events have paths and nulls instead, and
name their sender in another way, as seen on 2.64.
"""

from __future__ import annotations

from typing import Any, Final

from asynccvat.simulator.queues.deliveries import DeliveryQueue
from asynccvat.simulator.routes.serializers import issue_json, project_json, user_json
from asynccvat.simulator.routes.shown import Shown
from asynccvat.simulator.world.issues import Issue
from asynccvat.simulator.world.reported_changes import Actor, Change, Resource, current_actor
from asynccvat.simulator.world.tasks import Job, Project, Task
from asynccvat.simulator.world.users import User
from asynccvat.simulator.world.world import World

_OF_DATA: Final = frozenset(
    {
        "data_chunk_size",
        "data_original_chunk_type",
        "data_compressed_chunk_type",
        "data_cloud_storage_id",
        "size",
        "image_quality",
    }
)
"""Fields of a task that are those of its data: only new data are reported as a change of them."""


class WebhookEvents:
    """Sends the changes of a server to its webhooks."""

    def __init__(self, world: World, deliveries: DeliveryQueue, *, names_projects: bool) -> None:
        """Watch this world.

        Args:
            world: What changes, and the webhooks.
            deliveries: The queue that sends the events.
            names_projects: Whether the server's version names projects in tasks and jobs.
        """
        self._world = world
        self._deliveries = deliveries
        self._names_projects = names_projects
        self.origin = ""
        """Scheme and host of links if nobody calls."""

        world.watchers.append(self.report)

    def report(self, change: Change) -> None:
        """Send a change to the webhooks that want it."""
        webhooks = self._world.webhooks
        if not webhooks.by_id:
            return
        wanting = webhooks.wanting(change.event, *self._place(change))
        if not wanting:
            return
        actor = current_actor()
        body: dict[str, Any] = {
            change.name: self._shown(change, change.resource, actor),
            "sender": self._sender(actor),
            "event": change.event,
        }
        if change.before is not None and change.after is not None:
            before = self._shown(change, change.before, actor, old=True)
            body["before_update"] = _differences(before, body[change.name])
        for webhook in wanting:
            self._deliveries.add(webhook, {**body, "webhook_id": webhook.id})

    def _place(self, change: Change) -> tuple[int | None, int | None]:
        """Return the project and the organization in which something changed."""
        found = change.resource
        if isinstance(found, Project):
            return found.id, found.organization_id
        task = found if isinstance(found, Task) else change.task
        if isinstance(found, Issue):
            task = self._world.tasks.get(found.task_id, task)
        return (None, None) if task is None else (task.project_id, task.organization_id)

    def _sender(self, actor: Actor) -> dict[str, object] | None:
        return sender_json(actor.user, self._origin(actor))

    def _origin(self, actor: Actor) -> str | None:
        return None if actor.origin is None else actor.origin or self.origin

    def _shown(
        self, change: Change, found: Resource, actor: Actor, *, old: bool = False
    ) -> dict[str, Any]:
        origin = self._origin(actor)
        shown = Shown(self._world, self._names_projects, origin or "")
        if isinstance(found, Task):
            value = shown.task(found)
            if old or not actor.counts_jobs or _is_new_data(change):
                value["jobs"] |= {"count": 0, "completed": None, "validation": None}
            removed: tuple[str, ...] = ("project_name", "labels")
        elif isinstance(found, Job):
            assert change.task is not None, "a change of a job has its task"
            value, removed = shown.job(found, change.task), ("task_name", "project_name", "issues")
            removed += ("labels",)
        elif isinstance(found, Project):
            tasks = self._world.project_tasks(found.id)
            value, removed = project_json(found, tasks, origin or ""), ("labels",)
        else:
            value, removed = issue_json(found, origin or ""), ()
        if origin is None:
            value |= {name: None for name in removed if name in value}
            for name in ("jobs", "tasks", "comments"):
                if name in value:
                    value[name]["url"] = None
        return value


def sender_json(user: User, origin: str | None) -> dict[str, object] | None:
    """Return who caused an event; a worker, without an origin, knows the address of the user."""
    if origin is None:
        return {"id": user.id, "username": user.username, "email": user.email}
    return user_json(user, origin)


def _is_new_data(change: Change) -> bool:
    return isinstance(change.before, Task) and change.before.size is None


def _differences(before: dict[str, Any], after: dict[str, Any]) -> dict[str, Any]:
    """Return the old values of the fields that changed."""
    same_data = before.get("data") == after.get("data")
    return {
        name: before.get(name)
        for name, value in after.items()
        if before.get(name) != value and not (same_data and name in _OF_DATA)
    }
