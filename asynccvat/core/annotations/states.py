"""The states of a task's annotations that a mirror has kept: when each began, and where it is.

A version in the history has only the files that were replaced then. Another file of that state is
found in the next version that has it, or in the task's folder. `store.history_states` reads the
names from the disk, `difference` compares states.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from asynccvat.core.annotations.json_files import ANNOTATIONS
from asynccvat.errors import ConfigError

_NUMBERED = re.compile(r"(.+)-(\d{1,9})", re.ASCII)
_DAY = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
_SECOND = re.compile(r"[T ]\d\d:\d\d:\d\d(?![\d.,])", re.ASCII)
_FIRST = datetime.min.replace(tzinfo=UTC)
# Seconds between two dates of one change on the disk.
_NEAR = 2.0


@dataclass(frozen=True, slots=True)
class KeptVersion:
    """A version in the history, or what the task's folder holds now.

    Attributes:
        name: The name of its folder, which is the task's `updated_date`; None for what is current.
        date: That date in ISO 8601; the name if it has none.
        files: The names of the files that it has.
        replaced_at: When it was replaced, in seconds since 1970; infinite for what is current.
    """

    name: str | None
    date: str
    files: Collection[str]
    replaced_at: float


@dataclass(frozen=True, slots=True)
class AnnotationState:
    """A state of a task's annotations.

    Attributes:
        since: The task's `updated_date` when it was first mirrored with these annotations. They
            stayed until the next state.
        version: The version whose folder has the annotations; None for the task's folder.
        place: The place of that version among all, from the oldest.
        is_known: Whether these are surely the annotations. They are not if the file was edited in
            the mirror and then replaced: the server's own is lost.
    """

    since: str
    version: str | None
    place: int
    is_known: bool = True


def read_moment(text: str) -> datetime:
    """Return the moment that a date means. A day or a second means its end. UTC is the default.

    Raises:
        ConfigError: It is no date.
    """
    try:
        moment = datetime.fromisoformat(text)
        if _DAY.fullmatch(text):
            moment = moment.replace(hour=23, minute=59, second=59, microsecond=999_999)
        elif _SECOND.search(text):
            moment = moment.replace(microsecond=999_999)
    except ValueError:
        raise ConfigError(
            f"{text!r} is no date. Write a day like 2026-11-01, or a time like 2026-11-01T12:00."
        ) from None
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)


def date_of_version(name: str) -> tuple[datetime, int]:
    """Return the date of a version and its number among those of one date, to sort by.

    A name that has no date comes first.
    """
    found = _NUMBERED.fullmatch(name)
    for text, number in ((name, 1), *(((found[1], int(found[2])),) if found else ())):
        try:
            moment = datetime.fromisoformat(text)
        except ValueError:
            continue
        return (moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)), number
    return _FIRST, 1


def kept_version(name: str, files: Collection[str], replaced_at: float) -> KeptVersion:
    """Return a version in the history by the name of its folder."""
    moment, _ = date_of_version(name)
    date = name if moment is _FIRST else moment.isoformat().replace("+00:00", "Z")
    return KeptVersion(name, date, files, replaced_at)


def in_order(versions: Sequence[KeptVersion], current: KeptVersion) -> list[KeptVersion]:
    """Return versions from the oldest to what is current."""
    return [*sorted(versions, key=lambda one: date_of_version(one.name or "")), current]


def annotation_states(
    versions: Sequence[KeptVersion], edited_at: Collection[float] = ()
) -> list[AnnotationState]:
    """Return the states of the annotations, oldest first.

    Args:
        versions: What `in_order` returns.
        edited_at: When edited annotations of the task were put aside, in seconds since 1970.
    """
    found: list[AnnotationState] = []
    for place, version in enumerate(versions):
        source = place_of(ANNOTATIONS, versions, place)
        if source is None:
            continue
        lost = source != place and any(
            version.replaced_at - _NEAR <= moment <= versions[source].replaced_at + _NEAR
            for moment in edited_at
        )
        if found and found[-1].place == source and found[-1].is_known != lost:
            continue  # the annotations stayed as they were
        found.append(
            AnnotationState(version.date, versions[source].name, source, is_known=not lost)
        )
    return found


def place_of(file: str, versions: Sequence[KeptVersion], place: int) -> int | None:
    """Return which version has a file as it was in one of them; None if none has it.

    Args:
        file: The file's name.
        versions: What `in_order` returns.
        place: The version that is asked for.
    """
    later = range(place, len(versions))
    return next((number for number in later if file in versions[number].files), None)


def state_at(states: Sequence[AnnotationState], moment: datetime, task_id: int) -> AnnotationState:
    """Return the state that a task had at a moment, as far as it was mirrored.

    Raises:
        ConfigError: No state is that old, or it was lost.
    """
    older = [one for one in states if date_of_version(one.since)[0] <= moment]
    if not older:
        oldest = f" The oldest one is of {states[0].since}." if states else ""
        raise ConfigError(
            f"no annotations of task {task_id} are kept from before {_shown(moment)}.{oldest} "
            "`asynccvat log` shows all."
        )
    if not older[-1].is_known:
        raise ConfigError(
            f"the annotations that task {task_id} had at {_shown(moment)} are lost: their file was "
            "edited in the mirror when it was replaced. `asynccvat log` shows the other states."
        )
    return older[-1]


def _shown(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
