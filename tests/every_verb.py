"""Every verb that works on tasks, on a simulated server with three of them."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Awaitable, Callable
from pathlib import Path

from engine_serving import QUICK, QUICK_DOWNLOAD, Serving, serving
from media_files import png

import asynccvat as ac

OnEvent = Callable[[ac.Event], None]
Verb = Callable[[Serving, Path, OnEvent], Awaitable[ac.RunReport]]


async def mirror(serve: Serving, folder: Path, on_event: OnEvent) -> ac.RunReport:
    return await ac.mirror(serve.client, folder / "data", options=QUICK, on_event=on_event)


async def download(serve: Serving, folder: Path, on_event: OnEvent) -> ac.RunReport:
    paths = {number: folder / f"task{number}" for number in (1, 2, 3)}
    return await ac.download_many(serve.client, paths, options=QUICK_DOWNLOAD, on_event=on_event)


async def upload(serve: Serving, folder: Path, on_event: OnEvent) -> ac.RunReport:
    await ac.mirror(serve.client, folder / "data", options=QUICK)
    options = ac.UploadOptions(durable=False, force=True)
    return await ac.upload(serve.client, folder / "data", options=options, on_event=on_event)


async def backup(serve: Serving, folder: Path, on_event: OnEvent) -> ac.RunReport:
    options = ac.BackupOptions(durable=False)
    return await ac.backup(serve.client, folder / "backups", options=options, on_event=on_event)


async def restore(serve: Serving, folder: Path, on_event: OnEvent) -> ac.RunReport:
    await ac.backup(serve.client, folder / "backups", options=ac.BackupOptions(durable=False))
    options = ac.RestoreOptions(durable=False)
    return await ac.restore(serve.client, folder / "backups", options=options, on_event=on_event)


async def copy(serve: Serving, folder: Path, on_event: OnEvent) -> ac.RunReport:
    del folder
    async with serving(0) as target:
        options = ac.CopyOptions(durable=False)
        return await ac.copy(serve.client, target.client, options=options, on_event=on_event)


async def create(serve: Serving, folder: Path, on_event: OnEvent) -> ac.RunReport:
    for cam in ("cam1", "cam2", "cam3"):
        (folder / "images" / cam).mkdir(parents=True)
        (folder / "images" / cam / "1.png").write_bytes(png())
    options = ac.CreateOptions(durable=False)
    return await ac.create(
        serve.client, folder / "images", labels=["car"], options=options, on_event=on_event
    )


async def import_dataset(serve: Serving, folder: Path, on_event: OnEvent) -> ac.RunReport:
    spec = ac.ExportSpec("COCO 1.0", images=True)
    files = []
    for number in (1, 2):
        file = folder / f"{number}.zip"
        content = io.BytesIO()
        with zipfile.ZipFile(content, "w") as archive:
            for name, data in (await serve.archive(number, spec)).items():
                archive.writestr(name, data)
        file.write_bytes(content.getvalue())
        files.append(file)
    options = ac.ImportOptions(durable=False)
    return await ac.import_datasets(
        serve.client, 1, files, format="COCO 1.0", options=options, on_event=on_event
    )


async def export_to_cloud(serve: Serving, folder: Path, on_event: OnEvent) -> ac.RunReport:
    (folder / "bucket").mkdir()
    storage = serve.server.add_cloud_storage(folder / "bucket")
    return await ac.export_to_cloud(serve.client, storage.id, "x", on_event=on_event)


async def delete(serve: Serving, folder: Path, on_event: OnEvent) -> ac.RunReport:
    options = ac.DeleteOptions(log=folder / "log.jsonl", durable=False)
    selection = ac.Selection(task_ids=[1, 2, 3])
    return await ac.delete(serve.client, selection, expect=3, options=options, on_event=on_event)


VERBS: tuple[Verb, ...] = (
    mirror,
    download,
    upload,
    backup,
    restore,
    copy,
    create,
    import_dataset,
    export_to_cloud,
    delete,
)
