"""Import one file into one task, outside any run and any mirror."""

from __future__ import annotations

import logging
from contextlib import AsyncExitStack
from pathlib import Path

from asynccvat.aio.threads import entered_in_thread, in_thread, shielded
from asynccvat.client import CvatClient, internals
from asynccvat.client.exports import MAX_COLLISIONS
from asynccvat.client.poller import Poller
from asynccvat.commands.upload.discovery import exact_format
from asynccvat.commands.upload.keeping import Keeper
from asynccvat.commands.upload.local_files import find_source, prepared
from asynccvat.commands.upload.loss_guard import LossGuard
from asynccvat.commands.upload.replacement import Replacement
from asynccvat.core.options.upload import UploadOptions
from asynccvat.core.requests import ServerRequest
from asynccvat.core.specs import CVAT_JSON
from asynccvat.errors import AsyncCvatError, ConfigError
from asynccvat.store import ReplacedAnnotations
from asynccvat.transfer.imports import Imports

_log = logging.getLogger(__name__)


async def import_file(
    client: CvatClient, task_id: int, path: Path, format_name: str, options: UploadOptions
) -> ServerRequest:
    """Import a file, and wait for the end. `api.upload_annotations` documents it."""
    format_name = await exact_format(client, format_name)
    if format_name == CVAT_JSON:
        raise ConfigError(
            f"cannot import {str(path)!r} as {CVAT_JSON!r}: the server has no importer for it. "
            "`upload` sends it without an import.",
            step="upload",
        )
    source = await in_thread(lambda: find_source(path, format_name).inspected())
    await internals(client).check_version()
    importer = await internals(client).importer(format_name)
    await internals(client).check_may_write()
    await internals(client).check_mode(options.mode)
    kind = source.check(importer)
    guard = LossGuard(
        task_id,
        source,
        kind,
        importer.name,
        mode=options.mode,
        lossy=options.lossy,
        allow_empty=options.allow_empty,
    )
    async with AsyncExitStack() as stack:
        keeper = Keeper(task_id, await _place_to_keep(client, options, stack), options)
        replacement = Replacement(client, task_id, guard, keeper)
        file, _ = await stack.enter_async_context(entered_in_thread(prepared(source, kind)))
        upload = internals(client).begin_upload(
            task_id, file, importer=importer.name, mode=options.mode, prepare=replacement.prepare
        )
        if not upload.is_small:
            await replacement.read()
        await upload.send()
        poller = Poller(client, timeout=options.import_timeout, action="import")
        imports = Imports(client, poller, retries=MAX_COLLISIONS, emit=lambda _event: None)
        try:
            request = await poller.during(imports.run(upload))
        except AsyncCvatError as error:
            await replacement.explain(error)
            raise
        finally:
            await shielded(imports.cancel_queued())
        _, warnings = await replacement.result()
        for warning in warnings:
            # The finished request has no place for them.
            _log.warning("task %d: %s", task_id, warning)
        return request


async def _place_to_keep(
    client: CvatClient, options: UploadOptions, stack: AsyncExitStack
) -> ReplacedAnnotations | None:
    if options.backup_dir is None:
        return None
    return await stack.enter_async_context(
        ReplacedAnnotations.open(
            Path(options.backup_dir), origin=client.origin, durable=options.durable
        )
    )
