"""Write the tracklets of "Kitti Raw Format 1.0", a format of point clouds."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from xml.sax.saxutils import escape

from asynccvat.simulator.formats.frames import AnnotatedFrame
from asynccvat.simulator.world.annotations import Shape


def kitti_tracklets(frames: Iterable[AnnotatedFrame]) -> str:
    """Write `tracklet_labels.xml`: a tracklet for each cuboid."""
    found = [(one.frame.index, shape) for one in frames for shape in one.shapes]
    lines = [
        '<?xml version="1.0" encoding="UTF-8" standalone="yes" ?>',
        "<!DOCTYPE boost_serialization>",
        '<boost_serialization version="9" signature="serialization::archive">',
        '  <tracklets version="0" tracking_level="0" class_id="0">',
        f"    <count>{len(found)}</count>",
        "    <item_version>1</item_version>",
    ]
    for frame, shape in found:
        lines += _tracklet(frame, shape)
    return "\n".join([*lines, "  </tracklets>", "</boost_serialization>", ""])


def _tracklet(frame: int, shape: Shape) -> Iterator[str]:
    x, y, z, *rotation, height, width, length = shape.points[:9]
    yield '    <item version="1" tracking_level="0" class_id="1">'
    yield f"      <objectType>{escape(shape.label.name)}</objectType>"
    yield f"      <h>{height}</h>"
    yield f"      <w>{width}</w>"
    yield f"      <l>{length}</l>"
    yield f"      <first_frame>{frame}</first_frame>"
    yield '      <poses version="0" tracking_level="0" class_id="2">'
    yield "        <count>1</count>"
    yield "        <item_version>2</item_version>"
    yield '        <item version="2" tracking_level="0" class_id="3">'
    for name, value in zip(("tx", "ty", "tz"), (x, y, z), strict=True):
        yield f"          <{name}>{value}</{name}>"
    for name, value in zip(("rx", "ry", "rz"), rotation, strict=True):
        yield f"          <{name}>{value}</{name}>"
    yield "          <state>2</state>"
    yield f"          <occlusion>{shape.occluded:d}</occlusion>"
    yield "        </item>"
    yield "      </poses>"
    yield "      <finished>1</finished>"
    yield "    </item>"
