"""Handlers of the media of a task without an export: chunks, frames and previews.

Originals are the bytes that exports have. Nothing is decoded here: compressed images and frames of
videos are pictures of the same size that are drawn.
"""

from __future__ import annotations

import io
import mimetypes
import zipfile
import zlib
from pathlib import PurePosixPath
from typing import Final

from asynccvat.simulator.formats.video_chunks import write_video_chunk
from asynccvat.simulator.routes.calls import Call
from asynccvat.simulator.routes.lookups import find_task
from asynccvat.simulator.wire.responses import (
    ServerResponse,
    json_string,
    messages,
    server_error_page,
)
from asynccvat.simulator.world.content import Frame
from asynccvat.simulator.world.dates import stamp
from asynccvat.simulator.world.jpeg import draw_jpeg
from asynccvat.simulator.world.tasks import Task

_PREVIEW: Final = 256
"""Pixels of the longer side of a preview."""


async def show_data(call: Call) -> ServerResponse:
    """`GET /api/tasks/{id}/data?type=chunk|frame&number=`: send a chunk, a frame or a preview."""
    task = find_task(call, call.number)
    if not task.size:
        raise server_error_page()
    quality = call.query.get("quality", "compressed")
    if quality not in ("compressed", "original"):
        raise messages(400, "Wrong quality value")
    match call.query.get("type"):
        case "preview":
            return _preview(task)
        case "frame":
            return _frame(call, task, original=quality == "original")
        case "chunk":
            return _chunk(call, task, original=quality == "original")
        case _:
            raise messages(400, "Data type not specified or not supported")


async def show_preview(call: Call) -> ServerResponse:
    """`GET /api/tasks/{id}/preview`: send a small picture of the first frame."""
    task = find_task(call, call.number)
    if not task.size:
        raise server_error_page()
    return _preview(task)


def _number(call: Call, name: str, subject: str, last: int) -> int:
    text = call.query.get("number", "")
    if not text.isdecimal() or int(text) > last:
        words = f"Invalid {name} '{text}'. The {subject} should be in the [0, {last}] range"
        raise json_string(400, words)
    return int(text)


def _preview(task: Task) -> ServerResponse:
    frame = task.frames()[0]
    longer = max(frame.width, frame.height, 1)
    sides = (max(1, side * _PREVIEW // longer) for side in (frame.width, frame.height))
    return ServerResponse(200, draw_jpeg(frame.seed, *sides), "image/jpeg")


def _frame(call: Call, task: Task, *, original: bool) -> ServerResponse:
    size = task.size or 0
    # Seen: the range that CVAT names goes one too far.
    number = _number(call, "frame", "frame number", size)
    if number == size:
        raise server_error_page()
    frame = task.frames()[number]
    if original or task.video:
        media_type = mimetypes.guess_type(frame.name)[0] or "application/octet-stream"
        return ServerResponse(200, frame.data(), media_type)
    return ServerResponse(200, _compressed(frame), "image/jpeg")


def _chunk(call: Call, task: Task, *, original: bool) -> ServerResponse:
    size = task.size or 0
    length = task.data_chunk_size or size
    number = _number(call, "chunk number", "chunk number", (size - 1) // length)
    frames = task.frames()[number * length : (number + 1) * length]
    if task.video:
        pictures = [frame.data() for frame in frames]
        body = write_video_chunk(pictures, frames[0].width, frames[0].height)
    else:
        body = _zipped(frames, original=original)
    changed = task.chunks_updated_date or task.created_date
    headers = {"X-Checksum": _checksum(body), "X-Updated-Date": stamp(changed) or ""}
    media_type = "video/mp4" if task.video else "application/zip"
    return ServerResponse(200, body, media_type, headers)


def _checksum(body: bytes) -> str:
    """Return a number that stands for a chunk.

    Recorded: a chunk that is asked for again has the same number, and the number is not the CRC-32
    of the body. What CVAT computes it from is not known.
    """
    return str(zlib.crc32(b"a chunk: " + body))


def _zipped(frames: tuple[Frame, ...], *, original: bool) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_STORED) as archive:
        for number, frame in enumerate(frames):
            suffix = PurePosixPath(frame.name).suffix if original else ".jpeg"
            data = frame.data() if original else _compressed(frame)
            archive.writestr(f"{number:06d}{suffix}", data)
    return stream.getvalue()


def _compressed(frame: Frame) -> bytes:
    return draw_jpeg(zlib.crc32(frame.data()), frame.width, frame.height)
