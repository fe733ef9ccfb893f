"""Read what many tasks ask for at the same time by one list.

One list is read at a time. Questions that come during that share the next list. So each answer is
younger than its question, and a question alone is asked at once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from asynccvat.errors import AsyncCvatError

T = TypeVar("T")


@dataclass(slots=True, eq=False)
class _Batch(Generic[T]):
    """Questions that share a list.

    Attributes:
        ids: What is asked for.
        found: The answers, None before the list was read.
        error: Why the list could not be read.
    """

    ids: set[int] = field(default_factory=set)
    found: Mapping[int, T] | None = None
    error: AsyncCvatError | None = None


class Batches(Generic[T]):
    """Read values by their ids, many at once."""

    def __init__(
        self,
        read: Callable[[Sequence[int]], Awaitable[Mapping[int, T]]],
        *,
        turn: AbstractAsyncContextManager[object],
    ) -> None:
        """Prepare to read.

        Args:
            read: Reads the values of ids with one call. It leaves out ids that have none.
            turn: Entered for each call. More questions join the list while it is waited for.
        """
        self._read = read
        self._turn = turn
        self._next: _Batch[T] = _Batch()
        self._reading = asyncio.Lock()

    async def get(self, one: int) -> T | None:
        """Return the value of an id, None if the list leaves it out.

        Raises:
            AsyncCvatError: The list cannot be read. All who share it receive the error.
        """
        batch = self._next
        batch.ids.add(one)
        async with self._reading:
            # If the reader of a list is cancelled, the next of those who share it reads.
            if batch.found is None and batch.error is None:
                async with self._turn:
                    await self._fill(batch)
        if batch.error is not None:
            raise _copied(batch.error)
        assert batch.found is not None, "it was read without an error"
        return batch.found.get(one)

    async def _fill(self, batch: _Batch[T]) -> None:
        if self._next is batch:
            self._next = _Batch()
        try:
            batch.found = await self._read(sorted(batch.ids))
        except AsyncCvatError as error:
            batch.error = error


def _copied(error: AsyncCvatError) -> AsyncCvatError:
    """Return an error like another: each task notes in its own what it concerns."""
    twin = type(error).__new__(type(error), *error.args)
    twin.__dict__.update(error.__dict__)
    twin.__cause__ = error
    return twin
