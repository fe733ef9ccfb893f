"""Tell what ends a run from tasks that fail on their own.

`http.outages` finds out whether the server answers at all, and waits for it.
"""

from __future__ import annotations

from collections import Counter, defaultdict

from asynccvat.core.targets import TargetKind
from asynccvat.errors import (
    AsyncCvatError,
    AuthenticationError,
    ConfigError,
    DiskFullError,
    DriveError,
    GatewayError,
    OutageError,
    PermissionDeniedError,
    QueueStuckError,
    ResponseError,
    ServerError,
    StoreError,
    StoreLockedError,
    TransportError,
)
from asynccvat.events import (
    Event,
    ExportFinished,
    ExportRequested,
    ImportFinished,
    ImportRequested,
    TransferFinished,
)

# No task's fault. The run ends, and reports it once instead of for each task under way.
OF_THE_RUN = (AuthenticationError, ConfigError, GatewayError, OutageError, QueueStuckError)
# What ends a run, because the next task would fail in the same way.
OF_EVERY_TASK = (*OF_THE_RUN, DiskFullError, DriveError)
# This many consecutive failures of one step mean that the destination stores nothing any more.
_CONSECUTIVE_FAILURES = 16
# If this many tasks failed at a step that no task of the run has passed, no task will.
_FAILURES_WITHOUT_SUCCESS = 64
# While no task has passed a step, this many may leave it early. The others retry in full, so that
# a passing fault does not end the run soon.
_EARLY_WITHOUT_SUCCESS = 32


class OutageDetector:
    """Count failures of each step, over all tasks of a run.

    Each step has its own count. Failures often come quickly. They may overtake slow successes of
    other steps, but not successes of the same step.
    """

    def __init__(self) -> None:
        self._failed: defaultdict[str, set[int | None]] = defaultdict(set)
        self._passed: set[str] = set()
        self._gave_way: set[int] = set()
        self._early = 0
        self._refused_in_a_row: Counter[str] = Counter()
        self._staged: set[int] = set()

    def note(self, event: Event) -> None:
        """Note that a step succeeded."""
        match event:
            case ExportRequested():
                self._passed.add("export")
            case ExportFinished():
                self._passed |= {"wait", "list"}
            case ImportRequested():
                self._passed.add("upload")
            case TransferFinished() | ImportFinished():
                self._passed |= {"download", "upload", "wait", "list"}
            case _:
                pass

    def may_give_way(self, task_id: int, step: str) -> bool:
        """Return whether a task may leave a step before its last retry, and note that it does."""
        if step not in self._passed:
            if self._early >= _EARLY_WITHOUT_SUCCESS:
                return False
            self._early += 1
        self._gave_way.add(task_id)
        return True

    def is_refusing_all(self, task_id: int, error: AsyncCvatError) -> bool:
        """Count a failure of the server. Return whether it fails for every task."""
        if not isinstance(error, TransportError | ServerError):
            return False
        if task_id in self._gave_way:
            self._gave_way.remove(task_id)
            return False  # it has retries left
        step = error.step or "download"
        self._failed[step].add(task_id)
        return step not in self._passed and len(self._failed[step]) >= _FAILURES_WITHOUT_SUCCESS

    def note_staged(self, task_id: int) -> None:
        """Note that a task was staged."""
        self._staged.add(task_id)
        del self._refused_in_a_row["stage"]

    def note_stored(self, task_id: int) -> None:
        """Note that a task was committed."""
        self._staged.discard(task_id)
        del self._refused_in_a_row["store"]

    def is_destination_lost(self, task_id: int, error: AsyncCvatError) -> bool:
        """Count a failure if the system refused something. Return whether it was one too many."""
        step = "store" if task_id in self._staged else "stage"
        self._staged.discard(task_id)
        if isinstance(error, StoreLockedError):
            return False  # another process can write there, so the destination works
        if not isinstance(error, StoreError) or not isinstance(error.__cause__, OSError):
            return False
        self._refused_in_a_row[step] += 1
        return self._refused_in_a_row[step] >= _CONSECUTIVE_FAILURES


def may_pass(error: AsyncCvatError) -> bool:
    """Whether a task failed for a reason that may be gone at the end of the run."""
    return isinstance(error, TransportError | ResponseError) and error.retryable


def may_make_nothing(error: AsyncCvatError) -> bool:
    """Whether the server lets the user make nothing more, whatever the backup: a quota is full."""
    return isinstance(error, PermissionDeniedError) and error.step == "upload"


def second_try(error: AsyncCvatError, target: TargetKind = TargetKind.TASK) -> str:
    """Say that a target whose failure may pass is tried again later."""
    return f"{str(error).rstrip('.')}. The {target} is tried once more at the end of the run."


def end_of_run(error: AsyncCvatError) -> AsyncCvatError | None:
    """Return the error of the run that a task's error tells of, None if it is the task's own."""
    if isinstance(error, OF_THE_RUN):
        return error
    # An import under way may have happened or not. The task reports that, with its cause.
    cause = error.__cause__
    return cause if isinstance(cause, OutageError | QueueStuckError) else None


def refusing_all(last: AsyncCvatError, target: TargetKind = TargetKind.TASK) -> AsyncCvatError:
    """The error that ends a run whose server fails for every target, made from the last error."""
    message = (
        f"the server fails for every {target}, though it answers: {_FAILURES_WITHOUT_SUCCESS} "
        f"{target.plural} failed at the same step, the last one with: {last}"
    )
    refusing: AsyncCvatError
    if isinstance(last, ServerError):
        refusing = ServerError(message, status=last.status, detail=last.detail, step=last.step)
    else:
        refusing = TransportError(message, step=last.step)
    refusing.__cause__ = last
    return refusing


def destination_lost(last: AsyncCvatError, target: TargetKind = TargetKind.TASK) -> DriveError:
    """The error that ends a run which can store nothing, made from the last target's error."""
    lost = DriveError(
        f"cannot store anything any more: the system refused {_CONSECUTIVE_FAILURES} "
        f"{target.plural} in a row, the last one with: {last}",
        step=last.step,
    )
    lost.__cause__ = last
    return lost
