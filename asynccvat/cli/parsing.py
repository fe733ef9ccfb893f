"""What people write for sizes, durations, dates and ids, turned into values.

Pure functions over text; "now" is handed in. What cannot be read is a usage error that names the
option and shows what would have been right.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import typer

_UNITS = {"": 1, "K": 1024, "M": 1024**2, "G": 1024**3, "T": 1024**4}
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}


def size(text: str, option: str) -> int:
    """Bytes from `800K`, `10M`, `1.5G` or a plain number; units are powers of 1024.

    Raises:
        typer.BadParameter: It is not a positive size.
    """
    found = re.fullmatch(
        r"(\d{1,15}(?:\.\d{1,9})?)\s*([KMGT]?)(?:i?B)?(?:/s)?", text.strip(), re.IGNORECASE
    )
    value = int(float(found[1]) * _UNITS[found[2].upper()]) if found else 0
    if value < 1:
        raise _bad(option, text, "write a size like 800K, 10M or 1.5G")
    return value


def duration(text: str, option: str) -> float:
    """Seconds from `90`, `90s`, `30m`, `4h`, `2d`, `1w` or a sum like `1h30m`.

    Raises:
        typer.BadParameter: It is not a positive duration.
    """
    value = _duration(text)
    if not value:
        raise _bad(option, text, "write seconds, or a duration like 90s, 30m, 4h or 1h30m")
    return value


def count_or_share(text: str, option: str) -> str:
    """A whole number, or a percentage from 0 to 100.

    Raises:
        typer.BadParameter: It is neither.
    """
    found = re.fullmatch(r"(\d{1,15})|(\d{1,3}(?:\.\d{1,9})?)\s*%", text.strip())
    if found is None or (found[2] is not None and float(found[2]) > 100):
        raise _bad(option, text, "write a number, or a percentage like 10%")
    return text.strip()


def since(text: str, option: str, *, now: datetime) -> str:
    """An ISO date and time from an ISO one, or from a duration before `now` like `2d` or `12h`.

    A date without a time zone is taken as UTC, which is what CVAT's own dates are in.

    Raises:
        typer.BadParameter: It is neither.
    """
    back = _duration(text) if re.search(r"[a-z]$", text.strip()) else 0
    try:
        if back:
            moment = now.astimezone(UTC) - timedelta(seconds=back)
        else:
            moment = datetime.fromisoformat(text.strip())
    except (ValueError, OverflowError):
        raise _bad(option, text, "write a date like 2026-03-31, or an age like 2d") from None
    moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    return moment.isoformat().replace("+00:00", "Z")


def ids(texts: Iterable[str], option: str) -> tuple[int, ...]:
    """Ids from numbers and comma lists of them, each once, in the order given.

    Raises:
        typer.BadParameter: Something is not a positive whole number.
    """
    found: dict[int, None] = {}
    for text in texts:
        # An empty text is refused, too: it is a shell variable that is not set, more likely than
        # the wish for no narrowing.
        for part in (part.strip() for part in text.removesuffix(",").split(",")):
            if not (part.isascii() and part.isdigit() and int(part)):
                raise _bad(option, part, "write ids as numbers, like 147 or 147,148")
            found[int(part)] = None
    return tuple(found)


def pairs(texts: Iterable[str], option: str) -> dict[int, Path]:
    """Tasks and their files from texts like `147=street.xml`.

    Raises:
        typer.BadParameter: One is no such pair, or a task has two.
    """
    found: dict[int, Path] = {}
    for text in texts:
        number, equals, path = text.partition("=")
        if not (number.isascii() and number.isdigit() and int(number) and equals and path):
            raise _bad(option, text, "write a task's id and a path, like 147=street.xml")
        if int(number) in found:
            raise _bad(option, text, f"task {int(number)} has a path already, and can take one")
        found[int(number)] = Path(path)
    return found


def failed_tasks(path: Path, option: str) -> tuple[int, ...]:
    """The ids of the tasks that failed, from a report that `--report-json` or `--json` wrote.

    Raises:
        typer.BadParameter: The file cannot be read, or is no such report, or is that of a run
            which was stopped before any task failed: what it did not come to is not in it.
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
            f"the run of {path} was stopped before its end, and not by the failure of a task: run "
            f"it again without {option}",
            param_hint=option,
        )
    return failed


def _duration(text: str) -> float:
    stripped = text.strip().lower()
    if re.fullmatch(r"\d{1,12}(\.\d{1,9})?", stripped):
        return float(stripped)
    if re.fullmatch(r"(\d{1,12}(\.\d{1,9})?[smhdw])+", stripped):
        parts = re.findall(r"(\d+(?:\.\d+)?)([smhdw])", stripped)
        return sum(float(number) * _SECONDS[unit] for number, unit in parts)
    return 0.0


def _bad(option: str, text: str, hint: str) -> typer.BadParameter:
    return typer.BadParameter(f"{text!r} will not do: {hint}", param_hint=option)
