"""Scripted faults: which calls, exports and imports go wrong, and how.

A `Fault` describes what it strikes and what it does. `Faults` has the faults of a server, and tells
which of them strike a call, export or import. `application`, `routes` and `wire` carry out those of
calls, `queues` those of exports and imports.
"""

from __future__ import annotations

import random
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Literal

RequestFault = Literal["fail", "kill", "stick", "requeue", "null_dates"]


@dataclass
class Fault:
    r"""One scripted fault.

    A fault matches calls whose method, path and task are `method`, `path` and `task_id`. With
    `export` set it matches exports instead: `path` is then compared with the request's id. With
    `importing` or `creating` set it matches imports or new tasks in the same way. It strikes all
    that match, or only some of them, as `nth`, `times` and `probability` say.

    Attributes:
        method: The method of the call, or None for any.
        path: A regular expression, searched in the decoded path or, with a query, `path?query`.
        task_id: The task in the path or in the request's id; None for any.
        nth: Strike only this matching call, export or import, counting from 1.
        times: How often to strike at most; None for always.
        probability: Chance to strike a match; the server's seed decides.
        delay: Seconds to wait before the call is served.
        status: Answer with this status instead of serving the call.
        body: The body of the response with `status`.
        content_type: The type of that body. None: CVAT's own JSON for a body in JSON, and for an
            empty one with 401 or 403, which only CVAT sends as JSON; else `text/html`.
        headers: Headers set on any response to the call; None removes a header.
        redirect: Answer 302 to this URL.
        drop: Close the connection without a response.
        break_at: Reset the connection after this many bytes of the call's own body have arrived.
        lose_answer: Serve the call, then close the connection without a response.
        cut_head_at: Close the connection after this many bytes of the status line and headers.
        cut_at: Reset the connection after this many bytes of the body. Here and in the next two,
            a negative number counts from the end.
        stall_at: Send nothing more after this many bytes of the body, and keep the connection.
        trickle_at: From this byte of the download on, send one at a time, `pause` seconds apart.
        pause: Seconds between two bytes that trickle.
        promise: Bytes by which the Content-Length of a download is too large or, if negative, too
            small; the body is unchanged, and the connection is closed after it.
        compress: Send the whole download compressed, as a proxy does that compresses everything.
        alter_at: Change the byte at this offset of the archive.
        extra: Text appended to the archive; all lengths are consistent.
        truncate: Bytes missing from the end of the archive; all lengths are consistent.
        ignore_range: Answer a Range with 200 and the whole archive.
        expire: Remove the result of the download first, as CVAT's cache cleanup does.
        earlier_result: Send the earlier result of the request's id until the export has ended, as
            a server may that keeps results by their id.
        ignore: Serve the call as if this parameter of its query were not known.
        lose_queue: Lose all requests first, like a Redis that restarts empty.
        edit_task: Change the annotations of this task first, as another user may.
        change_media: Change the images of this task first.
        delete_task: Delete this task first, if it still exists.
        move_etag: Touch the result of the download first: ETag and Last-Modified change.
        plain_conflict: Answer an export that conflicts (409) in plain text, as some versions do.
        origin: Origin of the absolute links in the response, as behind a misconfigured proxy.
        export: What happens to the export: `fail` with `message`; `kill` its work-horse; `stick`
            as started until it is released; `requeue` once after it has started; `null_dates` in
            the first responses that call it finished.
        importing: The same for an import.
        creating: The same for a task that is made of its data.
        message: The message of a failed export or import.
        count: How many responses have null dates; all except the last lack `started_date`, too.
    """

    method: str | None = None
    path: str | None = None
    task_id: int | None = None
    nth: int | None = None
    times: int | None = 1
    probability: float = 1.0
    delay: float = 0.0
    status: int | None = None
    body: str = ""
    content_type: str | None = None
    headers: Mapping[str, str | None] = field(default_factory=dict)
    redirect: str | None = None
    drop: bool = False
    break_at: int | None = None
    lose_answer: bool = False
    cut_head_at: int | None = None
    cut_at: int | None = None
    stall_at: int | None = None
    trickle_at: int | None = None
    pause: float = 1.0
    promise: int = 0
    compress: bool = False
    alter_at: int | None = None
    extra: str = ""
    truncate: int = 0
    ignore_range: bool = False
    expire: bool = False
    earlier_result: bool = False
    ignore: str | None = None
    lose_queue: bool = False
    edit_task: int | None = None
    change_media: int | None = None
    delete_task: int | None = None
    move_etag: bool = False
    plain_conflict: bool = False
    origin: str | None = None
    export: RequestFault | None = None
    importing: RequestFault | None = None
    creating: RequestFault | None = None
    message: str = "MemoryError\n"
    count: int = 1

    @property
    def kind(self) -> RequestFault | None:
        """What happens to the export, import or creation; None for a fault of calls."""
        return self.export or self.importing or self.creating

    @property
    def body_type(self) -> str:
        """The Content-Type of a response with `status`."""
        if self.content_type is not None:
            return self.content_type
        is_json = self.body.lstrip()[:1] in ("{", "[") if self.body else self.status in (401, 403)
        return "application/vnd.cvat+json" if is_json else "text/html; charset=utf-8"

    def to_json(self) -> dict[str, Any]:
        """Return the fault as JSON values, for a server in another process."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Fault:
        """Return the fault that `to_json` wrote.

        Raises:
            ValueError: There is no attribute of that name.
        """
        unknown = set(values) - {item.name for item in fields(cls)}
        if unknown:
            raise ValueError(f"a fault has no {', '.join(sorted(unknown))}: see Fault")
        return cls(**values)


@dataclass(slots=True)
class _ScriptedFault:
    fault: Fault
    path: re.Pattern[str] | None
    matched: int = 0
    struck: int = 0

    @property
    def spent(self) -> bool:
        return self.fault.times is not None and self.struck >= self.fault.times

    def strikes(self, subject: str, task_id: int | None, chance: random.Random) -> bool:
        fault = self.fault
        if self.spent or (fault.task_id is not None and fault.task_id != task_id):
            return False
        if self.path is not None and self.path.search(subject) is None:
            return False
        self.matched += 1
        if fault.nth is not None and self.matched != fault.nth:
            return False
        if fault.probability < 1 and chance.random() >= fault.probability:
            return False
        self.struck += 1
        return True


class Faults:
    """The scripted faults of a server."""

    def __init__(self, seed: int = 0) -> None:
        """Start without faults; `seed` decides those by chance."""
        self._scripted: list[_ScriptedFault] = []
        self._chance = random.Random(f"faults {seed}")

    def __len__(self) -> int:
        """Number of faults that can still strike."""
        return sum(not scripted.spent for scripted in self._scripted)

    def add(self, *faults: Fault) -> None:
        """Add faults.

        Raises:
            ValueError: The path of a fault is not a regular expression.
        """
        for fault in faults:
            try:
                path = re.compile(fault.path) if fault.path is not None else None
            except re.error as error:
                raise ValueError(
                    f"the path {fault.path!r} is not a regular expression: {error}"
                ) from error
            self._scripted.append(_ScriptedFault(fault, path))

    def clear(self) -> None:
        """Remove all faults."""
        self._scripted.clear()

    def for_call(self, method: str, path: str, query: str, task_id: int | None) -> list[Fault]:
        """Return the faults that strike this call, in order of addition."""
        if not self._scripted:
            return []
        subject = f"{path}?{query}" if query else path
        return [
            scripted.fault
            for scripted in self._scripted
            if scripted.fault.kind is None
            and scripted.fault.method in (None, method)
            and scripted.strikes(subject, task_id, self._chance)
        ]

    def for_export(self, rq_id: str, task_id: int | None) -> list[Fault]:
        """Return the faults that strike the starting export."""
        return [
            scripted.fault
            for scripted in self._scripted
            if scripted.fault.export is not None and scripted.strikes(rq_id, task_id, self._chance)
        ]

    def for_import(self, rq_id: str, task_id: int | None) -> list[Fault]:
        """Return the faults that strike the starting import."""
        return [
            scripted.fault
            for scripted in self._scripted
            if scripted.fault.importing is not None
            and scripted.strikes(rq_id, task_id, self._chance)
        ]

    def for_creation(self, rq_id: str, task_id: int | None) -> list[Fault]:
        """Return the faults that strike the task that is starting to be made."""
        return [
            scripted.fault
            for scripted in self._scripted
            if scripted.fault.creating is not None
            and scripted.strikes(rq_id, task_id, self._chance)
        ]
