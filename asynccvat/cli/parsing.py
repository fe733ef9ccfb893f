"""Read the texts of options: ids, pairs, dates, reports, and the quantities of `core.quantities`.

A text that cannot be read is a usage error, which names the option and shows a correct text.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import typer

from asynccvat.core import quantities

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


def ids(texts: Iterable[str], option: str) -> tuple[int, ...]:
    """Read ids from numbers and comma lists; return each once, in the given order.

    Raises:
        typer.BadParameter: A part is no positive whole number.
    """
    found: dict[int, None] = {}
    for text in texts:
        # An empty text is refused, too: it is probably a shell variable that is not set, rather
        # than the wish to select everything.
        for part in (part.strip() for part in text.removesuffix(",").split(",")):
            if not (part.isascii() and part.isdigit() and int(part)):
                raise _bad(option, part, "write ids as numbers, like 147 or 147,148")
            found[int(part)] = None
    return tuple(found)


def pairs(texts: Iterable[str], option: str) -> dict[int, Path]:
    """Read tasks and their files from texts like `147=street.xml`.

    Raises:
        typer.BadParameter: A text is no such pair, or a task appears twice.
    """
    found: dict[int, Path] = {}
    for text in texts:
        number, equals, path = text.partition("=")
        if not (number.isascii() and number.isdigit() and int(number) and equals and path):
            raise _bad(option, text, "write a task's id and a path, like 147=street.xml")
        if int(number) in found:
            raise _bad(
                option, text, f"task {int(number)} has a path already: give one path per task"
            )
        found[int(number)] = Path(path)
    return found


def failed_tasks(path: Path, option: str) -> tuple[int, ...]:
    """Read the failed tasks from a report that `--report-json` or `--json` wrote.

    Raises:
        typer.BadParameter: The file cannot be read or is no such report. Or its run was stopped
            before a task failed, so that the tasks which it did not reach are unknown.
    """
    try:
        report: Any = json.loads(path.read_text(encoding="utf-8"))
        failed = tuple(
            int(task["task_id"]) for task in report["tasks"] if task["action"] == "failed"
        )
        stopped = bool(report.get("interrupted"))
    except OSError as error:
        raise typer.BadParameter(
            f"cannot read {path}: {error.strerror}", param_hint=option
        ) from error
    except (ValueError, KeyError, TypeError) as error:
        raise typer.BadParameter(
            f"{path} is not a report: give a file that --report-json wrote", param_hint=option
        ) from error
    if stopped and not failed:
        raise typer.BadParameter(
            f"{path} names no failed task, because its run was stopped early: run it again without "
            f"{option}",
            param_hint=option,
        )
    return failed


def _bad(option: str, text: str, hint: str) -> typer.BadParameter:
    return typer.BadParameter(f"{text!r} cannot be read: {hint}", param_hint=option)
