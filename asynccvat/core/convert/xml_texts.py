"""Write the parts of CVAT's XML that both of its formats share: shapes, attributes and texts.

Source: `cvat/apps/dataset_manager/formats/cvat.py` of CVAT. `xml_head` writes the head of the file.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from typing import Final
from xml.sax.saxutils import escape, quoteattr

from asynccvat.core.convert.interpolation import TrackedShape
from asynccvat.core.convert.task_json import AttributeValue, Shape, ShapeType, TaskJson

ELEMENTS: Final[Mapping[ShapeType, str]] = {
    "rectangle": "box",
    "polygon": "polygon",
    "polyline": "polyline",
    "points": "points",
    "ellipse": "ellipse",
    "cuboid": "cuboid",
    "mask": "mask",
    "skeleton": "skeleton",
}
"""The XML element of each type of shape."""

_CORNERS: Final = ("tl1", "bl1", "tr1", "br1", "tl2", "bl2", "tr2", "br2")
_CUBOID: Final = " ".join(f'x{corner}="%.2f" y{corner}="%.2f"' for corner in _CORNERS)

Place = Shape | TrackedShape


class Names:
    """The names of labels and attributes as XML attributes, quoted once."""

    def __init__(self, source: TaskJson) -> None:
        """Quote the names of a task's labels and attributes."""
        self.labels = {key: quoteattr(label.name) for key, label in source.label_by_id.items()}
        self._attributes = {
            key: quoteattr(attribute.name) for key, attribute in source.attribute_by_id.items()
        }

    def attributes(self, values: Sequence[AttributeValue], indent: str) -> str:
        """Write the values of an annotation, a line for each."""
        return "".join(
            f"{indent}<attribute name={self._attributes[one.spec_id]}>"
            f"{escape(one.value)}</attribute>\n"
            for one in values
        )


def geometry(shape: Place) -> str:
    """Write where a shape is, and how it is turned, as XML attributes."""
    points = shape.points
    turned = f' rotation="{shape.rotation:.2f}"' if shape.rotation else ""
    match shape.type:
        case "rectangle":
            left, top, right, bottom = points
            near = f'xtl="{left:.2f}" ytl="{top:.2f}" xbr="{right:.2f}" ybr="{bottom:.2f}"'
            return near + turned
        case "ellipse":
            x, y, right, top = points
            return f'cx="{x:.2f}" cy="{y:.2f}" rx="{right - x:.2f}" ry="{y - top:.2f}"{turned}'
        case "mask":
            *runs, left, top, right, bottom = map(int, points)
            size = f'width="{right - left + 1}" height="{bottom - top + 1}"'
            return f'rle="{", ".join(map(str, runs))}" left="{left}" top="{top}" {size}'
        case "cuboid":
            return _CUBOID % points
        case _:
            text = ";".join(["%.2f,%.2f"] * (len(points) // 2)) % points
            return f'points="{text}"'


def group(number: int | None) -> str:
    """Write the group of an annotation as an XML attribute; nothing for none."""
    return f' group_id="{number}"' if number else ""


def texts(indent: int, *elements: tuple[str, object]) -> Iterator[str]:
    """Write elements that hold a text, a line for each."""
    for name, text in elements:
        yield f"{' ' * indent}<{name}>{escape(str(text))}</{name}>\n"


_CHUNK: Final = 1 << 16


def chunks(*parts: Iterator[str]) -> Iterator[bytes]:
    """Join texts to chunks of bytes of some 64 KiB."""
    waiting: list[str] = []
    size = 0
    for text in chain(*parts):
        waiting.append(text)
        size += len(text)
        if size >= _CHUNK:
            yield "".join(waiting).encode()
            waiting.clear()
            size = 0
    if waiting:
        yield "".join(waiting).encode()
