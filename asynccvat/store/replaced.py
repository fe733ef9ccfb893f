"""Keep the annotations that uploads replace: `.asynccvat/replaced/`, or the folder of --backup-dir.

A state under its final name is whole and durable, and only then an import may start. The newest
ten of a task stay, and besides these every state that our own last upload did not leave.
`core.records.replaced` decides about names and states.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from pathlib import Path
from typing import Self

import msgspec

from asynccvat.aio.threads import in_thread
from asynccvat.core.decoding import UNREADABLE
from asynccvat.core.paths import OWN_FOLDER
from asynccvat.core.records.replaced import (
    REPLACED_VERSION,
    LastUpload,
    ReplacedState,
    content_digest,
    decode_last_upload,
    encode_last_upload,
    next_state,
    replaced_states,
    superfluous,
)
from asynccvat.core.records.upload_intents import (
    UploadIntent,
    decode_intent,
    encode_intent,
    next_intent,
)
from asynccvat.errors import ConfigError, StoreError
from asynccvat.fs import disk_errors, files
from asynccvat.store.disk_threads import DiskThreads
from asynccvat.store.layout import NOT_THERE, Layout, write_file
from asynccvat.store.opening import make_folders, sync_above
from asynccvat.store.placement import is_destination

REPLACED = "replaced"
_SERVER = "server.json"
_THREADS = 4

OpenFolder = Callable[[bool], AbstractContextManager[int | None]]
"""Opens the folder, and makes it if told to. Gives None if it does not exist."""


class ReplacedAnnotations:
    """The annotations that uploads replaced in the tasks of one server.

    Attributes:
        path: The folder that holds them.
        named: How the user names that folder to `--undo`: as a mirror, or as a backup folder.
    """

    def __init__(
        self,
        path: Path,
        open_folder: OpenFolder,
        *,
        named: tuple[str, Path],
        sync: Callable[[int], None],
        durable: bool,
    ) -> None:
        """Prepare to keep states. The first one makes the folder.

        Args:
            path: The folder, for messages.
            open_folder: Opens it.
            named: The option that names it for `--undo`, and its value.
            sync: Syncs the entries of an open folder, or a file, if anything is synced.
            durable: Whether anything is synced.
        """
        self.path = path
        self.named = named
        self._open = open_folder
        self._sync = sync
        self._durable = durable
        self._threads = DiskThreads(path, _THREADS)

    @classmethod
    def of_mirror(cls, layout: Layout, verify_lock: Callable[[], None]) -> Self:
        """Keep states in a mirror's own folder.

        Args:
            layout: The mirror.
            verify_lock: Raises if its lock is no longer ours.
        """

        @contextlib.contextmanager
        def open_folder(create: bool) -> Iterator[int | None]:
            if create:
                verify_lock()
            there = layout.own != NOT_THERE and files.lstat(REPLACED, dir_fd=layout.own) is not None
            if not there and not create:
                yield None
                return
            if create:
                if not there:
                    # Another thread may make it at the same time, for another task.
                    with contextlib.suppress(FileExistsError):
                        files.mkdir(REPLACED, dir_fd=layout.own)
                layout.sync_folder(layout.own)
            with files.folder(REPLACED, dir_fd=layout.own) as fd:
                yield fd

        return cls(
            layout.path / OWN_FOLDER / REPLACED,
            open_folder,
            named=("-i", layout.path),
            sync=layout.sync_folder,
            durable=layout.durable,
        )

    @classmethod
    @contextlib.asynccontextmanager
    async def open(
        cls, path: Path, *, origin: str, durable: bool = True, read_only: bool = False
    ) -> AsyncIterator[Self]:
        """Keep states in a folder that the user named.

        Args:
            path: The folder. It is made if it is missing.
            origin: Scheme, host and port of the server.
            durable: Sync each state to disk.
            read_only: Change nothing.

        Raises:
            ConfigError: It holds states of another server's tasks, it lies in a mirror, or this is
                Windows.
            StoreError: It cannot be made, read or written.
        """
        if sys.platform == "win32":
            raise ConfigError(
                "keeping annotations needs Linux or macOS. On Windows, run it under WSL (the "
                "Windows Subsystem for Linux), or give --no-backup."
            )
        fds: list[int] = []

        def opening() -> None:
            with disk_errors.explained("use", path):
                _check_place(path)
                if not read_only:
                    make_folders(path, durable=False)
                    if durable:
                        sync_above(path)
                with contextlib.suppress(FileNotFoundError):
                    fds.append(files.open_directory(path))
                    _check_server(fds[0], path, origin, durable=durable, create=not read_only)

        @contextlib.contextmanager
        def open_folder(create: bool) -> Iterator[int | None]:
            del create
            yield fds[0] if fds else None

        try:
            await in_thread(opening)
            yield cls(
                path,
                open_folder,
                named=("--backup-dir", path),
                sync=files.fsync if durable else lambda _fd: None,
                durable=durable,
            )
        finally:
            for fd in fds:
                os.close(fd)

    def command(
        self, *task_ids: int, overwrite: bool = False, state: ReplacedState | None = None
    ) -> str:
        """Return the command that puts back what tasks held: the newest states, or a given one."""
        option, path = self.named
        which = f"-t {','.join(map(str, task_ids))}"
        if state is not None:
            which = f"--pair {state.task_id}={state.name}"
        more = " --overwrite" if overwrite else ""
        return f"asynccvat upload --undo {which} {option} {shlex.quote(str(path))}{more}"

    async def keep(self, task_id: int, raw: bytes) -> ReplacedState:
        """Keep a task's annotations. They are whole and durable when this returns.

        Returns:
            The kept state: the newest one, if that holds the same annotations already.

        Raises:
            StoreLockedError: Another process took over the mirror's lock.
            DiskFullError: There is no room.
            StoreError: They cannot be written.
        """
        return await self._threads.run("keep annotations in", self._keep, task_id, raw)

    async def states(self, task_id: int) -> tuple[ReplacedState, ...]:
        """Return the kept states of a task, the newest first.

        Raises:
            StoreError: The folder cannot be read.
        """
        return await self._threads.run("read", self._states, task_id)

    async def read(self, state: ReplacedState) -> bytes:
        """Read a kept state.

        Raises:
            StoreError: It is gone, or cannot be read.
        """
        return await self._threads.run("read", self._read, state)

    async def last_upload(self, task_id: int) -> LastUpload | None:
        """Return what the last upload to a task left there. None if that is unknown.

        Raises:
            StoreError: It cannot be read.
        """
        return await self._threads.run("read", self._last_upload, task_id)

    async def note_upload(self, task_id: int, raw: bytes | None) -> None:
        """Note what an upload left in a task, or that it is unknown.

        Raises:
            StoreLockedError: Another process took over the mirror's lock.
            StoreError: It cannot be written.
        """
        await self._threads.run("write to", self._note_upload, task_id, raw)

    async def intent(self, task_id: int) -> UploadIntent | None:
        """Return the imports that were requested of a mirrored task. None if none were.

        Raises:
            StoreError: They cannot be read.
        """

        def read() -> UploadIntent | None:
            with self._open(False) as fd:
                name = _intent_name(task_id)
                return None if fd is None else decode_intent(files.read_file(name, dir_fd=fd))

        return await self._threads.run("read", read)

    async def note_intent(self, task_id: int, mirrored_date: str, server_date: datetime) -> None:
        """Note that an import is about to be requested.

        Raises:
            StoreLockedError: Another process took over the mirror's lock.
            StoreError: It cannot be written.
        """

        def note() -> None:
            name = _intent_name(task_id)
            with self._open(True) as fd:
                assert fd is not None, "the folder was made"
                known = decode_intent(files.read_file(name, dir_fd=fd))
                content = encode_intent(next_intent(known, mirrored_date, server_date))
                # It is not synced. If it is lost, the next upload refuses what it might permit.
                write_file(name, content, dir_fd=fd, durable=False)

        await self._threads.run("write to", note)

    def _keep(self, task_id: int, raw: bytes) -> ReplacedState:
        digest = content_digest(raw)
        with self._open(True) as fd:
            assert fd is not None, "the folder was made"
            names = files.names(fd)
            states = replaced_states(names, task_id)
            newest = states[0] if states else None
            if newest is not None and self._holds(newest, digest, fd):
                return newest
            last = _read_last_upload(task_id, fd)
            own = last is not None and last.digest == digest
            state = next_state(states, task_id, now=datetime.now(UTC), own=own)
            _remove_unfinished(names, task_id, fd)
            write_file(state.name, raw, dir_fd=fd, durable=self._durable)
            self._sync(fd)
            for old in superfluous((state, *states)):
                files.unlink(old.name, dir_fd=fd)
            return state

    def _holds(self, state: ReplacedState, digest: str, fd: int) -> bool:
        """Whether a state holds these annotations. If so, make sure that it is durable.

        The process that wrote it may have been killed before it synced the folder, or ran without
        syncing at all.
        """
        content = files.read_file(state.name, dir_fd=fd)
        try:
            if content is None or content_digest(content) != digest:
                return False
        except StoreError:
            return False
        file = files.open_for_reading(state.name, dir_fd=fd)
        try:
            self._sync(file)
        finally:
            os.close(file)
        self._sync(fd)
        return True

    def _states(self, task_id: int) -> tuple[ReplacedState, ...]:
        with self._open(False) as fd:
            return () if fd is None else replaced_states(files.names(fd), task_id)

    def _read(self, state: ReplacedState) -> bytes:
        with self._open(False) as fd:
            content = None if fd is None else files.read_file(state.name, dir_fd=fd)
        if content is None:
            raise StoreError(
                f"cannot read {str(self.path / state.name)!r}: it is gone. Look which states are "
                "left.",
                task_id=state.task_id,
                step="store",
            )
        return content

    def _last_upload(self, task_id: int) -> LastUpload | None:
        with self._open(False) as fd:
            return None if fd is None else _read_last_upload(task_id, fd)

    def _note_upload(self, task_id: int, raw: bytes | None) -> None:
        name = _last_upload_name(task_id)
        with self._open(True) as fd:
            assert fd is not None, "the folder was made"
            if raw is None:
                if files.lstat(name, dir_fd=fd) is not None:
                    files.unlink(name, dir_fd=fd)
            else:
                at = datetime.now(UTC).isoformat(timespec="milliseconds")
                content = encode_last_upload(LastUpload(digest=content_digest(raw), at=at))
                write_file(name, content, dir_fd=fd, durable=self._durable)
            self._sync(fd)


def _last_upload_name(task_id: int) -> str:
    return f"{task_id}.last-upload.json"


def _intent_name(task_id: int) -> str:
    return f"{task_id}.intent.json"


def _read_last_upload(task_id: int, fd: int) -> LastUpload | None:
    return decode_last_upload(files.read_file(_last_upload_name(task_id), dir_fd=fd))


def _remove_unfinished(names: list[str], task_id: int, fd: int) -> None:
    """Remove what killed runs left of a task's states."""
    for name in names:
        whole = name.removesuffix(".part")
        if whole != name and replaced_states([whole], task_id):
            files.unlink(name, dir_fd=fd)


class _Server(msgspec.Struct, frozen=True, kw_only=True):
    """The server whose annotations a folder holds, as ids mean nothing without it."""

    version: int = REPLACED_VERSION
    origin: str


class _Version(msgspec.Struct):
    version: int = REPLACED_VERSION


def _check_place(path: Path) -> None:
    """Refuse a folder in a destination, where --undo looks only into the mirror's own states.

    In a task's folder, a later upload would even pack the states as the task's annotations.

    Raises:
        ConfigError: It lies in a destination of a mirror or of backups, or is one.
        OSError: As the system says.
    """
    place = path.resolve()
    for folder in (place, *place.parents):
        if is_destination(folder):
            raise ConfigError(
                f"cannot keep annotations in {str(path)!r}: it lies in {str(folder)!r}, which "
                "holds a mirror or backups. Name a folder outside of it with --backup-dir; for "
                "files of the mirror, remove --backup-dir."
            )


def _check_server(fd: int, path: Path, origin: str, *, durable: bool, create: bool) -> None:
    """Refuse a folder that holds annotations of another server.

    Raises:
        ConfigError: It does, or a newer asynccvat wrote it, or its `server.json` is damaged.
    """
    content = files.read_file(_SERVER, dir_fd=fd)
    if content is None:
        if create:
            encoded = msgspec.json.encode(_Server(origin=origin)) + b"\n"
            write_file(_SERVER, encoded, dir_fd=fd, durable=durable)
            if durable:
                files.fsync(fd)
        return
    try:
        version = msgspec.json.decode(content, type=_Version).version
        found = None if version > REPLACED_VERSION else msgspec.json.decode(content, type=_Server)
    except UNREADABLE as error:
        raise ConfigError(
            f"cannot keep annotations in {str(path)!r}: its {_SERVER} is damaged ({error}). Name "
            "another "
            "folder with --backup-dir."
        ) from error
    if found is None:
        raise ConfigError(
            f"cannot keep annotations in {str(path)!r}: a newer asynccvat wrote it. Upgrade "
            "asynccvat, or "
            "name another folder with --backup-dir."
        )
    if found.origin != origin:
        raise ConfigError(
            f"cannot keep annotations in {str(path)!r}: it holds those of {found.origin}, not of "
            f"{origin}. Name another folder with --backup-dir: each server needs one of its own."
        )
