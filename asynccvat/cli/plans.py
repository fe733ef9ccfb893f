"""Print the plans of dry runs: what would be done, and the exit code that the run would have."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from asynccvat.cli import output
from asynccvat.cli.exit_codes import ExitCode
from asynccvat.cli.text import ended, of_each, printable
from asynccvat.core.targets import TargetKind
from asynccvat.core.texts import first_few

Step = Mapping[str, Any]
"""A step of a plan, as JSON types."""

_UNCHANGED = frozenset({"unchanged", "existing", "at server"})
_MOST_TASKS = 3
_OTHERS = (TargetKind.PROJECT, TargetKind.JOB)
# As `output.RESULTS`, which says what became of each.
_ORDER = (
    "fetch",
    "back up",
    "write",
    "upload",
    "put back",
    "restore",
    "copy",
    "finish",
    "update",
    "import",
    "create",
    "finish",
    "replace",
    "annotate",
    "move",
    "remove",
    "delete",
    "pass over",
    "refuse",
    "skip",
    "keep",
)


def show_steps(
    columns: Sequence[str],
    rows: Sequence[output.Row],
    *,
    numbers: Sequence[str],
    wraps: Sequence[str] = (),
) -> None:
    """Write the steps to list as a table; nothing if there are none."""
    if rows:
        output.table(columns, rows, numbers=numbers, wraps=wraps)


def shown(steps: Iterable[Step], *, verbose: bool) -> list[Step]:
    """Return the steps to list: with `verbose` all, otherwise those that are not unchanged."""
    return [step for step in steps if verbose or not _is_unchanged(step)]


def show_end(
    steps: Sequence[Step], *, guards: Sequence[str] = (), as_json: bool, verbose: bool
) -> ExitCode:
    """Write why steps are refused or skipped, and how many there are of each kind.

    Args:
        steps: All steps.
        guards: Why the plan's removals would not be carried out.
        as_json: Whether the steps were written as JSON, which says all of this.
        verbose: Whether unchanged tasks were listed.

    Returns:
        The exit code that the run would have.
    """
    if not as_json:
        explain(steps)
    for guard in guards:
        output.remark(f"Refused: {guard}")
    counts = Counter("unchanged" if _is_unchanged(step) else step["step"] for step in steps)
    unchanged = counts["unchanged"]
    parts = [f"{counts[step]:,} to {step}" for step in _ORDER if counts[step]]
    if unchanged:
        parts.append(f"{unchanged:,} unchanged" + ("" if verbose else " (-v lists them)"))
    if not as_json:
        output.remark(f"Dry run, nothing was changed: {', '.join(parts) or 'no tasks'}.")
    return plan_code(counts, guards)


def plan_code(counts: Mapping[str, int], guards: Sequence[str] = ()) -> ExitCode:
    """Return the exit code that a run would have."""
    if counts.get("refuse") or counts.get("pass over"):
        return ExitCode.SOME_FAILED
    return ExitCode.REFUSED if guards else ExitCode.DONE


def _is_unchanged(step: Step) -> bool:
    return step["reason"] in _UNCHANGED


def explain(steps: Sequence[Step]) -> None:
    """Write each explanation once, with the tasks that it is about."""
    tasks: dict[tuple[TargetKind, str, str], list[int]] = {}
    for step in steps:
        if "error" in step:
            output.remark(f"refused: {ended(printable(step['error']))}")
        elif step.get("detail"):
            target = next((kind for kind in _OTHERS if f"{kind}_id" in step), TargetKind.TASK)
            what = (target, step["step"], step["detail"])
            tasks.setdefault(what, []).append(step[f"{target}_id"])
    for (target, kind, detail), ids in tasks.items():
        word = "refused" if kind == "refuse" else "warning"
        whose = f"{target.plural if len(ids) > 1 else target} {first_few(ids, _MOST_TASKS)}"
        said = of_each(detail) if len(ids) > 1 else detail
        output.remark(f"{word}: {whose}: {ended(printable(said))}")
