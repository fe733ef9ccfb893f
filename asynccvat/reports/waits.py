"""Count what a run waited for, from the records of its events.

`progress` counts it, so that a page and the summary of its run say the same.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from typing import Any

import msgspec

from asynccvat import events
from asynccvat.core.outcomes import TaskOutcome
from asynccvat.core.targets import TargetKind
from asynccvat.progress import Cause, RunProgress

_COUNTED = (
    events.RunStarted,
    events.ListingRead,
    events.Planned,
    events.TaskStarted,
    events.ExportRequested,
    events.ExportStarted,
    events.ExportFinished,
    events.ImportRequested,
    events.ImportStarted,
    events.ImportFinished,
    events.TransferStarted,
    events.TransferProgress,
    events.TransferFinished,
    events.UploadStarted,
    events.UploadProgress,
    events.Retrying,
    events.ServerUnreachable,
    events.ServerBack,
    events.ServerPaused,
)
_BY_NAME: Mapping[str, Any] = {
    re.sub(r"(?<!^)(?=[A-Z])", "_", kind.__name__).lower(): kind for kind in _COUNTED
}


class RunWaits:
    """What a run waited for; of a run file, what each of its runs did."""

    def __init__(self) -> None:
        """Begin at the first event."""
        self._progress: RunProgress | None = None
        self._earlier: Counter[Cause] = Counter()

    @property
    def seconds(self) -> dict[Cause, float]:
        """Seconds by cause, the longest first."""
        whole = self._earlier.copy()
        if self._progress is not None:
            whole.update(self._progress.spent.seconds)
        return {cause: seconds for cause, seconds in whole.most_common() if seconds > 0}

    @property
    def server_work(self) -> str:
        """What the server's workers did, as `RunProgress.server_work` says."""
        return "exports" if self._progress is None else self._progress.server_work

    def add(self, record: Mapping[str, Any], at: float) -> None:
        """Count an event. One that is damaged, or of an unknown kind, only lets time pass.

        Args:
            record: The event, as `events.to_json` returns it.
            at: Seconds since the run's first event.
        """
        if self._progress is None or record.get("event") == "run_started":
            self._earlier.update({} if self._progress is None else self._progress.spent.seconds)
            self._progress = RunProgress(at)
        self._progress.apply(_event(record), at)


def _event(record: Mapping[str, Any]) -> events.Event:
    """Return the event of a record, as far as it counts here."""
    fields = _with_target(record)
    try:
        if record.get("event") == "task_done":
            return events.TaskDone(_outcome(fields))
        kind = _BY_NAME.get(str(record.get("event")))
        if kind is not None:
            found: events.Event = msgspec.convert(fields, kind)
            return found
    except msgspec.ValidationError:
        pass  # the page shows what it can of a log that was damaged
    return events.DestinationSettled("")


def _outcome(fields: Mapping[str, Any]) -> TaskOutcome:
    """Return an outcome with what counts of it.

    Raises:
        ValidationError: The record has no id or no known action.
    """
    counted = {name: fields.get(name) for name in ("task_id", "target", "action")}
    return msgspec.convert({**counted, "reason": ""}, TaskOutcome)


def _with_target(record: Mapping[str, Any]) -> dict[str, Any]:
    """Return a record with its id as `task_id`, and with what that is the id of."""
    for target in (TargetKind.PROJECT, TargetKind.JOB):
        if isinstance(record.get(f"{target}_id"), int):
            return {**record, "task_id": record[f"{target}_id"], "target": target}
    return {"target": TargetKind.TASK, **record}
