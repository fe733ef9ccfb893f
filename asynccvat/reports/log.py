"""Read a log of events that `--log-json` wrote, run by run."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import msgspec

from asynccvat.errors import ConfigError
from asynccvat.events import EVENT_SCHEMA_VERSION
from asynccvat.reports.builder import TimelineBuilder
from asynccvat.reports.timeline import Timeline


@dataclass(frozen=True, slots=True)
class LoggedRun:
    """A run of a log.

    Attributes:
        timeline: What happened in it.
        started_at: When it began, as the log has it.
    """

    timeline: Timeline
    started_at: str


def read_log(lines: Iterable[bytes], number: int = -1) -> LoggedRun:
    """Return one run of a log; runs are appended to a log one after the other.

    An event that was cut, as on a full disk, is passed over.

    Args:
        lines: The lines of the log.
        number: Which run: 1 is the first, -1 the last, -2 the one before it.

    Raises:
        ConfigError: A line is no event, the log is of a newer version, or it has no such run.
    """
    runs = _runs(_records(lines))
    if number > 0:
        found = next((run for place, run in enumerate(runs, start=1) if place == number), None)
        if found is not None:
            return found
        raise ConfigError(f"the log has fewer than {number} runs. Give a smaller number.")
    kept: list[LoggedRun] = []
    for run in runs:
        kept = [*kept, run][number:]
    if len(kept) < -number or number == 0:
        raise ConfigError(
            "the log has no event. Give a file that --log-json wrote."
            if number == -1
            else f"the log has no run {number}. Give 1 for the first, -1 for the last."
        )
    return kept[0]


def _records(lines: Iterable[bytes]) -> Iterator[Mapping[str, Any]]:
    """Yield the events of a log, without those that were cut."""
    decoder = msgspec.json.Decoder()
    for number, line in enumerate(lines, start=1):
        try:
            record = _decoded(line, decoder)
        except ValueError:
            if not line.strip() or line.startswith(b"{"):
                continue
            record = None
        if not isinstance(record, dict) or "event" not in record or "at" not in record:
            raise ConfigError(f"line {number} is no event. Give a file that --log-json wrote.")
        if record.get("v") != EVENT_SCHEMA_VERSION:
            raise ConfigError(
                f"line {number} is an event of version {record.get('v')!r}, and this asynccvat "
                f"reads version {EVENT_SCHEMA_VERSION}. Use the asynccvat that wrote it."
            )
        yield record


def _decoded(line: bytes, decoder: msgspec.json.Decoder[Any]) -> Any:
    """Return a line's value. msgspec is quick, and refuses the half characters of odd paths.

    Raises:
        ValueError: It is no JSON.
    """
    try:
        return decoder.decode(line)
    except ValueError:
        return json.loads(line)


def _runs(records: Iterable[Mapping[str, Any]]) -> Iterator[LoggedRun]:
    """Yield the runs of a log. The steps of a run file are one run."""
    builder: TimelineBuilder | None = None
    began, began_at, ended = datetime.now(UTC), "", False
    for record in records:
        starts = record["event"] == "command_started" or (ended and not record.get("step_number"))
        if builder is not None and starts:
            yield LoggedRun(builder.build(), began_at)
            builder = None
        at = _moment(record["at"])
        if builder is None:
            builder, began, began_at = TimelineBuilder(), at, record["at"]
        builder.add(record, max(0.0, (at - began).total_seconds()))
        ended = record["event"] in ("run_finished", "verify_finished")
    if builder is not None:
        yield LoggedRun(builder.build(), began_at)


def _moment(at: object) -> datetime:
    try:
        return datetime.fromisoformat(str(at)).astimezone(UTC)
    except ValueError as error:
        raise ConfigError(f"{at!r} is no time. Give a file that --log-json wrote.") from error
