"""Recording a run from Python, for a page about it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from engine_serving import serving

import asynccvat as ac

pytestmark = pytest.mark.anyio


async def test_a_recorder_is_the_callback_of_a_run(tmp_path: Path) -> None:
    recorder = ac.RunRecorder()
    async with serving(3) as server:
        report = await ac.mirror(server.client, tmp_path / "data", on_event=recorder)
    page = recorder.page()
    data = json.loads(page.partition('id="data">')[2].partition("</script>")[0])
    assert data["head"]["counts"] == {"fetched": 3}
    assert data["head"]["seconds"] == pytest.approx(report.seconds, abs=1e-3)
    assert data["head"]["requests"] == report.requests
    assert data["work"] == ["export"]
    assert len(data["lines"]["rows"]) == 3
    # It is no dead end: more may be recorded, and the page made again.
    assert recorder.page() == page


def test_a_recorder_that_heard_of_nothing_has_a_page() -> None:
    assert "unfinished" in ac.RunRecorder().page()
