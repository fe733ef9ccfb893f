"""Read multipart forms: files are streamed, fields are kept."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, Final

import aiohttp

from asynccvat.simulator.routes.calls import Call
from asynccvat.simulator.wire.responses import detail

_PIECE: Final = 1 << 16
_LISTS: Final = ("server_files", "remote_files", "upload_file_order", "job_file_mapping")

TakeFile = Callable[[str, str, AsyncIterator[bytes]], Awaitable[None]]
"""Takes a file of a form: the field's name, the file's name, its bytes."""


async def read_form(call: Call, take_file: TakeFile) -> dict[str, Any]:
    """Read a form; return its fields.

    A field named like a list, such as `server_files[0]`, becomes an element of that list.

    Raises:
        RefusedError: 400, the form is broken.
    """
    fields: dict[str, Any] = {}
    try:
        form = aiohttp.MultipartReader(call.request.headers, call.request.content)
        while (part := await form.next()) is not None:
            if not isinstance(part, aiohttp.BodyPartReader) or part.name is None:
                continue
            if part.filename is not None:
                await take_file(part.name, part.filename, _chunks(call, part))
                continue
            name, text = part.name.partition("[")[0], (await part.read(decode=True)).decode()
            if name in _LISTS:
                fields.setdefault(name, []).append(text)
            else:
                fields[name] = text
    except ValueError as error:
        raise detail(400, f"Multipart form parse error - {error}") from None
    return fields


async def _chunks(call: Call, part: aiohttp.BodyPartReader) -> AsyncIterator[bytes]:
    while piece := await part.read_chunk(_PIECE):
        call.count_received(piece)
        yield piece
