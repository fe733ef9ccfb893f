"""Read what many restores ask for at the same time by one list.

One list is read at a time. Questions that come meanwhile share the next list. So each answer is
younger than its question.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

T = TypeVar("T")


@dataclass(slots=True, eq=False)
class _Batch(Generic[T]):
    ids: set[int] = field(default_factory=set)
    found: Mapping[int, T] | None = None


class Batches(Generic[T]):
    """Read values by their ids, many at once."""

    def __init__(self, read: Callable[[Sequence[int]], Awaitable[Mapping[int, T]]]) -> None:
        """Read with a function, which gives the values that there are."""
        self._read = read
        self._next: _Batch[T] = _Batch()
        self._reading = asyncio.Lock()

    async def get(self, one: int) -> T | None:
        """Return the value of an id, None if there is none.

        Raises:
            AsyncCvatError: The list cannot be read.
        """
        batch = self._next
        batch.ids.add(one)
        async with self._reading:
            # If the reader of a batch is cancelled or fails, another of its tasks reads.
            if batch.found is None:
                if self._next is batch:
                    self._next = _Batch()
                batch.found = await self._read(sorted(batch.ids))
        return batch.found.get(one)
