"""The state of a destination: what it holds, from when, and what is unusual about it.

`commands.status` reads the disk. The server is not asked: `core.plans.mirror` compares with it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from asynccvat.core.inventory.kept import KeptKind, KeptTotal
from asynccvat.core.plans.mirror import FolderState
from asynccvat.core.records.backups import BackupCondition, StoredBackup
from asynccvat.core.records.last_run import LastRun, RunEnd
from asynccvat.core.records.receipts import ReceiptHead
from asynccvat.core.records.remembered import Remembered
from asynccvat.core.targets import TargetKind


class ChangedFile(msgspec.Struct, frozen=True, kw_only=True):
    """A file that is not as it was mirrored.

    Attributes:
        target_id: The task, project or job.
        path: Its path in the destination, with `/`. A folder ends with `/`.
        state: `edited` if its size or time is another one, `missing` if it is not there.
    """

    target_id: int
    path: str
    state: FolderState


class FormatCount(msgspec.Struct, frozen=True, kw_only=True):
    """How many folders were made in one way.

    Attributes:
        format: The exporter's name.
        images: Whether the images are part of it.
        folders: Number of folders.
    """

    format: str
    images: bool
    folders: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DestinationStatus:
    """What a destination holds, and what is unusual about it.

    Attributes:
        path: The destination, as it was given.
        holds: `tasks`, `projects`, `jobs` or `backups`.
        origin: Scheme, host and port of the server.
        organization: Slug, "" for the personal workspace, None for everything visible.
        server: The server and the organization, in words.
        description: What the destination remembers of its first run, in words; "" if nothing.
        settings: The same as values, None if nothing.
        targets: How many tasks, projects or jobs are here.
        backups: How many backups are here; 0 in a mirror.
        backed_up: How many tasks and how many projects they are of, by kind.
        files: Number of files, as receipts list them.
        bytes: Sum of their sizes.
        formats: How many folders were made in which format; the most frequent first.
        oldest_at: When the oldest of them was committed here, ISO 8601; None if there is none.
        newest_at: When the newest of them was committed here.
        last_run: The last run, None if none is noted.
        writer: The process that is writing to it, in words; None if none is known.
        failed: The ids that failed when they were fetched last.
        changed: Files that are edited or missing, by size and time.
        kept: What was put aside, by kind.
        warnings: Receipts and folders that cannot be read.
    """

    path: str
    holds: str
    origin: str
    organization: str | None
    server: str
    description: str = ""
    settings: Remembered | None = None
    targets: int = 0
    backups: int = 0
    backed_up: Mapping[TargetKind, int] = field(default_factory=dict)
    files: int = 0
    bytes: int = 0
    formats: tuple[FormatCount, ...] = ()
    oldest_at: str | None = None
    newest_at: str | None = None
    last_run: LastRun | None = None
    writer: str | None = None
    failed: tuple[int, ...] = ()
    changed: tuple[ChangedFile, ...] = ()
    kept: Mapping[KeptKind, KeptTotal] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()

    @property
    def edited(self) -> tuple[ChangedFile, ...]:
        """The files that were edited here."""
        return tuple(one for one in self.changed if one.state is FolderState.EDITED)

    @property
    def missing(self) -> tuple[ChangedFile, ...]:
        """The files that are missing here."""
        return tuple(one for one in self.changed if one.state is FolderState.MISSING)

    @property
    def is_running(self) -> bool:
        """Whether a run is under way: it has no end yet, and a process is known to write."""
        run = self.last_run
        return run is not None and run.ended_at is None and self.writer is not None

    @property
    def was_killed(self) -> bool:
        """Whether the last run has no end, and no process is known to go on with it."""
        run = self.last_run
        return run is not None and run.ended_at is None and self.writer is None

    @property
    def is_green(self) -> bool:
        """Whether the last run did everything, and every file is as it was stored."""
        run = self.last_run
        return (
            (run is None or run.end is RunEnd.COMPLETE)
            and not self.failed
            and not self.changed
            and not self.warnings
        )

    def to_json(self) -> dict[str, Any]:
        """Return the status as JSON types, with a schema version."""
        run = self.last_run
        return {
            "version": 1,
            "path": self.path,
            "holds": self.holds,
            "origin": self.origin,
            "organization": self.organization,
            "description": self.description,
            "settings": msgspec.to_builtins(self.settings),
            "green": self.is_green,
            "targets": self.targets,
            "backups": self.backups,
            "backed_up": {str(kind): count for kind, count in self.backed_up.items()},
            "files": self.files,
            "bytes": self.bytes,
            "formats": msgspec.to_builtins(self.formats),
            "oldest_at": self.oldest_at,
            "newest_at": self.newest_at,
            "last_run": None
            if run is None
            else {
                "verb": run.verb,
                "began_at": run.began_at,
                "ended_at": run.ended_at,
                "end": "running" if self.is_running else "killed" if run.end is None else run.end,
                "counts": run.counts,
                "error": run.error,
                "only": run.only,
            },
            "writer": self.writer,
            "failed": list(self.failed),
            "changed": msgspec.to_builtins(self.changed),
            "kept": {str(kind): msgspec.to_builtins(total) for kind, total in self.kept.items()},
            "warnings": list(self.warnings),
        }


def held_by_mirror(heads: Mapping[int, ReceiptHead]) -> dict[str, Any]:
    """Return the fields of a status that the receipts of a mirror tell."""
    made = Counter((head.format, head.images) for head in heads.values())
    dates = [head.committed_at for head in heads.values()]
    return {
        "targets": len(heads),
        "files": sum(head.files for head in heads.values()),
        "bytes": sum(head.bytes for head in heads.values()),
        "formats": tuple(
            FormatCount(format=name, images=images, folders=count)
            for (name, images), count in made.most_common()
        ),
        "oldest_at": min(dates, default=None),
        "newest_at": max(dates, default=None),
    }


def held_by_backups(backups: Sequence[StoredBackup]) -> dict[str, Any]:
    """Return the fields of a status that the receipts of backups tell."""
    dates = [backup.receipt.committed_at for backup in backups]
    of = {(one.receipt.target, one.receipt.id) for one in backups}
    return {
        "targets": len(of),
        "backups": len(backups),
        "backed_up": dict(Counter(kind for kind, _ in sorted(of, reverse=True))),
        "files": len(backups),
        "bytes": sum(backup.receipt.size for backup in backups),
        "oldest_at": min(dates, default=None),
        "newest_at": max(dates, default=None),
        "changed": tuple(
            ChangedFile(
                target_id=one.receipt.id,
                path=one.receipt.file,
                state=FolderState.MISSING
                if one.condition is BackupCondition.MISSING
                else FolderState.EDITED,
            )
            for one in backups
            if one.condition is not BackupCondition.PRESENT
        ),
    }


def changed_files(
    heads: Mapping[int, ReceiptHead], changed: Mapping[int, Iterable[tuple[str, FolderState]]]
) -> tuple[ChangedFile, ...]:
    """Return the files of folders that are not as mirrored, in the order of ids.

    Args:
        heads: The receipts, by id.
        changed: By id, the paths in the folder, with the state of each.
    """
    return tuple(
        ChangedFile(target_id=target_id, path=f"{heads[target_id].folder}/{path}", state=state)
        for target_id in sorted(changed)
        for path, state in changed[target_id]
    )


def kind_held(heads: Mapping[int, ReceiptHead], settings: Remembered | None) -> str:
    """Return what a mirror has a folder for each of: `tasks`, `projects` or `jobs`."""
    for head in heads.values():
        return head.target.plural
    return TargetKind.of_plural(None if settings is None else settings.target).plural
