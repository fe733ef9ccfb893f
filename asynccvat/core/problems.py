"""Problems of a mirror: what can be wrong with a file, a folder or a task.

`judge` compares one file with its receipt. `core.plans.verify` has the report of all problems.
"""

from __future__ import annotations

import errno
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from asynccvat.core.records.receipts import MemberRecord
from asynccvat.core.targets import TargetKind


class ProblemKind(StrEnum):
    """What is wrong with a file, a folder or a task."""

    MISSING = "missing"
    """It does not exist."""
    EDITED = "edited"
    """Content and modification time have changed: a program wrote to it."""
    CORRUPTED = "corrupted"
    """The content has changed, but not the modification time: bit rot, probably."""
    REPLACED = "replaced"
    """Something else has its name: a link, or a folder where a file was."""
    UNREADABLE = "unreadable"
    """It cannot be read: the drive fails, or this user has no permission."""
    RECEIPT = "damaged receipt"
    """The receipt cannot be read, so it is unknown what the task's folder should hold."""
    NOT_MIRRORED = "not mirrored"
    """A task that was named, or that the server has, has no receipt."""
    NOT_BACKED_UP = "not backed up"
    """A task that was named has no backup."""
    STALE = "stale"
    """The server has another version."""
    GONE = "gone"
    """The server no longer has the task, or does not show it to this user."""
    FOREIGN = "foreign"
    """Not in any receipt, so assumed to be yours. A note, no failure."""
    TOUCHED = "touched"
    """Same content, other modification time: copied without it. A note, no failure."""

    @property
    def is_note(self) -> bool:
        """Whether it is only worth knowing, and nothing is wrong."""
        return self in (ProblemKind.FOREIGN, ProblemKind.TOUCHED)

    @property
    def is_damage(self) -> bool:
        """Whether fetching the task again repairs it."""
        return self in _DAMAGE


_DAMAGE = frozenset(
    {
        ProblemKind.MISSING,
        ProblemKind.EDITED,
        ProblemKind.CORRUPTED,
        ProblemKind.REPLACED,
        ProblemKind.UNREADABLE,
        ProblemKind.RECEIPT,
    }
)


@dataclass(frozen=True, slots=True)
class FileState:
    """A file as it is, or as it should be.

    Attributes:
        size: Bytes.
        crc: CRC-32 of its content; None if it was not read, as its size had changed.
        mtime_ns: Modification time, nanoseconds since 1970.
    """

    size: int
    crc: int | None
    mtime_ns: int

    def to_json(self) -> dict[str, Any]:
        """The state as JSON types, the CRC as eight hexadecimal digits."""
        crc = None if self.crc is None else f"{self.crc:08x}"
        return {"size": self.size, "crc": crc, "mtime_ns": self.mtime_ns}


@dataclass(frozen=True, slots=True)
class Obstacle:
    """Why a file or folder cannot be read."""

    kind: ProblemKind
    detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifyProblem:
    """One difference between a mirror and its receipts, or the server.

    Attributes:
        kind: What is wrong.
        path: Path relative to the destination, with `/`. That of a folder ends with `/`. "" if the
            task has no folder.
        task_id: The task, None if it belongs to no task.
        expected: The file as its receipt says, None if no receipt says it.
        found: The file as it is, None if it could not be read.
        files: Number of files: more than one for a folder.
        detail: What else is known, in words.
        target: What `task_id` is the id of. In JSON the id is `task_id`, `project_id` or `job_id`.
    """

    kind: ProblemKind
    path: str
    task_id: int | None = None
    expected: FileState | None = None
    found: FileState | None = None
    files: int = 1
    detail: str = ""
    target: TargetKind = TargetKind.TASK

    @property
    def place(self) -> str:
        """Its path, or its task if it has no path."""
        return self.path or f"{self.target} {self.task_id}"

    @property
    def reason(self) -> str:
        """What is wrong, in words, without the path."""
        if self.expected is not None and self.found is not None:
            return _compared(self.kind, self.expected, self.found)
        text = _REASONS[self.kind]
        if self.detail:
            # The kind is written before the reason, so it need not be said twice.
            text = self.detail if self.kind in _SAID_BY_KIND else f"{text}: {self.detail}"
        return text if self.files == 1 else f"{text} ({self.files:,} files)"

    def to_json(self) -> dict[str, Any]:
        """The problem as JSON types, without the states that are unknown."""
        record: dict[str, Any] = {
            "kind": str(self.kind),
            "path": self.path,
            f"{self.target}_id": self.task_id,
            "reason": self.reason,
            "files": self.files,
        }
        for name, state in (("expected", self.expected), ("found", self.found)):
            if state is not None:
                record[name] = state.to_json()
        return record


_REASONS: Mapping[ProblemKind, str] = {
    ProblemKind.MISSING: "not found",
    ProblemKind.EDITED: "edited since it was written here",
    ProblemKind.CORRUPTED: "corrupted",
    ProblemKind.REPLACED: "something else has its name",
    ProblemKind.UNREADABLE: "cannot be read",
    ProblemKind.RECEIPT: "cannot tell what the folder should hold",
    ProblemKind.NOT_MIRRORED: "has no receipt in this mirror",
    ProblemKind.NOT_BACKED_UP: "has no backup here",
    ProblemKind.STALE: "the server has another version",
    ProblemKind.GONE: "deleted on the server, or not visible to this user",
    ProblemKind.FOREIGN: "not in any receipt, so assumed to be yours",
    ProblemKind.TOUCHED: "same content, but another modification time",
}

_SAID_BY_KIND = frozenset({ProblemKind.EDITED, ProblemKind.CORRUPTED})


def _compared(kind: ProblemKind, expected: FileState, found: FileState) -> str:
    if kind is ProblemKind.TOUCHED:
        return _REASONS[kind]
    if found.size != expected.size:
        differs_in = f"{found.size:,} bytes instead of {expected.size:,}"
    else:
        differs_in = f"CRC {found.crc or 0:08x} instead of {expected.crc or 0:08x}"
    if kind is ProblemKind.CORRUPTED:
        return f"{differs_in}, although its modification time has not changed"
    return f"{differs_in}, modified {_moment(found.mtime_ns)}"


def _moment(mtime_ns: int) -> str:
    """Format a time as `2026-03-31 08:00:00Z`, or as a number if no calendar has it."""
    try:
        moment = datetime.fromtimestamp(mtime_ns // 10**9, UTC)
    except (ValueError, OverflowError, OSError):
        return f"at {mtime_ns} ns"
    return moment.isoformat(sep=" ").replace("+00:00", "Z")


def judge(member: MemberRecord, found: FileState) -> ProblemKind | None:
    """Compare a file with its receipt; None if it is as it should be.

    A changed time alone is no damage. It tells an edit from corruption.
    """
    untouched = found.mtime_ns == member.mtime_ns
    if (found.size, found.crc) == (member.size, member.crc):
        return None if untouched else ProblemKind.TOUCHED
    return ProblemKind.CORRUPTED if untouched else ProblemKind.EDITED


_SOMETHING_ELSE = frozenset({errno.ELOOP, errno.ENOTDIR, errno.EINVAL, errno.ENXIO, errno.EISDIR})
_OF_THE_PROCESS = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM})


def obstacle(number: int | None, said: str) -> Obstacle | None:
    """Say what an error of the system means for the file or folder.

    Args:
        number: Its `errno`.
        said: Its text.

    Returns:
        None if the error is about this process, such as too many open files.
    """
    if number in _OF_THE_PROCESS:
        return None
    if number == errno.ENOENT:
        return Obstacle(ProblemKind.MISSING)
    if number in _SOMETHING_ELSE:
        return Obstacle(ProblemKind.REPLACED)
    return Obstacle(ProblemKind.UNREADABLE, said)


def merge_problems(problems: Iterable[VerifyProblem]) -> tuple[VerifyProblem, ...]:
    """Merge the problems of one task, in order of their paths.

    A folder that several slices report is one problem. So are many touched files, as a copy
    without times leaves them.
    """
    by_place: dict[tuple[str, ProblemKind], VerifyProblem] = {}
    touched: list[VerifyProblem] = []
    for problem in problems:
        if problem.kind is ProblemKind.TOUCHED:
            touched.append(problem)
            continue
        key = (problem.path, problem.kind)
        if key in by_place:
            problem = replace(problem, files=problem.files + by_place[key].files)  # noqa: PLW2901
        by_place[key] = problem
    found = list(by_place.values())
    if len(touched) == 1:
        found += touched
    elif touched:
        folder = touched[0].path.partition("/")[0] + "/"
        found.append(
            replace(touched[0], path=folder, expected=None, found=None, files=len(touched))
        )
    return tuple(sorted(found, key=lambda problem: (problem.path, problem.kind)))
