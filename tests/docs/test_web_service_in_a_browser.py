"""Open the page of the FastAPI service in Chromium, and mirror a project with its button."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from example_service import service

from asynccvat.simulator import Fault, ServerProcess, SimulatorOptions

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
pytest.importorskip("fastapi", reason="fastapi is not installed")
pytest.importorskip("uvicorn", reason="uvicorn is not installed")
expect = playwright.expect
CHROMIUM = shutil.which("chromium")
Start = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def page() -> Iterator[Any]:
    """A page of a browser. At the end, its console has to be empty."""
    if CHROMIUM is None:
        pytest.skip("chromium is not installed")
    said: list[str] = []
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        opened = browser.new_page()
        opened.on("console", lambda message: said.append(message.text))
        opened.on("pageerror", lambda error: said.append(str(error)))
        # A browser asks for an icon by itself.
        opened.route("**/favicon.ico", lambda route: route.fulfill(status=204))
        yield opened
        browser.close()
    assert said == []


def test_the_page_starts_a_mirror_and_shows_its_progress_and_end(
    page: Any, tmp_path: Path, start: Start
) -> None:
    with ServerProcess(SimulatorOptions(tasks=4, frames=1, export_workers=4)) as own:
        # One export never ends: the mirror runs until it is stopped.
        own.add_faults(Fault(export="stick", task_id=2, times=1))
        with service(start, own, tmp_path) as address:
            page.goto(f"{address}/mirrors/1")
            expect(page.locator("#state")).to_have_text("no mirror yet")
            page.click("#start")
            expect(page.locator("#numbers")).to_have_text("3 of 4 tasks, 0 failed", timeout=30_000)
            expect(page.locator("#state")).to_have_text("running")
            expect(page.locator("#start")).to_be_disabled()
            assert 0.7 < page.locator("#bar").evaluate("bar => bar.value") < 1

            # The mirror does not depend on the page.
            page.reload()
            expect(page.locator("#numbers")).to_have_text("3 of 4 tasks, 0 failed")
            expect(page.locator("#tasks li")).to_have_count(3)
            page.click("#stop")
            expect(page.locator("#state")).to_have_text("stopped", timeout=30_000)

            own.do("release_exports")
            page.click("#start")
            expect(page.locator("#state")).to_have_text("done", timeout=30_000)
            expect(page.locator("#bar")).to_have_js_property("value", 1)
    assert len(list((tmp_path / "data" / "project1").glob("task*"))) == 4


def test_the_name_of_a_task_is_text_on_the_page(page: Any, tmp_path: Path, start: Start) -> None:
    with ServerProcess(SimulatorOptions(tasks=1, frames=1)) as own:
        own.do("rename_task", task_id=1, name="<img src=x onerror=alert(1)>")
        with service(start, own, tmp_path) as address:
            page.goto(f"{address}/mirrors/1")
            page.click("#start")
            expect(page.locator("#tasks li")).to_have_text("<img src=x onerror=alert(1)>: fetched")
            assert page.locator("#tasks img").count() == 0
