"""Find the backups to restore: in a destination of `backup`, or in a single zip.

`commands.restore.zip_files` reads them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from asynccvat.aio.list_warnings import warn
from asynccvat.aio.threads import in_thread
from asynccvat.core.paths import OWN_FOLDER
from asynccvat.core.records.backups import (
    BackupCondition,
    StoredBackup,
    is_stamp,
    moment_of,
    stamp_of,
    target_of,
)
from asynccvat.core.selections.id_lists import in_words, required
from asynccvat.core.targets import TargetKind
from asynccvat.core.texts import first_few
from asynccvat.errors import BackupFileError, ConfigError
from asynccvat.store import BackupStore


@dataclass(frozen=True, slots=True, kw_only=True)
class BackupChoice:
    """Which backups of a destination to restore.

    Attributes:
        kind: Backups of tasks, or of projects.
        ids: The tasks or projects. None takes all.
        at: The newest backup that was requested at this moment or before, ISO 8601. None takes the
            newest of all.
    """

    kind: TargetKind = TargetKind.TASK
    ids: Sequence[int] | None = None
    at: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class BackupSource:
    """A backup to restore.

    Attributes:
        key: What the journal calls it: its path, relative to the folder of backups.
        path: The file.
        target_id: The id that it had when it was backed up, 0 if nothing tells.
        name: Its name then, "" if nothing tells.
        size: Bytes of the file as its receipt has them, None if there is none.
        problem: Why it cannot be restored, None if nothing is known against it.
        older: The paths of the whole backups before it, the newest first.
        kind: What it is a backup of.
        origin: Scheme, host and port of the server that made it, "" if nothing tells.
    """

    key: str
    path: Path
    target_id: int = 0
    name: str = ""
    size: int | None = None
    problem: BackupFileError | None = None
    older: tuple[Path, ...] = ()
    kind: TargetKind = TargetKind.TASK
    origin: str = ""


@dataclass(frozen=True, slots=True)
class BackupSources:
    """The backups to restore.

    Attributes:
        root: The folder next to which the journal is kept.
        sources: The backups.
        is_destination: Whether the folder is a destination of backups.
    """

    root: Path
    sources: tuple[BackupSource, ...]
    is_destination: bool = True


async def find_sources(source: Path, choice: BackupChoice) -> BackupSources:
    """Find the backups to restore.

    Args:
        source: A destination of backups, or one zip.
        choice: Which of a destination.

    Raises:
        ConfigError: There are none, or `source` is neither.
        StoreError: The receipts cannot be read.
    """
    if await in_thread(source.is_file):
        found = await in_thread(_single, source, choice)
        return await _with_receipt(found) if found.is_destination else found
    if not await in_thread((source / OWN_FOLDER).is_dir):
        there = await in_thread(source.exists)
        why = "asynccvat made no backups there" if there else "there is no such file or folder"
        raise ConfigError(
            f"cannot restore from {str(source)!r}: {why}. Name the folder of `asynccvat backup`, "
            "or the zip of one backup."
        )
    async with BackupStore.open(source, read_only=True) as store:
        backups = await store.list()
        for warning in store.new_warnings():
            warn(warning)
    return BackupSources(source, _chosen(source, backups, choice))


def _single(source: Path, choice: BackupChoice) -> BackupSources:
    if choice.ids is not None or choice.at is not None:
        raise ConfigError(
            f"{str(source)!r} is the zip of one backup. Name the folder of the backups to choose "
            "among them."
        )
    folder = source.absolute().parent
    target = target_of(folder.name)
    if target is not None and is_stamp(source.stem) and (folder.parent / OWN_FOLDER).is_dir():
        key = f"{folder.name}/{source.name}"
        one = BackupSource(key=key, path=source, target_id=target[1], kind=target[0])
        return BackupSources(folder.parent, (one,))
    lone = BackupSource(key=source.name, path=source)
    return BackupSources(folder, (lone,), is_destination=False)


async def _with_receipt(found: BackupSources) -> BackupSources:
    """Add what the receipt of a single zip says, and warn if it lacks media."""
    (one,) = found.sources
    async with BackupStore.open(found.root, read_only=True) as store:
        backups = await store.list()
    receipt = next((each.receipt for each in backups if each.receipt.file == one.key), None)
    if receipt is None:
        return found
    if receipt.lightweight:
        warn(
            f"{str(one.path)!r} is a lightweight backup: it lacks the media that lie in a bucket. "
            "What is restored needs that bucket."
        )
    return replace(found, sources=(replace(one, origin=receipt.origin),))


def _chosen(
    source: Path, backups: Iterable[StoredBackup], choice: BackupChoice
) -> tuple[BackupSource, ...]:
    """Return the newest whole backup of each target, or why there is none."""
    by_id: dict[int, list[StoredBackup]] = {}
    others = 0
    for one in backups:
        if one.receipt.target is choice.kind:
            by_id.setdefault(one.receipt.id, []).append(one)
        else:
            others += 1
    kind = choice.kind
    if choice.ids is not None:
        named = required(choice.ids)
        unknown = sorted(named - by_id.keys())
        if unknown:
            raise ConfigError(
                f"{str(source)!r} holds no backup of {kind} {first_few(unknown)}. `asynccvat "
                "backups` lists what it holds."
            )
        by_id = {one: by_id[one] for one in dict.fromkeys(choice.ids) if one in by_id}
    if not by_id and choice.ids:
        raise ConfigError(
            f"{str(source)!r} holds no backup of {kind}s {first_few(list(in_words(choice.ids)))}. "
            "`asynccvat backups` lists what it holds."
        )
    if not by_id:
        other = TargetKind.PROJECT if kind is TargetKind.TASK else TargetKind.TASK
        hint = f" It holds those of {other}s: give --projects." if others else ""
        hint = (
            " It holds those of tasks: remove --projects." if others and other == "task" else hint
        )
        raise ConfigError(f"{str(source)!r} holds no backups of {kind}s.{hint}")
    last = None if choice.at is None else stamp_of(choice.at)
    return tuple(_newest(source, kind, number, found, last) for number, found in by_id.items())


def _newest(
    source: Path,
    kind: TargetKind,
    target_id: int,
    found: Sequence[StoredBackup],
    last: str | None,
) -> BackupSource:
    """Return the newest whole backup, even if its file is missing."""
    in_time = [one for one in found if last is None or one.receipt.stamp <= last]
    whole = [one for one in in_time if not one.receipt.lightweight]
    newest = whole[-1] if whole else in_time[-1] if in_time else found[0]
    receipt, why = newest.receipt, None
    then = "Restore another backup, or make a new one."
    if last is not None and not in_time:
        why = f"it has no backup from {moment_of(last)} or before; its oldest is {receipt.file!r}"
        then = "Give a later --at."
    elif not whole:
        why = "it has lightweight backups alone, which lack the media that lie in a bucket"
        then = "Make one without --lightweight; or name the zip, if the server has that bucket."
    elif newest.condition is BackupCondition.MISSING:
        why = f"{receipt.file!r} is missing"
    elif newest.condition is BackupCondition.CHANGED:
        why = f"{receipt.file!r} has another size than its receipt says"
    problem = None
    if why is not None:
        problem = BackupFileError(
            f"cannot restore {kind} {target_id} from {str(source)!r}: {why}. {then}", step="plan"
        )
    return BackupSource(
        # What became of a later backup says nothing of one that does not exist.
        key=receipt.file if in_time else receipt.folder,
        path=source / receipt.file,
        target_id=target_id,
        name=receipt.name,
        size=receipt.size,
        problem=problem,
        older=tuple(source / one.receipt.file for one in reversed(whole[:-1]) if one.is_whole),
        kind=kind,
        origin=receipt.origin,
    )
