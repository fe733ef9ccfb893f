"""Verify backups: read each zip again, and compare every member with its receipt.

`store.backup_check` reads a zip. No lock is taken, so a backup run may be at work.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import partial
from pathlib import Path

from asynccvat.aio.task_groups import run_limited
from asynccvat.commands.verify.findings import Findings
from asynccvat.commands.verify.reading_threads import ReadingThreads
from asynccvat.commands.verify.request import VerifyRequest
from asynccvat.core.paths import OWN_FOLDER
from asynccvat.core.problems import ProblemKind, VerifyProblem
from asynccvat.core.records.backups import BackupReceipt, StoredBackup, target_of
from asynccvat.core.targets import TargetKind
from asynccvat.errors import ConfigError
from asynccvat.events import VerifyStarted
from asynccvat.fs import disk_errors, files
from asynccvat.store import backup_files, trees
from asynccvat.store.backup_check import check_backup
from asynccvat.store.identity import BACKUPS, backup_folders, read_identity
from asynccvat.store.layout import Layout
from asynccvat.store.opening import find_layout


@contextmanager
def looking_at_backups(dest: Path) -> Iterator[Layout | None]:
    """Open a destination for reading, if it is one of backups; None otherwise.

    Raises:
        ConfigError: A newer asynccvat wrote it.
        StoreError: It cannot be read.
    """
    with disk_errors.explained("read", dest):
        layout = find_layout(dest)
        try:
            identity = read_identity(layout)
            holds_backups = bool(backup_folders(layout)) or (
                identity is not None and identity.holds == BACKUPS
            )
            yield layout if holds_backups else None
        finally:
            layout.close()


@dataclass(frozen=True, slots=True, kw_only=True)
class BackupSelection:
    """Which backups are verified.

    Attributes:
        task_ids: Those of these tasks, None for all tasks and projects.
        folders: Only those in folders whose names match one of these patterns; none for all.
    """

    task_ids: frozenset[int] | None = None
    folders: tuple[str, ...] = ()

    @property
    def everything(self) -> bool:
        """Whether all backups are verified."""
        return self.task_ids is None and not self.folders

    def has(self, folder: str) -> bool:
        """Whether the backups in a folder are verified."""
        target = target_of(folder)
        if self.task_ids is not None and (
            target is None or target[0] is not TargetKind.TASK or target[1] not in self.task_ids
        ):
            return False
        return not self.folders or any(fnmatchcase(folder, one) for one in self.folders)


@dataclass(frozen=True, slots=True)
class FoundBackups:
    """What is to be verified, and what receipts cannot tell any more.

    Attributes:
        backups: The backups whose zips are read.
        problems: Damaged receipts, and named tasks without a backup.
    """

    backups: tuple[StoredBackup, ...]
    problems: tuple[VerifyProblem, ...]


def find_backups(layout: Layout, wanted: BackupSelection) -> FoundBackups:
    """Find the backups to verify. Blocks.

    Raises:
        ConfigError: No folder matches the patterns.
        OSError: This process can read no receipts.
    """
    folders = [name for name in backup_folders(layout) if wanted.has(name)]
    if wanted.folders and not folders:
        raise ConfigError(
            f"no folder of backups in {str(layout.path)!r} matches "
            f"{', '.join(map(repr, wanted.folders))}. Check the pattern."
        )
    backups, damaged = backup_files.read_backups(layout, folders)
    problems = [
        _problem(ProblemKind.RECEIPT, f"{OWN_FOLDER}/{path}", path.split("/")[1], why)
        for path, why in damaged
    ]
    here = {_id_in(folder) for folder in folders}
    problems += [
        VerifyProblem(kind=ProblemKind.NOT_BACKED_UP, path="", task_id=task_id)
        for task_id in sorted(wanted.task_ids or ())
        if task_id not in here
    ]
    return FoundBackups(tuple(backups), tuple(problems))


async def check_all(
    layout: Layout,
    backups: Sequence[StoredBackup],
    threads: ReadingThreads,
    *,
    at_once: int,
    found: Callable[[Iterable[VerifyProblem]], None],
) -> None:
    """Read the zips of backups, several at once.

    Args:
        layout: The destination.
        backups: The backups.
        threads: The threads that read.
        at_once: How many zips are read at once.
        found: Called with each problem.
    """

    async def check(receipt: BackupReceipt) -> None:
        problem = await threads.run(_check_one, layout, receipt, threads.tell)
        if problem is not None:
            found([problem])

    await run_limited(at_once, [partial(check, one.receipt) for one in backups])


def _check_one(
    layout: Layout, receipt: BackupReceipt, tell: Callable[[int, int], None]
) -> VerifyProblem | None:
    problem = check_backup(layout, receipt, lambda read: tell(0, read))
    tell(1, 0)
    if problem is not None and f"{receipt.stamp}.json" not in backup_files.receipt_names(
        layout, receipt.folder
    ):
        return None  # `--keep` has just removed it
    return problem


def foreign_files(layout: Layout) -> list[VerifyProblem]:
    """Find what no receipt names, in the destination and in the folders of targets. Blocks."""
    known = _known(layout)
    found = []
    for name in files.names(layout.dest):
        if name == OWN_FOLDER:
            continue
        if name not in known or not trees.is_folder(name, dir_fd=layout.dest):
            end = "/" if trees.is_folder(name, dir_fd=layout.dest) else ""
            found.append(_problem(ProblemKind.FOREIGN, name + end, name))
            continue
        with files.folder(name, dir_fd=layout.dest) as fd:
            found += [
                _problem(ProblemKind.FOREIGN, f"{name}/{one}", name)
                for one in files.names(fd)
                if one not in known[name]
            ]
    return found


def _known(layout: Layout) -> dict[str, Collection[str]]:
    """Return the names of the zips that have a receipt, by the names of their folders."""
    return {
        folder: {
            f"{name.removesuffix('.json')}.zip"
            for name in backup_files.receipt_names(layout, folder)
        }
        for folder in backup_folders(layout)
    }


def _problem(kind: ProblemKind, path: str, folder: str, detail: str = "") -> VerifyProblem:
    """Return a problem with what a folder of backups holds, or should hold."""
    target, target_id = target_of(folder) or (TargetKind.TASK, None)
    return VerifyProblem(kind=kind, path=path, task_id=target_id, detail=detail, target=target)


def _id_in(folder: str) -> int | None:
    target = target_of(folder)
    return None if target is None else target[1]


async def verify_backups(layout: Layout, wanted: VerifyRequest, findings: Findings) -> None:
    """Read the zips of a destination of backups."""
    if wanted.against_server or wanted.repair:
        what = f"repair {str(wanted.dest)!r}"
        if not wanted.repair:
            what = f"compare {str(wanted.dest)!r} with the server"
        raise ConfigError(
            f"cannot {what}: it holds backups, not a mirror. `asynccvat backup DEST` backs up what "
            "changed at the server, and `asynccvat backup DEST -t 147 --force` a task whose zip is "
            "damaged."
        )
    threads = ReadingThreads(wanted.threads, findings.count)
    selected = BackupSelection(task_ids=wanted.task_ids, folders=wanted.folders)
    found = await threads.run(find_backups, layout, selected)
    findings.found(found.problems)
    if not (found.backups or found.problems):
        findings.note(without_receipts=True)
        findings.warn(
            f"{str(wanted.dest)!r} holds no backup, so nothing could be compared. Check the "
            "path, or run `asynccvat backup` first."
        )
    targets = {one.receipt.folder: one.receipt.target for one in found.backups}
    kinds = set(targets.values())
    started = VerifyStarted(
        target=kinds.pop() if len(kinds) == 1 else TargetKind.TASK,
        tasks=len(targets),
        files=len(found.backups),
        bytes=sum(one.receipt.size for one in found.backups),
        resumed=0,
    )
    findings.note(tasks=started.tasks, target=started.target)
    findings.files = dict(enumerate([1] * started.files))
    findings.emit(started)
    await check_all(layout, found.backups, threads, at_once=wanted.threads, found=findings.found)
    if selected.everything:
        findings.found(await threads.run(foreign_files, layout))
