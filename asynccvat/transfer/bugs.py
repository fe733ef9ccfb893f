"""Keep a bug that concerns one task from ending the others."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import TypeVar

from asynccvat.errors import AsyncCvatError, InternalError

T = TypeVar("T")


async def of_one_task(work: Awaitable[T], task_id: int, target: str = "task") -> T:
    """Await the work on one task, or on a target of another kind.

    Raises:
        InternalError: It raised what no code expects.
        AsyncCvatError: It failed.
    """
    try:
        return await work
    except (AsyncCvatError, MemoryError):
        raise
    except Exception as error:
        raise InternalError.of(error, task_id=task_id, step="task", target=target) from error
