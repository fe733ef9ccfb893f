"""Keep replaced annotation files for a time: `.asynccvat/history/147/<updated_date>/`.

Before a replaced folder is cleared, its annotation files are linked into a folder of the staging,
which then gets its final name by one rename. All of that is durable before a file is removed. So a
version is whole or absent, and an interrupted clearing starts anew. `commits.primitives` clears.
"""

from __future__ import annotations

import contextlib
import errno
import itertools
import os
import re
import time
from collections.abc import Iterable, Iterator

from asynccvat.core.annotations.files import is_media
from asynccvat.core.paths import OWN_FOLDER
from asynccvat.core.records.receipts import MemberRecord, ReceiptHead
from asynccvat.fs import disk_errors, files
from asynccvat.store import trees
from asynccvat.store.layout import OLD, TREE, Layout, decode_or_none, is_same

HISTORY = "history"
"""The folder of all versions in `.asynccvat`, and that of one version on its way in the staging."""


def save(
    layout: Layout,
    task_id: int,
    area: int,
    head: ReceiptHead,
    members: Iterable[MemberRecord],
) -> None:
    """Give the annotation files of a replaced folder a second name, in the history.

    Files that were edited are left to the quarantine. Files that the new folder has, too, are not
    replaced: on disk they may be one with those.

    Args:
        layout: The destination.
        task_id: The task.
        area: Its area in the staging.
        head: The head of its receipt.
        members: The files of its receipt.
    """
    current = decode_or_none(layout.receipt_bytes(task_id))
    same = {(one.path, one.size, one.crc) for one in (() if current is None else current.members)}
    replaced = [
        member
        for member in members
        if not is_media(member.path) and (member.path, member.size, member.crc) not in same
    ]
    if not replaced:
        return
    with _versions(layout, task_id) as versions:
        for name in (TREE, OLD):  # one of them is the replaced folder
            if trees.is_folder(name, dir_fd=area):
                _link(area, name, replaced, versions)
        if trees.is_folder(HISTORY, dir_fd=area):
            if layout.durable:
                trees.sync(HISTORY, dir_fd=area, fsync=layout.fsync)
                layout.fsync(area)
            _publish(area, versions, _folder_name(head.updated_date))
        # Also if a run was killed right after it gave the version its name.
        layout.sync_folder(versions)
    layout.sync_folder(area)


def expire(layout: Layout, seconds: float) -> list[str]:
    """Remove versions that were replaced longer ago than this.

    Returns:
        Warnings: what could not be removed.
    """
    warnings: list[str] = []
    if not trees.is_folder(HISTORY, dir_fd=layout.own):
        return warnings
    with files.folder(HISTORY, dir_fd=layout.own) as versions:
        for task in files.names(versions):
            try:
                _expire_task(versions, task, time.time() - seconds)
            except OSError as error:
                place = layout.path / OWN_FOLDER / HISTORY / task
                warnings.append(str(disk_errors.explain(error, "remove old versions in", place)))
    return warnings


def _expire_task(versions: int, task: str, before: float) -> None:
    if not trees.is_folder(task, dir_fd=versions):
        return
    with files.folder(task, dir_fd=versions) as folder:
        for version in files.names(folder):
            status = files.lstat(version, dir_fd=folder)
            if status is not None and status.st_mtime < before:
                trees.remove(version, dir_fd=folder)
    trees.remove_if_empty(task, dir_fd=versions)


def _link(area: int, name: str, members: Iterable[MemberRecord], versions: int) -> None:
    """Link files of a tree that are still as recorded into the version on its way.

    Args:
        area: The task's area in the staging.
        name: The tree.
        members: The files.
        versions: The task's versions, of which one may have the files already.
    """
    for member in members:
        parent, _, file = member.path.rpartition("/")
        try:
            with files.folder(_below(name, parent), dir_fd=area) as source:
                status = files.lstat(file, dir_fd=source)
                if status is None or not trees.is_as_recorded(member, status):
                    continue
                if _is_published(member, status, versions):
                    continue
                with trees.made(_below(HISTORY, parent), dir_fd=area) as target:
                    _link_file(file, status, source, target)
        except OSError as error:
            # The user's file or link stands for a folder. Clearing moves it to the quarantine.
            if error.errno not in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP):
                raise


def _is_published(member: MemberRecord, status: os.stat_result, versions: int) -> bool:
    """Whether a clearing that was interrupted has put a file into the history already."""
    for version in files.names(versions):
        with contextlib.suppress(NotADirectoryError):
            if is_same(status, files.lstat(f"{version}/{member.path}", dir_fd=versions)):
                return True
    return False


def _link_file(name: str, status: os.stat_result, source: int, target: int) -> None:
    there = files.lstat(name, dir_fd=target)
    if is_same(status, there):
        return
    if there is not None:
        files.unlink(name, dir_fd=target)
    try:
        files.link(name, name, dir_fd=source, new_dir_fd=target)
    except OSError as error:
        if not disk_errors.is_link_refused(error):
            raise
        files.rename(name, name, dir_fd=source, new_dir_fd=target)


def _below(folder: str, path: str) -> str:
    return f"{folder}/{path}" if path else folder


@contextlib.contextmanager
def _versions(layout: Layout, task_id: int) -> Iterator[int]:
    """Open the folder of a task's versions; make it durably if it is missing."""
    is_new = not trees.is_folder(HISTORY, dir_fd=layout.own)
    with trees.made(HISTORY, dir_fd=layout.own) as all_versions:
        if is_new:
            layout.sync_folder(layout.own)
        with trees.made(str(task_id), dir_fd=all_versions) as folder:
            layout.sync_folder(all_versions)
            yield folder


def _folder_name(updated_date: str) -> str:
    """Return the name of a version's folder: a date, which is the server's word, made harmless."""
    return re.sub(r"[^0-9A-Za-z:.+-]", "_", updated_date).lstrip(".")[:64] or "unknown"


def _publish(area: int, versions: int, date: str) -> None:
    """Give a version its final name, with a number if that is taken."""
    try:
        files.rename(HISTORY, _free(date, versions), dir_fd=area, new_dir_fd=versions)
    except OSError as error:
        # Some file systems know no colons.
        if error.errno != errno.EINVAL or ":" not in date:
            raise
        plain = _free(date.replace(":", ""), versions)
        files.rename(HISTORY, plain, dir_fd=area, new_dir_fd=versions)


def _free(name: str, folder: int) -> str:
    names = itertools.chain([name], (f"{name}-{number}" for number in itertools.count(2)))
    return next(one for one in names if files.lstat(one, dir_fd=folder) is None)
