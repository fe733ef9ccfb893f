"""What can be wrong with a file, a folder or a task of a mirror, and how it is told.

One file is compared with its receipt here; what a whole verification makes of it, `verifying` says.
"""

from __future__ import annotations

import errno
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from asynccvat.core.receipts import MemberRecord


class ProblemKind(StrEnum):
    """What is wrong with a file, a folder or a task."""

    MISSING = "missing"
    """It is not there."""
    EDITED = "edited"
    """Content and time differ from when it was mirrored: somebody wrote to it."""
    CORRUPTED = "corrupted"
    """The content is another one, yet the time is as mirrored: nobody meant to (bit rot)."""
    REPLACED = "replaced"
    """A link, a folder or something else stands where a file or a folder was."""
    UNREADABLE = "unreadable"
    """It cannot be read: the drive fails, or this user may not."""
    RECEIPT = "damaged receipt"
    """Nobody can say what the task's folder should hold."""
    NOT_MIRRORED = "not mirrored"
    """There is no receipt: of a task that was asked for, or that the server has."""
    STALE = "stale"
    """The server has another version by now."""
    GONE = "gone"
    """The server has the task no longer, or does not show it to this user."""
    FOREIGN = "foreign"
    """No receipt speaks of it: it is yours. A note, no failure."""
    TOUCHED = "touched"
    """The content is as mirrored, the time is not: copied without it. A note, no failure."""

    @property
    def is_note(self) -> bool:
        """Whether it is worth knowing and nothing is wrong."""
        return self in (ProblemKind.FOREIGN, ProblemKind.TOUCHED)

    @property
    def is_damage(self) -> bool:
        """Whether fetching the task again mends it."""
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
        crc: CRC-32 of its content; None where it was not read, as the size told enough.
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
    """Why nothing can be read under a name."""

    kind: ProblemKind
    detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifyProblem:
    """One thing that is not as a receipt, or the server, says.

    Attributes:
        kind: What is wrong.
        path: Where, relative to the destination, with `/`; that of a folder ends with one. ""
            where the task has no folder.
        task_id: The task, None where it is no task's.
        expected: The file as its receipt says, None where none does.
        found: The file as it is, None where none could be read.
        files: How many files are concerned: more than one for a folder.
        detail: What else is known, in words.
    """

    kind: ProblemKind
    path: str
    task_id: int | None = None
    expected: FileState | None = None
    found: FileState | None = None
    files: int = 1
    detail: str = ""

    @property
    def place(self) -> str:
        """Its path, or its task where it has none."""
        return self.path or f"task {self.task_id}"

    @property
    def reason(self) -> str:
        """What is wrong, in words, without the path."""
        if self.expected is not None and self.found is not None:
            return _compared(self.kind, self.expected, self.found)
        text = _REASONS[self.kind]
        if self.detail:
            text = f"{text}: {self.detail}"
        return text if self.files == 1 else f"{text} ({self.files:,} files)"

    def to_json(self) -> dict[str, Any]:
        """The problem as JSON types, without what is empty."""
        record: dict[str, Any] = {
            "kind": str(self.kind),
            "path": self.path,
            "task_id": self.task_id,
            "reason": self.reason,
            "files": self.files,
        }
        for name, state in (("expected", self.expected), ("found", self.found)):
            if state is not None:
                record[name] = state.to_json()
        return record


_REASONS: Mapping[ProblemKind, str] = {
    ProblemKind.MISSING: "it is not there",
    ProblemKind.EDITED: "edited since it was mirrored",
    ProblemKind.CORRUPTED: "corrupted",
    ProblemKind.REPLACED: "something else stands there",
    ProblemKind.UNREADABLE: "it cannot be read",
    ProblemKind.RECEIPT: "nobody can say what the folder should hold",
    ProblemKind.NOT_MIRRORED: "it has no receipt here",
    ProblemKind.STALE: "the mirror has another version",
    ProblemKind.GONE: "deleted on the server, or not visible to this user",
    ProblemKind.FOREIGN: "no receipt speaks of it",
    ProblemKind.TOUCHED: "the content is as mirrored, the time of change is not",
}


def _compared(kind: ProblemKind, expected: FileState, found: FileState) -> str:
    if kind is ProblemKind.TOUCHED:
        return _REASONS[kind]
    if found.size != expected.size:
        differs_in = f"{found.size:,} bytes instead of {expected.size:,}"
    else:
        differs_in = f"CRC {found.crc or 0:08x} instead of {expected.crc or 0:08x}"
    if kind is ProblemKind.CORRUPTED:
        return f"{differs_in}, and nobody wrote to it: its time of change is as mirrored"
    return f"{differs_in}, changed {_moment(found.mtime_ns)}"


def _moment(mtime_ns: int) -> str:
    """`2026-03-31 08:00:00Z`, or the number where no calendar has it."""
    try:
        moment = datetime.fromtimestamp(mtime_ns // 10**9, UTC)
    except (ValueError, OverflowError, OSError):
        return f"at {mtime_ns} ns"
    return moment.isoformat(sep=" ").replace("+00:00", "Z")


def judge(member: MemberRecord, found: FileState) -> ProblemKind | None:
    """Compare a file with its receipt; None where all is well.

    The time alone decides nothing: it only tells who changed what is changed.
    """
    untouched = found.mtime_ns == member.mtime_ns
    if (found.size, found.crc) == (member.size, member.crc):
        return None if untouched else ProblemKind.TOUCHED
    return ProblemKind.CORRUPTED if untouched else ProblemKind.EDITED


_SOMETHING_ELSE = frozenset({errno.ELOOP, errno.ENOTDIR, errno.EINVAL, errno.ENXIO, errno.EISDIR})
_OF_THE_PROCESS = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM})


def obstacle(number: int | None, said: str) -> Obstacle | None:
    """What an error of the system says of the name that it came of; None if it is not about it.

    Args:
        number: Its `errno`.
        said: Its text.
    """
    if number in _OF_THE_PROCESS:
        return None
    if number == errno.ENOENT:
        return Obstacle(ProblemKind.MISSING)
    if number in _SOMETHING_ELSE:
        return Obstacle(ProblemKind.REPLACED)
    return Obstacle(ProblemKind.UNREADABLE, said)


def merge_problems(problems: Iterable[VerifyProblem]) -> tuple[VerifyProblem, ...]:
    """The problems of one task, in order of their paths.

    A folder that several slices met is one problem. Where many files were only touched, as by a
    copy without times, that is one problem, too.
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
