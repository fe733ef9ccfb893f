"""Recovery: what a killed process left half done becomes the whole old or the whole new state.

`decide` is a pure function from the state that was found to the steps to take; the rest reads and
acts. Each step leaves a state that the next recovery handles in the same way, so recovery itself
may be killed at any moment.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, auto

from asynccvat.core.plans.mirror import FolderState
from asynccvat.core.records.receipts import MemberRecord, ReceiptHead
from asynccvat.core.targets import TargetKind
from asynccvat.fs import files
from asynccvat.store import homes, trees
from asynccvat.store.commits.primitives import finish, record_intent
from asynccvat.store.layout import (
    INTENT,
    OLD,
    OLD_RECEIPT,
    TREE,
    Layout,
    decode_leniently,
    decode_or_none,
)


class FolderVersion(Enum):
    """The version of a task that a folder holds."""

    ABSENT = auto()
    NEW = auto()
    """The version of the intent."""
    PREVIOUS = auto()
    """The version of the receipt in force, or of the old receipt."""
    UNKNOWN = auto()


class OldReceipt(Enum):
    """The saved old receipt, compared with the receipt in force."""

    ABSENT = auto()
    IN_FORCE = auto()
    """Both are the same: the commit did not replace it."""
    REPLACED = auto()


@dataclass(frozen=True, slots=True)
class CrashState:
    """What an interrupted change of one task left.

    Attributes:
        intent: Whether there is an intent, readable or not.
        old_receipt: What became of the old receipt.
        tree: The version of the tree in staging.
        old: The version of the old tree in staging.
        final: The version under the final name.
        whole: Whether the tree in staging has every member as the intent says.
    """

    intent: bool
    old_receipt: OldReceipt
    tree: FolderVersion
    old: FolderVersion
    final: FolderVersion
    whole: bool = False


class RecoveryStep(Enum):
    """A step of recovery: one rename or removal."""

    PUBLISH_TREE = auto()
    RECORD = auto()
    FINISH = auto()
    QUARANTINE_FINAL = auto()
    RESTORE_TREE = auto()
    RESTORE_OLD = auto()
    QUARANTINE_OLD = auto()
    QUARANTINE_TREE = auto()
    DROP_INTENT = auto()
    DROP_OLD_RECEIPT = auto()


def decide(found: CrashState) -> tuple[RecoveryStep, ...]:
    """Decide on the steps for one task."""
    if found.intent and found.final is FolderVersion.NEW:
        return RecoveryStep.RECORD, RecoveryStep.FINISH
    if not found.intent and found.old_receipt is OldReceipt.REPLACED:
        return (RecoveryStep.FINISH,)
    if (
        found.intent
        and found.tree is FolderVersion.NEW
        and found.final is FolderVersion.ABSENT
        and found.old is not FolderVersion.ABSENT
        and found.whole
    ):
        # Killed between the two renames of a swap. The tree was durable before the first.
        return RecoveryStep.PUBLISH_TREE, RecoveryStep.RECORD, RecoveryStep.FINISH
    return (*_restore(found), *_drop(found))


def _restore(found: CrashState) -> tuple[RecoveryStep, ...]:
    """Restore the previous version to its name, and quarantine everything unknown."""
    if found.old is not FolderVersion.ABSENT:
        if found.final is FolderVersion.ABSENT:
            return (RecoveryStep.RESTORE_OLD,)
        if found.old is FolderVersion.PREVIOUS and found.final is FolderVersion.UNKNOWN:
            return RecoveryStep.QUARANTINE_FINAL, RecoveryStep.RESTORE_OLD
        return (RecoveryStep.QUARANTINE_OLD,)
    if found.tree is FolderVersion.PREVIOUS and found.old_receipt is not OldReceipt.ABSENT:
        if found.final is FolderVersion.ABSENT:
            return (RecoveryStep.RESTORE_TREE,)
        if found.final is FolderVersion.UNKNOWN:
            return RecoveryStep.QUARANTINE_FINAL, RecoveryStep.RESTORE_TREE
    if (
        found.tree is FolderVersion.UNKNOWN
        and found.intent
        and found.old_receipt is not OldReceipt.ABSENT
        and found.final is not FolderVersion.PREVIOUS
    ):
        # It may be the old folder with the user's edits, exchanged and not cleared yet.
        return (RecoveryStep.QUARANTINE_TREE,)
    return ()


def _drop(found: CrashState) -> tuple[RecoveryStep, ...]:
    drops = []
    if found.intent:
        drops.append(RecoveryStep.DROP_INTENT)
    if found.old_receipt is not OldReceipt.ABSENT:
        drops.append(RecoveryStep.DROP_OLD_RECEIPT)
    return tuple(drops)


def recover(layout: Layout, task_id: int) -> list[str]:
    """Finish or undo the interrupted change of one task.

    A tree that is not published stays in staging, and its files can be reused.

    Returns:
        Warnings: what was quarantined, and where.

    Raises:
        OSError: As the system says.
    """
    with layout.area(task_id) as area:
        warnings = _Recovery(layout, task_id, area).run()
    layout.forget_claims()
    return warnings


class _Recovery:
    def __init__(self, layout: Layout, task_id: int, area: int) -> None:
        self._layout = layout
        self._task_id = task_id
        self._area = area
        self._warnings: list[str] = []
        self._folder: str | None = None
        self._target = TargetKind.TASK
        self._head: ReceiptHead | None = None

    def run(self) -> list[str]:
        for step in decide(self._look()):
            self._do(step)
        return self._warnings

    def _look(self) -> CrashState:
        layout, area = self._layout, self._area
        intent_bytes = files.read_file(INTENT, dir_fd=area)
        old_bytes = files.read_file(OLD_RECEIPT, dir_fd=area)
        current_bytes = layout.receipt_bytes(self._task_id)
        intent = decode_or_none(intent_bytes)
        head, members = decode_leniently(old_bytes or current_bytes or b"")
        if intent is not None:
            self._head = intent.head
        elif head is not None:
            self._head = head
        if self._head is not None:
            self._folder, self._target = self._head.folder, self._head.target
        places = {"tree": (TREE, area), "old": (OLD, area)}
        if self._folder is not None:
            places["final"] = (self._folder, layout.dest)
        if head is not None and head.folder != self._folder:
            places["home"] = (head.folder, layout.dest)
        versions = {
            place: FolderVersion.ABSENT
            if homes.status_of(name, dir_fd=fd) is None
            else FolderVersion.UNKNOWN
            for place, (name, fd) in places.items()
        }
        if intent is not None:
            new = _place_of(places, versions, intent.head, intent.members)
            versions |= dict.fromkeys(new, FolderVersion.NEW)
        if head is not None:
            versions |= dict.fromkeys(
                _place_of(places, versions, head, members), FolderVersion.PREVIOUS
            )
        if (
            intent_bytes is None
            and versions["tree"] is FolderVersion.PREVIOUS
            and not self._is_tree(members)
        ):
            # Nothing was published, so this is a fresh tree that has got the inode of a deleted
            # folder.
            versions["tree"] = FolderVersion.UNKNOWN
        old_receipt = OldReceipt.ABSENT
        if old_bytes is not None:
            same = old_bytes == current_bytes
            old_receipt = OldReceipt.IN_FORCE if same else OldReceipt.REPLACED
        whole = intent is not None and self._is_tree(intent.members)
        return CrashState(
            intent=intent_bytes is not None,
            old_receipt=old_receipt,
            tree=versions["tree"],
            old=versions["old"],
            # If no receipt says its name, nothing can be restored to it.
            final=versions.get("final", FolderVersion.UNKNOWN),
            whole=whole,
        )

    def _is_tree(self, members: tuple[MemberRecord, ...]) -> bool:
        state = trees.folder_state(TREE, members, dir_fd=self._area)
        return state is FolderState.INTACT

    def _do(self, step: RecoveryStep) -> None:
        layout, area = self._layout, self._area
        folder = self._folder or str(self._task_id)
        match step:
            case RecoveryStep.PUBLISH_TREE | RecoveryStep.RESTORE_TREE:
                with homes.made(layout, folder) as (fd, name):
                    files.rename(TREE, name, dir_fd=area, new_dir_fd=fd)
            case RecoveryStep.RESTORE_OLD:
                with homes.made(layout, folder) as (fd, name):
                    files.rename(OLD, name, dir_fd=area, new_dir_fd=fd)
            case RecoveryStep.RECORD:
                self._sync_home(folder)
                record_intent(layout, area, self._task_id)
                self._sync(layout.receipts)
            case RecoveryStep.FINISH:
                self._warnings += finish(layout, self._task_id, area)
            case RecoveryStep.QUARANTINE_FINAL:
                with homes.home(folder, dir_fd=layout.dest) as (fd, name):
                    self._quarantine(name, fd)
            case RecoveryStep.QUARANTINE_OLD:
                self._quarantine(OLD, area)
            case RecoveryStep.QUARANTINE_TREE:
                self._quarantine(TREE, area)
            case RecoveryStep.DROP_INTENT:
                self._sync_home(folder)
                # Those that were made for a folder that did not get there.
                homes.remove_empty_parents(layout, folder)
                files.unlink(INTENT, dir_fd=area)
            case RecoveryStep.DROP_OLD_RECEIPT:
                files.unlink(OLD_RECEIPT, dir_fd=area)

    def _sync_home(self, folder: str) -> None:
        homes.sync_home(self._layout, folder)
        self._layout.sync_folder(self._area)

    def _sync(self, fd: int) -> None:
        self._layout.sync_folder(fd)
        self._layout.sync_folder(self._area)

    def _quarantine(self, name: str, dir_fd: int) -> None:
        quarantined = self._layout.quarantine(
            name, dir_fd=dir_fd, head=self._head, task_id=self._task_id
        )
        self._warnings.append(
            f"{self._target} {self._task_id}: an interrupted run left files that are in no "
            f"receipt; they are now in {quarantined}"
        )


def _place_of(
    places: Mapping[str, tuple[str, int]],
    versions: Mapping[str, FolderVersion],
    head: ReceiptHead,
    members: tuple[MemberRecord, ...],
) -> list[str]:
    """Find the folder of a receipt.

    Its device and inode identify it. But device numbers can change with a boot, and some file
    systems invent inode numbers. If no folder has both numbers, it is the folder whose files are
    all as recorded, or else the folder with the inode on any device.

    Returns:
        A list of at most one place.
    """
    statuses = {
        place: status
        for place, version in versions.items()
        if version is FolderVersion.UNKNOWN
        and (status := homes.status_of(places[place][0], dir_fd=places[place][1])) is not None
    }
    for place, status in statuses.items():
        if (status.st_dev, status.st_ino) == (head.device, head.inode):
            return [place]
    for place in statuses if members else ():
        name, fd = places[place]
        if trees.folder_state(name, members, dir_fd=fd) is FolderState.INTACT:
            return [place]
    return [place for place, status in statuses.items() if status.st_ino == head.inode][:1]
