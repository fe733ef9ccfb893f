"""What lies here to be uploaded: which file is meant for which task, and what receipts say of it.

Everything that can be known without the server. What is then done with it is decided in
`core.plans.upload`.
"""

from __future__ import annotations

import os
import re
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec

from asynccvat.aio.threads import in_thread
from asynccvat.client import CvatClient
from asynccvat.commands.upload.local_files import Source, find, is_edited
from asynccvat.core.importers import importer_name
from asynccvat.core.models import ExportSpec
from asynccvat.core.options import UploadOptions
from asynccvat.core.paths import OWN_FOLDER, task_folder_name
from asynccvat.core.plans.upload import UploadCandidate
from asynccvat.core.receipts import MemberRecord, ReceiptHead
from asynccvat.errors import AsyncCvatError, ConfigError, StoreError
from asynccvat.store import MirrorStore


@dataclass(frozen=True, slots=True)
class Mirrored:
    """The place of a source in a mirror.

    Attributes:
        store: The mirror, which is held by its lock.
        prefix: What the paths of the source's files begin with, relative to the task's folder.
    """

    store: MirrorStore
    prefix: str = ""

    def records(self, records: Sequence[MemberRecord]) -> tuple[MemberRecord, ...]:
        """Records of a source's files as those of the task's folder."""
        return tuple(
            msgspec.structs.replace(record, path=self.prefix + record.path) for record in records
        )


@dataclass(frozen=True, slots=True)
class _WantedFile:
    """What is meant for a task, before anybody looked at it."""

    task_id: int
    path: Path
    format: str
    named: bool
    head: ReceiptHead | None = None
    mirrored: Mirrored | None = None
    members: tuple[MemberRecord, ...] | None = None


@dataclass(frozen=True, slots=True)
class FoundFile:
    """What lies there for a task.

    Attributes:
        candidate: What the plan has to know of it.
        source: Its files, None where there are none.
        mirrored: The mirror that they lie in, None where they lie in none.
    """

    candidate: UploadCandidate
    source: Source | None
    mirrored: Mirrored | None


class Discovery:
    """Finds what is meant for each task."""

    def __init__(
        self,
        client: CvatClient,
        source: Mapping[int, Path] | Path,
        task_ids: Sequence[int] | None,
        format_name: str | None,
        options: UploadOptions,
    ) -> None:
        """Gather what is to be uploaded; the arguments are those of `UploadRun`."""
        self._client = client
        self._source = source
        self._task_ids = task_ids
        self._format = format_name
        self._options = options

    @asynccontextmanager
    async def found(
        self, *, read_only: bool, warn: Callable[[str], None] = lambda _: None
    ) -> AsyncIterator[list[FoundFile]]:
        """Look at what is meant for each task, and hold the mirrors that it lies in.

        Args:
            read_only: Only look: nothing is locked or put right there.
            warn: Told what the user ought to know about the mirrors, until they are given up.

        Returns:
            What was found for each task.

        Raises:
            ConfigError: The folder cannot be read, holds no task's folder, or mirrors another
                server.
            StoreError: A mirror cannot be used.
        """
        async with AsyncExitStack() as held:
            mirrors = _Mirrors(self._client, self._options, held, read_only=read_only)
            held.callback(mirrors.tell, warn)
            if isinstance(self._source, Mapping):
                wanted = [
                    await self._pair(task_id, path, mirrors)
                    for task_id, path in self._source.items()
                ]
            else:
                wanted = await self._in_folder(self._source, mirrors)
            mirrors.tell(warn)
            wanted = [await _with_members(one, warn) for one in wanted]
            yield await in_thread(_look, wanted, self._options.force)

    async def _pair(self, task_id: int, path: Path, mirrors: _Mirrors) -> _WantedFile:
        """A file that was named for a task; perhaps it is that of the task's own mirror."""
        plain = _WantedFile(task_id, path, self._format or ExportSpec().format, named=True)
        root = await in_thread(_mirror_above, path)
        if root is None:
            return plain
        try:
            store, heads = await mirrors.open(root)
        except ConfigError:
            return plain  # the mirror of another server: nothing of this upload concerns it
        head = heads.get(task_id)
        if head is None:
            return plain
        prefix = await in_thread(_prefix_below, path, root / head.folder)
        if prefix is None:
            return plain
        return replace(
            plain,
            format=self._format or head.format,
            head=head,
            mirrored=Mirrored(store, prefix),
        )

    async def _in_folder(self, folder: Path, mirrors: _Mirrors) -> list[_WantedFile]:
        prefix = self._options.folder_prefix
        names = await in_thread(_folders_in, folder)
        heads: dict[int, ReceiptHead] = {}
        store: MirrorStore | None = None
        if OWN_FOLDER in names:
            store, heads = await mirrors.open(folder)
        ids: Iterable[int]
        if self._task_ids is not None:
            ids = dict.fromkeys(self._task_ids)
        else:
            ids = sorted({*heads, *_ids_of(names, prefix)})
            if not ids:
                raise ConfigError(
                    f"{folder} holds no task's folder, like {task_folder_name(prefix, 147)}: name "
                    "the folder that a mirror or a download filled"
                )
        wanted = []
        for task_id in ids:
            head = heads.get(task_id)
            one = _WantedFile(
                task_id,
                folder / task_folder_name(prefix, task_id),
                self._format or ExportSpec().format,
                named=self._task_ids is not None,
            )
            if head is not None and store is not None:
                one = replace(
                    one,
                    path=folder / head.folder,
                    format=self._format or head.format,
                    head=head,
                    mirrored=Mirrored(store),
                )
            wanted.append(one)
        return wanted


class _Mirrors:
    """The mirrors that files lie in, each opened once and held to the end."""

    def __init__(
        self,
        client: CvatClient,
        options: UploadOptions,
        held: AsyncExitStack,
        *,
        read_only: bool,
    ) -> None:
        self._client = client
        self._options = options
        self._held = held
        self._read_only = read_only
        self._open: dict[Path, tuple[MirrorStore, dict[int, ReceiptHead]] | ConfigError] = {}

    def tell(self, warn: Callable[[str], None]) -> None:
        """Tell what there is to warn of that was not told before."""
        for mirror in self._open.values():
            if isinstance(mirror, tuple):
                for warning in mirror[0].new_warnings():
                    warn(warning)

    async def open(self, root: Path) -> tuple[MirrorStore, dict[int, ReceiptHead]]:
        """The mirror at a place, and the heads of its receipts."""
        if root not in self._open:
            try:
                store = await self._held.enter_async_context(
                    MirrorStore.open(
                        root,
                        origin=self._client.origin,
                        organization=self._client.organization,
                        durable=self._options.durable,
                        break_lock=self._options.break_lock,
                        read_only=self._read_only,
                    )
                )
                self._open[root] = store, await store.receipts()
            except ConfigError as error:
                self._open[root] = error
        mirror = self._open[root]
        if isinstance(mirror, ConfigError):
            raise mirror
        return mirror


async def _with_members(wanted: _WantedFile, warn: Callable[[str], None]) -> _WantedFile:
    """The same with what the receipt says of the source's files; a damaged one says nothing.

    Raises:
        StoreError: It cannot be read now, and may well be whole.
    """
    if wanted.mirrored is None:
        return wanted
    try:
        members = await wanted.mirrored.store.members(wanted.task_id)
    except StoreError as error:
        if isinstance(error.__cause__, OSError):
            raise
        warn(f"{error}; what is uploaded to task {wanted.task_id} is not noted in its receipt")
        return replace(wanted, head=None, mirrored=None)
    prefix = wanted.mirrored.prefix
    return replace(
        wanted,
        members=tuple(
            msgspec.structs.replace(member, path=member.path.removeprefix(prefix))
            for member in members
            if member.path.startswith(prefix)
        ),
    )


def _look(wanted: Sequence[_WantedFile], force: bool) -> list[FoundFile]:
    """Look at the files; those that will be skipped are not read."""
    return [_look_at(one, force) for one in wanted]


def _look_at(wanted: _WantedFile, force: bool) -> FoundFile:
    candidate = UploadCandidate(
        task_id=wanted.task_id,
        name="" if wanted.head is None else wanted.head.task_name,
        path=wanted.path,
        importer=importer_name(wanted.format),
        named=wanted.named,
        mirrored_date=None if wanted.head is None else wanted.head.updated_date,
    )
    source = None
    try:
        source = find(wanted.path, wanted.format)
        candidate = replace(candidate, path=source.shown)
        if wanted.members is not None:
            candidate = replace(candidate, edited=is_edited(source, wanted.members))
        if not candidate.may_be_skipped(force=force):
            source = source.looked_at()
    except AsyncCvatError as error:
        error.task_id = wanted.task_id
        return FoundFile(replace(candidate, problem=error), source, wanted.mirrored)
    return FoundFile(candidate, source, wanted.mirrored)


def _mirror_above(path: Path) -> Path | None:
    """The mirror that a path lies in, None where it lies in none."""
    absolute = Path(os.path.normpath(path.absolute()))
    for parent in absolute.parents:
        if (parent / OWN_FOLDER / "receipts").is_dir():
            return parent
    return None


def _prefix_below(path: Path, folder: Path) -> str | None:
    """What precedes, in a task's folder, the paths of a source; None where it lies elsewhere."""
    below = Path(os.path.relpath(path.absolute(), folder.absolute()))
    if ".." in below.parts:
        return None
    parent = below if path.is_dir() else below.parent
    return "" if parent == Path() else f"{parent.as_posix()}/"


def _folders_in(folder: Path) -> list[str]:
    try:
        with os.scandir(folder) as entries:
            return [entry.name for entry in entries if entry.is_dir()]
    except OSError as error:
        raise ConfigError(
            f"{folder} cannot be read ({error.strerror}): name the folder that holds the tasks' "
            "folders"
        ) from error


def _ids_of(names: Iterable[str], prefix: str) -> list[int]:
    pattern = re.compile(re.escape(prefix) + r"([1-9]\d{0,17})", re.ASCII)
    return [int(found[1]) for name in names if (found := pattern.fullmatch(name)) is not None]
