"""Labels are read as users and servers write them, and lose the ids of their server."""

from __future__ import annotations

from typing import Any

import pytest

from asynccvat.core.labels import labels_in, lacking, names_of, portable_labels
from asynccvat.errors import ConfigError

CAR = {
    "id": 213,
    "name": "car",
    "color": "#ff0000",
    "attributes": [{"id": 47, "name": "parked", "input_type": "checkbox", "values": ["false"]}],
    "type": "any",
    "sublabels": [],
    "project_id": 9,
    "parent_id": None,
    "has_parent": False,
}
PERSON = {
    "id": 214,
    "name": "person",
    "type": "skeleton",
    "attributes": [],
    "sublabels": [
        {"id": 215, "name": "1", "attributes": [], "type": "points", "has_parent": True},
        {"id": 216, "name": "nose", "attributes": [], "type": "points", "has_parent": True},
    ],
    "project_id": 9,
    "svg": '<circle data-node-id="1" data-label-id="215"/><circle data-label-id="216"/>'
    '<circle data-label-id="999"/>',
}


def test_labels_of_a_server_lose_its_ids_at_every_depth() -> None:
    car, person = portable_labels([CAR, PERSON])
    assert car == {
        "name": "car",
        "color": "#ff0000",
        "attributes": [{"name": "parked", "input_type": "checkbox", "values": ["false"]}],
        "type": "any",
    }
    assert person["sublabels"] == [
        {"name": "1", "attributes": [], "type": "points"},
        {"name": "nose", "attributes": [], "type": "points"},
    ]


def test_the_drawing_of_a_skeleton_names_its_points() -> None:
    (person,) = portable_labels([PERSON])
    assert person["svg"] == (
        '<circle data-node-id="1" data-label-name="1"/><circle data-label-name="nose"/>'
        '<circle data-label-id="999"/>'
    )


@pytest.mark.parametrize(
    "value",
    [
        ["car", " 7 "],
        [{"name": "car"}, 7],
        {"labels": ["car", "7"]},
        {"names": {0: "car", 1: "7"}},
    ],
)
def test_lists_of_names_and_of_labels_are_read(value: Any) -> None:
    assert names_of(labels_in(value, "labels.yml")) == ("car", "7")


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("car", "it is no list"),
        ({"classes": 3}, "it is no list"),
        ([], "it is empty"),
        ([" "], "' ' is no name"),
        ([True], "True is no name"),
        ([{"color": "red"}], "has no name"),
        ([{"name": "car", "attributes": "parked"}], "'attributes' of 'car' is no list of objects"),
        (["car", "bus", "car"], "hold a name twice: car"),
    ],
)
def test_what_holds_no_labels_is_refused(value: Any, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        labels_in(value, "labels.yml")


def test_labels_that_are_lacking_are_named() -> None:
    assert lacking([{"name": "a"}, {"name": "b"}], [{"name": "b"}]) == ["a"]
