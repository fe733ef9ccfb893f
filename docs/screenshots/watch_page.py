"""Take a picture of the status page of a watch, `docs/assets/watch-page.png`, with Chromium.

    python docs/screenshots/watch_page.py

It watches a simulated server whose tasks are edited and one of whose tasks cannot be exported.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
from pathlib import Path

from playwright.async_api import async_playwright

import asynccvat as ac
from asynccvat.simulator import Fault, SimulatedServer, SimulatorOptions

TARGET = Path(__file__).resolve().parents[1] / "assets" / "watch-page.png"
TASKS, EDITED, FAILING = 120, (7, 31, 98, 12), 64
SECRET = "picture"  # noqa: S105 - of a server that lives for a second


async def main() -> None:
    """Watch a few rounds, open the page, and take the picture."""
    chromium = shutil.which("chromium")
    if chromium is None:
        raise SystemExit("chromium is not installed")
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        async with SimulatedServer(SimulatorOptions(tasks=TASKS)) as server:
            await _picture(server, chromium)
    print(f"{TARGET}: {TARGET.stat().st_size:,} bytes")


async def _picture(server: SimulatedServer, chromium: str) -> None:
    account = {"username": server.username, "password": server.password}
    options = ac.MirrorOptions(durable=False, retries=0)
    async with ac.CvatClient(server.url, **account) as client:
        watching = ac.WatchOptions(every=2)
        watch = ac.watch(client, "data", options=options, watching=watching)
        async with ac.serve_watch(watch, listen="127.0.0.1:0", secret=SECRET) as addresses:
            assert addresses.webhook is not None
            await client.webhooks.register(addresses.webhook, secret=SECRET, project_id=1)
            await anext(watch)
            for task_id in EDITED:
                server.edit_task(task_id)
                await anext(watch)
            server.faults.add(
                Fault(path=f"/api/tasks/{FAILING}/dataset/export", status=500, times=None)
            )
            server.edit_task(FAILING)
            await anext(watch)
            async with async_playwright() as driver:
                browser = await driver.chromium.launch(
                    executable_path=chromium, args=["--no-sandbox"]
                )
                page = await browser.new_page(viewport={"width": 1100, "height": 760})
                await page.goto(addresses.status)
                await page.screenshot(path=TARGET, full_page=True)
                await browser.close()


if __name__ == "__main__":
    asyncio.run(main())
