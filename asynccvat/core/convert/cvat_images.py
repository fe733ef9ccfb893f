"""Write `annotations.xml` of "CVAT for images 1.1": each image with its shapes and tags.

`cvat_video` writes that of "CVAT for video 1.1".
"""

from __future__ import annotations

from collections.abc import Iterator
from xml.sax.saxutils import quoteattr

from asynccvat.core.convert.frames import AnnotatedFrame, annotated_frames
from asynccvat.core.convert.task_json import Shape, Tag, TaskJson
from asynccvat.core.convert.xml_head import xml_head
from asynccvat.core.convert.xml_texts import ELEMENTS, Names, Place, chunks, geometry, group


def cvat_images_xml(source: TaskJson) -> Iterator[bytes]:
    """Write the file in chunks.

    Raises:
        InexactConversionError: It is not known how CVAT exports the task.
    """
    return chunks(xml_head(source), _images(source), iter(("</annotations>\n",)))


def _images(source: TaskJson) -> Iterator[str]:
    names = Names(source)
    for one in annotated_frames(source, skeletons=True):
        yield from _image(one, names)


def _image(one: AnnotatedFrame, names: Names) -> Iterator[str]:
    frame = one.frame
    yield (
        f'  <image id="{frame.number}" name={quoteattr(frame.name)} '
        f'width="{frame.width}" height="{frame.height}">\n'
    )
    for shape in one.shapes:
        if isinstance(shape, Shape) and shape.type == "skeleton":
            yield from _skeleton(shape, names)
        else:
            yield _shape(shape, names)
    for tag in one.tags:
        yield _tag(tag, names)
    yield "  </image>\n"


def _shape(shape: Place, names: Names) -> str:
    element = ELEMENTS[shape.type]
    return (
        f"    <{element} label={names.labels[shape.label_id]} source={quoteattr(shape.source)} "
        f'occluded="{shape.occluded:d}" {geometry(shape)} z_order="{shape.z_order}"'
        f"{group(shape.group)}>\n{names.attributes(shape.attributes, '      ')}    </{element}>\n"
    )


def _skeleton(shape: Shape, names: Names) -> Iterator[str]:
    yield (
        f"    <skeleton label={names.labels[shape.label_id]} source={quoteattr(shape.source)} "
        f'z_order="{shape.z_order}"{group(shape.group)}>\n'
    )
    for point in shape.elements:
        element = ELEMENTS[point.type]
        yield (
            f"      <{element} label={names.labels[point.label_id]} "
            f'source={quoteattr(point.source)} outside="{point.outside:d}" '
            f'occluded="{point.occluded:d}" {geometry(point)}{group(point.group)}>\n'
            f"{names.attributes(point.attributes, '        ')}      </{element}>\n"
        )
    yield names.attributes(shape.attributes, "      ")
    yield "    </skeleton>\n"


def _tag(tag: Tag, names: Names) -> str:
    return (
        f"    <tag label={names.labels[tag.label_id]} source={quoteattr(tag.source)}"
        f"{group(tag.group)}>\n{names.attributes(tag.attributes, '      ')}    </tag>\n"
    )
