"""The events of one archive's transfer."""

from __future__ import annotations

from collections.abc import Callable

from asynccvat.errors import AsyncCvatError
from asynccvat.events import Event, Retrying, TransferProgress, TransferStarted


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
            self._emit(TransferProgress(self._task_id, size))

    def retrying(self, step: str, error: AsyncCvatError, delay: float) -> None:
        """Emit that a step failed and will be retried after some seconds."""
        self._emit(Retrying(self._task_id, step, str(error), delay))
