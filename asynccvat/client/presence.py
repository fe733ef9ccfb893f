"""Ask whether a task, job or project is still at the server.

Lists leave out what the user may not see, and what cannot be read. So they do not say what is gone.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from asynccvat.client.client import CvatClient
from asynccvat.core.plans.removals import Presence
from asynccvat.core.targets import TargetKind
from asynccvat.errors import NotFoundError, PermissionDeniedError, ProtocolError


async def presence(client: CvatClient, target: TargetKind, target_id: int) -> Presence:
    """Ask for one target alone. Only a 404 says that it is gone.

    Raises:
        AsyncCvatError: The server cannot be asked.
    """
    reading: Callable[[int], Awaitable[object]]
    match target:
        case TargetKind.TASK:
            reading = client.task
        case TargetKind.PROJECT:
            reading = client.project
        case TargetKind.JOB:
            reading = client.job
    try:
        await reading(target_id)
    except NotFoundError:
        return Presence.GONE
    except PermissionDeniedError:
        return Presence.FORBIDDEN
    except ProtocolError:
        return Presence.UNKNOWN
    return Presence.ELSEWHERE
