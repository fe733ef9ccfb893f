"""Find the file for each task to upload to, and what receipts say about it.

Most of this works without the server. `core.plans.upload` decides what is uploaded.
"""

from __future__ import annotations

import os
import re
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

import msgspec

from asynccvat.aio.threads import in_thread
from asynccvat.client import CvatClient, internals
from asynccvat.commands.inventory.task_history import read_history
from asynccvat.commands.upload.local_files import AnnotationSource, find_source, is_edited
from asynccvat.core.annotations.importers import JSON_IMPORTER, importer_name
from asynccvat.core.annotations.json_files import ANNOTATIONS, is_own_annotations
from asynccvat.core.format_names import KNOWN_FORMATS, means_json
from asynccvat.core.models import Format
from asynccvat.core.options.upload import UploadOptions
from asynccvat.core.paths import OWN_FOLDER, task_folder_name
from asynccvat.core.plans.upload import UploadCandidate
from asynccvat.core.records.receipts import MemberRecord, ReceiptHead
from asynccvat.core.records.remembered import Remembered
from asynccvat.core.selections.id_lists import required
from asynccvat.core.specs import CVAT, CVAT_JSON, ExportSpec
from asynccvat.core.targets import TargetKind
from asynccvat.errors import AsyncCvatError, ConfigError, StoreError
from asynccvat.store import MirrorStore, ReplacedAnnotations
from asynccvat.store.placement import is_destination


@dataclass(frozen=True, slots=True)
class MirrorLocation:
    """Where the files of an upload are in a mirror.

    Attributes:
        store: The mirror, whose lock is held.
        prefix: The beginning of the files' paths, relative to the task's folder.
        is_earlier: Whether they are an earlier state from the history. The receipt is not theirs.
    """

    store: MirrorStore
    prefix: str = ""
    is_earlier: bool = False

    def records(self, records: Sequence[MemberRecord]) -> tuple[MemberRecord, ...]:
        """Return records of the files with their paths in the task's folder."""
        return tuple(
            msgspec.structs.replace(record, path=self.prefix + record.path) for record in records
        )


@dataclass(frozen=True, slots=True)
class _WantedFile:
    """The file for a task, before it was inspected."""

    task_id: int
    path: Path
    format: str
    named: bool
    head: ReceiptHead | None = None
    mirrored: MirrorLocation | None = None
    replaced: ReplacedAnnotations | None = None
    members: tuple[MemberRecord, ...] | None = None
    problem: AsyncCvatError | None = None


@dataclass(frozen=True, slots=True)
class FoundFile:
    """The files found for a task.

    Attributes:
        candidate: What the plan has to know about them.
        source: The files, None if there are none.
        mirrored: Where they are in a mirror, None if they are in none.
        replaced: Keeps what the upload replaces. None if nothing does.
    """

    candidate: UploadCandidate
    source: AnnotationSource | None
    mirrored: MirrorLocation | None
    replaced: ReplacedAnnotations | None


async def exact_format(client: CvatClient, given: str) -> str:
    """Return the exact name of the format that a text means for imports.

    A name that CVAT is known to have needs no call. Files of the wrong kind are then refused
    before the first call.

    Raises:
        ConfigError: The server has no such importer, or several.
    """
    if means_json(given):
        return CVAT_JSON
    if given in KNOWN_FORMATS or given == importer_name(CVAT):
        return given
    return (await internals(client).importer(given)).name


async def importer_of(client: CvatClient, name: str) -> Format:
    """Return what reads a format: the server's importer, or what stands for CVAT's own JSON.

    Raises:
        ConfigError: The server has no such importer.
    """
    return JSON_IMPORTER if name == CVAT_JSON else await internals(client).importer(name)


class Discovery:
    """Find the files for each task."""

    def __init__(
        self,
        client: CvatClient,
        source: Mapping[int, Path] | Path,
        task_ids: Sequence[int] | None,
        format_name: str | None,
        options: UploadOptions,
        *,
        at: datetime | None = None,
    ) -> None:
        """Prepare to find files. The arguments are those of `UploadRun`."""
        self._client = client
        self._source = source
        self._task_ids = task_ids
        self._format = format_name
        self._options = options
        self._at = at

    @asynccontextmanager
    async def discover(
        self, *, read_only: bool, warn: Callable[[str], None] = lambda _: None
    ) -> AsyncIterator[list[FoundFile]]:
        """Find and inspect the files for each task, and hold the locks of their mirrors.

        Args:
            read_only: Neither lock nor recover mirrors.
            warn: Receives warnings about the mirrors, until their locks are released.

        Returns:
            The files found for each task.

        Raises:
            ConfigError: The folder cannot be read, holds no task's folder, or mirrors another
                server. Or the server has no such importer.
            StoreError: A mirror cannot be used.
        """
        if self._format is not None:
            self._format = await exact_format(self._client, self._format)
        async with AsyncExitStack() as stack:
            mirrors = _Mirrors(self._client, self._options, stack, read_only=read_only)
            stack.callback(mirrors.pass_warnings, warn)
            if isinstance(self._source, Mapping):
                wanted = [
                    await self._pair(task_id, path, mirrors)
                    for task_id, path in self._source.items()
                ]
            elif self._at is not None:
                wanted = await self._earlier(self._source, self._at, mirrors)
            else:
                wanted = await self._in_folder(self._source, mirrors)
            mirrors.pass_warnings(warn)
            wanted = await self._with_place_to_keep(wanted, stack, read_only=read_only)
            wanted = [await _with_members(one, warn) for one in wanted]
            for warning in await in_thread(_edits_that_stay_here, wanted):
                warn(warning)
            yield await in_thread(_inspect_all, wanted, self._options.force)

    async def _with_place_to_keep(
        self, wanted: list[_WantedFile], stack: AsyncExitStack, *, read_only: bool
    ) -> list[_WantedFile]:
        """Add the folder that the user named for what is replaced, or none if nothing is kept."""
        replaced: ReplacedAnnotations | None = None
        if self._options.backup_dir is not None:
            replaced = await stack.enter_async_context(
                ReplacedAnnotations.open(
                    Path(self._options.backup_dir),
                    origin=self._client.origin,
                    durable=self._options.durable,
                    read_only=read_only,
                )
            )
        elif self._options.backup:
            return wanted
        return [replace(one, replaced=replaced) for one in wanted]

    async def _pair(self, task_id: int, path: Path, mirrors: _Mirrors) -> _WantedFile:
        """Return a file that was named for a task. It may be in a mirror of that task."""
        plain = _WantedFile(task_id, path, self._format or ExportSpec().format, named=True)
        root = await in_thread(_mirror_above, path)
        if root is None:
            return plain
        try:
            store, heads = await mirrors.open(root)
        except ConfigError:
            return plain  # the mirror of another server, whose receipts this upload does not change
        plain = replace(plain, replaced=store.replaced)
        if self._format is None:
            plain = replace(plain, format=(await store.settings()).format or plain.format)
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
            mirrored=MirrorLocation(store, prefix),
        )

    async def _earlier(
        self, folder: Path, moment: datetime, mirrors: _Mirrors
    ) -> list[_WantedFile]:
        """Return the annotations that tasks of a mirror had at a moment."""
        if not await in_thread(is_destination, folder):
            raise ConfigError(
                f"{str(folder)!r} is no mirror, so no earlier annotations are kept. Name the "
                "folder of a mirror that has --format json and --history."
            )
        store, heads = await mirrors.open(folder)
        named = required(self._task_ids or ())
        wanted = []
        for task_id in dict.fromkeys(self._task_ids or ()):
            if task_id not in named and task_id not in heads:
                continue
            one = _WantedFile(
                task_id,
                folder,
                CVAT_JSON,
                named=True,
                head=heads.get(task_id),
                mirrored=MirrorLocation(store, is_earlier=True),
                replaced=store.replaced,
            )
            try:
                history = await read_history(store, task_id, heads)
                path = history.file(history.at(moment), ANNOTATIONS)
            except (ConfigError, StoreError) as error:
                wanted.append(replace(one, problem=error))
            else:
                assert path is not None, "a state has annotations"
                wanted.append(replace(one, path=path))
        return wanted

    async def _in_folder(self, folder: Path, mirrors: _Mirrors) -> list[_WantedFile]:
        names = await in_thread(_folders_in, folder)
        heads: dict[int, ReceiptHead] = {}
        store: MirrorStore | None = None
        remembered = Remembered()
        if await in_thread(is_destination, folder):
            store, heads = await mirrors.open(folder)
            remembered = await store.settings()
        prefix = self._options.folder_prefix
        if prefix is None:
            known = remembered.folder_prefix
            prefix = self._options.prefix if known is None else known
        format_name = self._format or remembered.format or ExportSpec().format
        ids: Iterable[int]
        if self._task_ids is not None:
            named = required(self._task_ids)
            there = {*heads, *_ids_of(names, prefix)}
            ids = [one for one in dict.fromkeys(self._task_ids) if one in named or one in there]
        else:
            # With a layout, only receipts tell the folders.
            unrecorded = () if remembered.layout is not None else _ids_of(names, prefix)
            ids = sorted({*heads, *unrecorded})
            if not ids:
                raise ConfigError(
                    f"cannot upload from {str(folder)!r}: it holds no task's folder, like "
                    f"{task_folder_name(prefix, 147)!r}. Name the folder of a mirror or download."
                )
        wanted = []
        for task_id in ids:
            head = heads.get(task_id)
            one = _WantedFile(
                task_id,
                folder / task_folder_name(prefix, task_id),
                format_name,
                named=self._task_ids is not None,
                replaced=None if store is None else store.replaced,
            )
            if head is not None and store is not None:
                one = replace(
                    one,
                    path=folder / head.folder,
                    format=self._format or head.format,
                    head=head,
                    mirrored=MirrorLocation(store),
                )
            wanted.append(one)
        return wanted


class _Mirrors:
    """The mirrors that files are in. Each is opened once, and its lock is held to the end."""

    def __init__(
        self,
        client: CvatClient,
        options: UploadOptions,
        stack: AsyncExitStack,
        *,
        read_only: bool,
    ) -> None:
        self._client = client
        self._options = options
        self._stack = stack
        self._read_only = read_only
        self._open: dict[Path, tuple[MirrorStore, dict[int, ReceiptHead]] | ConfigError] = {}

    def pass_warnings(self, warn: Callable[[str], None]) -> None:
        """Pass the mirrors' new warnings on."""
        for mirror in self._open.values():
            if isinstance(mirror, tuple):
                for warning in mirror[0].new_warnings():
                    warn(warning)

    async def open(self, root: Path) -> tuple[MirrorStore, dict[int, ReceiptHead]]:
        """Return the mirror at a path, and the heads of its receipts."""
        if root not in self._open:
            try:
                store = await self._stack.enter_async_context(
                    MirrorStore.open(
                        root,
                        origin=self._client.origin,
                        organization=self._client.organization,
                        durable=self._options.durable,
                        break_lock=self._options.break_lock,
                        read_only=self._read_only,
                    )
                )
                heads = await store.receipts()
                _refuse_other_targets(root, heads.values())
                self._open[root] = store, heads
            except ConfigError as error:
                self._open[root] = error
        mirror = self._open[root]
        if isinstance(mirror, ConfigError):
            raise mirror
        return mirror


def _refuse_other_targets(root: Path, heads: Iterable[ReceiptHead]) -> None:
    """Refuse a mirror of projects or jobs, whose ids are not those of tasks.

    Raises:
        ConfigError: It is one.
    """
    for head in heads:
        if head.target is not TargetKind.TASK:
            raise ConfigError(
                f"cannot upload from {str(root)!r}: it mirrors {head.target.plural}, and uploads "
                "go to tasks. Name a file and its task instead, or mirror the tasks."
            )


async def _with_members(wanted: _WantedFile, warn: Callable[[str], None]) -> _WantedFile:
    """Add the receipt's records of the files. A damaged receipt is ignored with a warning.

    Raises:
        StoreError: The receipt cannot be read now, and may be whole.
    """
    if wanted.mirrored is None or wanted.mirrored.is_earlier:
        return wanted
    try:
        members = await wanted.mirrored.store.members(wanted.task_id)
    except StoreError as error:
        if isinstance(error.__cause__, OSError):
            raise
        warn(
            f"{str(error).rstrip('.')}. The upload to task {wanted.task_id} is not noted in its "
            "receipt."
        )
        return replace(wanted, head=None, mirrored=None)
    prefix = wanted.mirrored.prefix
    return replace(
        wanted,
        members=tuple(
            msgspec.structs.replace(
                member,
                path=member.path.removeprefix(prefix),
                mapped_from=member.original.removeprefix(prefix) if member.mapped_from else None,
            )
            for member in members
            if member.path.startswith(prefix)
        ),
    )


def _edits_that_stay_here(wanted: Iterable[_WantedFile]) -> list[str]:
    """Return a warning for each edited file of a ground truth job or a consensus replica."""
    return [
        f"the edits of {str(one.path / member.path)!r} are not uploaded: annotations of ground "
        "truth jobs and consensus replicas do not go back. Make these changes in CVAT."
        for one in wanted
        if one.format == CVAT_JSON
        for member in one.members or ()
        if is_own_annotations(member.path) and _differs(one.path / member.path, member)
    ]


def _differs(path: Path, member: MemberRecord) -> bool:
    try:
        status = path.stat()
    except OSError:
        return False  # a file that is gone holds no edits
    return (status.st_size, status.st_mtime_ns) != (member.size, member.mtime_ns)


def _inspect_all(wanted: Sequence[_WantedFile], force: bool) -> list[FoundFile]:
    """Inspect the files. Those that will be skipped are not read."""
    return [_inspect(one, force) for one in wanted]


def _inspect(wanted: _WantedFile, force: bool) -> FoundFile:
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
        if wanted.problem is not None:
            raise wanted.problem
        source = find_source(wanted.path, wanted.format, _originals(wanted.members or ()))
        candidate = replace(candidate, path=source.shown)
        if wanted.members is not None:
            candidate = replace(candidate, edited=is_edited(source, wanted.members))
        if not candidate.may_be_skipped(force=force):
            source = source.inspected()
    except AsyncCvatError as error:
        error.task_id = wanted.task_id
        candidate = replace(candidate, problem=error)
    return FoundFile(candidate, source, wanted.mirrored, wanted.replaced)


def _originals(members: Iterable[MemberRecord]) -> dict[str, str]:
    return {member.path: member.original for member in members if member.mapped_from is not None}


def _mirror_above(path: Path) -> Path | None:
    """Return the folder of the mirror that a path is in, None if it is in none."""
    absolute = Path(os.path.normpath(path.absolute()))
    for parent in absolute.parents:
        if (parent / OWN_FOLDER / "receipts").is_dir():
            return parent
    return None


def _prefix_below(path: Path, folder: Path) -> str | None:
    """Return the part of a path below a task's folder. None if the path is elsewhere."""
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
            f"cannot read {str(folder)!r}: {error.strerror}. Name the folder that holds the tasks' "
            "folders."
        ) from error


def _ids_of(names: Iterable[str], prefix: str) -> list[int]:
    pattern = re.compile(re.escape(prefix) + r"([1-9]\d{0,17})", re.ASCII)
    return [int(found[1]) for name in names if (found := pattern.fullmatch(name)) is not None]
