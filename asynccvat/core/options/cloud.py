"""Options of exports to cloud storages, as frozen values that check themselves."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import PurePath

from asynccvat.core.declarations import (
    DURATION,
    REPLACING,
    SELECTION,
    Folder,
    Switch,
    Text,
    option,
)
from asynccvat.core.options.transfer import BREAK_LOCK, DEFAULT_EXPORT_TIMEOUT, TransferOptions
from asynccvat.core.selections.conditions import check_word
from asynccvat.core.selections.selection import STAGES, STATES, TYPES
from asynccvat.core.targets import TargetKind

RECORD_SUFFIX = ".jsonl"


@dataclass(frozen=True, slots=True, kw_only=True)
class CloudOptions(TransferOptions):
    """Options of `export_to_cloud`, `open_export_to_cloud` and `plan_export_to_cloud`.

    Attributes:
        concurrency: Exports in flight. None learns how many the server runs at once.
        transfers: Not an option here: nothing passes through this machine.
        retries: How often one step of one target is retried.
        wait_for_server: Seconds that a run waits for a server that stopped answering, 0 for not.
        queue_timeout: Seconds that requests may wait while nothing leaves the server's queue.
        max_time: Seconds that the whole run may take, None for no limit. What is done is kept.
        durable: Sync the record before an object counts as written.
        target: What is exported: `"tasks"`, `"projects"` or `"jobs"`.
        stage: With `"jobs"`: only those in this stage.
        state: With `"jobs"`: only those in this state.
        type: With `"jobs"`: only those of this type.
        record: The file that notes each object and the state that it holds. With it, unchanged
            tasks are not exported again, and the objects of changed ones are replaced. None notes
            nothing.
        overwrite: Replace objects that the record does not know.
        export_timeout: Seconds that one export may run, counted from its start. `queue_timeout`
            limits the time in the server's queue.
        break_lock: Take over the record's lock, although its owner cannot be asked.
    """

    transfers: int = field(default=8, init=False)
    target: str = option(
        TargetKind.TASK.plural,
        "--as",
        "An object for each task, for each project, or for each job: tasks, projects or jobs.",
        Text(tuple(kind.plural for kind in TargetKind)),
        group=None,
    )
    stage: str | None = option(
        None, "--stage", "With --as jobs: those in this stage.", Text(STAGES), group=SELECTION
    )
    state: str | None = option(
        None, "--state", "With --as jobs: those in this state.", Text(STATES), group=SELECTION
    )
    type: str | None = option(
        None, "--type", "With --as jobs: those of this type.", Text(TYPES), group=SELECTION
    )
    record: str | PurePath | None = option(  # noqa: RUF009 - a declared field, as all of these
        None,
        "--record",
        "Note in this file, which ends with .jsonl, what was written. With it, the next run "
        "exports only what changed.",
        Folder("FILE"),
        group=REPLACING,
    )
    overwrite: bool = option(
        False,
        "--overwrite",
        "Replace objects that are there already, and that the record does not know.",
        Switch(),
        group=REPLACING,
    )
    export_timeout: float = option(
        DEFAULT_EXPORT_TIMEOUT,
        "--export-timeout",
        "How long one export may run, its time in the queue excluded: seconds, or like 30m or 4h.",
        DURATION,
    )
    break_lock: bool = option(False, "--break-lock", BREAK_LOCK, Switch(), group=REPLACING)

    def __post_init__(self) -> None:
        TransferOptions.__post_init__(self)
        check_word("target", self.target, tuple(kind.plural for kind in TargetKind))
