"""Whether an export of annotations alone will do, and the images stay as they are here.

To pack the images of a task again costs a server seconds and a line gigabytes, and where only
annotations changed it gives the same bytes. A receipt therefore carries a digest of what CVAT says
of a task's media; as long as that is the same before and after an export of annotations alone, the
images here are those that a full export would have brought. All guards are here, as pure
functions; asking the server is left to `media`, taking the images over to `archives`.

It is done where the annotation files with and without images are the same, as recorded of CVAT
2.54: COCO, Datumaro, Ultralytics YOLO Detection, and CVAT for images. The latter's XML names the
moment of its own export in `<dumped>`, which is another one in every export, with images or
without: what stands there is true of the export that was made. PASCAL VOC's files differ.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from datetime import datetime

import msgspec

from asynccvat.core.models import DataMeta, ExportSpec, Task
from asynccvat.core.plans.mirror import Reason
from asynccvat.core.receipts import MemberRecord, ReceiptHead

REFRESH_FROM = 4 * 1024 * 1024
"""Bytes of media from which it pays. A server packs some 30 MB a second, so that these take it an
eighth of a second and more; one call more than for a full export takes it 20 to 40 ms."""

_FORMATS = frozenset(
    {
        "CVAT for images 1.1",
        "COCO 1.0",
        "Datumaro 1.0",
        "Ultralytics YOLO Detection 1.0",
    }
)
_MEDIA_FOLDER = "images/"
# What may have changed no images.
_OF_ANNOTATIONS = (Reason.CHANGED, Reason.UPLOADED)


def is_refreshable(spec: ExportSpec) -> bool:
    """Whether exports of this kind may be refreshed at all."""
    return spec.images and spec.format in _FORMATS


def media_here(
    task: Task, reason: str, previous: ReceiptHead | None, spec: ExportSpec
) -> str | None:
    """The digest of the media that are here, where it is worth asking whether they still are right.

    Args:
        task: The task, as listed.
        reason: Why it is fetched.
        previous: What is here of it.
        spec: What it is fetched as.
    """
    # Other reasons: what is missing here may be images, and who forces wants everything anew.
    if (
        previous is None
        or not previous.is_made_as(spec)
        or reason not in _OF_ANNOTATIONS
        or task.without_data
    ):
        return None
    return previous.media_fingerprint if is_refreshable(spec) else None


def media_of(members: Iterable[MemberRecord]) -> tuple[MemberRecord, ...]:
    """The images among the members of a refreshable export."""
    return tuple(member for member in members if member.path.startswith(_MEDIA_FOLDER))


def is_worth_refreshing(members: Iterable[MemberRecord], spec: ExportSpec) -> bool:
    """Whether a folder holds so many bytes of images that it should be refreshed later."""
    return is_refreshable(spec) and sum(one.size for one in media_of(members)) >= REFRESH_FROM


def media_digest(meta: DataMeta, task: Task) -> str | None:
    """What identifies a task's media: SHA-256 of what CVAT says of them, and of the subset.

    None where it does not say enough: older servers have no `chunks_updated_date`, and files
    in a cloud storage or on a share can change without CVAT knowing.
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


def held_media(meta: DataMeta, task: Task, members: Iterable[MemberRecord]) -> str | None:
    """The digest of the media that a full export brought, None where that is not certain.

    It is certain when the server made its media before the task was last edited, as that was
    listed before the export, and when there are as many images as frames that are not deleted.

    Args:
        meta: What the server says of the media after the export.
        task: The task, as listed before it.
        members: What the export held.
    """
    made, edited = meta.chunks_updated_date, _moment(task.updated_date)
    if made is None or edited is None or made > edited or meta.size is None:
        return None
    frames = meta.size if meta.included_frames is None else len(meta.included_frames)
    if len(media_of(members)) != frames - len(meta.deleted_frames):
        return None
    return media_digest(meta, task)


def _moment(text: str) -> datetime | None:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return moment if moment.tzinfo is not None else None


def fits(annotations: Sequence[MemberRecord], previous: Sequence[MemberRecord]) -> bool:
    """Whether an export of annotations alone holds just the files that are here beside images.

    Their names tell of the subset and, in some formats, of the frames.
    """
    images = media_of(previous)
    beside = {member.path for member in previous} - {member.path for member in images}
    return {member.path for member in annotations} == beside
