"""Where a conversion differs from an export is said in words; equal content is no difference."""

from __future__ import annotations

import pytest
from hypothesis import given
from simulated_tasks import SimulatedTask, simulated_tasks

from asynccvat.core.convert.differences import first_difference

XML = "annotations.xml"
COCO = "annotations/instances_default.json"
BOX = b'<annotations><meta></meta>\n  <box label="car" xtl="1.00">\n  </box>\n</annotations>\n'


def where(ours: bytes, theirs: bytes, path: str = XML) -> str | None:
    return first_difference({path: ours}, {path: theirs})


@given(simulated_tasks())
def test_an_export_does_not_differ_from_itself(task: SimulatedTask) -> None:
    exported = task.exported("CVAT for images 1.1")
    assert first_difference(exported, exported) is None


def test_what_the_json_lacks_is_no_difference() -> None:
    dumped = b"<annotations><meta><dumped>%s</dumped></meta></annotations>"
    assert where(dumped % b"2026", dumped % b"2027") is None


def test_the_values_of_json_are_compared() -> None:
    assert where(b'{"a": [1, 2]}', b'{ "a": [1.0, 2] }', COCO) is None


@pytest.mark.parametrize(
    ("ours", "theirs", "said"),
    [
        (BOX, BOX.replace(b"1.00", b"1.0"), """'xtl' of <box>: "1.0" in the export, "1.00" here"""),
        (
            BOX,
            BOX.replace(b"xtl", b"x1"),
            """'x1' of <box>: "1.00" in the export, nothing here""",
        ),
        (
            BOX,
            BOX.replace(b"box", b"cuboid"),
            '<cuboid label="car" xtl="1.00"> in the export, <box label="car" xtl="1.00"> here',
        ),
        (
            BOX,
            BOX.replace(b'  <box label="car" xtl="1.00">', b"  text"),
            'text in the export, <box label="car" xtl="1.00"> here',
        ),
    ],
)
def test_a_difference_of_xml_names_element_and_attribute(
    ours: bytes, theirs: bytes, said: str
) -> None:
    assert where(ours, theirs) == f"annotations.xml: line 2: {said}"


def test_a_missing_end_is_a_difference() -> None:
    said = where(BOX + b"<more/>\n" + b"x" * 100, BOX)
    assert said == "annotations.xml: line 5: nothing in the export, <more/> here"


def test_a_long_line_is_cut() -> None:
    said = where(BOX, BOX.replace(b"car", b"c" * 100))
    assert said is not None
    assert said.endswith("""ccc... in the export, "car" here""")


@pytest.mark.parametrize(
    ("ours", "theirs", "said"),
    [
        (b'{"a": [{"b": 1}]}', b'{"a": [{"b": 2}]}', "a[0].b: 2 in the export, 1 here"),
        (b'{"a": [1]}', b'{"a": [1, 2]}', "a[1]: 2 in the export, nothing here"),
        (b'{"a": 1, "b": 2}', b'{"a": 1}', "b: nothing in the export, 2 here"),
        (b"{}", b"{", "the export is no JSON"),
    ],
)
def test_a_difference_of_json_names_the_field(ours: bytes, theirs: bytes, said: str) -> None:
    assert where(ours, theirs, COCO) == f"{COCO}: {said}"


def test_a_file_that_one_side_lacks_is_a_difference() -> None:
    assert first_difference({XML: BOX}, {}) == "annotations.xml is not in the export"
    assert first_difference({}, {XML: BOX}) == "annotations.xml is in the export alone"
