"""Open the status page of a watch in Chromium: it is laid out, loads nothing and logs nothing."""

from __future__ import annotations

import os
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from engine_serving import Serving, serving
from watching import rounds

import asynccvat as ac
from asynccvat.simulator import Fault

pytestmark = pytest.mark.anyio

playwright = pytest.importorskip("playwright.async_api", reason="playwright is not installed")
CHROMIUM = shutil.which("chromium")
HOSTILE = "</td><script>document.title='stolen'</script>"
SIZES = [(1280, 900), (820, 1180), (390, 844)]


@pytest.fixture
async def browser() -> AsyncIterator[Any]:
    if CHROMIUM is None:
        pytest.skip("chromium is not installed")
    async with playwright.async_playwright() as driver:
        opened = await driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        try:
            yield opened
        finally:
            await opened.close()


@pytest.fixture
async def serve() -> AsyncIterator[Serving]:
    async with serving(5) as started:
        yield started


async def watched_with_a_failure(serve: Serving, data: Path) -> ac.Watch:
    """A watch whose first rounds met a hostile name, a change and a failing task."""
    serve.server.rename_task(2, HOSTILE)
    serve.server.faults.add(Fault(path="/api/tasks/4/dataset/export", status=500, times=None))
    options = ac.MirrorOptions(durable=False, retries=0)
    watched = ac.watch(serve.client, data, options=options, watching=ac.WatchOptions(every=0.01))
    await rounds(watched, 1)
    serve.server.edit_task(2)
    await rounds(watched, 2)
    return watched


@pytest.mark.parametrize(("width", "height"), SIZES)
@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_the_page_fits_every_screen(
    browser: Any, serve: Serving, data: Path, *, width: int, height: int, scheme: str
) -> None:
    watched = await watched_with_a_failure(serve, data)
    told: list[str] = []
    asked: list[str] = []
    async with ac.serve_watch(watched, status_listen="127.0.0.1:0") as addresses:
        page = await browser.new_page(
            viewport={"width": width, "height": height}, color_scheme=scheme
        )
        page.on("console", lambda message: told.append(message.text))
        page.on("pageerror", lambda error: told.append(str(error)))
        page.on("request", lambda request: asked.append(request.url))
        await page.goto(addresses.status)
        assert await page.title() == f"asynccvat watch: {data}"
        assert "Not up to date: 1 task failed" in await page.inner_text(".state")
        assert HOSTILE in await page.inner_text("main")
        assert await page.locator("script").count() == 0
        wide = await page.evaluate("document.documentElement.scrollWidth")
        assert wide <= width, "the page itself never scrolls sideways; its tables do"
        # The style is allowed by its digest alone, so a page without it has another font.
        font = await page.evaluate("getComputedStyle(document.body).fontFamily")
        assert "system-ui" in font
        if "ASYNCCVAT_SCREENSHOTS" in os.environ:
            folder = Path(os.environ["ASYNCCVAT_SCREENSHOTS"])
            await page.screenshot(path=folder / f"watch-{width}-{scheme}.png", full_page=True)
        await page.close()
    assert told == []
    assert {url.rpartition("/")[2] for url in asked} == {"status"}


async def test_a_round_of_the_table_leads_to_its_page(
    browser: Any, serve: Serving, data: Path
) -> None:
    watched = await watched_with_a_failure(serve, data)
    async with ac.serve_watch(watched, status_listen="127.0.0.1:0") as addresses:
        page = await browser.new_page()
        await page.goto(addresses.status)
        await page.click("text='2'")
        assert await page.inner_text("h1") == "Round 2"
        assert HOSTILE in await page.inner_text("main")
        assert str(data / "task2") in await page.inner_text("main")
        await page.click("main a")
        assert page.url == addresses.status
        answer = await page.goto(f"{addresses.status}/rounds/99")
        assert answer.status == 404
        await page.close()


async def test_the_page_turns_green(browser: Any, serve: Serving, data: Path) -> None:
    watched = await watched_with_a_failure(serve, data)
    async with ac.serve_watch(watched, status_listen="127.0.0.1:0") as addresses:
        page = await browser.new_page()
        await page.goto(addresses.status)
        assert await page.locator(".state.bad").count() == 1
        serve.server.faults.clear()
        while not watched.status.is_up_to_date:
            await rounds(watched, 1)
        await page.reload()
        assert await page.locator(".state.good").count() == 1
        assert (await page.inner_text(".state")).startswith("Up to date")
        await page.close()
