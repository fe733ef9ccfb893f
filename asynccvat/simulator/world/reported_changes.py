"""Changes of what a server holds, and who makes them, for those who watch.

`world` reports each change. The server notes before each call, and each request of a queue, who
acts: what is reported depends on it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Final, Literal

from asynccvat.simulator.world.issues import Issue
from asynccvat.simulator.world.tasks import Job, Project, Task
from asynccvat.simulator.world.users import ADMIN, User

Resource = Project | Task | Job | Issue

_NAMES: Final[dict[type[Resource], str]] = {
    Project: "project",
    Task: "task",
    Job: "job",
    Issue: "issue",
}


@dataclass(frozen=True, slots=True)
class Change:
    """One change of a project, task, job or issue.

    Attributes:
        before: What it was; None if it is new.
        after: What it is; None if it was deleted.
        task: The task of a job.
    """

    before: Resource | None
    after: Resource | None
    task: Task | None = None

    @property
    def resource(self) -> Resource:
        """What changed, as it is or was last."""
        found = self.after or self.before
        assert found is not None, "a change has a side"
        return found

    @property
    def name(self) -> str:
        """What kind of thing changed, such as `task`."""
        return _NAMES[type(self.resource)]

    @property
    def event(self) -> str:
        """CVAT's word for it, such as `update:task`."""
        action: Literal["create", "delete", "update"] = "update"
        if self.before is None:
            action = "create"
        elif self.after is None:
            action = "delete"
        return f"{action}:{self.name}"


@dataclass(frozen=True, slots=True)
class Actor:
    """Who changes something.

    Attributes:
        user: The user.
        origin: Scheme and host of links in the user's call; None in a worker.
        counts_jobs: Whether the call counts the jobs of its task.
    """

    user: User = ADMIN
    origin: str | None = ""
    counts_jobs: bool = False


_actor: ContextVar[Actor] = ContextVar("actor", default=Actor())  # noqa: B039 - it is frozen


def current_actor() -> Actor:
    """Return who acts; without a call or request it is the superuser."""
    return _actor.get()


@contextlib.contextmanager
def acting(actor: Actor) -> Iterator[None]:
    """Note who acts within the block."""
    token = _actor.set(actor)
    try:
        yield
    finally:
        _actor.reset(token)
