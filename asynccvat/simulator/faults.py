"""Scripted faults: which calls, exports and imports go wrong, and how.

A `Fault` says whom it meets and what it does; `Faults` keeps the script and answers what happens to
the call, the export or the import at hand. Doing it is left to `app`, `calls` and `downloads`
(calls) and to `queues` (exports and imports).
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

    It meets a call when `method`, `path` and `task_id` match, an export when `export` is set and
    `task_id` matches (and `path`, if given, the request's id), an import in the same way when
    `importing` is set. `nth` picks one of the matching ones, `times` bounds how often it strikes
    (None: always), `probability` makes it strike by chance, from the seed of the server.

    Attributes:
        method: The method of the call, or None for any.
        path: A regular expression found in the path, decoded, or in `path?query`.
        task_id: The task in the path or in the request's id.
        nth: Strike at this matching call, export or import only, counting from 1.
        times: How often to strike.
        probability: Chance to strike at a matching one.
        delay: Seconds to wait before the call is served.
        status: ServerResponse with this status instead of serving the call.
        body: The body of that answer.
        content_type: The type of that body.
        headers: Headers set on the answer, whoever made it; None takes one away.
        redirect: ServerResponse 302 to this URL.
        drop: Close the connection without an answer.
        break_at: Reset the connection after this many bytes of the call's own body came in.
        lose_answer: Serve the call, and close the connection without telling.
        cut_head_at: Close the connection after this many bytes of the status line and headers.
        cut_at: Reset the connection after this many bytes of the body. This place and the next
            two are counted from the end where they are negative.
        stall_at: Send nothing more after this many bytes of the body, and keep the connection.
        trickle_at: From this byte of the download on, send one at a time, `pause` seconds apart.
        pause: Seconds between two bytes that trickle.
        promise: Bytes that the Content-Length of a download promises too much or, below 0, too
            little; the body is as ever, and the connection is closed behind it.
        compress: Send the download whole, packed with gzip, as a proxy that packs everything.
        alter_at: Change the byte at this place of the archive.
        extra: Text appended to the archive; the lengths agree.
        truncate: Bytes missing from the end of the archive; the lengths agree.
        ignore_range: ServerResponse 200 with the whole archive to a Range.
        expire: Remove the result of the download first, as the server's cleanup does.
        lose_queue: Forget all requests first, as a restarted queue does.
        edit_task: Change the annotations of this task first, as somebody else may.
        delete_task: Delete this task first, likewise; nothing where it is gone already.
        move_etag: Touch the result of the download first: ETag and Last-Modified move.
        plain_conflict: A 409 of an export comes as plain text without `rq_id`, as some versions do.
        origin: Origin of the absolute links in the answer, as behind a wrong proxy.
        export: What happens to the export: `fail` with `message`; `kill` its work-horse; `stick`
            as started until it is released; `requeue` once after it started; `null_dates` in the
            first answers that call it finished.
        importing: The same for an import.
        message: The message of a failed export or import.
        count: How many answers have null dates; all but the last of them lack `started_date` too.
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
    content_type: str = "text/html; charset=utf-8"
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
    lose_queue: bool = False
    edit_task: int | None = None
    delete_task: int | None = None
    move_etag: bool = False
    plain_conflict: bool = False
    origin: str | None = None
    export: RequestFault | None = None
    importing: RequestFault | None = None
    message: str = "MemoryError\n"
    count: int = 1

    @property
    def kind(self) -> RequestFault | None:
        """What happens to the export or import, if it is one that it meets."""
        return self.export or self.importing

    def to_json(self) -> dict[str, Any]:
        """The fault as JSON values, for a server in a process of its own."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Fault:
        """The fault that `to_json` wrote.

        Raises:
            ValueError: A name is not that of an attribute.
        """
        unknown = set(values) - {item.name for item in fields(cls)}
        if unknown:
            raise ValueError(f"a fault has no {', '.join(sorted(unknown))}: see Fault")
        return cls(**values)


@dataclass(slots=True)
class _Scripted:
    fault: Fault
    path: re.Pattern[str] | None
    met: int = 0
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
        self.met += 1
        if fault.nth is not None and self.met != fault.nth:
            return False
        if fault.probability < 1 and chance.random() >= fault.probability:
            return False
        self.struck += 1
        return True


class Faults:
    """The script of a server's faults."""

    def __init__(self, seed: int = 0) -> None:
        """An empty script; `seed` decides chances."""
        self._scripted: list[_Scripted] = []
        self._chance = random.Random(f"faults {seed}")

    def __len__(self) -> int:
        """How many faults can still strike."""
        return sum(not scripted.spent for scripted in self._scripted)

    def add(self, *faults: Fault) -> None:
        """Append to the script.

        Raises:
            ValueError: The path of a fault is no regular expression.
        """
        for fault in faults:
            try:
                path = re.compile(fault.path) if fault.path is not None else None
            except re.error as error:
                raise ValueError(
                    f"the path {fault.path!r} is no regular expression: {error}"
                ) from error
            self._scripted.append(_Scripted(fault, path))

    def clear(self) -> None:
        """Forget the script."""
        self._scripted.clear()

    def for_call(self, method: str, path: str, query: str, task_id: int | None) -> list[Fault]:
        """The faults that strike this call, in the order of the script."""
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
        """The faults that strike the export that starts now."""
        return [
            scripted.fault
            for scripted in self._scripted
            if scripted.fault.export is not None and scripted.strikes(rq_id, task_id, self._chance)
        ]

    def for_import(self, rq_id: str, task_id: int | None) -> list[Fault]:
        """The faults that strike the import that starts now."""
        return [
            scripted.fault
            for scripted in self._scripted
            if scripted.fault.importing is not None
            and scripted.strikes(rq_id, task_id, self._chance)
        ]
