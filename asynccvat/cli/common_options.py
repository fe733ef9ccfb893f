"""Options of several commands that are no part of the engine's own option classes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from asynccvat.cli import output, parsing
from asynccvat.cli.given import GivenCommand
from asynccvat.core.targets import TargetKind

if TYPE_CHECKING:
    from asynccvat import JobSelection, MirrorOptions, Selection
    from asynccvat.settings import Settings

    Listed = TypeVar("Listed", Selection, JobSelection)

DEFAULT_FORMAT = "CVAT"

RESULTS = "Results"
SELECTION = "Selection"


def option(*flags: str, group: str, **rest: Any) -> Any:
    """Return an option that the help lists in a group."""
    return typer.Option(*flags, rich_help_panel=group, **rest)


Format = Annotated[
    str,
    typer.Option(
        "--format",
        "-f",
        metavar="NAME",
        help="The format, like coco or 'COCO 1.0'; see 'asynccvat formats'. CVAT takes "
        "'CVAT for video 1.1' for videos, and 'CVAT for images 1.1' for other tasks.",
        show_default=True,
    ),
]


AsJson = Annotated[bool, typer.Option("--json", help="Write one JSON document to stdout.")]

MirroredTasks = Annotated[
    list[str] | None,
    option(
        "--task-id",
        "-t",
        group=SELECTION,
        metavar="ID",
        help="Only these tasks. May be repeated, or a list like 147,200-299.",
    ),
]

MirroredFolders = Annotated[
    list[str] | None,
    option(
        "--folder",
        group=SELECTION,
        metavar="PATTERN",
        help="Only tasks in folders with such a name, like 'task1*'. May be repeated.",
    ),
]


class OutputForm(StrEnum):
    """How a command writes its result to stdout."""

    TABLE = "table"
    JSON = "json"
    JSONL = "jsonl"
    CSV = "csv"


class PlainForm(StrEnum):
    """How a result that is no list is written to stdout."""

    TABLE = "table"
    JSON = "json"
    JSONL = "jsonl"


@dataclass(frozen=True, slots=True, kw_only=True)
class OutputOptions:
    """How a list is written to stdout: a table, one JSON document, or JSON lines."""

    as_json: AsJson = False
    as_jsonl: Annotated[
        bool,
        typer.Option("--jsonl", help="Write one JSON object per line to stdout, as each arrives."),
    ] = False
    output: Annotated[
        PlainForm | None,
        typer.Option(
            "--output",
            metavar="FORM",
            help="The same choice as a word: table, json or jsonl.",
            show_default=False,
        ),
    ] = None

    def form(self) -> OutputForm:
        """Return the form that was chosen; a table by default.

        Raises:
            typer.BadParameter: Two forms were chosen.
        """
        return chosen_form(self.output, json=self.as_json, jsonl=self.as_jsonl)


def chosen_form(word: StrEnum | None, **flags: bool) -> OutputForm:
    """Return the one form that a word or a flag chooses; a table by default.

    Args:
        word: The value of `--output`.
        flags: Whether each of the other options was given, by its form.

    Raises:
        typer.BadParameter: Two forms were chosen.
    """
    chosen = {name for name, given in flags.items() if given}
    if word is not None:
        chosen.add(word.value)
    if len(chosen) > 1:
        raise typer.BadParameter(
            f"the result has one form, not {' and '.join(sorted(chosen))}. Remove all but one.",
            param_hint="--output" if word is not None else f"--{min(chosen)}",
        )
    return OutputForm(next(iter(chosen), OutputForm.TABLE))


@dataclass(frozen=True, slots=True, kw_only=True)
class ResultOptions:
    """Where a run's results go, besides the summary on stdout."""

    quiet: Annotated[
        bool,
        option(
            "--quiet", "-q", group=RESULTS, help="Write failures and warnings, and nothing else."
        ),
    ] = False
    as_json: Annotated[
        bool, option("--json", group=RESULTS, help="Write the result to stdout as JSON.")
    ] = False
    report_file: Annotated[
        Path | None,
        option(
            "--report-json", group=RESULTS, metavar="FILE", help="Write the report to this file."
        ),
    ] = None
    log_file: Annotated[
        Path | None,
        option(
            "--log-json",
            group=RESULTS,
            metavar="FILE",
            help="Append each event to this file, as a line of JSON.",
        ),
    ] = None
    page_file: Annotated[
        Path | None,
        option(
            "--report",
            group=RESULTS,
            metavar="FILE.html",
            help="Write a page about the run to this file: time line, slowest tasks, failures.",
        ),
    ] = None
    command: GivenCommand | None = field(default=None, metadata={"not an option": True})
    """The command itself, for the events and the page. None if no command was typed."""

    def check(self, *, dry_run: bool = False) -> None:
        """Refuse files that cannot be written, before the run rather than after it.

        Raises:
            typer.BadParameter: A file cannot be written, or a dry run has nothing to write.
        """
        if dry_run and (self.report_file or self.log_file or self.page_file):
            raise typer.BadParameter(
                "it has no report and no events. Use --json, which writes the plan to stdout.",
                param_hint="--dry-run",
            )
        if self.report_file is not None:
            output.check_writable(self.report_file, "--report-json")
        if self.page_file is not None:
            if self.page_file.suffix.lower() in (".json", ".jsonl"):
                raise typer.BadParameter(
                    f"{str(self.page_file)!r} is no name for a page of HTML. Use --report-json for "
                    "the report as JSON, or name a file like report.html.",
                    param_hint="--report",
                )
            output.check_writable(self.page_file, "--report")
        if self.log_file is not None:
            output.EventLog(self.log_file).close()


def failed_from_option(group: str) -> Any:
    """Return the option that names the report of an earlier run."""
    return option(
        "--failed-from",
        group=group,
        metavar="REPORT.json",
        help="The tasks that failed in this report of an earlier run.",
    )


def dry_run_option(group: str) -> Any:
    """Return the option that plans and stops."""
    return option("--dry-run", group=group, help="Print the plan with its reasons; change nothing.")


def in_addressed_task(selection: Listed, settings: Settings) -> Listed:
    """Select the task that the server's address names if the selection names no other."""
    if settings.task_id is None or selection.says_which:
        return selection
    output.remark(f"Only task {settings.task_id} is selected, which the server's address names.")
    return replace(selection, task_ids=(settings.task_id,))


def in_default_project(selection: Listed, settings: Settings) -> Listed:
    """Select the settings' task or project if the selection names neither projects nor tasks."""
    selection = in_addressed_task(selection, settings)
    if settings.project_id is None or selection.says_which:
        return selection
    return replace(selection, project_ids=(settings.project_id,))


def with_failed_tasks(selection: Selection, report: Path | None) -> Selection:
    """Add the tasks that failed in an earlier run, as its report has them.

    Raises:
        typer.BadParameter: The file is no such report.
    """
    if report is None:
        return selection
    failed = parsing.failed_tasks(report, "--failed-from")
    return _with_tasks(selection, failed)


def _with_tasks(selection: Selection, task_ids: Sequence[int]) -> Selection:
    ids = tuple(dict.fromkeys((*(selection.task_ids or ()), *task_ids)))
    return replace(selection, task_ids=ids)


def with_failed_targets(
    selection: Selection, options: MirrorOptions, report: Path | None
) -> tuple[Selection, MirrorOptions]:
    """Add what failed in an earlier mirror: tasks to the selection, others to the options.

    Raises:
        typer.BadParameter: The file is no such report.
    """
    if report is None:
        return selection, options
    failed = parsing.failed_targets(report, "--failed-from")
    if failed.target is TargetKind.TASK:
        return _with_tasks(selection, failed.ids), options
    target = options.target or failed.target.plural
    return selection, replace(options, target=target, target_ids=failed.ids)
