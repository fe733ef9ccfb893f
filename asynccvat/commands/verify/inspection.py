"""Inspect a destination without changing it: its receipts and its files as they are.

No lock is taken, so a mirror may be running. A difference from a receipt is therefore
reported only if the same receipt is still in force afterwards (`still_holds`). All calls block:
they are for worker threads. `file_checks` compares files, and `run` chooses what is inspected when.
"""

from __future__ import annotations

import contextlib
import stat
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from isal import isal_zlib

from asynccvat.commands.verify import file_checks
from asynccvat.commands.verify.file_checks import Claim, Meter
from asynccvat.commands.verify.journal import JOURNAL_NAME, VerifyJournal
from asynccvat.core.folder_layouts import STRICT
from asynccvat.core.paths import OWN_FOLDER, comparable
from asynccvat.core.problems import ProblemKind, VerifyProblem, obstacle
from asynccvat.core.records.receipts import MemberRecord, ReceiptHead, decode_receipt
from asynccvat.core.records.remembered import Remembered
from asynccvat.errors import ConfigError, StoreError
from asynccvat.fs import disk_errors, files
from asynccvat.store import homes, trees
from asynccvat.store.complete_runs import COMPLETE_RUN_NAME
from asynccvat.store.distrusted_rules import DISTRUSTED_NAME
from asynccvat.store.failures import FAILED_NAME
from asynccvat.store.history import HISTORY
from asynccvat.store.identity import (
    IDENTITY_NAME,
    DestinationIdentity,
    check_identity,
    read_identity,
)
from asynccvat.store.kept_archives import archived_tasks
from asynccvat.store.last_run import LAST_RUN_NAME
from asynccvat.store.layout import (
    INTENT,
    NOT_THERE,
    OLD_RECEIPT,
    Layout,
    decode_leniently,
    decode_or_none,
    is_folder_name,
    is_same,
)
from asynccvat.store.lock import EXCLUSIVE_NAME, LINE_PREFIX, LOCK_NAME
from asynccvat.store.opening import GITIGNORE, find_layout

_OURS = frozenset(
    {
        *("archives", HISTORY, IDENTITY_NAME, "kept", "receipts", "replaced", "staging"),
        *(LOCK_NAME, EXCLUSIVE_NAME, JOURNAL_NAME, GITIGNORE),
        *(FAILED_NAME, LAST_RUN_NAME, COMPLETE_RUN_NAME, DISTRUSTED_NAME),
    }
)
_PART = ".part"


class Inspection:
    """A destination that is inspected. Made by `inspecting`."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout

    @property
    def path(self) -> Path:
        """The destination."""
        return self._layout.path

    def check_server(self, origin: str, organization: str | None) -> Remembered | None:
        """Check that the destination mirrors a server and organization.

        Returns:
            What the destination remembers of its first run.

        Raises:
            ConfigError: It mirrors another one.
        """
        wanted = DestinationIdentity(origin=origin, organization=organization)
        with disk_errors.explained("read", self.path):
            return check_identity(self._layout, wanted, create=False)

    @contextlib.contextmanager
    def journal(self, *, restart: bool) -> Iterator[VerifyJournal]:
        """Open the journal; see `VerifyJournal`."""
        journal = VerifyJournal.open(self._layout.own, self.path, restart=restart)
        try:
            yield journal
        finally:
            journal.close()

    # --- receipts ---------------------------------------------------------------------------

    def heads(self) -> tuple[dict[int, ReceiptHead], list[VerifyProblem]]:
        """Read line 1 of every receipt; also return the receipts that cannot be read."""
        heads: dict[int, ReceiptHead] = {}
        problems = []
        with disk_errors.explained("read", self.path):
            ids = self._layout.receipt_ids()
        for task_id in ids:
            try:
                heads[task_id] = self._layout.head(task_id)
            except FileNotFoundError:
                continue
            except (StoreError, OSError) as error:
                problems.append(_damaged(task_id, error))
        return heads, problems

    def claim(self, task_id: int) -> Claim | VerifyProblem | None:
        """Return what a task's folder should hold, by its receipt or by a published intent.

        Returns:
            The problem if the receipt is damaged; None if there is no receipt.
        """
        try:
            content = self._layout.receipt_bytes(task_id)
            if content is None:
                return None
            receipt = decode_receipt(content)
        except (StoreError, OSError) as error:
            return _damaged(task_id, error)
        head = receipt.head
        if head.task_id != task_id or not is_folder_name(head.folder):
            said = f"it names {head.target} {head.task_id} and folder {head.folder!r}"
            return _damaged(task_id, StoreError(said))
        identity = _identity(content)
        if not self._is_at_its_place(head):
            # The folder was exchanged, and the receipt follows: now, or in the next run.
            intent = decode_or_none(self._intent(task_id))
            if intent is not None and self._is_at_its_place(intent.head):
                return Claim(intent, identity, recorded=False)
        return Claim(receipt, identity)

    def still_holds(self, claim: Claim) -> bool:
        """Whether a claim still holds, so that the problems found by it are real.

        Otherwise a mirror was changing the task. The order of the two checks matters. If there is
        no intent, then any exchange of folders before has its receipt by now. So if the receipt is
        the same, there was no exchange.
        """
        task_id = claim.receipt.head.task_id
        if self._intent(task_id) is not None:
            return False
        try:
            content = self._layout.receipt_bytes(task_id)
        except OSError:
            return False
        return content is not None and _identity(content) == claim.identity

    def _intent(self, task_id: int) -> bytes | None:
        return self._staged(str(task_id), INTENT)

    def _staged(self, area: str, name: str) -> bytes | None:
        try:
            with files.folder(f"staging/{area}", dir_fd=self._layout.own) as fd:
                return files.read_file(name, dir_fd=fd)
        except OSError:
            return None  # there is no such area, or it cannot be read

    def _is_at_its_place(self, head: ReceiptHead) -> bool:
        try:
            status = homes.status_of(head.folder, dir_fd=self._layout.dest)
        except OSError:
            return False  # the check of its members reports why
        return status is not None and (status.st_dev, status.st_ino) == (head.device, head.inode)

    # --- files ------------------------------------------------------------------------------

    def check(
        self, claim: Claim, members: Sequence[MemberRecord], *, contents: bool, meter: Meter
    ) -> list[VerifyProblem]:
        """Compare files with a claim; see `file_checks.check`."""
        dest = self._layout.dest
        return file_checks.check(claim, members, dest=dest, contents=contents, meter=meter)

    def foreign_in(self, claim: Claim) -> list[VerifyProblem]:
        """Find files in a task's folder that are no members; see `file_checks.foreign_in`."""
        return file_checks.foreign_in(claim, dest=self._layout.dest)

    # --- around the folders -------------------------------------------------------------------

    def foreign_around(self, parents: Iterable[str] = ()) -> list[VerifyProblem]:
        """Find files and folders in the destination, and in `.asynccvat`, that are in no receipt.

        A running mirror publishes a folder before its receipt, and removes a receipt before its
        folder. In both cases, staging names the folder until the end. So the folders in staging are
        read before and after the receipts.

        Args:
            parents: The folders that hold those of targets, in which is looked as well.
        """
        layout = self._layout
        with disk_errors.explained("read", self.path):
            entries = [entry.name for entry in files.scan(layout.dest)]
            for outer in parents:
                with contextlib.suppress(OSError), files.folder(outer, dir_fd=layout.dest) as fd:
                    entries += [f"{outer}/{name}" for name in files.names(fd)]
            claimed = self._in_staging()
            claimed |= {head.folder for head in self.heads()[0].values()}
            claimed |= self._in_staging()
            claimed |= {parent for folder in claimed for parent in homes.parents_of(folder)}
            suspects = self._unclaimed(entries, claimed)
            own = [
                f"{OWN_FOLDER}/{name}"
                for name in files.names(layout.own)
                if name.removesuffix(_PART) not in _OURS and not name.startswith(LINE_PREFIX)
            ]
            if layout.receipts != NOT_THERE:
                own += [
                    f"{OWN_FOLDER}/receipts/{name}"
                    for name in files.names(layout.receipts)
                    if not name.removesuffix(_PART).removesuffix(".json").isdecimal()
                ]
        return [file_checks.foreign(path, None) for path in (*suspects, *own)]

    def _unclaimed(self, entries: Iterable[str], claimed: set[str]) -> list[str]:
        found = []
        dest = self._layout.dest
        in_any_case = {comparable(folder, STRICT): folder for folder in claimed}
        for entry in entries:
            if entry == OWN_FOLDER or entry in claimed:
                continue
            status = files.lstat(entry, dir_fd=dest)
            if status is None:
                continue
            # On some file systems, a name that differs in case only is the same folder.
            other = in_any_case.get(comparable(entry, STRICT))
            if other is not None and is_same(status, files.lstat(other, dir_fd=dest)):
                continue
            if not stat.S_ISDIR(status.st_mode):
                found.append(entry)
            elif not self._is_a_mirror(entry):
                found.append(f"{entry}/")
        return found

    def _is_a_mirror(self, folder: str) -> bool:
        """Whether a folder is itself a destination, such as one for another format."""
        with contextlib.suppress(OSError), files.folder(folder, dir_fd=self._layout.dest) as fd:
            return trees.is_folder(OWN_FOLDER, dir_fd=fd)
        return False

    def _in_staging(self) -> set[str]:
        """Return the folders that receipts in staging name."""
        claimed = set()
        with contextlib.suppress(OSError), files.folder("staging", dir_fd=self._layout.own) as fd:
            for area in files.names(fd):
                for name in (INTENT, OLD_RECEIPT):
                    head, _ = decode_leniently(self._staged(area, name) or b"")
                    if head is not None:
                        claimed.add(head.folder)
        return claimed

    def archived(self) -> frozenset[int]:
        """Return the tasks whose archives are kept."""
        with disk_errors.explained("read", self.path):
            return archived_tasks(self._layout)

    def kept(self) -> int:
        """Return the number of entries in `kept/`."""
        with contextlib.suppress(OSError), files.folder("kept", dir_fd=self._layout.own) as fd:
            return len(files.names(fd))
        return 0


@contextlib.contextmanager
def inspecting(dest: Path) -> Iterator[Inspection]:
    """Open a destination for inspection.

    Raises:
        ConfigError: It is no mirror, a newer asynccvat wrote it, or this is Windows.
        StoreError: It cannot be read.
    """
    if sys.platform == "win32":
        raise ConfigError(
            "verifying needs Linux or macOS. On Windows, run it under WSL "
            "(the Windows Subsystem for Linux)."
        )
    with disk_errors.explained("read", dest):
        layout = find_layout(dest)
    try:
        if layout.receipts == NOT_THERE:
            why = "it holds no receipts" if dest.exists() else "there is no such folder"
            raise ConfigError(
                f"cannot verify {str(dest)!r}: {why}. Name the folder that `asynccvat mirror` or "
                "`asynccvat backup` was given."
            )
        with disk_errors.explained("read", dest):
            read_identity(layout)
        yield Inspection(layout)
    finally:
        layout.close()


def _damaged(task_id: int, error: Exception) -> VerifyProblem:
    """Return the problem of a receipt that cannot be read.

    Raises:
        StoreError: The error is about this process, such as too many open files.
    """
    path = f"{OWN_FOLDER}/receipts/{task_id}.json"
    said = str(error)
    if isinstance(error, OSError):
        said = error.strerror or said
        if obstacle(error.errno, said) is None:
            raise disk_errors.explain(error, "read", path) from error
    return VerifyProblem(
        kind=ProblemKind.RECEIPT,
        path=path,
        task_id=task_id,
        detail=said.removeprefix("damaged receipt: "),
    )


def _identity(content: bytes) -> str:
    return f"{len(content)}-{isal_zlib.crc32(content):08x}"
