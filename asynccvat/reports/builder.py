"""Follow the events of a run, and note what each task did when.

Events come as the records of `events.to_json`, since the lines of `--log-json` are these with a
time.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from math import inf
from sys import intern
from typing import Any

from asynccvat.core.targets import TargetKind
from asynccvat.progress import cause_in_words
from asynccvat.reports.problems import Problems
from asynccvat.reports.server_work import divide_stays
from asynccvat.reports.timeline import Pause, Phase, TaskLine, Timeline, Wait
from asynccvat.reports.waits import RunWaits


class TimelineBuilder:
    """Build a timeline from events, one after the other."""

    def __init__(self) -> None:
        self._timeline = Timeline()
        self._waits = RunWaits()
        self._problems = Problems(self._timeline)
        self._under_way: dict[tuple[int, str, int], TaskLine] = {}
        # What to add to the server's clock for seconds of the run, by work: a copy has two servers.
        self._clocks: dict[str, float] = {}

    def add(self, record: Mapping[str, Any], at: float) -> None:
        """Note an event.

        Args:
            record: The event, as `events.to_json` returns it.
            at: Seconds since the run's first event.
        """
        timeline = self._timeline
        timeline.seconds = max(timeline.seconds, at)
        self._waits.add(record, at)
        match record.get("event"):
            case "command_started":
                timeline.begun = record
            case "run_finished":
                timeline.ended.append(record)
            case "problem_found" | "verify_finished":
                self._problems.add(record, _key(record), at)
            case "destination_settled" if "step_number" not in record:
                timeline.description = str(record.get("description") or "")
            case "planned":
                timeline.planned += sum(int(_number(record, step)) for step in _STEPS)
            case "warned":
                timeline.warnings.append(str(record.get("message")))
            case "server_unreachable":
                self._pause(at - _number(record, "seconds"), at, "The server did not answer")
            case "server_back":
                self._pause(at - _number(record, "seconds"), at, "The server did not answer")
            case "server_paused":
                self._pause(at, at + _number(record, "seconds"), "The server asked for a pause")
            case _:
                self._add_of_task(record, at)

    def build(self) -> Timeline:
        """Return the timeline. Tasks that have no outcome yet end with the last event."""
        timeline = self._timeline
        for line in self._under_way.values():
            line.enter(None, timeline.seconds)
            timeline.lines.append(line)
        self._under_way = {}
        timeline.lines += self._problems.lines()
        timeline.pauses = [
            Pause(max(0.0, one.start), min(one.end, timeline.seconds), one.why)
            for one in timeline.pauses
        ]
        timeline.estimated += divide_stays(timeline.lines, self._clocks)
        work = self._waits.server_work
        timeline.waits = [
            Wait(str(cause), cause_in_words(cause, work), seconds)
            for cause, seconds in self._waits.seconds.items()
        ]
        return timeline

    def _pause(self, start: float, end: float, why: str) -> None:
        """Note a pause. One that goes on is the same one."""
        for last in self._timeline.pauses[-1:]:
            if last.why == why and start <= last.end + 1.0:
                last.end = max(last.end, end)
                return
        self._timeline.pauses.append(Pause(start, end, why))

    def _add_of_task(self, record: Mapping[str, Any], at: float) -> None:
        """Note an event of one task. One of an unknown kind changes nothing."""
        timeline = self._timeline
        key = _key(record)
        if key is None:
            return
        step, target, id_ = key
        if record["event"] == "task_done":
            line = self._under_way.pop(key, None) or TaskLine(target, id_, step, at)
            line.enter(None, at)
            line.end, line.outcome = at, _outcome(record)
            timeline.lines.append(line)
            self._problems.solve(key)
            return
        change = _CHANGES.get(record["event"])
        if change is None and record["event"] != "task_started":
            return
        line = self._under_way.get(key) or TaskLine(target, id_, step, at)
        self._under_way[key] = line
        if change is None:
            line.name = str(record.get("name") or "")
            line.enter(Phase.WAITING, at)
        elif record["event"] in ("transfer_progress", "upload_progress"):
            self._count(line, int(_number(record, "transferred") or _number(record, "sent")), at)
        elif record["event"] in ("export_finished", "import_finished"):
            self._end_work(line, record, at, change)
        elif change is Phase.WORKING:
            line.begin_work(at)
        elif change is Phase.RETRYING:
            line.retry(at, _number(record, "delay"))
        else:
            line.enter(change, at)

    def _end_work(self, line: TaskLine, record: Mapping[str, Any], at: float, then: Phase) -> None:
        work = record["event"].removesuffix("_finished")
        self._timeline.work.add(work)
        seconds, ended = record.get("seconds"), _timestamp(record.get("ended_at"))
        known = float(seconds) if isinstance(seconds, int | float) else None
        if ended is not None:
            # The quickest news shows best how far the two clocks are apart.
            self._clocks[work] = min(at - ended, self._clocks.get(work, inf))
        line.end_work(at, then, work, seconds=known, ended=ended)

    def _count(self, line: TaskLine, moved: int, at: float) -> None:
        line.moved += moved
        self._timeline.bytes.add(moved, at)
        if not line.is_transferring:
            line.enter(Phase.TRANSFERRING, at)


_CHANGES = {
    "export_requested": Phase.AT_SERVER,
    "import_requested": Phase.AT_SERVER,
    "export_started": Phase.WORKING,
    "import_started": Phase.WORKING,
    "export_finished": Phase.WAITING,
    "import_finished": Phase.COMMITTING,
    "transfer_started": Phase.TRANSFERRING,
    "upload_started": Phase.TRANSFERRING,
    "transfer_progress": Phase.TRANSFERRING,
    "upload_progress": Phase.TRANSFERRING,
    "transfer_finished": Phase.COMMITTING,
    "retrying": Phase.RETRYING,
}
"""By event, the phase that a task enters with it."""


def _key(record: Mapping[str, Any]) -> tuple[int, str, int] | None:
    """Return the step and target of a record, None if it is not about one target.

    A record of a job also has the id of its task, so that one is looked at last.
    """
    for key, target in _TARGETS:
        id_ = record.get(key)
        if isinstance(id_, int):
            return record.get("step_number") or 0, target, id_
    return None


_TARGETS = tuple((f"{target}_id", str(target)) for target in reversed(TargetKind))
"""By the key of its id, each kind of target; a task's last."""


_STEPS = ("fetch", "upload", "move", "remove", "refuse")
"""The steps of a plan that are work."""

_KEPT = ("name", "action", "reason", "transferred", "error", "warnings")
"""What is kept of an outcome: a run may have a hundred thousand."""


def _outcome(record: Mapping[str, Any]) -> dict[str, Any]:
    kept = {key: record[key] for key in _KEPT if key in record}
    if "error" in kept and "path" in record:
        kept["path"] = record["path"]  # its message may name it
    for key in ("action", "reason"):
        kept[key] = intern(str(kept.get(key, "")))
    return kept


def _number(record: Mapping[str, Any], name: str) -> float:
    value = record.get(name)
    return value if isinstance(value, int | float) else 0.0


def _timestamp(value: object) -> float | None:
    try:
        return datetime.fromisoformat(str(value)).timestamp() if value else None
    except ValueError:
        return None
