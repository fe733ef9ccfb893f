"""Mirrors in processes of their own, which are killed; and what they leave behind.

The processes are forked from one that has the engine loaded, so that each starts within
milliseconds. Each shares only a pipe with the test, and sends its events there.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import fcntl
import functools
import multiprocessing
import os
import signal
import threading
import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

import msgspec
from archive_writes import WatchedAiofiles

import asynccvat
from asynccvat import events
from asynccvat.archives import extractor, kept_copy, parts
from asynccvat.core.plans import refresh
from asynccvat.core.records.receipts import Receipt, decode_receipt
from asynccvat.core.scheduling import intervals
from asynccvat.fs import files
from asynccvat.simulator.processes import ServerProcess
from asynccvat.simulator.server import SimulatedServer
from asynccvat.store import loose_folder as loose
from asynccvat.store import mirror_store
from asynccvat.store.commits import leftovers
from asynccvat.store.layout import Layout

PATIENCE = 60.0
"""Seconds after which a process that says nothing counts as hung."""

Tree = dict[str, bytes]
Version = dict[str, Tree]
"""By folder's name, what the whole destination holds."""

processes = multiprocessing.get_context("forkserver")
processes.set_forkserver_preload(
    ["asynccvat.api.mirrors", "asynccvat.archives", "asynccvat.simulator"]
)

_PHASES = {
    "commit": (
        (mirror_store, "run_group"),
        (loose.LooseFolder, "_commit"),
        (Layout, "write_receipt"),
    ),
    "recovery": ((leftovers, "recover"),),
}
"""The functions whose effects are those of a phase."""


@dataclass(frozen=True)
class Job:
    """What a process does, and where it dies.

    Attributes:
        url: The server.
        token: The superuser's key.
        dest: The destination.
        images: Whether the images are wanted.
        format: The format that is wanted.
        options: Those of `MirrorOptions`.
        effects: The effects on the disk that count.
        phases: Of those, only the ones of these phases count, and renames; all where there is
            none. `commit` and `recovery` are phases, and `archive`, in which one is kept.
        die_at: The number of the effect that the process kills itself at, from 1.
        after: Whether that effect is done before.
        can_exchange: Whether the file system can exchange two names in one step.
        can_link: Whether a file can have two names.
        keep_above: Bytes from which the trees of a killed run are kept for the next one, and
            images for a refresh; None for what they are.
        full_after: How many bytes can be written until the disk is full.
        can_flock: Whether the file system knows flock.
        downloads: Loose folders to be downloaded to, by task, instead of mirroring.
        upload: Whether to upload what was edited in the destination, instead of mirroring.
    """

    url: str
    token: str
    dest: Path
    images: bool = True
    format: str = "COCO 1.0"
    options: Mapping[str, Any] = field(default_factory=dict)
    effects: Sequence[str] = files.EFFECTS
    phases: Sequence[str] = ()
    die_at: int | None = None
    after: bool = False
    can_exchange: bool = True
    can_link: bool = True
    keep_above: int | None = None
    full_after: int | None = None
    can_flock: bool = True
    downloads: Mapping[int, Path] = field(default_factory=dict)
    upload: bool = False


def job(server: ServerProcess | SimulatedServer, dest: Path, **rest: Any) -> Job:
    """A mirror of all that a server has."""
    return Job(server.url, server.token, dest, **rest)


# --- inside the process ------------------------------------------------------------------------


def _hurry() -> None:
    """Wait for nothing that is not about being killed.

    A process that dies loses nothing that it wrote: only a power cut would tell whether it was
    synced. And how often the server is asked is tested elsewhere.
    """
    for name in ("fsync", "sync_filesystem"):
        setattr(files, name, lambda _fd: None)
    for name in ("SHORTEST_INTERVAL", "SHORTEST_PAUSE", "FIRST_POLL", "CLOCK_SLACK"):
        assert hasattr(intervals, name)
        setattr(intervals, name, 0.002)


def _refuse(*_args: Any, **_kwargs: Any) -> None:
    raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))


def _refuse_flock(*_args: Any) -> None:
    raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))


def _let_keep(bytes_: int) -> None:
    """Keep less than what is worth it, so that small tasks do for large ones."""
    for module in (mirror_store, loose):
        assert hasattr(module, "KEEP_ABOVE")
        setattr(module, "KEEP_ABOVE", bytes_)  # noqa: B010 - as the effects are
    for module in (parts, extractor):
        assert hasattr(module, "PART_FROM")
        setattr(module, "PART_FROM", bytes_)  # noqa: B010 - the same
    assert hasattr(refresh, "REFRESH_FROM")
    setattr(refresh, "REFRESH_FROM", bytes_)  # noqa: B010 - the same


class _Effects:
    """Counts effects, and ends this process at the one that was asked for, as SIGKILL does.

    Attributes:
        trace: Those that count, so far: the phase, the name and what it was about.
    """

    def __init__(self, wanted: Job) -> None:
        self.trace: list[tuple[str, str, str]] = []
        self._wanted = wanted
        self._lock = threading.Lock()
        self._thread = threading.local()
        for phase, functions in _PHASES.items():
            for owner, name in functions:
                setattr(owner, name, self._phase(phase, getattr(owner, name)))
        for name in wanted.effects:
            setattr(files, name, self._counted(name, getattr(files, name)))
        setattr(kept_copy, "aiofiles", WatchedAiofiles(self._of_archive))  # noqa: B010 - the same

    def _counted(self, name: str, effect: Callable[..., Any]) -> Callable[..., Any]:
        if name not in self._wanted.effects:
            return effect
        return functools.partial(self._effect, name, effect)

    def _of_archive(self, name: str, effect: Callable[..., Any]) -> Callable[..., Any]:
        return self._phase("archive", self._counted(name, effect))

    def _phase(self, phase: str, function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def marked(*args: Any, **kwargs: Any) -> Any:
            # Each runs within one thread, from its first effect to its last.
            self._thread.phase = phase
            try:
                return function(*args, **kwargs)
            finally:
                self._thread.phase = ""

        return marked

    def _effect(self, name: str, effect: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        phase = getattr(self._thread, "phase", "")
        phases = self._wanted.phases
        if phases and phase not in phases and name not in ("rename", "exchange"):
            return effect(*args, **kwargs)
        with self._lock:
            self.trace.append((phase, name, str(args[0])))
            is_last = len(self.trace) == self._wanted.die_at
        if not is_last:
            return effect(*args, **kwargs)
        try:
            return effect(*args, **kwargs) if self._wanted.after else None
        finally:
            os.kill(os.getpid(), signal.SIGKILL)


def _fill_up(room: int) -> None:
    """Let the disk be full after so many bytes."""
    lock = threading.Lock()
    written = 0
    write = files.write

    def limited(fd: int, data: bytes | bytearray | memoryview) -> None:
        nonlocal written
        with lock:
            written += len(data)
            is_full = written > room
        if is_full:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        write(fd, data)

    setattr(files, "write", limited)  # noqa: B010 - so do the other effects


async def _work(wanted: Job, tell: Callable[[dict[str, Any]], None]) -> dict[str, Any]:
    spec = asynccvat.ExportSpec(wanted.format, images=wanted.images)

    def on_event(event: events.Event) -> None:
        tell(events.to_json(event))

    async with asynccvat.CvatClient(wanted.url, token=wanted.token) as client:
        if wanted.upload:
            # COCO carries neither the points nor the tags of these tasks.
            uploading = asynccvat.UploadOptions(lossy=True)
            report = await asynccvat.upload(
                client, wanted.dest, options=uploading, on_event=on_event
            )
        elif wanted.downloads:
            report = await asynccvat.download_many(
                client,
                wanted.downloads,
                spec,
                options=asynccvat.DownloadOptions(**wanted.options),
                skip_existing=True,
                on_event=on_event,
            )
        else:
            report = await asynccvat.mirror(
                client,
                wanted.dest,
                spec=spec,
                options=asynccvat.MirrorOptions(**{"change": True, **wanted.options}),
                on_event=on_event,
            )
    return report.to_json()


def run_job(pipe: Connection, wanted: Job) -> None:
    """Do a job, telling events and, at last, the report and the effects."""
    _hurry()
    if not wanted.can_exchange:
        setattr(files, "exchange", _refuse)  # noqa: B010 - so do the other effects
    if not wanted.can_flock:
        fcntl.flock = _refuse_flock
    if not wanted.can_link:
        setattr(files, "link", _refuse)  # noqa: B010 - so do the other effects
    if wanted.keep_above is not None:
        _let_keep(wanted.keep_above)
    effects = _Effects(wanted)
    if wanted.full_after is not None:
        _fill_up(wanted.full_after)
    try:
        try:
            report = asyncio.run(_work(wanted, pipe.send))
        except asynccvat.AsyncCvatError as error:
            said = {"type": type(error).__name__, "message": str(error)}
            report = {"interrupted": True, "stopped_by": said}
        pipe.send({"event": "report", "report": report, "effects": effects.trace})
    except BaseException:
        pipe.send({"event": "traceback", "text": traceback.format_exc()})
        raise


# --- outside of it -----------------------------------------------------------------------------


class Mirroring:
    """A mirror that runs in a process."""

    def __init__(self, process: ForkServerProcess, pipe: Connection) -> None:
        self._process = process
        self._pipe = pipe
        self.report: dict[str, Any] | None = None

    def events(self) -> Iterator[dict[str, Any]]:
        """What it tells, until it ends or is dead.

        Raises:
            TimeoutError: It says nothing any more.
            AssertionError: An error ended it.
        """
        while True:
            if not self._pipe.poll(PATIENCE):
                raise TimeoutError("the mirror hangs")
            try:
                event = self._pipe.recv()
            except (EOFError, ConnectionResetError):
                return
            assert event["event"] != "traceback", event["text"]
            if event["event"] == "report":
                self.report = event["report"]
                return
            yield event

    @property
    def pid(self) -> int:
        """The process."""
        assert self._process.pid is not None
        return self._process.pid

    def kill(self) -> None:
        """SIGKILL."""
        self._process.kill()

    def finish(self) -> int:
        """Wait for its end, and return its code; negative for the signal that killed it."""
        for _ in self.events():
            pass
        self._process.join(PATIENCE)
        assert self._process.exitcode is not None, "the mirror does not end"
        return self._process.exitcode


@contextlib.contextmanager
def mirroring(wanted: Job) -> Iterator[Mirroring]:
    """Start a mirror; it is dead afterwards in any case."""
    pipe, theirs = processes.Pipe(duplex=False)
    process = processes.Process(target=run_job, args=(theirs, wanted))
    process.start()
    theirs.close()
    try:
        yield Mirroring(process, pipe)
    finally:
        process.kill()
        process.join(PATIENCE)
        process.close()
        pipe.close()


def mirror_stopping(wanted: Job) -> dict[str, Any]:
    """Mirror until something stops it, and return the report."""
    with mirroring(wanted) as running:
        assert running.finish() == 0
        assert running.report is not None
        return running.report


def mirror(wanted: Job) -> dict[str, Any]:
    """Mirror to the end, and return the report."""
    report = mirror_stopping(wanted)
    assert report.get("ok"), report
    return report


def mirror_killed(wanted: Job, number: int) -> bool:
    """Mirror, and kill the process once it told so many events; tell whether it was in time."""
    with mirroring(wanted) as running:
        for seen, _ in enumerate(running.events(), start=1):
            if seen == number:
                running.kill()
                break
        code = running.finish()
    assert code in (0, -signal.SIGKILL)
    return code != 0


# --- what is there afterwards ------------------------------------------------------------------


def read_tree(folder: Path) -> Tree:
    """The files of a folder."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def read_folders(dest: Path) -> Version:
    """What stands under final names, and nothing else."""
    if not dest.is_dir():
        return {}
    folders = [path for path in dest.iterdir() if path.name != ".asynccvat"]
    if _is_of_jobs(dest):
        folders = [job for path in folders for job in path.iterdir()]
    if _has_layout(dest):
        folders = [task for path in folders for task in _holding_files(path)]
    return {path.relative_to(dest).as_posix(): read_tree(path) for path in folders}


def _is_of_jobs(dest: Path) -> bool:
    """Whether a destination mirrors jobs, whose folders lie in those of their tasks."""
    identity = dest / ".asynccvat/destination.json"
    return identity.exists() and b'"target":"jobs"' in identity.read_bytes()


def _has_layout(dest: Path) -> bool:
    """Whether the folders of a destination lie below others."""
    identity = dest / ".asynccvat/destination.json"
    return identity.exists() and b'"layout":' in identity.read_bytes()


def _holding_files(folder: Path) -> list[Path]:
    """The folders at and below one that hold exports. Empty ones are waiting for theirs."""
    held = list(folder.iterdir())
    if any(path.is_file() or path.name == "annotations" for path in held):
        return [folder]
    return [task for path in held for task in _holding_files(path)]


def read_receipts(dest: Path) -> dict[int, Receipt]:
    """The receipts as they are."""
    folder = dest / ".asynccvat/receipts"
    return {int(path.stem): decode_receipt(path.read_bytes()) for path in folder.glob("*.json")}


def comparable_receipts(dest: Path) -> dict[int, Receipt]:
    """The receipts without what differs from run to run: times and inodes."""
    return {
        task_id: Receipt(
            msgspec.structs.replace(
                receipt.head, requested_at="", committed_at="", device=0, inode=0
            ),
            tuple(msgspec.structs.replace(member, mtime_ns=0) for member in receipt.members),
        )
        for task_id, receipt in read_receipts(dest).items()
    }


def check_receipts(dest: Path) -> None:
    """Each receipt says of its folder just what is there."""
    for receipt in read_receipts(dest).values():
        folder = dest / receipt.head.folder
        here = {
            path.relative_to(folder).as_posix(): (path.stat().st_size, path.stat().st_mtime_ns)
            for path in folder.rglob("*")
            if path.is_file()
        }
        assert here == {member.path: (member.size, member.mtime_ns) for member in receipt.members}


def check_parts(folders: Version, *allowed: Version) -> None:
    """Every folder is one complete version, of those that the server ever had."""
    for name, tree in folders.items():
        versions = [version[name] for version in allowed if name in version]
        assert tree in versions, f"{name} is no whole version: {sorted(tree)}"


def check_end(dest: Path, reference: Path) -> None:
    """A destination is as one that was never disturbed."""
    assert read_folders(dest) == read_folders(reference)
    assert comparable_receipts(dest) == comparable_receipts(reference)
    check_receipts(dest)
    assert list((dest / ".asynccvat/staging").iterdir()) == []
    assert list((dest / ".asynccvat/kept").iterdir()) == []


def exports_asked(server: ServerProcess, since: int = 0) -> Counter[int]:
    """By task, how often an export was asked for."""
    return Counter(
        call["task_id"]
        for call in server.calls[since:]
        if call["method"] == "POST" and call["path"].endswith("/dataset/export")
    )


def bytes_downloaded(server: ServerProcess, since: int = 0) -> int:
    """How many bytes of archives the server sent."""
    return sum(
        call["bytes_sent"]
        for call in server.calls[since:]
        if call["path"].endswith("/dataset/download")
    )


def chunks_asked(server: ServerProcess, since: int = 0) -> list[int]:
    """The numbers of the chunks of media that were asked for."""
    calls = [call for call in server.calls[since:] if "type=chunk" in call["query"]]
    return [int(call["query"].partition("number=")[2].partition("&")[0]) for call in calls]
