"""Take pictures of a report page, `docs/assets/report-*.png`, at three sizes with Chromium.

    python docs/screenshots/report_page.py

The page is that of a mirror of a simulated server, some of whose tasks cannot be exported.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
import tempfile
from pathlib import Path

from playwright.async_api import async_playwright

from asynccvat.simulator import Fault, SimulatedServer, SimulatorOptions

ASSETS = Path(__file__).resolve().parents[1] / "assets"
TASKS, FAILING = 240, (31, 77, 78, 190)
SIZES = {
    "desktop": (1180, 1500, "light"),
    "tablet": (820, 1100, "dark"),
    "phone": (390, 844, "light"),
}


async def main() -> None:
    """Mirror, open the page, and take the pictures."""
    chromium = shutil.which("chromium")
    if chromium is None:
        raise SystemExit("chromium is not installed")
    with tempfile.TemporaryDirectory() as folder:
        page = Path(folder) / "report.html"
        options = SimulatorOptions(
            tasks=TASKS, frames=6, frame_bytes=200_000, costs=True, export_workers=4
        )
        async with SimulatedServer(options) as server:
            for task_id in FAILING:
                server.faults.add(
                    Fault(path=f"/api/tasks/{task_id}/dataset/export", status=500, times=None)
                )
            await _mirror(server, page)
        await _pictures(page, chromium)


async def _mirror(server: SimulatedServer, page: Path) -> None:
    account = {
        "CVAT_URL": server.url,
        "CVAT_USERNAME": server.username,
        "CVAT_PASSWORD": server.password,
    }
    command = ("mirror", "data/", "--images", "--retries", "0", "--bwlimit", "12M", "--quiet")
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "asynccvat", *command, "--report", str(page)),
        cwd=page.parent,
        env=os.environ | account,
    )
    await process.wait()


async def _pictures(page: Path, chromium: str) -> None:
    async with async_playwright() as driver:
        browser = await driver.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        for name, (width, height, scheme) in SIZES.items():
            tab = await browser.new_page(
                viewport={"width": width, "height": height}, color_scheme=scheme
            )
            await tab.goto(page.as_uri())
            await tab.wait_for_selector("html[data-ready]", state="attached")
            target = ASSETS / f"report-{name}.png"
            await tab.screenshot(path=target)
            print(f"{target}: {target.stat().st_size:,} bytes")
        await browser.close()


if __name__ == "__main__":
    asyncio.run(main())
