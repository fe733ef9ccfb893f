"""Handlers of the media of a task without an export: chunks and frames of images.

The bytes are those of the originals. Videos are opaque here, so they have neither.
"""

from __future__ import annotations

import io
import mimetypes
import zipfile
from pathlib import PurePosixPath

from asynccvat.simulator.routes.calls import Call
from asynccvat.simulator.routes.lookups import find_task
from asynccvat.simulator.wire.responses import (
    ServerResponse,
    json_string,
    plain_text,
    server_error_page,
)
from asynccvat.simulator.world.content import Frame


async def show_data(call: Call) -> ServerResponse:
    """`GET /api/tasks/{id}/data?type=chunk|frame&number=`: send a chunk, a frame or a preview."""
    task = find_task(call, call.number)
    if not task.size:
        raise server_error_page()
    if task.media is not None and task.media.video:
        raise plain_text(400, "The simulator does not decode videos")
    frames, length = task.frames(), task.data_chunk_size or task.size
    match call.query.get("type"):
        case "preview":
            return _image(frames[0])
        case "frame":
            # Seen: the range that CVAT names goes one too far.
            number = _number(call, "frame", "frame number", task.size)
            if number == task.size:
                raise server_error_page()
            return _image(frames[number])
        case "chunk":
            number = _number(call, "chunk number", "chunk number", (task.size - 1) // length)
            return _chunk(frames[number * length : (number + 1) * length])
        case _:
            raise plain_text(400, "Data type not specified or not supported")


def _number(call: Call, name: str, subject: str, last: int) -> int:
    text = call.query.get("number", "")
    if not text.isdecimal() or int(text) > last:
        words = f"Invalid {name} '{text}'. The {subject} should be in the [0, {last}] range"
        raise json_string(400, words)
    return int(text)


def _image(frame: Frame) -> ServerResponse:
    media_type = mimetypes.guess_type(frame.name)[0] or "application/octet-stream"
    return ServerResponse(200, frame.data(), media_type)


def _chunk(frames: tuple[Frame, ...]) -> ServerResponse:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_STORED) as archive:
        for number, frame in enumerate(frames):
            suffix = PurePosixPath(frame.name).suffix
            archive.writestr(f"{number:06d}{suffix}", frame.data())
    return ServerResponse(200, stream.getvalue(), "application/zip")
