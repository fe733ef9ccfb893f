"""Read the texts of options: ids, pairs, dates, reports, and the quantities of `core.quantities`.

A text that cannot be read is a usage error, which names the option and shows a correct text.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import typer

from asynccvat.core import quantities
from asynccvat.core.selections.id_lists import IdList, read_ids
from asynccvat.core.targets import TargetKind

T = TypeVar("T")


def read(reader: Callable[[str], T], text: str, option: str) -> T:
    """Return what a function of `core.quantities` reads in an option's text.

    Raises:
        typer.BadParameter: The function cannot read it.
    """
    try:
        return reader(text)
    except ValueError as error:
        raise _bad(option, text, str(error)) from None


def since(text: str, option: str, *, now: datetime) -> str:
    """Return the ISO date and time that `quantities.since` reads.

    Raises:
        typer.BadParameter: The text is neither a date nor an age.
    """
    return read(partial(quantities.since, now=now), text, option)


def ids(texts: Iterable[str], option: str) -> IdList:
    """Read ids from numbers, ranges and comma lists; return each once, in the given order.

    Raises:
        typer.BadParameter: A part is neither a positive whole number nor a range.
    """
    found: list[int | range] = []
    for text in texts:
        try:
            found += read_ids(text)
        except ValueError as error:
            raise typer.BadParameter(str(error), param_hint=option) from None
    return IdList.of(found)


def pairs(texts: Iterable[str], option: str) -> dict[int, Path]:
    """Read tasks and their files from texts like `147=street.xml`.

    Raises:
        typer.BadParameter: A text is no such pair, or a task appears twice.
    """
    found: dict[int, Path] = {}
    for text in texts:
        number, equals, path = text.partition("=")
        if not (number.isascii() and number.isdigit() and int(number) and equals and path):
            raise _bad(
                option,
                text,
                "is no task with its path. Write its id and path, like 147=street.xml.",
            )
        if int(number) in found:
            raise _bad(
                option,
                text,
                f"is a second path for task {int(number)}. Give one path for each task.",
            )
        # Few shells replace a `~` after a `=`.
        found[int(number)] = Path(os.path.expanduser(path))  # noqa: PTH111 - Path's fails for ~nobody
    return found


@dataclass(frozen=True, slots=True)
class FailedTargets:
    """What failed in an earlier run.

    Attributes:
        target: What failed: tasks, projects or jobs.
        ids: Their ids.
    """

    target: TargetKind
    ids: tuple[int, ...]


def failed_tasks(path: Path, option: str) -> tuple[int, ...]:
    """Read the failed tasks from a report that `--report-json` or `--json` wrote.

    Raises:
        typer.BadParameter: As `failed_targets`. Or the report is about projects or jobs.
    """
    failed = failed_targets(path, option)
    if failed.target is not TargetKind.TASK:
        raise typer.BadParameter(
            f"{str(path)!r} is about {failed.target.plural}, and this command takes tasks.",
            param_hint=option,
        )
    return failed.ids


def failed_targets(path: Path, option: str) -> FailedTargets:
    """Read what failed from a report that `--report-json` or `--json` wrote.

    Raises:
        typer.BadParameter: The file cannot be read or is no such report. Or its run was stopped
            before a task failed, so that the tasks which it did not reach are unknown.
    """
    try:
        report: Any = json.loads(path.read_text(encoding="utf-8"))
        failed = [task for task in report["tasks"] if task["action"] == "failed"]
        # The record of a job names its task, too.
        kinds = (TargetKind.JOB, TargetKind.PROJECT)
        target = next(
            (kind for kind in kinds if any(f"{kind}_id" in task for task in failed)),
            TargetKind.TASK,
        )
        # Besides failed jobs, a report may name tasks that do not exist.
        ids = tuple(int(task[f"{target}_id"]) for task in failed if f"{target}_id" in task)
        stopped = bool(report.get("interrupted"))
    except OSError as error:
        raise typer.BadParameter(
            f"{str(path)!r} cannot be read: {error.strerror}. Check the path.", param_hint=option
        ) from error
    except (ValueError, KeyError, TypeError) as error:
        raise typer.BadParameter(
            f"{str(path)!r} is not a report. Give a file that --report-json wrote.",
            param_hint=option,
        ) from error
    if stopped and not failed:
        raise typer.BadParameter(
            f"{str(path)!r} names no failed task, because its run was stopped early. Run it again "
            f"without {option}.",
            param_hint=option,
        )
    return FailedTargets(target, ids)


def _bad(option: str, text: str, why: str) -> typer.BadParameter:
    return typer.BadParameter(f"{text!r} {why}", param_hint=option)
