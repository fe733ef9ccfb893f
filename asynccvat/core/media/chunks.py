"""Plan the chunks of a task's media, and name the files that they hold.

CVAT sends media in chunks of some frames. Those of images are zips with a member `000000.jpg` for
each frame, deleted ones included: the bytes are those of an export with images (recorded of 2.64).
Those of videos are MP4 files that CVAT encoded.

These are pure functions. `archives.media` fetches the chunks.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import msgspec

from asynccvat.core.decoding import UNREADABLE
from asynccvat.core.media.kinds import MediaType, media_type
from asynccvat.core.models import DataMeta
from asynccvat.core.name_mapping import map_names
from asynccvat.core.paths import NameRules, NameSet, safe_member_path
from asynccvat.core.records.receipts import MemberRecord
from asynccvat.errors import IntegrityError, ProtocolError, UnsafePathError

IMAGES = "images"
"""The folder of images, as in exports."""
VIDEO = "video"
"""The folder of a video's pieces."""

# A call for a frame costs the server 40 ms, and one for a chunk of 72 frames over a second.
_FRAMES_FOR_A_CHUNK = 8
_MEMBER = re.compile(r"(\d{6,})\.[^./\\]+\Z", re.ASCII)


class _Frame(msgspec.Struct, frozen=True):
    name: str
    width: int | None = None
    height: int | None = None
    related_files: int = 0


class _Meta(DataMeta, frozen=True, kw_only=True):
    """What CVAT says about a task's media, with its frames."""

    chunk_size: int | None = None
    start_frame: int | None = None
    stop_frame: int | None = None
    frame_filter: str | None = None
    frames: tuple[_Frame, ...] = ()


@dataclass(frozen=True, slots=True)
class MediaChunk:
    """One chunk, and the files that it becomes.

    Attributes:
        number: Its number, from 0.
        first: The number of its first frame in the task.
        paths: Where each of its frames goes; None for one that is left out. Of a video, where the
            chunk goes.
        is_video: Whether it is an MP4 file rather than a zip of images.
    """

    number: int
    first: int
    paths: tuple[str | None, ...]
    is_video: bool = False

    @property
    def wanted(self) -> tuple[str, ...]:
        """The paths of the files that it becomes."""
        return tuple(path for path in self.paths if path is not None)


@dataclass(frozen=True, slots=True)
class TaskMedia:
    """The media of a task, as the server describes them.

    Attributes:
        chunks: Those of which a file is wanted.
        version: A digest of what the server says of the media. Deleted frames are not part of it.
        fingerprint: The same if media of this version are always the same; None if they may change
            unnoticed, as in a cloud storage, or on a server that does not date them.
        updated: When the media last changed; None from older servers.
        originals: The names of files that go to a mapped path, by path.
        related: How many files in all are related to frames. They are not among these media.
    """

    chunks: tuple[MediaChunk, ...]
    version: str
    fingerprint: str | None
    updated: datetime | None
    originals: Mapping[str, str]
    related: int = 0

    @property
    def paths(self) -> tuple[str, ...]:
        """The paths of all files that are wanted."""
        return tuple(path for chunk in self.chunks for path in chunk.wanted)


def read_task_media(
    meta: bytes, task_id: int, *, is_video: bool, rules: NameRules, do_map_names: bool = False
) -> TaskMedia:
    """Plan the chunks of a task's media.

    Args:
        meta: What `GET /api/tasks/{id}/data/meta` says.
        task_id: The task, for messages.
        is_video: Whether its chunks are pieces of a video.
        rules: What names the destination can hold.
        do_map_names: Whether names that it cannot hold are mapped to safe ones.

    Raises:
        ProtocolError: The server does not say which frames there are.
        UnsafePathError: A name is unsafe, or clashes with another, and is not mapped.
    """
    try:
        told = msgspec.json.decode(meta, type=_Meta)
    except UNREADABLE as error:
        raise _unusable(task_id, str(error)) from error
    size = told.size or 0
    if not is_video and len(told.frames) != size:
        raise _unusable(task_id, f"it names {len(told.frames)} frames of {size}")
    length = told.chunk_size or size or 1
    originals: dict[str, str] = {}
    if is_video:
        numbers = range(-(-size // length))
        chunks = [
            MediaChunk(number, number * length, (f"{VIDEO}/{number:06d}.mp4",), is_video=True)
            for number in numbers
        ]
    else:
        wanted = _wanted_names(told)
        paths = _paths(wanted, rules, do_map_names=do_map_names)
        originals = {path: name for name, path in paths.items() if path != name}
        of_frames = [None if name is None else paths[name] for name in wanted]
        chunks = [
            MediaChunk(number, first, tuple(of_frames[first : first + length]))
            for number, first in enumerate(range(0, size, length))
        ]
    version = _version(told)
    is_local = told.storage == "local" and told.cloud_storage_id is None
    return TaskMedia(
        chunks=tuple(chunk for chunk in chunks if chunk.wanted),
        version=version,
        fingerprint=version if is_local and told.chunks_updated_date is not None else None,
        updated=told.chunks_updated_date,
        originals=originals,
        related=sum(frame.related_files for frame in told.frames),
    )


def _unusable(task_id: int, why: str) -> ProtocolError:
    return ProtocolError(
        f"cannot read the media of task {task_id}: the server does not say which frames there are "
        f"({why}). Run again, or mirror without --images.",
        task_id=task_id,
        step="download",
    )


def _wanted_names(told: _Meta) -> list[str | None]:
    """Return the name of each frame as an export has it; None for one that it leaves out."""
    deleted = frozenset(told.deleted_frames)
    included = None if told.included_frames is None else frozenset(told.included_frames)
    names: list[str | None] = []
    seen = set()
    for number, frame in enumerate(told.frames):
        # A honeypot shows an image of the ground truth once more, under the same name.
        is_wanted = number not in deleted and (included is None or number in included)
        is_wanted = is_wanted and frame.name not in seen
        names.append(f"{IMAGES}/{frame.name}" if is_wanted else None)
        if is_wanted:
            seen.add(frame.name)
    return names


def _paths(
    names: Iterable[str | None], rules: NameRules, *, do_map_names: bool
) -> Mapping[str, str]:
    """Return a safe path for each name."""
    wanted = [name for name in names if name is not None]
    try:
        safe = NameSet(rules)
        paths = {}
        for name in wanted:
            paths[name] = safe_member_path(name, rules)
            safe.add(paths[name], is_directory=False)
    except UnsafePathError:
        if not do_map_names:
            raise
        return map_names(wanted, rules)
    return paths


def _version(told: _Meta) -> str:
    """Return a digest of what changes with the media."""
    said = (
        told.size,
        told.chunk_size,
        told.start_frame,
        told.stop_frame,
        told.frame_filter,
        told.chunks_updated_date,
        [(frame.name, frame.width, frame.height) for frame in told.frames],
    )
    return hashlib.sha256(msgspec.json.encode(said)).hexdigest()


def is_newer(updated: str | None, media: TaskMedia) -> bool:
    """Whether a chunk is of newer media than these.

    Args:
        updated: The `X-Updated-Date` that came with the chunk; None if none came.
        media: The media, as the server described them.
    """
    if updated is None or media.updated is None:
        return False
    try:
        moment = datetime.fromisoformat(updated)
    except ValueError:
        return False
    return moment.tzinfo is not None and moment > media.updated


def paths_of_members(names: Sequence[str], chunk: MediaChunk) -> list[str | None]:
    """Return where each member of a chunk goes; None for one that is left out.

    Args:
        names: The names of the members.
        chunk: The chunk.

    Raises:
        IntegrityError: The chunk has other frames than the server's list of them.
    """
    found = [_MEMBER.match(name) for name in names]
    numbers = [-1 if one is None else int(one[1]) for one in found]
    if sorted(numbers) != list(range(len(chunk.paths))):
        raise IntegrityError(
            f"chunk {chunk.number} holds {len(names)} files, and should hold the "
            f"{len(chunk.paths)} frames from {chunk.first} on, numbered from 000000. Fetch it "
            "again.",
        )
    return [chunk.paths[number] for number in numbers]


def single_frames(chunk: MediaChunk, missing: Collection[str]) -> Mapping[int, str]:
    """Return the frames to fetch one by one, by number; none if the whole chunk is better.

    Few frames of a chunk are missing where most were deleted, or where files on disk were damaged.
    CVAT encodes frames of other types than JPEG and PNG, so these come in their chunk.

    Args:
        chunk: The chunk.
        missing: The paths of the files that are not on disk.
    """
    if chunk.is_video or len(missing) * _FRAMES_FOR_A_CHUNK > len(chunk.paths):
        return {}
    if not all(media_type(path) in (MediaType.JPEG, MediaType.PNG) for path in missing):
        return {}
    return {
        chunk.first + at: path
        for at, path in enumerate(chunk.paths)
        if path is not None and path in missing
    }


class FetchedChunk(msgspec.Struct, frozen=True, array_like=True):
    """A chunk whose files are whole in staging, as a killed run notes it for the next one.

    Attributes:
        fingerprint: That of the media.
        files: The files.
    """

    fingerprint: str
    files: tuple[MemberRecord, ...]


_line = msgspec.json.Decoder(FetchedChunk)


def encode_fetched(fetched: FetchedChunk) -> bytes:
    """Return a line for the notes of a task."""
    return msgspec.json.encode(fetched) + b"\n"


def noted_files(notes: bytes, fingerprint: str) -> dict[str, MemberRecord]:
    """Return the files that notes name for media of this fingerprint, by path.

    A torn line is left out, as a killed run leaves one.
    """
    found: dict[str, MemberRecord] = {}
    for line in notes.splitlines():
        try:
            fetched = _line.decode(line)
        except UNREADABLE:
            continue
        if fetched.fingerprint == fingerprint:
            found |= {one.path: one for one in fetched.files}
    return found


def left_out(media: TaskMedia) -> tuple[str, ...]:
    """Return warnings about what CVAT does not send as it was uploaded.

    CVAT encodes TIFF images anew. The plan of a run tells of videos.
    """
    tiffs = sum(media_type(path) is MediaType.TIFF for path in media.paths)
    told = []
    if tiffs:
        told.append(
            f"{tiffs} images are TIFF, which CVAT may encode anew before it sends them. For the "
            "original bytes, use `asynccvat backup`."
        )
    if media.related:
        told.append(
            f"{media.related} files that belong to frames are not among the media. To have them, "
            "use `asynccvat backup`."
        )
    return tuple(told)
