"""The simulated server answers as the recorded CVAT server did, exchange by exchange."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

import pytest
from condense import FIXTURE, condense, lengthen, merge, shape_of, shorten, to_text
from replay import ReceivedResponse, compare, compare_shapes, replay_scenario

pytestmark = pytest.mark.anyio

RECORDED: Final[dict[str, Any]] = json.loads(FIXTURE.read_bytes())

EXEMPT: Final = {
    ("annotation_upload", 29): "the recorder cut the body of the request",
    ("errors", 11): "OPTIONS describes each view at length there; no client reads it",
    ("export_errors", 21): "the simulator does not write MOT 1.1, so that export fails",
    ("server_info", 5): "the simulator does not publish CVAT's OpenAPI document",
    ("server_info", 9): "the browsable pages are for people; clients ask for JSON",
}
"""Exchanges whose responses may differ, and why. One that agrees must be removed."""


def explain(differences: dict[int, list[str]], exchanges: list[dict[str, Any]]) -> str:
    lines = []
    for index, found in differences.items():
        request = exchanges[index]["request"]
        label = exchanges[index].get("label", "")
        lines.append(f"{index} {request['method']} {request['path'][:160]} {label}")
        lines += [f"    {one}" for one in found]
    return "\n".join(lines)


@pytest.mark.parametrize("scenario", sorted(RECORDED["scenarios"]))
async def test_the_simulator_answers_as_recorded(scenario: str) -> None:
    exchanges = RECORDED["scenarios"][scenario]
    differences = await replay_scenario(scenario, exchanges, RECORDED["shapes"])
    exempt = {index for name, index in EXEMPT if name == scenario}
    needless = sorted(exempt - set(differences))
    assert not needless, f"{needless} of {scenario} agree now: take them out of EXEMPT"
    left = {index: found for index, found in differences.items() if index not in exempt}
    assert not left, f"{scenario} differs:\n{explain(left, exchanges)}"


def test_exemptions_name_exchanges_that_exist() -> None:
    for scenario, index in EXEMPT:
        assert index < len(RECORDED["scenarios"][scenario])


def test_the_condensed_copy_is_up_to_date(shared: Path) -> None:
    assert to_text(condense(shared / "contract" / "http")) == FIXTURE.read_text(encoding="utf-8"), (
        "the recordings or condense.py changed: run python tests/contract/condense.py"
    )


def test_a_shape_has_keys_and_types() -> None:
    value = {"a": [{"b": 1, "c": None}, {"b": 1.5, "d": "x"}], "e": [], "f": True}
    assert shape_of(value) == {
        "a": [{"b": "integer|number", "c?": "null", "d?": "string"}],
        "e": [],
        "f": "boolean",
    }
    assert merge("null", {"id": "integer"}) == {"id": "integer"}
    assert merge([], ["string"]) == ["string"]


def test_long_runs_are_shortened() -> None:
    text = f"/api/tasks?filter={'%20' * 100}&search={'a' * 70}b"
    assert shorten(text) == "/api/tasks?filter={%20*100}&search={a*70}b"
    assert lengthen(shorten(text)) == text


@pytest.mark.parametrize(
    ("expected", "actual", "found"),
    [
        ({"a": "string"}, {"a": "string"}, []),
        ({"a": "string"}, {}, [".a is missing"]),
        ({"a?": "string"}, {}, []),
        ({}, {"a": "string"}, [".a is not recorded"]),
        ({"a": "string"}, {"a": "integer"}, ['.a is "integer" instead of "string"']),
        ({"a": "null|string"}, {"a": "null"}, []),
        ({"a": "string"}, {"a": "null"}, ['.a is "null" instead of "string"']),
        ({"next": "string"}, {"next": "null"}, []),
        ({"a": [{"b": "string"}]}, {"a": [{}]}, [".a[].b is missing"]),
        ({"a": ["string"]}, {"a": []}, [".a is empty"]),
        ({"a": []}, {"a": ["string"]}, [".a is not empty"]),
        ({"a": ["string"]}, {"a": "string"}, ['.a is "string" instead of ["string"]']),
    ],
)
def test_differences_of_shapes_are_found(expected: Any, actual: Any, found: list[str]) -> None:
    assert compare_shapes(expected, actual, "") == found


@pytest.mark.parametrize(
    ("received", "words"),
    [
        (ReceivedResponse(500, {}, b""), "status 500 instead of 400"),
        (ReceivedResponse(400, {"content-type": "text/html"}, b"[]"), "content type 'text/html'"),
        (
            ReceivedResponse(400, {"content-type": "application/vnd.cvat+json"}, b'["b"]'),
            "['b'] instead of ['a']",
        ),
    ],
)
def test_differences_of_errors_are_found(received: ReceivedResponse, words: str) -> None:
    recorded = {"status": 400, "type": "application/vnd.cvat+json", "json": ["a"]}
    (found,) = compare(recorded, [], received)
    assert words in found
