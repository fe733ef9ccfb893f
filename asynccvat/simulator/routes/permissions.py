"""Whether a call may create something: the user's group, and the server's quota.

Each function raises `RefusedError` (403) if it may not.
"""

from __future__ import annotations

from typing import Literal

from asynccvat.simulator.routes.calls import Call
from asynccvat.simulator.wire.responses import detail, forbidden


def check_may_create(call: Call) -> None:
    """Refuse users of the group that may create nothing."""
    if call.account.worker:
        raise forbidden()


def check_quota(call: Call, kind: Literal["task", "project"]) -> None:
    """Refuse one more than the server's quota; only hosted servers have one."""
    options, world = call.backend.options, call.backend.world
    limit = options.most_tasks if kind == "task" else options.most_projects
    count = len(world.tasks) if kind == "task" else len(world.projects)
    if limit is not None and count >= limit:
        raise detail(403, f"Maximum number of {kind}s reached: {limit}")
