"""The page as a file: one piece, a strict policy, data that can never be markup."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import re
from datetime import timedelta
from html.parser import HTMLParser
from typing import Any

import pytest
from logs import BEGAN, a_mirror, log_of, outcome

from asynccvat import RunRecorder, report_page
from asynccvat.reports import page as page_module

HOSTILE = [
    "</script><script>alert(1)</script>",
    "<!--<script>",
    "]]>",
    "<img src=x onerror=alert(1)>",
    "\"'`&amp;&lt;",
    "a\u2028b\u2029c",
    "\u202egnp.exe",
    "${alert(1)}{{data}}",
    "\ud800",
]


class Page(HTMLParser):
    """The elements of a page, and the text of its scripts and styles."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.blocks: list[tuple[str, dict[str, str | None], str]] = []
        self._open: tuple[str, dict[str, str | None]] | None = None
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        self._open = (tag, dict(attrs)) if tag in ("script", "style") else None

    def handle_data(self, data: str) -> None:
        if self._open is not None:
            self.blocks.append((*self._open, data))

    def handle_endtag(self, tag: str) -> None:  # noqa: ARG002 - its name is the parser's
        self._open = None

    @property
    def data(self) -> Any:
        (text,) = (text for _, attrs, text in self.blocks if attrs.get("id") == "data")
        return json.loads(text)

    @property
    def policy(self) -> str:
        (found,) = (
            attrs["content"] or ""
            for tag, attrs in self.elements
            if attrs.get("http-equiv") == "Content-Security-Policy"
        )
        return found


def a_page(names: list[str]) -> str:
    done = [(float(n), "task_done", outcome(n, name=name)) for n, name in enumerate(names, start=1)]
    return report_page(log_of([*done, (9.0, "run_finished", {"ok": True, "seconds": 9.0})]))


def test_the_policy_allows_the_scripts_and_styles_of_the_page_alone() -> None:
    page = Page(a_page(["street"]))
    hashes = {
        tag: {
            f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
            for found, attrs, text in page.blocks
            if found == tag and attrs.get("type") != "application/json"
        }
        for tag in ("script", "style")
    }
    rules = dict(rule.strip().split(" ", 1) for rule in page.policy.split(";"))
    assert rules["default-src"] == "'none'"
    assert set(rules["script-src"].split()) == hashes["script"]
    assert set(rules["style-src"].split()) == hashes["style"]
    assert "unsafe" not in page.policy


def test_the_page_loads_nothing_and_has_no_code_in_attributes() -> None:
    page = Page(a_page(["street"]))
    for tag, attrs in page.elements:
        assert not any(name.startswith("on") or name == "style" for name in attrs), tag
        assert "src" not in attrs
        if tag == "link":
            assert attrs["href"] == "data:,"


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_name_is_data(name: str) -> None:
    harmless, hostile = Page(a_page(["street"])), Page(a_page([name]))
    assert [tag for tag, _ in hostile.elements] == [tag for tag, _ in harmless.elements]
    (shown,) = hostile.data["table"]["name"]
    printable = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in name)
    assert shown in (printable, " ".join(name.split()))


def test_a_hostile_server_and_command_are_text_of_the_title() -> None:
    begun = {
        "command": "</title><script>",
        "version": "1",
        "server": "https://<b>.example",
        "place": "<i>",
        "settings": {"--x": "</script>"},
    }
    text = report_page(log_of([(0.0, "command_started", begun), *a_mirror(1)]))
    assert "<title>asynccvat &lt;/title&gt;&lt;script&gt; of https://&lt;b&gt;.example<" in text
    assert Page(text).data["settings"] == [["--x", "</script>"]]


def test_the_block_of_data_has_only_characters_that_no_parser_minds() -> None:
    text = a_page(HOSTILE)
    block = re.search(r'<script type="application/json" id="data">(.*?)</script>', text, re.DOTALL)
    assert block is not None
    assert not set(block[1]) & {"<", ">", "&", "\u2028", "\u2029"}
    assert block[1].isascii()


def test_long_data_is_compressed_and_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = Page(a_page(HOSTILE)).data
    monkeypatch.setattr(page_module, "MOST_PLAIN_CHARACTERS", 100)
    packed = Page(a_page(HOSTILE)).data
    assert packed.keys() == {"gzip"}
    assert json.loads(gzip.decompress(base64.b64decode(packed["gzip"]))) == plain


def test_where_scripts_do_not_run_the_page_says_how_the_run_ended() -> None:
    text = report_page(log_of(a_mirror(3, failed=[1])))
    noscript = re.search(r"<noscript>(.*?)</noscript>", text, re.DOTALL)
    assert noscript is not None
    assert "failed. 3 tasks (2 fetched, 1 failed) in 3.0 s." in noscript[1]


def test_a_recorder_makes_the_page_that_its_log_makes() -> None:
    records = a_mirror(3, failed=[2])
    recorder = RunRecorder()
    for number, line in enumerate(log_of(records)):
        record = json.loads(line)
        at = BEGAN.fromisoformat(record.pop("at"))
        # The log has cut what is less than a millisecond.
        recorder.record(record, at + timedelta(microseconds=number * 317 % 1000))
    recorded, logged = Page(recorder.page()).data, Page(report_page(log_of(records))).data
    assert recorded["head"].pop("startedAt") == "2026-11-30T12:00:00.000Z"
    assert logged["head"].pop("startedAt") == "2026-11-30T12:00:00.000+00:00"
    assert recorded == logged
