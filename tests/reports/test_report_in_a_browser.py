"""Open report pages in Chromium, from disk: drawn, sorted, filtered, and nothing in the console."""

from __future__ import annotations

import base64
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from logs import Record, a_mirror, log_of, outcome

from asynccvat import report_page

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
expect = playwright.expect
CHROMIUM = shutil.which("chromium")
SIZES = {"desktop": (1280, 900), "tablet": (820, 1180), "phone": (390, 844)}
HOSTILE = [
    "</script><script>document.title='stolen'</script>",
    "<img src=x onerror=\"document.title='stolen'\">",
    "<!--<script>",
    "a\u2028b\u202egnp",
]

# The console has all errors, but says nothing of a policy that a browser only reports.
WATCH_POLICY = """
window.violations = [];
document.addEventListener("securitypolicyviolation", (event) => {
  window.violations.push(`${event.violatedDirective}: ${event.sample || event.blockedURI}`);
});
"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    if CHROMIUM is None:
        pytest.skip("chromium is not installed")
    with playwright.sync_playwright() as driver:
        opened = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield opened
        opened.close()


@pytest.fixture
def open_page(browser: Any, tmp_path: Path) -> Iterator[Callable[..., Any]]:
    """Opens the page of events. At the end, no page may have said or asked for anything."""
    pages: list[Any] = []
    said: list[str] = []

    def opened(records: list[Record], size: str = "desktop", scheme: str = "light") -> Any:
        file = tmp_path / f"report-{len(pages)}.html"
        file.write_text(report_page(log_of(records)), "utf-8")
        width, height = SIZES[size]
        context = browser.new_context(
            viewport={"width": width, "height": height}, color_scheme=scheme
        )
        page = context.new_page()
        page.add_init_script(WATCH_POLICY)
        page.on("console", lambda message: said.append(f"console: {message.text}"))
        page.on("pageerror", lambda error: said.append(f"error: {error}"))
        page.on("request", lambda request: said.append(request.url))
        page.goto(file.as_uri())
        page.wait_for_selector("html[data-ready]", state="attached")
        pages.append(page)
        assert said.pop(0) == file.as_uri()
        return page

    yield opened
    for page in pages:
        assert page.evaluate("window.violations") == []
        page.context.close()
    assert said == []


def ids(page: Any) -> list[int]:
    """The ids in the rows of the table."""
    return [int(text) for text in page.locator("tr.task td.id").all_inner_texts()]


def an_eventful_mirror() -> list[Record]:
    """Forty tasks of different length, three failures, a warning, an outage, hostile names."""
    records = a_mirror(40, failed=[7, 8, 33])
    slow = [
        (at + fields["task_id"] / 10 if name == "task_done" else at, name, fields)
        for at, name, fields in records[:-1]
    ]
    settings = {"DEST": "data/", "--images": "yes"}
    begun = {"command": "mirror", "version": "1", "server": "https://cvat.example"}
    return [
        (0.0, "command_started", {**begun, "place": "data/", "settings": settings}),
        *sorted(
            [
                *slow,
                *[
                    (0.5, "task_done", outcome(100 + number, name=name))
                    for number, name in enumerate(HOSTILE)
                ],
                (9.0, "server_unreachable", {"seconds": 3.0, "wait": 600.0, "error": "refused"}),
                (12.0, "server_back", {"seconds": 6.0}),
                (20.0, "warned", {"message": HOSTILE[0]}),
            ],
            key=lambda record: record[0],
        ),
        (45.0, "run_finished", {"ok": False, "seconds": 45.0, "requests": 99, "transferred": 0}),
    ]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", SIZES)
def test_the_page_is_drawn_on_every_screen(
    open_page: Callable[..., Any], size: str, scheme: str
) -> None:
    page = open_page(an_eventful_mirror(), size, scheme)
    assert page.locator("h1").inner_text().split("\n")[0].startswith("mirror · cvat.example")
    assert page.locator("#state").inner_text() == "3 failed"
    for chart in ("phases", "workers", "bytes", "slowest", "waterfall"):
        box = page.locator(f"#{chart} svg").bounding_box()
        assert box is not None
        assert box["width"] > 250
        assert box["height"] > 80
    # Nothing is wider than the screen.
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")


def test_dark_and_light_pages_have_dark_and_light_paper(open_page: Callable[..., Any]) -> None:
    paper = [
        open_page(a_mirror(3), scheme=scheme).evaluate(
            "getComputedStyle(document.body).backgroundColor"
        )
        for scheme in ("light", "dark")
    ]
    light, dark = (sum(map(int, text[4:-1].split(","))) for text in paper)
    assert light > 700
    assert dark < 100


def test_failed_tasks_stand_first_and_columns_sort(open_page: Callable[..., Any]) -> None:
    page = open_page(an_eventful_mirror())
    assert ids(page)[:3] == [7, 8, 33]
    page.get_by_role("button", name="Took").click()
    assert ids(page)[:3] == [40, 39, 38]
    assert page.locator("th[aria-sort='descending']").inner_text().startswith("Took")
    page.get_by_role("button", name="Took").click()
    page.get_by_role("button", name="Id").click()
    assert ids(page)[:3] == [1, 2, 3]
    page.get_by_role("button", name="Id").click()
    assert ids(page)[0] == 103


def test_the_table_is_searched_by_name_id_and_error(open_page: Callable[..., Any]) -> None:
    page = open_page(an_eventful_mirror())
    search = page.get_by_role("searchbox")
    for query, found in [
        ("STREET-00012", [12]),
        ("exportfailed", [7, 8, 33]),
        ("onerror", [101]),
    ]:
        search.fill(query)
        expect(page.locator("#shown")).to_have_text(f"{len(found)} of 44 tasks")
        assert ids(page) == found
    search.fill("no such task")
    page.get_by_text("No task matches.").wait_for()


def test_a_result_is_chosen_by_its_chip(open_page: Callable[..., Any]) -> None:
    page = open_page(an_eventful_mirror())
    page.get_by_role("button", name="failed 3").click()
    assert ids(page) == [7, 8, 33]
    assert page.locator("#shown").inner_text() == "3 of 44 tasks"
    page.get_by_role("button", name="all 44").click()
    assert page.locator("#shown").inner_text() == "44 tasks"


def test_hostile_names_are_shown_as_they_are(open_page: Callable[..., Any]) -> None:
    page = open_page(an_eventful_mirror())
    assert "stolen" not in page.title()
    page.get_by_role("searchbox").fill("stolen")
    expect(page.locator("#shown")).to_have_text("2 of 44 tasks")
    assert page.locator("td.name").all_inner_texts() == HOSTILE[:2]
    assert page.locator("#warning-list").inner_text() == HOSTILE[0]


def test_the_command_that_retries_failures_is_copied(open_page: Callable[..., Any]) -> None:
    command = "asynccvat mirror 'my data/' -t"
    begun = {
        "command": "mirror",
        "again": "asynccvat mirror 'my data/'",
        "retry": {"task": command},
    }
    page = open_page([(0.0, "command_started", begun), *a_mirror(9, failed=[2, 7])])
    shown = page.locator("#failures .command code")
    assert shown.inner_text() == f"{command} 2,7"
    page.locator("#failures .command button").click()
    expect(page.locator("#failures .command button")).not_to_have_text("Copy")
    assert page.evaluate("getSelection().toString()") == f"{command} 2,7"


def test_a_click_on_a_task_shows_all_that_is_known_of_it(open_page: Callable[..., Any]) -> None:
    page = open_page(an_eventful_mirror())
    page.locator("tr.task").first.click()
    details = page.locator("#details")
    assert details.locator("h2").inner_text() == "task 7 street-00007"
    text = details.inner_text()
    assert "ExportFailedError: the server could not export task 7" in text
    assert "exporting 0.3 s" in text
    page.keyboard.press("Escape")
    assert not details.is_visible()
    page.locator("tr.task").nth(1).focus()
    page.keyboard.press("Enter")
    assert details.locator("h2").inner_text() == "task 8 street-00008"


def test_the_page_says_what_the_run_waited_for(open_page: Callable[..., Any]) -> None:
    page = open_page(an_eventful_mirror())
    assert page.locator("#waits-legend").inner_text().splitlines() == [
        "reading lists 87 %",
        "no answer from the server 13 %",
    ]
    assert page.locator("#waits").get_attribute("aria-label").startswith("Time of the run: reading")


def test_the_tasks_of_a_deletion_do_not_wait(open_page: Callable[..., Any]) -> None:
    begun = {"command": "delete", "version": "1", "server": "https://cvat.example", "place": ""}
    gone = {"task_id": 1, "action": "deleted", "reason": "selected"}
    page = open_page(
        [
            (0.0, "command_started", {**begun, "settings": {}}),
            (0.5, "task_started", {"task_id": 1, "name": "street"}),
            (1.5, "task_done", gone),
            (2.0, "run_finished", {"ok": True, "seconds": 2.0}),
        ]
    )
    assert page.locator("#shares-legend").inner_text() == "being deleted 100 %"
    assert not page.locator("#slow").is_visible()


def test_the_slowest_tasks_are_drawn_without_their_waits(open_page: Callable[..., Any]) -> None:
    records: list[Record] = [
        (at + 50 if fields.get("task_id") in (2, None) else at, name, fields)
        for at, name, fields in a_mirror(4)
    ]
    waiting: Record = (0.0, "task_started", {"task_id": 2, "name": "waits long"})
    page = open_page(sorted([waiting, *records], key=lambda record: record[0]))
    labels = page.locator("#slowest [aria-label='y-axis tick label'] text")
    assert labels.count() == 4
    ticks = page.locator("#slowest [aria-label='x-axis tick label'] text")
    assert float(ticks.last.text_content().removesuffix(" s")) < 1
    page.locator("#slowest [aria-label='bar'] rect").first.hover()
    page.locator("#slowest [aria-label='tip']").get_by_text("of the run").wait_for()


def test_a_group_of_failures_names_its_tasks(open_page: Callable[..., Any]) -> None:
    page = open_page(an_eventful_mirror())
    (group,) = page.locator("#groups li").all_inner_texts()
    assert "ExportFailedError" in group
    assert "task 7, 8, 33" in group


def test_the_time_line_shows_every_task_as_one_scrolls(open_page: Callable[..., Any]) -> None:
    page = open_page(a_mirror(300))
    labels = page.locator("#waterfall [aria-label='y-axis tick label'] text")
    assert labels.first.text_content() == "1 street-00001"
    assert labels.count() == 24
    page.locator("#scroller").evaluate("(element) => { element.scrollTop = element.scrollHeight; }")
    expect(page.locator("#waterfall svg")).to_contain_text("300 street-00300")
    page.get_by_label("Order").select_option("took")
    assert labels.count() == 24
    assert page.locator("#lines-axis").inner_text() == "Times since each task began"


def test_a_bar_tells_its_task_and_phase(open_page: Callable[..., Any]) -> None:
    page = open_page(a_mirror(5))
    page.locator("#waterfall [aria-label='bar'] rect").nth(1).hover()
    tip = page.locator("#waterfall [aria-label='tip']").get_by_text("exporting: 0.3 s")
    tip.wait_for()


def test_the_page_of_many_tasks_is_compressed_and_holds_few_rows(
    open_page: Callable[..., Any],
) -> None:
    page = open_page(a_mirror(12_000, failed=[11_999], gap=0.01))
    assert page.locator("#lines-note").inner_text().startswith("the slowest and the failed ones")
    assert page.locator("tr.task").count() < 60
    assert ids(page)[0] == 11_999
    page.locator("#table-scroller").evaluate(
        "(element) => { element.scrollTop = element.scrollHeight; }"
    )
    expect(page.locator("tr.task td.id").last).to_have_text("12000")
    assert "gzip" in page.evaluate("JSON.parse(document.getElementById('data').textContent)")


def test_a_printed_page_has_the_tasks_and_no_controls(open_page: Callable[..., Any]) -> None:
    page = open_page(an_eventful_mirror())
    printed = page.pdf(format="A4")
    assert printed.startswith(b"%PDF")
    page.evaluate("window.dispatchEvent(new Event('beforeprint'))")
    page.emulate_media(media="print")
    assert len(ids(page)) == 44
    assert not page.get_by_role("searchbox").is_visible()
    assert page.locator("#waterfall [aria-label='y-axis tick label'] text").count() == 40
    assert page.locator("#lines-cut").inner_text() == ""


def test_paper_is_light_although_the_screen_is_dark(open_page: Callable[..., Any]) -> None:
    page = open_page(an_eventful_mirror(), scheme="dark")
    colours = """() => ["--ink", "--bad-paper", "--waiting"].map((name) =>
        getComputedStyle(document.documentElement).getPropertyValue(name).trim())"""
    assert page.evaluate(colours) == ["#e8ebef", "#3a1b1b", "#48515e"]
    page.emulate_media(media="print", color_scheme="dark")
    assert page.evaluate(colours) == ["#000", "#fdeaea", "#c3cad4"]


def test_a_run_without_work_has_its_table_and_no_empty_charts(
    open_page: Callable[..., Any],
) -> None:
    kept = {"task_id": 7, "name": "x", "action": "kept", "reason": "unchanged"}
    page = open_page([(0.0, "task_done", kept), (1.0, "run_finished", {"ok": True, "seconds": 1})])
    assert page.locator("#state").inner_text() == "Done"
    assert not page.locator("#time").is_visible()
    assert not page.locator("#lines").is_visible()
    assert ids(page) == [7]


def test_a_browser_that_cannot_read_the_data_says_so(browser: Any, tmp_path: Path) -> None:
    file = tmp_path / "report.html"
    text = report_page(log_of(a_mirror(12_000, gap=0.01)))
    data = text.partition('id="data">')[2].partition("</script>")[0]
    broken = json.dumps({"gzip": base64.b64encode(b"no gzip").decode()})
    file.write_text(text.replace(data, broken), "utf-8")
    context = browser.new_context()
    page = context.new_page()
    page.goto(file.as_uri())
    page.get_by_role("alert").get_by_text("This page cannot be shown").wait_for()
    context.close()
