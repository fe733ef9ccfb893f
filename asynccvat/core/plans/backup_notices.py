"""Warn of backups: too large to come back, missing or damaged, or of targets that are gone."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence

from asynccvat.core.options.transfer import DEFAULT_UPLOAD_LIMIT
from asynccvat.core.records.backups import BackupCondition, StoredBackup
from asynccvat.core.targets import TargetKind
from asynccvat.core.texts import first_few

# Of zips that are named in a warning.
_FILES_SHOWN = 3


def size_notice(target: TargetKind, size: int) -> str | None:
    """Tell that a zip is larger than CVAT takes back, None if it is not.

    Args:
        target: What it is a backup of.
        size: Bytes of the zip.
    """
    if size <= DEFAULT_UPLOAD_LIMIT:
        return None
    instead = "Back its tasks up, too. " if target is TargetKind.PROJECT else ""
    return (
        f"the zip has {size:,} bytes. A server takes files of at most {DEFAULT_UPLOAD_LIMIT:,} "
        f"bytes back, unless it is configured otherwise. {instead}See --upload-limit of "
        "`asynccvat restore`."
    )


def broken_notices(
    backups: Iterable[StoredBackup], *, leaving: Collection[str] = ()
) -> tuple[str, ...]:
    """Tell which zips are missing or have another size, and how they go.

    Args:
        backups: All backups of the destination.
        leaving: The files whose receipts the run removes.
    """
    files: dict[BackupCondition, list[str]] = defaultdict(list)
    for one in backups:
        if one.receipt.file not in leaving:
            files[one.condition].append(repr(one.receipt.file))
    missing, changed = files[BackupCondition.MISSING], files[BackupCondition.CHANGED]
    notices = []
    if missing:
        what, its = ("zip is", "its receipt") if len(missing) == 1 else ("zips are", "the receipts")
        notices.append(
            f"{len(missing):,} {what} missing: {first_few(missing, _FILES_SHOWN)}. Once a newer "
            f"backup is here, a run with --keep removes {its}."
        )
    if changed:
        what, its = (
            ("zip has", "its receipt") if len(changed) == 1 else ("zips have", "the receipts")
        )
        notices.append(
            f"{len(changed):,} {what} not the size of {its}: {first_few(changed, _FILES_SHOWN)}. "
            f"Once a newer backup is here, delete what is damaged; a run with --keep removes {its}."
        )
    return tuple(notices)


def absent_notice(target_ids: Sequence[int], target: TargetKind) -> str | None:
    """Tell of which targets that the server does not list any more there are backups."""
    if not target_ids:
        return None
    noun = str(target) if len(target_ids) == 1 else f"{target}s"
    verb = "is" if len(target_ids) == 1 else "are"
    return (
        f"{len(target_ids)} {noun} with backups here {verb} not on the server any more, or not "
        f"visible to this user: {first_few(target_ids)}. The backups stay."
    )
