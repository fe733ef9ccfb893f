"""Decide whether an export of annotations alone is enough: a *refresh*, which reuses the images.

Packing a task's images again costs a server seconds and a line gigabytes. If only annotations
changed, it gives the same bytes. So a receipt has a digest of what CVAT says of a task's media. If
that digest is the same before and after an export of annotations alone, the images on disk are
those that a full export would have fetched.

These are pure functions. `transfer.media_fingerprints` asks the server, and `archives` reuses the
images.

Refreshes are limited to formats whose annotation files are the same with and without images, as
recorded of CVAT 2.54: COCO, Datumaro, Ultralytics YOLO Detection, and CVAT's own XML. The XML has
the time of its export in `<dumped>`, which differs in every export anyway.
PASCAL VOC's files differ.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from datetime import datetime

import msgspec

from asynccvat.core.models import DataMeta, Task
from asynccvat.core.plans.mirror import Reason
from asynccvat.core.records.receipts import MemberRecord, ReceiptHead
from asynccvat.core.specs import CVAT_IMAGES, CVAT_VIDEO, ExportSpec

REFRESH_FROM = 4 * 1024 * 1024
"""Bytes of media from which a refresh pays.

A server packs about 30 MB a second, so these take it an eighth of a second. A refresh needs one
call more than a full export, which takes 20 to 40 ms.
"""

_FORMATS = frozenset(
    {
        CVAT_IMAGES,
        CVAT_VIDEO,
        "COCO 1.0",
        "Datumaro 1.0",
        "Ultralytics YOLO Detection 1.0",
    }
)
_MEDIA_FOLDER = "images/"
# Reasons to fetch a task that leave its images unchanged.
_OF_ANNOTATIONS = (Reason.CHANGED, Reason.UPLOADED)


def is_refreshable(spec: ExportSpec) -> bool:
    """Tell whether exports of this kind may be refreshed at all."""
    return spec.images and spec.format in _FORMATS


def fingerprint_on_disk(
    task: Task, reason: str, previous: ReceiptHead | None, spec: ExportSpec
) -> str | None:
    """Return the fingerprint of the media on disk, if a refresh may be possible; else None.

    Args:
        task: The task, as listed.
        reason: Why it is fetched.
        previous: Its receipt, None if it has none.
        spec: What it is fetched as.
    """
    # For other reasons, images may be missing, or the user wants everything fetched again.
    if (
        previous is None
        or not previous.is_made_as(spec)
        or reason not in _OF_ANNOTATIONS
        or task.without_data
    ):
        return None
    return previous.media_fingerprint if is_refreshable(spec) else None


def images_of(members: Iterable[MemberRecord]) -> tuple[MemberRecord, ...]:
    """Return the images among the members of a refreshable export."""
    return tuple(member for member in members if member.path.startswith(_MEDIA_FOLDER))


def is_worth_refreshing(members: Iterable[MemberRecord], spec: ExportSpec) -> bool:
    """Tell whether a folder has enough bytes of images for refreshes to pay."""
    return is_refreshable(spec) and sum(one.size for one in images_of(members)) >= REFRESH_FROM


def media_fingerprint(meta: DataMeta, task: Task) -> str | None:
    """Return a fingerprint of a task's media, or None if CVAT does not say enough of them.

    It is the SHA-256 of what CVAT says of the media, and of the subset. Older servers have no
    `chunks_updated_date`. Files in a cloud storage or on a share can change without CVAT noticing.
    """
    if meta.chunks_updated_date is None or meta.size is None:
        return None
    if meta.storage != "local" or meta.cloud_storage_id is not None:
        return None
    included = None if meta.included_frames is None else sorted(meta.included_frames)
    told = (
        meta.size,
        sorted(meta.deleted_frames),
        included,
        meta.chunks_updated_date,
        task.subset or "",
    )
    return hashlib.sha256(msgspec.json.encode(told)).hexdigest()


def exported_fingerprint(meta: DataMeta, task: Task, members: Iterable[MemberRecord]) -> str | None:
    """Return the fingerprint of the media in a full export, or None if it is not certain.

    Two things make it certain. The server made its media before the task's last edit, and that edit
    was listed before the export. And the export has as many images as the task has frames that are
    not deleted.

    Args:
        meta: What the server says of the media after the export.
        task: The task, as listed before the export.
        members: The files of the export.
    """
    made, edited = meta.chunks_updated_date, _moment(task.updated_date)
    if made is None or edited is None or made > edited or meta.size is None:
        return None
    frames = meta.size if meta.included_frames is None else len(meta.included_frames)
    if len(images_of(members)) != frames - len(meta.deleted_frames):
        return None
    return media_fingerprint(meta, task)


def _moment(text: str) -> datetime | None:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return moment if moment.tzinfo is not None else None


def fits_folder(annotations: Sequence[MemberRecord], previous: Sequence[MemberRecord]) -> bool:
    """Tell whether an export of annotations alone has just the previous files that are no images.

    Their names depend on the subset and, in some formats, on the frames.
    """
    images = images_of(previous)
    beside = _names(previous) - _names(images)
    return _names(annotations) == beside


def _names(members: Iterable[MemberRecord]) -> set[tuple[str, str]]:
    # Which safe name an unsafe one has may depend on the others of its archive.
    return {(member.path, member.original) for member in members}
