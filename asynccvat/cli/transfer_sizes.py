"""Tell from bytes how far transfers are; `progress` counts tasks."""

from __future__ import annotations

from dataclasses import dataclass, field

from asynccvat.events import (
    Event,
    ExportRequested,
    ImportRequested,
    TaskDone,
    TransferFinished,
    TransferProgress,
    TransferStarted,
    UploadProgress,
    UploadStarted,
)


@dataclass(slots=True)
class TransferSizes:
    """How far the archives and files under way are, by their bytes."""

    _sizes: dict[int, int | None] = field(default_factory=dict)
    _received: dict[int, int] = field(default_factory=dict)

    def apply(self, event: Event) -> None:
        """Note the size of a transfer, or bytes of it."""
        match event:
            case TransferStarted():
                size = None if event.size is None else max(event.size - event.reused, 0)
                self._begin(event.task_id, size)
            case UploadStarted():
                self._begin(event.task_id, event.size)
            case TransferProgress():
                self._add(event.task_id, event.transferred)
            case UploadProgress():
                self._add(event.task_id, event.sent)
            case TransferFinished() | ImportRequested():
                self._add(event.task_id, self._sizes.get(event.task_id) or 0)
            case ExportRequested():
                self._forget(event.task_id)
            case TaskDone():
                self._forget(event.outcome.task_id)
            case _:
                pass

    @property
    def under_way(self) -> int:
        """How many tasks have a transfer that began, and no outcome."""
        return len(self._sizes)

    @property
    def shares(self) -> float:
        """The sum of the shares of these transfers that are done, each from 0 to 1."""
        return sum(self._came(task_id) / size for task_id, size in self._sizes.items() if size)

    @property
    def missing(self) -> int | None:
        """Bytes that these transfers lack; None if the size of one is unknown."""
        missing = 0
        for task_id, size in self._sizes.items():
            if size is None:
                return None
            missing += size - self._came(task_id)
        return missing

    def _came(self, task_id: int) -> int:
        # What broke comes again, so that more bytes can come than there are.
        return min(self._received[task_id], self._sizes[task_id] or 0)

    def _begin(self, task_id: int, size: int | None) -> None:
        self._sizes[task_id], self._received[task_id] = size, 0

    def _add(self, task_id: int, size: int) -> None:
        if task_id in self._received:
            self._received[task_id] += size

    def _forget(self, task_id: int) -> None:
        self._sizes.pop(task_id, None)
        self._received.pop(task_id, None)
