"""Record the events of a run, for its log and its page."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Self

from asynccvat import __version__
from asynccvat.cli import output
from asynccvat.cli.common_options import ResultOptions
from asynccvat.cli.typed import FLAGS_OF_IDS

if TYPE_CHECKING:
    from asynccvat import Event


def command_started(results: ResultOptions, server: str, place: str) -> Event | None:
    """Return the event that a command begins, None if no command was typed.

    Args:
        results: The options that know the command.
        server: The server's address.
        place: Where the tasks go.
    """
    from asynccvat.events import CommandStarted  # noqa: PLC0415 - `--help` stays light

    if results.command is None:
        return None
    typed = results.command.repeatable
    retry = {}
    if typed is not None:
        retry = {of: typed.beginning(flag) for of, flag in FLAGS_OF_IDS.items()}
    return CommandStarted(
        command=results.command.name,
        version=__version__,
        server=server,
        place=place,
        settings=dict(results.command.options),
        again="" if typed is None else typed.repeated(),
        retry={of: line for of, line in retry.items() if line is not None},
    )


class Records:
    """The log of events and the page of a run, if they are asked for. Use it as a context manager.

    The page is written after the block, by `save_page`.
    """

    def __init__(self, results: ResultOptions, begun: Event | None) -> None:
        """Prepare to record.

        Args:
            results: The files.
            begun: The first event, None for none.
        """
        self._results = results
        self._begun = begun
        self._log: output.EventLog | None = None
        self._recorder = None
        if results.page_file is not None:
            from asynccvat import RunRecorder  # noqa: PLC0415 - `--help` stays light

            self._recorder = RunRecorder()

    def __enter__(self) -> Self:
        if self._results.log_file is not None:
            self._log = output.EventLog(self._results.log_file)
        if self._begun is not None:
            self.add(self._begun)
        return self

    def __exit__(self, *exc_info: object) -> None:
        if self._log is not None:
            self._log.close()

    def add(self, event: Event, **more: Any) -> None:
        """Record an event that happens now, with more fields."""
        from asynccvat.events import to_json  # noqa: PLC0415 - `--help` stays light

        if self._log is None and self._recorder is None:
            return
        record, now = to_json(event) | more, datetime.now(UTC)
        if self._log is not None:
            at = now.isoformat(timespec="milliseconds").replace("+00:00", "Z")
            self._log.write(record, at)
        if self._recorder is not None:
            self._recorder.record(record, now)

    def save_page(self) -> bool:
        """Write the page if it is asked for; return whether that succeeded."""
        if self._recorder is None or self._results.page_file is None:
            return True
        return output.save_text(self._recorder.page(), self._results.page_file)
