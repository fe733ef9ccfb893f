"""The last complete run of a mirror: since when a later run needs to look, and at what besides.

`--since-last-run` lists the tasks that were updated since its start, and those that it left
unfinished. `store.complete_runs` reads and writes the file.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime, timedelta

import msgspec

from asynccvat.core.decoding import UNREADABLE
from asynccvat.core.outcomes import Action, TaskOutcome
from asynccvat.core.plans.mirror import Plan, Reason
from asynccvat.core.records.remembered import Remembered
from asynccvat.core.records.settling import Settled, Wanted
from asynccvat.core.targets import TargetKind
from asynccvat.errors import ConfigError

COMPLETE_RUN_VERSION = 1
# The server dates a change when it begins to write it, and shows it when that is done. An import
# of many annotations takes minutes.
_MARGIN = timedelta(minutes=10)


class CompleteRun(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The last run that looked at all tasks of a mirror, or at all that changed.

    Attributes:
        version: Version of the format.
        since: The server's time at its start, less a margin, ISO 8601.
        settings: What the destination remembered then.
        unfinished: The tasks that failed, or had no data yet.
    """

    version: int = COMPLETE_RUN_VERSION
    since: str
    settings: Remembered
    unfinished: tuple[int, ...] = ()


_decoder = msgspec.json.Decoder(CompleteRun)


def encode_complete_run(run: CompleteRun) -> bytes:
    """Encode a run as it stands on disk."""
    # The version is always written, although it is a default.
    return msgspec.json.encode({"version": run.version, **msgspec.to_builtins(run)}) + b"\n"


def decode_complete_run(content: bytes | None) -> CompleteRun | None:
    """Read a run; None if none is noted that can be read."""
    try:
        run = _decoder.decode(content or b"")
    except UNREADABLE:
        return None
    return run if run.version <= COMPLETE_RUN_VERSION else None


def check_since_last_run(wanted: Wanted) -> None:
    """Check that nothing else says which tasks of a mirror a run looks at.

    Raises:
        ConfigError: Something does.
    """
    selection = wanted.selection
    others = {
        "--task-id": selection.task_ids,
        "--updated-since": selection.updated_since,
        "--failed-from": wanted.options.target_ids,
    }
    flag = next((flag for flag, value in others.items() if value is not None), None)
    if wanted.options.since_last_run and flag is not None:
        raise ConfigError(f"--since-last-run contradicts {flag}. Remove one of them.")


def since_last_run(settled: Settled, run: CompleteRun | None) -> Settled:
    """Narrow a run to what changed since the last complete one, if it has asked for that.

    Without such a run, or with other settings, it looks at all tasks.

    Args:
        settled: What the run works with.
        run: The last complete run, None if none is noted.

    Raises:
        ConfigError: It mirrors projects or jobs.
    """
    if not settled.options.since_last_run:
        return settled
    target = settled.spec.target
    if target is not TargetKind.TASK:
        raise ConfigError(
            f"cannot mirror {target.plural} with --since-last-run: the date of a {target} does not "
            "tell of all its changes. Leave it out."
        )
    if run is None or run.settings != settled.remembered:
        return settled
    selection = replace(settled.selection, updated_since=run.since)
    return replace(settled, selection=selection, also=run.unfinished)


def complete_run(
    settled: Settled, plan: Plan, outcomes: Iterable[TaskOutcome], began: datetime | None
) -> CompleteRun | None:
    """Return what is noted of a run that came to its end; None if it was not complete.

    Args:
        settled: What it worked with.
        plan: Its plan.
        outcomes: Its outcomes.
        began: The server's time when it began, None if that is not known.
    """
    selection = settled.selection
    narrowed = (selection.task_ids, selection.limit, settled.options.target_ids)
    is_recent = selection.updated_since is None or settled.options.since_last_run
    of_tasks = settled.spec.target is TargetKind.TASK
    began = began or plan.listing.read_at
    whole = plan.listing.complete and plan.guard is None and of_tasks and is_recent
    if not whole or began is None or any(value is not None for value in narrowed):
        return None
    return CompleteRun(
        since=(began - _MARGIN).isoformat().replace("+00:00", "Z"),
        settings=settled.remembered,
        unfinished=tuple(sorted(one.task_id for one in outcomes if _is_unfinished(one))),
    )


def _is_unfinished(outcome: TaskOutcome) -> bool:
    return outcome.action is Action.FAILED or outcome.reason == Reason.NO_DATA
