"""Record the events of a run, and write a page about it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from asynccvat.events import Event, to_json
from asynccvat.reports.builder import TimelineBuilder
from asynccvat.reports.document import document
from asynccvat.reports.log import read_log
from asynccvat.reports.page import page
from asynccvat.reports.run_data import run_data


class RunRecorder:
    """Record what happens in a run, for a page about it. Use it as a verb's `on_event`.

        recorder = asynccvat.RunRecorder()
        await asynccvat.mirror(client, "data/", on_event=recorder)
        Path("report.html").write_text(recorder.page(), "utf-8")

    It keeps a few hundred bytes for each task, and nothing for each event.
    """

    def __init__(self) -> None:
        """Begin to record. Times count from the first event."""
        self._builder = TimelineBuilder()
        self._began: datetime | None = None

    def __call__(self, event: Event) -> None:
        """Record an event that happens now."""
        self.record(to_json(event), datetime.now(UTC))

    def record(self, record: Mapping[str, Any], at: datetime) -> None:
        """Record an event as `events.to_json` returns it.

        Args:
            record: The event. `step_number` tells the step of a run file.
            at: When it happened. It counts in milliseconds, as in a log: both make the same page.
        """
        at = at.replace(microsecond=at.microsecond // 1000 * 1000)
        if self._began is None:
            self._began = at
        self._builder.add(record, max(0.0, (at - self._began).total_seconds()))

    def page(self) -> str:
        """Return a page of HTML about what was recorded. It needs no network."""
        began = self._began or datetime.now(UTC)
        started_at = began.isoformat(timespec="milliseconds").replace("+00:00", "Z")
        return page(document(self._builder.build(), started_at))


def report_page(log: Iterable[bytes], run: int = -1) -> str:
    """Return a page of HTML about a run whose events `--log-json` wrote. It needs no network.

    Args:
        log: The lines of the log, for example a file that is open as binary.
        run: Which run of the log: 1 is the first, -1 the last.

    Raises:
        ConfigError: It is no such log, or has no such run.
    """
    found = read_log(log, run)
    return page(document(found.timeline, found.started_at))


def report_data(log: Iterable[bytes], run: int = -1) -> dict[str, Any]:
    """Return a run whose events `--log-json` wrote as JSON types: its figures, and every task.

    Args:
        log: The lines of the log, for example a file that is open as binary.
        run: Which run of the log: 1 is the first, -1 the last.

    Raises:
        ConfigError: It is no such log, or has no such run.
    """
    found = read_log(log, run)
    return run_data(found.timeline, found.started_at)
