"""Name the keys of a run file in the messages of its steps, where the engine names flags.

The engine words its messages for the command line, where most of its users are. Commands in
backquotes remain as they are, and so do flags for which a step has no key.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any, TypeVar

import msgspec

from asynccvat.core.outcomes import RunReport, TaskOutcome
from asynccvat.errors import AsyncCvatError
from asynccvat.events import Event, Retrying, RunFinished, ServerUnreachable, TaskDone, Warned
from asynccvat.runfiles.declarations import PARAMETERS
from asynccvat.runfiles.value_types import BooleanType

E = TypeVar("E", bound=AsyncCvatError)

_FLAG = re.compile(r"(?<![\w-])--([a-z][a-z-]*)(?: (map|CVAT|\d+[a-z%]?|'[^']*')(?![\w/=]))?")
# Keys that are not the flag's name.
_OLD_NAMES = {"format": "dataset_format", "images": "save_images", "task_id": "task_ids"}


def in_keys(text: str, task: str) -> str:
    """Return a message with the keys of a step instead of flags.

    Args:
        text: The message.
        task: What the step does: a key of `PARAMETERS`.
    """
    keys = PARAMETERS[task].keys

    def key_of(found: re.Match[str]) -> str:
        name, value = found[1].replace("-", "_"), found[2]
        key = name if name in keys else _OLD_NAMES.get(name, name)
        if key not in keys:
            return found[0]
        if isinstance(keys[key].kind, BooleanType):
            return f"'{key}: true'" + (f" {value}" if value else "")
        return f"'{key}: {value.strip(chr(39))}'" if value else f"'{key}'"

    parts = text.split("`")
    return "`".join(
        part if number % 2 else _FLAG.sub(key_of, part) for number, part in enumerate(parts)
    )


def reworded(error: E, task: str) -> E:
    """Reword an error in place, so that it keeps its traceback and its cause; return it."""
    error.message = in_keys(error.message, task)
    return error


def reworded_event(event: Event, task: str) -> Event:
    """Return an event with the messages in it reworded."""
    match event:
        case TaskDone(outcome=outcome):
            return TaskDone(_outcome(outcome, task))
        case RunFinished(report=report):
            return RunFinished(_report(report, task))
        case Warned():
            return replace(event, message=in_keys(event.message, task))
        case Retrying() | ServerUnreachable():
            return replace(event, error=in_keys(event.error, task))
        case _:
            return event


def reworded_plan(plan: dict[str, Any], task: str) -> dict[str, Any]:
    """Return a plan in JSON types with the messages in it reworded."""
    steps = [
        {
            key: in_keys(value, task) if key in ("detail", "error") else value
            for key, value in step.items()
        }
        for step in plan["steps"]
    ]
    made = {**plan, "steps": steps}
    if made.get("guard") is not None:
        made["guard"] = in_keys(made["guard"], task)
    if "warnings" in made:
        made["warnings"] = [in_keys(warning, task) for warning in made["warnings"]]
    return made


def _outcome(outcome: TaskOutcome, task: str) -> TaskOutcome:
    if outcome.error is not None:
        reworded(outcome.error, task)
    if not outcome.warnings:
        return outcome
    warnings = tuple(in_keys(warning, task) for warning in outcome.warnings)
    return msgspec.structs.replace(outcome, warnings=warnings)


def _report(report: RunReport, task: str) -> RunReport:
    return replace(
        report,
        outcomes=tuple([_outcome(outcome, task) for outcome in report.outcomes]),
        stopped_by=None if report.stopped_by is None else reworded(report.stopped_by, task),
        guard=None if report.guard is None else in_keys(report.guard, task),
        warnings=tuple(in_keys(warning, task) for warning in report.warnings),
    )
