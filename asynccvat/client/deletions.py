"""Delete tasks and projects, and count their open issues."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import msgspec

from asynccvat.core.decoding import ObjectDecoder
from asynccvat.core.numbers import whole
from asynccvat.core.targets import TargetKind
from asynccvat.errors import AsyncCvatError, NotFoundError
from asynccvat.http import Call, HeldBackError, HttpSession


class _Counted(msgspec.Struct):
    count: int


_COUNTED = ObjectDecoder(_Counted)


class Deletions:
    """The calls of deletions. `internals(client).deletions` hands them out."""

    def __init__(self, http: HttpSession) -> None:
        """Ask in a session."""
        self._http = http

    async def delete(self, target: TargetKind, target_id: int) -> bool:
        """Delete a task or a project, by one call that is not retried.

        Returns:
            Whether this call deleted it. False if it was not there. A call that was sent twice,
            as its connection had broken, counts as the one that deleted it.

        Raises:
            PermissionDeniedError: The user may not delete it.
            AsyncCvatError: The server refuses it, or its answer is lost. `unanswered` says whether
                the call may have reached the server.
            HeldBackError: The call had to wait. Nothing was deleted; look at the target again.
        """
        try:
            await self._http.call(_deletion(target, target_id))
        except NotFoundError as error:
            return error.unanswered > 0
        return True

    async def discard(self, task_id: int, check: Callable[[], Awaitable[bool]]) -> None:
        """Delete a task. One that is gone counts as deleted.

        Args:
            task_id: The task.
            check: Looks at the task right before each call. Returns whether it is still there, and
                raises an error if it may not go.

        Raises:
            PermissionDeniedError: The user may not delete it.
            AsyncCvatError: The server refuses it, or cannot be reached.
        """
        attempt = 0
        while await check():
            try:
                await self._http.call(_deletion(TargetKind.TASK, task_id))
            except HeldBackError:
                continue  # the task may have changed meanwhile
            except NotFoundError:
                return
            except AsyncCvatError as error:
                await self._http.retry_or_raise(error, attempt)
                attempt += 1
            else:
                return

    async def open_issues(self, task_id: int) -> int:
        """Return how many open issues a task has.

        Raises:
            AsyncCvatError: The server refuses the list, or cannot be reached.
        """
        params = {
            "task_id": str(whole("task_id", task_id)),
            "resolved": "false",
            "page_size": "1",
        }
        call = Call(method="GET", path="/api/issues", step="issues", params=params, task_id=task_id)
        return self._http.decode(await self._http.call(call), _COUNTED).count

    async def retry_or_raise(self, error: AsyncCvatError, attempt: int) -> None:
        """Wait before another attempt, or raise the error if it is the last one."""
        await self._http.retry_or_raise(error, attempt)


def _deletion(target: TargetKind, target_id: int) -> Call:
    return Call(
        method="DELETE",
        path=f"/api/{target.plural}/{whole('target_id', target_id)}",
        step="delete",
        expect=(204,),
        retry=False,
        at_once=True,
        task_id=target_id,
        target=target,
    )
