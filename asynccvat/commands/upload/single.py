"""Import one file into one task, outside any run and any mirror."""

from __future__ import annotations

from pathlib import Path

from asynccvat.aio.threads import entered_in_thread, in_thread, shielded
from asynccvat.client import CvatClient, internals
from asynccvat.client.exports import MAX_COLLISIONS
from asynccvat.client.poller import Poller
from asynccvat.commands.upload.local_files import find_source, prepared
from asynccvat.commands.upload.loss_guard import LossGuard
from asynccvat.core.models import ServerRequest
from asynccvat.transfer.imports import Imports


async def import_file(
    client: CvatClient,
    task_id: int,
    path: Path,
    format_name: str,
    *,
    mode: str,
    timeout: float,
    lossy: bool = False,
    allow_empty: bool = False,
) -> ServerRequest:
    """Import a file, and wait for the end. `api.upload_annotations` documents it."""
    source = await in_thread(lambda: find_source(path, format_name).inspected())
    importer = await internals(client).importer(format_name)
    await internals(client).check_mode(mode)
    kind = source.check(importer)
    guard = LossGuard(
        task_id, source, kind, importer.name, mode=mode, lossy=lossy, allow_empty=allow_empty
    )
    async with entered_in_thread(prepared(source, kind)) as (file, _):
        upload = internals(client).begin_upload(task_id, file, importer=importer.name, mode=mode)
        await guard.check((await client.annotations(task_id)).counts)
        await upload.send()
        poller = Poller(client, timeout=timeout, action="import")
        imports = Imports(client, poller, retries=MAX_COLLISIONS, emit=lambda _event: None)
        try:
            request = await poller.during(imports.run(upload))
        finally:
            await shielded(imports.cancel_queued())
    await guard.result(client)
    return request
