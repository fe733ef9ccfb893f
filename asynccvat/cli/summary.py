"""Write what a run did: counts, what the time went to, and how to retry what failed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from asynccvat.cli import output
from asynccvat.cli.text import counted, ended, number_of_bytes, printable, span
from asynccvat.cli.typed import FLAGS_OF_IDS
from asynccvat.cli.verb_words import VerbWords

if TYPE_CHECKING:
    from asynccvat import RunReport, TaskOutcome
    from asynccvat.cli.typed import TypedCommand
    from asynccvat.progress import FailureGroup, RunProgress, SlowTask

RESULTS = (
    "fetched",
    "backed up",
    "written",
    "uploaded",
    "put back",
    "restored",
    "imported",
    "created",
    "copied",
    "updated",
    "deleted",
    "moved",
    "removed",
    "passed over",
    "failed",
    "skipped",
    "unchanged",
)
"""What becomes of tasks, in the order in which summaries count it."""

COMMAND = "    "
"""The indentation of the lines of `failure_lines` that are commands."""

# The most ids that a line has room for.
_NEW_IDS_SHOWN = 3
_IDS_SHOWN = 5
# More causes than these are only counted.
_CAUSES_SHOWN = 10
# Seconds. What the time of a shorter run went to is of no interest.
_SHORT_RUN = 5.0
# A task that takes less of the time, or fewer seconds, is not slow.
_SLOW_SHARE, _SLOW_SECONDS = 0.05, 3.0


def write_summary(
    report: RunReport,
    place: str,
    *,
    uploads: bool = False,
    words: VerbWords = VerbWords(),
    progress: RunProgress | None = None,
    typed: TypedCommand | None = None,
    report_file: Path | None = None,
) -> None:
    """Write to stdout what a run did.

    Args:
        report: The run's report.
        place: Where the tasks went.
        uploads: Whether the run sent files.
        words: The words of the command.
        progress: What its time went to; None if that was not counted.
        typed: The command, for what retries the failures; None if none was typed.
        report_file: The file that has the report; None if there is none.
    """
    nouns = {str(outcome.target) for outcome in report.outcomes}
    noun = words.noun or (nouns.pop() if len(nouns) == 1 else str(report.target))
    moved = ""
    if words.moves_bytes or report.transferred:
        moved = f"{number_of_bytes(report.transferred)} {'sent' if uploads else 'received'}, "
    output.sentence(_counts(report, place, noun, moved))
    if progress is not None and report.seconds >= _SHORT_RUN:
        for line in _times(progress, words):
            output.sentence(line)
    if report.new_ids_file is not None:
        output.sentence(_new_ids(report.outcomes, report.new_ids_file))
    _write_compared(report)
    if not report.listing_complete:
        output.sentence(
            f"The list of {noun}s kept changing while it was read, or {noun}s in it cannot be "
            f"read: some {noun}s may be missing. Run the command again."
        )
    for line in failure_lines(report.outcomes, typed, report_file):
        (output.command if line.startswith(COMMAND) else output.sentence)(line)


def _counts(report: RunReport, place: str, noun: str, moved: str) -> str:
    """Return the line of counts, bytes, requests and time."""
    counts = Counter(_result(one) for one in report.outcomes if not one.of_older_backup)
    nothing = "none done yet" if report.interrupted else "nothing to do"
    parts = [f"{counts[result]:,} {result}" for result in RESULTS if counts[result]]
    parts = parts or [nothing]
    how, idle = "Done in", ""
    if report.interrupted:
        # An error is no interruption.
        how = "Interrupted after" if report.stopped_by is None else "Stopped after"
    elif report.guard is not None and not counts:
        how, parts = "Refused after", ["none done"]
    elif (
        report.guard is None  # Else there is something to do, which the guard refused.
        and len(report.outcomes) == report.targets > 0
        and counts.keys() <= {"unchanged", "skipped"}
    ):
        idle = ", nothing to do"
    return (
        f"{how} {span(report.seconds)}{idle}: {counted(report.targets, noun)} "
        f"({', '.join(parts)}), {_older_backups(report)}{moved}"
        f"{counted(report.requests, 'request')}: {place}"
    )


def _older_backups(report: RunReport) -> str:
    """Return what became of older zips, and a comma; "" if the run removed none."""
    of_older = [one.ok for one in report.outcomes if one.of_older_backup]
    parts = {"removed": sum(of_older), "not removed": len(of_older) - sum(of_older)}
    return "".join(
        f"{counted(count, 'old zip')} {what}, " for what, count in parts.items() if count
    )


def _result(outcome: TaskOutcome) -> str:
    """Return which of `RESULTS` became of a task."""
    if outcome.reason == "unchanged" and outcome.action == "skipped":
        return "unchanged"
    if outcome.reason in ("undo", "from a backup") and outcome.action == "uploaded":
        return "put back"
    # What reports call kept needed nothing: people read it as unchanged.
    return "unchanged" if outcome.action == "kept" else str(outcome.action)


# --- what the time went to ------------------------------------------------------------------------


def _times(progress: RunProgress, words: VerbWords) -> Iterator[str]:
    """Yield what the time went to, and the slowest tasks."""
    from asynccvat.progress import cause_in_words  # noqa: PLC0415 - `--help` stays light

    shares = [
        f"{share:.0%} {cause_in_words(cause, progress.server_work)}"
        for cause, share in progress.spent.shares.items()
        if share >= 0.01
    ]
    if shares:
        yield f"Time: {', '.join(shares)}."
    whole = sum(progress.spent.seconds.values())
    least = max(_SLOW_SECONDS, _SLOW_SHARE * whole)
    slow = [one for one in progress.slowest_done if one.seconds >= least]
    if slow:
        yield "Slowest:"
    for one in slow:
        yield f"  {_slow(one, whole, words.stage_word(one.stage))}"


def _slow(one: SlowTask, whole: float, stage: str) -> str:
    """Return how long a slow task took, its share of the time, and what took most of it."""
    name = f" {printable(one.name)!r}" if one.name else ""
    how_long = f"{span(one.seconds)}, {one.seconds / whole:.0%}, mostly {stage}"
    return f"{how_long}: {one.target} {one.task_id}{name}"


# --- what failed ----------------------------------------------------------------------------------


def failure_lines(
    outcomes: Sequence[TaskOutcome],
    typed: TypedCommand | None = None,
    report_file: Path | None = None,
) -> Iterator[str]:
    """Yield the failures by cause, each with the command that retries it.

    Args:
        outcomes: The run's outcomes.
        typed: The command; None for no commands.
        report_file: The file that has the report; None if there is none.
    """
    from asynccvat.progress import group_failures  # noqa: PLC0415 - `--help` stays light

    groups = group_failures(outcomes)
    if not groups:
        return
    whole = sum(len(group.outcomes) for group in groups)
    yield f"{whole:,} failed, by cause:"
    commands = []
    for group in groups[:_CAUSES_SHOWN]:
        yield f"  {_group(group)}"
        command = None if typed is None else _retrying(typed, group)
        if command is not None:
            commands.append(command)
            yield f"{COMMAND}{command}"
    left = groups[_CAUSES_SHOWN:]
    if left:
        rest = sum(len(group.outcomes) for group in left)
        yield f"  {rest:,} more, by {counted(len(left), 'other cause')}"
    if typed is None:
        return
    if not len(commands) == len(groups) == 1:
        yield "To retry what failed:"
        yield f"{COMMAND}{_retrying_all(typed, groups, report_file) or typed.repeated()}"
    if typed.lacks_secrets:
        yield "Passwords, tokens and headers are left out: add them again."


def _group(group: FailureGroup) -> str:
    """Return which targets failed for one cause, and the cause."""
    cause = ended(printable(group.cause))
    if len(group.outcomes) == 1:
        return cause
    ids = sorted(group.ids)
    shown = ", ".join(map(str, ids[:_IDS_SHOWN])) + (", ..." if len(ids) > _IDS_SHOWN else "")
    which = f" ({shown})" if ids else ""
    return f"{counted(len(group.outcomes), group.target)}{which}: {cause}"


def _retrying(typed: TypedCommand, *groups: FailureGroup) -> str | None:
    """Return the command for what failed in these groups; None if ids do not choose just that."""
    targets = {group.target for group in groups}
    flag = FLAGS_OF_IDS.get(targets.pop()) if groups else None
    if flag is None or targets or not all(one.task_id for each in groups for one in each.outcomes):
        return None
    ids = {id_ for group in groups for id_ in group.ids}
    return typed.retrying(sorted(ids), flag)


def _retrying_all(
    typed: TypedCommand, groups: Sequence[FailureGroup], report_file: Path | None
) -> str | None:
    """Return the command for all that failed: by the report, if there is one, or by its ids."""
    by_report = None if report_file is None else typed.retrying_report(report_file)
    return by_report or _retrying(typed, *groups)


# --- what was made --------------------------------------------------------------------------------


def _write_compared(report: RunReport) -> None:
    """Write what differs between tasks and their copies, if some were compared."""
    compared = [one.compared for one in report.outcomes if one.compared is not None]
    if not compared:
        return
    different = sum(bool(one.differences) for one in compared)
    output.sentence(
        f"Compared with the source: {counted(len(compared), 'task')}, "
        f"{different or 'none'} different."
    )
    rows = [(one.task, one.copy, *row) for one in compared for row in one.difference_rows]
    if different:
        output.table(
            ("task", "copy", "differs in", "source", "target"),
            rows,
            numbers=("task", "copy", "source", "target"),
        )


def _new_ids(outcomes: Sequence[TaskOutcome], file: Path) -> str:
    """Return the line that says which ids became which."""
    made = [one for one in outcomes if one.new_id is not None]
    made.sort(key=lambda one: one.task_id)
    shown = [
        f"{one.task_id or printable(repr(one.name))} -> {one.new_id}"
        for one in made[:_NEW_IDS_SHOWN]
    ]
    if len(made) > len(shown):
        shown.append(f"{len(made) - len(shown):,} more")
    return f"New ids: {', '.join(shown) or 'none in this run'}. All: {file}"
