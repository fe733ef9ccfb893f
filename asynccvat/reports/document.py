"""Make the data of a report page from a timeline: JSON types, with texts that are safe to show."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from asynccvat.core.texts import printable
from asynccvat.reports.failures import (
    FailureGroup,
    failure_groups,
    failure_of,
    retry_all,
    retry_command,
)
from asynccvat.reports.series import Series, series_of
from asynccvat.reports.timeline import Phase, TaskLine, Timeline

MOST_LINES = 10_000
"""The most tasks of which each has a line in the time line."""

SLOWEST_LINES, FAILED_LINES = 1_000, 1_000
"""If there are more tasks, the most of the slowest and of the failed ones that have a line."""

_NOUNS = {"import-dataset": "dataset"}
"""By command, what each outcome is about, where that is not its target."""

_WITHOUT_WORK = ("kept", "skipped", "unfinished")
_SHOWN = {"kept": "unchanged"}
"""What the page calls an action by another word, as the summary on a terminal does."""

_IDS_OF_A_GROUP = 50
_MESSAGE = 2_000
_NAME = 300
_MOST_WARNINGS = 200


def document(timeline: Timeline, started_at: str) -> dict[str, Any]:
    """Return all that the page shows of a run.

    Args:
        timeline: The run.
        started_at: When it began, as a date and time of ISO 8601.
    """
    lines = timeline.lines
    shown = lines_shown(lines)
    groups = failure_groups(lines)
    head = head_of(timeline, started_at)
    counts = {_SHOWN.get(action, action): count for action, count in head["counts"].items()}
    return {
        "head": head | {"counts": counts},
        "settings": [[_text(name), _text(value)] for name, value in _settings(timeline.begun)],
        "warnings": [_text(warning, _MESSAGE) for warning in timeline.warnings[:_MOST_WARNINGS]],
        "warningCount": len(timeline.warnings),
        "pauses": [[_ms(one.start), _ms(one.end), one.why] for one in timeline.pauses],
        "series": _series(series_of(timeline)),
        "waits": [[one.cause, one.words, round(one.seconds, 3)] for one in timeline.waits],
        "phases": _phase_totals(lines),
        "estimated": timeline.estimated,
        "work": sorted(timeline.work),
        "failures": [_failure(group, timeline.begun) for group in groups],
        "retryAll": _command(retry_all(timeline.begun, groups)),
        "table": _table(lines),
        "lines": {
            "all": len(shown) == sum(bool(line.spans) for line in lines),
            "rows": shown,
            "spans": _spans(lines, shown),
        },
    }


def lines_shown(lines: Sequence[TaskLine]) -> list[int]:
    """Return the numbers of the tasks that have a line, in the order in which they began.

    These are all tasks with work, or the slowest and the failed ones of too many.
    """
    working = [number for number, line in enumerate(lines) if line.spans]
    if len(working) > MOST_LINES:
        slowest = heapq.nlargest(
            SLOWEST_LINES, working, key=lambda n: (lines[n].own_seconds, lines[n].seconds)
        )
        failed = [number for number in working if lines[number].failed][:FAILED_LINES]
        working = list({*slowest, *failed})
    return sorted(working, key=lambda number: (lines[number].start, number))


def head_of(timeline: Timeline, started_at: str) -> dict[str, Any]:
    """Return how a run ended, and its figures."""
    begun, ended = timeline.begun, timeline.ended
    actions = Counter(_action(line) for line in timeline.lines)
    told = len({(line.target, line.id) for line in timeline.lines})
    intact = max(0, timeline.checked - told)
    actions.update({"intact": intact} if intact else {})
    state, explanation = _result(timeline)
    targets = {line.target for line in timeline.lines}
    said = [float(record.get("seconds") or 0.0) for record in ended]
    return {
        "command": _text(begun.get("command") or "run"),
        "server": _text(begun.get("server") or ""),
        "place": _text(timeline.description or begun.get("place") or "", _MESSAGE),
        "version": _text(begun.get("version") or ""),
        "startedAt": started_at,
        "seconds": round(sum(said) if said else timeline.seconds, 3),
        "state": state,
        "explanation": _text(explanation, _MESSAGE),
        "noun": _NOUNS.get(str(begun.get("command")))
        or (targets.pop() if len(targets) == 1 else "target" if targets else "task"),
        "tasks": len(timeline.lines) + intact,
        "planned": timeline.planned,
        "done": sum(_action(line) not in _WITHOUT_WORK for line in timeline.lines),
        "counts": dict(actions.most_common()),
        "transferred": max(
            timeline.bytes.total, sum(int(record.get("transferred") or 0) for record in ended)
        ),
        "requests": sum(int(record.get("requests") or 0) for record in ended),
        "retries": sum(line.retries for line in timeline.lines),
    }


def _result(timeline: Timeline) -> tuple[str, str]:
    """Return how a run ended in one word, and why if it did not end well."""
    if not timeline.ended:
        return "unfinished", "The log ends before the run does."
    for record in timeline.ended:
        stopped = record.get("stopped_by")
        if isinstance(stopped, dict):
            return "stopped", str(stopped.get("message") or "")
        if record.get("interrupted"):
            return "interrupted", "Run the same command again to continue."
        if record.get("guard"):
            return "refused", str(record["guard"])
        if record.get("without_receipts"):
            return "incomplete", "The folder holds no receipt, so nothing could be compared."
    if any(line.failed for line in timeline.lines):
        return "failed", ""
    if not all(record.get("ok") for record in timeline.ended):
        return "incomplete", "Not everything that was planned is done. The warnings say why."
    return "done", ""


def _settings(begun: Mapping[str, Any]) -> list[tuple[str, str]]:
    settings = begun.get("settings")
    if not isinstance(settings, dict):
        return []
    return [(str(name), str(value)) for name, value in settings.items()]


def _series(series: Series) -> dict[str, Any]:
    return {
        "width": series.width,
        "phases": {
            str(phase): [round(value, 2) for value in values]
            for phase, values in series.phases.items()
        },
        "bytes": [round(value) for value in series.bytes],
        "done": series.done,
    }


def _phase_totals(lines: Sequence[TaskLine]) -> dict[str, float]:
    """Return the seconds that all tasks together spent in each phase."""
    totals = dict.fromkeys(map(str, Phase), 0.0)
    for line in lines:
        for span in line.spans:
            totals[span.phase] += span.end - span.start
    return {phase: round(seconds, 3) for phase, seconds in totals.items() if seconds}


def _failure(group: FailureGroup, begun: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "error": _text(group.error),
        "message": _text(group.message, _MESSAGE),
        "count": len(group.lines),
        "ids": [line.id for line in group.lines[:_IDS_OF_A_GROUP]],
        "retry": _command(retry_command(begun, group.lines)),
    }


def _command(line: str) -> str:
    """Return a command that is to be copied; "" if it cannot be shown as it is."""
    return line if printable(line) == line and len(line) <= _MESSAGE else ""


def _table(lines: Sequence[TaskLine]) -> dict[str, Any]:
    """Return the tasks as columns. Words and messages are numbers in a list of their own."""
    words = _Words()
    return {
        "id": [line.id for line in lines],
        "step": [line.step for line in lines] if any(line.step for line in lines) else None,
        "target": [words.number(line.target) for line in lines],
        "name": [_text(line.outcome.get("name") or line.name) for line in lines],
        "action": [words.number(_SHOWN.get(one := _action(line), one)) for line in lines],
        "reason": [words.number(_text(line.outcome.get("reason") or "")) for line in lines],
        "start": [_ms(line.start) for line in lines],
        "took": [_ms(line.seconds) for line in lines],
        "bytes": [int(line.outcome.get("transferred") or line.moved) for line in lines],
        "retries": {str(n): line.retries for n, line in enumerate(lines) if line.retries},
        "notes": {str(n): note for n, line in enumerate(lines) if (note := _note(line))},
        "words": words.known,
    }


def _action(line: TaskLine) -> str:
    return _text(line.outcome.get("action") or "unfinished")


def _note(line: TaskLine) -> str:
    """Return why a task failed, or its warnings."""
    if line.failed:
        return _text(": ".join(filter(None, failure_of(line))), _MESSAGE)
    warnings = line.outcome.get("warnings")
    return _text(" ".join(map(str, warnings)), _MESSAGE) if isinstance(warnings, list) else ""


def _spans(lines: Sequence[TaskLine], shown: Sequence[int]) -> list[list[int]]:
    """Return a list for each line: phase, start and milliseconds of each of its spans in a row."""
    numbers = {phase: number for number, phase in enumerate(Phase)}
    return [
        [
            value
            for span in lines[row].spans
            for value in (numbers[span.phase], _ms(span.start), _ms(span.end) - _ms(span.start))
        ]
        for row in shown
    ]


class _Words:
    """Texts that repeat, each once."""

    def __init__(self) -> None:
        self.known: list[str] = []
        self._numbers: dict[str, int] = {}

    def number(self, word: str) -> int:
        """Return the number of a word."""
        found = self._numbers.get(word)
        if found is None:
            found = self._numbers[word] = len(self.known)
            self.known.append(word)
        return found


def _text(value: object, most: int = _NAME) -> str:
    """Return a text in one line, without characters that change how others are shown."""
    text = printable(str(value))
    return text if len(text) <= most else f"{text[: most - 1]}…"


def _ms(seconds: float) -> int:
    return round(seconds * 1000)
