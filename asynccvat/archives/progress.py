"""The events of one archive's transfer."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator

from asynccvat.errors import AsyncCvatError
from asynccvat.events import Event, Retrying, TransferProgress, TransferStarted

Consumer = Callable[[Iterable[bytes | memoryview]], None]


class TransferEvents:
    """Emit the events of one archive's transfer, its start before all progress."""

    def __init__(self, task_id: int, emit: Callable[[Event], None]) -> None:
        """Begin before the start.

        Args:
            task_id: The task.
            emit: Called with each event.
        """
        self._task_id = task_id
        self._emit = emit
        self._started = False
        self._withheld = 0
        self._writing = 0.0

    def timed(self, consume: Consumer) -> Consumer:
        """Return a consumer of bytes that does the same, and whose time is counted.

        It runs in a worker thread. Time in which it waits for bytes is not counted.

        Args:
            consume: Unpacks or writes the bytes.
        """
        return lambda chunks: consume(self._timing(chunks))

    def _timing(self, chunks: Iterable[bytes | memoryview]) -> Iterator[bytes | memoryview]:
        for chunk in chunks:
            began = time.perf_counter()
            yield chunk
            self._writing += time.perf_counter() - began

    def started(self, size: int | None, reused: int) -> None:
        """Emit the start and the progress before it, but only once.

        Args:
            size: Bytes of the archive, None if the server does not say.
            reused: Bytes of members that are not fetched.
        """
        if not self._started:
            self._started = True
            self._emit(TransferStarted(self._task_id, size, reused))
            self.progressed(self._withheld)

    def progressed(self, size: int) -> None:
        """Emit that bytes came, or withhold it until the start."""
        if not self._started:
            self._withheld += size
        elif size:
            seconds, self._writing = self._writing, 0.0
            self._emit(TransferProgress(self._task_id, size, writing_seconds=seconds))

    def retrying(self, step: str, error: AsyncCvatError, delay: float) -> None:
        """Emit that a step failed and will be retried after some seconds."""
        self._emit(Retrying(self._task_id, step, str(error), delay))
