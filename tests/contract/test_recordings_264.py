"""The simulated server answers as the recorded CVAT 2.64 did, exchange by exchange."""

from __future__ import annotations

import functools
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final

import pytest
from condense import (
    CREATIONS_264,
    GROUPS_264,
    NOT_REPLAYED_264,
    READS_264,
    RESTORES_264,
    WEBHOOKS_264,
    Group,
    condense,
    to_text,
)
from replay_264 import replay_restores_264
from replay_creations_264 import replay_creations_264
from replay_reads_264 import replay_reads_264
from replay_webhooks_264 import replay_deliveries_264, replay_webhooks_264

pytestmark = pytest.mark.anyio

Replay = Callable[[str, list[Any], list[Any]], Awaitable[dict[int, list[str]]]]

REPLAYS: Final[dict[Path, Replay]] = {
    RESTORES_264.fixture: replay_restores_264,
    CREATIONS_264.fixture: replay_creations_264,
    READS_264.fixture: replay_reads_264,
    WEBHOOKS_264.fixture: replay_webhooks_264,
}

EXEMPT: Final[dict[tuple[str, int], str]] = {
    ("create_task_264", 25): "CVAT lists the files that do not match in the order of a set",
    ("create_task_264", 36): "a poll that saw the request fail before its dates were written",
}
"""Exchanges whose responses may differ, and why. One that agrees must be removed."""


@functools.cache
def recorded(group: Group) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(group.fixture.read_bytes())
    return content


@pytest.mark.parametrize(
    ("group", "scenario"),
    [
        pytest.param(group, scenario, id=scenario)
        for group in GROUPS_264
        for scenario in group.scenarios
    ],
)
async def test_the_simulator_answers_as_recorded(group: Group, scenario: str) -> None:
    exchanges, shapes = recorded(group)["scenarios"][scenario], recorded(group)["shapes"]
    differences = await REPLAYS[group.fixture](scenario, exchanges, shapes)
    exempt = {index for name, index in EXEMPT if name == scenario}
    needless = sorted(exempt - set(differences))
    assert not needless, f"{needless} of {scenario} agree now: take them out of EXEMPT"
    left = {
        f"{index} {exchanges[index].get('label', '')}": found
        for index, found in differences.items()
        if index not in exempt
    }
    assert not left, json.dumps(left, indent=1)


async def test_events_are_delivered_as_recorded() -> None:
    known = recorded(WEBHOOKS_264)
    exchanges = known["scenarios"]["webhooks_264"]
    differences = await replay_deliveries_264(exchanges, known["shapes"], known["delivered"])
    assert not differences, json.dumps(differences, indent=1)


def test_exemptions_name_exchanges_that_exist() -> None:
    groups = {scenario: group for group in GROUPS_264 for scenario in group.scenarios}
    for scenario, index in EXEMPT:
        assert index < len(recorded(groups[scenario])["scenarios"][scenario])


def test_every_recording_is_replayed_or_named_with_a_reason(shared: Path) -> None:
    found = {path.stem for path in (shared / "contract" / "http-2.64").glob("*.json")}
    replayed = [scenario for group in GROUPS_264 for scenario in group.scenarios]
    assert sorted([*replayed, *NOT_REPLAYED_264]) == sorted(found)


@pytest.mark.parametrize("group", GROUPS_264, ids=lambda group: group.fixture.stem)
def test_the_condensed_copy_is_up_to_date(group: Group, shared: Path) -> None:
    condensed = condense(shared / "contract" / "http-2.64", group.scenarios)
    assert to_text(condensed) == group.fixture.read_text(encoding="utf-8"), (
        "the recordings or condense.py changed: run python tests/contract/condense.py"
    )
