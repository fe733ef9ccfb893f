"""Answer the calls by which another process controls a server.

They are below `/_simulator/`, and no CVAT has them.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any, Final, Protocol

from asynccvat.simulator.faults import Fault, Faults
from asynccvat.simulator.queues.requests import RequestSpan
from asynccvat.simulator.wire.records import CallRecord
from asynccvat.simulator.world.clouds import CloudStorage
from asynccvat.simulator.world.issues import Issue
from asynccvat.simulator.world.tasks import Job, Project, Task
from asynccvat.simulator.world.users import Organization

_METHODS: Final = frozenset(
    {
        "change_media",
        "edit_task",
        "rename_task",
        "delete_task",
        "add_task",
        "expire_results",
        "forget_requests",
        "pause_exports",
        "release_exports",
        "add_project",
        "change_job",
        "add_job",
        "add_issue",
        "add_cloud_storage",
        "pause_creations",
        "release_creations",
        "pause_imports",
        "release_imports",
        "create_access_token",
    }
)
"""The methods of a server that another process may call."""


class ControlledServer(Protocol):
    """What the calls read and change of a server, besides its `_METHODS`."""

    faults: Faults

    @property
    def stats(self) -> dict[str, Any]:
        """Sums over what it served."""
        ...

    @property
    def calls(self) -> Sequence[CallRecord]:
        """Every call so far."""
        ...

    @property
    def exports(self) -> Sequence[RequestSpan]:
        """Every export that has run so far."""
        ...

    @property
    def creations(self) -> Sequence[RequestSpan]:
        """Every task that was made of its data so far."""
        ...

    @property
    def imports(self) -> Sequence[RequestSpan]:
        """Every import that has run so far."""
        ...


_NAMED: Final = (Task, Project, Job, Issue, CloudStorage, Organization)
"""What a method returns of which the caller gets the id."""


def answer_control_call(server: ControlledServer, method: str, path: str, body: bytes) -> Any:
    """Answer a call to `/_simulator/`.

    Returns:
        A JSON value.

    Raises:
        ValueError: There is no such call or method, or the body is not JSON.
        TypeError: The arguments do not fit the method.
        KeyError: The body lacks a name, or there is no such task.
    """
    match method, path.removeprefix("/_simulator/"):
        case "GET", "stats":
            return server.stats
        case "GET", "calls":
            return [asdict(call) for call in server.calls]
        case "GET", "exports":
            return [asdict(span) for span in server.exports]
        case "GET", "creations":
            return [asdict(span) for span in server.creations]
        case "GET", "imports":
            return [asdict(span) for span in server.imports]
        case "POST", "faults":
            given = json.loads(body)
            faults = given if isinstance(given, list) else [given]
            server.faults.add(*(Fault.from_json(fault) for fault in faults))
            return {"faults": len(server.faults)}
        case "DELETE", "faults":
            server.faults.clear()
            return {"faults": 0}
        case "POST", "do":
            return _call_method(server, json.loads(body))
        case _:
            raise ValueError(f"there is no {method} {path}")


def _call_method(server: ControlledServer, given: dict[str, Any]) -> Any:
    name = given.pop("method")
    if name not in _METHODS:
        raise ValueError(f"{name} is none of {', '.join(sorted(_METHODS))}")
    value = getattr(server, name)(**given)
    return {"id": value.id} if isinstance(value, _NAMED) else value
