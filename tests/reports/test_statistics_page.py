"""The page about what a mirror holds: its data, and what Chromium shows of it."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from asynccvat import stats_page
from asynccvat.models import (
    ContentCounts,
    LabelCount,
    MirrorStatistics,
    SizeCounts,
    TaskStatistics,
)

CHROMIUM = shutil.which("chromium")
HOSTILE = "</script><script>document.title='stolen'</script>"


def statistics(tasks: int = 2) -> MirrorStatistics:
    labels = [
        LabelCount(label=HOSTILE, kind="rectangle", single=3, sizes=SizeCounts(small=3)),
        LabelCount(label="car", kind="polygon", tracks=1, tracked=4, sizes=SizeCounts(large=1)),
    ]
    counts = ContentCounts(images=5, empty=1, image_sizes={(640, 480): 5}, labels=labels)
    return MirrorStatistics(
        "raw",
        [
            *(TaskStatistics(n, f"name {n}", f"task{n}", counts) for n in range(1, tasks + 1)),
            TaskStatistics(5_000, "broken", "task5000", None, "it is gone"),
        ],
    )


def data_of(page: str) -> Any:
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL)
    assert found is not None
    return json.loads(found[1])


def test_the_data_has_figures_labels_and_tasks() -> None:
    data = data_of(stats_page(statistics()))
    assert (data["source"], data["tasks"]) == ("raw", 2)
    assert data["total"] == {
        "images": 10,
        "empty": 2,
        "deleted": 0,
        "objects": 8,
        "tracks": 2,
        "onFrames": 14,
    }
    assert data["sizes"] == {"small": 6, "medium": 0, "large": 2}
    assert data["imageSizes"] == [["640 x 480", 10]]
    assert data["labels"][1] == ["car", "polygon", 2, 2, 8]
    assert data["rows"][0] == ["1", "name 1", 5, 1, 0, 4, 1, 7]
    assert data["failed"] == [["5000", "it is gone"]]


def test_names_are_no_markup_and_nothing_is_loaded() -> None:
    page = stats_page(statistics())
    assert HOSTILE not in page
    assert "default-src 'none'" in page
    assert not re.search(r"(?:src|href)=\"https?://[^\"]+\.(?:js|css)", page)


def test_only_the_largest_of_many_tasks_have_a_row() -> None:
    data = data_of(stats_page(statistics(1_200)))
    assert (data["tasks"], len(data["rows"])) == (1_200, 1_000)


def test_a_browser_shows_charts_and_tables_without_a_complaint(tmp_path: Path) -> None:
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    if CHROMIUM is None:
        pytest.skip("chromium is not installed")
    file = tmp_path / "stats.html"
    file.write_text(stats_page(statistics()), "utf-8")
    said: list[str] = []
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page()
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.goto(file.as_uri())
        page.wait_for_selector("html[data-ready]", state="attached")
        assert page.title() == "asynccvat stats raw"
        assert page.locator("#labels tbody tr").count() == 2
        assert page.locator("#labels tbody td").first.inner_text() == HOSTILE
        assert page.locator("#tasks tbody tr").count() == 2
        assert page.locator("#failed tbody td").all_inner_texts() == ["5000", "it is gone"]
        assert page.locator("#labels-chart svg rect").count() == 2
        assert page.locator("#cards dd").all_inner_texts()[:2] == ["2", "10"]
        page.screenshot(path=str(tmp_path / "stats.png"), full_page=True)
        browser.close()
    assert said == []
