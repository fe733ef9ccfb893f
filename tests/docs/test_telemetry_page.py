"""The page of telemetry: its program runs, and its tables name what there is."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from pages import block, text

from asynccvat.simulator import ServerProcess

PAGE = "docs/python/telemetry.md"


def names(text: str) -> set[str]:
    """The names of spans or metrics in the first column of a table."""
    return set(re.findall(r"^\| `(asynccvat\.[\w.]+)` \|", text, re.MULTILINE))


def test_the_program_writes_spans_and_metrics(
    server: ServerProcess, tmp_path: Path, start: Callable[..., subprocess.Popen[str]]
) -> None:
    pytest.importorskip("opentelemetry.sdk", reason="opentelemetry-sdk is not installed")
    out, err = start(block(PAGE, "python").text, server, tmp_path).communicate(timeout=60)
    assert err == ""
    written = set(re.findall(r'"name": "(asynccvat\.[\w.]+)"', out))
    spans = {"run", "task", "export", "transfer", "commit"}
    assert {f"asynccvat.{name}" for name in spans} <= written
    assert out.count('"name": "asynccvat.task"') == 6
    spans_of_page, metrics_of_page = map(names, text(PAGE).split("## Metrics"))
    assert written <= spans_of_page | metrics_of_page


def test_the_page_names_every_span_and_metric() -> None:
    folder = "asynccvat/telemetry/"
    listener, instruments = text(f"{folder}listener.py"), text(f"{folder}instruments.py")
    spans = set(re.findall(r'"asynccvat\.(\w+)"', listener)) - {"asynccvat"}
    spans |= set(re.findall(r'self\._enter\(event\.task_id, "(\w+)"', listener))
    counters = set(re.findall(r"\"asynccvat\.([\w.]+)\",\s+unit", instruments))
    histograms = set(re.findall(r"^ +\(\"(\w+)\", \"", instruments, re.MULTILINE))
    metrics = counters | {f"{name}.duration" for name in histograms}
    spans_of_page, metrics_of_page = map(names, text(PAGE).split("## Metrics"))
    assert {f"asynccvat.{name}" for name in spans} == spans_of_page
    assert {f"asynccvat.{name}" for name in metrics} == metrics_of_page
