"""The owner of a lock: how a process names itself, and whether another one is known to be dead.

`lock` writes it into lock files.
"""

from __future__ import annotations

import os
import socket
import time
from pathlib import Path

import msgspec

from asynccvat.core.decoding import UNREADABLE


class LockOwner(msgspec.Struct, frozen=True, kw_only=True):
    """The process that holds a lock.

    Attributes:
        host: The machine's name.
        pid: The process.
        process_start: The boot, and the clock tick of it at which the process began. It tells the
            process from a later one of the same number. None if the system does not say.
        since: When the lock was taken, ISO 8601.
    """

    host: str
    pid: int
    process_start: str | None = None
    since: str


def in_words(owner: LockOwner) -> str:
    """Name an owner in a message."""
    return f"process {owner.pid} on {owner.host}, since {owner.since}"


def decode_owner(content: bytes) -> LockOwner | None:
    """Decode the text of a lock file; None if it names no owner."""
    try:
        return msgspec.json.decode(content, type=LockOwner)
    except UNREADABLE:
        return None


def ourselves() -> LockOwner:
    """Return this process as the owner of a lock that it takes now."""
    pid = os.getpid()
    return LockOwner(
        host=socket.gethostname(),
        pid=pid,
        process_start=_process_start(pid),
        since=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    )


def is_this_process(owner: LockOwner) -> bool:
    """Whether an owner is this very process."""
    return msgspec.structs.replace(ourselves(), since=owner.since) == owner


def is_dead(owner: LockOwner | None) -> bool:
    """Whether it is certain that the owner is no longer running."""
    if owner is None or owner.host != socket.gethostname():
        return False
    try:
        os.kill(owner.pid, 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        pass  # it runs, as another user
    start = _process_start(owner.pid)
    return start is not None and owner.process_start is not None and start != owner.process_start


def _process_start(pid: int) -> str | None:
    """Return boot and clock tick at which a process began (proc(5)); None without /proc."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return None
    # The name in parentheses can hold blanks and parentheses; the start time is field 22.
    return f"{boot} {stat.rpartition(')')[2].split()[19]}"
