"""The lines of a journal of restores, and what they say together.

Each line is durable before the call that it announces. So whatever a killed process may have asked
of the server stands here. The same journal serves imports of datasets. `store.journal` writes it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

import msgspec

from asynccvat.core.decoding import UNREADABLE
from asynccvat.core.targets import TargetKind
from asynccvat.errors import StoreError

RESTORED_VERSION = 1


class Sending(msgspec.Struct, frozen=True, kw_only=True, tag="sending"):
    """The server has begun to take a file.

    Attributes:
        key: The file: its path, relative to the folder of backups.
        size: Bytes.
        mtime_ns: When the file was changed last, nanoseconds.
        file_id: The server's name for it.
        address: The path to which its pieces go.
        to: The id of the project that it is imported into, None for a restore.
    """

    key: str
    size: int
    mtime_ns: int
    file_id: str
    address: str
    to: int | None = None


class Requesting(msgspec.Struct, frozen=True, kw_only=True, tag="requesting"):
    """The call that has the server use the file comes next. It may happen once.

    Attributes:
        key: The file.
        kind: Whether a task or a project is made of it.
        name: The name of that, by which it is recognized.
        frames: The frames of the task, None for a project.
        since: The server's clock before the call. None if it did not tell.
        after: When the import of the project before this one was requested, if it is an import:
            all of them have one id. None if the server knew of none.
        newest: The highest id of a task or project before the call; for an import, of the tasks
            of its project. What the call makes has a higher one.
    """

    key: str
    kind: TargetKind
    name: str = ""
    frames: int | None = None
    since: datetime | None = None
    after: datetime | None = None
    newest: int = 0


class Accepted(msgspec.Struct, frozen=True, kw_only=True, tag="accepted"):
    """The server has queued it, as a request of this id."""

    key: str
    rq_id: str


class Made(msgspec.Struct, frozen=True, kw_only=True, tag="made"):
    """The server has made a task or project of this id."""

    key: str
    new_id: int


class Done(msgspec.Struct, frozen=True, kw_only=True, tag="done"):
    """It was moved into its project, if it is for one, and compared with the backup.

    Attributes:
        key: The file.
        kind: What was restored.
        old_id: Its id when it was backed up. None if the file does not tell.
        new_id: Its id now. None for an import, which makes new tasks.
        project_id: The project that it was moved into, None for none.
        at: When, ISO 8601.
    """

    key: str
    kind: TargetKind
    old_id: int | None = None
    new_id: int | None = None
    project_id: int | None = None
    at: str = ""


class Failed(msgspec.Struct, frozen=True, kw_only=True, tag="failed"):
    """Nothing came of it, for sure: the next run begins anew."""

    key: str
    why: str = ""


RestoreLine = Sending | Requesting | Accepted | Made | Done | Failed


@dataclass(frozen=True, slots=True)
class RestoreState:
    """How far one file is.

    Attributes:
        sending: The upload that has begun, None if none has.
        requesting: The last call that had the server use the file, None if there was none.
        rq_id: The server's request, None before it is known.
        new_id: What the server made, None before it is known.
        done: How it ended, None if it has not.
    """

    sending: Sending | None = None
    requesting: Requesting | None = None
    rq_id: str | None = None
    new_id: int | None = None
    done: Done | None = None


@dataclass(slots=True)
class RestoreStates:
    """How far all files of a journal are.

    Attributes:
        by_key: The state of each file.
        rq_ids: All requests that the journal knows. None of them is another file's.
        new_ids: All tasks or projects that it knows.
    """

    by_key: dict[str, RestoreState] = field(default_factory=dict)
    rq_ids: set[str] = field(default_factory=set)
    new_ids: set[int] = field(default_factory=set)

    def of(self, key: str) -> RestoreState:
        """Return how far a file is."""
        return self.by_key.get(key, RestoreState())

    def add(self, line: RestoreLine) -> None:
        """Take a line into account."""
        state = self.of(line.key)
        match line:
            case Sending():
                state = RestoreState(sending=line)
            case Requesting():
                state = replace(state, requesting=line)
            case Accepted(rq_id=rq_id):
                self.rq_ids.add(rq_id)
                state = replace(state, rq_id=rq_id)
            case Made(new_id=new_id):
                self.new_ids.add(new_id)
                state = replace(state, new_id=new_id)
            case Done():
                state = replace(state, done=line)
            case _:
                state = RestoreState()
        self.by_key[line.key] = state

    @property
    def unanswered(self) -> tuple[str, ...]:
        """The files whose call may have been received, and whose request is not known."""
        return tuple(
            key
            for key, state in self.by_key.items()
            if state.requesting is not None and state.rq_id is None and state.new_id is None
        )

    @property
    def done(self) -> tuple[Done, ...]:
        """What is done, oldest first."""
        return tuple(state.done for state in self.by_key.values() if state.done is not None)


def read_lines(lines: Iterable[Any], *, where: str) -> RestoreStates:
    """Return what the lines of a journal say together.

    Args:
        lines: The JSON values.
        where: The journal, for messages.

    Raises:
        StoreError: A line cannot be read.
    """
    states = RestoreStates()
    for line in lines:
        try:
            states.add(msgspec.convert(line, RestoreLine))
        except UNREADABLE as error:
            raise StoreError(
                f"cannot use {where}: a line of it cannot be read ({error}). A newer asynccvat may "
                "have written it: upgrade asynccvat.",
                step="store",
            ) from error
    return states


def restored_json(done: Iterable[Done], *, origin: str, organization: str | None) -> bytes:
    """Return the content of `restored.json`: old ids and new ones.

    Args:
        done: What is done, oldest first. A later restore of the same task replaces an earlier one.
        origin: Scheme, host and port of the server.
        organization: Its organization.
    """
    ids: dict[TargetKind, dict[str, int]] = {TargetKind.TASK: {}, TargetKind.PROJECT: {}}
    files: dict[str, int] = {}
    for one in done:
        if one.new_id is None:
            continue
        files[one.key] = one.new_id
        if one.old_id is not None:
            ids[one.kind][str(one.old_id)] = one.new_id
    record = {
        "version": RESTORED_VERSION,
        "server": origin,
        "organization": organization,
        "tasks": ids[TargetKind.TASK],
        "projects": ids[TargetKind.PROJECT],
        "files": files,
    }
    return msgspec.json.format(msgspec.json.encode(record), indent=2) + b"\n"
