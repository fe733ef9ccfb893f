"""The simulated server creates, deletes, exports and writes as the recorded CVAT 2.64 did."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

import pytest
from condense import CREATIONS_264, FIXTURE_CREATIONS_264, condense, to_text
from replay_creations_264 import replay_creations_264

pytestmark = pytest.mark.anyio

RECORDED: Final[dict[str, Any]] = json.loads(FIXTURE_CREATIONS_264.read_bytes())

EXEMPT: Final[dict[tuple[str, int], str]] = {
    ("annotations_json_write_264", 8): "the simulator keeps no scores, so it cannot repeat one",
    ("create_task_264", 25): "CVAT lists the files that do not match in the order of a set",
    ("create_task_264", 36): "a poll that saw the request fail before its dates were written",
}
"""Exchanges whose responses may differ, and why. One that agrees must be removed."""


@pytest.mark.parametrize("scenario", CREATIONS_264)
async def test_the_simulator_answers_as_recorded(scenario: str) -> None:
    exchanges = RECORDED["scenarios"][scenario]
    differences = await replay_creations_264(scenario, exchanges, RECORDED["shapes"])
    exempt = {index for name, index in EXEMPT if name == scenario}
    needless = sorted(exempt - set(differences))
    assert not needless, f"{needless} of {scenario} agree now: take them out of EXEMPT"
    left = {
        f"{index} {exchanges[index].get('label', '')}": found
        for index, found in differences.items()
        if index not in exempt
    }
    assert not left, json.dumps(left, indent=1)


def test_exemptions_name_exchanges_that_exist() -> None:
    for scenario, index in EXEMPT:
        assert index < len(RECORDED["scenarios"][scenario])


def test_the_condensed_copy_is_up_to_date(shared: Path) -> None:
    condensed = condense(shared / "contract" / "http-2.64", CREATIONS_264)
    assert to_text(condensed) == FIXTURE_CREATIONS_264.read_text(encoding="utf-8"), (
        "the recordings or condense.py changed: run python tests/contract/condense.py"
    )
