"""CVAT's own SDK and command line read media without an export, and manage webhooks."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path
from typing import Any, Final

from official_clients import needs_cli, needs_sdk, run_cli, run_script

from asynccvat.simulator import SimulatorOptions
from asynccvat.simulator.threads import serve_in_thread

SCRIPT: Final = """
import io, json, sys
from cvat_sdk import make_client, models

given = json.loads(sys.argv[1])
with make_client(given["url"], credentials=(given["username"], given["password"])) as client:
    task = client.tasks.retrieve(1)
    chunk = io.BytesIO()
    task.download_chunk(0, chunk, quality="original")
    told = {
        "chunk": chunk.getvalue().hex(),
        "frame": task.get_frame(1, quality="original").read().hex(),
        "preview": task.get_preview().read().hex(),
    }
    hooks = client.api_client.webhooks_api
    made, _ = hooks.create(models.WebhookWriteRequest(
        target_url="http://127.0.0.1:1/", type=models.WebhookType("project"), project_id=1,
        events=[models.EventsEnum("update:task")], secret="s"))
    ping, _ = hooks.create_ping(made.id)
    told["ping"] = [ping.event, ping.status_code]
    task.update({"name": "other"})
    changed, _ = hooks.partial_update(
        made.id, patched_webhook_write_request=models.PatchedWebhookWriteRequest(is_active=False))
    told["active"] = changed.is_active
    told["hooks"] = [one.id for one in hooks.list()[0].results]
    told["deliveries"] = hooks.list_deliveries(made.id)[0].count
    hooks.destroy(made.id)
    told["left"] = hooks.list()[0].count
print(json.dumps(told))
"""

OPTIONS: Final = SimulatorOptions(tasks=1, frames=2, version="2.64.0")


@needs_sdk
def test_the_sdk_reads_media_and_manages_webhooks(tmp_path: Path) -> None:
    with serve_in_thread(OPTIONS) as server:
        access = {"url": server.url, "username": server.username, "password": server.password}
        told: dict[str, Any] = json.loads(run_script(SCRIPT, json.dumps(access), tmp_path))
        first, second = (frame.data() for frame in server.tasks[1].frames())
    with zipfile.ZipFile(io.BytesIO(bytes.fromhex(told["chunk"]))) as archive:
        assert [archive.read(name) for name in archive.namelist()] == [first, second]
    assert bytes.fromhex(told["frame"]) == second
    assert bytes.fromhex(told["preview"]).startswith(b"\xff\xd8\xff")
    assert told["ping"] == ["ping", 502]
    assert (told["active"], told["hooks"]) == (False, [1])
    assert told["deliveries"] >= 1
    assert told["left"] == 0


@needs_cli
def test_the_command_line_downloads_frames(tmp_path: Path) -> None:
    with serve_in_thread(OPTIONS) as server:
        where = ["--outdir", str(tmp_path), "--quality", "original"]
        run_cli(server, tmp_path, "task", "frames", *where, "1", "0", "1")
        found = [path.read_bytes() for path in sorted(tmp_path.glob("*.jp*g"))]
        seeds = [f"seed {frame.seed}".encode() for frame in server.tasks[1].frames()]
        # It encodes them again; the comment in each picture stays.
        assert [seed in picture for seed, picture in zip(seeds, found, strict=True)] == [True] * 2
